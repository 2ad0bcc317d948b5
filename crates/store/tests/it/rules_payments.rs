//! Top-up intents, the providers' reports about them, and the audit log.

use crate::world::rules;

rules! {
    an_intent_is_a_users: "top_ups_user_id_fkey"
        refuses ["insert into top_ups (user_id, amount, method, provider) values ({guest}, 1, 'card', 'test')"]
        allows ["insert into top_ups (user_id, amount, method, provider) values ({user}, 1, 'card', 'test')"]
    an_intent_is_for_some_money: "top_ups_amount_positive"
        refuses [
            "insert into top_ups (user_id, amount, method, provider) values ({user}, 0, 'card', 'test')",
            "insert into top_ups (user_id, amount, method, provider) values ({user}, -1, 'card', 'test')",
            "insert into top_ups (user_id, amount, method, provider) values ({user}, 'NaN', 'card', 'test')",
        ]
        allows ["insert into top_ups (user_id, amount, method, provider) values ({user}, 0.01, 'card', 'test')"]
    a_key_is_short: "top_ups_idempotency_key_bounded"
        refuses ["insert into top_ups (user_id, amount, method, provider, idempotency_key) values ({user}, 1, 'card', 'test', '')"]
        allows ["insert into top_ups (user_id, amount, method, provider, idempotency_key) values ({user}, 1, 'card', 'test', 'k')"]
    a_key_makes_one_intent: "top_ups_user_id_idempotency_key_key"
        refuses ["insert into top_ups (user_id, amount, method, provider, idempotency_key) values ({user}, 1, 'card', 'test', 'k'), ({user}, 1, 'card', 'test', 'k')"]
        allows ["insert into top_ups (user_id, amount, method, provider, idempotency_key) values ({user}, 1, 'card', 'test', 'k'), ({other_user}, 1, 'card', 'test', 'k')"]
    a_reference_is_of_one_intent: "top_ups_provider_reference_key"
        refuses ["insert into top_ups (user_id, amount, method, provider, reference) values ({user}, 1, 'card', 'test', 'r'), ({user}, 1, 'card', 'test', 'r')"]
        allows ["insert into top_ups (user_id, amount, method, provider, reference) values ({user}, 1, 'card', 'test', 'r'), ({user}, 1, 'card', 'stripe', 'r')"]
    a_problem_is_told_shortly: "top_ups_problem_bounded"
        refuses ["insert into top_ups (user_id, amount, method, provider, problem) values ({user}, 1, 'card', 'test', repeat('x', 501))"]
        allows ["insert into top_ups (user_id, amount, method, provider, problem) values ({user}, 1, 'card', 'test', repeat('x', 500))"]
    completed_means_credited: "top_ups_credited_when_completed"
        refuses [
            "insert into top_ups (user_id, amount, method, provider, status) values ({user}, 500, 'card', 'test', 'COMPLETED')",
            "insert into top_ups (user_id, amount, method, provider, transaction_id) select user_id, amount, 'card', 'test', id from transactions where type = 'TOP_UP'",
        ]
        allows ["insert into top_ups (user_id, amount, method, provider, status, transaction_id) select user_id, amount, 'card', 'test', 'COMPLETED', id from transactions where type = 'TOP_UP'"]
    a_booking_is_of_one_intent: "top_ups_transaction_id_key"
        refuses ["insert into top_ups (user_id, amount, method, provider, status, transaction_id)
                  select user_id, amount, 'card', 'test', 'COMPLETED', id from transactions, generate_series(1, 2) where type = 'TOP_UP'"]
        allows ["insert into top_ups (user_id, amount, method, provider) select {user}, 1, 'card', 'test' from generate_series(1, 2)"]
    a_booking_exists: "top_ups_transaction_id_fkey"
        refuses ["set constraints all deferred; alter table top_ups disable trigger top_ups_guard;
                  insert into top_ups (user_id, amount, method, provider, status, transaction_id) values ({user}, 1, 'card', 'test', 'COMPLETED', {new})"]
        allows ["insert into top_ups (user_id, amount, method, provider, transaction_id) values ({user}, 1, 'card', 'test', null)"]
    what_is_credited_is_the_amount: "top_ups_credit_is_the_amount"
        refuses [
            "insert into top_ups (user_id, amount, method, provider, status, transaction_id) select user_id, amount + 1, 'card', 'test', 'COMPLETED', id from transactions where type = 'TOP_UP'",
            "insert into top_ups (user_id, amount, method, provider, status, transaction_id) select {other_user}, amount, 'card', 'test', 'COMPLETED', id from transactions where type = 'TOP_UP'",
            "insert into transactions (id, user_id, type, amount, status) values ({new}, {user}, 'TOP_UP', 1, 'PENDING');
             insert into top_ups (user_id, amount, method, provider, status, transaction_id) values ({user}, 1, 'card', 'test', 'COMPLETED', {new})",
        ]
        allows ["insert into top_ups (user_id, amount, method, provider, status, transaction_id) select user_id, amount, 'card', 'test', 'COMPLETED', id from transactions where type = 'TOP_UP'"]
    a_currency_is_short: "top_ups_paid_currency_bounded"
        refuses ["insert into top_ups (user_id, amount, method, provider, paid_amount, paid_currency) values ({user}, 1, 'card', 'test', 2, '')"]
        allows ["insert into top_ups (user_id, amount, method, provider, paid_amount, paid_currency) values ({user}, 1, 'card', 'test', 2, 'USD')"]
    what_was_paid_has_a_currency: "top_ups_paid_amount_has_its_currency"
        refuses [
            "insert into top_ups (user_id, amount, method, provider, paid_amount) values ({user}, 1, 'card', 'test', 2)",
            "insert into top_ups (user_id, amount, method, provider, paid_currency) values ({user}, 1, 'card', 'test', 'USD')",
        ]
        allows ["insert into top_ups (user_id, amount, method, provider) values ({user}, 1, 'card', 'test')"]
    what_staff_credited_is_booked: "top_ups_credited_amount_of_a_credit"
        refuses ["insert into top_ups (user_id, amount, method, provider, credited_amount) values ({user}, 1, 'card', 'test', 2)"]
        allows ["insert into top_ups (user_id, amount, credited_amount, method, provider, status, transaction_id) select user_id, 1, amount, 'card', 'test', 'COMPLETED', id from transactions where type = 'TOP_UP'"]
    what_was_intended_does_not_change: "top_ups_facts_fixed"
        refuses [
            "insert into top_ups (user_id, amount, method, provider) values ({user}, 1, 'card', 'test'); update top_ups set amount = 2",
            "insert into top_ups (user_id, amount, method, provider) values ({user}, 1, 'card', 'test'); update top_ups set user_id = {other_user}",
            "insert into top_ups (user_id, amount, method, provider, reference) values ({user}, 1, 'card', 'test', 'r'); update top_ups set reference = 's'",
        ]
        allows ["insert into top_ups (user_id, amount, method, provider) values ({user}, 1, 'card', 'test'); update top_ups set reference = 'r', status = 'FAILED'"]
    money_is_not_taken_back: "top_ups_credited_once"
        refuses ["insert into top_ups (user_id, amount, method, provider, status, transaction_id) select user_id, amount, 'card', 'test', 'COMPLETED', id from transactions where type = 'TOP_UP';
                  update top_ups set status = 'FAILED', transaction_id = null"]
        allows ["insert into top_ups (user_id, amount, method, provider, status) values ({user}, 500, 'card', 'test', 'FAILED');
                 update top_ups set status = 'COMPLETED', transaction_id = (select id from transactions where type = 'TOP_UP')"]

    staff_is_shown_a_reason_that_there_is: "top_ups_review_known"
        refuses ["insert into top_ups (user_id, amount, method, provider, review, review_since) values ({user}, 1, 'card', 'test', 'x', now())"]
        allows ["insert into top_ups (user_id, amount, method, provider, review, review_since) values ({user}, 1, 'card', 'test', 'NO_END', now())"]
    staff_is_shown_since_when: "top_ups_review_has_a_date"
        refuses [
            "insert into top_ups (user_id, amount, method, provider, review) values ({user}, 1, 'card', 'test', 'NO_END')",
            "insert into top_ups (user_id, amount, method, provider, review_since) values ({user}, 1, 'card', 'test', now())",
        ]
        allows ["insert into top_ups (user_id, amount, method, provider, review, review_since) values ({user}, 1, 'card', 'test', 'NO_END', now())"]
    staff_deals_with_what_it_was_shown: "top_ups_reviewed_what_was_shown"
        refuses ["insert into top_ups (user_id, amount, method, provider, reviewed_at) values ({user}, 1, 'card', 'test', now())"]
        allows ["insert into top_ups (user_id, amount, method, provider, review, review_since, reviewed_at) values ({user}, 1, 'card', 'test', 'NO_END', now(), now())"]

    an_event_has_a_name: "payment_events_event_id_bounded"
        refuses ["insert into payment_events (provider, event_id, kind, outcome) values ('test', '', 'k', 'o')"]
        allows ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', 'k', 'o')"]
    an_event_is_of_a_kind: "payment_events_kind_bounded"
        refuses ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', '', 'o')"]
        allows ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', 'k', 'o')"]
    an_event_is_taken_once: "payment_events_taken_once"
        refuses ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', 'k', 'o'), ('test', 'e', 'k', 'o')"]
        allows ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', 'k', 'o'), ('stripe', 'e', 'k', 'o')"]
    an_event_is_about_an_intent: "payment_events_top_up_id_fkey"
        refuses ["insert into payment_events (provider, event_id, kind, outcome, top_up_id) values ('test', 'e', 'k', 'o', {new})"]
        allows ["insert into payment_events (provider, event_id, kind, outcome, top_up_id) values ('test', 'e', 'k', 'o', null)"]

    a_deed_has_a_doer: "audit_log_admin_id_fkey"
        refuses ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({guest}, 'balance.adjust', 'user', {user})"]
        allows ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'balance.adjust', 'user', {user})"]
    a_deed_has_a_name: "audit_log_action_is_a_name"
        refuses ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'did something', 'user', {user})"]
        allows ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'order.refund', 'user', {user})"]
    a_deed_stays_on_record: "audit_log_kept"
        refuses [
            "insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'order.refund', 'user', {user}); delete from audit_log",
            "insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'order.refund', 'user', {user}); update audit_log set details = '{}'",
            "truncate audit_log",
        ]
        allows ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'order.refund', 'user', {user})"]
}
