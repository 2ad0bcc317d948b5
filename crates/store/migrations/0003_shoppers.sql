-- Users and guests. Both are shoppers, so that a cart always references somebody who exists and no user is invented
-- for a guest.

create table shoppers (
    id         uuid primary key default gen_random_uuid(),
    kind       text not null constraint shoppers_kind_known check (kind in ('USER', 'GUEST')),
    created_at timestamptz not null default now(),
    constraint shoppers_id_kind_key unique (id, kind)
);

create table users (
    id             uuid primary key default gen_random_uuid(),
    email          text not null constraint users_email_key unique
                   constraint users_email_is_lower_case check (email = lower(email))
                   constraint users_email_is_an_address check (email ~ '^[^@[:space:]]+@[^@[:space:]]+$' and length(email) <= 254),
    password_hash  text not null constraint users_password_is_bcrypt check (password_hash ~ '^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$'),
    nickname       text default 'Newbie Guy',
    first_name     text,
    last_name      text,
    avatar         text,
    balance        numeric(12,2) not null default 0 constraint users_balance_not_negative check (balance >= 0 and balance < 'NaN'),  -- EUR
    role           role not null default 'USER',
    email_verified boolean not null default false,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    kind           text not null generated always as ('USER') stored,
    constraint users_is_a_shopper foreign key (id, kind) references shoppers (id, kind) on delete cascade
        deferrable initially deferred
);

create trigger users_touch before update on users for each row execute function touch_updated_at();

-- After the insert and not before it: `insert … on conflict do nothing` that inserts nothing must not leave a shopper.
-- The argument is the kind.
create function become_shopper() returns trigger language plpgsql set search_path from current as $$
begin
    insert into shoppers (id, kind, created_at) values (new.id, tg_argv[0], new.created_at);
    return null;
end $$;
create trigger users_become_shoppers after insert on users for each row execute function become_shopper('USER');

-- Takes cart and wishlist along.
create function shoppers_leave() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'TRUNCATE' then
        delete from shoppers where kind = tg_argv[0];
    else
        delete from shoppers where id = old.id;
    end if;
    return null;
end $$;
create trigger users_leave after delete on users for each row execute function shoppers_leave();
create trigger users_leave_all after truncate on users for each statement execute function shoppers_leave('USER');

-- A guest's session; its id is what the cookie carries.
create table guest_sessions (
    id           uuid primary key default gen_random_uuid(),
    created_at   timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    expires_at   timestamptz not null default now() + interval '24 hours',  -- 24 h after last use
    kind         text not null generated always as ('GUEST') stored,
    constraint guest_sessions_is_a_shopper foreign key (id, kind) references shoppers (id, kind) on delete cascade
        deferrable initially deferred,
    constraint guest_sessions_expires_later check (expires_at > last_used_at)
);
-- The sweep of expired sessions.
create index guest_sessions_expires_at_idx on guest_sessions (expires_at);

create trigger guests_become_shoppers after insert on guest_sessions for each row execute function become_shopper('GUEST');
create trigger guests_leave after delete on guest_sessions for each row execute function shoppers_leave();
create trigger guests_leave_all after truncate on guest_sessions for each statement execute function shoppers_leave('GUEST');

-- At commit, a shopper is a user or a guest: no cart belongs to nobody.
create function shopper_is_somebody() returns trigger language plpgsql set search_path from current as $$
begin
    if exists (select 1 from shoppers where id = new.id)
       and not exists (select 1 from users where id = new.id)
       and not exists (select 1 from guest_sessions where id = new.id) then
        raise exception 'shopper % is neither a user nor a guest', new.id
            using errcode = 'check_violation', constraint = 'shoppers_are_somebody', table = 'shoppers';
    end if;
    return null;
end $$;
create constraint trigger shoppers_are_somebody after insert or update on shoppers
    deferrable initially deferred for each row execute function shopper_is_somebody();

create table login_history (
    id         uuid primary key default gen_random_uuid(),
    user_id    uuid not null references users (id) on delete cascade,
    succeeded  boolean not null,
    address    inet,
    user_agent text constraint login_history_user_agent_bounded check (length(user_agent) <= 500),
    created_at timestamptz not null default now()
);
-- A user's latest log-ins.
create index login_history_user_id_idx on login_history (user_id, created_at desc);

-- `user_id` is the seed's name; it holds a user's id or a guest session's.
create table cart_items (
    user_id    uuid not null references shoppers (id) on delete cascade,
    game_id    uuid not null references games (id) on delete cascade,
    quantity   integer not null default 1 constraint cart_items_quantity_positive check (quantity > 0),
    added_at   timestamptz not null default now(),
    price_seen numeric(12,2) constraint cart_items_price_seen_positive check (price_seen > 0 and price_seen < 'NaN'),  -- price when it was added
    primary key (user_id, game_id)
);
-- Which carts hold a game.
create index cart_items_game_id_idx on cart_items (game_id);

create table wishlist (
    user_id    uuid not null references shoppers (id) on delete cascade,
    game_id    uuid not null references games (id) on delete cascade,
    added_at   timestamptz not null default now(),
    price_seen numeric(12,2) constraint wishlist_price_seen_positive check (price_seen > 0 and price_seen < 'NaN'),
    primary key (user_id, game_id)
);
-- Which wishlists hold a game.
create index wishlist_game_id_idx on wishlist (game_id);

-- The seed: "Game must exist and be in stock". Existence is the foreign key; stock is looked up when a line is added,
-- raised, or moved (a guest's to a user). A game that sells out later stays in the cart and is refused at checkout.
create function cart_items_need_stock() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'UPDATE' and (new.user_id, new.game_id) = (old.user_id, old.game_id) and new.quantity <= old.quantity then
        return new;
    end if;
    if exists (select 1 from games where id = new.game_id and not in_stock) then
        raise exception 'game % is out of stock', new.game_id
            using errcode = 'check_violation', constraint = 'cart_items_game_in_stock', table = 'cart_items';
    end if;
    return new;
end $$;
create trigger cart_items_need_stock before insert or update on cart_items for each row execute function cart_items_need_stock();
