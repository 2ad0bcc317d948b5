drop index orders_user_id_idx;
alter index orders_user_id_ordered_idx rename to orders_user_id_idx;
drop index transactions_user_id_idx;
alter index transactions_user_id_ordered_idx rename to transactions_user_id_idx;
