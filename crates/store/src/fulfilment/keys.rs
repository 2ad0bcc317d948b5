//! Stored keys: sealed by the caller, stored once, owned by one unit.
//!
//! A key is sealed for its row ([`place`]), so a sealed key copied to another row cannot be opened. Keys are looked up
//! by keyed hashes ([`HASH`]). The newest hash is unique, which refuses equal keys; before a key is stored, all hashes
//! are used to find keys that were hashed with an older secret.

use chrono::{DateTime, Utc};
use lockstep_domain::ids::{GameId, KeyId, OrderId, UnitId, UserId};
use lockstep_domain::order::OrderStatus;
use uuid::Uuid;

use super::emails::{self, EmailSettings};
use super::incidents::{self, Incident};
use super::money::{Settled, set_status, settle};
use super::queue::{Lease, lock_order_of};
use crate::{Result, Store, StoreError, Tx};

/// Purpose of the key hash.
pub const HASH: &str = "game-key";

/// The context that a key is sealed for.
pub fn place(key: KeyId) -> String {
    format!("game_keys.key_ciphertext/{key}")
}

/// A received key.
#[derive(Clone)]
pub struct Arrived {
    /// The id of its future row; the caller sealed it for that [`place`].
    pub id: KeyId,
    /// The unit it was bought for.
    pub unit: UnitId,
    /// The order at G2A that it came from.
    pub g2a_order_id: String,
    /// The sealed key.
    pub sealed: Vec<u8>,
    /// Its hashes with every secret, newest first. Never empty.
    pub hashes: Vec<[u8; 32]>,
    /// It is a file in base64.
    pub is_file: bool,
}

/// The result of recording a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It was delivered to its unit.
    Delivered(Option<Settled>),
    /// The same answer was recorded earlier.
    Known,
    /// Its unit no longer needs it, so it became own stock.
    Stock,
    /// The same key came from another order earlier; the unit needs another one.
    Twice,
}

/// Stores a key and delivers it to its unit, regardless of the lease: a key is a fact that no fence refuses.
///
/// # Errors
/// [`StoreError::Unavailable`]: then the caller has to retry.
pub async fn record(tx: &mut Tx, key: &Arrived, emails: &EmailSettings) -> Result<Recorded> {
    let order = lock_order_of(tx, key.unit).await?;
    let hashes: Vec<&[u8]> = key.hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let inserted = sqlx::query!(
        "-- store.fulfilment.record_key
        insert into game_keys (id, game_id, key_ciphertext, key_hash, is_file, g2a_order_id)
        select $1, u.game_id, $3, ($4::bytea[])[1], $5, $6 from order_units u
         where u.id = $2 and not exists (select 1 from game_keys where key_hash = any ($4))
        on conflict do nothing",
        key.id.0,
        key.unit.0,
        key.sealed,
        &hashes as _,
        key.is_file,
        &key.g2a_order_id
    )
    .execute(tx.conn())
    .await?;
    if inserted.rows_affected() == 0 {
        let same_order: bool = sqlx::query_scalar!(
            r#"-- store.fulfilment.record_key.known
            select exists (select 1 from game_keys where g2a_order_id = $1) as "known!""#,
            &key.g2a_order_id
        )
        .fetch_one(tx.conn())
        .await?;
        if same_order {
            return Ok(Recorded::Known);
        }
        let incident = Incident::new(
            "KEY_TWICE",
            "G2A sold a key that was stored before; it was not delivered again",
        );
        incidents::add(tx, &incident.of(key.unit).order(&key.g2a_order_id)).await?;
        return Ok(Recorded::Twice);
    }
    super::unreadable::obsolete(tx, key.unit, &key.g2a_order_id).await?;
    // Follows the state machine step by step: PAID (G2A had reported "not ready" to another worker) passes through
    // FETCHING.
    sqlx::query!(
        "-- store.fulfilment.record_key.fetching
        update order_units set state = 'FETCHING' where id = $1 and state = 'PAID' and g2a_order_id = $2",
        key.unit.0,
        &key.g2a_order_id
    )
    .execute(tx.conn())
    .await?;
    let replaces = sqlx::query_scalar!(
        r#"-- store.fulfilment.record_key.deliver
        with before as (select id, faulty_key_id from order_units where id = $1),
        given as (
            update order_units
               set state = 'DONE', epoch = epoch + 1, worker = null, last_error = null, faulty_key_id = null,
                   told_at = case when faulty_key_id is null then told_at else coalesce(told_at, now()) end
             where id = $1 and state in ('FETCHING', 'LOST') and g2a_order_id = $2 returning id, order_id),
        owned as (update game_keys k set order_id = g.order_id, order_unit_id = g.id from given g where k.id = $3)
        select b.faulty_key_id is not null as "replaces!" from given g join before b on b.id = g.id"#,
        key.unit.0,
        &key.g2a_order_id,
        key.id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    if let Some(replaces) = replaces {
        if replaces {
            tell_replaced(tx, key.unit, emails).await?;
        }
        incidents::resolve(tx, "KEY_LOST", &key.g2a_order_id).await?;
        incidents::resolve(tx, "SUPPLIER_ACCOUNT", &key.g2a_order_id).await?;
        return Ok(Recorded::Delivered(settle(tx, order, emails).await?));
    }
    let incident = Incident::new(
        "KEY_LATE",
        "a key arrived after its unit was settled; it is own stock now",
    );
    incidents::add(tx, &incident.of(key.unit).order(&key.g2a_order_id)).await?;
    incidents::resolve(tx, "KEY_LOST", &key.g2a_order_id).await?;
    Ok(Recorded::Stock)
}

/// `NEW → DONE` with the oldest key of the shop's own stock, if there is one: own stock is sold before anything is
/// bought.
///
/// # Errors
/// [`StoreError::Fenced`], [`StoreError::Unavailable`].
pub async fn sell_own(tx: &mut Tx, lease: Lease, emails: &EmailSettings) -> Result<Option<Recorded>> {
    let order = lock_order_of(tx, lease.unit).await?;
    let key = oldest_own(tx, lease.unit).await?;
    let Some(key) = key else {
        return Ok(None);
    };
    let replaces = sqlx::query_scalar!(
        r#"-- store.fulfilment.sell_own
        with before as (select id, faulty_key_id from order_units where id = $1),
        given as (
            update order_units
               set state = 'DONE', epoch = epoch + 1, worker = null, last_error = null, faulty_key_id = null,
                   told_at = case when faulty_key_id is null then told_at else coalesce(told_at, now()) end
             where id = $1 and epoch = $2 and state = 'NEW' returning id, order_id),
        owned as (update game_keys k set order_id = g.order_id, order_unit_id = g.id from given g where k.id = $3)
        select b.faulty_key_id is not null as "replaces!" from given g join before b on b.id = g.id"#,
        lease.unit.0,
        lease.epoch,
        key
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::Fenced)?;
    if replaces {
        tell_replaced(tx, lease.unit, emails).await?;
    }
    let pending: bool = sqlx::query_scalar!(
        r#"-- store.fulfilment.sell_own.pending
        select status = 'PENDING' as "pending!" from orders where id = $1"#,
        order.0
    )
    .fetch_one(tx.conn())
    .await?;
    if pending {
        set_status(tx, order, OrderStatus::Processing).await?;
    }
    Ok(Some(Recorded::Delivered(settle(tx, order, emails).await?)))
}

/// Queues the e-mail about the key that a unit has in place of a faulty one, and closes the incident of an earlier attempt.
async fn tell_replaced(tx: &mut Tx, unit: UnitId, emails: &EmailSettings) -> Result<()> {
    emails::tell_replaced(tx, unit, emails).await?;
    incidents::replaced(tx, unit).await
}

/// Locks the oldest key of own stock for the game of `unit`, if there is one.
///
/// Those that others have locked are passed over at first, so that buyers do not wait for each other. If there is no
/// other, they are waited for: a key that somebody edits is not sold out.
pub(super) async fn oldest_own(tx: &mut Tx, unit: UnitId) -> Result<Option<Uuid>> {
    let free: Option<Uuid> = sqlx::query_scalar!(
        "-- store.fulfilment.sell_own.find
        select k.id from game_keys k join order_units u on u.game_id = k.game_id
         where u.id = $1 and k.order_unit_id is null and not k.activated
         order by k.created_at limit 1 for update of k skip locked",
        unit.0
    )
    .fetch_optional(tx.conn())
    .await?;
    if free.is_some() {
        return Ok(free);
    }
    Ok(sqlx::query_scalar!(
        "-- store.fulfilment.sell_own.wait
        select k.id from game_keys k join order_units u on u.game_id = k.game_id
         where u.id = $1 and k.order_unit_id is null and not k.activated
         order by k.created_at limit 1 for update of k",
        unit.0
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// A sold key, for its owner to open.
#[derive(Clone)]
pub struct Sold {
    /// The id of its row.
    pub id: KeyId,
    /// The unit it was delivered to.
    pub unit: UnitId,
    /// The game.
    pub game: GameId,
    /// Sealed for its [`place`].
    pub sealed: Vec<u8>,
    /// It is a file in base64.
    pub is_file: bool,
    /// When its owner marked it as used.
    pub activated_at: Option<DateTime<Utc>>,
}

/// The keys of an order of `owner`; empty if the order is another user's, or has no consent to show them.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn of_order(tx: &mut Tx, order: OrderId, owner: UserId) -> Result<Vec<Sold>> {
    let rows = sqlx::query!(
        r#"-- store.fulfilment.keys_of_order
        select k.id, k.order_unit_id as "order_unit_id!", k.game_id, k.key_ciphertext, k.is_file, k.activation_date
          from game_keys k join orders o on o.id = k.order_id
         where k.order_id = $1 and o.user_id = $2 and exists (select from order_consents c where c.order_id = o.id)
         order by k.created_at, k.id"#,
        order.0,
        owner.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Sold {
            id: KeyId(row.id),
            unit: UnitId(row.order_unit_id),
            game: GameId(row.game_id),
            sealed: row.key_ciphertext,
            is_file: row.is_file,
            activated_at: row.activation_date,
        })
        .collect())
}

/// How a key was revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In a response of the API.
    Api,
    /// On a page of the shop.
    Page,
    /// As a file.
    File,
    /// By staff, with a reason.
    Console,
}

impl How {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Page => "PAGE",
            Self::File => "FILE",
            Self::Console => "CONSOLE",
        }
    }
}

/// The keys of several orders of `owner` in sealed form, without files, those of other users and those of orders
/// without consent.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn of_orders(tx: &mut Tx, orders: &[OrderId], owner: UserId) -> Result<Vec<(KeyId, Vec<u8>)>> {
    let ids: Vec<Uuid> = orders.iter().map(|order| order.0).collect();
    let rows = sqlx::query!(
        "-- store.fulfilment.keys_of_orders
        select k.id, k.key_ciphertext from game_keys k join orders o on o.id = k.order_id
         where k.order_id = any ($1) and o.user_id = $2 and not k.is_file
           and exists (select from order_consents c where c.order_id = o.id)",
        &ids,
        owner.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (KeyId(row.id), row.key_ciphertext))
        .collect())
}

/// Records that these keys are about to be shown to `who`. The transaction commits before they are shown.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn reveal(tx: &mut Tx, keys: &[KeyId], who: UserId, how: How) -> Result<()> {
    let mut ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
    // Two looks at the same keys lock their rows in one order.
    ids.sort_unstable();
    sqlx::query!(
        "-- store.fulfilment.reveal
        insert into key_reveals (game_key_id, user_id, how) select id, $2, $3 from unnest($1::uuid[]) id",
        &ids,
        who.0,
        how.as_str()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Marks a key of `owner` as used or unused. False if it is not theirs.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn set_activated(tx: &mut Tx, key: KeyId, owner: UserId, activated: bool) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.fulfilment.set_activated
        update game_keys k set activated = $3, activation_date = case when $3 then coalesce(activation_date, now()) end
          from orders o where k.id = $1 and o.id = k.order_id and o.user_id = $2",
        key.0,
        owner.0,
        activated
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The key with one of these hashes.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn find(tx: &mut Tx, hashes: &[[u8; 32]]) -> Result<Option<KeyId>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let id: Option<Uuid> = sqlx::query_scalar!(
        "-- store.fulfilment.find_key\nselect id from game_keys where key_hash = any ($1) limit 1",
        &hashes as _
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id.map(KeyId))
}

/// A page of sealed keys, by id, for a rotation of secrets.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn page(store: &Store, after: Option<KeyId>, most: u32) -> Result<Vec<(KeyId, Vec<u8>)>> {
    let rows = sqlx::query!(
        "-- store.fulfilment.key_page
        select id, key_ciphertext from game_keys where $1::uuid is null or id > $1 order by id limit $2",
        after.map(|key| key.0),
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (KeyId(row.id), row.key_ciphertext))
        .collect())
}

/// Replaces the sealed form and hash of a key if the sealed form is still the one that was read.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn reseal(tx: &mut Tx, key: KeyId, before: &[u8], after: &[u8], hash: [u8; 32]) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.fulfilment.reseal
        update game_keys set key_ciphertext = $3, key_hash = $4 where id = $1 and key_ciphertext = $2",
        key.0,
        before,
        after,
        hash.as_slice()
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}
