//! The consistency check at the end of every test that involves money.

use sqlx::PgPool;

use crate::TestDb;

/// Invariants: a name, and a query that finds the violating rows.
const RULES: &[(&str, &str)] = &[
    (
        "a balance is the sum of its completed bookings, and never negative",
        "select u.id::text from users u
          where u.balance < 0 or u.balance <> (
              select coalesce(sum(t.amount), 0) from transactions t where t.user_id = u.id and t.status = 'COMPLETED')",
    ),
    (
        "paid = delivered + refunded + in flight, for each order",
        "select o.id::text from orders o
          where o.total <> coalesce((
              select sum(case when state = 'DONE' then price_paid - goodwill end)              -- delivered
                from order_units u where u.order_id = o.id), 0)
            + coalesce((select sum(t.amount) from transactions t                               -- refunded
                         where t.order_id = o.id and t.type = 'REFUND' and t.status = 'COMPLETED'), 0)
            + coalesce((select sum(price_paid - goodwill) from order_units u                   -- in flight
                         where u.order_id = o.id and state not in ('DONE', 'REFUNDED')), 0)",
    ),
    (
        "an order is paid for once, with its total, by its owner",
        "select o.id::text from orders o
          where (select count(*) from transactions t
                  where t.order_id = o.id and t.type = 'PURCHASE' and t.amount = -o.total and t.user_id = o.user_id) <> 1",
    ),
    (
        "a discount is spread over the copies to the cent",
        "select o.id::text from orders o
          where o.total <> o.subtotal - o.discount
             or o.total <> (select sum(price_paid) from order_units u where u.order_id = o.id)
             or o.subtotal <> (select sum(i.price * i.quantity) from order_items i where i.order_id = o.id)",
    ),
    (
        "a promo code is used no more often than it may be, and every use is counted",
        "select code from promo_codes p
          where used_count > max_uses or used_count < (select count(*) from orders o where o.promo_code = p.code and not o.promo_use_returned)",
    ),
    (
        "a delivered copy has its key, and no other copy has one",
        "select u.id::text from order_units u
          where (state = 'DONE') <> (1 = (select count(*) from game_keys k where k.order_unit_id = u.id))",
    ),
    (
        "a top-up is credited once, with its amount or what staff credited, to its owner",
        "select p.id::text from top_ups p left join transactions t on t.id = p.transaction_id
          where (p.status = 'COMPLETED') <> coalesce(t.type = 'TOP_UP' and t.status = 'COMPLETED'
                                                     and t.amount = coalesce(p.credited_amount, p.amount)
                                                     and t.user_id = p.user_id, false)",
    ),
    (
        "what is held for a refund or a dispute is what was booked for it, and the rest is owed",
        "select r.id::text from card_refunds r
          where r.held <> coalesce((select -sum(t.amount) from card_bookings b join transactions t on t.id = b.transaction_id
                                     where b.card_refund_id = r.id), 0)
             or r.held + r.debt <> case when r.state = 'FAILED' then 0 else r.amount end
         union all
         select d.id::text from disputes d
          where d.held <> coalesce((select -sum(t.amount) from card_bookings b join transactions t on t.id = b.transaction_id
                                     where b.dispute_id = d.id), 0)
             or d.held + d.debt <> case d.state when 'WON' then 0 when 'LOST' then d.amount else d.held end",
    ),
    (
        "who owes something has no balance",
        "select u.id::text from users u
          where u.balance > 0 and (exists (select from disputes d where d.user_id = u.id and d.debt > 0)
                                   or exists (select from card_refunds r where r.user_id = u.id and r.debt > 0))",
    ),
    (
        "refunds that were made here do not exceed their top-up",
        "select p.id::text from top_ups p
          where (select sum(r.amount) from card_refunds r where r.top_up_id = p.id and r.state <> 'FAILED' and r.made_here)
                > coalesce(p.credited_amount, p.amount)",
    ),
    (
        "an order that ended has nothing in flight, except copies whose faulty keys are being replaced",
        "select o.id::text from orders o join order_units u on u.order_id = o.id
          where o.status in ('COMPLETED', 'FAILED', 'CANCELLED') and u.state not in ('DONE', 'REFUNDED')
            and u.faulty_key_id is null",
    ),
    (
        "a copy whose faulty key is being replaced has no key, and the faulty one is known as its",
        "select u.id::text from order_units u
          where u.faulty_key_id is not null
            and (exists (select 1 from game_keys k where k.order_unit_id = u.id)
                 or not exists (select 1 from game_keys k where k.id = u.faulty_key_id and k.faulty_unit_id = u.id))",
    ),
];

/// The invariants of money and keys that are violated now, each with some of the violating rows.
///
/// # Errors
/// When a query fails.
pub async fn broken_rules(sql: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let mut broken = Vec::new();
    for (rule, question) in RULES {
        let rows: Vec<String> = sqlx::query_scalar(*question).fetch_all(sql).await?;
        if !rows.is_empty() {
            let some = rows.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
            broken.push(format!("{rule}: broken by {} row(s): {some}", rows.len()));
        }
    }
    Ok(broken)
}

impl TestDb {
    /// Panics unless every invariant of money and keys holds.
    pub async fn assert_books_balance(&self) {
        let broken = broken_rules(&self.sql).await;
        let broken = broken.unwrap_or_else(|error| panic!("the books: {error}"));
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }
}
