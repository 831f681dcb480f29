-- claim_notifications and mark_sent: how the application takes what it is to send.
begin;
select no_plan();
select test.job('o');
select test.mentors(1, 5);
select test.finish(test.run('o'));
set local role reveille_app;

select results_eq($$ select user_id, scenario_type collate "default", evaluation_date
                       from reveille.claim_notifications(2) $$,
                  $$ select test.person(i), 'inactivity', current_date from (values (1),
                  (2)) x(i) $$,
                  'notifications are taken in order, with what the application needs');
create temp table taken as select id from reveille.claim_notifications(10);
select is(count(*), 3::bigint, 'what one took no other gets') from taken;
select is_empty('select * from reveille.claim_notifications(10)', 'until its lease ends');
select is(reveille.mark_sent(array(select id from taken)), 3, 'sent ones are reported');
select is(reveille.mark_sent(array(select id from taken)), 0, 'and count once');
reset role;
select is((select count(*) from reveille.outbox), 2::bigint, 'what is sent has left the outbox');
update reveille.outbox set claimed_until = clock_timestamp() - interval '1 ms';
select is((select count(*) from reveille.claim_notifications(10)), 2::bigint,
          'what was never reported comes again');
update reveille.outbox set claimed_until = null;
select is(reveille.mark_sent(array(select id from reveille.outbox)), 0,
          'what nobody has taken cannot be reported as sent');
select is((select count(*) from reveille.notification), 5::bigint, 'the notifications stay');

select * from finish();
rollback;
