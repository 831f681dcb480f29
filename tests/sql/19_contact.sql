-- E8: last_contact_date follows every path that registers, changes or removes activity, and an
-- operator's correction is kept.
begin;
select no_plan();
select test.mentors(1, 9);
create function pg_temp.contact(i int) returns date language sql as $$
    select last_contact_date from assignments where id = test.mentor(i)
$$;
create function pg_temp.counts(i int) returns date language sql as $$
    select reveille.last_contact(test.mentor(i), pg_temp.contact(i))
$$;

-- ---- registered
insert into activities(user_id, assignment_id, activity_date)
    values (test.person(1), test.mentor(1), '2026-03-01');
select is(pg_temp.contact(1), date '2026-03-01', 'R-E8: an activity moves the last contact');
insert into activities(user_id, assignment_id, activity_date) values
    (test.person(1), test.mentor(1), '2026-02-02'), (test.person(2), test.mentor(2), '2026-02-03'),
    (test.person(2), test.mentor(2), '2026-02-01');
select is(array[pg_temp.contact(1), pg_temp.contact(2)], '{2026-03-01,2026-02-03}'::date[],
    'R-E8: several rows do, forward and never back');
insert into activities(user_id, assignment_id, activity_date, path)
    select test.person(i), test.mentor(i), date '2026-02-01' + i, 'bulk'
      from generate_series(1, 3) i;
select is(array(select pg_temp.contact(i) from generate_series(1, 3) i),
    '{2026-03-01,2026-02-03,2026-02-04}'::date[], 'R-E8: in bulk, too');
copy activities(user_id, assignment_id, activity_date, path) from stdin;
00000004-0000-4000-8000-00000000ffff	00000004-0000-4000-8000-000000000000	2026-03-04	proxy
00000004-0000-4000-8000-00000000ffff	\N	2026-03-09	direct
\.
select is(pg_temp.contact(4), date '2026-03-04',
    'R-E8: by COPY, too; an activity of no assignment moves none');
merge into activities a using (values (test.mentor(4), date '2026-03-05'),
                                      (test.mentor(5), date '2026-03-06')) s(id, day)
   on a.assignment_id = s.id
 when matched then update set activity_date = s.day
 when not matched then insert (user_id, assignment_id, activity_date) values (s.id, s.id, s.day);
select is(array[pg_temp.contact(4), pg_temp.contact(5)], '{2026-03-05,2026-03-06}'::date[],
    'R-E8: by MERGE, what it inserts and what it updates');
set local session_replication_role = replica;
insert into activities(user_id, assignment_id, activity_date)
    values (test.person(6), test.mentor(6), '2026-03-07');
update activities set activity_date = '2026-03-08' where assignment_id = test.mentor(5);
delete from activities where assignment_id = test.mentor(4);
set local session_replication_role = origin;
select is(array(select pg_temp.contact(i) from generate_series(4, 6) i),
    '{null,2026-03-08,2026-03-07}'::date[], 'R-E8: in a session that replicates, too');

-- ---- changed and removed
update activities set activity_date = '2026-01-20'
 where assignment_id = test.mentor(1) and activity_date = '2026-03-01';
select is(pg_temp.contact(1), date '2026-02-02',
    'R-E8: where the newest activity is dated back, the next newest counts');
delete from activities where assignment_id = test.mentor(1) and path = 'bulk';
select is(pg_temp.contact(1), date '2026-02-02', 'R-E8: as long as one of that day is there');
delete from activities where assignment_id = test.mentor(1) and activity_date < '2026-02-01';
select is(pg_temp.contact(1), date '2026-02-02', 'R-E8: an older one removed changes nothing');
update activities set assignment_id = test.mentor(7) where assignment_id = test.mentor(3);
select is(array[pg_temp.contact(3), pg_temp.contact(7)], '{null,2026-02-04}'::date[],
    'R-E8: one that moves to another assignment leaves the first without contact');
update assignments set last_contact_date = '2026-06-01' where id = test.mentor(2);
delete from activities where assignment_id = test.mentor(2);
select is(pg_temp.contact(2), date '2026-06-01',
    'R-E8: a date that came from elsewhere stays whatever is removed');
insert into activities(user_id, assignment_id, activity_date)
    select test.person(i), test.mentor(i), date '2026-07-01' + n
      from generate_series(8, 9) i, generate_series(1, 3) n;
delete from activities where assignment_id in (test.mentor(8), test.mentor(9))
   and activity_date > '2026-07-02';
select is(array[pg_temp.contact(8), pg_temp.contact(9)], '{2026-07-02,2026-07-02}'::date[],
    'R-E8: several at once are counted again together');

-- ---- by an application that may register activity and may not touch assignments
create role app_user;
grant select, insert, update, delete on activities to app_user;
create policy app on activities to app_user using (true) with check (true);
set local role app_user;
insert into activities(user_id, assignment_id, activity_date)
    select test.person(3), test.mentor(3), d from unnest('{2026-04-01,2026-04-02}'::date[]) d;
update activities set activity_date = '2026-04-05'
 where assignment_id = test.mentor(3) and activity_date = '2026-04-02';
reset role;
select is(pg_temp.contact(3), date '2026-04-05',
    'R-E8: whoever may register activity, but not touch assignments, moves the date all the same');
set local role app_user;
delete from activities where activity_date = '2026-04-05';
reset role;
select is(pg_temp.contact(3), date '2026-04-01', 'R-E8: and takes it back');

-- ---- corrected
select ok(not reveille.set_contact(gen_random_uuid(), '2026-01-01', 'anna'),
    'R-E8: no such assignment');
select ok(reveille.set_contact(test.mentor(3), (now() at time zone 'UTC')::date + 2, 'anna') is null
    and not exists(select from reveille.contact_override),
    'R-E8: a day that is still to come is refused, whoever asks');
select ok(reveille.set_contact(test.mentor(3), '2026-01-15', 'anna'),
    'R-E8: a correction is taken');
select is(pg_temp.counts(3), date '2026-01-15', 'R-E8: and counts');
select results_eq(
    $$ select actor, object, detail ->> 'last_contact_date' from reveille.audit
        where action = 'set_contact' $$,
    $$ select 'anna', test.mentor(3)::text, '2026-01-15' $$, 'R-E8: and is in the audit, once');
select is(pg_temp.contact(3), date '2026-04-01', 'R-E8: beside the host''s date, which stays');
select is(pg_temp.counts(7), date '2026-02-04', 'R-E8: for that assignment alone');
insert into activities(user_id, assignment_id, activity_date)
    values (test.person(3), test.mentor(3), '2026-02-01');
select is(pg_temp.counts(3), date '2026-01-15', 'R-E8: it is kept through an older activity');
insert into activities(user_id, assignment_id, activity_date)
    values (test.person(3), test.mentor(3), '2026-05-01');
select is(pg_temp.counts(3), date '2026-05-01', 'R-E8: until a later activity moves the date on');
delete from activities where assignment_id = test.mentor(3) and activity_date = '2026-05-01';
select is(array[pg_temp.contact(3), pg_temp.counts(3)], '{2026-04-01,2026-01-15}'::date[],
    'R-E8: and counts again when that activity was none');
delete from activities where assignment_id = test.mentor(3) and activity_date = '2026-04-01';
select is(array[pg_temp.contact(3), pg_temp.counts(3)], '{2026-02-01,2026-01-15}'::date[],
    'R-E8: it is kept when the activity that it corrects is removed');
insert into activities(user_id, assignment_id, activity_date)
    values (test.person(3), test.mentor(3), '2026-02-10');
select is(pg_temp.counts(3), date '2026-02-10', 'R-E8: and the next activity counts');
delete from activities where assignment_id = test.mentor(3);
select is(array[pg_temp.contact(3), pg_temp.counts(3)], '{null,2026-01-15}'::date[],
    'R-E8: it is kept where no activity is left');
insert into activities(user_id, assignment_id, activity_date)
    values (test.person(3), test.mentor(3), '2026-01-10');
select is(pg_temp.counts(3), date '2026-01-15', 'R-E8: an older activity does not end it');

select reveille.set_contact(test.mentor(5), '2026-08-08', 'anna');
insert into activities(user_id, assignment_id, activity_date)
    values (test.person(5), test.mentor(5), '2026-08-01');
select is(pg_temp.counts(5), date '2026-08-08',
    'R-E8: a correction to a later day is kept until an activity is later still');
select reveille.set_contact(test.mentor(5), '2026-07-07', 'berit');
select is(pg_temp.counts(5), date '2026-07-07', 'R-E8: the last correction counts');

select * from finish();
rollback;
