//! The catalogue: search, filters with counts, sort order, pages. It is a GET form, so every state has an address,
//! going back returns to it, and nothing needs scripts; `catalogue.js` only avoids the reload.

mod asked;

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::catalogue::{FacetCounts, FilterOptions, Game, Page, PricePreset, Sort, Tile};
use lockstep_domain::slug::is_slug;

use crate::WebState;
use crate::cards::{Card, region_name};
use crate::error::PageError;
use crate::format;
use crate::i18n::Language;
use crate::layout::{Layout, moment};
use crate::page::fingerprint;
use crate::pictures::version;
use crate::visit::Preferences;

use asked::{Asked, Order};

/// A filter with more values than this has its own page with all of them: thousands of publishers would make every page
/// of the catalogue heavy.
const FOLDED: usize = 40;

#[derive(Template)]
#[template(path = "catalogue.html")]
struct CataloguePage {
    layout: Layout,
    title: String,
    total: u64,
    /// The filter whose values are all shown.
    whole: Option<&'static str>,
    cards: Vec<Card>,
    facets: Vec<Facet>,
    /// Active filters: text, and the address without the filter.
    chosen: Vec<(String, String)>,
    /// Number of active filters.
    filters: u64,
    orders: Vec<(&'static str, &'static str, bool)>,
    min: String,
    max: String,
    without_filters: String,
    with_everything: Option<String>,
    pager: Option<Pager>,
}

/// One filter with its values.
struct Facet {
    name: &'static str,
    title: &'static str,
    is_open: bool,
    /// Only one value can be selected.
    is_single: bool,
    /// It also has a minimum and a maximum price.
    has_range: bool,
    /// Values, most frequent first.
    options: Vec<Choice>,
    /// Number of values.
    total: usize,
    /// Set when there are too many values for this page: the address that shows more, and whether it shows all or only
    /// the most frequent.
    elsewhere: Option<(String, bool)>,
}

/// Number of values of a filter that are shown before "show all".
const SHOWN: usize = 8;

impl Facet {
    /// The most frequent values; all of them if only one would be hidden.
    fn first(&self) -> &[Choice] {
        match self.options.get(..SHOWN) {
            Some(first) if self.options.len() > SHOWN + 1 && self.elsewhere.is_none() => first,
            _ => &self.options,
        }
    }

    /// The values after [`first`](Self::first).
    fn others(&self) -> &[Choice] {
        self.options.get(self.first().len()..).unwrap_or_default()
    }

    /// Whether one of the other values is selected, so that they are expanded.
    fn shows_others(&self) -> bool {
        self.others().iter().any(|option| option.is_chosen)
    }

    fn any_chosen(&self) -> bool {
        self.options.iter().any(|option| option.is_chosen)
    }
}

/// One value of a filter.
struct Choice {
    id: String,
    value: String,
    label: String,
    /// Number of games with this value, formatted.
    count: String,
    /// The same as a number as far as it is known, to sort the values.
    games: u64,
    is_chosen: bool,
}

/// Links to other pages of the list.
pub(crate) struct Pager {
    previous: Option<String>,
    next: Option<String>,
    /// Number and address; the present page has no address, a gap has no number.
    pages: Vec<(Option<u64>, Option<String>)>,
}

/// `GET /games`
pub(crate) async fn catalogue(State(state): State<Arc<WebState>>, visit: Preferences) -> Result<Response, PageError> {
    let asked = Asked::read(visit.uri.query().unwrap_or_default())?;
    let query = asked.query();
    let catalogue = state.shop.catalogue();
    let (page, options, counts) = tokio::try_join!(
        catalogue.page(query.clone()),
        catalogue.filter_options(),
        catalogue.facet_counts(query)
    )?;
    if asked.page > 1 && u64::from(asked.page) > *page.part(|page| page.total_pages)? {
        return Err(PageError::NotFound);
    }
    let made_of = fingerprint(&[page.etag(), options.etag(), counts.etag(), &moment(&state)]);
    let address = asked.address();
    let finished = state
        .page_cache
        .get(format!("{address}:{}", visit.variant()), made_of, || {
            let layout = Layout::new(&state, &visit);
            Ok(draw(layout, &asked, page.value()?, &options.value()?, &counts.value()?).render()?)
        })?;
    Ok(finished.serve(&visit))
}

fn draw(
    layout: Layout,
    asked: &Asked,
    page: Page<Game>,
    options: &FilterOptions,
    counts: &FacetCounts,
) -> CataloguePage {
    let words = layout.words;
    let tiles: Vec<Tile> = page.data.into_iter().map(Tile::from).collect();
    let facets = facets(words, asked, options, counts);
    let chosen = chosen(words, asked, options);
    let title = match (&asked.search, chosen.as_slice()) {
        (text, _) if !text.is_empty() => words.with("catalogue.found", text),
        (_, [(only, _)]) => words.with("catalogue.only", only),
        (_, []) if asked.order == Order::By(Sort::Popular) => words.text("home.best").to_owned(),
        (_, []) if asked.order == Order::By(Sort::Newest) => words.text("catalogue.newest").to_owned(),
        _ => words.text("catalogue.title").to_owned(),
    };
    // Search engines list the catalogue, its pages, and the results of a single filter; everything else is a variant of
    // these.
    let is_listed = asked.search.is_empty()
        && asked.filters() <= 1
        && !asked.everything
        && asked.order == Order::Best
        && asked.whole.is_none();
    let mut layout = layout
        .searching(&asked.search)
        .canonical(asked.address())
        .about(words.with("catalogue.about", &title));
    layout.unlisted = !is_listed;
    CataloguePage {
        title,
        total: page.total,
        whole: asked.whole,
        cards: Card::all(words, &tiles),
        facets,
        filters: u64::try_from(asked.filters()).unwrap_or(0),
        chosen,
        orders: Order::ALL
            .into_iter()
            .filter(|(name, _)| *name != if asked.search.is_empty() { "popular" } else { "added" })
            .map(|(name, text)| {
                let text = match name {
                    "" if asked.search.is_empty() => "sort.popular",
                    _ => text,
                };
                // Without a search the default order is already by popularity.
                let now = match asked.order.name() {
                    "popular" if asked.search.is_empty() => "",
                    now => now,
                };
                (name, words.text(text), name == now)
            })
            .collect(),
        min: asked.min.map(|price| price.to_string()).unwrap_or_default(),
        max: asked.max.map(|price| price.to_string()).unwrap_or_default(),
        without_filters: Asked {
            search: asked.search.clone(),
            page: 1,
            ..Asked::default()
        }
        .address(),
        with_everything: (!asked.everything).then(|| asked.but(|other| other.everything = true).address()),
        pager: Pager::new(asked, page.total_pages),
        layout,
    }
}

/// How often the values of one filter occur, formatted.
struct Tally<'c> {
    words: Language,
    is_capped: bool,
    counts: &'c BTreeMap<String, u64>,
}

impl Tally<'_> {
    /// `None` for a value that would find nothing and is not selected.
    fn choice(&self, facet: &str, key: &str, value: &str, label: String, is_chosen: bool) -> Option<Choice> {
        let count = self.counts.get(key).copied().unwrap_or(0);
        if count == 0 && !is_chosen && !self.is_capped {
            return None;
        }
        Some(Choice {
            id: format!("{facet}-{}", id_of(value)),
            value: value.to_owned(),
            label,
            count: counted(self.words, self.is_capped, count),
            games: count,
            is_chosen,
        })
    }
}

/// Formats a count; a lower bound if the catalogue was not counted completely.
fn counted(words: Language, is_capped: bool, count: u64) -> String {
    match (count, is_capped) {
        (0, true) => String::new(),
        (count, true) => format!("{}+", format::number(words, count)),
        (count, false) => format::number(words, count),
    }
}

/// A value as part of an element's id: unchanged if it is a valid slug, otherwise a hash.
fn id_of(value: &str) -> String {
    if is_slug(value) {
        value.to_owned()
    } else {
        version(value)
    }
}

fn holds(values: &[String], value: &str) -> bool {
    let value = value.to_lowercase();
    values.iter().any(|known| known.to_lowercase() == value)
}

fn facets(words: Language, asked: &Asked, options: &FilterOptions, counts: &FacetCounts) -> Vec<Facet> {
    let tally = |counts_of| Tally {
        words,
        is_capped: counts.is_capped,
        counts: counts_of,
    };
    let facet = |name: &'static str, title, mut options: Vec<Choice>, is_open: bool| {
        let is_whole = asked.whole == Some(name);
        let total = options.len();
        let elsewhere = (total > FOLDED).then(|| {
            let whole = (!is_whole).then_some(name);
            let page = Asked { whole, ..asked.clone() };
            (format!("{}#facet-{name}", page.address()), !is_whole)
        });
        if elsewhere.is_some() && !is_whole {
            let mut place = 0..;
            options.retain(|option| place.next().is_some_and(|place| place < SHOWN) || option.is_chosen);
        }
        Facet {
            name,
            title: words.text(title),
            is_open: is_open || is_whole || options.iter().any(|option| option.is_chosen),
            is_single: false,
            has_range: false,
            options,
            total,
            elsewhere,
        }
    };
    // Most frequent first, if all were counted; then by name.
    let by_count = |mut options: Vec<Choice>| {
        options.sort_by(|one, other| (other.games, &one.label).cmp(&(one.games, &other.label)));
        options
    };
    let named = |name: &str, all: &[lockstep_domain::catalogue::NameSlug], counts_of, chosen: &[String]| {
        let tally = tally(counts_of);
        let options = all
            .iter()
            .filter_map(|option| {
                let is_chosen = holds(chosen, &option.slug) || holds(chosen, &option.name);
                tally.choice(name, &option.slug, &option.slug, option.name.clone(), is_chosen)
            })
            .collect::<Vec<_>>();
        by_count(options)
    };
    let plain = |name: &str, all: &[String], counts_of, chosen: &[String], label: fn(Language, &str) -> String| {
        let tally = tally(counts_of);
        let options = all
            .iter()
            .filter_map(|value| {
                tally.choice(
                    name,
                    &value.to_lowercase(),
                    value,
                    label(words, value),
                    holds(chosen, value),
                )
            })
            .collect::<Vec<_>>();
        by_count(options)
    };
    let as_it_is = |_: Language, value: &str| value.to_owned();
    let prices = PricePreset::ALL
        .into_iter()
        .filter_map(|preset| {
            tally(&counts.prices).choice(
                "price",
                preset.name(),
                preset.name(),
                span_of(words, preset).to_owned(),
                asked.price == Some(preset),
            )
        })
        .collect();
    let mut facets = vec![
        facet(
            "genre",
            "facet.genre",
            named("genre", &options.genres, &counts.genres, &asked.genres),
            true,
        ),
        Facet {
            is_single: true,
            has_range: true,
            is_open: true,
            ..facet("price", "facet.price", prices, true)
        },
        facet(
            "platform",
            "facet.platform",
            named("platform", &options.platforms, &counts.platforms, &asked.platforms),
            true,
        ),
        facet(
            "service",
            "facet.service",
            plain(
                "service",
                &options.activation_services,
                &counts.activation_services,
                &asked.services,
                as_it_is,
            ),
            true,
        ),
        facet(
            "region",
            "facet.region",
            plain("region", &options.regions, &counts.regions, &asked.regions, region_name),
            false,
        ),
        facet(
            "publisher",
            "facet.publisher",
            plain(
                "publisher",
                &options.publishers,
                &counts.publishers,
                &asked.publishers,
                as_it_is,
            ),
            false,
        ),
    ];
    let multiplayer = (counts.multiplayer > 0 || asked.multiplayer).then(|| Choice {
        id: "multiplayer-yes".to_owned(),
        value: "yes".to_owned(),
        label: words.text("facet.multiplayer.yes").to_owned(),
        count: counted(words, counts.is_capped, counts.multiplayer),
        games: counts.multiplayer,
        is_chosen: asked.multiplayer,
    });
    facets.push(facet(
        "multiplayer",
        "facet.multiplayer",
        multiplayer.into_iter().collect(),
        false,
    ));
    facets.push(facet(
        "stock",
        "facet.stock",
        vec![Choice {
            id: "stock-all".to_owned(),
            value: "all".to_owned(),
            label: words.text("facet.stock.all").to_owned(),
            count: counted(words, counts.is_capped, counts.listed),
            games: counts.listed,
            is_chosen: asked.everything,
        }],
        true,
    ));
    facets.retain(|facet| !facet.options.is_empty() || facet.has_range);
    facets
}

/// The text for a range of prices.
fn span_of(words: Language, preset: PricePreset) -> &'static str {
    words.text(match preset {
        PricePreset::Under10 => "price.under-10",
        PricePreset::From10To25 => "price.10-25",
        PricePreset::From25To50 => "price.25-50",
        PricePreset::From50To100 => "price.50-100",
        PricePreset::Over100 => "price.over-100",
    })
}

/// The active filters, each with the address without it.
fn chosen(words: Language, asked: &Asked, options: &FilterOptions) -> Vec<(String, String)> {
    let mut chosen = Vec::new();
    let name_of = |all: &[lockstep_domain::catalogue::NameSlug], value: &str| {
        all.iter()
            .find(|option| option.slug == value.to_lowercase())
            .map_or_else(|| value.to_owned(), |option| option.name.clone())
    };
    for value in &asked.genres {
        let label = name_of(&options.genres, value);
        chosen.push((label, asked.but(|other| other.genres.retain(|v| v != value)).address()));
    }
    for value in &asked.platforms {
        let label = name_of(&options.platforms, value);
        chosen.push((
            label,
            asked.but(|other| other.platforms.retain(|v| v != value)).address(),
        ));
    }
    for value in &asked.services {
        chosen.push((
            value.clone(),
            asked.but(|other| other.services.retain(|v| v != value)).address(),
        ));
    }
    for value in &asked.regions {
        let label = region_name(words, value);
        chosen.push((label, asked.but(|other| other.regions.retain(|v| v != value)).address()));
    }
    for value in &asked.publishers {
        chosen.push((
            value.clone(),
            asked.but(|other| other.publishers.retain(|v| v != value)).address(),
        ));
    }
    if let Some(preset) = asked.price {
        let label = span_of(words, preset).to_owned();
        chosen.push((label, asked.but(|other| other.price = None).address()));
    }
    if asked.min.is_some() || asked.max.is_some() {
        let label = match (asked.min, asked.max) {
            (Some(min), Some(max)) => format!("{} – {}", format::price(words, min), format::price(words, max)),
            (Some(min), None) => words.with("price.at_least", format::price(words, min)),
            (None, max) => words.with("price.at_most", format::price(words, max.unwrap_or_default())),
        };
        let address = asked.but(|other| (other.min, other.max) = (None, None)).address();
        chosen.push((label, address));
    }
    if asked.multiplayer {
        let address = asked.but(|other| other.multiplayer = false).address();
        chosen.push((words.text("facet.multiplayer.yes").to_owned(), address));
    }
    if asked.everything {
        let address = asked.but(|other| other.everything = false).address();
        chosen.push((words.text("facet.stock.all").to_owned(), address));
    }
    chosen
}

impl Pager {
    /// `None` if there is only one page.
    fn new(asked: &Asked, pages: u64) -> Option<Self> {
        if pages < 2 {
            return None;
        }
        let now = u64::from(asked.page);
        let address = |page: u64| {
            let mut other = asked.clone();
            other.page = u32::try_from(page).unwrap_or(u32::MAX);
            other.address()
        };
        let mut numbers: Vec<u64> = [1, now.saturating_sub(1), now, now + 1, pages]
            .into_iter()
            .filter(|page| (1..=pages).contains(page))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut shown: Vec<(Option<u64>, Option<String>)> = Vec::new();
        let mut last = 0;
        for number in numbers {
            if number > last + 1 {
                shown.push((None, None));
            }
            shown.push((Some(number), (number != now).then(|| address(number))));
            last = number;
        }
        Some(Self {
            previous: (now > 1).then(|| address((now - 1).min(pages))),
            next: (now < pages).then(|| address(now + 1)),
            pages: shown,
        })
    }
}
