//! Roles of staff, their permissions, and the chain of the audit log.

use crate::world::rules;

rules! {
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
