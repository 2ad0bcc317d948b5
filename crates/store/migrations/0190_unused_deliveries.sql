-- Signed deliveries with which nothing could be done, as they came. Their sender is answered with 200, since sending them
-- again would change nothing, and staff can read what was said (`lockstep events`).
create table unused_deliveries (
    id          uuid primary key default gen_random_uuid(),
    source      text not null constraint unused_deliveries_source_known check (source in ('g2a', 'payments', 'relay')),
    reason      text not null constraint unused_deliveries_reason_known check (reason in
                    ('KIND_NOT_HANDLED', 'NOT_OURS', 'FIELD_UNUSABLE', 'NOT_READABLE', 'NO_PAYMENT_REQUIRED', 'REFUSED')),
    detail      text constraint unused_deliveries_detail_bounded check (length(detail) <= 500),     -- in words
    event_id    text constraint unused_deliveries_event_id_bounded check (length(event_id) <= 300), -- the sender's
    kind        text constraint unused_deliveries_kind_bounded check (length(kind) <= 200),
    body        bytea not null constraint unused_deliveries_body_bounded check (octet_length(body) <= 4194304),
    digest      bytea not null generated always as (sha256(body)) stored,
    times       integer not null default 1 constraint unused_deliveries_times_positive check (times > 0),
    received_at timestamptz not null default now(),
    last_at     timestamptz not null default now(),        -- when it was last sent again
    constraint unused_deliveries_once unique (source, digest)
);
-- The list and the sweep.
create index unused_deliveries_received_idx on unused_deliveries (received_at);

-- The bytes of an event as they were sent: jsonb keeps neither their order nor what it has no form for.
alter table webhook_events add column body bytea
    constraint webhook_events_body_bounded check (octet_length(body) <= 4194304);
