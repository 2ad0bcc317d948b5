//! The charge of a paid top-up: what a later dispute names, and what the provider kept of it.

use lockstep_domain::Money;
use lockstep_domain::ids::TopUpId;

use super::{Applied, PaymentRef};
use crate::{Result, Store};

/// A charge as the provider reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeReading {
    /// The provider's name of it.
    pub charge: String,
    /// The payment that it belongs to.
    pub intent: Option<String>,
    /// The shop's id in its metadata.
    pub top_up: Option<TopUpId>,
    /// What was paid, in units of the currency.
    pub amount: Money,
    /// ISO code, upper case.
    pub currency: String,
    /// What the provider kept, EUR; `None` while it is not known.
    pub fee: Option<Money>,
    /// The country of the card, two letters.
    pub card_country: Option<String>,
    /// The provider's fingerprint of the card's number.
    pub card_fingerprint: Option<String>,
}

/// Stores the charge of a top-up that is credited; a later reading adds what was not known.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn store_charge(store: &Store, provider: &str, read: &ChargeReading) -> Result<Applied> {
    let country = (read.card_country.as_deref())
        .filter(|code| code.len() == 2 && code.bytes().all(|letter| letter.is_ascii_uppercase()));
    let row = sqlx::query!(
        r#"-- store.cards.charges.store
        with found as (
            select id, status = 'COMPLETED' as is_paid from top_ups where provider = $1 and id = coalesce(
                   (select top_up_id from top_up_charges where charge = $2),
                   (select top_up_id from top_up_charges where payment_intent = $3), $4)),
        stored as (
            insert into top_up_charges as c (top_up_id, charge, payment_intent, amount, currency, fee, card_country, card_fingerprint)
            select id, $2, $3, $5, $6, $7, $8, $9 from found where is_paid
            on conflict (top_up_id) do update
               set fee = coalesce(excluded.fee, c.fee), card_country = coalesce(excluded.card_country, c.card_country),
                   card_fingerprint = coalesce(excluded.card_fingerprint, c.card_fingerprint),
                   payment_intent = coalesce(c.payment_intent, excluded.payment_intent), read_at = now()
             where c.charge = excluded.charge
               and (c.fee, c.card_country, c.card_fingerprint, c.payment_intent) is distinct from
                   (coalesce(excluded.fee, c.fee), coalesce(excluded.card_country, c.card_country),
                    coalesce(excluded.card_fingerprint, c.card_fingerprint), coalesce(c.payment_intent, excluded.payment_intent))
            returning 1)
        select id, is_paid as "is_paid!", exists (select from stored) as "is_new!" from found"#,
        provider,
        read.charge,
        read.intent,
        read.top_up.map(|id| id.0),
        read.amount.decimal(),
        read.currency,
        read.fee.map(Money::decimal),
        country,
        read.card_fingerprint
    )
    .fetch_optional(store.alone())
    .await?;
    Ok(match row {
        None => Applied::NotOurs,
        Some(row) if !row.is_paid => Applied::NotCredited(TopUpId(row.id)),
        Some(row) if row.is_new => Applied::Changed,
        Some(_) => Applied::Same,
    })
}

/// The top-up of a charge or payment that is stored.
///
/// # Errors
/// [`StoreError`](crate::StoreError).
pub async fn is_known(store: &Store, payment: &PaymentRef) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.cards.charges.is_known
        select exists (select from top_up_charges where charge = $1)
            or exists (select from top_up_charges where payment_intent = $2) as "known!""#,
        payment.charge,
        payment.intent
    )
    .fetch_one(store.alone())
    .await?)
}
