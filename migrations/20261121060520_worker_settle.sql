-- Settling: a slice's outcome, all of it, in one transaction. The slice is locked while it is
-- pending; the run's row is not touched. Whoever settles first wins, whoever holds the claim.
--
-- Positions are those of claim_slice's subject_ids, 1-based; the arrays are explained in the file
-- before. What a caller does with an error:
--   23505                a settle beside us was first: roll back, again with p_careful
--   another 22, 23, 54,  data that the database or a judge refuses: roll back, again with p_each
--   21, P0
--   0A, 2F, 38, 39,      a judge is not there, or not allowed: roll back, again a few times (it may
--   3F, 42               be put back), then with p_each
--   40P01 40001 55P03    roll back, again, up to five times with jitter

set role reveille_owner;

-- Everything about one or several slices that the caller has locked as pending. p_ids, p_nos: their
-- subjects, one slice after the other, and the slice of each. e_pos, e_class, e_msg: subjects that
-- are errors. Returns a row a slice: its numbers, and its errors, all of them, beside each other.
-- RV422: a result for a position outside the slices, or for a skipped one.
create or replace function reveille.write_outcome(
    p_run uuid, p_worker text, p_slices int[], p_ids uuid[], p_nos int[], p_skipped int[],
    p_pos int[], p_user uuid[], p_scen text[], p_act text[], p_about uuid[], p_payload text[],
    e_pos int[], e_class text[], e_msg text[], p_each boolean default false,
    p_careful boolean default false)
returns table(slice_no int, evaluated int, skipped int, errors int, dispatched int,
              suppressed int, error_ids uuid[], error_classes text[], error_texts text[])
language plpgsql as $$
#variable_conflict use_column
declare
    f record;       -- frozen in the run
    x record;
    bad int[] := e_pos;
    won int[] := '{}';
    dup int[] := '{}';
begin
    perform set_config('synchronous_commit', 'on', true);    -- the offset is stored behind this
    select * into strict f from reveille.frozen_in(p_run);
    if exists (select from unnest(p_pos || e_pos || p_skipped) p
                where (p between 1 and cardinality(p_ids)) is not true)
       or p_skipped <> '{}' and exists (
            select from unnest(p_pos || e_pos) p join unnest(p_skipped) s on s = p)
       or cardinality(e_class) <> cardinality(e_pos)
       or cardinality(e_msg) <> cardinality(e_pos) then
        raise 'a result for a subject that is not in the slice, or was skipped'
            using errcode = 'RV422';
    end if;
    select * into x from reveille.unusable(f.ks, f.kp, bad, p_pos, p_user, p_scen, p_act, p_about,
                                           p_payload);
    bad := bad || x.bad;
    e_msg := e_msg || x.messages;
    e_class := e_class || array_fill('evaluation_logic_error'::text, array[cardinality(x.bad)]);

    if not f.shadow and p_pos <> '{}' then
        if not p_each then
            won := reveille.put_notifications(p_run, f.ev, f.di, f.ks, f.kd, f.kp, p_nos, bad,
                p_pos, p_user, p_scen, p_act, p_about, p_payload, p_careful);
        else
            select * into x from reveille.put_each(p_run, f.ev, f.di, f.ks, f.kd, f.kp, p_nos, bad,
                p_pos, p_user, p_scen, p_act, p_about, p_payload);
            won := x.won;
            bad := bad || x.bad;
            e_msg := e_msg || x.messages;
            e_class := e_class || array_fill('database_error'::text, array[cardinality(x.bad)]);
        end if;
        if cardinality(won) < cardinality(p_pos) then
            dup := reveille.duplicates(f.ev, f.ks, f.kp, won, p_user, p_scen, p_act, p_about);
        end if;
    end if;
    if bad <> '{}' then
        select array_agg(b.pos), array_agg(b.class), array_agg(left(b.msg, 500))
          into bad, e_class, e_msg      -- each subject once, with the first that was found
          from (select distinct on (pos) * from unnest(bad, e_class, e_msg)
                       with ordinality x(pos, class, msg, o) order by pos, o) b;
        insert into reveille.subject_error(run_id, subject_id, slice_no, error_class,
                                           error_message, attempt)
        select p_run, p_ids[b.pos], s.slice_no, b.class, b.msg, s.attempt
          from unnest(bad, e_class, e_msg) b(pos, class, msg)
          join reveille.slice s on s.run_id = p_run and s.slice_no = p_nos[b.pos]
        on conflict do nothing;
    end if;
    return query
        select n.*, coalesce(e.ids, '{}'), coalesce(e.classes, '{}'), coalesce(e.texts, '{}')
          from reveille.write_numbers(p_run, p_worker, f.shadow, f.ks, p_slices, p_ids, p_nos,
                                      p_skipped, bad, won, dup, p_pos, p_scen, p_act) n
          left join (
            select p_nos[b.pos] as no, array_agg(p_ids[b.pos]) as ids,
                   array_agg(b.class) as classes, array_agg(b.msg) as texts
              from unnest(bad, e_class, e_msg) b(pos, class, msg)
             group by 1) e on e.no = n.slice_no;
end $$;

-- A slice that too many workers did not survive: every subject an error. For claim_slice.
create or replace function reveille.settle_as_lost(p_slice reveille.slice, p_worker text)
returns void language plpgsql as $$
declare
    n constant int := cardinality(p_slice.subject_ids);
begin
    perform reveille.write_outcome(p_slice.run_id, p_worker, array[p_slice.slice_no],
        p_slice.subject_ids, array_fill(p_slice.slice_no, array[n]), p_skipped => '{}',
        p_pos => '{}', p_user => '{}', p_scen => '{}', p_act => '{}', p_about => '{}',
        p_payload => '{}', e_pos => array(select generate_series(1, n)),
        e_class => array_fill('worker_lost'::text, array[n]),
        e_msg => array_fill('no worker finished it'::text, array[n]));
end $$;

-- Settles one slice; any worker. Positions of subjects: p_skipped, p_pos (one a decision), e_pos
-- (one an error); a position in none of them was evaluated and is due nothing. p_act: dispatch,
-- dispatched, suppress. p_payload: JSON text. Returns the slice's numbers and its errors, those
-- that the caller told of included, for their log lines. No row: it was not pending (somebody
-- settled it, or its run was ended): roll back, store the offset.
create or replace function reveille.settle_slice(
    p_run uuid, p_slice int, p_worker text, p_skipped int[], p_pos int[], p_user uuid[],
    p_scen text[], p_act text[], p_about uuid[], p_payload text[], e_pos int[] default '{}',
    e_class text[] default '{}', e_msg text[] default '{}', p_each boolean default false,
    p_careful boolean default false)
returns table(evaluated int, skipped int, errors int, dispatched int, suppressed int,
              error_ids uuid[], error_classes text[], error_texts text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
declare
    ids uuid[];
begin
    select s.subject_ids into ids from reveille.slice s
     where s.run_id = p_run and s.slice_no = p_slice and s.state = 'pending'
       for no key update;
    if not found then
        return;
    end if;
    return query
        select w.evaluated, w.skipped, w.errors, w.dispatched, w.suppressed, w.error_ids,
               w.error_classes, w.error_texts
          from reveille.write_outcome(p_run, p_worker, array[p_slice], ids,
               array_fill(p_slice, array[cardinality(ids)]), p_skipped, p_pos, p_user, p_scen,
               p_act, p_about, p_payload, e_pos, e_class, e_msg, p_each, p_careful) w;
end $$;

-- The statement that asks a judge. Parameters: $1 positions among the subjects $4, $2 date, $3 the
-- scenarios. 42883: there is no such function.
create or replace function reveille.judge_text(p_judge text) returns text
language sql stable as $$
    select format($q$
        select coalesce(array_agg(x.p), '{}') as pos, coalesce(array_agg(v.user_id), '{}') as users,
               coalesce(array_agg(v.scenario_type), '{}') as scen,
               coalesce(array_agg(v.about_id), '{}') as about,
               coalesce(array_agg(v.payload::text), '{}') as payload
          from %s(array(select ($4)[p] from unnest($1) p), $2, $3) v
          join unnest($1, array(select ($4)[p] from unnest($1) p)) x(p, i) on x.i = v.subject_id
        $q$, p_judge::regproc)
$$;

-- Asks a judge (the sql engine's function) about the subjects at p_ok among p_ids. With p_each one
-- by one, each under a savepoint: bad are the positions that it could not judge, with the SQLSTATE;
-- also all of them, when it is not there, or not allowed.
create or replace function reveille.ask_judge(
    p_judge text, p_ids uuid[], p_ok int[], p_on date, p_params jsonb, p_each boolean,
    out pos int[], out users uuid[], out scen text[], out about uuid[], out payload text[],
    out bad int[], out messages text[])
language plpgsql as $$
declare
    subject int;
    a record;
begin
    bad := '{}';
    messages := '{}';
    if not p_each then
        execute reveille.judge_text(p_judge) into pos, users, scen, about, payload
            using p_ok, p_on, p_params, p_ids;
        return;
    end if;
    pos := '{}';
    users := '{}';
    scen := '{}';
    about := '{}';
    payload := '{}';
    foreach subject in array p_ok loop
        begin
            execute reveille.judge_text(p_judge) into a
                using array[subject], p_on, p_params, p_ids;
            pos := pos || a.pos;
            users := users || a.users;
            scen := scen || a.scen;
            about := about || a.about;
            payload := payload || a.payload;
        exception when data_exception or integrity_constraint_violation
                    or program_limit_exceeded or cardinality_violation or plpgsql_error
                    or feature_not_supported or sql_routine_exception
                    or external_routine_exception or external_routine_invocation_exception
                    or invalid_schema_name or syntax_error_or_access_rule_violation then
            bad := bad || subject;
            messages := messages || sqlstate;
        end;
    end loop;
end $$;

-- The sql engine: claim, judge and settle of one or several slices of one run, in one statement;
-- any worker. Returns a row for each slice that it settled, as settle_slice does: not those that
-- are settled already, or that somebody else lives on. After a lost connection call claim_slice
-- first, so that the attempt is counted: a backend that dies in here takes its count with it.
create or replace function reveille.judge_slices(
    p_run uuid, p_slices int[], p_worker text, p_each boolean default false,
    p_stale interval default '10 s', p_careful boolean default false)
returns table(slice_no int, evaluated int, skipped int, errors int, dispatched int,
              suppressed int, error_ids uuid[], error_classes text[], error_texts text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off
as $$
#variable_conflict use_column
declare
    r reveille.run;
    j reveille.job;
    a record;
    mine int[];
    ids uuid[];
    nos int[];
    ok int[];       -- positions of those that are still eligible
begin
    select array_agg(x.slice_no) into mine
      from (select s.slice_no from reveille.slice s
             where s.run_id = p_run and s.slice_no = any(p_slices) and s.state = 'pending'
               and (s.claimed_by is null or s.claimed_by = p_worker
                    or s.moved_at < clock_timestamp() - p_stale)
             order by s.slice_no
               for no key update) x;
    if mine is null then
        return;
    end if;
    select x.* into strict r from reveille.run x where x.run_id = p_run;
    select x.* into strict j from reveille.job x where x.job_name = r.job_name;
    select array_agg(i order by s.slice_no, o), array_agg(s.slice_no order by s.slice_no, o)
      into ids, nos
      from reveille.slice s, unnest(s.subject_ids) with ordinality x(i, o)
     where s.run_id = p_run and s.slice_no = any(mine);
    execute format('select coalesce(array_agg(x.o::int), ''{}'')'
                   '  from unnest($1) with ordinality x(i, o)'
                   '  join %s($1) l on l.subject_id = x.i where l.eligible', j.lookup::regproc)
        into ok using ids;
    select * into a from reveille.ask_judge(j.judge, ids, ok, r.evaluation_date, r.scenarios,
                                            p_each);
    update reveille.slice s set attempt = s.attempt + 1
     where s.run_id = p_run and s.slice_no = any(mine) and s.claimed_by is distinct from p_worker;
    return query
        select * from reveille.write_outcome(p_run, p_worker, mine, ids, nos,
            array(select generate_series(1, cardinality(ids)) except select unnest(ok)),
            a.pos, a.users, a.scen, array_fill('dispatch'::text, array[cardinality(a.pos)]),
            a.about, a.payload, a.bad,
            array_fill('database_error'::text, array[cardinality(a.bad)]), a.messages, p_each,
            p_careful);
end $$;

grant execute on function
    reveille.settle_slice(uuid, int, text, int[], int[], uuid[], text[], text[], uuid[], text[],
                          int[], text[], text[], boolean, boolean),
    reveille.judge_slices(uuid, int[], text, boolean, interval, boolean)
    to reveille_worker;

reset role;
