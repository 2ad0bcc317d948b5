//! Runs that are repeated, killed, or large.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lockstep_testkit::TestDb;
use tokio::sync::Notify;

use crate::support::{books, damaged, dry_run, import, rows, tables, watched};

/// Everything that an import writes, but for what is drawn anew each time: ciphertexts, numbers of orders, ids of openings.
async fn dump(db: &TestDb) -> Vec<String> {
    rows(
        db,
        "select 'user ' || id || email || balance || password_hash from users
         union all select 'game ' || id || slug || price || in_stock from games
         union all select 'order ' || id || status || total || coalesce(promo_code, '') || created_at from orders
         union all select 'item ' || id || price || quantity from order_items
         union all select 'unit ' || id || state || price_paid || coalesce(last_error, '') from order_units
         union all select 'key ' || id || encode(key_hash, 'hex') || coalesce(order_unit_id::text, '') || coalesce(faulty_unit_id::text, '') from game_keys
         union all select 'booking ' || coalesce(order_id::text, '') || user_id || type || amount || status || coalesce(transaction_hash, '') from transactions
         union all select 'row ' || kind || foreign_id || own_id || is_new from import_rows
         union all select 'cart ' || user_id || game_id || quantity from cart_items
         union all select 'wish ' || user_id || game_id from wishlist
         union all select 'code ' || id || used_count from promo_codes
         union all select 'login ' || id from login_history
         union all select 'text ' || id from blog_articles union all select 'text ' || id from faqs
         order by 1",
    )
    .await
}

/// Customers with an order, its key and its bookings each.
async fn many(customers: u32) -> TestDb {
    let db = tables().await;
    let statement = format!(
        "insert into games (id, title, slug, description, price, \"g2aProductId\") select 'g' || n, 'Game ' || n, 'game-' || n, '', 10, n::text from generate_series(1, 50) n;
         insert into users (id, email, \"passwordHash\", balance) select 'u' || n, 'u' || n || '@shop.example', '', 2 from generate_series(1, {customers}) n;
         insert into orders (id, \"userId\", status, subtotal, total, \"createdAt\") select 'o' || n, 'u' || n, 'COMPLETED', 10, 10, '2026-02-01' from generate_series(1, {customers}) n;
         insert into order_items (id, \"orderId\", \"gameId\", price) select 'i' || n, 'o' || n, 'g' || (1 + n % 50), 10 from generate_series(1, {customers}) n;
         insert into game_keys (id, \"gameId\", key, \"orderId\") select 'k' || n, 'g' || (1 + n % 50), 'KEY0-' || n, 'o' || n from generate_series(1, {customers}) n;
         insert into transactions (id, \"userId\", \"orderId\", type, amount, status)
         select 'p' || n, 'u' || n, 'o' || n, 'PURCHASE'::\"TransactionType\", -10, 'COMPLETED'::\"PaymentStatus\" from generate_series(1, {customers}) n
         union all select 'c' || n, 'u' || n, null, 'TOP_UP', 12, 'COMPLETED' from generate_series(1, {customers}) n;
         analyze"
    );
    db.execute(&statement).await;
    db
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let (from, to) = (damaged().await, TestDb::new().await);
    let first = import(&from, &to, &[]).await;
    let before = dump(&to).await;
    let second = import(&from, &to, &[]).await;
    assert_eq!(dump(&to).await, before);
    assert_ne!(first.run, second.run);
    assert_eq!(
        (
            second.tables["users"].taken,
            second.tables["orders"].taken,
            second.tables["game_keys"].taken
        ),
        (0, 0, 0)
    );
    assert_eq!(second.tables["transactions"].taken, 0);
}

#[tokio::test]
async fn a_later_run_brings_what_is_new_and_what_has_moved() {
    let (from, to) = (damaged().await, TestDb::new().await);
    to.keep_own_stock().await;
    import(&from, &to, &[]).await;
    // The open order is delivered, and somebody tops up; here, meanwhile, the operator gives 1 euro.
    from.execute(
        "update orders set status = 'COMPLETED', \"completedAt\" = now() at time zone 'UTC' where id = 'o-young';
         insert into game_keys (id, \"gameId\", key, \"orderId\") values ('k-new', '00000000-0000-4000-8000-000000000011', 'NEW0-0001', 'o-young');
         insert into transactions (id, \"userId\", type, amount, status, \"transactionHash\") values ('t-new', 'u-odd', 'TOP_UP', 5, 'COMPLETED', 'h-new');
         update users set balance = 5 where id = 'u-odd';
         insert into cart_items (\"userId\", \"gameId\", quantity, \"addedAt\")
         values ('u-odd', '00000000-0000-4000-8000-000000000011', 3, now() at time zone 'UTC' + interval '1 second')",
    )
    .await;
    to.execute(
        "begin; insert into transactions (user_id, type, amount, status) select id, 'TOP_UP', 1, 'COMPLETED' from users where email like '\"odd%';
         update users set balance = balance + 1 where email like '\"odd%'; commit",
    )
    .await;
    // Somebody has emptied the carts here.
    to.execute("delete from cart_items").await;
    let report = import(&from, &to, &[]).await;
    assert_eq!(rows(&to, "select quantity::text from cart_items").await, ["3"]);
    assert_eq!(
        (report.tables["orders"].taken, report.tables["game_keys"].taken),
        (0, 1)
    );
    assert_eq!(
        rows(&to, "select balance::text from users where email like '\"odd%'").await,
        ["6.00"]
    );
    assert_eq!(
        rows(&to, "select o.status || ' ' || u.state from orders o join order_units u on u.order_id = o.id join import_rows r on r.own_id = o.id
                    where r.kind = 'order' and r.foreign_id = 'o-young'").await,
        ["COMPLETED DONE"]
    );
    assert_eq!(books(&to).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_run_that_was_killed_anywhere_ends_as_one_that_was_not() {
    let from = many(2_000).await;
    let undisturbed = TestDb::new().await;
    import(&from, &undisturbed, &[]).await;
    let expected = dump(&undisturbed).await;
    let killed = TestDb::new().await;
    // After each of the first batches, the process is gone.
    for batch in 1..=4 {
        let (seen, stop) = (AtomicU64::new(0), Arc::new(Notify::new()));
        let told = Arc::clone(&stop);
        let progress = move |_| {
            if seen.fetch_add(1, Ordering::SeqCst) + 1 == batch {
                told.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = stop.notified() => {}
            result = watched(&from, &killed, &[], &progress) => { result.unwrap(); }
        }
    }
    let last = import(&from, &killed, &[]).await;
    assert_eq!(dump(&killed).await, expected);
    assert_eq!(
        rows(&killed, "select count(*)::text from import_runs where ended_at is null").await,
        ["0"]
    );
    assert!(last.run.is_some());
    assert_eq!(books(&killed).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_a_large_shop_needs_little_memory() {
    let from = many(20_000).await;
    let peak = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = peak();
    let report = dry_run(from.url()).await.unwrap();
    assert_eq!(report.tables["orders"].taken, 20_000);
    let more = peak() - before;
    assert!(more < 60_000, "a dry run of 20,000 orders took {more} kB");
    assert_eq!(rows(&from, "select count(*)::text from users").await, ["20000"]);
}
