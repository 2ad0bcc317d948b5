//! Games that staff have changed: a pass leaves alone what is theirs, and only that.

use std::time::{Duration, Instant};

use lockstep_domain::admin::{GameEntry, GameForm};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::{GameId, Money};
use lockstep_store::admin::game_edits;
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
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, &form)
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
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, &form)
        .await
        .unwrap();
    shop.run(What::Full).await;
    records::refresh_flags(&shop.db.store).await.unwrap();
    shop.assert_in_line().await;
    let after = shown(&shop, id).await;
    assert!(!after.contains("Our"), "{after}");
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
    game_edits::update(&shop.db.store, admin, NO_SESSION, id, &form)
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
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let waits: bool = sqlx::query_scalar(
                "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                                 and query like '%store.sync.update_everything%')",
            )
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
            if waits {
                break;
            }
            assert!(Instant::now() < deadline, "the pass reaches the row");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
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
