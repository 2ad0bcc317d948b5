//! The pages, one module each. Those of [`own_routes`] show data of the reader and require the session layer.

pub(crate) mod accessibility;
pub(crate) mod account;
pub(crate) mod alerts;
pub(crate) mod cart;
pub(crate) mod catalogue;
pub(crate) mod checkout;
pub(crate) mod form_page;
pub(crate) mod game;
pub(crate) mod help;
pub(crate) mod home;
pub(crate) mod login;
pub(crate) mod me;
pub(crate) mod orders;
pub(crate) mod own;
pub(crate) mod password;
pub(crate) mod preferences;
pub(crate) mod preorders;
pub(crate) mod receipts;
pub(crate) mod recent;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod test_payment;
pub(crate) mod top_up;
pub(crate) mod unsubscribe;
pub(crate) mod verify;
pub(crate) mod wishlist;
pub(crate) mod withdraw;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::WebState;

/// Routes of the pages that depend on the reader.
pub(crate) fn own_routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/fragments/me", get(me::fragment))
        .route("/register", get(login::register_page).post(login::register))
        .route("/login", get(login::log_in_page).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/forgot-password", get(password::forgot_page).post(password::forgot))
        .route("/reset-password", get(password::reset_page).post(password::reset))
        .route("/verify-email", get(verify::page).post(verify::verify))
        .route("/verify-email/again", post(verify::send_again))
        .route("/cart", get(cart::page))
        .route("/cart/add", post(cart::add))
        .route("/cart/set", post(cart::set))
        .route("/cart/remove", post(cart::remove))
        .route("/wishlist", get(wishlist::page))
        .route("/wishlist/add", post(wishlist::add))
        .route("/wishlist/remove", post(wishlist::remove))
        .route("/stock-alerts", post(alerts::add))
        .route("/stock-alerts/remove", post(alerts::remove))
        .route("/stock-alerts/{game}", get(alerts::page))
        .route("/checkout", get(checkout::page).post(checkout::buy))
        .route("/checkout/{id}", get(checkout::pending::page))
        .route("/orders", get(orders::list))
        .route("/withdraw", get(withdraw::form_page).post(withdraw::review))
        .route("/withdraw/confirm", post(withdraw::confirm))
        .route("/orders/{id}", get(orders::page))
        .route("/orders/{id}/consent", post(orders::consent))
        .route("/orders/{id}/events", get(orders::events))
        .route("/orders/{id}/receipt", get(receipts::page))
        .route("/orders/{id}/receipt.pdf", get(receipts::pdf))
        .route("/orders/{id}/receipt.xml", get(receipts::xml))
        .route("/orders/{id}/keys/{key}", get(orders::key_file))
        .route(
            "/test-payment/{reference}",
            get(test_payment::show).post(test_payment::decide),
        )
        .merge(account::routes())
}
