//! Money that goes back to the card it came from: charges of top-ups, refunds to the card, and disputes.
//!
//! What was read at the provider is applied whole, by its state and never by an event's kind, so that any order of events
//! ends in the same rows. A reading has a number that is drawn before it begins ([`reading`]); one that began earlier never
//! replaces a later one. The database itself moves the money: a change of a refund's or a dispute's state books what it
//! takes from the balance or returns (`0340_cards.sql`).
//!
//! `charges` has the charge of a top-up, `refunds` and `disputes` what takes its money back, `holds` what rules against fraud
//! hold, `incidents` what a person has to look at, `inbox` the events that wait, and `comparison` what differs from the provider's books.

pub mod charges;
pub mod comparison;
pub mod disputes;
pub mod evidence;
pub mod holds;
pub mod inbox;
pub mod incidents;
pub mod refunds;

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::{TopUpId, UserId};
use rust_decimal::Decimal;

use self::incidents::{Incident, IncidentKind};
use crate::row::money_of;
use crate::{Result, Store, Tx};

/// By what a provider's object is joined to a top-up, the surest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaymentRef {
    /// The provider's charge.
    pub charge: Option<String>,
    /// The provider's payment, of which the charge is one attempt.
    pub intent: Option<String>,
    /// The shop's own id, which came back in the metadata.
    pub top_up: Option<TopUpId>,
}

/// The result of applying a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It changed something.
    Changed,
    /// Everything was known.
    Same,
    /// A later reading was applied before.
    Stale,
    /// No top-up has this payment: another program uses the same account.
    NotOurs,
    /// The top-up exists and is not credited yet; its payment has to be read first.
    NotCredited(TopUpId),
    /// Another amount was paid than was asked for, and staff have not credited it: an incident, and nothing is booked.
    InReview,
    /// From before these books, when staff settled it by hand: an incident, and nothing is booked.
    BeforeBooks,
}

impl Applied {
    /// A stable name, for the record and for metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Same => "same",
            Self::Stale => "stale",
            Self::NotOurs => "not_ours",
            Self::NotCredited(_) => "not_credited",
            Self::InReview => "in_review",
            Self::BeforeBooks => "before_books",
        }
    }
}

/// The number of a reading at the provider; drawn before the reading begins.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn reading(store: &Store) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"-- store.cards.reading
        select nextval('payment_reads') as "number!""#
    )
    .fetch_one(store.alone())
    .await?)
}

/// A paid top-up whose row, and then whose user's row, this transaction has locked.
#[derive(Debug, Clone, Copy)]
struct Owned {
    top_up: TopUpId,
    user: UserId,
    /// What was credited, EUR.
    credited: Money,
}

/// A provider's object that belongs to a payment.
#[derive(Debug, Clone, Copy)]
struct Object<'o> {
    /// The provider's name of it.
    reference: &'o str,
    /// The provider's word about it.
    status: &'o str,
    /// When it was made, where that decides whether it is booked.
    made_at: Option<DateTime<Utc>>,
}

/// Finds and locks the top-up that a payment belongs to. What cannot be booked is an incident.
async fn owner_of(
    tx: &mut Tx,
    provider: &str,
    payment: &PaymentRef,
    object: Object<'_>,
) -> Result<Result<Owned, Applied>> {
    let found = sqlx::query!(
        r#"-- store.cards.owner
        select p.id, p.user_id, coalesce(p.credited_amount, p.amount) as "credited!", p.status = 'COMPLETED' as "is_paid!",
               coalesce(p.review = 'OTHER_AMOUNT', false) as "is_in_review!",
               coalesce($6 < (select installed_on from _sqlx_migrations where version = 340), false)
               and not exists (select from disputes where reference = $5)
               and not exists (select from card_refunds where reference = $5) as "is_before!"
          from top_ups p
         where p.provider = $1 and p.id = coalesce(
               (select top_up_id from top_up_charges where charge = $2),
               (select top_up_id from top_up_charges where payment_intent = $3), $4)
           for no key update of p"#,
        provider,
        payment.charge,
        payment.intent,
        payment.top_up.map(|id| id.0),
        object.reference,
        object.made_at
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = found else {
        return Ok(Err(Applied::NotOurs));
    };
    let (top_up, user) = (TopUpId(row.id), UserId(row.user_id));
    let Object { reference, status, .. } = object;
    if row.is_before {
        let incident = Incident::new(
            IncidentKind::BeforeBooks,
            &format!("{reference} {status}"),
            format!(
                "{reference} of top-up {top_up} ({status}) is from before refunds and disputes were booked; adjust the balance \
                 if nobody has"
            ),
        );
        incidents::add(tx, top_up, user, &incident).await?;
        return Ok(Err(Applied::BeforeBooks));
    }
    if !row.is_paid && row.is_in_review {
        let incident = Incident::new(
            IncidentKind::InReview,
            reference,
            format!("{reference} ({status}) is about top-up {top_up}, which is not credited but reviewed by staff"),
        );
        incidents::add(tx, top_up, user, &incident).await?;
        return Ok(Err(Applied::InReview));
    }
    if !row.is_paid {
        return Ok(Err(Applied::NotCredited(top_up)));
    }
    lock_user(tx, user).await?;
    Ok(Ok(Owned {
        top_up,
        user,
        credited: money_of(row.credited)?,
    }))
}

/// What a refund or dispute of `named` units of `currency` takes, EUR: in another currency, its part of the charge.
async fn euro_of(tx: &mut Tx, owned: Owned, named: Money, currency: &str) -> Result<Money> {
    let part = sqlx::query_scalar!(
        "-- store.cards.part
        select round(least($2::numeric, $2 * $3::numeric / amount), 2) from top_up_charges where top_up_id = $1 and currency = $4",
        owned.top_up.0,
        owned.credited.decimal(),
        named.decimal(),
        currency
    )
    .fetch_optional(tx.conn())
    .await?
    .flatten();
    part.map_or(Ok(owned.credited), money_of)
}

/// Divides what was credited of a top-up among its refunds and disputes. Together they take what went back less what was paid
/// and never credited, and at most what was credited. Which of them takes how much depends on the rows alone and not on the
/// order in which they came: refunds by staff first, then refunds at the provider, lost disputes, open ones.
async fn divide(tx: &mut Tx, owned: Owned) -> Result<()> {
    let rows = sqlx::query!(
        r#"-- store.cards.divide
        select id as "id!", is_refund as "is_refund!", made_here as "made_here!", amount as "amount!", claimed as "claimed!",
               (select greatest(c.amount - $2::numeric, 0) from top_up_charges c where c.top_up_id = $1 and c.currency = 'EUR')
               as surplus
          from (select id, true as is_refund, made_here, amount, claimed, 0 as rank, reference from card_refunds
                 where top_up_id = $1 and state <> 'FAILED'
                union all
                select id, false, false, amount, claimed, case state when 'LOST' then 1 else 2 end, reference from disputes
                 where top_up_id = $1 and state <> 'WON') back
         order by made_here desc, rank, reference, id"#,
        owned.top_up.0,
        owned.credited.decimal()
    )
    .fetch_all(tx.conn())
    .await?;
    let surplus = rows.first().and_then(|row| row.surplus).unwrap_or_default();
    let claimed: Decimal = rows.iter().map(|row| row.claimed).sum();
    let mut left = (claimed - surplus).clamp(Decimal::ZERO, owned.credited.decimal());
    let mut changes = Vec::new();
    for row in rows {
        let share = if row.made_here {
            row.amount
        } else {
            row.claimed.min(left)
        };
        left = (left - share).max(Decimal::ZERO);
        if share != row.amount {
            changes.push((share - row.amount, share, row.is_refund, row.id));
        }
    }
    // What comes back first, so that it can be taken again.
    changes.sort_by_key(|(change, ..)| *change);
    for (_, share, is_refund, id) in changes {
        if is_refund {
            sqlx::query!(
                "-- store.cards.divide.refund\nupdate card_refunds set amount = $2 where id = $1",
                id,
                share
            )
            .execute(tx.conn())
            .await?;
        } else {
            sqlx::query!(
                "-- store.cards.divide.dispute\nupdate disputes set amount = $2 where id = $1",
                id,
                share
            )
            .execute(tx.conn())
            .await?;
        }
    }
    Ok(())
}

/// The first lock of everything that moves a user's money between balance and card, after that of the top-up.
async fn lock_user(tx: &mut Tx, user: UserId) -> Result<()> {
    sqlx::query_scalar!(
        "-- store.cards.lock_user\nselect 1 from users where id = $1 for no key update",
        user.0
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// Makes the undelivered units of a user due that no longer wait for money. One that a worker has claimed is left alone, and
/// so is one of an imported order, about which staff decide ([`PARKED_YEARS`](crate::imports::PARKED_YEARS)).
pub(crate) async fn release_units(tx: &mut Tx, user: UserId) -> Result<()> {
    sqlx::query!(
        "-- store.cards.release_units
        update order_units set not_before = now()
         where id in (select u.id from order_units u join orders o on o.id = u.order_id
                       where o.user_id = $1 and o.status in ('PENDING', 'PROCESSING') and u.state in ('NEW', 'ORDERED', 'PAID')
                         and u.worker is null and u.not_before > now() and u.not_before < now() + interval '1 year'
                         for no key update of u skip locked)
           and not buyer_is_held($1)",
        user.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Money that came back to the balance of a deleted account needs a person: its owner cannot have it any more.
async fn tell_of_no_owner(tx: &mut Tx, top_up: TopUpId, user: UserId, reference: &str) -> Result<()> {
    let is_deleted = sqlx::query_scalar!(
        r#"-- store.cards.is_deleted
        select deleted_at is not null as "is_deleted!" from users where id = $1"#,
        user.0
    )
    .fetch_one(tx.conn())
    .await?;
    if is_deleted {
        let incident = Incident::new(
            IncidentKind::NoOwner,
            reference,
            format!(
                "money of top-up {top_up} came back ({reference}), and its account is deleted; pay it back at the provider"
            ),
        );
        incidents::add(tx, top_up, user, &incident).await?;
    }
    Ok(())
}

/// Shortens a text of the provider to what its column holds, without control characters.
fn short(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}
