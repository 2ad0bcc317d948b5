//! What a case about a dispute consists of, what was sent to the provider, and the key that signs exported cases.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::ids::UserId;
use lockstep_domain::{Money, Secret};
use lockstep_vault::signing;
use serde_json::Value;
use uuid::Uuid;

use super::disputes::{self, Dispute};
use super::incidents::{self, Incident, IncidentKind};
use super::short;
use crate::audit::{self, AuditEntry};
use crate::row::{count_of, money_of, nickname_of};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// Most rows of each list of a case.
const MOST: i64 = 200;

/// The buyer and the payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The buyer's address.
    pub email: String,
    /// Whether the buyer has proved that it is theirs.
    pub email_verified: bool,
    /// The buyer's name in the shop.
    pub nickname: String,
    /// First and last name, if known.
    pub name: Option<String>,
    /// When the account was made.
    pub registered_at: DateTime<Utc>,
    /// When it was paid.
    pub paid_at: DateTime<Utc>,
    /// What was credited, EUR.
    pub amount: Money,
    /// The provider's charge.
    pub charge: Option<String>,
    /// The IP address from which it was begun.
    pub address: Option<String>,
    /// The browser.
    pub user_agent: Option<String>,
    /// Country of the card.
    pub card_country: Option<String>,
}

/// A copy that was bought with the money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its unit.
    pub unit: Uuid,
    /// Its order.
    pub order: Uuid,
    /// The game.
    pub title: String,
    /// What was paid for it, EUR.
    pub price: Money,
    /// When its order was placed.
    pub ordered_at: DateTime<Utc>,
    /// When its key was stored for the buyer; `None` if it was not delivered.
    pub delivered_at: Option<DateTime<Utc>>,
}

/// A view of a key by its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The unit of the key.
    pub unit: Uuid,
    /// The game.
    pub title: String,
    /// `API`, `PAGE`, `FILE`, `MAIL` or `CONSOLE`.
    pub how: String,
    /// The first time within a minute.
    pub at: DateTime<Utc>,
    /// How often within that minute.
    pub count: u32,
    /// The IP address of the owner's last log-in before it.
    pub address: Option<String>,
}

/// A log-in of the buyer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// When.
    pub at: DateTime<Utc>,
    /// From which IP address.
    pub address: Option<String>,
    /// With which browser.
    pub user_agent: Option<String>,
}

/// An earlier payment of the buyer that nobody disputed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierPayment {
    /// The provider's charge.
    pub charge: String,
    /// When it was paid.
    pub paid_at: DateTime<Utc>,
    /// EUR.
    pub amount: Money,
    /// The IP address from which it was begun.
    pub address: Option<String>,
    /// The buyer's e-mail address then.
    pub email: Option<String>,
    /// It counts for Compelling Evidence 3.0: 120 to 365 days before the disputed one, from the same IP address and account.
    pub is_compelling: bool,
}

/// Everything that the shop knows about a disputed payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFile {
    /// The dispute.
    pub dispute: Dispute,
    /// The buyer and the payment.
    pub payment: Payment,
    /// What was bought after it, the oldest first.
    pub copies: Vec<Copy>,
    /// Views of its keys, the oldest first.
    pub views: Vec<View>,
    /// Log-ins from a month before the payment on, the newest first.
    pub logins: Vec<Login>,
    /// Earlier payments, the newest first.
    pub earlier: Vec<EarlierPayment>,
    /// The consents that were given with its orders, as they are stored.
    pub consents: Vec<Value>,
}

/// Collects a case; `None` if there is no such dispute.
///
/// # Errors
/// [`StoreError`].
pub async fn collect(tx: &mut Tx, id: Uuid) -> Result<Option<CaseFile>> {
    let Some(case) = disputes::case(tx, id).await? else {
        return Ok(None);
    };
    let (top_up, user) = (case.dispute.top_up.0, case.dispute.user.0);
    let row = sqlx::query!(
        r#"-- store.cards.evidence.payment
        select coalesce(o.email, u.email) as "email!", u.email_verified, u.nickname, u.first_name, u.last_name, u.created_at as registered_at,
               t.created_at as paid_at, coalesce(p.credited_amount, p.amount) as "amount!", c.charge as "charge?",
               host(o.address) as address, o.user_agent as "user_agent?", c.card_country as "card_country?"
          from top_ups p join users u on u.id = p.user_id join transactions t on t.id = p.transaction_id
          left join top_up_charges c on c.top_up_id = p.id left join top_up_origins o on o.top_up_id = p.id where p.id = $1"#,
        top_up
    )
    .fetch_one(tx.conn())
    .await?;
    let name = [row.first_name, row.last_name]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    let payment = Payment {
        email: row.email,
        email_verified: row.email_verified,
        nickname: nickname_of(row.nickname),
        name: Some(name).filter(|name| !name.is_empty()),
        registered_at: row.registered_at,
        paid_at: row.paid_at,
        amount: money_of(row.amount)?,
        charge: row.charge,
        address: row.address,
        user_agent: row.user_agent,
        card_country: row.card_country,
    };
    let copies = sqlx::query!(
        r#"-- store.cards.evidence.copies
        select u.id, u.order_id, g.title, u.price_paid, o.created_at as ordered_at,
               case when u.state = 'DONE' then coalesce(k.created_at, u.updated_at) end as delivered_at
          from orders o join order_units u on u.order_id = o.id join games g on g.id = u.game_id
          left join game_keys k on k.order_unit_id = u.id
         where o.user_id = $1 and o.created_at >= $2 order by o.created_at, u.id limit $3"#,
        user,
        payment.paid_at,
        MOST
    )
    .fetch_all(tx.conn())
    .await?;
    let views = sqlx::query!(
        r#"-- store.cards.evidence.views
        select u.id, g.title, r.how, r.at, r.count,
               (select host(l.address) from login_history l
                 where l.user_id = r.user_id and l.succeeded and l.created_at <= r.at order by l.created_at desc limit 1) as address
          from orders o join order_units u on u.order_id = o.id join games g on g.id = u.game_id
          join game_keys k on k.order_unit_id = u.id join key_reveals r on r.game_key_id = k.id and r.user_id = o.user_id
         where o.user_id = $1 and o.created_at >= $2 order by r.at, r.id limit $3"#,
        user,
        payment.paid_at,
        MOST
    )
    .fetch_all(tx.conn())
    .await?;
    let logins = sqlx::query!(
        "-- store.cards.evidence.logins
        select created_at as at, host(address) as address, user_agent from login_history
         where user_id = $1 and succeeded and created_at >= $2::timestamptz - interval '30 days'
         order by created_at desc limit $3",
        user,
        payment.paid_at,
        MOST
    )
    .fetch_all(tx.conn())
    .await?;
    let earlier = sqlx::query!(
        r#"-- store.cards.evidence.earlier
        select c.charge, t.created_at as paid_at, coalesce(p.credited_amount, p.amount) as "amount!", host(o.address) as address,
               o.email as "email?",
               coalesce(o.address = d.address, false)
               and t.created_at between $3::timestamptz - interval '365 days' and $3::timestamptz - interval '120 days'
               as "is_compelling!"
          from top_ups p join top_up_charges c on c.top_up_id = p.id join transactions t on t.id = p.transaction_id
          left join top_up_origins o on o.top_up_id = p.id left join top_up_origins d on d.top_up_id = $2
         where p.user_id = $1 and p.id <> $2 and t.created_at < $3::timestamptz
           and not exists (select from disputes x where x.top_up_id = p.id)
           and not exists (select from payment_incidents i where i.top_up_id = p.id and i.kind = 'FRAUD_WARNING')
         order by t.created_at desc limit $4"#,
        user,
        top_up,
        payment.paid_at,
        MOST
    )
    .fetch_all(tx.conn())
    .await?;
    let orders: Vec<Uuid> = copies.iter().map(|copy| copy.order_id).collect();
    Ok(Some(CaseFile {
        consents: consents(tx, &orders).await?,
        copies: copies
            .into_iter()
            .map(|row| {
                Ok(Copy {
                    unit: row.id,
                    order: row.order_id,
                    title: row.title,
                    price: money_of(row.price_paid)?,
                    ordered_at: row.ordered_at,
                    delivered_at: row.delivered_at,
                })
            })
            .collect::<Result<_>>()?,
        views: views
            .into_iter()
            .map(|row| {
                Ok(View {
                    unit: row.id,
                    title: row.title,
                    how: row.how,
                    at: row.at,
                    count: count_of(row.count)?,
                    address: row.address,
                })
            })
            .collect::<Result<_>>()?,
        logins: logins
            .into_iter()
            .map(|row| Login {
                at: row.at,
                address: row.address,
                user_agent: row.user_agent,
            })
            .collect(),
        earlier: earlier
            .into_iter()
            .map(|row| {
                Ok(EarlierPayment {
                    charge: row.charge,
                    paid_at: row.paid_at,
                    amount: money_of(row.amount)?,
                    address: row.address,
                    email: row.email,
                    is_compelling: row.is_compelling,
                })
            })
            .collect::<Result<_>>()?,
        dispute: case.dispute,
        payment,
    }))
}

/// The consents of orders, the oldest first.
async fn consents(tx: &mut Tx, orders: &[Uuid]) -> Result<Vec<Value>> {
    let found = sqlx::query_scalar!(
        r#"-- store.cards.evidence.consents
        select to_jsonb(c) as "consent!" from order_consents c where order_id = any($1) order by order_id"#,
        orders
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(found)
}

/// Why evidence was not taken.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// No such dispute.
    #[error("Dispute not found")]
    NotFound,
    /// The provider does not ask for evidence (any more).
    #[error("The payment provider does not ask for evidence about this dispute.")]
    NotAsked,
    /// It was submitted already, or is being submitted.
    #[error("Evidence about this dispute was submitted already.")]
    Already,
    /// It is about the caller's own payment.
    #[error("This is about your own payment. Ask somebody else to submit evidence.")]
    Own,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(EvidenceError);

/// Writes evidence that a worker submits at the provider next: names of form fields, and their texts.
///
/// # Errors
/// [`EvidenceError`]; then nothing has changed.
pub async fn request(store: &Store, admin: UserId, dispute: Uuid, fields: Value) -> Result<Uuid, EvidenceError> {
    let fields = std::sync::Arc::new(fields);
    store
        .tx("cards.evidence.request", move |tx| {
            let fields = std::sync::Arc::clone(&fields);
            Box::pin(async move {
                let found = sqlx::query!(
                    r#"-- store.cards.evidence.dispute
                    select d.user_id, d.top_up_id, d.status like '%needs_response' as "is_asked!",
                           exists (select from dispute_evidence e where e.dispute_id = d.id and e.state <> 'REFUSED') as "is_sent!"
                      from disputes d where d.id = $1 for no key update"#,
                    dispute
                )
                .fetch_optional(tx.conn())
                .await
                .map_err(StoreError::from)?
                .ok_or(EvidenceError::NotFound)?;
                if found.user_id == admin.0 {
                    return Err(EvidenceError::Own);
                }
                if found.is_sent {
                    return Err(EvidenceError::Already);
                }
                if !found.is_asked {
                    return Err(EvidenceError::NotAsked);
                }
                let id = Uuid::now_v7();
                sqlx::query!(
                    "-- store.cards.evidence.request
                    insert into dispute_evidence (id, dispute_id, fields, requested_by) values ($1, $2, $3, $4)",
                    id,
                    dispute,
                    &*fields,
                    admin.0
                )
                .execute(tx.conn())
                .await
                .map_err(StoreError::from)
                .map_err(|error| match error.constraint() {
                    // Who waited for the lock has not seen what another wrote under it.
                    Some("dispute_evidence_once") => EvidenceError::Already,
                    _ => EvidenceError::Store(error),
                })?;
                let deed = AuditEntry {
                    admin,
                    action: "payment.evidence.submit",
                    subject: ("top_up", found.top_up_id),
                    details: serde_json::json!({"dispute": dispute, "evidence": id}),
                };
                audit::write(tx, &deed).await?;
                Ok(id)
            })
        })
        .await
}

/// Records in the audit log that a case was taken out.
///
/// # Errors
/// [`StoreError`].
pub async fn record_export(store: &Store, admin: UserId, dispute: Uuid, format: &'static str) -> Result<()> {
    store
        .tx("cards.evidence.record_export", move |tx| {
            Box::pin(async move {
                let deed = AuditEntry {
                    admin,
                    action: "payment.evidence.export",
                    subject: ("dispute", dispute),
                    details: serde_json::json!({"format": format}),
                };
                audit::write(tx, &deed).await
            })
        })
        .await
}

/// Evidence that the provider has to get.
#[derive(Debug, Clone, PartialEq)]
pub struct DueEvidence {
    /// Its id, which makes the idempotency key.
    pub id: Uuid,
    /// The provider's name of the dispute.
    pub dispute: String,
    /// Names of form fields, and their texts.
    pub fields: Vec<(String, String)>,
    /// How often it was claimed before.
    pub attempts: u32,
}

/// Claims evidence that is due for `lease`.
///
/// # Errors
/// [`StoreError`].
pub async fn claim(store: &Store, provider: &str, most: u32, lease: Duration) -> Result<Vec<DueEvidence>> {
    let rows = sqlx::query!(
        r#"-- store.cards.evidence.claim
        with taken as (
            update dispute_evidence set attempts = attempts + 1, asking_until = now() + make_interval(secs => $3),
                   not_before = now() + make_interval(mins => least(60, power(2, least(attempts, 6))::integer))
             where id in (select e.id from dispute_evidence e join disputes d on d.id = e.dispute_id join top_ups p on p.id = d.top_up_id
                           where e.state = 'REQUESTED' and e.not_before <= now() and p.provider = $1
                             and (e.asking_until is null or e.asking_until <= now())
                           order by e.not_before limit $2 for no key update of e skip locked)
            returning id, dispute_id, fields, attempts)
        select t.id, d.reference, t.fields, t.attempts - 1 as "before!" from taken t join disputes d on d.id = t.dispute_id"#,
        provider,
        i64::from(most),
        lease.as_secs_f64()
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter()
        .map(|row| {
            let fields = row.fields.as_object().into_iter().flatten();
            Ok(DueEvidence {
                id: row.id,
                dispute: row.reference,
                fields: fields
                    .filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())))
                    .collect(),
                attempts: count_of(row.before)?,
            })
        })
        .collect()
}

/// Records that the provider has the evidence.
///
/// # Errors
/// [`StoreError`].
pub async fn submitted(store: &Store, id: Uuid) -> Result<()> {
    sqlx::query!(
        "-- store.cards.evidence.submitted
        update dispute_evidence set state = 'SUBMITTED', answered_at = now(), asking_until = null, problem = null
         where id = $1 and state = 'REQUESTED'",
        id
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Records that the provider gave no usable answer; it is asked again.
///
/// # Errors
/// [`StoreError`].
pub async fn unanswered(store: &Store, id: Uuid, problem: &str) -> Result<()> {
    sqlx::query!(
        "-- store.cards.evidence.unanswered
        update dispute_evidence set asking_until = null, problem = $2 where id = $1 and state = 'REQUESTED'",
        id,
        short(problem, 500)
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Records that the provider refused the evidence: an incident, and staff may submit again.
///
/// # Errors
/// [`StoreError`].
pub async fn refused(store: &Store, id: Uuid, why: &str) -> Result<()> {
    let why = why.to_owned();
    store
        .tx("cards.evidence.refused", move |tx| {
            let why = why.clone();
            Box::pin(async move {
                let done = sqlx::query!(
                    "-- store.cards.evidence.refused
                    update dispute_evidence e set state = 'REFUSED', answered_at = now(), asking_until = null, problem = $2
                      from disputes d where e.id = $1 and e.state = 'REQUESTED' and d.id = e.dispute_id
                    returning d.reference, d.top_up_id, d.user_id, d.due_by",
                    id,
                    short(&why, 500)
                )
                .fetch_optional(tx.conn())
                .await?;
                if let Some(row) = done {
                    let incident = Incident {
                        due_at: row.due_by,
                        ..Incident::new(
                            IncidentKind::Evidence,
                            &id.to_string(),
                            format!("the payment provider does not take the evidence about {}: {why}", row.reference),
                        )
                    };
                    let top_up = lockstep_domain::ids::TopUpId(row.top_up_id);
                    incidents::add(tx, top_up, UserId(row.user_id), &incident).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Evidence as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// `REQUESTED`, `SUBMITTED` or `REFUSED`.
    pub state: String,
    /// When staff asked for it.
    pub created_at: DateTime<Utc>,
    /// When the provider answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// Why it waits or was refused.
    pub problem: Option<String>,
}

/// What was sent about a dispute last.
///
/// # Errors
/// [`StoreError`].
pub async fn last(store: &Store, dispute: Uuid) -> Result<Option<Sent>> {
    Ok(sqlx::query_as!(
        Sent,
        "-- store.cards.evidence.last
        select state, created_at, answered_at, problem from dispute_evidence where dispute_id = $1 order by created_at desc limit 1",
        dispute
    )
    .fetch_optional(store.alone())
    .await?)
}

/// Where the seed of a key is sealed.
pub fn place(id: Uuid) -> String {
    format!("evidence_key.sealed/{id}")
}

/// Signs a content with the shop's key, which is made at its first use. Returns the public key and the signature.
///
/// # Errors
/// [`StoreError`]: also if no secret of this process opens the key.
pub async fn sign(store: &Store, content: &[u8]) -> Result<([u8; 32], [u8; 64])> {
    let unreadable =
        || StoreError::Schema("the key that signs exported cases cannot be opened with LOCKSTEP_KEY_SECRET".into());
    for _ in 0..2 {
        let found = sqlx::query!("-- store.cards.evidence.key\nselect id, public_key, sealed from evidence_key")
            .fetch_optional(store.alone())
            .await?;
        if let Some(row) = found {
            let seed = store.open_secret(&place(row.id), &row.sealed).ok_or_else(unreadable)?;
            let key = signing::Key::of_seed(seed.expose()).ok_or_else(unreadable)?;
            return Ok((key.public(), key.sign(content)));
        }
        let (id, (seed, key)) = (Uuid::now_v7(), signing::Key::generate());
        let (sealed, public) = (store.seal_secret(&place(id), &Secret::new(seed))?, key.public());
        // Whoever is first makes it.
        sqlx::query!(
            "-- store.cards.evidence.make_key
            insert into evidence_key (id, public_key, sealed) values ($1, $2, $3) on conflict do nothing",
            id,
            &public[..],
            sealed
        )
        .execute(store.alone())
        .await?;
    }
    Err(unreadable())
}

/// A page of sealed seeds, by id, for a rotation of `LOCKSTEP_KEY_SECRET`.
///
/// # Errors
/// [`StoreError`].
pub async fn sealed_page(store: &Store, after: Option<Uuid>, most: u32) -> Result<Vec<(Uuid, Vec<u8>)>> {
    let rows = sqlx::query!(
        "-- store.cards.evidence.sealed
        select id, sealed from evidence_key where ($1::uuid is null or id > $1) order by id limit $2",
        after,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.sealed)).collect())
}

/// Replaces a sealed seed if it is still the one that was read.
///
/// # Errors
/// [`StoreError`].
pub async fn reseal(store: &Store, id: Uuid, before: &[u8], after: &[u8]) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.cards.evidence.reseal\nupdate evidence_key set sealed = $3 where id = $1 and sealed = $2",
        id,
        before,
        after
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}
