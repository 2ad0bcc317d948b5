//! Accounts at G2A and outgoing webhooks.

use lockstep_domain::admin::WebhookEvent;
use lockstep_testkit::TestDb;

use crate::world::rules;

rules! {
    a_verification_ends_in_a_known_way: "verifications_outcome_known"
        refuses ["insert into verifications (id, ended_at, outcome) values ({new}, now(), 'FINE')"]
        allows ["insert into verifications (id, ended_at, outcome) values ({new}, now(), 'HOLDS')"]
    a_verification_has_an_outcome_when_it_has_ended: "verifications_outcome_when_ended"
        refuses [
            "insert into verifications (id, ended_at) values ({new}, now())",
            "insert into verifications (id, outcome) values ({new}, 'HOLDS')",
        ]
        allows ["insert into verifications (id) values ({new})"]
    a_verification_checks_no_negative_number_of_rows: "verifications_rows_not_negative"
        refuses ["insert into verifications (id, rows) values ({new}, -1)"]
        allows ["insert into verifications (id, rows) values ({new}, 0)"]
    findings_of_a_verification_are_a_list: "verifications_findings_are_a_list"
        refuses ["insert into verifications (id, findings) values ({new}, '{}')"]
        allows ["insert into verifications (id, findings) values ({new}, '[1]')"]
    one_verification_is_at_work: "verifications_open_key"
        refuses ["insert into verifications (id) values ({new}), ({new_game})"]
        allows ["insert into verifications (id, ended_at, outcome) values ({new}, now(), 'HOLDS'), ({new_game}, now(), 'HOLDS')"]
    an_account_has_a_client_id: "g2a_settings_client_id_form"
        refuses [
            "insert into g2a_settings (id, client_id, email, secret, environment) values ({new}, '', 'a@b', 's', 'sandbox')",
            "insert into g2a_settings (id, client_id, email, secret, environment) values ({new}, 'a b', 'a@b', 's', 'sandbox')",
        ]
        allows ["insert into g2a_settings (id, client_id, email, secret, environment) values ({new}, 'a-b', 'a@b', 's', 'sandbox')"]
    an_account_is_entered_once: "g2a_settings_client_id_key"
        refuses ["insert into g2a_settings (id, client_id, email, secret, environment) values ({new}, 'a', 'a@b', 's', 'sandbox'), ({new_game}, 'a', 'a@b', 's', 'sandbox')"]
        allows ["insert into g2a_settings (id, client_id, email, secret, environment) values ({new}, 'a', 'a@b', 's', 'sandbox'), ({new_game}, 'b', 'a@b', 's', 'sandbox')"]
    an_account_has_an_address: "g2a_settings_email_form"
        refuses ["insert into g2a_settings (id, client_id, email, secret, environment) values ({new}, 'a', 'a', 's', 'sandbox')"]
        allows ["insert into g2a_settings (id, client_id, email, secret, environment) values ({new}, 'a', 'a@b', 's', 'sandbox')"]
    an_account_is_of_one_world: "g2a_settings_environment_known"
        refuses ["insert into g2a_settings (id, client_id, email, secret, environment) values ({new}, 'a', 'a@b', 's', 'test')"]
        allows ["insert into g2a_settings (id, client_id, email, secret, environment) values ({new}, 'a', 'a@b', 's', 'production')"]
    an_active_account_was_accepted: "g2a_settings_active_has_passed"
        refuses ["insert into g2a_settings (id, client_id, email, secret, environment, is_active) values ({new}, 'a', 'a@b', 's', 'sandbox', true)"]
        allows ["insert into g2a_settings (id, client_id, email, secret, environment, is_active, passed_at) values ({new}, 'a', 'a@b', 's', 'sandbox', true, now())"]
    one_account_is_active: "g2a_settings_active_key"
        refuses ["insert into g2a_settings (id, client_id, email, secret, environment, is_active, passed_at) values
                  ({new}, 'a', 'a@b', 's', 'sandbox', true, now()), ({new_game}, 'b', 'a@b', 's', 'sandbox', true, now())"]
        allows ["insert into g2a_settings (id, client_id, email, secret, environment, is_active, passed_at) values
                 ({new}, 'a', 'a@b', 's', 'sandbox', true, now()), ({new_game}, 'b', 'a@b', 's', 'sandbox', false, now())"]
    a_webhook_has_a_name: "webhook_endpoints_name_is_a_line"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, ' ', 'https://a', array['stock.low'])"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low'])"]
    a_webhook_has_an_address: "webhook_endpoints_url_form"
        refuses [
            "insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'ftp://a', array['stock.low'])",
            "insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a b', array['stock.low'])",
        ]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'http://a/b?c', array['stock.low'])"]
    a_webhook_gets_events_that_there_are: "webhook_endpoints_events_known"
        refuses [
            "insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['dispute.opened'])",
            "insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array[]::text[])",
        ]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['order.created', 'stock.low'])"]
    the_bound_of_low_stock_is_positive: "webhook_endpoints_low_stock_range"
        refuses ["insert into webhook_endpoints (id, name, url, events, low_stock_below) values ({new}, 'N', 'https://a', array['stock.low'], 0)"]
        allows ["insert into webhook_endpoints (id, name, url, events, low_stock_below) values ({new}, 'N', 'https://a', array['stock.low'], 1)"]
    an_import_has_a_source: "import_runs_source_known"
        refuses ["insert into import_runs (id, source) values ({new}, 'magento')"]
        allows ["insert into import_runs (id, source) values ({new}, 'prisma')"]
    an_import_is_undone_after_its_end: "import_runs_undone_has_ended"
        refuses ["insert into import_runs (id, source, undone_at) values ({new}, 'keys', now())"]
        allows ["insert into import_runs (id, source, ended_at, undone_at) values ({new}, 'keys', now(), now())"]
    one_import_of_a_source_is_open: "import_runs_open_key"
        refuses ["insert into import_runs (id, source) values ({new}, 'prisma'), ({new_game}, 'prisma')"]
        allows ["insert into import_runs (id, source, ended_at) values ({new}, 'prisma', null), ({new_game}, 'prisma', now())"]
    an_imported_row_is_of_a_known_kind: "import_rows_kind_known"
        refuses ["insert into import_runs (id, source) values ({new}, 'prisma');
                  insert into import_rows values ('prisma', 'coupon', '1', {new_game}, {new}, true)"]
        allows ["insert into import_runs (id, source) values ({new}, 'prisma');
                 insert into import_rows values ('prisma', 'game', '1', {new_game}, {new}, true)"]
    the_reason_of_a_disabled_webhook_is_bounded: "webhook_endpoints_reason_bounded"
        refuses ["insert into webhook_endpoints (id, name, url, events, disabled_at, disabled_reason) values ({new}, 'N', 'https://a', array['stock.low'], now(), repeat('x', 301))"]
        allows ["insert into webhook_endpoints (id, name, url, events, disabled_at, disabled_reason) values ({new}, 'N', 'https://a', array['stock.low'], now(), repeat('x', 300))"]
    a_webhook_is_disabled_for_a_reason: "webhook_endpoints_reason_when_disabled"
        refuses ["insert into webhook_endpoints (id, name, url, events, disabled_at) values ({new}, 'N', 'https://a', array['stock.low'], now())"]
        allows ["insert into webhook_endpoints (id, name, url, events, disabled_at, disabled_reason) values ({new}, 'N', 'https://a', array['stock.low'], now(), 'R')"]
    only_the_end_of_a_webhook_secret_is_legible: "webhook_secrets_hint_form"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into webhook_secrets (id, endpoint_id, sealed, hint) values ({new_game}, {new}, 's', 'whsec_abcdefgh')"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into webhook_secrets (id, endpoint_id, sealed, hint) values ({new_game}, {new}, 's', 'whsec_…abc=')"]
    a_webhook_has_one_newest_secret: "webhook_secrets_current_key"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into webhook_secrets (id, endpoint_id, sealed, hint) values ({new_game}, {new}, 's', 'whsec_…abc='), ({new_user}, {new}, 's', 'whsec_…abc=')"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into webhook_secrets (id, endpoint_id, sealed, hint, ends_at) values ({new_game}, {new}, 's', 'whsec_…abc=', null), ({new_user}, {new}, 's', 'whsec_…abc=', now())"]
    a_delivery_has_a_state: "webhook_deliveries_state_known"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, state, ended_at) values ({new_game}, {new}, 'eaten', now())"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, state, ended_at) values ({new_game}, {new}, 'failed', now())"]
    attempts_of_a_delivery_are_counted_from_zero: "webhook_deliveries_attempts_not_negative"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, attempts) values ({new_game}, {new}, -1)"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, attempts) values ({new_game}, {new}, 0)"]
    the_answer_to_a_delivery_is_a_status: "webhook_deliveries_status_is_http"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, status) values ({new_game}, {new}, 0)"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, status) values ({new_game}, {new}, 200)"]
    the_reason_of_a_failed_delivery_is_bounded: "webhook_deliveries_error_bounded"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, last_error) values ({new_game}, {new}, repeat('x', 301))"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, last_error) values ({new_game}, {new}, repeat('x', 300))"]
    an_event_is_delivered_to_an_endpoint_once: "webhook_deliveries_event_id_endpoint_id_key"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id) values ({new_game}, {new}), ({new_game}, {new})"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'), ({new_user}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id) values ({new_game}, {new}), ({new_user}, {new})"]
    a_delivery_waits_or_has_ended: "webhook_deliveries_end_when_ended"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, state) values ({new_game}, {new}, 'delivered')"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, state, ended_at) values ({new_game}, {new}, 'delivered', now())"]
    only_what_waits_is_being_sent: "webhook_deliveries_lease_while_waiting"
        refuses ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, state, ended_at, lease) values ({new_game}, {new}, 'delivered', now(), {new})"]
        allows ["insert into webhook_endpoints (id, name, url, events) values ({new}, 'N', 'https://a', array['stock.low']); insert into outgoing_events (id, kind, data) values ({new_game}, 'ping', '{}'); insert into webhook_deliveries (event_id, endpoint_id, lease) values ({new_game}, {new}, {new})"]
}

/// The events that the schema permits are those that the program knows.
#[tokio::test]
async fn every_event_can_be_subscribed_to() {
    let db = TestDb::new().await;
    let names: Vec<String> = WebhookEvent::ALL.iter().map(|event| event.name().to_owned()).collect();
    sqlx::query(
        "insert into webhook_endpoints (id, name, url, events) values (gen_random_uuid(), 'N', 'https://a', $1)",
    )
    .bind(&names)
    .execute(&db.sql)
    .await
    .unwrap();
    let rule: String = sqlx::query_scalar(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'webhook_endpoints_events_known'",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    assert_eq!(
        rule.matches("::text").count() - rule.matches("::text[]").count(),
        names.len(),
        "{rule}"
    );
}
