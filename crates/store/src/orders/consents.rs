//! Consents to deliver keys before the withdrawal period ends. The database shows no key of an order without one.

use std::time::Duration;

use lockstep_domain::consent::{AgreedWording, Consent};
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::{OrderId, UserId};

use crate::row::nickname_of;
use crate::{Result, Store, StoreError, Subject, Tx, mail};

/// How long a confirmation is worth sending.
const NOTICE: Duration = Duration::from_hours(72);

/// Records the consent of an order. False if it has one: the first one counts.
pub(super) async fn record(tx: &mut Tx, order: OrderId, consent: &Consent) -> Result<bool> {
    let wording = consent.wording();
    let done = sqlx::query!(
        "-- store.orders.consents.record
        insert into order_consents (order_id, source, wording, language, text, address, user_agent)
        values ($1, $2, $3, $4, $5, $6, $7) on conflict (order_id) do nothing",
        order.0,
        consent.source(),
        wording.map(|wording| wording.version),
        wording.map(|wording| wording.language),
        wording.map(|wording| wording.text),
        wording.and_then(|wording| wording.address.as_deref()),
        wording.and_then(|wording| wording.user_agent.as_deref()).map(short)
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The beginning of a user agent, as much as is kept.
fn short(user_agent: &str) -> String {
    user_agent.chars().take(500).collect()
}

/// Records the consent of an order of `user` and confirms it by e-mail: its keys are shown from now on. Nothing changes if
/// it has one. False if the order is not theirs.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub async fn consent(store: &Store, user: UserId, order: OrderId, wording: &AgreedWording) -> Result<bool> {
    let wording = wording.clone();
    store
        .tx_about("orders.consent", &[Subject::Order(order)], move |tx| {
            let consent = Consent::Shopper(wording.clone());
            Box::pin(async move {
                let buyer = sqlx::query!(
                    "-- store.orders.consents.buyer
                    select o.number, p.email, p.nickname from orders o join users p on p.id = o.user_id
                     where o.id = $1 and o.user_id = $2 and p.deleted_at is null",
                    order.0,
                    user.0
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(buyer) = buyer else { return Ok(false) };
                if record(tx, order, &consent).await? {
                    let template = EmailTemplate::ConsentConfirmed {
                        nickname: nickname_of(buyer.nickname),
                        order: order.to_string(),
                        number: buyer.number,
                        consent: consent
                            .wording()
                            .map(|wording| wording.text.to_owned())
                            .unwrap_or_default(),
                    };
                    mail::enqueue(tx, user, &buyer.email, &template, NOTICE).await?;
                }
                Ok::<_, StoreError>(true)
            })
        })
        .await
}
