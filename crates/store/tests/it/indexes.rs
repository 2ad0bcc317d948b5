//! Every index serves a query, and the query uses it.

use std::collections::BTreeMap;

use lockstep_testkit::TestDb;
use sqlx::{AssertSqlSafe, Executor as _};

/// Each index and a query that uses it. Representative SQL; the store's real statements are in `crates/store/src`.
const QUERIES: &[(&str, &str)] = &[
    // Unique columns of `docs/data-model.md`.
    ("users_email_key", "select * from users where email = '77@example.org'"),
    ("games_slug_key", "select * from games where slug = 'game-77'"),
    (
        "games_g2a_product_id_key",
        "select * from games where g2a_product_id = any (array['p77', 'p78'])",
    ),
    (
        "games_price_idx",
        "select * from games where withdrawn_at is null order by price, id limit 20",
    ),
    (
        "games_in_stock_idx",
        "select count(*) from games where in_stock and g2a_product_id is not null",
    ),
    (
        "orders_user_id_idx",
        "select * from orders where user_id = (select id from users limit 1) order by created_at desc, id desc limit 20",
    ),
    (
        "orders_number_key",
        "select id from orders where number = '7ZK3M0Q9XA' and user_id = (select id from users limit 1)",
    ),
    (
        "orders_status_idx",
        "select * from orders where status = 'PROCESSING' order by created_at limit 100",
    ),
    (
        "orders_external_order_id_key",
        "select * from orders where external_order_id = 'x'",
    ),
    (
        "transactions_user_id_idx",
        "select * from transactions where user_id = (select id from users limit 1) order by created_at desc, id desc limit 20",
    ),
    (
        "transactions_order_id_idx",
        "select * from transactions where order_id = (select id from orders limit 1)",
    ),
    (
        "transactions_transaction_hash_key",
        "select * from transactions where transaction_hash = 'h'",
    ),
    // Accounts.
    (
        "avatars_id_key",
        "select image from avatars where id = '00000000-0000-4000-8000-000000000077'",
    ),
    // Catalogue.
    (
        "games_created_at_idx",
        "select * from games where withdrawn_at is null order by created_at desc, id desc limit 20",
    ),
    (
        "games_release_date_idx",
        "select * from games where withdrawn_at is null order by release_date desc, id desc limit 20",
    ),
    (
        "games_popularity_idx",
        "select * from games where withdrawn_at is null order by popularity desc, id desc limit 20",
    ),
    (
        "games_activation_service_idx",
        "select * from games where withdrawn_at is null and lower(activation_service) = 'rare'",
    ),
    (
        "games_region_idx",
        "select * from games where withdrawn_at is null and lower(region) = 'rare'",
    ),
    (
        "games_publisher_idx",
        "select * from games where withdrawn_at is null and lower(publisher) = 'publisher 7'",
    ),
    (
        "games_listed_idx",
        "select l.game_id, g.price from game_genres l cross join lateral (
             select g.price from games g where g.id = l.game_id and g.withdrawn_at is null and g.in_stock offset 0) g
          where l.genre_id = (select id from genres limit 1)",
    ),
    (
        "games_multiplayer_idx",
        "select exists (select 1 from games where multiplayer and withdrawn_at is null)",
    ),
    (
        "games_preorder_idx",
        "select * from games where is_preorder and withdrawn_at is null order by release_date, id limit 20",
    ),
    (
        "games_is_new_idx",
        "select * from games where is_new and withdrawn_at is null order by release_date desc, id desc limit 20",
    ),
    (
        "games_best_seller_idx",
        "select * from games where is_best_seller and withdrawn_at is null order by popularity desc, id desc limit 20",
    ),
    (
        "game_search_title_idx",
        "select game_id from game_search where title % 'game number 77'",
    ),
    (
        "game_search_beginning_idx",
        "select game_id from game_search
          where left(title, 200) collate \"C\" >= 'game number 77' and left(title, 200) collate \"C\" < 'game number 77!'
          order by left(title, 200) collate \"C\" limit 24",
    ),
    (
        "game_search_words_idx",
        "select game_id from game_search where words @@ to_tsquery('simple', 'w77')",
    ),
    (
        "game_categories_category_id_idx",
        "select game_id from game_categories where category_id = (select id from categories where slug = 's7')",
    ),
    (
        "game_genres_genre_id_idx",
        "select game_id from game_genres where genre_id = (select id from genres where slug = 's7')",
    ),
    (
        "game_platforms_platform_id_idx",
        "select game_id from game_platforms where platform_id = (select id from platforms where slug = 's7')",
    ),
    (
        "game_tags_tag_id_idx",
        "select game_id from game_tags where tag_id = (select id from tags where slug = 's7')",
    ),
    ("categories_name_key", "select id from categories where name = 'N7'"),
    ("categories_slug_key", "select id from categories where slug = 's7'"),
    ("genres_name_key", "select id from genres where name = 'N7'"),
    ("genres_slug_key", "select id from genres where slug = 's7'"),
    ("platforms_name_key", "select id from platforms where name = 'N7'"),
    ("platforms_slug_key", "select id from platforms where slug = 's7'"),
    ("tags_name_key", "select id from tags where name = 'N7'"),
    ("tags_slug_key", "select id from tags where slug = 's7'"),
    // Users.
    (
        "guest_sessions_expires_at_idx",
        "delete from guest_sessions where expires_at < now()",
    ),
    (
        "login_history_user_id_idx",
        "select * from login_history where user_id = (select id from users limit 1) order by created_at desc limit 100",
    ),
    (
        "login_history_created_at_idx",
        "delete from login_history where created_at < now() - interval '7 days'",
    ),
    (
        "login_history_attempts_idx",
        "select id from login_history where user_id is null and created_at < now() - interval '7 days' order by created_at limit 1000",
    ),
    (
        "users_admins_idx",
        "select id from users where role = 'ADMIN' order by id for no key update",
    ),
    (
        "user_sessions_user_id_idx",
        "select * from user_sessions where user_id = (select id from users limit 1) order by created_at desc",
    ),
    (
        "user_sessions_expires_at_idx",
        "select id from user_sessions where expires_at <= now() order by expires_at limit 1000",
    ),
    (
        "one_time_codes_user_id_idx",
        "select * from one_time_codes where user_id = (select id from users limit 1) and purpose = 'VERIFY_EMAIL' order by created_at desc",
    ),
    (
        "one_time_codes_link_key",
        "select user_id from one_time_codes where purpose = 'RESET_PASSWORD' and hash = sha256('x')",
    ),
    (
        "one_time_codes_expires_at_idx",
        "delete from one_time_codes where expires_at <= now()",
    ),
    (
        "rate_limits_debt_idx",
        "select key from rate_limits where debt <= now() order by debt limit 10000",
    ),
    // Fulfilment.
    (
        "g2a_orders_unit_idx",
        "select * from g2a_orders where order_unit_id = (select id from order_units limit 1)",
    ),
    (
        "incidents_open_idx",
        "select kind from incidents where resolved_at is null order by created_at limit 10",
    ),
    (
        "incidents_unit_idx",
        "delete from incidents where order_unit_id = (select id from order_units limit 1)",
    ),
    (
        "incidents_told_once",
        "select 1 from incidents where kind = 'KEY_LOST' and order_unit_id = (select id from order_units limit 1) and g2a_order_id = 'x'",
    ),
    (
        "unreadable_answers_open_idx",
        "select id from unreadable_answers where decided_at is null order by received_at limit 10",
    ),
    (
        "unreadable_answers_unit_idx",
        "select 1 from unreadable_answers where order_unit_id = (select id from order_units limit 1) and g2a_order_id = 'x'",
    ),
    (
        "unreadable_answers_game_idx",
        "select count(distinct g2a_order_id) from unreadable_answers where game_id = (select id from games limit 1) and received_at > now() - interval '1 day'",
    ),
    (
        "key_reveals_user_idx",
        "select * from key_reveals where user_id = (select id from users limit 1) and (at, id) > ('2020-01-01Z', '00000000-0000-0000-0000-000000000000') order by at, id limit 200",
    ),
    (
        "key_reveals_once_a_minute",
        "select * from key_reveals where game_key_id = (select id from game_keys limit 1)",
    ),
    (
        "key_reveals_at_idx",
        "select id from key_reveals where at < now() - interval '730 days' order by at limit 1000",
    ),
    (
        "top_ups_user_id_idx",
        "select * from top_ups where user_id = (select id from users limit 1) and (created_at, id) > ('2020-01-01Z', '00000000-0000-0000-0000-000000000000') order by created_at, id limit 5",
    ),
    (
        "top_ups_unpaid_idx",
        "select id from top_ups where status in ('FAILED', 'CANCELLED') and updated_at < now() - interval '180 days' order by updated_at limit 1000",
    ),
    (
        "incidents_created_at_idx",
        "select id from incidents where created_at < now() - interval '365 days' order by created_at limit 1000",
    ),
    (
        "webhook_events_taken_once",
        "select 1 from webhook_events where source = 'g2a' and event_id = 'e7' and order_ref = 'o7' and kind = 'k'",
    ),
    (
        "webhook_events_waiting_idx",
        "select id from webhook_events where applied_at is null and order_ref = 'o10'",
    ),
    (
        "webhook_events_kept_uuid_idx",
        "select id from webhook_events where applied_at is null and order_uuid = (select id from orders limit 1)",
    ),
    (
        "webhook_events_due_idx",
        "select id from webhook_events where due and applied_at is null order by received_at limit 50 for update skip locked",
    ),
    (
        "webhook_events_order_idx",
        "delete from webhook_events where order_id = (select id from orders limit 1)",
    ),
    (
        "webhook_events_received_idx",
        "select id from webhook_events where received_at < now() - interval '30 days' order by received_at limit 1000",
    ),
    (
        "mail_outbox_claim_idx",
        "select id from mail_outbox where sent_at is null and gave_up_at is null and urgent and not_before <= now() order by seq limit 10 for update skip locked",
    ),
    (
        "mail_outbox_recipient_idx",
        "select 1 from mail_outbox where sent_at is null and gave_up_at is null and recipient = '77@example.org' and urgent and seq < 100000",
    ),
    (
        "mail_outbox_late_idx",
        "select id from mail_outbox where sent_at is null and gave_up_at is null and not_after <= now() - interval '1 hour' limit 100 for update skip locked",
    ),
    (
        "mail_outbox_gave_up_idx",
        "select * from mail_outbox where gave_up_at is not null order by gave_up_at desc limit 20",
    ),
    (
        "mail_outbox_user_id_idx",
        "delete from mail_outbox where user_id = (select id from users limit 1)",
    ),
    (
        "mail_outbox_created_at_idx",
        "select id from mail_outbox where (sent_at is not null or gave_up_at is not null) and created_at < now() - interval '30 days' order by created_at limit 1000",
    ),
    (
        "cart_items_game_id_idx",
        "select user_id from cart_items where game_id = (select id from games limit 1)",
    ),
    (
        "wishlist_game_id_idx",
        "select user_id from wishlist where game_id = (select id from games limit 1)",
    ),
    // Orders, units, keys, money.
    (
        "promo_codes_code_key",
        "select * from promo_codes where code = 'GKEYS10'",
    ),
    (
        "orders_promo_code_idx",
        "select * from orders where promo_code = 'GKEYS10'",
    ),
    (
        "order_items_order_id_game_id_key",
        "select * from order_items where order_id = (select id from orders limit 1)",
    ),
    (
        "order_items_game_id_idx",
        "select 1 from order_items where game_id = (select id from games limit 1)",
    ),
    (
        "order_units_order_id_idx",
        "select * from order_units where order_id = (select id from orders limit 1)",
    ),
    (
        "order_units_item_position_key",
        "select * from order_units where order_item_id = (select id from order_items limit 1) order by position",
    ),
    (
        "order_units_g2a_order_id_key",
        "select * from order_units where g2a_order_id = 'o'",
    ),
    (
        "order_units_open_idx",
        "select * from order_units where state not in ('DONE', 'REFUNDED') and not_before <= now() order by not_before, id limit 10",
    ),
    (
        "game_keys_key_hash_key",
        "select * from game_keys where key_hash = sha256('x')",
    ),
    (
        "game_keys_order_unit_id_key",
        "select * from game_keys where order_unit_id = (select id from order_units limit 1)",
    ),
    (
        "game_keys_g2a_order_id_key",
        "select * from game_keys where g2a_order_id = 'o'",
    ),
    (
        "game_keys_order_id_idx",
        "select * from game_keys where order_id = (select id from orders limit 1)",
    ),
    (
        "game_keys_game_id_idx",
        "select 1 from game_keys where game_id = (select id from games limit 1)",
    ),
    (
        "game_keys_stock_idx",
        "select id from game_keys where game_id = (select id from games limit 1) and order_unit_id is null order by created_at limit 1 for update skip locked",
    ),
    (
        "transactions_purchase_order_id_key",
        "select status from transactions where order_id = (select id from orders limit 1) and type = 'PURCHASE'",
    ),
    (
        "transactions_booked_idx",
        "select sum(amount) from transactions where user_id = (select id from users limit 1) and status = 'COMPLETED'",
    ),
    (
        "orders_user_id_idempotency_key_key",
        "select id from orders where user_id = (select id from users limit 1) and idempotency_key = 'k'",
    ),
    (
        "top_ups_user_id_idempotency_key_key",
        "select * from top_ups where user_id = (select id from users limit 1) and idempotency_key = 'k'",
    ),
    (
        "top_ups_provider_reference_key",
        "select * from top_ups where provider = 'test' and reference = 'r7'",
    ),
    (
        "top_ups_transaction_id_key",
        "select 1 from top_ups where transaction_id = (select id from transactions limit 1)",
    ),
    (
        "top_ups_due_idx",
        "select id from top_ups where (status in ('PENDING', 'PROCESSING') or closing_since is not null) and reviewed_at is null
            and not_before <= now() order by not_before limit 10 for update skip locked",
    ),
    (
        "top_ups_review_idx",
        "select id from top_ups where review is not null and reviewed_at is null order by review_since limit 10",
    ),
    (
        "unused_deliveries_once",
        "select 1 from unused_deliveries where source = 'g2a' and digest = sha256('7')",
    ),
    (
        "unused_deliveries_received_idx",
        "select id from unused_deliveries order by received_at desc limit 200",
    ),
    (
        "unused_deliveries_user_id_idx",
        "select id from unused_deliveries where user_id = (select id from users limit 1) order by received_at, id limit 200",
    ),
    (
        "unused_deliveries_payers_idx",
        "select id from unused_deliveries where payers @> array['7@example.org']",
    ),
    (
        "payment_events_taken_once",
        "select 1 from payment_events where provider = 'test' and event_id = 'e7'",
    ),
    (
        "payment_events_top_up_id_idx",
        "select 1 from payment_events where top_up_id = (select id from top_ups limit 1)",
    ),
    (
        "payment_events_received_at_idx",
        "select event_id from payment_events where received_at < now() - interval '90 days' order by received_at limit 1000",
    ),
    (
        "idempotency_keys_at_idx",
        "select key from idempotency_keys where at < now() - interval '24 hours' order by at limit 10000",
    ),
    (
        "game_slugs_game_id_idx",
        "select slug from game_slugs where game_id = (select id from games where slug = 'game-7')",
    ),
    (
        "stock_alerts_game_id_idx",
        "select user_id from stock_alerts where game_id = (select id from games where slug = 'game-7') order by created_at limit 1000",
    ),
    ("audit_log_at_idx", "select * from audit_log order by at desc limit 20"),
    (
        "audit_log_subject_idx",
        "select * from audit_log where subject_id = (select id from users limit 1) order by at desc",
    ),
    (
        "audit_log_admin_idx",
        "select * from audit_log where admin_id = (select id from users limit 1) order by at desc",
    ),
    // The log, and the runs.
    (
        "cache_inval_xid_idx",
        "select tags from cache_inval where xid >= '99999999'",
    ),
    (
        "cache_inval_at_idx",
        "delete from cache_inval where at < now() - interval '25 hours'",
    ),
    (
        "sync_runs_started_at_idx",
        "select * from sync_runs order by started_at desc limit 20",
    ),
    (
        "sync_runs_kind_idx",
        "select * from sync_runs where kind = 'INCREMENTAL' order by started_at desc limit 1",
    ),
    (
        "sync_runs_last_completed_idx",
        "select * from sync_runs where kind = 'FULL' and status = 'COMPLETED' order by finished_at desc limit 1",
    ),
];

/// A few thousand rows, for query plans as in a real shop.
async fn populate(db: &TestDb) {
    db.execute(
        "insert into games (title, slug, description, price, image, release_date, created_at, popularity, g2a_product_id, in_stock,
                            g2a_stock, activation_service, region, publisher, is_preorder, is_new, is_best_seller, multiplayer)
         select 'Game number ' || n, 'game-' || n, 'About w' || n, 1 + (n * 7919) % 60, 'i', '2000-01-01Z'::timestamptz + (n * 7919) % 9000 * interval '1 day',
                '2020-01-01Z'::timestamptz + n * interval '1 minute', (n * 7907) % 1000, case when n % 5 > 0 then 'p' || n end, n % 3 = 0, n % 3 = 0,
                case when n % 500 = 0 then 'Rare' else 'Steam' end, case when n % 500 = 0 then 'RARE' else 'GLOBAL' end,
                'Publisher ' || n % 100, n % 50 = 0, n % 40 = 0, n % 30 = 0, n % 1000 = 0
           from generate_series(1, 4000) n;
         insert into categories (name, slug) select 'N' || n, 's' || n from generate_series(1, 300) n;
         insert into genres (name, slug) select 'N' || n, 's' || n from generate_series(1, 300) n;
         insert into platforms (name, slug) select 'N' || n, 's' || n from generate_series(1, 300) n;
         insert into tags (name, slug) select 'N' || n, 's' || n from generate_series(1, 300) n;
         insert into game_categories select g.id, c.id from games g join categories c on c.slug = 's' || right(g.slug, 2);
         insert into game_genres select g.id, c.id from games g join genres c on c.slug = 's' || right(g.slug, 2);
         insert into game_platforms select g.id, c.id from games g join platforms c on c.slug = 's' || right(g.slug, 2);
         insert into game_tags select g.id, c.id from games g join tags c on c.slug = 's' || right(g.slug, 2);
         insert into users (email, password_hash) select n || '@example.org', '$2a$10$' || repeat('a', 53) from generate_series(1, 200) n;
         insert into transactions (user_id, type, amount, status, created_at)
         select id, 'TOP_UP', 1, case when n % 2 = 0 then 'PENDING' else 'FAILED' end::payment_status, now() - n * interval '1 hour'
           from users, generate_series(1, 15) n;
         insert into login_history (user_id, succeeded) select id, true from users, generate_series(1, 15);
         insert into user_sessions (id, user_id, expires_at, refresh_id)
         select gen_random_uuid(), id, now() + n * interval '1 hour', id from users, generate_series(1, 15) n;
         insert into one_time_codes (user_id, purpose, hash, email, expires_at)
         select id, case when n % 2 = 0 then 'RESET_PASSWORD' else 'VERIFY_EMAIL' end, sha256((id::text || n)::bytea), email, now() + n * interval '1 hour'
           from users, generate_series(1, 15) n;
         insert into rate_limits select 'k' || n, now() + n * interval '1 second' from generate_series(1, 2000) n;
         insert into mail_outbox (user_id, recipient, kind, letter, not_after, sent_at, gave_up_at)
         select id, email, 'welcome', case when n = 1 then '{}'::jsonb end, now(), case when n > 2 then now() end, case when n = 2 then now() end
           from users, generate_series(1, 15) n;
         insert into top_ups (user_id, amount, method, provider, reference, status, not_before)
         select id, 1, 'card', 'test', id::text || n, case when n = 1 then 'PENDING' else 'FAILED' end::payment_status, now() + n * interval '1 minute'
           from users, generate_series(1, 15) n;
         insert into unused_deliveries (source, reason, body, payers, received_at)
         select 'g2a', 'NOT_OURS', n::text::bytea, array[n || '@example.org'], now() - n * interval '1 minute' from generate_series(1, 3000) n;
         insert into payment_events (provider, event_id, kind, top_up_id, outcome, received_at)
         select 'test', id::text, 'k', id, 'nothing', created_at + random() * interval '1 day' from top_ups;
         insert into game_slugs (slug, game_id) select 'old-' || slug, id from games;
         insert into stock_alerts (user_id, game_id) select u.id, g.id from users u join games g on not g.in_stock and right(g.slug, 2) = '07';
         insert into idempotency_keys (owner, route, key, request_hash, answer, at)
         select id, 'r', n::text, sha256('x'), 'null', now() + n * interval '1 hour' from users, generate_series(1, 15) n;
         insert into audit_log (admin_id, action, subject_kind, subject_id, at)
         select id, 'order.refund', 'user', id, now() + n * interval '1 second' from users, generate_series(1, 15) n;
         insert into cart_items (user_id, game_id) select u.id, g.id from users u join games g on g.in_stock and right(g.slug, 1) = left(u.email, 1);
         insert into wishlist (user_id, game_id) select user_id, game_id from cart_items;
         insert into game_keys (game_id, key_ciphertext, key_hash) select id, 'x', sha256(slug::bytea) from games;
         insert into guest_sessions (expires_at) select now() + n * interval '1 minute' from generate_series(1, 500) n;
         insert into sync_runs (kind, reason, epoch, status, finished_at)
         select case when n % 10 = 0 then 'FULL' else 'STOCK' end, 'schedule', n, 'COMPLETED', now() from generate_series(1, 500) n;
         insert into cache_inval (tags) select '{x}' from generate_series(1, 2000);
         alter table orders disable trigger orders_add_up;
         alter table order_items disable trigger order_items_add_up;
         alter table order_units disable trigger order_units_add_up;
         insert into orders (user_id, subtotal, total) select id, 1, 1 from users, generate_series(1, 10);
         insert into order_items (order_id, game_id, price) select o.id, g.id, 1 from orders o join games g on g.slug in ('game-1', 'game-2');
         insert into order_units (order_id, order_item_id, game_id, position, price_paid) select order_id, id, game_id, 1, 1 from order_items;
         insert into g2a_orders (g2a_order_id, order_unit_id, price) select 'g' || row_number() over (), id, 1 from order_units;
         insert into incidents (kind, order_unit_id, detail, resolved_at)
         select 'KEY_LOST', id, 'x', case when random() < 0.9 then now() end from order_units;
         insert into unreadable_answers (id, order_unit_id, game_id, g2a_order_id, sealed, bytes, complete, machine, received_at, decision, decided_at)
         select gen_random_uuid(), id, game_id, 'g' || id, 'x', 1, true, 'm', now() - random() * interval '300 days',
                case when n > 1 then 'DISCARDED' end, case when n > 1 then now() end
           from order_units, generate_series(1, 10) n;
         insert into key_reveals (game_key_id, user_id, how) select k.id, u.id, 'API' from (select id from game_keys limit 40) k, users u;
         insert into webhook_events (source, event_id, order_ref, kind, payload, order_id, applied_at)
         select 'g2a', 'e' || n, 'o' || n, 'k', '{}', (select id from orders limit 1), case when n % 10 > 0 then now() end from generate_series(1, 2000) n;
         analyze",
    )
    .await;
}

#[tokio::test]
async fn every_index_is_used_by_its_query() {
    let db = TestDb::new().await;
    // Primary keys are looked up by id everywhere; unique keys that are targets of foreign keys are in `coverage`.
    let existing: Vec<String> = sqlx::query_scalar(
        "select indexname::text from pg_indexes where schemaname = 'public' and indexname !~ '_pkey$'
            and indexname not in ('shoppers_id_kind_key', 'orders_id_user_id_key', 'order_items_id_order_id_game_id_key',
                                  'order_units_id_order_id_game_id_key') order by 1",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    let mut listed: Vec<&str> = QUERIES.iter().map(|(index, _)| *index).collect();
    listed.sort_unstable();
    assert_eq!(existing, listed);

    populate(&db).await;
    let mut connection = db.sql.acquire().await.unwrap();
    // Some tables are small here, and PostgreSQL would scan them sequentially.
    connection
        .execute("set enable_seqscan = off; set enable_bitmapscan = on")
        .await
        .unwrap();
    let mut unused = BTreeMap::new();
    for (index, query) in QUERIES {
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("explain (costs off) {query}")))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        let uses = plan.iter().any(|line| {
            line.ends_with(&format!(" {index}"))
                || line.contains(&format!(" {index} on "))
                || line.contains(&format!("using {index} "))
        });
        if !uses {
            unused.insert(*index, plan);
        }
    }
    assert!(unused.is_empty(), "not used: {unused:#?}");
}

/// Deleting a row is fast: an index finds the rows that refer to it.
#[tokio::test]
async fn every_foreign_key_has_an_index() {
    let db = TestDb::new().await;
    let unindexed: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint f
          where contype = 'f' and not exists (
                select 1 from pg_index i
                 where i.indrelid = f.conrelid and i.indisvalid
                   -- Some prefix of the index is made of the reference's columns.
                   and (i.indkey::int2[])[0] = any (f.conkey)
                   -- A partial index will do when all it leaves out is rows that refer to nothing.
                   and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = any (
                        select format('(%I IS NOT NULL)', attname) from pg_attribute
                         where attrelid = f.conrelid and attnum = any (f.conkey))))",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    assert_eq!(unindexed, [] as [String; 0]);
}
