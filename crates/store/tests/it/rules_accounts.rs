//! Data of an account: sessions, codes, limits, e-mails.

use crate::world::rules;

rules! {
    a_deleted_account_contains_no_personal_data: "users_deleted_is_anonymous"
        refuses [
            "update users set deleted_at = now() where id = {other_user}",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null, last_name = 'Byron' where id = {other_user}",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null, role = 'ADMIN' where id = {other_user}",
        ]
        allows ["update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}"]
    a_deleted_account_owns_no_rows: "users_deleted_own_nothing"
        refuses [
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into cart_items (user_id, game_id) values ({other_user}, {game})",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into wishlist (user_id, game_id) values ({other_user}, {game})",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; update wishlist set user_id = {other_user} where user_id = {guest}",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into stock_alerts (user_id, game_id) values ({other_user}, {sold_out})",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into user_sessions (id, user_id, expires_at, refresh_id) values ({new}, {other_user}, now() + interval '1 day', {new})",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into avatars (user_id, id, image) values ({other_user}, {new}, decode('524946460000000057454250', 'hex'))",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into user_totp (user_id, nonce) values ({other_user}, sha256('x'))",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into one_time_codes (user_id, purpose, hash, email, expires_at) values ({other_user}, 'VERIFY_EMAIL', sha256('x'), 'e', now() + interval '1 hour')",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into login_history (user_id, succeeded) values ({other_user}, true)",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into mail_outbox (user_id, recipient, kind, letter, not_after) values ({other_user}, 'e', 'welcome', '[]', now())",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into top_ups (user_id, amount, method, provider) values ({other_user}, 1, 'card', 'test')",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into idempotency_keys values ({other_user}, 'r', 'k', sha256('x'), 'null')",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into orders (user_id, subtotal, total) values ({other_user}, 1, 1)",
        ]
        allows [
            "insert into cart_items (user_id, game_id) values ({other_user}, {game}); insert into wishlist (user_id, game_id) values ({other_user}, {game})",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; insert into cart_items (user_id, game_id) values ({user}, {other_game}), ({guest}, {other_game})",
        ]
    a_deleted_account_stays_deleted: "users_deleted_stay_deleted"
        refuses [
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; update users set password_hash = '$2b$12$' || repeat('a', 53) where id = {other_user}",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; update users set email_verified = true where id = {other_user}",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; update users set deleted_at = null where id = {other_user}",
        ]
        allows ["update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}; update users set updated_at = now() where id = {other_user}"]
    a_session_expires_after_it_starts: "user_sessions_expires_later"
        refuses ["insert into user_sessions (id, user_id, expires_at, refresh_id) values ({new}, {user}, now(), {new})"]
        allows ["insert into user_sessions (id, user_id, expires_at, refresh_id) values ({new}, {user}, now() + interval '1 second', {new})"]
    the_user_agent_of_a_session_is_bounded: "user_sessions_user_agent_bounded"
        refuses ["insert into user_sessions (id, user_id, expires_at, refresh_id, user_agent) values ({new}, {user}, now() + interval '1 day', {new}, repeat('x', 501))"]
        allows ["insert into user_sessions (id, user_id, expires_at, refresh_id, user_agent) values ({new}, {user}, now() + interval '1 day', {new}, repeat('x', 500))"]
    a_session_belongs_to_a_user: "user_sessions_user_id_fkey"
        refuses ["insert into user_sessions (id, user_id, expires_at, refresh_id) values ({new}, {guest}, now() + interval '1 day', {new})"]
        allows ["insert into user_sessions (id, user_id, expires_at, refresh_id) values ({new}, {other_user}, now() + interval '1 day', {new})"]
    an_avatar_is_a_small_webp: "avatars_image_is_a_small_webp"
        refuses [
            "insert into avatars (user_id, id, image) values ({user}, {new}, '')",
            "insert into avatars (user_id, id, image) values ({user}, {new}, 'RIFF')",
            "insert into avatars (user_id, id, image) values ({user}, {new}, decode('89504e470d0a1a0a0000000d', 'hex'))",
            "insert into avatars (user_id, id, image) values ({user}, {new}, decode('524946460000000057454250', 'hex') || repeat('x', 131061)::bytea)",
        ]
        allows ["insert into avatars (user_id, id, image) values ({user}, {new}, decode('524946460000000057454250', 'hex') || repeat('x', 131060)::bytea)"]
    the_address_of_an_avatar_is_unique: "avatars_id_key"
        refuses ["insert into avatars (user_id, id, image) values ({user}, {new}, decode('524946460000000057454250', 'hex')), ({other_user}, {new}, decode('524946460000000057454250', 'hex'))"]
        allows ["insert into avatars (user_id, id, image) values ({user}, {new}, decode('524946460000000057454250', 'hex'))"]
    a_user_has_one_avatar: "avatars_pkey"
        refuses ["insert into avatars (user_id, id, image) values ({user}, {new}, decode('524946460000000057454250', 'hex')), ({user}, {order}, decode('524946460000000057454250', 'hex'))"]
        allows ["insert into avatars (user_id, id, image) values ({user}, {new}, decode('524946460000000057454250', 'hex')), ({other_user}, {order}, decode('524946460000000057454250', 'hex'))"]
    an_authenticator_has_a_nonce_of_32_bytes: "user_totp_nonce_length"
        refuses ["insert into user_totp (user_id, nonce) values ({user}, 'x')"]
        allows ["insert into user_totp (user_id, nonce) values ({user}, sha256('x'))"]
    a_user_has_one_authenticator: "user_totp_pkey"
        refuses ["insert into user_totp (user_id, nonce) values ({user}, sha256('x')), ({user}, sha256('y'))"]
        allows ["insert into user_totp (user_id, nonce) values ({user}, sha256('x')), ({other_user}, sha256('x'))"]
    a_sealed_secret_of_an_authenticator_is_bounded: "user_totp_sealed_bounded"
        refuses [
            "insert into user_totp (user_id, nonce, sealed) values ({user}, sha256('x'), '')",
            "insert into user_totp (user_id, nonce, sealed) values ({user}, sha256('x'), repeat('x', 1001)::bytea)",
        ]
        allows ["insert into user_totp (user_id, nonce, sealed) values ({user}, sha256('x'), repeat('x', 1000)::bytea)"]
    an_authenticator_has_ten_recovery_codes: "user_totp_recovery_codes_bounded"
        refuses ["insert into user_totp (user_id, nonce, recovery_codes) select {user}, sha256('x'), array_agg(sha256(n::text::bytea)) from generate_series(1, 11) n"]
        allows ["insert into user_totp (user_id, nonce, recovery_codes) select {user}, sha256('x'), array_agg(sha256(n::text::bytea)) from generate_series(1, 10) n"]
    a_code_has_a_purpose: "one_time_codes_purpose_known"
        refuses ["insert into one_time_codes (user_id, purpose, hash, email, expires_at) values ({user}, 'FUN', sha256('x'), 'e', now() + interval '1 hour')"]
        allows ["insert into one_time_codes (user_id, purpose, hash, email, expires_at) values ({user}, 'VERIFY_EMAIL', sha256('x'), 'e', now() + interval '1 hour')"]
    a_code_is_stored_as_a_hash_only: "one_time_codes_hash_length"
        refuses ["insert into one_time_codes (user_id, purpose, hash, email, expires_at) values ({user}, 'VERIFY_EMAIL', '123456', 'e', now() + interval '1 hour')"]
        allows ["insert into one_time_codes (user_id, purpose, hash, email, expires_at) values ({user}, 'VERIFY_EMAIL', sha256('123456'), 'e', now() + interval '1 hour')"]
    a_code_expires_after_it_is_created: "one_time_codes_expires_later"
        refuses ["insert into one_time_codes (user_id, purpose, hash, email, expires_at) values ({user}, 'VERIFY_EMAIL', sha256('x'), 'e', now())"]
        allows ["insert into one_time_codes (user_id, purpose, hash, email, expires_at) values ({user}, 'VERIFY_EMAIL', sha256('x'), 'e', now() + interval '1 second')"]
    a_code_allows_at_most_five_attempts: "one_time_codes_attempts_bounded"
        refuses [
            "insert into one_time_codes (user_id, purpose, hash, email, expires_at, attempts) values ({user}, 'VERIFY_EMAIL', sha256('x'), 'e', now() + interval '1 hour', 6)",
            "insert into one_time_codes (user_id, purpose, hash, email, expires_at, attempts) values ({user}, 'VERIFY_EMAIL', sha256('x'), 'e', now() + interval '1 hour', -1)",
        ]
        allows ["insert into one_time_codes (user_id, purpose, hash, email, expires_at, attempts) values ({user}, 'VERIFY_EMAIL', sha256('x'), 'e', now() + interval '1 hour', 5)"]
    a_link_is_unique: "one_time_codes_link_key"
        refuses ["insert into one_time_codes (user_id, purpose, hash, email, expires_at)
                  select u.id, 'RESET_PASSWORD', sha256('x'), 'e', now() + interval '1 hour' from users u"]
        allows ["insert into one_time_codes (user_id, purpose, hash, email, expires_at)
                 select u.id, 'VERIFY_EMAIL', sha256('x'), 'e', now() + interval '1 hour' from users u"]
    an_idempotency_key_is_used_once_per_route: "idempotency_keys_pkey"
        refuses ["insert into idempotency_keys values ({user}, 'r', 'k', sha256('x'), 'null'), ({user}, 'r', 'k', sha256('y'), 'null')"]
        allows ["insert into idempotency_keys values ({user}, 'r', 'k', sha256('x'), 'null'), ({user}, 's', 'k', sha256('x'), 'null'),
                 ({user}, 'r', 'K', sha256('x'), 'null'), ({guest}, 'r', 'k', sha256('x'), 'null')"]
    a_key_is_bounded: "idempotency_keys_key_bounded"
        refuses [
            "insert into idempotency_keys values ({user}, 'r', repeat('x', 201), sha256('x'), 'null')",
            "insert into idempotency_keys values ({user}, 'r', '', sha256('x'), 'null')",
        ]
        allows ["insert into idempotency_keys values ({user}, 'r', repeat('x', 200), sha256('x'), 'null')"]
    an_idempotency_key_belongs_to_a_route: "idempotency_keys_route_bounded"
        refuses ["insert into idempotency_keys values ({user}, '', 'k', sha256('x'), 'null')"]
        allows ["insert into idempotency_keys values ({user}, repeat('r', 100), 'k', sha256('x'), 'null')"]
    a_request_is_stored_as_a_hash: "idempotency_keys_request_hash_length"
        refuses ["insert into idempotency_keys values ({user}, 'r', 'k', 'x', 'null')"]
        allows ["insert into idempotency_keys values ({user}, 'r', 'k', sha256(''), 'null')"]
    a_stored_answer_is_bounded: "idempotency_keys_answer_bounded"
        refuses ["insert into idempotency_keys values ({user}, 'r', 'k', sha256('x'), to_jsonb(repeat('x', 10000)))"]
        allows ["insert into idempotency_keys values ({user}, 'r', 'k', sha256('x'), to_jsonb(repeat('x', 9000)))"]
    a_user_has_one_alert_per_game: "stock_alerts_pkey"
        refuses ["insert into stock_alerts (user_id, game_id) values ({user}, {sold_out}), ({user}, {sold_out})"]
        allows ["insert into stock_alerts (user_id, game_id) values ({user}, {sold_out}), ({other_user}, {sold_out})"]
    only_users_have_stock_alerts: "stock_alerts_user_id_fkey"
        refuses ["insert into stock_alerts (user_id, game_id) values ({guest}, {sold_out})"]
        allows ["insert into stock_alerts (user_id, game_id) values ({user}, {sold_out})"]
    the_name_of_a_limit_is_bounded: "rate_limits_key_bounded"
        refuses ["insert into rate_limits values (repeat('x', 201), now())"]
        allows ["insert into rate_limits values (repeat('x', 200), now())"]
    an_email_is_of_a_known_kind: "mail_outbox_kind_known"
        refuses ["insert into mail_outbox (recipient, kind, letter, not_after) values ('r', 'spam', '{}', now())"]
        allows ["insert into mail_outbox (recipient, kind, letter, not_after) values ('r', 'welcome', '[]', now())"]
    the_attempts_of_an_email_are_bounded: "mail_outbox_attempts_bounded"
        refuses ["insert into mail_outbox (recipient, kind, letter, not_after, attempts) values ('r', 'welcome', '{}', now(), 101)"]
        allows ["insert into mail_outbox (recipient, kind, letter, not_after, attempts) values ('r', 'welcome', '{}', now(), 100)"]
    the_reason_of_a_failure_is_bounded: "mail_outbox_last_error_bounded"
        refuses ["insert into mail_outbox (recipient, kind, letter, not_after, last_error) values ('r', 'welcome', '{}', now(), repeat('x', 501))"]
        allows ["insert into mail_outbox (recipient, kind, letter, not_after, last_error) values ('r', 'welcome', '{}', now(), repeat('x', 500))"]
    an_email_is_sent_or_given_up: "mail_outbox_sent_or_given_up"
        refuses ["insert into mail_outbox (recipient, kind, not_after, sent_at, gave_up_at) values ('r', 'welcome', now(), now(), now())"]
        allows ["insert into mail_outbox (recipient, kind, not_after, sent_at) values ('r', 'welcome', now(), now())"]
    an_email_has_no_content_once_it_is_sent_or_given_up: "mail_outbox_says_nothing_afterwards"
        refuses [
            "insert into mail_outbox (recipient, kind, letter, not_after, sent_at) values ('r', 'welcome', '{}', now(), now())",
            "insert into mail_outbox (recipient, kind, letter, not_after, gave_up_at) values ('r', 'welcome', '{}', now(), now())",
            "insert into mail_outbox (recipient, kind, sealed, not_after, sent_at) values ('r', 'welcome', 'x', now(), now())",
            "insert into mail_outbox (recipient, kind, not_after) values ('r', 'welcome', now())",
        ]
        allows ["insert into mail_outbox (recipient, kind, not_after, gave_up_at) values ('r', 'welcome', now(), now())"]
    the_content_of_an_email_is_sealed_or_in_clear: "mail_outbox_says_it_once"
        refuses ["insert into mail_outbox (recipient, kind, letter, sealed, not_after) values ('r', 'welcome', '{}', 'x', now())"]
        allows ["insert into mail_outbox (recipient, kind, sealed, not_after) values ('r', 'welcome', 'x', now())"]
}
