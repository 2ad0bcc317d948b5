//! Consents of orders, and withdrawals from contracts.

use crate::world::rules;

rules! {
    a_consent_has_a_known_source: "order_consents_source_known"
        refuses ["alter table order_consents disable trigger order_consents_stay; delete from order_consents where order_id = {order}; insert into order_consents (order_id, source) values ({order}, 'somebody')"]
        allows ["alter table order_consents disable trigger order_consents_stay; delete from order_consents where order_id = {order}; insert into order_consents (order_id, source) values ({order}, 'front')"]
    a_shopper_agrees_to_a_wording: "order_consents_wording_of_a_shopper"
        refuses [
            "alter table order_consents disable trigger order_consents_stay; delete from order_consents where order_id = {order}; insert into order_consents (order_id, source, wording, language) values ({order}, 'shopper', 'v', 'en')",
            "alter table order_consents disable trigger order_consents_stay; delete from order_consents where order_id = {order}; insert into order_consents (order_id, source, text) values ({order}, 'front', 't')",
        ]
        allows ["alter table order_consents disable trigger order_consents_stay; delete from order_consents where order_id = {order}; insert into order_consents (order_id, source, wording, language, text, address) values ({order}, 'shopper', 'v', 'en', 't', '::1')"]
    a_consent_is_bounded: "order_consents_bounded"
        refuses ["alter table order_consents disable trigger order_consents_stay; delete from order_consents where order_id = {order}; insert into order_consents (order_id, source, wording, language, text) values ({order}, 'shopper', 'v', 'en', repeat('x', 2001))"]
        allows ["alter table order_consents disable trigger order_consents_stay; delete from order_consents where order_id = {order}; insert into order_consents (order_id, source, wording, language, text) values ({order}, 'shopper', 'v', 'en', repeat('x', 2000))"]
    a_consent_stays: "order_consents_stay"
        refuses [
            "update order_consents set source = 'front' where order_id = {order}",
            // Of an account that is not deleted.
            "update order_consents set address = null, user_agent = null where order_id = {order}",
            "delete from order_consents where order_id = {order}",
            "truncate order_consents",
        ]
        allows ["select 1 from order_consents"]
    /// An order of an older version has the consent that the database writes.
    no_key_is_shown_without_consent: "key_reveals_need_consent"
        refuses ["alter table order_consents disable trigger order_consents_stay; delete from order_consents where order_id = {delivered_order}; insert into key_reveals (game_key_id, user_id, how) values ({sold_key}, {user}, 'PAGE')"]
        allows [
            "insert into key_reveals (game_key_id, user_id, how) values ({sold_key}, {user}, 'PAGE')",
            "alter table order_consents disable trigger order_consents_stay; delete from order_consents where order_id = {delivered_order}; insert into key_reveals (game_key_id, user_id, how) values ({sold_key}, {user}, 'CONSOLE')",
        ]
    a_withdrawal_has_a_name: "withdrawals_name_bounded"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, '', 'o', 'a@b', 'en')"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', 'o', 'a@b', 'en')"]
    a_withdrawal_names_an_order: "withdrawals_order_ref_bounded"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', repeat('x', 61), 'a@b', 'en')"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', repeat('x', 60), 'a@b', 'en')"]
    a_withdrawal_has_a_contact: "withdrawals_contact_bounded"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', 'o', 'a', 'en')"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', 'o', 'a@b', 'en')"]
    a_withdrawal_has_a_language: "withdrawals_language_bounded"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', 'o', 'a@b', '')"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', 'o', 'a@b', 'de')"]
    the_address_of_a_withdrawal_is_bounded: "withdrawals_address_bounded"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language, address) values ({new}, 'n', 'o', 'a@b', 'en', repeat('x', 101))"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language, address) values ({new}, 'n', 'o', 'a@b', 'en', '::1')"]
    a_withdrawal_has_a_known_state: "withdrawals_state_known"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at) values ({new}, 'n', 'o', 'a@b', 'en', 'DONE', {user}, now())"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at) values ({new}, 'n', 'o', 'a@b', 'en', 'ACCEPTED', {user}, now())"]
    the_reason_of_a_decision_is_bounded: "withdrawals_reason_bounded"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language, reason) values ({new}, 'n', 'o', 'a@b', 'en', '')"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language, reason) values ({new}, 'n', 'o', 'a@b', 'en', 'r')"]
    a_withdrawal_gives_back_no_negative_amount: "withdrawals_refunded_not_negative"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at, refunded) values ({new}, 'n', 'o', 'a@b', 'en', 'ACCEPTED', {user}, now(), -1)"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at, refunded) values ({new}, 'n', 'o', 'a@b', 'en', 'ACCEPTED', {user}, now(), 1)"]
    a_decision_names_who_made_it: "withdrawals_decided_by_somebody"
        refuses [
            "insert into withdrawals (id, name, order_ref, contact, language, state) values ({new}, 'n', 'o', 'a@b', 'en', 'ACCEPTED')",
            "insert into withdrawals (id, name, order_ref, contact, language, decided_by) values ({new}, 'n', 'o', 'a@b', 'en', {user})",
        ]
        allows ["insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at) values ({new}, 'n', 'o', 'a@b', 'en', 'ACCEPTED', {user}, now())"]
    a_refusal_has_a_reason: "withdrawals_refused_with_reason"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at) values ({new}, 'n', 'o', 'a@b', 'en', 'REFUSED', {user}, now())"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at, reason) values ({new}, 'n', 'o', 'a@b', 'en', 'REFUSED', {user}, now(), 'r')"]
    only_an_accepted_withdrawal_gives_back: "withdrawals_only_accepted_pay"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at, reason, refunded) values ({new}, 'n', 'o', 'a@b', 'en', 'REFUSED', {user}, now(), 'r', 1)"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at, reason, refunded) values ({new}, 'n', 'o', 'a@b', 'en', 'ACCEPTED', {user}, now(), 'r', 1)"]
    a_withdrawal_is_decided_once: "withdrawals_decided_once"
        refuses [
            "insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at) values ({new}, 'n', 'o', 'a@b', 'en', 'ACCEPTED', {user}, now()); update withdrawals set refunded = 5 where id = {new}",
            "insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at) values ({new}, 'n', 'o', 'a@b', 'en', 'ACCEPTED', {user}, now()); update withdrawals set name = 'erased', contact = 'erased', refunded = 5 where id = {new}",
        ]
        allows [
            "insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', 'o', 'a@b', 'en'); update withdrawals set state = 'ACCEPTED', decided_by = {user}, decided_at = now(), refunded = 5 where id = {new}",
            "insert into withdrawals (id, name, order_ref, contact, language, state, decided_by, decided_at) values ({new}, 'n', 'o', 'a@b', 'en', 'ACCEPTED', {user}, now()); update withdrawals set name = 'erased', contact = 'erased', address = null where id = {new}",
        ]
    what_a_withdrawal_says_stays: "withdrawals_facts_fixed"
        refuses ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', 'o', 'a@b', 'en'); update withdrawals set contact = 'c@d' where id = {new}"]
        allows ["insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'n', 'o', 'a@b', 'en'); update withdrawals set order_id = {order} where id = {new}"]
}
