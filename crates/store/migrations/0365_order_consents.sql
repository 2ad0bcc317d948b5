-- no-transaction
-- Consent to deliver keys before the withdrawal period ends: one row for an order. No key of an order is shown or sent
-- without it, which the database holds where each look at a key is recorded (`key_reveals`).
--
-- Each table in use is locked in a transaction of its own, and never for as long as its rows take.
begin;
create table if not exists order_consents (
    order_id   uuid primary key,
    source     text not null constraint order_consents_source_known check (source in (
                   'shopper',                              -- ticked here, or sent by a front-end with the wording's version
                   'front',                                -- the operator's front-end asks (LOCKSTEP_CONSENT=front)
                   'development',                          -- nobody was asked (LOCKSTEP_CONSENT=development)
                   'before')),                             -- placed by a version that did not ask
    wording    text,                                       -- version of the wording that was shown
    language   text,                                       -- ISO 639-1
    text       text,                                       -- the wording itself
    address    text,                                       -- IP address of the client
    user_agent text,
    at         timestamptz not null default now(),
    constraint order_consents_wording_of_a_shopper check (
        case source when 'shopper' then num_nulls(wording, language, text) = 0 else num_nonnulls(wording, language, text) = 0 end),
    constraint order_consents_bounded check (
        length(wording) <= 40 and length(language) <= 10 and length(text) <= 2000 and length(address) <= 100
        and length(user_agent) <= 500)
);
create or replace function order_consents_stay() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'TRUNCATE' and not exists (select from order_consents) then
        return null;
    elsif tg_op = 'DELETE' and not exists (select from orders where id = old.order_id) then
        return old;                                        -- goes along with its order
    end if;
    raise exception 'a consent is never changed or deleted'
        using errcode = 'check_violation', constraint = 'order_consents_stay', table = 'order_consents';
end $$;
drop trigger if exists order_consents_stay on order_consents;
create trigger order_consents_stay before update or delete on order_consents for each row execute function order_consents_stay();
drop trigger if exists order_consents_stay_all on order_consents;
create trigger order_consents_stay_all before truncate on order_consents for each statement execute function order_consents_stay();
-- Whether keys wait is part of an order's cached answer.
create or replace function cache_order_consents() returns trigger language plpgsql set search_path from current as $$
declare
    made_untrue text[];
begin
    if (select count(*) from (select from changed_rows limit 257) few) > 256 then
        made_untrue := '{order:*,user:*}';
    else
        select array_agg(distinct t) into made_untrue
          from changed_rows c join orders o on o.id = c.order_id, unnest(array['order:' || o.id, 'user:' || o.user_id || ':orders']) t;
    end if;
    if made_untrue is not null then
        insert into cache_inval (tags) values (made_untrue);
    end if;
    return null;
end $$;
drop trigger if exists cache_insert on order_consents;
create trigger cache_insert after insert on order_consents referencing new table as changed_rows for each statement execute function cache_order_consents();
drop trigger if exists cache_update on order_consents;
create trigger cache_update after update on order_consents referencing new table as changed_rows for each statement execute function cache_order_consents();
drop trigger if exists cache_delete on order_consents;
create trigger cache_delete after delete on order_consents referencing old table as changed_rows for each statement execute function cache_order_consents();
drop trigger if exists cache_truncate on order_consents;
create trigger cache_truncate after truncate on order_consents for each statement execute function cache_everything();
commit;

begin;
-- False: placed by a version that does not know consents. It runs beside this one during an update, and the database
-- writes its rows. A later release drops the column and the trigger.
alter table orders add column if not exists asks_consent boolean not null default false;
create or replace function orders_before_consent() returns trigger language plpgsql set search_path from current as $$
begin
    insert into order_consents (order_id, source, at)
    select id, 'before', created_at from new_rows where not asks_consent on conflict do nothing;
    return null;
end $$;
drop trigger if exists orders_before_consent on orders;
create trigger orders_before_consent after insert on orders referencing new table as new_rows
    for each statement execute function orders_before_consent();
commit;

-- Nothing old is locked away. The reference comes afterwards: it would lock each order that it checks.
insert into order_consents (order_id, source, at)
select id, 'before', created_at from orders where not asks_consent on conflict do nothing;

begin;
alter table order_consents drop constraint if exists order_consents_order_id_fkey;
alter table order_consents add constraint order_consents_order_id_fkey foreign key (order_id) references orders (id) on delete cascade not valid;
commit;
alter table order_consents validate constraint order_consents_order_id_fkey;

begin;
-- Named so that it comes before key_reveals_fold. Staff look at keys for other reasons.
create or replace function key_reveals_need_consent() returns trigger language plpgsql set search_path from current as $$
begin
    if new.how <> 'CONSOLE' and exists (
        select from game_keys k where k.id = new.game_key_id and k.order_id is not null
                                  and not exists (select from order_consents c where c.order_id = k.order_id)) then
        raise exception 'key % is of an order without consent', new.game_key_id
            using errcode = 'check_violation', constraint = 'key_reveals_need_consent', table = 'key_reveals';
    end if;
    return new;
end $$;
drop trigger if exists key_reveals_consent on key_reveals;
create trigger key_reveals_consent before insert on key_reveals for each row execute function key_reveals_need_consent();
commit;
