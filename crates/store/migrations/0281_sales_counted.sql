-- no-transaction
-- From now on the triggers count for `sales_sums`. Table by table, each for a moment and by itself: together they would wait for
-- every open order, and hold up every other. What begins between two of them is counted in 0282_sales_before.sql all the same.
-- An interrupted file is run again from its beginning.
begin;
drop trigger if exists users_sales_insert on users;
create trigger users_sales_insert after insert on users referencing new table as new_rows
    for each statement execute function sales_count_users();
drop trigger if exists users_sales_update on users;
create trigger users_sales_update after update on users referencing old table as old_rows new table as new_rows
    for each statement execute function sales_count_users();
drop trigger if exists users_sales_delete on users;
create trigger users_sales_delete after delete on users referencing old table as old_rows
    for each statement execute function sales_count_users();
commit;
begin;
drop trigger if exists orders_sales on orders;
create constraint trigger orders_sales after insert or delete on orders
    deferrable initially deferred for each row execute function sales_count();
drop trigger if exists orders_sales_completed on orders;
create constraint trigger orders_sales_completed after update of status on orders
    deferrable initially deferred for each row when (new.status = 'COMPLETED' and old.status <> 'COMPLETED')
    execute function sales_count();
commit;
begin;
drop trigger if exists transactions_sales on transactions;
create constraint trigger transactions_sales after insert or update of status on transactions
    deferrable initially deferred for each row when (new.order_id is not null and new.status = 'COMPLETED')
    execute function sales_count();
commit;
begin;
drop trigger if exists order_units_sales on order_units;
create constraint trigger order_units_sales after update of state, goodwill on order_units
    deferrable initially deferred for each row
    when (new.state = 'DONE' and (old.state <> 'DONE' or old.goodwill <> new.goodwill)) execute function sales_count();
commit;
begin;
drop trigger if exists g2a_orders_sales on g2a_orders;
create constraint trigger g2a_orders_sales after update of paid_at on g2a_orders
    deferrable initially deferred for each row when (new.paid_at is not null and old.paid_at is null)
    execute function sales_count();
commit;
begin;
drop trigger if exists game_keys_sales on game_keys;
create constraint trigger game_keys_sales after insert on game_keys
    deferrable initially deferred for each row when (new.g2a_order_id is null and new.order_id is not null)
    execute function sales_count();
drop trigger if exists game_keys_sales_change on game_keys;
create constraint trigger game_keys_sales_change after update of order_id, faulty_order_id, cost on game_keys
    deferrable initially deferred for each row
    when (new.g2a_order_id is null and coalesce(new.order_id, new.faulty_order_id) is not null
          and (coalesce(old.order_id, old.faulty_order_id) is null or new.cost is distinct from old.cost))
    execute function sales_count();
commit;
