//! Sets of rates that were fetched; the newest of them and of the shipped set is in force.

use lockstep_domain::tax::{RatesFault, VatRates};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::audit::{self, By};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// Why a set was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutRatesError {
    /// It is nonsense, or older than what is in force.
    #[error(transparent)]
    Fault(#[from] RatesFault),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(PutRatesError);

/// The rates in force.
///
/// # Errors
/// [`StoreError`].
pub async fn rates(store: &Store) -> Result<VatRates> {
    let read = store.read(|tx| Box::pin(in_force(tx)));
    Ok(read.await?.value)
}

pub(super) async fn in_force(tx: &mut Tx) -> Result<VatRates> {
    let row = sqlx::query!(
        "-- store.vat.rates.newest\nselect source, dated, rates from vat_rate_sets order by id desc limit 1"
    )
    .fetch_optional(tx.conn())
    .await?;
    let stored = row
        .map(|row| {
            let set = json!({"source": row.source, "date": row.dated.to_string(), "rates": row.rates});
            VatRates::read(&set, None).map_err(|fault| StoreError::Schema(format!("unexpected rates of VAT: {fault}")))
        })
        .transpose()?;
    Ok(VatRates::shipped().or_newer(stored))
}

/// Stores `new`, which was fetched from `url`, if it may replace the rates in force; whether it differs from them. The audit log
/// records it.
///
/// # Errors
/// [`PutRatesError`].
pub async fn put_rates(store: &Store, new: &VatRates, url: &str, by: &By) -> Result<bool, PutRatesError> {
    let asked = std::sync::Arc::new((new.clone(), url.to_owned(), by.clone()));
    store
        .tx("vat.rates.put", move |tx| {
            let asked = std::sync::Arc::clone(&asked);
            Box::pin(async move {
                let (new, url, by) = &*asked;
                put_in(tx, new, url, by).await
            })
        })
        .await
}

async fn put_in(tx: &mut Tx, new: &VatRates, url: &str, by: &By) -> Result<bool, PutRatesError> {
    let today = sqlx::query_scalar!(
        r#"-- store.vat.rates.lock
        select (now() at time zone 'UTC')::date as "today!" from pg_advisory_xact_lock(hashtextextended('lockstep vat', 0))"#
    )
    .fetch_one(tx.conn())
    .await?;
    let known = in_force(tx).await?;
    new.may_replace(&known, today)?;
    if *new == known {
        return Ok(false);
    }
    let rates: Value = new.to_json();
    sqlx::query!(
        "-- store.vat.rates.put\ninsert into vat_rate_sets (source, url, dated, rates) values ($1, $2, $3, $4)",
        new.source,
        url,
        new.date,
        rates
    )
    .execute(tx.conn())
    .await?;
    let changed: Vec<String> = new
        .all()
        .filter(|(country, rate)| known.of(*country) != Some(*rate))
        .map(|(country, rate)| format!("{country} {rate}"))
        .collect();
    let details = json!({"source": new.source, "date": new.date.to_string(), "url": url, "changed": changed});
    audit::record(tx, by, "vat.rates", ("vat_rates", Uuid::nil()), details).await?;
    Ok(true)
}
