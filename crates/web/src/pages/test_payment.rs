//! The page of the built-in payment provider, on which a test payment is made or declined. It does not exist with any
//! other provider.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_shop::{Decision, WebhookError};

use crate::error::PageError;
use crate::forms::{self, Form};
use crate::layout::Layout;
use crate::visit::Preferences;
use crate::{WebState, format, page};

#[derive(Template)]
#[template(path = "test_payment.html")]
struct TestPaymentPage {
    layout: Layout,
    amount: String,
    is_open: bool,
    /// Where the customer continues; may be another site.
    back: String,
}

pub(crate) async fn show(
    State(state): State<Arc<WebState>>,
    Path(reference): Path<String>,
    visit: Preferences,
) -> Result<Response, PageError> {
    let found = state.shop.payments().test_page(&reference).await?;
    let found = found.ok_or(PageError::NotFound)?;
    let page = TestPaymentPage {
        layout: Layout::new(&state, &visit).unlisted(),
        amount: format::price(visit.language, found.amount),
        is_open: found.is_open,
        back: found.return_url,
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

/// Pays or declines. The response is the page again with a link: a form of this site may not end on another site.
pub(crate) async fn decide(
    State(state): State<Arc<WebState>>,
    Path(reference): Path<String>,
    form: Form,
) -> Result<Response, PageError> {
    let decision = match form.value("decision") {
        "pay" => Decision::Pay,
        "decline" => Decision::Decline,
        _ => return Err(PageError::BadRequest),
    };
    let decided = state.shop.payments().decide(&reference, decision, state.now()).await;
    match decided {
        Ok(Some(_)) => Ok(forms::done(&format!("/test-payment/{reference}"))),
        Ok(None) => Err(PageError::NotFound),
        Err(WebhookError::Store(error)) => Err(error.into()),
        Err(_) => Err(PageError::Internal),
    }
}
