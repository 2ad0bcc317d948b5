//! Promo codes.

use std::collections::BTreeSet;

use axum::extract::Path;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use http::StatusCode;
use lockstep_admin::{List, NewPromoCode, PromoCodeChange, PromoCodeError};
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{Percent, PromoCodeRow, PromoCodeStatistics, PromoTerms, PromoUses};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use rust_decimal::Decimal;
use utoipa::OpenApi;
use uuid::Uuid;

use super::routes::{StaffRoute, at};
use super::{RequireStaff, files, found};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, Given, request_body, uuid, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(list, statistics, one, uses, create, change, delete))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/promo-codes")
            .get(Permission::PromotionsRead, list)
            .post(Permission::PromotionsWrite, create),
        at("/api/admin/promo-codes/statistics").get(Permission::PromotionsRead, statistics),
        at("/api/admin/promo-codes/{id}")
            .get(Permission::PromotionsRead, one)
            .put(Permission::PromotionsWrite, change)
            .delete(Permission::PromotionsWrite, delete),
        at("/api/admin/promo-codes/{id}/statistics").get(Permission::PromotionsRead, uses),
    ]
}

/// Returns the promo codes that belong to no batch, newest first.
///
/// Returns at most 10,000.
#[utoipa::path(get, path = "/api/admin/promo-codes", tag = "admin", operation_id = "adminPromoCodes", security(("bearer" = [])), params(
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default), or `csv` for a file with every row")),
    responses((status = 200, description = "The codes", body = Answer<Vec<PromoCodeRow>>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission promotions.read")))]
pub(crate) async fn list(staff: RequireStaff, ask: Ask) -> Answered {
    if files::wanted(&ask)? {
        return files::csv(&staff, List::PromoCodes, false).await;
    }
    answer::data(StatusCode::OK, &staff.office.promo_codes(&staff.admin).await?)
}

/// Returns figures about all promo codes.
///
/// `totalDiscountGiven` is the sum of the discounts of orders that were not fully refunded.
#[utoipa::path(get, path = "/api/admin/promo-codes/statistics", tag = "admin", operation_id = "adminPromoCodeStatistics", security(("bearer" = [])),
    responses((status = 200, description = "The figures", body = Answer<PromoCodeStatistics>),
    (status = 403, description = "Not signed in as staff with the permission promotions.read")))]
pub(crate) async fn statistics(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.promo_code_statistics(&staff.admin).await?)
}

/// Returns a promo code.
#[utoipa::path(get, path = "/api/admin/promo-codes/{id}", tag = "admin", operation_id = "adminPromoCode", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the promo code")),
    responses((status = 200, description = "The code", body = Answer<PromoCodeRow>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission promotions.read"),
    (status = 404, description = "There is no such code")))]
pub(crate) async fn one(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let code = staff.office.promo_code(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::OK, &found(code, "Promo code")?)
}

/// Returns figures about the uses of a promo code.
#[utoipa::path(get, path = "/api/admin/promo-codes/{id}/statistics", tag = "admin", operation_id = "adminPromoCodeUses", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the promo code")),
    responses((status = 200, description = "The figures", body = Answer<PromoUses>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission promotions.read"),
    (status = 404, description = "There is no such code")))]
pub(crate) async fn uses(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let uses = staff.office.promo_code_uses(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::OK, &found(uses, "Promo code")?)
}

request_body! {
    /// A promo code to create.
    struct NewCode {
        /// 2 to 40 letters, digits, `-` and `_`; stored in upper case.
        #[schema(min_length = 2, max_length = 40)]
        code: String = "code",
        /// Percent of the subtotal of the items that it holds for, above 0 and at most 100, at most two decimals. Needed
        /// unless there is an `amount`.
        #[schema(value_type = Option<f64>)]
        discount: Option<Percent> = "discount" => percent(),
        /// EUR off, in place of a percentage; at most what the items cost that it holds for.
        #[schema(value_type = Option<f64>)]
        amount: Option<Money> = "amount",
        /// The least subtotal of an order, EUR; by default none.
        #[schema(value_type = Option<f64>)]
        min_order: Option<Money> = "minOrder",
        /// Only for customers without an order whose money did not go back.
        first_order_only: Option<bool> = "firstOrderOnly",
        /// Announced to everybody: what it makes of prices counts for `lowestPrice30d` of games.
        is_public: Option<bool> = "isPublic",
        /// Maximum number of orders of one customer; no limit by default.
        #[schema(value_type = Option<i32>, minimum = 1)]
        max_uses_per_customer: Option<i64> = "maxUsesPerCustomer" => whole_number(),
        /// IDs of the games that it holds for; by default all.
        #[schema(max_items = 500)]
        game_ids: Option<Vec<String>> = "gameIds",
        /// IDs of genres: it holds for games of any of these; by default all.
        #[schema(max_items = 500)]
        genre_ids: Option<Vec<String>> = "genreIds",
        /// IDs of platforms: it holds for games of any of these; by default all.
        #[schema(max_items = 500)]
        platform_ids: Option<Vec<String>> = "platformIds",
        /// Maximum number of orders that may use it; no limit by default.
        #[schema(value_type = Option<i32>, minimum = 1)]
        max_uses: Option<i64> = "maxUses" => whole_number(),
        /// Start of its validity: a time, or a day in UTC. By default now.
        valid_from: Option<String> = "validFrom",
        /// End of its validity: a time, or the last day in UTC. By default none.
        valid_until: Option<String> = "validUntil",
        /// `false` creates it switched off.
        active: Option<bool> = "active",
    }
}

request_body! {
    /// What to change about a promo code; what is left out stays.
    struct CodeChange {
        /// 2 to 40 letters, digits, `-` and `_`. The name of a code that orders used does not change.
        #[schema(min_length = 2, max_length = 40)]
        code: Option<String> = "code",
        /// Percent of the subtotal of the items that it holds for, above 0 and at most 100, at most two decimals; in place of
        /// an amount. 0, as a code with an amount is shown, leaves the amount.
        #[schema(value_type = Option<f64>)]
        discount: Given<Percent> = "discount" => percent_or_zero(),
        /// EUR off, in place of a percentage.
        #[schema(value_type = Option<f64>)]
        amount: Option<Money> = "amount",
        /// The least subtotal of an order, EUR; `null` for none.
        #[schema(value_type = Option<f64>)]
        min_order: Given<Money> = "minOrder" => given_money(),
        /// Only for customers without an order whose money did not go back.
        first_order_only: Option<bool> = "firstOrderOnly",
        /// Announced to everybody: what it makes of prices counts for `lowestPrice30d` of games.
        is_public: Option<bool> = "isPublic",
        /// Maximum number of orders of one customer; `null` for no limit.
        #[schema(value_type = Option<i32>, minimum = 1)]
        max_uses_per_customer: Given<i64> = "maxUsesPerCustomer" => given_number(),
        /// IDs of the games that it holds for; an empty list for all.
        #[schema(max_items = 500)]
        game_ids: Option<Vec<String>> = "gameIds",
        /// IDs of genres: it holds for games of any of these; an empty list for all.
        #[schema(max_items = 500)]
        genre_ids: Option<Vec<String>> = "genreIds",
        /// IDs of platforms: it holds for games of any of these; an empty list for all.
        #[schema(max_items = 500)]
        platform_ids: Option<Vec<String>> = "platformIds",
        /// Maximum number of orders that may use it; `null` for no limit.
        #[schema(value_type = Option<i32>, minimum = 1)]
        max_uses: Given<i64> = "maxUses" => given_number(),
        /// Start of its validity: a time, or a day in UTC.
        valid_from: Option<String> = "validFrom",
        /// End of its validity: a time, or the last day in UTC; `null` for none.
        #[schema(value_type = Option<String>)]
        valid_until: Given<String> = "validUntil" => given_text(),
        /// `false` switches it off.
        active: Option<bool> = "active",
    }
}

/// Creates a promo code.
#[utoipa::path(post, path = "/api/admin/promo-codes", tag = "admin", operation_id = "createPromoCode", security(("bearer" = [])), request_body = NewCode,
    responses((status = 201, description = "The code", body = Answer<PromoCodeRow>),
    (status = 400, description = "Invalid field, or there is such a code already"),
    (status = 403, description = "Not signed in as staff with the permission promotions.write")))]
pub(crate) async fn create(staff: RequireStaff, body: Body) -> Answered {
    let (new, form) = body.read::<NewCode>();
    let checked = checked_dates(new.valid_from.as_deref(), new.valid_until.as_deref())
        .and_then(|dates| Ok((dates, checked_uses("maxUses", new.max_uses)?)))
        .and_then(|checked| checked_text(&new.code).map(|()| checked))
        .and_then(|checked| Ok((checked, checked_worth(new.discount, new.amount, body.has("discount"))?)))
        .and_then(|checked| {
            let terms = PromoTerms {
                amount: new.amount,
                min_order: new.min_order,
                first_order_only: new.first_order_only.unwrap_or_default(),
                is_public: new.is_public.unwrap_or_default(),
                max_uses_per_customer: checked_uses("maxUsesPerCustomer", new.max_uses_per_customer)?,
                game_ids: ids("gameIds", new.game_ids)?,
                genre_ids: ids("genreIds", new.genre_ids)?,
                platform_ids: ids("platformIds", new.platform_ids)?,
            };
            Ok((checked, terms))
        });
    let ((((valid_from, valid_until), max_uses), discount), terms) = form.finish(checked)?;
    let new = NewPromoCode {
        code: new.code.trim().to_owned(),
        discount,
        terms,
        max_uses,
        valid_from,
        valid_until,
        active: new.active.unwrap_or(true),
    };
    let made = staff.office.create_promo_code(&staff.admin, &new).await?;
    answer::data(StatusCode::CREATED, &made)
}

/// Changes a promo code.
///
/// Orders that used it keep their price. Uses are counted by the database and cannot be set.
#[utoipa::path(put, path = "/api/admin/promo-codes/{id}", tag = "admin", operation_id = "changePromoCode", security(("bearer" = [])), request_body = CodeChange,
    params(("id" = Uuid, Path, description = "ID of the promo code")),
    responses((status = 200, description = "The code", body = Answer<PromoCodeRow>),
    (status = 400, description = "Invalid field, there is such a code already, or fewer uses than it has"),
    (status = 403, description = "Not signed in as staff with the permission promotions.write"),
    (status = 404, description = "There is no such code"), (status = 409, description = "Orders used it, so it keeps its name")))]
pub(crate) async fn change(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = uuid_in("id", &id)?;
    let (change, form) = body.read::<CodeChange>();
    let until = change.valid_until.as_ref().map(|until| until.as_deref());
    let given = |path, sent: Option<Vec<String>>| sent.map(|sent| ids(path, Some(sent))).transpose();
    let checked = checked_dates(change.valid_from.as_deref(), until.flatten())
        .and_then(|dates| Ok((dates, checked_uses("maxUses", change.max_uses.flatten())?)))
        .and_then(|checked| checked_text(change.code.as_deref().unwrap_or_default()).map(|()| checked))
        .and_then(|checked| match (change.discount, change.amount) {
            (Some(Some(_)), Some(_)) => Err(fault("amount", "invalid", EITHER)),
            _ => Ok(checked),
        })
        .and_then(|checked| {
            let per_customer = checked_uses("maxUsesPerCustomer", change.max_uses_per_customer.flatten())?;
            let lists = [
                given("gameIds", change.game_ids)?,
                given("genreIds", change.genre_ids)?,
                given("platformIds", change.platform_ids)?,
            ];
            Ok((checked, per_customer, lists))
        });
    let (((valid_from, valid_until), max_uses), per_customer, [games, genres, platforms]) = form.finish(checked)?;
    let change = PromoCodeChange {
        code: change.code.map(|code| code.trim().to_owned()),
        discount: change
            .discount
            .map(|percent| percent.map_or(Decimal::ZERO, Percent::decimal)),
        amount: change.amount,
        min_order: change.min_order,
        first_order_only: change.first_order_only,
        is_public: change.is_public,
        max_uses_per_customer: change.max_uses_per_customer.map(|_| per_customer),
        games,
        genres,
        platforms,
        max_uses: change.max_uses.map(|_| max_uses),
        valid_from,
        valid_until: change.valid_until.map(|_| valid_until),
        active: change.active,
    };
    let changed = staff.office.change_promo_code(&staff.admin, id, &change).await?;
    answer::data(StatusCode::OK, &changed)
}

/// Deletes a promo code that no order used.
///
/// One that orders used is switched off instead: `PUT` with `active` `false`.
#[utoipa::path(delete, path = "/api/admin/promo-codes/{id}", tag = "admin", operation_id = "deletePromoCode", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the promo code")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission promotions.write"),
    (status = 404, description = "There is no such code"), (status = 409, description = "Orders used it")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    staff
        .office
        .delete_promo_code(&staff.admin, uuid_in("id", &id)?)
        .await?;
    answer::message(StatusCode::OK, "The promo code is deleted")
}

pub(super) fn fault(path: &'static str, code: &'static str, msg: &'static str) -> Vec<FieldError> {
    vec![FieldError { path, code, msg }]
}

type Dates = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Parses the start and the end of a validity. A day as its end includes that day.
pub(super) fn checked_dates(from: Option<&str>, until: Option<&str>) -> Result<Dates, Vec<FieldError>> {
    const NOT_A_TIME: &str = "This field must be a time or a day, such as 2027-01-31T10:00:00Z or 2027-01-31";
    let read = |path, text: Option<&str>, of_day| match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => moment(text, of_day)
            .map(Some)
            .ok_or_else(|| fault(path, "not_a_time", NOT_A_TIME)),
    };
    let last = NaiveTime::from_hms_milli_opt(23, 59, 59, 999).unwrap_or_default();
    match (read("validFrom", from, NaiveTime::MIN), read("validUntil", until, last)) {
        // How this API shows no end.
        (Ok(from), Ok(until)) => Ok((from, until.filter(|until| chrono::Datelike::year(until) < 9999))),
        (from, until) => Err([from.err(), until.err()].into_iter().flatten().flatten().collect()),
    }
}

/// A time with an offset, one without as UTC, or a day, which stands for a time of it.
pub(super) fn moment(text: &str, of_day: NaiveTime) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).ok();
    let local = || {
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
    };
    let day = || {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .map(|day| day.and_time(of_day))
    };
    let time = time.or_else(|| local().or_else(day).map(|time| time.and_utc()))?;
    // The range of years that the database can hold.
    (1..=9999).contains(&chrono::Datelike::year(&time)).then_some(time)
}

/// What the database cannot even store.
fn checked_text(code: &str) -> Result<(), Vec<FieldError>> {
    if code.contains(char::is_control) {
        return Err(fault(
            "code",
            "invalid",
            "This field must not contain control characters",
        ));
    }
    Ok(())
}

const EITHER: &str = "A code has either a discount in percent or an amount";

/// The percentage of a new code: 0 if it has an amount. A percentage that is there and wrong has its own error.
pub(super) fn checked_worth(
    discount: Option<Percent>,
    amount: Option<Money>,
    has_discount: bool,
) -> Result<Decimal, Vec<FieldError>> {
    match (discount, amount) {
        (Some(percent), None) => Ok(percent.decimal()),
        (None, Some(_)) => Ok(Decimal::ZERO),
        (Some(_), Some(_)) => Err(fault("amount", "invalid", EITHER)),
        (None, None) if has_discount => Err(Vec::new()),
        (None, None) => Err(fault("discount", "required", "This field is required")),
    }
}

/// Most games, genres or platforms that a code names.
const MAX_IDS: usize = 500;

/// Ids of a list, each once.
pub(super) fn ids(path: &'static str, sent: Option<Vec<String>>) -> Result<Vec<Uuid>, Vec<FieldError>> {
    let sent = sent.unwrap_or_default();
    let ids: Option<BTreeSet<Uuid>> = sent.iter().map(|id| uuid(id)).collect();
    match ids {
        Some(ids) if sent.len() <= MAX_IDS => Ok(ids.into_iter().collect()),
        _ => Err(fault(
            path,
            "invalid_id",
            "This field must be a list of at most 500 ids (UUIDs)",
        )),
    }
}

pub(super) fn checked_uses(path: &'static str, uses: Option<i64>) -> Result<Option<i32>, Vec<FieldError>> {
    uses.map(|uses| {
        i32::try_from(uses)
            .ok()
            .filter(|uses| *uses > 0)
            .ok_or_else(|| fault(path, "out_of_range", "This field must be a whole number, at least 1"))
    })
    .transpose()
}

impl From<PromoCodeError> for ApiError {
    fn from(error: PromoCodeError) -> Self {
        let invalid = |path, msg| Self::Fields(fault(path, "invalid", msg));
        match error {
            PromoCodeError::Store(error) => error.into(),
            PromoCodeError::Unknown(_) => Self::NotFound("Promo code"),
            PromoCodeError::Exists(_) => Self::refused(
                StatusCode::BAD_REQUEST,
                "promo_code_exists",
                &"There is a promo code with this name already",
            ),
            PromoCodeError::InUse => Self::refused(
                StatusCode::CONFLICT,
                "promo_code_in_use",
                &"Orders used this code, so it stays with its name. Switch it off instead.",
            ),
            PromoCodeError::BelowUses => invalid("maxUses", "This code was used more often already"),
            PromoCodeError::Code => invalid("code", "A code has 2 to 40 letters, digits, - and _"),
            PromoCodeError::Discount => invalid("discount", "The discount must be above 0 and at most 100 percent"),
            PromoCodeError::Amount => invalid("amount", "The amount must be above 0"),
            PromoCodeError::MinOrder => invalid("minOrder", "The least order must be above 0"),
            PromoCodeError::MaxUsesPerCustomer => {
                invalid("maxUsesPerCustomer", "This field must be a whole number, at least 1")
            }
            PromoCodeError::NoSuchGame => invalid("gameIds", "There is no such game"),
            PromoCodeError::NoSuchGenre => invalid("genreIds", "There is no such genre"),
            PromoCodeError::NoSuchPlatform => invalid("platformIds", "There is no such platform"),
            PromoCodeError::MaxUses => invalid("maxUses", "This field must be a whole number, at least 1"),
            PromoCodeError::Window => invalid("validUntil", "The end must be later than the beginning"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_front_ends_send() {
        let read = |text: &str| checked_dates(None, Some(text)).unwrap().1.unwrap().to_rfc3339();
        assert_eq!(read("2027-01-31T10:00:00.000Z"), "2027-01-31T10:00:00+00:00");
        assert_eq!(read("2027-01-31T10:00:00+02:00"), "2027-01-31T08:00:00+00:00");
        assert_eq!(read("2027-01-31T10:00"), "2027-01-31T10:00:00+00:00");
        assert_eq!(read("2027-01-31"), "2027-01-31T23:59:59.999+00:00");
        assert_eq!(checked_dates(Some(""), Some(" ")), Ok((None, None)));
        for wrong in ["x", "2027-02-30", "-0001-01-01", "31.01.2027", "99999-01-01T00:00:00Z"] {
            let faults = checked_dates(Some(wrong), Some(wrong)).unwrap_err();
            assert_eq!(faults.len(), 2, "{wrong}");
        }
    }
}
