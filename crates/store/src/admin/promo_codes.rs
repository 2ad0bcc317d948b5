//! Promo codes, for staff. Uses are counted by the database when orders are placed and refunded, and by nothing else.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{MostUsed, Percent, PromoCodeRow, PromoCodeStatistics};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::promo_codes::{PromoCodeError, violated};
use crate::row::{how_many_of, money_of};
use crate::{AsStoreError as _, Result, Store, StoreError, Tx};

/// Codes in a list at most.
const MOST: i64 = 10_000;

/// A code as it stands in its row.
struct Stored {
    id: Uuid,
    code: String,
    discount: Decimal,
    max_uses: Option<i32>,
    used_count: i32,
    valid_from: DateTime<Utc>,
    valid_until: Option<DateTime<Utc>>,
    active: bool,
    created_at: DateTime<Utc>,
}

impl Stored {
    fn view(self) -> Result<PromoCodeRow> {
        Ok(PromoCodeRow {
            id: self.id,
            code: self.code,
            discount: Percent::new(self.discount)
                .ok_or_else(|| StoreError::Schema("a promo code's discount is no percentage".into()))?,
            max_uses: self.max_uses,
            used_count: self.used_count,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            active: self.active,
            created_at: self.created_at,
        })
    }
}

/// What to change about a code; `None` where it stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromoCodeChange {
    /// The code itself.
    pub code: Option<String>,
    /// Percent of the subtotal.
    pub discount: Option<Decimal>,
    /// Maximum number of orders that may use it; inner `None`: no limit.
    pub max_uses: Option<Option<i32>>,
    /// Start of its validity.
    pub valid_from: Option<DateTime<Utc>>,
    /// End of its validity; inner `None`: no end.
    pub valid_until: Option<Option<DateTime<Utc>>>,
    /// Whether it is switched on.
    pub active: Option<bool>,
}

/// The codes, newest first, at most 10,000.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx) -> Result<Vec<PromoCodeRow>> {
    let rows = sqlx::query_as!(
        Stored,
        "-- store.admin.promo_codes.list
        select id, code, discount, max_uses, used_count, valid_from, valid_until, active, created_at
          from promo_codes order by created_at desc, code limit $1",
        MOST
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(Stored::view).collect()
}

/// A code; `None` if there is none with this id.
///
/// # Errors
/// [`StoreError`].
pub async fn detail(tx: &mut Tx, id: Uuid) -> Result<Option<PromoCodeRow>> {
    let row = sqlx::query_as!(
        Stored,
        "-- store.admin.promo_codes.detail
        select id, code, discount, max_uses, used_count, valid_from, valid_until, active, created_at
          from promo_codes where id = $1",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(Stored::view).transpose()
}

/// Figures about all codes.
///
/// # Errors
/// [`StoreError`].
pub async fn statistics(tx: &mut Tx) -> Result<PromoCodeStatistics> {
    let row = sqlx::query!(
        r#"-- store.admin.promo_codes.statistics
        select count(*) as "codes!",
               count(*) filter (where active and valid_from <= now() and coalesce(valid_until > now(), true)
                                  and coalesce(used_count < max_uses, true)) as "usable!",
               count(*) filter (where valid_until <= now()) as "expired!",
               coalesce(sum(used_count), 0)::bigint as "uses!",
               (select coalesce(sum(o.discount), 0) from orders o
                 where o.promo_code is not null and not o.promo_use_returned)::numeric(12,2) as "given!"
          from promo_codes"#
    )
    .fetch_one(tx.conn())
    .await?;
    let most_used = sqlx::query!(
        "-- store.admin.promo_codes.most_used
        select code, used_count from promo_codes where used_count > 0 order by used_count desc, code limit 1"
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(PromoCodeStatistics {
        total_codes: how_many_of(row.codes),
        active_codes: how_many_of(row.usable),
        expired_codes: how_many_of(row.expired),
        total_uses: how_many_of(row.uses),
        total_discount_given: money_of(row.given)?,
        most_used_code: most_used.map(|row| MostUsed {
            code: row.code,
            uses: row.used_count,
        }),
    })
}

/// Changes a code and returns it. The audit log records what was changed.
///
/// # Errors
/// [`PromoCodeError`]; then nothing has changed.
pub async fn change(
    store: &Store,
    by: &By,
    id: Uuid,
    change: &PromoCodeChange,
) -> Result<PromoCodeRow, PromoCodeError> {
    let (by, mut asked) = (by.clone(), change.clone());
    asked.code = asked.code.map(|code| code.to_uppercase());
    let name = asked.code.clone().unwrap_or_default();
    store
        .tx("promo_codes.change", move |tx| {
            let (by, asked) = (by.clone(), asked.clone());
            Box::pin(async move { change_in(tx, &by, id, &asked).await })
        })
        .await
        .map_err(|error| match error.as_store_error().and_then(StoreError::constraint) {
            Some(rule) => violated(rule, &name).unwrap_or(error),
            None => error,
        })
}

async fn change_in(tx: &mut Tx, by: &By, id: Uuid, asked: &PromoCodeChange) -> Result<PromoCodeRow, PromoCodeError> {
    let before = lock(tx, id).await?;
    if asked.code.as_ref().is_some_and(|code| *code != before.code) && is_used(tx, &before).await? {
        return Err(PromoCodeError::InUse);
    }
    let after = sqlx::query_as!(
        Stored,
        "-- store.admin.promo_codes.change
        update promo_codes
           set code = coalesce($2, code), discount = coalesce($3, discount),
               max_uses = case when $4 then $5 else max_uses end, valid_from = coalesce($6, valid_from),
               valid_until = case when $7 then $8 else valid_until end, active = coalesce($9, active)
         where id = $1
        returning id, code, discount, max_uses, used_count, valid_from, valid_until, active, created_at",
        id,
        asked.code,
        asked.discount,
        asked.max_uses.is_some(),
        asked.max_uses.flatten(),
        asked.valid_from,
        asked.valid_until.is_some(),
        asked.valid_until.flatten(),
        asked.active
    )
    .fetch_one(tx.conn())
    .await?;
    let facts = |code: &Stored| {
        json!({
            "code": code.code, "discount": code.discount, "maxUses": code.max_uses, "validFrom": code.valid_from,
            "validUntil": code.valid_until, "active": code.active,
        })
    };
    let details = json!({ "before": facts(&before), "after": facts(&after) });
    if details["before"] != details["after"] {
        audit::record(tx, by, "promo.change", ("promo_code", id), details).await?;
    }
    Ok(after.view()?)
}

/// Deletes a code that no order used. The audit log records it.
///
/// # Errors
/// [`PromoCodeError`]; then nothing has changed.
pub async fn delete(store: &Store, by: &By, id: Uuid) -> Result<(), PromoCodeError> {
    let by = by.clone();
    store
        .tx("promo_codes.delete", move |tx| {
            let by = by.clone();
            Box::pin(async move {
                let code = lock(tx, id).await?;
                if is_used(tx, &code).await? {
                    return Err(PromoCodeError::InUse);
                }
                sqlx::query!(
                    "-- store.admin.promo_codes.delete\ndelete from promo_codes where id = $1",
                    id
                )
                .execute(tx.conn())
                .await?;
                let details = json!({ "code": code.code });
                audit::record(tx, &by, "promo.delete", ("promo_code", id), details).await?;
                Ok(())
            })
        })
        .await
}

/// Locks a code: no order uses it until the transaction ends.
async fn lock(tx: &mut Tx, id: Uuid) -> Result<Stored, PromoCodeError> {
    let row = sqlx::query_as!(
        Stored,
        "-- store.admin.promo_codes.lock
        select id, code, discount, max_uses, used_count, valid_from, valid_until, active, created_at
          from promo_codes where id = $1 for update",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or_else(|| PromoCodeError::Unknown(id.to_string()))
}

/// Whether an order names the code, whether or not it counts as a use.
async fn is_used(tx: &mut Tx, code: &Stored) -> Result<bool, PromoCodeError> {
    Ok(sqlx::query_scalar!(
        r#"-- store.admin.promo_codes.is_used
        select exists (select 1 from orders where promo_code = $1) as "is_used!""#,
        code.code
    )
    .fetch_one(tx.conn())
    .await?)
}
