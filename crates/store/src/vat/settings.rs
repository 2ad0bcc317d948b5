//! What the operator has stated: each statement is a row, and the newest one holds.

use std::sync::Arc;

use lockstep_domain::ids::UserId;
use lockstep_domain::tax::{PostalName, TaxSettings, TaxedAt, VatStatus};
use serde_json::json;
use uuid::Uuid;

use super::country_of;
use crate::audit::{self, By};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// Maximum number of receipts that a statement makes for orders before it.
const MOST_LATE: i32 = 1_000;

/// Why nothing was stated.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another statement was made since this one was shown.
    #[error("The statement was changed meanwhile. Look at it again.")]
    Outdated,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(StateError);

/// The newest statement.
///
/// # Errors
/// [`StoreError`].
pub async fn settings(store: &Store) -> Result<TaxSettings> {
    let read = store.read(|tx| Box::pin(newest(tx)));
    Ok(read.await?.value)
}

pub(super) async fn newest(tx: &mut Tx) -> Result<TaxSettings> {
    let row = sqlx::query!(
        "-- store.vat.settings.newest
        select version, status, country, taxed_at, evidence_pieces, seller_name, seller_street, seller_postcode, seller_city,
               vat_id, tax_number, is_complete
          from tax_settings order by version desc limit 1"
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else {
        return Ok(TaxSettings::nothing());
    };
    let unknown = |name: &str| StoreError::Schema(format!("unexpected word {name:?} about VAT"));
    Ok(TaxSettings {
        version: row.version,
        status: VatStatus::of(&row.status).ok_or_else(|| unknown(&row.status))?,
        country: row.country.as_deref().map(country_of).transpose()?,
        taxed_at: TaxedAt::of(&row.taxed_at).ok_or_else(|| unknown(&row.taxed_at))?,
        evidence_pieces: u8::try_from(row.evidence_pieces).unwrap_or(2),
        seller: PostalName {
            name: row.seller_name,
            street: row.seller_street,
            postcode: row.seller_postcode,
            city: row.seller_city,
        },
        vat_id: row.vat_id,
        tax_number: row.tax_number,
        is_complete: row.is_complete,
    })
}

/// States `new` in the place of version `new.version`, on behalf of `admin`. If receipts can be numbered from now on, those of orders
/// that completed meanwhile are made, at most a thousand. The audit log records it.
///
/// # Errors
/// [`StateError::Outdated`] when another statement was made meanwhile.
pub async fn state(store: &Store, admin: UserId, new: &TaxSettings) -> Result<TaxSettings, StateError> {
    let new = Arc::new(new.clone());
    store
        .tx("vat.settings.state", move |tx| {
            let new = Arc::clone(&new);
            Box::pin(async move { state_in(tx, admin, &new).await })
        })
        .await
}

async fn state_in(tx: &mut Tx, admin: UserId, new: &TaxSettings) -> Result<TaxSettings, StateError> {
    sqlx::query!("-- store.vat.settings.lock\nselect pg_advisory_xact_lock(hashtextextended('lockstep vat', 0))")
        .execute(tx.conn())
        .await?;
    let before = newest(tx).await?;
    if before.version != new.version {
        return Err(StateError::Outdated);
    }
    sqlx::query!(
        "-- store.vat.settings.state
        insert into tax_settings (status, country, taxed_at, evidence_pieces, seller_name, seller_street, seller_postcode,
                                  seller_city, vat_id, tax_number)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.status.as_str(),
        new.country.as_ref().map(lockstep_domain::tax::Country::as_str),
        new.taxed_at.as_str(),
        i16::from(new.evidence_pieces),
        new.seller.name,
        new.seller.street,
        new.seller.postcode,
        new.seller.city,
        new.vat_id.as_deref(),
        new.tax_number.as_deref()
    )
    .execute(tx.conn())
    .await?;
    let made = sqlx::query_scalar!(
        r#"-- store.vat.settings.late
        select document_orders($1) as "made!""#,
        MOST_LATE
    )
    .fetch_one(tx.conn())
    .await?;
    let after = newest(tx).await?;
    let details = json!({
        "before": before, "after": after, "receipts": made,
    });
    audit::record(
        tx,
        &By::Staff(admin),
        "vat.state",
        ("vat_settings", Uuid::nil()),
        details,
    )
    .await?;
    Ok(after)
}
