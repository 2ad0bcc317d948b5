-- A game whose buying is stopped (`game_stops`) is not on sale meanwhile: an order for it would wait for a day. What G2A
-- says of its stock is believed again by the first look at the stock after the stop.
create function games_hide_stopped() returns trigger language plpgsql set search_path from current as $$
begin
    if exists (select from game_stops s where s.game_id = new.id and s.lifted_at is null and s.until > now()) then
        new.in_stock := false;
        new.g2a_stock := false;
        new.popularity := new.popularity - new.g2a_depth;
        new.g2a_depth := 0;
    end if;
    return new;
end $$;
create trigger games_stopped before update of in_stock, g2a_stock on games
    for each row when (new.in_stock and not old.in_stock and new.g2a_product_id is not null)
    execute function games_hide_stopped();

create function game_stops_hide() returns trigger language plpgsql set search_path from current as $$
begin
    update games
       set in_stock = false, g2a_stock = false, popularity = popularity - g2a_depth, g2a_depth = 0
     where id = new.game_id and in_stock and g2a_product_id is not null;
    return null;
end $$;
create trigger game_stops_hide after insert or update on game_stops
    for each row when (new.lifted_at is null and new.until > now()) execute function game_stops_hide();

-- Those that are stopped at this moment.
update games g
   set in_stock = false, g2a_stock = false, popularity = popularity - g2a_depth, g2a_depth = 0
  from game_stops s
 where s.game_id = g.id and s.lifted_at is null and s.until > now() and g.in_stock and g.g2a_product_id is not null;
