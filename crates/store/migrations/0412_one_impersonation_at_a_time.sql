-- no-transaction
-- One customer at a time in each session of staff; and the sessions that end with one.
create unique index concurrently user_sessions_staff_session_id_key on user_sessions (staff_session_id) where staff_session_id is not null;
