//! The other offers of a game on its page: which belong to the game, in which order, and how many.

use crate::html::{offences, values};
use crate::shop::{Shop, complete_game};
use lockstep_testkit::NewGame;

/// An offer with a price, for a region.
fn offer(title: &str, region: &str, cents: i64) -> NewGame {
    complete_game(title).with(|game| {
        game.region = Some(region.to_owned());
        game.price_cents = cents;
    })
}

/// The section "Other editions and regions": name, place and price of each, this page's first.
fn editions(page: &str) -> Vec<String> {
    let Some((_, section)) = page.split_once("<ul class=\"editions\">") else {
        return Vec::new();
    };
    let (section, _) = section.split_once("</ul>").unwrap();
    section
        .split("<li>")
        .skip(1)
        .map(|item| {
            let mut text = String::new();
            let mut is_tag = false;
            for letter in item.chars() {
                match letter {
                    '<' => is_tag = true,
                    '>' => is_tag = false,
                    letter if !is_tag => text.push(letter),
                    _ => {}
                }
            }
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect()
}

/// Search drops `+` and `#`; games that differ in nothing else are still different ones.
#[tokio::test]
async fn games_whose_names_differ_in_a_sign_are_not_editions_of_one() {
    let shop = Shop::open().await;
    shop.put(&[
        offer("Learn Z++ (PC) - Steam Key - GLOBAL", "GLOBAL", 1999),
        offer("Learn Z++ Deluxe Edition (PC) - Steam Key - EUROPE", "EUROPE", 1499),
        offer("Learn Z# (PC) - Steam Key - GLOBAL", "GLOBAL", 999).with(|game| game.slug = "learn-z-sharp".to_owned()),
        offer("Learn Z (PC) - Steam Key - GLOBAL", "GLOBAL", 899),
    ])
    .await;
    let slugs: Vec<String> = sqlx::query_scalar("select slug from games order by price desc")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    for (slug, others) in slugs.iter().zip([1, 1, 0, 0]) {
        let page = shop.get(&format!("/game/{slug}")).await;
        let listed = editions(page.page());
        // This page's own offer is listed with the others.
        assert_eq!(
            listed.len(),
            if others == 0 { 0 } else { others + 1 },
            "{slug}: {listed:?}"
        );
        assert!(listed.iter().all(|item| item.contains("Z++")), "{slug}: {listed:?}");
    }
}

#[tokio::test]
async fn game_pages_list_other_editions_regions_and_platforms() {
    let shop = Shop::open().await;
    shop.put(&[
        offer("Pokémon Zircon 2 (PC) - Steam Key - GLOBAL", "GLOBAL", 1999),
        offer("Pokemon Zircon 2 (PC) - Steam Key - EUROPE", "EUROPE", 1499),
        offer(
            "Pokémon Zircon 2: Deluxe Edition (PC) - Steam Key - GLOBAL",
            "GLOBAL",
            2999,
        ),
        offer("POKÉMON ZIRCON 2 – GOG.COM Key GLOBAL", "GLOBAL", 1799)
            .with(|game| game.service = Some("GOG".to_owned())),
        offer(
            "Pokémon Zircon 2 - 20th Anniversary Edition Steam Key GLOBAL",
            "GLOBAL",
            999,
        )
        .with(|game| game.in_stock = false),
        offer("Pokémon Zircon 2 (Xbox One) - Xbox Live Key - GLOBAL", "GLOBAL", 2499)
            .platforms(&["Xbox One"])
            .with(|game| game.service = Some("Xbox Live".to_owned())),
        // Other games.
        offer("Pokémon Zircon (PC) - Steam Key - GLOBAL", "GLOBAL", 500),
        offer("Pokémon Zircon 20 (PC) - Steam Key - GLOBAL", "GLOBAL", 500),
        offer("Pokémon Zircon 2 Steam Chronicles", "GLOBAL", 500),
        offer(
            "Pokémon Zircon 2 - Season Pass (PC) - Steam Key - GLOBAL",
            "GLOBAL",
            500,
        ),
        offer("The Pokémon Zircon 2 - Steam Key - GLOBAL", "GLOBAL", 500),
        offer("Pokémon Zircon 2 Gold Edition - Steam Key - GLOBAL", "GLOBAL", 500).with(|game| {
            game.withdrawn = true;
            game.in_stock = false;
        }),
    ])
    .await;
    let answer = shop.get("/game/pokemon-zircon-2-pc-steam-key-europe").await;
    let page = answer.page();
    assert_eq!(
        editions(page),
        [
            "Pokemon Zircon 2 This offer PC · Steam · Europe €14.99",
            "POKÉMON ZIRCON 2 PC · GOG · Worldwide €17.99",
            "Pokémon Zircon 2 PC · Steam · Worldwide €19.99",
            "Pokémon Zircon 2 Xbox One · Xbox Live · Worldwide €24.99",
            "Pokémon Zircon 2: Deluxe Edition PC · Steam · Worldwide €29.99",
            "Pokémon Zircon 2 - 20th Anniversary Edition Sold out PC · Steam · Worldwide €9.99",
        ]
    );
    assert_eq!(offences(page), Vec::<String>::new());
    let links = values(page, "href");
    let of_editions = |slug: &str| links.iter().filter(|link| **link == format!("/game/{slug}")).count();
    assert_eq!(
        of_editions("pokemon-zircon-2-gog-com-key-global"),
        1,
        "once, not among similar games too"
    );
    assert_eq!(
        of_editions("pokemon-zircon-2-pc-steam-key-europe"),
        0,
        "this page is no link"
    );
    // From an edition to the game and back.
    let deluxe = shop
        .get("/game/pokemon-zircon-2-deluxe-edition-pc-steam-key-global?lang=de")
        .await;
    let deluxe = editions(deluxe.page());
    assert_eq!(deluxe.len(), 6, "{deluxe:?}");
    assert_eq!(
        deluxe[0],
        "Pokémon Zircon 2: Deluxe Edition Dieses Angebot PC · Steam · Weltweit 29,99\u{a0}€".replace('\u{a0}', " ")
    );
    // A game with one offer has no such section.
    let alone = shop.get("/game/pokemon-zircon-20-pc-steam-key-global").await;
    assert!(!alone.page().contains("Other editions"));
}

#[tokio::test]
async fn changed_offers_update_the_pages_of_the_others_at_once() {
    let shop = Shop::open().await;
    shop.put(&[
        offer("Myrthe - Steam Key - GLOBAL", "GLOBAL", 2000),
        offer("Myrthe - Steam Key - EUROPE", "EUROPE", 1500),
    ])
    .await;
    let page = "/game/myrthe-steam-key-global";
    assert!(editions(shop.get(page).await.page())[1].ends_with("€15.00"));
    shop.db
        .execute("update games set price = 12.34 where slug = 'myrthe-steam-key-europe'")
        .await;
    shop.cache.catch_up().await.unwrap();
    assert!(editions(shop.get(page).await.page())[1].ends_with("€12.34"));
    // One new offer, and one whose title changes.
    shop.put(&[offer("Myrthe Gold Edition", "GLOBAL", 3000)]).await;
    assert_eq!(editions(shop.get(page).await.page()).len(), 3);
    shop.db
        .execute("update games set title = 'Something Else' where slug = 'myrthe-steam-key-europe'")
        .await;
    shop.cache.catch_up().await.unwrap();
    let left = editions(shop.get(page).await.page());
    assert!(
        left.len() == 2 && left[1].starts_with("Myrthe Gold Edition"),
        "{left:?}"
    );
}

#[tokio::test]
async fn games_with_many_offers_show_the_cheapest_twelve() {
    let shop = Shop::open().await;
    let offers: Vec<NewGame> = (0..60)
        .map(|n| {
            offer(
                &format!("Myrthe (PC) - Steam Key - REGION {n:02}"),
                &format!("REGION {n:02}"),
                5000 - n * 10,
            )
        })
        .collect();
    shop.put(&offers).await;
    let shown = editions(shop.get(&format!("/game/{}", offers[0].slug)).await.page());
    assert_eq!(shown.len(), 13);
    assert!(shown[1].contains("59") && shown[12].contains("48"), "{shown:?}");
    // Titles without words and very long ones are valid.
    for title in ["!!!", &"Ü".repeat(400)] {
        let game = complete_game("x").with(|game| {
            game.title = title.to_owned();
            game.slug = format!("odd-{}", title.len());
        });
        shop.put(std::slice::from_ref(&game)).await;
        assert_eq!(
            editions(shop.get(&format!("/game/{}", game.slug)).await.page()).len(),
            0
        );
    }
}
