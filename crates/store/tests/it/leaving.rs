//! An account is deleted while others write for it: whoever came first is waited for and goes with the account, whoever
//! comes after it is refused. Nothing of the account is left either way.

use std::time::Duration;

use lockstep_domain::cart::{CartLimits, Principal};
use lockstep_domain::ids::{GameId, TopUpId, UserId};
use lockstep_store::accounts::export::{self, LISTS};
use lockstep_store::accounts::{self, Deleted};
use lockstep_store::carts;
use lockstep_store::deliveries::{self, Reason, Source, Unused};
use lockstep_store::guests::ShopperError;
use lockstep_store::top_ups::{self, BeginError, Begun, NewTopUp, PaymentEvent, ProviderPaymentStatus, Review, Which};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::concurrency::{race, refused_by};
use crate::world::{World, session};

const DEADLINE: Duration = Duration::from_secs(20);

/// A write for `other_user`, and the table in which nothing of theirs may be left.
const WRITES: &[(&str, &str)] = &[
    (
        "cart_items",
        "insert into cart_items (user_id, game_id) values ({other_user}, {game})",
    ),
    (
        "billing_profiles",
        "insert into billing_profiles (user_id, country) values ({other_user}, 'DE')",
    ),
    (
        "wishlist",
        "insert into wishlist (user_id, game_id) values ({other_user}, {game})",
    ),
    (
        "stock_alerts",
        "insert into stock_alerts (user_id, game_id) values ({other_user}, {sold_out})",
    ),
    (
        "user_sessions",
        "insert into user_sessions (id, user_id, expires_at, refresh_id) values ({new}, {other_user}, now() + interval '1 day', {new})",
    ),
    (
        "api_tokens",
        "insert into api_tokens (user_id, name, hash, hint, permissions, expires_at)
         values ({other_user}, 'n', sha256('x'), 'lsk_abcd', array['orders.read'], now() + interval '1 day')",
    ),
    (
        "saved_views",
        "insert into saved_views (id, user_id, list, name, query) values ({new}, {other_user}, 'orders', 'n', '')",
    ),
    (
        "recent_things",
        "insert into recent_things (user_id, kind, thing_id) values ({other_user}, 'game', {game})",
    ),
    (
        "user_totp",
        "insert into user_totp (user_id, nonce) values ({other_user}, sha256('x'))",
    ),
    (
        "one_time_codes",
        "insert into one_time_codes (user_id, purpose, hash, email, expires_at)
         values ({other_user}, 'VERIFY_EMAIL', sha256('x'), 'e', now() + interval '1 hour')",
    ),
    (
        "login_history",
        "insert into login_history (user_id, succeeded) values ({other_user}, true)",
    ),
    (
        "mail_outbox",
        "insert into mail_outbox (user_id, recipient, kind, letter, not_after) values ({other_user}, 'e', 'welcome', '[]', now())",
    ),
    (
        "idempotency_keys",
        "insert into idempotency_keys (owner, route, key, request_hash, answer) values ({other_user}, 'r', 'k', sha256('x'), 'null')",
    ),
    (
        "top_ups",
        "insert into top_ups (user_id, amount, method, provider, reference, redirect_url)
         values ({other_user}, 1, 'card', 'test', 'late', 'https://pay.example')",
    ),
    (
        "unused_deliveries",
        "insert into unused_deliveries (source, reason, body, user_id) values ('payments', 'REFUSED', 'b', {other_user})",
    ),
];

/// With a record that keeps the account's row.
async fn world() -> World {
    let world = World::new().await;
    let record = "insert into top_ups (user_id, amount, method, provider, status) values ({other_user}, 1, 'card', 'test', 'FAILED')";
    world.db.execute(&world.fill(record)).await;
    world
}

/// Whether a session of this database waits for a lock.
async fn is_waited_for(world: &World) -> bool {
    sqlx::query_scalar(
        "select exists (select 1 from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0)",
    )
    .fetch_one(&world.db.sql)
    .await
    .unwrap()
}

async fn left(world: &World, table: &str) -> i64 {
    let owner = if table == "idempotency_keys" {
        "owner"
    } else {
        "user_id"
    };
    let payable = if table == "top_ups" {
        "and (status = 'PENDING' or redirect_url is not null)"
    } else {
        ""
    };
    sqlx::query_scalar(AssertSqlSafe(world.fill(&format!(
        "select count(*) from {table} where {owner} = {{other_user}} {payable}"
    ))))
    .fetch_one(&world.db.sql)
    .await
    .unwrap()
}

#[tokio::test]
async fn writes_in_progress_are_deleted_with_the_account() {
    for (table, write) in WRITES {
        let world = world().await;
        let mut tab = session(&world).await;
        tab.execute("begin").await.unwrap();
        tab.execute(AssertSqlSafe(world.fill(write))).await.unwrap();
        let (store, user) = (world.db.store.clone(), UserId(world.id("other_user")));
        let leaving = tokio::spawn(async move { accounts::delete(&store, user, false).await });
        tokio::time::timeout(DEADLINE, async {
            while !leaving.is_finished() && !is_waited_for(&world).await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
        .expect("the deletion waits or ends");
        tab.execute("commit").await.unwrap();
        let deleted = leaving.await.unwrap();
        assert!(matches!(deleted, Ok(Deleted::Anonymised)), "{table}: {deleted:?}");
        assert_eq!(left(&world, table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn writes_after_the_deletion_are_refused() {
    let delete = "update users set deleted_at = now(), email = 'deleted-1@deleted.invalid', nickname = null where id = {other_user}";
    for (table, write) in WRITES {
        let world = world().await;
        let outcome = race(&world, delete, write).await;
        assert!(outcome.waited, "{table}");
        assert_eq!(refused_by(outcome), "users_deleted_own_nothing", "{table}");
    }
}

#[tokio::test]
async fn deleted_accounts_accept_no_writes() {
    let world = world().await;
    let (store, user) = (&world.db.store, UserId(world.id("other_user")));
    accounts::delete(store, user, false).await.unwrap();
    let added = carts::add(
        store,
        Principal::User(user),
        GameId(world.id("game")),
        1,
        CartLimits::default(),
    )
    .await;
    assert!(matches!(added, Err(ShopperError::NoSuchShopper)), "{added:?}");
    let begun = top_ups::begin(store, top_up(user), DEADLINE).await;
    assert!(matches!(begun, Err(BeginError::NoSuchUser)), "{begun:?}");
}

/// What a payment service says of a payer is in that person's export, and goes with the account; that it said something stays.
#[tokio::test]
async fn what_a_payment_service_says_of_a_payer_is_theirs() {
    let world = world().await;
    let (store, user) = (&world.db.store, UserId(world.id("other_user")));
    let begun = top_ups::begin(store, top_up(user), DEADLINE).await.unwrap();
    let Begun::Ask { top_up, .. } = begun else {
        panic!("{begun:?}")
    };
    let unused = |event: &str| Unused {
        source: Source::Payments,
        reason: Reason::FieldUnusable,
        detail: None,
        event_id: Some(event.to_owned()),
        kind: None,
    };
    let said = format!(
        "{{\"metadata\":{{\"top_up\":\"{}\"}},\"name\":\"Zo\u{eb} Quill\"}}",
        top_up.id
    );
    deliveries::keep(store, &unused("hers"), said.as_bytes()).await.unwrap();
    let other = said.replace(&top_up.id.to_string(), "0198c0de-0000-7000-8000-000000000000");
    deliveries::keep(store, &unused("somebody else's"), other.as_bytes())
        .await
        .unwrap();

    let list = LISTS.iter().find(|list| list.name == "paymentEvents").unwrap();
    let exported = store
        .read(|tx| Box::pin(export::page(tx, user, list, None)))
        .await
        .unwrap()
        .value
        .unwrap();
    assert_eq!(exported.rows.len(), 1, "{exported:?}");
    assert!(exported.rows[0].contains("Quill"), "{exported:?}");

    accounts::delete(store, user, false).await.unwrap();
    // After the deletion staff see that something was said, not of whom.
    deliveries::keep(store, &unused("late"), format!("{said} ").as_bytes())
        .await
        .unwrap();
    deliveries::keep(store, &unused("hers"), said.as_bytes()).await.unwrap();
    let left: Vec<(String, bool, bool)> = sqlx::query_as(
        "select event_id, user_id is null, position('Quill'::bytea in body) > 0 from unused_deliveries order by event_id",
    )
    .fetch_all(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(
        left,
        [
            ("hers".to_owned(), true, false),
            ("late".to_owned(), true, false),
            ("somebody else's".to_owned(), true, true)
        ]
    );
}

/// The same for a payer who is named by e-mail address only, once the account has proved that the address is its own.
#[tokio::test]
async fn what_a_payment_service_says_of_an_address_is_its_owners() {
    let world = world().await;
    let (store, user) = (&world.db.store, UserId(world.id("other_user")));
    let refused = Unused {
        source: Source::Relay,
        reason: Reason::Refused,
        detail: None,
        event_id: None,
        kind: None,
    };
    let said = r#"{"email":"Bob@Example.org","name":"Zo\u00eb Quill","currency":"USD"}"#;
    let other = said.replace("Bob", "Rob");
    for body in [said, &other] {
        deliveries::keep(store, &refused, body.as_bytes()).await.unwrap();
    }
    let list = LISTS.iter().find(|list| list.name == "paymentEvents").unwrap();
    let exported = async || {
        let page = store.read(|tx| Box::pin(export::page(tx, user, list, None))).await;
        page.unwrap().value.unwrap().rows
    };
    assert_eq!(exported().await, [""; 0], "the address may be another's");
    world
        .db
        .execute(&world.fill("update users set email_verified = true where id = {other_user}"))
        .await;
    let rows = exported().await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].contains("Quill"), "{rows:?}");

    accounts::delete(store, user, false).await.unwrap();
    // Sent again, it is counted, and its bytes are not stored again.
    deliveries::keep(store, &refused, said.as_bytes()).await.unwrap();
    let left: Vec<(i32, bool, Vec<String>)> = sqlx::query_as(
        "select times, position('Quill'::bytea in body) > 0, payers from unused_deliveries order by received_at",
    )
    .fetch_all(&world.db.sql)
    .await
    .unwrap();
    assert_eq!(
        left,
        [(2, false, vec![]), (1, true, vec!["rob@example.org".to_owned()])]
    );
}

/// An account without records is deleted completely; what was said of it is erased all the same.
#[tokio::test]
async fn deliveries_of_accounts_without_records_are_erased() {
    let world = World::new().await;
    let user = UserId(world.id("other_user"));
    world
        .db
        .execute(&world.fill(
            "update users set email_verified = true where id = {other_user};
             insert into unused_deliveries (source, reason, body, user_id) values ('payments', 'REFUSED', 'Quill', {other_user});
             insert into unused_deliveries (source, reason, body, payers) values ('relay', 'REFUSED', 'Quill', '{bob@example.org}')",
        ))
        .await;
    let deleted = accounts::delete(&world.db.store, user, false).await.unwrap();
    assert_eq!(deleted, Deleted::Completely);
    let left: (i64, i64) =
        sqlx::query_as("select count(*), count(*) filter (where body = '' and payers = '{}') from unused_deliveries")
            .fetch_one(&world.db.sql)
            .await
            .unwrap();
    assert_eq!(left, (2, 2));
}

/// The old store kept an address with an accent as one letter or as two, and a payment service sends either.
#[tokio::test]
async fn payers_are_found_however_their_address_is_spelled() {
    for (stored, sent) in [
        ("zoe\u{308}@example.org", "zo\u{eb}@example.org"),
        ("zo\u{eb}@example.org", "zoe\u{308}@example.org"),
    ] {
        let world = world().await;
        let user = UserId(world.id("other_user"));
        sqlx::query("update users set email = $2, email_verified = true where id = $1")
            .bind(user.0)
            .bind(stored)
            .execute(&world.db.sql)
            .await
            .unwrap();
        let unused = Unused {
            source: Source::Relay,
            reason: Reason::NotOurs,
            detail: None,
            event_id: None,
            kind: None,
        };
        let body = format!("{{\"payer\":\"{sent}\"}}");
        deliveries::keep(&world.db.store, &unused, body.as_bytes())
            .await
            .unwrap();
        accounts::delete(&world.db.store, user, false).await.unwrap();
        assert_eq!(
            world
                .db
                .count("unused_deliveries where body = '' and payers = '{}'")
                .await,
            1,
            "{stored:?} {sent:?}"
        );
    }
}

/// A delivery that names a payer whose whole row is deleted at this moment.
#[tokio::test]
async fn deliveries_that_waited_for_a_complete_deletion_keep_nothing_of_the_payer() {
    let world = World::new().await;
    world
        .db
        .execute(&world.fill("update users set email_verified = true where id = {other_user}"))
        .await;
    let mut deleting = session(&world).await;
    deleting.execute("begin").await.unwrap();
    deleting
        .execute(AssertSqlSafe(world.fill("delete from users where id = {other_user}")))
        .await
        .unwrap();
    let unused = Unused {
        source: Source::Relay,
        reason: Reason::NotOurs,
        detail: None,
        event_id: None,
        kind: None,
    };
    let body = br#"{"payer":"bob@example.org"}"#;
    let commits = async {
        let is_waited_for = "select exists (select from pg_stat_activity
            where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0)";
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !sqlx::query_scalar::<_, bool>(is_waited_for)
            .fetch_one(&world.db.sql)
            .await
            .unwrap()
        {
            assert!(tokio::time::Instant::now() < deadline, "the delivery does not wait");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        deleting.execute("commit").await.unwrap();
    };
    let (kept, ()) = tokio::join!(deliveries::keep(&world.db.store, &unused, body), commits);
    kept.unwrap();
    assert_eq!(
        world
            .db
            .count("unused_deliveries where body = '' and payers = '{}'")
            .await,
        1
    );
}

/// Many deliveries about a payer arrive during the deletion: none of them leaves anything of the payer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_arrive_during_the_deletion_leave_nothing_of_the_payer() {
    for _ in 0..5 {
        let world = world().await;
        world
            .db
            .execute(&world.fill("update users set email_verified = true where id = {other_user}"))
            .await;
        let (store, user) = (&world.db.store, UserId(world.id("other_user")));
        let begun = top_ups::begin(store, top_up(user), DEADLINE).await.unwrap();
        let Begun::Ask { top_up, .. } = begun else {
            panic!("{begun:?}")
        };
        let said = (0..20).map(|n| {
            let body = format!(
                "{{\"n\":{n},\"top_up\":\"{}\",\"email\":\"bob@example.org\"}}",
                top_up.id
            );
            async move {
                let unused = Unused {
                    source: Source::Payments,
                    reason: Reason::NotOurs,
                    detail: None,
                    event_id: None,
                    kind: None,
                };
                deliveries::keep(store, &unused, body.as_bytes()).await
            }
        });
        let (deleted, kept) = tokio::join!(accounts::delete(store, user, true), futures::future::join_all(said));
        deleted.unwrap();
        assert!(kept.iter().all(Result::is_ok), "{kept:?}");
        assert_eq!(world.db.count("unused_deliveries").await, 20);
        assert_eq!(
            world
                .db
                .count("unused_deliveries where body <> '' or payers <> '{}' or user_id is not null")
                .await,
            0
        );
    }
}

fn top_up(user: UserId) -> NewTopUp {
    NewTopUp {
        user,
        amount: "5".parse().unwrap(),
        method: "card".into(),
        provider: "test",
        key: None,
        card: None,
    }
}

/// A payment event and the deletion lock the same rows in the same order. Many at once all end, and the money is either
/// on the account or on the books and shown to staff.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_that_arrive_during_the_deletion_are_never_stranded() {
    for round in 0..5 {
        let world = world().await;
        let (store, user) = (&world.db.store, UserId(world.id("other_user")));
        let mut ids: Vec<TopUpId> = Vec::new();
        for n in 0..6 {
            let begun = top_ups::begin(store, top_up(user), DEADLINE).await.unwrap();
            let Begun::Ask { top_up, .. } = begun else {
                panic!("{begun:?}")
            };
            top_ups::announced(store, top_up.id, &format!("r{round}-{n}"), "https://pay.example")
                .await
                .unwrap();
            ids.push(top_up.id);
        }
        let words = ids.iter().map(|id| {
            let said = PaymentEvent {
                provider: "test",
                event: None,
                kind: "k".into(),
                which: Which::Id(*id),
                word: ProviderPaymentStatus::Paid {
                    amount: "5".parse().unwrap(),
                    currency: "EUR".into(),
                },
            };
            async move { top_ups::apply(store, &said).await }
        });
        let (deleted, outcomes) = tokio::join!(accounts::delete(store, user, true), futures::future::join_all(words));
        deleted.unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let unowned: i64 =
            sqlx::query_scalar("select count(*) from top_ups where status = 'COMPLETED' and review = 'NO_OWNER'")
                .fetch_one(&world.db.sql)
                .await
                .unwrap();
        let shown = top_ups::to_review(store, 10).await.unwrap();
        assert!(shown.iter().all(|one| one.why == Review::NoOwner), "{shown:?}");
        assert_eq!(i64::try_from(shown.len()).unwrap(), unowned);
        world.db.assert_books_balance().await;
    }
}
