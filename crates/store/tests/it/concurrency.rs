//! Two concurrent sessions. The first does its work and keeps its transaction open; the second does its own work and
//! has to wait or proceeds; then the first commits.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::world::{World, rule_of, session};

const DEADLINE: Duration = Duration::from_secs(20);

/// Result of the second session, and whether it had to wait for the first.
pub(crate) struct Outcome {
    pub(crate) waited: bool,
    pub(crate) second: Result<(), sqlx::Error>,
}

async fn commit(mut session: PgConnection, sql: String) -> Result<(), sqlx::Error> {
    session.execute(AssertSqlSafe(sql)).await?;
    session.execute("commit").await?;
    session.close().await
}

/// Runs `first` up to its commit, starts `second`, and commits the first once the second waits for it or has ended.
pub(crate) async fn race(world: &World, first: &str, second: &str) -> Outcome {
    let (mut one, mut two) = (session(world).await, session(world).await);
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&mut two)
        .await
        .unwrap();
    one.execute("begin").await.unwrap();
    one.execute(AssertSqlSafe(world.fill(first))).await.unwrap();
    two.execute("begin").await.unwrap();
    let second = tokio::spawn(commit(two, world.fill(second)));
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            let waits: bool = sqlx::query_scalar("select cardinality(pg_blocking_pids($1)) > 0")
                .bind(pid)
                .fetch_one(&world.db.sql)
                .await
                .unwrap();
            if waits || second.is_finished() {
                return waits;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("the second session neither waits nor ends");
    one.execute("commit").await.expect("whoever came first commits");
    one.close().await.unwrap();
    let second = tokio::time::timeout(DEADLINE, second)
        .await
        .expect("the second ends")
        .unwrap();
    Outcome { waited, second }
}

pub(crate) fn refused_by(outcome: Outcome) -> String {
    rule_of(&outcome.second.expect_err("the second session is refused"))
}

/// A whole purchase of one Half-Life for 10.00 by `user`, as plain SQL.
fn purchase(user: &str, promo_code: &str) -> String {
    let (order, item) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    format!(
        "insert into orders (id, user_id, subtotal, total, promo_code) values ('{order}', {{{user}}}, 10, 10, {promo_code});
         insert into order_items (id, order_id, game_id, price) values ('{item}', '{order}', {{other_game}}, 10);
         insert into order_units (order_id, order_item_id, game_id, position, price_paid) values ('{order}', '{item}', {{other_game}}, 1, 10);
         insert into transactions (user_id, order_id, type, amount, status) values ({{{user}}}, '{order}', 'PURCHASE', -10, 'COMPLETED');
         update users set balance = balance - 10 where id = {{{user}}};"
    )
}

#[tokio::test]
async fn a_balance_for_one_purchase_pays_for_one() {
    let world = World::new().await;
    world
        .db
        .execute(&world.fill(
            "insert into transactions (user_id, type, amount, status) values ({other_user}, 'TOP_UP', 15, 'COMPLETED');
             update users set balance = 15 where id = {other_user}",
        ))
        .await;
    let outcome = race(&world, &purchase("other_user", "null"), &purchase("other_user", "null")).await;
    assert!(outcome.waited);
    assert_eq!(refused_by(outcome), "users_balance_not_negative");
    let balance: String = sqlx::query_scalar("select balance::text from users where id = $1")
        .bind(world.id("other_user"))
        .fetch_one(&world.db.sql)
        .await
        .unwrap();
    assert_eq!(balance, "5.00");
}

/// A balance computed from an outdated read does not overwrite another session's change.
#[tokio::test]
async fn balances_computed_from_stale_reads_are_refused() {
    let world = World::new().await;
    let top_up =
        "insert into transactions (user_id, type, amount, status) values ({other_user}, 'TOP_UP', 5, 'COMPLETED');
                  update users set balance = 5 where id = {other_user}";
    assert_eq!(
        refused_by(race(&world, top_up, top_up).await),
        "users_balance_is_sum_of_transactions"
    );
}

#[tokio::test]
async fn concurrent_refunds_never_exceed_the_payment() {
    let world = World::new().await;
    let pending = "insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 30, 'PENDING')";
    let outcome = race(&world, pending, pending).await;
    assert!(outcome.waited);
    assert_eq!(refused_by(outcome), "transactions_refund_within_payment");
}

#[tokio::test]
async fn a_unit_is_refunded_once() {
    let world = World::new().await;
    let refund = "update order_units set state = 'REFUNDED' where id = {unit};
                  insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 25, 'COMPLETED');
                  update users set balance = balance + 25 where id = {user}";
    // The second session finds the unit refunded already and pays out for nothing, so its order no longer adds up.
    assert_eq!(
        refused_by(race(&world, refund, refund).await),
        "orders_refunds_are_of_refunded_units"
    );
}

#[tokio::test]
async fn two_units_of_an_order_can_be_refunded_concurrently() {
    let world = World::new().await;
    let refund = |unit: &str| {
        format!(
            "update order_units set state = 'REFUNDED' where id = {{{unit}}};
             insert into transactions (user_id, order_id, type, amount, status) values ({{user}}, {{order}}, 'REFUND', 25, 'COMPLETED');
             update users set balance = balance + 25 where id = {{user}}"
        )
    };
    race(&world, &refund("unit"), &refund("unit2")).await.second.unwrap();
}

#[tokio::test]
async fn a_promo_code_for_one_use_is_used_once() {
    let world = World::new().await;
    world
        .db
        .execute(&world.fill(
            "insert into transactions (user_id, type, amount, status) values ({other_user}, 'TOP_UP', 15, 'COMPLETED');
             update users set balance = 15 where id = {other_user}",
        ))
        .await;
    let outcome = race(&world, &purchase("user", "'ONCE'"), &purchase("other_user", "'ONCE'")).await;
    assert!(outcome.waited);
    assert_eq!(refused_by(outcome), "promo_codes_uses_within_limit");
}

#[tokio::test]
async fn concurrent_purchases_pay_an_order_once() {
    let world = World::new().await;
    // An imported order without its purchase.
    world
        .db
        .execute(&world.fill(
            "alter table orders disable trigger orders_add_up;
             insert into orders (id, user_id, subtotal, total) values ({new_order}, {user}, 0, 0);
             set constraints orders_count, orders_sales immediate;
             alter table orders enable trigger orders_add_up",
        ))
        .await;
    let pay = "insert into transactions (user_id, order_id, type, amount, status) values ({user}, {new_order}, 'PURCHASE', 0, 'COMPLETED')";
    let outcome = race(&world, pay, pay).await;
    assert!(outcome.waited);
    assert_eq!(refused_by(outcome), "transactions_purchase_order_id_key");
}

#[tokio::test]
async fn duplicate_events_are_booked_once() {
    let world = World::new().await;
    let top_up = "insert into transactions (user_id, type, amount, status, transaction_hash) values ({user}, 'TOP_UP', 1, 'COMPLETED', 'event-1');
                  update users set balance = balance + 1 where id = {user}";
    let outcome = race(&world, top_up, top_up).await;
    assert!(outcome.waited);
    assert_eq!(refused_by(outcome), "transactions_transaction_hash_key");
}

#[tokio::test]
async fn a_key_is_given_to_one_unit() {
    let world = World::new().await;
    let give = |unit: &str| {
        format!(
            "update game_keys set order_id = {{order}}, order_unit_id = {{{unit}}} where id = {{key}};
             update order_units set state = 'DONE' where id = {{{unit}}}"
        )
    };
    let outcome = race(&world, &give("unit"), &give("unit2")).await;
    assert!(outcome.waited);
    assert_eq!(refused_by(outcome), "game_keys_sold_once");
}

#[tokio::test]
async fn a_unit_gets_one_key_from_two_sessions() {
    let world = World::new().await;
    let deliver = |key: &str| {
        format!(
            "insert into game_keys (game_id, order_id, order_unit_id, key_ciphertext, key_hash) values ({{game}}, {{order}}, {{unit}}, 'x', sha256('{key}'));
             update order_units set state = 'DONE' where id = {{unit}}"
        )
    };
    let outcome = race(&world, &deliver("a"), &deliver("b")).await;
    assert!(outcome.waited);
    assert_eq!(refused_by(outcome), "game_keys_order_unit_id_key");
}

#[tokio::test]
async fn the_last_key_goes_to_one_of_two_sessions() {
    let world = World::new().await;
    let take = "select set_config('test.taken', coalesce((select id::text from game_keys where game_id = {game} and order_unit_id is null
                limit 1 for update skip locked), ''), false);
                do $$ begin if current_setting('test.taken') = '' then raise exception 'sold out'; end if; end $$";
    let outcome = race(&world, take, take).await;
    assert!(!outcome.waited, "nobody waits for a key that another holds");
    assert!(refused_by(outcome).contains("sold out"));
}

#[tokio::test]
async fn guests_and_users_never_share_an_id() {
    let world = World::new().await;
    let outcome = race(
        &world,
        "insert into guest_sessions (id) values ({new})",
        "insert into users (id, email, password_hash) select {new}, 'g@example.org', max(password_hash) from users",
    )
    .await;
    assert!(outcome.waited);
    assert_eq!(refused_by(outcome), "shoppers_pkey");
}

/// Writers of different games neither wait for each other's totals nor deadlock over them.
#[tokio::test]
async fn concurrent_catalogue_changes_do_not_block_each_other() {
    let world = World::new().await;
    let add = |slug: &str| {
        format!(
            "insert into games (title, slug, description, price, image, release_date) values ('T', '{slug}', 'd', 1, 'i', now())"
        )
    };
    let outcome = race(&world, &add("one"), &add("two")).await;
    assert!(!outcome.waited);
    outcome.second.unwrap();
    let right: bool = sqlx::query_scalar(
        "select (sum(listed), sum(buyable)) = (select count(*), count(*) filter (where in_stock and not is_preorder)
                                                 from games where withdrawn_at is null) from catalog_totals",
    )
    .fetch_one(&world.db.sql)
    .await
    .unwrap();
    assert!(right);
}
