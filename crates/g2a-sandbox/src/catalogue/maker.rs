//! The generator of the synthetic catalogue.
//!
//! A product is a pure function of the seed, its number, and the day on which the catalogue was created. Only its
//! price, stock and time of change are kept in memory, so a catalogue of a million products takes megabytes; the text
//! is composed for each page.
//!
//! Products come in blocks of [`BLOCK`]. A block has one long series or several short ones, and a series has
//! instalments, editions, add-ons, and the same game for several platforms and regions, so that searches and "similar
//! games" have meaningful results. Consecutive numbers belong to different blocks, so that a page looks mixed.

use std::fmt::Write as _;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use lockstep_domain::Money;

use super::product::{Category, Doc, RequirementSet, Requirements, Restrictions, Video};
use super::words::{
    ADD_ONS, ADJECTIVES, DEEDS, DLC_ID, EDITIONS, FIRST_HALVES, GAMES_ID, GENRE_ID_BASE, GENRES, Genre, HEROES,
    LANGUAGES, NOUNS, PLACES, PLATFORMS, PUBLISHERS, Platform, REGIONS, SECOND_HALVES, STUDIOS, SUBTITLES, TAG_ID_BASE,
    TAGS,
};
use crate::dice::Dice;

/// Products per block.
const BLOCK: u64 = 24;

/// The divisions of a block into series.
const CUTS: &[&[u64]] = &[
    &[24],
    &[12, 12],
    &[12, 6, 3, 3],
    &[8, 8, 8],
    &[8, 6, 4, 2, 2, 1, 1],
    &[6, 6, 6, 6],
    &[6, 4, 4, 3, 3, 2, 1, 1],
    &[4, 4, 4, 3, 3, 2, 2, 1, 1],
    &[3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1],
];

/// The variants of an instalment: (kind, index into the series' platforms, index into its regions). All differ, so no
/// two products of a series share a name. The first is the base game.
const RECIPES: &[(Kind, usize, usize)] = &[
    (Kind::Game, 0, 0),
    (Kind::Game, 1, 1),
    (Kind::Edition(0), 0, 0),
    (Kind::AddOn(0), 0, 0),
    (Kind::Game, 0, 1),
    (Kind::Game, 2, 0),
    (Kind::AddOn(1), 0, 0),
    (Kind::Edition(1), 1, 0),
    (Kind::Game, 0, 2),
    (Kind::Edition(0), 0, 1),
];

/// The last release date of an ordinary game of the catalogue. It is fixed, so that a start on another day does not
/// move the dates of the whole catalogue; only pre-orders and new releases follow the calendar.
const LAST_ORDINARY_RELEASE: (i32, u32, u32) = (2025, 6, 30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Game,
    Edition(u64),
    AddOn(u64),
}

/// Generates the products of one catalogue.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    seed: u64,
    blocks: u64,
    count: u64,
    today: NaiveDate,
}

/// The initial values of what changes while the sandbox runs.
pub(super) struct Start {
    pub(super) min_price: Money,
    pub(super) retail_min_price: Money,
    pub(super) retail_min_base_price: Money,
    pub(super) quantity: i64,
    pub(super) updated_at: DateTime<Utc>,
}

struct Series {
    code: u64,
    root: String,
    genre: &'static Genre,
    mix: &'static Genre,
    developer: &'static str,
    publisher: &'static str,
    instalments: u64,
    style: u64,
    first_release: NaiveDate,
    dice: Dice,
}

impl Maker {
    /// Creates a generator of `count` products; later additions get the numbers from `count` on.
    pub(super) fn new(seed: u64, count: u64, today: NaiveDate) -> Self {
        Self {
            seed,
            blocks: count.div_ceil(BLOCK).max(1),
            count,
            today,
        }
    }

    /// Returns the id of the product with this number: 14 digits, ascending with the number.
    pub(super) fn id(&self, number: u64) -> u64 {
        10_000_000_000_000 + number * 17 + Dice::new(self.seed, number ^ 0x1D).below(17)
    }

    /// Returns the initial prices, stock and time of change of the product with this number.
    pub(super) fn start(&self, number: u64) -> Start {
        let mut dice = Dice::new(self.seed, number ^ 0x51A2_7000_0000_0000);
        let cents = match dice.below(100) {
            0..45 => dice.between(19, 499),
            45..75 => dice.between(500, 1_499),
            75..92 => dice.between(1_500, 3_999),
            _ => dice.between(4_000, 7_999),
        };
        let cents = match dice.below(100) {
            0..35 if cents > 99 => cents - cents % 100 + 99,
            35..42 if cents > 99 => cents - cents % 100,
            _ => cents,
        }
        .min(7_999);
        let retail = match dice.below(100) {
            0..85 => cents * dice.between(102, 118) / 100,
            85..95 => cents,
            _ => cents * dice.between(85, 99) / 100,
        }
        .max(19);
        let quantity = match dice.below(100) {
            0..11 => 0,
            11..41 => dice.between(1, 20),
            41..81 => dice.between(21, 400),
            _ => dice.between(401, 4_000),
        };
        let midnight = self.today.and_time(NaiveTime::MIN).and_utc();
        Start {
            min_price: euro(cents),
            retail_min_price: euro(retail),
            retail_min_base_price: euro((retail * 93 / 100).max(1)),
            quantity,
            updated_at: midnight - TimeDelta::seconds(dice.between(1, 90 * 86_400)),
        }
    }

    /// Returns the constant fields of the product with this number; the caller fills in prices, stock and time of
    /// change.
    pub(super) fn describe(&self, number: u64) -> Doc {
        let (block, slot) = self.place(number);
        let (series, position) = self.series(block, slot);
        let instalment = position % series.instalments;
        let rank = position / series.instalments;
        let id = self.id(number);
        let mut dice = Dice::new(self.seed, number ^ 0x00C0_FFEE);
        let mut own = Dice::new(self.seed ^ series.code, instalment + 7);
        // Drawn for every rank, so that all products of an instalment draw the same date afterwards.
        let turn = own.below(9);
        let recipe = if rank == 0 { 0 } else { 1 + (rank - 1 + turn) % 9 };
        let (kind, platform_choice, region_choice) = RECIPES[usize::try_from(recipe).unwrap_or(0) % RECIPES.len()];
        let platform = series.platform(platform_choice);
        let region = series.region(region_choice);
        let game_title = series.title(instalment);
        let title = match kind {
            Kind::Game => game_title.clone(),
            Kind::Edition(which) => {
                let edition = EDITIONS[usize::try_from(series.style + which).unwrap_or(0) % EDITIONS.len()];
                format!("{game_title} {edition}")
            }
            Kind::AddOn(which) => {
                let add_on = ADD_ONS[usize::try_from(series.style * 3 + which).unwrap_or(0) % ADD_ONS.len()];
                format!("{game_title} - {add_on} (DLC)")
            }
        };
        let key = if platform.name == "Steam" && dice.percent(3) {
            "Steam Gift"
        } else {
            platform.key
        };
        let name = match series.style % 4 {
            0 => format!("{title} ({}) - {key} - {region}", platform.device),
            1 => format!("{title} - {key} - {region}"),
            _ => format!("{title} {key} {region}"),
        };
        let release = self.release(&series, instalment, kind, &mut own);
        let file_like = number % 50 == 49;
        let mut doc = Doc {
            id: id.to_string(),
            slug: format!("/{}-i{id}", slug(&name)),
            description: Some(describe(&series, &game_title, kind, release, self.today, file_like)),
            kind: "egoods",
            available_to_buy: Some(true),
            thumbnail: Some(""),
            small_image: Some(""),
            cover_image: Some(""),
            images: Some([]),
            release_date: Some(release.format("%Y-%m-%d").to_string()),
            region: Some(region),
            developer: Some(series.developer),
            publisher: Some(series.publisher),
            platform: Some(platform.name),
            restrictions: Some(Restrictions::of(series.genre)),
            requirements: Some(requirements(platform, series.first_release, &mut dice)),
            videos: Some(if dice.percent(15) {
                vec![Video {
                    kind: "YOUTUBE",
                    url: format!("https://video.example.invalid/watch/{id}"),
                }]
            } else {
                Vec::new()
            }),
            categories: Some(categories(&series, kind)),
            name,
        };
        make_odd(&mut doc, &mut dice);
        doc
    }

    /// The block of a product and its position in it. The first `count` products are distributed over the blocks in
    /// turn; later ones fill new blocks in order.
    fn place(&self, number: u64) -> (u64, u64) {
        if number < self.count {
            (number % self.blocks, number / self.blocks)
        } else {
            let later = number - self.count;
            (self.blocks + later / BLOCK, later % BLOCK)
        }
    }

    fn series(&self, block: u64, slot: u64) -> (Series, u64) {
        let cut = *Dice::new(self.seed, block ^ 0xB10C_0000_0000).pick(CUTS);
        let mut first = 0;
        let mut size = 1;
        for length in cut {
            size = *length;
            if slot < first + size {
                break;
            }
            first += size;
        }
        let code = block * BLOCK + first;
        let mut dice = Dice::new(self.seed, code ^ 0x5E21_E500_0000);
        let instalments = match size {
            0..=2 => 1,
            3..=4 => 1 + dice.below(2),
            5..=8 => 2 + dice.below(2),
            9..=12 => 2 + dice.below(3),
            _ => 3 + dice.below(3),
        };
        let genre = dice.pick(GENRES);
        let mix_name = *dice.pick(genre.mixes);
        let mix = GENRES.iter().find(|other| other.name == mix_name).unwrap_or(genre);
        let developer = *dice.pick(STUDIOS);
        let publisher = if dice.percent(35) {
            developer
        } else {
            STUDIOS[dice.index(PUBLISHERS)]
        };
        let (year, month, day) = LAST_ORDINARY_RELEASE;
        let last = NaiveDate::from_ymd_opt(year, month, day).unwrap_or(self.today);
        let first_release = last - Days::new(30 + dice.below(15 * 365));
        let series = Series {
            code,
            root: root(self.seed, code),
            genre,
            mix,
            developer,
            publisher,
            instalments,
            style: dice.below(64),
            first_release,
            dice,
        };
        (series, slot.saturating_sub(first))
    }

    fn release(&self, series: &Series, instalment: u64, kind: Kind, own: &mut Dice) -> NaiveDate {
        let later = match kind {
            Kind::Game => 0,
            Kind::Edition(_) => 190,
            Kind::AddOn(which) => 60 + which * 90,
        };
        match own.below(100) {
            0..3 => self.today + Days::new(5 + own.below(360)),
            3..5 => self.today - Days::new(own.below(14)),
            _ => {
                let (year, month, day) = LAST_ORDINARY_RELEASE;
                let last = NaiveDate::from_ymd_opt(year, month, day).unwrap_or(self.today);
                let wished = series.first_release + Days::new(instalment * (560 + own.below(400)) + later);
                let date = if wished > last {
                    last - Days::new(own.below(500))
                } else {
                    wished
                };
                date.min(self.today - Days::new(15))
            }
        }
    }
}

impl Series {
    /// The title of an instalment: the bare name first, then with a number, a subtitle, or both.
    fn title(&self, instalment: u64) -> String {
        let root = &self.root;
        if instalment == 0 {
            return root.clone();
        }
        let subtitle =
            SUBTITLES[usize::try_from(self.style.wrapping_mul(7) + instalment * 11).unwrap_or(0) % SUBTITLES.len()];
        let number = instalment + 1;
        match (self.style / 4) % 4 {
            0 => format!("{root} {number}"),
            1 => format!(
                "{root} {}",
                ["I", "II", "III", "IV", "V"][usize::try_from(instalment).unwrap_or(0) % 5]
            ),
            2 => format!("{root} {number}: {subtitle}"),
            _ => format!("{root}: {subtitle}"),
        }
    }

    /// The first, second or third platform of the series: all different, and the first mostly Steam.
    fn platform(&self, choice: usize) -> &'static Platform {
        let mut dice = self.dice.clone();
        let main = match dice.below(100) {
            0..64 => 0,
            64..74 => 1,
            74..80 => 2,
            80..85 => 3,
            85..90 => 4,
            90..93 => 5,
            93..95 => 6,
            95..97 => 7,
            97 => 8,
            98 => 9,
            _ => 10,
        };
        if choice == 0 {
            return &PLATFORMS[main];
        }
        let start = dice.index(5);
        (0..5)
            .map(|step| 1 + (start + step) % 5)
            .filter(|candidate| *candidate != main)
            .nth(choice - 1)
            .map_or(&PLATFORMS[0], |found| &PLATFORMS[found])
    }

    /// The first, second or third region of the series: all different, and the first mostly GLOBAL.
    fn region(&self, choice: usize) -> &'static str {
        let mut dice = self.dice.clone();
        let roll = dice.next();
        let mut dice = Dice::new(roll, 3);
        let main = if dice.percent(72) { 0 } else { dice.index(5) };
        let step = 1 + dice.index(6);
        REGIONS[(main + choice * step) % REGIONS.len()]
    }
}

/// The name of the series with this code. A coprime stride spreads the codes over all combinations, so each code has
/// its own combination; simple patterns come first, and longer ones serve large catalogues.
fn root(seed: u64, code: u64) -> String {
    let (adjectives, nouns, places, heroes) = (
        ADJECTIVES.len() as u64,
        NOUNS.len() as u64,
        PLACES.len() as u64,
        HEROES.len() as u64,
    );
    let (deeds, firsts, seconds) = (
        DEEDS.len() as u64,
        FIRST_HALVES.len() as u64,
        SECOND_HALVES.len() as u64,
    );
    let simple = [
        adjectives * nouns,
        nouns * places,
        firsts * seconds,
        deeds * nouns,
        heroes * nouns,
        adjectives * places,
        places * nouns,
    ];
    let simple_total: u64 = simple.iter().sum();
    if code >= simple_total {
        let long_total = adjectives * nouns * nouns;
        let at = stride(seed, code - simple_total, long_total);
        let (first, adjective, second) = (at % nouns, at / nouns % adjectives, at / nouns / adjectives);
        return format!(
            "{} of the {} {}",
            word(NOUNS, first),
            word(ADJECTIVES, adjective),
            word(NOUNS, second)
        );
    }
    let mut at = stride(seed, code, simple_total);
    let mut pattern = 0;
    while at >= simple[pattern] {
        at -= simple[pattern];
        pattern += 1;
    }
    match pattern {
        0 => format!("{} {}", word(ADJECTIVES, at / nouns), word(NOUNS, at % nouns)),
        1 => format!("{} of {}", word(NOUNS, at % nouns), word(PLACES, at / nouns)),
        2 => format!(
            "{}{}",
            word(FIRST_HALVES, at / seconds),
            word(SECOND_HALVES, at % seconds)
        ),
        3 => format!("{} the {}", word(DEEDS, at / nouns), word(NOUNS, at % nouns)),
        4 => format!("{} and the {}", word(HEROES, at / nouns), word(NOUNS, at % nouns)),
        5 => format!("{} {}", word(ADJECTIVES, at / places), word(PLACES, at % places)),
        _ => format!("{} {}", word(PLACES, at / nouns), word(NOUNS, at % nouns)),
    }
}

/// A permutation of `0..total` that scatters neighbours.
fn stride(seed: u64, code: u64, total: u64) -> u64 {
    let mut step = total * 618 / 1_000 + 1;
    while greatest_common_divisor(step, total) != 1 {
        step += 1;
    }
    let turned = u128::from(code % total) * u128::from(step) + u128::from(seed);
    u64::try_from(turned % u128::from(total)).unwrap_or(0)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn word(list: &'static [&'static str], at: u64) -> &'static str {
    list[usize::try_from(at).unwrap_or(0) % list.len()]
}

fn euro(cents: i64) -> Money {
    Money::from_cents(cents).unwrap_or(Money::ZERO)
}

/// Converts a name to a slug in G2A's form: letters and digits, words joined by dashes, all other characters dropped.
fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if matches!(letter, ' ' | '-' | '/') && !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// Composes three to four paragraphs of HTML: setting, gameplay, features, languages.
fn describe(series: &Series, title: &str, kind: Kind, release: NaiveDate, today: NaiveDate, file_like: bool) -> String {
    let mut dice = series.dice.clone();
    let place = *dice.pick(PLACES);
    let genre = series.genre;
    let mut html = String::with_capacity(1_200);
    let opening = dice.pick(genre.openings).replace("{T}", title).replace("{P}", place);
    let mut tell = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        html.write_fmt(text).unwrap_or_default();
    };
    match kind {
        Kind::Game => {}
        Kind::Edition(_) => tell(format_args!(
            "<p><strong>This edition of {title} includes the game, all updates so far and a digital artbook.</strong></p>"
        )),
        Kind::AddOn(_) => tell(format_args!(
            "<p><strong>This is additional content: the base game {title} is needed to use it.</strong></p>"
        )),
    }
    tell(format_args!("<p>{opening}</p>"));
    tell(format_args!(
        "<p>{} {}</p>",
        genre.play[0],
        series.mix.play[dice.index(series.mix.play.len())]
    ));
    tell(format_args!("<h3>Features</h3><ul>"));
    for feature in genre.features {
        tell(format_args!("<li>{feature}</li>"));
    }
    let modes = match dice.below(4) {
        0 => "Single-player and online multiplayer",
        1 => "Single-player and local co-op",
        _ => "Single-player",
    };
    tell(format_args!("<li>{modes}</li></ul>"));
    let languages = 1 + dice.index(LANGUAGES.len() - 1);
    tell(format_args!(
        "<p>Developed by {} and published by {}. Languages: {}.",
        series.developer,
        series.publisher,
        LANGUAGES[..languages].join(", ")
    ));
    if release > today {
        tell(format_args!(
            " This is a pre-order: the key works from the day of release."
        ));
    }
    if file_like {
        tell(format_args!(" The key is delivered as a file."));
    }
    tell(format_args!("</p>"));
    html
}

/// The root category, the genres, and between three and six tags. Identical for all products of a series.
fn categories(series: &Series, kind: Kind) -> Vec<Category> {
    let mut dice = series.dice.clone();
    let mut list = vec![Category {
        id: GAMES_ID,
        name: "Games",
    }];
    if matches!(kind, Kind::AddOn(_)) {
        list.push(Category {
            id: DLC_ID,
            name: "DLC",
        });
    }
    let mut add = |base: u64, at: Option<usize>, name: &'static str| {
        let id = base + at.unwrap_or(0) as u64;
        if !list.iter().any(|category| category.name == name) {
            list.push(Category { id, name });
        }
    };
    let genre_at = |name: &str| GENRES.iter().position(|genre| genre.name == name);
    add(GENRE_ID_BASE, genre_at(series.genre.name), series.genre.name);
    if dice.percent(55) {
        add(GENRE_ID_BASE, genre_at(series.mix.name), series.mix.name);
    }
    let tag_at = |name: &str| TAGS.iter().position(|tag| *tag == name);
    if dice.percent(70) {
        add(TAG_ID_BASE, tag_at("Singleplayer"), "Singleplayer");
    }
    for _ in 0..3 {
        let tag = *dice.pick(series.genre.tags);
        add(TAG_ID_BASE, tag_at(tag), tag);
    }
    let tag = *dice.pick(series.mix.tags);
    add(TAG_ID_BASE, tag_at(tag), tag);
    if dice.percent(40) {
        let tag = *dice.pick(TAGS);
        add(TAG_ID_BASE, tag_at(tag), tag);
    }
    list
}

/// System requirements plausible for the release year; all empty for consoles, as in real exports.
fn requirements(platform: &Platform, released: NaiveDate, dice: &mut Dice) -> Requirements {
    if !platform.computer || dice.percent(8) {
        return Requirements::default();
    }
    let step = match chrono::Datelike::year(&released) {
        ..2014 => 0,
        2014..2018 => 1,
        2018..2022 => 2,
        _ => 3,
    };
    let level = |step: usize| RequirementSet {
        processor: [
            "Dual core, 2.0 GHz",
            "Quad core, 2.5 GHz",
            "Quad core, 3.2 GHz",
            "Six cores, 3.4 GHz",
            "Eight cores, 3.6 GHz",
        ][step],
        graphics: [
            "512 MB video memory",
            "1 GB video memory",
            "4 GB video memory",
            "6 GB video memory",
            "8 GB video memory",
        ][step],
        memory: ["2 GB RAM", "4 GB RAM", "8 GB RAM", "12 GB RAM", "16 GB RAM"][step],
        disk_space: ["4 GB", "12 GB", "30 GB", "60 GB", "90 GB"][step],
        system: [
            "Windows 7",
            "Windows 7 (64 bit)",
            "Windows 10 (64 bit)",
            "Windows 10 (64 bit)",
            "Windows 11",
        ][step],
        other: "",
    };
    Requirements {
        minimal: level(step),
        recommended: level(step + 1),
    }
}

impl Restrictions {
    fn of(genre: &Genre) -> Self {
        Self {
            pegi_violence: genre.violent,
            pegi_profanity: matches!(genre.name, "Shooter" | "Action"),
            pegi_fear: genre.name == "Horror",
            pegi_online: matches!(genre.name, "Shooter" | "Battle Royale" | "Racing" | "Fighting"),
            ..Self::default()
        }
    }
}

/// Adds the flaws of real exports: some dates and platforms are empty strings, and about one row in a thousand lacks
/// whole fields.
fn make_odd(doc: &mut Doc, dice: &mut Dice) {
    match dice.below(1_000) {
        0 => {
            doc.description = None;
            doc.videos = None;
            doc.restrictions = None;
            doc.requirements = None;
        }
        1..11 => doc.release_date = Some(String::new()),
        11..21 => {
            doc.developer = Some("");
            doc.publisher = Some("");
        }
        21..31 => doc.platform = Some(""),
        31..41 => doc.region = Some(""),
        41..46 => doc.kind = "",
        46 => {
            doc.categories = Some(Vec::new());
            doc.available_to_buy = None;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn all_different<'a>(words: impl IntoIterator<Item = &'a &'static str>) -> bool {
        let mut seen = HashSet::new();
        words.into_iter().all(|word| seen.insert(*word))
    }

    #[test]
    fn word_lists_have_no_duplicates() {
        for list in [
            ADJECTIVES,
            NOUNS,
            PLACES,
            HEROES,
            DEEDS,
            FIRST_HALVES,
            SECOND_HALVES,
            SUBTITLES,
            STUDIOS,
            TAGS,
            REGIONS,
            EDITIONS,
            ADD_ONS,
            LANGUAGES,
        ] {
            assert!(all_different(list), "{list:?}");
        }
    }

    #[test]
    fn tags_and_mixes_of_genres_exist() {
        for genre in GENRES {
            assert!(genre.tags.iter().all(|tag| TAGS.contains(tag)), "{}", genre.name);
            assert!(
                genre
                    .mixes
                    .iter()
                    .all(|mix| GENRES.iter().any(|other| other.name == *mix)),
                "{}",
                genre.name
            );
        }
        assert!(GENRES.len() >= 15 && TAGS.len() >= 40 && STUDIOS.len() >= 80);
    }

    #[test]
    fn series_names_are_unique_up_to_a_million_products() {
        // Codes of a million products; every third is enough to include both simple and long names.
        let names: HashSet<String> = (0..1_000_000).step_by(3).map(|code| root(9, code)).collect();
        assert_eq!(names.len(), 333_334);
    }

    #[test]
    fn ids_ascend_with_the_number() {
        let maker = Maker::new(5, 100, NaiveDate::default());
        assert!(
            (0..5_000)
                .map(|number| maker.id(number))
                .is_sorted_by(|before, after| before < after)
        );
    }

    #[test]
    fn every_cut_fills_a_block() {
        assert!(CUTS.iter().all(|cut| cut.iter().sum::<u64>() == BLOCK));
    }

    #[test]
    fn products_of_an_instalment_share_a_date_except_add_ons_and_editions() {
        let today = NaiveDate::from_ymd_opt(2026, 2, 3).unwrap();
        let maker = Maker::new(11, 2_400, today);
        let mut dates = std::collections::HashMap::new();
        for number in 0..2_400 {
            let doc = maker.describe(number);
            let (block, slot) = maker.place(number);
            let (series, position) = maker.series(block, slot);
            let title = series.title(position % series.instalments);
            let date = doc.release_date.unwrap_or_default();
            let plain = doc
                .name
                .strip_prefix(&title)
                .is_some_and(|rest| rest.starts_with(" (") || rest.starts_with(" - "));
            if plain && !doc.name.contains("(DLC)") && !date.is_empty() {
                assert_eq!(
                    *dates.entry(title).or_insert_with(|| date.clone()),
                    date,
                    "{}",
                    doc.name
                );
            }
        }
        assert!(dates.len() > 50);
    }
}
