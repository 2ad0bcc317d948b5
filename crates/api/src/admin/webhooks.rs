//! Outgoing webhooks.

use axum::extract::Path;
use chrono::{DateTime, Utc};
use http::StatusCode;
use lockstep_admin::WebhookError;
use lockstep_domain::admin::{
    NewWebhookEndpoint, NewWebhookSecret, WebhookDeliveryList, WebhookEndpoint, WebhookEndpointForm, WebhookEvent,
    WebhookEventInfo, WebhookReplayed, WebhookState,
};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::staff::Permission;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::routes::{Confirmed, StaffRoute, at};
use super::{Paged, RequireStaff, found};
use crate::answer::{self, Answered, Message};
use crate::body::{Body, request_body, uuid_in};
use crate::error::ApiError;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(
    list,
    events,
    one,
    create,
    change,
    delete,
    rotate,
    end_secret,
    deliveries,
    replay,
    replay_window,
    ping
))]
pub(super) struct Description;

/// An endpoint learns of every sale, so entering one needs the password again.
pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/webhooks")
            .get(Permission::WebhooksRead, list)
            .post(Confirmed(Permission::WebhooksWrite), create),
        at("/api/admin/webhooks/events").get(Permission::WebhooksRead, events),
        at("/api/admin/webhooks/{id}")
            .get(Permission::WebhooksRead, one)
            .put(Confirmed(Permission::WebhooksWrite), change)
            .delete(Confirmed(Permission::WebhooksWrite), delete),
        at("/api/admin/webhooks/{id}/secrets").post(Confirmed(Permission::WebhooksWrite), rotate),
        at("/api/admin/webhooks/{id}/secrets/{secretId}").delete(Confirmed(Permission::WebhooksWrite), end_secret),
        at("/api/admin/webhooks/{id}/deliveries").get(Permission::WebhooksRead, deliveries),
        at("/api/admin/webhooks/{id}/deliveries/{deliveryId}/replay").post(Permission::WebhooksWrite, replay),
        at("/api/admin/webhooks/{id}/replay").post(Permission::WebhooksWrite, replay_window),
        at("/api/admin/webhooks/{id}/ping").post(Permission::WebhooksWrite, ping),
    ]
}

request_body! {
    /// An endpoint of webhooks. A new one needs `url` and `events`; of a known one, what is not sent stays.
    struct EndpointFields {
        /// Its name for people; by default its host.
        #[schema(max_length = 100)]
        name: Option<String> = "name",
        /// Where deliveries are sent, with POST: an https address that leads to the public internet.
        #[schema(max_length = 2_000)]
        url: Option<String> = "url",
        /// Names of events, as `GET /api/admin/webhooks/events` lists them.
        #[schema(min_items = 1, max_items = 100)]
        events: Option<Vec<String>> = "events",
        /// `stock.low` happens when fewer unsold keys of own stock are left than this; 5 by default.
        #[schema(minimum = 1, maximum = 10_000)]
        low_stock_below: Option<i64> = "lowStockBelow",
        /// Whether deliveries are sent. One that was disabled because it failed is enabled again with `true`.
        is_enabled: Option<bool> = "isEnabled",
        /// The version that the form showed.
        #[schema(minimum = 0)]
        version: Option<i64> = "version",
    }
}

request_body! {
    /// How a secret is replaced.
    struct RotationFields {
        /// Hours for which the secret before signs along, 0 to 168; 24 by default.
        #[schema(minimum = 0, maximum = 168)]
        overlap_hours: Option<i64> = "overlapHours",
    }
}

request_body! {
    /// A window of events.
    struct WindowFields {
        /// Events from this time on.
        #[schema(format = DateTime)]
        from: String = "from",
        /// Events before this time; at most 14 days later, by default now.
        #[schema(format = DateTime)]
        until: Option<String> = "until",
        /// Whether deliveries that were taken are sent again as well.
        all: Option<bool> = "all",
        /// `next` of the answer before, to go on.
        #[schema(format = Uuid)]
        after: Option<String> = "after",
    }
}

/// A delivery that was queued.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Queued {
    /// ID of the delivery.
    delivery_id: Uuid,
}

fn form(body: &Body, is_new: bool) -> Result<WebhookEndpointForm, ApiError> {
    let (fields, form) = body.read::<EndpointFields>();
    let entered = WebhookEndpointForm {
        name: fields.name,
        url: fields.url,
        events: fields.events,
        low_stock_below: fields.low_stock_below,
        is_enabled: fields.is_enabled,
        version: fields.version,
    };
    form.finish(entered.checked(is_new))
}

fn time_in(name: &'static str, text: &str) -> Result<DateTime<Utc>, ApiError> {
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    time.filter(|time| (1..=9999).contains(&chrono::Datelike::year(time)))
        .ok_or_else(|| ApiError::invalid(name, "it has to be a time, such as 2026-11-30T12:00:00Z"))
}

/// Returns the endpoints of webhooks, by name.
#[utoipa::path(get, path = "/api/admin/webhooks", tag = "admin", operation_id = "adminWebhooks", security(("bearer" = [])),
    responses((status = 200, description = "At most 50 endpoints", body = Answer<Vec<WebhookEndpoint>>),
    (status = 403, description = "Not signed in as staff with the permission webhooks.read")))]
pub(crate) async fn list(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.webhooks(&staff.admin).await?)
}

/// Returns the events that an endpoint can subscribe to.
#[utoipa::path(get, path = "/api/admin/webhooks/events", tag = "admin", operation_id = "adminWebhookEvents", security(("bearer" = [])),
    responses((status = 200, description = "The events", body = Answer<Vec<WebhookEventInfo>>),
    (status = 403, description = "Not signed in as staff with the permission webhooks.read")))]
pub(crate) async fn events(_staff: RequireStaff) -> Answered {
    let info = |event: &WebhookEvent| WebhookEventInfo {
        name: event.name(),
        description: event.about(),
    };
    answer::data(StatusCode::OK, &WebhookEvent::ALL.iter().map(info).collect::<Vec<_>>())
}

/// Returns an endpoint.
#[utoipa::path(get, path = "/api/admin/webhooks/{id}", tag = "admin", operation_id = "adminWebhook", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the endpoint")),
    responses((status = 200, description = "The endpoint", body = Answer<WebhookEndpoint>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.read"), (status = 404, description = "There is no such endpoint")))]
pub(crate) async fn one(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let endpoint = staff.office.webhook(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::OK, &found(endpoint, "Webhook")?)
}

/// Creates an endpoint. Its secret is shown in this response only.
///
/// Each delivery is a POST with the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` of Standard Webhooks
/// and the JSON body `{type, timestamp, data}`. It is taken with any 2xx status within 15 seconds; otherwise it is tried ten
/// times within a little over three days. A delivery can arrive twice, with the same `webhook-id`, and out of order.
#[utoipa::path(post, path = "/api/admin/webhooks", tag = "admin", operation_id = "createWebhook", security(("bearer" = [])), request_body = EndpointFields,
    responses((status = 201, description = "The endpoint and its secret", body = Answer<NewWebhookEndpoint>),
    (status = 400, description = "Invalid fields; `address_refused`: the address is not https, or leads to this machine or to a private network"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.write, or `confirmation_needed`"),
    (status = 409, description = "`in_use`: there are 50")))]
pub(crate) async fn create(staff: RequireStaff, body: Body) -> Answered {
    let form = form(&body, true)?;
    let made = staff.office.create_webhook(&staff.admin, &form).await?;
    answer::data(StatusCode::CREATED, &made)
}

/// Changes an endpoint.
#[utoipa::path(put, path = "/api/admin/webhooks/{id}", tag = "admin", operation_id = "changeWebhook", security(("bearer" = [])), request_body = EndpointFields,
    params(("id" = Uuid, Path, description = "ID of the endpoint")),
    responses((status = 200, description = "The endpoint", body = Answer<WebhookEndpoint>),
    (status = 400, description = "Invalid fields; `address_refused`: the address is not https, or leads to this machine or to a private network"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.write, or `confirmation_needed`"),
    (status = 404, description = "There is no such endpoint"), (status = 409, description = "`outdated`: changed meanwhile")))]
pub(crate) async fn change(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (id, form) = (uuid_in("id", &id)?, form(&body, false)?);
    let changed = staff.office.change_webhook(&staff.admin, id, &form).await?;
    answer::data(StatusCode::OK, &changed)
}

/// Deletes an endpoint with its deliveries.
#[utoipa::path(delete, path = "/api/admin/webhooks/{id}", tag = "admin", operation_id = "deleteWebhook", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the endpoint")),
    responses((status = 200, body = Message), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.write, or `confirmation_needed`"),
    (status = 404, description = "There is no such endpoint")))]
pub(crate) async fn delete(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    staff.office.delete_webhook(&staff.admin, uuid_in("id", &id)?).await?;
    answer::message(StatusCode::OK, "The webhook is deleted")
}

/// Makes a new secret for an endpoint. It is shown in this response only; the one before signs along for a while.
#[utoipa::path(post, path = "/api/admin/webhooks/{id}/secrets", tag = "admin", operation_id = "rotateWebhookSecret", security(("bearer" = [])), request_body = RotationFields,
    params(("id" = Uuid, Path, description = "ID of the endpoint")),
    responses((status = 201, description = "The secret", body = Answer<NewWebhookSecret>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.write, or `confirmation_needed`"),
    (status = 404, description = "There is no such endpoint"), (status = 409, description = "`in_use`: five secrets sign already")))]
pub(crate) async fn rotate(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (id, fields) = (uuid_in("id", &id)?, body.valid::<RotationFields>()?);
    let made = staff
        .office
        .rotate_webhook_secret(&staff.admin, id, fields.overlap_hours)
        .await?;
    answer::data(StatusCode::CREATED, &made)
}

/// Ends a former secret at once.
#[utoipa::path(delete, path = "/api/admin/webhooks/{id}/secrets/{secretId}", tag = "admin", operation_id = "endWebhookSecret", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the endpoint"), ("secretId" = Uuid, Path, description = "ID of the secret")),
    responses((status = 200, body = Message), (status = 400, description = "An ID is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.write, or `confirmation_needed`"),
    (status = 404, description = "There is no such secret"), (status = 409, description = "`in_use`: it is the newest")))]
pub(crate) async fn end_secret(Path((id, secret)): Path<(String, String)>, staff: RequireStaff) -> Answered {
    let (id, secret) = (uuid_in("id", &id)?, uuid_in("secretId", &secret)?);
    staff.office.end_webhook_secret(&staff.admin, id, secret).await?;
    answer::message(StatusCode::OK, "The secret no longer signs")
}

/// Returns the deliveries of an endpoint, newest first, of the last 14 days.
#[utoipa::path(get, path = "/api/admin/webhooks/{id}/deliveries", tag = "admin", operation_id = "adminWebhookDeliveries", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the endpoint"), ("state" = Option<WebhookState>, Query, description = "Only those in this state"), Paged<50>),
    responses((status = 200, description = "Page of deliveries", body = Answer<WebhookDeliveryList>), (status = 400, description = "Invalid parameter"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.read"), (status = 404, description = "There is no such endpoint")))]
pub(crate) async fn deliveries(
    Path(id): Path<String>,
    staff: RequireStaff,
    Paged(page): Paged<50>,
    ask: Ask,
) -> Answered {
    let id = uuid_in("id", &id)?;
    let state = ask.parsed::<State>("state")?.map(|State(state)| state);
    let list = staff.office.webhook_deliveries(&staff.admin, id, state, page).await?;
    answer::data(StatusCode::OK, &found(list, "Webhook")?)
}

struct State(WebhookState);

impl std::str::FromStr for State {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let state = WebhookState::from_name(text);
        state.map(Self).ok_or("must be waiting, delivered or failed")
    }
}

/// Sends a delivery again, with the same `webhook-id` and all attempts.
#[utoipa::path(post, path = "/api/admin/webhooks/{id}/deliveries/{deliveryId}/replay", tag = "admin", operation_id = "replayWebhookDelivery", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the endpoint"), ("deliveryId" = Uuid, Path, description = "ID of the delivery")),
    responses((status = 200, body = Message), (status = 400, description = "An ID is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.write"), (status = 404, description = "There is no such delivery")))]
pub(crate) async fn replay(Path((id, delivery)): Path<(String, String)>, staff: RequireStaff) -> Answered {
    let (id, delivery) = (uuid_in("id", &id)?, uuid_in("deliveryId", &delivery)?);
    staff.office.replay_delivery(&staff.admin, id, delivery).await?;
    answer::message(StatusCode::OK, "The delivery is sent again")
}

/// Sends the events of a window that were given up or that the endpoint never got, at most 10,000 at once, the oldest first.
///
/// While `next` is not null, the same window with `after` set to it goes on.
#[utoipa::path(post, path = "/api/admin/webhooks/{id}/replay", tag = "admin", operation_id = "replayWebhook", security(("bearer" = [])), request_body = WindowFields,
    params(("id" = Uuid, Path, description = "ID of the endpoint")),
    responses((status = 200, description = "How many", body = Answer<WebhookReplayed>), (status = 400, description = "Invalid fields"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.write"), (status = 404, description = "There is no such endpoint")))]
pub(crate) async fn replay_window(Path(id): Path<String>, staff: RequireStaff, body: Body) -> Answered {
    let (id, fields) = (uuid_in("id", &id)?, body.valid::<WindowFields>()?);
    let from = time_in("from", &fields.from)?;
    let until = match &fields.until {
        Some(until) => time_in("until", until)?,
        None => staff.now,
    };
    let after = fields
        .after
        .as_deref()
        .map(|after| uuid_in("after", after))
        .transpose()?;
    let replayed = staff
        .office
        .replay_deliveries(&staff.admin, id, from, until, after, fields.all.unwrap_or_default())
        .await?;
    answer::data(StatusCode::OK, &replayed)
}

/// Sends the test event `ping` to an endpoint.
#[utoipa::path(post, path = "/api/admin/webhooks/{id}/ping", tag = "admin", operation_id = "pingWebhook", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the endpoint")),
    responses((status = 202, description = "Queued", body = Answer<Queued>), (status = 400, description = "`id` is not a UUID"),
    (status = 403, description = "Not signed in as staff with the permission webhooks.write"), (status = 404, description = "There is no such endpoint"),
    (status = 409, description = "`in_use`: the endpoint is disabled")))]
pub(crate) async fn ping(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let delivery_id = staff.office.ping_webhook(&staff.admin, uuid_in("id", &id)?).await?;
    answer::data(StatusCode::ACCEPTED, &Queued { delivery_id })
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Change(error) => error.into(),
            WebhookError::Fields(faults) => Self::Fields(faults),
            WebhookError::Address(_) => Self::refused(StatusCode::BAD_REQUEST, "address_refused", &error),
        }
    }
}
