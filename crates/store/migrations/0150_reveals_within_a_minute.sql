-- Looks at a key within a minute, by the same person in the same way, are one row that counts them: a page that is
-- reloaded again and again is one fact, and must not fill a table.
--
-- The database folds by itself, whoever writes: each look is inserted as a row of its own.

lock table key_reveals in access exclusive mode;
alter table key_reveals
    add column count   integer not null default 1          -- looks within the minute
        constraint key_reveals_count_positive check (count > 0),
    add column last_at timestamptz,                        -- the latest of them; `at` is the first
    -- Minutes since 1970, by UTC.
    add column minute  bigint not null generated always as (floor(extract(epoch from at at time zone 'UTC') / 60)::bigint) stored;

create temporary table folded on commit drop as
select (array_agg(id order by at, id))[1] as id, game_key_id, user_id, how, min(at) as at, max(at) as last_at,
       count(*)::integer as count
  from key_reveals group by game_key_id, user_id, how, minute;
truncate key_reveals;
drop index key_reveals_user_idx, key_reveals_key_idx;   -- a key's looks are found by what makes them one row
insert into key_reveals (id, game_key_id, user_id, how, at, last_at, count)
select id, game_key_id, user_id, how, at, last_at, count from folded;

alter table key_reveals
    alter column last_at set not null,
    add constraint key_reveals_last_is_not_before_first check (last_at >= at),
    add constraint key_reveals_once_a_minute unique (game_key_id, user_id, how, minute);
-- A person's looks in order, page by page.
create index key_reveals_user_idx on key_reveals (user_id, at, id);
-- The sweep.
create index key_reveals_at_idx on key_reveals (at);

create function key_reveals_fold() returns trigger language plpgsql set search_path from current as $$
begin
    if pg_trigger_depth() > 1 then
        return new;                                        -- the insert below
    end if;
    insert into key_reveals (id, game_key_id, user_id, how, at, last_at, count)
    values (new.id, new.game_key_id, new.user_id, new.how, new.at, coalesce(new.last_at, new.at), new.count)
    on conflict on constraint key_reveals_once_a_minute do update
       set count = key_reveals.count + excluded.count,
           at = least(key_reveals.at, excluded.at),
           last_at = greatest(key_reveals.last_at, excluded.last_at);
    return null;
end $$;
create trigger key_reveals_fold before insert on key_reveals for each row execute function key_reveals_fold();
