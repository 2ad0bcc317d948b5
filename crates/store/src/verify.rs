//! Proves the invariants of a whole database and names every row that violates one: of a restored copy, of a standby, or of
//! the database in use.
//!
//! It only reads. Each table is walked in slices of its primary key, and each check of a slice is a statement with a snapshot of
//! its own, so that no snapshot lasts longer than that and vacuum is not held up. A single snapshot shows no transaction in
//! half, and the schema demands each of these rules at commit at the latest: a violation is none of the moment, but a fault,
//! a damaged backup, or somebody's deed past the triggers.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::chain;
use crate::{Store, StoreError, doctor};

mod runs;

pub use runs::{Finding, Last, Outcome, Run, begin, last};

/// Rows of a table that are checked at once.
const SLICE: i64 = 5_000;
/// Violations that are named for each check; all are counted.
pub const NAMED: usize = 20;

/// A row that violates an invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The row's id.
    pub id: String,
    /// What is wrong, in figures; empty if the invariant says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Name of the check, stable.
    pub check: &'static str,
    /// The invariant, in words.
    pub name: &'static str,
    /// The table whose rows are named.
    pub table: &'static str,
    /// Number of rows that were checked.
    pub rows: u64,
    /// Number of rows that violate it.
    pub violations: u64,
    /// The first of them, at most [`NAMED`]; none of a check that compares sums over many rows.
    pub examples: Vec<Violation>,
    /// Why the check, or a part of it, could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Verdict {
    /// A check that has found nothing yet.
    pub fn new(check: &'static str, name: &'static str, table: &'static str) -> Self {
        Self {
            check,
            name,
            table,
            rows: 0,
            violations: 0,
            examples: Vec::new(),
            error: None,
        }
    }

    /// Whether the invariant was proved for every row.
    pub fn holds(&self) -> bool {
        self.violations == 0 && self.error.is_none()
    }

    /// Counts a violation, and keeps it while there is room.
    pub fn add(&mut self, id: String, detail: String) {
        self.violations += 1;
        if self.examples.len() < NAMED {
            self.examples.push(Violation { id, detail });
        }
    }
}

/// How the database is walked.
pub trait Walk: Send {
    /// Called after each slice: the table, and the number of its rows that were checked.
    fn progress(&mut self, table: &'static str, rows: u64) -> impl Future<Output = ()> + Send;

    /// Whether to rest after each slice for as long as it took, for the sake of others.
    fn rests(&self) -> bool;
}

struct Found {
    id: String,
    detail: String,
}

fn verdict<'v>(verdicts: &'v mut [Verdict], check: &str) -> Option<&'v mut Verdict> {
    // A check that failed on a slice is not made on the others, which would take as long.
    verdicts
        .iter_mut()
        .find(|verdict| verdict.check == check && verdict.error.is_none())
}

/// The cause, which is what the operator can act on.
fn reason(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Defines [`tables`] from the tables with their checks: each statement gives `id` and `detail` of the violating rows whose
/// primary key is above $1 and at most $2.
macro_rules! tables {
    ($($table:literal { $($id:literal: $name:literal => $statement:literal,)* })*) => {
        /// The names of these checks.
        const CHECKS: &[&str] = &[$($($id,)*)*];

        async fn tables(store: &Store, walk: &mut impl Walk, verdicts: &mut Vec<Verdict>) {
            $({
                let mut these = vec![$(Verdict::new($id, $name, $table)),*];
                let (mut after, mut rows) = (Uuid::nil(), 0);
                loop {
                    let began = Instant::now();
                    let slice = store.read(|tx| Box::pin(async move {
                        doctor::patience(tx).await?;
                        Ok::<Vec<Uuid>, StoreError>(
                            sqlx::query_scalar!(
                                "-- store.verify.slice_" + $table + "\nselect id from " + $table
                                    + " where id > $1 order by id limit $2",
                                after,
                                SLICE
                            )
                            .fetch_all(tx.uncached())
                            .await?,
                        )
                    }));
                    let slice = match slice.await {
                        Ok(slice) => slice.value,
                        Err(error) => {
                            for verdict in &mut these {
                                verdict.error.get_or_insert_with(|| reason(&error));
                            }
                            break;
                        }
                    };
                    let Some(last) = slice.last().copied() else { break };
                    let count = u64::try_from(slice.len()).unwrap_or(u64::MAX);
                    $(if let Some(verdict) = verdict(&mut these, $id) {
                        let found = store.read(|tx| Box::pin(async move {
                            doctor::patience(tx).await?;
                            Ok::<Vec<Found>, StoreError>(
                                sqlx::query_as!(
                                    Found,
                                    "-- store.verify." + $id + "\nselect v.id::text as \"id!\", v.detail::text as \"detail!\" from ("
                                        + $statement + ") v(id, detail) order by 1",
                                    after,
                                    last
                                )
                                .fetch_all(tx.uncached())
                                .await?,
                            )
                        }));
                        match found.await {
                            Ok(found) => {
                                verdict.rows += count;
                                for Found { id, detail } in found.value {
                                    verdict.add(id, detail);
                                }
                            }
                            Err(error) => verdict.error = Some(reason(&error)),
                        }
                    })*
                    rows += count;
                    walk.progress($table, rows).await;
                    if walk.rests() {
                        tokio::time::sleep(began.elapsed()).await;
                    }
                    if count < SLICE.unsigned_abs() {
                        break;
                    }
                    after = last;
                }
                verdicts.append(&mut these);
            })*
        }
    };
}

/// Checks every invariant of the data. Sealed values are the caller's, who has the secrets.
///
/// A check that cannot be made says why, and hides nothing of the others.
pub async fn verify(store: &Store, walk: &mut impl Walk) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    Box::pin(tables(store, walk, &mut verdicts)).await;
    // Sums over whole tables, which have no row of their own to be named.
    // `cards` is `card_refunds` and `disputes` in one.
    for checked in doctor::check_without(store, &[CHECKS, &["cards"]].concat()).await {
        let mut verdict = Verdict::new(checked.id, checked.name, "sums");
        match checked.broken {
            Ok(rows) => verdict.violations = rows.unsigned_abs(),
            Err(error) => verdict.error = Some(reason(&error)),
        }
        verdicts.push(verdict);
    }
    verdicts.push(audit(store).await);
    walk.progress("audit_chain", verdicts.last().map_or(0, |verdict| verdict.rows))
        .await;
    verdicts
}

async fn audit(store: &Store) -> Verdict {
    let mut verdict = Verdict::new(
        "audit_chain",
        "the audit log is a chain without gaps, and no entry was changed",
        "audit_log",
    );
    match chain::verify(store, None).await {
        Ok(checked) => {
            verdict.rows = checked.head.position.unsigned_abs();
            for fault in checked.faults {
                verdict.add(fault.place(), fault.to_string());
            }
        }
        Err(error) => verdict.error = Some(reason(&error)),
    }
    verdict
}

tables! {
    "users" {
        "balances": "a balance is the sum of its completed transactions" =>
            "select u.id, concat(u.balance, ' instead of ', coalesce(t.booked, 0)) from users u left join lateral (
                    select sum(amount) as booked from transactions where user_id = u.id and status = 'COMPLETED') t on true
              where u.id > $1 and u.id <= $2 and u.balance <> coalesce(t.booked, 0)",
        "negative_balances": "a balance is not negative" =>
            "select id, balance::text from users where id > $1 and id <= $2 and balance < 0",
        "debts": "who owes something has no balance" =>
            "select u.id, u.balance::text from users u where u.id > $1 and u.id <= $2 and u.balance > 0
                and (exists (select from disputes d where d.user_id = u.id and d.debt > 0)
                     or exists (select from card_refunds r where r.user_id = u.id and r.debt > 0))",
    }
    "orders" {
        "order_sums": "an order is the sum of its items" =>
            "select o.id, concat('subtotal ', o.subtotal, ', discount ', o.discount, ', total ', o.total, ', items ', i.items)
               from orders o cross join lateral (
                    select coalesce(sum(price * quantity), 0) as items from order_items where order_id = o.id) i
              where o.id > $1 and o.id <= $2 and (o.subtotal <> i.items or o.total <> o.subtotal - o.discount)",
        "copies": "every copy of an order has its unit" =>
            "select o.id, concat(coalesce(c.copies, 0), ' copies, ', coalesce(n.units, 0), ' units') from orders o cross join lateral (
                    select sum(i.quantity) as copies,
                           bool_or(i.quantity <> (select count(*) from order_units u where u.order_item_id = i.id)) as miscounted
                      from order_items i where i.order_id = o.id) c
              cross join lateral (select count(*) as units from order_units u where u.order_id = o.id) n
              where o.id > $1 and o.id <= $2 and (c.miscounted or n.units <> coalesce(c.copies, 0))",
        "purchases": "every order was paid for once, with its total" =>
            "select o.id, concat('total ', o.total, ', paid ', coalesce(t.paid::text, 'nothing')) from orders o left join lateral (
                    select -sum(amount) as paid from transactions where order_id = o.id and type = 'PURCHASE') t on true
              where o.id > $1 and o.id <= $2 and t.paid is distinct from o.total",
        "paid": "what was paid for an order is what was delivered, refunded, and is in flight" =>
            "select o.id, concat('paid ', t.paid, ', delivered ', u.delivered, ', refunded ', t.refunded, ', in flight ', u.in_flight)
               from orders o cross join lateral (
                    select -sum(amount) filter (where type = 'PURCHASE') as paid,
                           coalesce(sum(amount) filter (where type = 'REFUND'), 0) as refunded
                      from transactions where order_id = o.id and status = 'COMPLETED') t
              cross join lateral (
                    select coalesce(sum(price_paid - goodwill) filter (where state = 'DONE'), 0) as delivered,
                           coalesce(sum(price_paid - goodwill) filter (where state not in ('DONE', 'REFUNDED')), 0) as in_flight
                      from order_units where order_id = o.id) u
              where o.id > $1 and o.id <= $2 and t.paid <> u.delivered + t.refunded + u.in_flight",
        "refunds": "what was refunded of an order is the price of its refunded copies, and goodwill" =>
            "select o.id, concat('refunded ', t.refunded, ', refunded copies and goodwill ', u.given_up) from orders o cross join lateral (
                    select coalesce(sum(amount), 0) as refunded from transactions
                     where order_id = o.id and type = 'REFUND' and status = 'COMPLETED') t
              cross join lateral (
                    select coalesce(sum(case state when 'REFUNDED' then price_paid else goodwill end), 0) as given_up
                      from order_units where order_id = o.id) u
              where o.id > $1 and o.id <= $2 and t.refunded <> u.given_up",
        "excessive_refunds": "refunds never exceed what was paid" =>
            "select o.id, t.balance::text from orders o cross join lateral (
                    select sum(amount) as balance from transactions where order_id = o.id and status = 'COMPLETED') t
              where o.id > $1 and o.id <= $2 and t.balance > 0",
        "ended_orders": "an ended order has no unit in flight, except one whose faulty key is being replaced" =>
            "select o.id, concat(o.status, ', ', u.open, ' in flight') from orders o cross join lateral (
                    select count(*) as open from order_units
                     where order_id = o.id and state not in ('DONE', 'REFUNDED') and faulty_key_id is null) u
              where o.id > $1 and o.id <= $2 and o.status in ('COMPLETED', 'FAILED', 'CANCELLED') and u.open > 0",
        "cancelled_payments": "the payment of an order is cancelled if and only if all of its money went back" =>
            "select o.id, concat(o.status, ', payment ', coalesce(o.payment_status::text, 'unknown'), ', total ', o.total, ', refunded ', t.refunded)
               from orders o cross join lateral (
                    select coalesce(sum(amount), 0) as refunded from transactions
                     where order_id = o.id and type = 'REFUND' and status = 'COMPLETED') t
              where o.id > $1 and o.id <= $2 and (o.payment_status = 'CANCELLED') <> (
                o.status in ('FAILED', 'CANCELLED') or (o.total > 0 and t.refunded = o.total))",
    }
    "order_units" {
        "units": "every unit belongs to an item of its order" =>
            "select u.id, concat('order ', u.order_id) from order_units u where u.id > $1 and u.id <= $2 and not exists (
                select from order_items i join orders o on o.id = i.order_id
                 where i.id = u.order_item_id and i.order_id = u.order_id and i.game_id = u.game_id)",
        "delivered_copies": "a copy is delivered if and only if it has its key" =>
            "select u.id, concat('order ', u.order_id, ', ', u.state) from order_units u where u.id > $1 and u.id <= $2
                and (u.state = 'DONE') <> exists (select from game_keys k where k.order_unit_id = u.id)",
        "g2a_orders": "every order at G2A that a copy names is on record" =>
            "select u.id, u.g2a_order_id from order_units u where u.id > $1 and u.id <= $2
                and u.g2a_order_id is not null and not exists (select from g2a_orders g where g.g2a_order_id = u.g2a_order_id)",
    }
    "game_keys" {
        "key_owners": "a sold key belongs to one unit, of the same order and game" =>
            "select k.id, concat('unit ', k.order_unit_id) from game_keys k where k.id > $1 and k.id <= $2 and k.order_unit_id is not null
                and (not exists (select from order_units u
                                  where u.id = k.order_unit_id and u.order_id = k.order_id and u.game_id = k.game_id)
                     or exists (select from game_keys other where other.order_unit_id = k.order_unit_id and other.id <> k.id))",
        "keys_once": "a key is stored once" =>
            "select k.id, concat('also ', min(other.id::text)) from game_keys k
               join game_keys other on other.key_hash = k.key_hash and other.id <> k.id
              where k.id > $1 and k.id <= $2 group by k.id",
        "g2a_orders_of_keys": "every order at G2A that a key came from is on record" =>
            "select k.id, k.g2a_order_id from game_keys k where k.id > $1 and k.id <= $2
                and k.g2a_order_id is not null and not exists (select from g2a_orders g where g.g2a_order_id = k.g2a_order_id)",
    }
    "transactions" {
        "bookings": "a booking belongs to a user, and to an order of that user" =>
            "select t.id, concat('user ', t.user_id, ', order ', t.order_id) from transactions t where t.id > $1 and t.id <= $2
                and (not exists (select from users u where u.id = t.user_id)
                     or t.order_id is not null
                        and not exists (select from orders o where o.id = t.order_id and o.user_id = t.user_id))",
    }
    "top_ups" {
        "top_ups": "a completed top-up was credited once, with what was paid" =>
            "select p.id, concat('amount ', coalesce(p.credited_amount, p.amount), ', booked ', coalesce(t.amount::text, 'nothing'))
               from top_ups p left join transactions t on t.id = p.transaction_id
              where p.id > $1 and p.id <= $2 and p.status = 'COMPLETED'
                and (t.id is null or t.user_id <> p.user_id or t.type <> 'TOP_UP' or t.status <> 'COMPLETED'
                     or t.amount <> coalesce(p.credited_amount, p.amount))",
    }
    "card_refunds" {
        "card_refunds": "what is held for a refund to a card was booked, and the rest is owed" =>
            "select r.id, concat('held ', r.held, ', owed ', r.debt, ' of ', r.amount, ', booked ', b.booked) from card_refunds r
              cross join lateral (
                    select coalesce(-sum(t.amount), 0) as booked from card_bookings c join transactions t on t.id = c.transaction_id
                     where c.card_refund_id = r.id) b
              where r.id > $1 and r.id <= $2
                and (r.held <> b.booked or r.held + r.debt <> case when r.state = 'FAILED' then 0 else r.amount end)",
    }
    "disputes" {
        "disputes": "what a dispute holds was booked, and of a lost one the rest is owed" =>
            "select d.id, concat(d.state, ', held ', d.held, ', owed ', d.debt, ' of ', d.amount, ', booked ', b.booked) from disputes d
              cross join lateral (
                    select coalesce(-sum(t.amount), 0) as booked from card_bookings c join transactions t on t.id = c.transaction_id
                     where c.dispute_id = d.id) b
              where d.id > $1 and d.id <= $2 and (d.held <> b.booked
                 or d.held + d.debt <> case d.state when 'WON' then 0 when 'LOST' then d.amount else d.held end)",
    }
    "promo_codes" {
        "promo_code_limits": "a promo code is not used more often than allowed" =>
            "select id, concat(used_count, ' of ', max_uses) from promo_codes where id > $1 and id <= $2 and used_count > max_uses",
        "promo_code_uses": "every order with a promo code counts as a use of it, unless all of its money went back" =>
            "select p.id, concat(p.used_count, ' counted, ', n.uses, ' orders') from promo_codes p cross join lateral (
                    select count(*) as uses from orders o where o.promo_code = p.code and not o.promo_use_returned) n
              where p.id > $1 and p.id <= $2 and p.used_count < n.uses",
        "promo_code_customers": "the uses of a promo code by each customer are counted" =>
            "select p.id, concat('user ', n.user_id, ': ', coalesce(c.uses, 0), ' counted, ', n.uses, ' orders') from promo_codes p
              cross join lateral (
                    select o.user_id, count(*) as uses from orders o
                     where o.promo_code = p.code and not o.promo_use_returned group by o.user_id) n
               left join promo_code_customers c on c.promo_code_id = p.id and c.user_id = n.user_id
              where p.id > $1 and p.id <= $2 and coalesce(c.uses, 0) < n.uses",
    }
    "games" {
        "g2a_stock": "stock is G2A's stock" =>
            "select id, g2a_product_id from games where id > $1 and id <= $2 and g2a_product_id is not null and in_stock <> g2a_stock",
        "own_stock": "the stock of the shop's own games is their unsold keys" =>
            "select g.id, case when g.in_stock then 'in stock' else 'not in stock' end from games g
              where g.id > $1 and g.id <= $2 and g.g2a_product_id is null and g.in_stock <> (
                g.withdrawn_at is null and exists (
                    select from game_keys k where k.game_id = g.id and k.order_unit_id is null and not k.activated))",
        "search": "every game can be found by its words" =>
            "select g.id, '' from games g where g.id > $1 and g.id <= $2
                and not exists (select from game_search s where s.game_id = g.id)",
    }
}
