-- Promo codes beyond percentages: fixed amounts, what they are restricted to, and batches of one-time codes.

create table promo_batches (
    id         uuid primary key,
    name       text not null constraint promo_batches_name_bounded check (length(name) between 1 and 100),
    created_by uuid references users (id) on delete set null,
    created_at timestamptz not null default now()
);
-- The list (store.admin.promo_batches.list).
create index promo_batches_created_at_idx on promo_batches (created_at desc, id desc);
create index promo_batches_created_by_idx on promo_batches (created_by);

-- 0303_rules_of_prices_hold.sql checks the rows that are there.
alter table promo_codes
    add column amount           numeric(12,2),             -- EUR; null: `discount` percent
    add column min_order        numeric(12,2),             -- EUR, the least subtotal of an order
    add column first_order_only boolean not null default false,
    add column max_per_customer integer,
    add column batch_id         uuid,
    add constraint promo_codes_amount_positive check (amount > 0 and amount < 'NaN') not valid,
    add constraint promo_codes_min_order_positive check (min_order > 0 and min_order < 'NaN') not valid,
    add constraint promo_codes_max_per_customer_positive check (max_per_customer > 0) not valid,
    add constraint promo_codes_batch_id_fkey foreign key (batch_id) references promo_batches (id) on delete restrict not valid;
-- The codes of a batch (store.admin.promo_batches.detail).
-- A code of a fixed amount takes no percentage.
alter table promo_codes drop constraint promo_codes_discount_is_percent;
alter table promo_codes add constraint promo_codes_discount_is_percent check (
    case when amount is null then discount > 0 and discount <= 100 else discount = 0 end) not valid;

-- What a code is restricted to: a game has to fit each kind that has rows. What a code names is not deleted: it would silently
-- hold for everything.
create table promo_code_games (
    promo_code_id uuid not null references promo_codes (id) on delete cascade,
    game_id       uuid not null references games (id) on delete restrict,
    primary key (promo_code_id, game_id)
);
create index promo_code_games_game_id_idx on promo_code_games (game_id);
create table promo_code_genres (
    promo_code_id uuid not null references promo_codes (id) on delete cascade,
    genre_id      uuid not null references genres (id) on delete restrict,
    primary key (promo_code_id, genre_id)
);
create index promo_code_genres_genre_id_idx on promo_code_genres (genre_id);
create table promo_code_platforms (
    promo_code_id uuid not null references promo_codes (id) on delete cascade,
    platform_id   uuid not null references platforms (id) on delete restrict,
    primary key (promo_code_id, platform_id)
);
create index promo_code_platforms_platform_id_idx on promo_code_platforms (platform_id);

-- How often each customer has used a code that counts this, and the rules that are about the customer. Runs after
-- `orders_use_promo_code`, by its name, which locks the code: orders with one code come one after the other.
create table promo_code_customers (
    promo_code_id uuid not null references promo_codes (id) on delete cascade,
    user_id       uuid not null references users (id) on delete cascade,
    uses          integer not null constraint promo_code_customers_uses_not_negative check (uses >= 0),
    primary key (promo_code_id, user_id)
);
create index promo_code_customers_user_id_idx on promo_code_customers (user_id);

create function orders_use_promo_code_of_customer() returns trigger language plpgsql set search_path from current as $$
declare
    code record;
    used integer;
begin
    select id, max_per_customer, first_order_only into code from promo_codes where promo_codes.code = new.promo_code;
    if not found then
        return null;                                       -- the foreign key refuses it
    end if;
    insert into promo_code_customers as c (promo_code_id, user_id, uses) values (code.id, new.user_id, 1)
    on conflict (promo_code_id, user_id) do update set uses = c.uses + 1 returning uses into used;
    if used > code.max_per_customer then
        raise exception 'customer % may use this code % times', new.user_id, code.max_per_customer
            using errcode = 'check_violation', constraint = 'promo_codes_uses_per_customer', table = 'promo_codes';
    end if;
    if code.first_order_only then
        -- Orders of one customer come one after the other.
        perform 1 from users where id = new.user_id for no key update;
        if exists (select from orders o where o.user_id = new.user_id and o.id <> new.id
                                          and o.payment_status is distinct from 'CANCELLED') then
            raise exception 'customer % has ordered before', new.user_id
                using errcode = 'check_violation', constraint = 'promo_codes_first_order', table = 'promo_codes';
        end if;
    end if;
    return null;
end $$;
create trigger orders_use_promo_code_of_customer after insert on orders for each row
    when (new.promo_code is not null) execute function orders_use_promo_code_of_customer();

create function orders_return_promo_use_of_customer() returns trigger language plpgsql set search_path from current as $$
declare
    code_id uuid;
begin
    -- The code before the customer, as when an order is placed.
    select id into code_id from promo_codes where code = new.promo_code for no key update;
    update promo_code_customers set uses = uses - 1
     where promo_code_id = code_id and user_id = new.user_id and uses > 0;
    return null;
end $$;
create trigger orders_return_promo_use_of_customer after update of promo_use_returned on orders for each row
    when (new.promo_use_returned and not old.promo_use_returned and new.promo_code is not null)
    execute function orders_return_promo_use_of_customer();
-- Uses from before: 0304_promo_uses_before.sql.
