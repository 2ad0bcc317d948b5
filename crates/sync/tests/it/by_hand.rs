//! Games that staff have changed: a pass leaves alone what is theirs, and only that.

use std::time::{Duration, Instant};

use lockstep_domain::admin::{GameEntry, GameField, GameForm, PlacedPicture};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::{GameId, Money};
use lockstep_store::admin::game_pictures::{self, NewPicture};
use lockstep_store::admin::games::Taxonomy;
use lockstep_store::admin::{game_edits, taxonomies};
use lockstep_store::sync as records;
use lockstep_sync::What;
use sqlx::types::Uuid;

use crate::support::Shop;

/// Whoever is shown nothing before.
const NO_SESSION: SessionId = SessionId(Uuid::nil());

async fn staff(shop: &Shop) -> UserId {
    UserId(shop.db.user("root@example.org", "0").await)
}

async fn game(shop: &Shop, product: &str) -> GameId {
    let id: Uuid = sqlx::query_scalar("select id from games where g2a_product_id = $1")
        .bind(product)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    GameId(id)
}

/// What is shown of a game, as one text.
async fn shown(shop: &Shop, id: GameId) -> String {
    sqlx::query_scalar(
        "select concat_ws(' | ', title, description, coalesce(short_description, '-'), price, coalesce(original_price::text, '-'),
                          discount, image, publisher, developer, release_date::date, is_preorder, in_stock,
                          (select string_agg(n.name, ',' order by n.name) from game_genres l join genres n on n.id = l.genre_id
                            where l.game_id = g.id),
                          (select string_agg(t.name, ',' order by t.name) from game_tags l join tags t on t.id = l.tag_id
                            where l.game_id = g.id))
           from games g where id = $1",
    )
    .bind(id.0)
    .fetch_one(&shop.db.sql)
    .await
    .unwrap()
}

fn money(cents: i64) -> Money {
    Money::from_cents(cents).unwrap()
}

#[tokio::test]
async fn no_pass_changes_a_field_that_staff_have_set() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    shop.g2a
        .set_price(&product, "10".parse().unwrap(), "15".parse().unwrap());
    shop.run(What::Full).await;
    let (admin, id) = (staff(&shop).await, game(&shop, &product).await);
    let text = |text: &str| Some(text.to_owned());
    let entry = GameEntry {
        title: text("Ours"),
        description: text("<p>Our words.</p>"),
        price: Some(money(4900)),
        original_price: Some(money(6000)),
        image: text("https://images.example.org/ours.png"),
        genres: Some(vec!["Our Genre".to_owned()]),
        tags: Some(vec![]),
        publisher: text("Our Publisher"),
        developer: text("Our Developer"),
        release_date: text("2001-02-03"),
        is_preorder: Some(true),
        in_stock: Some(false),
        ..GameEntry::default()
    };
    let form = GameForm::new(entry, false).unwrap();
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, None, &form)
        .await
        .unwrap();
    let before = shown(&shop, id).await;
    assert!(before.starts_with("Ours | <p>Our words.</p> | - | 49.00 | 60.00 | 18 | https://images.example.org/ours.png | Our Publisher | Our Developer | 2001-02-03 | t | f | Our Genre"), "{before}");

    shop.g2a
        .set_price(&product, "12".parse().unwrap(), "20".parse().unwrap());
    for what in [What::Full, What::Stock, What::Incremental, What::Full] {
        shop.run(what.clone()).await;
        records::refresh_flags(&shop.db.store).await.unwrap();
        assert_eq!(shown(&shop, id).await, before, "{what:?}");
    }
    // The price that G2A's would be is known beside it.
    let (price, steps): (Option<String>, i64) = sqlx::query_as(
        "select g2a_price::text, (select count(*) from price_changes c where c.game_id = g.id) from games g where id = $1",
    )
    .bind(id.0)
    .fetch_one(&shop.db.sql)
    .await
    .unwrap();
    assert_eq!(
        (price.as_deref(), steps),
        (Some("12.24"), 2),
        "set by staff, and G2A's new price beside it"
    );
    let bytes = shop.bytes().await;
    shop.run(What::Full).await;
    assert_eq!(shop.bytes().await, bytes, "what is kept is not written again");

    // Given back, everything is G2A's again.
    let form = GameForm {
        locked: Some(vec![]),
        ..GameForm::default()
    };
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, None, &form)
        .await
        .unwrap();
    shop.run(What::Full).await;
    records::refresh_flags(&shop.db.store).await.unwrap();
    shop.assert_in_line().await;
    let after = shown(&shop, id).await;
    assert!(!after.contains("Our"), "{after}");
}

#[tokio::test]
async fn no_pass_changes_pictures_that_staff_have_arranged() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    shop.run(What::Full).await;
    let (admin, id) = (staff(&shop).await, game(&shop, &product).await);
    let pictures = async || -> (String, Vec<String>, i64) {
        sqlx::query_as("select image, images, (select count(*) from game_pictures p where p.game_id = g.id) from games g where id = $1")
            .bind(id.0)
            .fetch_one(&shop.db.sql)
            .await
            .unwrap()
    };
    let theirs = pictures().await;
    let webp: Vec<u8> = [&b"RIFF\0\0\0\0WEBP"[..], b"VP8 "].concat();
    let new = |alt: &str| NewPicture {
        id: Uuid::new_v4(),
        image: webp.clone().into(),
        alt: alt.to_owned(),
    };
    let first = game_pictures::add(&shop.db.store, admin, id, &new("A door"))
        .await
        .unwrap();
    let second = game_pictures::add(&shop.db.store, admin, id, &new("")).await.unwrap();
    let read = shop.db.store.read(|tx| Box::pin(game_pictures::list(tx, id)));
    let read: lockstep_store::Result<_> = read.await;
    let now: Vec<Uuid> = read
        .unwrap()
        .value
        .unwrap()
        .into_iter()
        .map(|picture| picture.id)
        .collect();
    let place = |id: Uuid| PlacedPicture { id, alt: None };
    let order = [place(second.id), place(first.id)];
    game_pictures::arrange(&shop.db.store, admin, id, &now, &order, false)
        .await
        .unwrap();
    let ours = pictures().await;
    assert_eq!((&ours.0, &ours.1, ours.2), (&second.url, &vec![first.url.clone()], 2));

    for what in [What::Full, What::Stock, What::Incremental, What::Full] {
        shop.run(what.clone()).await;
        assert_eq!(pictures().await, ours, "{what:?}");
    }
    let bytes = shop.bytes().await;
    shop.run(What::Full).await;
    assert_eq!(shop.bytes().await, bytes, "what is kept is not written again");

    // Given back, they are G2A's again with the next pass, and what was uploaded is gone.
    let now = [second.id, first.id];
    game_pictures::arrange(&shop.db.store, admin, id, &now, &order, true)
        .await
        .unwrap();
    assert_eq!(pictures().await, ours);
    shop.run(What::Full).await;
    assert_eq!(pictures().await, (theirs.0, theirs.1, 0));
    shop.assert_in_line().await;
}

#[tokio::test]
async fn what_staff_did_not_change_still_follows_g2a() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    shop.g2a
        .set_price(&product, "10".parse().unwrap(), "15".parse().unwrap());
    shop.run(What::Full).await;
    let (admin, id) = (staff(&shop).await, game(&shop, &product).await);
    let form = GameForm {
        title: Some("Ours".to_owned()),
        ..GameForm::default()
    };
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, None, &form)
        .await
        .unwrap();
    shop.g2a
        .set_price(&product, "12".parse().unwrap(), "20".parse().unwrap());
    shop.run(What::Incremental).await;
    let (title, price): (String, String) = sqlx::query_as("select title, price::text from games where id = $1")
        .bind(id.0)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!((title.as_str(), price.as_str()), ("Ours", "12.24"));
}

/// Waits until this statement waits for a lock.
async fn waits(shop: &Shop, statement: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let waits: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                             and query like '%' || $1 || '%')",
        )
        .bind(statement)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
        if waits {
            return;
        }
        assert!(Instant::now() < deadline, "{statement} reaches the row");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Staff save while a pass has read the game but not written it yet: the pass leaves the row to the next one.
#[tokio::test]
async fn a_field_that_is_set_during_a_pass_is_not_overwritten() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    shop.run(What::Full).await;
    let id = game(&shop, &product).await;
    shop.g2a
        .set_price(&product, "12".parse().unwrap(), "20".parse().unwrap());

    let mut saving = shop.db.sql.begin().await.unwrap();
    sqlx::query("update games set title = 'Ours', fields_by_hand = '{title}' where id = $1")
        .bind(id.0)
        .execute(&mut *saving)
        .await
        .unwrap();
    let pass = shop.run(What::Full);
    let saved = async {
        waits(&shop, "store.sync.update_everything").await;
        saving.commit().await.unwrap();
    };
    tokio::join!(pass, saved);
    let title = async || -> String {
        sqlx::query_scalar("select title from games where id = $1")
            .bind(id.0)
            .fetch_one(&shop.db.sql)
            .await
            .unwrap()
    };
    assert_eq!(title().await, "Ours");
    shop.run(What::Full).await;
    assert_eq!(title().await, "Ours");
    shop.assert_in_line().await;
}

#[tokio::test]
async fn tags_that_are_set_during_a_pass_are_not_overwritten() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    shop.run(What::Full).await;
    let id = game(&shop, &product).await;
    // The pass has tags to correct, of a game whose row is as it should be.
    shop.db
        .execute(&format!("delete from game_tags where game_id = '{}'", id.0))
        .await;
    let tags = async || -> Option<String> {
        sqlx::query_scalar(
            "select string_agg(t.name, ',' order by t.name) from game_tags l join tags t on t.id = l.tag_id where l.game_id = $1",
        )
        .bind(id.0)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap()
    };
    let mut saving = shop.db.sql.begin().await.unwrap();
    for statement in [
        "update games set fields_by_hand = '{tags}' where id = $1",
        "with made as (insert into tags (name, slug) values ('Ours', 'ours') returning id)
         insert into game_tags (game_id, tag_id) select $1, id from made",
    ] {
        sqlx::query(statement).bind(id.0).execute(&mut *saving).await.unwrap();
    }
    let saved = async {
        waits(&shop, "store.sync.link_tags").await;
        saving.commit().await.unwrap();
    };
    tokio::join!(shop.run(What::Full), saved);
    assert_eq!(tags().await.as_deref(), Some("Ours"));
    shop.run(What::Full).await;
    assert_eq!(tags().await.as_deref(), Some("Ours"));
    // Given back, they are G2A's.
    shop.db.execute("update games set fields_by_hand = '{}'").await;
    shop.run(What::Full).await;
    shop.assert_in_line().await;
}

#[tokio::test]
async fn a_flag_that_is_set_while_flags_are_computed_is_not_overwritten() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    shop.run(What::Full).await;
    records::refresh_flags(&shop.db.store).await.unwrap();
    let id = game(&shop, &product).await;
    shop.db
        .execute(&format!(
            "update games set popularity = popularity + 7 where id = '{}'",
            id.0
        ))
        .await;
    let mut saving = shop.db.sql.begin().await.unwrap();
    sqlx::query("update games set is_preorder = not is_preorder, fields_by_hand = '{is_preorder}' where id = $1")
        .bind(id.0)
        .execute(&mut *saving)
        .await
        .unwrap();
    let saved = async {
        waits(&shop, "store.sync.refresh_flags").await;
        saving.commit().await.unwrap();
    };
    let preorder = async || -> bool {
        sqlx::query_scalar("select is_preorder from games where id = $1")
            .bind(id.0)
            .fetch_one(&shop.db.sql)
            .await
            .unwrap()
    };
    let before = preorder().await;
    let (refreshed, ()) = tokio::join!(records::refresh_flags(&shop.db.store), saved);
    refreshed.unwrap();
    assert_eq!(preorder().await, !before);
    records::refresh_flags(&shop.db.store).await.unwrap();
    assert_eq!(preorder().await, !before);
}

/// Staff delete a game between two looks of the pass that is about to write it.
#[tokio::test]
async fn a_product_that_staff_delete_during_a_pass_does_not_come_back() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    shop.run(What::Full).await;
    let mut deleting = shop.db.sql.begin().await.unwrap();
    sqlx::query("lock table games in access exclusive mode")
        .execute(&mut *deleting)
        .await
        .unwrap();
    let deleted = async {
        waits(&shop, "store.sync.game_ids").await;
        for statement in [
            "insert into excluded_products (g2a_product_id, title) values ($1, 'Gone')",
            "delete from games where g2a_product_id = $1",
        ] {
            sqlx::query(statement)
                .bind(&product)
                .execute(&mut *deleting)
                .await
                .unwrap();
        }
        deleting.commit().await.unwrap();
    };
    let (report, ()) = tokio::join!(shop.run(What::Product(product.clone())), deleted);
    assert_eq!(report.counts.created, 0, "{report}");
    assert!(!shop.games().await.contains_key(&product));
}

#[tokio::test]
async fn a_product_that_staff_deleted_does_not_come_back() {
    let shop = Shop::with(60).await;
    shop.run(What::Full).await;
    let product = shop.id_at(20);
    let (admin, id) = (staff(&shop).await, game(&shop, &product).await);
    game_edits::delete(&shop.db.store, admin, id).await.unwrap();
    for what in [What::Full, What::Stock] {
        let report = shop.run(what).await;
        assert_eq!(report.counts.created, 0, "{report}");
    }
    assert!(!shop.games().await.contains_key(&product));
    // Until it is no longer excluded.
    shop.db.execute("delete from excluded_products").await;
    shop.run(What::Full).await;
    shop.assert_in_line().await;
}

#[tokio::test]
async fn a_price_that_staff_set_below_what_an_order_cost_keeps_the_game_off_sale() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    shop.g2a
        .set_price(&product, "10".parse().unwrap(), "15".parse().unwrap());
    shop.g2a.set_stock(&product, 5);
    shop.run(What::Full).await;
    let (admin, id) = (staff(&shop).await, game(&shop, &product).await);
    let set = async |cents| {
        let form = GameForm {
            price: Some(money(cents)),
            ..GameForm::default()
        };
        game_edits::update(&shop.db.store, admin, NO_SESSION, id, None, &form)
            .await
            .unwrap();
    };
    let state = async || -> (String, bool) {
        sqlx::query_as("select price::text, in_stock from games where id = $1")
            .bind(id.0)
            .fetch_one(&shop.db.sql)
            .await
            .unwrap()
    };
    set(1100).await;
    let is_off = shop
        .db
        .store
        .tx("test", move |tx| {
            let pricing = lockstep_domain::price::Pricing::default();
            Box::pin(async move { lockstep_store::fulfilment::asked_price(tx, id, 12.into(), &pricing).await })
        })
        .await
        .unwrap();
    assert_eq!(
        is_off.map(|asked| (asked.price, asked.is_off_sale)),
        Some((money(1224), true))
    );
    for what in [What::Stock, What::Full, What::Incremental] {
        shop.run(what.clone()).await;
        assert_eq!(state().await, ("11.00".into(), false), "{what:?}");
    }
    set(1224).await;
    shop.run(What::Stock).await;
    assert_eq!(state().await, ("12.24".into(), true), "high enough");
    set(1100).await;
    shop.run(What::Stock).await;
    assert_eq!(state().await, ("11.00".into(), false), "too low again");
    shop.g2a
        .set_price(&product, "9".parse().unwrap(), "15".parse().unwrap());
    shop.run(What::Stock).await;
    assert_eq!(state().await, ("11.00".into(), true), "G2A's listing has changed");
}

/// The price before a reduction that staff have set is not shown while the price is as high, and is back when it falls.
#[tokio::test]
async fn an_original_price_of_staff_outlasts_a_price_that_reaches_it() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    let price = async |euro: &str| {
        let price = euro.parse().unwrap();
        shop.g2a.set_price(&product, price, price);
        shop.run(What::Full).await;
    };
    price("10").await;
    let (admin, id) = (staff(&shop).await, game(&shop, &product).await);
    let form = GameForm {
        original_price: Some(money(2000)),
        ..GameForm::default()
    };
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, None, &form)
        .await
        .unwrap();
    let state = async || -> (String, Option<String>, i32) {
        sqlx::query_as("select price::text, original_price::text, discount from games where id = $1")
            .bind(id.0)
            .fetch_one(&shop.db.sql)
            .await
            .unwrap()
    };
    let reduced = ("10.20".to_owned(), Some("20.00".to_owned()), 49);
    assert_eq!(state().await, reduced);
    price("20").await;
    assert_eq!(state().await, ("20.40".into(), None, 0));
    // A change of something else keeps it as well.
    let form = GameForm {
        publisher: Some("Ours".to_owned()),
        ..GameForm::default()
    };
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, None, &form)
        .await
        .unwrap();
    price("10").await;
    assert_eq!(state().await, reduced);
    // Given back to G2A, it is gone.
    let form = GameForm {
        locked: Some(vec![]),
        ..GameForm::default()
    };
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, None, &form)
        .await
        .unwrap();
    price("10").await;
    assert_eq!(state().await, ("10.20".into(), None, 0));
    assert_eq!(shop.db.count("games where original_price_by_hand is not null").await, 0);
}

#[tokio::test]
async fn what_g2a_says_of_a_field_of_staffs_is_known_and_counts_at_once_when_it_is_unlocked() {
    let shop = Shop::with(60).await;
    let product = shop.id_at(20);
    shop.run(What::Full).await;
    let (admin, id) = (staff(&shop).await, game(&shop, &product).await);
    let before = shown(&shop, id).await;
    let form = GameForm {
        title: Some("Ours".to_owned()),
        description: Some("<p>Our words.</p>".to_owned()),
        genres: Some(vec!["Our Genre".to_owned()]),
        publisher: Some("Our Publisher".to_owned()),
        ..GameForm::default()
    };
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, None, &form)
        .await
        .unwrap();
    shop.run(What::Full).await;
    let said: serde_json::Value = sqlx::query_scalar("select said from supplier_values where game_id = $1")
        .bind(id.0)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert!(before.starts_with(said["title"].as_str().unwrap()), "{said}");
    // All but the title is given back, before any other pass.
    let form = GameForm {
        locked: Some(vec![GameField::Title]),
        ..GameForm::default()
    };
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, None, &form)
        .await
        .unwrap();
    let locks: Vec<String> = sqlx::query_scalar("select unnest(fields_by_hand) from games where id = $1")
        .bind(id.0)
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(locks, ["title"]);
    let after = shown(&shop, id).await;
    assert!(after.starts_with("Ours | ") && !after[7..].contains("Our"), "{after}");
}

#[tokio::test]
async fn what_was_merged_is_not_made_again_by_a_pass() {
    let shop = Shop::with(60).await;
    shop.run(What::Full).await;
    let admin = staff(&shop).await;
    let genres: Vec<(Uuid, i64)> =
        sqlx::query_as("select genre_id, count(*) from game_genres group by 1 order by 2 desc, 1 limit 3")
            .fetch_all(&shop.db.sql)
            .await
            .unwrap();
    let [(first, with_first), (second, _), (third, _)] = genres[..] else {
        panic!("too few genres")
    };
    let merged = taxonomies::merge(&shop.db.store, admin, Taxonomy::Genres, first, second)
        .await
        .unwrap();
    assert_eq!(merged, u64::try_from(with_first).unwrap());
    // What it became is merged as well.
    taxonomies::merge(&shop.db.store, admin, Taxonomy::Genres, second, third)
        .await
        .unwrap();
    let links = "select count(*) from game_genres";
    let figure = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(&shop.db.sql).await.unwrap();
    let (all, entries) = (figure(links).await, figure("select count(*) from genres").await);
    shop.run(What::Full).await;
    assert_eq!(
        (figure(links).await, figure("select count(*) from genres").await),
        (all, entries)
    );
    let told = figure("select count(*) from audit_log where action = 'taxonomy.merge'").await;
    assert_eq!(told, 2);
}
