//! Changes of many games at once: each game is as before or as after, and the audit log in step, whoever dies and however
//! many workers there are.

use chrono::Utc;
use futures::future::join_all;
use lockstep_domain::ids::UserId;
use lockstep_store::bulk::{self, BulkError, BulkKind, NewBulk, Selection};
use lockstep_testkit::TestDb;
use uuid::Uuid;

/// A shop with this many games for €10.00 each, and a member of its staff.
async fn shop(games: u32) -> (TestDb, UserId) {
    let db = TestDb::new().await;
    let staff = UserId(db.user("root@example.org", "0").await);
    db.execute(&format!(
        "insert into games (title, slug, description, price, image, release_date, g2a_product_id, g2a_stock)
         select 'Game ' || n, 'game-' || n, '', 10, 'https://img.example/a.jpg', '2020-05-17Z', 'p' || n, true
           from generate_series(1, {games}) n"
    ))
    .await;
    (db, staff)
}

async fn look(db: &TestDb, staff: UserId, kind: BulkKind, amount: Option<i64>) -> Uuid {
    let new = NewBulk {
        kind,
        amount: amount.map(Into::into),
        selection: Selection::Matching(lockstep_store::admin::catalogue::Filter::default()),
        #[expect(clippy::disallowed_methods, reason = "later than every change of the fixture")]
        as_of: Utc::now(),
    };
    bulk::look(&db.store, staff, &new).await.unwrap()
}

async fn value(db: &TestDb, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&db.sql).await.unwrap()
}

/// Games whose price was raised, those that are recorded as done, and those in the audit log.
async fn figures(db: &TestDb) -> [i64; 3] {
    [
        value(db, "select count(*) from games where price = 11 and 'price' = any (fields_by_hand)").await,
        value(db, "select count(*) from bulk_change_games where state = 'DONE'").await,
        value(
            db,
            "select coalesce(sum(jsonb_array_length(details -> 'games')), 0)::bigint from audit_log where action = 'catalogue.bulk.apply'",
        )
        .await,
    ]
}

#[tokio::test]
async fn many_workers_change_each_game_once() {
    let (db, staff) = shop(400).await;
    let id = look(&db, staff, BulkKind::PricePercent, Some(10)).await;
    bulk::confirm(&db.store, staff, id, false).await.unwrap();
    let workers = (0..8).map(|_| async {
        // Another worker may be at it: then there is nothing to do for this one at the moment.
        while value(&db, "select count(*) from bulk_changes where state = 'OPEN'").await > 0 {
            bulk::next_part(&db.store, 7).await.unwrap();
        }
    });
    join_all(workers).await;
    assert_eq!(figures(&db).await, [400, 400, 400]);
    assert_eq!(value(&db, "select count(*) from price_changes").await, 400);
}

#[tokio::test]
async fn a_worker_that_dies_anywhere_leaves_each_game_before_or_after_and_the_next_goes_on() {
    let (db, staff) = shop(60).await;
    let id = look(&db, staff, BulkKind::PricePercent, Some(10)).await;
    bulk::confirm(&db.store, staff, id, false).await.unwrap();
    for polls in 1..200 {
        // Dropped after some answers of the database, as by a crash: what was not committed never happened.
        let mut work = Box::pin(bulk::next_part(&db.store, 2));
        for _ in 0..polls {
            if futures::poll!(&mut work).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(work);
        let [raised, done, told] = figures(&db).await;
        assert_eq!((raised, done), (done, told), "after {polls} polls");
    }
    while bulk::next_part(&db.store, 7).await.unwrap().is_some() {}
    assert_eq!(figures(&db).await, [60, 60, 60]);
    assert_eq!(
        value(&db, "select count(*) from bulk_changes where state = 'COMPLETED'").await,
        1
    );
}

#[tokio::test]
async fn of_many_confirmations_and_undos_one_counts() {
    let (db, staff) = shop(5).await;
    let id = look(&db, staff, BulkKind::Hide, None).await;
    let confirmed = join_all((0..6).map(|_| bulk::confirm(&db.store, staff, id, false))).await;
    assert_eq!(confirmed.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    while bulk::next_part(&db.store, 2).await.unwrap().is_some() {}
    let undone = join_all((0..6).map(|_| bulk::undo(&db.store, staff, id, false))).await;
    assert_eq!(undone.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let part = bulk::next_part(&db.store, 10).await.unwrap().unwrap();
    // Only G2A knows the stock of what is no longer held back.
    assert_eq!((part.given_back.len(), part.is_over), (5, true));
    assert_eq!(
        value(&db, "select count(*) from games where fields_by_hand = '{}'").await,
        5
    );
}

#[tokio::test]
async fn nothing_is_confirmed_that_changes_nothing() {
    let (db, staff) = shop(3).await;
    db.execute("update games set supplier_price = 20").await;
    let id = look(&db, staff, BulkKind::PriceSet, Some(10)).await;
    assert!(matches!(
        bulk::confirm(&db.store, staff, id, true).await,
        Err(BulkError::Nothing)
    ));
    let id = look(&db, staff, BulkKind::PriceSet, Some(11)).await;
    assert!(matches!(
        bulk::confirm(&db.store, staff, id, false).await,
        Err(BulkError::Nothing)
    ));
    bulk::confirm(&db.store, staff, id, true).await.unwrap();
    while bulk::next_part(&db.store, 2).await.unwrap().is_some() {}
    assert_eq!(figures(&db).await, [3, 3, 3]);
}

/// Does everything that is confirmed.
async fn work(db: &TestDb) {
    while bulk::next_part(&db.store, 2).await.unwrap().is_some() {}
}

/// Price, state and reason of each game, by title.
async fn outcomes(db: &TestDb) -> Vec<String> {
    sqlx::query_scalar(
        "select concat_ws(' ', g.price, c.state, c.reason) from bulk_change_games c join games g on g.id = c.game_id
          order by c.bulk_id desc, g.title",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap()
}

/// A change of all prices to this amount, done.
async fn set(db: &TestDb, staff: UserId, price: i64) -> Uuid {
    let id = look(db, staff, BulkKind::PriceSet, Some(price)).await;
    bulk::confirm(&db.store, staff, id, true).await.unwrap();
    work(db).await;
    id
}

#[tokio::test]
async fn games_with_a_scheduled_change_are_left_out_also_when_it_is_scheduled_after_the_preview() {
    let (db, staff) = shop(5).await;
    let schedule = |game: u32, field: &str, state: &str| {
        let (price, value) = if field == "PRICE" {
            ("8", "null")
        } else {
            ("null", "false")
        };
        format!(
            "insert into scheduled_changes (id, game_id, field, price, value, starts_at, ends_at, state, before)
             select gen_random_uuid(), id, '{field}', {price}, {value}, now(), now() + interval '1 hour', '{state}', '{{}}'
               from games where slug = 'game-{game}'"
        )
    };
    db.execute(&schedule(1, "PRICE", "ACTIVE")).await;
    db.execute(&schedule(2, "PRICE", "WAITING")).await;
    db.execute(&schedule(3, "VISIBLE", "WAITING")).await;
    let id = look(&db, staff, BulkKind::PriceSet, Some(11)).await;
    bulk::confirm(&db.store, staff, id, false).await.unwrap();
    db.execute(&schedule(4, "PRICE", "WAITING")).await;
    work(&db).await;
    let left_out = "10.00 SKIPPED SCHEDULED";
    assert_eq!(
        outcomes(&db).await,
        [left_out, left_out, "11.00 DONE", left_out, "11.00 DONE"]
    );
    // Nor is what was scheduled since undone by hand.
    db.execute(&schedule(5, "PRICE", "WAITING")).await;
    bulk::undo(&db.store, staff, id, false).await.unwrap();
    work(&db).await;
    assert_eq!(
        outcomes(&db).await,
        [left_out, left_out, "10.00 UNDONE", left_out, "11.00 KEPT SCHEDULED"]
    );
}

#[tokio::test]
async fn what_an_order_buys_while_it_is_undone_stays() {
    let (db, staff) = shop(1).await;
    let user = db.user("ada@example.org", "100").await;
    let game: Uuid = sqlx::query_scalar("select id from games")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    let id = set(&db, staff, 7).await;
    bulk::undo(&db.store, staff, id, false).await.unwrap();
    // As an order that has read the price.
    let mut order = db.sql.begin().await.unwrap();
    sqlx::query("select from games for key share")
        .execute(&mut *order)
        .await
        .unwrap();
    let buy = async {
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let open = "select count(*) from bulk_changes where state = 'UNDOING'";
        while value(&db, waiting).await == 0 && value(&db, open).await > 0 {}
        db.order(user, game, 1).await;
        order.commit().await.unwrap();
    };
    let (part, ()) = futures::join!(bulk::next_part(&db.store, 2), buy);
    part.unwrap();
    assert_eq!(outcomes(&db).await, ["7.00 KEPT SOLD"]);
}

#[tokio::test]
async fn prices_come_back_below_the_suppliers_only_with_a_yes_to_what_it_asks() {
    for (yes, later, wanted) in [
        (false, 15, "20.00 KEPT BELOW_COST"),
        (true, 15, "10.00 UNDONE"),
        (true, 16, "20.00 KEPT BELOW_COST"),
    ] {
        let (db, staff) = shop(1).await;
        let id = set(&db, staff, 20).await;
        db.execute("update games set supplier_price = 15").await;
        let below = db
            .store
            .read(|tx| Box::pin(bulk::undo_below_cost(tx, id)))
            .await
            .unwrap();
        assert_eq!(below.value, 1);
        bulk::undo(&db.store, staff, id, yes).await.unwrap();
        db.execute(&format!("update games set supplier_price = {later}")).await;
        work(&db).await;
        assert_eq!(outcomes(&db).await, [wanted], "{yes} {later}");
    }
}

#[tokio::test]
async fn a_yes_to_a_price_below_the_suppliers_is_to_the_price_that_was_shown() {
    let (db, staff) = shop(3).await;
    db.execute("update games set supplier_price = 12 where slug <> 'game-3'")
        .await;
    let id = look(&db, staff, BulkKind::PriceSet, Some(11)).await;
    bulk::confirm(&db.store, staff, id, true).await.unwrap();
    // It asks more of the first; of the last it was not known that it asks more than the price.
    db.execute("update games set supplier_price = 13 where slug <> 'game-2'")
        .await;
    work(&db).await;
    let left_out = "10.00 SKIPPED BELOW_COST";
    assert_eq!(outcomes(&db).await, [left_out, "11.00 DONE", left_out]);
}

#[tokio::test]
async fn an_undo_stops_what_is_not_done_yet() {
    let (db, staff) = shop(5).await;
    let id = look(&db, staff, BulkKind::Hide, None).await;
    bulk::confirm(&db.store, staff, id, false).await.unwrap();
    bulk::next_part(&db.store, 2).await.unwrap().unwrap();
    bulk::undo(&db.store, staff, id, false).await.unwrap();
    work(&db).await;
    let states = "select count(*) from bulk_change_games where state = 'UNDONE' or reason = 'STOPPED'";
    let undone = "select count(*) from bulk_change_games where state = 'UNDONE'";
    assert_eq!((value(&db, states).await, value(&db, undone).await), (5, 2));
    let over = "select count(*) from bulk_changes where state = 'UNDONE'";
    let hidden = "select count(*) from games where fields_by_hand <> '{}'";
    assert_eq!((value(&db, over).await, value(&db, hidden).await), (1, 0));
}

#[tokio::test]
async fn what_was_set_again_to_the_same_is_not_undone_and_a_newer_original_price_stays() {
    let (db, staff) = shop(2).await;
    db.execute("update games set original_price = 20, discount = 50").await;
    let id = set(&db, staff, 11).await;
    db.execute("update games set price = 12 where slug = 'game-1'").await;
    db.execute("update games set price = 11 where slug = 'game-1'").await;
    db.execute("update games set original_price = 40, discount = 73 where slug = 'game-2'")
        .await;
    bulk::undo(&db.store, staff, id, false).await.unwrap();
    work(&db).await;
    assert_eq!(outcomes(&db).await, ["11.00 KEPT CHANGED", "10.00 UNDONE"]);
    let original = "select original_price::bigint from games where slug = 'game-2'";
    assert_eq!(value(&db, original).await, 40);
}

#[tokio::test]
async fn one_bulk_change_is_at_work_at_a_time() {
    let (db, staff) = shop(2).await;
    let id = look(&db, staff, BulkKind::Hide, None).await;
    bulk::confirm(&db.store, staff, id, false).await.unwrap();
    let mut other = db.sql.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('lockstep bulk changes', 0))")
        .execute(&mut *other)
        .await
        .unwrap();
    assert_eq!(bulk::next_part(&db.store, 2).await.unwrap(), None);
    other.commit().await.unwrap();
    assert!(bulk::next_part(&db.store, 2).await.unwrap().is_some());
}
