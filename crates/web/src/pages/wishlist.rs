//! The wishlist of guests and users: reduced games, games that are back in stock, and adding to the cart with one
//! click.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_domain::GameId;
use lockstep_domain::cart::{StockAlert, WishItem};

use crate::error::PageError;
use crate::format;
use crate::forms::{self, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::pages::cart::{changed, game};
use crate::pages::form_page::notice;
use crate::pictures::Picture;
use crate::session::{self, PageUser};
use crate::titles::Title;
use crate::visit::Preferences;
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "wishlist.html")]
struct WishlistPage {
    layout: Layout,
    notice: Option<String>,
    wishes: Vec<Wish>,
    /// Sold-out games with a stock alert of the reader.
    waiting: Vec<Waiting>,
    is_member: bool,
}

struct Wish {
    id: GameId,
    slug: String,
    title: Title,
    picture: Picture,
    platforms: String,
    price: String,
    original: Option<String>,
    lowest: Option<String>,
    is_out: bool,
    is_back: bool,
    dropped: Option<String>,
}

impl Wish {
    fn new(words: Language, wish: &WishItem) -> Self {
        let game = &wish.game;
        Self {
            id: game.id,
            slug: game.slug.clone(),
            title: Title::new(words, &game.title),
            picture: Picture::cover(game.id, &game.slug, &game.image),
            platforms: game.platforms.join(", "),
            price: format::price(words, game.price),
            original: game
                .original_price
                .filter(|original| *original > game.price && game.in_stock)
                .map(|original| format::price(words, original)),
            lowest: game.lowest_price_30d.map(|price| format::price(words, price)),
            is_out: !game.in_stock,
            is_back: wish.back_in_stock,
            dropped: wish.price_drop.map(|change| changed(words, change)),
        }
    }
}

struct Waiting {
    id: GameId,
    slug: String,
    title: Title,
    picture: Picture,
}

impl Waiting {
    fn new(words: Language, alert: StockAlert) -> Self {
        let game = alert.game;
        Self {
            id: game.id,
            picture: Picture::cover(game.id, &game.slug, &game.image),
            slug: game.slug,
            title: Title::new(words, &game.title),
        }
    }
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
) -> Result<Response, PageError> {
    let words = visit.language;
    let wishlist = reader.context.wishlist().await?.read()?;
    let is_member = reader.context.caller().is_some();
    let waiting = if is_member {
        reader.context.stock_alerts().await?
    } else {
        Vec::new()
    };
    let page = WishlistPage {
        layout: Layout::of_reader(&state, &visit, &reader.context).await?,
        notice: notice(words, &visit),
        wishes: wishlist.items.iter().map(|wish| Wish::new(words, wish)).collect(),
        waiting: waiting.into_iter().map(|alert| Waiting::new(words, alert)).collect(),
        is_member,
    };
    Ok(page::fresh(StatusCode::OK, page.render()?))
}

pub(crate) async fn add(
    State(state): State<Arc<WebState>>,
    reader: PageUser,
    form: Form,
) -> Result<Response, PageError> {
    let principal = reader.context.principal();
    let writer = state
        .shop
        .add_to_wishlist(principal, game(&form)?, &reader.device)
        .await?;
    let next = Some(form.value("next")).filter(|next| forms::is_ours(next));
    let to = forms::done(next.unwrap_or("/wishlist?done=wished"));
    Ok(session::wrote(to, &writer, &state.settings))
}

pub(crate) async fn remove(
    State(state): State<Arc<WebState>>,
    reader: PageUser,
    form: Form,
) -> Result<Response, PageError> {
    state
        .shop
        .remove_from_wishlist(reader.context.principal(), game(&form)?)
        .await?;
    let next = Some(form.value("next")).filter(|next| forms::is_ours(next));
    Ok(forms::done(next.unwrap_or("/wishlist?done=unwished")))
}
