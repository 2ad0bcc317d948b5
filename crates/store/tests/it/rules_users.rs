//! Users and guests, and the shoppers table with a row for each of them.

use crate::world::{World, rule_of, rules};

rules! {
    /// `docs/data-model.md`, User: the e-mail address is unique.
    an_email_address_is_unique: "users_email_key"
        refuses ["update users set email = 'ada@example.org' where id = {other_user}"]
        allows ["update users set email = 'carl@example.org' where id = {other_user}"]
    an_email_address_is_lower_case: "users_email_is_lower_case"
        refuses ["update users set email = 'Ada@example.org' where id = {user}"]
        allows ["update users set email = 'ada.l@example.org' where id = {user}"]
    /// An e-mail address has a valid form.
    an_email_address_is_valid: "users_email_is_an_address"
        refuses [
            "update users set email = '' where id = {user}",
            "update users set email = 'ada' where id = {user}",
            "update users set email = 'a@b@c' where id = {user}",
            "update users set email = 'a b@c' where id = {user}",
            "update users set email = E'a@b\\n' where id = {user}",
            "update users set email = repeat('a', 250) || '@b.cd' where id = {user}",
        ]
        allows ["update users set email = 'a+b@c.d' where id = {user}", "update users set email = repeat('a', 249) || '@b.cd' where id = {user}"]
    the_language_of_a_user_is_one_of_the_pages: "users_language_known"
        refuses ["update users set language = 'it' where id = {user}", "update users set language = 'DE' where id = {user}"]
        allows ["update users set language = 'pl' where id = {user}", "update users set language = null where id = {user}"]
    an_email_address_is_required: "not null email"
        refuses ["update users set email = null where id = {user}"]
        allows ["update users set email = 'x@y' where id = {user}"]
    /// `docs/data-model.md`, User: `password_hash` is bcrypt and never anything else.
    a_password_is_stored_as_bcrypt_only: "users_password_is_bcrypt"
        refuses [
            "update users set password_hash = 'secret'",
            "update users set password_hash = ''",
            "update users set password_hash = md5('secret')",
            "update users set password_hash = password_hash || 'x'",
        ]
        allows ["update users set password_hash = '$2a$10$' || repeat('a', 53)", "update users set password_hash = '$2y$12$' || repeat('/', 53)"]
    a_password_is_required: "not null password_hash"
        refuses ["update users set password_hash = null"]
        allows ["update users set password_hash = password_hash"]
    /// `docs/data-model.md`, User: the balance is not negative.
    a_balance_is_never_negative: "users_balance_not_negative"
        refuses [
            "update users set balance = -0.01 where id = {other_user}",
            "update users set balance = 'NaN' where id = {other_user}",
        ]
        allows ["update users set balance = 0 where id = {other_user}"]
    a_user_stays_a_shopper: "users_is_a_shopper"
        refuses [
            "update shoppers set kind = 'GUEST' where id = {other_user}",
            "update users set id = {new} where id = {other_user}",
        ]
        allows ["update users set nickname = 'Bob' where id = {other_user}"]
    a_guest_stays_a_shopper: "guest_sessions_is_a_shopper"
        refuses [
            "update shoppers set kind = 'USER' where id = {guest}",
            "update guest_sessions set id = {new} where id = {guest}",
        ]
        allows ["update guest_sessions set last_used_at = now() where id = {guest}"]
    a_guest_never_has_the_id_of_a_user: "shoppers_pkey"
        refuses [
            "insert into guest_sessions (id) values ({user})",
            "insert into users (id, email, password_hash) select {guest}, 'g@example.org', max(password_hash) from users",
        ]
        allows [
            "insert into guest_sessions (id) values ({new})",
            "insert into users (id, email, password_hash) select {new}, 'g@example.org', max(password_hash) from users",
        ]
    a_shopper_is_a_user_or_a_guest: "shoppers_are_somebody"
        refuses ["insert into shoppers (kind) values ('USER')", "insert into shoppers (kind) values ('GUEST')"]
        allows ["insert into shoppers (id, kind) values ({new}, 'GUEST'); delete from shoppers where id = {new}"]
    there_are_two_kinds_of_shoppers: "shoppers_kind_known"
        refuses ["update shoppers set kind = 'ROBOT'"]
        allows ["update shoppers set kind = 'GUEST' where id = {guest}"]
    a_session_lasts_beyond_its_last_use: "guest_sessions_expires_later"
        refuses ["update guest_sessions set expires_at = last_used_at"]
        allows ["update guest_sessions set expires_at = last_used_at + interval '1 second'"]
    a_log_in_belongs_to_a_user: "login_history_user_id_fkey"
        refuses ["insert into login_history (user_id, succeeded) values ({new}, false)", "insert into login_history (user_id, succeeded) values ({guest}, false)"]
        allows ["insert into login_history (user_id, succeeded) values ({other_user}, false)"]
    the_record_of_a_log_in_is_bounded: "login_history_user_agent_bounded"
        refuses ["update login_history set user_agent = repeat('x', 501)"]
        allows ["update login_history set user_agent = repeat('x', 500)"]
    a_user_who_ordered_is_never_deleted: "orders_user_id_fkey"
        refuses ["delete from users where id = {user}", "delete from shoppers where id = {user}"]
        allows ["delete from users where id = {other_user}", "delete from shoppers where id = {other_user}"]
    a_user_who_paid_is_never_deleted: "transactions_user_id_fkey"
        refuses ["insert into transactions (user_id, type, amount, status) values ({other_user}, 'TOP_UP', 1, 'FAILED');
                  delete from users where id = {other_user}"]
        allows ["delete from users where id = {other_user}"]
}

#[tokio::test]
async fn users_have_the_documented_defaults() {
    let world = World::new().await;
    let row: String = sqlx::query_scalar(
        "with born as (
             insert into users (email, password_hash) select 'new@example.org', max(password_hash) from users returning *)
         select concat_ws('|', nickname, balance, role, email_verified, first_name is null, last_name is null,
                          avatar is null, created_at = now(), updated_at = now()) from born",
    )
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(row, "Newbie Guy|0.00|USER|f|t|t|t|t|t");
}

#[tokio::test]
async fn a_role_is_user_or_admin() {
    let world = World::new().await;
    world.attempt("update users set role = 'ADMIN'").await.unwrap();
    let error = world.attempt("update users set role = 'ROOT'").await.unwrap_err();
    assert!(rule_of(&error).contains("invalid input value for enum role"), "{error}");
}

#[tokio::test]
async fn guest_sessions_last_24_hours() {
    let world = World::new().await;
    let day: bool = sqlx::query_scalar(
        "with born as (insert into guest_sessions default values returning *)
         select expires_at = last_used_at + interval '24 hours' and created_at = last_used_at from born",
    )
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert!(day);
}

#[tokio::test]
async fn deleting_users_and_guests_removes_their_lists() {
    let world = World::new().await;
    world
        .db
        .execute(&world.fill(
            "insert into cart_items (user_id, game_id) values ({other_user}, {game});
             delete from users where id = {other_user};
             delete from guest_sessions where id = {guest}",
        ))
        .await;
    let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(world.fill(
        "select count(*) from (select id from shoppers union all select user_id from cart_items union all
                               select user_id from wishlist) rows where id in ({other_user}, {guest})",
    )))
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(left, 0);
}

/// Neither a skipped insert nor a truncate leaves an orphaned shopper.
#[tokio::test]
async fn there_are_as_many_shoppers_as_users_and_guests() {
    let world = World::new().await;
    let shoppers_less_people =
        "select (select count(*) from shoppers) - (select count(*) from users) - (select count(*) from guest_sessions)";
    let taken = "insert into users (email, password_hash) select email, password_hash from users on conflict (email)";
    for statement in [
        format!("{taken} do nothing"),
        format!("{taken} do update set nickname = 'Again'"),
        "truncate guest_sessions".to_owned(),
    ] {
        world.db.execute(&statement).await;
        let orphans: i64 = sqlx::query_scalar(shoppers_less_people)
            .fetch_one(&world.db.sql)
            .await
            .unwrap();
        assert_eq!(orphans, 0, "after {statement}");
    }
}
