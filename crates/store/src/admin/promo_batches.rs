//! Batches of promo codes that can be used once each, for staff.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::{Page, PromoBatchList, PromoBatchRow, PromoTerms};
use lockstep_domain::ids::UserId;
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use super::bounds;
use crate::audit::{self, By};
use crate::promo_codes::{PromoCodeError, restrict, violated};
use crate::row::{how_many_of, money_of};
use crate::{AsStoreError as _, Result, Store, StoreError, Tx};

/// A batch to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPromoBatch {
    /// What staff call it.
    pub name: String,
    /// The codes, in upper case, each once.
    pub codes: Vec<String>,
    /// Percent of the items that they hold for; 0 with an amount.
    pub discount: Decimal,
    /// What they are worth beyond a percentage, and for whom and what they hold.
    pub terms: PromoTerms,
    /// The start of their validity; `None` for now.
    pub valid_from: Option<DateTime<Utc>>,
    /// The end of their validity; `None` for no end.
    pub valid_until: Option<DateTime<Utc>>,
}

/// Makes a batch with its codes and returns its id. The audit log records it, without the codes.
///
/// # Errors
/// [`PromoCodeError`]; then nothing is made.
pub async fn create(store: &Store, by: UserId, new: &NewPromoBatch) -> Result<Uuid, PromoCodeError> {
    let new = new.clone();
    store
        .tx("promo_batches.create", move |tx| {
            let new = new.clone();
            Box::pin(async move { create_once(tx, by, &new).await })
        })
        .await
        .map_err(|error| match error.as_store_error().and_then(StoreError::constraint) {
            Some(rule) => violated(rule, "one of the batch").unwrap_or(error),
            None => error,
        })
}

async fn create_once(tx: &mut Tx, by: UserId, new: &NewPromoBatch) -> Result<Uuid, PromoCodeError> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "-- store.admin.promo_batches.create\ninsert into promo_batches (id, name, created_by) values ($1, $2, $3)",
        id,
        new.name,
        by.0
    )
    .execute(tx.conn())
    .await?;
    let codes: Vec<Uuid> = sqlx::query_scalar!(
        "-- store.admin.promo_batches.codes
        insert into promo_codes (code, discount, max_uses, valid_from, valid_until, amount, min_order, first_order_only,
                                 max_per_customer, batch_id)
        select code, $2, 1, coalesce($3, now()), $4, $5, $6, $7, $8, $9 from unnest($1::text[]) code returning id",
        &new.codes,
        new.discount,
        new.valid_from,
        new.valid_until,
        new.terms.amount.map(Money::decimal),
        new.terms.min_order.map(Money::decimal),
        new.terms.first_order_only,
        new.terms.max_uses_per_customer,
        id
    )
    .fetch_all(tx.conn())
    .await?;
    restrict(tx, &codes, &new.terms).await?;
    let details = json!({
        "codes": codes.len(), "discount": new.discount, "terms": new.terms, "validFrom": new.valid_from,
        "validUntil": new.valid_until,
    });
    audit::record(tx, &By::Staff(by), "promo.batch", ("promo_batch", id), details).await?;
    Ok(id)
}

/// Switches all codes of a batch off or on; `false` if there is none with this id. The audit log records it.
///
/// # Errors
/// [`StoreError`].
pub async fn switch(store: &Store, by: UserId, id: Uuid, active: bool) -> Result<bool> {
    store
        .tx("promo_batches.switch", move |tx| {
            Box::pin(async move {
                let found = sqlx::query_scalar!(
                    r#"-- store.admin.promo_batches.exists
                    select exists (select from promo_batches where id = $1) as "found!""#,
                    id
                )
                .fetch_one(tx.conn())
                .await?;
                if !found {
                    return Ok(false);
                }
                sqlx::query!(
                    "-- store.admin.promo_batches.switch
                    update promo_codes set active = $2 where batch_id = $1 and active <> $2",
                    id,
                    active
                )
                .execute(tx.conn())
                .await?;
                let details = json!({ "active": active });
                audit::record(tx, &By::Staff(by), "promo.batch.switch", ("promo_batch", id), details).await?;
                Ok::<_, StoreError>(true)
            })
        })
        .await
}

/// The batches, newest first, or only the one with this id.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, id: Option<Uuid>, page: Page) -> Result<PromoBatchList> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query!(
        r#"-- store.admin.promo_batches.list
        select b.id, b.name, b.created_at, c.codes as "codes!", c.used as "used!", c.active as "active!",
               (select coalesce(sum(o.discount), 0) from promo_codes p join orders o on o.promo_code = p.code
                 where p.batch_id = b.id and not o.promo_use_returned)::numeric(12,2) as "given!"
          from (select * from promo_batches where $1::uuid is null or id = $1
                 order by created_at desc, id desc limit $2 offset $3) b,
               lateral (select count(*) as codes, count(*) filter (where p.used_count > 0) as used,
                               count(*) filter (where p.active) as active
                          from promo_codes p where p.batch_id = b.id) c
         order by b.created_at desc, b.id desc"#,
        id,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let all = sqlx::query_scalar!(
        r#"-- store.admin.promo_batches.count
        select count(*) as "count!" from promo_batches where $1::uuid is null or id = $1"#,
        id
    )
    .fetch_one(tx.conn())
    .await?;
    let batches = rows.into_iter().map(|row| {
        Ok(PromoBatchRow {
            id: row.id,
            name: row.name,
            codes: how_many_of(row.codes),
            used: how_many_of(row.used),
            active: how_many_of(row.active),
            discount_given: money_of(row.given)?,
            created_at: row.created_at,
        })
    });
    Ok(PromoBatchList {
        batches: batches.collect::<Result<_>>()?,
        paging: page.of(how_many_of(all)),
    })
}
