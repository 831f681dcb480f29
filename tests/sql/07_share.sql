-- ask_share: the engine's limit, lent to the workers, moved by what they report.
-- Time passes by moving the rows back.
begin;
select no_plan();

-- One ask of worker p_w for p_want: what it got.
create sequence pg_temp.seq;
create function pg_temp.ask(p_w text, p_want int, p_report jsonb default '{}') returns int
language sql as $$
    select granted from reveille.ask_share('http', p_w, p_want,
        p_report || jsonb_build_object('seq', nextval('pg_temp.seq')))
$$;
-- Seconds go by.
create function pg_temp.pass(p_s numeric) returns void language sql as $$
    update reveille.engine set moved_at = moved_at - p_s * interval '1 s',
           halved_at = halved_at - p_s * interval '1 s',
           paused_until = paused_until - p_s * interval '1 s',
           last_success_at = last_success_at - p_s * interval '1 s' where engine = 'http';
    update reveille.engine_share set until = until - p_s * interval '1 s',
           starved_since = starved_since - p_s * interval '1 s' where engine = 'http';
$$;
create function pg_temp.lent() returns int language sql as $$
    select coalesce(sum(granted), 0)::int from reveille.engine_share
     where engine = 'http' and until > clock_timestamp()
$$;

-- ---- fair, and never more than the limit
select is(pg_temp.ask('a', 100), 10, 'R-E1: a worker alone gets all ten');
select is(pg_temp.ask('b', 100), 0, 'R-E1: the second gets nothing that is lent');
select is(pg_temp.ask('a', 100), 5, 'R-E1: the first is asked to give half up');
select is(pg_temp.ask('b', 100), 5, 'R-E1: and the second gets it');
select is(pg_temp.ask('c', 2), 0, 'R-E1: a third finds everything lent');
select pg_temp.ask('a', 100), pg_temp.ask('b', 100);
select is(pg_temp.ask('c', 2), 2, 'R-E1: a small wish is granted whole');
select is(pg_temp.lent(), 10, 'R-E1: never more than the limit is lent');
select is(pg_temp.ask('c', 0), 0, 'an idle worker gives its share back');
select is(pg_temp.ask('a', 100, '{"busy": 4}'), 5, 'and the others have it again');
select is_empty($$ select * from reveille.ask_share('http', 'a', 100, '{"seq": 1}') $$,
                'an ask that arrives late gets no answer');
select throws_ok($$ select * from reveille.ask_share('nobody', 'a', 1) $$, 'RV404', null,
                 'an unknown engine is an error');
select results_eq($$ select lease_ms, probe, retry_ms, outage_ms
                       from reveille.ask_share('http', 'd', 3, '{"seq": 1}') $$,
                  $$ values (10000, false, 100, null::bigint) $$,
                  'who is short asks again in 100 ms');

-- ---- a worker that is silent
select pg_temp.pass(10.1);
select is(pg_temp.ask('b', 100), 10,
    'R-E1: the share of a dead worker is free when its lease ends');

-- ---- lowering while calls are in flight
select reveille.set_engine('http', 3);
select is(pg_temp.ask('b', 100, '{"busy": 9}'), 3, 'R-E1: a lowered limit holds at the next ask');
select is(granted, 9, 'R-E1: but calls in flight are counted until they end')
  from reveille.engine_share where worker = 'b';
select is(pg_temp.ask('a', 100), 0, 'R-E1: so nobody else is lent anything yet');
select pg_temp.ask('b', 100, '{"busy": 1}');
select cmp_ok(pg_temp.ask('a', 100), '<=', 2, 'R-E1: and then what is left');
select reveille.set_engine('http', 10);

-- ---- sickness
select pg_temp.pass(11);
select pg_temp.ask('a', 100);
select pg_temp.pass(1.1);
select pg_temp.ask('a', 100, '{"tries": "..s"}');
select is(current, 5, 'a 429 or 503 halves the limit') from reveille.engine where engine = 'http';
select pg_temp.ask('a', 100, '{"tries": "s"}');
select is(current, 5, 'at most once a second') from reveille.engine where engine = 'http';
select pg_temp.pass(2);
select pg_temp.ask('a', 100, '{"tries": ".."}');
select is(current, 7, 'it climbs by one a second while all is well')
  from reveille.engine where engine = 'http';
select pg_temp.ask('a', 100, '{"tries": "s"}');
select is(current, 3, 'a climb that was too much is taken back at once')
  from reveille.engine where engine = 'http';
select pg_temp.pass(3600);
select pg_temp.ask('a', 100, '{"tries": "..", "ok": 2}');
select is(current, 10, 'up to what is allowed, and no further') from reveille.engine
    where engine = 'http';
select pg_temp.ask('a', 100, '{"retry_after_ms": 2000}');
select is(pg_temp.ask('a', 100), 0, 'Retry-After pauses the engine');
update reveille.engine set paused_until = null;
select pg_temp.ask('a', 100, '{"retry_after_ms": 999999999}');
select cmp_ok(paused_until, '<=', clock_timestamp() + interval '5 min', 'for five minutes at most')
  from reveille.engine where engine = 'http';
update reveille.engine set paused_until = null, recent = '';

-- ---- an outage
select pg_temp.ask('a', 10, jsonb_build_object('tries', repeat('x', 15) || '.....'));
select is(closed_since, null, '15 failures of 20 do not close an engine')
  from reveille.engine where engine = 'http';
select pg_temp.ask('a', 10, jsonb_build_object('tries', repeat('x', 16)));
select isnt(closed_since, null, '16 do') from reveille.engine where engine = 'http';
select is(pg_temp.ask('a', 10), 0, 'closed: no call at first');
select pg_temp.pass(11);
select results_eq($$ select granted, probe, outage_ms > 10000
                       from reveille.ask_share('http', 'a', 10, '{"seq": 100000}') $$,
                  $$ values (1, true, true) $$,
                  'then one call, for the whole fleet, and since when it is down');
select is((select granted from reveille.ask_share('http', 'b', 10, '{"seq": 100000}')), 0,
          'for one worker');
select results_eq($$ select probes, paused_until - clock_timestamp() between '1 s' and '2 s'
                       from reveille.engine where engine = 'http' $$,
                  $$ values (1, true) $$, 'the next one two seconds later');
select pg_temp.pass(3);
select is((select granted from reveille.ask_share('http', 'b', 10, '{"seq": 100001}')), 0,
          'not while the first probe may be in flight');
select reveille.ask_share('http', 'a', 10, jsonb_build_object(
    'seq', 100001, 'tries', repeat('x', 16) || '.', 'ok', 1));
select results_eq($$ select closed_since, current, recent, probes from reveille.engine
                      where engine = 'http' $$,
                  $$ values (null::timestamptz, 1, '', 1) $$,
                  'one success opens it again, at one call, whatever failed before it');

-- ---- a crash of the server empties the unlogged table
update reveille.engine set current = 10 where engine = 'http';
delete from reveille.engine_share;
select is((select granted from reveille.ask_share('http', 'z', 10, '{"seq": 1}')), 0,
          'R-E1: after a crash of the server nothing is lent ...');
select pg_temp.pass(10.1);
select is((select granted from reveille.ask_share('http', 'z', 10, '{"seq": 2}')), 10,
          'R-E1: ... for one lease');

-- ---- dead letters
select ok(reveille.note_dead_letter('t', 0, 5, 'unreadable'), 'a dead letter is noted');
select ok(not reveille.note_dead_letter('t', 0, 5, 'unreadable'), 'once');
select reveille.note_dead_letter('t', 1, n, repeat('r', 300)) from generate_series(1, 1099) n;
select is(count(*), 1000::bigint, 'at most 1,000 an hour: the others are only counted')
  from reveille.dead_letter;
select is(max(length(reason)), 200, 'with a short reason') from reveille.dead_letter;

select * from finish();
rollback;
