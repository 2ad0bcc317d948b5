//! Search queries find titles despite different spellings: a table.

use crate::shop::{NewGame, Shop, titles};

/// A query, and a title that it must find.
const PAIRS: &[(&str, &str)] = &[
    // Accents, in both directions, composed and decomposed.
    ("pokemon", "Pokémon Zircon"),
    ("pokémon", "Pokemon Zaffre"),
    ("POKÉMON", "Pokémon Zircon"),
    ("poke\u{301}mon zircon", "Pokémon Zircon"),
    ("pokemon zaffre", "Poke\u{301}mon Zaffre Deluxe"),
    ("elan", "Élan Vital"),
    ("lodz", "Łódź Nights"),
    ("łódź", "Łódź Nights"),
    ("oresund", "Øresund Bridge"),
    ("ØRESUND", "Øresund Bridge"),
    ("aether", "Æther Tides"),
    ("istanbul", "İstanbul Express"),
    ("ёлка", "Елка и снег"),
    ("КИБЕР", "Кибер Город"),
    // German.
    ("zwolf strassen", "Zwölf Straßen"),
    ("zwölf straßen", "Zwolf Strassen Remake"),
    ("STRASSEN", "Zwölf Straßen"),
    // Apostrophes of all kinds.
    ("assassins creed", "Assassin's Creed Umbra"),
    ("assassins creed", "Assassin’s Creed Ember"),
    ("assassins creed", "Assassins Creed Dusk"),
    ("assassin's creed", "Assassins Creed Dusk"),
    ("assassin’s creed", "Assassin's Creed Umbra"),
    ("dont starve", "Don't Starve"),
    ("don`t starve", "Don't Starve"),
    // Hyphens.
    ("xcom", "X-COM Terror"),
    ("x-com", "X-COM Terror"),
    ("x com", "X-COM Terror"),
    ("x-com", "XCOM Legacy"),
    ("spiderman", "Spider-Man Nights"),
    ("spider man", "Spider-Man Nights"),
    ("spider-man", "Spiderman Classic"),
    ("yugioh", "Yu-Gi-Oh! Duel"),
    ("spidraman", "Spider-Man Nights"),
    // Initials with dots.
    ("stalker", "S.T.A.L.K.E.R. Zone"),
    ("s.t.a.l.k.e.r.", "S.T.A.L.K.E.R. Zone"),
    ("S.T.A.L.K.E.R", "Stalker Tales"),
    ("feax", "F.E.A.X."),
    ("f.e.a.x", "F.E.A.X."),
    // `&` and `and`.
    ("sam and max", "Sam & Max Hit"),
    ("sam & max", "Sam and Max Save"),
    ("sam max", "Sam & Max Hit"),
    ("sam&max", "Sam & Max Hit"),
    // Numbers.
    ("warhamster 40000", "Warhamster 40,000: Cheeks"),
    ("warhamster 40,000", "Warhamster 40000 Wheels"),
    ("warhamster 40.000", "Warhamster 40,000: Cheeks"),
    ("gta 4", "GTA IV"),
    ("gta iv", "GTA 4 Complete"),
    ("GTA IV", "GTA IV"),
    ("final quest 7", "Final Quest VII"),
    ("final quest vii", "Final Quest 7 Remaster"),
    ("final quest 20", "Final Quest XX"),
    ("kings xiv", "Kings 14"),
    // Full-width characters, and scripts without spaces.
    ("ｆｕｌｌ ｍｅｔａｌ", "Full Metal Rabbit"),
    ("full metal", "Ｆｕｌｌ Ｍｅｔａｌ Ｃａｔ"),
    ("伝説", "風の伝説オンライン"),
    ("風の伝説", "風の伝説オンライン"),
    ("オンライン", "風の伝説オンライン"),
    ("ｵﾝﾗｲﾝ", "風の伝説オンライン"),
    ("传说", "英雄传说"),
    ("전설", "바람의 전설"),
    // Trademark and other signs.
    ("starforge", "Star™forge® Two"),
    ("orange juice", "100% Orange_Juice"),
    // Typing errors, even if another title is written exactly like the query.
    ("warhamstr", "Warhamster 40,000: Cheeks"),
    ("warhmaster", "Warhamster 40000 Wheels"),
    ("pokemn", "Pokémon Zircon"),
];

async fn asked(shop: &Shop, path: &str) -> Vec<String> {
    titles(&shop.get(path).await.data())
}

#[tokio::test]
async fn queries_find_titles_despite_different_spellings() {
    assert!(PAIRS.len() >= 60);
    let shop = Shop::open().await;
    let mut known: Vec<&str> = PAIRS.iter().map(|(_, title)| *title).collect();
    known.sort_unstable();
    known.dedup();
    // Titles without a Latin letter have no slug of their own.
    let numbered = |(n, title): (usize, &&str)| NewGame::titled(title).with(|game| game.slug = format!("known-{n}"));
    let mut games: Vec<NewGame> = known.iter().enumerate().map(numbered).collect();
    // Titles that no query of the table refers to.
    games.extend((0..200).map(|n| NewGame::titled(&format!("Unrelated Farming {n} Bundle"))));
    shop.put(&games).await;
    let mut missed = Vec::new();
    for (typed, meant) in PAIRS {
        let query: String = form_urlencoded::byte_serialize(typed.as_bytes()).collect();
        for path in [
            format!("/api/games/search?q={query}"),
            format!("/api/games?search={query}"),
            format!("/api/games/autocomplete?q={query}"),
        ] {
            let found = asked(&shop, &path).await;
            if !found.iter().any(|title| title == meant) {
                missed.push(format!("{path} ({typed}) does not find {meant}: {found:?}"));
            }
            if found.iter().any(|title| title.starts_with("Unrelated")) {
                missed.push(format!("{path} ({typed}) finds too much: {found:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

#[tokio::test]
async fn exact_matches_rank_above_similar_ones() {
    let shop = Shop::open().await;
    shop.put(&[
        NewGame::titled("Postal Service").with(|game| game.popularity = 1000),
        NewGame::titled("Portal"),
        NewGame::titled("GTA IV").with(|game| game.popularity = 1),
        NewGame::titled("GTA IV Extra").with(|game| game.popularity = 1000),
    ])
    .await;
    let found = asked(&shop, "/api/games/search?q=portal").await;
    assert_eq!(found.first().map(String::as_str), Some("Portal"), "{found:?}");
    let found = asked(&shop, "/api/games/search?q=gta+4").await;
    assert_eq!(
        found,
        ["GTA IV", "GTA IV Extra"],
        "in another way of writing it is exactly meant, too"
    );
}
