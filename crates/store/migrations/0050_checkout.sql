-- Checkout: an order is placed once, whatever its shopper's connection does.

-- The key is the caller's; the hash is of what was asked for, so that the same key with another order is told apart.
alter table orders
    add column idempotency_key text constraint orders_idempotency_key_bounded check (length(idempotency_key) between 1 and 200),
    add column request_hash bytea constraint orders_request_hash_length check (octet_length(request_hash) = 32),
    add constraint orders_idempotency_key_has_its_request check ((idempotency_key is null) = (request_hash is null));
-- Partial, so that nobody lists a user's orders by it: it knows no dates.
create unique index orders_user_id_idempotency_key_key on orders (user_id, idempotency_key) where idempotency_key is not null;

-- What of a delivered copy's price was given back out of goodwill. A copy that was never delivered is REFUNDED instead.
-- So, of a paid order: paid = delivered (less goodwill) + refunded (with goodwill) + in flight.
alter table order_units
    add column goodwill numeric(12,2) not null default 0,
    add constraint order_units_goodwill_within_price check (goodwill >= 0 and (goodwill = 0 or goodwill <= price_paid)),
    add constraint order_units_goodwill_is_of_delivered check (goodwill = 0 or state = 'DONE');

create or replace function order_adds_up() returns trigger language plpgsql set search_path from current as $$
declare
    subjects uuid[];
    subject uuid;
    sums record;
    broken text;
begin
    if tg_table_name = 'orders' then
        subjects := array[new.id];
    elsif new.order_id is distinct from old.order_id then
        subjects := array[new.order_id, old.order_id];     -- one of them is null unless a row moved
    else
        subjects := array[new.order_id];
    end if;
    foreach subject in array subjects loop
        select o.subtotal, o.total,
               (select coalesce(sum(i.price * i.quantity), 0) from order_items i where i.order_id = o.id) as items,
               exists (select 1 from order_items i where i.order_id = o.id
                       and i.quantity <> (select count(*) from order_units u where u.order_item_id = i.id)) as miscounted,
               (select coalesce(sum(u.price_paid), 0) from order_units u where u.order_id = o.id) as units,
               (select coalesce(sum(case u.state when 'REFUNDED' then u.price_paid else u.goodwill end), 0)
                  from order_units u where u.order_id = o.id) as given_up,
               (select t.status from transactions t where t.order_id = o.id and t.type = 'PURCHASE') as purchase,
               (select coalesce(sum(t.amount), 0) from transactions t
                 where t.order_id = o.id and t.type = 'REFUND' and t.status = 'COMPLETED') as refunds
          into sums from orders o where o.id = subject;
        continue when not found;
        broken := case
            when sums.subtotal <> sums.items then 'orders_subtotal_is_sum_of_items'
            when sums.miscounted then 'order_units_one_a_copy'
            when sums.total <> sums.units then 'orders_total_is_sum_of_units'
            when sums.purchase is null then 'orders_have_a_purchase'
            when sums.purchase = 'COMPLETED' and sums.refunds <> sums.given_up then 'orders_refunds_are_of_refunded_units'
        end;
        if broken is not null then
            raise exception 'order % does not add up: %', subject, row_to_json(sums)
                using errcode = 'check_violation', constraint = broken, table = 'orders';
        end if;
    end loop;
    return null;
end $$;
drop trigger order_units_add_up on order_units;
create constraint trigger order_units_add_up
    after insert or delete or update of order_id, order_item_id, state, price_paid, goodwill on order_units
    deferrable initially deferred for each row execute function order_adds_up();
