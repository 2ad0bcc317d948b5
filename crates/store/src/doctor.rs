//! Checks invariants of the data. The schema enforces them, but a restored backup or a superuser can bypass triggers.

use crate::{Result, Store};

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The invariant, in words.
    pub name: &'static str,
    /// Number of rows that violate it.
    pub rows: i64,
}

/// Defines [`broken_invariants`] from every invariant with the statement that counts the rows that violate it.
macro_rules! invariants {
    ($($id:literal: $name:literal => $statement:literal,)*) => {
        /// Returns the violated invariants; empty if all hold. Reads every row of the tables concerned.
        ///
        /// # Errors
        /// [`crate::StoreError::Unavailable`].
        pub async fn broken_invariants(store: &Store) -> Result<Vec<Broken>> {
            let mut broken = Vec::new();
            $(
                let rows = sqlx::query_scalar!(
                    "-- store.doctor." + $id + "\nselect (" + $statement + r#") as "rows!""#
                )
                .fetch_one(store.alone())
                .await?;
                if rows > 0 {
                    broken.push(Broken { name: $name, rows });
                }
            )*
            Ok(broken)
        }
    };
}

invariants! {
    "balances": "a balance is the sum of its completed transactions" =>
        "select count(*) from users u left join (
                select user_id, sum(amount) as booked from transactions where status = 'COMPLETED' group by user_id) t
            on t.user_id = u.id where u.balance <> coalesce(t.booked, 0)",
    "negative_balances": "a balance is not negative" =>
        "select count(*) from users where balance < 0",
    "order_sums": "an order is the sum of its items" =>
        "select count(*) from orders o where o.subtotal <> coalesce(
            (select sum(price * quantity) from order_items i where i.order_id = o.id), 0) or o.total <> o.subtotal - o.discount",
    "excessive_refunds": "refunds never exceed what was paid" =>
        "select count(*) from (select order_id from transactions
            where order_id is not null and status = 'COMPLETED' group by order_id having sum(amount) > 0) r",
    "ended_orders": "an ended order has no unit in flight" =>
        "select count(*) from orders o where o.status in ('COMPLETED', 'FAILED', 'CANCELLED')
            and exists (select 1 from order_units u where u.order_id = o.id and u.state not in ('DONE', 'REFUNDED'))",
    "delivered_copies": "a copy is delivered if and only if it has its key" =>
        "select count(*) from order_units u
          where (u.state = 'DONE') <> exists (select 1 from game_keys k where k.order_unit_id = u.id)",
    "refunds": "what was refunded of an order is the price of its refunded copies, and goodwill" =>
        "select count(*) from (
                select order_id, sum(amount) as refunded from transactions
                 where type = 'REFUND' and status = 'COMPLETED' and order_id is not null group by order_id) t
            full join (
                select order_id, sum(case state when 'REFUNDED' then price_paid else goodwill end) as given_up
                  from order_units where state = 'REFUNDED' or goodwill <> 0 group by order_id) u on u.order_id = t.order_id
          where coalesce(t.refunded, 0) <> coalesce(u.given_up, 0)",
    "cancelled_payments": "the payment of an order is cancelled if and only if all of its money went back" =>
        "select count(*) from orders o left join (
                select order_id, sum(amount) as refunded from transactions
                 where type = 'REFUND' and status = 'COMPLETED' and order_id is not null group by order_id) t on t.order_id = o.id
          where (o.payment_status = 'CANCELLED') <> (
            o.status in ('FAILED', 'CANCELLED') or (o.total > 0 and coalesce(t.refunded, 0) = o.total))",
    "g2a_orders": "every order at G2A that a copy names is on record" =>
        "select count(*) from order_units u
          where u.g2a_order_id is not null and not exists (select 1 from g2a_orders g where g.g2a_order_id = u.g2a_order_id)",
    "g2a_stock": "stock is G2A's stock" =>
        "select count(*) from games where g2a_product_id is not null and in_stock <> g2a_stock",
    "own_stock": "the stock of the shop's own games is their unsold keys" =>
        "select count(*) from games g where g.g2a_product_id is null and g.in_stock <> (
            g.withdrawn_at is null and exists (
                select 1 from game_keys k where k.game_id = g.id and k.order_unit_id is null and not k.activated))",
    "catalog_totals": "the catalogue's totals are right" =>
        "select count(*) from (select sum(listed) as listed, sum(buyable) as buyable from catalog_totals) t,
            (select count(*) filter (where withdrawn_at is null) as listed,
                    count(*) filter (where withdrawn_at is null and in_stock and not is_preorder) as buyable from games) g
          where t.listed <> g.listed or t.buyable <> g.buyable",
    "search": "every game can be found by its words" =>
        "select count(*) from games g where not exists (select 1 from game_search s where s.game_id = g.id)",
    "user_totals": "the totals in every profile match the user's orders" =>
        "select count(*) from (select user_id, count(*) as orders,
                    coalesce(sum(discount) filter (where status = 'COMPLETED'), 0) as saved from orders group by user_id) o
            full join user_totals t on t.user_id = o.user_id
          where (o.orders, o.saved) is distinct from (t.orders, t.saved) and coalesce(o.orders, t.orders) <> 0",
    "promo_code_limits": "a promo code is not used more often than allowed" =>
        "select count(*) from promo_codes where used_count > max_uses",
    "promo_code_uses": "every order with a promo code counts as a use of it, unless all of its money went back" =>
        "select count(*) from promo_codes p where p.used_count < (
            select count(*) from orders o where o.promo_code = p.code and not o.promo_use_returned)",
}
