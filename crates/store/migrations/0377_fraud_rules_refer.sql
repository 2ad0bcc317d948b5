-- no-transaction
-- The references to tables in use, each in a transaction of its own.
begin;
alter table top_up_origins drop constraint if exists top_up_origins_top_up_id_fkey;
alter table top_up_origins add constraint top_up_origins_top_up_id_fkey foreign key (top_up_id) references top_ups (id) on delete cascade not valid;
alter table payment_holds drop constraint if exists payment_holds_top_up_id_fkey;
alter table payment_holds add constraint payment_holds_top_up_id_fkey foreign key (top_up_id) references top_ups (id) on delete restrict not valid;
commit;
begin;
alter table payment_holds drop constraint if exists payment_holds_user_id_fkey;
alter table payment_holds add constraint payment_holds_user_id_fkey foreign key (user_id) references users (id) on delete restrict not valid;
alter table payment_holds drop constraint if exists payment_holds_decided_by_fkey;
alter table payment_holds add constraint payment_holds_decided_by_fkey foreign key (decided_by) references users (id) on delete restrict not valid;
commit;
alter table top_up_origins validate constraint top_up_origins_top_up_id_fkey;
alter table payment_holds validate constraint payment_holds_top_up_id_fkey;
alter table payment_holds validate constraint payment_holds_user_id_fkey;
alter table payment_holds validate constraint payment_holds_decided_by_fkey;
