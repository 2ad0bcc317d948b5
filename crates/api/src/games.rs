//! `GET /api/games...`: the public catalogue.
//!
//! Every handler parses its parameters, names the cached response, and loads it from the store on a miss. The cache
//! holds the whole body, so a hit is served without parsing it.

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

/// Highest page number.
const MAX_PAGE: u32 = 1_000_000;
/// Maximum page size.
const MAX_PAGE_SIZE: u32 = 100;
/// Maximum number of games of `similar` and `random`.
const MAX_COUNT: u32 = 50;
/// Maximum number of games of a plain search.
const MAX_SEARCH: u32 = 50;
/// Number of games from which random games are drawn, until the catalogue changes.
const RANDOM_POOL: u32 = 150;

/// Returns a page of the catalogue.
///
/// With filters or a search, the list ends after 10,000 games: a `total` below 10,000 is exact, and a `total` of 10,000
/// means at least that many matches.
#[utoipa::path(get, path = "/api/games", tag = "games", operation_id = "listGames", params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 1_000_000, description = "Page number, from 1 (default 1)"),
    ("pageSize" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Page size, 1–100 (default 36)"),
    ("search" = Option<String>, Query, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Words in the title or description; typing errors are tolerated; matches at most 10,000 games"),
    ("inStockOnly" = Option<String>, Query, max_length = 8192, description = "Only released games in stock, unless the value is exactly `false`"),
    ("sort" = Option<Sort>, Query, description = "Sort order; default: best match for a search, else latest addition"),
    ("pricePreset" = Option<PricePreset>, Query, description = "Predefined price range in EUR, including its lower bound"),
    ("minPrice" = Option<f64>, Query, minimum = 0, description = "Lowest price in EUR, inclusive"),
    ("maxPrice" = Option<f64>, Query, minimum = 0, description = "Highest price in EUR, inclusive"),
    ("genres" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Genre slugs or names, comma-separated or repeated"),
    ("platforms" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Platform slugs or names, comma-separated or repeated"),
    ("activationServices" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Activation services, comma-separated or repeated"),
    ("regions" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Regions, comma-separated or repeated"),
    ("publishers" = Option<Vec<String>>, Query, style = Form, explode = false, max_items = 50, description = "Publishers, comma-separated or repeated"),
    ("multiplayer" = Option<bool>, Query, description = "`true`: only multiplayer games; `false`: only the others"),
), responses((status = 200, body = Answer<Page<Game>>), (status = 400, description = "Invalid parameter; the message names it")))]
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

/// Returns the games that match a text, best match first.
///
/// Returns at most 50 games.
#[utoipa::path(get, path = "/api/games/search", tag = "games", operation_id = "searchGames",
    params(("q" = String, Query, min_length = 1, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Words in the title or description; typing errors are tolerated")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "`q` is missing or invalid")))]
pub(crate) async fn search(State(api): Api, ask: Ask) -> Answered {
    let text = ask.text("q")?.ok_or_else(|| ApiError::invalid("q", "is required"))?;
    let key = search_key(&text);
    answer(&api, &ask, key, move |tx| {
        Box::pin(async move { games::search(tx, &text, MAX_SEARCH).await })
    })
    .await
}

/// Suggests games for a partly typed text.
#[utoipa::path(get, path = "/api/games/autocomplete", tag = "games", operation_id = "autocompleteGames", params(
    ("q" = String, Query, min_length = 2, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Text typed so far, at least two characters"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 20, description = "Number of suggestions, 1–20 (default 10)")),
    responses((status = 200, body = Answer<Vec<Suggestion>>), (status = 400, description = "`q` or `limit` is invalid")))]
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

/// Returns the best-selling games, optionally of one genre.
///
/// Returns at most 30 games.
#[utoipa::path(get, path = "/api/games/best-sellers", tag = "games", operation_id = "listBestSellers",
    params(("genre" = Option<String>, Query, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Genre slug or name, case-insensitive")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "`genre` is invalid")))]
pub(crate) async fn best_sellers(State(api): Api, ask: Ask) -> Answered {
    let genre = ask.text("genre")?.map(|genre| genre.to_lowercase());
    answer(&api, &ask, CacheKey::HomeBestSellers(genre.clone()), move |tx| {
        Box::pin(async move { games::best_sellers(tx, genre.as_deref()).await })
    })
    .await
}

/// Returns the latest additions to the catalogue.
///
/// Returns at most 40 games.
#[utoipa::path(get, path = "/api/games/new-in-catalog", tag = "games", operation_id = "listNewInCatalog",
    responses((status = 200, body = Answer<Vec<Game>>)))]
pub(crate) async fn new_in_catalog(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::HomeNewInCatalog, |tx| {
        Box::pin(games::new_in_catalog(tx))
    })
    .await
}

/// Returns announced games, earliest release first.
///
/// Returns at most 30 games.
#[utoipa::path(get, path = "/api/games/preorders", tag = "games", operation_id = "listPreorders",
    responses((status = 200, body = Answer<Vec<Game>>)))]
pub(crate) async fn preorders(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::HomePreorders, |tx| Box::pin(games::preorders(tx))).await
}

/// Returns recently released games.
///
/// Returns at most 30 games.
#[utoipa::path(get, path = "/api/games/new", tag = "games", operation_id = "listNewReleases",
    responses((status = 200, body = Answer<Vec<Game>>)))]
pub(crate) async fn new(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::HomeNewGames, |tx| {
        Box::pin(games::new_releases(tx))
    })
    .await
}

/// Returns the most popular games of a genre.
///
/// Returns at most 40 games; the best sellers if the genre has none.
#[utoipa::path(get, path = "/api/games/by-genre/{genre}", tag = "games", operation_id = "listGamesByGenre",
    params(("genre" = String, Path, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Genre slug or name, case-insensitive")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "`genre` is invalid")))]
pub(crate) async fn by_genre(State(api): Api, Path(genre): Path<String>, ask: Ask) -> Answered {
    let genre = checked_text("genre", &genre)?.to_lowercase();
    answer(&api, &ask, CacheKey::HomeGenre(genre.clone()), move |tx| {
        Box::pin(async move { games::by_genre(tx, &genre).await })
    })
    .await
}

/// Returns random games, a new selection on each request.
#[utoipa::path(get, path = "/api/games/random", tag = "games", operation_id = "listRandomGames",
    params(("count" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Number of games, 1–50 (default 10)")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "`count` is invalid")))]
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

/// Draws `count` games from the pool without parsing them.
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

/// Returns the genres of the catalogue, sorted by name.
#[utoipa::path(get, path = "/api/games/genres", tag = "games", operation_id = "listGenres",
    responses((status = 200, body = Answer<Vec<NameSlug>>)))]
pub(crate) async fn genres(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::CatalogGenres, |tx| Box::pin(games::genres(tx))).await
}

/// Returns the platforms of the catalogue, sorted by name.
#[utoipa::path(get, path = "/api/games/platforms", tag = "games", operation_id = "listPlatforms",
    responses((status = 200, body = Answer<Vec<NameSlug>>)))]
pub(crate) async fn platforms(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::CatalogPlatforms, |tx| {
        Box::pin(games::platforms(tx))
    })
    .await
}

/// Returns the values by which the catalogue can be filtered.
#[utoipa::path(get, path = "/api/games/filter-options", tag = "games", operation_id = "getFilterOptions",
    responses((status = 200, body = Answer<FilterOptions>)))]
pub(crate) async fn filter_options(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::CatalogFilterOptions, |tx| {
        Box::pin(games::filter_options(tx))
    })
    .await
}

/// Returns collections of games by genre and by publisher.
///
/// Returns at most ten collections.
#[utoipa::path(get, path = "/api/games/collections", tag = "games", operation_id = "listCollections",
    responses((status = 200, body = Answer<Vec<Collection>>)))]
pub(crate) async fn collections(State(api): Api, ask: Ask) -> Answered {
    answer(&api, &ask, CacheKey::HomeCollections, |tx| {
        Box::pin(games::collections(tx))
    })
    .await
}

/// Returns a game by its slug.
///
/// A former slug finds the game as well; `slug` in the response is the current one.
#[utoipa::path(get, path = "/api/games/slug/{slug}", tag = "games", operation_id = "getGameBySlug",
    params(("slug" = String, Path, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Slug of the game, current or former")),
    responses((status = 200, body = Answer<Game>), (status = 400, description = "`slug` is invalid"), (status = 404, description = "There is no such game")))]
pub(crate) async fn by_slug(State(api): Api, Path(slug): Path<String>, ask: Ask) -> Answered {
    let slug = checked_text("slug", &slug)?.to_owned();
    // A text that cannot be a slug matches no game; skip the query.
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

/// Returns a game by its ID.
#[utoipa::path(get, path = "/api/games/{id}", tag = "games", operation_id = "getGame",
    params(("id" = GameId, Path, description = "ID of the game")),
    responses((status = 200, body = Answer<Game>), (status = 400, description = "`id` is not a UUID"), (status = 404, description = "There is no such game")))]
pub(crate) async fn by_id(State(api): Api, Path(id): Path<String>, ask: Ask) -> Answered {
    let id = GameId(uuid_in("id", &id)?);
    one_game(&api, &ask, CacheKey::Game(id), move |tx| Box::pin(games::by_id(tx, id))).await
}

/// Returns games similar to a game.
///
/// Returns an empty list for an unknown ID.
#[utoipa::path(get, path = "/api/games/{id}/similar", tag = "games", operation_id = "listSimilarGames", params(
    ("id" = GameId, Path, description = "ID of the game"),
    ("count" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Number of games, 1–50 (default 10)")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "`id` or `count` is invalid")))]
pub(crate) async fn similar(State(api): Api, Path(id): Path<String>, ask: Ask) -> Answered {
    let id = GameId(uuid_in("id", &id)?);
    let count = ask.number("count", 10, 1, MAX_COUNT)?;
    answer(&api, &ask, CacheKey::SimilarGames(id, count), move |tx| {
        Box::pin(games::similar(tx, id, count))
    })
    .await
}

/// Serves the result of `read`, from the cache if present.
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

/// Serves one game; caches its absence as well.
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
                // Found by its ID, its slug or a former slug.
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

/// Builds the response from a cached body: 304 without a body if the client has it already, gzip if the client accepts
/// it.
///
/// The ETag is derived from the content and is the same for both encodings.
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
    // Any cache may store it but must revalidate it: prices change at any time.
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=0, must-revalidate"),
    );
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// Whether an `If-None-Match` contains the ETag, weak or strong.
fn has(held: &HeaderValue, etag: &[u8]) -> bool {
    fn opaque(etag: &[u8]) -> &[u8] {
        etag.strip_prefix(b"W/").unwrap_or(etag)
    }
    held.as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|one| one == b"*" || opaque(one) == opaque(etag))
}
