-- What readiness writes to find out whether the database takes writes. No answer is made from either table.

-- One row, updated in place.
create table write_probe (
    id boolean primary key default true constraint write_probe_is_one_row check (id),
    at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on column write_probe.at is 'when some process last proved that this database takes writes';

-- Rows of a page each, so that inserting them takes new room on the disk. They are rolled back, and the room is given
-- back by a vacuum at once: the table is always empty. Not logged, because taking room is all it is for.
create unlogged table space_probe (filler text not null);
alter table space_probe alter column filler set storage plain;
