//! Promo codes, for staff. Uses are counted by the database when orders are placed and refunded, and by nothing else.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::{Exact, MostUsed, PromoCodeRow, PromoCodeStatistics, PromoTerms, PromoUses};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::promo_codes::{PromoCodeError, restrict, violated};
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
    amount: Option<Decimal>,
    min_order: Option<Decimal>,
    first_order_only: bool,
    is_public: bool,
    max_per_customer: Option<i32>,
    batch_id: Option<Uuid>,
    games: Vec<Uuid>,
    genres: Vec<Uuid>,
    platforms: Vec<Uuid>,
}

/// A statement that returns rows `p` of `promo_codes` as [`Stored`], in two parts: what is before and after the columns.
macro_rules! stored {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Stored,
            $before
                + r#" p.id, p.code, p.discount, p.max_uses, p.used_count, p.valid_from, p.valid_until, p.active, p.created_at,
                p.amount, p.min_order, p.first_order_only, p.is_public, p.max_per_customer, p.batch_id,
                array(select r.game_id from promo_code_games r where r.promo_code_id = p.id order by 1) as "games!",
                array(select r.genre_id from promo_code_genres r where r.promo_code_id = p.id order by 1) as "genres!",
                array(select r.platform_id from promo_code_platforms r where r.promo_code_id = p.id order by 1) as "platforms!" "#
                + $after
            $(, $argument)*
        )
    };
}

impl Stored {
    fn terms(&self) -> Result<PromoTerms> {
        Ok(PromoTerms {
            amount: self.amount.map(money_of).transpose()?,
            min_order: self.min_order.map(money_of).transpose()?,
            first_order_only: self.first_order_only,
            is_public: self.is_public,
            max_uses_per_customer: self.max_per_customer,
            game_ids: self.games.clone(),
            genre_ids: self.genres.clone(),
            platform_ids: self.platforms.clone(),
        })
    }

    fn view(self) -> Result<PromoCodeRow> {
        let terms = self.terms()?;
        Ok(PromoCodeRow {
            id: self.id,
            code: self.code,
            discount: Exact(self.discount),
            max_uses: self.max_uses,
            used_count: self.used_count,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            active: self.active,
            created_at: self.created_at,
            terms,
            batch_id: self.batch_id,
        })
    }
}

/// What to change about a code; `None` where it stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromoCodeChange {
    /// The code itself.
    pub code: Option<String>,
    /// Percent of the items that it holds for; in place of an amount. 0, as a code with an amount is shown, leaves the amount.
    pub discount: Option<Decimal>,
    /// EUR off; in place of a percentage.
    pub amount: Option<Money>,
    /// The least subtotal of an order; inner `None`: none.
    pub min_order: Option<Option<Money>>,
    /// Whether it is for first orders only.
    pub first_order_only: Option<bool>,
    /// Whether it is announced to everybody.
    pub is_public: Option<bool>,
    /// Maximum number of orders of a customer; inner `None`: no limit.
    pub max_uses_per_customer: Option<Option<i32>>,
    /// The games that it holds for; none for all.
    pub games: Option<Vec<Uuid>>,
    /// The genres that it holds for; none for all.
    pub genres: Option<Vec<Uuid>>,
    /// The platforms that it holds for; none for all.
    pub platforms: Option<Vec<Uuid>>,
    /// Maximum number of orders that may use it; inner `None`: no limit.
    pub max_uses: Option<Option<i32>>,
    /// Start of its validity.
    pub valid_from: Option<DateTime<Utc>>,
    /// End of its validity; inner `None`: no end.
    pub valid_until: Option<Option<DateTime<Utc>>>,
    /// Whether it is switched on.
    pub active: Option<bool>,
}

/// The codes that belong to no batch, newest first, at most 10,000.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx) -> Result<Vec<PromoCodeRow>> {
    let rows = stored!(
        "-- store.admin.promo_codes.list
        select",
        "from promo_codes p where p.batch_id is null order by p.created_at desc, p.code limit $1",
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
    let row = stored!(
        "-- store.admin.promo_codes.detail
        select",
        "from promo_codes p where p.id = $1",
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
    if asked.discount == Some(Decimal::ZERO) && asked.amount.or(before.terms()?.amount).is_none() {
        return Err(PromoCodeError::Discount);
    }
    let percent = asked.discount.filter(|percent| *percent != Decimal::ZERO);
    let discount = percent.or_else(|| asked.amount.map(|_| Decimal::ZERO));
    sqlx::query!(
        "-- store.admin.promo_codes.change
        update promo_codes
           set code = coalesce($2, code), discount = coalesce($3, discount),
               max_uses = case when $4 then $5 else max_uses end, valid_from = coalesce($6, valid_from),
               valid_until = case when $7 then $8 else valid_until end, active = coalesce($9, active),
               amount = case when $3::numeric is null then amount else $10 end,
               min_order = case when $11 then $12 else min_order end,
               first_order_only = coalesce($13, first_order_only),
               max_per_customer = case when $14 then $15 else max_per_customer end,
               is_public = coalesce($16, is_public)
         where id = $1",
        id,
        asked.code,
        discount,
        asked.max_uses.is_some(),
        asked.max_uses.flatten(),
        asked.valid_from,
        asked.valid_until.is_some(),
        asked.valid_until.flatten(),
        asked.active,
        asked.amount.map(Money::decimal),
        asked.min_order.is_some(),
        asked.min_order.flatten().map(Money::decimal),
        asked.first_order_only,
        asked.max_uses_per_customer.is_some(),
        asked.max_uses_per_customer.flatten(),
        asked.is_public
    )
    .execute(tx.conn())
    .await?;
    restrict_anew(tx, id, asked).await?;
    let after = lock(tx, id).await?;
    let facts = |code: &Stored| -> Result<serde_json::Value> {
        Ok(json!({
            "code": code.code, "discount": code.discount, "maxUses": code.max_uses, "validFrom": code.valid_from,
            "validUntil": code.valid_until, "active": code.active, "terms": code.terms()?,
        }))
    };
    let details = json!({ "before": facts(&before)?, "after": facts(&after)? });
    if details["before"] != details["after"] {
        audit::record(tx, by, "promo.change", ("promo_code", id), details).await?;
    }
    Ok(after.view()?)
}

/// Replaces the restrictions that the change names.
async fn restrict_anew(tx: &mut Tx, id: Uuid, asked: &PromoCodeChange) -> Result<()> {
    let (games, genres, platforms) = (asked.games.clone(), asked.genres.clone(), asked.platforms.clone());
    if games.is_none() && genres.is_none() && platforms.is_none() {
        return Ok(());
    }
    sqlx::query!(
        "-- store.admin.promo_codes.free
        with games as (delete from promo_code_games where promo_code_id = $1 and $2),
             genres as (delete from promo_code_genres where promo_code_id = $1 and $3)
        delete from promo_code_platforms where promo_code_id = $1 and $4",
        id,
        games.is_some(),
        genres.is_some(),
        platforms.is_some()
    )
    .execute(tx.conn())
    .await?;
    let terms = PromoTerms {
        game_ids: games.unwrap_or_default(),
        genre_ids: genres.unwrap_or_default(),
        platform_ids: platforms.unwrap_or_default(),
        ..PromoTerms::default()
    };
    restrict(tx, &[id], &terms).await
}

/// Figures about the uses of a code, or of all codes of a batch.
///
/// # Errors
/// [`StoreError`].
pub async fn uses(tx: &mut Tx, code: Option<Uuid>, batch: Option<Uuid>) -> Result<PromoUses> {
    let row = sqlx::query!(
        r#"-- store.admin.promo_codes.uses
        select count(o.id) filter (where not o.promo_use_returned) as "uses!",
               count(o.id) filter (where o.promo_use_returned) as "returned!",
               count(distinct o.user_id) filter (where not o.promo_use_returned) as "customers!",
               coalesce(sum(o.discount) filter (where not o.promo_use_returned), 0)::numeric(12,2) as "given!",
               coalesce(sum(o.total) filter (where not o.promo_use_returned), 0)::numeric(12,2) as "revenue!",
               min(o.created_at) as first_used, max(o.created_at) as last_used
          from promo_codes p join orders o on o.promo_code = p.code
         where ($1::uuid is null or p.id = $1) and ($2::uuid is null or p.batch_id = $2)"#,
        code,
        batch
    )
    .fetch_one(tx.uncached())
    .await?;
    Ok(PromoUses {
        uses: how_many_of(row.uses),
        returned_uses: how_many_of(row.returned),
        customers: how_many_of(row.customers),
        discount_given: money_of(row.given)?,
        revenue: money_of(row.revenue)?,
        first_used_at: row.first_used,
        last_used_at: row.last_used,
    })
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
    let row = stored!(
        "-- store.admin.promo_codes.lock
        select",
        "from promo_codes p where p.id = $1 for update of p",
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
