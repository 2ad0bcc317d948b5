//! Passes without failures.

use lockstep_g2a_sandbox::{Catalogue, Knobs};
use lockstep_store::StoreError;
use lockstep_store::sync::{self as records, RunKind, RunStatus};
use lockstep_sync::{Phase, Settings, What};
use serde_json::{Value, json};

use crate::support::{Shop, one_at_a_time, row};

#[tokio::test]
async fn the_first_sync_imports_all_and_the_second_writes_nothing() {
    let shop = Shop::with(500).await;
    let first = shop.run(What::Full).await;
    assert_eq!(first.status, RunStatus::Completed, "{first}");
    assert_eq!(
        (first.counts.created, first.counts.updated, first.counts.skipped),
        (500, 0, 0)
    );
    shop.assert_in_line().await;
    assert_eq!(
        shop.count("select count(*) from games where short_description is null or image = ''")
            .await,
        0
    );
    assert!(shop.count("select count(*) from game_genres").await >= 450);
    assert!(shop.count("select count(*) from game_tags").await > 1_000);
    assert!(shop.count("select count(*) from games where languages <> '{}'").await > 400);
    assert_eq!(shop.count("select count(*) from sync_seen").await, 0);

    let before = shop.bytes().await;
    let second = shop.run(What::Full).await;
    assert_eq!(
        (second.counts.created, second.counts.updated, second.counts.withdrawn),
        (0, 0, 0)
    );
    assert_eq!(second.counts.unchanged, second.counts.seen);
    assert_eq!(shop.bytes().await, before);
    let stock = shop.run(What::Stock).await;
    assert_eq!(
        (stock.status, stock.counts.updated, stock.counts.withdrawn),
        (RunStatus::Completed, 0, 0)
    );
    assert_eq!(shop.bytes().await, before);
}

#[tokio::test]
async fn a_changed_price_changes_exactly_one_row() {
    let shop = Shop::with(120).await;
    shop.run(What::Full).await;
    let id = shop.id_at(57);
    shop.g2a.set_price(&id, "12.34".parse().unwrap(), "20".parse().unwrap());
    let changed_before = shop
        .count("select count(*) from games where updated_at > created_at")
        .await;
    let report = shop.run(What::Incremental).await;
    assert_eq!(
        (report.kind, report.counts.updated, report.counts.created),
        (RunKind::Incremental, 1, 0)
    );
    assert_eq!(report.calls, 1, "only what has changed is read");
    let (price, original, discount): (String, String, i32) =
        sqlx::query_as("select price::text, original_price::text, discount from games where g2a_product_id = $1")
            .bind(&id)
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!((price.as_str(), original.as_str(), discount), ("12.59", "20.40", 38));
    let changed = shop
        .count("select count(*) from games where updated_at > created_at")
        .await;
    assert!(changed - changed_before <= 1);
    shop.assert_in_line().await;
}

/// What the shop has learnt about the price of a product from purchases: the price, and whether it is stored.
async fn price_of(shop: &Shop, id: &str) -> (String, bool) {
    sqlx::query_as("select price::text, g2a_asked_at is not null from games where g2a_product_id = $1")
        .bind(id)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_order_price_persists_until_the_listing_changes_or_for_a_day() {
    let shop = Shop::with(60).await;
    let id = shop.id_at(20);
    shop.g2a.set_price(&id, "10".parse().unwrap(), "15".parse().unwrap());
    shop.run(What::Full).await;
    let game: sqlx::types::Uuid = sqlx::query_scalar("select id from games where g2a_product_id = $1")
        .bind(&id)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let game = lockstep_domain::GameId(game);
    let asked = async || {
        shop.db
            .store
            .tx("test", move |tx| {
                let pricing = lockstep_domain::price::Pricing::default();
                Box::pin(async move { lockstep_store::fulfilment::asked_price(tx, game, 12.into(), &pricing).await })
            })
            .await
            .unwrap();
    };
    let held = ("12.24".to_owned(), true);

    asked().await;
    for what in [What::Full, What::Stock, What::Full] {
        shop.run(what).await;
        assert_eq!(price_of(&shop, &id).await, held, "the listing is what it was");
    }
    let before = shop.bytes().await;
    shop.run(What::Full).await;
    assert_eq!(shop.bytes().await, before, "a price that holds is not written again");

    shop.g2a.set_price(&id, "10.50".parse().unwrap(), "15".parse().unwrap());
    shop.run(What::Incremental).await;
    assert_eq!(
        price_of(&shop, &id).await,
        ("10.71".into(), false),
        "G2A has changed it"
    );
    shop.assert_in_line().await;

    asked().await;
    shop.run(What::Stock).await;
    assert_eq!(price_of(&shop, &id).await, held);
    shop.db
        .execute("update games set g2a_asked_at = now() - interval '25 hours' where g2a_asked_at is not null")
        .await;
    shop.run(What::Stock).await;
    assert_eq!(price_of(&shop, &id).await, ("10.71".into(), false), "a day is over");
    shop.assert_in_line().await;
}

#[tokio::test]
async fn a_stock_check_updates_stock_and_prices() {
    let shop = Shop::with(200).await;
    shop.run(What::Full).await;
    let in_stock = |product: &&Value| product["qty"].as_u64().unwrap() > 0;
    let products = shop.products();
    let selling: Vec<&str> = products
        .iter()
        .filter(in_stock)
        .map(|p| p["id"].as_str().unwrap())
        .collect();
    let sold_out: Vec<&str> = products
        .iter()
        .filter(|p| !in_stock(p))
        .map(|p| p["id"].as_str().unwrap())
        .collect();
    shop.g2a.set_stock(selling[3], 0);
    shop.g2a.set_stock(sold_out[0], 9);
    shop.g2a
        .set_price(selling[5], "3.33".parse().unwrap(), "4".parse().unwrap());
    shop.g2a.patch_product(
        selling[6],
        json!({"name": "Another Name Steam Key GLOBAL"})
            .as_object()
            .unwrap()
            .clone(),
    );
    let report = shop.run(What::Stock).await;
    assert_eq!(
        (report.status, report.counts.updated),
        (RunStatus::Completed, 3),
        "{report}"
    );
    shop.assert_in_line().await;
    assert_eq!(
        shop.count("select count(*) from games where title like 'Another Name%'")
            .await,
        0
    );
}

#[tokio::test]
async fn only_a_complete_pass_withdraws_a_game_and_none_is_deleted() {
    let shop = Shop::with(100).await;
    shop.run(What::Full).await;
    let id = shop
        .products()
        .into_iter()
        .find(|p| p["qty"].as_u64() > Some(0))
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    shop.db
        .execute(&format!(
            "insert into game_keys (game_id, key_ciphertext, key_hash)
             select id, 'sealed', decode(repeat('ab', 32), 'hex') from games where g2a_product_id = '{id}'"
        ))
        .await;
    let before: (String, String) = sqlx::query_as("select id::text, slug from games where g2a_product_id = $1")
        .bind(&id)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let product = shop.g2a.product(&id).unwrap();
    assert!(shop.g2a.remove_product(&id));

    shop.run(What::Incremental).await;
    assert!(shop.games().await[&id].1, "changes say nothing about what is gone");
    let stock = shop.run(What::Stock).await;
    assert_eq!(stock.counts.withdrawn, 1, "{stock}");
    assert_eq!(
        (shop.games().await[&id].1, shop.games().await[&id].2),
        (false, false),
        "sold out, not withdrawn"
    );
    let full = shop.run(What::Full).await;
    assert_eq!(full.counts.withdrawn, 1, "{full}");
    assert!(shop.games().await[&id].2);
    assert_eq!(shop.count("select count(*) from games").await, 100);
    assert_eq!(shop.count("select count(*) from game_keys").await, 1);
    assert_eq!(shop.run(What::Full).await.counts.withdrawn, 0, "it is withdrawn once");

    shop.g2a.add_product(product.as_object().unwrap().clone());
    shop.run(What::Full).await;
    shop.assert_in_line().await;
    let after: (String, String) = sqlx::query_as("select id::text, slug from games where g2a_product_id = $1")
        .bind(&id)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(before, after, "it comes back as the same game at the same address");
}

#[tokio::test]
async fn without_a_full_pass_an_incremental_pass_reads_everything() {
    let shop = Shop::with(40).await;
    let report = shop.run(What::Incremental).await;
    assert_eq!((report.kind, report.counts.created), (RunKind::Full, 40));
}

#[tokio::test]
async fn a_single_product_is_synchronised_by_its_id() {
    let shop = Shop::with(60).await;
    let id = shop.id_at(30);
    let report = shop.run(What::Product(id.clone())).await;
    assert_eq!(
        (report.status, report.counts.created, report.calls),
        (RunStatus::Completed, 1, 1)
    );
    shop.g2a.remove_product(&id);
    let report = shop.run(What::Product(id.clone())).await;
    assert_eq!(report.problems[0].reason, "G2A does not list it");
    assert_eq!((shop.games().await[&id].1, shop.games().await[&id].2), (false, false));
}

#[tokio::test]
async fn bad_products_are_skipped_and_reported() {
    let shop = Shop::start(Catalogue::Empty, Knobs::default(), Settings::default()).await;
    for (n, name) in [
        (1, "Random 5 Keys Steam Key GLOBAL"),
        (2, "Call of Duty: Black Ops II Steam Key GLOBAL"),
    ] {
        shop.g2a.add_product(row(n, name, "11"));
    }
    let change = |id: u64, field: &str, value: Value| {
        let mut product = row(id, "Odd One", "1.48");
        product.insert(field.to_owned(), value);
        shop.g2a.add_product(product);
    };
    change(3, "minPrice", json!(0));
    change(4, "minPrice", json!("a lot"));
    change(5, "name", json!(""));
    change(6, "qty", Value::Null);
    change(7, "categories", json!("none"));
    change(
        8,
        "name",
        json!("Null\u{0}byte \u{202e}and 10\u{a0}000 letters ".to_owned() + &"x".repeat(10_000)),
    );
    change(9, "minPrice", json!(9_999_999_999.99));
    let report = shop.run(What::Full).await;
    assert_eq!(report.status, RunStatus::Completed, "{report}");
    let games = shop.games().await;
    for good in ["1", "2", "8"] {
        assert!(games.contains_key(good), "{good} of {games:?}");
    }
    for bad in ["3", "4", "5", "6", "9"] {
        assert!(!games.contains_key(bad), "{bad}");
        assert!(
            report.problems.iter().any(|p| p.product.as_deref() == Some(bad)),
            "{bad}: {:?}",
            report.problems
        );
    }
    assert!(report.counts.skipped >= 5);
    let row: (String, String, String, String, bool) = sqlx::query_as(
        "select title, slug, activation_service, price::text, release_date_known from games where g2a_product_id = '1'",
    )
    .fetch_one(&shop.db.sql)
    .await
    .unwrap();
    let expected = (
        "Random 5 Keys Steam Key GLOBAL",
        "random-5-keys-steam-key-global",
        "Steam",
        "11.22",
        false,
    );
    assert_eq!(
        (row.0.as_str(), row.1.as_str(), row.2.as_str(), row.3.as_str(), row.4),
        expected
    );
    // Unchanged in spite of its odd values.
    let before = shop.bytes().await;
    shop.run(What::Full).await;
    assert_eq!(shop.bytes().await, before);
}

#[tokio::test]
async fn a_row_refused_by_the_database_does_not_affect_others() {
    let shop = Shop::with(50).await;
    let title = shop.products()[20]["name"].as_str().unwrap().replace('\'', "''");
    shop.db
        .execute(&format!(
            "alter table games add constraint not_this_one check (title <> '{title}')"
        ))
        .await;
    let report = shop.run(What::Full).await;
    assert_eq!(report.status, RunStatus::Completed, "{report}");
    assert_eq!(
        (report.counts.created, report.counts.seen - report.counts.unchanged),
        (49, 50 + report.counts.skipped - 1)
    );
    assert!(
        report.problems[0].reason.contains("not_this_one"),
        "{:?}",
        report.problems
    );
    assert_eq!(report.problems.len(), 1, "told once");
}

#[tokio::test]
async fn games_with_equal_titles_have_distinct_stable_slugs() {
    let shop = Shop::start(Catalogue::Empty, Knobs::default(), one_at_a_time()).await;
    for id in [11, 12, 13] {
        shop.g2a.add_product(row(id, "Twin Steam Key GLOBAL", "5"));
    }
    shop.g2a.add_product(row(14, "東京", "5"));
    shop.db
        .execute(
            "insert into games (title, slug, description, price, image, release_date)
             values ('Own', 'twin-steam-key-global-12', '', 1, '', now())",
        )
        .await;
    shop.run(What::Full).await;
    let slugs = "select string_agg(slug, ' ' order by g2a_product_id::int) from games where g2a_product_id is not null";
    let first = shop.text(slugs).await;
    assert_eq!(first, "twin-steam-key-global g2a-12 twin-steam-key-global-13 g2a-14");
    shop.g2a
        .patch_product("11", json!({"name": "Renamed"}).as_object().unwrap().clone());
    shop.run(What::Full).await;
    assert_eq!(shop.text(slugs).await, first);
    assert_eq!(
        shop.count("select count(*) from games where title = 'Renamed'").await,
        1
    );
}

#[tokio::test]
async fn links_follow_g2as_categories() {
    let shop = Shop::start(Catalogue::Empty, Knobs::default(), one_at_a_time()).await;
    shop.g2a.add_product(row(1, "Amber Oath Steam Key GLOBAL", "5"));
    shop.db
        .execute("insert into genres (name, slug) values ('RPG', 'role-playing-of-old')")
        .await;
    let categories = |names: &[&str]| {
        let list: Vec<Value> = names
            .iter()
            .map(|name| json!({"id": name.len(), "name": name}))
            .collect();
        shop.g2a
            .patch_product("1", json!({"categories": list}).as_object().unwrap().clone());
    };
    let links = "select string_agg(name, ',' order by name) from
                   (select name from genres join game_genres on genre_id = id
                    union all select name from tags join game_tags on tag_id = id) t";
    categories(&["Games", "RPG", "Noir", "Story Rich"]);
    shop.run(What::Full).await;
    assert_eq!(shop.text(links).await, "Noir,RPG,Story Rich");
    assert_eq!(
        shop.count("select count(*) from genres").await,
        2,
        "a genre of the same name is the same genre"
    );
    categories(&["Games", "RPG", "Co-op"]);
    let report = shop.run(What::Full).await;
    assert_eq!(report.counts.updated, 1);
    assert_eq!(shop.text(links).await, "Co-op,RPG");
}

#[tokio::test]
async fn an_unknown_release_date_is_the_day_of_the_first_import() {
    let shop = Shop::start(Catalogue::Empty, Knobs::default(), one_at_a_time()).await;
    shop.g2a.add_product(row(1, "Amber Oath Steam Key GLOBAL", "5"));
    shop.run(What::Full).await;
    let date = "select release_date::text || release_date_known from games";
    let first = shop.text(date).await;
    assert!(first.ends_with("false"));
    shop.run(What::Full).await;
    assert_eq!(shop.text(date).await, first);
    shop.g2a
        .patch_product("1", json!({"release_date": "2016-11-18"}).as_object().unwrap().clone());
    shop.run(What::Full).await;
    assert_eq!(shop.text(date).await, "2016-11-18 00:00:00+00true");
    shop.g2a
        .patch_product("1", json!({"release_date": ""}).as_object().unwrap().clone());
    shop.run(What::Full).await;
    assert_eq!(
        shop.text(date).await,
        "2016-11-18 00:00:00+00true",
        "what is known is not forgotten"
    );
}

#[tokio::test]
async fn flags_follow_the_calendar_and_the_sales() {
    let shop = Shop::with(300).await;
    let today = chrono::Utc::now().date_naive();
    for (id, days) in [(1, 30), (2, -3), (3, -20)] {
        let mut product = row(id, &format!("Game {id}"), "5");
        product.insert(
            "release_date".into(),
            (today + chrono::Duration::days(days)).to_string().into(),
        );
        shop.g2a.add_product(product);
    }
    shop.run(What::Full).await;
    let flags = "select string_agg(is_preorder || ' ' || is_new, ', ' order by g2a_product_id::bigint)
                   from games where g2a_product_id in ('1', '2', '3')";
    assert_eq!(shop.text(flags).await, "true false, false true, false false");
    assert_eq!(
        shop.count("select count(*) from games where is_preorder <> (release_date_known and release_date > now())")
            .await,
        0
    );
    assert_eq!(
        shop.count(
            "select count(*) from games
              where is_new <> (release_date_known and release_date <= now()
                               and release_date > now() - interval '14 days')"
        )
        .await,
        0
    );
    assert_eq!(shop.count("select count(*) from games where is_best_seller").await, 100);
    assert_eq!(
        shop.count("select count(*) from games where is_best_seller and (not in_stock or is_preorder)")
            .await,
        0
    );
    assert_eq!(
        records::refresh_flags(&shop.db.store).await.unwrap(),
        0,
        "nothing has changed"
    );
    shop.db
        .execute("update games set release_date = now() - interval '1 day' where is_preorder")
        .await;
    assert!(records::refresh_flags(&shop.db.store).await.unwrap() > 0);
    assert_eq!(shop.count("select count(*) from games where is_preorder").await, 0);
}

#[tokio::test]
async fn history_progress_and_freshness_are_readable() {
    let shop = Shop::with(100).await;
    let progress = shop.cx.progress();
    assert!(progress.borrow().is_none());
    assert_eq!(records::freshness(&shop.db.store).await.unwrap().latest(), None);
    let report = shop.run(What::Full).await;
    let last = progress.borrow().clone().unwrap();
    assert_eq!((last.phase, last.counts), (Phase::Done, report.counts));
    assert!(serde_json::to_value(&last).unwrap()["pages_total"].as_i64() >= Some(5));
    assert_eq!(serde_json::to_value(&report).unwrap()["created"], 100);
    shop.run(What::Stock).await;

    let runs = shop
        .db
        .store
        .read(|tx| Box::pin(async move { records::recent_runs(tx, 10).await }))
        .await
        .map_err(|error: StoreError| error)
        .unwrap()
        .value;
    assert_eq!(
        runs.iter().map(|run| run.kind).collect::<Vec<_>>(),
        [RunKind::Stock, RunKind::Full]
    );
    assert!(
        runs.iter()
            .all(|run| run.status == RunStatus::Completed && run.finished_at.is_some())
    );
    let freshness = records::freshness(&shop.db.store).await.unwrap();
    assert_eq!(
        (freshness.full, freshness.latest()),
        (Some(runs[1].started_at), Some(runs[0].started_at))
    );
    let id: sqlx::types::Uuid = sqlx::query_scalar("select id from games limit 1")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let since = records::known_since(&shop.db.store, id.into()).await.unwrap();
    assert!(
        since >= Some(runs[0].started_at),
        "what the last pass found unchanged is as fresh as that pass"
    );
}

/// Flags set by a person: neither the refresh nor a pass reverts them, for G2A's games and others.
#[tokio::test]
async fn flags_set_by_a_person_are_kept() {
    let shop = Shop::with(300).await;
    shop.run(What::Full).await;
    shop.db
        .execute(
            "insert into games (title, slug, description, price, image, release_date, is_best_seller, is_new)
             values ('Ours', 'ours', '', 1, '', '2001-01-01', true, true);
             update games set is_best_seller = not is_best_seller, is_new = not is_new
              where g2a_product_id in (select g2a_product_id from games where g2a_product_id is not null
                                        order by is_best_seller desc, id limit 3)",
        )
        .await;
    let said = "select string_agg(concat_ws(' ', slug, is_best_seller, is_new, metacritic_score, user_rating), ', ' order by slug)
                  from games where flags_by_hand = '{is_best_seller,is_new}'";
    shop.db
        .execute("update games set metacritic_score = 77, user_rating = 4.5 where cardinality(flags_by_hand) = 2")
        .await;
    let before = shop.text(said).await;
    assert_eq!(before.matches(", ").count(), 3, "three and ours: {before}");
    records::refresh_flags(&shop.db.store).await.unwrap();
    shop.run(What::Full).await;
    shop.run(What::Stock).await;
    assert_eq!(shop.text(said).await, before);
    assert_eq!(
        shop.count("select count(*) from games where cardinality(flags_by_hand) > 0")
            .await,
        4,
        "what was computed is nobody's word"
    );
    // After the manual flags are cleared, they follow the numbers again.
    shop.db.execute("update games set flags_by_hand = '{}'").await;
    assert!(records::refresh_flags(&shop.db.store).await.unwrap() >= 4);
    assert_eq!(
        shop.count("select count(*) from games where slug = 'ours' and is_new")
            .await,
        0
    );
}
