-- no-transaction
-- Uses of promo codes from before 0302_promotions.sql, by customer, while the shop goes on. Code by code: each is locked for a
-- moment, so that its orders are neither left out nor counted twice. An interrupted file is run again from its beginning.
do $$
declare
    used record;
begin
    for used in select p.id, p.code from promo_codes p
                 where exists (select from orders o where o.promo_code = p.code) order by p.id loop
        perform 1 from promo_codes where id = used.id for no key update;
        insert into promo_code_customers (promo_code_id, user_id, uses)
        select used.id, o.user_id, count(*) from orders o
         where o.promo_code = used.code and not o.promo_use_returned group by o.user_id order by o.user_id
            on conflict (promo_code_id, user_id) do update set uses = excluded.uses;
        commit;
    end loop;
end $$;
