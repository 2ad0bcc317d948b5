//! How an order is taxed, recorded in its transaction.

use lockstep_domain::ids::{OrderId, UserId};
use lockstep_domain::tax::{Country, CountryEvidence, VatId, decide};

use super::{rates, settings};
use crate::{Result, Tx};

/// Records how the order that this transaction has just written is taxed, with all evidence about the buyer's country. Nothing
/// while VAT is off. `ip` is the country of the request, if a trusted proxy has named it.
///
/// A VAT id counts unless VIES was asked and did not confirm it.
///
/// # Errors
/// [`crate::StoreError`].
pub(crate) async fn freeze(tx: &mut Tx, user: UserId, order: OrderId, ip: Option<Country>) -> Result<()> {
    let stated = settings::newest(tx).await?;
    let Some(rules) = stated.rules() else {
        return Ok(());
    };
    let rates = rates::in_force(tx).await?;
    let known = sqlx::query!(
        r#"-- store.vat.freeze.known
        select b.country as "country?", b.vat_id as "vat_id?", b.vat_id_check as "vat_id_check?",
               (select c.card_country from top_ups p join top_up_charges c on c.top_up_id = p.id
                 where p.user_id = u.id order by p.created_at desc limit 1) as card_country,
               coalesce(nullif(b.name, ''), nullif(concat_ws(' ', u.first_name, u.last_name), '')) as buyer_name,
               nullif(b.street, '') as buyer_street, nullif(b.postcode, '') as buyer_postcode, nullif(b.city, '') as buyer_city
          from users u left join billing_profiles b on b.user_id = u.id where u.id = $1"#,
        user.0
    )
    .fetch_one(tx.conn())
    .await?;
    let evidence = CountryEvidence {
        billing: known.country.as_deref().and_then(Country::new),
        ip,
        card: known.card_country.as_deref().and_then(Country::new),
    };
    let business = known
        .vat_id
        .as_deref()
        .filter(|_| known.vat_id_check.as_deref().is_none_or(|check| check == "VALID"))
        .and_then(|id| VatId::new(id).ok())
        .map(|id| id.country());
    let decision = decide(rules, &rates, &evidence, business);
    sqlx::query!(
        "-- store.vat.freeze
        insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof, billing_country,
                                 ip_country, card_country, buyer_name, buyer_street, buyer_postcode, buyer_city, buyer_vat_id,
                                 vat_id_check)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        order.0,
        stated.version,
        decision.treatment.as_str(),
        decision.country.as_str(),
        decision.rate,
        rates.source,
        rates.date,
        decision.proof.as_str(),
        evidence.billing.as_ref().map(Country::as_str),
        evidence.ip.as_ref().map(Country::as_str),
        evidence.card.as_ref().map(Country::as_str),
        known.buyer_name,
        known.buyer_street,
        known.buyer_postcode,
        known.buyer_city,
        known.vat_id,
        known.vat_id_check
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
