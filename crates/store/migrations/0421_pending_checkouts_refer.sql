-- no-transaction
-- The references of pending checkouts to tables in use, each in a transaction of its own.
begin;
alter table pending_checkouts drop constraint if exists pending_checkouts_top_up_id_fkey;
alter table pending_checkouts add constraint pending_checkouts_top_up_id_fkey foreign key (top_up_id) references top_ups (id) on delete cascade not valid;
commit;
begin;
alter table pending_checkouts drop constraint if exists pending_checkouts_user_id_fkey;
alter table pending_checkouts add constraint pending_checkouts_user_id_fkey foreign key (user_id) references users (id) on delete restrict not valid;
commit;
begin;
alter table pending_checkouts drop constraint if exists pending_checkouts_order_id_fkey;
alter table pending_checkouts add constraint pending_checkouts_order_id_fkey foreign key (order_id, user_id) references orders (id, user_id) on delete restrict not valid;
commit;
alter table pending_checkouts validate constraint pending_checkouts_top_up_id_fkey;
alter table pending_checkouts validate constraint pending_checkouts_user_id_fkey;
alter table pending_checkouts validate constraint pending_checkouts_order_id_fkey;
