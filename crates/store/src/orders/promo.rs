//! The promo code of an order: whether the customer may use it, what it takes off, and which games it holds for.

use lockstep_domain::Money;
use lockstep_domain::checkout::{Checkout, Reduction};
use lockstep_domain::ids::UserId;
use uuid::Uuid;

use crate::row::money_of;
use crate::{StoreError, Tx};

/// Why a promo code cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromoFault {
    /// The code does not exist.
    Unknown,
    /// It is deactivated.
    Inactive,
    /// It is not valid yet.
    Early,
    /// It has expired.
    Expired,
    /// It has reached its maximum number of uses, in all or of this customer.
    UsedUp,
}

/// Why a customer cannot use a promo code.
pub(super) enum PromoRefusal {
    /// The code cannot be used by anybody, or by this customer any more.
    Fault(PromoFault),
    /// It is for customers who have not ordered yet.
    FirstOrder,
    /// The database failed.
    Store(StoreError),
}

impl From<StoreError> for PromoRefusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for PromoRefusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A promo code that the customer may use.
pub(super) struct Promo {
    /// What it takes off.
    pub(super) reduction: Reduction,
    /// The least subtotal.
    pub(super) min_order: Option<Money>,
    /// The games of the order that it holds for.
    pub(super) games: Vec<Uuid>,
}

/// The promo code of an order of `user`.
///
/// # Errors
/// [`PromoRefusal`].
pub(super) async fn promo(tx: &mut Tx, user: UserId, checkout: &Checkout) -> Result<Option<Promo>, PromoRefusal> {
    let Some(code) = checkout.promo_code() else {
        return Ok(None);
    };
    let fault = |fault| Err(PromoRefusal::Fault(fault));
    if !checkout.promo_code_is_possible() {
        return fault(PromoFault::Unknown);
    }
    let games: Vec<Uuid> = checkout.items().iter().map(|item| item.game.0).collect();
    let row = sqlx::query!(
        r#"-- store.orders.place.promo_code
        select p.discount, p.amount, p.min_order, p.active, p.valid_from > now() as "early!",
               coalesce(p.valid_until <= now(), false) as "expired!",
               coalesce(p.used_count >= p.max_uses, false)
                   or coalesce((select c.uses from promo_code_customers c where c.promo_code_id = p.id and c.user_id = $2)
                               >= p.max_per_customer, false) as "used_up!",
               p.first_order_only and exists (select from orders o where o.user_id = $2
                                                 and o.payment_status is distinct from 'CANCELLED') as "ordered_before!",
               array(select g from unnest($3::uuid[]) g
                      where (not exists (select from promo_code_games r where r.promo_code_id = p.id)
                             or exists (select from promo_code_games r where r.promo_code_id = p.id and r.game_id = g))
                        and (not exists (select from promo_code_genres r where r.promo_code_id = p.id)
                             or exists (select from promo_code_genres r join game_genres l on l.genre_id = r.genre_id
                                         where r.promo_code_id = p.id and l.game_id = g))
                        and (not exists (select from promo_code_platforms r where r.promo_code_id = p.id)
                             or exists (select from promo_code_platforms r join game_platforms l on l.platform_id = r.platform_id
                                         where r.promo_code_id = p.id and l.game_id = g))) as "games!"
          from promo_codes p where p.code = $1"#,
        code,
        user.0,
        &games
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else {
        return fault(PromoFault::Unknown);
    };
    for (is_so, why) in [
        (row.early, PromoFault::Early),
        (row.expired, PromoFault::Expired),
        (row.used_up, PromoFault::UsedUp),
        (!row.active, PromoFault::Inactive),
    ] {
        if is_so {
            return fault(why);
        }
    }
    if row.ordered_before {
        return Err(PromoRefusal::FirstOrder);
    }
    Ok(Some(Promo {
        reduction: match row.amount {
            Some(amount) => Reduction::Amount(money_of(amount)?),
            None => Reduction::Percent(row.discount),
        },
        min_order: row.min_order.map(money_of).transpose()?,
        games: row.games,
    }))
}
