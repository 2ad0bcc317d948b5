-- no-transaction
-- The references of withdrawals, each in a transaction of its own, so that no two tables in use are locked at once. The
-- table is empty.
begin;
alter table withdrawals drop constraint if exists withdrawals_order_id_fkey;
alter table withdrawals add constraint withdrawals_order_id_fkey foreign key (order_id) references orders (id) on delete restrict not valid;
commit;
begin;
alter table withdrawals drop constraint if exists withdrawals_user_id_fkey;
alter table withdrawals add constraint withdrawals_user_id_fkey foreign key (user_id) references users (id) on delete restrict not valid;
alter table withdrawals drop constraint if exists withdrawals_decided_by_fkey;
alter table withdrawals add constraint withdrawals_decided_by_fkey foreign key (decided_by) references users (id) on delete restrict not valid;
commit;
begin;
alter table withdrawals drop constraint if exists withdrawals_card_refund_id_fkey;
alter table withdrawals add constraint withdrawals_card_refund_id_fkey foreign key (card_refund_id) references card_refunds (id) on delete restrict not valid;
commit;
alter table withdrawals validate constraint withdrawals_order_id_fkey;
alter table withdrawals validate constraint withdrawals_user_id_fkey;
alter table withdrawals validate constraint withdrawals_decided_by_fkey;
alter table withdrawals validate constraint withdrawals_card_refund_id_fkey;

-- Announced to everybody, so that it counts for the lowest price of 30 days. A code for one customer does not.
begin;
alter table promo_codes add column if not exists is_public boolean not null default false;
commit;
