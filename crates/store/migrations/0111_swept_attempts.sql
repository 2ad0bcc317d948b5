-- Attempts on accounts that do not exist are forgotten after a week, all others after half a year: found without reading
-- those in between.
create index login_history_attempts_idx on login_history (created_at) where user_id is null;
