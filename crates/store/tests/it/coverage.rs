//! Every constraint, foreign key and field of the schema has a test.

use lockstep_testkit::TestDb;

use crate::world::World;

/// Constraints that need no `rules!` entry.
const TRIED_ELSEWHERE: &[&str] = &[
    // They exist only as targets of foreign keys; their first column is unique by itself.
    "shoppers_id_kind_key",
    "orders_id_user_id_key",
    "order_items_id_order_id_game_id_key",
    "order_units_id_order_id_game_id_key",
];

#[tokio::test]
async fn every_schema_rule_has_a_test() {
    let db = TestDb::new().await;
    // Primary keys of generated ids need no test; those that the schema uses as a rule (`cart_items_pkey`) are in the
    // lists and checked to exist.
    let held: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint where connamespace = 'public'::regnamespace and contype in ('c', 'u')
                and conrelid <> '_sqlx_migrations'::regclass
         union
         select r[1] from pg_proc, regexp_matches(prosrc, 'constraint = ''(\\w+)''', 'g') r
          where pronamespace = 'public'::regnamespace
         union
         select r[1] from pg_proc, regexp_matches(prosrc, 'then ''(\\w+)''', 'g') r where proname = 'order_adds_up'
         order by 1",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    let tried: Vec<&str> = [
        crate::rules_users::RULES,
        crate::rules_accounts::RULES,
        crate::rules_games::RULES,
        crate::rules_content::RULES,
        crate::rules_cards::RULES,
        crate::rules_carts::RULES,
        crate::rules_checkouts::RULES,
        crate::rules_prices::RULES,
        crate::rules_promo_codes::RULES,
        crate::rules_orders::RULES,
        crate::rules_money::RULES,
        crate::rules_payments::RULES,
        crate::rules_keys::RULES,
        crate::rules_law::RULES,
        crate::rules_sync::RULES,
        crate::rules_fulfilment::RULES,
        crate::rules_staff::RULES,
        crate::rules_settings::RULES,
        crate::rules_vat::RULES,
        TRIED_ELSEWHERE,
    ]
    .concat();
    let untried: Vec<&String> = held.iter().filter(|rule| !tried.contains(&rule.as_str())).collect();
    assert!(untried.is_empty(), "no `rules!` entry tries {untried:?}");
}

/// The foreign keys of `docs/data-model.md`: from, to, and what happens to a row when its target is deleted.
#[tokio::test]
async fn foreign_keys_match_the_data_model() {
    let db = TestDb::new().await;
    let references: Vec<String> = sqlx::query_scalar(
        "select format('%s(%s) -> %s: %s', conrelid::regclass,
                       (select string_agg(attname, ', ' order by n) from unnest(conkey) with ordinality k (attnum, n)
                          join pg_attribute a on a.attrelid = conrelid and a.attnum = k.attnum),
                       confrelid::regclass,
                       case confdeltype when 'c' then 'goes along' when 'r' then 'forbids' else confdeltype::text end)
           from pg_constraint where contype = 'f' order by 1",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    let mut expected = [
        "api_tokens(user_id) -> users: goes along",
        "audit_chain(entry_id) -> audit_log: forbids",
        "audit_log(admin_id) -> users: forbids",
        "avatars(user_id) -> users: goes along",
        // Only the author's name goes.
        "blog_articles(author_id) -> users: n",
        "bulk_change_games(bulk_id) -> bulk_changes: goes along",
        "bulk_change_games(game_id) -> games: goes along",
        // Who asked for it is forgotten with the account.
        "bulk_changes(created_by) -> users: n",
        "bulk_changes(undone_by) -> users: n",
        "cart_items(game_id) -> games: goes along",
        "cart_items(user_id) -> shoppers: goes along",
        "game_categories(category_id) -> categories: forbids",
        "game_categories(game_id) -> games: goes along",
        "game_genres(game_id) -> games: goes along",
        "game_genres(genre_id) -> genres: forbids",
        "g2a_orders(order_unit_id) -> order_units: forbids",
        "game_keys(faulty_unit_id, faulty_order_id, game_id) -> order_units: forbids",
        "game_keys(game_id) -> games: forbids",
        "game_keys(order_unit_id, order_id, game_id) -> order_units: forbids",
        "game_pictures(game_id) -> games: goes along",
        "game_platforms(game_id) -> games: goes along",
        "game_platforms(platform_id) -> platforms: forbids",
        "game_search(game_id) -> games: goes along",
        "game_slugs(game_id) -> games: goes along",
        "game_tags(game_id) -> games: goes along",
        "game_tags(tag_id) -> tags: forbids",
        "guest_sessions(id, kind) -> shoppers: goes along",
        "game_stops(game_id) -> games: goes along",
        "idempotency_keys(owner) -> shoppers: goes along",
        "impersonation_requests(impersonation_id) -> impersonations: goes along",
        "impersonations(staff_id) -> users: goes along",
        "impersonations(user_id) -> users: goes along",
        "import_balances(user_id) -> users: goes along",
        "import_rows(run_id) -> import_runs: goes along",
        "incidents(order_unit_id) -> order_units: goes along",
        "order_consents(order_id) -> orders: goes along",
        "withdrawals(card_refund_id) -> card_refunds: forbids",
        "withdrawals(decided_by) -> users: forbids",
        "withdrawals(order_id) -> orders: forbids",
        "withdrawals(user_id) -> users: forbids",
        "key_reveals(game_key_id) -> game_keys: forbids",
        "key_reveals(user_id) -> users: forbids",
        "login_history(user_id) -> users: goes along",
        "recent_things(user_id) -> users: goes along",
        "saved_views(user_id) -> users: goes along",
        "email_jobs(created_by) -> users: n",
        // Only the editor's name goes.
        "email_template_edits(edited_by) -> users: n",
        "mail_outbox(job_id) -> email_jobs: n",
        "mail_outbox(subscription_id) -> email_subscriptions: goes along",
        "mail_outbox(user_id) -> users: goes along",
        "one_time_codes(user_id) -> users: goes along",
        "order_items(game_id) -> games: forbids",
        "order_items(order_id) -> orders: goes along",
        "order_units(faulty_key_id) -> game_keys: forbids",
        "order_units(order_item_id, order_id, game_id) -> order_items: goes along",
        "orders(promo_code) -> promo_codes: forbids",
        "picked_games(game_id) -> games: goes along",
        "webhook_deliveries(endpoint_id) -> webhook_endpoints: goes along",
        "webhook_deliveries(event_id) -> outgoing_events: goes along",
        "webhook_secrets(endpoint_id) -> webhook_endpoints: goes along",
        "orders(user_id) -> users: forbids",
        // Entered for receipts; what receipts show is frozen with the order.
        "billing_profiles(user_id) -> users: goes along",
        "order_taxes(order_id) -> orders: forbids",
        "order_taxes(settings) -> tax_settings: forbids",
        "receipt_lines(receipt_id) -> receipts: forbids",
        "receipts(corrects) -> receipts: forbids",
        "receipts(order_id) -> orders: forbids",
        "receipts(settings) -> tax_settings: forbids",
        "receipts(transaction_id) -> transactions: forbids",
        "card_bookings(card_refund_id) -> card_refunds: forbids",
        "card_bookings(dispute_id) -> disputes: forbids",
        "card_bookings(transaction_id) -> transactions: forbids",
        "card_refunds(requested_by) -> users: forbids",
        "card_refunds(top_up_id) -> top_ups: forbids",
        "card_refunds(user_id) -> users: forbids",
        "dispute_evidence(dispute_id) -> disputes: forbids",
        "dispute_evidence(requested_by) -> users: forbids",
        "dispute_statuses(dispute_id) -> disputes: forbids",
        "disputes(top_up_id) -> top_ups: forbids",
        "disputes(user_id) -> users: forbids",
        "pending_checkouts(order_id, user_id) -> orders: forbids",
        "pending_checkouts(top_up_id) -> top_ups: goes along",
        "pending_checkouts(user_id) -> users: forbids",
        "payment_differences(provider) -> payment_comparisons: goes along",
        "payment_events(top_up_id) -> top_ups: forbids",
        "payment_holds(decided_by) -> users: forbids",
        "payment_holds(refund_id) -> card_refunds: forbids",
        "payment_holds(top_up_id) -> top_ups: forbids",
        "payment_holds(user_id) -> users: forbids",
        "payment_incidents(resolved_by) -> users: forbids",
        "payment_incidents(top_up_id) -> top_ups: forbids",
        "payment_incidents(user_id) -> users: forbids",
        "top_up_charges(top_up_id) -> top_ups: forbids",
        "top_up_origins(top_up_id) -> top_ups: goes along",
        "game_edits(game_id) -> games: goes along",
        "price_changes(game_id) -> games: goes along",
        "price_jobs(requested_by) -> users: n",
        "price_policy(saved_by) -> users: n",
        "price_rules(genre_id) -> genres: forbids",
        "price_rules(platform_id) -> platforms: forbids",
        "promo_batches(created_by) -> users: n",
        "promo_code_customers(promo_code_id) -> promo_codes: goes along",
        "promo_code_customers(user_id) -> users: goes along",
        "promo_code_games(game_id) -> games: forbids",
        "promo_code_games(promo_code_id) -> promo_codes: goes along",
        "promo_code_genres(genre_id) -> genres: forbids",
        "promo_code_genres(promo_code_id) -> promo_codes: goes along",
        "promo_code_platforms(platform_id) -> platforms: forbids",
        "promo_code_platforms(promo_code_id) -> promo_codes: goes along",
        "promo_codes(batch_id) -> promo_batches: forbids",
        "supplier_values(game_id) -> games: goes along",
        "scheduled_changes(created_by) -> users: n",
        "scheduled_changes(game_id) -> games: goes along",
        "seen_balances(session_id) -> user_sessions: goes along",
        "seen_email_templates(session_id) -> user_sessions: goes along",
        "seen_games(session_id) -> user_sessions: goes along",
        "staff_role_permissions(role) -> staff_roles: goes along",
        "stock_alerts(game_id) -> games: goes along",
        "stock_alerts(user_id) -> users: goes along",
        // Who asked for it is forgotten with the account.
        "supplier_jobs(requested_by) -> users: n",
        "sync_seen(run_id) -> sync_runs: goes along",
        "top_ups(transaction_id) -> transactions: forbids",
        "top_ups(user_id) -> users: forbids",
        "transactions(order_id, user_id) -> orders: forbids",
        "transactions(user_id) -> users: forbids",
        "unreadable_answers(game_id) -> games: goes along",
        "unreadable_answers(order_unit_id) -> order_units: goes along",
        "unused_deliveries(user_id) -> users: goes along",
        "user_sessions(staff_session_id) -> user_sessions: goes along",
        "user_sessions(user_id) -> users: goes along",
        "user_totals(user_id) -> users: goes along",
        "user_totp(user_id) -> users: goes along",
        "users(id, kind) -> shoppers: goes along",
        "users(staff_role) -> staff_roles: forbids",
        "webhook_events(order_id) -> orders: goes along",
        "wishlist(game_id) -> games: goes along",
        "wishlist(user_id) -> shoppers: goes along",
    ];
    expected.sort_unstable();
    let mut references = references;
    references.sort_unstable();
    assert_eq!(references, expected);
}

/// Every field of `docs/data-model.md` with its type. `?` marks a nullable one.
#[tokio::test]
async fn data_model_fields_have_their_columns() {
    let world = World::new().await;
    for (table, fields) in [
        (
            "users",
            "id uuid, email text, password_hash text, nickname text?, first_name text?, last_name text?, avatar text?, \
             balance numeric(12,2), role role, email_verified boolean, created_at timestamp with time zone, \
             updated_at timestamp with time zone",
        ),
        (
            "games",
            "id uuid, title text, slug text, description text, short_description text?, price numeric(12,2), \
             original_price numeric(12,2)?, discount integer?, currency text, image text, images text[], in_stock boolean, \
             g2a_product_id text?, g2a_stock boolean, g2a_last_sync timestamp with time zone?, \
             release_date timestamp with time zone, metacritic_score integer?, user_rating numeric(3,2)?, age_rating text?, \
             multiplayer boolean, activation_service text?, region text?, publisher text?, is_best_seller boolean, \
             is_new boolean, is_preorder boolean, rating_critic integer?, rating_user integer?, languages text[], \
             created_at timestamp with time zone, updated_at timestamp with time zone",
        ),
        (
            "orders",
            "id uuid, user_id uuid, status order_status, subtotal numeric(12,2), discount numeric(12,2), total numeric(12,2), \
             payment_method text?, payment_status payment_status?, promo_code text?, external_order_id text?, \
             created_at timestamp with time zone, completed_at timestamp with time zone?",
        ),
        (
            "transactions",
            "id uuid, user_id uuid, order_id uuid?, type transaction_type, amount numeric(12,2), currency text, method text?, \
             status payment_status, description text?, transaction_hash text?, gateway_response jsonb?, \
             created_at timestamp with time zone",
        ),
        (
            "cart_items",
            "user_id uuid, game_id uuid, quantity integer, added_at timestamp with time zone",
        ),
        (
            "wishlist",
            "user_id uuid, game_id uuid, added_at timestamp with time zone",
        ),
    ] {
        for field in fields.split(", ") {
            let (column, shape) = field.split_once(' ').unwrap();
            let found: Option<String> = sqlx::query_scalar(
                "select format_type(atttypid, atttypmod) || case when attnotnull then '' else '?' end
                   from pg_attribute where attrelid = $1::text::regclass and attname = $2",
            )
            .bind(table)
            .bind(column)
            .fetch_optional(&world.db.sql)
            .await
            .unwrap();
            assert_eq!(found.as_deref(), Some(shape), "{table}.{column}");
        }
    }
}
