-- A million imported orders would change the rows of the key figures several million times. While `lockstep.figures_later` is
-- on, which it is in the transactions of an import, they are not counted; the end of the run counts what is missing
-- (`sales_sums_again`), and `lockstep doctor` names it until then. The books themselves are checked as ever.

drop trigger orders_sales on orders;
create constraint trigger orders_sales after insert or delete on orders deferrable initially deferred
    for each row when (current_setting('lockstep.figures_later', true) is distinct from 'on') execute function sales_count();
drop trigger orders_sales_completed on orders;
create constraint trigger orders_sales_completed after update of status on orders deferrable initially deferred
    for each row when (new.status = 'COMPLETED' and old.status <> 'COMPLETED'
                       and current_setting('lockstep.figures_later', true) is distinct from 'on')
    execute function sales_count();
drop trigger transactions_sales on transactions;
create constraint trigger transactions_sales after insert or update of status on transactions deferrable initially deferred
    for each row when (new.order_id is not null and new.status = 'COMPLETED'
                       and current_setting('lockstep.figures_later', true) is distinct from 'on')
    execute function sales_count();
drop trigger order_units_sales on order_units;
create constraint trigger order_units_sales after update of state, goodwill on order_units deferrable initially deferred
    for each row when (((new.state = 'DONE') <> (old.state = 'DONE') or (new.state = 'DONE' and old.goodwill <> new.goodwill))
                       and current_setting('lockstep.figures_later', true) is distinct from 'on')
    execute function sales_count();
drop trigger game_keys_sales on game_keys;
create constraint trigger game_keys_sales after insert on game_keys deferrable initially deferred
    for each row when (new.g2a_order_id is null and new.order_id is not null
                       and current_setting('lockstep.figures_later', true) is distinct from 'on')
    execute function sales_count();
