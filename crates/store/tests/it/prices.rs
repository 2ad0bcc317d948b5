//! Price rules: previewed, saved, and applied to the whole catalogue.

use lockstep_domain::admin::{Page, PricePreview};
use lockstep_domain::ids::{GameId, UserId};
use lockstep_domain::price::Pricing;
use lockstep_domain::price_rules::{MinMargin, PriceEnding, PriceRule, PriceRules, Rounding};
use lockstep_store::admin::price_rules::{self, PriceRulesError};
use lockstep_store::repricing::{Done, next_part};
use lockstep_testkit::TestDb;
use sqlx::types::Uuid;

const FIRST: Page = Page { number: 1, size: 20 };

/// A shop with `games` games of G2A's that cost 10, 11, … and their prices by the settings; every second is an RPG.
async fn shop(games: u32) -> (TestDb, UserId, Uuid) {
    let db = TestDb::new().await;
    let admin = db.user("owner@example.org", "0").await;
    db.execute("update users set role = 'ADMIN', email_verified = true")
        .await;
    let genre = Uuid::from_u128(7);
    db.execute(&format!(
        "insert into genres values ('{genre}', 'RPG', 'rpg');
         insert into games (title, slug, description, price, image, release_date, g2a_product_id, in_stock, g2a_stock,
                            supplier_price, supplier_retail_price)
         select 'Game ' || n, 'game-' || n, '', round((9 + n) * 1.02, 2), '/a.jpg', now(), 'p' || n, true, true, 9 + n, 20 + n
           from generate_series(1, {games}) n;
         insert into game_genres select id, '{genre}' from games where right(slug, 1) in ('1', '3', '5', '7', '9')"
    ))
    .await;
    (db, UserId(admin), genre)
}

fn rules(genre: Uuid, markup: i64) -> PriceRules {
    PriceRules {
        min_margin: MinMargin {
            amount: "0.50".parse().unwrap(),
            percent: 1.into(),
        },
        ending: PriceEnding::new(99, Rounding::Up),
        rules: vec![PriceRule {
            name: "RPG".into(),
            genre: Some(genre),
            markup_percent: Some(markup.into()),
            ..PriceRule::default()
        }],
        ..PriceRules::default()
    }
}

async fn preview(db: &TestDb, rules: &PriceRules) -> PricePreview {
    let rules = rules.clone();
    let read = db
        .store
        .read(|tx| Box::pin(async move { price_rules::preview(tx, &rules, &Pricing::default(), FIRST).await }));
    let read: lockstep_store::Result<_> = read.await;
    read.unwrap().value
}

async fn prices(db: &TestDb) -> Vec<(String, String)> {
    sqlx::query_as("select slug, price::text from games order by supplier_price, slug")
        .fetch_all(&db.sql)
        .await
        .unwrap()
}

/// Does parts until the job is over.
async fn finish(db: &TestDb, part: u16) -> i32 {
    let mut games = 0;
    loop {
        match next_part(&db.store, &Pricing::default(), part).await.unwrap() {
            Some(Done {
                is_over: true,
                games: n,
                ..
            }) => return games + n,
            Some(done) => games += done.games,
            None => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn new_rules_do_what_their_preview_said_and_leave_prices_of_staff_alone() {
    let (db, admin, genre) = shop(30).await;
    db.execute(
        "update games set price = 9.00, fields_by_hand = '{price}', g2a_price = 10.20 where slug = 'game-1';
         update games set supplier_price = null where slug = 'game-2';
         update games set price = 99.00, original_price = null, fields_by_hand = '{price}', g2a_price = 11.22 where slug = 'game-3'",
    )
    .await;
    let before = prices(&db).await;
    let rules = rules(genre, 20);
    let seen = preview(&db, &rules).await;
    assert_eq!(prices(&db).await, before, "a preview changes nothing");
    assert_eq!((seen.version, seen.games, seen.unknown_cost), (0, 30, 1));
    assert_eq!((seen.own_prices, seen.below_cost, seen.held_back), (2, 1, 0));
    assert_eq!((seen.raised, seen.lowered, seen.unchanged), (27, 0, 2));
    assert_eq!(
        (seen.changes.len(), seen.paging.total, seen.biggest_rises.len()),
        (20, 27, 20)
    );
    let biggest = &seen.biggest_rises[0];
    assert_eq!(
        (biggest.slug.as_str(), biggest.rule.as_deref()),
        ("game-27", Some("RPG"))
    );
    assert_eq!(biggest.new_price.to_string(), "43.99", "36 and 20 % are 43.20");
    assert!(db.count("price_jobs").await == 0);

    price_rules::save(&db.store, admin, 0, &rules).await.unwrap();
    assert_eq!(finish(&db, 7).await, 29);
    let after = prices(&db).await;
    for change in &seen.changes {
        let now = after.iter().find(|(slug, _)| *slug == change.slug).unwrap();
        assert_eq!(now.1, change.new_price.to_string());
    }
    let kept: Vec<(String, String, String)> = sqlx::query_as(
        "select slug, price::text, g2a_price::text from games where fields_by_hand <> '{}' order by slug",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    let row = |slug: &str, price: &str, beside: &str| (slug.to_owned(), price.to_owned(), beside.to_owned());
    assert_eq!(kept, [row("game-1", "9.00", "12.99"), row("game-3", "99.00", "14.99")]);
    assert_eq!(preview(&db, &rules).await.raised, 0, "everything is as the rules say");
    let job: (String, i32, i32, i32) = sqlx::query_as("select state, total, done, raised from price_jobs")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(job, ("COMPLETED".into(), 29, 29, 27));
    assert_eq!(db.count("audit_log where action = 'prices.rules'").await, 1);
}

/// Workers die and are killed at any place, others go on: each game changes once, with its entry in the history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_game_gets_its_new_price_once_however_many_workers_there_are() {
    let (db, admin, genre) = shop(60).await;
    price_rules::save(&db.store, admin, 0, &rules(genre, 10)).await.unwrap();
    // A worker that fails at the end of its part, after the prices are written, has done nothing of it.
    db.execute(
        "create function fail() returns trigger language plpgsql as $$ begin raise exception 'power failure'; end $$;
         create trigger fail before update on price_jobs for each row execute function fail()",
    )
    .await;
    let before = prices(&db).await;
    for _ in 0..3 {
        assert!(next_part(&db.store, &Pricing::default(), 5).await.is_err());
    }
    assert_eq!(prices(&db).await, before);
    db.execute("drop trigger fail on price_jobs").await;
    let workers = (0..6).map(|_| async {
        while db.count("price_jobs where state = 'OPEN'").await > 0 {
            next_part(&db.store, &Pricing::default(), 5).await.unwrap();
        }
    });
    futures::future::join_all(workers).await;
    let job: (i32, i32) = sqlx::query_as("select total, done from price_jobs")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(job, (60, 60));
    let history: (i64, i64) = sqlx::query_as(
        "select count(*), count(distinct game_id) from price_changes where reason = 'RULES' and supplier_price is not null",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    assert_eq!(history, (60, 60));
    // Every cached answer about them is invalid.
    assert!(db.count("cache_inval where 'catalog' = any (tags)").await > 0);
}

#[tokio::test]
async fn rules_that_others_have_changed_since_are_not_overwritten_and_newer_ones_supersede_the_job() {
    let (db, admin, genre) = shop(12).await;
    price_rules::save(&db.store, admin, 0, &rules(genre, 10)).await.unwrap();
    let late = price_rules::save(&db.store, admin, 0, &rules(genre, 50)).await;
    assert!(
        matches!(&late, Err(PriceRulesError::Outdated { asked: 0, current }) if current.version == 1 && **current == PriceRules { version: 1, ..rules(genre, 10) }),
        "{late:?}"
    );
    next_part(&db.store, &Pricing::default(), 5).await.unwrap();
    price_rules::save(&db.store, admin, 1, &rules(genre, 20)).await.unwrap();
    price_rules::save(&db.store, admin, 2, &rules(genre, 20))
        .await
        .expect("the same again");
    let unknown = price_rules::save(&db.store, admin, 2, &rules(Uuid::from_u128(8), 20)).await;
    assert!(matches!(unknown, Err(PriceRulesError::NoSuchGenre)), "{unknown:?}");
    finish(&db, 5).await;
    let states: Vec<(i64, String)> = sqlx::query_as("select version, state from price_jobs order by version")
        .fetch_all(&db.sql)
        .await
        .unwrap();
    assert_eq!(states, [(1, "SUPERSEDED".to_owned()), (2, "COMPLETED".to_owned())]);
    assert_eq!(preview(&db, &rules(genre, 20)).await.paging.total, 0);
    let games = prices(&db).await;
    assert_eq!(games[0], ("game-1".into(), "12.99".into()), "10 and 20 % are 12");
    assert_eq!(
        games[1],
        ("game-2".into(), "11.99".into()),
        "11 and the least margin are 11.50"
    );
}

/// What an order has shown that G2A asks counts as the supplier's price, also under new rules.
#[tokio::test]
async fn a_price_that_an_order_needed_is_computed_by_the_rules() {
    let (db, admin, genre) = shop(1).await;
    let game: Uuid = sqlx::query_scalar("select id from games")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    let asked = db
        .store
        .tx("test", move |tx| {
            Box::pin(async move {
                lockstep_store::fulfilment::asked_price(tx, GameId(game), 15.into(), &Pricing::default()).await
            })
        })
        .await
        .unwrap();
    assert_eq!(asked.unwrap().price.to_string(), "15.30");
    price_rules::save(&db.store, admin, 0, &rules(genre, 10)).await.unwrap();
    finish(&db, 5).await;
    assert_eq!(prices(&db).await[0].1, "16.99", "15 and 10 % are 16.50");
}

/// New rules keep to what orders have shown: to the last decimal, and also to records from before there were price rules.
#[tokio::test]
async fn new_rules_do_not_forget_what_orders_have_shown() {
    let (db, admin, _) = shop(3).await;
    let game: Uuid = sqlx::query_scalar("select id from games where slug = 'game-1'")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    let at_cost = PriceRules {
        rules: vec![PriceRule {
            name: "At cost".into(),
            markup_percent: Some(0.into()),
            ..PriceRule::default()
        }],
        ..PriceRules::default()
    };
    price_rules::save(&db.store, admin, 0, &at_cost).await.unwrap();
    finish(&db, 5).await;
    let cost = "15.00004".parse().unwrap();
    let asked = db
        .store
        .tx("test", move |tx| {
            Box::pin(async move {
                lockstep_store::fulfilment::asked_price(tx, GameId(game), cost, &Pricing::default()).await
            })
        })
        .await
        .unwrap();
    assert_eq!(asked.unwrap().price.to_string(), "15.01");
    db.execute(
        "update games set price = 20.40, g2a_asked_price = 20.40, g2a_asked_at = now() where slug = 'game-2';
         update games set price = 20.40, g2a_asked_price = 20.40, g2a_asked_at = now() - interval '25 hours' where slug = 'game-3'",
    )
    .await;
    let renamed = PriceRules {
        min_margin: MinMargin {
            amount: "0.01".parse().unwrap(),
            percent: 0.into(),
        },
        ..at_cost
    };
    price_rules::save(&db.store, admin, 1, &renamed).await.unwrap();
    finish(&db, 5).await;
    let prices: Vec<String> = prices(&db).await.into_iter().map(|(_, price)| price).collect();
    assert_eq!(prices, ["15.02", "20.40", "12.01"], "the third is too old");
    let again = preview(&db, &renamed).await;
    assert_eq!((again.raised, again.lowered), (0, 0), "a preview keeps to it as well");
}

/// Plain SQL has no reason, but its entry.
#[tokio::test]
async fn the_database_records_each_change_of_a_price_with_the_suppliers_beside_it() {
    let (db, _, _) = shop(1).await;
    let game: Uuid = sqlx::query_scalar("select id from games")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    db.execute("update games set price = 30").await;
    db.execute("update games set supplier_price = 12.3456").await;
    db.execute("update games set title = 'Other'").await;
    let read = db
        .store
        .read(move |tx| Box::pin(price_rules::history(tx, GameId(game), FIRST)));
    let read: lockstep_store::Result<_> = read.await;
    let history = read.unwrap().value.unwrap();
    let rows: Vec<_> = history
        .changes
        .iter()
        .map(|row| {
            (
                row.previous_price.to_string(),
                row.price.to_string(),
                row.supplier_price.unwrap().0.to_string(),
                row.reason.clone(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("30.00".into(), "30.00".into(), "12.3456".into(), None),
            ("10.20".into(), "30.00".into(), "10.0000".into(), None)
        ]
    );
    assert_eq!(history.paging.total, 2);
}
