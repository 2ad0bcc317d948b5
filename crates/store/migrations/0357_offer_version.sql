-- What a bulk change decides by, as a short name that changes with it: prices, what staff have set, listing. What only a pass over
-- the stock writes is no part of it.
create function offer_version(g games) returns text language sql stable as $$
    select md5((g.price, g.original_price, g.g2a_price, g.supplier_price, g.fields_by_hand, g.flags_by_hand, g.is_best_seller,
                g.withdrawn_at)::text)
$$;
