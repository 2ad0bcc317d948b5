//! Top-ups for staff: which there are, and what became of the money of one.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::{ChargeRow, Page, TopUpCheckoutRow, TopUpList, TopUpRow};
use lockstep_domain::ids::TopUpId;
use lockstep_domain::purchase::PaymentStatus;

use super::{bounds, contains, user_brief};
use crate::row::{checkout_reason_of, checkout_state_of, how_many_of, money_of};
use crate::{Result, Tx};

/// Which top-ups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Status of the payment.
    pub status: Option<PaymentStatus>,
    /// Text contained in the owner's address, or the beginning of one of the provider's IDs.
    pub text: Option<String>,
    /// Country of the card, two letters.
    pub country: Option<String>,
    /// Only those with a refund, a dispute or an open incident.
    pub is_troubled: bool,
    /// From this time on.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
}

/// Top-ups, newest first.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, filter: &Filter, page: Page) -> Result<TopUpList> {
    let (limit, offset) = bounds(page);
    let status = filter.status.map(PaymentStatus::as_str);
    let (part, start) = match &filter.text {
        None => (None, None),
        Some(text) => (Some(contains(text)), Some(text.as_str())),
    };
    let rows = sqlx::query!(
        r#"-- store.admin.top_ups.list
        select p.id, p.user_id, u.email, u.nickname, u.first_name, u.last_name, p.amount, p.credited_amount, p.method, p.provider,
               p.status::text as "status!", p.reference, case when p.reviewed_at is null then p.review end as review,
               c.card_country as "card_country?", p.created_at
          from top_ups p join users u on u.id = p.user_id left join top_up_charges c on c.top_up_id = p.id
         where ($1::text is null or p.status = $1::text::payment_status)
           and ($2::text is null or u.email ilike $2 or starts_with(p.reference, $3) or starts_with(c.charge, $3)
                or starts_with(c.payment_intent, $3) or p.id::text = $3)
           and ($4::text is null or c.card_country = $4)
           and (not $5 or exists (select from card_refunds r where r.top_up_id = p.id)
                or exists (select from disputes d where d.top_up_id = p.id)
                or exists (select from payment_incidents i where i.top_up_id = p.id and i.resolved_at is null))
           and ($6::timestamptz is null or p.created_at >= $6) and ($7::timestamptz is null or p.created_at < $7)
         order by p.created_at desc, p.id desc limit $8 offset $9"#,
        status,
        part,
        start,
        filter.country,
        filter.is_troubled,
        filter.from,
        filter.until,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let total = sqlx::query_scalar!(
        r#"-- store.admin.top_ups.count
        select count(*) as "count!" from top_ups p join users u on u.id = p.user_id left join top_up_charges c on c.top_up_id = p.id
         where ($1::text is null or p.status = $1::text::payment_status)
           and ($2::text is null or u.email ilike $2 or starts_with(p.reference, $3) or starts_with(c.charge, $3)
                or starts_with(c.payment_intent, $3) or p.id::text = $3)
           and ($4::text is null or c.card_country = $4)
           and (not $5 or exists (select from card_refunds r where r.top_up_id = p.id)
                or exists (select from disputes d where d.top_up_id = p.id)
                or exists (select from payment_incidents i where i.top_up_id = p.id and i.resolved_at is null))
           and ($6::timestamptz is null or p.created_at >= $6) and ($7::timestamptz is null or p.created_at < $7)"#,
        status,
        part,
        start,
        filter.country,
        filter.is_troubled,
        filter.from,
        filter.until
    )
    .fetch_one(tx.uncached())
    .await?;
    let top_ups = rows
        .into_iter()
        .map(|row| {
            Ok(TopUpRow {
                id: row.id,
                amount: money_of(row.amount)?,
                credited: row.credited_amount.map(money_of).transpose()?,
                method: row.method,
                provider: row.provider,
                status: row.status,
                reference: row.reference,
                review: row.review,
                card_country: row.card_country,
                created_at: row.created_at,
                user: user_brief!(row),
            })
        })
        .collect::<Result<_>>()?;
    Ok(TopUpList {
        top_ups,
        paging: page.of(how_many_of(total)),
    })
}

/// A top-up, without its refunds, disputes and incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The top-up.
    pub top_up: TopUpRow,
    /// The last problem with it.
    pub problem: Option<String>,
    /// Its charge, once it was read.
    pub charge: Option<ChargeRow>,
    /// The order that it was to pay for.
    pub checkout: Option<TopUpCheckoutRow>,
    /// What can be refunded to the card now, EUR.
    pub refundable: Money,
    /// The owner's balance, EUR.
    pub balance: Money,
}

/// A top-up with its charge.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn sheet(tx: &mut Tx, id: TopUpId) -> Result<Option<Sheet>> {
    let row = sqlx::query!(
        r#"-- store.admin.top_ups.sheet
        select p.id, p.user_id, u.email, u.nickname, u.first_name, u.last_name, p.amount, p.credited_amount, p.method, p.provider,
               p.status::text as "status!", p.reference, case when p.reviewed_at is null then p.review end as review, p.problem,
               p.created_at, u.balance, greatest(0, least(coalesce(top_up_left(p.id), 0), u.balance)) as "refundable!",
               c.charge as "charge?", c.payment_intent as "payment_intent?", c.amount as "paid?", c.currency as "currency?",
               c.fee as "fee?", c.card_country as "card_country?", c.card_fingerprint as "card_fingerprint?",
               o.state as "state?", o.reason as "reason?", o.order_id as "order_id?", o.total as "total?"
          from top_ups p join users u on u.id = p.user_id left join top_up_charges c on c.top_up_id = p.id
          left join pending_checkouts o on o.top_up_id = p.id where p.id = $1"#,
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let charge = match (row.charge, row.paid, row.currency) {
        (Some(charge), Some(paid), Some(currency)) => Some(ChargeRow {
            charge,
            payment_intent: row.payment_intent,
            amount: money_of(paid)?,
            currency,
            fee: row.fee.map(money_of).transpose()?,
            card_country: row.card_country.clone(),
            card_fingerprint: row.card_fingerprint,
        }),
        _ => None,
    };
    let checkout = match (row.state, row.total) {
        (Some(state), Some(total)) => Some(TopUpCheckoutRow {
            state: checkout_state_of(&state)?,
            reason: row.reason.as_deref().map(checkout_reason_of).transpose()?,
            order_id: row.order_id,
            total: money_of(total)?,
        }),
        _ => None,
    };
    Ok(Some(Sheet {
        charge,
        checkout,
        problem: row.problem,
        refundable: money_of(row.refundable)?,
        balance: money_of(row.balance)?,
        top_up: TopUpRow {
            id: row.id,
            amount: money_of(row.amount)?,
            credited: row.credited_amount.map(money_of).transpose()?,
            method: row.method,
            provider: row.provider,
            status: row.status,
            reference: row.reference,
            review: row.review,
            card_country: row.card_country,
            created_at: row.created_at,
            user: user_brief!(row),
        },
    }))
}
