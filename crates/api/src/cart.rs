//! `/api/cart…`: for members and guests alike.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, post, put};
use http::StatusCode;
use lockstep_auth::cookies;
use lockstep_domain::cart::Owner;
use lockstep_domain::cart::{Cart, Moved};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::GameId;
use lockstep_shop::Writer;
use utoipa::{OpenApi, ToSchema};

use crate::answer::{self, Answered, Message, MessageWith};
use crate::body::{Body, uuid_in};
use crate::error::ApiError;
use crate::visit::{Key, Member, Visit};
use crate::{Api, ApiState, Settings};

#[derive(OpenApi)]
#[openapi(
    tags((name = "cart", description = "What a member or a guest wants to buy")),
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

/// What to put in.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct NewLine {
    game_id: GameId,
    /// Copies on top of those already there.
    #[schema(value_type = u32, required = false, minimum = 1, maximum = 10_000, default = 1)]
    quantity: Option<u32>,
}

/// How many.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Body` reads")]
struct Quantity {
    /// Copies; zero or less takes the line out.
    #[schema(maximum = 10_000)]
    quantity: i64,
}

/// The cart at the prices of now, newest line first; empty for whoever has none. A browser without a session gets a token
/// (cookie `nextGuest`, an hour) that makes its first writes, however many at once, those of one guest.
#[utoipa::path(get, path = "/api/cart", tag = "cart", operation_id = "getCart", security((), ("bearer" = []), ("guest" = [])), responses((status = 200, body = Answer<Cart>)))]
pub(crate) async fn show(State(api): Api, visit: Visit) -> Answered {
    let cart = visit.arrival.cart().await?;
    let answer = answer::body(StatusCode::OK, cart.body().clone());
    // The one answer of its own that every page of a shop asks for once.
    let token = visit
        .arrival
        .needs_guest_token()
        .then(|| api.shop.auth().set_guest_token(api.settings.production));
    Ok(answer::with_cookie(answer, visit.renewed(&api.settings).or(token)))
}

/// Puts copies of a game in, on top of those already there. A visitor without a session becomes a guest by it.
#[utoipa::path(post, path = "/api/cart", tag = "cart", operation_id = "addToCart", security((), ("bearer" = []), ("guest" = [])), request_body = NewLine, params(
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "For a day, the same key and body adds once; the same key with another body is refused (409)")), responses(
    (status = 201, body = Message), (status = 400, description = "Fields that are wrong, out of stock, or more than fits"),
    (status = 404, description = "There is no such game"), (status = 409, description = "The key was used for another request"), (status = 429, description = "Too many new guests from one address")))]
pub(crate) async fn add(State(api): Api, visit: Visit, Key(key): Key, body: Body) -> Answered {
    let mut form = body.form();
    let game = form.game("gameId");
    let quantity = form.whole_number_or("quantity", 1);
    let game = form.finish(game.ok_or_else(Vec::new))?;
    let visitor = visit.arrival.visitor();
    let writer = api
        .shop
        .add_to_cart(visitor, game, quantity, &visit.device, key.as_ref())
        .await?;
    let answer = answer::message(StatusCode::CREATED, "Added to the cart")?;
    Ok(answer::with_cookie(answer, visit.after(Some(writer), &api.settings)))
}

/// Takes everything out.
#[utoipa::path(delete, path = "/api/cart", tag = "cart", operation_id = "clearCart", security((), ("bearer" = []), ("guest" = [])), responses((status = 200, body = Message)))]
pub(crate) async fn clear(State(api): Api, visit: Visit) -> Answered {
    api.shop.clear_cart(visit.arrival.visitor()).await?;
    let answer = answer::message(StatusCode::OK, "The cart is empty")?;
    Ok(answer::with_cookie(answer, visit.renewed(&api.settings)))
}

/// Sets how many copies are in the cart.
#[utoipa::path(put, path = "/api/cart/{gameId}", tag = "cart", operation_id = "setInCart", security((), ("bearer" = []), ("guest" = [])),
    params(("gameId" = GameId, Path, description = "Identifier")), request_body = Quantity, responses(
    (status = 200, body = Message), (status = 400, description = "Fields that are wrong, out of stock, or more than fits"),
    (status = 404, description = "There is no such game")))]
pub(crate) async fn set(State(api): Api, Path(game): Path<String>, visit: Visit, body: Body) -> Answered {
    let game = game_id(&game)?;
    let mut form = body.form();
    let quantity = form.required_number("quantity");
    form.finish(Ok(()))?;
    let visitor = visit.arrival.visitor();
    let writer = api.shop.set_in_cart(visitor, game, quantity, &visit.device).await?;
    let answer = answer::message(StatusCode::OK, "The cart is changed")?;
    Ok(answer::with_cookie(answer, visit.after(writer, &api.settings)))
}

/// Takes a game out; fine when it is not there.
#[utoipa::path(delete, path = "/api/cart/{gameId}", tag = "cart", operation_id = "removeFromCart", security((), ("bearer" = []), ("guest" = [])),
    params(("gameId" = GameId, Path, description = "Identifier")),
    responses((status = 200, body = Message), (status = 400, description = "gameId is not a UUID")))]
pub(crate) async fn remove(State(api): Api, Path(game): Path<String>, visit: Visit) -> Answered {
    let game = game_id(&game)?;
    api.shop.remove_from_cart(visit.arrival.visitor(), game).await?;
    let answer = answer::message(StatusCode::OK, "Taken out of the cart")?;
    Ok(answer::with_cookie(answer, visit.renewed(&api.settings)))
}

/// Moves what was collected as a guest to the caller; nothing to move is fine.
#[utoipa::path(post, path = "/api/cart/migrate", tag = "cart", operation_id = "migrateCart", security(("bearer" = [])), responses(
    (status = 200, body = MessageWith<Moved>), (status = 401, description = "Not signed in")))]
pub(crate) async fn migrate(State(api): Api, member: Member) -> Answered {
    let moved = api.shop.move_cart(&member.caller, member.arrival.cookie()).await?;
    answer::message_with("The cart is moved", moved)
}

/// The game in a path.
pub(crate) fn game_id(text: &str) -> Result<GameId, ApiError> {
    uuid_in("gameId", text).map(GameId)
}

impl Visit {
    /// The guest's cookie, when its life was prolonged by the visit.
    pub(crate) fn renewed(&self, settings: &Settings) -> Option<http::HeaderValue> {
        self.arrival
            .renewed()
            .map(|session| cookies::set_guest(session, settings.production))
    }

    /// The guest's cookie after a write: a new guest's, or one whose life was prolonged.
    pub(crate) fn after(&self, writer: Option<Writer>, settings: &Settings) -> Option<http::HeaderValue> {
        match writer {
            Some(Writer {
                owner: Owner::Guest(id),
                minted: true,
            }) => Some(cookies::set_guest(id.0, settings.production)),
            _ => self.renewed(settings),
        }
    }
}
