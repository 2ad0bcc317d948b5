-- The shopper is told of a copy's end once: with its order, or before it when all that is left of that are preorders.
alter table order_units
    add column told_at timestamptz,                        -- the letter about its end is owed or was sent
    add constraint order_units_told_of_its_end check (told_at is null or state in ('DONE', 'REFUNDED'));
