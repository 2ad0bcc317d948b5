-- Promo codes are the operator's: none comes with the schema, and an order whose money went back has used none.

-- A code of 10 % for everybody, without a limit, sells below cost at a mark-up of 2 %. It goes, or ends where orders name it.
delete from promo_codes p where code = 'GKEYS10' and max_uses is null and valid_until is null
    and not exists (select 1 from orders o where o.promo_code = p.code);
update promo_codes set active = false where code = 'GKEYS10' and discount = 10 and max_uses is null and valid_until is null;

-- The order's use of its code was given back: all of its money went back.
alter table orders add column promo_use_returned boolean not null default false
    constraint orders_promo_use_returned_of_a_code check (promo_code is not null or not promo_use_returned);

-- Deferred, so that the code's row is the last to be locked, as it is when an order is placed: refunds and orders of one
-- shopper then never wait for each other in a circle.
create function order_units_return_promo_use() returns trigger language plpgsql set search_path from current as $$
declare
    used text;
begin
    -- Refunds of one order come one after the other, so that the last one sees all the others.
    perform 1 from orders where id = new.order_id and promo_code is not null and not promo_use_returned for no key update;
    if not found then
        return null;
    end if;
    update orders o set promo_use_returned = true
     where o.id = new.order_id and not o.promo_use_returned
       and not exists (select 1 from order_units u where u.order_id = o.id and u.state <> 'REFUNDED'
                       and (u.goodwill < u.price_paid or u.price_paid = 0))
    returning promo_code into used;
    if found then
        update promo_codes set used_count = used_count - 1 where code = used and used_count > 0;
    end if;
    return null;
end $$;
create constraint trigger order_units_return_promo_use after update of state, goodwill on order_units
    deferrable initially deferred for each row
    when (new.state = 'REFUNDED' and old.state <> 'REFUNDED' or new.goodwill > old.goodwill)
    execute function order_units_return_promo_use();

-- Orders from before whose money went back.
with back as (
    update orders o set promo_use_returned = true
     where o.promo_code is not null
       and exists (select 1 from order_units u where u.order_id = o.id)
       and not exists (select 1 from order_units u where u.order_id = o.id and u.state <> 'REFUNDED'
                       and (u.goodwill < u.price_paid or u.price_paid = 0))
    returning promo_code),
counted as (select promo_code, count(*) as uses from back group by promo_code)
update promo_codes p set used_count = greatest(0, p.used_count - c.uses) from counted c where p.code = c.promo_code;
