//! The start of a top-up on the page of the balance, and what is said when a payment cannot be begun.

use axum::response::Response;
use lockstep_domain::Money;
use lockstep_shop::{BeginError, Idempotency, ShopError, TopUpError};

use crate::error::PageError;
use crate::forms;
use crate::i18n::Language;
use crate::session::SignedInUser;
use crate::visit::Preferences;
use crate::{WebState, format};

/// The default payment method: the provider's page offers those that it has.
pub(crate) const METHOD: &str = "card";

/// Starts a top-up and redirects to where it is paid, or returns the reason why not.
pub(crate) async fn begin(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    amount: Money,
    key: &Idempotency,
) -> Result<Result<Response, String>, PageError> {
    let words = visit.language;
    match state
        .shop
        .begin_top_up(&member.caller, &member.device, amount, METHOD, Some(key))
        .await
    {
        // Not directly to the provider: browsers block a form whose redirect ends on another site (form-action).
        Ok(top_up) => Ok(Ok(forms::done(&format!("/account/balance?topUp={}&pay=1", top_up.id)))),
        Err(ShopError::TopUp(error)) => Ok(Err(refusal(words, error)?)),
        Err(error) => Err(error.into()),
    }
}

/// The text for a payment that cannot be begun.
pub(crate) fn refusal(words: Language, error: TopUpError) -> Result<String, PageError> {
    Ok(match error {
        TopUpError::NoProvider => words.text("top_up.no_provider").to_owned(),
        TopUpError::Amount { least, most } => words.with_all(
            "top_up.amount",
            &[&format::price(words, least), &format::price(words, most)],
        ),
        TopUpError::Begin(BeginError::TooManyOpen) => words.text("top_up.too_many").to_owned(),
        TopUpError::Begin(BeginError::Limited { hours }) => {
            words.with("top_up.limited", format::number(words, hours.into()))
        }
        TopUpError::Begin(BeginError::Store(error)) => return Err(error.into()),
        TopUpError::Begin(_) | TopUpError::Method | TopUpError::Provider(_) | TopUpError::UnderWay => {
            words.text("top_up.unavailable").to_owned()
        }
    })
}
