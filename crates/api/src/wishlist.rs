//! `/api/wishlist…`, for users and guests.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{MethodRouter, delete, get, post};
use http::StatusCode;
use lockstep_domain::cart::{Moved, Wishlist};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::GameId;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::answer::{self, Answered, Message, MessageWith};
use crate::body::{Body, request_body};
use crate::cart::game_id;
use crate::visit::{ClientPrincipal, SignedInUser};
use crate::{Api, ApiState};

#[derive(OpenApi)]
#[openapi(
    tags((name = "wishlist", description = "Wishlist of the user or guest")),
    paths(show, add, remove, check, migrate)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/wishlist", get(show).post(add)),
        ("/api/wishlist/migrate", post(migrate)),
        ("/api/wishlist/{gameId}", delete(remove)),
        ("/api/wishlist/{gameId}/check", get(check)),
    ]
}

request_body! {
    /// A game to add to the wishlist.
    struct Wish {
        game_id: GameId = "gameId",
    }
}

/// Whether a game is on the wishlist.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checked {
    /// `true` if it is.
    in_wishlist: bool,
}

/// Returns the wishlist, newest item first.
///
/// The wishlist of a principal without a session is empty.
#[utoipa::path(get, path = "/api/wishlist", tag = "wishlist", operation_id = "getWishlist", security((), ("bearer" = []), ("guest" = [])), responses((status = 200, body = Answer<Wishlist>)))]
pub(crate) async fn show(State(api): Api, visit: ClientPrincipal) -> Answered {
    let wishlist = visit.context.wishlist().await?;
    let answer = answer::body(StatusCode::OK, wishlist.body().clone());
    Ok(answer::with_cookie(answer, visit.renewed(&api.settings)))
}

/// Adds a game to the wishlist.
///
/// Succeeds as well if the game is already on it. A principal without a session becomes a guest.
#[utoipa::path(post, path = "/api/wishlist", tag = "wishlist", operation_id = "addToWishlist", security((), ("bearer" = []), ("guest" = [])), request_body = Wish, responses(
    (status = 201, body = Message), (status = 400, description = "`gameId` is invalid, or the wishlist is full"),
    (status = 404, description = "There is no such game"), (status = 429, description = "Too many new guests from this IP address")))]
pub(crate) async fn add(State(api): Api, visit: ClientPrincipal, body: Body) -> Answered {
    let sent: Wish = body.valid()?;
    put(&api, &visit, sent.game_id).await
}

/// Adds `game` to the principal's wishlist and builds the response.
pub(crate) async fn put(api: &ApiState, visit: &ClientPrincipal, game: GameId) -> Answered {
    let principal = visit.context.principal();
    let writer = api.shop.add_to_wishlist(principal, game, &visit.device).await?;
    let answer = answer::message(StatusCode::CREATED, "Added to the wishlist")?;
    Ok(answer::with_cookie(answer, visit.after(Some(writer), &api.settings)))
}

/// Removes a game from the wishlist.
///
/// Succeeds as well if the game is not on it.
#[utoipa::path(delete, path = "/api/wishlist/{gameId}", tag = "wishlist", operation_id = "removeFromWishlist", security((), ("bearer" = []), ("guest" = [])),
    params(("gameId" = GameId, Path, description = "ID of the game")),
    responses((status = 200, body = Message), (status = 400, description = "`gameId` is not a UUID")))]
pub(crate) async fn remove(State(api): Api, Path(game): Path<String>, visit: ClientPrincipal) -> Answered {
    let game = game_id(&game)?;
    api.shop.remove_from_wishlist(visit.context.principal(), game).await?;
    let answer = answer::message(StatusCode::OK, "Removed from the wishlist")?;
    Ok(answer::with_cookie(answer, visit.renewed(&api.settings)))
}

/// Reports whether a game is on the wishlist.
#[utoipa::path(get, path = "/api/wishlist/{gameId}/check", tag = "wishlist", operation_id = "checkWishlist", security((), ("bearer" = []), ("guest" = [])),
    params(("gameId" = GameId, Path, description = "ID of the game")),
    responses((status = 200, body = Answer<Checked>), (status = 400, description = "`gameId` is not a UUID")))]
pub(crate) async fn check(Path(game): Path<String>, visit: ClientPrincipal) -> Answered {
    let game = game_id(&game)?;
    let wishlist = visit.context.wishlist().await?.read()?;
    let in_wishlist = wishlist.items.iter().any(|item| item.game_id == game);
    answer::data(StatusCode::OK, &Checked { in_wishlist })
}

/// Moves the guest's wishlist to the signed-in user.
///
/// Succeeds as well if there is nothing to move.
#[utoipa::path(post, path = "/api/wishlist/migrate", tag = "wishlist", operation_id = "migrateWishlist", security(("bearer" = [])), responses(
    (status = 200, body = MessageWith<Moved>), (status = 401, description = "Not signed in")))]
pub(crate) async fn migrate(State(api): Api, member: SignedInUser) -> Answered {
    moved(&api, &member).await
}

/// Moves the guest's wishlist to the caller and builds the response.
pub(crate) async fn moved(api: &ApiState, member: &SignedInUser) -> Answered {
    let moved = api.shop.move_wishlist(&member.caller, member.context.cookie()).await?;
    answer::message_with("The wishlist was moved to your account", moved)
}
