//! Converts a G2A product to a game of the shop. Pure: the same product gives the same listing.
//!
//! It only uses what G2A provides. A missing field stays empty or is derived from the title if that names it; nothing
//! is guessed, and a product without a usable title, price or stock is refused with a reason.

mod picture;
mod place;
mod text;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, Utc};
use lockstep_domain::price::Pricing;
use lockstep_domain::price_rules::SUPPLIER_DECIMALS;
use lockstep_domain::slug::{slug_of_name, slugify};
use lockstep_g2a::Product;
use lockstep_store::sync::{Listing, Term};
use rust_decimal::{Decimal, RoundingStrategy};

use place::Place;

/// Maximum length of a title, in characters.
const MAX_TITLE: usize = 200;
/// Maximum length of the name of a publisher, region etc., in characters.
const MAX_NAME: usize = 100;
/// Maximum length of the name of a genre or tag, in characters.
const MAX_TERM: usize = 60;
/// Maximum length of a description, in characters of text.
const MAX_DESCRIPTION: usize = 20_000;
/// Maximum length of a short description, in characters.
const MAX_SHORT: usize = 200;
/// Maximum number of images of a game.
const MAX_IMAGES: usize = 30;
/// Maximum number of a game's genres, tags etc., each.
const MAX_TERMS: usize = 30;
/// Maximum length of a line of the system requirements, in characters.
const MAX_REQUIREMENT: usize = 500;

/// Why a product cannot become a game. Such a product is skipped and reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProduct {
    /// It has no name.
    #[error("it has no name")]
    NoName,
    /// The field that the price derives from is missing, not positive, or not storable.
    #[error("it has no usable price")]
    NoPrice,
    /// It has no stock field, and stock is not invented.
    #[error("it does not say how many are in stock")]
    NoStock,
}

/// Number of rejected values by reason, for the report of a run.
pub type Refused = BTreeMap<String, u32>;

/// Returns the shop's listing of `product`, priced by `pricing`. Counts unusable values of the product in `refused`.
///
/// # Errors
/// Returns [`BadProduct`], which names the missing field.
pub fn listing(product: &Product, pricing: &Pricing, refused: &mut Refused) -> Result<Listing, BadProduct> {
    let title = product
        .name
        .as_deref()
        .map(|name| text::line(name, MAX_TITLE))
        .unwrap_or_default();
    if title.is_empty() {
        return Err(BadProduct::NoName);
    }
    let [min, retail] = [product.min_price, product.retail_min_price].map(|price| price.map(storable));
    let price = pricing.list_price(min, retail).ok_or(BadProduct::NoPrice)?;
    let supplier_price = pricing.cost(min, retail).ok_or(BadProduct::NoPrice)?;
    // `availableToBuy` is ignored: G2A's own sandbox reports `false` for every product that it sells.
    let quantity = product.qty.ok_or(BadProduct::NoStock)?;

    let place = Place::of(product, &title);
    let sorted = sort_categories(product, &place);
    let developer = name(product.developer.as_deref());
    let publisher = name(product.publisher.as_deref());
    let release_date = product.release_date.and_then(midnight);

    let told = product
        .description
        .as_deref()
        .map(|html| text::description(html, MAX_DESCRIPTION))
        .unwrap_or_default();
    let told_plain = text::plain(&told, MAX_DESCRIPTION);
    let (description, plain) = if told_plain.is_empty() {
        let facts = facts(&title, developer.as_deref(), publisher.as_deref(), &place, release_date);
        (text::safe_html(&escape(&facts), MAX_DESCRIPTION), facts)
    } else {
        (told, told_plain)
    };
    let short = text::first_sentence(&plain, MAX_SHORT);

    let mut address = |url: &str| match picture::address(url) {
        Ok(address) => address,
        Err(reason) => {
            *refused.entry(format!("address of a picture: {reason}")).or_default() += 1;
            None
        }
    };
    let covers = [&product.cover_image, &product.small_image, &product.thumbnail];
    let image = covers.into_iter().flatten().find_map(|url| address(url));
    let mut images: Vec<String> = Vec::new();
    for url in product.images.iter().filter_map(|url| address(url)) {
        if images.len() < MAX_IMAGES && !images.contains(&url) {
            images.push(url);
        }
    }
    Ok(Listing {
        g2a_product_id: product.id.clone(),
        wanted_slug: slugify(&title),
        description,
        short_description: Some(short).filter(|short| !short.is_empty()),
        supplier_price,
        supplier_retail_price: retail.filter(|retail| *retail > supplier_price),
        price: price.price,
        original_price: price.original_price,
        discount: price.discount,
        image,
        images,
        depth: depth(quantity),
        release_date,
        age_rating: age_rating(&product.restrictions),
        multiplayer: sorted.together,
        activation_service: place.service,
        region: place.region,
        publisher,
        developer,
        languages: languages(&plain),
        requirements: requirements(product),
        categories: sorted.categories,
        genres: sorted.genres,
        platforms: sorted.platforms,
        tags: sorted.tags,
        title,
    })
}

/// A price of G2A as it is stored.
fn storable(price: Decimal) -> Decimal {
    price.round_dp_with_strategy(SUPPLIER_DECIMALS, RoundingStrategy::MidpointAwayFromZero)
}

/// Number of binary digits: distinguishes "a few" from "hundreds" and rarely changes while stock sells.
fn depth(quantity: u64) -> i16 {
    i16::try_from((u64::BITS - quantity.leading_zeros()).min(31)).unwrap_or(31)
}

fn name(text: Option<&str>) -> Option<String> {
    text.map(|text| text::line(text, MAX_NAME))
        .filter(|text| !text.is_empty())
}

/// Converts the release date to a time; `None` for an implausible year.
fn midnight(day: NaiveDate) -> Option<DateTime<Utc>> {
    (1950..2200)
        .contains(&day.year())
        .then(|| day.and_time(NaiveTime::MIN).and_utc())
}

/// The terms derived from a product's categories.
#[derive(Debug, Default)]
struct Sorted {
    categories: Vec<Term>,
    genres: Vec<Term>,
    platforms: Vec<Term>,
    tags: Vec<Term>,
    together: bool,
}

/// Keeps every category; also adds genres by their names, device names as platforms, and all others as tags.
fn sort_categories(product: &Product, place: &Place) -> Sorted {
    let mut sorted = Sorted::default();
    for device in &place.devices {
        add(&mut sorted.platforms, device, None);
    }
    for category in product.categories.iter().take(4 * MAX_TERMS) {
        let name = text::line(&category.name, MAX_TERM);
        let lower = name.to_lowercase();
        let known =
            |list: &[(&'static str, &'static str)]| list.iter().find(|(from, _)| *from == lower).map(|(_, to)| *to);
        let id = category.id.as_deref();
        sorted.together |= words::TOGETHER.contains(&lower.as_str());
        add(&mut sorted.categories, &name, id);
        if let Some(genre) = known(words::GENRES) {
            add(&mut sorted.genres, genre, None);
        } else if let Some(device) = known(words::DEVICES) {
            add(&mut sorted.platforms, device, None);
        } else if !words::ROOTS.contains(&lower.as_str()) {
            add(&mut sorted.tags, &name, id);
        }
    }
    sorted
}

/// Adds a term unless it is present. A name without a Latin letter or digit gets a slug from G2A's number.
fn add(terms: &mut Vec<Term>, name: &str, id: Option<&str>) {
    let mut slug = slugify(name);
    if slug.is_empty() {
        slug = id
            .map(slugify)
            .filter(|id| !id.is_empty())
            .map(|id| format!("g2a-{id}"))
            .unwrap_or_default();
    } else {
        slug = slug_of_name(name);
    }
    if !name.is_empty() && !slug.is_empty() && terms.len() < MAX_TERMS && !terms.iter().any(|term| term.slug == slug) {
        terms.push(Term {
            name: name.to_owned(),
            slug,
        });
    }
}

/// Formats `PEGI: violence, drugs`; `None` if no mark is set.
fn age_rating(restrictions: &BTreeMap<String, bool>) -> Option<String> {
    let marks: Vec<&str> = words::PEGI
        .iter()
        .filter(|(mark, _)| restrictions.get(*mark).copied().unwrap_or(false))
        .map(|(_, meaning)| *meaning)
        .collect();
    (!marks.is_empty()).then(|| format!("PEGI: {}", marks.join(", ")))
}

/// Parses the languages listed after "Language:" or "Languages:" in a description; returns sorted codes.
fn languages(plain: &str) -> Vec<String> {
    let lower = plain.to_lowercase();
    let mut codes = BTreeSet::new();
    for marker in ["languages:", "language:"] {
        for (at, _) in lower.match_indices(marker) {
            let list = lower.get(at + marker.len()..).unwrap_or_default();
            let list = list.split(['.', ';', ':', '!']).next().unwrap_or_default();
            for item in list.split([',', '/']).flat_map(|item| item.split(" and ")).take(60) {
                let item = item.trim().trim_matches(|c: char| !c.is_alphabetic());
                let first = item.split([' ', '-', '(']).next().unwrap_or_default();
                let code = |name: &str| {
                    words::LANGUAGES
                        .iter()
                        .find(|(from, _)| *from == name)
                        .map(|(_, code)| *code)
                };
                codes.extend(code(item).or_else(|| code(first)));
            }
        }
    }
    codes.into_iter().map(str::to_owned).collect()
}

/// Returns `{minimal, recommended}` without empty parts; `None` if both are empty.
fn requirements(product: &Product) -> Option<serde_json::Value> {
    let mut levels = serde_json::Map::new();
    for (level, fields) in [
        ("minimal", &product.requirements.minimal),
        ("recommended", &product.requirements.recommended),
    ] {
        let kept: serde_json::Map<String, serde_json::Value> = fields
            .iter()
            .take(30)
            .map(|(field, value)| (text::line(field, MAX_TERM), text::line(value, MAX_REQUIREMENT)))
            .filter(|(field, value)| !field.is_empty() && !value.is_empty())
            .map(|(field, value)| (field, value.into()))
            .collect();
        if !kept.is_empty() {
            levels.insert(level.to_owned(), kept.into());
        }
    }
    (!levels.is_empty()).then(|| levels.into())
}

/// Describes a product without a description by sentences about its known fields.
fn facts(
    title: &str,
    developer: Option<&str>,
    publisher: Option<&str>,
    place: &Place,
    released: Option<DateTime<Utc>>,
) -> String {
    let mut sentences = vec![match (developer, publisher) {
        (Some(developer), Some(publisher)) if developer == publisher => {
            format!("{title}, developed and published by {developer}.")
        }
        (Some(developer), Some(publisher)) => {
            format!("{title}, developed by {developer} and published by {publisher}.")
        }
        (Some(developer), None) => format!("{title}, developed by {developer}."),
        (None, Some(publisher)) => format!("{title}, published by {publisher}."),
        (None, None) => format!("{title}."),
    }];
    match (&place.service, &place.region) {
        (Some(service), Some(region)) => sentences.push(format!("Activated on {service}, region {region}.")),
        (Some(service), None) => sentences.push(format!("Activated on {service}.")),
        (None, Some(region)) => sentences.push(format!("Region {region}.")),
        (None, None) => {}
    }
    sentences.extend(released.map(|date| format!("Release date {}.", date.format("%Y-%m-%d"))));
    sentences.join(" ")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_domain::Money;
    use lockstep_g2a::{Category, Requirements};
    use proptest::prelude::*;

    fn product(name: &str) -> Product {
        Product {
            id: "10000000195012".into(),
            name: Some(name.into()),
            qty: Some(326),
            min_price: Some("5.5".parse().unwrap()),
            retail_min_price: Some("9.25".parse().unwrap()),
            ..Product::default()
        }
    }

    fn mapped(product: &Product) -> Listing {
        listing(product, &Pricing::default(), &mut Refused::new()).unwrap()
    }

    fn names(terms: &[Term]) -> Vec<&str> {
        terms.iter().map(|term| term.name.as_str()).collect()
    }

    #[test]
    fn a_real_row_maps_to_a_game() {
        let row = Product {
            developer: Some("Tripwire Interactive".into()),
            publisher: Some("Tripwire Interactive".into()),
            release_date: NaiveDate::from_ymd_opt(2016, 11, 18),
            available_to_buy: Some(false),
            cover_image: Some("https://images.example.test/a/b.jpg".into()),
            categories: vec![Category {
                id: Some("189".into()),
                name: "Games".into(),
            }],
            ..product("Killing Floor 2 Steam Key GLOBAL")
        };
        let game = mapped(&row);
        assert_eq!(game.wanted_slug, "killing-floor-2-steam-key-global");
        assert_eq!(
            (game.price, game.original_price),
            ("5.61".parse().unwrap(), Some("9.44".parse::<Money>().unwrap()))
        );
        assert_eq!((game.discount, game.depth), (40, 9));
        assert_eq!(
            (game.activation_service.as_deref(), game.region.as_deref()),
            (Some("Steam"), Some("GLOBAL"))
        );
        assert_eq!(names(&game.platforms), ["PC"]);
        assert_eq!(names(&game.categories), ["Games"]);
        assert!(game.genres.is_empty() && game.tags.is_empty() && game.languages.is_empty());
        assert_eq!(
            game.description,
            "Killing Floor 2 Steam Key GLOBAL, developed and published by Tripwire Interactive. \
             Activated on Steam, region GLOBAL. Release date 2016-11-18."
        );
    }

    #[test]
    fn service_device_and_region_are_parsed_from_the_title() {
        for (title, service, device, region) in [
            (
                "Xbox Live GOLD Subscription Card 1 Month GLOBAL XBOX LIVE",
                "Xbox Live",
                "Xbox",
                "GLOBAL",
            ),
            (
                "Diablo 3 Battlechest Battle.net PC Key GLOBAL",
                "Battle.net",
                "PC",
                "GLOBAL",
            ),
            (
                "Destiny 2 Battle.net Key PC NORTH AMERICA",
                "Battle.net",
                "PC",
                "NORTH AMERICA",
            ),
            ("Grand Theft Auto V Rockstar Key GLOBAL", "Rockstar", "PC", "GLOBAL"),
            (
                "Assassin's Creed: Revelations Uplay Key GLOBAL",
                "Ubisoft Connect",
                "PC",
                "GLOBAL",
            ),
            ("Counter-Strike Complete Steam Key RU/CIS", "Steam", "PC", "RU/CIS"),
            (
                "Amber Oath (PS5) - PSN Key - UNITED STATES",
                "PlayStation Network",
                "PlayStation 5",
                "UNITED STATES",
            ),
            (
                "Amber Oath (Xbox Series X/S) - Xbox Live Key - EUROPE",
                "Xbox Live",
                "Xbox Series X/S",
                "EUROPE",
            ),
            (
                "Amber Oath Nintendo eShop Key JAPAN",
                "Nintendo eShop",
                "Nintendo Switch",
                "JAPAN",
            ),
            ("SteamWorld Epic Quest GOG.COM Key ROW", "GOG", "PC", "ROW"),
            ("Amber Oath (PC) - Epic Games Key - LATAM", "Epic Games", "PC", "LATAM"),
            ("Origin of Species EA App Key POLAND", "EA App", "PC", "POLAND"),
        ] {
            let game = mapped(&product(title));
            assert_eq!(game.activation_service.as_deref(), Some(service), "{title}");
            assert_eq!(names(&game.platforms), [device], "{title}");
            assert_eq!(game.region.as_deref(), Some(region), "{title}");
        }
    }

    #[test]
    fn missing_title_parts_are_not_guessed() {
        let game = mapped(&product("The Origin of Steam in Europe"));
        assert_eq!((game.activation_service, game.region), (None, None));
        assert!(game.platforms.is_empty());
        assert_eq!(game.description, "The Origin of Steam in Europe.");
    }

    #[test]
    fn fields_take_precedence_over_the_title() {
        let row = Product {
            platform: Some("XBOX LIVE".into()),
            region: Some("Europe".into()),
            ..product("Odd Title Steam Key GLOBAL")
        };
        let game = mapped(&row);
        assert_eq!(
            (game.activation_service.as_deref(), game.region.as_deref()),
            (Some("Xbox Live"), Some("EUROPE"))
        );
        let unknown = Product {
            platform: Some("Some New Shop".into()),
            ..product("Odd Title")
        };
        assert_eq!(mapped(&unknown).activation_service.as_deref(), Some("Some New Shop"));
    }

    #[test]
    fn categories_are_sorted_into_genres_platforms_and_tags() {
        let category = |id: u32, name: &str| Category {
            id: Some(id.to_string()),
            name: name.into(),
        };
        let row = Product {
            categories: vec![
                category(189, "Games"),
                category(1, "Role-Playing"),
                category(2, "RPG"),
                category(3, "Linux"),
                category(4, "Co-op"),
                category(5, "Story  Rich"),
                category(6, "動作"),
                category(7, "  "),
            ],
            ..product("Amber Oath Steam Key GLOBAL")
        };
        let game = mapped(&row);
        assert_eq!(names(&game.genres), ["RPG"]);
        assert_eq!(names(&game.platforms), ["PC", "Linux"]);
        assert_eq!(names(&game.tags), ["Co-op", "Story Rich", "動作"]);
        assert_eq!(game.tags[2].slug, "g2a-6");
        assert_eq!(game.categories.len(), 7);
        assert!(game.multiplayer);
    }

    #[test]
    fn languages_marks_requirements_and_description_are_mapped() {
        let row = Product {
            description: Some(
                "<p>Sail a paper boat through the drowned city. Then home.</p><p>Developed by X. \
                 Languages: English, German, Simplified Chinese and Spanish - Spain. Enjoy.</p><script>x</script>"
                    .into(),
            ),
            restrictions: [("pegi_violence", true), ("pegi_drugs", false), ("pegi_profanity", true)]
                .map(|(mark, set)| (mark.to_owned(), set))
                .into(),
            requirements: Requirements {
                minimal: [("reqmemory", "4 GB\0"), ("reqother", " ")]
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into(),
                recommended: BTreeMap::new(),
            },
            ..product("Amber Oath")
        };
        let game = mapped(&row);
        assert_eq!(game.languages, ["de", "en", "es", "zh"]);
        assert_eq!(game.age_rating.as_deref(), Some("PEGI: violence, bad language"));
        assert_eq!(
            game.requirements,
            Some(serde_json::json!({"minimal": {"reqmemory": "4 GB"}}))
        );
        assert_eq!(
            game.short_description.as_deref(),
            Some("Sail a paper boat through the drowned city.")
        );
        assert!(!game.description.contains("script"));
    }

    #[test]
    fn a_product_without_name_price_or_stock_is_refused() {
        let refused = |change: fn(&mut Product)| {
            let mut row = product("Amber Oath");
            change(&mut row);
            listing(&row, &Pricing::default(), &mut Refused::new()).unwrap_err()
        };
        assert_eq!(refused(|row| row.name = None), BadProduct::NoName);
        assert_eq!(
            refused(|row| row.name = Some("\u{0}\u{200b}  ".into())),
            BadProduct::NoName
        );
        assert_eq!(refused(|row| row.min_price = None), BadProduct::NoPrice);
        assert_eq!(refused(|row| row.min_price = Some(Decimal::ZERO)), BadProduct::NoPrice);
        assert_eq!(refused(|row| row.min_price = Some(Decimal::MAX)), BadProduct::NoPrice);
        assert_eq!(refused(|row| row.qty = None), BadProduct::NoStock);
    }

    #[test]
    fn only_web_addresses_become_images_and_others_are_counted() {
        let row = Product {
            cover_image: Some("javascript:alert(1)".into()),
            small_image: Some("cover.jpg".into()),
            thumbnail: Some("//images.example.test/Quill's Ascent.jpg".into()),
            images: vec!["https://a.test/1".into(), "HTTPS://a.test/1".into(), "data:x".into()],
            ..product("Quill&#039;s Ascent &amp; Beyond")
        };
        let mut refused = Refused::new();
        let game = listing(&row, &Pricing::default(), &mut refused).unwrap();
        assert_eq!(
            (game.title.as_str(), game.wanted_slug.as_str()),
            ("Quill's Ascent & Beyond", "quills-ascent-and-beyond")
        );
        assert_eq!(
            game.image.as_deref(),
            Some("https://images.example.test/Quill%27s%20Ascent.jpg")
        );
        assert_eq!(game.images, ["https://a.test/1"]);
        assert_eq!(
            refused,
            Refused::from([
                ("address of a picture: it is not http or https".to_owned(), 2),
                ("address of a picture: it names no host".to_owned(), 1),
            ])
        );
    }

    #[test]
    fn depth_is_the_number_of_binary_digits() {
        for (quantity, digits) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (3849, 12), (u64::MAX, 31)] {
            assert_eq!(depth(quantity), digits, "{quantity}");
        }
    }

    proptest! {
        #[test]
        fn every_product_maps_to_a_storable_game_or_an_error(
            name in ".{0,300}", description in prop::option::of(".{0,300}"), qty in any::<u64>(),
            cents in 1i64..1_000_000, retail in -5i64..1_000_000, platform in prop::option::of(".{0,20}"),
            region in prop::option::of(".{0,20}"), category in ".{0,80}", url in ".{0,60}",
        ) {
            let row = Product {
                qty: Some(qty),
                min_price: Some(Decimal::new(cents, 2)),
                retail_min_price: Some(Decimal::new(retail, 2)),
                description, platform, region,
                cover_image: Some(url.clone()), images: vec![url],
                categories: vec![Category { id: Some("1".into()), name: category.clone() },
                                 Category { id: None, name: category }],
                ..product(&name)
            };
            let Ok(game) = listing(&row, &Pricing::default(), &mut Refused::new()) else {
                prop_assert!(name.chars().all(|c| !c.is_alphanumeric()), "{name:?} was refused");
                return Ok(());
            };
            prop_assert!(!game.title.trim().is_empty() && game.title.chars().count() <= MAX_TITLE);
            prop_assert!(!game.description.is_empty());
            prop_assert!(game.short_description.iter().all(|short| short.chars().count() <= MAX_SHORT));
            prop_assert!(game.price.is_positive());
            prop_assert!(game.original_price.is_none_or(|original| original > game.price));
            prop_assert!((0..=100).contains(&game.discount) && (game.discount == 0 || game.original_price.is_some()));
            prop_assert!((0..=31).contains(&game.depth) && (game.depth > 0) == (qty > 0));
            let json = serde_json::to_string(&game).unwrap();
            prop_assert!(!json.contains("\\u0000"));
            for term in game.categories.iter().chain(&game.tags).chain(&game.platforms).chain(&game.genres) {
                prop_assert!(!term.slug.is_empty() && !term.name.trim().is_empty());
            }
            prop_assert!(game.categories.len() <= 1);
            prop_assert_eq!(listing(&row, &Pricing::default(), &mut Refused::new()).unwrap(), game);
        }
    }
}
