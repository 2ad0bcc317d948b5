//! Where keys are redeemed: the page that each service has for it.

/// Services by a word of their name in lower case, and the page where their keys are redeemed in a browser.
///
/// EA and Bethesda have none: EA's keys are redeemed inside its app, Bethesda's shop has closed.
const PAGES: &[(&str, &str)] = &[
    ("steam", "https://store.steampowered.com/account/registerkey"),
    ("gog", "https://www.gog.com/redeem"),
    ("epic", "https://store.epicgames.com/redeem"),
    ("ubisoft", "https://redeem.ubisoft.com/"),
    ("uplay", "https://redeem.ubisoft.com/"),
    // The overview of an account begins with the field for a code.
    ("battle.net", "https://account.battle.net/overview"),
    ("blizzard", "https://account.battle.net/overview"),
    ("xbox", "https://redeem.microsoft.com/"),
    ("microsoft", "https://redeem.microsoft.com/"),
    ("playstation", "https://store.playstation.com/redeem"),
    ("psn", "https://store.playstation.com/redeem"),
    ("nintendo", "https://ec.nintendo.com/redeem"),
    ("rockstar", "https://socialclub.rockstargames.com/activate"),
];

/// The page on which keys of `service` are redeemed; `None` where there is no such page or none is known.
pub fn page(service: &str) -> Option<&'static str> {
    let service = service.to_lowercase();
    PAGES
        .iter()
        .find_map(|(word, page)| service.contains(word).then_some(*page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_leads_to_its_own_page() {
        for (service, expected) in [
            ("Steam", Some("https://store.steampowered.com/account/registerkey")),
            ("Epic Games", Some("https://store.epicgames.com/redeem")),
            ("GOG", Some("https://www.gog.com/redeem")),
            ("GOG.COM", Some("https://www.gog.com/redeem")),
            ("EA App", None),
            ("Ubisoft Connect", Some("https://redeem.ubisoft.com/")),
            ("Battle.net", Some("https://account.battle.net/overview")),
            ("Xbox Live", Some("https://redeem.microsoft.com/")),
            ("PlayStation Network", Some("https://store.playstation.com/redeem")),
            ("PlayStation", Some("https://store.playstation.com/redeem")),
            ("Nintendo eShop", Some("https://ec.nintendo.com/redeem")),
            ("Rockstar", Some("https://socialclub.rockstargames.com/activate")),
            ("Microsoft Store", Some("https://redeem.microsoft.com/")),
            ("Bethesda", None),
            ("A Shop of Its Own", None),
            ("", None),
        ] {
            assert_eq!(page(service), expected, "{service}");
        }
    }
}
