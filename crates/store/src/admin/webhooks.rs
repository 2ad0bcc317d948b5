//! Outgoing webhooks as staff see and change them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use lockstep_domain::Secret;
use lockstep_domain::admin::{
    LOW_STOCK_BELOW, Page, WebhookDelivery, WebhookDeliveryList, WebhookEndpoint, WebhookEndpointForm, WebhookReplayed,
    WebhookSecretInfo, WebhookState,
};
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use super::bounds;
use super::changes::ChangeError;
use crate::audit::{self, By};
use crate::row::{count_of, how_many_of};
use crate::webhooks::place;
use crate::{Result, Store, StoreError, Tx};

/// Maximum number of endpoints.
pub const MOST: i64 = 50;

/// Maximum number of secrets of an endpoint that sign at the same time.
pub const MOST_SECRETS: i64 = 5;

/// Maximum number of deliveries that [`replay_window`] takes at once.
pub const MOST_REPLAYED: i64 = 10_000;

/// Up to how many deliveries are counted.
pub const MOST_COUNTED: i64 = 10_000;

/// How many deliveries are deleted at once with their endpoint.
const BATCH: i64 = 2_000;

/// The endpoints by name, or the one with the id `only`.
///
/// # Errors
/// [`StoreError`].
pub async fn endpoints(tx: &mut Tx, only: Option<Uuid>) -> Result<Vec<WebhookEndpoint>> {
    let rows = sqlx::query!(
        r#"-- store.admin.webhooks.list
        select e.id, e.name, e.url, e.events, e.low_stock_below, e.disabled_at, e.disabled_reason, e.failing_since, e.version,
               e.created_at, e.updated_at,
               (select count(*) from (select from webhook_deliveries d
                                       where d.endpoint_id = e.id and d.state = 'waiting' limit $2) d) as "waiting!",
               (select count(*) from (select from webhook_deliveries d
                                       where d.endpoint_id = e.id and d.state = 'failed' limit $2) d) as "failed!"
          from webhook_endpoints e where $1::uuid is null or e.id = $1 order by e.name, e.id limit 1000"#,
        only,
        MOST_COUNTED
    )
    .fetch_all(tx.conn())
    .await?;
    let secrets = sqlx::query!(
        "-- store.admin.webhooks.secrets
        select id, endpoint_id, hint, created_at, ends_at from webhook_secrets
         where ($1::uuid is null or endpoint_id = $1) and (ends_at is null or ends_at > now())
         order by created_at desc, id limit 1000",
        only
    )
    .fetch_all(tx.conn())
    .await?;
    let mut by_endpoint: HashMap<Uuid, Vec<WebhookSecretInfo>> = HashMap::new();
    for row in secrets {
        by_endpoint.entry(row.endpoint_id).or_default().push(WebhookSecretInfo {
            id: row.id,
            hint: row.hint,
            created_at: row.created_at,
            ends_at: row.ends_at,
        });
    }
    rows.into_iter()
        .map(|row| {
            Ok(WebhookEndpoint {
                secrets: by_endpoint.remove(&row.id).unwrap_or_default(),
                id: row.id,
                name: row.name,
                url: row.url,
                events: row.events,
                low_stock_below: count_of(row.low_stock_below)?,
                is_enabled: row.disabled_at.is_none(),
                disabled_reason: row.disabled_reason,
                disabled_at: row.disabled_at,
                failing_since: row.failing_since,
                waiting: how_many_of(row.waiting),
                failed: how_many_of(row.failed),
                version: row.version,
                created_at: row.created_at,
                updated_at: row.updated_at,
            })
        })
        .collect()
}

/// A secret to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// Its id.
    pub id: Uuid,
    /// The secret.
    pub secret: Secret,
}

impl NewSecret {
    fn hint(&self) -> String {
        let text = self.secret.expose();
        let end: String = text.chars().skip(text.chars().count().saturating_sub(4)).collect();
        format!("whsec_…{end}")
    }
}

async fn insert_secret(tx: &mut Tx, endpoint: Uuid, new: &NewSecret, sealed: &[u8]) -> Result<()> {
    sqlx::query!(
        "-- store.admin.webhooks.insert_secret
        insert into webhook_secrets (id, endpoint_id, sealed, hint) values ($1, $2, $3, $4)",
        new.id,
        endpoint,
        sealed,
        new.hint()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Stores a new endpoint with its first secret, on behalf of `admin`.
///
/// # Errors
/// [`ChangeError::InUse`] when there are too many, [`ChangeError::Store`].
pub async fn create(
    store: &Store,
    admin: UserId,
    id: Uuid,
    form: &WebhookEndpointForm,
    secret: &NewSecret,
) -> Result<(), ChangeError> {
    let sealed = store.seal_secret(&place(secret.id), &secret.secret)?;
    let (form, secret) = (form.clone(), secret.clone());
    store
        .tx("admin.webhooks.create", move |tx| {
            let (form, secret, sealed) = (form.clone(), secret.clone(), sealed.clone());
            Box::pin(async move {
                lock(tx).await?;
                let all = sqlx::query_scalar!(
                    r#"-- store.admin.webhooks.count
                    select count(*) as "count!" from webhook_endpoints"#
                )
                .fetch_one(tx.conn())
                .await?;
                if all >= MOST {
                    return Err(ChangeError::InUse(format!("There are {MOST} webhooks. Delete one first.")));
                }
                let (url, events) = (form.url.unwrap_or_default(), form.events.unwrap_or_default());
                let bound = form.low_stock_below.and_then(|bound| i32::try_from(bound).ok());
                let name = form.name.unwrap_or_else(|| host_of(&url));
                let is_disabled = form.is_enabled == Some(false);
                sqlx::query!(
                    "-- store.admin.webhooks.insert
                    insert into webhook_endpoints (id, name, url, events, low_stock_below, disabled_at, disabled_reason)
                    values ($1, $2, $3, $4, $5, case when $6 then now() end, case when $6 then 'Staff have disabled it.' end)",
                    id,
                    name,
                    url,
                    &events,
                    bound.unwrap_or(i32::try_from(LOW_STOCK_BELOW).unwrap_or(1)),
                    is_disabled
                )
                .execute(tx.conn())
                .await?;
                insert_secret(tx, id, &secret, &sealed).await?;
                let details = json!({ "events": events, "enabled": !is_disabled });
                Ok(audit::record(tx, &By::Staff(admin), "webhook.create", ("webhook", id), details).await?)
            })
        })
        .await
}

/// The host of a URL, for its name.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host: String = rest
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default()
        .chars()
        .take(100)
        .collect();
    if host.trim().is_empty() {
        "Webhook".to_owned()
    } else {
        host
    }
}

/// Changes to the number of endpoints and secrets take turns.
async fn lock(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        "-- store.admin.webhooks.lock\nselect pg_advisory_xact_lock(hashtextextended('lockstep webhook endpoints', 0))"
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Changes an endpoint, on behalf of `admin`. One that is enabled again starts with what waits.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Outdated`], [`ChangeError::Store`].
pub async fn change(store: &Store, admin: UserId, id: Uuid, form: &WebhookEndpointForm) -> Result<(), ChangeError> {
    let form = form.clone();
    store
        .tx("admin.webhooks.change", move |tx| {
            let form = form.clone();
            Box::pin(async move {
                let row = sqlx::query!(
                    "-- store.admin.webhooks.find
                    select version, disabled_at from webhook_endpoints where id = $1 for no key update",
                    id
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(ChangeError::NotFound("Webhook"))?;
                if form.version.is_some_and(|version| version != row.version) {
                    return Err(ChangeError::Outdated("webhook"));
                }
                let was_enabled = row.disabled_at.is_none();
                let is_enabled = form.is_enabled.unwrap_or(was_enabled);
                sqlx::query!(
                    "-- store.admin.webhooks.update
                    update webhook_endpoints
                       set name = coalesce($2, name), url = coalesce($3, url), events = coalesce($4, events),
                           low_stock_below = coalesce($5, low_stock_below),
                           disabled_at = case when not $6 then coalesce(disabled_at, now()) end,
                           disabled_reason = case when not $6 then coalesce(disabled_reason, 'Staff have disabled it.') end,
                           failing_since = case when $6 and disabled_at is null and coalesce($3, url) = url then failing_since end,
                           version = nextval('webhook_endpoint_versions'), updated_at = now()
                     where id = $1",
                    id,
                    form.name,
                    form.url,
                    form.events.as_deref(),
                    form.low_stock_below.and_then(|bound| i32::try_from(bound).ok()),
                    is_enabled
                )
                .execute(tx.conn())
                .await?;
                let details = json!({
                    "urlChanged": form.url.is_some(),
                    "events": form.events,
                    "enabled": is_enabled,
                });
                Ok(audit::record(tx, &By::Staff(admin), "webhook.change", ("webhook", id), details).await?)
            })
        })
        .await
}

/// Deletes an endpoint with its deliveries, on behalf of `admin`. It is disabled first, then the deliveries go in batches, and
/// its row last: transactions that write deliveries do not wait for thousands of rows. Broken off, it stays disabled.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Store`].
pub async fn delete(store: &Store, admin: UserId, id: Uuid) -> Result<(), ChangeError> {
    let disabled = sqlx::query!(
        "-- store.admin.webhooks.retire
        update webhook_endpoints
           set disabled_at = now(), disabled_reason = 'It is being deleted.', version = nextval('webhook_endpoint_versions')
         where id = $1",
        id
    )
    .execute(store.alone())
    .await
    .map_err(StoreError::from)?;
    if disabled.rows_affected() == 0 {
        return Err(ChangeError::NotFound("Webhook"));
    }
    loop {
        let gone = sqlx::query!(
            "-- store.admin.webhooks.delete_deliveries
            delete from webhook_deliveries where id in (select id from webhook_deliveries where endpoint_id = $1 limit $2)",
            id,
            BATCH
        )
        .execute(store.alone())
        .await
        .map_err(StoreError::from)?;
        if gone.rows_affected() < BATCH.unsigned_abs() {
            break;
        }
    }
    store
        .tx("admin.webhooks.delete", move |tx| {
            Box::pin(async move {
                // Written before the row is locked, which is short this way.
                audit::record(tx, &By::Staff(admin), "webhook.delete", ("webhook", id), json!({})).await?;
                let done = sqlx::query!(
                    "-- store.admin.webhooks.delete\ndelete from webhook_endpoints where id = $1",
                    id
                )
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 0 {
                    return Err(ChangeError::NotFound("Webhook"));
                }
                Ok(())
            })
        })
        .await
}

/// Adds a secret, on behalf of `admin`. The one before signs for `overlap_hours` more.
///
/// # Errors
/// [`ChangeError::NotFound`]; [`ChangeError::InUse`] when too many sign already; [`ChangeError::Store`].
pub async fn add_secret(
    store: &Store,
    admin: UserId,
    endpoint: Uuid,
    new: &NewSecret,
    overlap_hours: u32,
) -> Result<(), ChangeError> {
    let sealed = store.seal_secret(&place(new.id), &new.secret)?;
    let new = new.clone();
    store
        .tx("admin.webhooks.add_secret", move |tx| {
            let (new, sealed) = (new.clone(), sealed.clone());
            Box::pin(async move {
                lock_endpoint(tx, endpoint).await?;
                let all = sqlx::query_scalar!(
                    r#"-- store.admin.webhooks.count_secrets
                    select count(*) as "count!" from webhook_secrets
                     where endpoint_id = $1 and (ends_at is null or ends_at > now())"#,
                    endpoint
                )
                .fetch_one(tx.conn())
                .await?;
                if all >= MOST_SECRETS && overlap_hours > 0 {
                    return Err(ChangeError::InUse(format!(
                        "{MOST_SECRETS} secrets sign already. End one first."
                    )));
                }
                sqlx::query!(
                    "-- store.admin.webhooks.end_current
                    update webhook_secrets set ends_at = now() + make_interval(hours => $2)
                     where endpoint_id = $1 and ends_at is null",
                    endpoint,
                    i32::try_from(overlap_hours).unwrap_or(i32::MAX)
                )
                .execute(tx.conn())
                .await?;
                insert_secret(tx, endpoint, &new, &sealed).await?;
                let details = json!({ "secret": new.id, "overlapHours": overlap_hours });
                let subject = ("webhook", endpoint);
                Ok(audit::record(tx, &By::Staff(admin), "webhook.secret_create", subject, details).await?)
            })
        })
        .await
}

async fn lock_endpoint(tx: &mut Tx, endpoint: Uuid) -> Result<(), ChangeError> {
    sqlx::query_scalar!(
        "-- store.admin.webhooks.lock_endpoint\nselect 1 as one from webhook_endpoints where id = $1 for no key update",
        endpoint
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(ChangeError::NotFound("Webhook"))?;
    Ok(())
}

/// Ends a former secret at once, on behalf of `admin`.
///
/// # Errors
/// [`ChangeError::NotFound`]; [`ChangeError::InUse`] for the newest one; [`ChangeError::Store`].
pub async fn end_secret(store: &Store, admin: UserId, endpoint: Uuid, secret: Uuid) -> Result<(), ChangeError> {
    store
        .tx("admin.webhooks.end_secret", move |tx| {
            Box::pin(async move {
                lock_endpoint(tx, endpoint).await?;
                let ends_at = sqlx::query_scalar!(
                    "-- store.admin.webhooks.find_secret
                    select ends_at from webhook_secrets where id = $1 and endpoint_id = $2",
                    secret,
                    endpoint
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(ChangeError::NotFound("Secret"))?;
                if ends_at.is_none() {
                    let why = "This is the newest secret. Make another one first; this one can end at once then.";
                    return Err(ChangeError::InUse(why.to_owned()));
                }
                sqlx::query!(
                    "-- store.admin.webhooks.delete_secret\ndelete from webhook_secrets where id = $1",
                    secret
                )
                .execute(tx.conn())
                .await?;
                let (subject, details) = (("webhook", endpoint), json!({ "secret": secret }));
                Ok(audit::record(tx, &By::Staff(admin), "webhook.secret_end", subject, details).await?)
            })
        })
        .await
}

/// Deliveries of an endpoint, newest first; `None` if there is no such endpoint.
///
/// # Errors
/// [`StoreError`].
pub async fn deliveries(
    tx: &mut Tx,
    endpoint: Uuid,
    state: Option<WebhookState>,
    page: Page,
) -> Result<Option<WebhookDeliveryList>> {
    let state = state.map(WebhookState::name);
    let (limit, offset) = bounds(page);
    let total = sqlx::query_scalar!(
        r#"-- store.admin.webhooks.count_deliveries
        select case when exists (select from webhook_endpoints where id = $1)
                    then (select count(*) from (select from webhook_deliveries
                           where endpoint_id = $1 and ($2::text is null or state = $2) limit $3) d) end"#,
        endpoint,
        state,
        MOST_COUNTED
    )
    .fetch_one(tx.conn())
    .await?;
    let Some(total) = total else { return Ok(None) };
    let rows = sqlx::query!(
        r#"-- store.admin.webhooks.deliveries
        select d.id, d.event_id, v.kind, d.state, d.attempts, d.not_before, d.lease is not null as "is_leased!", d.status,
               d.last_error, v.created_at, d.attempted_at, d.ended_at
          from webhook_deliveries d join outgoing_events v on v.id = d.event_id
         where d.endpoint_id = $1 and ($2::text is null or d.state = $2)
         order by d.created_at desc, d.id limit $3 offset $4"#,
        endpoint,
        state,
        limit,
        offset
    )
    .fetch_all(tx.conn())
    .await?;
    let deliveries = rows.into_iter().map(|row| {
        let state = WebhookState::from_name(&row.state);
        let state = state.ok_or_else(|| StoreError::from(sqlx::Error::RowNotFound))?;
        Ok(WebhookDelivery {
            id: row.id,
            webhook_id: webhook_id(row.event_id),
            event: row.kind,
            state,
            attempts: count_of(row.attempts)?,
            status: row.status.and_then(|status| u16::try_from(status).ok()),
            last_error: row.last_error,
            created_at: row.created_at,
            next_attempt_at: (state == WebhookState::Waiting && !row.is_leased).then_some(row.not_before),
            attempted_at: row.attempted_at,
            ended_at: row.ended_at,
        })
    });
    Ok(Some(WebhookDeliveryList {
        deliveries: deliveries.collect::<Result<_>>()?,
        paging: page.of(how_many_of(total)),
    }))
}

/// `webhook-id` of the deliveries of an event.
pub fn webhook_id(event: Uuid) -> String {
    format!("evt_{}", event.simple())
}

/// Makes a delivery due now, with all its attempts again, on behalf of `admin`. One that is being sent stays as it is.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Store`].
pub async fn replay(store: &Store, admin: UserId, endpoint: Uuid, delivery: Uuid) -> Result<(), ChangeError> {
    store
        .tx("admin.webhooks.replay", move |tx| {
            Box::pin(async move {
                let found = sqlx::query_scalar!(
                    "-- store.admin.webhooks.replay
                    update webhook_deliveries
                       set state = 'waiting', attempts = case when lease is null then 0 else attempts end, ended_at = null,
                           not_before = case when lease is null then now() else not_before end, queued_at = now()
                     where id = $1 and endpoint_id = $2 returning id",
                    delivery,
                    endpoint
                )
                .fetch_optional(tx.conn())
                .await?;
                found.ok_or(ChangeError::NotFound("Delivery"))?;
                let (subject, details) = (("webhook", endpoint), json!({ "delivery": delivery }));
                Ok(audit::record(tx, &By::Staff(admin), "webhook.replay", subject, details).await?)
            })
        })
        .await
}

/// What of a window is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Events from this time on,
    pub from: DateTime<Utc>,
    /// and before this one.
    pub until: DateTime<Utc>,
    /// Only what comes after this event.
    pub after: Option<Uuid>,
    /// Also what was delivered.
    pub delivered_too: bool,
}

/// Makes the deliveries of a window due now, on behalf of `admin`: those that were given up, and events that the endpoint
/// subscribes to and never got. At most [`MOST_REPLAYED`], the oldest first; returns how many, and where to go on.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Store`].
pub async fn replay_window(
    store: &Store,
    admin: UserId,
    endpoint: Uuid,
    window: Window,
) -> Result<WebhookReplayed, ChangeError> {
    store
        .tx("admin.webhooks.replay_window", move |tx| {
            Box::pin(async move {
                lock_endpoint(tx, endpoint).await?;
                let done = sqlx::query!(
                    r#"-- store.admin.webhooks.replay_window
                    with wanted as (
                    select v.id, e.id as endpoint, v.created_at from webhook_endpoints e join outgoing_events v on v.kind = any (e.events)
                      left join webhook_deliveries d on d.event_id = v.id and d.endpoint_id = e.id
                     where e.id = $1 and v.created_at >= $2 and v.created_at < $3
                       and (v.low_bound is null or v.low_bound = e.low_stock_below)
                       and (d.id is null or d.state = 'failed' or ($4 and d.state = 'delivered'))
                       and ($6::uuid is null
                            or (v.created_at, v.id) > (select created_at, id from outgoing_events where id = $6))
                     order by v.created_at, v.id limit $5),
                    queued as (
                    insert into webhook_deliveries (event_id, endpoint_id)
                    select id, endpoint from wanted
                    on conflict (event_id, endpoint_id) do update
                       set state = 'waiting', attempts = 0, not_before = now(), queued_at = now(), ended_at = null
                     where webhook_deliveries.state <> 'waiting' returning 1)
                    select (select count(*) from queued) as "replayed!",
                           (select id from wanted order by created_at, id offset $5 - 1 limit 1) as next"#,
                    endpoint,
                    window.from,
                    window.until,
                    window.delivered_too,
                    MOST_REPLAYED,
                    window.after
                )
                .fetch_one(tx.conn())
                .await?;
                let replayed = WebhookReplayed {
                    replayed: how_many_of(done.replayed),
                    next: done.next,
                };
                let details = json!({ "from": window.from, "until": window.until, "deliveries": replayed.replayed });
                audit::record(tx, &By::Staff(admin), "webhook.replay", ("webhook", endpoint), details).await?;
                Ok(replayed)
            })
        })
        .await
}

/// Queues the event `ping` for one endpoint, on behalf of `admin`; returns its delivery.
///
/// # Errors
/// [`ChangeError::NotFound`]; [`ChangeError::InUse`] when the endpoint is disabled; [`ChangeError::Store`].
pub async fn ping(store: &Store, admin: UserId, endpoint: Uuid) -> Result<Uuid, ChangeError> {
    store
        .tx("admin.webhooks.ping", move |tx| {
            Box::pin(async move {
                let is_enabled = sqlx::query_scalar!(
                    r#"-- store.admin.webhooks.is_enabled
                    select disabled_at is null as "is_enabled!" from webhook_endpoints where id = $1 for share"#,
                    endpoint
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(ChangeError::NotFound("Webhook"))?;
                if !is_enabled {
                    return Err(ChangeError::InUse("This webhook is disabled. Enable it first.".to_owned()));
                }
                let delivery = sqlx::query_scalar!(
                    "-- store.admin.webhooks.ping
                    with event as (
                        insert into outgoing_events (kind, data) values ('ping', jsonb_build_object('endpointId', $1::uuid)) returning id)
                    insert into webhook_deliveries (event_id, endpoint_id) select id, $1 from event returning id",
                    endpoint
                )
                .fetch_one(tx.conn())
                .await?;
                audit::record(tx, &By::Staff(admin), "webhook.ping", ("webhook", endpoint), json!({})).await?;
                Ok(delivery)
            })
        })
        .await
}
