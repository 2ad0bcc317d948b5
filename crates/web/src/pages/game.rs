//! One game: its price, whether it works for the reader, what it is, other offers of the same game, and similar games.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use lockstep_domain::GameId;
use lockstep_domain::catalogue::{Game, Tile};
use lockstep_domain::html;
use lockstep_domain::slug::is_slug;

use crate::cards::{Card, region_name};
use crate::error::PageError;
use crate::i18n::Language;
use crate::layout::{Layout, moment};
use crate::page::fingerprint;
use crate::pictures::Picture;
use crate::visit::Preferences;
use crate::{WebState, format, seo};

/// Number of similar games that the API lists and the page shows.
const SIMILAR: u32 = 10;
const SHOWN: usize = 6;

#[derive(Template)]
#[template(path = "game.html")]
struct GamePage {
    layout: Layout,
    id: GameId,
    slug: String,
    name: String,
    genre: Option<(String, String)>,
    /// Pictures in large, small and words; the first is shown.
    gallery: Vec<(Picture, Picture, String)>,
    /// Set when there is only the cover, generated or portrait: it is shown on a backdrop.
    cover: Option<(Picture, Picture)>,
    /// What staff say of the cover.
    cover_alt: Option<String>,
    labels: Vec<String>,
    price: String,
    original: Option<(String, i32)>,
    /// The lowest price of the 30 days before the reduction.
    lowest: Option<String>,
    offer: Offer,
    release: String,
    answers: Vec<Reply>,
    description: String,
    facts: Vec<(&'static str, String)>,
    scores: Vec<(&'static str, String)>,
    needs: Vec<(&'static str, Vec<(&'static str, String)>)>,
    /// This offer, then the others of the same game; empty when there are no others.
    editions: Vec<Edition>,
    similar: Vec<Card>,
    json_ld: String,
    og_image: String,
}

/// An offer of the game, for comparison with the others.
struct Edition {
    slug: String,
    name: String,
    /// `PC · Steam · Europe`
    place: String,
    price: String,
    original: Option<String>,
    /// The lowest price of the 30 days before the reduction.
    lowest: Option<String>,
    /// A label when it is sold out or a preorder.
    state: Option<&'static str>,
    is_here: bool,
}

impl Edition {
    fn new(words: Language, game: &Game, is_here: bool) -> Self {
        let platforms = game.platforms.join(", ");
        let region = game.region.as_deref().map(|region| region_name(words, region));
        let place = [Some(platforms), game.activation_service.clone(), region];
        Self {
            slug: game.slug.clone(),
            name: lockstep_domain::title::own(&game.title, game.region.as_deref()).to_owned(),
            place: place
                .into_iter()
                .flatten()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(" · "),
            price: format::price(words, game.price),
            original: game
                .original_price
                .filter(|_| game.in_stock)
                .map(|price| format::price(words, price)),
            lowest: game.lowest_price_30d.map(|price| format::price(words, price)),
            state: match (game.in_stock, game.is_preorder) {
                (false, _) => Some(words.text("card.out")),
                (true, true) => Some(words.text("card.preorder")),
                (true, false) => None,
            },
            is_here,
        }
    }
}

/// Whether the game can be bought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Buyable,
    Preorder,
    SoldOut,
}

/// An answer to a frequent question of buyers.
struct Reply {
    is_warning: bool,
    title: String,
    text: String,
}

/// `GET /game/{slug}`
pub(crate) async fn game(
    State(state): State<Arc<WebState>>,
    Path(slug): Path<String>,
    visit: Preferences,
) -> Result<Response, PageError> {
    if !is_slug(&slug) {
        // People and programs may write addresses in capitals; slugs have none.
        let lower = slug.to_ascii_lowercase();
        return if is_slug(&lower) {
            Ok(moved(&lower, &visit))
        } else {
            Err(PageError::NotFound)
        };
    }
    let catalogue = state.shop.catalogue();
    let game = catalogue.game_by_slug(slug.clone()).await?;
    let game = game.ok_or(PageError::NotFound)?;
    let named = game.part(|game| (game.id, game.slug))?;
    let (id, present) = &*named;
    if *present != slug {
        return Ok(moved(present, &visit));
    }
    let (similar, editions) = tokio::try_join!(catalogue.similar(*id, SIMILAR), catalogue.editions(*id))?;
    let made_of = fingerprint(&[game.etag(), similar.etag(), editions.etag(), &moment(&state)]);
    let page = state
        .page_cache
        .get(format!("game:{slug}:{}", visit.variant()), made_of, || {
            let (game, editions, similar) = (game.value()?, editions.value()?, similar.value()?);
            Ok(draw(Layout::new(&state, &visit), &game, &editions, similar).render()?)
        })?;
    Ok(page.serve(&visit))
}

/// Redirects to the current address of the game with the rest of the query. Browsers ask again each time, because
/// another game may take over the old address.
fn moved(slug: &str, visit: &Preferences) -> Response {
    let query = visit.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let headers = [
        (header::LOCATION, format!("/game/{slug}{query}")),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (StatusCode::PERMANENT_REDIRECT, headers).into_response()
}

fn draw(layout: Layout, game: &Game, others: &[Game], similar: Vec<Game>) -> GamePage {
    let words = layout.words;
    let mut editions: Vec<Edition> = others.iter().map(|other| Edition::new(words, other, false)).collect();
    if !editions.is_empty() {
        editions.insert(0, Edition::new(words, game, true));
    }
    // An offer of this game is not listed again as a similar game.
    let similar: Vec<Tile> = similar
        .into_iter()
        .filter(|game| others.iter().all(|other| other.id != game.id))
        .take(SHOWN)
        .map(Tile::from)
        .collect();
    let name = lockstep_domain::title::own(&game.title, game.region.as_deref()).to_owned();
    let offer = match (game.in_stock, game.is_preorder) {
        (true, true) => Offer::Preorder,
        (true, false) => Offer::Buyable,
        (false, _) => Offer::SoldOut,
    };
    let release = format::date(words, game.release_date);
    let region = game.region.as_deref().map(|region| region_name(words, region));
    let about = game
        .short_description
        .clone()
        .filter(|text| !text.trim().is_empty())
        .unwrap_or_else(|| words.with("game.about", &name));
    let genre = game.genres.first().map(|genre| {
        let address = form_urlencoded::Serializer::for_suffix("/games?".to_owned(), "/games?".len())
            .append_pair("genre", &lockstep_domain::slug::slug_of_name(genre))
            .finish();
        (genre.clone(), address)
    });
    let gallery = Picture::gallery(game);
    let cover = gallery.is_empty().then(|| {
        (
            Picture::cover(game.id, &game.slug, &game.image),
            Picture::backdrop(&game.slug),
        )
    });
    let labels = game
        .platforms
        .iter()
        .cloned()
        .chain(game.activation_service.clone())
        .chain(region.clone())
        .collect();
    let canonical = format!("/game/{}", game.slug);
    let og_image = layout.absolute(&format!("/covers/{}.png", game.slug));
    let layout = layout.canonical(canonical).about(about);
    GamePage {
        id: game.id,
        slug: game.slug.clone(),
        gallery,
        cover,
        cover_alt: game.image_alt.clone(),
        labels,
        price: format::price(words, game.price),
        original: game
            .original_price
            // A reduction is shown only for a game that can be bought.
            .filter(|_| offer != Offer::SoldOut)
            .map(|original| (format::price(words, original), game.discount.unwrap_or(0))),
        lowest: game.lowest_price_30d.map(|price| format::price(words, price)),
        answers: replies(words, game, offer, &release, region.as_deref()),
        description: html::description(&game.description),
        facts: facts(words, game, &release, region),
        scores: scores(words, game),
        needs: game
            .requirements
            .as_ref()
            .map(|needs| requirements(words, needs))
            .unwrap_or_default(),
        editions,
        similar: Card::all(words, &similar),
        json_ld: seo::product(&layout, game, &name, &og_image),
        og_image,
        genre,
        name,
        offer,
        release,
        layout,
    }
}

/// Answers to what buyers ask first: does it work where I live, where do I redeem it, when do I get it.
fn replies(words: Language, game: &Game, offer: Offer, release: &str, region: Option<&str>) -> Vec<Reply> {
    let mut replies = Vec::new();
    let known = |title: String, text: String| Reply {
        is_warning: false,
        title,
        text,
    };
    match (game.region.as_deref().map(str::to_lowercase).as_deref(), region) {
        (Some("global" | "worldwide"), _) => replies.push(known(
            words.text("game.region.global.title").to_owned(),
            words.text("game.region.global.text").to_owned(),
        )),
        (Some(_), Some(name)) => replies.push(Reply {
            is_warning: true,
            title: words.with("game.region.some.title", name),
            text: words.with("game.region.some.text", name),
        }),
        _ => replies.push(Reply {
            is_warning: true,
            title: words.text("game.region.unknown.title").to_owned(),
            text: words.text("game.region.unknown.text").to_owned(),
        }),
    }
    if let Some(service) = &game.activation_service {
        let key = format!("activate.{}", lockstep_domain::slug::slugify(service));
        let how = words
            .find(&key)
            .map_or_else(|| words.with("activate.other", service), str::to_owned);
        replies.push(known(words.with("game.activation.title", service), how));
    }
    match offer {
        Offer::Preorder => replies.push(known(
            words.with("game.delivery.preorder.title", release),
            words.text("game.delivery.preorder.text").to_owned(),
        )),
        Offer::Buyable => replies.push(known(
            words.text("game.delivery.title").to_owned(),
            words.text("game.delivery.text").to_owned(),
        )),
        // When a key will be available is unknown.
        Offer::SoldOut => {}
    }
    replies
}

fn facts(words: Language, game: &Game, release: &str, region: Option<String>) -> Vec<(&'static str, String)> {
    let joined = |values: &[String]| Some(values.join(", ")).filter(|text| !text.is_empty());
    let languages: Vec<String> = game
        .languages
        .iter()
        .map(|code| {
            words
                .find(&format!("language.{code}"))
                .map_or_else(|| code.to_uppercase(), str::to_owned)
        })
        .collect();
    [
        ("fact.offer", Some(game.title.clone())),
        ("fact.platform", joined(&game.platforms)),
        ("fact.service", game.activation_service.clone()),
        ("fact.region", region),
        ("fact.release", game.release_date_known.then(|| release.to_owned())),
        ("fact.genres", joined(&game.genres)),
        ("fact.languages", joined(&languages)),
        ("fact.developer", game.developer.clone()),
        ("fact.publisher", game.publisher.clone()),
        (
            "fact.players",
            game.multiplayer.then(|| words.text("fact.players.many").to_owned()),
        ),
        ("fact.age", game.age_rating.clone()),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((words.text(key), value.filter(|text| !text.is_empty())?)))
    .collect()
}

fn scores(words: Language, game: &Game) -> Vec<(&'static str, String)> {
    let critics = game
        .metacritic_score
        .map(|score| (words.text("score.critics"), format!("{score}/100")));
    let users = game.user_rating.map(|score| {
        (
            words.text("score.users"),
            format!("{}/5", format::decimal(words, score.normalize())),
        )
    });
    critics.into_iter().chain(users).collect()
}

/// G2A's `{minimal, recommended}`, as far as the meaning of its entries is known.
fn requirements(words: Language, needs: &serde_json::Value) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    [("minimal", "needs.minimal"), ("recommended", "needs.recommended")]
        .into_iter()
        .filter_map(|(name, title)| {
            let entries = needs.get(name)?;
            let rows: Vec<_> = [
                ("reqsystem", "needs.system"),
                ("reqprocessor", "needs.processor"),
                ("reqmemory", "needs.memory"),
                ("reqgraphics", "needs.graphics"),
                ("reqdiskspace", "needs.disk"),
                ("reqother", "needs.other"),
            ]
            .into_iter()
            .filter_map(|(key, label)| {
                let value = entries.get(key)?.as_str()?.trim();
                (!value.is_empty()).then(|| (words.text(label), value.to_owned()))
            })
            .collect();
            (!rows.is_empty()).then(|| (words.text(title), rows))
        })
        .collect()
}
