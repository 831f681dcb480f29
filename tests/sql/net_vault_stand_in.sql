-- What Supabase has and Debian has not: pg_net and Vault, as far as the doorbell sees them, with
-- the same schemas, tables, columns and signatures (pg_net 0.20, Vault 0.3). Not pg_net: nobody
-- takes requests from the queue, a test plays the worker. Not Vault: what it keeps is only written
-- backwards. As superuser, in the transaction or the database of a test.

create schema net;
create unlogged table net.http_request_queue(
    id                   bigserial,
    method               text not null,
    url                  text not null,
    headers              jsonb not null default '{}',
    body                 bytea,
    timeout_milliseconds int not null
);
create unlogged table net._http_response(
    id           bigint,
    status_code  integer,
    content_type text,
    headers      jsonb,
    content      text,
    timed_out    bool,
    error_msg    text,
    created      timestamptz not null default now()
);
create function net.http_post(
    url text, body jsonb default '{}', params jsonb default '{}',
    headers jsonb default '{"Content-Type": "application/json"}',
    timeout_milliseconds int default 5000)
returns bigint language sql volatile as $$
    insert into net.http_request_queue(method, url, headers, body, timeout_milliseconds)
        values ('POST', url, headers, convert_to(body::text, 'UTF8'), timeout_milliseconds)
        returning id
$$;

-- As pg_net comes, and on Supabase stays: everybody may do everything.
grant usage on schema net to public;
grant all on all tables in schema net to public;
grant all on all sequences in schema net to public;

create schema vault;
create table vault.secrets(
    id          uuid primary key default gen_random_uuid(),
    name        text unique,
    description text not null default '',
    secret      text not null,
    key_id      uuid,
    nonce       bytea,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);
create function vault._crypto_aead_det_decrypt(
    message bytea, additional bytea, key_id bigint, context bytea default '\x7067736f6469756d',
    nonce bytea default null)
returns bytea language sql immutable as $$
    select convert_to(reverse(convert_from(message, 'UTF8')), 'UTF8')
$$;
revoke all on function vault._crypto_aead_det_decrypt(bytea, bytea, bigint, bytea, bytea) from public;
create view vault.decrypted_secrets as
    select s.id, s.name, s.description, s.secret,
           convert_from(vault._crypto_aead_det_decrypt(convert_to(s.secret, 'UTF8'), '', 0), 'UTF8')
               as decrypted_secret,
           s.key_id, s.nonce, s.created_at, s.updated_at
      from vault.secrets s;
create function vault.create_secret(
    new_secret text, new_name text default null, new_description text default '',
    new_key_id uuid default null)
returns uuid language sql as $$
    insert into vault.secrets(secret, name, description)
        values (reverse(new_secret), new_name, new_description) returning id
$$;
create function vault.update_secret(
    secret_id uuid, new_secret text default null, new_name text default null,
    new_description text default null, new_key_id uuid default null)
returns void language sql as $$
    update vault.secrets
       set secret = coalesce(reverse(new_secret), secret), name = coalesce(new_name, name),
           description = coalesce(new_description, description), updated_at = now()
     where id = secret_id
$$;
