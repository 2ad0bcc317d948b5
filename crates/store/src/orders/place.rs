//! Checkout: one transaction from the prices in the database to a paid order.
//!
//! The shopper's row is locked first, so the orders of one shopper are serialised and an idempotency key is looked up
//! after its earlier user has committed. The balance is taken by an update that matches no row if it is too low. The
//! database counts a promo code's uses when the order is written, within the code's limit.

use std::sync::Arc;
use std::time::Duration;

use lockstep_domain::Money;
use lockstep_domain::cart::Principal;
use lockstep_domain::checkout::{Bill, BillItem, Checkout, bill};
use lockstep_domain::consent::Consent;
use lockstep_domain::email_template::{EmailTemplate, OrderedLine};
use lockstep_domain::ids::{GameId, OrderId, UserId};
use lockstep_domain::order::OrderStatus;
use lockstep_domain::purchase::{OrderItem, OrderUnit, OrderUnitStatus, OrderView, OrderedGame, PaymentStatus};
use lockstep_failpoint::failpoint;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::consents;
use super::promo::{Promo, PromoFault, PromoRefusal, promo};
use crate::idempotency::Idempotency;
use crate::row::{money_of, nickname_of};
use crate::{AsStoreError, Result, Store, StoreError, Subject, Tx, guests, mail, vat};

/// How long an order confirmation is worth sending.
const NOTICE: Duration = Duration::from_hours(72);

/// The payment method of orders.
const BALANCE: &str = "BALANCE";

/// A placed order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// Placed by this call.
    Now(Box<OrderView>),
    /// Placed earlier under the same idempotency key.
    Before(OrderId),
}

/// Why no order was placed; then nothing has changed. The messages are those of the HTTP contract (`docs/http-api.md`).
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A game that is not in the shop.
    #[error("Game not found: {0}")]
    NoSuchGame(GameId),
    /// A game that cannot be bought at the moment.
    #[error("{title} is out of stock")]
    OutOfStock {
        /// The game.
        game: GameId,
        /// Its title.
        title: String,
    },
    /// The promo code cannot be used. Callers are given no reason: it would help to guess codes.
    #[error("Invalid promo code")]
    PromoCode(PromoFault),
    /// With the promo code this game would be sold below its cost.
    #[error("Invalid promo code: it is not available for {title}")]
    PromoBelowCost {
        /// Title of the game.
        title: String,
    },
    /// The promo code holds for none of the games.
    #[error("Invalid promo code: it is not available for these games")]
    PromoNotHere,
    /// The promo code needs a larger order.
    #[error("Invalid promo code: it needs an order of at least {least} EUR")]
    PromoMinimum {
        /// The least subtotal.
        least: Money,
    },
    /// The promo code is for customers who have not ordered yet.
    #[error("Invalid promo code: it is for a first order only")]
    PromoFirstOrder,
    /// The total has risen since it was shown to the shopper.
    #[error("The price has risen from {expected} to {total} EUR. Check your order and confirm the new price.")]
    PriceRisen {
        /// The total that was shown.
        expected: Money,
        /// The current total.
        total: Money,
    },
    /// The balance is less than the total.
    #[error("Insufficient balance: {total} EUR are needed")]
    InsufficientBalance {
        /// The required amount.
        total: Money,
    },
    /// The order's total exceeds the chargeable maximum.
    #[error("The total of this order is too high. Order fewer copies.")]
    TooMuch,
    /// The idempotency key was used for another order.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The account does not exist.
    #[error("Account not found")]
    NoSuchUser,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AsStoreError for PlaceError {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PromoRefusal> for PlaceError {
    fn from(refusal: PromoRefusal) -> Self {
        match refusal {
            PromoRefusal::Fault(fault) => Self::PromoCode(fault),
            PromoRefusal::FirstOrder => Self::PromoFirstOrder,
            PromoRefusal::Store(error) => Self::Store(error),
        }
    }
}

impl From<sqlx::Error> for PlaceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Places an order for `user` and takes its total from the balance, all or nothing.
///
/// A repetition with the same idempotency key and the same order changes nothing and returns the id of the existing
/// order.
///
/// # Errors
/// [`PlaceError`]; then nothing has changed.
pub async fn place(
    store: &Store,
    user: UserId,
    checkout: &Checkout,
    idempotency: Option<&Idempotency>,
) -> Result<Placed, PlaceError> {
    let asked = Arc::new((checkout.clone(), idempotency.cloned()));
    let about: Vec<Subject<'_>> = [user.into()]
        .into_iter()
        .chain(checkout.items().iter().map(|item| item.game.into()))
        .chain(checkout.promo_code().map(Subject::Named))
        .collect();
    store
        .tx_about("orders.place", &about, move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move { place_once(tx, user, &asked.0, asked.1.as_ref()).await })
        })
        .await
        .map_err(PlaceError::named)
}

impl PlaceError {
    /// The refusal that a violated constraint means.
    #[must_use]
    pub(crate) fn named(self) -> Self {
        match self.as_store_error().and_then(StoreError::constraint) {
            // Another order took the last use between the read and the write.
            Some("promo_codes_uses_within_limit" | "promo_codes_uses_per_customer") => {
                Self::PromoCode(PromoFault::UsedUp)
            }
            Some("promo_codes_first_order") => Self::PromoFirstOrder,
            Some("orders_promo_code_fkey") => Self::PromoCode(PromoFault::Unknown),
            _ => self,
        }
    }
}

/// The current price of an order of `user` with its promo code. Nothing is written or reserved: the expected total of the order
/// itself protects the shopper.
///
/// # Errors
/// [`PlaceError`], for everything that would prevent the order, except the balance.
pub async fn quote(store: &Store, user: UserId, checkout: &Checkout) -> Result<Bill, PlaceError> {
    let checkout = Arc::new(checkout.clone());
    store
        .tx("orders.quote", move |tx| {
            let checkout = Arc::clone(&checkout);
            Box::pin(async move { price(tx, user, &checkout).await })
        })
        .await
}

/// The same in a transaction.
///
/// # Errors
/// Those of [`quote`].
pub(crate) async fn price(tx: &mut Tx, user: UserId, checkout: &Checkout) -> Result<Bill, PlaceError> {
    let games = games(tx, checkout).await?;
    let promo = promo(tx, user, checkout).await?;
    add_up(checkout, &games, promo.as_ref())
}

/// Places an order in a transaction, which has to be rolled back after an error ([`PlaceError::named`] says which).
///
/// # Errors
/// Those of [`place`].
pub(crate) async fn place_once(
    tx: &mut Tx,
    user: UserId,
    checkout: &Checkout,
    idempotency: Option<&Idempotency>,
) -> Result<Placed, PlaceError> {
    guests::lock(tx, Principal::User(user))
        .await?
        .ok_or(PlaceError::NoSuchUser)?;
    if let Some(key) = idempotency
        && let Some(order) = placed_before(tx, user, key, checkout).await?
    {
        return Ok(Placed::Before(order));
    }
    let games = games(tx, checkout).await?;
    let promo = promo(tx, user, checkout).await?;
    let bill = add_up(checkout, &games, promo.as_ref())?;
    if let Some(expected) = checkout.expected_total()
        && bill.total > expected
    {
        return Err(PlaceError::PriceRisen {
            expected,
            total: bill.total,
        });
    }
    failpoint!("checkout.take.before");
    let payer = take(tx, user, bill.total).await?;
    failpoint!("checkout.take.after");
    let order = write(tx, user, checkout, idempotency, &games, &bill).await?;
    failpoint!("checkout.written");
    settle_cart_and_money(tx, &order, checkout).await?;
    vat::freeze(tx, user, order.id, checkout.ip_country()).await?;
    failpoint!("checkout.booked");
    let template = EmailTemplate::OrderReceived {
        nickname: payer.nickname,
        order: order.id.to_string(),
        number: Some(order.number.clone()),
        total: order.total,
        discount: Some(order.discount),
        lines: order
            .items
            .iter()
            .map(|line| OrderedLine {
                title: line.game.title.clone(),
                quantity: line.quantity,
                price: Some(line.price),
            })
            .collect(),
        consent: checkout
            .consent()
            .and_then(Consent::wording)
            .map(|wording| wording.text.to_owned()),
        needs_consent: order.needs_consent,
    };
    mail::enqueue(tx, user, &payer.email, &template, NOTICE).await?;
    failpoint!("checkout.commit.before");
    Ok(Placed::Now(Box::new(order)))
}

/// Computes the bill. A promo code that does not fit the order, or that would sell a unit below its cost if the order
/// protects the cost, is refused.
fn add_up(checkout: &Checkout, games: &[Bought], promo: Option<&Promo>) -> Result<Bill, PlaceError> {
    let items: Vec<BillItem> = games
        .iter()
        .map(|bought| BillItem {
            price: bought.price,
            quantity: bought.quantity,
            is_reduced: promo.is_some_and(|promo| promo.games.contains(&bought.game.id.0)),
        })
        .collect();
    let bill = bill(&items, promo.map(|promo| promo.reduction)).ok_or(PlaceError::TooMuch)?;
    let Some(promo) = promo else { return Ok(bill) };
    if !items.iter().any(|item| item.is_reduced) {
        return Err(PlaceError::PromoNotHere);
    }
    if let Some(least) = promo.min_order.filter(|least| bill.subtotal < *least) {
        return Err(PlaceError::PromoMinimum { least });
    }
    let below_cost = games
        .iter()
        .zip(&items)
        .zip(&bill.lines)
        .find(|((bought, item), line)| {
            item.is_reduced
                && bought.is_suppliers
                && line
                    .copies
                    .iter()
                    .any(|paid| checkout.is_below(bought.cost, bought.listed, *paid))
        });
    match below_cost {
        Some(((bought, _), _)) => Err(PlaceError::PromoBelowCost {
            title: bought.game.title.clone(),
        }),
        None => Ok(bill),
    }
}

/// The order that `user` has placed with this key.
///
/// # Errors
/// [`PlaceError::KeyReused`] if it was another one.
pub(crate) async fn placed_before(
    tx: &mut Tx,
    user: UserId,
    key: &Idempotency,
    checkout: &Checkout,
) -> Result<Option<OrderId>, PlaceError> {
    let found = sqlx::query!(
        r#"-- store.orders.place.before
        select id, request_hash = $3 as "same!" from orders where user_id = $1 and idempotency_key = $2"#,
        user.0,
        key.as_str(),
        &checkout.digest()[..]
    )
    .fetch_optional(tx.conn())
    .await?;
    match found {
        None => Ok(None),
        Some(row) if row.same => Ok(Some(OrderId(row.id))),
        Some(_) => Err(PlaceError::KeyReused),
    }
}

/// A game of the order with its current data.
struct Bought {
    game: OrderedGame,
    price: Money,
    /// The price that follows from the supplier's, from which its cost is inferred; `price` unless staff have set another.
    listed: Money,
    /// What the supplier asks, as far as it is known, EUR.
    cost: Option<Decimal>,
    quantity: u32,
    /// Bought at the supplier, so its price includes a cost.
    is_suppliers: bool,
}

/// Reads the games, in the order of the checkout. Their rows are protected from deletion, as the order's items would do
/// anyway; a price that changes at the same time is the old or the new one. A price in another currency than the euro
/// cannot be paid from a balance.
async fn games(tx: &mut Tx, checkout: &Checkout) -> Result<Vec<Bought>, PlaceError> {
    let ids: Vec<Uuid> = checkout.items().iter().map(|item| item.game.0).collect();
    let rows = sqlx::query!(
        r#"-- store.orders.place.games
        select id, title, slug, image, price, coalesce(g2a_price, price) as "listed!",
               case when g2a_asked_at > now() - interval '1 day'
                    -- Of a record without the cost, it is inferred from the price.
                    then case when g2a_asked_cost is not null then greatest(supplier_price, g2a_asked_cost) end
                    else supplier_price end as cost,
               (in_stock or is_preorder and 'in_stock' <> all (fields_by_hand)
                            -- At staff's price G2A does not sell it, as an order has shown.
                            and ('price' <> all (fields_by_hand) or coalesce(g2a_asked_price, 0) <= price))
               and currency = 'EUR' as "sold!",
               g2a_product_id is not null as "is_suppliers!" from games
         where id = any($1) and withdrawn_at is null order by id for key share"#,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    checkout
        .items()
        .iter()
        .map(|item| {
            let row = rows
                .iter()
                .find(|row| row.id == item.game.0)
                .ok_or(PlaceError::NoSuchGame(item.game))?;
            let title = row.title.clone();
            if !row.sold {
                return Err(PlaceError::OutOfStock { game: item.game, title });
            }
            Ok(Bought {
                price: money_of(row.price)?,
                listed: money_of(row.listed)?,
                cost: row.cost,
                quantity: item.quantity,
                is_suppliers: row.is_suppliers,
                game: OrderedGame {
                    id: item.game,
                    title,
                    image: row.image.clone(),
                    slug: row.slug.clone(),
                },
            })
        })
        .collect()
}

struct Payer {
    email: String,
    nickname: String,
}

/// Takes `total` from the balance if it is high enough.
async fn take(tx: &mut Tx, user: UserId, total: Money) -> Result<Payer, PlaceError> {
    let row = sqlx::query!(
        "-- store.orders.place.take
        update users set balance = balance - $2 where id = $1 and balance >= $2 and deleted_at is null
        returning email, nickname",
        user.0,
        total.decimal()
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(PlaceError::InsufficientBalance { total })?;
    Ok(Payer {
        email: row.email,
        nickname: nickname_of(row.nickname),
    })
}

/// Writes the order with its items and units.
async fn write(
    tx: &mut Tx,
    user: UserId,
    checkout: &Checkout,
    idempotency: Option<&Idempotency>,
    games: &[Bought],
    bill: &Bill,
) -> Result<OrderView, PlaceError> {
    let id = OrderId(Uuid::now_v7());
    let placed = sqlx::query!(
        "-- store.orders.place.order
        insert into orders (id, user_id, subtotal, discount, total, payment_method, payment_status, promo_code,
                            idempotency_key, request_hash, asks_consent)
        values ($1, $2, $3, $4, $5, $6, 'COMPLETED', $7, $8, $9, true) returning number, created_at",
        id.0,
        user.0,
        bill.subtotal.decimal(),
        bill.discount.decimal(),
        bill.total.decimal(),
        BALANCE,
        checkout.promo_code(),
        idempotency.map(Idempotency::as_str),
        idempotency.map(|_| checkout.digest().to_vec())
    )
    .fetch_one(tx.conn())
    .await?;
    if let Some(consent) = checkout.consent() {
        consents::record(tx, id, consent).await?;
    }
    let mut items = Vec::with_capacity(games.len());
    let mut copies = Vec::new();
    let mut lines_of_copies = Vec::new();
    for (bought, line) in games.iter().zip(&bill.lines) {
        let item = Uuid::now_v7();
        for (position, paid) in (1_u32..).zip(&line.copies) {
            lines_of_copies.push(item);
            copies.push(OrderUnit {
                id: Uuid::now_v7(),
                game_id: bought.game.id,
                position,
                state: OrderUnitStatus::Waiting,
                price: *paid,
                refunded: Money::ZERO,
                refund_reason: None,
                key_id: None,
            });
        }
        items.push(OrderItem {
            id: item,
            game_id: bought.game.id,
            quantity: bought.quantity,
            price: bought.price,
            discount: line.discount,
            game: bought.game.clone(),
        });
    }
    let lines: Vec<Uuid> = items.iter().map(|line| line.id).collect();
    let lines_of_games: Vec<Uuid> = items.iter().map(|line| line.game_id.0).collect();
    let quantities: Vec<i32> = items.iter().map(|line| number(line.quantity)).collect();
    let prices: Vec<Decimal> = items.iter().map(|line| line.price.decimal()).collect();
    let discounts: Vec<Decimal> = items.iter().map(|line| line.discount.decimal()).collect();
    let units: Vec<Uuid> = copies.iter().map(|copy| copy.id).collect();
    let units_of_games: Vec<Uuid> = copies.iter().map(|copy| copy.game_id.0).collect();
    let positions: Vec<i32> = copies.iter().map(|copy| number(copy.position)).collect();
    let paid: Vec<Decimal> = copies.iter().map(|copy| copy.price.decimal()).collect();
    // Foreign keys are checked at the end of the statement, so one statement can write both.
    sqlx::query!(
        "-- store.orders.place.lines
        with items as (
            insert into order_items (order_id, id, game_id, quantity, price, discount)
            select $1, * from unnest($2::uuid[], $3::uuid[], $4::integer[], $5::numeric[], $6::numeric[]))
        insert into order_units (order_id, id, order_item_id, game_id, position, price_paid)
        select $1, * from unnest($7::uuid[], $8::uuid[], $9::uuid[], $10::integer[], $11::numeric[])",
        id.0,
        &lines,
        &lines_of_games,
        &quantities,
        &prices,
        &discounts,
        &units,
        &lines_of_copies,
        &units_of_games,
        &positions,
        &paid
    )
    .execute(tx.conn())
    .await?;
    Ok(OrderView {
        id,
        number: placed.number,
        user_id: user,
        status: OrderStatus::Pending,
        subtotal: bill.subtotal,
        discount: bill.discount,
        total: bill.total,
        refunded: Money::ZERO,
        payment_method: Some(BALANCE.into()),
        payment_status: Some(PaymentStatus::Completed),
        promo_code: checkout.promo_code().map(str::to_owned),
        created_at: placed.created_at,
        completed_at: None,
        items,
        copies,
        keys: Vec::new(),
        needs_consent: checkout.consent().is_none(),
    })
}

/// A summary of the order in one line: titles, with quantities above one.
fn subject(order: &OrderView) -> Option<String> {
    /// Maximum number of characters in a booking.
    const MOST: usize = 300;
    let lines = order.items.iter().map(|line| match line.quantity {
        1 => line.game.title.clone(),
        more => format!("{more} × {}", line.game.title),
    });
    let text = lines.collect::<Vec<_>>().join(", ");
    let short = match text.char_indices().nth(MOST) {
        Some(_) => text.chars().take(MOST - 1).chain(['…']).collect(),
        None => text,
    };
    Some(short).filter(|text| !text.is_empty())
}

/// Books the purchase and removes the purchased quantities from the cart, and items that reach zero.
async fn settle_cart_and_money(tx: &mut Tx, order: &OrderView, checkout: &Checkout) -> Result<(), PlaceError> {
    let games: Vec<Uuid> = checkout.items().iter().map(|item| item.game.0).collect();
    let quantities: Vec<i32> = checkout.items().iter().map(|item| number(item.quantity)).collect();
    sqlx::query!(
        "-- store.orders.place.settle
        with bought as (select * from unnest($4::uuid[], $5::integer[]) as b (game_id, quantity)),
        gone as (
            delete from cart_items c using bought b
             where c.user_id = $2 and c.game_id = b.game_id and c.quantity <= b.quantity),
        fewer as (
            update cart_items c set quantity = c.quantity - b.quantity from bought b
             where c.user_id = $2 and c.game_id = b.game_id and c.quantity > b.quantity)
        insert into transactions (id, order_id, user_id, type, amount, method, status, description, subject)
        values ($6, $1, $2, 'PURCHASE', $3, $7, 'COMPLETED', 'Order ' || $1::uuid::text, $8)",
        order.id.0,
        order.user_id.0,
        -order.total.decimal(),
        &games,
        &quantities,
        Uuid::now_v7(),
        BALANCE,
        subject(order)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Quantities are limited far below this.
fn number(quantity: u32) -> i32 {
    i32::try_from(quantity).unwrap_or(i32::MAX)
}
