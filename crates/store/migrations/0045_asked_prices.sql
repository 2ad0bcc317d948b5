-- What G2A asks is known only when an order is made there, and may be more than what it lists. The synchronisation keeps
-- to it for a while, so that the next shopper is not sold what cannot be bought for that (docs/purchase.md).
alter table games
    add column g2a_asked_price  numeric(12,2)              -- what a copy had to cost by that order, EUR, mark-up included
        constraint games_g2a_asked_price_positive check (g2a_asked_price > 0 and g2a_asked_price < 'NaN'),
    add column g2a_asked_at     timestamptz,               -- when it was asked
    add column g2a_asked_listed numeric(12,2)[],           -- {price, original_price} of the listing first seen after that
    add constraint games_g2a_asked_has_a_time check ((g2a_asked_price is null) = (g2a_asked_at is null)),
    add constraint games_g2a_asked_listed_is_of_an_asked_price check (g2a_asked_listed is null or g2a_asked_price is not null);
