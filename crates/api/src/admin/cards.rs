//! `/api/admin…` endpoints about money that goes back to cards: refunds, disputes, and incidents about payments.

use std::str::FromStr;

use axum::extract::{Path, State};
use http::StatusCode;
use lockstep_admin::{CardRefundError, DisputeState, IncidentCloseError, TopUpFilter};
use lockstep_domain::Money;
use lockstep_domain::admin::{
    CardRefundRow, DisputeCase, DisputeList, PaymentComparisonView, PaymentIncidentList, TopUpDetail, TopUpList,
};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::TopUpId;
use lockstep_domain::purchase::PaymentStatus;
use lockstep_domain::staff::Permission;
use lockstep_shop::{WithdrawError, WithdrawalError};
use utoipa::{OpenApi, ToSchema};

use super::money::{checked_reason, optional_reason};
use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, days, found};
use crate::Api;
use crate::answer::{self, Answered};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;
use crate::visit::Key;

#[derive(OpenApi)]
#[openapi(
    paths(
        top_ups,
        top_up,
        refund_top_up,
        withdraw_card_refund,
        disputes,
        dispute,
        payment_incidents,
        close_payment_incident,
        payment_comparison
    ),
    components(schemas(ListedDisputes))
)]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/top-ups").get(Permission::PaymentsRead, top_ups),
        at("/api/admin/top-ups/{id}").get(Permission::PaymentsRead, top_up),
        at("/api/admin/top-ups/{id}/refund").post(Permission::OrdersRefund, refund_top_up),
        at("/api/admin/card-refunds/{id}/withdraw").post(Permission::OrdersRefund, withdraw_card_refund),
        at("/api/admin/payment-comparison").get(Permission::PaymentsRead, payment_comparison),
        at("/api/admin/disputes").get(Permission::PaymentsRead, disputes),
        at("/api/admin/disputes/{id}").get(Permission::PaymentsRead, dispute),
        at("/api/admin/payment-incidents").get(Permission::PaymentsRead, payment_incidents),
        at("/api/admin/payment-incidents/{id}/close").post(Permission::OrdersRefund, close_payment_incident),
    ]
}

/// Returns the top-ups, newest first.
#[utoipa::path(get, path = "/api/admin/top-ups", tag = "admin", operation_id = "adminTopUps", security(("bearer" = [])), params(
    Paged<20>,
    ("status" = Option<String>, Query, max_length = 100, description = "PENDING, PROCESSING, COMPLETED, FAILED or CANCELLED"),
    ("query" = Option<String>, Query, max_length = 100, description = "Part of the owner's address, or the beginning of one of the provider's IDs"),
    ("cardCountry" = Option<String>, Query, max_length = 100, description = "Country of the card, two letters"),
    ("troubled" = Option<bool>, Query, description = "`true`: only those with a refund, a dispute or an open incident"),
    ("startDate" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD, UTC"),
    ("endDate" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD, UTC")),
    responses((status = 200, description = "A page of top-ups", body = Answer<TopUpList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission payments.read")))]
pub(crate) async fn top_ups(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let span = days(&ask)?;
    let status = ask.text("status")?;
    let known = |name: &String| PaymentStatus::ALL.into_iter().find(|status| status.as_str() == name);
    let status = status.as_ref().map(known);
    let filter = TopUpFilter {
        status: status.flatten(),
        text: ask.text("query")?,
        country: ask.text("cardCountry")?.map(|code| code.to_uppercase()),
        is_troubled: ask.parsed("troubled")?.unwrap_or(false),
        from: span.from,
        until: span.until,
    };
    // No top-up has an unknown status.
    let listed = if status == Some(None) {
        TopUpList {
            top_ups: Vec::new(),
            paging: page.of(0),
        }
    } else {
        staff.office.top_ups(&staff.admin, &filter, page).await?
    };
    answer::data(StatusCode::OK, &listed)
}

/// Returns a top-up with its charge, refunds, disputes and open incidents.
#[utoipa::path(get, path = "/api/admin/top-ups/{id}", tag = "admin", operation_id = "adminTopUp", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the top-up")),
    responses((status = 200, description = "The top-up", body = Answer<TopUpDetail>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission payments.read"), (status = 404, description = "There is no such top-up")))]
pub(crate) async fn top_up(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let top_up = staff.office.top_up(&staff.admin, TopUpId(uuid_in("id", &id)?)).await?;
    answer::data(StatusCode::OK, &found(top_up, "Top-up")?)
}

/// Returns what the last comparison with the payment provider found.
#[utoipa::path(get, path = "/api/admin/payment-comparison", tag = "admin", operation_id = "adminPaymentComparison", security(("bearer" = [])),
    responses((status = 200, description = "The last comparison", body = Answer<PaymentComparisonView>),
    (status = 403, description = "Not signed in as staff with the permission payments.read")))]
pub(crate) async fn payment_comparison(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.payment_comparison(&staff.admin).await?)
}

request_body! {
    /// The withdrawal of a refund to a card.
    struct CardRefundWithdrawal {
        /// Why, 1 to 500 characters.
        #[schema(min_length = 1, max_length = 500)]
        reason: String = "reason",
    }
}

/// Withdraws a refund that the payment provider has not made: its money returns to the balance.
///
/// The refund is searched for at the provider first, if that is in use.
#[utoipa::path(post, path = "/api/admin/card-refunds/{id}/withdraw", tag = "admin", operation_id = "withdrawCardRefund", security(("bearer" = [])), request_body = CardRefundWithdrawal,
    params(("id" = Uuid, Path, description = "ID of the refund")), responses(
    (status = 200, description = "The refund, which has failed", body = Answer<CardRefundRow>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission orders.refund, or its owner is the caller or has more permissions"),
    (status = 404, description = "There is no such refund"),
    (status = 409, description = "The provider has made it, is being asked, or does not say whether it made it")))]
pub(crate) async fn withdraw_card_refund(
    State(api): Api,
    Path(id): Path<String>,
    staff: RequireStaff,
    body: Body,
) -> Answered {
    let id = uuid_in("id", &id)?;
    let (CardRefundWithdrawal { reason }, form) = body.read();
    let reason = form.finish(checked_reason(reason.trim()))?;
    let withdrawn = api.shop.withdraw_card_refund(&staff.admin, id, reason).await;
    withdrawn.map_err(|error| {
        let (status, code) = match error {
            WithdrawalError::NotSearched(_) => (StatusCode::CONFLICT, "provider_does_not_say"),
            WithdrawalError::Refused(WithdrawError::Made) => (StatusCode::CONFLICT, "refund_made"),
            WithdrawalError::Refused(WithdrawError::Busy) => (StatusCode::CONFLICT, "refund_busy"),
            WithdrawalError::Refused(WithdrawError::Own) => (StatusCode::FORBIDDEN, "own_payment"),
            WithdrawalError::Refused(WithdrawError::Refused(_)) => (StatusCode::FORBIDDEN, "has_more_permissions"),
            WithdrawalError::Refused(WithdrawError::NotFound) => return ApiError::NotFound("Refund"),
            WithdrawalError::Refused(WithdrawError::Store(error)) => return error.into(),
        };
        ApiError::refused(status, code, &error)
    })?;
    let refund = staff.office.card_refund(&staff.admin, id).await?;
    answer::data(StatusCode::OK, &found(refund, "Refund")?)
}

request_body! {
    /// A refund to a card.
    struct CardRefundWanted {
        /// Amount in EUR, at most two decimals; by default everything that is left of the top-up and of the balance.
        #[schema(value_type = Option<f64>)]
        amount: Option<Money> = "amount",
        /// Reason for the refund.
        reason: Option<String> = "reason",
    }
}

/// Refunds a top-up to the card that paid it.
///
/// The amount is taken from the balance at once. The card follows: the refund is `REQUESTED` until the provider has answered,
/// and the money returns to the balance if it fails.
#[utoipa::path(post, path = "/api/admin/top-ups/{id}/refund", tag = "admin", operation_id = "refundTopUp", security(("bearer" = [])), request_body = CardRefundWanted,
    params(("id" = Uuid, Path, description = "ID of the top-up"),
    ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 200, description = "A repeated key for the same top-up is the same refund")), responses(
    (status = 202, description = "The refund, which the provider is asked for next", body = Answer<CardRefundRow>),
    (status = 400, description = "Not paid by card, or more than what is left of the top-up and of the balance"),
    (status = 403, description = "Not signed in as staff with the permission orders.refund, its owner is the caller or has more permissions, or more than the role may refund within a day without the password"),
    (status = 404, description = "There is no such top-up"),
    (status = 409, description = "The key was used with another amount")))]
pub(crate) async fn refund_top_up(
    State(api): Api,
    Path(id): Path<String>,
    staff: RequireStaff,
    Key(key): Key,
    body: Body,
) -> Answered {
    let top_up = TopUpId(uuid_in("id", &id)?);
    let (CardRefundWanted { amount, reason }, form) = body.read();
    let reason = form.finish(optional_reason(reason.as_deref()))?;
    let key = key.as_ref().map(lockstep_shop::Idempotency::as_str);
    let confirmed = api.shop.auth().is_confirmed(&staff.admin).await?;
    let refund = staff
        .office
        .refund_top_up((&staff.admin, confirmed), top_up, amount, reason, key)
        .await
        .map_err(|error| {
            let (status, code) = match error {
                CardRefundError::Store(error) => return error.into(),
                CardRefundError::NotFound => return ApiError::NotFound("Top-up"),
                CardRefundError::NotPaid | CardRefundError::OtherCurrency | CardRefundError::OtherProvider => {
                    (StatusCode::BAD_REQUEST, "not_refundable")
                }
                CardRefundError::Own => (StatusCode::FORBIDDEN, "own_payment"),
                CardRefundError::NotConfirmed { .. } => (StatusCode::FORBIDDEN, "confirmation_needed"),
                CardRefundError::NotPositive => (StatusCode::BAD_REQUEST, "amount_not_positive"),
                CardRefundError::TooMuch { .. } => (StatusCode::BAD_REQUEST, "refund_exceeds_payment"),
                CardRefundError::Refused(_) => (StatusCode::FORBIDDEN, "has_more_permissions"),
                CardRefundError::KeyReused => (StatusCode::CONFLICT, "idempotency_key_reused"),
            };
            ApiError::refused(status, code, &error)
        })?;
    answer::data(StatusCode::ACCEPTED, &refund)
}

/// The state of the disputes of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum ListedDisputes {
    /// Undecided.
    Open,
    /// Decided for the shop.
    Won,
    /// Decided for the cardholder.
    Lost,
}

impl FromStr for ListedDisputes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "won" => Ok(Self::Won),
            "lost" => Ok(Self::Lost),
            _ => Err("must be open, won or lost"),
        }
    }
}

/// Returns disputes, newest first.
#[utoipa::path(get, path = "/api/admin/disputes", tag = "admin", operation_id = "adminDisputes", security(("bearer" = [])), params(
    ("state" = Option<ListedDisputes>, Query, description = "Only those in this state"), Paged<20>),
    responses((status = 200, description = "A page of disputes", body = Answer<DisputeList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission payments.read")))]
pub(crate) async fn disputes(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let state = ask.parsed::<ListedDisputes>("state")?.map(|listed| match listed {
        ListedDisputes::Open => DisputeState::Open,
        ListedDisputes::Won => DisputeState::Won,
        ListedDisputes::Lost => DisputeState::Lost,
    });
    answer::data(StatusCode::OK, &staff.office.disputes(&staff.admin, state, page).await?)
}

/// Returns the case of a dispute: what the provider said, and what was bought with the money, keys masked.
#[utoipa::path(get, path = "/api/admin/disputes/{id}", tag = "admin", operation_id = "adminDispute", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the dispute")),
    responses((status = 200, description = "The case", body = Answer<DisputeCase>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission payments.read"), (status = 404, description = "There is no such dispute")))]
pub(crate) async fn dispute(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    let case = staff.office.dispute(&staff.admin, id).await?;
    answer::data(StatusCode::OK, &case.ok_or(ApiError::NotFound("Dispute"))?)
}

/// Returns what needs a person about payments: disputes, warnings of fraud, failed refunds. Open ones only.
#[utoipa::path(get, path = "/api/admin/payment-incidents", tag = "admin", operation_id = "adminPaymentIncidents", security(("bearer" = [])),
    responses((status = 200, description = "The open incidents, the oldest first, at most a hundred", body = Answer<PaymentIncidentList>),
    (status = 403, description = "Not signed in as staff with the permission payments.read")))]
pub(crate) async fn payment_incidents(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.payment_incidents(&staff.admin).await?)
}

request_body! {
    /// The end of an incident about a payment.
    struct PaymentIncidentClosing {
        /// What was found or done, 1 to 500 characters.
        #[schema(min_length = 1, max_length = 500)]
        reason: String = "reason",
    }
}

/// Closes an incident about a payment. Copies that waited for a warning of fraud are bought.
#[utoipa::path(post, path = "/api/admin/payment-incidents/{id}/close", tag = "admin", operation_id = "closePaymentIncident", security(("bearer" = [])), request_body = PaymentIncidentClosing,
    params(("id" = Uuid, Path, description = "ID of the incident")),
    responses((status = 200, description = "The incidents that are left", body = Answer<PaymentIncidentList>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission orders.refund"), (status = 404, description = "There is no such open incident")))]
pub(crate) async fn close_payment_incident(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = uuid_in("id", &id)?;
    let (PaymentIncidentClosing { reason }, form) = body.read();
    let reason = form.finish(checked_reason(reason.trim()))?;
    staff
        .office
        .close_payment_incident(&staff.admin, id, reason)
        .await
        .map_err(|error| match error {
            IncidentCloseError::NotFound => ApiError::NotFound("Incident"),
            IncidentCloseError::Own => ApiError::refused(StatusCode::FORBIDDEN, "own_payment", &error),
            IncidentCloseError::Refused(_) => ApiError::refused(StatusCode::FORBIDDEN, "has_more_permissions", &error),
            IncidentCloseError::Store(error) => error.into(),
        })?;
    answer::data(StatusCode::OK, &staff.office.payment_incidents(&staff.admin).await?)
}
