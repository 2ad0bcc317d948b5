//! Money that goes back to cards: charges, refunds, disputes, what needs a person, and events that wait.

use crate::world::World;

/// A paid top-up of `{user}`, before each statement: all that the user has ever paid in.
const PAID: &str = "insert into top_ups (id, user_id, amount, method, provider, status, transaction_id)
    select '00000000-0000-0000-0000-0000000000b1', user_id, amount, 'card', 'stripe', 'COMPLETED', id from transactions
     where type = 'TOP_UP' and user_id = {user}; ";
const TOP_UP: &str = "'00000000-0000-0000-0000-0000000000b1'";

/// A constraint, statements that it refuses, and similar ones that it allows.
macro_rules! tried {
    ($($rule:literal refuses [$($refused:literal),+ $(,)?] allows [$($allowed:literal),+ $(,)?])+) => {
        pub(crate) const RULES: &[&str] = &[$($rule),+];
        const TRIED: &[(&str, &[&str], &[&str])] = &[$(($rule, &[$($refused),+], &[$($allowed),+])),+];
    };
}

#[tokio::test]
async fn every_rule_refuses_what_it_should_and_nothing_else() {
    let world = World::new().await;
    let whole = |sql: &&str| format!("{PAID}{}", sql.replace("{top_up}", TOP_UP));
    let mut broken = Vec::new();
    for (rule, refused, allowed) in TRIED {
        let (refused, allowed): (Vec<String>, Vec<String>) =
            (refused.iter().map(whole).collect(), allowed.iter().map(whole).collect());
        let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
        let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        broken.extend(world.try_rule(rule, &refused, &allowed).await);
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

tried! {
    "top_up_charges_charge_key"
        refuses ["insert into top_ups (id, user_id, amount, method, provider) values ({new}, {user}, 1, 'card', 'stripe'); insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DE', 'fp'); insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency) values ({new}, 'ch_1', 'pi_2', 1, 'EUR')"]
        allows ["insert into top_ups (id, user_id, amount, method, provider) values ({new}, {user}, 1, 'card', 'stripe'); insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DE', 'fp'); insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency) values ({new}, 'ch_2', 'pi_2', 1, 'EUR')"]
    "top_up_charges_payment_intent_key"
        refuses ["insert into top_ups (id, user_id, amount, method, provider) values ({new}, {user}, 1, 'card', 'stripe'); insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DE', 'fp'); insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency) values ({new}, 'ch_2', 'pi_1', 1, 'EUR')"]
        allows ["insert into top_ups (id, user_id, amount, method, provider) values ({new}, {user}, 1, 'card', 'stripe'); insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DE', 'fp'); insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency) values ({new}, 'ch_2', null, 1, 'EUR')"]
    "top_up_charges_charge_bounded"
        refuses ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, '', 'pi_1', 5, 'EUR', 'DE', 'fp')"]
        allows ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DE', 'fp')"]
    "top_up_charges_payment_intent_bounded"
        refuses ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', '', 5, 'EUR', 'DE', 'fp')"]
        allows ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', null, 5, 'EUR', 'DE', 'fp')"]
    "top_up_charges_amount_positive"
        refuses [
            "insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 0, 'EUR', 'DE', 'fp')",
            "insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 'NaN', 'EUR', 'DE', 'fp')",
        ]
        allows ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DE', 'fp')"]
    "top_up_charges_currency_bounded"
        refuses ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, '', 'DE', 'fp')"]
        allows ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DE', 'fp')"]
    "top_up_charges_card_country_code"
        refuses [
            "insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'de', 'fp')",
            "insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DEU', 'fp')",
        ]
        allows ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', null, 'fp')"]
    "top_up_charges_card_fingerprint_bounded"
        refuses ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DE', '')"]
        allows ["insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, card_country, card_fingerprint) values ({top_up}, 'ch_1', 'pi_1', 5, 'EUR', 'DE', null)"]
    "card_refunds_amount_positive"
        refuses ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 0)"]
        allows ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5)"]
    "card_refunds_state_known"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, state, reference) values ({top_up}, {user}, 5, 'DONE', 're_1')"]
        allows ["insert into card_refunds (top_up_id, user_id, amount, state, reference) values ({top_up}, {user}, 5, 'PENDING', 're_1')"]
    "card_refunds_status_bounded"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, status) values ({top_up}, {user}, 5, '')"]
        allows ["insert into card_refunds (top_up_id, user_id, amount, status) values ({top_up}, {user}, 5, 'pending')"]
    "card_refunds_reference_key"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, reference) values ({top_up}, {user}, 5, 're_1'); insert into card_refunds (top_up_id, user_id, amount, reference) values ({top_up}, {user}, 5, 're_1')"]
        allows ["insert into card_refunds (top_up_id, user_id, amount, reference) values ({top_up}, {user}, 5, 're_1'); insert into card_refunds (top_up_id, user_id, amount, reference) values ({top_up}, {user}, 5, 're_2')"]
    "card_refunds_reference_bounded"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, reference) values ({top_up}, {user}, 5, '')"]
        allows ["insert into card_refunds (top_up_id, user_id, amount, reference) values ({top_up}, {user}, 5, 're_1')"]
    "card_refunds_reason_bounded"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, reason) values ({top_up}, {user}, 5, '')"]
        allows ["insert into card_refunds (top_up_id, user_id, amount, reason) values ({top_up}, {user}, 5, 'r')"]
    "card_refunds_failure_bounded"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, failure) values ({top_up}, {user}, 5, repeat('x', 501))"]
        allows ["insert into card_refunds (top_up_id, user_id, amount, failure) values ({top_up}, {user}, 5, repeat('x', 500))"]
    "card_refunds_idempotency_key_bounded"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, idempotency_key) values ({top_up}, {user}, 5, '')"]
        allows ["insert into card_refunds (top_up_id, user_id, amount, idempotency_key) values ({top_up}, {user}, 5, 'k')"]
    "card_refunds_idempotency_key_once"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, idempotency_key) values ({top_up}, {user}, 5, 'k'); insert into card_refunds (top_up_id, user_id, amount, idempotency_key) values ({top_up}, {user}, 5, 'k')"]
        allows ["insert into card_refunds (top_up_id, user_id, amount, idempotency_key) values ({top_up}, {user}, 5, 'k'); insert into card_refunds (top_up_id, user_id, amount, idempotency_key) values ({top_up}, {user}, 5, 'l')"]
    "card_refunds_attempts_not_negative"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, attempts) values ({top_up}, {user}, 5, -1)"]
        allows ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5)"]
    "card_refunds_add_up"
        refuses [
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); update card_refunds set held = held - 1",
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); update card_refunds set debt = 1",
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); update card_refunds set held = -1, debt = 6",
        ]
        allows ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); update card_refunds set state = 'FAILED'"]
    "card_refunds_reference_of_an_answer"
        refuses ["insert into card_refunds (top_up_id, user_id, amount, state) values ({top_up}, {user}, 5, 'SUCCEEDED')"]
        allows ["insert into card_refunds (top_up_id, user_id, amount, state, reference) values ({top_up}, {user}, 5, 'SUCCEEDED', 're_1')"]
    "card_refunds_facts_fixed"
        refuses [
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); update card_refunds set amount = 4",
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); update card_refunds set user_id = {other_user}",
            "insert into card_refunds (top_up_id, user_id, amount, reference) values ({top_up}, {user}, 5, 're_1'); update card_refunds set reference = 're_2'",
        ]
        allows ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); update card_refunds set reference = 're_1', state = 'PENDING'"]
    "card_refunds_of_a_paid_top_up"
        refuses [
            "insert into top_ups (id, user_id, amount, method, provider) values ({new}, {user}, 1, 'card', 'stripe'); insert into card_refunds (top_up_id, user_id, amount) values ({new}, {user}, 1)",
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {other_user}, 1)",
        ]
        allows ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5)"]
    "card_refunds_within_top_up"
        refuses [
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 500.01)",
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 300); insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 200.01)",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 499, 'OPEN', 's'); insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 2)",
        ]
        allows [
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 425)",
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 300); update card_refunds set state = 'FAILED'; insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 425)",
        ]
    "card_refunds_within_balance"
        refuses ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 425.01)"]
        allows [
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 425)",
            "insert into card_refunds (top_up_id, user_id, amount, made_here, state, reference) values ({top_up}, {user}, 450, false, 'SUCCEEDED', 're_1')",
        ]
    "card_refunds_held_is_booked"
        refuses ["alter table card_refunds disable trigger card_refunds_held_moves; insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5)"]
        allows ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5)"]
    "disputes_reference_key"
        refuses ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response')"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_2', {top_up}, {user}, 5, 'OPEN', 'needs_response')"]
    "disputes_reference_bounded"
        refuses ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('', {top_up}, {user}, 5, 'OPEN', 'needs_response')"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response')"]
    "disputes_amount_not_negative"
        refuses ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, -1, 'WON', 'won')"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 0, 'WON', 'won')"]
    "disputes_within_claim"
        refuses ["insert into disputes (reference, top_up_id, user_id, claimed, amount, state, status) values ('du_1', {top_up}, {user}, 4, 5, 'OPEN', 'needs_response')"]
        allows ["insert into disputes (reference, top_up_id, user_id, claimed, amount, state, status) values ('du_1', {top_up}, {user}, 6, 5, 'OPEN', 'needs_response')"]
    "card_refunds_within_claim"
        refuses ["insert into card_refunds (top_up_id, user_id, claimed, amount, state, reference, made_here) values ({top_up}, {user}, 4, 5, 'SUCCEEDED', 're_1', false)"]
        allows ["insert into card_refunds (top_up_id, user_id, claimed, amount, state, reference, made_here) values ({top_up}, {user}, 6, 5, 'SUCCEEDED', 're_1', false)"]
    "disputes_state_known"
        refuses ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 1000, 'LOST', 'needs_response'); insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_2', {top_up}, {user}, 5, 'MAYBE', 'needs_response')"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response')"]
    "disputes_status_bounded"
        refuses ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', '')"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'a_word_of_tomorrow')"]
    "disputes_reason_bounded"
        refuses ["insert into disputes (reference, top_up_id, user_id, amount, state, status, reason) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response', '')"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status, reason) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response', 'fraudulent')"]
    "disputes_add_up"
        refuses [
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set held = 6",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set debt = 1",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set held = -1",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'LOST', 'needs_response'); update disputes set held = 4",
        ]
        allows [
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set state = 'LOST'",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set state = 'WON'",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 1000, 'LOST', 'needs_response')",
        ]
    "disputes_closed_when_decided"
        refuses ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set closed_at = now()"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set state = 'WON'"]
    "disputes_facts_fixed"
        refuses [
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set reference = 'du_2'",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set user_id = {other_user}",
        ]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update disputes set amount = 4, status = 'under_review'"]
    "disputes_of_a_paid_top_up"
        refuses [
            "insert into top_ups (id, user_id, amount, method, provider) values ({new}, {user}, 1, 'card', 'stripe'); insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {new}, {user}, 1, 'OPEN', 's')",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {other_user}, 1, 'OPEN', 's')",
        ]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response')"]
    "disputes_held_is_booked"
        refuses ["alter table disputes disable trigger disputes_held_moves; insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response')"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response')"]
    "dispute_statuses_status_bounded"
        refuses ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); insert into dispute_statuses (dispute_id, status) select id, '' from disputes"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); insert into dispute_statuses (dispute_id, status) select id, 's' from disputes"]
    "card_bookings_of_one"
        refuses [
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); insert into card_bookings (transaction_id) select id from transactions where type = 'TOP_UP'",
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); insert into card_bookings (transaction_id, card_refund_id, dispute_id) select t.id, r.id, d.id from transactions t, card_refunds r, disputes d where t.type = 'TOP_UP'",
        ]
        allows ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5)"]
    "card_rows_kept"
        refuses [
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); delete from card_bookings",
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); delete from card_refunds",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); delete from disputes",
            "insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5); update card_bookings set card_refund_id = card_refund_id",
        ]
        allows ["insert into card_refunds (top_up_id, user_id, amount) values ({top_up}, {user}, 5)"]
    "payment_incidents_kind_known"
        refuses ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('ODD', 'du_1', {top_up}, {user}, 'd')"]
        allows ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', 'du_1', {top_up}, {user}, 'd')"]
    "payment_incidents_reference_bounded"
        refuses ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', '', {top_up}, {user}, 'd')"]
        allows ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', 'du_1', {top_up}, {user}, 'd')"]
    "payment_incidents_detail_bounded"
        refuses ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', 'du_1', {top_up}, {user}, '')"]
        allows ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', 'du_1', {top_up}, {user}, 'd')"]
    "payment_incidents_told_once"
        refuses ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', 'du_1', {top_up}, {user}, 'd'); insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', 'du_1', {top_up}, {user}, 'd')"]
        allows ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', 'du_1', {top_up}, {user}, 'd'); insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', 'du_2', {top_up}, {user}, 'd')"]
    "payment_incidents_closed_by_somebody"
        refuses ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail, resolved_by) values ('DISPUTE', 'du_1', {top_up}, {user}, 'd', {user})"]
        allows ["insert into payment_incidents (kind, reference, top_up_id, user_id, detail, resolved_by, resolved_at) values ('DISPUTE', 'du_1', {top_up}, {user}, 'd', {user}, now())"]
    "payment_inbox_event_id_bounded"
        refuses ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', '', 'k', 'dispute', 'du_1')"]
        allows ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1')"]
    "payment_inbox_kind_bounded"
        refuses ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', '', 'dispute', 'du_1')"]
        allows ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1')"]
    "payment_inbox_object_known"
        refuses ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'odd', 'du_1')"]
        allows ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1')"]
    "payment_inbox_reference_bounded"
        refuses ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'dispute', '')"]
        allows ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1')"]
    "payment_inbox_status_bounded"
        refuses ["insert into payment_inbox (provider, event_id, kind, object, reference, status) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1', repeat('x', 101))"]
        allows ["insert into payment_inbox (provider, event_id, kind, object, reference, status) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1', 'lost')"]
    "payment_inbox_outcome_bounded"
        refuses ["insert into payment_inbox (provider, event_id, kind, object, reference, outcome, done_at) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1', '', now())"]
        allows ["insert into payment_inbox (provider, event_id, kind, object, reference, outcome, done_at) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1', 'same', now())"]
    "payment_inbox_problem_bounded"
        refuses ["insert into payment_inbox (provider, event_id, kind, object, reference, problem) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1', repeat('x', 501))"]
        allows ["insert into payment_inbox (provider, event_id, kind, object, reference, problem) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1', 'p')"]
    "payment_inbox_outcome_of_an_end"
        refuses [
            "insert into payment_inbox (provider, event_id, kind, object, reference, outcome) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1', 'same')",
            "insert into payment_inbox (provider, event_id, kind, object, reference, done_at) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1', now())",
        ]
        allows ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1')"]
    "payment_inbox_taken_once"
        refuses ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1'); insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1')"]
        allows ["insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_1', 'k', 'dispute', 'du_1'); insert into payment_inbox (provider, event_id, kind, object, reference) values ('stripe', 'evt_2', 'k', 'dispute', 'du_1')"]
    "payment_comparisons_compared_not_negative"
        refuses ["insert into payment_comparisons (provider, began_at, since, compared) values ('stripe', now(), now(), -1)"]
        allows ["insert into payment_comparisons (provider, began_at, since, compared) values ('stripe', now(), now(), 0)"]
    "payment_differences_kind_bounded"
        refuses ["insert into payment_comparisons (provider, began_at, since, compared) values ('stripe', now(), now(), 0); insert into payment_differences (provider, kind, reference, detail) values ('stripe', '', 'r', 'd')"]
        allows ["insert into payment_comparisons (provider, began_at, since, compared) values ('stripe', now(), now(), 0); insert into payment_differences (provider, kind, reference, detail) values ('stripe', 'k', 'r', 'd')"]
    "payment_differences_reference_bounded"
        refuses ["insert into payment_comparisons (provider, began_at, since, compared) values ('stripe', now(), now(), 0); insert into payment_differences (provider, kind, reference, detail) values ('stripe', 'k', '', 'd')"]
        allows ["insert into payment_comparisons (provider, began_at, since, compared) values ('stripe', now(), now(), 0); insert into payment_differences (provider, kind, reference, detail) values ('stripe', 'k', 'r', 'd')"]
    "payment_differences_detail_bounded"
        refuses ["insert into payment_comparisons (provider, began_at, since, compared) values ('stripe', now(), now(), 0); insert into payment_differences (provider, kind, reference, detail) values ('stripe', 'k', 'r', '')"]
        allows ["insert into payment_comparisons (provider, began_at, since, compared) values ('stripe', now(), now(), 0); insert into payment_differences (provider, kind, reference, detail) values ('stripe', 'k', 'r', 'd')"]
    "users_debts_come_first"
        refuses ["alter table users disable trigger users_settle_cards; insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 1000, 'LOST', 'needs_response'); update users set balance = balance + 5 where id = {user}; insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 5, 'COMPLETED')"]
        allows ["insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 1000, 'LOST', 'needs_response'); update users set balance = balance + 5 where id = {user}; insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 5, 'COMPLETED')"]
    "order_units_held"
        refuses [
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update order_units set state = 'ORDERING' where id = {unit}",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 1000, 'LOST', 'needs_response'); update order_units set state = 'ORDERING' where id = {unit}",
            "insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('FRAUD_WARNING', 'du_1', {top_up}, {user}, 'd'); update order_units set state = 'ORDERING' where id = {unit}",
        ]
        allows [
            "update order_units set state = 'ORDERING' where id = {unit}",
            "insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'WON', 'needs_response'); update order_units set state = 'ORDERING' where id = {unit}",
            "insert into payment_incidents (kind, reference, top_up_id, user_id, detail) values ('DISPUTE', 'du_1', {top_up}, {user}, 'd'); update order_units set state = 'ORDERING' where id = {unit}",
            "insert into payment_incidents (kind, reference, top_up_id, user_id, detail, resolved_at) values ('FRAUD_WARNING', 'du_1', {top_up}, {user}, 'd', now()); update order_units set state = 'ORDERING' where id = {unit}",
            "update order_units set state = 'ORDERING' where id = {unit}; insert into disputes (reference, top_up_id, user_id, amount, state, status) values ('du_1', {top_up}, {user}, 5, 'OPEN', 'needs_response'); update order_units set state = 'NEW' where id = {unit}",
        ]
    "fraud_rules_known"
        refuses ["insert into fraud_rules (name, is_on, amount, hours) values ('OTHER', true, 1, 1)"]
        allows ["update fraud_rules set is_on = false"]
    "fraud_rules_amount_positive"
        refuses ["update fraud_rules set amount = 0 where name = 'AUTHENTICATION'", "update fraud_rules set amount = 'NaN' where name = 'AUTHENTICATION'"]
        allows ["update fraud_rules set amount = 0.01 where name = 'AUTHENTICATION'"]
    "fraud_rules_count_bounded"
        refuses ["update fraud_rules set count = 0 where name = 'CARD_COUNT'", "update fraud_rules set count = 10001 where name = 'CARD_COUNT'"]
        allows ["update fraud_rules set count = 10000 where name = 'CARD_COUNT'"]
    "fraud_rules_hours_bounded"
        refuses ["update fraud_rules set hours = 0 where name = 'CARD_COUNT'", "update fraud_rules set hours = 8761 where name = 'CARD_COUNT'"]
        allows ["update fraud_rules set hours = 8760 where name = 'CARD_COUNT'"]
    "fraud_rules_version_positive"
        refuses ["update fraud_rules set version = 0"]
        allows ["update fraud_rules set version = 2"]
    "fraud_rules_measured"
        refuses ["update fraud_rules set amount = null where name = 'AUTHENTICATION'", "update fraud_rules set count = 1 where name = 'AUTHENTICATION'", "update fraud_rules set hours = null where name = 'CARD_COUNT'"]
        allows ["update fraud_rules set amount = 5, hours = 5 where name = 'NEW_ACCOUNT'"]
    "disposable_domains_lower_case"
        refuses ["insert into disposable_domains values ('Mail.example', 's', '2026-01-01')", "insert into disposable_domains values ('example', 's', '2026-01-01')"]
        allows ["insert into disposable_domains values ('mail.example', 's', '2026-01-01')"]
    "disposable_domains_source_bounded"
        refuses ["insert into disposable_domains values ('mail.example', '', '2026-01-01')"]
        allows ["insert into disposable_domains values ('mail.example', 's', '2026-01-01')"]
    "top_up_origins_user_agent_bounded"
        refuses ["insert into top_up_origins (top_up_id, email, authenticate, user_agent) values ({top_up}, 'e', false, repeat('x', 501))"]
        allows ["insert into top_up_origins (top_up_id, email, authenticate, user_agent) values ({top_up}, 'e', false, repeat('x', 500))"]
    "top_up_origins_country_code"
        refuses ["insert into top_up_origins (top_up_id, email, authenticate, country) values ({top_up}, 'e', false, 'de')"]
        allows ["insert into top_up_origins (top_up_id, email, authenticate, country) values ({top_up}, 'e', false, 'DE')"]
    "top_up_origins_email_bounded"
        refuses ["insert into top_up_origins (top_up_id, email, authenticate) values ({top_up}, '', false)"]
        allows ["insert into top_up_origins (top_up_id, email, authenticate) values ({top_up}, 'e', false)"]
    "payment_holds_rule_bounded"
        refuses ["insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, '', 'd')"]
        allows ["insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd')"]
    "payment_holds_detail_bounded"
        refuses ["insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, 'NEW_ACCOUNT', '')"]
        allows ["insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd')"]
    "payment_holds_state_known"
        refuses ["insert into payment_holds (top_up_id, user_id, rule, detail, state, decided_at, decided_by) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', 'OTHER', now(), {user})"]
        allows ["insert into payment_holds (top_up_id, user_id, rule, detail, state, decided_at, decided_by) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', 'RELEASED', now(), {user})"]
    "payment_holds_note_bounded"
        refuses ["insert into payment_holds (top_up_id, user_id, rule, detail, note) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', '')"]
        allows ["insert into payment_holds (top_up_id, user_id, rule, detail, note) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', 'n')"]
    "payment_holds_once"
        refuses ["insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd'); insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd')"]
        allows ["insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd'); insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, 'CARD_COUNT', 'd')"]
    "payment_holds_decided"
        refuses ["insert into payment_holds (top_up_id, user_id, rule, detail, state) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', 'RELEASED')", "insert into payment_holds (top_up_id, user_id, rule, detail, decided_at, decided_by) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', now(), {user})", "insert into payment_holds (top_up_id, user_id, rule, detail, state, decided_at) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', 'RELEASED', now())"]
        allows ["insert into payment_holds (top_up_id, user_id, rule, detail, state, decided_at, decided_by) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', 'RELEASED', now(), {user})"]
    "payment_holds_refund_of_refunded"
        refuses ["insert into card_refunds (id, top_up_id, user_id, amount) values ({new}, {top_up}, {user}, 1); insert into payment_holds (top_up_id, user_id, rule, detail, state, decided_at, decided_by, refund_id) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', 'RELEASED', now(), {user}, {new})"]
        allows ["insert into card_refunds (id, top_up_id, user_id, amount) values ({new}, {top_up}, {user}, 1); insert into payment_holds (top_up_id, user_id, rule, detail, state, decided_at, decided_by, refund_id) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', 'REFUNDED', now(), {user}, {new})"]
    "payment_holds_forward"
        refuses ["insert into payment_holds (top_up_id, user_id, rule, detail, state, decided_at, decided_by) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd', 'RELEASED', now(), {user}); update payment_holds set state = 'OPEN', decided_at = null, decided_by = null", "insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd'); update payment_holds set rule = 'CARD_COUNT'"]
        allows ["insert into payment_holds (top_up_id, user_id, rule, detail) values ({top_up}, {user}, 'NEW_ACCOUNT', 'd'); update payment_holds set state = 'REFUNDING', decided_at = now(), decided_by = {user}; update payment_holds set state = 'REFUNDED'"]
    "dispute_evidence_fields_object"
        refuses ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by) values ({new}, '[]', {user})"]
        allows ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by) values ({new}, '{\"a\": \"b\"}', {user})"]
    "dispute_evidence_state_known"
        refuses ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, state, answered_at) values ({new}, '{\"a\": \"b\"}', {user}, 'OTHER', now())"]
        allows ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, state, answered_at) values ({new}, '{\"a\": \"b\"}', {user}, 'SUBMITTED', now())"]
    "dispute_evidence_problem_bounded"
        refuses ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, problem) values ({new}, '{\"a\": \"b\"}', {user}, repeat('x', 501))"]
        allows ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, problem) values ({new}, '{\"a\": \"b\"}', {user}, repeat('x', 500))"]
    "dispute_evidence_attempts_not_negative"
        refuses ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, attempts) values ({new}, '{\"a\": \"b\"}', {user}, -1)"]
        allows ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, attempts) values ({new}, '{\"a\": \"b\"}', {user}, 1)"]
    "dispute_evidence_answered"
        refuses ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, state) values ({new}, '{\"a\": \"b\"}', {user}, 'SUBMITTED')", "insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, answered_at) values ({new}, '{\"a\": \"b\"}', {user}, now())"]
        allows ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, state, answered_at) values ({new}, '{\"a\": \"b\"}', {user}, 'SUBMITTED', now())"]
    "dispute_evidence_once"
        refuses ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by) values ({new}, '{\"a\": \"b\"}', {user}); insert into dispute_evidence (dispute_id, fields, requested_by) values ({new}, '{\"a\": \"b\"}', {user})"]
        allows ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, state, answered_at) values ({new}, '{\"a\": \"b\"}', {user}, 'REFUSED', now()); insert into dispute_evidence (dispute_id, fields, requested_by) values ({new}, '{\"a\": \"b\"}', {user})"]
    "dispute_evidence_kept"
        refuses ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by) values ({new}, '{\"a\": \"b\"}', {user}); update dispute_evidence set fields = '{\"a\": \"c\"}'", "insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by) values ({new}, '{\"a\": \"b\"}', {user}); delete from dispute_evidence", "insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by, state, answered_at) values ({new}, '{\"a\": \"b\"}', {user}, 'SUBMITTED', now()); update dispute_evidence set state = 'REFUSED'"]
        allows ["insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status) values ({new}, 'du_1', {top_up}, {user}, 1, 1, 'OPEN', 's'); insert into dispute_evidence (dispute_id, fields, requested_by) values ({new}, '{\"a\": \"b\"}', {user}); update dispute_evidence set state = 'SUBMITTED', answered_at = now()"]
    "evidence_key_one"
        refuses ["insert into evidence_key (id, public_key, sealed) values (gen_random_uuid(), sha256('x'), 's'), (gen_random_uuid(), sha256('y'), 's')"]
        allows ["insert into evidence_key (id, public_key, sealed) values (gen_random_uuid(), sha256('x'), 's')"]
    "evidence_key_only"
        refuses ["insert into evidence_key (id, is_only, public_key, sealed) values (gen_random_uuid(), false, sha256('x'), 's')"]
        allows ["insert into evidence_key (id, public_key, sealed) values (gen_random_uuid(), sha256('x'), 's')"]
    "evidence_key_public_length"
        refuses ["insert into evidence_key (id, public_key, sealed) values (gen_random_uuid(), 'x', 's')"]
        allows ["insert into evidence_key (id, public_key, sealed) values (gen_random_uuid(), sha256('x'), 's')"]
}
