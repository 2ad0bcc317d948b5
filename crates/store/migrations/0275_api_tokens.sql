-- Tokens with which programs act for a member of staff. What a token permits is what it was given and its owner still has.
create table api_tokens (
    id           uuid primary key default gen_random_uuid(),
    user_id      uuid not null references users (id) on delete cascade,
    name         text not null constraint api_tokens_name_bounded check (length(name) between 1 and 100),
    -- SHA-256 of the token: 256 random bits need no salt.
    hash         bytea not null constraint api_tokens_hash_key unique constraint api_tokens_hash_length check (octet_length(hash) = 32),
    hint         text not null constraint api_tokens_hint_form check (hint ~ '^lsk_[A-Za-z0-9_-]{4}$'),   -- its first characters
    permissions  text[] not null constraint api_tokens_permits_something check (cardinality(permissions) between 1 and 100),
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null constraint api_tokens_expire
                 check (expires_at > created_at and expires_at <= created_at + interval '366 days'),
    last_used_at timestamptz                               -- accurate to a minute
);
create index api_tokens_user_id_idx on api_tokens (user_id, created_at desc);
create trigger a_owner_is_there before insert or update of user_id on api_tokens
    for each row execute function refuse_deleted_owner('user_id');
-- The sweep.
create index api_tokens_expires_at_idx on api_tokens (expires_at);
