//! `GET /api/games...`: the catalogue, for anybody.
//!
//! Every handler reads its parameters, names the cached answer, and says how to make it when it is not there. What is
//! cached is the whole body, so a hit is served without a look inside.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_cache::{Entry, Payload};
use lockstep_domain::cache_key::game_tag;
use lockstep_domain::catalogue::{
    Answer, CatalogQuery, Collection, FilterOptions, Game, NameSlug, Page, PricePreset, Sort, Suggestion,
    autocomplete_key, search_key,
};
use lockstep_domain::{CacheKey, GameId, Money};
use lockstep_store::{Result as StoreResult, StoreError, Tx, games};
use rand::seq::IndexedRandom as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::Answered;
use crate::body::uuid_in;
use crate::error::ApiError;
use crate::params::{Ask, checked_text};
use crate::{Api, ApiState};

/// The furthest page anybody may ask for.
const MAX_PAGE: u32 = 1_000_000;
/// The most rows of a page.
const MAX_PAGE_SIZE: u32 = 100;
/// The most games that `similar` and `random` give at once.
const MAX_COUNT: u32 = 50;
/// The most games that a plain search gives.
const MAX_SEARCH: u32 = 50;
/// From how many games random picks are drawn, until the catalogue changes.
const RANDOM_POOL: u32 = 150;

/// One page of the catalogue. With filters or a search a list ends after 10,000 games: a `total` below that is exact, and
/// 10,000 means that at least so many match.
#[utoipa::path(get, path = "/api/games", tag = "games", operation_id = "listGames", params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 1_000_000, description = "From 1 (default 1)"),
    ("pageSize" = Option<u32>, Query, minimum = 1, maximum = 100, description = "1–100 (default 36)"),
    ("search" = Option<String>, Query, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Words in title or description, typing errors tolerated; finds at most 10,000 games"),
    ("inStockOnly" = Option<String>, Query, max_length = 8192, description = "Unless it is exactly `false`: only released games that can be bought"),
    ("sort" = Option<Sort>, Query, description = "Default: best match when searching, else latest addition"),
    ("pricePreset" = Option<PricePreset>, Query, description = "Ready-made ranges in euro, the lower bound included"),
    ("minPrice" = Option<f64>, Query, minimum = 0, description = "Euro, included"),
    ("maxPrice" = Option<f64>, Query, minimum = 0, description = "Euro, included"),
    ("genres" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Slugs or names, comma-joined or repeated"),
    ("platforms" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Slugs or names, comma-joined or repeated"),
    ("activationServices" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Values, comma-joined or repeated"),
    ("regions" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Values, comma-joined or repeated"),
    ("publishers" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Values, comma-joined or repeated"),
    ("multiplayer" = Option<bool>, Query, description = "Only games for several, or only others"),
), responses((status = 200, body = Answer<Page<Game>>), (status = 400, description = "A parameter cannot be used; the message names it")))]
pub(crate) async fn list(State(api): Api, ask: Ask) -> Answered {
    let query = catalog_query(&ask)?;
    let key = query.cache_key();
    answer(&api, &ask, key, move |tx| {
        Box::pin(async move { games::page(tx, &query).await })
    })
    .await
}

fn catalog_query(ask: &Ask) -> Result<CatalogQuery, ApiError> {
    let price = |name| match ask.parsed::<Money>(name)? {
        Some(price) if price < Money::ZERO => Err(ApiError::invalid(name, "must not be negative")),
        price => Ok(price),
    };
    let default = CatalogQuery::default();
    let query = CatalogQuery {
        page: ask.number("page", default.page, 1, MAX_PAGE)?,
        page_size: ask.number("pageSize", default.page_size, 1, MAX_PAGE_SIZE)?,
        search: ask.text("search")?,
        in_stock_only: !ask.is("inStockOnly", "false")?,
        sort: ask.parsed("sort")?,
        price_preset: ask.parsed("pricePreset")?,
        min_price: price("minPrice")?,
        max_price: price("maxPrice")?,
        genres: ask.list("genres")?,
        platforms: ask.list("platforms")?,
        activation_services: ask.list("activationServices")?,
        regions: ask.list("regions")?,
        publishers: ask.list("publishers")?,
        multiplayer: ask.flag("multiplayer")?,
    };
    match (query.min_price, query.max_price) {
        (Some(min), Some(max)) if min > max => Err(ApiError::invalid("minPrice", "must not be above maxPrice")),
        _ => Ok(query),
    }
}

/// Games that match a text, best match first.
#[utoipa::path(get, path = "/api/games/search", tag = "games", operation_id = "searchGames",
    params(("q" = String, Query, min_length = 1, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Words in title or description, typing errors tolerated")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "q is missing or cannot be used")))]
pub(crate) async fn search(State(api): Api, ask: Ask) -> Answered {
    let text = ask.text("q")?.ok_or_else(|| ApiError::invalid("q", "is required"))?;
    let key = search_key(&text);
    answer(&api, &ask, key, move |tx| {
        Box::pin(async move { games::search(tx, &text, MAX_SEARCH).await })
    })
    .await
}

/// What a text typed so far may become.
#[utoipa::path(get, path = "/api/games/autocomplete", tag = "games", operation_id = "autocompleteGames", params(
    ("q" = String, Query, min_length = 2, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "At least two characters"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 20, description = "1–20 (default 10)")),
    responses((status = 200, body = Answer<Vec<Suggestion>>), (status = 400, description = "q or limit cannot be used")))]
pub(crate) async fn autocomplete(State(api): Api, ask: Ask) -> Answered {
    let limit = ask.number("limit", 10, 1, 20)?;
    let text = ask.text("q")?.unwrap_or_default();
    if text.chars().nth(1).is_none() {
        return Err(ApiError::invalid("q", "must have at least 2 characters"));
    }
    let key = autocomplete_key(&text, limit);
    answer(&api, &ask, key, move |tx| {
        Box::pin(async move { games::suggest(tx, &text, limit).await })
    })
    .await
}

/// The best sold games, of one genre if asked, at most 30.
#[utoipa::path(get, path = "/api/games/best-sellers", tag = "games", operation_id = "listBestSellers",
    params(("genre" = Option<String>, Query, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Slug or name, any case")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "genre cannot be used")))]
pub(crate) async fn best_sellers(State(api): Api, ask: Ask) -> Answered {
    let genre = ask.text("genre")?.map(|genre| genre.to_lowercase());
    answer(&api, &ask, CacheKey::HomeBestSellers(genre.clone()), move |tx| {
        Box::pin(async move { games::best_sellers(tx, genre.as_deref()).await })
    })
    .await
}

/// The latest additions to the catalogue, at most 40.
#[utoipa::path(get, path = "/api/games/new-in-catalog", tag = "games", operation_id = "listNewInCatalog",
    responses((status = 200, body = Answer<Vec<Game>>)))]
pub(crate) async fn new_in_catalog(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::HomeNewInCatalog, |tx| {
        Box::pin(games::new_in_catalog(tx))
    })
    .await
}

/// Announced games, the next to be released first, at most 30.
#[utoipa::path(get, path = "/api/games/preorders", tag = "games", operation_id = "listPreorders",
    responses((status = 200, body = Answer<Vec<Game>>)))]
pub(crate) async fn preorders(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::HomePreorders, |tx| Box::pin(games::preorders(tx))).await
}

/// Games released lately, at most 30.
#[utoipa::path(get, path = "/api/games/new", tag = "games", operation_id = "listNewReleases",
    responses((status = 200, body = Answer<Vec<Game>>)))]
pub(crate) async fn new(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::HomeNewGames, |tx| {
        Box::pin(games::new_releases(tx))
    })
    .await
}

/// The most popular games of a genre, at most 40; the best sellers when it has none.
#[utoipa::path(get, path = "/api/games/by-genre/{genre}", tag = "games", operation_id = "listGamesByGenre",
    params(("genre" = String, Path, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Slug or name, any case")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "genre cannot be used")))]
pub(crate) async fn by_genre(State(api): Api, Path(genre): Path<String>, ask: Ask) -> Answered {
    let genre = checked_text("genre", &genre)?.to_lowercase();
    answer(&api, &ask, CacheKey::HomeGenre(genre.clone()), move |tx| {
        Box::pin(async move { games::by_genre(tx, &genre).await })
    })
    .await
}

/// Games drawn at random, others with every request.
#[utoipa::path(get, path = "/api/games/random", tag = "games", operation_id = "listRandomGames",
    params(("count" = Option<u32>, Query, minimum = 1, maximum = 50, description = "1–50 (default 10)")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "count cannot be used")))]
pub(crate) async fn random(State(api): Api, ask: Ask) -> Answered {
    let count = ask.number("count", 10, 1, MAX_COUNT)?;
    let pool = api
        .cache
        .read(CacheKey::HomeRandomPool, |store| async move {
            let pool = store.read(|tx| Box::pin(games::random_pool(tx, RANDOM_POOL))).await?;
            let payload = payload(&pool.value)?.not_repeatable();
            Ok(pool.map(|_| payload))
        })
        .await?;
    let body = draw(&pool.body, count).map_err(|error| {
        ApiError::Bug(Some(Arc::new(StoreError::Schema(format!(
            "the pool of random games cannot be read: {error}"
        )))))
    })?;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Picks `count` games out of the pool without reading what is in them.
fn draw(pool: &[u8], count: u32) -> serde_json::Result<Bytes> {
    #[derive(Deserialize)]
    struct Pool<'b> {
        #[serde(borrow)]
        data: Vec<&'b RawValue>,
    }
    let pool: Pool<'_> = serde_json::from_slice(pool)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let picked: Vec<&RawValue> = pool.data.choose_multiple(&mut rand::rng(), count).copied().collect();
    Ok(serde_json::to_vec(&Answer::new(picked))?.into())
}

/// Genres of the catalogue, by name.
#[utoipa::path(get, path = "/api/games/genres", tag = "games", operation_id = "listGenres",
    responses((status = 200, body = Answer<Vec<NameSlug>>)))]
pub(crate) async fn genres(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::CatalogGenres, |tx| Box::pin(games::genres(tx))).await
}

/// Platforms of the catalogue, by name.
#[utoipa::path(get, path = "/api/games/platforms", tag = "games", operation_id = "listPlatforms",
    responses((status = 200, body = Answer<Vec<NameSlug>>)))]
pub(crate) async fn platforms(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::CatalogPlatforms, |tx| {
        Box::pin(games::platforms(tx))
    })
    .await
}

/// What the catalogue can be filtered by.
#[utoipa::path(get, path = "/api/games/filter-options", tag = "games", operation_id = "getFilterOptions",
    responses((status = 200, body = Answer<FilterOptions>)))]
pub(crate) async fn filter_options(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::CatalogFilterOptions, |tx| {
        Box::pin(games::filter_options(tx))
    })
    .await
}

/// Games by genre and by publisher, at most ten lists.
#[utoipa::path(get, path = "/api/games/collections", tag = "games", operation_id = "listCollections",
    responses((status = 200, body = Answer<Vec<Collection>>)))]
pub(crate) async fn collections(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::HomeCollections, |tx| {
        Box::pin(games::collections(tx))
    })
    .await
}

/// One game by its address, or by one that it had before; its `slug` is the present one.
#[utoipa::path(get, path = "/api/games/slug/{slug}", tag = "games", operation_id = "getGameBySlug",
    params(("slug" = String, Path, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "The readable part of its address")),
    responses((status = 200, body = Answer<Game>), (status = 400, description = "slug cannot be used"), (status = 404, description = "There is no such game")))]
pub(crate) async fn by_slug(State(api): Api, Path(slug): Path<String>, ask: Ask) -> Answered {
    let slug = checked_text("slug", &slug)?.to_owned();
    // What cannot be a slug names no game; it need not be looked for.
    if !slug
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return Err(ApiError::NotFound("Game"));
    }
    let key = CacheKey::GameBySlug(slug.clone());
    one_game(&api, &ask, key, move |tx| {
        Box::pin(async move { games::by_slug(tx, &slug).await })
    })
    .await
}

/// One game by its id.
#[utoipa::path(get, path = "/api/games/{id}", tag = "games", operation_id = "getGame",
    params(("id" = GameId, Path, description = "Identifier")),
    responses((status = 200, body = Answer<Game>), (status = 400, description = "id is not a UUID"), (status = 404, description = "There is no such game")))]
pub(crate) async fn by_id(State(api): Api, Path(id): Path<String>, ask: Ask) -> Answered {
    let id = GameId(uuid_in("id", &id)?);
    one_game(&api, &ask, CacheKey::Game(id), move |tx| Box::pin(games::by_id(tx, id))).await
}

/// Games like this one; none for an unknown id.
#[utoipa::path(get, path = "/api/games/{id}/similar", tag = "games", operation_id = "listSimilarGames", params(
    ("id" = GameId, Path, description = "Identifier"),
    ("count" = Option<u32>, Query, minimum = 1, maximum = 50, description = "1–50 (default 10)")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "id or count cannot be used")))]
pub(crate) async fn similar(State(api): Api, Path(id): Path<String>, ask: Ask) -> Answered {
    let id = GameId(uuid_in("id", &id)?);
    let count = ask.number("count", 10, 1, MAX_COUNT)?;
    answer(&api, &ask, CacheKey::SimilarGames(id, count), move |tx| {
        Box::pin(games::similar(tx, id, count))
    })
    .await
}

/// Serves what `read` finds, from the cache if it is there.
async fn answer<T: Serialize + Send + 'static>(
    api: &ApiState,
    ask: &Ask,
    key: CacheKey,
    read: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, StoreResult<T>> + Send + 'static,
) -> Answered {
    let entry = api
        .cache
        .read(key, |store| async move {
            let found = store.read(read).await?;
            let payload = payload(&found.value)?;
            Ok(found.map(|_| payload))
        })
        .await?;
    Ok(serve(&entry, ask))
}

/// Serves one game, or remembers that there is none.
async fn one_game(
    api: &ApiState,
    ask: &Ask,
    key: CacheKey,
    read: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, StoreResult<Option<Game>>> + Send + 'static,
) -> Answered {
    let entry = api
        .cache
        .read(key, |store| async move {
            let found = store.read(read).await?;
            let payload = match &found.value {
                // Found by its id, its address, or one that it had before.
                Some(game) => payload(game)?.with_tags(vec![game_tag(game.id)]),
                None => Payload::missing(),
            };
            Ok(found.map(|_| payload))
        })
        .await?;
    if entry.found {
        Ok(serve(&entry, ask))
    } else {
        Err(ApiError::NotFound("Game"))
    }
}

fn payload(data: &impl Serialize) -> StoreResult<Payload> {
    Payload::json(&Answer::new(data)).map_err(|error| StoreError::Schema(format!("has no JSON form: {error}")))
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A cached body as an answer: nothing but a header if the caller has it already, compressed if the caller takes that.
///
/// The validator is that of the content and the same for both encodings.
fn serve(entry: &Entry, ask: &Ask) -> Response {
    let unchanged = ask.if_none_match.as_ref().is_some_and(|held| has(held, &entry.etag));
    let mut response = if unchanged {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let packed = if ask.gzip { entry.gzip() } else { None };
        let is_packed = packed.is_some();
        let mut response = Response::new(Body::from(packed.unwrap_or_else(|| entry.body.clone())));
        let headers = response.headers_mut();
        headers.reserve(16);
        headers.insert(header::CONTENT_TYPE, JSON);
        if is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_maybe_shared(entry.etag.clone()) {
        headers.insert(header::ETAG, etag);
    }
    // Anybody may keep it, but has to ask whether it is still true: prices change at any time.
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=0, must-revalidate"),
    );
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// Whether an `If-None-Match` names the validator, marked as weak or not.
fn has(held: &HeaderValue, etag: &[u8]) -> bool {
    fn opaque(etag: &[u8]) -> &[u8] {
        etag.strip_prefix(b"W/").unwrap_or(etag)
    }
    held.as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|one| one == b"*" || opaque(one) == opaque(etag))
}
