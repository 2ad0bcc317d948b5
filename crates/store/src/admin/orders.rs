//! Orders.

use std::collections::HashMap;

use lockstep_domain::admin::{
    MASKED_KEY, OrderDetail, OrderDetailGame, OrderDetailItem, OrderList, OrderRow, OrderRowItem, Page, UnitDetail,
};
use lockstep_domain::ids::OrderId;
use lockstep_domain::order::OrderStatus;
use sqlx::Row as _;
use uuid::Uuid;

use super::transactions::of_order;
use super::{bounds, user_brief};
use crate::row::{count, how_many, money, money_or_null, nickname, order_status, payment_status_or_null};
use crate::{Result, Tx};

/// Orders, newest first; of one status, if given.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, status: Option<OrderStatus>, page: Page) -> Result<OrderList> {
    let (limit, offset) = bounds(page);
    let status = status.map(OrderStatus::as_str);
    let rows = sqlx::query(
        "-- store.admin.orders.list
        select o.id, u.email, u.nickname, o.total, o.status::text as status, o.created_at
          from orders o join users u on u.id = o.user_id
         where $1::order_status is null or o.status = $1::order_status
         order by o.created_at desc, o.id desc limit $2 offset $3",
    )
    .persistent(false)
    .bind(status)
    .bind(limit)
    .bind(offset)
    .fetch_all(tx.conn())
    .await?;
    let total = sqlx::query(
        "-- store.admin.orders.count
        select count(*) from orders where $1::order_status is null or status = $1::order_status",
    )
    .persistent(false)
    .bind(status)
    .fetch_one(tx.conn())
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    let mut items = items_in_list(tx, &ids).await?;
    let orders = rows
        .iter()
        .map(|row| {
            let id: Uuid = row.try_get("id")?;
            let (copies, items) = items.remove(&id).unwrap_or_default();
            Ok(OrderRow {
                id,
                user_email: row.try_get("email")?,
                user_nickname: nickname(row)?,
                total: money(row, "total")?,
                status: order_status(row, "status")?,
                items_count: copies,
                items,
                created_at: row.try_get("created_at")?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(OrderList {
        orders,
        paging: page.of(how_many(&total, 0)?),
    })
}

/// Number of units, and the items, by order.
async fn items_in_list(tx: &mut Tx, orders: &[Uuid]) -> Result<HashMap<Uuid, (u64, Vec<OrderRowItem>)>> {
    let rows = sqlx::query(
        "-- store.admin.orders.items_in_list
        select i.order_id, i.quantity, i.price, g.title,
               exists (select 1 from order_units u join game_keys k on k.order_unit_id = u.id
                        where u.order_item_id = i.id and u.order_id = i.order_id) as has_key
          from order_items i join games g on g.id = i.game_id where i.order_id = any($1) order by i.id",
    )
    .bind(orders)
    .fetch_all(tx.conn())
    .await?;
    let mut items: HashMap<Uuid, (u64, Vec<OrderRowItem>)> = HashMap::new();
    for row in &rows {
        let (copies, items) = items.entry(row.try_get("order_id")?).or_default();
        *copies += u64::from(count(row, "quantity")?);
        items.push(OrderRowItem {
            game_title: row.try_get("title")?,
            price: money(row, "price")?,
            key: row.try_get::<bool, _>("has_key")?.then_some(MASKED_KEY),
        });
    }
    Ok(items)
}

/// An order with its items, units and booking.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn detail(tx: &mut Tx, id: OrderId) -> Result<Option<OrderDetail>> {
    let row = sqlx::query(
        "-- store.admin.orders.detail
        select o.id, o.user_id, u.email, u.nickname, u.first_name, u.last_name, o.status::text as status, o.subtotal,
               o.discount, o.total, o.payment_method, o.payment_status::text as payment_status, o.promo_code,
               o.external_order_id, o.created_at, o.completed_at
          from orders o join users u on u.id = o.user_id where o.id = $1",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(OrderDetail {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        user: user_brief(&row)?,
        status: order_status(&row, "status")?,
        subtotal: money(&row, "subtotal")?,
        discount: money(&row, "discount")?,
        total: money(&row, "total")?,
        payment_method: row.try_get("payment_method")?,
        payment_status: payment_status_or_null(&row, "payment_status")?,
        promo_code: row.try_get("promo_code")?,
        external_order_id: row.try_get("external_order_id")?,
        created_at: row.try_get("created_at")?,
        completed_at: row.try_get("completed_at")?,
        items: items(tx, id).await?,
        units: units(tx, id).await?,
        transaction: of_order(tx, id).await?,
    }))
}

async fn items(tx: &mut Tx, order: OrderId) -> Result<Vec<OrderDetailItem>> {
    let rows = sqlx::query(
        "-- store.admin.orders.items
        select i.id, i.game_id, i.quantity, i.price, i.discount, g.title, g.slug, g.image, g.price as price_now,
               coalesce(k.keys, 0) > 0 as has_key, coalesce(k.keys = k.activated, false) as all_activated
          from order_items i join games g on g.id = i.game_id
          left join lateral (select count(*) as keys, count(*) filter (where k.activated) as activated
                               from order_units u join game_keys k on k.order_unit_id = u.id
                              where u.order_item_id = i.id and u.order_id = i.order_id) k on true
         where i.order_id = $1 order by i.id",
    )
    .bind(order.0)
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            let game_id: Uuid = row.try_get("game_id")?;
            Ok(OrderDetailItem {
                id: row.try_get("id")?,
                game_id,
                game: OrderDetailGame {
                    id: game_id,
                    title: row.try_get("title")?,
                    slug: row.try_get("slug")?,
                    image: row.try_get("image")?,
                    price: money(row, "price_now")?,
                },
                quantity: count(row, "quantity")?,
                price: money(row, "price")?,
                discount: money(row, "discount")?,
                key: row.try_get::<bool, _>("has_key")?.then_some(MASKED_KEY),
                key_activated: row.try_get("all_activated")?,
            })
        })
        .collect()
}

async fn units(tx: &mut Tx, order: OrderId) -> Result<Vec<UnitDetail>> {
    let rows = sqlx::query(
        "-- store.admin.orders.units
        select id, order_item_id, position, state, price_paid, g2a_price, g2a_order_id, goodwill, refunded_for, last_error,
               updated_at
          from order_units where order_id = $1 order by order_item_id, position",
    )
    .bind(order.0)
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(UnitDetail {
                id: row.try_get("id")?,
                item_id: row.try_get("order_item_id")?,
                position: count(row, "position")?,
                state: row.try_get("state")?,
                price_paid: money(row, "price_paid")?,
                g2a_price: money_or_null(row, "g2a_price")?,
                g2a_order_id: row.try_get("g2a_order_id")?,
                goodwill: money(row, "goodwill")?,
                refunded_for: row.try_get("refunded_for")?,
                last_error: row.try_get("last_error")?,
                updated_at: row.try_get("updated_at")?,
            })
        })
        .collect()
}
