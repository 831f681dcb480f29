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

-- ---- certifications and assignments, along their primary keys
insert into certifications(id, peer_mentor_id, expires_on)
    select md5('certification ' || i)::uuid, test.mentor(i),
           current_date - 100 + (i * 7919) % 500
      from generate_series(1, 100000) i;
analyze certifications;
do $$
declare
    f text;
begin
    foreach f in array '{certifications,assignments}'::text[] loop
        execute format('prepare %s(uuid, int, date) as ', f) || replace(replace(replace(
            (select prosrc from pg_proc where oid = format('reveille.source_%s', f)::regproc),
            'p_cursor', '$1'), 'limit n', 'limit $2'), '>= on_date', '>= $3');
    end loop;
end $$;
create function pg_temp.explain(p_source text, p_share float) returns jsonb
language plpgsql as $$
declare
    j jsonb;
    v_cursor uuid;
begin
    execute format('select id from public.%I order by id offset %s limit 1', p_source,
                   (100000 * p_share)::int) into v_cursor;
    execute format('explain (analyze, buffers, timing off, format json)'
                   ' execute %s(%L, 100, current_date)', p_source, v_cursor) into j;
    return j -> 0 -> 'Plan';
end $$;
create temp table walk as
    select source, share, pg_temp.explain(source, share) as p
      from unnest('{certifications,assignments}'::text[]) source,
           unnest('{0,0.5,0.98}'::float[]) share;
select unalike(p::text, '%Seq Scan%', format('R-E7: %s, from %s on, without a sequential scan',
                                             source, share)) from walk;
select unalike(p::text, '%"Sort"%', format('R-E7: %s, from %s on, without a sort', source, share))
  from walk;
select alike(p::text, format('%%%s_pkey%%', source),
             format('R-E7: %s, from %s on, along their primary key', source, share)) from walk;
select cmp_ok(pg_temp.buffers(p), '<=', 2000,
              format('R-E7: %s, from %s on, cost a page''s buffers, not the table''s', source,
                     share))
  from walk;
select cmp_ok(pg_temp.buffers(a.p), '<=', 2 * pg_temp.buffers(b.p),
              format('R-E7: a page of %s in the middle costs no more than the first', a.source))
  from walk a join walk b using (source) where a.share = 0.5 and b.share = 0;
select is((p ->> 'Actual Rows')::numeric, 100.0,
          format('R-E7: %s, from %s on, is a full page', source, share)) from walk;

-- ---- and the whole walk
select test.job('walk');
select test.run('walk', 1000) as run \gset
select results_eq(format('select planned, slices from reveille.run where run_id = %L', :'run'),
                  'values (60000, 60)', 'R-P2: the walk plans each of them');
select test.run('certification_expiry_check', 1000) as run \gset
select is(planned, (select count(*)::int from certifications c join peer_mentors m
                        on m.id = c.peer_mentor_id and m.status = 'active'
                      join assignments a on a.peer_mentor_id = m.id and a.status = 'active'
                     where c.expires_on >= current_date),
          'R-E7: and each certification of an eligible mentor')
  from reveille.run where run_id = :'run';
select test.run('reminder_eval', 1000) as run \gset
select is(planned, 60000, 'R-E8: and each active assignment of an active mentor')
  from reveille.run where run_id = :'run';

select * from finish();
rollback;
