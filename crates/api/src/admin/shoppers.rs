//! What staff change of a user's cart, and what they count: wishes, and ways to pay.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use lockstep_domain::admin::WishlistStatistics;
use lockstep_domain::catalogue::{Answer, iso_millis};
use lockstep_domain::ids::{GameId, UserId};
use lockstep_domain::staff::Permission;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::routes::{StaffRoute, at};
use super::{RequireStaff, found};
use crate::Api;
use crate::answer::{self, Answered, Message};
use crate::body::{Body, NewOrderItem, request_body, uuid_in};

#[derive(OpenApi)]
#[openapi(paths(replace_cart, clear_cart, wishlist_statistics, payment_methods))]
pub(super) struct Description;

/// The routes; those of a user's cart are in [`super::people`].
pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/wishlists/statistics").get(Permission::CartsRead, wishlist_statistics),
        at("/api/admin/payments/methods").get(Permission::PaymentsRead, payment_methods),
    ]
}

request_body! {
    /// The new content of a cart.
    struct CartContent {
        /// Games with their quantities. Games that are not listed are removed.
        #[schema(max_items = 1000)]
        items: Vec<NewOrderItem> = "items",
    }
}

/// Replaces the cart of a user.
///
/// A game that is sold out can stay, but not be added.
#[utoipa::path(put, path = "/api/admin/carts/user/{userId}", tag = "admin", operation_id = "replaceCart", security(("bearer" = [])), request_body = CartContent,
    params(("userId" = Uuid, Path, description = "ID of the user")),
    responses((status = 200, body = Message), (status = 400, description = "Invalid fields, a game is out of stock, or the cart would be too full"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such user or game")))]
pub(crate) async fn replace_cart(
    State(api): Api,
    Path(user): Path<String>,
    staff: RequireStaff,
    body: Body,
) -> Answered {
    let user = UserId(uuid_in("userId", &user)?);
    let CartContent { items } = body.valid()?;
    let items: Vec<(GameId, i64)> = items.into_iter().map(|item| (item.game_id, item.quantity)).collect();
    api.shop.replace_cart(&staff.admin, user, &items).await?;
    answer::message(StatusCode::OK, "The cart has been updated")
}

/// Removes everything from the cart of a user.
#[utoipa::path(delete, path = "/api/admin/carts/user/{userId}", tag = "admin", operation_id = "emptyCart", security(("bearer" = [])),
    params(("userId" = Uuid, Path, description = "ID of the user")),
    responses((status = 200, body = Message), (status = 400, description = "`userId` is not a UUID"),
    (status = 403, description = "Not signed in as an administrator"), (status = 404, description = "There is no such user")))]
pub(crate) async fn clear_cart(State(api): Api, Path(user): Path<String>, staff: RequireStaff) -> Answered {
    let user = UserId(uuid_in("userId", &user)?);
    api.shop.replace_cart(&staff.admin, user, &[]).await?;
    answer::message(StatusCode::OK, "The cart is empty")
}

/// Returns what users wish for, in numbers.
#[utoipa::path(get, path = "/api/admin/wishlists/statistics", tag = "admin", operation_id = "adminWishlistStatistics", security(("bearer" = [])),
    responses((status = 200, description = "The numbers", body = Answer<WishlistStatistics>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn wishlist_statistics(staff: RequireStaff) -> Answered {
    let statistics = staff.office.wishlist_statistics(&staff.admin).await?;
    answer::data(StatusCode::OK, &statistics)
}

/// The ways to top up a balance.
#[derive(Serialize, ToSchema)]
struct PaymentMethods {
    /// In the order in which a page offers them.
    methods: Vec<PaymentMethodRow>,
}

/// A way to top up a balance.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PaymentMethodRow {
    /// As `paymentMethod` of a top-up names it.
    id: &'static str,
    /// For display.
    name: &'static str,
    /// `stripe` for a page of a payment provider (Stripe or Mollie), or `terminal` for the built-in test page.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whether a top-up with it is possible: a provider is configured.
    available: bool,
    /// Position, from 1.
    order: usize,
    /// When the shop was installed.
    #[serde(with = "iso_millis")]
    #[schema(value_type = String, format = DateTime)]
    created_at: DateTime<Utc>,
    /// When the shop was installed: the methods are part of the program.
    #[serde(with = "iso_millis")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: DateTime<Utc>,
}

/// Returns the ways to top up a balance.
#[utoipa::path(get, path = "/api/admin/payments/methods", tag = "admin", operation_id = "adminPaymentMethods", security(("bearer" = [])),
    responses((status = 200, description = "The methods", body = Answer<PaymentMethods>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn payment_methods(State(api): Api, staff: RequireStaff) -> Answered {
    let since = found(staff.office.installed_at(&staff.admin).await?, "Shop")?;
    let offered = api.shop.payment_methods();
    let methods = offered
        .methods
        .into_iter()
        .enumerate()
        .map(|(at, id)| PaymentMethodRow {
            id,
            name: name(id),
            kind: if matches!(offered.provider, Some("stripe" | "mollie")) {
                "stripe"
            } else {
                "terminal"
            },
            available: offered.provider.is_some(),
            order: at + 1,
            created_at: since,
            updated_at: since,
        })
        .collect();
    answer::data(StatusCode::OK, &PaymentMethods { methods })
}

fn name(method: &'static str) -> &'static str {
    match method {
        "trustly" => "Trustly",
        "card" => "Card",
        "klarna" => "Klarna",
        "apple" => "Apple Pay",
        other => other,
    }
}
