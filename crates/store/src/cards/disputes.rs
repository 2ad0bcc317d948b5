//! Disputes: a lien on what is left of the money while one is open, a debt for what is missing once it is lost.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::Page;
use lockstep_domain::ids::{OrderId, TopUpId, UserId};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::incidents::{self, Incident, IncidentKind};
use super::{Applied, Object, Owned, PaymentRef, divide, euro_of, owner_of, release_units, short, tell_of_no_owner};
use crate::paging::bounds;
use crate::row::money_of;
use crate::{Result, Store, StoreError, Tx};

/// What a dispute's status means for the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisputeState {
    /// Not decided.
    Open,
    /// The shop keeps the money.
    Won,
    /// The money is gone.
    Lost,
}

impl DisputeState {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Won => "WON",
            Self::Lost => "LOST",
        }
    }

    fn of(name: &str) -> Result<Self> {
        match name {
            "OPEN" => Ok(Self::Open),
            "WON" => Ok(Self::Won),
            "LOST" => Ok(Self::Lost),
            other => Err(StoreError::Schema(format!("unknown state of a dispute {other}"))),
        }
    }
}

/// A dispute as it was read at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeReading {
    /// The provider's name of it.
    pub reference: String,
    /// What it is about.
    pub payment: PaymentRef,
    /// What it takes, EUR; `None` in another currency: then the part of what was credited that `named` is of the charge.
    pub amount: Option<Money>,
    /// What is disputed, in units of `currency`.
    pub named: Money,
    /// ISO code, upper case.
    pub currency: String,
    /// The provider's word.
    pub status: String,
    /// Whether this version knows that word.
    pub is_known_status: bool,
    /// What the word means.
    pub state: DisputeState,
    /// The cardholder's reason, in the provider's words.
    pub reason: Option<String>,
    /// What the provider kept for it, EUR.
    pub fee: Money,
    /// When evidence has to be there.
    pub due_by: Option<DateTime<Utc>>,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// The number of the reading.
    pub read_number: i64,
}

/// Applies a reading of a dispute.
///
/// # Errors
/// [`StoreError`]; then nothing has changed.
pub async fn apply(store: &Store, provider: &'static str, read: &DisputeReading) -> Result<Applied> {
    let read = std::sync::Arc::new(read.clone());
    store
        .tx("cards.disputes.apply", move |tx| {
            let read = std::sync::Arc::clone(&read);
            Box::pin(async move { apply_once(tx, provider, &read).await })
        })
        .await
}

async fn apply_once(tx: &mut Tx, provider: &str, read: &DisputeReading) -> Result<Applied> {
    let object = Object {
        reference: &read.reference,
        status: &read.status,
        made_at: Some(read.opened_at),
    };
    let owned = match owner_of(tx, provider, &read.payment, object).await? {
        Ok(owned) => owned,
        Err(unusable) => return Ok(unusable),
    };
    let claimed = match read.amount {
        Some(amount) => amount,
        None => euro_of(tx, owned, read.named, &read.currency).await?,
    };
    let status = short(&read.status, 100);
    let reason = read
        .reason
        .as_deref()
        .map(|text| short(text, 100))
        .filter(|text| !text.is_empty());
    let known = sqlx::query!(
        "-- store.cards.disputes.known
        select id, read_number, status, state, claimed, fee, due_by from disputes where reference = $1 for no key update",
        read.reference
    )
    .fetch_optional(tx.conn())
    .await?;
    let is_first = known.is_none();
    let id = match known {
        Some(row) if row.read_number >= read.read_number => return Ok(Applied::Stale),
        Some(row) => {
            let is_same = row.status == status
                && row.state == read.state.as_str()
                && row.claimed == claimed.decimal()
                && row.fee == read.fee.decimal()
                && row.due_by == read.due_by;
            sqlx::query!(
                "-- store.cards.disputes.change
                update disputes set claimed = $2::numeric, amount = case $3::text when 'WON' then $2::numeric else least(amount, $2::numeric) end, state = $3::text, status = $4, reason = coalesce($5, reason), fee = $6, due_by = $7,
                       read_number = $8
                 where id = $1",
                row.id,
                claimed.decimal(),
                read.state.as_str(),
                status,
                reason,
                read.fee.decimal(),
                read.due_by,
                read.read_number
            )
            .execute(tx.conn())
            .await?;
            divide(tx, owned).await?;
            if let Some(at) = read.due_by {
                incidents::due(tx, IncidentKind::Dispute, &read.reference, at).await?;
            }
            if is_same {
                return Ok(Applied::Same);
            }
            row.id
        }
        None => {
            let id = Uuid::now_v7();
            sqlx::query!(
                "-- store.cards.disputes.open
                insert into disputes (id, reference, top_up_id, user_id, claimed, amount, state, status, reason, fee, due_by,
                                      read_number, opened_at)
                values ($1, $2, $3, $4, $5::numeric, case $6::text when 'WON' then $5::numeric else 0 end, $6::text, $7, $8, $9, $10, $11, $12)",
                id,
                read.reference,
                owned.top_up.0,
                owned.user.0,
                claimed.decimal(),
                read.state.as_str(),
                status,
                reason,
                read.fee.decimal(),
                read.due_by,
                read.read_number,
                read.opened_at
            )
            .execute(tx.conn())
            .await?;
            divide(tx, owned).await?;
            let incident = Incident {
                due_at: read.due_by,
                ..Incident::new(
                    IncidentKind::Dispute,
                    &read.reference,
                    format!(
                        "{} {} of top-up {} are disputed ({})",
                        read.named,
                        read.currency,
                        owned.top_up,
                        reason.as_deref().unwrap_or("no reason given")
                    ),
                )
            };
            incidents::add(tx, owned.top_up, owned.user, &incident).await?;
            id
        }
    };
    sqlx::query!(
        "-- store.cards.disputes.said
        insert into dispute_statuses (dispute_id, status) values ($1, $2) on conflict do nothing",
        id,
        status
    )
    .execute(tx.conn())
    .await?;
    if !read.is_known_status {
        let incident = Incident::new(
            IncidentKind::DisputeStatus,
            &format!("{} {status}", read.reference),
            format!(
                "dispute {} has the unknown status {status}; it counts as {}",
                read.reference,
                read.state.as_str()
            ),
        );
        incidents::add(tx, owned.top_up, owned.user, &incident).await?;
    }
    if read.state != DisputeState::Open {
        // Staff have to learn of one that was lost before it was known.
        if !is_first || read.state == DisputeState::Won {
            incidents::resolve(tx, IncidentKind::Dispute, &read.reference).await?;
        }
        release_units(tx, owned.user).await?;
    }
    if read.state == DisputeState::Won {
        tell_of_no_owner(tx, owned.top_up, owned.user, &read.reference).await?;
    }
    if read.state == DisputeState::Lost {
        tell_of_paid_copies(tx, owned, read).await?;
    }
    Ok(Applied::Changed)
}

/// Copies that are not paid for at the supplier are refunded when money is owed; those that are need a person.
async fn tell_of_paid_copies(tx: &mut Tx, owned: Owned, read: &DisputeReading) -> Result<()> {
    let waiting = sqlx::query_scalar!(
        r#"-- store.cards.disputes.paid_copies
        select count(*) as "waiting!" from order_units u join orders o on o.id = u.order_id
         where o.user_id = $1 and o.status in ('PENDING', 'PROCESSING') and u.state = 'PAID' and buyer_is_owing($1)"#,
        owned.user.0
    )
    .fetch_one(tx.conn())
    .await?;
    if waiting > 0 {
        let incident = Incident::new(
            IncidentKind::CopiesWait,
            &read.reference,
            format!(
                "dispute {} is lost and its user owes money; {waiting} copies are paid for at the supplier and wait",
                read.reference
            ),
        );
        incidents::add(tx, owned.top_up, owned.user, &incident).await?;
    }
    Ok(())
}

/// A dispute for staff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The shop's id.
    pub id: Uuid,
    /// The provider's name of it.
    pub reference: String,
    /// The top-up.
    pub top_up: TopUpId,
    /// Its owner.
    pub user: UserId,
    /// What is disputed, EUR.
    pub amount: Money,
    /// The lien: what was taken from the balance, EUR.
    pub held: Money,
    /// What the user still owes, EUR.
    pub debt: Money,
    /// What the provider kept for it, EUR.
    pub fee: Money,
    /// What its status means.
    pub state: DisputeState,
    /// The provider's word.
    pub status: String,
    /// The cardholder's reason.
    pub reason: Option<String>,
    /// When evidence has to be there.
    pub due_by: Option<DateTime<Utc>>,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When it was decided.
    pub closed_at: Option<DateTime<Utc>>,
}

struct Row {
    id: Uuid,
    reference: String,
    top_up_id: Uuid,
    user_id: Uuid,
    amount: Decimal,
    held: Decimal,
    debt: Decimal,
    fee: Decimal,
    state: String,
    status: String,
    reason: Option<String>,
    due_by: Option<DateTime<Utc>>,
    opened_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
}

fn dispute(row: Row) -> Result<Dispute> {
    Ok(Dispute {
        id: row.id,
        reference: row.reference,
        top_up: TopUpId(row.top_up_id),
        user: UserId(row.user_id),
        amount: money_of(row.amount)?,
        held: money_of(row.held)?,
        debt: money_of(row.debt)?,
        fee: money_of(row.fee)?,
        state: DisputeState::of(&row.state)?,
        status: row.status,
        reason: row.reason,
        due_by: row.due_by,
        opened_at: row.opened_at,
        closed_at: row.closed_at,
    })
}

/// A page of disputes, the newest first, and how many there are.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, state: Option<DisputeState>, page: Page) -> Result<(Vec<Dispute>, u64)> {
    let (limit, offset) = bounds(page);
    let state = state.map(DisputeState::as_str);
    let rows = sqlx::query_as!(
        Row,
        "-- store.cards.disputes.list
        select id, reference, top_up_id, user_id, amount, held, debt, fee, state, status, reason, due_by, opened_at, closed_at
          from disputes where $1::text is null or state = $1 order by opened_at desc, id desc offset $2 limit $3",
        state,
        offset,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    let total: i64 = sqlx::query_scalar!(
        r#"-- store.cards.disputes.count
        select count(*) as "count!" from disputes where $1::text is null or state = $1"#,
        state
    )
    .fetch_one(tx.conn())
    .await?;
    let found = rows.into_iter().map(dispute).collect::<Result<_>>()?;
    Ok((found, crate::row::how_many_of(total)))
}

/// The disputes of a top-up, the newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn of_top_up(tx: &mut Tx, top_up: TopUpId) -> Result<Vec<Dispute>> {
    let rows = sqlx::query_as!(
        Row,
        "-- store.cards.disputes.of_top_up
        select id, reference, top_up_id, user_id, amount, held, debt, fee, state, status, reason, due_by, opened_at, closed_at
          from disputes where top_up_id = $1 order by opened_at desc, id desc limit 100",
        top_up.0
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(dispute).collect()
}

/// A word that the provider has said of a dispute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The word.
    pub status: String,
    /// When it was first read.
    pub at: DateTime<Utc>,
}

/// A copy that the user has bought since the disputed top-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoughtUnit {
    /// The unit.
    pub unit: Uuid,
    /// Its order.
    pub order: OrderId,
    /// The game's title.
    pub title: String,
    /// What was paid for it, EUR.
    pub price_paid: Money,
    /// Whether it was delivered.
    pub is_delivered: bool,
    /// The sealed key, of a delivered unit: its id, its sealed bytes and whether it is a file.
    pub key: Option<SealedKey>,
    /// When the key was first shown to somebody.
    pub first_shown_at: Option<DateTime<Utc>>,
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// The key's id.
    pub id: Uuid,
    /// Its sealed bytes.
    pub ciphertext: Vec<u8>,
    /// It is a file.
    pub is_file: bool,
}

/// What a case consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The dispute.
    pub dispute: Dispute,
    /// What the provider has said of it, the oldest first.
    pub said: Vec<Said>,
    /// What was bought after the top-up, the oldest first, at most [`MAX_UNITS`].
    pub units: Vec<BoughtUnit>,
}

/// Maximum number of copies of a case.
pub const MAX_UNITS: i64 = 200;

/// The case of a dispute: what was bought with the money.
///
/// # Errors
/// [`StoreError`].
pub async fn case(tx: &mut Tx, id: Uuid) -> Result<Option<Case>> {
    let row = sqlx::query_as!(
        Row,
        "-- store.cards.disputes.by_id
        select id, reference, top_up_id, user_id, amount, held, debt, fee, state, status, reason, due_by, opened_at, closed_at
          from disputes where id = $1",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(found) = row.map(dispute).transpose()? else {
        return Ok(None);
    };
    let said = sqlx::query_as!(
        Said,
        "-- store.cards.disputes.statuses
        select status, read_at as at from dispute_statuses where dispute_id = $1 order by read_at, status",
        id
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = sqlx::query!(
        r#"-- store.cards.disputes.units
        select u.id, u.order_id, g.title, u.price_paid, u.state = 'DONE' as "is_delivered!", k.id as "key?",
               k.key_ciphertext as "ciphertext?", k.is_file as "is_file?",
               (select min(r.at) from key_reveals r where r.game_key_id = k.id) as first_shown_at
          from top_ups p join transactions t on t.id = p.transaction_id
          join orders o on o.user_id = p.user_id and o.created_at >= t.created_at
          join order_units u on u.order_id = o.id join games g on g.id = u.game_id
          left join game_keys k on k.order_unit_id = u.id
         where p.id = $1 order by o.created_at, u.id limit $2"#,
        found.top_up.0,
        MAX_UNITS
    )
    .fetch_all(tx.conn())
    .await?;
    let units = rows
        .into_iter()
        .map(|row| {
            Ok(BoughtUnit {
                unit: row.id,
                order: OrderId(row.order_id),
                title: row.title,
                price_paid: money_of(row.price_paid)?,
                is_delivered: row.is_delivered,
                key: match (row.key, row.ciphertext, row.is_file) {
                    (Some(id), Some(ciphertext), Some(is_file)) => Some(SealedKey {
                        id,
                        ciphertext,
                        is_file,
                    }),
                    _ => None,
                },
                first_shown_at: row.first_shown_at,
            })
        })
        .collect::<Result<_>>()?;
    Ok(Some(Case {
        dispute: found,
        said,
        units,
    }))
}
