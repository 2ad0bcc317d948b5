//! A checkout whose payment is on its way: the page to which its reader returns. It waits for the payment, then leads to the order,
//! or back to the checkout with the reason why there is none.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::pending_checkout::{CheckoutReason, CheckoutState};
use lockstep_shop::ShopError;

use crate::error::PageError;
use crate::forms;
use crate::i18n::Language;
use crate::layout::Layout;
use crate::pages::account::balance::{PayPage, payment};
use crate::session::{self, SignedInUser};
use crate::visit::Preferences;
use crate::{WebState, format, page};

#[derive(Template)]
#[template(path = "pending_checkout.html")]
struct PendingPage {
    layout: Layout,
    lead: String,
    /// It reloads itself.
    is_waiting: bool,
    /// Address at which the payment can be continued.
    pay: Option<String>,
}

/// Why nothing was ordered.
pub(super) fn told(words: Language, reason: CheckoutReason) -> String {
    let key = match reason {
        CheckoutReason::NotPaid => "ask.not_paid",
        CheckoutReason::Replaced => "ask.replaced",
        CheckoutReason::PriceRisen => "ask.price_risen",
        CheckoutReason::SoldOut => "ask.sold_out",
        CheckoutReason::Gone => "ask.gone",
        CheckoutReason::PromoCode => "ask.promo_code",
        CheckoutReason::Balance => "ask.balance",
        CheckoutReason::TooMuch => "ask.too_much",
        CheckoutReason::Late => "ask.late",
    };
    words.text(key).to_owned()
}

/// `GET /checkout/{id}`
pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    Path(id): Path<String>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    // Addresses below the checkout that are none of a payment, such as those of its forms.
    let Ok(id) = id.parse::<TopUpId>() else {
        return Err(PageError::NotFound);
    };
    let words = visit.language;
    let found = match member.context.pending_checkout(id).await {
        Ok(found) => found,
        Err(ShopError::NotFound(_)) => return Err(PageError::NotFound),
        Err(error) => return Err(error.into()),
    };
    match (found.status, found.order_id) {
        (_, Some(order)) => {
            let mut response = forms::done(&format!("/orders/{order}?done=ordered"));
            response
                .headers_mut()
                .append(header::SET_COOKIE, session::promo_cookie("", &state.settings));
            return Ok(response);
        }
        (CheckoutState::Waiting, None) => {}
        // The cart still has what was not bought; without one there is the balance.
        (CheckoutState::Expired | CheckoutState::Ask, None) => {
            return Ok(forms::done(&format!("/checkout?after={id}")));
        }
        (CheckoutState::Placed | CheckoutState::Abandoned, None) => return Ok(forms::done("/checkout")),
    }
    let says = |what| visit.pairs().any(|(name, _)| name == what);
    let amount = format::price(words, found.amount);
    let layout = Layout::of_reader(&state, &visit, &member.context).await?.focused();
    if let Some(address) = found.redirect_url.clone().filter(|_| says("pay")) {
        let page = PayPage {
            layout,
            amount,
            address,
            back: "/checkout",
        };
        return Ok(page::secret(StatusCode::OK, page.render()?));
    }
    let paid = member.context.top_up(id).await?.other_payment;
    let is_cancelled = found.redirect_url.is_some() && says("cancelled");
    let lead = match &paid {
        // Staff decide about it.
        Some(paid) => words.with_all("top_up.in_review", &[&payment(words, paid), &amount]),
        None if is_cancelled => words.with("pending.cancelled", amount),
        None => words.with("pending.waiting", amount),
    };
    let page = PendingPage {
        layout,
        lead,
        is_waiting: paid.is_none() && !is_cancelled,
        pay: found.redirect_url,
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}
