-- Workers that buy nothing because a key could not be kept where they run. A row is renewed for as long as that holds,
-- so one that is old was left by a worker that is gone.
create table buying_stops (
    worker  uuid primary key,
    machine text not null constraint buying_stops_machine_bounded check (length(machine) <= 300),
    reason  text not null constraint buying_stops_reason_bounded check (length(reason) <= 300),
    since   timestamptz not null default now(),
    seen_at timestamptz not null default now()
);
