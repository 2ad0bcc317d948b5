-- What staff found when they closed an incident. Validated in the next file, without a lock that stops buying.
alter table incidents add column note text;
alter table incidents
    add constraint incidents_note_of_a_closed_one check (note is null or (resolved_at is not null and length(note) between 1 and 500)) not valid;
