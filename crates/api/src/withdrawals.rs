//! `/api/consent` and `/api/withdrawals`: the wording that a front-end shows at checkout, and withdrawal from a contract
//! without a log-in.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{MethodRouter, get, post};
use chrono::{DateTime, Utc};
use http::StatusCode;
use lockstep_domain::catalogue::{Answer, iso_millis};
use lockstep_domain::consent::Wording;
use lockstep_domain::language::Language;
use lockstep_domain::withdrawal::WithdrawalForm;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use crate::answer::{self, Answered};
use crate::body::{Body, request_body, uuid_in};
use crate::visit::From;
use crate::{Api, ApiState};

#[derive(OpenApi)]
#[openapi(paths(wording, withdraw))]
pub(crate) struct Description;

pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<ApiState>>)> {
    vec![("/api/consent", get(wording)), ("/api/withdrawals", post(withdraw))]
}

/// The current wording of the consent to deliver keys at once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsentWording {
    /// Version, for `consent` of an order.
    version: &'static str,
    /// Texts by ISO 639-1 code.
    texts: BTreeMap<&'static str, &'static str>,
    /// `required`: keys of an order without consent wait for it; `front`: the front-end asks; `development`: nobody is asked.
    mode: &'static str,
}

/// Returns the wording of the consent to deliver keys at once.
///
/// A front-end shows it beside a checkbox that is not ticked, and sends its version with the order once it is.
#[utoipa::path(get, path = "/api/consent", tag = "orders", operation_id = "getConsentWording",
    responses((status = 200, description = "The current wording", body = Answer<ConsentWording>)))]
pub(crate) async fn wording(State(api): Api) -> Answered {
    let current = Wording::current();
    answer::data(
        StatusCode::OK,
        &ConsentWording {
            version: current.version,
            texts: current.texts.iter().copied().collect(),
            mode: api.shop.consent_mode().as_str(),
        },
    )
}

request_body! {
    /// A withdrawal from a contract.
    struct NewWithdrawal {
        /// UUID that the client draws; the same one again is the same withdrawal. Drawn by the shop if it is missing.
        #[schema(value_type = Option<Uuid>)]
        id: Option<String> = "id",
        /// Name, 1 to 100 characters.
        #[schema(min_length = 1, max_length = 100)]
        name: String = "name",
        /// Order number, 1 to 60 characters.
        #[schema(min_length = 1, max_length = 60)]
        order_number: String = "orderNumber",
        /// E-mail address for the acknowledgement.
        #[schema(min_length = 3, max_length = 254)]
        contact: String = "contact",
    }
}

/// The arrival of a withdrawal.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WithdrawalReceipt {
    /// ID.
    id: Uuid,
    /// When it arrived; the acknowledgement by e-mail says the same.
    #[serde(with = "iso_millis")]
    #[schema(value_type = String, format = DateTime)]
    received_at: DateTime<Utc>,
}

/// Declares the withdrawal from a contract, without a log-in.
///
/// The arrival is acknowledged by e-mail. The answer is the same whether or not there is such an order.
#[utoipa::path(post, path = "/api/withdrawals", tag = "orders", operation_id = "declareWithdrawal", request_body = NewWithdrawal,
    responses((status = 202, description = "It has arrived", body = Answer<WithdrawalReceipt>), (status = 400, description = "Invalid fields"),
    (status = 429, description = "Too many from this address or for this contact; retry after `Retry-After` seconds")))]
pub(crate) async fn withdraw(State(api): Api, from: From, body: Body) -> Answered {
    let (sent, form): (NewWithdrawal, _) = body.read();
    let checked = form.finish(WithdrawalForm::check(&sent.name, &sent.order_number, &sent.contact))?;
    let id = match &sent.id {
        Some(id) => uuid_in("id", id)?,
        None => Uuid::new_v4(),
    };
    let language = from.device.language().unwrap_or(Language::English).code();
    let received_at = api.shop.withdraw(id, &checked, language, &from.device).await?;
    answer::data(StatusCode::ACCEPTED, &WithdrawalReceipt { id, received_at })
}
