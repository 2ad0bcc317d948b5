//! Accounts, their carts and their wishlists.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::Path;
use axum::routing::{MethodRouter, get};
use http::StatusCode;
use lockstep_admin::{ActivityKind, CartFilter, UserFilter};
use lockstep_domain::admin::{Activity, CartList, UserDetail, UserList, WishlistList};
use lockstep_domain::cart::{Cart, Wishlist};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::UserId;
use utoipa::OpenApi;

use super::{Staff, days, found, page};
use crate::ApiState;
use crate::answer::{self, Answered};
use crate::body::uuid_in;
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(users, user, activity, carts, cart, wishlists, wishlist))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![
        ("/api/admin/users", get(users)),
        ("/api/admin/users/{id}", get(user)),
        ("/api/admin/users/{id}/activity", get(activity)),
        ("/api/admin/carts", get(carts)),
        ("/api/admin/carts/user/{userId}", get(cart)),
        ("/api/admin/wishlists", get(wishlists)),
        ("/api/admin/wishlists/user/{userId}", get(wishlist)),
    ]
}

/// Accounts that were not deleted, the newest first.
#[utoipa::path(get, path = "/api/admin/users", tag = "admin", operation_id = "adminUsers", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "From 1 (default 1)"),
    ("pageSize" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "1–1,000 (default 50)"),
    ("query" = Option<String>, Query, max_length = 100, description = "Part of the address, the nickname or a name"),
    ("email" = Option<String>, Query, max_length = 100, description = "Part of the address"),
    ("name" = Option<String>, Query, max_length = 100, description = "Part of the nickname or a name")),
    responses((status = 200, description = "A page of accounts", body = Answer<UserList>),
    (status = 400, description = "A parameter cannot be used"), (status = 403, description = "Not signed in as an admin")))]
pub(crate) async fn users(staff: Staff, ask: Ask) -> Answered {
    let filter = UserFilter {
        query: ask.text("query")?,
        email: ask.text("email")?,
        name: ask.text("name")?,
    };
    let users = staff.office.users(&staff.admin, &filter, page(&ask, 50)?).await?;
    answer::data(StatusCode::OK, &users)
}

/// An account with its newest orders and bookings.
#[utoipa::path(get, path = "/api/admin/users/{id}", tag = "admin", operation_id = "adminUser", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The account")),
    responses((status = 200, description = "The account", body = Answer<UserDetail>),
    (status = 400, description = "id is not a UUID"), (status = 403, description = "Not signed in as an admin"),
    (status = 404, description = "There is no such account")))]
pub(crate) async fn user(Path(id): Path<String>, staff: Staff) -> Answered {
    let user = staff.office.user(&staff.admin, UserId(uuid_in("id", &id)?)).await?;
    answer::data(StatusCode::OK, &found(user, "User")?)
}

/// What `activityType` may be.
struct Kind(ActivityKind);

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "login" => Ok(Self(ActivityKind::Login)),
            "order" => Ok(Self(ActivityKind::Order)),
            "transaction" => Ok(Self(ActivityKind::Transaction)),
            "all" | "" => Ok(Self(ActivityKind::All)),
            _ => Err("must be login, order, transaction or all"),
        }
    }
}

/// What an account did: the newest hundred of each kind.
#[utoipa::path(get, path = "/api/admin/users/{id}/activity", tag = "admin", operation_id = "adminUserActivity", security(("bearer" = [])), params(
    ("id" = Uuid, Path, description = "The account"),
    ("activityType" = Option<String>, Query, max_length = 100, description = "login, order, transaction or all (default all)"),
    ("startDate" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD, UTC"),
    ("endDate" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD, UTC")),
    responses((status = 200, description = "What it did", body = Answer<Activity>),
    (status = 400, description = "A parameter cannot be used"), (status = 403, description = "Not signed in as an admin"),
    (status = 404, description = "There is no such account")))]
pub(crate) async fn activity(Path(id): Path<String>, staff: Staff, ask: Ask) -> Answered {
    let span = days(&ask)?;
    let kind = ask
        .parsed::<Kind>("activityType")?
        .map_or(ActivityKind::All, |Kind(kind)| kind);
    let id = UserId(uuid_in("id", &id)?);
    let activity = staff.office.activity(&staff.admin, id, kind, span).await?;
    answer::data(StatusCode::OK, &found(activity, "User")?)
}

/// The filter of a list of carts or wishlists; `None` when only empty ones were asked for: those are not stored.
fn whose(ask: &Ask) -> Result<Option<CartFilter>, ApiError> {
    let user = ask.text("userId")?.map(|id| uuid_in("userId", &id)).transpose()?;
    let filter = CartFilter {
        user: user.map(UserId),
        email: ask.text("email")?,
    };
    Ok((ask.flag("hasItems")? != Some(false)).then_some(filter))
}

/// Carts of accounts with something in them, the one that changed last first.
#[utoipa::path(get, path = "/api/admin/carts", tag = "admin", operation_id = "adminCarts", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "From 1 (default 1)"),
    ("pageSize" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "1–1,000 (default 20)"),
    ("userId" = Option<Uuid>, Query, description = "This account's"),
    ("email" = Option<String>, Query, max_length = 100, description = "Part of the address"),
    ("hasItems" = Option<bool>, Query, description = "An empty cart is none: false has an empty list")),
    responses((status = 200, description = "A page of carts", body = Answer<CartList>),
    (status = 400, description = "A parameter cannot be used"), (status = 403, description = "Not signed in as an admin")))]
pub(crate) async fn carts(staff: Staff, ask: Ask) -> Answered {
    let page = page(&ask, 20)?;
    let carts = match whose(&ask)? {
        Some(filter) => staff.office.carts(&staff.admin, &filter, page).await?,
        None => CartList {
            carts: Vec::new(),
            paging: page.of(0),
        },
    };
    answer::data(StatusCode::OK, &carts)
}

/// An account's cart at the prices of now.
#[utoipa::path(get, path = "/api/admin/carts/user/{userId}", tag = "admin", operation_id = "adminCart", security(("bearer" = [])),
    params(("userId" = Uuid, Path, description = "The account")),
    responses((status = 200, description = "Its cart", body = Answer<Cart>),
    (status = 400, description = "userId is not a UUID"), (status = 403, description = "Not signed in as an admin"),
    (status = 404, description = "There is no such account")))]
pub(crate) async fn cart(Path(id): Path<String>, staff: Staff) -> Answered {
    let cart = staff.office.cart(&staff.admin, UserId(uuid_in("userId", &id)?)).await?;
    answer::data(StatusCode::OK, &found(cart, "User")?)
}

/// Wishlists of accounts with something on them, the one that changed last first.
#[utoipa::path(get, path = "/api/admin/wishlists", tag = "admin", operation_id = "adminWishlists", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "From 1 (default 1)"),
    ("pageSize" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "1–1,000 (default 20)"),
    ("userId" = Option<Uuid>, Query, description = "This account's"),
    ("email" = Option<String>, Query, max_length = 100, description = "Part of the address"),
    ("hasItems" = Option<bool>, Query, description = "An empty wishlist is none: false has an empty list")),
    responses((status = 200, description = "A page of wishlists", body = Answer<WishlistList>),
    (status = 400, description = "A parameter cannot be used"), (status = 403, description = "Not signed in as an admin")))]
pub(crate) async fn wishlists(staff: Staff, ask: Ask) -> Answered {
    let page = page(&ask, 20)?;
    let wishlists = match whose(&ask)? {
        Some(filter) => staff.office.wishlists(&staff.admin, &filter, page).await?,
        None => WishlistList {
            wishlists: Vec::new(),
            paging: page.of(0),
        },
    };
    answer::data(StatusCode::OK, &wishlists)
}

/// An account's wishlist at the prices of now.
#[utoipa::path(get, path = "/api/admin/wishlists/user/{userId}", tag = "admin", operation_id = "adminWishlist", security(("bearer" = [])),
    params(("userId" = Uuid, Path, description = "The account")),
    responses((status = 200, description = "Its wishlist", body = Answer<Wishlist>),
    (status = 400, description = "userId is not a UUID"), (status = 403, description = "Not signed in as an admin"),
    (status = 404, description = "There is no such account")))]
pub(crate) async fn wishlist(Path(id): Path<String>, staff: Staff) -> Answered {
    let wishlist = staff
        .office
        .wishlist(&staff.admin, UserId(uuid_in("userId", &id)?))
        .await?;
    answer::data(StatusCode::OK, &found(wishlist, "User")?)
}
