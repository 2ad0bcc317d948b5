//! Orders.

use std::collections::HashMap;

use lockstep_domain::admin::{
    MASKED_KEY, OrderDetail, OrderDetailGame, OrderDetailItem, OrderList, OrderRow, OrderRowItem, Page, UnitDetail,
};
use lockstep_domain::ids::OrderId;
use lockstep_domain::order::OrderStatus;
use uuid::Uuid;

use super::transactions::of_order;
use super::{bounds, user_brief};
use crate::row::{count_of, how_many_of, money_of, nickname_of, order_status_of, payment_status_of};
use crate::{Result, Tx};

/// Orders, newest first; of one status, if given.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, status: Option<OrderStatus>, page: Page) -> Result<OrderList> {
    let (limit, offset) = bounds(page);
    let status = status.map(OrderStatus::as_str);
    let rows = sqlx::query!(
        r#"-- store.admin.orders.list
        select o.id, u.email, u.nickname, o.total, o.status::text as "status!", o.created_at
          -- Rows before the page are passed in the index alone.
          from (select p.id from orders p where $1::text::order_status is null or p.status = $1::text::order_status
                 order by p.created_at desc, p.id desc limit $2 offset $3) page
          join orders o on o.id = page.id join users u on u.id = o.user_id
         order by o.created_at desc, o.id desc"#,
        status,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let total = sqlx::query_scalar!(
        r#"-- store.admin.orders.count
        select coalesce(case
                   -- Nearly all orders have come or are completed: those are counted as they happen.
                   when $1::text is null then (select sum(orders)::bigint from sales_sums where at = '-infinity')
                   when $1 = 'COMPLETED' then (select sum(completed)::bigint from sales_sums where at = '-infinity')
                   else (select count(*) from orders where status = $1::text::order_status) end, 0) as "count!""#,
        status
    )
    .fetch_one(tx.uncached())
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut items = items_in_list(tx, &ids).await?;
    let orders = rows
        .into_iter()
        .map(|row| {
            let id = row.id;
            let (copies, items) = items.remove(&id).unwrap_or_default();
            Ok(OrderRow {
                id,
                user_email: row.email,
                user_nickname: nickname_of(row.nickname),
                total: money_of(row.total)?,
                status: order_status_of(&row.status)?,
                items_count: copies,
                items,
                created_at: row.created_at,
            })
        })
        .collect::<Result<_>>()?;
    Ok(OrderList {
        orders,
        paging: page.of(how_many_of(total)),
    })
}

/// Number of units, and the items, by order.
async fn items_in_list(tx: &mut Tx, orders: &[Uuid]) -> Result<HashMap<Uuid, (u64, Vec<OrderRowItem>)>> {
    let rows = sqlx::query!(
        r#"-- store.admin.orders.items_in_list
        select i.order_id, i.quantity, i.price, g.title,
               exists (select 1 from order_units u join game_keys k on k.order_unit_id = u.id
                        where u.order_item_id = i.id and u.order_id = i.order_id) as "has_key!"
          from order_items i join games g on g.id = i.game_id where i.order_id = any($1) order by i.id"#,
        orders
    )
    .fetch_all(tx.conn())
    .await?;
    let mut items: HashMap<Uuid, (u64, Vec<OrderRowItem>)> = HashMap::new();
    for row in rows {
        let (copies, items) = items.entry(row.order_id).or_default();
        *copies += u64::from(count_of(row.quantity)?);
        items.push(OrderRowItem {
            game_title: row.title,
            price: money_of(row.price)?,
            key: row.has_key.then_some(MASKED_KEY),
        });
    }
    Ok(items)
}

/// An order with its items, units and booking.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn detail(tx: &mut Tx, id: OrderId) -> Result<Option<OrderDetail>> {
    let row = sqlx::query!(
        r#"-- store.admin.orders.detail
        select o.id, o.user_id, u.email, u.nickname, u.first_name, u.last_name, o.status::text as "status!", o.subtotal,
               o.discount, o.total, o.payment_method, o.payment_status::text as payment_status, o.promo_code,
               o.external_order_id, o.created_at, o.completed_at
          from orders o join users u on u.id = o.user_id where o.id = $1"#,
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(OrderDetail {
        id: row.id,
        user_id: row.user_id,
        user: user_brief!(row),
        status: order_status_of(&row.status)?,
        subtotal: money_of(row.subtotal)?,
        discount: money_of(row.discount)?,
        total: money_of(row.total)?,
        payment_method: row.payment_method,
        payment_status: row.payment_status.as_deref().map(payment_status_of).transpose()?,
        promo_code: row.promo_code,
        external_order_id: row.external_order_id,
        created_at: row.created_at,
        completed_at: row.completed_at,
        items: items(tx, id).await?,
        units: units(tx, id).await?,
        transaction: of_order(tx, id).await?,
    }))
}

async fn items(tx: &mut Tx, order: OrderId) -> Result<Vec<OrderDetailItem>> {
    let rows = sqlx::query!(
        r#"-- store.admin.orders.items
        select i.id, i.game_id, i.quantity, i.price, i.discount, g.title, g.slug, g.image, g.price as price_now,
               coalesce(k.keys, 0) > 0 as "has_key!", k.keys > 0 and k.keys = k.activated as "all_activated!"
          from order_items i join games g on g.id = i.game_id
          left join lateral (select count(*) as keys, count(*) filter (where k.activated) as activated
                               from order_units u join game_keys k on k.order_unit_id = u.id
                              where u.order_item_id = i.id and u.order_id = i.order_id) k on true
         where i.order_id = $1 order by i.id"#,
        order.0
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let game_id = row.game_id;
            Ok(OrderDetailItem {
                id: row.id,
                game_id,
                game: OrderDetailGame {
                    id: game_id,
                    title: row.title,
                    slug: row.slug,
                    image: row.image,
                    price: money_of(row.price_now)?,
                },
                quantity: count_of(row.quantity)?,
                price: money_of(row.price)?,
                discount: money_of(row.discount)?,
                key: row.has_key.then_some(MASKED_KEY),
                key_activated: row.all_activated,
            })
        })
        .collect()
}

async fn units(tx: &mut Tx, order: OrderId) -> Result<Vec<UnitDetail>> {
    let rows = sqlx::query!(
        "-- store.admin.orders.units
        select id, order_item_id, position, state, price_paid, g2a_price, g2a_order_id, goodwill, refunded_for, faulty_key_id,
               last_error, updated_at
          from order_units where order_id = $1 order by order_item_id, position",
        order.0
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(UnitDetail {
                id: row.id,
                item_id: row.order_item_id,
                position: count_of(row.position)?,
                state: row.state,
                price_paid: money_of(row.price_paid)?,
                g2a_price: row.g2a_price.map(money_of).transpose()?,
                g2a_order_id: row.g2a_order_id,
                goodwill: money_of(row.goodwill)?,
                refunded_for: row.refunded_for,
                faulty_key_id: row.faulty_key_id,
                last_error: row.last_error,
                updated_at: row.updated_at,
            })
        })
        .collect()
}
