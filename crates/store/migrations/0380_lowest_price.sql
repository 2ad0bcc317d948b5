-- The lowest price of the 30 days before a reduction began, next to the price that it belongs to: lists read it from the row.
--
-- A reduction begins when a price that is compared with a higher one changes, or when a price begins to be compared with
-- one. From then on the number is kept: it is not the lowest of the last 30 days. A game that is compared from its first
-- moment on was never sold before, so it has none.
--
-- Days are those of UTC: 30 whole days before the day on which the reduction began, and that day until then.

alter table games add column lowest_price_30d numeric(12,2);  -- EUR; null: no reduction, or no earlier price

create function lowest_price_before(game uuid, asked numeric) returns numeric language plpgsql stable set search_path from current as $$
declare
    since timestamptz := (date_trunc('day', now() at time zone 'UTC') - interval '30 days') at time zone 'UTC';
    lowest numeric := asked;
begin
    -- Each price that ended since then, and the one that has held until now.
    select least(asked, min(previous_price)) into lowest from price_changes where game_id = game and at >= since;
    if exists (select from promo_codes where is_public and valid_from <= now()) then
        -- What a code that everybody knows made of the prices while it was valid.
        select least(lowest, min(round(s.price * (100 - p.discount) / 100, 2))) into lowest
          from (select c.previous_price as price, c.at as until,
                       coalesce(lag(c.at) over (order by c.id), since) as began
                  from price_changes c where c.game_id = game and c.at >= since
                union all
                select asked, now(), coalesce((select max(c.at) from price_changes c where c.game_id = game and c.at >= since), since)) s
          join promo_codes p on p.is_public and p.amount is null and not p.first_order_only and p.batch_id is null
                            and p.valid_from < s.until and coalesce(p.valid_until, 'infinity') > s.began
         where (not exists (select from promo_code_games r where r.promo_code_id = p.id)
                or exists (select from promo_code_games r where r.promo_code_id = p.id and r.game_id = game))
           and (not exists (select from promo_code_genres r where r.promo_code_id = p.id)
                or exists (select from promo_code_genres r join game_genres l on l.genre_id = r.genre_id
                            where r.promo_code_id = p.id and l.game_id = game))
           and (not exists (select from promo_code_platforms r where r.promo_code_id = p.id)
                or exists (select from promo_code_platforms r join game_platforms l on l.platform_id = r.platform_id
                            where r.promo_code_id = p.id and l.game_id = game));
    end if;
    -- A code of 100 % leaves nothing.
    return nullif(lowest, 0);
end $$;

create function games_lowest_price() returns trigger language plpgsql set search_path from current as $$
begin
    new.lowest_price_30d := case when new.original_price > new.price then lowest_price_before(new.id, old.price) end;
    return new;
end $$;
-- Rows whose price stays the same cost nothing, which most of a synchronisation's do.
create trigger games_lowest_price before update of price, original_price on games for each row
    when (new.price <> old.price
          or (coalesce(new.original_price, 0) > new.price) <> (coalesce(old.original_price, 0) > old.price))
    execute function games_lowest_price();
