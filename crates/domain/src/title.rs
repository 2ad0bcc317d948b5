//! Titles of games. G2A's product names contain the offer ("Portal 2 (PC) - Steam Key - GLOBAL"); pages and e-mails
//! show the offer beside the title, so the title can be reduced to the game's own name.

mod edition;

use std::fmt::{self, Display};

use crate::language::Language;

pub use edition::{base, followers, signs};

/// Words that shops append and that tell nothing of the game.
const OFFER: &[&str] = &["key", "cd", "code", "gift", "account", "digital", "download"];
/// Platforms and services as spelled in product names.
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

/// Display names of services by a word of the product name; the first match counts.
const SERVICES: &[(&str, &str)] = &[
    ("gog", "GOG"),
    ("epic", "Epic Games"),
    ("ea app", "EA App"),
    ("origin", "Origin"),
    ("ubisoft", "Ubisoft Connect"),
    ("uplay", "Ubisoft Connect"),
    ("battle.net", "Battle.net"),
    ("rockstar", "Rockstar"),
    ("microsoft store", "Microsoft Store"),
    ("windows store", "Microsoft Store"),
    ("xbox", "Xbox"),
    ("psn", "PlayStation"),
    ("ps4", "PlayStation"),
    ("ps5", "PlayStation"),
    ("playstation", "PlayStation"),
    ("nintendo", "Nintendo"),
    ("eshop", "Nintendo"),
    ("steam", "Steam"),
];

/// Regions at the end of product names, for products without a region of their own.
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

/// A product's name split into the game's own name and the offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    text: String,
    /// Where the game's own name ends, in bytes.
    end: usize,
    region: Option<&'static str>,
}

impl Title {
    /// Splits a product's name.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let region = REGIONS.iter().copied().find(|region| cut(text, region).is_some());
        Self {
            end: own(text, region).len(),
            text: text.to_owned(),
            region,
        }
    }

    /// The game's own name.
    pub fn name(&self) -> &str {
        self.text.get(..self.end).unwrap_or(&self.text)
    }

    /// Where a key of it is redeemed, when its name says so: `Steam`.
    pub fn service(&self) -> Option<&'static str> {
        let raw = self.text.get(self.end..).unwrap_or_default().to_lowercase();
        SERVICES
            .iter()
            .find(|(word, _)| raw.contains(word))
            .map(|(_, name)| *name)
    }

    /// Which offer of the game it is, in a reader's words: `Steam · United States`, `Xbox · Gift · Worldwide`; often
    /// nothing.
    pub fn offer(&self, language: Language) -> String {
        let raw = self.text.get(self.end..).unwrap_or_default().to_lowercase();
        if raw.is_empty() {
            return raw;
        }
        let service = self.service().map(str::to_owned);
        // What is no key is another thing to buy.
        let other = ["gift", "account"]
            .into_iter()
            .find(|word| raw.contains(word))
            .map(title_case);
        let region = self.region.map(|region| region_name(language, region));
        [service, other, region]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" · ")
    }
}

impl Display for Title {
    /// Writes the whole product name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The game's own name: `title` without the offer at its end. Never empty.
pub fn own<'t>(title: &'t str, region: Option<&str>) -> &'t str {
    let mut name = title.trim();
    // An offer ends in a region or in "Key". Other names are left alone, because "Xbox" may be part of a game's name.
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

/// Several products' names in one line, as bookings keep them (`2 × Portal 2 - Steam Key - GLOBAL, Myst`), each as the
/// game's own name. A last one that was cut off is left out.
pub fn names(line: &str) -> String {
    // A name that holds a comma is taken apart and put together again: only ends are cut.
    let mut names: Vec<&str> = line.split(", ").collect();
    if names.len() > 1 && names.last().is_some_and(|last| last.ends_with('…')) {
        names.pop();
        names.push("…");
    }
    names
        .into_iter()
        .map(|name| Title::new(name).name().to_owned())
        .collect::<Vec<_>>()
        .join(", ")
}

/// A region as the reader calls it: those that most keys are for are known, any other keeps its own name.
pub fn region_name(language: Language, region: &str) -> String {
    let key: String = region
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    language
        .region_texts()
        .get(format!("region.{key}").as_str())
        .map_or_else(|| title_case(region), |name| (*name).to_owned())
}

/// `NORTH AMERICA` as `North America`; short words (`USA`) and words not in capitals are unchanged.
fn title_case(text: &str) -> String {
    let is_mixed = text.chars().any(char::is_lowercase) && text.chars().any(char::is_uppercase);
    if is_mixed || text.chars().count() <= 3 {
        return text.to_owned();
    }
    text.split(' ')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| {
                first
                    .to_uppercase()
                    .chain(letters.flat_map(char::to_lowercase))
                    .collect()
            })
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// `text` without its last word `word` and the dash before it; `None` when it does not end in it.
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
    fn titles_split_into_name_and_translated_offer() {
        for (text, name, english, german) in [
            (
                "Portal 2 (PC) - Steam Key - GLOBAL",
                "Portal 2",
                "Steam · Worldwide",
                "Steam · Weltweit",
            ),
            (
                "Portal 2 - Steam Key - UNITED STATES",
                "Portal 2",
                "Steam · United States",
                "Steam · USA",
            ),
            (
                "Leaving the Skyline Steam Key NORTH AMERICA",
                "Leaving the Skyline",
                "Steam · North America",
                "Steam · Nordamerika",
            ),
            (
                "Woven Relic (PS5) - PSN Key - LATAM",
                "Woven Relic",
                "PlayStation · Latin America",
                "PlayStation · Lateinamerika",
            ),
            (
                "Nadia Steam Gift EUROPE",
                "Nadia",
                "Steam · Gift · Europe",
                "Steam · Gift · Europa",
            ),
            (
                "Überland – GOG.COM Key MIDDLE EAST",
                "Überland",
                "GOG · Middle East",
                "GOG · Middle East",
            ),
            ("The Key to the Steam Engine", "The Key to the Steam Engine", "", ""),
            ("Journey to Asia", "Journey to Asia", "", ""),
            (" Portal ", "Portal", "", ""),
            ("", "", "", ""),
        ] {
            let title = Title::new(text);
            assert_eq!(title.name(), name, "{text}");
            assert_eq!(
                [Language::English, Language::German].map(|language| title.offer(language)),
                [english, german],
                "{text}"
            );
            assert_eq!(title.to_string(), text.trim());
        }
    }

    #[test]
    fn names_in_a_line_are_reduced_to_the_games_own() {
        for (line, shown) in [
            ("Portal 2 (PC) - Steam Key - GLOBAL", "Portal 2"),
            ("2 × Portal 2 - Steam Key - UNITED STATES, Myst", "2 × Portal 2, Myst"),
            ("Papers, Again Steam Key GLOBAL", "Papers, Again"),
            (
                "Woven Relic (PS5) - PSN Key - LATAM, Überland – GOG.COM K…",
                "Woven Relic, …",
            ),
            ("One Very Long Na…", "One Very Long Na…"),
            ("", ""),
        ] {
            assert_eq!(names(line), shown);
        }
    }

    #[test]
    fn region_names_are_translated() {
        assert_eq!(region_name(Language::English, "GLOBAL"), "Worldwide");
        assert_eq!(region_name(Language::German, "EUROPE"), "Europa");
        assert_eq!(region_name(Language::German, "SOUTH ATLANTIS"), "South Atlantis");
        assert_eq!(region_name(Language::English, "south atlantis"), "South Atlantis");
        assert_eq!(region_name(Language::English, "USA"), "USA");
    }

    #[test]
    fn own_name_drops_the_offer() {
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
