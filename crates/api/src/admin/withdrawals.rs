//! `/api/admin/withdrawals…`: withdrawals from contracts, and what staff decide about them.

use std::str::FromStr;

use axum::extract::{Path, State};
use http::StatusCode;
use lockstep_admin::{CardRefundError, NotRefundable, WithdrawalDecision, WithdrawalError, WithdrawalState};
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{WithdrawalCase, WithdrawalList};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::staff::Permission;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::money::optional_reason;
use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff};
use crate::Api;
use crate::answer::{self, Answered};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(withdrawals, withdrawal, decide), components(schemas(ListedWithdrawals)))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/withdrawals").get(Permission::OrdersRead, withdrawals),
        at("/api/admin/withdrawals/{id}").get(Permission::OrdersRead, withdrawal),
        at("/api/admin/withdrawals/{id}/decide").post(Permission::OrdersRefund, decide),
    ]
}

/// The state of the withdrawals of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum ListedWithdrawals {
    /// Undecided.
    Open,
    /// Accepted.
    Accepted,
    /// Refused.
    Refused,
}

impl FromStr for ListedWithdrawals {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "accepted" => Ok(Self::Accepted),
            "refused" => Ok(Self::Refused),
            _ => Err("must be open, accepted or refused"),
        }
    }
}

/// Returns withdrawals, newest first.
#[utoipa::path(get, path = "/api/admin/withdrawals", tag = "admin", operation_id = "adminWithdrawals", security(("bearer" = [])), params(
    ("state" = Option<ListedWithdrawals>, Query, description = "Only those in this state"), Paged<20>),
    responses((status = 200, description = "A page of withdrawals", body = Answer<WithdrawalList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission orders.read")))]
pub(crate) async fn withdrawals(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let state = ask.parsed::<ListedWithdrawals>("state")?.map(|listed| match listed {
        ListedWithdrawals::Open => WithdrawalState::Open,
        ListedWithdrawals::Accepted => WithdrawalState::Accepted,
        ListedWithdrawals::Refused => WithdrawalState::Refused,
    });
    answer::data(
        StatusCode::OK,
        &staff.office.withdrawals(&staff.admin, state, page).await?,
    )
}

/// Returns a withdrawal with its order, the consent, and the top-ups that can be refunded.
#[utoipa::path(get, path = "/api/admin/withdrawals/{id}", tag = "admin", operation_id = "adminWithdrawal", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the withdrawal")),
    responses((status = 200, description = "The withdrawal", body = Answer<WithdrawalCase>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission orders.read"), (status = 404, description = "There is no such withdrawal")))]
pub(crate) async fn withdrawal(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    answer::data(StatusCode::OK, &read(&staff, id).await?)
}

async fn read(staff: &RequireStaff, id: Uuid) -> Result<WithdrawalCase, ApiError> {
    let case = staff.office.withdrawal(&staff.admin, id).await?;
    case.ok_or(ApiError::NotFound("Withdrawal"))
}

request_body! {
    /// What staff decide about a withdrawal.
    struct WithdrawalDeciding {
        /// `accept` or `refuse`.
        #[schema(min_length = 6, max_length = 6)]
        decision: String = "decision",
        /// Why, 1 to 500 characters; the customer reads it. Required to refuse.
        #[schema(min_length = 1, max_length = 500)]
        reason: Option<String> = "reason",
        /// A top-up of the customer whose money goes on to its card.
        #[schema(value_type = Option<Uuid>)]
        top_up_id: Option<String> = "topUpId",
        /// How much of it, EUR; by default what the order gave back, or without an order all that is left.
        #[schema(value_type = Option<f64>)]
        amount: Option<Money> = "amount",
    }
}

/// Decides about a withdrawal, once.
///
/// If it is accepted, what is not delivered is refunded to the balance, and with `topUpId` money goes on to the card. The same
/// decision again changes nothing.
#[utoipa::path(post, path = "/api/admin/withdrawals/{id}/decide", tag = "admin", operation_id = "decideWithdrawal", security(("bearer" = [])), request_body = WithdrawalDeciding,
    params(("id" = Uuid, Path, description = "ID of the withdrawal")),
    responses((status = 200, description = "The decided withdrawal", body = Answer<WithdrawalCase>),
    (status = 400, description = "Invalid fields, nothing is left to refund, or the top-up cannot be refunded"),
    (status = 403, description = "Not signed in as staff with the permission orders.refund, its customer has more permissions, or more than the role may refund to cards within a day without the password"),
    (status = 404, description = "There is no such withdrawal"),
    (status = 409, description = "It was decided otherwise")))]
pub(crate) async fn decide(State(api): Api, Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = uuid_in("id", &id)?;
    let (sent, form): (WithdrawalDeciding, _) = body.read();
    let is_accepted = match sent.decision.as_str() {
        "accept" => Ok(true),
        "refuse" => Ok(false),
        _ => Err(vec![FieldError {
            path: "decision",
            code: "unknown_decision",
            msg: "This field must be accept or refuse",
        }]),
    };
    let checked = is_accepted.and_then(|is_accepted| Ok((is_accepted, optional_reason(sent.reason.as_deref())?)));
    let (is_accepted, reason) = form.finish(checked)?;
    let top_up = sent.top_up_id.as_deref().map(|id| uuid_in("topUpId", id)).transpose()?;
    let decision = WithdrawalDecision {
        admin: staff.admin.caller().user(),
        is_accepted,
        reason: reason.map(str::to_owned),
        top_up: top_up.map(TopUpId),
        amount: sent.amount,
        confirmed: api.shop.auth().is_confirmed(&staff.admin).await?,
        providers: staff.office.cards().to_vec(),
    };
    staff
        .office
        .decide_withdrawal(&staff.admin, id, &decision)
        .await
        .map_err(refusal)?;
    answer::data(StatusCode::OK, &read(&staff, id).await?)
}

fn refusal(error: WithdrawalError) -> ApiError {
    let (status, code) = match error {
        WithdrawalError::Store(error) => return error.into(),
        WithdrawalError::NotFound => return ApiError::NotFound("Withdrawal"),
        WithdrawalError::Order(NotRefundable::NotAllowed(_)) | WithdrawalError::Card(CardRefundError::Refused(_)) => {
            (StatusCode::FORBIDDEN, "has_more_permissions")
        }
        WithdrawalError::Card(CardRefundError::Own) => (StatusCode::FORBIDDEN, "own_payment"),
        WithdrawalError::Card(CardRefundError::NotConfirmed { .. }) => (StatusCode::FORBIDDEN, "confirmation_needed"),
        WithdrawalError::Decided => (StatusCode::CONFLICT, "already_decided"),
        WithdrawalError::NoReason => (StatusCode::BAD_REQUEST, "reason_required"),
        WithdrawalError::NothingLeft => (StatusCode::BAD_REQUEST, "nothing_left"),
        WithdrawalError::OtherAccount => (StatusCode::BAD_REQUEST, "other_account"),
        WithdrawalError::Card(CardRefundError::TooMuch { .. }) => (StatusCode::BAD_REQUEST, "refund_exceeds_payment"),
        WithdrawalError::Card(CardRefundError::NotPositive) => (StatusCode::BAD_REQUEST, "amount_not_positive"),
        WithdrawalError::Order(_) | WithdrawalError::Card(_) => (StatusCode::BAD_REQUEST, "not_refundable"),
    };
    ApiError::refused(status, code, &error)
}
