-- What stands behind an account: sessions, second factors, one-time codes and links, and the limits on trying.

-- The account was deleted by its owner. The row stays for the orders and the money that refer to it, with nothing left
-- that says who it was.
alter table users add column deleted_at timestamptz
    constraint users_deleted_is_anonymous check (
        deleted_at is null
        or (email like 'deleted-%@deleted.invalid' and nickname is null and first_name is null and last_name is null
            and avatar is null and role = 'USER'));

-- Admins are few, and the last of them may not go.
create index users_admins_idx on users (id) where role = 'ADMIN';

-- One row a log-in. A token is good only while its session's row is here; ending a session is deleting it.
create table user_sessions (
    id                  uuid primary key,
    user_id             uuid not null references users (id) on delete cascade,
    created_at          timestamptz not null default now(),
    last_used_at        timestamptz not null default now(),
    expires_at          timestamptz not null,              -- when the refresh token that is good now runs out
    address             inet,
    user_agent          text constraint user_sessions_user_agent_bounded check (length(user_agent) <= 500),
    refresh_id          uuid not null,                     -- the refresh token that is good now
    previous_refresh_id uuid,                              -- the one before; it still answers the same successor for a moment
    rotated_at          timestamptz not null default now(),
    second_factor       boolean not null default false,    -- a code of the authenticator was given
    constraint user_sessions_expires_later check (expires_at > created_at)
);
-- A user's sessions, newest first.
create index user_sessions_user_id_idx on user_sessions (user_id, created_at desc);
-- The sweep.
create index user_sessions_expires_at_idx on user_sessions (expires_at);

-- Time-based codes of an authenticator. The secret itself is not stored: it is derived from this nonce and a key that
-- the database does not know.
create table user_totp (
    user_id      uuid primary key references users (id) on delete cascade,
    nonce        bytea not null constraint user_totp_nonce_length check (octet_length(nonce) = 32),
    created_at   timestamptz not null default now(),
    confirmed_at timestamptz,                              -- null: offered, not yet proved
    last_step    bigint not null default 0                 -- the newest time step used; a code works once
);

-- Codes and links that prove that an address is somebody's. Only keyed hashes are stored.
create table one_time_codes (
    id         uuid primary key default gen_random_uuid(),
    user_id    uuid not null references users (id) on delete cascade,
    purpose    text not null constraint one_time_codes_purpose_known check (purpose in ('VERIFY_EMAIL', 'RESET_PASSWORD')),
    hash       bytea not null constraint one_time_codes_hash_length check (octet_length(hash) = 32),
    email      text not null,                              -- the address that it was sent to and proves
    created_at timestamptz not null default now(),
    expires_at timestamptz not null constraint one_time_codes_expires_later check (expires_at > created_at),
    attempts   integer not null default 0 constraint one_time_codes_attempts_bounded check (attempts between 0 and 5)
);
create index one_time_codes_user_id_idx on one_time_codes (user_id, purpose, created_at desc);
-- A link is found by what it carries.
create unique index one_time_codes_link_key on one_time_codes (hash) where purpose = 'RESET_PASSWORD';
-- The sweep.
create index one_time_codes_expires_at_idx on one_time_codes (expires_at);

-- Rate limits shared by all processes: one moment a limit in use (crates/domain, limit). What has been forgiven is
-- swept. Not worth writing ahead: after a crash everybody starts with a full allowance.
create unlogged table rate_limits (
    key  text primary key constraint rate_limits_key_bounded check (length(key) <= 200),
    debt timestamptz not null
);
create index rate_limits_debt_idx on rate_limits (debt);

-- An attempt to log in to an account that does not exist is noted too, as nobody's, so that it takes the same time.
alter table login_history alter column user_id drop not null;
-- The sweep.
create index login_history_created_at_idx on login_history (created_at);

-- When a game was last to be had again after it was sold out: a wishlist shows it.
alter table games add column restocked_at timestamptz;
create function games_restocked() returns trigger language plpgsql set search_path from current as $$
begin
    new.restocked_at := now();
    return new;
end $$;
create trigger games_restocked before update on games for each row
    when (new.in_stock and not old.in_stock) execute function games_restocked();

-- A profile says whether there is a second factor (the way of 0005_cache.sql; nobody changes hundreds at once).
create function cache_user_totp() returns trigger language plpgsql set search_path from current as $$
declare
    made_untrue text[];
begin
    select array_agg(distinct 'user:' || user_id || ':profile') into made_untrue from changed_rows;
    if made_untrue is not null then
        insert into cache_inval (tags) values (case when cardinality(made_untrue) > 256 then '{user:*}' else made_untrue end);
    end if;
    return null;
end $$;
create trigger cache_insert after insert on user_totp referencing new table as changed_rows for each statement execute function cache_user_totp();
create trigger cache_update after update on user_totp referencing new table as changed_rows for each statement execute function cache_user_totp();
create trigger cache_delete after delete on user_totp referencing old table as changed_rows for each statement execute function cache_user_totp();
create trigger cache_truncate after truncate on user_totp for each statement execute function cache_everything();
