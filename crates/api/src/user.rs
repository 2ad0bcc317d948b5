//! `/api/user…`: the user's account in the form of the existing front-end: profile, password, statistics, wishlist.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use http::StatusCode;
use http::header::{self, HeaderValue};
use lockstep_domain::account::{Figures, Profile, ProfileChange};
use lockstep_domain::cart::{MiniGame, Moved, WishItem};
use lockstep_domain::catalogue::{Answer, Game, Page};
use lockstep_domain::ids::GameId;
use lockstep_domain::secret::Secret;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::answer::{self, Answered, Message, MessageWith};
use crate::body::{Body, request_body};
use crate::cart::game_id;
use crate::params::Ask;
use crate::visit::{ClientPrincipal, SignedInUser};
use crate::{Api, ApiState, auth, games, wishlist};

#[derive(OpenApi)]
#[openapi(
    tags((name = "user", description = "The account of the signed-in user")),
    paths(profile, change_profile, change_password, stats, log_out, wishes, add_wish, remove_wish, migrate_wishes, catalog, catalog_game)
)]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/user/profile", get(profile).put(change_profile)),
        ("/api/user/password", put(change_password)),
        ("/api/user/stats", get(stats)),
        ("/api/user/logout", post(log_out)),
        ("/api/user/wishlist", get(wishes)),
        ("/api/user/wishlist/migrate", post(migrate_wishes)),
        ("/api/user/wishlist/{gameId}", delete(remove_wish).post(add_wish)),
        ("/api/user/catalog", get(catalog)),
        ("/api/user/catalog/{id}", get(catalog_game)),
    ]
}

request_body! {
    /// A change; what is left out stays.
    struct NewNames {
        nickname: Option<String> = "nickname" => changed_text(),
        first_name: Option<String> = "firstName" => changed_text(),
        last_name: Option<String> = "lastName" => changed_text(),
        /// Address of a picture, https. One that was uploaded on the profile page has an address of this shop.
        avatar: Option<String> = "avatar" => changed_text(),
    }
}

request_body! {
    /// Both passwords.
    struct Passwords {
        current_password: String = "currentPassword",
        new_password: String = "newPassword",
    }
}

/// A wishlist item in both forms that clients use: with the game nested, and with the game's fields at the top level.
#[derive(Serialize, ToSchema)]
struct FlatWish {
    #[serde(flatten)]
    game: MiniGame,
    #[serde(flatten)]
    wish: WishItem,
}

/// Returns the profile of the signed-in user.
#[utoipa::path(get, path = "/api/user/profile", tag = "user", operation_id = "getProfile", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Profile>), (status = 401, description = "Not signed in")))]
pub(crate) async fn profile(State(api): Api, member: SignedInUser) -> Answered {
    let facts = member.context.profile().await?;
    answer::data(StatusCode::OK, &facts.at(api.now(), &api.settings.public_url))
}

/// Changes the given names and picture.
///
/// An empty string or `null` clears a field; a field that is absent stays unchanged.
#[utoipa::path(put, path = "/api/user/profile", tag = "user", operation_id = "changeProfile", security(("bearer" = [])), request_body = NewNames, responses(
    (status = 200, body = Answer<Profile>), (status = 400, description = "Invalid fields, listed in `errors`"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn change_profile(State(api): Api, member: SignedInUser, body: Body) -> Answered {
    let (sent, form) = body.read::<NewNames>();
    let known = member.context.profile().await?;
    // The address as it was served: a picture of this shop is not always at an https address.
    let avatar = sent.avatar.as_deref().filter(|sent| !known.has_avatar(sent));
    let change = form.finish(ProfileChange::check(
        sent.nickname.as_deref(),
        sent.first_name.as_deref(),
        sent.last_name.as_deref(),
        avatar,
    ))?;
    let facts = api.shop.change_profile(&member.caller, &change).await?;
    answer::data(StatusCode::OK, &facts.at(api.now(), &api.settings.public_url))
}

/// Sets a new password.
///
/// All other sessions of the user end.
#[utoipa::path(put, path = "/api/user/password", tag = "user", operation_id = "changePassword", security(("bearer" = [])), request_body = Passwords, responses(
    (status = 200, body = Message), (status = 400, description = "The current password is wrong, or the new one is invalid"),
    (status = 401, description = "Not signed in"), (status = 429, description = "Too many attempts; retry after `Retry-After` seconds")))]
pub(crate) async fn change_password(State(api): Api, member: SignedInUser, body: Body) -> Answered {
    let sent: Passwords = body.valid()?;
    let current = Secret::new(sent.current_password);
    api.shop
        .auth()
        .change_password(&member.caller, &current, &sent.new_password, &member.device)
        .await?;
    answer::message(
        StatusCode::OK,
        "Your password has been changed and your other devices are logged out",
    )
}

/// Returns statistics about the signed-in user.
#[utoipa::path(get, path = "/api/user/stats", tag = "user", operation_id = "getStats", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Figures>), (status = 401, description = "Not signed in")))]
pub(crate) async fn stats(State(api): Api, member: SignedInUser) -> Answered {
    let facts = member.context.profile().await?;
    answer::data(StatusCode::OK, &facts.figures_at(api.now()))
}

/// Ends the session (alias of `/api/auth/logout`).
#[utoipa::path(post, path = "/api/user/logout", tag = "user", operation_id = "logOutAsUser", security(("bearer" = [])), responses(
    (status = 200, body = Message), (status = 401, description = "Not signed in")))]
pub(crate) async fn log_out(api: Api, member: SignedInUser) -> Answered {
    auth::logout(api, member).await
}

/// Returns the wishlist of the user as a flat list.
#[utoipa::path(get, path = "/api/user/wishlist", tag = "user", operation_id = "listWishes", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Vec<FlatWish>>), (status = 401, description = "Not signed in")))]
pub(crate) async fn wishes(member: SignedInUser) -> Answered {
    let wishlist = member.context.wishlist().await?.read()?;
    let flat: Vec<FlatWish> = wishlist
        .items
        .into_iter()
        .map(|wish| FlatWish {
            game: wish.game.clone(),
            wish,
        })
        .collect();
    answer::data(StatusCode::OK, &flat)
}

/// Adds a game to the wishlist of the user.
///
/// Succeeds as well if the game is already on it.
#[utoipa::path(post, path = "/api/user/wishlist/{gameId}", tag = "user", operation_id = "addWish", security(("bearer" = [])),
    params(("gameId" = GameId, Path, description = "ID of the game")), responses(
    (status = 201, body = Message), (status = 400, description = "`gameId` is not a UUID, or the wishlist is full"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is no such game")))]
pub(crate) async fn add_wish(State(api): Api, Path(game): Path<String>, visit: ClientPrincipal) -> Answered {
    visit.context.signed_in()?;
    wishlist::put(&api, &visit, game_id(&game)?).await
}

/// Removes a game from the wishlist of the user.
///
/// Succeeds as well if the game is not on it.
#[utoipa::path(delete, path = "/api/user/wishlist/{gameId}", tag = "user", operation_id = "removeWish", security(("bearer" = [])),
    params(("gameId" = GameId, Path, description = "ID of the game")), responses(
    (status = 200, body = Message), (status = 400, description = "`gameId` is not a UUID"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn remove_wish(State(api): Api, Path(game): Path<String>, member: SignedInUser) -> Answered {
    let game = game_id(&game)?;
    api.shop.remove_from_wishlist(member.caller.principal(), game).await?;
    answer::message(StatusCode::OK, "Removed from the wishlist")
}

/// Moves the guest's wishlist to the user (alias of `/api/wishlist/migrate`).
#[utoipa::path(post, path = "/api/user/wishlist/migrate", tag = "user", operation_id = "migrateWishes", security(("bearer" = [])), responses(
    (status = 200, body = MessageWith<Moved>), (status = 401, description = "Not signed in")))]
pub(crate) async fn migrate_wishes(State(api): Api, member: SignedInUser) -> Answered {
    wishlist::moved(&api, &member).await
}

/// Returns a page of the catalogue (like `/api/games`, for signed-in users).
#[utoipa::path(get, path = "/api/user/catalog", tag = "user", operation_id = "listGamesAsUser", security(("bearer" = [])), responses(
    (status = 200, body = Answer<Page<Game>>), (status = 400, description = "Invalid parameter; the message names it"),
    (status = 401, description = "Not signed in")))]
pub(crate) async fn catalog(api: Api, _member: SignedInUser, ask: Ask) -> Answered {
    games::list(api, ask).await.map(for_one)
}

/// Returns a game by its ID (like `/api/games/{id}`, for signed-in users).
#[utoipa::path(get, path = "/api/user/catalog/{id}", tag = "user", operation_id = "getGameAsUser", security(("bearer" = [])),
    params(("id" = GameId, Path, description = "ID of the game")), responses(
    (status = 200, body = Answer<Game>), (status = 400, description = "`id` is not a UUID"),
    (status = 401, description = "Not signed in"), (status = 404, description = "There is no such game")))]
pub(crate) async fn catalog_game(api: Api, id: Path<String>, _member: SignedInUser, ask: Ask) -> Answered {
    games::by_id(api, id, ask).await.map(for_one)
}

/// Marks a response as private: it requires a token, so no cache may store it.
fn for_one(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
