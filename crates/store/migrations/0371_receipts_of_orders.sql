-- no-transaction
-- The references to each table in use, and the triggers of each, in a transaction of its own, so that no two tables in use are
-- locked at once.
begin;
alter table order_taxes drop constraint if exists order_taxes_order_id_fkey;
alter table order_taxes add constraint order_taxes_order_id_fkey foreign key (order_id) references orders (id) on delete restrict not valid;
alter table receipts drop constraint if exists receipts_order_id_fkey;
alter table receipts add constraint receipts_order_id_fkey foreign key (order_id) references orders (id) on delete restrict not valid;
commit;
begin;
alter table billing_profiles drop constraint if exists billing_profiles_user_id_fkey;
alter table billing_profiles add constraint billing_profiles_user_id_fkey foreign key (user_id) references users (id) on delete cascade not valid;
commit;
begin;
alter table receipts drop constraint if exists receipts_transaction_id_fkey;
alter table receipts add constraint receipts_transaction_id_fkey foreign key (transaction_id) references transactions (id) on delete restrict not valid;
commit;
alter table order_taxes validate constraint order_taxes_order_id_fkey;
alter table receipts validate constraint receipts_order_id_fkey;
alter table receipts validate constraint receipts_transaction_id_fkey;
alter table billing_profiles validate constraint billing_profiles_user_id_fkey;
begin;
drop trigger if exists orders_documented on orders;
create constraint trigger orders_documented after update of status on orders
    deferrable initially deferred for each row when (new.status = 'COMPLETED') execute function orders_are_documented();
commit;
begin;
drop trigger if exists transactions_documented on transactions;
create constraint trigger transactions_documented after insert or update of status on transactions
    deferrable initially deferred for each row
    when (new.type = 'REFUND' and new.status = 'COMPLETED' and new.order_id is not null)
    execute function orders_are_documented();
commit;
