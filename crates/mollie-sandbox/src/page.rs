//! The payment page: a list of cards.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};

use crate::Shared;
use crate::state::Card;

fn frame(body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><link rel=icon href='data:,'>\
         <title>Pay</title><main>{body}</main>"
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// The page: which card, and back to the shop.
pub(crate) async fn show(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let state = shared.lock();
    let Some(payment) = state.payments.iter().find(|one| one.id == id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if payment.status != "open" {
        return frame("<h1>This payment has ended</h1>").into_response();
    }
    let mut body = format!(
        "<h1>Pay {}.{:02} {}</h1><p>{}</p><p>A sandbox: no money moves.</p><form method=post><fieldset><legend>Card</legend>",
        payment.cents / 100,
        payment.cents % 100,
        escaped(&payment.currency),
        escaped(&payment.description)
    );
    for card in Card::ALL {
        let checked = if card == Card::Succeeds { " checked" } else { "" };
        for part in [
            "<p><label><input type=radio name=card value=",
            card.name(),
            checked,
            "> ",
            card.words(),
            "</label>",
        ] {
            body.push_str(part);
        }
    }
    let back = escaped(payment.cancel_url.as_deref().unwrap_or(&payment.redirect_url));
    for part in [
        "</fieldset><button>Pay</button></form><a href=\"",
        &back,
        "\">Back to the shop</a>",
    ] {
        body.push_str(part);
    }
    frame(&body).into_response()
}

/// Pays with the chosen card and returns to the shop; the webhook follows.
pub(crate) async fn pay(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Response {
    let chosen = form_urlencoded::parse(&body).find(|(field, _)| field == "card");
    let Some(card) = Card::ALL
        .into_iter()
        .find(|card| chosen.as_ref().is_some_and(|(_, name)| name == card.name()))
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let back = {
        let mut state = shared.lock();
        state.pay(&id, card);
        state.find(&id).map(|payment| match (card, &payment.cancel_url) {
            (Card::Cancels, Some(cancel_url)) => cancel_url.clone(),
            _ => payment.redirect_url.clone(),
        })
    };
    shared.news.notify_one();
    back.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |back| Redirect::to(&back).into_response(),
    )
}
