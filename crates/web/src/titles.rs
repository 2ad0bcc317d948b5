//! What a game is called. G2A's product names say the offer as well ("Portal 2 (PC) - Steam Key - GLOBAL"); on our pages
//! the offer stands beside the name, so the name can be the game's own.

use std::fmt::{self, Display};

/// Words that shops append and that tell nothing of the game.
const OFFER: &[&str] = &["key", "cd", "code", "gift", "account", "digital", "download"];
/// Devices and services as product names write them.
const PLACES: &[&str] = &[
    "pc",
    "mac",
    "linux",
    "steam",
    "gog.com",
    "gog",
    "epic games",
    "epic",
    "ea app",
    "origin",
    "ubisoft connect",
    "uplay",
    "battle.net",
    "rockstar",
    "microsoft store",
    "windows store",
    "windows",
    "xbox live",
    "xbox one",
    "xbox series x/s",
    "xbox",
    "psn",
    "ps4",
    "ps5",
    "playstation",
    "nintendo eshop",
    "nintendo switch",
    "nintendo",
    "eshop",
];

/// Regions as product names end in them, where nothing else says which it is.
const REGIONS: &[&str] = &[
    "global",
    "worldwide",
    "europe",
    "north america",
    "south america",
    "latin america",
    "latam",
    "united states",
    "united kingdom",
    "emea",
    "row",
    "asia",
    "oceania",
    "middle east",
    "africa",
    "germany",
    "poland",
    "france",
    "turkey",
    "argentina",
    "brazil",
    "australia",
    "japan",
    "china",
    "india",
    "ru/cis",
    "ru vpn",
    "eu",
    "us",
    "uk",
];

/// A product's name as lists of one's own show it: the game's name, and more quietly the offer that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Title {
    text: String,
    /// Where the game's own name ends.
    end: usize,
}

impl Title {
    pub(crate) fn new(text: &str) -> Self {
        let text = text.trim();
        let region = REGIONS.iter().find(|region| cut(text, region).is_some());
        Self {
            end: own(text, region.copied()).len(),
            text: text.to_owned(),
        }
    }

    /// The game's own name.
    pub(crate) fn name(&self) -> &str {
        self.text.get(..self.end).unwrap_or(&self.text)
    }

    /// What follows it: which offer it is; often nothing.
    pub(crate) fn offer(&self) -> &str {
        self.text.get(self.end..).unwrap_or_default()
    }
}

impl Display for Title {
    /// All of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The game's own name: `title` without what says the offer at its end. Never empty.
pub(crate) fn own<'t>(title: &'t str, region: Option<&str>) -> &'t str {
    let mut name = title.trim();
    // The offer ends in the region or in "Key"; a name that does not is left alone, for "Xbox" may be part of a game's.
    let shorter = cut(name, region.unwrap_or("global"))
        .or_else(|| cut(name, "global"))
        .unwrap_or(name);
    let Some(without_key) = OFFER.iter().find_map(|word| cut(shorter, word)) else {
        return name;
    };
    name = without_key;
    while let Some(next) = OFFER
        .iter()
        .chain(PLACES)
        .find_map(|word| cut(name, word).or_else(|| bracketed(name, word)))
    {
        name = next;
    }
    if name.is_empty() { title.trim() } else { name }
}

/// `text` without a last word, and without the dash before it.
fn cut<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let at = text.len().checked_sub(word.len())?;
    let (before, end) = (text.get(..at)?, text.get(at..)?);
    let is_word = end.eq_ignore_ascii_case(word) && before.ends_with([' ', '-']);
    is_word.then(|| before.trim_end_matches([' ', '-', '–']))
}

fn bracketed<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let inner = text.strip_suffix(')')?;
    let (before, inside) = inner.rsplit_once('(')?;
    inside
        .split([',', '/'])
        .any(|part| part.trim().eq_ignore_ascii_case(word))
        .then(|| before.trim_end())
        .or_else(|| inside.eq_ignore_ascii_case(word).then(|| before.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_name_and_the_offer_and_nothing_is_lost() {
        for (text, name, offer) in [
            (
                "Portal 2 (PC) - Steam Key - GLOBAL",
                "Portal 2",
                " (PC) - Steam Key - GLOBAL",
            ),
            (
                "Leaving the Skyline Steam Key NORTH AMERICA",
                "Leaving the Skyline",
                " Steam Key NORTH AMERICA",
            ),
            (
                "Woven Relic (PS5) - PSN Key - LATAM",
                "Woven Relic",
                " (PS5) - PSN Key - LATAM",
            ),
            ("Überland – Steam Key GLOBAL", "Überland", " – Steam Key GLOBAL"),
            ("The Key to the Steam Engine", "The Key to the Steam Engine", ""),
            ("Journey to Asia", "Journey to Asia", ""),
            (" Portal ", "Portal", ""),
            ("", "", ""),
        ] {
            let title = Title::new(text);
            assert_eq!((title.name(), title.offer()), (name, offer), "{text}");
            assert_eq!(title.to_string(), text.trim());
        }
    }

    #[test]
    fn a_game_is_called_by_its_own_name() {
        for (title, region, name) in [
            ("Portal 2 (PC) - Steam Key - GLOBAL", "GLOBAL", "Portal 2"),
            ("Stellar Harvest Steam Key EUROPE", "EUROPE", "Stellar Harvest"),
            (
                "Woven Relic Deluxe Edition (Xbox Series X/S) - Xbox Live Key - NORTH AMERICA",
                "NORTH AMERICA",
                "Woven Relic Deluxe Edition",
            ),
            (
                "Dagger of Ostermark (PC) - GOG.COM Key - RU/CIS",
                "RU/CIS",
                "Dagger of Ostermark",
            ),
            ("Unbroken Drusk (PS5) - PSN Key - GLOBAL", "GLOBAL", "Unbroken Drusk"),
            (
                "Nadia and the Station Steam Gift GLOBAL",
                "GLOBAL",
                "Nadia and the Station",
            ),
            ("The Key to the Steam Engine", "GLOBAL", "The Key to the Steam Engine"),
            ("Steam Key GLOBAL", "GLOBAL", "Steam"),
            ("Überland – Steam Key GLOBAL", "GLOBAL", "Überland"),
            ("Key", "GLOBAL", "Key"),
        ] {
            assert_eq!(own(title, Some(region)), name, "{title}");
        }
        assert_eq!(own("Portal", None), "Portal");
    }
}
