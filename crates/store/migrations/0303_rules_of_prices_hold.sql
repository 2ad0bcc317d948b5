-- The rules of 0300_price_rules.sql and 0302_promotions.sql hold for every row: checked while the shop goes on.
alter table games validate constraint games_supplier_price_positive;
alter table games validate constraint games_supplier_retail_price_positive;
alter table games validate constraint games_g2a_asked_cost_positive;
alter table price_changes validate constraint price_changes_reason_known;
alter table promo_codes validate constraint promo_codes_amount_positive;
alter table promo_codes validate constraint promo_codes_min_order_positive;
alter table promo_codes validate constraint promo_codes_max_per_customer_positive;
alter table promo_codes validate constraint promo_codes_batch_id_fkey;
alter table promo_codes validate constraint promo_codes_discount_is_percent;
