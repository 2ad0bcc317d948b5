-- How many keys each game has, and how many of them count as used, counted as they come and go: the statistics and the lists of
-- staff do not read a million keys.
--
-- As `game_sums`: a writer takes one of the newest slots of its game that no other holds, or adds one, so writers neither wait
-- for each other nor deadlock; a slot is used fifty times, and the sweep makes one of those that are no longer
-- among the newest (store.retention.old_keys). What was before is counted in 0354_keys_before.sql: the shop sells meanwhile.
create table key_counts (
    game_id uuid not null,                                 -- a game with keys is never deleted
    slot    bigint generated always as identity,
    uses    integer not null default 1,
    keys    integer not null,
    used    integer not null,                              -- of them, those that count as used
    primary key (game_id, slot)
);

create function key_counts_add(game uuid, more integer, more_used integer) returns void
language plpgsql set search_path from current as $$
begin
    update key_counts c set uses = c.uses + 1, keys = c.keys + more, used = c.used + more_used
     where c.game_id = game
       and c.slot = (select f.slot from key_counts f
                      where f.game_id = game and f.uses < 50
                        and f.slot >= coalesce((select e.slot from key_counts e where e.game_id = game
                                                 order by e.slot desc offset 3 limit 1), 0)
                      order by f.slot desc limit 1 for update skip locked);
    if not found then
        insert into key_counts (game_id, keys, used) values (game, more, more_used);
    end if;
end $$;

-- Adds what the counts lack, or have too much. Compared in one snapshot, in which every key is with what its trigger has
-- counted: so the shop sells meanwhile.
create function key_counts_again() returns void language sql set search_path from current as $$
    insert into key_counts (game_id, keys, used)
    select coalesce(b.game_id, c.game_id), coalesce(b.keys, 0) - coalesce(c.keys, 0), coalesce(b.used, 0) - coalesce(c.used, 0)
      from (select game_id, count(*) as keys, count(*) filter (where activated) as used from game_keys group by game_id) b
      full join (select game_id, sum(keys) as keys, sum(used) as used from key_counts group by game_id) c on c.game_id = b.game_id
     where (coalesce(b.keys, 0), coalesce(b.used, 0)) <> (coalesce(c.keys, 0), coalesce(c.used, 0))
     -- In the order in which they are summed.
     order by 1;
$$;

-- A statement at a time: keys also come by the hundred thousand.
create function game_keys_count() returns trigger language plpgsql set search_path from current as $$
declare
    game record;
begin
    if tg_op = 'INSERT' then
        for game in select game_id, count(*)::integer as keys, count(*) filter (where activated)::integer as used
                      from new_rows group by game_id order by game_id loop
            perform key_counts_add(game.game_id, game.keys, game.used);
        end loop;
    elsif tg_op = 'DELETE' then
        for game in select game_id, count(*)::integer as keys, count(*) filter (where activated)::integer as used
                      from old_rows group by game_id order by game_id loop
            perform key_counts_add(game.game_id, -game.keys, -game.used);
        end loop;
    else
        for game in select game_id, sum(keys)::integer as keys, sum(used)::integer as used
                      from (select game_id, 1 as keys, activated::integer as used from new_rows
                            union all select game_id, -1, -activated::integer from old_rows) changes
                     group by game_id having sum(keys) <> 0 or sum(used) <> 0 order by game_id loop
            perform key_counts_add(game.game_id, game.keys, game.used);
        end loop;
    end if;
    return null;
end $$;
create trigger game_keys_count_insert after insert on game_keys referencing new table as new_rows
    for each statement execute function game_keys_count();
create trigger game_keys_count_update after update on game_keys referencing old table as old_rows new table as new_rows
    for each statement execute function game_keys_count();
create trigger game_keys_count_delete after delete on game_keys referencing old table as old_rows
    for each statement execute function game_keys_count();

-- What staff search of an account: in an index, whose expressions may not depend on settings, as those of concat_ws might.
create function account_words(email text, nickname text, first_name text, last_name text) returns text
language sql immutable parallel safe return
    email || coalesce(' ' || nickname, '') || coalesce(' ' || first_name, '') || coalesce(' ' || last_name, '');
