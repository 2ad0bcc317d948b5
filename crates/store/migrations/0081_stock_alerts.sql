-- Members who asked to be told when a sold-out game is to be had again.
create table stock_alerts (
    user_id    uuid not null references users (id) on delete cascade,
    game_id    uuid not null references games (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (user_id, game_id)
);
-- Who waits for a game.
create index stock_alerts_game_id_idx on stock_alerts (game_id, created_at);

alter table mail_outbox drop constraint mail_outbox_kind_known;
alter table mail_outbox add constraint mail_outbox_kind_known check (kind in (
    'welcome', 'verification', 'reset', 'password-changed', 'new-device', 'order-received', 'keys-ready', 'refund', 'top-up',
    'back-in-stock'));

-- Turns those who have waited longest into letters, at most `most`, among alerts for `wanted` games (null: any) that
-- can be bought now; says how many. What an alert becomes it becomes once: its row goes in the same transaction.
-- The letter is lockstep_domain::letter::Letter::BackInStock.
create function tell_back_in_stock(wanted uuid[], most integer) returns bigint language sql set search_path from current as $$
    with due as (
        select a.user_id, a.game_id from stock_alerts a join games g on g.id = a.game_id
         where g.in_stock and g.withdrawn_at is null and (wanted is null or a.game_id = any (wanted))
         order by a.created_at limit most for update of a skip locked),
    told as (
        delete from stock_alerts a using due where a.user_id = due.user_id and a.game_id = due.game_id
        returning a.user_id, a.game_id),
    owed as (
        insert into mail_outbox (user_id, recipient, kind, letter, not_after)
        select u.id, u.email, 'back-in-stock',
               jsonb_build_object('kind', 'back-in-stock', 'nickname', coalesce(u.nickname, split_part(u.email, '@', 1)),
                                  'title', g.title, 'slug', g.slug, 'price', g.price::text),
               now() + interval '3 days'
          from told join users u on u.id = told.user_id join games g on g.id = told.game_id
         where u.deleted_at is null)
    select count(*) from told
$$;

-- With the change itself, however it comes about. A change that brings back more than a thousand people's games leaves
-- the rest to the sweep (crates/store/src/stock_alerts.rs), so that no synchronisation waits for letters.
create function games_back_in_stock() returns trigger language plpgsql set search_path from current as $$
declare
    back uuid[];
begin
    if not exists (select from stock_alerts) then
        return null;
    end if;
    select array_agg(n.id) into back
      from new_rows n join old_rows o on o.id = n.id
     where n.in_stock and n.withdrawn_at is null and not o.in_stock
       and exists (select from stock_alerts a where a.game_id = n.id);
    if back is not null then
        perform tell_back_in_stock(back, 1000);
    end if;
    return null;
end $$;
create trigger games_back_in_stock after update on games referencing old table as old_rows new table as new_rows
    for each statement execute function games_back_in_stock();
