//! `/api/admin/fraud-rules`, `/api/admin/payment-holds…`: rules against fraud, and the payments that they hold.

use std::str::FromStr;

use axum::extract::{Path, State};
use chrono::{Days, TimeDelta};
use http::StatusCode;
use lockstep_admin::{FraudRule, FraudRuleError, HoldDecideError, HoldDecision};
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{FraudRuleList, FraudRuleRow, HoldReport, PaymentHoldList, PaymentHoldRow};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use utoipa::{OpenApi, ToSchema};

use super::money::checked_reason;
use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, days, found};
use crate::Api;
use crate::answer::{self, Answered};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;

/// Days of a report without a beginning.
const REPORT_DAYS: TimeDelta = TimeDelta::days(30);

#[derive(OpenApi)]
#[openapi(
    paths(rules, change_rule, holds, release, refund, report),
    components(schemas(ListedHolds))
)]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/fraud-rules").get(Permission::PaymentsRead, rules),
        at("/api/admin/fraud-rules/{name}").put(Permission::SystemWrite, change_rule),
        at("/api/admin/payment-holds").get(Permission::PaymentsRead, holds),
        at("/api/admin/payment-holds/{id}/release").post(Permission::OrdersRefund, release),
        at("/api/admin/payment-holds/{id}/refund").post(Permission::OrdersRefund, refund),
        at("/api/admin/reports/holds").get(Permission::DashboardRead, report),
    ]
}

/// Returns the rules against fraud.
#[utoipa::path(get, path = "/api/admin/fraud-rules", tag = "admin", operation_id = "adminFraudRules", security(("bearer" = [])),
    responses((status = 200, description = "The rules, by name", body = Answer<FraudRuleList>),
    (status = 403, description = "Not signed in as staff with the permission payments.read")))]
pub(crate) async fn rules(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.fraud_rules(&staff.admin).await?)
}

request_body! {
    /// A rule against fraud, whole.
    struct FraudRuleChange {
        /// Whether it counts; by default it does.
        on: Option<bool> = "on",
        /// EUR, at most two decimals; of a rule that measures an amount.
        #[schema(value_type = Option<f64>)]
        amount: Option<Money> = "amount",
        /// 1 to 10,000; of a rule that counts.
        #[schema(minimum = 1, maximum = 10000)]
        count: Option<i64> = "count",
        /// 1 to 8,760; of a rule with a time.
        #[schema(minimum = 1, maximum = 8760)]
        hours: Option<i64> = "hours",
        /// The version that was read.
        #[schema(minimum = 1)]
        version: i64 = "version",
    }
}

/// A whole number that a rule can have.
fn whole(path: &'static str, number: Option<i64>) -> Result<Option<u32>, Vec<FieldError>> {
    let Some(number) = number else { return Ok(None) };
    let whole = u32::try_from(number).map_err(|_not_one| {
        vec![FieldError {
            path,
            code: "out_of_range",
            msg: "This field must be a positive whole number",
        }]
    });
    whole.map(Some)
}

/// Changes a rule against fraud. It counts from the next payment on.
#[utoipa::path(put, path = "/api/admin/fraud-rules/{name}", tag = "admin", operation_id = "changeFraudRule", security(("bearer" = [])), request_body = FraudRuleChange,
    params(("name" = String, Path, max_length = 50, description = "Name of the rule")), responses(
    (status = 200, description = "The rule", body = Answer<FraudRuleRow>), (status = 400, description = "Invalid field, or not what the rule measures with"),
    (status = 403, description = "Not signed in as staff with the permission system.write"), (status = 404, description = "There is no such rule"),
    (status = 409, description = "Somebody has changed it meanwhile")))]
pub(crate) async fn change_rule(Path(name): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (change, form) = body.read::<FraudRuleChange>();
    let FraudRuleChange { on, amount, .. } = change;
    let numbers = || {
        let (count, hours) = (whole("count", change.count)?, whole("hours", change.hours)?);
        Ok((
            count,
            hours,
            whole("version", Some(change.version))?.unwrap_or_default(),
        ))
    };
    let (count, hours, version) = form.finish(numbers())?;
    let rule = FraudRule {
        name: name.chars().filter(|c| *c != '\0').take(50).collect(),
        is_on: on.unwrap_or(true),
        amount,
        count,
        hours,
        version,
    };
    let changed = staff.office.change_fraud_rule(&staff.admin, rule).await;
    let changed = changed.map_err(|error| match error {
        FraudRuleError::NotFound => ApiError::NotFound("Rule"),
        FraudRuleError::Changed => ApiError::refused(StatusCode::CONFLICT, "changed_meanwhile", &error),
        FraudRuleError::Wrong => ApiError::refused(StatusCode::BAD_REQUEST, "not_this_rule", &error),
        FraudRuleError::Store(error) => error.into(),
    })?;
    answer::data(StatusCode::OK, &changed)
}

/// The state of the held payments of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ListedHolds {
    /// To be decided.
    Open,
    /// What waited for it was bought and delivered.
    Released,
    /// Its money goes back.
    Refunding,
    /// Its money went back.
    Refunded,
}

impl ListedHolds {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Released => "RELEASED",
            Self::Refunding => "REFUNDING",
            Self::Refunded => "REFUNDED",
        }
    }
}

impl FromStr for ListedHolds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Open, Self::Released, Self::Refunding, Self::Refunded]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or("must be OPEN, RELEASED, REFUNDING or REFUNDED")
    }
}

/// Returns the payments that rules hold, the oldest first.
#[utoipa::path(get, path = "/api/admin/payment-holds", tag = "admin", operation_id = "adminPaymentHolds", security(("bearer" = [])), params(
    ("state" = Option<ListedHolds>, Query, description = "Only those in this state"), Paged<20>),
    responses((status = 200, description = "A page of held payments", body = Answer<PaymentHoldList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission payments.read")))]
pub(crate) async fn holds(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let state = ask.parsed::<ListedHolds>("state")?.map(ListedHolds::as_str);
    let listed = staff.office.payment_holds(&staff.admin, state, page).await?;
    answer::data(StatusCode::OK, &listed)
}

request_body! {
    /// A decision about a held payment.
    struct HoldNote {
        /// What was found, 1 to 500 characters.
        #[schema(min_length = 1, max_length = 500)]
        reason: String = "reason",
    }
}

/// Releases a held payment: what waited for it is bought and delivered.
#[utoipa::path(post, path = "/api/admin/payment-holds/{id}/release", tag = "admin", operation_id = "releasePaymentHold", security(("bearer" = [])), request_body = HoldNote,
    params(("id" = Uuid, Path, description = "ID of the hold")), responses(
    (status = 200, description = "The hold", body = Answer<PaymentHoldRow>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission orders.refund, or its owner is the caller or has more permissions"),
    (status = 404, description = "Nothing is held with this ID")))]
pub(crate) async fn release(State(api): Api, Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let confirmed = api.shop.auth().is_confirmed(&staff.admin).await?;
    decide(&staff, confirmed, &id, HoldDecision::Release, &body).await
}

/// Refunds a held payment: copies that are not paid for at the supplier go back to the balance, and then what is left of the
/// payment goes to its card.
#[utoipa::path(post, path = "/api/admin/payment-holds/{id}/refund", tag = "admin", operation_id = "refundPaymentHold", security(("bearer" = [])), request_body = HoldNote,
    params(("id" = Uuid, Path, description = "ID of the hold")), responses(
    (status = 200, description = "The hold", body = Answer<PaymentHoldRow>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission orders.refund, its owner is the caller or has more permissions, or more than the role may refund within a day without the password"),
    (status = 404, description = "Nothing is held with this ID")))]
pub(crate) async fn refund(State(api): Api, Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let confirmed = api.shop.auth().is_confirmed(&staff.admin).await?;
    decide(&staff, confirmed, &id, HoldDecision::Refund, &body).await
}

async fn decide(staff: &RequireStaff, confirmed: bool, id: &str, decision: HoldDecision, body: &Body) -> Answered {
    let id = uuid_in("id", id)?;
    let (HoldNote { reason }, form) = body.read();
    let reason = form.finish(checked_reason(reason.trim()))?;
    staff
        .office
        .decide_payment_hold((&staff.admin, confirmed), id, decision, reason)
        .await
        .map_err(|error| match error {
            HoldDecideError::NotFound => ApiError::NotFound("Held payment"),
            HoldDecideError::Own => ApiError::refused(StatusCode::FORBIDDEN, "own_payment", &error),
            HoldDecideError::NotConfirmed { .. } => {
                ApiError::refused(StatusCode::FORBIDDEN, "confirmation_needed", &error)
            }
            HoldDecideError::Refused(_) => ApiError::refused(StatusCode::FORBIDDEN, "has_more_permissions", &error),
            HoldDecideError::Store(error) => error.into(),
        })?;
    let hold = staff.office.payment_hold(&staff.admin, id).await?;
    answer::data(StatusCode::OK, &found(hold, "Held payment")?)
}

/// Returns how many payments each rule held, and how that ended: how often it was wrong.
#[utoipa::path(get, path = "/api/admin/reports/holds", tag = "admin", operation_id = "adminHoldReport", security(("bearer" = [])), params(
    ("startDate" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD, UTC; by default 30 days ago"),
    ("endDate" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD, UTC; by default today")),
    responses((status = 200, description = "The report, by rule", body = Answer<HoldReport>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission dashboard.read")))]
pub(crate) async fn report(staff: RequireStaff, ask: Ask) -> Answered {
    let span = days(&ask)?;
    let until = span
        .until
        .or_else(|| staff.now.checked_add_days(Days::new(1)))
        .unwrap_or(staff.now);
    let from = span.from.unwrap_or(until - REPORT_DAYS);
    answer::data(
        StatusCode::OK,
        &staff.office.hold_report(&staff.admin, from, until).await?,
    )
}
