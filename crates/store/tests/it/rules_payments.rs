//! Top-up intents, the providers' reports about them, and the audit log.

use crate::world::rules;

rules! {
    a_top_up_belongs_to_a_user: "top_ups_user_id_fkey"
        refuses ["insert into top_ups (user_id, amount, method, provider) values ({guest}, 1, 'card', 'test')"]
        allows ["insert into top_ups (user_id, amount, method, provider) values ({user}, 1, 'card', 'test')"]
    the_amount_of_a_top_up_is_positive: "top_ups_amount_positive"
        refuses [
            "insert into top_ups (user_id, amount, method, provider) values ({user}, 0, 'card', 'test')",
            "insert into top_ups (user_id, amount, method, provider) values ({user}, -1, 'card', 'test')",
            "insert into top_ups (user_id, amount, method, provider) values ({user}, 'NaN', 'card', 'test')",
        ]
        allows ["insert into top_ups (user_id, amount, method, provider) values ({user}, 0.01, 'card', 'test')"]
    the_idempotency_key_of_a_top_up_is_bounded: "top_ups_idempotency_key_bounded"
        refuses ["insert into top_ups (user_id, amount, method, provider, idempotency_key) values ({user}, 1, 'card', 'test', '')"]
        allows ["insert into top_ups (user_id, amount, method, provider, idempotency_key) values ({user}, 1, 'card', 'test', 'k')"]
    an_idempotency_key_creates_one_top_up: "top_ups_user_id_idempotency_key_key"
        refuses ["insert into top_ups (user_id, amount, method, provider, idempotency_key) values ({user}, 1, 'card', 'test', 'k'), ({user}, 1, 'card', 'test', 'k')"]
        allows ["insert into top_ups (user_id, amount, method, provider, idempotency_key) values ({user}, 1, 'card', 'test', 'k'), ({other_user}, 1, 'card', 'test', 'k')"]
    a_provider_reference_names_one_top_up: "top_ups_provider_reference_key"
        refuses ["insert into top_ups (user_id, amount, method, provider, reference) values ({user}, 1, 'card', 'test', 'r'), ({user}, 1, 'card', 'test', 'r')"]
        allows ["insert into top_ups (user_id, amount, method, provider, reference) values ({user}, 1, 'card', 'test', 'r'), ({user}, 1, 'card', 'stripe', 'r')"]
    the_problem_of_a_top_up_is_bounded: "top_ups_problem_bounded"
        refuses ["insert into top_ups (user_id, amount, method, provider, problem) values ({user}, 1, 'card', 'test', repeat('x', 501))"]
        allows ["insert into top_ups (user_id, amount, method, provider, problem) values ({user}, 1, 'card', 'test', repeat('x', 500))"]
    a_completed_top_up_is_credited: "top_ups_credited_when_completed"
        refuses [
            "insert into top_ups (user_id, amount, method, provider, status) values ({user}, 500, 'card', 'test', 'COMPLETED')",
            "insert into top_ups (user_id, amount, method, provider, transaction_id) select user_id, amount, 'card', 'test', id from transactions where type = 'TOP_UP'",
        ]
        allows ["insert into top_ups (user_id, amount, method, provider, status, transaction_id) select user_id, amount, 'card', 'test', 'COMPLETED', id from transactions where type = 'TOP_UP'"]
    a_booking_credits_one_top_up: "top_ups_transaction_id_key"
        refuses ["insert into top_ups (user_id, amount, method, provider, status, transaction_id)
                  select user_id, amount, 'card', 'test', 'COMPLETED', id from transactions, generate_series(1, 2) where type = 'TOP_UP'"]
        allows ["insert into top_ups (user_id, amount, method, provider) select {user}, 1, 'card', 'test' from generate_series(1, 2)"]
    the_booking_of_a_top_up_exists: "top_ups_transaction_id_fkey"
        refuses ["set constraints all deferred; alter table top_ups disable trigger top_ups_guard;
                  insert into top_ups (user_id, amount, method, provider, status, transaction_id) values ({user}, 1, 'card', 'test', 'COMPLETED', {new})"]
        allows ["insert into top_ups (user_id, amount, method, provider, transaction_id) values ({user}, 1, 'card', 'test', null)"]
    the_credit_is_the_amount_of_the_top_up: "top_ups_credit_is_the_amount"
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
    the_amount_of_a_top_up_does_not_change: "top_ups_facts_fixed"
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

    the_reason_of_a_review_is_known: "top_ups_review_known"
        refuses ["insert into top_ups (user_id, amount, method, provider, review, review_since) values ({user}, 1, 'card', 'test', 'x', now())"]
        allows ["insert into top_ups (user_id, amount, method, provider, review, review_since) values ({user}, 1, 'card', 'test', 'NO_END', now())"]
    a_review_has_its_time: "top_ups_review_has_a_date"
        refuses [
            "insert into top_ups (user_id, amount, method, provider, review) values ({user}, 1, 'card', 'test', 'NO_END')",
            "insert into top_ups (user_id, amount, method, provider, review_since) values ({user}, 1, 'card', 'test', now())",
        ]
        allows ["insert into top_ups (user_id, amount, method, provider, review, review_since) values ({user}, 1, 'card', 'test', 'NO_END', now())"]
    only_a_top_up_in_review_is_settled: "top_ups_reviewed_what_was_shown"
        refuses ["insert into top_ups (user_id, amount, method, provider, reviewed_at) values ({user}, 1, 'card', 'test', now())"]
        allows ["insert into top_ups (user_id, amount, method, provider, review, review_since, reviewed_at) values ({user}, 1, 'card', 'test', 'NO_END', now(), now())"]

    an_event_has_a_name: "payment_events_event_id_bounded"
        refuses ["insert into payment_events (provider, event_id, kind, outcome) values ('test', '', 'k', 'o')"]
        allows ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', 'k', 'o')"]
    an_event_is_of_a_kind: "payment_events_kind_bounded"
        refuses ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', '', 'o')"]
        allows ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', 'k', 'o')"]
    an_event_is_processed_once: "payment_events_taken_once"
        refuses ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', 'k', 'o'), ('test', 'e', 'k', 'o')"]
        allows ["insert into payment_events (provider, event_id, kind, outcome) values ('test', 'e', 'k', 'o'), ('stripe', 'e', 'k', 'o')"]
    an_event_is_about_a_top_up: "payment_events_top_up_id_fkey"
        refuses ["insert into payment_events (provider, event_id, kind, outcome, top_up_id) values ('test', 'e', 'k', 'o', {new})"]
        allows ["insert into payment_events (provider, event_id, kind, outcome, top_up_id) values ('test', 'e', 'k', 'o', null)"]

    an_audit_entry_has_an_actor: "audit_log_admin_id_fkey"
        refuses ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({guest}, 'balance.adjust', 'user', {user})"]
        allows ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'balance.adjust', 'user', {user})"]
    an_audit_entry_has_an_action: "audit_log_action_is_a_name"
        refuses ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'did something', 'user', {user})"]
        allows ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'order.refund', 'user', {user})"]
    an_audit_entry_is_never_changed: "audit_log_kept"
        refuses [
            "insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'order.refund', 'user', {user}); delete from audit_log",
            "insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'order.refund', 'user', {user}); update audit_log set details = '{}'",
            "truncate audit_log cascade",
        ]
        allows ["insert into audit_log (admin_id, action, subject_kind, subject_id) values ({other_user}, 'order.refund', 'user', {user})"]
}
