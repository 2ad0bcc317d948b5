//! Replacing a delivered key that does not work: by one of own stock, else by one that is bought at G2A within a budget.

use lockstep_domain::Money;
use lockstep_domain::ids::{KeyId, OrderId, UnitId, UserId};
use lockstep_domain::staff::{Permission, Refused};
use serde_json::json;

use super::emails::{self, EmailSettings};
use super::incidents;
use super::keys::oldest_own;
use super::queue::lock_order_of;
use crate::accounts::{AccountError, staff};
use crate::audit::{self, By};
use crate::row::money_of;
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Subject, Tx};

/// The most replacements that are bought for one unit; the database holds it, too (`order_units_replacements_bought`).
const MOST_BOUGHT: i64 = 3;

/// What may be spent on replacements. By default nothing is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplacementBudget {
    /// For all purchases of replacements within 24 hours, EUR; zero: nothing is bought.
    pub a_day: Money,
    /// The most that a unit's cost may exceed the shop's price for it, EUR.
    pub allowed_loss: Money,
}

/// How a key was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// By this key of own stock.
    Own(KeyId),
    /// Another one is being bought.
    Buying,
}

/// How a key would be replaced now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplacementWay {
    /// By a key of own stock.
    Own,
    /// By one that is bought.
    Bought {
        /// Its max cost, EUR.
        max_cost: Money,
        /// What is left of the budget, EUR.
        left: Money,
    },
    /// Not at all: own stock has none, and none is bought.
    None,
}

/// Why a key was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// There is no such key.
    #[error("Key not found")]
    NotFound,
    /// No order has it.
    #[error("This key was not delivered to an order, so there is nothing to replace.")]
    NotDelivered,
    /// It was replaced before.
    #[error("This key was replaced already.")]
    Replaced,
    /// Its replacement is being bought.
    #[error("Another key is being bought in place of this one. The order shows how far that is.")]
    Buying,
    /// Its price went back to the shopper.
    #[error("The price of this key was refunded. A replacement would be free of charge.")]
    Refunded,
    /// Only who may adjust balances replaces a key of their own.
    #[error("You cannot replace a key of your own order.")]
    Own,
    /// The buyer has a permission that the caller lacks.
    #[error("{0}")]
    NotAllowed(Refused),
    /// The buyer's account is deleted: nobody would see the key.
    #[error("The account of this order is deleted. Nobody would see another key.")]
    AccountDeleted,
    /// There is no other key, and none is bought.
    #[error("No other key of this game is in own stock. Add one and replace again, or refund the unit.")]
    NoStock,
    /// So many were bought for its unit already.
    #[error("Three replacements were bought for this copy already. Add a key of your own, or refund the unit.")]
    BoughtOften,
    /// The purchase could exceed the budget.
    #[error(
        "This could exceed the budget for bought replacements. Add a key of your own, wait for a day, or refund the unit."
    )]
    BudgetSpent,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(ReplaceError);

/// Gives the unit of `faulty` the oldest key of own stock and queues the e-mail about it; without own stock, begins the purchase of
/// another one. Records it in the audit log. The faulty key stays known as that unit's, counts as used, and is sold to nobody,
/// unless none can be bought.
///
/// # Errors
/// [`ReplaceError`]; then nothing has changed.
pub async fn replace(
    store: &Store,
    by: &By,
    faulty: KeyId,
    reason: &str,
    budget: ReplacementBudget,
    emails: &EmailSettings,
) -> Result<Replaced, ReplaceError> {
    let found = sqlx::query!(
        r#"-- store.fulfilment.replace.find
        select order_unit_id, order_id, faulty_at is not null as "replaced!",
               exists (select from order_units u where u.faulty_key_id = k.id) as "buying!" from game_keys k where id = $1"#,
        faulty.0
    )
    .fetch_optional(store.alone())
    .await
    .map_err(StoreError::from)?
    .ok_or(ReplaceError::NotFound)?;
    let (Some(unit), Some(order)) = (found.order_unit_id, found.order_id) else {
        return Err(match (found.replaced, found.buying) {
            (_, true) => ReplaceError::Buying,
            (true, false) => ReplaceError::Replaced,
            (false, false) => ReplaceError::NotDelivered,
        });
    };
    let (by, reason, emails) = (by.clone(), reason.to_owned(), emails.clone());
    store
        .tx_about("keys.replace", &[Subject::Order(order.into())], move |tx| {
            let (by, reason, emails) = (by.clone(), reason.clone(), emails.clone());
            let deed = Deed { by, faulty, reason };
            Box::pin(async move { replace_in(tx, &deed, UnitId(unit), budget, &emails).await })
        })
        .await
}

/// How `key` would be replaced now; staff decide by it, [`replace`] decides anew.
///
/// # Errors
/// [`StoreError`].
pub async fn replacement_way(tx: &mut Tx, key: KeyId, budget: ReplacementBudget) -> Result<ReplacementWay> {
    let found = sqlx::query!(
        r#"-- store.fulfilment.replace.way
        select u.id, exists (select from game_keys o where o.game_id = k.game_id and o.order_unit_id is null and not o.activated)
                   as "has_stock!"
          from game_keys k join order_units u on u.id = k.order_unit_id where k.id = $1"#,
        key.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(found) = found else {
        return Ok(ReplacementWay::None);
    };
    if found.has_stock {
        return Ok(ReplacementWay::Own);
    }
    let offer = offer(tx, UnitId(found.id), budget).await?;
    let Some(max_cost) = offer.max_cost.filter(|_| offer.bought < MOST_BOUGHT) else {
        return Ok(ReplacementWay::None);
    };
    let left = budget.a_day.checked_sub(spent(tx, budget).await?);
    let left = left.unwrap_or(Money::ZERO).max(Money::ZERO);
    Ok(ReplacementWay::Bought { max_cost, left })
}

/// What staff do, for the audit log.
struct Deed {
    by: By,
    faulty: KeyId,
    reason: String,
}

/// Whether the buyer of `order` may be given another key by `by`.
async fn allow(tx: &mut Tx, by: &By, order: OrderId) -> Result<(), ReplaceError> {
    let buyer = sqlx::query!(
        r#"-- store.fulfilment.replace.buyer
        select u.id, u.deleted_at is not null as "is_deleted!" from orders o join users u on u.id = o.user_id where o.id = $1"#,
        order.0
    )
    .fetch_one(tx.conn())
    .await?;
    if buyer.is_deleted {
        return Err(ReplaceError::AccountDeleted);
    }
    let By::Staff(staff) = by else { return Ok(()) };
    if buyer.id == staff.0 && !staff::of_staff(tx, *staff).await?.contains(Permission::BalanceAdjust) {
        return Err(ReplaceError::Own);
    }
    staff::not_above(tx, *staff, UserId(buyer.id))
        .await
        .map_err(|error| match error {
            AccountError::Refused(refused) => ReplaceError::NotAllowed(refused),
            AccountError::Store(error) => error.into(),
            _ => ReplaceError::NotFound,
        })
}

async fn replace_in(
    tx: &mut Tx,
    deed: &Deed,
    unit: UnitId,
    budget: ReplacementBudget,
    emails: &EmailSettings,
) -> Result<Replaced, ReplaceError> {
    let order = lock_order_of(tx, unit).await?;
    // Of two at once, the second finds that the unit has another key by now, or will have one.
    let row = sqlx::query!(
        r#"-- store.fulfilment.replace.lock
        select k.order_unit_id is not null as "is_delivered!", u.faulty_key_id is not distinct from k.id as "is_buying!",
               u.goodwill > 0 and u.goodwill >= u.price_paid as "refunded!"
          from game_keys k join order_units u on u.id = coalesce(k.order_unit_id, k.faulty_unit_id)
         where k.id = $1 and u.id = $2 for update of k"#,
        deed.faulty.0,
        unit.0
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(ReplaceError::Replaced)?;
    if row.is_buying {
        return Err(ReplaceError::Buying);
    }
    if !row.is_delivered {
        return Err(ReplaceError::Replaced);
    }
    if row.refunded {
        return Err(ReplaceError::Refunded);
    }
    allow(tx, &deed.by, order).await?;
    let Some(new) = oldest_own(tx, unit).await? else {
        return buy(tx, deed, (order, unit), budget).await;
    };
    take_back(tx, deed.faulty).await?;
    sqlx::query!(
        "-- store.fulfilment.replace.deliver
        update game_keys set order_id = $2, order_unit_id = $3 where id = $1",
        new,
        order.0,
        unit.0
    )
    .execute(tx.conn())
    .await?;
    emails::tell_replaced(tx, unit, emails).await?;
    incidents::replaced(tx, unit).await?;
    let details = json!({ "reason": deed.reason, "order": order, "unit": unit, "replacement": new });
    audit::record(tx, &deed.by, "key.replace", ("game_key", deed.faulty.0), details).await?;
    Ok(Replaced::Own(KeyId(new)))
}

/// The unit keeps the key as its faulty one.
async fn take_back(tx: &mut Tx, faulty: KeyId) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.replace.take_back
        update game_keys
           set order_id = null, order_unit_id = null, faulty_at = now(), faulty_order_id = order_id,
               faulty_unit_id = order_unit_id, activated = true, activation_date = coalesce(activation_date, now())
         where id = $1",
        faulty.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// `DONE → NEW`: the saga buys another key, if the budget allows its max cost.
async fn buy(
    tx: &mut Tx,
    deed: &Deed,
    (order, unit): (OrderId, UnitId),
    budget: ReplacementBudget,
) -> Result<Replaced, ReplaceError> {
    let offer = offer(tx, unit, budget).await?;
    let max_cost = offer.max_cost.ok_or(ReplaceError::NoStock)?;
    if offer.bought >= MOST_BOUGHT {
        return Err(ReplaceError::BoughtOften);
    }
    // Purchases that begin at the same time see each other. Their ends only make the sum smaller.
    sqlx::query!(
        "-- store.fulfilment.replace.lock_budget
        select pg_advisory_xact_lock(hashtextextended('lockstep replacement budget', 0))"
    )
    .execute(tx.conn())
    .await?;
    let sum = spent(tx, budget).await?.checked_add(max_cost);
    if sum.is_none_or(|sum| sum > budget.a_day) {
        return Err(ReplaceError::BudgetSpent);
    }
    take_back(tx, deed.faulty).await?;
    sqlx::query!(
        "-- store.fulfilment.replace.buy
        update order_units
           set state = 'NEW', faulty_key_id = $2, g2a_order_id = null, g2a_price = null, g2a_transaction_id = null,
               ordered_at = null, pay_asked_at = null, epoch = epoch + 1, worker = null, attempts = 0, refusals = 0,
               last_error = null, not_before = now()
         where id = $1",
        unit.0,
        deed.faulty.0
    )
    .execute(tx.conn())
    .await?;
    let details = json!({ "reason": deed.reason, "order": order, "unit": unit, "maxCost": max_cost });
    audit::record(
        tx,
        &deed.by,
        "key.buy_replacement",
        ("game_key", deed.faulty.0),
        details,
    )
    .await?;
    Ok(Replaced::Buying)
}

/// What another key of a unit's game may cost.
struct Offer {
    /// Its max cost, EUR; `None` if none is bought.
    max_cost: Option<Money>,
    /// Number of replacements that were bought for the unit.
    bought: i64,
}

async fn offer(tx: &mut Tx, unit: UnitId, budget: ReplacementBudget) -> Result<Offer> {
    let row = sqlx::query!(
        r#"-- store.fulfilment.replace.offer
        select i.price, g.g2a_product_id is not null and g.withdrawn_at is null as "is_at_g2a!",
               (select count(*) from g2a_orders o where o.order_unit_id = u.id and o.is_replacement and o.paid_at is not null)
                   as "bought!"
          from order_units u join order_items i on i.id = u.order_item_id join games g on g.id = u.game_id where u.id = $1"#,
        unit.0
    )
    .fetch_one(tx.conn())
    .await?;
    let price = money_of(row.price)?;
    let max_cost = price.checked_add(budget.allowed_loss).unwrap_or(price);
    Ok(Offer {
        max_cost: (row.is_at_g2a && budget.a_day.is_positive()).then_some(max_cost),
        bought: row.bought,
    })
}

/// What the budget has to cover now: what was paid for replacements within 24 hours, and the max cost of those that are being
/// bought, EUR.
async fn spent(tx: &mut Tx, budget: ReplacementBudget) -> Result<Money> {
    let sum = sqlx::query_scalar!(
        r#"-- store.fulfilment.replace.spent
        select (select coalesce(sum(i.price + $1), 0) from order_units u join order_items i on i.id = u.order_item_id
                 where u.faulty_key_id is not null)
               + (select coalesce(sum(g.price), 0) from g2a_orders g
                   where g.is_replacement and g.paid_at > now() - interval '24 hours'
                     and not exists (select from order_units u
                                      where u.g2a_order_id = g.g2a_order_id and u.faulty_key_id is not null)) as "spent!""#,
        budget.allowed_loss.decimal()
    )
    .fetch_one(tx.conn())
    .await?;
    money_of(sum)
}
