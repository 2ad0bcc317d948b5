-- A game of the shop's own is in stock while a key of it that is neither sold nor used is stored, whatever a statement says.

create function games_own_stock() returns trigger language plpgsql set search_path from current as $$
begin
    new.in_stock := new.withdrawn_at is null and exists (
        select 1 from game_keys k where k.game_id = new.id and k.order_unit_id is null and not k.activated);
    return new;
end $$;
create trigger games_own_stock before insert or update of in_stock, withdrawn_at, g2a_product_id on games for each row
    when (new.g2a_product_id is null) execute function games_own_stock();

-- Keys come and go: the games concerned are locked first, so that of two sales at once the second sees the first.
create function game_keys_keep_stock() returns trigger language plpgsql set search_path from current as $$
declare
    concerned uuid[];
begin
    if tg_op = 'INSERT' then
        select array_agg(distinct game_id) into concerned from new_rows where order_unit_id is null and not activated;
    elsif tg_op = 'DELETE' then
        select array_agg(distinct game_id) into concerned from old_rows where order_unit_id is null and not activated;
    elsif tg_op = 'UPDATE' then
        select array_agg(distinct game) into concerned
          from old_rows o join new_rows n on n.id = o.id, unnest(array[o.game_id, n.game_id]) game
         where o.game_id <> n.game_id
            or (o.order_unit_id is null and not o.activated) <> (n.order_unit_id is null and not n.activated);
    else
        select array_agg(id) into concerned from games where g2a_product_id is null and in_stock;
    end if;
    if concerned is not null then
        perform 1 from games where id = any (concerned) and g2a_product_id is null order by id for no key update;
        update games g set in_stock = not in_stock
         where g.id = any (concerned) and g.g2a_product_id is null and g.withdrawn_at is null
           and g.in_stock <> exists (
               select 1 from game_keys k where k.game_id = g.id and k.order_unit_id is null and not k.activated);
    end if;
    return null;
end $$;
create trigger game_keys_keep_stock_insert after insert on game_keys referencing new table as new_rows
    for each statement execute function game_keys_keep_stock();
create trigger game_keys_keep_stock_update after update on game_keys
    referencing old table as old_rows new table as new_rows
    for each statement execute function game_keys_keep_stock();
create trigger game_keys_keep_stock_delete after delete on game_keys referencing old table as old_rows
    for each statement execute function game_keys_keep_stock();
create trigger game_keys_keep_stock_truncate after truncate on game_keys
    for each statement execute function game_keys_keep_stock();

-- What was on sale before without a key, and what was not in spite of one.
update games g set in_stock = not in_stock
 where g.g2a_product_id is null and g.withdrawn_at is null
   and g.in_stock <> exists (
       select 1 from game_keys k where k.game_id = g.id and k.order_unit_id is null and not k.activated);
