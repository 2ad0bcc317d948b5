-- Changes of games at a time in the future, with an end.

-- How often people have changed what they may schedule, of each game: a scheduled change that was made before such a change
-- does not overwrite it. The database counts, so that plain SQL counts as well; what a scheduled change does itself
-- (lockstep.price_reason is SCHEDULE) does not.
create table game_edits (
    game_id  uuid not null references games (id) on delete cascade,
    field    text not null constraint game_edits_field_known check (field in ('PRICE', 'VISIBLE', 'FEATURED')),
    revision bigint not null default 1 constraint game_edits_revision_positive check (revision > 0),
    at       timestamptz not null default now(),
    primary key (game_id, field)
);

create function games_note_edits() returns trigger language plpgsql set search_path from current as $$
begin
    if current_setting('lockstep.price_reason', true) = 'SCHEDULE' then
        return null;
    end if;
    insert into game_edits (game_id, field)
    select n.id, f.field
      from new_rows n join old_rows o on o.id = n.id,
           lateral (values
               -- The price of a game of the shop's own is always people's.
               ('PRICE',
                (case when n.g2a_product_id is null or 'price' = any (n.fields_by_hand) then n.price end,
                 case when n.g2a_product_id is null or 'original_price' = any (n.fields_by_hand)
                      then coalesce(n.original_price_by_hand, n.original_price) end)
                is distinct from
                (case when o.g2a_product_id is null or 'price' = any (o.fields_by_hand) then o.price end,
                 case when o.g2a_product_id is null or 'original_price' = any (o.fields_by_hand)
                      then coalesce(o.original_price_by_hand, o.original_price) end)),
               ('VISIBLE', ('in_stock' = any (n.fields_by_hand)) <> ('in_stock' = any (o.fields_by_hand))),
               ('FEATURED', case when 'is_best_seller' = any (n.flags_by_hand) then n.is_best_seller end is distinct from
                            case when 'is_best_seller' = any (o.flags_by_hand) then o.is_best_seller end)) f (field, is_new)
     where f.is_new
     order by n.id, f.field
        on conflict (game_id, field) do update set revision = game_edits.revision + 1, at = now();
    return null;
end $$;
alter function games_note_edits() set enable_nestloop = off;
create trigger games_note_edits after update on games referencing old table as old_rows new table as new_rows
    for each statement execute function games_note_edits();

create table scheduled_changes (
    id          uuid primary key,
    game_id     uuid not null references games (id) on delete cascade,
    field       text not null constraint scheduled_changes_field_known check (field in ('PRICE', 'VISIBLE', 'FEATURED')),
    price       numeric(12,2),                             -- of PRICE, EUR
    is_sale     boolean not null default false,            -- of PRICE: the price of before is shown beside it
    below_cost  boolean not null default false,            -- of PRICE: also below the supplier's price
    value       boolean,                                   -- of VISIBLE and FEATURED
    starts_at   timestamptz not null,
    ends_at     timestamptz,                               -- then it is again as the rules say, or as staff had set it
    state       text not null default 'WAITING' constraint scheduled_changes_state_known
                check (state in ('WAITING', 'ACTIVE', 'DONE', 'SKIPPED', 'CANCELLED')),
    reason      text,                                      -- why it was skipped, or not taken back
    revision    bigint not null default 0,                 -- of the field, when it was scheduled (game_edits)
    before      jsonb,                                     -- what staff had set before it began
    created_by  uuid references users (id) on delete set null,
    created_at  timestamptz not null default now(),
    started_at  timestamptz,
    finished_at timestamptz,
    -- When something has to be done.
    due_at      timestamptz generated always as
                (case state when 'WAITING' then starts_at when 'ACTIVE' then ends_at end) stored,
    constraint scheduled_changes_says_what check (
        (field = 'PRICE') = (price is not null) and (field = 'PRICE') = (value is null) and (not (is_sale or below_cost) or field = 'PRICE')
        and (price > 0 and price < 'NaN')),
    constraint scheduled_changes_ends_later check (isfinite(starts_at) and ends_at > starts_at and isfinite(ends_at)),
    constraint scheduled_changes_finished_when_over check (
        (finished_at is not null) = (state in ('DONE', 'SKIPPED', 'CANCELLED'))),
    constraint scheduled_changes_active_until_its_end check (state <> 'ACTIVE' or (ends_at is not null and before is not null))
);
-- What is due (store.scheduled.due).
create index scheduled_changes_due_at_idx on scheduled_changes (due_at, state, id) where state in ('WAITING', 'ACTIVE');
-- The list (store.scheduled.list), and the sweep.
create index scheduled_changes_starts_at_idx on scheduled_changes (starts_at desc, id desc);
-- Those of a game, and whether one overlaps another.
create index scheduled_changes_game_id_idx on scheduled_changes (game_id);
create index scheduled_changes_created_by_idx on scheduled_changes (created_by);

-- Two changes of one field do not overlap: taking the first back would take the second back as well.
create function scheduled_changes_do_not_overlap() returns trigger language plpgsql set search_path from current as $$
begin
    perform 1 from games where id = new.game_id for no key update;
    if exists (select from scheduled_changes c
                where c.game_id = new.game_id and c.field = new.field and c.id <> new.id and c.state in ('WAITING', 'ACTIVE')
                  -- One without an end is a moment.
                  and tstzrange(c.starts_at, coalesce(c.ends_at, c.starts_at), case when c.ends_at is null then '[]' else '[)' end)
                      && tstzrange(new.starts_at, coalesce(new.ends_at, new.starts_at),
                                   case when new.ends_at is null then '[]' else '[)' end)) then
        raise exception 'another change of this is scheduled at that time'
            using errcode = 'check_violation', constraint = 'scheduled_changes_do_not_overlap', table = 'scheduled_changes';
    end if;
    return new;
end $$;
create trigger scheduled_changes_do_not_overlap before insert on scheduled_changes
    for each row execute function scheduled_changes_do_not_overlap();
