-- no-transaction
-- What staff may not do as a customer, refused by the database, too. The program marks each transaction of such a session with
-- `lockstep.impersonation` (crates/store/src/acting.rs). One table in each transaction, so that no two in use are locked at once.
begin;
create or replace function refuse_impersonation() returns trigger language plpgsql set search_path from current as $$
begin
    raise exception 'staff who act as a customer do not write to %', tg_table_name
        using errcode = 'check_violation', constraint = 'impersonations_only_look', table = tg_table_name;
end $$;
create or replace trigger no_impersonation before insert on orders
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
begin;
create or replace trigger no_impersonation before insert on transactions
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
begin;
create or replace trigger no_impersonation before insert on top_ups
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
begin;
create or replace trigger no_impersonation before insert or update on key_reveals
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
begin;
create or replace trigger no_impersonation before insert or update on order_consents
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
begin;
create or replace trigger no_impersonation before insert on withdrawals
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
begin;
create or replace trigger no_impersonation before insert or update or delete on billing_profiles
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
begin;
create or replace trigger no_impersonation before insert or update or delete on user_totp
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
begin;
create or replace trigger no_impersonation before insert or update on one_time_codes
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
begin;
create or replace trigger no_impersonation before delete or update of email, password_hash, email_verified, nickname, first_name,
    last_name, avatar, role, staff_role, deleted_at, balance on users
    for each statement when (current_setting('lockstep.impersonation', true) <> '') execute function refuse_impersonation();
commit;
