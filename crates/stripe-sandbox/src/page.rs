//! The payment page of a session: a list of cards, and the question of 3-D Secure.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};

use crate::Shared;
use crate::cards::Card;
use crate::state::{cents, text};

fn frame(body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><link rel=icon href='data:,'>\
         <title>Pay</title><main>{body}</main>"
    ))
}

fn escaped(address: &str) -> String {
    address
        .replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

/// The page: which card, and back to the shop.
pub(crate) async fn show(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let state = shared.lock();
    let Some(session) = state.objects.get(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if text(session, "status") != "open" {
        return frame("<h1>This page has ended</h1>").into_response();
    }
    let amount = cents(session, "amount_total");
    let mut body = format!(
        "<h1>Pay {}.{:02} EUR</h1><p>A sandbox: no money moves.</p><form method=post><fieldset><legend>Card</legend>",
        amount / 100,
        amount % 100
    );
    for card in Card::ALL {
        let checked = if card == Card::Succeeds { " checked" } else { "" };
        let (number, words) = (card.number(), card.words());
        body.push_str("<p><label><input type=radio name=card value=");
        for part in [number, checked, "> ", number, ": ", words, "</label>"] {
            body.push_str(part);
        }
    }
    let back = escaped(text(session, "cancel_url"));
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
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let named = |name: &str| {
        form.iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    };
    let card = named("card").map_or(Some(Card::Succeeds), Card::of);
    let Some(card) = card else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let is_asked = {
        let state = shared.lock();
        let session = state.objects.get(&id);
        let asked = session.and_then(|session| session.pointer("/payment_method_options/card/request_three_d_secure"));
        matches!(asked.and_then(serde_json::Value::as_str), Some("any" | "challenge"))
    };
    let needs_authentication = card == Card::Authenticates || is_asked && card != Card::Declined;
    if needs_authentication && named("authenticated").is_none() {
        let number = card.number();
        return frame(&format!(
            "<h1>3-D Secure</h1><form method=post><input type=hidden name=card value={number}>\
             <button name=authenticated value=yes>Complete authentication</button></form>\
             <form method=post><input type=hidden name=card value={}><button>Fail authentication</button></form>",
            Card::Declined.number()
        ))
        .into_response();
    }
    let (paid, back) = {
        let mut state = shared.lock();
        let back = state
            .objects
            .get(&id)
            .map(|session| text(session, "success_url").to_owned());
        (state.pay(&id, card).is_some(), back)
    };
    shared.news.notify_one();
    match back {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(back) if paid => Redirect::to(&back).into_response(),
        Some(_) => frame("<h1>The card was declined</h1><p><a href=\"\">Try another card</a>").into_response(),
    }
}
