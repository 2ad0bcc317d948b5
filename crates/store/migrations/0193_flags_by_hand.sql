-- What a person says of a game (best seller, new) stays as it was said, whatever the numbers say. Whoever changes one of
-- these flags and is not the refresh that computes them is a person; `update games set flags_by_hand = '{}'` gives the
-- flags back to the refresh.
alter table games add column flags_by_hand text[] not null default '{}'
    constraint games_flags_by_hand_known check (flags_by_hand <@ '{is_best_seller,is_new}'::text[]);

create function games_note_flags_by_hand() returns trigger language plpgsql set search_path from current as $$
declare
    best boolean := false;
    fresh boolean := false;
begin
    if coalesce(current_setting('lockstep.flags', true), '') = 'computed' then
        return new;
    end if;
    if tg_op = 'UPDATE' then
        best := old.is_best_seller;
        fresh := old.is_new;
    end if;
    if new.is_best_seller <> best then
        new.flags_by_hand := array_append(array_remove(new.flags_by_hand, 'is_best_seller'), 'is_best_seller');
    end if;
    if new.is_new <> fresh then
        new.flags_by_hand := array_append(array_remove(new.flags_by_hand, 'is_new'), 'is_new');
    end if;
    return new;
end $$;
create trigger games_flags_by_hand_update before update of is_best_seller, is_new on games
    for each row when (old.is_best_seller <> new.is_best_seller or old.is_new <> new.is_new)
    execute function games_note_flags_by_hand();
-- A game of the shop's own comes from a person; a game of G2A's comes with flags that were computed.
create trigger games_flags_by_hand_insert before insert on games
    for each row when (new.g2a_product_id is null and (new.is_best_seller or new.is_new))
    execute function games_note_flags_by_hand();
