-- Staff may take a game of the shop's own off sale although keys of it are stored: 'in_stock' in fields_by_hand, as for a game
-- of G2A's. Otherwise as in 0171_own_stock.sql.
create or replace function games_own_stock() returns trigger language plpgsql set search_path from current as $$
begin
    new.in_stock := new.withdrawn_at is null and 'in_stock' <> all (new.fields_by_hand) and exists (
        select 1 from game_keys k where k.game_id = new.id and k.order_unit_id is null and not k.activated);
    return new;
end $$;
drop trigger games_own_stock on games;
create trigger games_own_stock before insert or update of in_stock, withdrawn_at, g2a_product_id, fields_by_hand on games for each row
    when (new.g2a_product_id is null) execute function games_own_stock();

create or replace function game_keys_keep_stock() returns trigger language plpgsql set search_path from current as $$
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
           and g.in_stock <> ('in_stock' <> all (g.fields_by_hand) and exists (
               select 1 from game_keys k where k.game_id = g.id and k.order_unit_id is null and not k.activated));
    end if;
    return null;
end $$;

-- The price before a reduction that staff have set. It stays while `original_price` is null because G2A's price has reached it,
-- and counts again when that price falls.
alter table games add column original_price_by_hand numeric(12,2);
alter table games add constraint games_original_price_by_hand_positive
    check (original_price_by_hand > 0 and original_price_by_hand < 'NaN') not valid;
update games set original_price_by_hand = original_price where 'original_price' = any (fields_by_hand) and original_price is not null;
