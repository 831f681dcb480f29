-- P2 at 100,000 mentors: how the page query is run. Buffers are what tells: a plan without any
-- sequential scan can still read an index from its beginning for each page.
begin;
select no_plan();
select test.mentors(i * 20 + 1, i * 20 + 12) from generate_series(0, 4999) i;
select test.mentors(i * 20 + 13, i * 20 + 15, 'paused') from generate_series(0, 4999) i;
select test.mentors(i * 20 + 16, i * 20 + 20, 'active', 'completed') from generate_series(0,
    4999) i;
analyze peer_mentors;
analyze assignments;
select is((select count(*) from peer_mentors), 100000::bigint, 'R-P2: there are 100,000 mentors');

-- The body of the source, as a prepared statement with the plan that a function always gets.
set local plan_cache_mode = force_generic_plan;
do $$
begin
    execute 'prepare page(uuid, int) as ' || replace(replace(
        (select prosrc from pg_proc where oid = 'reveille.source_mentors'::regproc),
        'p_cursor', '$1'), 'limit n', 'limit $2');
end $$;
create function pg_temp.explain(p_cursor text) returns jsonb language plpgsql as $$
declare
    j jsonb;
begin
    execute format('explain (analyze, buffers, timing off, format json) execute page(%s, 100)',
    p_cursor)
        into j;
    return j -> 0 -> 'Plan';
end $$;
create function pg_temp.buffers(p jsonb) returns int language sql as $$
    select (p ->> 'Shared Hit Blocks')::int + (p ->> 'Shared Read Blocks')::int
$$;
create temp table plan as
    select 'the first page' as page, pg_temp.explain('null') as p
    union all select 'a page in the middle', pg_temp.explain(quote_literal(test.mentor(50000)))
    union all select 'the last page', pg_temp.explain(quote_literal(test.mentor(99900)));

select unalike(p::text, '%Seq Scan%', format('R-P2: %s is read without a sequential scan', page))
    from plan;
select unalike(p::text, '%"Sort"%', format('R-P2: %s is read without a sort', page)) from plan;
select alike(p::text, '%reveille_mentors_active%',
    format('R-P2: %s along the index on the mentors'' ids', page))
  from plan;
select alike(p::text, '%reveille_assignments_active%',
    format('R-P2: %s and the one on their assignments', page))
  from plan;
select cmp_ok(pg_temp.buffers(p), '<=', 1200,
    format('R-P2: %s costs a page''s buffers, not the table''s', page))
  from plan;
select cmp_ok(pg_temp.buffers(a.p), '<=', 2 * pg_temp.buffers(b.p),
              'R-P2: a page in the middle costs no more than the first')
  from plan a, plan b where a.page = 'a page in the middle' and b.page = 'the first page';
select is((p ->> 'Actual Rows')::numeric::int, case page when 'the last page' then 60 else 100 end,
          format('R-P2: %s has its mentors', page)) from plan;

-- ---- and the whole walk
select test.job('walk');
select test.run('walk', 1000) as run \gset
select results_eq(format('select planned, slices from reveille.run where run_id = %L', :'run'),
                  'values (60000, 60)', 'R-P2: the walk plans each of them');

select * from finish();
rollback;
