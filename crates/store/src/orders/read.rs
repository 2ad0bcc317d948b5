//! Orders, as their owner sees them. The text of keys is never read here, so cached data contains none.

use std::collections::HashMap;

use lockstep_domain::Money;
use lockstep_domain::ids::{GameId, OrderId, UserId};
use lockstep_domain::order::UnitState;
use lockstep_domain::purchase::{KeyView, OrderItem, OrderUnit, OrderUnitStatus, OrderView, OrderedGame};
use uuid::Uuid;

use crate::row::{count_of, money_of, order_status_of, payment_status_of, refund_reason_of, unit_state_of};
use crate::{Result, StoreError, Tx};

/// Maximum number of orders in one list.
pub const MAX_LISTED: u32 = 100;

/// The order, for any caller: compare [`OrderView::user_id`] with the caller. Cache it under `order:{id}` with
/// [`OrderView::tags`].
///
/// # Errors
/// [`StoreError`].
pub async fn by_id(tx: &mut Tx, id: OrderId) -> Result<Option<OrderView>> {
    Ok(views(tx, &[id.0]).await?.pop())
}

/// The user's order with this number, as people write it: in any case, with spaces or dashes, and with letters mistaken
/// for digits.
///
/// # Errors
/// [`StoreError`].
pub async fn by_number(tx: &mut Tx, user: UserId, number: &str) -> Result<Option<OrderId>> {
    let number = typed_number(number);
    let id: Option<Uuid> = sqlx::query_scalar!(
        "-- store.orders.by_number\nselect id from orders where number = $1 and user_id = $2",
        number,
        user.0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id.map(OrderId))
}

/// An order number as it is stored, from what people write.
pub(crate) fn typed_number(typed: &str) -> String {
    typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .take(20)
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        })
        .filter(char::is_ascii_alphanumeric)
        .collect()
}

/// Orders of a user, newest first: at most [`MAX_LISTED`], after the first `skip`.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, user: UserId, skip: u32, most: u32) -> Result<Vec<OrderView>> {
    let ids: Vec<Uuid> = sqlx::query_scalar!(
        "-- store.orders.list
        select id from orders where user_id = $1 order by created_at desc, id desc offset $2 limit $3",
        user.0,
        i64::from(skip),
        i64::from(most.min(MAX_LISTED))
    )
    .fetch_all(tx.conn())
    .await?;
    views(tx, &ids).await
}

/// The orders `ids`, in that order, without unknown ones.
async fn views(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<OrderView>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"-- store.orders.views
        select o.id, o.number, o.user_id, o.status::text as "status!", o.subtotal, o.discount, o.total, o.payment_method,
               o.payment_status::text as payment_status, o.promo_code, o.created_at, o.completed_at,
               not exists (select from order_consents c where c.order_id = o.id) as "needs_consent!"
          from unnest($1::uuid[]) with ordinality as wanted (id, place) join orders o on o.id = wanted.id
         order by wanted.place"#,
        ids
    )
    .fetch_all(tx.conn())
    .await?;
    let mut items = lines(tx, ids).await?;
    let (mut copies, mut keys) = copies(tx, ids).await?;
    rows.into_iter()
        .map(|row| {
            let id = row.id;
            let copies = copies.remove(&id).unwrap_or_default();
            let refunded = copies
                .iter()
                .try_fold(Money::ZERO, |sum, copy: &OrderUnit| sum.checked_add(copy.refunded))
                .ok_or_else(|| StoreError::Schema("refunds add up to more than can be".into()))?;
            Ok(OrderView {
                id: OrderId(id),
                number: row.number,
                user_id: UserId(row.user_id),
                status: order_status_of(&row.status)?,
                subtotal: money_of(row.subtotal)?,
                discount: money_of(row.discount)?,
                total: money_of(row.total)?,
                refunded,
                payment_method: row.payment_method,
                payment_status: row.payment_status.as_deref().map(payment_status_of).transpose()?,
                promo_code: row.promo_code,
                created_at: row.created_at,
                completed_at: row.completed_at,
                items: items.remove(&id).unwrap_or_default(),
                copies,
                keys: keys.remove(&id).unwrap_or_default(),
                needs_consent: row.needs_consent,
            })
        })
        .collect()
}

/// Items by order.
async fn lines(tx: &mut Tx, orders: &[Uuid]) -> Result<HashMap<Uuid, Vec<OrderItem>>> {
    let rows = sqlx::query!(
        "-- store.orders.lines
        select i.order_id, i.id, i.game_id, i.quantity, i.price, i.discount, g.title, g.image, g.slug
          from order_items i join games g on g.id = i.game_id where i.order_id = any($1) order by i.id",
        orders
    )
    .fetch_all(tx.conn())
    .await?;
    let mut lines: HashMap<Uuid, Vec<OrderItem>> = HashMap::new();
    for row in rows {
        let game = GameId(row.game_id);
        lines.entry(row.order_id).or_default().push(OrderItem {
            id: row.id,
            game_id: game,
            quantity: count_of(row.quantity)?,
            price: money_of(row.price)?,
            discount: money_of(row.discount)?,
            game: OrderedGame {
                id: game,
                title: row.title,
                image: row.image,
                slug: row.slug,
            },
        });
    }
    Ok(lines)
}

/// Units and their keys by order.
async fn copies(tx: &mut Tx, orders: &[Uuid]) -> Result<(HashMap<Uuid, Vec<OrderUnit>>, HashMap<Uuid, Vec<KeyView>>)> {
    let rows = sqlx::query!(
        r#"-- store.orders.copies
        select u.order_id, u.id, u.game_id, u.position, u.state, u.price_paid, u.goodwill, u.refunded_for,
               u.faulty_key_id is not null as "is_replaced!",
               k.id as "key_id?", k.is_file as "is_file?", k.activated as "activated?",
               k.activation_date as "activation_date?"
          from order_units u left join game_keys k on k.order_unit_id = u.id
         where u.order_id = any($1) order by u.order_item_id, u.position"#,
        orders
    )
    .fetch_all(tx.conn())
    .await?;
    let mut copies: HashMap<Uuid, Vec<OrderUnit>> = HashMap::new();
    let mut keys: HashMap<Uuid, Vec<KeyView>> = HashMap::new();
    for row in rows {
        let order = row.order_id;
        let game_id = GameId(row.game_id);
        let state = unit_state_of(&row.state)?;
        let price = money_of(row.price_paid)?;
        copies.entry(order).or_default().push(OrderUnit {
            id: row.id,
            game_id,
            position: count_of(row.position)?,
            state: if row.is_replaced {
                OrderUnitStatus::Replacing
            } else {
                state.into()
            },
            price,
            refunded: if state == UnitState::Refunded {
                price
            } else {
                money_of(row.goodwill)?
            },
            refund_reason: row.refunded_for.as_deref().map(refund_reason_of).transpose()?,
            key_id: row.key_id,
        });
        // Without a key, all its columns are null.
        if let (Some(id), Some(is_file), Some(activated)) = (row.key_id, row.is_file, row.activated) {
            keys.entry(order).or_default().push(KeyView {
                id,
                game_id,
                key: None,
                is_file,
                activated,
                activation_date: row.activation_date,
            });
        }
    }
    Ok((copies, keys))
}
