-- When a unit's wait began: with it, a wait can be told from what is left of it after the clock was set back.
alter table order_units add column waits_from timestamptz not null default now();

create function order_units_waits_from() returns trigger language plpgsql set search_path from current as $$
begin
    new.waits_from := now();
    return new;
end $$;
create trigger order_units_waits_from before update of not_before on order_units
    for each row execute function order_units_waits_from();
