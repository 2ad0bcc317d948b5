//! Roles of staff, their permissions, and the chain of the audit log.

use crate::world::rules;

rules! {
    an_api_token_has_a_name: "api_tokens_name_bounded"
        refuses [
            "insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, '', sha256('x'), 'lsk_abcd', array['orders.read'], now() + interval '1 day')",
            "insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, repeat('n', 101), sha256('x'), 'lsk_abcd', array['orders.read'], now() + interval '1 day')",
        ]
        allows ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_abcd', array['orders.read'], now() + interval '1 day')"]
    an_api_token_exists_once: "api_tokens_hash_key"
        refuses ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at)
                  select {user}, 'n', sha256('x'), 'lsk_abcd', array['orders.read'], now() + interval '1 day' from generate_series(1, 2)"]
        allows ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at)
                 select {user}, 'n', sha256(n::text::bytea), 'lsk_abcd', array['orders.read'], now() + interval '1 day' from generate_series(1, 2) n"]
    an_api_token_is_stored_as_its_hash: "api_tokens_hash_length"
        refuses ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', 'lsk_abcdefgh', 'lsk_abcd', array['orders.read'], now() + interval '1 day')"]
        allows ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_abcd', array['orders.read'], now() + interval '1 day')"]
    only_the_beginning_of_an_api_token_is_stored: "api_tokens_hint_form"
        refuses ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_abcdefgh', array['orders.read'], now() + interval '1 day')"]
        allows ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_a-_9', array['orders.read'], now() + interval '1 day')"]
    an_api_token_permits_something: "api_tokens_permits_something"
        refuses ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_abcd', array[]::text[], now() + interval '1 day')"]
        allows ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_abcd', array['orders.read', 'users.read'], now() + interval '1 day')"]
    an_api_token_expires_within_a_year: "api_tokens_expire"
        refuses [
            "insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_abcd', array['orders.read'], now())",
            "insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_abcd', array['orders.read'], now() + interval '367 days')",
            "insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_abcd', array['orders.read'], 'infinity')",
        ]
        allows ["insert into api_tokens (user_id, name, hash, hint, permissions, expires_at) values ({user}, 'n', sha256('x'), 'lsk_abcd', array['orders.read'], now() + interval '366 days')"]
    a_view_is_of_a_list_of_the_console: "saved_views_list_is_a_path"
        refuses [
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, '', 'n', '')",
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, '/orders', 'n', '')",
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'orders?x', 'n', '')",
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, repeat('x', 101), 'n', '')",
        ]
        allows ["insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'system/jobs', 'n', '')"]
    a_view_has_a_name_of_one_line: "saved_views_name_is_a_line"
        refuses [
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'orders', '', '')",
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'orders', ' n', '')",
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'orders', E'n\nn', '')",
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'orders', repeat('n', 61), '')",
        ]
        allows ["insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'orders', repeat('n', 60), '')"]
    a_view_keeps_a_query: "saved_views_query_bounded"
        refuses [
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'orders', 'n', 'a b')",
            "insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'orders', 'n', repeat('x', 2001))",
        ]
        allows ["insert into saved_views (id, user_id, list, name, query) values ({new}, {user}, 'orders', 'n', 'status=PENDING&columns=total')"]
    a_name_of_a_view_is_used_once_in_a_list: "saved_views_name_once"
        refuses ["insert into saved_views (id, user_id, list, name, query) select gen_random_uuid(), {user}, 'orders', 'n', '' from generate_series(1, 2)"]
        allows ["insert into saved_views (id, user_id, list, name, query) values (gen_random_uuid(), {user}, 'orders', 'n', ''),
                 (gen_random_uuid(), {user}, 'keys', 'n', ''), (gen_random_uuid(), {other_user}, 'orders', 'n', '')"]
    a_page_that_was_opened_is_of_a_known_kind: "recent_things_kind_known"
        refuses ["insert into recent_things (user_id, kind, thing_id) values ({user}, 'cart', {new})"]
        allows ["insert into recent_things (user_id, kind, thing_id) values ({user}, 'order', {new})"]
    a_page_that_was_opened_is_remembered_once: "recent_things_pkey"
        refuses ["insert into recent_things (user_id, kind, thing_id) select {user}, 'order', {new} from generate_series(1, 2)"]
        allows ["insert into recent_things (user_id, kind, thing_id) values ({user}, 'order', {new}), ({user}, 'game', {new})"]
    acting_as_a_customer_has_a_reason: "impersonations_reason_bounded"
        refuses [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, '', now() + interval '20 minutes')",
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, repeat('r', 501), now() + interval '20 minutes')",
        ]
        allows [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, repeat('r', 500), now() + interval '20 minutes')",
        ]
    nobody_acts_as_themselves: "impersonations_of_somebody_else"
        refuses [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {other_user}, 'r', now() + interval '20 minutes')",
        ]
        allows [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes')",
        ]
    acting_as_a_customer_is_short: "impersonations_short"
        refuses [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now())",
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '31 minutes')",
        ]
        allows [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '30 minutes')",
        ]
    acting_as_a_customer_ends_after_it_began: "impersonations_end_later"
        refuses [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at, ended_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes', now() - interval '1 second')",
        ]
        allows [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at, ended_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes', now())",
        ]
    acting_as_a_customer_has_a_bounded_number_of_requests: "impersonations_requests_bounded"
        refuses [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at, requests) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes', 2001)",
            "insert into impersonations (id, staff_id, user_id, reason, expires_at, requests) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes', -1)",
        ]
        allows [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at, requests) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes', 2000)",
        ]
    a_recorded_request_has_a_known_method: "impersonation_requests_method_known"
        refuses [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into impersonation_requests (impersonation_id, number, method, path, refused) values ({new}, 1, 'get', '/', false)",
        ]
        allows [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into impersonation_requests (impersonation_id, number, method, path, refused) values ({new}, 1, 'GET', '/', false)",
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into impersonation_requests (impersonation_id, number, method, path, refused) values ({new}, 1, 'OTHER', '/', false)",
        ]
    a_recorded_request_has_no_query: "impersonation_requests_path_without_query"
        refuses [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into impersonation_requests (impersonation_id, number, method, path, refused) values ({new}, 1, 'GET', '/search?q=ada', false)",
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into impersonation_requests (impersonation_id, number, method, path, refused) values ({new}, 1, 'GET', '', false)",
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into impersonation_requests (impersonation_id, number, method, path, refused) values ({new}, 1, 'GET', repeat('x', 301), false)",
        ]
        allows [
            "insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into impersonation_requests (impersonation_id, number, method, path, refused) values ({new}, 1, 'GET', repeat('x', 300), false)",
        ]
    a_session_of_staff_as_a_customer_is_short: "user_sessions_impersonation_short"
        refuses [
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session}); update user_sessions set expires_at = now() + interval '31 minutes' where id = {new}",
        ]
        allows [
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session})",
        ]
    a_session_of_staff_as_a_customer_stays_one: "user_sessions_mark_stays"
        refuses [
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session}); update user_sessions set staff_session_id = null where id = {new}",
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session}); update user_sessions set user_id = {other_user} where id = {new}",
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session}); update user_sessions set staff_session_id = {new} where id = {session}",
        ]
        allows [
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session}); update user_sessions set last_used_at = now() where id = {new}",
        ]
    nobody_acts_as_staff: "impersonations_never_of_staff"
        refuses [
            "update users set staff_role = 'CONTENT' where id = {user}; insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session})",
            "update users set role = 'ADMIN' where id = {user}; insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session})",
        ]
        allows [
            "update users set staff_role = 'SUPPORT' where id = {other_user}; insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session})",
        ]
    acting_as_a_customer_is_recorded_first: "impersonations_are_recorded"
        refuses [
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session})",
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); update impersonations set ended_at = now(); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session})",
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); update user_sessions set user_id = {user} where id = {session}; insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session})",
        ]
        allows [
            "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({session}, {other_user}, now() + interval '1 day', {new}); insert into impersonations (id, staff_id, user_id, reason, expires_at) values ({new}, {other_user}, {user}, 'r', now() + interval '20 minutes'); insert into user_sessions (id, user_id, expires_at, refresh_id, staff_session_id) values ({new}, {user}, now() + interval '20 minutes', {new}, {session})",
        ]
    staff_who_act_as_a_customer_only_look: "impersonations_only_look"
        refuses [
            "set local lockstep.impersonation = 'x'; insert into orders (user_id, subtotal, total) values ({user}, 0, 0)",
            "set local lockstep.impersonation = 'x'; insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 1, 'COMPLETED')",
            "set local lockstep.impersonation = 'x'; insert into top_ups (user_id, amount, method, provider) values ({user}, 1, 'card', 'test')",
            "set local lockstep.impersonation = 'x'; insert into key_reveals (game_key_id, user_id, how) values ({sold_key}, {user}, 'PAGE')",
            "set local lockstep.impersonation = 'x'; insert into order_consents default values",
            "set local lockstep.impersonation = 'x'; insert into withdrawals (id, name, order_ref, contact, language) values ({new}, 'A', '1', 'a@example.org', 'en')",
            "set local lockstep.impersonation = 'x'; insert into billing_profiles (user_id, country) values ({user}, 'DE')",
            "set local lockstep.impersonation = 'x'; delete from user_totp",
            "set local lockstep.impersonation = 'x'; insert into user_totp (user_id, nonce) values ({user}, sha256('x'))",
            "set local lockstep.impersonation = 'x'; insert into one_time_codes (user_id, purpose, hash, email, expires_at) values ({user}, 'VERIFY_EMAIL', sha256('x'), 'e', now() + interval '1 hour')",
            "set local lockstep.impersonation = 'x'; update users set password_hash = password_hash where id = {user}",
            "set local lockstep.impersonation = 'x'; update users set email = 'eve@example.org' where id = {user}",
            "set local lockstep.impersonation = 'x'; update users set deleted_at = now() where id = {user}",
            "set local lockstep.impersonation = 'x'; update users set balance = 0 where id = {user}",
            "set local lockstep.impersonation = 'x'; update users set nickname = 'Eve' where id = {user}",
            "set local lockstep.impersonation = 'x'; delete from users where id = {other_user}",
        ]
        allows [
            "set local lockstep.impersonation = 'x'; update cart_items set quantity = 3 where user_id = {user}; delete from wishlist where user_id = {user}",
            "set local lockstep.impersonation = ''; insert into top_ups (user_id, amount, method, provider) values ({user}, 1, 'card', 'test')",
        ]
    a_role_has_an_upper_case_name: "staff_roles_name_is_upper_case"
        refuses ["insert into staff_roles values ('support')", "insert into staff_roles values ('A')", "insert into staff_roles values ('A B')"]
        allows ["insert into staff_roles values ('SUPPORT_2')"]
    a_role_is_not_named_like_those_of_everybody: "staff_roles_name_is_free"
        refuses ["insert into staff_roles values ('OWNER')", "insert into staff_roles values ('ADMIN')", "insert into staff_roles values ('USER')"]
        allows ["insert into staff_roles values ('OWNERS')"]
    a_role_exists_once: "staff_roles_pkey"
        refuses ["insert into staff_roles values ('SUPPORT')"]
        allows ["insert into staff_roles values ('SUPPORTERS')"]
    a_permission_is_known: "staff_role_permissions_known"
        refuses ["insert into staff_role_permissions values ('CONTENT', 'everything')"]
        allows ["insert into staff_role_permissions values ('CONTENT', 'orders.read')"]
    a_permission_is_of_a_role: "staff_role_permissions_role_fkey"
        refuses ["insert into staff_role_permissions values ('NOBODY', 'orders.read')"]
        allows ["delete from staff_roles where name = 'CONTENT'"]
    a_user_has_a_role_that_exists: "users_staff_role_fkey"
        refuses [
            "update users set staff_role = 'NOBODY' where id = {other_user}",
            "update users set staff_role = 'SUPPORT' where id = {other_user}; delete from staff_roles where name = 'SUPPORT'",
        ]
        allows ["update users set staff_role = 'SUPPORT' where id = {other_user}"]
    an_owner_and_a_deleted_account_have_no_role: "users_staff_role_of_a_user"
        refuses [
            "update users set role = 'ADMIN', staff_role = 'SUPPORT' where id = {other_user}",
            "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null, first_name = null,
             last_name = null, avatar = null, staff_role = 'SUPPORT' where id = {other_user}",
        ]
        allows ["update users set role = 'ADMIN' where id = {other_user}"]

    a_shop_keeps_an_owner: "users_last_owner"
        refuses [
            "update users set role = 'ADMIN' where id = {other_user}; update users set role = 'USER' where role = 'ADMIN'",
        ]
        allows [
            "update users set role = 'ADMIN' where id = {other_user} or id = {user}; update users set role = 'USER' where id = {user}",
        ]

    a_refund_limit_is_positive: "staff_roles_refund_limit_positive"
        refuses ["update staff_roles set refund_limit = 0", "update staff_roles set refund_limit = 'NaN'"]
        allows ["update staff_roles set refund_limit = 0.01", "update staff_roles set refund_limit = null"]
    a_chain_begins_at_one: "audit_chain_position_positive"
        refuses ["insert into audit_chain values (0, {new}, sha256('a'), sha256('b'))"]
        allows ["insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'user', {user})"]
    an_entry_stands_in_the_chain_once: "audit_chain_entry_id_key"
        refuses ["insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'user', {user}); set constraints all immediate;
                  insert into audit_chain select position + 1, entry_id, previous, digest from audit_chain"]
        allows ["insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'user', {user}), ('order.refund', 'user', {user})"]
    the_chain_is_of_entries: "audit_chain_entry_id_fkey"
        refuses ["insert into audit_chain values (1, {new}, sha256('a'), sha256('b'))"]
        allows ["insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'user', {user})"]
    a_digest_before_has_32_bytes: "audit_chain_previous_length"
        refuses ["insert into audit_chain values (1, {new}, 'x', sha256('b'))"]
        allows ["insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'user', {user})"]
    a_digest_has_32_bytes: "audit_chain_digest_length"
        refuses ["insert into audit_chain values (1, {new}, sha256('a'), 'x')"]
        allows ["insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'user', {user})"]
    the_chain_is_never_changed: "audit_chain_kept"
        refuses [
            "insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'user', {user}); set constraints all immediate;
             update audit_chain set digest = sha256('x')",
            "insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'user', {user}); set constraints all immediate;
             delete from audit_chain",
            "truncate audit_chain",
        ]
        allows ["insert into audit_log (action, subject_kind, subject_id) values ('order.refund', 'user', {user})"]
}
