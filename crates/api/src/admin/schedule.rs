//! Scheduled changes of games.

use axum::extract::Path;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use http::StatusCode;
use lockstep_admin::{NewScheduledChange, ScheduleError, ScheduleFilter};
use lockstep_auth::AuthError;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{PlannedChange, ScheduleState, ScheduledChangeList, ScheduledChangeRow};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use lockstep_domain::{GameId, Money};
use utoipa::OpenApi;

use super::promo_codes::moment;
use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff};
use crate::answer::{self, Answered};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(list, create, cancel))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/scheduled-changes")
            .get(Permission::PricesRead, list)
            .post(Permission::PricesWrite, create),
        at("/api/admin/scheduled-changes/{id}").delete(Permission::PricesWrite, cancel),
    ]
}

/// How far ahead a change may be scheduled.
const FARTHEST: TimeDelta = TimeDelta::days(5 * 366);

request_body! {
    /// A change to schedule.
    struct NewChange {
        /// The game.
        game_id: GameId = "gameId",
        /// `PRICE`; `SALE`: a price with the one of before beside it; `VISIBLE`: whether it is on sale; `FEATURED`: whether it
        /// is a best seller.
        #[schema(max_length = 20)]
        change: String = "change",
        /// Of `PRICE` and `SALE`: the new price in EUR.
        #[schema(value_type = Option<f64>)]
        price: Option<Money> = "price",
        /// Of `PRICE` and `SALE`: `true` also below the supplier's price.
        below_cost: Option<bool> = "belowCost",
        /// Of `VISIBLE` and `FEATURED`: the new value.
        value: Option<bool> = "value",
        /// When it begins: a time in the future.
        #[schema(max_length = 40)]
        starts_at: String = "startsAt",
        /// When it is taken back; by default never. Then a price is again what the rules say at that time, unless it was
        /// staff's before.
        #[schema(max_length = 40)]
        ends_at: Option<String> = "endsAt",
    }
}

/// Returns the scheduled changes, those that begin last first.
#[utoipa::path(get, path = "/api/admin/scheduled-changes", tag = "admin", operation_id = "adminScheduledChanges", security(("bearer" = [])),
    params(Paged<20>, ("gameId" = Option<String>, Query, max_length = 100, description = "Only those of this game: an ID; empty, all of them"),
    ("state" = Option<ScheduleState>, Query, description = "Only those in this state: `WAITING`, `ACTIVE`, `DONE`, `SKIPPED` or `CANCELLED`")),
    responses((status = 200, description = "The changes", body = Answer<ScheduledChangeList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission prices.read")))]
pub(crate) async fn list(Paged(page): Paged<20>, staff: RequireStaff, ask: Ask) -> Answered {
    let game = ask.text("gameId")?.filter(|id| !id.is_empty());
    let state = ask.parsed::<ScheduleState>("state")?;
    let filter = ScheduleFilter {
        game: game.map(|id| uuid_in("gameId", &id)).transpose()?.map(GameId),
        state: state.map(|state| state.name().to_owned()),
        id: None,
    };
    let changes = staff.office.scheduled_changes(&staff.admin, &filter, page).await?;
    answer::data(StatusCode::OK, &changes)
}

/// Schedules a change of a game.
///
/// A worker carries it out at its time, in the name of its author, who must still have the permission then. What was changed
/// by hand meanwhile is not overwritten: the change is skipped, and says why. So is a price that is below the supplier's by
/// then, without `belowCost`. `VISIBLE` and `FEATURED` need the permission `catalogue.write` as well.
#[utoipa::path(post, path = "/api/admin/scheduled-changes", tag = "admin", operation_id = "scheduleChange", security(("bearer" = [])), request_body = NewChange,
    responses((status = 201, description = "The change", body = Answer<ScheduledChangeRow>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission prices.write"), (status = 404, description = "There is no such game"),
    (status = 409, description = "`below_cost`: the price is below the supplier's, and `belowCost` is not `true`; `overlaps`: another change of this is scheduled at that time; `too_many`: 10,000 wait")))]
pub(crate) async fn create(staff: RequireStaff, body: Body) -> Answered {
    let (new, form) = body.read::<NewChange>();
    let checked = planned(&new).and_then(|change| {
        let (starts_at, ends_at) = times(&new, staff.now)?;
        Ok(NewScheduledChange {
            game: new.game_id,
            change,
            starts_at,
            ends_at,
            below_cost: new.below_cost.unwrap_or_default(),
        })
    });
    let new = form.finish(checked)?;
    let made = staff.office.schedule_change(&staff.admin, &new).await?;
    answer::data(StatusCode::CREATED, &made)
}

/// Cancels a scheduled change that has not begun, or ends one that has.
///
/// One of `VISIBLE` or `FEATURED` needs the permission `catalogue.write` as well.
#[utoipa::path(delete, path = "/api/admin/scheduled-changes/{id}", tag = "admin", operation_id = "cancelScheduledChange", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the change")),
    responses((status = 200, description = "The change", body = Answer<ScheduledChangeRow>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission prices.write"),
    (status = 404, description = "There is no such change"), (status = 409, description = "`over`: it is over")))]
pub(crate) async fn cancel(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let id = uuid_in("id", &id)?;
    let cancelled = staff
        .office
        .cancel_scheduled_change(&staff.admin, id, staff.now)
        .await?;
    answer::data(StatusCode::OK, &cancelled)
}

fn fault(path: &'static str, code: &'static str, msg: &'static str) -> Vec<FieldError> {
    vec![FieldError { path, code, msg }]
}

fn planned(new: &NewChange) -> Result<PlannedChange, Vec<FieldError>> {
    let price = || match new.price {
        Some(price) if price.is_positive() => Ok(price),
        Some(_) => Err(fault("price", "out_of_range", "The price must be above 0")),
        None => Err(fault("price", "required", "This field is required")),
    };
    let value = || {
        new.value
            .ok_or_else(|| fault("value", "required", "This field is required"))
    };
    match new.change.as_str() {
        "PRICE" => Ok(PlannedChange::Price {
            price: price()?,
            is_sale: false,
        }),
        "SALE" => Ok(PlannedChange::Price {
            price: price()?,
            is_sale: true,
        }),
        "VISIBLE" => Ok(PlannedChange::Visible(value()?)),
        "FEATURED" => Ok(PlannedChange::Featured(value()?)),
        _ => Err(fault(
            "change",
            "invalid",
            "This field must be PRICE, SALE, VISIBLE or FEATURED",
        )),
    }
}

/// A beginning and an end.
type Times = (DateTime<Utc>, Option<DateTime<Utc>>);

/// The beginning and the end.
fn times(new: &NewChange, now: DateTime<Utc>) -> Result<Times, Vec<FieldError>> {
    const NOT_A_TIME: &str = "This field must be a time, such as 2027-01-31T10:00:00Z";
    let read =
        |path, text: &str| moment(text.trim(), NaiveTime::MIN).ok_or_else(|| fault(path, "not_a_time", NOT_A_TIME));
    let starts_at = read("startsAt", &new.starts_at)?;
    let ends_at = new.ends_at.as_deref().filter(|text| !text.trim().is_empty());
    let ends_at = ends_at.map(|text| read("endsAt", text)).transpose()?;
    let is_far = |at: DateTime<Utc>| at - now > FARTHEST;
    if starts_at <= now || is_far(starts_at) {
        return Err(fault(
            "startsAt",
            "out_of_range",
            "This must be a time in the next five years",
        ));
    }
    if ends_at.is_some_and(|end| end <= starts_at || is_far(end)) {
        return Err(fault(
            "endsAt",
            "out_of_range",
            "This must be later than the beginning, in the next five years",
        ));
    }
    Ok((starts_at, ends_at))
}

impl From<ScheduleError> for ApiError {
    fn from(error: ScheduleError) -> Self {
        let code = match error {
            ScheduleError::NoSuchGame => return Self::NotFound("Game"),
            ScheduleError::NotFound => return Self::NotFound("Scheduled change"),
            ScheduleError::Store(error) => return error.into(),
            ScheduleError::OnlyPrices => return AuthError::Forbidden.into(),
            ScheduleError::BelowCost => "below_cost",
            ScheduleError::Overlaps => "overlaps",
            ScheduleError::Over => "over",
            ScheduleError::TooMany => "too_many",
        };
        Self::refused(StatusCode::CONFLICT, code, &error)
    }
}
