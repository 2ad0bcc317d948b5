//! Rules against fraud: limits that refuse a top-up before it is paid, and holds of paid ones until a person decides.
//!
//! What a rule holds depends on the rows alone: whoever judges last sees all, so top-ups at once end in the same holds. A
//! credited top-up is held until its card was read and judged, at most ten minutes.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::Page;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_domain::staff::Refused;
use uuid::Uuid;

use super::incidents::{self, Incident, IncidentKind};
use super::refunds::{self, NewRefund, RefundError};
use super::{lock_user, release_units, short};
use crate::accounts::{AccountError, staff};
use crate::audit::{self, AuditEntry};
use crate::paging::bounds;
use crate::row::{how_many_of, money_of};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// The hold of a credited top-up whose card was not read yet.
const UNREAD: &str = "UNREAD";

/// A rule against fraud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FraudRule {
    /// Its name, see `fraud_rules`.
    pub name: String,
    /// Whether it counts.
    pub is_on: bool,
    /// EUR.
    pub amount: Option<Money>,
    /// A number of accounts, payments or top-ups.
    pub count: Option<u32>,
    /// The time in which it measures.
    pub hours: Option<u32>,
    /// Counts its changes.
    pub version: u32,
}

/// The rules, by name.
///
/// # Errors
/// [`StoreError`].
pub async fn rules(store: &Store) -> Result<Vec<FraudRule>> {
    let rows = sqlx::query!(
        "-- store.cards.holds.rules\nselect name, is_on, amount, count, hours, version from fraud_rules order by name"
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            let whole = |number: i32| u32::try_from(number).unwrap_or_default();
            Ok(FraudRule {
                name: row.name,
                is_on: row.is_on,
                amount: row.amount.map(money_of).transpose()?,
                count: row.count.map(whole),
                hours: row.hours.map(whole),
                version: whole(row.version),
            })
        })
        .collect()
}

/// Why a rule was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// No such rule.
    #[error("Rule not found")]
    NotFound,
    /// Somebody has changed it meanwhile.
    #[error("Somebody has changed this rule meanwhile. Read it again.")]
    Changed,
    /// It measures with something else, or out of bounds.
    #[error("Give what this rule measures with: an amount above 0, a count of 1 to 10000, 1 to 8760 hours.")]
    Wrong,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(RuleError);

/// Changes a rule whose version is that of `rule`; the audit log records both versions.
///
/// # Errors
/// [`RuleError`]; then nothing has changed.
pub async fn change_rule(store: &Store, admin: UserId, rule: FraudRule) -> Result<FraudRule, RuleError> {
    let rule = std::sync::Arc::new(rule);
    store
        .tx("cards.holds.change_rule", move |tx| {
            let rule = std::sync::Arc::clone(&rule);
            Box::pin(async move {
                let before = sqlx::query!(
                    "-- store.cards.holds.rule
                    select is_on, amount, count, hours, version from fraud_rules where name = $1 for no key update",
                    rule.name
                )
                .fetch_optional(tx.conn())
                .await
                .map_err(StoreError::from)?
                .ok_or(RuleError::NotFound)?;
                let number = |given: Option<u32>| given.map(|given| i32::try_from(given).unwrap_or(i32::MAX));
                let (count, hours) = (number(rule.count), number(rule.hours));
                if Some(before.version) != number(Some(rule.version)) {
                    return Err(RuleError::Changed);
                }
                let is_measured = rule.amount.is_some() == before.amount.is_some()
                    && count.is_some() == before.count.is_some()
                    && hours.is_some() == before.hours.is_some();
                let is_bounded = rule.amount.is_none_or(Money::is_positive)
                    && count.is_none_or(|count| (1..=10_000).contains(&count))
                    && hours.is_none_or(|hours| (1..=8_760).contains(&hours));
                if !is_measured || !is_bounded {
                    return Err(RuleError::Wrong);
                }
                sqlx::query!(
                    "-- store.cards.holds.change_rule
                    update fraud_rules set is_on = $2, amount = $3, count = $4, hours = $5, version = version + 1, changed_at = now()
                     where name = $1",
                    rule.name,
                    rule.is_on,
                    rule.amount.map(Money::decimal),
                    count,
                    hours
                )
                .execute(tx.conn())
                .await
                .map_err(StoreError::from)?;
                let deed = AuditEntry {
                    admin,
                    action: "fraud.change_rule",
                    subject: ("fraud_rule", Uuid::nil()),
                    details: serde_json::json!({
                        "rule": rule.name,
                        "before": {
                            "on": before.is_on, "amount": before.amount.map(|amount| amount.to_string()), "count": before.count,
                            "hours": before.hours,
                        },
                        "after": {"on": rule.is_on, "amount": rule.amount, "count": count, "hours": hours},
                    }),
                };
                audit::write(tx, &deed).await?;
                Ok(FraudRule {
                    version: rule.version + 1,
                    ..FraudRule::clone(&rule)
                })
            })
        })
        .await
}

/// The limit that a new top-up would exceed, if there is one: its name and its hours. Its owner's row is locked.
pub(crate) async fn limit(tx: &mut Tx, user: UserId, amount: Money) -> Result<Option<(String, u32)>> {
    let row = sqlx::query!(
        r#"-- store.cards.holds.limit
        select r.name, r.hours as "hours!" from fraud_rules r,
               lateral (select coalesce(sum(amount), 0) as sum, count(*) as count from top_ups
                         where user_id = $1 and created_at > now() - make_interval(hours => r.hours)
                           and status in ('PENDING', 'PROCESSING', 'COMPLETED')) known
         where r.is_on and (r.name = 'ACCOUNT_AMOUNT' and known.sum + $2::numeric > r.amount
                            or r.name = 'ACCOUNT_COUNT' and known.count >= r.count)
         order by r.name limit 1"#,
        user.0,
        amount.decimal()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| (row.name, u32::try_from(row.hours).unwrap_or_default())))
}

/// Records where a top-up was begun: with the address and browser of its owner's last session. Returns whether the card's bank
/// is asked for 3-D Secure.
pub(crate) async fn begun(tx: &mut Tx, top_up: TopUpId, country: Option<&str>) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        "-- store.cards.holds.begun
        insert into top_up_origins (top_up_id, address, user_agent, country, email, authenticate)
        select p.id, s.address, s.user_agent, $2, u.email,
               exists (select from fraud_rules where name = 'AUTHENTICATION' and is_on and p.amount >= amount)
          from top_ups p join users u on u.id = p.user_id
          left join lateral (select address, user_agent from user_sessions where user_id = p.user_id
                              order by last_used_at desc limit 1) s on true
         where p.id = $1
        returning authenticate",
        top_up.0,
        country
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Holds a top-up that is being credited until its card was judged.
pub(crate) async fn unread(tx: &mut Tx, top_up: TopUpId, user: UserId) -> Result<()> {
    sqlx::query!(
        "-- store.cards.holds.unread
        insert into payment_holds (top_up_id, user_id, rule, detail, ends_at)
        values ($1, $2, $3, 'its card was not read yet', now() + interval '10 minutes') on conflict do nothing",
        top_up.0,
        user.0,
        UNREAD
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Judges the payment of a checkout session, whose charge was read if it has one: holds what the rules hold, and ends the wait
/// for the card. Repeated, it changes nothing. Returns how many payments it holds.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub async fn judge(store: &Store, provider: &'static str, session: &str) -> Result<u64> {
    let session = session.to_owned();
    store
        .tx("cards.holds.judge", move |tx| {
            let session = session.clone();
            Box::pin(async move { judge_once(tx, provider, &session).await })
        })
        .await
}

async fn judge_once(tx: &mut Tx, provider: &str, session: &str) -> Result<u64> {
    let subject = sqlx::query!(
        "-- store.cards.holds.subject
        select id, user_id from top_ups where provider = $1 and reference = $2 and status = 'COMPLETED' for no key update",
        provider,
        session
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(subject) = subject else { return Ok(0) };
    let user = UserId(subject.user_id);
    lock_user(tx, user).await?;
    let held = sqlx::query!(
        r#"-- store.cards.holds.judge
        with subject as (
            select p.id, p.user_id, coalesce(p.credited_amount, p.amount) as amount, p.provider, t.created_at as at,
                   u.created_at as joined, lower(split_part(u.email, '@', 2)) as domain, c.card_fingerprint as card, c.card_country,
                   o.country
              from top_ups p join transactions t on t.id = p.transaction_id join users u on u.id = p.user_id
              left join top_up_charges c on c.top_up_id = p.id left join top_up_origins o on o.top_up_id = p.id
             where p.id = $1),
        of_card as (
            select p.id, p.user_id, coalesce(p.credited_amount, p.amount) as amount, t.created_at as at
              from subject s join top_up_charges c on c.card_fingerprint = s.card join top_ups p on p.id = c.top_up_id
              join transactions t on t.id = p.transaction_id),
        of_account as (
            select p.id, p.user_id, coalesce(p.credited_amount, p.amount) as amount, t.created_at as at
              from subject s join top_ups p on p.user_id = s.user_id and p.status = 'COMPLETED' and p.provider = s.provider
              join transactions t on t.id = p.transaction_id),
        found as (
            select r.name, x.id, x.user_id, format('the card was used by %s accounts within %s hours', x.accounts, r.hours) as detail
              from fraud_rules r,
                   lateral (select c.id, c.user_id,
                                   (select count(distinct user_id) from of_card where at > now() - make_interval(hours => r.hours))
                                   as accounts
                              from of_card c where c.at > now() - make_interval(hours => r.hours)) x
             where r.name = 'CARD_ACCOUNTS' and r.is_on and x.accounts > r.count
            union all
            select r.name, x.id, x.user_id, format('the card paid %s times within %s hours', x.place, r.hours)
              from fraud_rules r,
                   lateral (select id, user_id, row_number() over (order by at, id) as place from of_card
                             where at > now() - make_interval(hours => r.hours)) x
             where r.name = 'CARD_COUNT' and r.is_on and x.place > r.count
            union all
            select r.name, x.id, x.user_id, format('the card paid %s EUR within %s hours', x.sum, r.hours)
              from fraud_rules r,
                   lateral (select id, user_id, sum(amount) over (order by at, id) as sum from of_card
                             where at > now() - make_interval(hours => r.hours)) x
             where r.name = 'CARD_AMOUNT' and r.is_on and x.sum > r.amount
            union all
            select r.name, x.id, x.user_id, format('%s EUR were paid in the first %s hours of the account', x.sum, r.hours)
              from fraud_rules r, subject s,
                   lateral (select id, user_id, sum(amount) over (order by at, id) as sum from of_account
                             where at < s.joined + make_interval(hours => r.hours)) x
             where r.name = 'NEW_ACCOUNT' and r.is_on and x.sum > r.amount
            union all
            select r.name, s.id, s.user_id, format('the card is from %s, and the address from %s', s.card_country, s.country)
              from fraud_rules r, subject s
             where r.name = 'CARD_COUNTRY' and r.is_on and s.card_country <> s.country and s.amount >= r.amount
               and s.at < s.joined + make_interval(hours => r.hours)
            union all
            select r.name, s.id, s.user_id, format('%s gives throw-away e-mail addresses', s.domain)
              from fraud_rules r, subject s
             where r.name = 'DISPOSABLE_EMAIL' and r.is_on and s.amount >= r.amount
               and exists (select from disposable_domains d where s.domain = d.domain or s.domain like '%.' || d.domain))
        insert into payment_holds (top_up_id, user_id, rule, detail) select id, user_id, name, detail from found
        on conflict do nothing returning rule, top_up_id"#,
        subject.id
    )
    .fetch_all(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.cards.holds.read
        delete from payment_holds where top_up_id = $1 and rule = $2 and state = 'OPEN'",
        subject.id,
        UNREAD
    )
    .execute(tx.conn())
    .await?;
    for one in &held {
        tracing::info!(rule = one.rule, top_up = %one.top_up_id, "a payment is held until staff decide");
    }
    release_units(tx, user).await?;
    Ok(u64::try_from(held.len()).unwrap_or(u64::MAX))
}

/// A held payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: Uuid,
    /// The top-up.
    pub top_up: TopUpId,
    /// Its owner.
    pub user: UserId,
    /// The owner's address.
    pub email: String,
    /// What was paid, EUR.
    pub amount: Money,
    /// The rule.
    pub rule: String,
    /// Why, for staff.
    pub detail: String,
    /// `OPEN`, `RELEASED`, `REFUNDING` or `REFUNDED`.
    pub state: String,
    /// When it was held.
    pub created_at: DateTime<Utc>,
    /// When somebody decided.
    pub decided_at: Option<DateTime<Utc>>,
    /// What they found.
    pub note: Option<String>,
}

/// Held payments in a state, the oldest first, and how many there are.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, state: Option<&str>, page: Page) -> Result<(Vec<Hold>, u64)> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query!(
        r#"-- store.cards.holds.list
        select h.id, h.top_up_id, h.user_id, u.email, coalesce(p.credited_amount, p.amount) as "amount!", h.rule, h.detail, h.state,
               h.created_at, h.decided_at, h.note
          from payment_holds h join top_ups p on p.id = h.top_up_id join users u on u.id = h.user_id
         where h.rule <> 'UNREAD' and ($1::text is null or h.state = $1) order by h.created_at, h.id limit $2 offset $3"#,
        state,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let total: i64 = sqlx::query_scalar!(
        r#"-- store.cards.holds.count
        select count(*) as "count!" from payment_holds where rule <> 'UNREAD' and ($1::text is null or state = $1)"#,
        state
    )
    .fetch_one(tx.uncached())
    .await?;
    let found = rows
        .into_iter()
        .map(|row| {
            Ok(Hold {
                id: row.id,
                top_up: TopUpId(row.top_up_id),
                user: UserId(row.user_id),
                email: row.email,
                amount: money_of(row.amount)?,
                rule: row.rule,
                detail: row.detail,
                state: row.state,
                created_at: row.created_at,
                decided_at: row.decided_at,
                note: row.note,
            })
        })
        .collect::<Result<_>>()?;
    Ok((found, how_many_of(total)))
}

/// A held payment.
///
/// # Errors
/// [`StoreError`].
pub async fn one(store: &Store, id: Uuid) -> Result<Option<Hold>> {
    let row = sqlx::query!(
        r#"-- store.cards.holds.one
        select h.id, h.top_up_id, h.user_id, u.email, coalesce(p.credited_amount, p.amount) as "amount!", h.rule, h.detail, h.state,
               h.created_at, h.decided_at, h.note
          from payment_holds h join top_ups p on p.id = h.top_up_id join users u on u.id = h.user_id
         where h.id = $1 and h.rule <> 'UNREAD'"#,
        id
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(|row| {
        Ok(Hold {
            id: row.id,
            top_up: TopUpId(row.top_up_id),
            user: UserId(row.user_id),
            email: row.email,
            amount: money_of(row.amount)?,
            rule: row.rule,
            detail: row.detail,
            state: row.state,
            created_at: row.created_at,
            decided_at: row.decided_at,
            note: row.note,
        })
    })
    .transpose()
}

/// How many payments are held, and since when the oldest is.
///
/// # Errors
/// [`StoreError`].
pub async fn waiting(store: &Store) -> Result<(u64, Option<DateTime<Utc>>)> {
    let row = sqlx::query!(
        r#"-- store.cards.holds.waiting
        select count(*) as "count!", min(created_at) as since from payment_holds where state = 'OPEN' and rule <> 'UNREAD'"#
    )
    .fetch_one(store.alone())
    .await?;
    Ok((how_many_of(row.count), row.since))
}

/// Whether a payment of a user is held by a rule.
///
/// # Errors
/// [`StoreError`].
pub async fn is_held(store: &Store, user: UserId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.cards.holds.is_held
        select exists (select from payment_holds where user_id = $1 and state in ('OPEN', 'REFUNDING') and rule <> 'UNREAD') as "held!""#,
        user.0
    )
    .fetch_one(store.alone())
    .await?)
}

/// What staff decide about a held payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is good: copies that waited are bought and delivered.
    Release,
    /// It goes back: copies that are not paid for at the supplier are refunded, then what is left goes to the card.
    Refund,
}

/// Why a held payment was not decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// None is held with this id.
    #[error("Held payment not found")]
    NotFound,
    /// It is the caller's own.
    #[error("This is your own payment. Ask somebody else to decide about it.")]
    Own,
    /// More than the caller may refund within a day without giving the password again.
    #[error("This is more than {limit} EUR within a day. Enter your password again.")]
    NotConfirmed {
        /// The limit, EUR.
        limit: Money,
    },
    /// The owner has a permission that the caller lacks.
    #[error(transparent)]
    Refused(Refused),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(DecideError);

/// Decides about a held payment, and so about everything that holds the same top-up. The audit log records it. Unless
/// `confirmed`, the limit of the role holds for a refund.
///
/// # Errors
/// [`DecideError`]; then nothing has changed.
pub async fn decide(
    store: &Store,
    (admin, confirmed): (UserId, bool),
    id: Uuid,
    decision: Decision,
    note: &str,
) -> Result<(), DecideError> {
    let note = note.to_owned();
    store
        .tx("cards.holds.decide", move |tx| {
            let note = note.clone();
            Box::pin(async move {
                let hold = sqlx::query!(
                    "-- store.cards.holds.find
                    select h.top_up_id, h.user_id, p.amount from payment_holds h join top_ups p on p.id = h.top_up_id
                     where h.id = $1 for no key update of p",
                    id
                )
                .fetch_optional(tx.conn())
                .await
                .map_err(StoreError::from)?
                .ok_or(DecideError::NotFound)?;
                let user = UserId(hold.user_id);
                if user == admin {
                    return Err(DecideError::Own);
                }
                lock_user(tx, user).await?;
                staff::not_above(tx, admin, user).await.map_err(|error| match error {
                    AccountError::Refused(refused) => DecideError::Refused(refused),
                    AccountError::Store(error) => error.into(),
                    _ => DecideError::NotFound,
                })?;
                if decision == Decision::Refund
                    && !confirmed
                    && let Some((limit, refunded)) = staff::refund_limit(tx, admin).await?
                    && refunded
                        .checked_add(money_of(hold.amount)?)
                        .is_none_or(|sum| sum > limit)
                {
                    return Err(DecideError::NotConfirmed { limit });
                }
                let state = match decision {
                    Decision::Release => "RELEASED",
                    Decision::Refund => "REFUNDING",
                };
                let decided = sqlx::query_scalar!(
                    "-- store.cards.holds.decide
                    update payment_holds set state = $2, decided_at = now(), decided_by = $3, note = $4
                     where top_up_id = $1 and state = 'OPEN' and rule <> 'UNREAD'
                       and exists (select from payment_holds where id = $5 and state = 'OPEN')
                    returning rule",
                    hold.top_up_id,
                    state,
                    admin.0,
                    short(&note, 500),
                    id
                )
                .fetch_all(tx.conn())
                .await
                .map_err(StoreError::from)?;
                if decided.is_empty() {
                    return Err(DecideError::NotFound);
                }
                wake_units(tx, user).await?;
                let deed = AuditEntry {
                    admin,
                    action: match decision {
                        Decision::Release => "payment.hold.release",
                        Decision::Refund => "payment.hold.refund",
                    },
                    subject: ("top_up", hold.top_up_id),
                    details: serde_json::json!({"rules": decided, "user": user, "note": note}),
                };
                audit::write(tx, &deed).await?;
                Ok(())
            })
        })
        .await
}

/// Has the undelivered units of a user looked at now: they go on, or go back.
async fn wake_units(tx: &mut Tx, user: UserId) -> Result<()> {
    release_units(tx, user).await?;
    sqlx::query!(
        "-- store.cards.holds.wake
        update order_units set not_before = now()
         where id in (select u.id from order_units u join orders o on o.id = u.order_id
                       where o.user_id = $1 and o.status in ('PENDING', 'PROCESSING') and u.state in ('NEW', 'ORDERED')
                         and u.worker is null and u.not_before > now()
                         for no key update of u skip locked)
           and copies_go_back($1)",
        user.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Has the money of payments that go back refunded to their cards, once none of their owner's copies can go back any more.
/// Returns how many.
///
/// # Errors
/// [`StoreError`]; the others are left for the next time.
pub async fn refund_decided(store: &Store, provider: &'static str) -> Result<u32> {
    let due: Vec<Uuid> = sqlx::query_scalar!(
        "-- store.cards.holds.refunding
        select distinct h.top_up_id from payment_holds h join top_ups p on p.id = h.top_up_id
         where h.state = 'REFUNDING' and p.provider = $1
           and not exists (select from orders o join order_units u on u.order_id = o.id
                            where o.user_id = h.user_id and o.status in ('PENDING', 'PROCESSING')
                              and u.state in ('NEW', 'ORDERING', 'ORDERED', 'LOST'))
         limit 100",
        provider
    )
    .fetch_all(store.alone())
    .await?;
    let mut refunded = 0;
    for top_up in due {
        let done: Result<bool> = store
            .tx("cards.holds.refund", move |tx| {
                Box::pin(async move { refund_once(tx, provider, TopUpId(top_up)).await })
            })
            .await;
        refunded += u32::from(done?);
    }
    Ok(refunded)
}

/// Ends the holds of a top-up with a refund of what is left of it; without one if nothing is left.
async fn refund_once(tx: &mut Tx, provider: &'static str, top_up: TopUpId) -> Result<bool> {
    let hold = sqlx::query!(
        r#"-- store.cards.holds.refunding_one
        select h.decided_by as "decided_by!", h.user_id, h.note from payment_holds h join top_ups p on p.id = h.top_up_id
         where h.top_up_id = $1 and h.state = 'REFUNDING' order by h.id limit 1 for no key update of p"#,
        top_up.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(hold) = hold else { return Ok(false) };
    let user = UserId(hold.user_id);
    let new = NewRefund {
        admin: UserId(hold.decided_by),
        top_up,
        amount: None,
        reason: hold.note,
        key: Some("hold".into()),
        // They gave it, or were asked for it, when they decided.
        confirmed: true,
        providers: vec![provider],
    };
    let refund = match refunds::request_once(tx, &new).await {
        Ok(refund) => Some(refund.id),
        // Everything went back otherwise.
        Err(RefundError::TooMuch { .. }) => None,
        Err(RefundError::Store(error)) => return Err(error),
        Err(refused) => {
            let why = format!("top-up {top_up} was to be refunded, and cannot be: {refused}");
            let incident = Incident::new(IncidentKind::RefundWaiting, &format!("hold {top_up}"), why);
            incidents::add(tx, top_up, user, &incident).await?;
            None
        }
    };
    let paid_copies = sqlx::query_scalar!(
        r#"-- store.cards.holds.paid_copies
        select count(*) as "count!" from orders o join order_units u on u.order_id = o.id
         where o.user_id = $1 and o.status in ('PENDING', 'PROCESSING') and u.state in ('PAYING', 'PAID', 'FETCHING')"#,
        user.0
    )
    .fetch_one(tx.conn())
    .await?;
    if paid_copies > 0 {
        let why = format!(
            "top-up {top_up} was refunded; {paid_copies} copies of its owner are paid for at the supplier and wait"
        );
        let incident = Incident::new(IncidentKind::CopiesWait, &format!("hold {top_up}"), why);
        incidents::add(tx, top_up, user, &incident).await?;
    }
    sqlx::query!(
        "-- store.cards.holds.refunded
        update payment_holds set state = 'REFUNDED', refund_id = $2 where top_up_id = $1 and state = 'REFUNDING'",
        top_up.0,
        refund
    )
    .execute(tx.conn())
    .await?;
    Ok(refund.is_some())
}

/// How the holds of a rule ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldCounts {
    /// The rule.
    pub rule: String,
    /// Payments that it held.
    pub held: u64,
    /// Those that wait.
    pub open: u64,
    /// Those that staff found to be good: false holds.
    pub released: u64,
    /// Those that went back.
    pub refunded: u64,
    /// Those that were released, and disputed or reported as fraud all the same.
    pub regretted: u64,
}

/// How holds since `from` and before `until` ended, by rule.
///
/// # Errors
/// [`StoreError`].
pub async fn report(tx: &mut Tx, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<HoldCounts>> {
    let rows = sqlx::query!(
        r#"-- store.cards.holds.report
        select h.rule, count(*) as "held!", count(*) filter (where h.state = 'OPEN') as "open!",
               count(*) filter (where h.state = 'RELEASED') as "released!",
               count(*) filter (where h.state in ('REFUNDING', 'REFUNDED')) as "refunded!",
               count(*) filter (where h.state = 'RELEASED' and (
                   exists (select from disputes d where d.top_up_id = h.top_up_id)
                   or exists (select from payment_incidents i where i.top_up_id = h.top_up_id and i.kind = 'FRAUD_WARNING')))
               as "regretted!"
          from payment_holds h where h.rule <> 'UNREAD' and h.created_at >= $1 and h.created_at < $2 group by h.rule order by h.rule"#,
        from,
        until
    )
    .fetch_all(tx.uncached())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| HoldCounts {
            rule: row.rule,
            held: how_many_of(row.held),
            open: how_many_of(row.open),
            released: how_many_of(row.released),
            refunded: how_many_of(row.refunded),
            regretted: how_many_of(row.regretted),
        })
        .collect())
}
