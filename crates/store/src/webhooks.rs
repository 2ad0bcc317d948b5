//! Outgoing webhooks: the queue of deliveries, from which workers send them.
//!
//! Triggers write an event and its deliveries in the transaction of the change. A worker claims deliveries on a lease,
//! sends them, and records the result under it; if the worker dies, the lease expires and another sends the same delivery
//! with the same id. Delivery is therefore at least once, and each is recorded as delivered once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::Secret;
use uuid::Uuid;

use crate::row::{count_of, how_many_of};
use crate::{Result, Store};

/// How long events and their deliveries are kept, in days: longer than deliveries are tried.
const KEEP_DAYS: i32 = 14;

/// Maximum length of a stored reason, in characters.
const MOST_REASON: usize = 300;

/// A delivery claimed on a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The delivery.
    pub id: Uuid,
    /// The lease's token.
    pub lease: Uuid,
    /// The endpoint.
    pub endpoint: Uuid,
    /// Where it is sent.
    pub url: String,
    /// The event; the same at every attempt and replay.
    pub event: Uuid,
    /// Name of the event.
    pub kind: String,
    /// Its data, a JSON object.
    pub data: String,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// Number of attempts, including this one.
    pub attempts: u32,
    /// The secrets that sign it, newest first; those that this process cannot open are left out.
    pub secrets: Vec<Secret>,
}

/// How many deliveries a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// In total.
    pub all: u32,
    /// For one endpoint, by all workers together; one while the endpoint fails.
    pub each: u32,
}

/// What failed of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why. Bounded here.
    pub reason: String,
    /// Time until the next attempt; `None`: given up.
    pub retry_in: Option<Duration>,
    /// Whether the endpoint says that it is gone.
    pub is_gone: bool,
}

/// The context that a secret is sealed for.
pub fn place(secret: Uuid) -> String {
    format!("webhook_secrets.sealed/{secret}")
}

/// Whether a delivery is due: without one, no worker has to wait for its turn to claim.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn something_is_due(store: &Store) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.webhooks.something_is_due
        select exists (
            select from webhook_endpoints e
             where e.disabled_at is null and exists (
                   select from webhook_deliveries d
                    where d.endpoint_id = e.id and d.state = 'waiting' and d.not_before <= now())) as "due!""#
    )
    .fetch_one(store.alone())
    .await?)
}

/// Claims due deliveries for `lease`, of every endpoint as many as its room permits. Workers claim one after the other, so
/// that they keep the bound of an endpoint together.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn claim(store: &Store, room: Room, lease: Duration) -> Result<Vec<Claimed>> {
    let rows = store
        .quiet_tx("webhooks.claim", move |tx| {
            Box::pin(async move {
                sqlx::query!(
                    "-- store.webhooks.lock\nselect pg_advisory_xact_lock(hashtextextended('lockstep webhooks', 0))"
                )
                .execute(tx.conn())
                .await?;
                let rows = sqlx::query!(
                    r#"-- store.webhooks.claim
                    with busy as (
                        select endpoint_id, count(*) as many from webhook_deliveries
                         where lease is not null and not_before > now() group by endpoint_id),
                    due as (
                        select d.id from webhook_endpoints e left join busy b on b.endpoint_id = e.id
                         cross join lateral (
                             select id from webhook_deliveries
                              where endpoint_id = e.id and state = 'waiting' and not_before <= now()
                              order by not_before
                              limit greatest(case when e.failing_since is null then $2 else 1 end - coalesce(b.many, 0), 0)) d
                         where e.disabled_at is null
                         order by coalesce(b.many, 0), e.id limit $1)
                    update webhook_deliveries d
                       set lease = gen_random_uuid(), attempts = d.attempts + 1, attempted_at = clock_timestamp(),
                           not_before = clock_timestamp() + make_interval(secs => $3)
                      from due, outgoing_events v, webhook_endpoints e
                     where d.id = due.id and v.id = d.event_id and e.id = d.endpoint_id
                       -- Again: after a wait for its row it may have ended, or been put off.
                       and d.state = 'waiting' and d.not_before <= clock_timestamp()
                    returning d.id, d.lease as "lease!", e.id as endpoint, e.url, v.id as event, v.kind, v.data::text as "data!",
                              v.created_at, d.attempts,
                              array(select s.id from webhook_secrets s
                                     where s.endpoint_id = e.id and (s.ends_at is null or s.ends_at > now())
                                     order by s.created_at desc, s.id) as "secret_ids!",
                              array(select s.sealed from webhook_secrets s
                                     where s.endpoint_id = e.id and (s.ends_at is null or s.ends_at > now())
                                     order by s.created_at desc, s.id) as "sealed!""#,
                    i64::from(room.all),
                    i32::try_from(room.each).unwrap_or(i32::MAX),
                    lease.as_secs_f64()
                )
                .fetch_all(tx.conn())
                .await?;
                Ok::<_, crate::StoreError>(rows)
            })
        })
        .await?;
    rows.into_iter()
        .map(|row| {
            let secrets = row.secret_ids.iter().zip(&row.sealed);
            Ok(Claimed {
                secrets: secrets
                    .filter_map(|(id, sealed)| store.open_secret(&place(*id), sealed))
                    .collect(),
                id: row.id,
                lease: row.lease,
                endpoint: row.endpoint,
                url: row.url,
                event: row.event,
                kind: row.kind,
                data: row.data,
                created_at: row.created_at,
                attempts: count_of(row.attempts)?,
            })
        })
        .collect()
}

/// Records that an endpoint took a delivery. False if the lease was lost.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn delivered(store: &Store, claimed: &Claimed, status: u16) -> Result<bool> {
    let (id, lease, endpoint, status) = (claimed.id, claimed.lease, claimed.endpoint, status_of(status));
    let url = claimed.url.clone();
    store
        .quiet_tx("webhooks.delivered", move |tx| {
            let url = url.clone();
            Box::pin(async move {
                let done = sqlx::query!(
                    "-- store.webhooks.delivered
                    update webhook_deliveries set state = 'delivered', lease = null, status = $3, last_error = null, ended_at = now()
                     where id = $1 and lease = $2",
                    id,
                    lease,
                    status
                )
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 0 {
                    return Ok(false);
                }
                sqlx::query!(
                    "-- store.webhooks.works
                    update webhook_endpoints set failing_since = null where id = $1 and url = $2 and failing_since is not null",
                    endpoint,
                    url
                )
                .execute(tx.conn())
                .await?;
                Ok::<_, crate::StoreError>(true)
            })
        })
        .await
}

/// What became of an endpoint after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The lease was lost: another worker sends it.
    NotOurs,
    /// The endpoint gets the next deliveries.
    Goes,
    /// The endpoint was disabled.
    Disabled,
}

/// Records a failed attempt. An endpoint that is gone is disabled at once, and one that has taken nothing for three days at
/// its next failure, while its deliveries wait and can be replayed. What an address answers that the endpoint no longer has
/// says nothing about the endpoint.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn failed(store: &Store, claimed: &Claimed, failure: &Failure) -> Result<After> {
    let (id, lease, endpoint) = (claimed.id, claimed.lease, claimed.endpoint);
    let (failure, url) = (failure.clone(), claimed.url.clone());
    store
        .quiet_tx("webhooks.failed", move |tx| {
            let (failure, url) = (failure.clone(), url.clone());
            Box::pin(async move {
                let reason: String = failure
                    .reason
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(MOST_REASON)
                    .collect();
                let done = sqlx::query!(
                    "-- store.webhooks.failed
                    update webhook_deliveries
                       set lease = null, status = $3, last_error = $4,
                           state = case when $5::float8 is null then 'failed' else 'waiting' end,
                           ended_at = case when $5::float8 is null then now() end,
                           not_before = now() + make_interval(secs => coalesce($5::float8, 0))
                     where id = $1 and lease = $2",
                    id,
                    lease,
                    failure.status.map(status_of),
                    reason,
                    failure.retry_in.map(|wait| wait.as_secs_f64())
                )
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 0 {
                    return Ok(After::NotOurs);
                }
                sqlx::query!(
                    "-- store.webhooks.fails
                    update webhook_endpoints set failing_since = now() where id = $1 and url = $2 and failing_since is null",
                    endpoint,
                    url
                )
                .execute(tx.conn())
                .await?;
                let disabled = sqlx::query!(
                    "-- store.webhooks.disable
                    update webhook_endpoints
                       set disabled_at = now(), version = nextval('webhook_endpoint_versions'),
                           disabled_reason = case when $2 then 'It answered 410: it is gone.'
                                                  else 'No delivery has succeeded for three days.' end
                     where id = $1 and url = $3 and disabled_at is null
                       and ($2 or failing_since <= now() - interval '3 days')",
                    endpoint,
                    failure.is_gone,
                    url
                )
                .execute(tx.conn())
                .await?;
                Ok::<_, crate::StoreError>(if disabled.rows_affected() == 1 {
                    After::Disabled
                } else {
                    After::Goes
                })
            })
        })
        .await
}

/// Leaves a delivery that this worker cannot sign to others, without counting an attempt. It is due again in a minute.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn leave(store: &Store, claimed: &Claimed, why: &str) -> Result<()> {
    sqlx::query!(
        "-- store.webhooks.leave
        update webhook_deliveries set lease = null, attempts = greatest(attempts - 1, 0), last_error = $3,
               not_before = now() + interval '1 minute'
         where id = $1 and lease = $2",
        claimed.id,
        claimed.lease,
        why
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

fn status_of(status: u16) -> i16 {
    i16::try_from(status).unwrap_or(i16::MAX)
}

/// The state of outgoing webhooks, for metrics and `lockstep doctor`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Endpoints that get deliveries.
    pub enabled: u64,
    /// Of these, endpoints of which no delivery has succeeded for an hour.
    pub failing: Vec<String>,
    /// Endpoints that were disabled because they failed, with the reason.
    pub disabled: Vec<(String, String)>,
    /// Deliveries that wait, of enabled endpoints.
    pub waiting: u64,
    /// Of these, seconds since the oldest that was never sent was written or replayed; one that cannot be signed is such.
    pub oldest_due: u64,
}

/// Reads the state of outgoing webhooks.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn figures(store: &Store) -> Result<Figures> {
    let endpoints = sqlx::query!(
        r#"-- store.webhooks.endpoints
        select name, disabled_reason, coalesce(failing_since < now() - interval '1 hour', false) as "is_failing!"
          from webhook_endpoints order by name limit 1000"#
    )
    .fetch_all(store.alone())
    .await?;
    let deliveries = sqlx::query!(
        r#"-- store.webhooks.waiting
        select count(*) as "waiting!",
               coalesce(extract(epoch from now() - min(d.queued_at) filter (where d.attempts = 0)), 0)::bigint as "oldest_due!"
          from webhook_deliveries d join webhook_endpoints e on e.id = d.endpoint_id
         where d.state = 'waiting' and e.disabled_at is null"#
    )
    .fetch_one(store.alone())
    .await?;
    let mut figures = Figures {
        waiting: how_many_of(deliveries.waiting),
        oldest_due: how_many_of(deliveries.oldest_due.max(0)),
        ..Figures::default()
    };
    for row in endpoints {
        if let Some(reason) = row.disabled_reason {
            figures.disabled.push((row.name, reason));
            continue;
        }
        figures.enabled += 1;
        if row.is_failing {
            figures.failing.push(row.name);
        }
    }
    Ok(figures)
}

/// Deletes events, with their deliveries, and secrets that have ended; at most a thousand of each. Returns how many.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sweep(store: &Store) -> Result<u64> {
    let events = sqlx::query!(
        "-- store.webhooks.sweep
        delete from outgoing_events where id in (
            select id from outgoing_events where created_at < now() - make_interval(days => $1)
             order by created_at limit 1000 for update skip locked)",
        KEEP_DAYS
    );
    let secrets = sqlx::query!(
        "-- store.webhooks.sweep_secrets
        delete from webhook_secrets where id in (
            select id from webhook_secrets where ends_at < now() limit 1000 for update skip locked)"
    );
    let events = events.execute(store.alone()).await?.rows_affected();
    Ok(events + secrets.execute(store.alone()).await?.rows_affected())
}

/// A page of sealed secrets, by id, for a rotation of `LOCKSTEP_KEY_SECRET`.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn sealed_page(store: &Store, after: Option<Uuid>, most: u32) -> Result<Vec<(Uuid, Vec<u8>)>> {
    let rows = sqlx::query!(
        "-- store.webhooks.sealed
        select id, sealed from webhook_secrets where ($1::uuid is null or id > $1) order by id limit $2",
        after,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.sealed)).collect())
}

/// Replaces a sealed secret if it is still the one that was read.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn reseal(store: &Store, id: Uuid, before: &[u8], after: &[u8]) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.webhooks.reseal\nupdate webhook_secrets set sealed = $3 where id = $1 and sealed = $2",
        id,
        before,
        after
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}
