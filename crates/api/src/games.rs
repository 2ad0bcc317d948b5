//! `GET /api/games...`: the public catalogue.
//!
//! Every handler parses its parameters and asks the read model for one answer. The cache holds the whole body, so a hit
//! is served without parsing it.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_domain::cached::CachedValue;
use lockstep_domain::catalogue::{
    Answer, CatalogQuery, Collection, FilterOptions, Game, NameSlug, Page, PricePreset, Sort, Suggestion,
};
use lockstep_domain::slug::is_slug;
use lockstep_domain::{GameId, Money};
use lockstep_request::has_version;
use lockstep_shop::Cached;
use uuid::Uuid;

use crate::Api;
use crate::answer::Answered;
use crate::body::uuid_in;
use crate::error::ApiError;
use crate::params::{Ask, checked_slug, checked_text};

/// Highest page number.
const MAX_PAGE: u32 = 1_000_000;
/// Maximum page size.
const MAX_PAGE_SIZE: u32 = 100;
/// Maximum number of games of `similar` and `random`.
const MAX_COUNT: u32 = 50;

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
    Ok(serve(&api.shop.catalogue().page(query).await?, &ask))
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
    Ok(serve(&api.shop.catalogue().search(text).await?, &ask))
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
    Ok(serve(&api.shop.catalogue().suggest(text, limit).await?, &ask))
}

/// Returns the best-selling games, optionally of one genre.
///
/// Returns at most 30 games.
#[utoipa::path(get, path = "/api/games/best-sellers", tag = "games", operation_id = "listBestSellers",
    params(("genre" = Option<String>, Query, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Genre slug or name, case-insensitive")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "`genre` is invalid")))]
pub(crate) async fn best_sellers(State(api): Api, ask: Ask) -> Answered {
    let genre = ask.text("genre")?.map(|genre| genre.to_lowercase());
    Ok(serve(&api.shop.catalogue().best_sellers(genre).await?, &ask))
}

/// Returns the latest additions to the catalogue.
///
/// Returns at most 40 games.
#[utoipa::path(get, path = "/api/games/new-in-catalog", tag = "games", operation_id = "listNewInCatalog",
    responses((status = 200, body = Answer<Vec<Game>>)))]
pub(crate) async fn new_in_catalog(State(api): Api, ask: Ask) -> Answered {
    Ok(serve(&api.shop.catalogue().new_in_catalog().await?, &ask))
}

/// Returns announced games, earliest release first.
///
/// Returns at most 30 games.
#[utoipa::path(get, path = "/api/games/preorders", tag = "games", operation_id = "listPreorders",
    responses((status = 200, body = Answer<Vec<Game>>)))]
pub(crate) async fn preorders(State(api): Api, ask: Ask) -> Answered {
    Ok(serve(&api.shop.catalogue().preorders().await?, &ask))
}

/// Returns recently released games.
///
/// Returns at most 30 games.
#[utoipa::path(get, path = "/api/games/new", tag = "games", operation_id = "listNewReleases",
    responses((status = 200, body = Answer<Vec<Game>>)))]
pub(crate) async fn new(State(api): Api, ask: Ask) -> Answered {
    Ok(serve(&api.shop.catalogue().new_releases().await?, &ask))
}

/// Returns the most popular games of a genre.
///
/// Returns at most 40 games; the best sellers if the genre has none.
#[utoipa::path(get, path = "/api/games/by-genre/{genre}", tag = "games", operation_id = "listGamesByGenre",
    params(("genre" = String, Path, max_length = 100, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Genre slug or name, case-insensitive")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "`genre` is invalid")))]
pub(crate) async fn by_genre(State(api): Api, Path(genre): Path<String>, ask: Ask) -> Answered {
    let genre = checked_text("genre", &genre)?.to_lowercase();
    Ok(serve(&api.shop.catalogue().by_genre(genre).await?, &ask))
}

/// Returns random games, a new selection on each request.
#[utoipa::path(get, path = "/api/games/random", tag = "games", operation_id = "listRandomGames",
    params(("count" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Number of games, 1–50 (default 10)")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "`count` is invalid")))]
pub(crate) async fn random(State(api): Api, ask: Ask) -> Answered {
    let count = ask.number("count", 10, 1, MAX_COUNT)?;
    let body = api.shop.catalogue().random(count).await?;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Returns the genres of the catalogue, sorted by name.
#[utoipa::path(get, path = "/api/games/genres", tag = "games", operation_id = "listGenres",
    responses((status = 200, body = Answer<Vec<NameSlug>>)))]
pub(crate) async fn genres(State(api): Api, ask: Ask) -> Answered {
    Ok(serve(&api.shop.catalogue().genres().await?, &ask))
}

/// Returns the platforms of the catalogue, sorted by name.
#[utoipa::path(get, path = "/api/games/platforms", tag = "games", operation_id = "listPlatforms",
    responses((status = 200, body = Answer<Vec<NameSlug>>)))]
pub(crate) async fn platforms(State(api): Api, ask: Ask) -> Answered {
    Ok(serve(&api.shop.catalogue().platforms().await?, &ask))
}

/// Returns the values by which the catalogue can be filtered.
#[utoipa::path(get, path = "/api/games/filter-options", tag = "games", operation_id = "getFilterOptions",
    responses((status = 200, body = Answer<FilterOptions>)))]
pub(crate) async fn filter_options(State(api): Api, ask: Ask) -> Answered {
    Ok(serve(&api.shop.catalogue().filter_options().await?, &ask))
}

/// Returns collections of games by genre and by publisher.
///
/// Returns at most ten collections.
#[utoipa::path(get, path = "/api/games/collections", tag = "games", operation_id = "listCollections",
    responses((status = 200, body = Answer<Vec<Collection>>)))]
pub(crate) async fn collections(State(api): Api, ask: Ask) -> Answered {
    Ok(serve(&api.shop.catalogue().collections().await?, &ask))
}

/// Returns a game by its slug.
///
/// A former slug finds the game as well; `slug` in the response is the current one.
#[utoipa::path(get, path = "/api/games/slug/{slug}", tag = "games", operation_id = "getGameBySlug",
    params(("slug" = String, Path, max_length = 300, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$", description = "Slug of the game, current or former")),
    responses((status = 200, body = Answer<Game>), (status = 400, description = "`slug` is invalid"), (status = 404, description = "There is no such game")))]
pub(crate) async fn by_slug(State(api): Api, Path(slug): Path<String>, ask: Ask) -> Answered {
    let slug = checked_slug(&slug)?.to_owned();
    // A text that cannot be a slug matches no game; skip the query.
    if !is_slug(&slug) {
        return Err(ApiError::NotFound("Game"));
    }
    let game = api.shop.catalogue().game_by_slug(slug).await?;
    Ok(serve(&game.ok_or(ApiError::NotFound("Game"))?, &ask))
}

/// Returns a game by its ID.
#[utoipa::path(get, path = "/api/games/{id}", tag = "games", operation_id = "getGame",
    params(("id" = GameId, Path, description = "ID of the game")),
    responses((status = 200, body = Answer<Game>), (status = 400, description = "`id` is not a UUID"), (status = 404, description = "There is no such game")))]
pub(crate) async fn by_id(State(api): Api, Path(id): Path<String>, ask: Ask) -> Answered {
    let id = GameId(uuid_in("id", &id)?);
    let game = api.shop.catalogue().game(id).await?;
    Ok(serve(&game.ok_or(ApiError::NotFound("Game"))?, &ask))
}

/// Returns games similar to a game.
///
/// Returns an empty list for an unknown ID, and for a text that is no ID.
#[utoipa::path(get, path = "/api/games/{id}/similar", tag = "games", operation_id = "listSimilarGames", params(
    ("id" = String, Path, description = "ID of the game. Any other text is no game's, and the list is empty"),
    ("count" = Option<u32>, Query, minimum = 1, maximum = 50, description = "Number of games, 1–50 (default 10)")),
    responses((status = 200, body = Answer<Vec<Game>>), (status = 400, description = "`count` is invalid")))]
pub(crate) async fn similar(State(api): Api, Path(id): Path<String>, ask: Ask) -> Answered {
    let count = ask.number("count", 10, 1, MAX_COUNT)?;
    // What is no UUID is no game's ID either; a front-end may ask with a slug. The nil UUID is no game's.
    let id = GameId(Uuid::parse_str(&id).unwrap_or_default());
    Ok(serve(&api.shop.catalogue().similar(id, count).await?, &ask))
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Builds the response from a cached body: 304 without a body if the client has it already, gzip if the client accepts
/// it.
///
/// The ETag is derived from the content and is the same for both encodings.
fn serve<T: CachedValue>(cached: &Cached<T>, ask: &Ask) -> Response {
    let unchanged = ask
        .if_none_match
        .as_ref()
        .is_some_and(|held| has_version(held, cached.etag()));
    let mut response = if unchanged {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let packed = if ask.gzip { cached.gzip() } else { None };
        let is_packed = packed.is_some();
        let mut response = Response::new(Body::from(packed.unwrap_or_else(|| cached.body().clone())));
        let headers = response.headers_mut();
        headers.reserve(16);
        headers.insert(header::CONTENT_TYPE, JSON);
        if is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_maybe_shared(cached.etag().clone()) {
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
