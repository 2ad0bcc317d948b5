-- What 0265 has added.
alter table incidents validate constraint incidents_note_of_a_closed_one;
