//! The cart of guests and users. Every change is a form that works without scripts and responds with a redirect;
//! `cart.js` only submits a changed quantity without a click.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::GameId;
use lockstep_domain::cart::{Cart, CartLine, PriceChange};

use crate::error::PageError;
use crate::format;
use crate::forms::{self, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::pages::form_page::notice;
use crate::pictures::Picture;
use crate::session::{self, PageUser};
use crate::titles::Title;
use crate::visit::Preferences;
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "cart.html")]
struct CartPage {
    layout: Layout,
    notice: Option<String>,
    problem: Option<String>,
    lines: Vec<Line>,
    total: String,
    copies: u64,
    /// It contains something that cannot be bought now.
    is_blocked: bool,
    is_member: bool,
}

/// One game in the cart.
pub(crate) struct Line {
    pub(crate) id: GameId,
    pub(crate) slug: String,
    pub(crate) title: Title,
    pub(crate) picture: Picture,
    pub(crate) platforms: String,
    pub(crate) quantity: u32,
    pub(crate) price: String,
    pub(crate) sum: String,
    pub(crate) is_out: bool,
    /// The key is delivered by the release date.
    pub(crate) is_preorder: bool,
    /// The price has changed since the game was added: the text, and whether it rose.
    pub(crate) changed: Option<(String, bool)>,
}

impl Line {
    pub(crate) fn new(words: Language, line: &CartLine) -> Self {
        let game = &line.game;
        let sum = game.price.checked_mul(line.quantity).unwrap_or(game.price);
        Self {
            id: game.id,
            slug: game.slug.clone(),
            title: Title::new(words, &game.title),
            picture: Picture::cover(game.id, &game.slug, &game.image),
            platforms: game.platforms.join(", "),
            quantity: line.quantity,
            price: format::price(words, game.price),
            sum: format::price(words, sum),
            is_out: !game.in_stock,
            is_preorder: game.is_preorder,
            changed: line
                .price_changed
                .map(|change| (changed(words, change), change.to > change.from)),
        }
    }
}

/// The text for a change of price.
pub(crate) fn changed(words: Language, change: PriceChange) -> String {
    let prices = (format::price(words, change.from), format::price(words, change.to));
    if change.to > change.from {
        words.with_all("cart.price.rose", &[&prices.0, &prices.1])
    } else {
        words.with_all("cart.price.fell", &[&prices.0, &prices.1])
    }
}

async fn show(
    state: &WebState,
    visit: &Preferences,
    reader: &PageUser,
    cart: &Cart,
    form: &Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let page = CartPage {
        layout: Layout::of_reader(state, visit, &reader.context).await?,
        notice: notice(words, visit),
        problem: form.problem().map(str::to_owned),
        lines: cart.items.iter().map(|line| Line::new(words, line)).collect(),
        total: format::price(words, cart.total),
        copies: cart.items.iter().map(|line| u64::from(line.quantity)).sum(),
        is_blocked: cart.items.iter().any(|line| !line.game.in_stock),
        is_member: reader.context.caller().is_some(),
    };
    Ok(page::fresh(form.status(), page.render()?))
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
) -> Result<Response, PageError> {
    let cart = reader.context.cart().await?.read()?;
    show(&state, &visit, &reader, &cart, &Form::default()).await
}

/// The game that a form names.
pub(crate) fn game(form: &Form) -> Result<GameId, PageError> {
    form.value("game")
        .parse()
        .map(GameId)
        .map_err(|_| PageError::BadRequest)
}

pub(crate) async fn add(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let game = game(&form)?;
    let quantity = match form.value("quantity") {
        "" => 1,
        text => text.parse().unwrap_or(0),
    };
    let principal = reader.context.principal();
    match state
        .shop
        .add_to_cart(principal, game, quantity, &reader.device, None)
        .await
    {
        Ok(writer) => {
            let next = Some(form.value("next")).filter(|next| forms::is_ours(next));
            let to = forms::done(next.unwrap_or("/cart?done=added"));
            return Ok(session::wrote(to, &writer, &state.settings));
        }
        Err(error) => form.refuse_shop(visit.language, error, &[])?,
    }
    let cart = reader.context.cart().await?.read()?;
    show(&state, &visit, &reader, &cart, &form).await
}

/// Sets the quantity, either absolute or relative (`step`) to the one that the form shows.
pub(crate) async fn set(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let game = game(&form)?;
    let step: i64 = form.value("step").parse().unwrap_or(0);
    match form.value("quantity").parse::<i64>() {
        Err(_) => form.wrong("", words.text("wrong.quantity")),
        Ok(quantity) => {
            let quantity = quantity.saturating_add(step.clamp(-1, 1));
            let principal = reader.context.principal();
            match state.shop.set_in_cart(principal, game, quantity, &reader.device).await {
                Ok(writer) => {
                    let to = forms::done(if quantity > 0 {
                        "/cart?done=changed"
                    } else {
                        "/cart?done=removed"
                    });
                    return Ok(match writer {
                        Some(writer) => session::wrote(to, &writer, &state.settings),
                        None => to,
                    });
                }
                Err(error) => form.refuse_shop(words, error, &[])?,
            }
        }
    }
    let cart = reader.context.cart().await?.read()?;
    show(&state, &visit, &reader, &cart, &form).await
}

pub(crate) async fn remove(
    State(state): State<Arc<WebState>>,
    reader: PageUser,
    form: Form,
) -> Result<Response, PageError> {
    state
        .shop
        .remove_from_cart(reader.context.principal(), game(&form)?)
        .await?;
    Ok(forms::done("/cart?done=removed"))
}
