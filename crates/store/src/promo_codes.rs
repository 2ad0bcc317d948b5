//! The operator's promo codes. Orders use them in [`crate::orders`]; the database counts the uses.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::PromoTerms;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// A code to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPromoCode {
    /// 2 to 40 letters, digits, `-` and `_`; stored in upper case.
    pub code: String,
    /// Percent of the items that it holds for, above 0 and at most 100, at most two decimals; 0 with an amount.
    pub discount: Decimal,
    /// What it is worth beyond a percentage, and for whom and what it holds.
    pub terms: PromoTerms,
    /// Maximum number of orders that may use it; `None` for no limit.
    pub max_uses: Option<i32>,
    /// The start of its validity; `None` for now.
    pub valid_from: Option<DateTime<Utc>>,
    /// End of its validity; `None` for no end.
    pub valid_until: Option<DateTime<Utc>>,
    /// Whether it is switched on.
    pub active: bool,
}

/// A code and its usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromoCode {
    /// The code.
    pub code: String,
    /// Percent of the items that it holds for; 0 with an amount.
    pub discount: Decimal,
    /// EUR off, in place of a percentage.
    pub amount: Option<Money>,
    /// Maximum number of orders that use it.
    pub max_uses: Option<i32>,
    /// Orders that have used it, without those that were fully refunded.
    pub used_count: i32,
    /// Start of its validity.
    pub valid_from: DateTime<Utc>,
    /// End of its validity.
    pub valid_until: Option<DateTime<Utc>>,
    /// Whether an order can use it now.
    pub usable: bool,
    /// `usable`, or why not: `scheduled`, `expired`, `usedUp`, `ended`.
    pub state: String,
    /// Sum of its discounts on orders, EUR.
    pub given: Money,
}

/// Why a code was not created, changed, ended or deleted.
#[derive(Debug, thiserror::Error)]
pub enum PromoCodeError {
    /// The code exists already.
    #[error("there is a code {0} already")]
    Exists(String),
    /// The code does not exist.
    #[error("there is no code {0}")]
    Unknown(String),
    /// Orders name it.
    #[error("orders used this code")]
    InUse,
    /// It was used more often than it may be.
    #[error("the code was used more often already")]
    BelowUses,
    /// It is no code.
    #[error("a code is 2 to 40 letters, digits, - and _")]
    Code,
    /// The discount is no percentage.
    #[error("the discount has to be above 0 and at most 100 percent")]
    Discount,
    /// The amount is none.
    #[error("the amount has to be above 0")]
    Amount,
    /// There is no such order.
    #[error("the least order has to be above 0")]
    MinOrder,
    /// There is no such number of uses of a customer.
    #[error("the number of uses of a customer has to be at least 1")]
    MaxUsesPerCustomer,
    /// It names a game that does not exist.
    #[error("it names a game that does not exist")]
    NoSuchGame,
    /// It names a genre that does not exist.
    #[error("it names a genre that does not exist")]
    NoSuchGenre,
    /// It names a platform that does not exist.
    #[error("it names a platform that does not exist")]
    NoSuchPlatform,
    /// There is no such number of uses.
    #[error("the number of uses has to be at least 1")]
    MaxUses,
    /// It ends before it begins.
    #[error("the end has to be later than the beginning")]
    Window,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(PromoCodeError);

/// The error that the rule `constraint` of the schema stands for.
pub(crate) fn violated(constraint: &str, code: &str) -> Option<PromoCodeError> {
    Some(match constraint {
        "promo_codes_code_key" => PromoCodeError::Exists(code.to_owned()),
        "promo_codes_code_is_upper_case" => PromoCodeError::Code,
        "promo_codes_discount_is_percent" => PromoCodeError::Discount,
        "promo_codes_amount_positive" => PromoCodeError::Amount,
        "promo_codes_min_order_positive" => PromoCodeError::MinOrder,
        "promo_codes_max_per_customer_positive" => PromoCodeError::MaxUsesPerCustomer,
        "promo_code_games_game_id_fkey" => PromoCodeError::NoSuchGame,
        "promo_code_genres_genre_id_fkey" => PromoCodeError::NoSuchGenre,
        "promo_code_platforms_platform_id_fkey" => PromoCodeError::NoSuchPlatform,
        "promo_codes_max_uses_positive" => PromoCodeError::MaxUses,
        "promo_codes_uses_within_limit" => PromoCodeError::BelowUses,
        "promo_codes_window" => PromoCodeError::Window,
        _ => return None,
    })
}

/// Makes a code and returns its id. It goes into the audit log.
///
/// # Errors
/// [`PromoCodeError`].
pub async fn create(store: &Store, new: &NewPromoCode, by: &By) -> Result<Uuid, PromoCodeError> {
    let code = new.code.to_uppercase();
    let details = serde_json::json!({
        "code": code, "discount": new.discount, "maxUses": new.max_uses, "validFrom": new.valid_from,
        "validUntil": new.valid_until, "active": new.active, "terms": new.terms,
    });
    let (new, by) = (new.clone(), by.clone());
    let made = store
        .tx("promo_codes.create", {
            let code = code.clone();
            move |tx| {
                let (code, new, by, details) = (code.clone(), new.clone(), by.clone(), details.clone());
                Box::pin(async move {
                    let id: Uuid = sqlx::query_scalar!(
                        "-- store.promo_codes.create
                        insert into promo_codes (code, discount, max_uses, valid_from, valid_until, active, amount, min_order,
                                                 first_order_only, max_per_customer, is_public)
                        values ($1, $2, $3, coalesce($4, now()), $5, $6, $7, $8, $9, $10, $11) returning id",
                        code,
                        new.discount,
                        new.max_uses,
                        new.valid_from,
                        new.valid_until,
                        new.active,
                        new.terms.amount.map(Money::decimal),
                        new.terms.min_order.map(Money::decimal),
                        new.terms.first_order_only,
                        new.terms.max_uses_per_customer,
                        new.terms.is_public
                    )
                    .fetch_one(tx.conn())
                    .await?;
                    restrict(tx, &[id], &new.terms).await?;
                    audit::record(tx, &by, "promo.create", ("promo_code", id), details).await?;
                    Ok(id)
                })
            }
        })
        .await;
    made.map_err(|error: StoreError| {
        error
            .constraint()
            .and_then(|constraint| violated(constraint, &code))
            .unwrap_or_else(|| error.into())
    })
}

/// Restricts codes to the games, genres and platforms of `terms`, in addition to those that they name.
pub(crate) async fn restrict(tx: &mut Tx, codes: &[Uuid], terms: &PromoTerms) -> Result<()> {
    sqlx::query!(
        "-- store.promo_codes.restrict
        with games as (
            insert into promo_code_games (promo_code_id, game_id)
            select c, g from unnest($1::uuid[]) c, unnest($2::uuid[]) g on conflict do nothing),
        genres as (
            insert into promo_code_genres (promo_code_id, genre_id)
            select c, g from unnest($1::uuid[]) c, unnest($3::uuid[]) g on conflict do nothing)
        insert into promo_code_platforms (promo_code_id, platform_id)
        select c, p from unnest($1::uuid[]) c, unnest($4::uuid[]) p on conflict do nothing",
        codes,
        &terms.game_ids,
        &terms.genre_ids,
        &terms.platform_ids
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends a code now; orders that used it keep their price. Ending it twice is fine. It goes into the audit log.
///
/// # Errors
/// [`PromoCodeError::Unknown`], [`PromoCodeError::Store`].
pub async fn end(store: &Store, code: &str, by: &By) -> Result<(), PromoCodeError> {
    let (code, by) = (code.to_uppercase(), by.clone());
    store
        .tx("promo_codes.end", move |tx| {
            let (code, by) = (code.clone(), by.clone());
            Box::pin(async move {
                let found = sqlx::query!(
                    "-- store.promo_codes.end.find\nselect id, active from promo_codes where code = $1 for no key update",
                    code
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(found) = found else {
                    return Err(PromoCodeError::Unknown(code));
                };
                if found.active {
                    sqlx::query!(
                        "-- store.promo_codes.end\nupdate promo_codes set active = false where id = $1",
                        found.id
                    )
                    .execute(tx.conn())
                    .await?;
                    let details = serde_json::json!({ "code": code });
                    audit::record(tx, &by, "promo.end", ("promo_code", found.id), details).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Every code that belongs to no batch, the newest first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn list(store: &Store) -> Result<Vec<PromoCode>> {
    let rows = sqlx::query!(
        r#"-- store.promo_codes.list
        select p.code, p.discount, p.amount, p.max_uses, p.used_count, p.valid_from, p.valid_until,
               p.active and p.valid_from <= now() and coalesce(p.valid_until > now(), true)
                   and coalesce(p.used_count < p.max_uses, true) as "usable!",
               case when not p.active then 'ended' when p.valid_from > now() then 'scheduled'
                    when p.valid_until <= now() then 'expired' when p.used_count >= p.max_uses then 'usedUp'
                    else 'usable' end as "state!",
               coalesce((select sum(o.discount) from orders o
                          where o.promo_code = p.code and not o.promo_use_returned), 0)::numeric(12,2) as "given!"
          from promo_codes p where p.batch_id is null order by p.created_at desc, p.code"#
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(PromoCode {
                code: row.code,
                discount: row.discount,
                amount: row.amount.map(crate::row::money_of).transpose()?,
                max_uses: row.max_uses,
                used_count: row.used_count,
                valid_from: row.valid_from,
                valid_until: row.valid_until,
                usable: row.usable,
                state: row.state,
                given: crate::row::money_of(row.given)?,
            })
        })
        .collect()
}
