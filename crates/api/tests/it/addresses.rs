//! Former slugs of games.

use crate::shop::{NewGame, Shop};

/// Title and current slug of the game found under a slug.
async fn at(shop: &Shop, slug: &str) -> Option<(String, String)> {
    shop.cache.catch_up().await.unwrap();
    let answer = shop.get(&format!("/api/games/slug/{slug}")).await;
    if answer.status == 404 {
        return None;
    }
    let game = answer.data();
    let text = |field: &str| game[field].as_str().unwrap().to_owned();
    Some((text("title"), text("slug")))
}

fn game(title: &str, slug: &str) -> (String, String) {
    (title.to_owned(), slug.to_owned())
}

#[tokio::test]
async fn a_former_slug_finds_its_game_until_another_game_takes_it() {
    let shop = Shop::open().await;
    shop.put(&[NewGame::titled("Portal"), NewGame::titled("Myst")]).await;
    let sql = async |statement: &str| shop.db.execute(statement).await;
    assert_eq!(at(&shop, "portal").await, Some(game("Portal", "portal")));
    assert_eq!(at(&shop, "portal-one").await, None, "and that is remembered");

    sql("update games set slug = 'portal-one' where slug = 'portal'").await;
    assert_eq!(at(&shop, "portal").await, Some(game("Portal", "portal-one")));
    assert_eq!(at(&shop, "portal-one").await, Some(game("Portal", "portal-one")));

    // The response under the old slug changes with the game.
    sql("update games set title = 'Portal!' where slug = 'portal-one'").await;
    assert_eq!(at(&shop, "portal").await, Some(game("Portal!", "portal-one")));
    sql("update games set slug = 'portal-1' where slug = 'portal-one'").await;
    for old in ["portal", "portal-one", "portal-1"] {
        assert_eq!(at(&shop, old).await, Some(game("Portal!", "portal-1")));
    }

    // The current owner of a slug wins; after it gives the slug up, it is the last one that had it.
    sql("update games set slug = 'portal' where slug = 'myst'").await;
    assert_eq!(at(&shop, "portal").await, Some(game("Myst", "portal")));
    assert_eq!(at(&shop, "myst").await, Some(game("Myst", "portal")));
    sql("update games set slug = 'riven' where slug = 'portal'").await;
    assert_eq!(at(&shop, "portal").await, Some(game("Myst", "riven")));

    // Back to its former slug, which is the current one again.
    sql("update games set slug = 'portal-one' where slug = 'portal-1'").await;
    assert_eq!(at(&shop, "portal-one").await, Some(game("Portal!", "portal-one")));
    assert_eq!(at(&shop, "portal-1").await, Some(game("Portal!", "portal-one")));

    sql("delete from games where slug = 'riven'").await;
    assert_eq!(at(&shop, "portal").await, None, "nobody is led to what is gone");
    sql("insert into game_slugs (slug, game_id) select 'typed-by-hand', id from games").await;
    assert_eq!(at(&shop, "typed-by-hand").await, Some(game("Portal!", "portal-one")));
}
