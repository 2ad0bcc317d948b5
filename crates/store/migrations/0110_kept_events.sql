-- An event that comes before its order finds it by an index, and is looked at when the order appears: never all kept
-- events against all orders.
alter table webhook_events
    add column order_uuid uuid,                             -- order_ref where it has the form of an id of ours
    add column due        boolean not null default false;   -- the order is known; to be applied by whoever comes first

-- An order of ours that appears.
create index webhook_events_kept_uuid_idx on webhook_events (order_uuid) where applied_at is null;
-- Events to be applied.
create index webhook_events_due_idx on webhook_events (received_at) where due and applied_at is null;

update webhook_events set order_uuid = order_ref::uuid
 where order_ref ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$';
update webhook_events e set due = true
 where applied_at is null
   and (exists (select from orders o where o.id = e.order_uuid)
        or exists (select from g2a_orders g where g.g2a_order_id = e.order_ref));

-- Neither of two transactions that are under way, one that keeps an event and one that makes its order, can see the
-- other. So an event that finds nothing locks the slot of its reference and looks again, and who makes an order locks
-- that slot before looking for events: whoever comes second has waited for the first. Orders share slots with each
-- other; there are few, so that an import of any size fits into PostgreSQL's table of locks.
create function webhook_slot(reference text) returns integer language sql immutable set search_path from current as $$
    select hashtext(lower(reference)) & 255
$$;

create function webhook_events_find_order() returns trigger language plpgsql set search_path from current as $$
begin
    if new.applied_at is not null then
        return new;
    end if;
    if new.order_ref ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' then
        new.order_uuid := new.order_ref::uuid;
    end if;
    for look in 1..2 loop
        new.due := exists (select from orders where id = new.order_uuid)
                or exists (select from g2a_orders where g2a_order_id = new.order_ref);
        exit when new.due or look = 2;
        perform pg_advisory_xact_lock(hashtext('lockstep events'), webhook_slot(new.order_ref));
    end loop;
    return new;
end $$;
create trigger webhook_events_find_order before insert on webhook_events
    for each row execute function webhook_events_find_order();

create function orders_meet_events() returns trigger language plpgsql set search_path from current as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('lockstep events'), slot)
       from (select distinct webhook_slot(id::text) as slot from new_rows order by slot) slots;
    -- A statement of its own: it sees what was waited for.
    update webhook_events e set due = true from new_rows n
     where e.order_uuid = n.id and e.applied_at is null and not e.due;
    return null;
end $$;
create trigger orders_meet_events after insert on orders referencing new table as new_rows
    for each statement execute function orders_meet_events();

create function g2a_orders_meet_events() returns trigger language plpgsql set search_path from current as $$
begin
    perform pg_advisory_xact_lock_shared(hashtext('lockstep events'), slot)
       from (select distinct webhook_slot(g2a_order_id) as slot from new_rows order by slot) slots;
    update webhook_events e set due = true from new_rows n
     where e.order_ref = n.g2a_order_id and e.applied_at is null and not e.due;
    return null;
end $$;
create trigger g2a_orders_meet_events after insert on g2a_orders referencing new table as new_rows
    for each statement execute function g2a_orders_meet_events();
