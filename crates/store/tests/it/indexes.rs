//! Every index serves something, and what it serves uses it.

use std::collections::BTreeMap;

use Use::{By, Constraint, Like, Reference};
use lockstep_testkit::TestDb;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::statements;

/// What an index is for.
#[derive(Clone, Copy)]
enum Use {
    /// A statement of the store, by its name and with these values, which are SQL themselves.
    By(&'static str, &'static [&'static str]),
    /// A statement that is composed at run time, or is part of the schema; and what it looks for by this index.
    Like(&'static str, &'static str),
    /// When a row is deleted, the rows that refer to it are looked for.
    Reference,
    /// A rule: nothing looks for rows by it.
    Constraint,
}

const USER: &str = "(select id from users limit 1)";
const GAME: &str = "(select id from games limit 1)";
const ORDER: &str = "(select id from orders limit 1)";
const TOP_UP: &str = "(select id from top_ups limit 1)";
const UNIT: &str = "(select id from order_units limit 1)";
/// The first page of an export.
const EXPORT: &[&str] = &[USER, "null", "'00000000-0000-0000-0000-000000000000'", "200", "131072"];

/// A table that has a line for an index, which rustfmt would not leave.
macro_rules! indexes {
    ($($index:ident $purpose:ident $(($($part:expr),*))?;)*) => {
        const INDEXES: &[(&str, Use)] = &[$((stringify!($index), Use::$purpose $(($($part),*))?)),*];
    };
}

indexes! {
    // Unique columns of `docs/data-model.md`.
    users_email_key                      By("store.accounts.by_email", &["array['77@example.org']", "null", "90"]);
    games_slug_key                       By("store.games.by_slug", &["'game-77'"]);
    games_g2a_product_id_key             By("store.sync.withdraw", &["array['p77','p78']"]);
    games_price_idx                      Like("store.games.walk",
        "select id from games where withdrawn_at is null order by price, id limit 20");
    games_in_stock_idx                   By("store.sync.count_in_stock", &[]);
    orders_user_id_idx                   By("store.orders.list", &[USER, "0", "20"]);
    orders_number_key                    By("store.orders.by_number", &["'7ZK3M0Q9XA'", USER]);
    orders_status_idx                    By("store.fulfilment.unsettled", &[]);
    orders_external_order_id_key         Constraint;
    picked_games_game_id_key             Constraint;
    transactions_user_id_idx             By("store.ledger.transactions", &[USER, "0", "20"]);
    transactions_order_id_idx            Reference;
    transactions_transaction_hash_key    By("store.top_ups.outside.before", &["'h'"]);
    orders_created_at_idx                By("store.admin.dashboard.recent_orders", &[]);
    transactions_created_at_idx          By("store.admin.dashboard.recent_transactions", &[]);
    users_words_idx                      Like("store.admin.users.list",
        "select id from users where deleted_at is null and account_words(email, nickname, first_name, last_name) ilike '%77@exam%'");
    users_created_at_idx                 Like("store.admin.files.users",
        "select id from users where deleted_at is null order by created_at desc, id desc limit 20");
    // Accounts.
    api_tokens_hash_key                  By("store.api_tokens.find", &["sha256('7')"]);
    api_tokens_user_id_idx               By("store.accounts.delete.api_tokens", &[USER]);
    api_tokens_expires_at_idx            By("store.retention.api_tokens", &["30"]);
    saved_views_name_once                By("store.accounts.delete.views", &[USER]);
    game_pictures_id_key                 By("store.games.picture", &["'00000000-0000-0000-0000-000000000000'"]);
    avatars_id_key                       By("store.accounts.avatar", &["'00000000-0000-0000-0000-000000000000'"]);
    // Catalogue.
    games_created_at_idx                 By("store.games.new_in_catalog", &[]);
    games_release_date_idx               Like("store.games.walk",
        "select id from games where withdrawn_at is null order by release_date desc, id desc limit 20");
    games_popularity_idx                 By("store.games.popular_of_genre", &["(select id from genres where slug = 's300')", "30"]);
    games_activation_service_idx         Like("store.games.gather",
        "select id from games where withdrawn_at is null and lower(activation_service) = 'rare'");
    games_region_idx                     Like("store.games.gather",
        "select id from games where withdrawn_at is null and lower(region) = 'rare'");
    games_publisher_idx                  Like("store.games.gather",
        "select id from games where withdrawn_at is null and lower(publisher) = 'publisher 7'");
    games_listed_idx                     Like("store.games.facet_counts",
        "select l.game_id, g.price from game_genres l cross join lateral (
             select g.price from games g where g.id = l.game_id and g.withdrawn_at is null and g.in_stock offset 0) g
          where l.genre_id = (select id from genres limit 1)");
    games_multiplayer_idx                By("store.games.multiplayer_values", &[]);
    games_preorder_idx                   By("store.games.preorders", &[]);
    games_is_new_idx                     By("store.games.new_releases", &[]);
    games_best_seller_idx                By("store.games.best_sellers", &[]);
    game_search_title_idx                Like("store.games.search",
        "select game_id from game_search where title % 'game number 77'");
    game_search_beginning_idx            By("store.games.editions_near", &[GAME, "'game number 77'", "array['gold']", "24"]);
    game_search_words_idx                Like("store.games.search",
        "select game_id from game_search where words @@ to_tsquery('simple', 'w77')");
    game_categories_category_id_idx      Like("store.games.gather",
        "select game_id from game_categories where category_id = (select id from categories where slug = 's7')");
    game_genres_genre_id_idx             By("store.games.genres", &[]);
    game_platforms_platform_id_idx       By("store.games.platforms", &[]);
    game_tags_tag_id_idx                 Like("store.games.gather",
        "select game_id from game_tags where tag_id = (select id from tags where slug = 's7')");
    categories_name_key                  By("store.sync.find_categories", &["array['s7']", "array['N7']"]);
    categories_slug_key                  By("store.sync.find_categories", &["array['s7']", "array['N7']"]);
    genres_name_key                      By("store.sync.find_genres", &["array['s7']", "array['N7']"]);
    genres_slug_key                      By("store.sync.find_genres", &["array['s7']", "array['N7']"]);
    platforms_name_key                   By("store.sync.find_platforms", &["array['s7']", "array['N7']"]);
    platforms_slug_key                   By("store.sync.find_platforms", &["array['s7']", "array['N7']"]);
    tags_name_key                        By("store.sync.find_tags", &["array['s7']", "array['N7']"]);
    tags_slug_key                        By("store.sync.find_tags", &["array['s7']", "array['N7']"]);
    // Users.
    guest_sessions_expires_at_idx        By("store.guests.sweep", &["1000"]);
    login_history_user_id_idx            By("store.accounts.login_history", &[USER, "100"]);
    login_history_created_at_idx         By("store.accounts.sweep.logins", &["1000"]);
    login_history_attempts_idx           By("store.accounts.sweep.attempts", &["1000"]);
    users_admins_idx                     By("store.accounts.staff.lock_owners", &[]);
    user_sessions_user_id_idx            By("store.sessions.end_all_but", &[USER, "null"]);
    user_sessions_expires_at_idx         By("store.sessions.sweep", &["1000"]);
    user_sessions_staff_session_id_key   By("store.impersonations.begin.one_at_a_time", &[USER]);
    impersonations_user_id_idx           By("store.impersonations.requests", &[USER, "200"]);
    impersonations_staff_id_idx          Reference;
    impersonations_began_at_idx          By("store.retention.impersonations", &["365"]);
    one_time_codes_user_id_idx           By("store.accounts.spend_attempt", &[USER, "5"]);
    one_time_codes_link_key              By("store.accounts.reset_owner", &["sha256('x')"]);
    one_time_codes_expires_at_idx        By("store.accounts.sweep.codes", &["1000"]);
    rate_limits_debt_idx                 By("store.limits.sweep", &["1000"]);
    // Fulfilment.
    g2a_orders_unit_idx                  Reference;
    g2a_orders_replacements_idx          By("store.fulfilment.replace.spent", &["0"]);
    incidents_open_idx                   By("store.fulfilment.open_incidents", &[]);
    incidents_unit_idx                   Reference;
    incidents_told_once                  Constraint;
    unreadable_answers_open_idx          By("store.fulfilment.unreadable_waiting", &["10"]);
    unreadable_answers_unit_idx          By("store.fulfilment.unreadable_of_order", &[UNIT, "'x'"]);
    unreadable_answers_game_idx          By("store.fulfilment.stop_game", &[UNIT, "2", "3600", "3600"]);
    key_reveals_user_idx                 By("store.accounts.export.key_reveals", EXPORT);
    key_reveals_once_a_minute            Constraint;
    key_reveals_at_idx                   By("store.retention.reveals", &["730"]);
    // With the few of a user here, another index that begins with the user is as good for a page of 200.
    top_ups_user_id_idx                  Like("store.accounts.export.top_ups, a short page",
        "select * from top_ups where user_id = (select id from users limit 1) and (created_at, id) > ('2020-01-01Z', '00000000-0000-0000-0000-000000000000') order by created_at, id limit 5");
    top_ups_unpaid_idx                   By("store.retention.unpaid", &["180"]);
    incidents_created_at_idx             By("store.retention.incidents", &["365"]);
    webhook_events_taken_once            Constraint;
    webhook_events_waiting_idx           Like("g2a_orders_meet_events()",
        "select id from webhook_events where applied_at is null and order_ref = 'o10'");
    webhook_events_kept_uuid_idx         Like("orders_meet_events()",
        "select id from webhook_events where applied_at is null and order_uuid = (select id from orders limit 1)");
    webhook_events_due_idx               By("store.fulfilment.due_events", &[]);
    webhook_events_order_idx             Reference;
    webhook_events_received_idx          By("store.fulfilment.sweep_events", &["1000"]);
    mail_outbox_claim_idx                By("store.mail.claim", &["10", "10", "60", "array['welcome']", "true", "2"]);
    mail_outbox_recipient_idx            By("store.mail.claim", &["10", "10", "60", "array['welcome']", "true", "2"]);
    mail_outbox_late_idx                 By("store.mail.drop_late", &[]);
    mail_outbox_gave_up_idx              By("store.mail.counts", &[]);
    mail_outbox_user_id_idx              By("store.accounts.delete.mail", &[USER]);
    mail_outbox_created_at_idx           By("store.mail.sweep", &["1000"]);
    mail_outbox_announcements_idx        By("store.mail.claim", &["10", "10", "60", "array['welcome']", "true", "2"]);
    mail_outbox_job_id_idx               Reference;
    mail_outbox_subscription_id_idx      By("store.mail.announcements.drop", &["'00000000-0000-0000-0000-000000000000'"]);
    email_subscriptions_address_hash_key Constraint;
    email_subscriptions_written_at_idx   By("store.retention.subscriptions", &["365"]);
    email_jobs_created_at_idx            By("store.retention.email_jobs", &["90"]);
    email_jobs_created_by_idx            Reference;
    mail_outbox_kept_idx                 By("store.mail.erase_late", &["1000"]);
    email_template_edits_edited_by_idx   Reference;
    email_settings_active_key            By("store.mail.active_server", &[]);
    g2a_settings_client_id_key           Constraint;
    g2a_settings_active_key              Constraint;
    webhook_secrets_current_key          Constraint;
    webhook_secrets_endpoint_id_idx      Reference;
    import_runs_open_key                 Constraint;
    import_rows_run_id_idx               By("store.imports.undo.keys", &["'00000000-0000-7000-8000-000000000000'"]);
    outgoing_events_created_at_idx       By("store.webhooks.sweep", &["14"]);
    outgoing_events_order_idx            Like("store.admin.history.webhooks_of_order",
        "select id from outgoing_events where data ->> 'orderId' = '00000000-0000-0000-0000-000000000000'");
    webhook_deliveries_event_id_endpoint_id_key Constraint;
    webhook_deliveries_waiting_idx       Like("store.webhooks.claim",
        "select id from webhook_deliveries where endpoint_id = (select id from webhook_endpoints limit 1) and state = 'waiting' and not_before <= now() order by not_before limit 4");
    webhook_deliveries_leased_idx        Like("store.webhooks.claim",
        "select endpoint_id, count(*) from webhook_deliveries where lease is not null and not_before > now() group by endpoint_id");
    webhook_deliveries_failed_idx        Like("store.admin.webhooks.list",
        "select id from webhook_deliveries where endpoint_id = (select id from webhook_endpoints limit 1) and state = 'failed' limit 10000");
    webhook_deliveries_endpoint_id_idx   Like("store.admin.webhooks.deliveries",
        "select id from webhook_deliveries where endpoint_id = (select id from webhook_endpoints limit 1) order by created_at desc, id limit 20");
    cart_items_game_id_idx               Reference;
    wishlist_game_id_idx                 Reference;
    cart_items_added_at_idx              By("store.admin.carts.list", &["null", "null", "20", "0"]);
    wishlist_added_at_idx                By("store.admin.wishlists.list", &["null", "null", "20", "0"]);
    // Orders, units, keys, money.
    promo_codes_code_key                 By("store.orders.place.promo_code", &["'GKEYS10'", "(select id from users limit 1)", "array(select id from games limit 3)"]);
    orders_promo_code_idx                Reference;
    order_items_order_id_game_id_key     By("store.orders.lines", &["array[(select id from orders limit 1)]"]);
    order_items_game_id_idx              Reference;
    order_units_order_id_idx             By("store.fulfilment.cancel_kept", &[ORDER]);
    order_units_item_position_key        Constraint;
    order_units_g2a_order_id_key         Constraint;
    order_units_faulty_key_id_key        Reference;
    order_units_open_idx                 By("store.fulfilment.next_due", &[]);
    game_keys_key_hash_key               By("store.fulfilment.find_key", &["array[sha256('x')]"]);
    game_keys_order_unit_id_key          By("store.orders.copies", &["array[(select id from orders limit 1)]"]);
    game_keys_g2a_order_id_key           By("store.fulfilment.record_key.known", &["'o'"]);
    game_keys_order_id_idx               By("store.fulfilment.keys_of_order", &[ORDER, USER]);
    game_keys_game_id_idx                Reference;
    game_keys_created_at_idx             By("store.admin.keys.list", &["null", "null", "null", "null", "null", "50", "0"]);
    game_keys_faulty_order_id_idx        Reference;
    game_keys_stock_idx                  By("store.fulfilment.sell_own.find", &[UNIT]);
    transactions_purchase_order_id_key   Constraint;
    transactions_booked_idx              Like("the trigger that adds bookings up",
        "select sum(amount) from transactions where user_id = (select id from users limit 1) and status = 'COMPLETED'");
    orders_user_id_idempotency_key_key   By("store.orders.place.before", &[USER, "'k'", "sha256('x')"]);
    top_ups_user_id_idempotency_key_key  By("store.top_ups.begin.before", &[USER, "'k'"]);
    top_ups_provider_reference_key       By("store.top_ups.by_reference", &["'test'", "'r7'"]);
    top_ups_transaction_id_key           Constraint;
    top_ups_due_idx                      By("store.top_ups.due", &["'test'", "10", "60"]);
    top_ups_review_idx                   By("store.top_ups.to_review", &["10"]);
    unused_deliveries_once               By("store.deliveries.keep", &["'g2a'", "'NOT_OURS'", "null", "null", "null", "'x'", "null", "null"]);
    unused_deliveries_received_idx       By("store.deliveries.latest", &["true", "200"]);
    unused_deliveries_user_id_idx        By("store.accounts.export.deliveries", EXPORT);
    unused_deliveries_payers_idx         By("store.accounts.delete.deliveries", &[USER, "'7@example.org'"]);
    top_up_charges_charge_key            By("store.cards.charges.is_known", &["'ch_7'", "'pi_7'"]);
    top_up_charges_payment_intent_key    By("store.cards.charges.is_known", &["'ch_7'", "'pi_7'"]);
    withdrawals_created_at_idx           By("store.withdrawals.list", &["null", "0", "20"]);
    withdrawals_open_idx                 Like("store.withdrawals.list",
        "select id from withdrawals where state = 'OPEN' order by created_at desc, id desc limit 20");
    withdrawals_order_id_idx             Reference;
    withdrawals_user_id_idx              Reference;
    withdrawals_decided_by_idx           Reference;
    withdrawals_card_refund_id_idx       Reference;
    price_changes_lowest_idx             Like("lowest_price_before",
        "select min(previous_price) from price_changes where game_id = (select id from games limit 1) and at >= now() - interval '30 days'");
    promo_codes_public_idx               Like("lowest_price_before",
        "select 1 from promo_codes where is_public and valid_from <= now() limit 1");
    card_refunds_reference_key           By("store.cards.refunds.known", &["'re_7'", "null", "null"]);
    card_refunds_idempotency_key_once    By("store.cards.refunds.before", &[TOP_UP, "'k7'"]);
    card_refunds_top_up_id_idx           By("store.cards.refunds.of_top_up", &[TOP_UP]);
    card_refunds_requested_by_idx        Reference;
    card_refunds_user_id_idx             Reference;
    card_refunds_debt_idx                Like("settle_cards()", "select id from card_refunds where user_id = (select id from users limit 1) and debt > 0");
    card_refunds_due_idx                 Like("store.cards.refunds.claim",
        "select id from card_refunds where state in ('REQUESTED', 'PENDING') and not_before <= now() order by not_before limit 10");
    disputes_reference_key               By("store.cards.disputes.known", &["'du_7'"]);
    disputes_top_up_id_idx               Reference;
    disputes_user_id_idx                 Reference;
    dispute_statuses_told_once           Constraint;
    dispute_evidence_once                Constraint;
    dispute_evidence_dispute_id_idx      By("store.cards.evidence.last", &["(select id from disputes limit 1)"]);
    dispute_evidence_requested_by_idx    Reference;
    dispute_evidence_due_idx             Like("store.cards.evidence.claim",
        "select id from dispute_evidence where state = 'REQUESTED' and not_before <= now() order by not_before limit 10");
    evidence_key_one                     Constraint;
    payment_holds_once                   Constraint;
    payment_holds_refund_id_idx          Reference;
    payment_holds_decided_by_idx         Reference;
    payment_holds_user_id_idx            Like("buyer_is_held()",
        "select id from payment_holds where user_id = (select id from users limit 1) and state in ('OPEN', 'REFUNDING') and (ends_at is null or ends_at > now())");
    payment_holds_all_user_id_idx        Reference;
    payment_holds_created_at_idx         By("store.cards.holds.list", &["null", "20", "0"]);
    payment_incidents_due_idx            By("store.cards.incidents.alarm", &[]);
    top_up_charges_card_idx              Like("store.cards.holds.judge",
        "select top_up_id from top_up_charges where card_fingerprint = 'fp_7'");
    top_up_origins_created_at_idx        By("store.retention.origins", &["540"]);
    payment_differences_told_once        Constraint;
    disputes_holding_idx                 Like("buyer_is_held()",
        "select id from disputes where user_id = (select id from users limit 1) and (state = 'OPEN' or debt > 0)");
    disputes_opened_at_idx               By("store.cards.disputes.list", &["null", "0", "20"]);
    card_bookings_card_refund_id_idx     Reference;
    order_taxes_review_idx               By("store.vat.report.to_review", &["'2026-01-01'", "'2026-04-01'"]);
    order_taxes_settings_idx             Reference;
    order_taxes_buyer_idx                By("store.retention.buyers", &["10"]);
    receipts_number_key                  Constraint;
    receipts_transaction_id_key          Reference;
    receipts_numbered_once               Like("receipt_series_used()",
        "select id from receipts where kind = 'RECEIPT' and year = 2026 and position = 7");
    receipts_one_an_order                Constraint;
    receipts_order_id_idx                By("store.vat.receipts.of_order", &[ORDER, "null"]);
    receipts_corrects_idx                Reference;
    receipts_settings_idx                Reference;
    receipts_issued_at_idx               By("store.vat.receipts.list", &["null", "null", "null", "null", "false", "0", "20"]);
    card_bookings_dispute_id_idx         Reference;
    payment_incidents_told_once          By("store.cards.incidents.resolve", &["'DISPUTE'", "'du_7'"]);
    payment_incidents_top_up_id_idx      Reference;
    payment_incidents_resolved_by_idx    Reference;
    payment_incidents_user_id_idx        Like("buyer_is_held()",
        "select id from payment_incidents where user_id = (select id from users limit 1) and kind = 'FRAUD_WARNING' and resolved_at is null");
    payment_incidents_open_idx           By("store.cards.incidents.open", &["20", "null"]);
    payment_inbox_taken_once             By("store.cards.inbox.done", &["'stripe'", "'e7'", "'same'"]);
    payment_inbox_due_idx                By("store.cards.inbox.claim", &["'stripe'", "10", "60"]);
    payment_inbox_done_at_idx            By("store.cards.inbox.sweep", &["1000"]);
    pending_checkouts_due_idx            By("store.pending_checkouts.due", &["10"]);
    pending_checkouts_user_id_idx        By("store.accounts.delete.checkouts", &[USER]);
    pending_checkouts_order_placed_once  Like("store.admin.history.of_order",
        "select top_up_id from pending_checkouts where order_id = (select id from orders limit 1)");
    payment_events_taken_once            By("store.top_ups.apply.taken", &["'test'", "'e7'"]);
    payment_events_top_up_id_idx         Reference;
    payment_events_received_at_idx       By("store.top_ups.sweep", &["1000"]);
    idempotency_keys_at_idx              By("store.idempotency.sweep", &["1000"]);
    game_slugs_game_id_idx               Reference;
    price_changes_game_id_idx            By("store.admin.games.prices", &[GAME]);
    price_policy_saved_by_idx            Reference;
    price_rules_genre_id_idx             Reference;
    price_rules_platform_id_idx          Reference;
    price_jobs_open_idx                  Constraint;
    price_jobs_requested_at_idx          By("store.price_rules.jobs", &["20", "0"]);
    price_jobs_requested_by_idx          Reference;
    merged_terms_into_id_idx             By("store.admin.taxonomies.move", &["gen_random_uuid()", "gen_random_uuid()"]);
    bulk_changes_open_idx                By("store.bulk.open", &[]);
    bulk_changes_created_at_idx          By("store.bulk.list", &["20", "0"]);
    bulk_changes_created_by_idx          Reference;
    bulk_changes_undone_by_idx           Reference;
    bulk_change_games_state_idx          By("store.bulk.next", &["(select id from bulk_changes limit 1)", "'WAITING'", "100"]);
    bulk_change_games_game_id_idx        Reference;
    games_title_idx                      By("store.admin.catalogue.by_title",
        &["null", "null", "null", "null", "null", "null", "null", "null", "null", "null", "null", "50", "'game 7'", GAME]);
    scheduled_changes_due_at_idx         By("store.scheduled.due", &["now() - interval '300 hours'"]);
    scheduled_changes_starts_at_idx      By("store.scheduled.list", &["null", "null", "null", "20", "0"]);
    scheduled_changes_game_id_idx        Reference;
    scheduled_changes_created_by_idx     Reference;
    promo_batches_created_at_idx         By("store.admin.promo_batches.list", &["null", "20", "0"]);
    promo_batches_created_by_idx         Reference;
    promo_codes_batch_id_idx             By("store.admin.promo_batches.switch", &["(select id from promo_batches limit 1)", "false"]);
    promo_code_games_game_id_idx         Reference;
    promo_code_genres_genre_id_idx       Reference;
    promo_code_platforms_platform_id_idx Reference;
    promo_code_customers_user_id_idx     Reference;
    price_changes_at_idx                 By("store.retention.prices", &["730"]);
    // Content.
    blog_articles_slug_key               By("store.content.article_by_slug", &["'article-77'"]);
    blog_articles_published_at_idx       By("store.content.articles", &["null", "null", "20", "0"]);
    blog_articles_author_id_idx          Reference;
    stock_alerts_game_id_idx             Like("tell_back_in_stock()",
        "select user_id from stock_alerts where game_id = any (array(select id from games limit 2)) order by created_at limit 1000");
    users_staff_role_idx                 Reference;
    audit_chain_entry_id_key             Constraint;
    audit_log_at_idx                     Like("an operator in the console",
        "select * from audit_log order by at desc limit 20");
    audit_log_subject_idx                By("store.ledger.adjust.before", &["'h'", USER, "1", "'reason'"]);
    audit_log_admin_idx                  By("store.accounts.delete.look", &[USER]);
    // The log, and the runs.
    cache_inval_xid_idx                  By("store.invalidation.look", &["'99999999'", "'99999999:99999999:'", "100", "100"]);
    cache_inval_at_idx                   By("store.invalidation.prune", &["90000", "1000"]);
    sync_runs_started_at_idx             By("store.sync.recent_runs", &["20"]);
    sync_runs_kind_idx                   By("store.sync.take_up_run", &["'FULL'", "7", "86400"]);
    sync_runs_last_completed_idx         By("store.games.last_synced", &[]);
    verifications_open_key               Constraint;
    verifications_began_at_idx           By("store.verify.last", &[]);
    supplier_jobs_open_idx               By("store.jobs.open", &["'CATALOGUE'"]);
    supplier_jobs_requested_at_idx       By("store.jobs.list", &["20", "0"]);
    supplier_jobs_requested_by_idx       Reference;
}

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
         -- One that many games have.
         insert into game_genres select g.id, c.id from games g join genres c on c.slug = 's300' where g.popularity % 2 = 0;
         insert into game_platforms select g.id, c.id from games g join platforms c on c.slug = 's' || right(g.slug, 2);
         insert into game_tags select g.id, c.id from games g join tags c on c.slug = 's' || right(g.slug, 2);
         insert into users (email, password_hash) select n || '@example.org', '$2a$10$' || repeat('a', 53) from generate_series(1, 200) n;
         insert into transactions (user_id, type, amount, status, created_at)
         select id, 'TOP_UP', 1, case when n % 2 = 0 then 'PENDING' else 'FAILED' end::payment_status, now() - n * interval '1 hour'
           from users, generate_series(1, 15) n;
         insert into login_history (user_id, succeeded) select id, true from users, generate_series(1, 15);
         insert into api_tokens (user_id, name, hash, hint, permissions, created_at, expires_at)
         select id, 'n', sha256((id::text || n)::bytea), 'lsk_abcd', '{orders.read}', now() - interval '100 days',
                now() + (n - 14) * interval '4 days' from users, generate_series(1, 15) n;
         insert into saved_views (id, user_id, list, name, query)
         select gen_random_uuid(), id, 'orders', 'View ' || n, 'status=PENDING' from users, generate_series(1, 15) n;
         insert into user_sessions (id, user_id, expires_at, refresh_id)
         select gen_random_uuid(), id, now() + n * interval '1 hour', id from users, generate_series(1, 15) n;
         insert into impersonations (id, staff_id, user_id, reason, began_at, expires_at, ended_at)
         select gen_random_uuid(), s.id, u.id, 'r', t.at, t.at + interval '20 minutes', t.at + interval '20 minutes'
           from users u join lateral (select id from users where id > u.id order by id limit 1) s on true,
                (select now() - n * interval '30 days' as at from generate_series(1, 15) n) t;
         insert into impersonation_requests (impersonation_id, number, method, path, refused)
         select id, n, 'GET', '/account', false from impersonations, generate_series(1, 5) n;
         insert into one_time_codes (user_id, purpose, hash, email, expires_at)
         select id, case when n % 2 = 0 then 'RESET_PASSWORD' else 'VERIFY_EMAIL' end, sha256((id::text || n)::bytea), email, now() + n * interval '1 hour'
           from users, generate_series(1, 15) n;
         insert into rate_limits select 'k' || n, now() + n * interval '1 second' from generate_series(1, 2000) n;
         insert into mail_outbox (user_id, recipient, kind, letter, not_after, sent_at, gave_up_at)
         select id, email, 'welcome', case when n = 1 then '{}'::jsonb end, now(), case when n > 2 then now() end, case when n = 2 then now() end
           from users, generate_series(1, 15) n;
         insert into mail_outbox (user_id, recipient, kind, sealed, not_after, gave_up_at)
         select id, email, 'welcome', 'x', now() + (n - 2) * interval '1 hour', now() from users, generate_series(1, 15) n;
         insert into email_subscriptions (address_hash, written_at)
         select sha256(n::text::bytea), now() - n * interval '1 hour' from generate_series(1, 3000) n;
         insert into email_jobs (id, template, created_by, created_at, queued, refused)
         select gen_random_uuid(), 'announcement', id, now() - n * interval '1 hour', 0, 0 from users, generate_series(1, 15) n;
         insert into webhook_endpoints (id, name, url, events)
         select gen_random_uuid(), 'N', 'https://a.example', array['stock.low'] from generate_series(1, 50);
         insert into webhook_secrets (id, endpoint_id, sealed, hint, ends_at)
         select gen_random_uuid(), id, 's', 'whsec_…abcd', now() + interval '1 day' from webhook_endpoints, generate_series(1, 60);
         insert into outgoing_events (kind, data, created_at)
         select 'ping', '{}', now() - n * interval '2 minutes' from generate_series(1, 20000) n;
         insert into webhook_deliveries (event_id, endpoint_id, state, ended_at, created_at, not_before, lease)
         select v.id, e.id, case when v.n % 40 = 0 then 'waiting' else 'delivered' end, case when v.n % 40 <> 0 then now() end,
                v.created_at, v.created_at, case when v.n % 2000 = 0 then gen_random_uuid() end
           from (select *, row_number() over (order by created_at) as n from outgoing_events) v
           join (select *, row_number() over (order by id) as n from webhook_endpoints) e on e.n = v.n % 50 + 1;
         insert into email_settings (id, name, host, port, secure, from_email)
         select gen_random_uuid(), 'N', 'h', 25, false, 'a@b.example' from generate_series(1, 3000);
         insert into email_template_edits (name, language, subject, content, edited_by)
         select 'k-' || chr(97 + n / 26) || chr(97 + n % 26), 'en', 'S', 'C', (select id from users limit 1) from generate_series(1, 600) n;
         insert into top_ups (user_id, amount, method, provider, reference, status, not_before)
         select id, 1, 'card', 'test', id::text || n, case when n = 1 then 'PENDING' else 'FAILED' end::payment_status, now() + n * interval '1 minute'
           from users, generate_series(1, 15) n;
         insert into pending_checkouts (top_up_id, user_id, games, quantities, total, request_hash, due_at)
         select id, user_id, array[id], array[1], 1, sha256(''), case when random() < 0.02 then not_before end from top_ups;
         insert into unused_deliveries (source, reason, body, payers, received_at)
         select 'g2a', 'NOT_OURS', n::text::bytea, array[n || '@example.org'], now() - n * interval '1 minute' from generate_series(1, 3000) n;
         insert into payment_events (provider, event_id, kind, top_up_id, outcome, received_at)
         select 'test', id::text, 'k', id, 'nothing', created_at + random() * interval '1 day' from top_ups;
         alter table card_refunds disable trigger user;
         alter table disputes disable trigger user;
         insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_fingerprint)
         select id, 'ch_' || id, 'pi_' || id, 1, 'EUR', 'fp_' || id from top_ups;
         insert into top_up_origins (top_up_id, email, authenticate, created_at) select id, 'e', false, not_before - interval '500 days' from top_ups;
         insert into payment_holds (top_up_id, user_id, rule, detail, created_at, state, decided_at, decided_by)
         select id, user_id, 'NEW_ACCOUNT', 'd', not_before, 'RELEASED', now(), user_id from top_ups where random() < 0.95
         union all select id, user_id, 'CARD_COUNT', 'd', not_before, 'OPEN', null, null from top_ups where random() < 0.05;
         insert into card_refunds (top_up_id, user_id, amount, claimed, held, state, reference, idempotency_key, created_at, not_before)
         select id, user_id, 1, 1, 1, case when random() < 0.05 then 'PENDING' else 'SUCCEEDED' end, 're_' || id, 'k', created_at, not_before from top_ups;
         insert into disputes (reference, top_up_id, user_id, amount, claimed, state, status, opened_at, closed_at)
         select 'du_' || id, id, user_id, 1, 1, 'WON', 's', not_before, now() from top_ups;
         insert into payment_incidents (kind, reference, top_up_id, user_id, detail, created_at, resolved_at)
         select 'FRAUD_WARNING', 'du_' || id, id, user_id, 'd', not_before, case when random() < 0.5 then now() end from top_ups;
         insert into dispute_evidence (dispute_id, fields, requested_by, state, answered_at, created_at, not_before)
         select id, '{}'::jsonb, user_id, 'SUBMITTED', now(), opened_at, opened_at from disputes where reference < 'du_f8'
         union all select id, '{}'::jsonb, user_id, 'REQUESTED', null, opened_at, opened_at from disputes where reference >= 'du_f8';
         insert into payment_inbox (provider, event_id, kind, object, reference, not_before, done_at, outcome)
         select 'stripe', 'e' || n, 'k', 'dispute', 'du', now() - n * interval '1 minute', case when n % 50 > 0 then now() - n * interval '1 hour' end,
                case when n % 50 > 0 then 'same' end from generate_series(1, 3000) n;
         insert into withdrawals (id, name, order_ref, contact, language, order_id, user_id, state, decided_by, decided_at, card_refund_id, created_at)
         select gen_random_uuid(), 'N', 'O', 'a@b.example', 'en', o.id, o.user_id, case when o.n % 50 = 0 then 'OPEN' else 'ACCEPTED' end,
                case when o.n % 50 > 0 then o.user_id end, case when o.n % 50 > 0 then now() end,
                case when o.n % 50 > 0 then r.id end, now() - o.n * interval '1 minute'
           from (select id, user_id, row_number() over (order by id) as n from orders limit 3000) o
           join (select id, row_number() over (order by id) as n from card_refunds) r on r.n = o.n;
         alter table card_refunds enable trigger user;
         alter table disputes enable trigger user;
         insert into game_slugs (slug, game_id) select 'old-' || slug, id from games;
         insert into price_changes (game_id, at, previous_price, price)
         select id, now() - interval '1 hour' * popularity - interval '100 days' * n, 1, 2 from games, generate_series(0, 4) n;
         insert into price_changes (game_id, at, previous_price, price)
         select (select id from games order by id limit 1), now() - interval '9 hours' * n, 1, 2 from generate_series(1, 200) n;
         insert into price_jobs (id, version, state, requested_at, finished_at)
         select gen_random_uuid(), n, 'COMPLETED', now() - interval '1 hour' * n, now() from generate_series(1, 3000) n;
         insert into scheduled_changes (id, game_id, field, value, starts_at)
         select gen_random_uuid(), id, 'VISIBLE', false, now() - interval '1 hour' * popularity from games;
         insert into merged_terms (taxonomy, slug, name, into_id)
         select 'tags', 'tag-' || n, 'Tag ' || n, gen_random_uuid() from generate_series(1, 3000) n;
         insert into bulk_changes (id, kind, state, as_of, created_at, confirmed_at, finished_at)
         select gen_random_uuid(), 'HIDE', case when n % 1000 = 0 then 'OPEN' else 'COMPLETED' end, now(), now() - interval '1 hour' * n, now(),
                case when n % 1000 <> 0 then now() end
           from generate_series(1, 3000) n;
         insert into bulk_change_games (bulk_id, game_id, price_before, state)
         select b.id, g.id, g.price, case when right(g.slug, 2) = '07' then 'WAITING' else 'DONE' end
           from (select id from bulk_changes limit 5) b, games g;
         insert into promo_batches (id, name, created_at)
         select gen_random_uuid(), 'B', now() - interval '1 hour' * n from generate_series(1, 3000) n;
         insert into promo_codes (code, discount, batch_id)
         select 'B' || row_number() over (), 5, id from promo_batches;
         insert into blog_articles (id, slug, title, content, category, published, published_at)
         select gen_random_uuid(), 'article-' || n, 'A', '', 'C' || n % 10, true, now() - interval '1 hour' * n from generate_series(1, 3000) n;
         insert into stock_alerts (user_id, game_id) select u.id, g.id from users u join games g on not g.in_stock and right(g.slug, 2) = '07';
         insert into idempotency_keys (owner, route, key, request_hash, answer, at)
         select id, 'r', n::text, sha256('x'), 'null', now() + n * interval '1 hour' from users, generate_series(1, 15) n;
         insert into audit_log (admin_id, action, subject_kind, subject_id, at)
         select id, 'order.refund', 'user', id, now() + n * interval '1 second' from users, generate_series(1, 15) n;
         insert into cart_items (user_id, game_id) select u.id, g.id from users u join games g on g.in_stock and right(g.slug, 1) = left(u.email, 1);
         insert into wishlist (user_id, game_id) select user_id, game_id from cart_items;
         insert into game_keys (game_id, key_ciphertext, key_hash) select id, 'x', sha256(slug::bytea) from games;
         insert into guest_sessions (expires_at) select now() + n * interval '1 minute' from generate_series(1, 500) n;
         insert into sync_runs (kind, reason, epoch, status, started_at, finished_at)
         select case when n % 50 = 0 then 'FULL' when n % 10 = 0 then 'INCREMENTAL' when n % 3 = 0 then 'PRODUCT' else 'STOCK' end,
                'schedule', n, 'COMPLETED', now() - (500 - n) * interval '10 minutes', now() from generate_series(1, 500) n;
         insert into supplier_jobs (id, kind, state, finished_at, requested_at)
         select gen_random_uuid(), 'FULL', 'COMPLETED', now(), now() - n * interval '1 hour' from generate_series(1, 2000) n;
         insert into verifications (id, began_at, ended_at, outcome)
         select gen_random_uuid(), now() - n * interval '1 day', now(), 'HOLDS' from generate_series(1, 2000) n;
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
         insert into tax_settings (status, country, seller_name, seller_street, seller_postcode, seller_city, vat_id)
         values ('STANDARD', 'DE', 'S', 'S 1', '1', 'B', 'DE123456789');
         alter table order_taxes disable trigger user;
         alter table receipts disable trigger user;
         insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof, buyer_name, frozen_at)
         select id, (select max(version) from tax_settings), 'STANDARD', 'DE', 19, 's', '2026-01-01',
                case when random() < 0.02 then 'MISSING' else 'AGREED' end, case when random() < 0.5 then 'n' end, created_at from orders;
         insert into receipts (kind, year, position, number, order_id, settings, language, net, vat, gross, issued_at)
         select 'RECEIPT', 2026, n, 'R-' || n, id, (select max(version) from tax_settings), 'en', 1, 0, 1, created_at
           from (select *, row_number() over (order by created_at, id) as n from orders) numbered;
         alter table order_taxes enable trigger user;
         alter table receipts enable trigger user;
         analyze",
    )
    .await;
}

#[tokio::test]
async fn every_index_is_used_by_its_statement() {
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
    let mut listed: Vec<&str> = INDEXES.iter().map(|(index, _)| *index).collect();
    listed.sort_unstable();
    assert_eq!(existing, listed);

    populate(&db).await;
    let statements = statements::all();
    let mut connection = db.sql.acquire().await.unwrap();
    // Some tables are small here, and PostgreSQL would scan them sequentially.
    connection
        .execute("set enable_seqscan = off; set enable_bitmapscan = on; set plan_cache_mode = force_custom_plan")
        .await
        .unwrap();
    let mut unused = BTreeMap::new();
    for (index, purpose) in INDEXES {
        let (name, plan) = match *purpose {
            By(name, values) => match statements.get(name) {
                Some(statement) => (name, plan(&mut connection, statement, values).await),
                None => (name, vec!["no such statement".to_owned()]),
            },
            Like(place, statement) => (place, plan(&mut connection, statement, &[]).await),
            Reference => {
                assert!(
                    leads_to_another_table(&db, index).await,
                    "{index} serves no foreign key"
                );
                continue;
            }
            Constraint => {
                assert!(is_unique(&db, index).await, "{index} enforces nothing");
                continue;
            }
        };
        let uses = plan.iter().any(|line| {
            line.ends_with(&format!(" {index}"))
                || line.contains(&format!(" {index} on "))
                || line.contains(&format!("using {index} "))
        });
        if !uses {
            unused.insert((*index, name), plan);
        }
    }
    assert!(unused.is_empty(), "not used: {unused:#?}");
}

/// The plan of `statement` with these values.
async fn plan(connection: &mut PgConnection, statement: &str, values: &[&str]) -> Vec<String> {
    let mut literals = Vec::new();
    for value in values {
        // Only values can be given to a prepared statement, no subqueries.
        let literal: String = sqlx::query_scalar(AssertSqlSafe(format!("select quote_nullable(({value})::text)")))
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        literals.push(literal);
    }
    let values = if literals.is_empty() {
        String::new()
    } else {
        format!("({})", literals.join(", "))
    };
    connection
        .execute(AssertSqlSafe(format!("prepare explained as {statement}")))
        .await
        .unwrap();
    let plan = sqlx::query_scalar(AssertSqlSafe(format!("explain (costs off) execute explained{values}")))
        .fetch_all(&mut *connection)
        .await;
    connection.execute("deallocate explained").await.unwrap();
    plan.unwrap()
}

/// Whether the index's first column refers to another table.
async fn leads_to_another_table(db: &TestDb, index: &str) -> bool {
    sqlx::query_scalar(
        "select exists (select from pg_index i join pg_constraint f on f.contype = 'f' and f.conrelid = i.indrelid
                         where i.indexrelid = $1::text::regclass and (i.indkey::int2[])[0] = any (f.conkey))",
    )
    .bind(index)
    .fetch_one(&db.sql)
    .await
    .unwrap()
}

async fn is_unique(db: &TestDb, index: &str) -> bool {
    sqlx::query_scalar("select indisunique from pg_index where indexrelid = $1::text::regclass")
        .bind(index)
        .fetch_one(&db.sql)
        .await
        .unwrap()
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
