-- The functions on the host's tables: eligibility and ownership.
begin;
select no_plan();
select test.mentors(1, 5), test.mentors(6, 6, 'paused'), test.mentors(7, 7, 'deactivated'),
       test.mentors(8, 8, 'active', null), test.mentors(9, 9, 'active', 'pending'),
       test.mentors(10, 10, 'active', 'completed');

-- ---- the source
create function pg_temp.page(p_cursor uuid, n int) returns text language sql as $$
    select string_agg(ltrim(left(subject_id::text, 8), '0'), ' ')
      from reveille.source_mentors(p_cursor, n, current_date)
$$;
select is(pg_temp.page(null, 100), '1 2 3 4 5',
    'R-P1: only active mentors with an active assignment');
select is(pg_temp.page(null, 2), '1 2', 'R-P2: as many as asked for, in the order of their ids');
select is(pg_temp.page(test.mentor(2), 100), '3 4 5', 'R-P2: those after the cursor');
select is(pg_temp.page(test.mentor(5), 100), null, 'R-P2: none after the last');
insert into peer_mentors(id, user_id, status)
    values ('00000000-0000-0000-0000-000000000000', test.person(99), 'active');
insert into assignments(peer_mentor_id, status) values ('00000000-0000-0000-0000-000000000000',
    'active');
select is((select count(*) from reveille.source_mentors(null, 100, current_date)), 6::bigint,
          'R-P2: the nil uuid is an id like any other ...');
select is(pg_temp.page('00000000-0000-0000-0000-000000000000', 100), '1 2 3 4 5',
          'R-P2: ... also as a cursor');

-- ---- lookup and ownership
select results_eq(
    $$ select subject_id, user_id, eligible
         from reveille.lookup_mentors(array(select test.mentor(i) from generate_series(5,
         11) i)) order by 1 $$,
    $$ select test.mentor(i), test.person(i), i = 5 from generate_series(5, 10) i $$,
    'R-P1: the lookup tells who is still eligible, and leaves out who is gone');
insert into certifications(id, peer_mentor_id, expires_on) values (test.mentor(50), test.mentor(1),
    '2026-12-31');
select results_eq(
    $$ select user_id, about_id from reveille.owned_by(array[test.person(1), test.person(2)],
              array[test.mentor(50), test.mentor(2), test.mentor(3)]) order by 2 $$,
    $$ values (test.person(2), test.mentor(2)), (test.person(1), test.mentor(50)) $$,
    'R-D1: certifications and assignments belong to whom they belong');

select * from finish();
rollback;
