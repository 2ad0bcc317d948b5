//! E-mails about finished parts of an order, queued in the transaction that finishes them: each order unit is reported
//! once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lockstep_domain::email_template::{DeliveredCopy, EmailTemplate, RefundedCopy};
use lockstep_domain::ids::{KeyId, OrderId, UnitId, UserId};
use lockstep_domain::{Money, Secret};
use uuid::Uuid;

use crate::row::{money_of, refund_reason_of};
use crate::{Result, StoreError, Tx};

/// How long an e-mail about keys is worth sending.
const GOOD_FOR: Duration = Duration::from_hours(7 * 24);

/// Opens a sealed key; `None` if it cannot.
pub type KeyText = Arc<dyn Fn(KeyId, &[u8]) -> Option<Secret> + Send + Sync>;

/// What e-mails may contain.
#[derive(Clone, Default)]
pub struct EmailSettings {
    /// Opens keys, for an operator who wants e-mails to contain them. `None`: e-mails contain a link.
    pub with_keys: Option<KeyText>,
}

impl fmt::Debug for EmailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailSettings")
            .field("with_keys", &self.with_keys.is_some())
            .finish()
    }
}

/// Queues the e-mails about units that have ended and were not reported yet: delivered ones and refunded ones.
pub(super) async fn tell(tx: &mut Tx, order: OrderId, user: UserId, emails: &EmailSettings) -> Result<()> {
    let rows = sqlx::query!(
        r#"-- store.fulfilment.tell
        with told as (
            update order_units set told_at = now()
             where order_id = $1 and state in ('DONE', 'REFUNDED') and told_at is null returning *)
        select u.state, u.price_paid, u.refunded_for, g.title, o.number, k.id as "key_id?",
               k.key_ciphertext as "key_ciphertext?", k.is_file as "is_file?", p.email,
               coalesce(p.nickname, split_part(p.email, '@', 1)) as "nickname!",
               exists (select from order_consents c where c.order_id = o.id) as "has_consent!"
          from told u join games g on g.id = u.game_id join orders o on o.id = u.order_id
          join users p on p.id = o.user_id left join game_keys k on k.order_unit_id = u.id
         order by g.title, u.position"#,
        order.0
    )
    .fetch_all(tx.conn())
    .await?;
    let (mut copies, mut returned, mut amount, mut shown) = (Vec::new(), Vec::new(), Money::ZERO, Vec::new());
    for row in &rows {
        let title = row.title.clone();
        if row.state == "DONE" {
            let (Some(id), Some(sealed), Some(is_file)) = (row.key_id, &row.key_ciphertext, row.is_file) else {
                return Err(StoreError::Schema("a delivered unit without its key".into()));
            };
            let id = KeyId(id);
            let open = emails.with_keys.as_ref().filter(|_| row.has_consent && !is_file);
            let key = open.and_then(|open| open(id, sealed));
            if key.is_some() {
                shown.push(id.0);
            }
            copies.push(DeliveredCopy { title, key });
        } else {
            let price = money_of(row.price_paid)?;
            amount = amount
                .checked_add(price)
                .ok_or_else(|| StoreError::Schema("an order's refunds do not fit".into()))?;
            returned.push(RefundedCopy {
                title,
                reason: row.refunded_for.as_deref().map(refund_reason_of).transpose()?,
                price: Some(price),
            });
        }
    }
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let (email, nickname, number) = (&first.email, &first.nickname, &first.number);
    let needs_consent = !first.has_consent;
    let order = order.to_string();
    if !copies.is_empty() {
        let template = EmailTemplate::KeysReady {
            nickname: nickname.clone(),
            order: order.clone(),
            number: Some(number.clone()),
            copies,
            needs_consent,
        };
        crate::mail::enqueue(tx, user, email, &template, GOOD_FOR).await?;
        note_mailed(tx, &shown, user).await?;
    }
    if amount > Money::ZERO {
        let template = EmailTemplate::Refund {
            nickname: nickname.clone(),
            order,
            number: Some(number.clone()),
            amount,
            copies: returned,
        };
        crate::mail::enqueue(tx, user, email, &template, GOOD_FOR).await?;
    }
    Ok(())
}

/// Records that an e-mail shows these keys to their owner.
async fn note_mailed(tx: &mut Tx, shown: &[Uuid], user: UserId) -> Result<()> {
    sqlx::query!(
        "-- store.fulfilment.tell.reveals
            insert into key_reveals (game_key_id, user_id, how) select id, $2, 'MAIL' from unnest($1::uuid[]) id",
        shown,
        user.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Queues the e-mail about the key that a unit has in place of a faulty one.
pub(super) async fn tell_replaced(tx: &mut Tx, unit: UnitId, emails: &EmailSettings) -> Result<()> {
    let row = sqlx::query!(
        r#"-- store.fulfilment.tell_replaced
        select o.id as order_id, o.number, o.user_id, p.email,
               coalesce(p.nickname, split_part(p.email, '@', 1)) as "nickname!", g.title, k.id, k.key_ciphertext, k.is_file,
               exists (select from order_consents c where c.order_id = o.id) as "has_consent!"
          from order_units u join orders o on o.id = u.order_id join users p on p.id = o.user_id
          join games g on g.id = u.game_id join game_keys k on k.order_unit_id = u.id
         where u.id = $1"#,
        unit.0
    )
    .fetch_one(tx.conn())
    .await?;
    let user = UserId(row.user_id);
    let open = emails.with_keys.as_ref().filter(|_| row.has_consent && !row.is_file);
    let key = open.and_then(|open| open(KeyId(row.id), &row.key_ciphertext));
    if key.is_some() {
        note_mailed(tx, &[row.id], user).await?;
    }
    let template = EmailTemplate::KeysReady {
        nickname: row.nickname,
        order: row.order_id.to_string(),
        number: Some(row.number),
        copies: vec![DeliveredCopy { title: row.title, key }],
        needs_consent: !row.has_consent,
    };
    crate::mail::enqueue(tx, user, &row.email, &template, GOOD_FOR).await
}
