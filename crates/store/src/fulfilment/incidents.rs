//! What needs a person's attention: incidents, each reported once, and alarms that stop all buying until they end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::UnitId;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::steps::reason;
use crate::{Result, Store, Tx};

/// A problem with a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    kind: &'static str,
    unit: Option<UnitId>,
    g2a_order_id: Option<String>,
    detail: String,
}

impl Incident {
    /// An incident of a kind that the schema knows, described for people.
    pub fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            unit: None,
            g2a_order_id: None,
            detail: detail.into(),
        }
    }

    /// Sets the unit.
    #[must_use]
    pub fn of(self, unit: UnitId) -> Self {
        Self {
            unit: Some(unit),
            ..self
        }
    }

    /// Sets the order at G2A.
    #[must_use]
    pub fn order(self, g2a_order_id: &str) -> Self {
        Self {
            g2a_order_id: Some(g2a_order_id.to_owned()),
            ..self
        }
    }
}

/// Records an incident, once.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn add(tx: &mut Tx, incident: &Incident) -> Result<()> {
    let done = sqlx::query!(
        "-- store.fulfilment.incident
        insert into incidents (id, kind, order_unit_id, g2a_order_id, detail) values ($1, $2, $3, $4, $5) on conflict do nothing",
        Uuid::now_v7(),
        incident.kind,
        incident.unit.map(|unit| unit.0),
        incident.g2a_order_id,
        reason(&incident.detail)
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 1 {
        tracing::warn!(
            kind = incident.kind,
            unit = incident.unit.map(tracing::field::display),
            g2a_order = incident.g2a_order_id,
            "{}",
            incident.detail
        );
    }
    Ok(())
}

/// Records that no other key could be bought in place of the faulty one of `unit`; opens the incident again if it was
/// closed.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub(super) async fn not_replaced(tx: &mut Tx, unit: UnitId, why: &str) -> Result<()> {
    let detail = format!(
        "no other key could be bought in place of a faulty one ({why}); the copy has the faulty key again: refund it, or add a \
         key and replace again"
    );
    sqlx::query!(
        "-- store.fulfilment.not_replaced
        insert into incidents (id, kind, order_unit_id, detail) values ($1, 'REPLACEMENT_FAILED', $2, $3)
        on conflict on constraint incidents_told_once do update
           set detail = excluded.detail, created_at = now(), resolved_at = null, note = null",
        Uuid::now_v7(),
        unit.0,
        reason(&detail)
    )
    .execute(tx.conn())
    .await?;
    tracing::warn!(kind = "REPLACEMENT_FAILED", unit = %unit, "{detail}");
    Ok(())
}

/// Closes the incident of [`not_replaced`]: the unit has another key.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub(super) async fn replaced(tx: &mut Tx, unit: UnitId) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.replaced
        update incidents set resolved_at = now()
         where order_unit_id = $1 and kind = 'REPLACEMENT_FAILED' and resolved_at is null",
        unit.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Closes the incident of this kind for this order at G2A.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn resolve(tx: &mut Tx, kind: &str, g2a_order_id: &str) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.resolve
        update incidents set resolved_at = now() where kind = $1 and g2a_order_id = $2 and resolved_at is null",
        kind,
        g2a_order_id
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A reason why nothing can be bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// `FUNDS`, `LIMIT` or `ACCESS`.
    pub kind: String,
    /// When it was raised.
    pub since: DateTime<Utc>,
    /// G2A's message.
    pub detail: String,
}

/// Raises or renews an alarm: nothing is bought until `retry_in` has passed.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn raise_alarm(store: &Store, kind: &'static str, detail: &str, retry_in: Duration) -> Result<()> {
    let new: bool = sqlx::query_scalar!(
        r#"-- store.fulfilment.raise_alarm
        insert into supplier_alarms as a (kind, retry_at, detail) values ($1, now() + make_interval(secs => $2), $3)
        on conflict (kind) do update set retry_at = greatest(a.retry_at, excluded.retry_at), detail = excluded.detail
        returning xmax = 0 as "new!""#,
        kind,
        retry_in.as_secs_f64(),
        reason(detail)
    )
    .fetch_one(store.alone())
    .await?;
    if new {
        tracing::error!(
            kind,
            "nothing can be bought at G2A: {detail}; orders wait until it is fixed"
        );
    }
    Ok(())
}

/// The active alarms.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn alarms(store: &Store) -> Result<Vec<Alarm>> {
    Ok(sqlx::query_as!(
        Alarm,
        "-- store.fulfilment.alarms\nselect kind, since, detail from supplier_alarms order by since"
    )
    .fetch_all(store.alone())
    .await?)
}

/// Remaining time for which nothing may be bought; `None` if buying may be tried.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn buying_stops_for(store: &Store) -> Result<Option<Duration>> {
    let seconds: Option<Decimal> = sqlx::query_scalar!(
        "-- store.fulfilment.buying_stops_for
        select extract(epoch from max(retry_at) - now()) as seconds from supplier_alarms where retry_at > now()"
    )
    .fetch_one(store.alone())
    .await?;
    Ok(seconds.map(crate::row::span))
}

/// Number of open incidents of each kind.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn open(store: &Store) -> Result<Vec<(String, u64)>> {
    let rows = sqlx::query!(
        r#"-- store.fulfilment.open_incidents
        select kind, count(*) as "open!" from incidents where resolved_at is null group by kind order by kind"#
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.kind, crate::row::how_many_of(row.open)))
        .collect())
}
