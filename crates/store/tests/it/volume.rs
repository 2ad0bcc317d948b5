//! A user's long history does not make new requests slower. Measured in rows read, not in time.

use std::time::Duration;

use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::UserId;
use lockstep_store::{accounts, ledger, mail, orders};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use uuid::Uuid;

use crate::world::World;

/// Number of rows and index entries of these tables that this transaction has read.
async fn read(connection: &mut PgConnection, relations: &[&str]) -> i64 {
    sqlx::query_scalar(
        "select coalesce(sum(pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid)), 0)::bigint
           from pg_class c where relname = any ($1)
             or oid in (select indexrelid from pg_index i join pg_class t on t.oid = i.indrelid where t.relname = any ($1))",
    )
    .bind(relations)
    .fetch_one(connection)
    .await
    .unwrap()
}

/// The world's user with 5,000 more orders and transactions. They satisfy every rule, but are inserted without
/// triggers.
async fn busy_shopper() -> (World, Uuid) {
    let world = World::new().await;
    let user = world.id("user");
    world
        .db
        .execute(&world.fill(
            "begin;
             set local session_replication_role = replica;
             insert into orders (user_id, subtotal, discount, total, status, completed_at, created_at)
             select {user}, 2, 1, 1, 'COMPLETED', now(), now() - n * interval '1 minute' from generate_series(1, 5000) n;
             insert into order_items (order_id, game_id, price) select id, {game}, 2 from orders where discount = 1;
             insert into order_units (order_id, order_item_id, game_id, position, price_paid, state)
             select order_id, id, game_id, 1, 1, 'DONE' from order_items where price = 2;
             insert into transactions (user_id, order_id, type, amount, status, created_at)
             select user_id, id, 'PURCHASE', -total, 'COMPLETED', created_at from orders where discount = 1;
             insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 5000, 'COMPLETED');
             insert into user_totals values ({user}, 5000, 5000, 5000)
             on conflict (user_id) do update set orders = user_totals.orders + 5000, games = user_totals.games + 5000, saved = 5000;
             commit;
             analyze",
        ))
        .await;
    (world, user)
}

/// Checking one transaction at commit reads a few rows of a long history. The rule itself is in `rules_money`.
#[tokio::test]
async fn balance_checks_do_not_read_all_transactions() {
    let (world, _) = busy_shopper().await;
    let mut tx = world.db.sql.begin().await.unwrap();
    tx.execute(AssertSqlSafe(world.fill(
        "update users set balance = balance + 7 where id = {user};
         insert into transactions (user_id, type, amount, status) values ({user}, 'TOP_UP', 7, 'COMPLETED');
         savepoint astray;
         update users set balance = balance + 1 where id = {user};
         rollback to astray;
         set constraints all immediate",
    )))
    .await
    .unwrap();
    let looked = read(&mut tx, &["transactions"]).await;
    assert!(looked < 100, "{looked} rows of bookings");
    // A wrong balance is still refused, after reading all transactions.
    let astray = tx
        .execute(AssertSqlSafe(
            world.fill("update users set balance = balance + 1 where id = {user}"),
        ))
        .await;
    assert_eq!(
        crate::world::rule_of(&astray.unwrap_err()),
        "users_balance_is_sum_of_transactions"
    );
}

/// A transaction with many users is checked as thoroughly as one with few.
#[tokio::test]
async fn every_balance_in_a_transaction_is_checked() {
    let world = World::new().await;
    let many = "with people as (
                    insert into users (email, password_hash, balance)
                    select n || '@many.example', (select max(password_hash) from users), 5 from generate_series(1, 150) n returning id)
                insert into transactions (user_id, type, amount, status)
                select id, 'TOP_UP', 5, 'COMPLETED' from people";
    world.attempt(many).await.unwrap();
    let refused = world
        .attempt(&format!(
            "{many}; update users set balance = 6 where email = '77@many.example'"
        ))
        .await;
    assert_eq!(
        crate::world::rule_of(&refused.unwrap_err()),
        "users_balance_is_sum_of_transactions"
    );
}

#[tokio::test]
async fn profiles_use_stored_counts_and_lists_return_the_newest() {
    let (world, user) = busy_shopper().await;
    let looked: lockstep_store::Result<_> = world
        .db
        .store
        .read(|tx| {
            Box::pin(async move {
                let profile = accounts::profile(tx, UserId(user)).await?.expect("a profile");
                assert_eq!((profile.total_orders, profile.games_purchased), (5002, 5001));
                assert_eq!(orders::list(tx, UserId(user), 0, 20).await?.len(), 20);
                assert_eq!(ledger::transactions(tx, UserId(user), 0, 20).await?.len(), 20);
                lockstep_store::Result::Ok(())
            })
        })
        .await;
    looked.unwrap();
}

/// The query plans of deep pages: skipped rows are skipped in the index.
#[tokio::test]
async fn deep_pages_use_index_only_scans() {
    let (world, user) = busy_shopper().await;
    // A page counts as visible to all only if no snapshot of before is open, and autovacuum may hold one meanwhile.
    let all_visible = async {
        loop {
            world.db.execute("vacuum analyze orders, transactions").await;
            let is_visible: bool = sqlx::query_scalar(
            "select bool_and(relallvisible >= relpages) from pg_class where oid in ('orders'::regclass, 'transactions'::regclass)",
        )
        .fetch_one(&world.db.sql)
        .await
        .unwrap();
            if is_visible {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), all_visible)
        .await
        .expect("no snapshot stays open");
    for (table, index) in [
        ("orders", "orders_user_id_idx"),
        ("transactions", "transactions_user_id_idx"),
    ] {
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "explain (costs off) select id from {table} where user_id = '{user}' order by created_at desc, id desc offset 4000 limit 20"
        )))
        .fetch_all(&world.db.sql)
        .await
        .unwrap();
        let plan = plan.join("\n");
        assert!(
            plan.contains(&format!("Index Only Scan using {index}")) && !plan.contains("Sort"),
            "{plan}"
        );
    }
}

/// The stored totals equal a count, after any changes in any order.
#[tokio::test]
async fn stored_order_totals_match_a_count() {
    let world = World::new().await;
    let db = &world.db;
    let user = world.id("user");
    let fourth = db.order(user, world.id("game"), 3).await;
    db.refund(fourth.units[0]).await;
    db.deliver(fourth.units[1]).await;
    for unit in ["unit", "unit2"] {
        db.deliver(world.id(unit)).await;
    }
    db.execute(&world.fill(
        "update orders set status = 'PROCESSING';
         update orders set status = 'COMPLETED', completed_at = now() where id in ({order}, {delivered_order})",
    ))
    .await;
    let told: (i64, i64, String) =
        sqlx::query_as("select orders, games, saved::text from user_totals where user_id = $1")
            .bind(user)
            .fetch_one(&db.sql)
            .await
            .unwrap();
    let counted: (i64, i64, String) = sqlx::query_as(
        "select (select count(*) from orders where user_id = $1),
                (select count(*) from order_units u join orders o on o.id = u.order_id where o.user_id = $1 and u.state = 'DONE'),
                (select coalesce(sum(discount), 0)::numeric(12,2)::text from orders where user_id = $1 and status = 'COMPLETED')",
    )
    .bind(user)
    .fetch_one(&db.sql)
    .await
    .unwrap();
    assert_eq!(told, counted);
    assert_eq!((told.0, told.1), (3, 4));
}

/// 4,000 e-mails to 400 addresses, the first of each waiting for its next attempt. The planner knows nothing of them:
/// the queue fills faster than statistics are taken.
#[tokio::test]
async fn claiming_emails_behind_waiting_ones_reads_each_a_few_times() {
    let world = World::new().await;
    world
        .db
        .execute(
            "alter table mail_outbox set (autovacuum_enabled = off);
             analyze mail_outbox;
             insert into mail_outbox (recipient, kind, letter, not_after)
             select n % 400 || '@example.org', 'refund', '{}', now() + interval '1 day' from generate_series(1, 4000) n;
             update mail_outbox set not_before = now() + interval '5 minutes' where seq in
                 (select min(seq) from mail_outbox group by recipient)",
        )
        .await;
    let mut tx = world.db.sql.begin().await.unwrap();
    let claim = async |tx: &mut PgConnection| {
        sqlx::query(mail::CLAIM)
            .bind(8_i64)
            .bind(6_i64)
            .bind(30.0_f64)
            .bind(EmailTemplate::KINDS)
            .bind(true)
            .bind(2_i64)
            .fetch_all(tx)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(claim(&mut tx).await, 0, "all wait for the first of their address");
    let looked = read(&mut tx, &["mail_outbox"]).await;
    assert!(looked < 80_000, "{looked} rows and entries of 4,000 e-mails");
    tx.execute("update mail_outbox set not_before = now()").await.unwrap();
    assert_eq!(claim(&mut tx).await, 6, "one of each of six addresses");
}
