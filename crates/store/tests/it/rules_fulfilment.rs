//! Records of fulfilment: orders at G2A, incidents, alarms, reveals, events.

use crate::world::rules;

rules! {
    purchase_attempts_of_a_unit_are_bounded: "order_units_replacements_bounded"
        refuses ["update order_units set replacements = 11 where id = {unit}", "update order_units set replacements = -1 where id = {unit}"]
        allows ["update order_units set replacements = 10 where id = {unit}"]
    refusals_of_a_unit_are_bounded: "order_units_refusals_bounded"
        refuses ["update order_units set refusals = 1001 where id = {unit}", "update order_units set refusals = -1 where id = {unit}"]
        allows ["update order_units set refusals = 1000 where id = {unit}"]
    a_notification_is_not_earlier_than_the_end: "order_units_told_of_its_end"
        refuses ["update order_units set told_at = now() where id = {unit}"]
        allows ["update order_units set told_at = null where id = {unit}"]
    an_order_at_g2a_is_of_one_unit: "g2a_orders_pkey"
        refuses ["insert into g2a_orders (g2a_order_id, order_unit_id, price) values ('80', {unit2}, 1);
                  update order_units set state = 'ORDERING' where id = {unit};
                  update order_units set state = 'ORDERED', g2a_order_id = '80' where id = {unit}"]
        allows ["update order_units set state = 'ORDERING' where id = {unit};
                 update order_units set state = 'ORDERED', g2a_order_id = '80' where id = {unit}"]
    an_order_at_g2a_costs_something_or_nothing: "g2a_orders_price_not_negative"
        refuses ["insert into g2a_orders (g2a_order_id, order_unit_id, price) values ('80', {unit}, -0.01)"]
        allows ["insert into g2a_orders (g2a_order_id, order_unit_id, price) values ('80', {unit}, 0)"]
    an_order_at_g2a_keeps_its_unit: "g2a_orders_order_unit_id_fkey"
        refuses ["insert into g2a_orders (g2a_order_id, order_unit_id, price) values ('80', {new}, 1)"]
        allows ["insert into g2a_orders (g2a_order_id, order_unit_id, price) values ('80', {unit}, 1)"]
    an_incident_is_of_a_known_kind: "incidents_kind_known"
        refuses ["insert into incidents (kind, detail) values ('BAD_LUCK', 'x')"]
        allows ["insert into incidents (kind, detail) values ('KEY_LOST', 'x')"]
    an_incident_is_recorded_once: "incidents_told_once"
        refuses ["insert into incidents (kind, order_unit_id, detail) values ('KEY_LOST', {unit}, 'x'), ('KEY_LOST', {unit}, 'y')"]
        allows ["insert into incidents (kind, order_unit_id, detail) values ('KEY_LOST', {unit}, 'x'), ('KEY_LATE', {unit}, 'x')"]
    a_note_is_on_a_closed_incident: "incidents_note_of_a_closed_one"
        refuses ["insert into incidents (kind, detail, note) values ('KEY_LOST', 'x', 'found')",
                 "insert into incidents (kind, detail, note, resolved_at) values ('KEY_LOST', 'x', '', now())",
                 "insert into incidents (kind, detail, note, resolved_at) values ('KEY_LOST', 'x', repeat('n', 501), now())"]
        allows ["insert into incidents (kind, detail, note, resolved_at) values ('KEY_LOST', 'x', repeat('n', 500), now())"]
    an_alarm_is_of_a_known_kind: "supplier_alarms_kind_known"
        refuses ["insert into supplier_alarms (kind, retry_at, detail) values ('FIRE', now(), 'x')"]
        allows ["insert into supplier_alarms (kind, retry_at, detail) values ('FUNDS', now(), 'x')"]
    a_stopped_workers_machine_is_bounded: "buying_stops_machine_bounded"
        refuses ["insert into buying_stops (worker, machine, reason) values ({new}, repeat('m', 301), 'x')"]
        allows ["insert into buying_stops (worker, machine, reason) values ({new}, repeat('m', 300), 'x')"]
    a_stopped_workers_reason_is_bounded: "buying_stops_reason_bounded"
        refuses ["insert into buying_stops (worker, machine, reason) values ({new}, 'm', repeat('r', 301))"]
        allows ["insert into buying_stops (worker, machine, reason) values ({new}, 'm', repeat('r', 300))"]
    an_unreadable_answer_is_decided_in_a_known_way: "unreadable_answers_decision_known"
        refuses ["insert into unreadable_answers (id, order_unit_id, game_id, g2a_order_id, sealed, bytes, complete, machine, decision, decided_at)
                  select {new}, id, game_id, '80', 'x', 1, true, 'm', 'GUESSED', now() from order_units where id = {unit}"]
        allows ["insert into unreadable_answers (id, order_unit_id, game_id, g2a_order_id, sealed, bytes, complete, machine, decision, decided_at)
                 select {new}, id, game_id, '80', 'x', 1, true, 'm', 'ACCEPTED', now() from order_units where id = {unit}"]
    an_unreadable_answer_has_a_time_with_its_decision: "unreadable_answers_decided_whole"
        refuses ["insert into unreadable_answers (id, order_unit_id, game_id, g2a_order_id, sealed, bytes, complete, machine, decided_at)
                  select {new}, id, game_id, '80', 'x', 1, true, 'm', now() from order_units where id = {unit}"]
        allows ["insert into unreadable_answers (id, order_unit_id, game_id, g2a_order_id, sealed, bytes, complete, machine)
                 select {new}, id, game_id, '80', 'x', 1, true, 'm' from order_units where id = {unit}"]
    a_reveal_is_of_a_known_kind: "key_reveals_how_known"
        refuses ["insert into key_reveals (game_key_id, user_id, how) values ({sold_key}, {user}, 'DREAM')"]
        allows ["insert into key_reveals (game_key_id, user_id, how) values ({sold_key}, {user}, 'PAGE')"]
    a_reveal_is_counted: "key_reveals_count_positive"
        refuses ["insert into key_reveals (game_key_id, user_id, how, count) values ({sold_key}, {user}, 'PAGE', 0)"]
        allows ["insert into key_reveals (game_key_id, user_id, how, count) values ({sold_key}, {user}, 'PAGE', 7)"]
    the_last_reveal_is_not_before_the_first: "key_reveals_last_is_not_before_first"
        refuses ["insert into key_reveals (game_key_id, user_id, how, at, last_at) values ({sold_key}, {user}, 'PAGE', now(), now() - interval '1 second')"]
        allows ["insert into key_reveals (game_key_id, user_id, how, at, last_at) values ({sold_key}, {user}, 'PAGE', now(), now())"]
    reveals_within_a_minute_are_one_row: "key_reveals_once_a_minute"
        refuses ["insert into key_reveals (game_key_id, user_id, how, at) values ({sold_key}, {user}, 'PAGE', '2026-01-01 12:00:59Z'), ({sold_key}, {user}, 'PAGE', '2026-01-01 12:01:00Z');
                  update key_reveals set at = '2026-01-01 12:00:58Z' where at = '2026-01-01 12:01:00Z'"]
        allows ["insert into key_reveals (game_key_id, user_id, how, at) values ({sold_key}, {user}, 'PAGE', '2026-01-01 12:00:01Z'), ({sold_key}, {user}, 'PAGE', '2026-01-01 12:00:59Z')"]
    an_event_has_a_known_source: "webhook_events_source_known"
        refuses ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('x', 'e', 'o', 'k', '{}')"]
        allows ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', 'e', 'o', 'k', '{}')"]
    an_events_id_is_bounded: "webhook_events_event_id_bounded"
        refuses ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', repeat('e', 201), 'o', 'k', '{}')"]
        allows ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', repeat('e', 200), 'o', 'k', '{}')"]
    an_events_order_is_bounded: "webhook_events_order_ref_bounded"
        refuses ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', 'e', '', 'k', '{}')"]
        allows ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', 'e', repeat('o', 200), 'k', '{}')"]
    an_events_kind_is_bounded: "webhook_events_kind_bounded"
        refuses ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', 'e', 'o', '', '{}')"]
        allows ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', 'e', 'o', 'k', '{}')"]
    an_event_is_processed_once: "webhook_events_taken_once"
        refuses ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', 'e', 'o', 'k', '{}'), ('g2a', 'e', 'o', 'k', '1')"]
        allows ["insert into webhook_events (source, event_id, order_ref, kind, payload) values ('g2a', 'e', 'o', 'k', '{}'), ('g2a', 'e', 'o', 'l', '{}')"]
    an_events_bytes_are_bounded: "webhook_events_body_bounded"
        refuses ["insert into webhook_events (source, event_id, order_ref, kind, payload, body) values ('g2a', 'e', 'o', 'k', '{}', convert_to(repeat('x', 4194305), 'utf8'))"]
        allows ["insert into webhook_events (source, event_id, order_ref, kind, payload, body) values ('g2a', 'e', 'o', 'k', '{}', '\\x00ff')"]
    a_delivery_without_effect_has_a_known_source: "unused_deliveries_source_known"
        refuses ["insert into unused_deliveries (source, reason, body) values ('x', 'NOT_OURS', 'b')"]
        allows ["insert into unused_deliveries (source, reason, body) values ('relay', 'NOT_OURS', 'b')"]
    a_delivery_without_effect_has_a_known_reason: "unused_deliveries_reason_known"
        refuses ["insert into unused_deliveries (source, reason, body) values ('g2a', 'WHY_NOT', 'b')"]
        allows ["insert into unused_deliveries (source, reason, body) values ('g2a', 'NOT_READABLE', 'b')"]
    the_detail_of_a_delivery_is_bounded: "unused_deliveries_detail_bounded"
        refuses ["insert into unused_deliveries (source, reason, body, detail) values ('g2a', 'NOT_OURS', 'b', repeat('x', 501))"]
        allows ["insert into unused_deliveries (source, reason, body, detail) values ('g2a', 'NOT_OURS', 'b', repeat('x', 500))"]
    the_id_of_a_delivery_is_bounded: "unused_deliveries_event_id_bounded"
        refuses ["insert into unused_deliveries (source, reason, body, event_id) values ('g2a', 'NOT_OURS', 'b', repeat('x', 301))"]
        allows ["insert into unused_deliveries (source, reason, body, event_id) values ('g2a', 'NOT_OURS', 'b', repeat('x', 300))"]
    the_kind_of_a_delivery_is_bounded: "unused_deliveries_kind_bounded"
        refuses ["insert into unused_deliveries (source, reason, body, kind) values ('g2a', 'NOT_OURS', 'b', repeat('x', 201))"]
        allows ["insert into unused_deliveries (source, reason, body, kind) values ('g2a', 'NOT_OURS', 'b', repeat('x', 200))"]
    the_bytes_of_a_delivery_are_bounded: "unused_deliveries_body_bounded"
        refuses ["insert into unused_deliveries (source, reason, body) values ('g2a', 'NOT_OURS', convert_to(repeat('x', 4194305), 'utf8'))"]
        allows ["insert into unused_deliveries (source, reason, body) values ('g2a', 'NOT_OURS', '')"]
    the_payers_of_a_delivery_are_bounded: "unused_deliveries_payers_bounded"
        refuses ["insert into unused_deliveries (source, reason, body, payers) values ('g2a', 'NOT_OURS', 'b', array_fill('a@b.cd'::text, array[33]))"]
        allows ["insert into unused_deliveries (source, reason, body, payers) values ('g2a', 'NOT_OURS', 'b', array_fill('a@b.cd'::text, array[32]))"]
    a_digest_is_of_the_body: "unused_deliveries_digest_of_the_body"
        refuses ["insert into unused_deliveries (source, reason, body, digest) values ('g2a', 'NOT_OURS', 'b', sha256('c'))"]
        allows [
            "insert into unused_deliveries (source, reason, body, digest) values ('g2a', 'NOT_OURS', '', sha256('c'))",
            "insert into unused_deliveries (source, reason, body) values ('g2a', 'NOT_OURS', 'b'); update unused_deliveries set body = ''",
        ]
    a_delivery_came_at_least_once: "unused_deliveries_times_positive"
        refuses ["insert into unused_deliveries (source, reason, body, times) values ('g2a', 'NOT_OURS', 'b', 0)"]
        allows ["insert into unused_deliveries (source, reason, body, times) values ('g2a', 'NOT_OURS', 'b', 2)"]
    the_same_delivery_is_one_row: "unused_deliveries_once"
        refuses ["insert into unused_deliveries (source, reason, body) values ('g2a', 'NOT_OURS', 'b'), ('g2a', 'NOT_READABLE', 'b')"]
        allows ["insert into unused_deliveries (source, reason, body) values ('g2a', 'NOT_OURS', 'b'), ('relay', 'NOT_OURS', 'b'), ('g2a', 'NOT_OURS', 'c')"]
}

/// A trigger records the history of a unit's orders at G2A, whatever changes the unit.
#[tokio::test]
async fn orders_at_g2a_are_recorded_in_their_history() {
    let world = crate::world::World::new().await;
    let sql = world.fill(
        "update order_units set state = 'ORDERING' where id = {unit};
         update order_units set state = 'ORDERED', g2a_order_id = '80', g2a_price = 9.50 where id = {unit};
         update order_units set state = 'PAYING' where id = {unit};
         update order_units set state = 'PAID', g2a_transaction_id = 't' where id = {unit};
         update order_units set state = 'FETCHING' where id = {unit};
         update order_units set state = 'LOST', last_error = 'gone' where id = {unit};
         update order_units set state = 'NEW', g2a_order_id = null where id = {unit}",
    );
    world.db.execute(&sql).await;
    let trace: (String, Option<String>, bool, bool, bool, Option<String>) = sqlx::query_as(
        "select price::text, transaction_id, pay_asked_at is not null and paid_at is not null, key_asked_at is not null,
                given_up_at is not null and key_stored_at is null, why from g2a_orders where g2a_order_id = '80'",
    )
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(
        trace,
        ("9.50".into(), Some("t".into()), true, true, true, Some("gone".into()))
    );
}
