-- Accounts at G2A that staff have entered. One is active: it is in use unless the environment names another.
create sequence g2a_settings_versions;
create table g2a_settings (
    id          uuid primary key,
    -- G2A's "API hash". It names the account and is shown to staff, so it is not sealed.
    client_id   text not null constraint g2a_settings_client_id_key unique
                constraint g2a_settings_client_id_form check (client_id ~ '^[!-~]{1,200}$'),
    email       text not null constraint g2a_settings_email_form
                check (email ~ '^[^@[:space:]]+@[^@[:space:]]+$' and length(email) <= 254),
    secret      bytea not null,                            -- sealed for `g2a_settings.secret/{id}`
    environment text not null constraint g2a_settings_environment_known check (environment in ('sandbox', 'production')),
    is_active   boolean not null default false,
    passed_at   timestamptz,                               -- when G2A last accepted just these credentials
    version     bigint not null default nextval('g2a_settings_versions'),
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint g2a_settings_active_has_passed check (not is_active or passed_at is not null)
);
create trigger g2a_settings_touch before update on g2a_settings for each row execute function touch_updated_at();
-- One is active.
create unique index g2a_settings_active_key on g2a_settings (is_active) where is_active;

-- An order at G2A belongs to the account that placed it: only that one can pay it and fetch its key. A mark of the account
-- (the beginning of the SHA-256 of its client id); null for orders of earlier versions.
alter table order_units add column g2a_account text;
alter table g2a_orders add column account text;

-- `SUPPLIER_ACCOUNT`: a unit waits because the account that its order belongs to is not known, or G2A refuses it.
alter table incidents drop constraint incidents_kind_known;
alter table incidents add constraint incidents_kind_known check (kind in (
    'KEY_LOST', 'KEY_LATE', 'KEY_TWICE', 'KEY_UNREADABLE', 'ABOVE_PRICE', 'SUPPLIER_CANCELLED', 'SUPPLIER_UNKNOWN',
    'SUPPLIER_ACCOUNT')) not valid;

-- In place of the function of 0040_fulfilment.sql: with the account.
create or replace function g2a_orders_follow_units() returns trigger language plpgsql set search_path from current as $$
begin
    if new.g2a_order_id is not null and new.g2a_order_id is distinct from old.g2a_order_id then
        insert into g2a_orders (g2a_order_id, order_unit_id, price, account)
        values (new.g2a_order_id, new.id, coalesce(new.g2a_price, 0), new.g2a_account);
    end if;
    if new.state is distinct from old.state then
        if old.g2a_order_id is not null and (new.g2a_order_id is null or new.state = 'REFUNDED') then
            update g2a_orders set given_up_at = now(), why = left(coalesce(new.last_error, ''), 300)
             where g2a_order_id = old.g2a_order_id;
        end if;
        update g2a_orders
           set pay_asked_at = case when new.state = 'PAYING' then coalesce(pay_asked_at, now()) else pay_asked_at end,
               paid_at = case when new.state = 'PAID' then coalesce(paid_at, now()) else paid_at end,
               transaction_id = coalesce(new.g2a_transaction_id, transaction_id),
               key_asked_at = case when new.state = 'FETCHING' then coalesce(key_asked_at, now()) else key_asked_at end
         where g2a_order_id = new.g2a_order_id and new.state in ('PAYING', 'PAID', 'FETCHING');
    end if;
    return null;
end $$;
