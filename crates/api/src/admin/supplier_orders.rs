//! What is being bought at G2A, and what went wrong: offers, reservations, incidents.

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::{CloseError, NotRefundable, ReservationFilter};
use lockstep_domain::Money;
use lockstep_domain::account::FieldError;
use lockstep_domain::admin::{IncidentList, IncidentRow, ReservationList};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::UnitId;
use lockstep_domain::staff::Permission;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::routes::{StaffRoute, at};
use super::{MAX_PAGE, Paged, RequireStaff};
use crate::answer::{self, Answered, MessageWith};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;

/// Maximum length of a note, in characters.
const MAX_NOTE: usize = 500;

#[derive(OpenApi)]
#[openapi(paths(offers, offer, reservations, cancel, incidents, close))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/g2a/offers").get(Permission::SupplierRead, offers),
        at("/api/admin/g2a/offers/{offerId}").get(Permission::SupplierRead, offer),
        at("/api/admin/g2a/reservations").get(Permission::SupplierRead, reservations),
        at("/api/admin/g2a/reservations/{id}/cancel").post(Permission::OrdersWrite, cancel),
        at("/api/admin/incidents").get(Permission::SupplierRead, incidents),
        at("/api/admin/incidents/{id}/close").post(Permission::SupplierWrite, close),
    ]
}

/// A page of offers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Offers {
    /// Always empty: the shop buys at G2A and sells nothing there.
    #[schema(value_type = Vec<String>, max_items = 0)]
    data: [&'static str; 0],
    /// Pagination.
    meta: OfferPaging,
}

/// Pagination of offers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OfferPaging {
    current_page: u32,
    last_page: u32,
    per_page: u32,
    total: u32,
}

/// Returns the shop's offers at G2A: none.
///
/// Offers are what a seller has at G2A; this shop only buys there.
#[utoipa::path(get, path = "/api/admin/g2a/offers", tag = "admin", operation_id = "adminOffers", security(("bearer" = [])), params(
    ("page" = Option<u32>, Query, minimum = 1, maximum = 100_000, description = "Page number, from 1 (default 1)"),
    ("perPage" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Page size, 1–1,000 (default 20)")),
    responses((status = 200, description = "No offers, and why", body = MessageWith<Offers>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission supplier.read")))]
pub(crate) async fn offers(_staff: RequireStaff, ask: Ask) -> Answered {
    let meta = OfferPaging {
        current_page: ask.number("page", 1, 1, MAX_PAGE)?,
        last_page: 1,
        per_page: ask.number("perPage", 20, 1, super::MAX_PAGE_SIZE)?,
        total: 0,
    };
    answer::message_with(
        "This shop buys from G2A and offers nothing there",
        Offers { data: [], meta },
    )
}

/// Returns an offer of the shop at G2A: there is none.
#[utoipa::path(get, path = "/api/admin/g2a/offers/{offerId}", tag = "admin", operation_id = "adminOffer", security(("bearer" = [])),
    params(("offerId" = String, Path, description = "ID of the offer")),
    responses((status = 200, description = "Never: there are no offers", body = MessageWith<Offers>),
    (status = 403, description = "Not signed in as staff with the permission supplier.read"),
    (status = 404, description = "There is no such offer")))]
pub(crate) async fn offer(_staff: RequireStaff) -> Answered {
    Err(ApiError::NotFound("Offer"))
}

/// Returns the order units that are being bought at G2A, the oldest first.
#[utoipa::path(get, path = "/api/admin/g2a/reservations", tag = "admin", operation_id = "adminReservations", security(("bearer" = [])), params(
    ("orderId" = Option<String>, Query, max_length = 100, description = "Those of this order; a text that is no ID: none"),
    ("status" = Option<String>, Query, max_length = 100, description = "Those in this state: `ORDERING`, `ORDERED`, `PAYING`, `PAID`, `FETCHING` or `LOST`; `pending` or `confirmed`; any other word: none"),
    Paged<20>),
    responses((status = 200, description = "A page of reservations", body = Answer<ReservationList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission supplier.read")))]
pub(crate) async fn reservations(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let filter = ReservationFilter {
        order: ask.order("orderId")?,
        status: ask.text("status")?,
    };
    let list = staff.office.reservations(&staff.admin, &filter, page).await?;
    answer::data(StatusCode::OK, &list)
}

/// A reservation that was given up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct GivenUp {
    /// Refunded to the balance of the user, EUR.
    refunded: Money,
}

/// Gives up a unit that nothing has been paid for at G2A, and refunds it.
///
/// G2A's own reservation ends by itself, because it is never paid.
#[utoipa::path(post, path = "/api/admin/g2a/reservations/{id}/cancel", tag = "admin", operation_id = "cancelReservation", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the reservation")),
    responses((status = 200, description = "The unit is refunded, or has its faulty key again", body = MessageWith<GivenUp>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission orders.write"),
    (status = 404, description = "There is no such reservation"),
    (status = 409, description = "It may have been paid for (`reservation_paid`), or is refunded (`already_refunded`)")))]
pub(crate) async fn cancel(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let unit = UnitId(uuid_in("id", &id)?);
    let refused = |code, why: &'static str| ApiError::refused(StatusCode::CONFLICT, code, &why);
    let refunded = staff
        .office
        .cancel_reservation(&staff.admin, unit)
        .await
        .map_err(|error| match error {
            NotRefundable::Store(error) => error.into(),
            NotRefundable::Unknown => ApiError::NotFound("Reservation"),
            NotRefundable::Refunded => refused("already_refunded", "This unit was refunded before."),
            // Only of a whole order.
            NotRefundable::Bought | NotRefundable::KeyReused | NotRefundable::NotAllowed(_) => refused(
                "reservation_paid",
                "G2A may have been paid for this unit already. It is delivered, or refunded if that fails.",
            ),
        })?;
    let message = if refunded.is_positive() {
        "The reservation is given up and refunded"
    } else {
        "The reservation is given up"
    };
    answer::message_with(message, GivenUp { refunded })
}

/// Returns incidents, newest first.
#[utoipa::path(get, path = "/api/admin/incidents", tag = "admin", operation_id = "adminIncidents", security(("bearer" = [])), params(
    ("status" = Option<String>, Query, max_length = 6, description = "`open` (default), `closed` or `all`"), Paged<20>),
    responses((status = 200, description = "A page of incidents", body = Answer<IncidentList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission supplier.read")))]
pub(crate) async fn incidents(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let open = match ask.text("status")?.as_deref() {
        None | Some("open") => Some(true),
        Some("closed") => Some(false),
        Some("all") => None,
        Some(_) => return Err(ApiError::invalid("status", "must be open, closed or all")),
    };
    answer::data(StatusCode::OK, &staff.office.incidents(&staff.admin, open, page).await?)
}

request_body! {
    /// The end of an incident.
    struct Closing {
        /// What was found or done, 1 to 500 characters.
        #[schema(min_length = 1, max_length = 500)]
        note: String = "note",
    }
}

/// Closes an incident.
#[utoipa::path(post, path = "/api/admin/incidents/{id}/close", tag = "admin", operation_id = "closeIncident", security(("bearer" = [])), request_body = Closing,
    params(("id" = Uuid, Path, description = "ID of the incident")),
    responses((status = 200, description = "The incident", body = Answer<IncidentRow>), (status = 400, description = "Invalid field"),
    (status = 403, description = "Not signed in as staff with the permission supplier.write"),
    (status = 404, description = "There is no such incident"), (status = 409, description = "It is closed already")))]
pub(crate) async fn close(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let id = uuid_in("id", &id)?;
    let (Closing { note }, form) = body.read();
    let note = form.finish(checked_note(note.trim()))?;
    let closed = staff
        .office
        .close_incident(&staff.admin, id, note)
        .await
        .map_err(|error| match error {
            CloseError::Store(error) => error.into(),
            CloseError::NotFound => ApiError::NotFound("Incident"),
            CloseError::Closed => ApiError::refused(StatusCode::CONFLICT, "incident_closed", &error),
        })?;
    answer::data(StatusCode::OK, &closed)
}

fn checked_note(note: &str) -> Result<&str, Vec<FieldError>> {
    let is_bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let length = note.chars().take(MAX_NOTE + 1).count();
    if (1..=MAX_NOTE).contains(&length) && !note.contains(is_bad) {
        return Ok(note);
    }
    Err(vec![FieldError {
        path: "note",
        code: "invalid",
        msg: "This field must be 1 to 500 characters without control characters",
    }])
}
