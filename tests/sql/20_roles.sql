-- Each role against the whole catalogue: on what it has any right, what it owns, whose power it
-- could take. Which right on which table or function, 15_rights.sql says; here nothing may turn up
-- that is not listed: a grant on anything else, of any kind, in any schema, fails.
begin;
select no_plan();

create temp table ours as
    select oid, rolname::text collate "default" as name from pg_roles
     where rolname in ('reveille_owner', 'reveille_producer', 'reveille_worker', 'reveille_reader',
                       'reveille_app', 'reveille_invoker', 'cron_runner');

-- What the catalogue notes of a role: 'a' has rights on it, 'o' owns it. What lies in no schema
-- (a schema itself, a database, a setting) is named.
create temp table noted as
    select distinct r.name as role, d.deptype::text, i.type,
           coalesce(i.schema, i.identity) collate "default" as place
      from ours r
      join pg_shdepend d on d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
       and d.dbid in (0, (select oid from pg_database where datname = current_database()))
     cross join lateral pg_identify_object(d.classid, d.objid, d.objsubid) i;

create temp table allowed(role text, place text, types text[]);
insert into allowed values
    ('reveille_producer', 'reveille', '{schema,table,view,function}'),
    ('reveille_producer', 'reveille_cron', '{schema,function}'),
    ('reveille_worker', 'reveille', '{schema,table,function}'),
    ('reveille_reader', 'reveille', '{schema,table,view,function}'),
    ('reveille_reader', 'reveille_cron', '{schema,function}'),
    ('reveille_app', 'reveille', '{schema,function}'),
    ('reveille_invoker', 'reveille', '{schema,table,"table column",function}'),
    ('reveille_invoker', 'reveille_cron', '{schema}'),
    ('cron_runner', 'reveille', '{schema,"table column"}'),
    ('cron_runner', 'reveille_cron', '{schema,function}'),
    ('reveille_owner', 'reveille', '{schema,function}');     -- EXECUTE on what the migrator owns
select is_empty(
    format($$ select n.type, n.place from noted n
               where n.role = %L and n.deptype = 'a' and not exists (
                   select from allowed a
                    where a.role = n.role and a.place = n.place
                      and n.type = any(a.types)) $$, name),
    format('R-T6: %s has rights on what is listed, and on nothing else anywhere', name))
  from ours;
select is_empty(
    $$ select role, type, place from noted
        where deptype = 'o' and not (role = 'reveille_owner' and place = 'reveille')
          and not (role = 'reveille_owner' and type = 'default acl')
          and not (role in ('reveille_owner', 'reveille_invoker') and place = 'reveille_cron') $$,
    'R-T6: ours is owned by reveille_owner, or reveille_invoker, which nobody logs in as');
select is_empty(
    $$ select member::regrole, roleid::regrole from pg_auth_members
        where member in (select oid from ours) $$,
    'R-T6: none of the roles has the power of another role');

-- ---- schemas: to look into, never to create in
select is_empty(
    $$ select r.name, n.nspname from ours r, pg_namespace n
        where has_schema_privilege(r.oid, n.oid, 'create') and n.nspname !~ '^pg_'
          and n.nspowner <> r.oid and not has_schema_privilege('public', n.oid, 'create')
          and not (r.name = 'reveille_owner' and n.nspname = 'reveille') $$,
    'R-T6: no role creates in a schema');
select is_empty(
    $$ select n.nspname from pg_namespace n
        where n.nspname like 'reveille%' and n.nspacl::text ~ '[{,]=' $$,
    'R-T6: our schemas are closed to the public');

-- ---- sequences, and rights that could be handed on
select is_empty(
    $$ select r.name, c.relname from ours r, pg_class c
        where c.relkind = 'S' and c.relpersistence <> 't' and r.name <> 'reveille_owner'
          and has_sequence_privilege(r.oid, c.oid, 'usage, select, update') $$,
    'R-T6: no role needs a sequence: identity columns bring their own');
select is_empty(
    $$ select x.grantee::regrole, x.privilege_type
         from (select relacl as acl, relowner as owner from pg_class
               union all select proacl, proowner from pg_proc
               union all select nspacl, nspowner from pg_namespace
               union all select attacl, null from pg_attribute) o
        cross join lateral aclexplode(o.acl) x
        where x.is_grantable and x.grantee in (select oid from ours)
          and x.grantee is distinct from o.owner $$,
    'R-T6: no role may hand a right on');

-- ---- what the migrating role makes later is closed from the moment of its creation
set local role reveille_owner;
create function reveille.made_later() returns int language sql as 'select 1';
reset role;
select is_empty(
    $$ select name from ours where name <> 'reveille_owner'
          and has_function_privilege(oid, 'reveille.made_later()', 'execute') $$,
    'R-T6: a new function is nobody''s until it is granted');

select * from finish();
rollback;
