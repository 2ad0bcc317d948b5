//! The first page: games with cover, price and stock, a search, and how old the shop's knowledge is.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use chrono::{DateTime, Utc};
use lockstep_cache::{Payload, ReadError};
use lockstep_domain::Money;
use lockstep_domain::catalogue::{Answer, CatalogQuery, Game, Page};
use lockstep_store::{StoreError, games};

use crate::assets::STYLESHEET_ADDRESS;
use crate::{Progress, WebState};

/// The longest search that is looked up; the field does not take more.
const MAX_SEARCH: usize = 100;

/// What every page shows around its content.
struct Frame {
    stylesheet: &'static str,
    search: String,
    sandbox: bool,
    checked: String,
}

#[derive(Template)]
#[template(path = "index.html")]
struct Index {
    frame: Frame,
    games: Vec<Card>,
    total: String,
    page: u32,
    pages: u64,
    previous: Option<String>,
    next: Option<String>,
    progress: Option<Progress>,
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct Trouble {
    stylesheet: &'static str,
    title: &'static str,
    advice: &'static str,
}

/// One game as the list shows it.
struct Card {
    title: String,
    image: String,
    place: String,
    price: Money,
    original_price: Option<Money>,
    discount: i32,
    stock: String,
    stock_class: &'static str,
}

impl From<Game> for Card {
    fn from(game: Game) -> Self {
        let place = [game.activation_service, game.region]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" · ");
        let (stock, stock_class) = match (game.in_stock, game.is_preorder) {
            (true, true) => (
                format!("Preorder, out {}", game.release_date.format("%-d %B %Y")),
                "pre",
            ),
            (true, false) => ("In stock".to_owned(), ""),
            (false, _) => ("Sold out".to_owned(), "out"),
        };
        Self {
            title: game.title,
            image: game.image,
            place,
            price: game.price,
            original_price: game.original_price,
            discount: game.discount.unwrap_or(0),
            stock,
            stock_class,
        }
    }
}

/// `GET /?search=…&page=…`
pub(crate) async fn index(State(state): State<Arc<WebState>>, RawQuery(raw): RawQuery) -> Response {
    let Some((search, page)) = asked(raw.as_deref().unwrap_or_default()) else {
        return trouble(
            StatusCode::BAD_REQUEST,
            "That address is not quite right",
            "The page number or the search cannot be read.",
        );
    };
    let query = CatalogQuery {
        page,
        search: Some(search.clone()).filter(|text| !text.is_empty()),
        ..CatalogQuery::default()
    };
    let found = match page_of(&state, query).await {
        Ok(found) => found,
        Err(ReadError::Unavailable) => {
            return trouble(
                StatusCode::SERVICE_UNAVAILABLE,
                "We will be right back",
                "The shop's database does not answer at the moment. Nothing is lost; please try again in a minute.",
            );
        }
        Err(error @ ReadError::Load(_)) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the first page could not be made"
            );
            return trouble(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "It was our fault, and it has been noted.",
            );
        }
    };
    let supply = state.supply.borrow().clone();
    let pages = found.total_pages.max(1);
    let link = |page: u64| {
        let mut link = form_urlencoded::Serializer::new("/?".to_owned());
        if !search.is_empty() {
            link.append_pair("search", &search);
        }
        link.append_pair("page", &page.to_string()).finish()
    };
    let page_now = u64::from(page);
    let template = Index {
        games: found.data.into_iter().map(Card::from).collect(),
        total: grouped(found.total),
        page,
        pages,
        previous: (page > 1).then(|| link(page_now - 1)),
        next: (page_now < pages).then(|| link(page_now + 1)),
        progress: supply.progress,
        frame: Frame {
            stylesheet: STYLESHEET_ADDRESS.as_str(),
            search,
            sandbox: state.sandbox,
            checked: age(supply.checked_at, Utc::now()),
        },
    };
    rendered(StatusCode::OK, &template)
}

/// One page of the catalogue, from the answer that the API gives for the same question.
async fn page_of(state: &WebState, query: CatalogQuery) -> Result<Page<Game>, ReadError> {
    let entry = state
        .cache
        .read(query.cache_key(), move |store| async move {
            let page = store
                .read(move |tx| Box::pin(async move { games::page(tx, &query).await }))
                .await?;
            let payload =
                Payload::json(&Answer::new(page.value)).map_err(|error| StoreError::Schema(error.to_string()))?;
            Ok(lockstep_store::Stamped {
                stamp: page.stamp,
                value: payload,
            })
        })
        .await?;
    let unreadable = |error: serde_json::Error| ReadError::Load(Arc::new(StoreError::Schema(error.to_string())));
    Ok(serde_json::from_slice::<Answer<Page<Game>>>(&entry.body)
        .map_err(unreadable)?
        .data)
}

/// Search text and page of a query string; `None` when they make no sense.
fn asked(raw: &str) -> Option<(String, u32)> {
    let (mut search, mut page) = (String::new(), 1);
    for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
        match name.as_ref() {
            "search" => value.trim().clone_into(&mut search),
            "page" => page = value.parse().ok().filter(|page| (1..=100_000).contains(page))?,
            _ => {}
        }
    }
    let sound = search.chars().count() <= MAX_SEARCH && !search.chars().any(char::is_control);
    sound.then_some((search, page))
}

/// `12345` as `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How old the shop's knowledge is, in words.
fn age(checked_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let Some(checked_at) = checked_at else {
        return "Prices and stock have not been checked with G2A yet.".to_owned();
    };
    let minutes = (now - checked_at).num_minutes().max(0);
    let ago = match minutes {
        0 => "less than a minute ago".to_owned(),
        1 => "a minute ago".to_owned(),
        2..=119 => format!("{minutes} minutes ago"),
        120..=2879 => format!("{} hours ago", minutes / 60),
        _ => format!("{} days ago", minutes / 60 / 24),
    };
    format!("Prices and stock checked with G2A {ago}.")
}

/// Any address that is no page.
pub(crate) async fn nothing_here() -> Response {
    trouble(
        StatusCode::NOT_FOUND,
        "There is nothing here",
        "The address may be mistyped, or the page has moved.",
    )
}

/// A page that could not be made because of a bug; the panic itself has been logged.
pub(crate) fn after_a_panic(_panic: Box<dyn std::any::Any + Send>) -> Response {
    trouble(
        StatusCode::INTERNAL_SERVER_ERROR,
        "Something went wrong",
        "It was our fault, and it has been noted.",
    )
}

fn trouble(status: StatusCode, title: &'static str, advice: &'static str) -> Response {
    rendered(
        status,
        &Trouble {
            stylesheet: STYLESHEET_ADDRESS.as_str(),
            title,
            advice,
        },
    )
}

fn rendered(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, [(header::CACHE_CONTROL, "no-cache")], Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a template failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nonsense_is_told() {
        assert_eq!(asked(""), Some((String::new(), 1)));
        assert_eq!(asked("search=a+b%26c&page=3&x=1"), Some(("a b&c".into(), 3)));
        for nonsense in ["page=0", "page=-1", "page=x", "search=%00", "page=99999999999"] {
            assert_eq!(asked(nonsense), None, "{nonsense}");
        }
        assert_eq!(asked(&format!("search={}", "a".repeat(101))), None);
    }

    #[test]
    fn numbers_and_ages_are_for_people() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1000), grouped(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        let now = Utc::now();
        assert!(age(Some(now - chrono::Duration::minutes(3)), now).contains("3 minutes ago"));
        assert!(age(Some(now - chrono::Duration::hours(5)), now).contains("5 hours ago"));
        assert!(age(None, now).contains("not been checked"));
    }
}
