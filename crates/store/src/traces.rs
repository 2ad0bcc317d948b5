//! The trace context in which a row was written, for the work that is done for it later: see
//! `0230_trace_context.sql`. Without an exporter of traces nothing here asks the database.

use std::time::Duration;

use lockstep_domain::ids::{OrderId, TopUpId};
use lockstep_telemetry::TraceParent;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, Store};

/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_millis(250);

/// Every row that the transaction writes from now on has the trace context `parent`, where it has one.
pub(crate) async fn set(conn: &mut PgConnection, parent: TraceParent) -> Result<()> {
    sqlx::query!(
        "-- store.traces.set\nselect set_config('lockstep.traceparent', $1, true)",
        parent.to_string()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Reads one column `traceparent` of a row, if traces are exported.
macro_rules! find {
    ($store:expr, $statement:literal, $id:expr) => {{
        if !lockstep_telemetry::is_exporting() {
            return None;
        }
        let found = sqlx::query_scalar!($statement, $id).fetch_optional($store.alone());
        // No work may fail, or wait for long, for want of a trace.
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.ok()?.ok()??.as_deref()?.parse().ok()
    }};
}

/// The trace in which an order was placed. `None` if there is none, or the database does not say.
pub async fn of_order(store: &Store, order: OrderId) -> Option<TraceParent> {
    find!(
        store,
        "-- store.traces.of_order\nselect traceparent::text from orders where id = $1",
        order.0
    )
}

/// The trace in which a top-up was begun. `None` if there is none, or the database does not say.
pub async fn of_top_up(store: &Store, top_up: TopUpId) -> Option<TraceParent> {
    find!(
        store,
        "-- store.traces.of_top_up\nselect traceparent::text from top_ups where id = $1",
        top_up.0
    )
}

/// The trace in which an e-mail was put into the outbox. `None` if there is none, or the database does not say.
pub async fn of_email(store: &Store, email: Uuid) -> Option<TraceParent> {
    find!(
        store,
        "-- store.traces.of_email\nselect traceparent::text from mail_outbox where id = $1",
        email
    )
}
