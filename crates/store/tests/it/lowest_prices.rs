//! The lowest price of the 30 days before a reduction began.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use lockstep_store::StoreError;
use lockstep_store::games;
use lockstep_testkit::TestDb;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sqlx::{Connection as _, Executor as _};
use uuid::Uuid;

/// A game that was sold for `prices`: each with the number of hours ago at which it began, the oldest first.
async fn sold_for(db: &TestDb, slug: &str, prices: &[(i64, &str)]) -> Uuid {
    let game = db.game("Portal", slug, prices[0].1).await;
    for pair in prices.windows(2) {
        db.execute(&format!(
            "insert into price_changes (game_id, at, previous_price, price) values ('{game}', now() - interval '{} hours', {}, {})",
            pair[1].0, pair[0].1, pair[1].1
        ))
        .await;
    }
    // Set without a trace: the trace is above.
    db.execute(&format!(
        "alter table games disable trigger user; update games set price = {} where id = '{game}'; alter table games enable trigger user",
        prices[prices.len() - 1].1
    ))
    .await;
    game
}

/// Sells it for `price` from now on, compared with `original`; returns the lowest price.
async fn reduce(db: &TestDb, game: Uuid, price: &str, original: Option<&str>) -> Option<String> {
    db.execute(&format!(
        "update games set price = {price}, original_price = {}, discount = {} where id = '{game}'",
        original.unwrap_or("null"),
        original.map_or("null", |_| "1")
    ))
    .await;
    lowest(db, game).await
}

async fn lowest(db: &TestDb, game: Uuid) -> Option<String> {
    sqlx::query_scalar("select lowest_price_30d::text from games where id = $1")
        .bind(game)
        .fetch_one(&db.sql)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_reduction_is_measured_by_the_30_days_before_it_began() {
    let db = TestDb::new().await;
    let day = 24;
    // 80, raised to 100, and down to 90 again.
    let raised = sold_for(&db, "raised", &[(100 * day, "80"), (10 * day, "100")]).await;
    assert_eq!(reduce(&db, raised, "90", Some("120")).await.as_deref(), Some("80.00"));
    // The cheap weeks are over for longer.
    let long_ago = sold_for(&db, "long-ago", &[(100 * day, "80"), (40 * day, "100")]).await;
    assert_eq!(
        reduce(&db, long_ago, "90", Some("120")).await.as_deref(),
        Some("100.00")
    );
    // Until 29 days ago it was cheap.
    let lately = sold_for(&db, "lately", &[(100 * day, "70"), (29 * day, "100")]).await;
    assert_eq!(reduce(&db, lately, "90", Some("120")).await.as_deref(), Some("70.00"));
    // What is compared for the first time was cheaper before: the price itself.
    let compared = sold_for(&db, "compared", &[(100 * day, "90")]).await;
    assert_eq!(reduce(&db, compared, "90", Some("120")).await.as_deref(), Some("90.00"));
    // Without a reduction there is nothing to measure.
    assert_eq!(reduce(&db, compared, "95", None).await, None);
}

#[tokio::test]
async fn the_number_stays_while_the_reduction_lasts() {
    let db = TestDb::new().await;
    let game = sold_for(&db, "portal", &[(2400, "100")]).await;
    assert_eq!(reduce(&db, game, "80", Some("120")).await.as_deref(), Some("100.00"));
    // Sixty days later, "the last 30 days" would say 80.
    db.execute("update price_changes set at = at - interval '60 days'")
        .await;
    db.execute(&format!(
        "update games set title = 'Portal 1', popularity = 5 where id = '{game}'"
    ))
    .await;
    assert_eq!(reduce(&db, game, "80", Some("130")).await.as_deref(), Some("100.00"));
    // A deeper one begins anew.
    assert_eq!(reduce(&db, game, "70", Some("130")).await.as_deref(), Some("80.00"));
}

#[tokio::test]
async fn a_new_product_has_no_earlier_price() {
    let db = TestDb::new().await;
    let game = Uuid::new_v4();
    db.execute(&format!(
        "insert into games (id, title, slug, description, price, original_price, discount, image, release_date, in_stock)
         values ('{game}', 'Portal', 'portal', 'd', 10, 20, 50, 'i', now(), true)"
    ))
    .await;
    assert_eq!(lowest(&db, game).await, None);
    let view = async || {
        let read: Result<_, StoreError> = db.store.read(|tx| Box::pin(games::by_slug(tx, "portal"))).await;
        let game = read.unwrap().value.unwrap();
        (
            game.original_price.map(|price| price.to_string()),
            game.discount,
            game.lowest_price_30d.map(|price| price.to_string()),
        )
    };
    assert_eq!(view().await, (Some("20.00".into()), Some(50), None));
    // Measured, there is no reduction to announce yet; after its first change of price there is.
    db.store.measure_reductions(true);
    assert_eq!(view().await, (None, None, None));
    assert_eq!(reduce(&db, game, "8", Some("20")).await.as_deref(), Some("10.00"));
    assert_eq!(view().await, (Some("10.00".into()), Some(20), Some("10.00".into())));
}

#[tokio::test]
async fn codes_for_everybody_count_and_personal_ones_do_not() {
    let db = TestDb::new().await;
    db.promo_code("WELCOME", 50, None).await;
    db.promo_code("SUMMER", 25, None).await;
    db.promo_code("SPRING", 60, None).await;
    let game = sold_for(&db, "portal", &[(2400, "100")]).await;
    let other = sold_for(&db, "myst", &[(2400, "100")]).await;
    db.execute(&format!(
        "update promo_codes set is_public = true, valid_from = now() - interval '20 days', valid_until = now() - interval '10 days' where code = 'SUMMER';
         update promo_codes set is_public = true, valid_from = now() - interval '90 days', valid_until = now() - interval '60 days' where code = 'SPRING';
         insert into promo_code_games (promo_code_id, game_id) select id, '{game}' from promo_codes where code = 'SUMMER'"
    ))
    .await;
    assert_eq!(reduce(&db, game, "90", Some("120")).await.as_deref(), Some("75.00"));
    assert_eq!(reduce(&db, other, "90", Some("120")).await.as_deref(), Some("100.00"));
}

/// The day is that of UTC, whatever zone a session has, with or without summer time.
#[tokio::test]
async fn the_zone_of_the_session_does_not_matter() {
    let db = TestDb::new().await;
    let midnight = Utc::now().date_naive().and_time(NaiveTime::MIN).and_utc();
    let edge = midnight.checked_sub_days(Days::new(30)).unwrap();
    for (place, zone) in ["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Europe/Berlin"]
        .into_iter()
        .enumerate()
    {
        for (ended, expected) in [(edge - TimeDelta::seconds(1), "100.00"), (edge, "70.00")] {
            let game = db
                .game("Portal", &format!("g-{place}-{}", expected.replace('.', "-")), "100")
                .await;
            db.execute(&format!(
                "insert into price_changes (game_id, at, previous_price, price) values ('{game}', '{}', 70, 100)",
                ended.to_rfc3339()
            ))
            .await;
            let mut session = sqlx::PgConnection::connect(db.url()).await.unwrap();
            session
                .execute(sqlx::AssertSqlSafe(format!("set timezone = '{zone}'")))
                .await
                .unwrap();
            let found: String = sqlx::query_scalar("select lowest_price_before($1, 100)::numeric(12,2)::text")
                .bind(game)
                .fetch_one(&mut session)
                .await
                .unwrap();
            assert_eq!(found, expected, "{zone}");
        }
    }
}

/// What the lowest price has to be, computed from the whole history of prices: `(hours ago at which it began, cents)`, the
/// oldest first, and the reduced price now.
fn model(history: &[(i64, i64)], now: DateTime<Utc>) -> i64 {
    let since = now.date_naive().and_time(NaiveTime::MIN).and_utc() - TimeDelta::days(30);
    let began = |place: usize| now - TimeDelta::hours(history[place].0);
    (0..history.len())
        // Each price that was asked at some time in the window.
        .filter(|place| *place + 1 == history.len() || began(place + 1) >= since)
        .map(|place| history[place].1)
        .min()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_lowest_price_is_that_of_the_model(
        mut history in prop::collection::vec((1i64..2000, 100i64..20_000), 1..12),
        price in 100i64..20_000,
    ) {
        history.sort_by_key(|(hours, _)| std::cmp::Reverse(*hours));
        history.dedup_by_key(|(hours, _)| *hours);
        // Equal prices in a row are no change.
        history.dedup_by_key(|(_, cents)| *cents);
        prop_assume!(history.last().unwrap().1 != price);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let db = TestDb::new().await;
            let euro = |cents: i64| Decimal::new(cents, 2).to_string();
            let texts: Vec<(i64, String)> = history.iter().map(|(hours, cents)| (*hours, euro(*cents))).collect();
            let prices: Vec<(i64, &str)> = texts.iter().map(|(hours, text)| (*hours, text.as_str())).collect();
            let game = sold_for(&db, "portal", &prices).await;
            let found = reduce(&db, game, &euro(price), Some("999")).await;
            assert_eq!(found, Some(Decimal::new(model(&history, Utc::now()), 2).to_string()), "{history:?}");
        });
    }
}
