//! Counts violations of invariants of the data. The schema enforces them, but a restored backup or a superuser can bypass
//! triggers. [`verify`](crate::verify) names the rows.

use crate::{Result, Store, StoreError, Tx};

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The invariant, in words.
    pub name: &'static str,
    /// Number of rows that violate it.
    pub rows: i64,
}

/// An invariant, and the number of rows that violate it, if they could be counted.
#[derive(Debug)]
pub struct Checked {
    /// Its name, stable.
    pub id: &'static str,
    /// The invariant, in words.
    pub name: &'static str,
    /// How many rows violate it.
    pub broken: Result<i64>,
}

/// Time limit of each invariant: a count over a million rows takes a second or a few.
const PATIENCE: &str = "60s";

/// Defines [`check_without`] from every invariant with the statement that counts the rows that violate it.
macro_rules! invariants {
    ($($id:literal: $name:literal => $statement:literal,)*) => {
        /// Checks every invariant that is not named in `without`.
        pub(crate) async fn check_without(store: &Store, without: &[&str]) -> Vec<Checked> {
            let mut checked = Vec::new();
            $(if !without.contains(&$id) {
                let counted = store.read(|tx| Box::pin(async move {
                    patience(tx).await?;
                    Ok::<i64, StoreError>(
                        sqlx::query_scalar!("-- store.doctor." + $id + "\nselect (" + $statement + r#") as "rows!""#)
                            .fetch_one(tx.uncached())
                            .await?,
                    )
                }));
                checked.push(Checked { id: $id, name: $name, broken: counted.await.map(|read| read.value) });
            })*
            checked
        }
    };
}

/// Checks every invariant. Reads every row of the tables concerned. Each has a minute of its own: one that takes longer hides
/// nothing of the others.
pub async fn check(store: &Store) -> Vec<Checked> {
    check_without(store, &[]).await
}

/// Gives the statements of a transaction [`PATIENCE`].
pub(crate) async fn patience(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        "-- store.doctor.patience\nselect set_config('statement_timeout', $1, true)",
        PATIENCE
    )
    .fetch_one(tx.uncached())
    .await?;
    Ok(())
}

/// Returns the violated invariants; empty if all hold. Reads every row of the tables concerned.
///
/// # Errors
/// [`StoreError`], when one could not be checked.
pub async fn broken_invariants(store: &Store) -> Result<Vec<Broken>> {
    let mut broken = Vec::new();
    for Checked { name, broken: rows, .. } in check(store).await {
        let rows = rows?;
        if rows > 0 {
            broken.push(Broken { name, rows });
        }
    }
    Ok(broken)
}

invariants! {
    "balances": "a balance is the sum of its completed transactions" =>
        "select count(*) from users u left join (
                select user_id, sum(amount) as booked from transactions where status = 'COMPLETED' group by user_id) t
            on t.user_id = u.id where u.balance <> coalesce(t.booked, 0)",
    "negative_balances": "a balance is not negative" =>
        "select count(*) from users where balance < 0",
    "cards": "what is held for a refund to a card or a dispute is what was booked for it, and the rest is owed" =>
        "select count(*) from (
            select r.held, r.held + r.debt = case when r.state = 'FAILED' then 0 else r.amount end as adds_up,
                   (select -sum(t.amount) from card_bookings b join transactions t on t.id = b.transaction_id
                     where b.card_refund_id = r.id) as booked from card_refunds r
            union all
            select d.held, d.held + d.debt = case d.state when 'WON' then 0 when 'LOST' then d.amount else d.held end,
                   (select -sum(t.amount) from card_bookings b join transactions t on t.id = b.transaction_id
                     where b.dispute_id = d.id) from disputes d) c
          where c.held <> coalesce(c.booked, 0) or not c.adds_up",
    "debts": "who owes something has no balance" =>
        "select count(*) from users u where u.balance > 0
            and (exists (select 1 from disputes d where d.user_id = u.id and d.debt > 0)
                 or exists (select 1 from card_refunds r where r.user_id = u.id and r.debt > 0))",
    "order_sums": "an order is the sum of its items" =>
        "select count(*) from orders o where o.subtotal <> coalesce(
            (select sum(price * quantity) from order_items i where i.order_id = o.id), 0) or o.total <> o.subtotal - o.discount",
    "copies": "every copy of an order has its unit" =>
        "select count(*) from order_items i where i.quantity <> (
            select count(*) from order_units u where u.order_item_id = i.id)",
    "paid": "what was paid for an order is what was delivered, refunded, and is in flight" =>
        "select count(*) from (
                select order_id, -sum(amount) filter (where type = 'PURCHASE') as paid,
                       coalesce(sum(amount) filter (where type = 'REFUND'), 0) as refunded
                  from transactions where order_id is not null and status = 'COMPLETED' group by order_id) t
            left join (select order_id, sum(price_paid - goodwill) as others from order_units
                        where state <> 'REFUNDED' group by order_id) u on u.order_id = t.order_id
          where t.paid <> t.refunded + coalesce(u.others, 0)",
    "excessive_refunds": "refunds never exceed what was paid" =>
        "select count(*) from (select order_id from transactions
            where order_id is not null and status = 'COMPLETED' group by order_id having sum(amount) > 0) r",
    "ended_orders": "an ended order has no unit in flight, except one whose faulty key is being replaced" =>
        "select count(*) from orders o where o.status in ('COMPLETED', 'FAILED', 'CANCELLED')
            and exists (select 1 from order_units u where u.order_id = o.id and u.state not in ('DONE', 'REFUNDED')
                           and u.faulty_key_id is null)",
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
    "sales_bookings": "the payments, refunds and orders in the key figures match the books" =>
        "select count(*) from sales_of_the_books('bookings') b full join (
                select at, sum(users) as users, sum(orders) as orders, sum(completed) as completed,
                       sum(purchases) as purchases, sum(purchased) as purchased, sum(refunds) as refunds,
                       sum(refunded) as refunded
                  from sales_sums group by at) s on s.at = b.at
          where (coalesce(s.users, 0), coalesce(s.orders, 0), coalesce(s.completed, 0), coalesce(s.purchases, 0),
                 coalesce(s.purchased, 0), coalesce(s.refunds, 0), coalesce(s.refunded, 0))
             <> (coalesce(b.users, 0), coalesce(b.orders, 0), coalesce(b.completed, 0), coalesce(b.purchases, 0),
                 coalesce(b.purchased, 0), coalesce(b.refunds, 0), coalesce(b.refunded, 0))",
    "sales_copies": "the delivered copies in the key figures match the books" =>
        "select count(*) from sales_of_the_books('copies') b full join (
                select at, sum(delivered) as delivered, sum(earned) as earned from sales_sums group by at) s on s.at = b.at
          where (coalesce(s.delivered, 0), coalesce(s.earned, 0)) <> (coalesce(b.delivered, 0), coalesce(b.earned, 0))",
    "sales_costs": "the supplier's cost in the key figures matches the orders at G2A" =>
        "select count(*) from sales_of_the_books('costs') b full join (
                select at, sum(cost) as cost from sales_sums group by at) s on s.at = b.at
          where coalesce(s.cost, 0) <> coalesce(b.cost, 0)",
    "sales_own": "what keys of own stock cost in the key figures matches these keys" =>
        "select count(*) from sales_of_the_books('own') b full join (
                select at, sum(own_cost) as own_cost, sum(no_cost) as no_cost from sales_sums group by at) s on s.at = b.at
          where (coalesce(s.own_cost, 0), coalesce(s.no_cost, 0)) <> (coalesce(b.own_cost, 0), coalesce(b.no_cost, 0))",
    "game_sums": "the delivered copies of each game match the books" =>
        "select count(*) from (select game_id, count(*) as copies, sum(price_paid - goodwill) as earned
                                 from order_units where state = 'DONE' group by game_id) b
            full join (select game_id, sum(copies) as copies, sum(earned) as earned from game_sums group by game_id) s
              on s.game_id = b.game_id
          where (coalesce(b.copies, 0), coalesce(b.earned, 0)) <> (coalesce(s.copies, 0), coalesce(s.earned, 0))",
    "key_counts": "the counts of keys of each game match the keys" =>
        "select count(*) from (select game_id, count(*) as keys, count(*) filter (where activated) as used from game_keys
                                group by game_id) b
            full join (select game_id, sum(keys) as keys, sum(used) as used from key_counts group by game_id) c
              on c.game_id = b.game_id
          where (coalesce(b.keys, 0), coalesce(b.used, 0)) <> (coalesce(c.keys, 0), coalesce(c.used, 0))",
    "promo_code_limits": "a promo code is not used more often than allowed" =>
        "select count(*) from promo_codes where used_count > max_uses",
    "promo_code_uses": "every order with a promo code counts as a use of it, unless all of its money went back" =>
        "select count(*) from promo_codes p where p.used_count < (
            select count(*) from orders o where o.promo_code = p.code and not o.promo_use_returned)",
}
