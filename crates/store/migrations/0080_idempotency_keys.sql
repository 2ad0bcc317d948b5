-- Calls that their caller may repeat: what one came to is written with its effect, so that a repeated one has none and is
-- answered as before. Orders, top-ups and adjustments keep their keys with what they wrote, for good.

create table idempotency_keys (
    owner        uuid not null references shoppers (id) on delete cascade,
    route        text not null constraint idempotency_keys_route_bounded check (length(route) between 1 and 100),
    key          text not null constraint idempotency_keys_key_bounded check (length(key) between 1 and 200),
    request_hash bytea not null constraint idempotency_keys_request_hash_length check (octet_length(request_hash) = 32),
    answer       jsonb not null constraint idempotency_keys_answer_bounded check (octet_length(answer::text) <= 10000),
    at           timestamptz not null default now(),
    primary key (owner, route, key)
);
-- The sweep.
create index idempotency_keys_at_idx on idempotency_keys (at);
