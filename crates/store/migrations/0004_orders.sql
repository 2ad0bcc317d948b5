-- Orders, their units and keys, and the money. The rules that keep a sale honest are held here as well as in code: the
-- status machine, the totals, one PURCHASE an order, refunds never above what was paid, balance = sum of what is booked,
-- paid = delivered + refunded + in flight, no key without its unit and no delivered unit without its key.

create table promo_codes (
    id          uuid primary key default gen_random_uuid(),
    code        text not null constraint promo_codes_code_key unique
                constraint promo_codes_code_is_upper_case check (code = upper(code) and code ~ '^[A-Z0-9_-]{2,40}$'),
    discount    numeric(5,2) not null constraint promo_codes_discount_is_percent check (discount > 0 and discount <= 100),
    active      boolean not null default true,
    valid_from  timestamptz not null default now(),
    valid_until timestamptz,
    max_uses    integer constraint promo_codes_max_uses_positive check (max_uses > 0),      -- null: no limit
    used_count  integer not null default 0 constraint promo_codes_used_count_not_negative check (used_count >= 0),
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint promo_codes_uses_within_limit check (max_uses is null or used_count <= max_uses),
    constraint promo_codes_window check (isfinite(valid_from) and (valid_until is null or (valid_until > valid_from and isfinite(valid_until))))
);
create trigger promo_codes_touch before update on promo_codes for each row execute function touch_updated_at();
-- The only code that the existing shop front lets through.
insert into promo_codes (code, discount) values ('GKEYS10', 10);

create table orders (
    id                uuid primary key default gen_random_uuid(),
    user_id           uuid not null references users (id) on delete restrict,
    status            order_status not null default 'PENDING',
    subtotal          numeric(12,2) not null constraint orders_subtotal_not_negative check (subtotal >= 0 and subtotal < 'NaN'),
    discount          numeric(12,2) not null default 0 constraint orders_discount_within_subtotal check (discount >= 0 and discount <= subtotal),
    total             numeric(12,2) not null,
    payment_method    text,
    payment_status    payment_status,
    promo_code        text references promo_codes (code) on update cascade on delete restrict,
    external_order_id text constraint orders_external_order_id_key unique,   -- the first unit's order at G2A
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    completed_at      timestamptz,
    constraint orders_total_is_subtotal_less_discount check (total = subtotal - discount),
    constraint orders_completed_at_when_completed check ((completed_at is not null) = (status = 'COMPLETED')),
    constraint orders_id_user_id_key unique (id, user_id)
);
-- A user's orders, newest first.
create index orders_user_id_idx on orders (user_id, created_at desc);
-- Which orders used a code: it is renamed with them, and not deleted while they name it.
create index orders_promo_code_idx on orders (promo_code) where promo_code is not null;
-- Orders that are not settled yet: the worker's and the console's list.
create index orders_status_idx on orders (status, created_at);

create trigger orders_touch before update on orders for each row execute function touch_updated_at();

create table order_items (
    id       uuid primary key default gen_random_uuid(),
    order_id uuid not null references orders (id) on delete cascade,
    game_id  uuid not null references games (id) on delete restrict,
    quantity integer not null default 1 constraint order_items_quantity_positive check (quantity > 0),
    price    numeric(12,2) not null constraint order_items_price_positive check (price > 0 and price < 'NaN'),             -- a unit, EUR
    discount numeric(12,2) not null default 0 constraint order_items_discount_not_negative check (discount >= 0 and discount < 'NaN'),
    constraint order_items_order_id_game_id_key unique (order_id, game_id),
    constraint order_items_id_order_id_game_id_key unique (id, order_id, game_id)
);
-- Which orders hold a game: it may not be deleted then, and sales are counted by it.
create index order_items_game_id_idx on order_items (game_id);

-- One row a key: the unit of buying at G2A, which sells one key an order.
create table order_units (
    id                 uuid primary key default gen_random_uuid(),
    order_id           uuid not null,
    order_item_id      uuid not null,
    game_id            uuid not null,
    position           integer not null constraint order_units_position_positive check (position > 0),  -- 1.. within the item
    state              text not null default 'NEW' constraint order_units_state_known
                       check (state in ('NEW', 'ORDERING', 'ORDERED', 'PAYING', 'PAID', 'FETCHING', 'DONE', 'LOST', 'REFUNDED')),
    price_paid         numeric(12,2) not null constraint order_units_price_paid_not_negative check (price_paid >= 0 and price_paid < 'NaN'), -- by the shopper, discount taken off
    g2a_order_id       text constraint order_units_g2a_order_id_key unique,
    g2a_price          numeric(12,2) constraint order_units_g2a_price_not_negative check (g2a_price >= 0 and g2a_price < 'NaN'),
    g2a_transaction_id text,
    epoch              bigint not null default 0,          -- fence: a worker writes only with the epoch that it took
    attempts           integer not null default 0 constraint order_units_attempts_bounded check (attempts between 0 and 1000),
    not_before         timestamptz not null default now(), -- when the next step may be tried
    last_error         text,
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now(),
    constraint order_units_item_fk foreign key (order_item_id, order_id, game_id)
        references order_items (id, order_id, game_id) on delete cascade,
    constraint order_units_item_position_key unique (order_item_id, position),
    constraint order_units_id_order_id_game_id_key unique (id, order_id, game_id),
    -- Nothing is paid for that is not recorded.
    constraint order_units_paid_is_recorded check (state not in ('ORDERED', 'PAYING', 'PAID', 'FETCHING', 'LOST') or g2a_order_id is not null)
);
create index order_units_order_id_idx on order_units (order_id);
-- The worker's queue.
create index order_units_open_idx on order_units (not_before, id) where state not in ('DONE', 'REFUNDED');
create trigger order_units_touch before update on order_units for each row execute function touch_updated_at();

-- The same table as lockstep_domain::order; a test compares them.
create function order_status_may_become(old_status order_status, new_status order_status) returns boolean
language sql immutable return
    (old_status, new_status) in (
        ('PENDING'::order_status, 'PROCESSING'::order_status), ('PENDING', 'FAILED'), ('PENDING', 'CANCELLED'),
        ('PROCESSING', 'COMPLETED'), ('PROCESSING', 'FAILED'), ('PROCESSING', 'CANCELLED'));

create function unit_state_may_become(old_state text, new_state text) returns boolean
language sql immutable return
    (old_state, new_state) in (
        ('NEW', 'ORDERING'), ('NEW', 'DONE'), ('NEW', 'REFUNDED'),
        ('ORDERING', 'ORDERED'), ('ORDERING', 'NEW'), ('ORDERING', 'REFUNDED'),
        ('ORDERED', 'PAYING'), ('ORDERED', 'NEW'), ('ORDERED', 'REFUNDED'),
        ('PAYING', 'PAID'), ('PAYING', 'ORDERED'), ('PAYING', 'NEW'), ('PAYING', 'REFUNDED'),
        ('PAID', 'FETCHING'),
        ('FETCHING', 'DONE'), ('FETCHING', 'LOST'), ('FETCHING', 'PAID'),
        ('LOST', 'NEW'), ('LOST', 'REFUNDED'), ('LOST', 'DONE'));

create function orders_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'INSERT' then
        if new.status <> 'PENDING' then
            raise exception 'an order begins as PENDING, not %', new.status
                using errcode = 'check_violation', constraint = 'orders_begin_pending', table = 'orders';
        end if;
        return new;
    end if;
    if (old.user_id, old.subtotal, old.discount, old.total) is distinct from (new.user_id, new.subtotal, new.discount, new.total) then
        raise exception 'what was ordered and by whom does not change'
            using errcode = 'check_violation', constraint = 'orders_amounts_fixed', table = 'orders';
    end if;
    if old.status is distinct from new.status then
        if not order_status_may_become(old.status, new.status) then
            raise exception 'an order may not go from % to %', old.status, new.status
                using errcode = 'check_violation', constraint = 'orders_status_transition', table = 'orders';
        end if;
        if new.status = 'COMPLETED' then
            if not exists (select 1 from order_units where order_id = new.id and state = 'DONE')
               or exists (select 1 from order_units where order_id = new.id and state not in ('DONE', 'REFUNDED')) then
                raise exception 'COMPLETED needs a delivered unit, and none in flight'
                    using errcode = 'check_violation', constraint = 'orders_completed_is_delivered', table = 'orders';
            end if;
            new.completed_at := coalesce(new.completed_at, now());
        elsif new.status in ('FAILED', 'CANCELLED') then
            if exists (select 1 from order_units where order_id = new.id and state <> 'REFUNDED') then
                raise exception '% needs every unit refunded', new.status
                    using errcode = 'check_violation', constraint = 'orders_ended_is_refunded', table = 'orders';
            end if;
        end if;
    end if;
    return new;
end $$;
create trigger orders_guard before insert or update on orders for each row execute function orders_guard();

-- An order placed with a promo code is a use of it, whoever places the order; the limit is a check of promo_codes.
create function orders_use_promo_code() returns trigger language plpgsql set search_path from current as $$
begin
    update promo_codes set used_count = used_count + 1 where code = new.promo_code;
    return null;
end $$;
create trigger orders_use_promo_code after insert on orders for each row
    when (new.promo_code is not null) execute function orders_use_promo_code();

create function order_units_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'NEW' then
            raise exception 'a unit begins as NEW, not %', new.state
                using errcode = 'check_violation', constraint = 'order_units_begin_new', table = 'order_units';
        end if;
        return new;
    end if;
    -- What may have been paid for at G2A is not forgotten: its id is set while ordering and cleared by going back to NEW.
    if old.g2a_order_id is distinct from new.g2a_order_id and old.state not in ('NEW', 'ORDERING') and new.state <> 'NEW' then
        raise exception 'unit % is % at G2A as %', old.id, old.state, old.g2a_order_id
            using errcode = 'check_violation', constraint = 'order_units_g2a_order_id_fixed', table = 'order_units';
    end if;
    if old.state is distinct from new.state then
        if not unit_state_may_become(old.state, new.state) then
            raise exception 'a unit may not go from % to %', old.state, new.state
                using errcode = 'check_violation', constraint = 'order_units_state_transition', table = 'order_units';
        end if;
        if new.state in ('PAYING', 'DONE') and not exists (
            select 1 from transactions where order_id = new.order_id and type = 'PURCHASE' and status = 'COMPLETED') then
            raise exception 'order % is not paid', new.order_id
                using errcode = 'check_violation', constraint = 'order_units_sold_is_paid', table = 'order_units';
        end if;
    end if;
    return new;
end $$;
create trigger order_units_guard before insert or update on order_units for each row execute function order_units_guard();

-- Keys. Encrypted at rest; found again by a keyed hash.
create table game_keys (
    id              uuid primary key default gen_random_uuid(),
    game_id         uuid not null references games (id) on delete restrict,
    key_ciphertext  bytea not null,
    key_hash        bytea not null constraint game_keys_key_hash_key unique constraint game_keys_key_hash_length check (octet_length(key_hash) = 32),
    is_file         boolean not null default false,
    order_id        uuid,                                  -- null: our own stock
    order_unit_id   uuid constraint game_keys_order_unit_id_key unique,
    g2a_order_id    text constraint game_keys_g2a_order_id_key unique,
    activated       boolean not null default false,
    activation_date timestamptz,
    created_at      timestamptz not null default now(),
    constraint game_keys_order_and_unit_together check ((order_id is null) = (order_unit_id is null)),
    constraint game_keys_activation_has_a_date check ((activation_date is not null) = activated),
    constraint game_keys_unit_fk foreign key (order_unit_id, order_id, game_id)
        references order_units (id, order_id, game_id) on delete restrict
);
create index game_keys_order_id_idx on game_keys (order_id) where order_id is not null;
-- All keys of a game: it may not be deleted then.
create index game_keys_game_id_idx on game_keys (game_id);
-- Own stock of a game, sold before anything is bought.
create index game_keys_stock_idx on game_keys (game_id, created_at) where order_unit_id is null;

create function game_keys_guard() returns trigger language plpgsql set search_path from current as $$
begin
    if (tg_op = 'DELETE' and old.order_unit_id is not null)
       or (tg_op = 'TRUNCATE' and exists (select 1 from game_keys where order_unit_id is not null)) then
        raise exception 'a key that was sold is never deleted'
            using errcode = 'check_violation', constraint = 'game_keys_kept', table = 'game_keys';
    elsif tg_op <> 'UPDATE' then
        return old;
    end if;
    -- Who owns a key is decided once: a key that was given away can be seen by nobody else.
    if old.order_unit_id is not null and new.order_unit_id is distinct from old.order_unit_id then
        raise exception 'key % is already sold', old.id
            using errcode = 'check_violation', constraint = 'game_keys_sold_once', table = 'game_keys';
    end if;
    return new;
end $$;
create trigger game_keys_guard before update or delete on game_keys for each row execute function game_keys_guard();
create trigger game_keys_guard_all before truncate on game_keys for each statement execute function game_keys_guard();

-- At commit, a unit is DONE if and only if it has its key: "every key that reached the machine is stored, belongs to one
-- unit, is shown to one owner".
create function unit_has_its_key() returns trigger language plpgsql set search_path from current as $$
declare
    subject uuid;
begin
    if tg_table_name = 'order_units' then
        subject := new.id;
    else
        subject := new.order_unit_id;
    end if;
    if exists (select 1 from order_units u where u.id = subject
               and (u.state = 'DONE') <> exists (select 1 from game_keys where order_unit_id = u.id)) then
        raise exception 'unit % is DONE without a key, or has one and is not DONE', subject
            using errcode = 'check_violation', constraint = 'order_units_done_has_its_key', table = 'order_units';
    end if;
    return null;
end $$;
create constraint trigger order_units_have_keys after update of state on order_units
    deferrable initially deferred for each row execute function unit_has_its_key();
create constraint trigger game_keys_have_units after insert or update of order_unit_id on game_keys
    deferrable initially deferred for each row when (new.order_unit_id is not null) execute function unit_has_its_key();

create table transactions (
    id               uuid primary key default gen_random_uuid(),
    user_id          uuid not null references users (id) on delete restrict,
    order_id         uuid,
    type             transaction_type not null,
    amount           numeric(12,2) not null,               -- EUR; negative for purchases
    currency         text not null default 'EUR' constraint transactions_currency_is_eur check (currency = 'EUR'),
    method           text,
    status           payment_status not null,
    description      text,
    transaction_hash text constraint transactions_transaction_hash_key unique,
    gateway_response jsonb,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    -- The seed: "Amount sign must match transaction type". Zero is allowed for a purchase that a promo code made free.
    constraint transactions_amount_sign check (
        case type when 'PURCHASE' then amount < 0 or (amount = 0 and order_id is not null) else amount > 0 and amount < 'NaN' end),
    constraint transactions_top_up_has_no_order check (type <> 'TOP_UP' or order_id is null),
    -- An order and the money for it belong to one person.
    constraint transactions_order_fk foreign key (order_id, user_id) references orders (id, user_id) on delete restrict
);
-- The seed's "orderId must be unique if provided", for purchases; refunds link to the order too, any number.
create unique index transactions_purchase_order_id_key on transactions (order_id) where type = 'PURCHASE';
create index transactions_order_id_idx on transactions (order_id) where order_id is not null;
create index transactions_user_id_idx on transactions (user_id, created_at desc);
-- The sum that a balance is checked against.
create index transactions_booked_idx on transactions (user_id) include (amount) where status = 'COMPLETED';
create trigger transactions_touch before update on transactions for each row execute function touch_updated_at();

create function transactions_guard() returns trigger language plpgsql set search_path from current as $$
declare
    paid numeric(12,2);
    refunded numeric(12,2);
    owed numeric(12,2);
begin
    if tg_op = 'UPDATE' then
        if (old.user_id, old.order_id, old.type, old.amount, old.currency)
           is distinct from (new.user_id, new.order_id, new.type, new.amount, new.currency) then
            raise exception 'a transaction''s owner, order, type and amount do not change'
                using errcode = 'check_violation', constraint = 'transactions_facts_fixed', table = 'transactions';
        end if;
        if old.status is distinct from new.status and old.status not in ('PENDING', 'PROCESSING') then
            raise exception 'a transaction that is % stays so', old.status
                using errcode = 'check_violation', constraint = 'transactions_status_final', table = 'transactions';
        end if;
    end if;
    if new.type = 'PURCHASE' and new.order_id is not null and tg_op = 'INSERT' then
        select total into owed from orders where id = new.order_id;
        if new.amount is distinct from -owed then
            raise exception 'a purchase takes the order''s total, % and not %', owed, -new.amount
                using errcode = 'check_violation', constraint = 'transactions_purchase_is_order_total', table = 'transactions';
        end if;
    end if;
    if new.type = 'REFUND' and new.order_id is not null and new.status not in ('FAILED', 'CANCELLED') then
        perform 1 from orders where id = new.order_id for no key update;   -- refunds of one order one after the other
        select coalesce(sum(-amount), 0) into paid from transactions
         where order_id = new.order_id and type = 'PURCHASE' and status = 'COMPLETED';
        select coalesce(sum(amount), 0) into refunded from transactions
         where order_id = new.order_id and type = 'REFUND' and status not in ('FAILED', 'CANCELLED') and id <> new.id;
        if refunded + new.amount > paid then
            raise exception 'refunds of % would exceed the % paid', refunded + new.amount, paid
                using errcode = 'check_violation', constraint = 'transactions_refund_within_payment', table = 'transactions';
        end if;
    end if;
    return new;
end $$;
create trigger transactions_guard before insert or update on transactions for each row execute function transactions_guard();

create function booked_rows_stay() returns trigger language plpgsql set search_path from current as $$
begin
    if (tg_op = 'DELETE' and (old.status = 'COMPLETED' or old.type = 'PURCHASE'))
       or (tg_op = 'TRUNCATE' and exists (select 1 from transactions where status = 'COMPLETED' or type = 'PURCHASE')) then
        raise exception 'a completed transaction, and the purchase of an order, is never deleted'
            using errcode = 'check_violation', constraint = 'transactions_kept', table = 'transactions';
    end if;
    return old;
end $$;
create trigger transactions_kept before delete on transactions for each row execute function booked_rows_stay();
create trigger transactions_kept_all before truncate on transactions for each statement execute function booked_rows_stay();

-- At commit, a balance is the sum of what is booked. Two sessions cannot slip past this or the sums of an order below: each
-- has to add nothing to the difference on its own, and what adds nothing twice adds nothing.
create function balance_adds_up() returns trigger language plpgsql set search_path from current as $$
declare
    owner uuid;
    has numeric(12,2);
    booked numeric(12,2);
begin
    if tg_table_name = 'users' then
        owner := new.id;
    else
        owner := new.user_id;
    end if;
    select balance into has from users where id = owner;
    if not found then
        return null;
    end if;
    select coalesce(sum(amount), 0) into booked from transactions where user_id = owner and status = 'COMPLETED';
    if has <> booked then
        raise exception 'balance of user % is %, but completed transactions add up to %', owner, has, booked
            using errcode = 'check_violation', constraint = 'users_balance_is_sum_of_transactions', table = 'users';
    end if;
    return null;
end $$;
create constraint trigger users_balance_adds_up after insert or update of balance on users
    deferrable initially deferred for each row execute function balance_adds_up();
create constraint trigger transactions_balance_adds_up after insert or update of status on transactions
    deferrable initially deferred for each row execute function balance_adds_up();

-- At commit, an order adds up: its items make the subtotal, every copy has its unit, the units make the total, the money
-- for it is a PURCHASE, and what was refunded is the price of the units that are REFUNDED. So, of a paid order,
-- paid = delivered + refunded + in flight.
create function order_adds_up() returns trigger language plpgsql set search_path from current as $$
declare
    subjects uuid[];
    subject uuid;
    sums record;
    broken text;
begin
    if tg_table_name = 'orders' then
        subjects := array[new.id];
    elsif new.order_id is distinct from old.order_id then
        subjects := array[new.order_id, old.order_id];     -- one of them is null unless a row moved
    else
        subjects := array[new.order_id];
    end if;
    foreach subject in array subjects loop
        select o.subtotal, o.total,
               (select coalesce(sum(i.price * i.quantity), 0) from order_items i where i.order_id = o.id) as items,
               exists (select 1 from order_items i where i.order_id = o.id
                       and i.quantity <> (select count(*) from order_units u where u.order_item_id = i.id)) as miscounted,
               (select coalesce(sum(u.price_paid), 0) from order_units u where u.order_id = o.id) as units,
               (select coalesce(sum(u.price_paid), 0) from order_units u where u.order_id = o.id and u.state = 'REFUNDED') as given_up,
               (select t.status from transactions t where t.order_id = o.id and t.type = 'PURCHASE') as purchase,
               (select coalesce(sum(t.amount), 0) from transactions t
                 where t.order_id = o.id and t.type = 'REFUND' and t.status = 'COMPLETED') as refunds
          into sums from orders o where o.id = subject;
        continue when not found;
        broken := case
            when sums.subtotal <> sums.items then 'orders_subtotal_is_sum_of_items'
            when sums.miscounted then 'order_units_one_a_copy'
            when sums.total <> sums.units then 'orders_total_is_sum_of_units'
            when sums.purchase is null then 'orders_have_a_purchase'
            when sums.purchase = 'COMPLETED' and sums.refunds <> sums.given_up then 'orders_refunds_are_of_refunded_units'
        end;
        if broken is not null then
            raise exception 'order % does not add up: %', subject, row_to_json(sums)
                using errcode = 'check_violation', constraint = broken, table = 'orders';
        end if;
    end loop;
    return null;
end $$;
create constraint trigger orders_add_up after insert on orders
    deferrable initially deferred for each row execute function order_adds_up();
create constraint trigger order_items_add_up after insert or update or delete on order_items
    deferrable initially deferred for each row execute function order_adds_up();
create constraint trigger order_units_add_up after insert or delete or update of order_id, order_item_id, state, price_paid on order_units
    deferrable initially deferred for each row execute function order_adds_up();
create constraint trigger transactions_add_up after insert or update of status on transactions
    deferrable initially deferred for each row when (new.order_id is not null) execute function order_adds_up();
