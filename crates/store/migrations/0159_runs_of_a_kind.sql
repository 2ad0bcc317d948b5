-- no-transaction
-- The latest run of each kind, which the schedule asks for; also of a kind that never ran.
create index concurrently sync_runs_kind_idx on sync_runs (kind, started_at desc);
