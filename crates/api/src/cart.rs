//! `/api/cart…`, for users and guests.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, post, put};
use http::StatusCode;
use lockstep_auth::cookies;
use lockstep_domain::cart::CartOwner;
use lockstep_domain::cart::{Cart, Moved};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::GameId;
use lockstep_shop::Writer;
use utoipa::OpenApi;

use crate::answer::{self, Answered, Message, MessageWith};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::visit::{ClientPrincipal, Key, SignedInUser};
use crate::{Api, ApiState, Settings};

#[derive(OpenApi)]
#[openapi(
    tags((name = "cart", description = "Cart of the user or guest")),
    paths(show, add, clear, set, remove, migrate)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/cart", get(show).post(add).delete(clear)),
        ("/api/cart/migrate", post(migrate)),
        ("/api/cart/{gameId}", put(set).delete(remove)),
    ]
}

request_body! {
    /// A game to add to the cart.
    struct NewLine {
        game_id: GameId = "gameId",
        /// Number of copies to add to those already in the cart.
        #[schema(value_type = u32, required = false, minimum = 1, maximum = 10_000, default = 1)]
        quantity: i64 = "quantity" => whole_number_or(1),
    }
}

request_body! {
    /// The new quantity of a cart item.
    struct Quantity {
        /// Number of copies; zero or less removes the item.
        #[schema(maximum = 10_000)]
        quantity: i64 = "quantity",
    }
}

/// Returns the cart at current prices, newest item first.
///
/// The cart of a principal without a session is empty. Such a browser receives the cookie `nextGuest`, valid for an hour,
/// which assigns its first writes, even concurrent ones, to a single guest.
#[utoipa::path(get, path = "/api/cart", tag = "cart", operation_id = "getCart", security((), ("bearer" = []), ("guest" = [])), responses((status = 200, body = Answer<Cart>)))]
pub(crate) async fn show(State(api): Api, visit: ClientPrincipal) -> Answered {
    let cart = visit.context.cart().await?;
    let answer = answer::body(StatusCode::OK, cart.body().clone());
    // The only per-client response that every page of a shop requests once.
    let token = visit
        .context
        .needs_guest_token()
        .then(|| api.shop.auth().set_guest_token(api.settings.production));
    Ok(answer::with_cookie(answer, visit.renewed(&api.settings).or(token)))
}

/// Adds copies of a game to those already in the cart.
///
/// A principal without a session becomes a guest.
#[utoipa::path(post, path = "/api/cart", tag = "cart", operation_id = "addToCart", security((), ("bearer" = []), ("guest" = [])), request_body = NewLine, params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "For a day, a repeated key with the same body adds once; with another body it is refused (409)")), responses(
    (status = 201, body = Message), (status = 400, description = "Invalid fields, the game is out of stock, or the cart is full"),
    (status = 404, description = "There is no such game"), (status = 409, description = "The key was used with another body"), (status = 429, description = "Too many new guests from this IP address")))]
pub(crate) async fn add(State(api): Api, visit: ClientPrincipal, Key(key): Key, body: Body) -> Answered {
    let sent: NewLine = body.valid()?;
    let principal = visit.context.principal();
    let writer = api
        .shop
        .add_to_cart(principal, sent.game_id, sent.quantity, &visit.device, key.as_ref())
        .await?;
    let answer = answer::message(StatusCode::CREATED, "Added to the cart")?;
    Ok(answer::with_cookie(answer, visit.after(Some(writer), &api.settings)))
}

/// Removes everything from the cart.
#[utoipa::path(delete, path = "/api/cart", tag = "cart", operation_id = "clearCart", security((), ("bearer" = []), ("guest" = [])), responses((status = 200, body = Message)))]
pub(crate) async fn clear(State(api): Api, visit: ClientPrincipal) -> Answered {
    api.shop.clear_cart(visit.context.principal()).await?;
    let answer = answer::message(StatusCode::OK, "The cart is empty")?;
    Ok(answer::with_cookie(answer, visit.renewed(&api.settings)))
}

/// Sets the quantity of a game in the cart.
#[utoipa::path(put, path = "/api/cart/{gameId}", tag = "cart", operation_id = "setInCart", security((), ("bearer" = []), ("guest" = [])),
    params(("gameId" = GameId, Path, description = "ID of the game")), request_body = Quantity, responses(
    (status = 200, body = Message), (status = 400, description = "Invalid fields, the game is out of stock, or the cart is full"),
    (status = 404, description = "There is no such game")))]
pub(crate) async fn set(State(api): Api, Path(game): Path<String>, visit: ClientPrincipal, body: Body) -> Answered {
    let game = game_id(&game)?;
    let Quantity { quantity } = body.valid()?;
    let principal = visit.context.principal();
    let writer = api.shop.set_in_cart(principal, game, quantity, &visit.device).await?;
    let answer = answer::message(StatusCode::OK, "The cart has been updated")?;
    Ok(answer::with_cookie(answer, visit.after(writer, &api.settings)))
}

/// Removes a game from the cart.
///
/// Succeeds as well if the game is not in it.
#[utoipa::path(delete, path = "/api/cart/{gameId}", tag = "cart", operation_id = "removeFromCart", security((), ("bearer" = []), ("guest" = [])),
    params(("gameId" = GameId, Path, description = "ID of the game")),
    responses((status = 200, body = Message), (status = 400, description = "`gameId` is not a UUID")))]
pub(crate) async fn remove(State(api): Api, Path(game): Path<String>, visit: ClientPrincipal) -> Answered {
    let game = game_id(&game)?;
    api.shop.remove_from_cart(visit.context.principal(), game).await?;
    let answer = answer::message(StatusCode::OK, "Removed from the cart")?;
    Ok(answer::with_cookie(answer, visit.renewed(&api.settings)))
}

/// Moves the guest's cart to the signed-in user.
///
/// Succeeds as well if there is nothing to move.
#[utoipa::path(post, path = "/api/cart/migrate", tag = "cart", operation_id = "migrateCart", security(("bearer" = [])), responses(
    (status = 200, body = MessageWith<Moved>), (status = 401, description = "Not signed in")))]
pub(crate) async fn migrate(State(api): Api, member: SignedInUser) -> Answered {
    let moved = api.shop.move_cart(&member.caller, member.context.cookie()).await?;
    answer::message_with("The cart was moved to your account", moved)
}

/// Parses the game ID of a path.
pub(crate) fn game_id(text: &str) -> Result<GameId, ApiError> {
    uuid_in("gameId", text).map(GameId)
}

impl ClientPrincipal {
    /// The guest cookie, if this visit extended its lifetime.
    pub(crate) fn renewed(&self, settings: &Settings) -> Option<http::HeaderValue> {
        self.context
            .renewed()
            .map(|session| cookies::set_guest(session, settings.production))
    }

    /// The guest cookie after a write: that of a new guest, or one with an extended lifetime.
    pub(crate) fn after(&self, writer: Option<Writer>, settings: &Settings) -> Option<http::HeaderValue> {
        match writer {
            Some(Writer {
                owner: CartOwner::Guest(id),
                minted: true,
            }) => Some(cookies::set_guest(id.0, settings.production)),
            _ => self.renewed(settings),
        }
    }
}
