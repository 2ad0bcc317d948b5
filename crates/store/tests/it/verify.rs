//! `lockstep verify` names exactly the rows that violate an invariant, however they came to.

use std::collections::BTreeSet;

use lockstep_store::verify::{self, NAMED, Verdict, Walk};
use lockstep_testkit::{PASSWORD_HASH, TestDb};
use sqlx::PgPool;

use crate::world::World;

/// A violation past the triggers and foreign keys, as by a superuser or a damaged backup, and every check that sees it, with the
/// row that it names. Checks of sums name none.
struct Breach {
    sql: &'static str,
    seen: &'static [(&'static str, &'static str)],
}

const fn breach(sql: &'static str, seen: &'static [(&'static str, &'static str)]) -> Breach {
    Breach { sql, seen }
}

const BREACHES: &[Breach] = &[
    breach(
        "update users set balance = balance + 1 where id = {user}",
        &[("balances", "{user}")],
    ),
    breach(
        "alter table users drop constraint users_balance_not_negative; update users set balance = -1 where id = {other_user}",
        &[("balances", "{other_user}"), ("negative_balances", "{other_user}")],
    ),
    breach(
        "insert into disputes (id, reference, top_up_id, user_id, amount, claimed, held, debt, state, status, closed_at)
         values ({new}, 'dp_1', {new_game}, {user}, 5, 5, 0, 5, 'LOST', 'lost', now())",
        &[("debts", "{user}")],
    ),
    breach(
        "update order_items set price = price + 1 where id = {item}",
        &[("order_sums", "{order}")],
    ),
    // A unit of a paid order that is gone.
    breach(
        "delete from order_units where id = {unit}",
        &[("copies", "{order}"), ("paid", "{order}")],
    ),
    breach(
        "delete from order_units where id = {delivered_unit}",
        &[
            ("copies", "{delivered_order}"),
            ("paid", "{delivered_order}"),
            ("key_owners", "{sold_key}"),
            ("sales_copies", ""),
            ("game_sums", ""),
        ],
    ),
    breach(
        "delete from transactions where order_id = {order}",
        &[("purchases", "{order}"), ("balances", "{user}"), ("sales_bookings", "")],
    ),
    breach(
        "update order_units set price_paid = price_paid - 1 where id = {unit}",
        &[("paid", "{order}")],
    ),
    breach(
        "update order_units set state = 'REFUNDED' where id = {unit}",
        &[("paid", "{order}"), ("refunds", "{order}")],
    ),
    breach(
        "insert into transactions (user_id, order_id, type, amount, status) values ({user}, {order}, 'REFUND', 60, 'COMPLETED');
         update users set balance = balance + 60 where id = {user}",
        &[
            ("excessive_refunds", "{order}"),
            ("paid", "{order}"),
            ("refunds", "{order}"),
            ("sales_bookings", ""),
        ],
    ),
    breach(
        "update orders set status = 'FAILED', payment_status = 'CANCELLED' where id = {order}",
        &[("ended_orders", "{order}")],
    ),
    breach(
        "update orders set payment_status = 'CANCELLED' where id = {order}",
        &[("cancelled_payments", "{order}")],
    ),
    breach(
        "delete from order_items where id = {item}",
        &[
            ("order_sums", "{order}"),
            ("copies", "{order}"),
            ("units", "{unit}"),
            ("units", "{unit2}"),
        ],
    ),
    breach(
        "delete from game_keys where id = {key}; update order_units set state = 'DONE' where id = {unit};
         update order_units set state = 'NEW' where id = {unit2}",
        &[
            ("delivered_copies", "{unit}"),
            ("key_counts", ""),
            ("own_stock", "{game}"),
            ("sales_copies", ""),
            ("game_sums", ""),
        ],
    ),
    breach(
        "update order_units set g2a_order_id = 'unknown' where id = {unit}",
        &[("g2a_orders", "{unit}")],
    ),
    breach(
        "update game_keys set game_id = {other_game} where id = {sold_key}",
        &[("key_counts", ""), ("key_owners", "{sold_key}")],
    ),
    // One unit with two keys.
    breach(
        "alter table game_keys drop constraint game_keys_order_unit_id_key;
         update game_keys set order_unit_id = {delivered_unit}, order_id = {delivered_order} where id = {key}",
        &[
            ("key_owners", "{sold_key}"),
            ("key_owners", "{key}"),
            ("own_stock", "{game}"),
            ("sales_own", ""),
        ],
    ),
    breach(
        "alter table game_keys drop constraint game_keys_key_hash_key;
         update game_keys set key_hash = (select key_hash from game_keys where id = {sold_key}) where id = {key}",
        &[("keys_once", "{sold_key}"), ("keys_once", "{key}")],
    ),
    breach(
        "update game_keys set g2a_order_id = 'unknown' where id = {key}",
        &[("g2a_orders_of_keys", "{key}")],
    ),
    breach(
        "insert into transactions (id, user_id, type, amount, status) values ({new}, {new_user}, 'TOP_UP', 5, 'COMPLETED')",
        &[("bookings", "{new}")],
    ),
    breach(
        "insert into top_ups (id, user_id, amount, method, provider, status, transaction_id)
         values ({new}, {user}, 5, 'card', 'test', 'COMPLETED', {new_game})",
        &[("top_ups", "{new}")],
    ),
    breach(
        "insert into card_refunds (id, top_up_id, user_id, amount, claimed, held) values ({new}, {new_game}, {user}, 5, 5, 5)",
        &[("card_refunds", "{new}")],
    ),
    breach(
        "insert into disputes (id, reference, top_up_id, user_id, amount, claimed, held, state, status)
         values ({new}, 'dp_1', {new_game}, {user}, 5, 5, 5, 'OPEN', 'needs_response')",
        &[("disputes", "{new}")],
    ),
    breach(
        "alter table promo_codes drop constraint promo_codes_uses_within_limit;
         insert into promo_codes (id, code, discount, max_uses, used_count) values ({new}, 'TWICE', 10, 1, 2)",
        &[("promo_code_limits", "{new}")],
    ),
    breach(
        "insert into promo_codes (id, code, discount) values ({new}, 'UNCOUNTED', 10);
         insert into promo_code_customers values ({new}, {user}, 1);
         update orders set promo_code = 'UNCOUNTED' where id = {order}",
        &[("promo_code_uses", "{new}")],
    ),
    breach(
        "insert into promo_codes (id, code, discount, used_count) values ({new}, 'UNCOUNTED', 10, 1);
         update orders set promo_code = 'UNCOUNTED' where id = {order}",
        &[("promo_code_customers", "{new}")],
    ),
    breach(
        "alter table games drop constraint games_stock_is_g2as; update games set g2a_stock = false where id = {g2a_game}",
        &[("g2a_stock", "{g2a_game}")],
    ),
    breach(
        "update games set in_stock = true, is_preorder = true where id = {sold_out}",
        &[("own_stock", "{sold_out}")],
    ),
    breach(
        "delete from game_search where game_id = {game}",
        &[("search", "{game}")],
    ),
    breach(
        "update catalog_totals set listed = listed + 1",
        &[("catalog_totals", "")],
    ),
    breach(
        "insert into audit_log (id, action, subject_kind, subject_id) values ({new}, 'order.refund', 'order', {order})",
        &[("audit_chain", "{new}")],
    ),
];

/// Sums that `doctor` counts and tests of their own change (`sales.rs`, `totals.rs`).
const TRIED_ELSEWHERE: &[&str] = &["sales_costs", "user_totals"];

#[derive(Default)]
struct Watched {
    /// The rows of each table after each slice.
    told: Vec<(&'static str, u64)>,
}

impl Walk for Watched {
    async fn progress(&mut self, table: &'static str, rows: u64) {
        self.told.push((table, rows));
    }

    fn rests(&self) -> bool {
        false
    }
}

async fn verdicts(db: &TestDb) -> Vec<Verdict> {
    verify::verify(&db.store, &mut Watched::default()).await
}

/// Every violation: the check, and the row that it names.
fn violations(verdicts: &[Verdict]) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for verdict in verdicts {
        assert_eq!(verdict.error, None, "{}", verdict.check);
        if verdict.violations > 0 && verdict.examples.is_empty() {
            found.insert((verdict.check.to_owned(), String::new()));
        }
        for example in &verdict.examples {
            found.insert((verdict.check.to_owned(), example.id.clone()));
        }
    }
    found
}

async fn try_breach(breach: &Breach) -> Option<String> {
    let world = World::new().await;
    let before = violations(&verdicts(&world.db).await);
    let sql = world.fill(breach.sql);
    world
        .db
        .execute(&format!(
            "begin; set local session_replication_role = replica; {sql}; commit"
        ))
        .await;
    let after = violations(&verdicts(&world.db).await);
    let seen: BTreeSet<(String, String)> = after.difference(&before).cloned().collect();
    let expected: BTreeSet<(String, String)> = (breach.seen.iter())
        .map(|(check, row)| ((*check).to_owned(), world.fill(row).trim_matches('\'').to_owned()))
        .collect();
    (seen != expected || !before.is_subset(&after)).then(|| format!("{sql}\nseen: {seen:#?}\nexpected: {expected:#?}"))
}

#[tokio::test]
async fn each_violation_is_named_and_nothing_else() {
    let mut wrong = Vec::new();
    // A few at a time: each has a database of its own.
    for some in BREACHES.chunks(4) {
        wrong.extend(
            futures::future::join_all(some.iter().map(try_breach))
                .await
                .into_iter()
                .flatten(),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn every_check_is_tried() {
    let db = TestDb::new().await;
    let tried: BTreeSet<&str> = (BREACHES.iter())
        .flat_map(|breach| breach.seen)
        .map(|(check, _)| *check)
        .chain(TRIED_ELSEWHERE.iter().copied())
        .collect();
    let verdicts = verdicts(&db).await;
    let checks: BTreeSet<&str> = verdicts.iter().map(|verdict| verdict.check).collect();
    assert_eq!(checks, tried);
    assert_eq!(checks.len(), verdicts.len(), "each has a name of its own");
    assert!(verdicts.iter().all(Verdict::holds), "{verdicts:?}");
}

#[tokio::test]
async fn a_large_table_is_checked_in_slices_and_few_of_many_violations_are_named() {
    let db = TestDb::new().await;
    db.execute(&format!(
        "begin; set local session_replication_role = replica;
         insert into users (email, password_hash, balance)
         select n || '@example.org', '{PASSWORD_HASH}', case when n % 100 = 0 then 1 else 0 end from generate_series(1, 12000) n;
         commit"
    ))
    .await;
    let mut walk = Watched::default();
    let verdicts = verify::verify(&db.store, &mut walk).await;
    let of_users: Vec<u64> = (walk.told.iter())
        .filter(|(table, _)| *table == "users")
        .map(|(_, rows)| *rows)
        .collect();
    assert_eq!(of_users, [5_000, 10_000, 12_000]);
    let balances = verdicts.iter().find(|verdict| verdict.check == "balances").unwrap();
    assert_eq!(
        (balances.rows, balances.violations, balances.examples.len()),
        (12_000, 120, NAMED)
    );
    let first: String = sqlx::query_scalar("select min(id::text) from users where balance = 1")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(balances.examples[0].id, first);
}

#[tokio::test]
async fn a_check_that_cannot_be_made_says_why_and_hides_no_other() {
    let db = TestDb::new().await;
    let user = db.user("ada@example.org", "5").await;
    db.execute(&format!(
        "alter table card_refunds rename to gone; begin; set local session_replication_role = replica;
         update users set balance = 6 where id = '{user}'; commit"
    ))
    .await;
    let verdicts = verdicts(&db).await;
    let failed: BTreeSet<&str> = (verdicts.iter())
        .filter(|verdict| verdict.error.as_deref().is_some_and(|why| why.contains("card_refunds")))
        .map(|verdict| verdict.check)
        .collect();
    assert_eq!(failed, BTreeSet::from(["card_refunds", "debts"]));
    let balances = verdicts.iter().find(|verdict| verdict.check == "balances").unwrap();
    assert_eq!((balances.violations, balances.error.as_deref()), (1, None));
}

/// Asks after each slice how many transactions are open in the database.
struct Asking<'d> {
    sql: &'d PgPool,
    open: Vec<i64>,
}

impl Walk for Asking<'_> {
    async fn progress(&mut self, _: &'static str, _: u64) {
        let open = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null",
        );
        self.open.push(open.fetch_one(self.sql).await.unwrap());
    }

    fn rests(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn no_snapshot_is_held_between_statements() {
    let world = World::new().await;
    let mut walk = Asking {
        sql: &world.db.sql,
        open: Vec::new(),
    };
    verify::verify(&world.db.store, &mut walk).await;
    assert!(walk.open.len() > 5, "{:?}", walk.open);
    assert!(walk.open.iter().all(|open| *open == 0), "{:?}", walk.open);
}
