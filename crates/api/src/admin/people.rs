//! Users, their carts and their wishlists.

use std::str::FromStr;

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::{ActivityKind, CartFilter, List, UserFilter};
use lockstep_domain::admin::{Activity, CartList, UserDetail, UserList, WishlistList};
use lockstep_domain::cart::{Cart, Wishlist};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::UserId;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, days, files, found};
use crate::answer::{self, Answered};
use crate::body::uuid_in;
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(users, user, activity, carts, cart, wishlists, wishlist))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/users").get(Permission::UsersRead, users),
        at("/api/admin/users/{id}/activity").get(Permission::UsersRead, activity),
        at("/api/admin/carts").get(Permission::CartsRead, carts),
        at("/api/admin/carts/user/{userId}")
            .get(Permission::CartsRead, cart)
            .put(Permission::CartsWrite, super::shoppers::replace_cart)
            .delete(Permission::CartsWrite, super::shoppers::clear_cart),
        at("/api/admin/wishlists").get(Permission::CartsRead, wishlists),
        at("/api/admin/wishlists/user/{userId}").get(Permission::CartsRead, wishlist),
    ]
}

/// Returns the users, newest first, without deleted ones.
#[utoipa::path(get, path = "/api/admin/users", tag = "admin", operation_id = "adminUsers", security(("bearer" = [])), params(
    Paged<50>,
    ("query" = Option<String>, Query, max_length = 100, description = "Part of the e-mail address, nickname or name"),
    ("email" = Option<String>, Query, max_length = 100, description = "Part of the e-mail address"),
    ("name" = Option<String>, Query, max_length = 100, description = "Part of the nickname or a name"),
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default), or `csv` for a file with every row")),
    responses((status = 200, description = "A page of users", body = Answer<UserList>),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn users(staff: RequireStaff, Paged(page): Paged<50>, ask: Ask) -> Answered {
    let filter = UserFilter {
        query: ask.text("query")?,
        email: ask.text("email")?,
        name: ask.text("name")?,
    };
    if files::wanted(&ask)? {
        return files::csv(&staff, List::Users(filter), false).await;
    }
    let users = staff.office.users(&staff.admin, &filter, page).await?;
    answer::data(StatusCode::OK, &users)
}

/// Returns a user with the latest orders and transactions.
#[utoipa::path(get, path = "/api/admin/users/{id}", tag = "admin", operation_id = "adminUser", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the user")),
    responses((status = 200, description = "The user", body = Answer<UserDetail>),
    (status = 400, description = "`id` is not a UUID"), (status = 403, description = "Not signed in as an administrator"),
    (status = 404, description = "There is no such user")))]
pub(crate) async fn user(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let user = staff.office.user(&staff.admin, UserId(uuid_in("id", &id)?)).await?;
    answer::data(StatusCode::OK, &found(user, "User")?)
}

/// Values of `activityType`.
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

/// Returns the activity of a user.
///
/// Returns at most 100 entries of each kind, newest first.
#[utoipa::path(get, path = "/api/admin/users/{id}/activity", tag = "admin", operation_id = "adminUserActivity", security(("bearer" = [])), params(
    ("id" = Uuid, Path, description = "ID of the user"),
    ("activityType" = Option<String>, Query, max_length = 100, description = "`login`, `order`, `transaction` or `all` (default)"),
    ("startDate" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD, UTC"),
    ("endDate" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD, UTC")),
    responses((status = 200, description = "The activity", body = Answer<Activity>),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as an administrator"),
    (status = 404, description = "There is no such user")))]
pub(crate) async fn activity(Path(id): Path<String>, staff: RequireStaff, ask: Ask) -> Answered {
    let span = days(&ask)?;
    let kind = ask
        .parsed::<Kind>("activityType")?
        .map_or(ActivityKind::All, |Kind(kind)| kind);
    let id = UserId(uuid_in("id", &id)?);
    let activity = staff.office.activity(&staff.admin, id, kind, span).await?;
    answer::data(StatusCode::OK, &found(activity, "User")?)
}

/// Reads the filter of a list of carts or wishlists; `None` if only empty ones are requested, which are not stored.
fn whose(ask: &Ask) -> Result<Option<CartFilter>, ApiError> {
    let user = ask.text("userId")?.map(|id| uuid_in("userId", &id)).transpose()?;
    let filter = CartFilter {
        user: user.map(UserId),
        email: ask.text("email")?,
    };
    Ok((ask.flag("hasItems")? != Some(false)).then_some(filter))
}

/// Returns the non-empty carts of users, most recently changed first.
#[utoipa::path(get, path = "/api/admin/carts", tag = "admin", operation_id = "adminCarts", security(("bearer" = [])), params(
    Paged<20>,
    ("userId" = Option<String>, Query, max_length = 100, description = "Only the cart of this user: an ID; empty, all of them"),
    ("email" = Option<String>, Query, max_length = 100, description = "Part of the e-mail address"),
    ("hasItems" = Option<bool>, Query, description = "`false` returns an empty list, because empty carts are not stored"),
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default), or `csv` for a file with every row")),
    responses((status = 200, description = "A page of carts", body = Answer<CartList>),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn carts(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let filter = whose(&ask)?;
    if files::wanted(&ask)? {
        let is_empty = filter.is_none();
        return files::csv(&staff, List::Carts(filter.unwrap_or_default()), is_empty).await;
    }
    let carts = match filter {
        Some(filter) => staff.office.carts(&staff.admin, &filter, page).await?,
        None => CartList {
            carts: Vec::new(),
            paging: page.of(0),
        },
    };
    answer::data(StatusCode::OK, &carts)
}

/// Returns the cart of a user at current prices.
#[utoipa::path(get, path = "/api/admin/carts/user/{userId}", tag = "admin", operation_id = "adminCart", security(("bearer" = [])),
    params(("userId" = Uuid, Path, description = "ID of the user")),
    responses((status = 200, description = "The cart", body = Answer<Cart>),
    (status = 400, description = "`userId` is not a UUID"), (status = 403, description = "Not signed in as an administrator"),
    (status = 404, description = "There is no such user")))]
pub(crate) async fn cart(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let cart = staff.office.cart(&staff.admin, UserId(uuid_in("userId", &id)?)).await?;
    answer::data(StatusCode::OK, &found(cart, "User")?)
}

/// Returns the non-empty wishlists of users, most recently changed first.
#[utoipa::path(get, path = "/api/admin/wishlists", tag = "admin", operation_id = "adminWishlists", security(("bearer" = [])), params(
    Paged<20>,
    ("userId" = Option<String>, Query, max_length = 100, description = "Only the wishlist of this user: an ID; empty, all of them"),
    ("email" = Option<String>, Query, max_length = 100, description = "Part of the e-mail address"),
    ("hasItems" = Option<bool>, Query, description = "`false` returns an empty list, because empty wishlists are not stored"),
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default), or `csv` for a file with every row")),
    responses((status = 200, description = "A page of wishlists", body = Answer<WishlistList>),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn wishlists(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let filter = whose(&ask)?;
    if files::wanted(&ask)? {
        let is_empty = filter.is_none();
        return files::csv(&staff, List::Wishlists(filter.unwrap_or_default()), is_empty).await;
    }
    let wishlists = match filter {
        Some(filter) => staff.office.wishlists(&staff.admin, &filter, page).await?,
        None => WishlistList {
            wishlists: Vec::new(),
            paging: page.of(0),
        },
    };
    answer::data(StatusCode::OK, &wishlists)
}

/// Returns the wishlist of a user at current prices.
#[utoipa::path(get, path = "/api/admin/wishlists/user/{userId}", tag = "admin", operation_id = "adminWishlist", security(("bearer" = [])),
    params(("userId" = Uuid, Path, description = "ID of the user")),
    responses((status = 200, description = "The wishlist", body = Answer<Wishlist>),
    (status = 400, description = "`userId` is not a UUID"), (status = 403, description = "Not signed in as an administrator"),
    (status = 404, description = "There is no such user")))]
pub(crate) async fn wishlist(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let wishlist = staff
        .office
        .wishlist(&staff.admin, UserId(uuid_in("userId", &id)?))
        .await?;
    answer::data(StatusCode::OK, &found(wishlist, "User")?)
}
