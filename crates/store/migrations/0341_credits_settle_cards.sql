-- no-transaction
-- The references to each table, and the triggers of each, in a transaction of its own, so that no two tables in use are locked
-- at once.
begin;
alter table top_up_charges drop constraint if exists top_up_charges_top_up_id_fkey;
alter table top_up_charges add constraint top_up_charges_top_up_id_fkey foreign key (top_up_id) references top_ups (id) on delete restrict not valid;
alter table card_refunds drop constraint if exists card_refunds_top_up_id_fkey;
alter table card_refunds add constraint card_refunds_top_up_id_fkey foreign key (top_up_id) references top_ups (id) on delete restrict not valid;
alter table disputes drop constraint if exists disputes_top_up_id_fkey;
alter table disputes add constraint disputes_top_up_id_fkey foreign key (top_up_id) references top_ups (id) on delete restrict not valid;
alter table payment_incidents drop constraint if exists payment_incidents_top_up_id_fkey;
alter table payment_incidents add constraint payment_incidents_top_up_id_fkey foreign key (top_up_id) references top_ups (id) on delete restrict not valid;
commit;
begin;
alter table card_refunds drop constraint if exists card_refunds_user_id_fkey;
alter table card_refunds add constraint card_refunds_user_id_fkey foreign key (user_id) references users (id) on delete restrict not valid;
alter table card_refunds drop constraint if exists card_refunds_requested_by_fkey;
alter table card_refunds add constraint card_refunds_requested_by_fkey foreign key (requested_by) references users (id) on delete restrict not valid;
alter table disputes drop constraint if exists disputes_user_id_fkey;
alter table disputes add constraint disputes_user_id_fkey foreign key (user_id) references users (id) on delete restrict not valid;
alter table payment_incidents drop constraint if exists payment_incidents_user_id_fkey;
alter table payment_incidents add constraint payment_incidents_user_id_fkey foreign key (user_id) references users (id) on delete restrict not valid;
alter table payment_incidents drop constraint if exists payment_incidents_resolved_by_fkey;
alter table payment_incidents add constraint payment_incidents_resolved_by_fkey foreign key (resolved_by) references users (id) on delete restrict not valid;
commit;
begin;
alter table card_bookings drop constraint if exists card_bookings_transaction_id_fkey;
alter table card_bookings add constraint card_bookings_transaction_id_fkey foreign key (transaction_id) references transactions (id) on delete restrict not valid;
commit;
alter table top_up_charges validate constraint top_up_charges_top_up_id_fkey;
alter table card_refunds validate constraint card_refunds_top_up_id_fkey;
alter table disputes validate constraint disputes_top_up_id_fkey;
alter table payment_incidents validate constraint payment_incidents_top_up_id_fkey;
alter table card_refunds validate constraint card_refunds_user_id_fkey;
alter table card_refunds validate constraint card_refunds_requested_by_fkey;
alter table disputes validate constraint disputes_user_id_fkey;
alter table payment_incidents validate constraint payment_incidents_user_id_fkey;
alter table payment_incidents validate constraint payment_incidents_resolved_by_fkey;
alter table card_bookings validate constraint card_bookings_transaction_id_fkey;
begin;
drop trigger if exists users_settle_cards on users;
-- Named so that it comes after users_account_moves.
create trigger users_settle_cards after update of balance on users
    for each row when (new.balance > old.balance) execute function credits_settle_cards();
drop trigger if exists users_debts_come_first on users;
create constraint trigger users_debts_come_first after update of balance on users
    deferrable initially deferred for each row when (new.balance > old.balance) execute function debts_come_first();
commit;
begin;
drop trigger if exists transactions_settle_cards on transactions;
-- Money of an order that comes back. What a top-up brings is other money than what is disputed.
create trigger transactions_settle_cards after insert or update of status on transactions
    for each row when (new.type = 'REFUND' and new.status = 'COMPLETED' and new.order_id is not null)
    execute function credits_settle_cards();
commit;
begin;
drop trigger if exists order_units_wait on order_units;
-- A key that was read is always recorded, whoever owes what: only the steps before that wait.
create trigger order_units_wait before update of state on order_units for each row
    when ((old.state = 'NEW' and new.state in ('ORDERING', 'DONE')) or (old.state = 'ORDERED' and new.state = 'PAYING'))
    execute function order_units_wait();
commit;
