//! Game keys. They are read sealed; the caller opens them.

use chrono::{DateTime, Utc};
use lockstep_domain::Money;
use lockstep_domain::admin::{
    GameKeyGame, GameKeyList, GameKeyOrder, GameKeyOwner, GameKeyRow, GameKeyStatistics, KeysOfGame, KeysOfOrder,
    MASKED_KEY, Page,
};
use lockstep_domain::ids::{GameId, KeyId, OrderId, UserId};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use super::{bounds, contains};
use crate::audit::{self, By};
use crate::fulfilment::keys::{How, find, reveal};
use crate::row::{how_many_of, money_of, nickname_of, order_status_of};
use crate::transaction::holds_store_error;
use crate::{AsStoreError as _, Result, Store, StoreError, Tx};

/// Games, and orders, in the statistics at most.
const MOST: i64 = 1_000;

/// Which keys to list.
#[derive(Clone, Default)]
pub struct Filter {
    /// Of this game.
    pub game: Option<GameId>,
    /// Of this order, also those that were replaced.
    pub order: Option<OrderId>,
    /// Those that count as used, or the others.
    pub activated: Option<bool>,
    /// What was searched for.
    pub search: Option<Search>,
}

/// A search: a whole key, the id of a key or an order, an order's number, or a part of a game's title.
#[derive(Clone)]
pub struct Search {
    /// The text.
    pub text: String,
    /// Its hashes with every secret, as if it were a key.
    pub hashes: Vec<[u8; 32]>,
}

/// A key as it is stored.
#[derive(Clone)]
pub struct Stored {
    /// What staff see of it; [`GameKeyRow::key`] is masked whole.
    pub row: GameKeyRow,
    /// The sealed key.
    pub sealed: Vec<u8>,
}

/// Why a key was not stored or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no such key.
    #[error("Key not found")]
    NotFound,
    /// There is no such game.
    #[error("Game not found")]
    NoSuchGame,
    /// The key is stored already.
    #[error("{}", exists(*.order))]
    Exists {
        /// The order that has it.
        order: Option<OrderId>,
    },
    /// It would no longer say what happened.
    #[error("{0}")]
    Fixed(&'static str),
    /// It was sold, so it is kept.
    #[error("This key was sold to an order. It stays, as the record of what was delivered.")]
    Sold,
    /// Somebody saw it, so it is kept.
    #[error(
        "This key was shown to staff, and the record of that stays. Set it to activated instead, and nobody gets it."
    )]
    Shown,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(KeyError);

fn exists(order: Option<OrderId>) -> String {
    match order {
        Some(order) => format!("This key exists already. Order {order} has it."),
        None => "This key exists already. It is in the shop's own stock.".to_owned(),
    }
}

/// A key as it is read.
struct Row {
    id: Uuid,
    game_id: Uuid,
    key_ciphertext: Vec<u8>,
    is_file: bool,
    activated: bool,
    activation_date: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    cost: Option<Decimal>,
    faulty_at: Option<DateTime<Utc>>,
    title: String,
    slug: String,
    image: String,
    order_id: Option<Uuid>,
    user_id: Option<Uuid>,
    total: Option<Decimal>,
    status: Option<String>,
    ordered_at: Option<DateTime<Utc>>,
    email: Option<String>,
    nickname: Option<String>,
}

impl Row {
    fn stored(self) -> Result<Stored> {
        let game_id = GameId(self.game_id);
        let order = match (
            self.order_id,
            self.user_id,
            self.total,
            self.status,
            self.ordered_at,
            self.email,
        ) {
            (Some(id), Some(user_id), Some(total), Some(status), Some(created_at), Some(email)) => Some(GameKeyOrder {
                id: OrderId(id),
                user_id,
                total: money_of(total)?,
                status: order_status_of(&status)?,
                created_at,
                user: Some(GameKeyOwner {
                    id: user_id,
                    email,
                    nickname: nickname_of(self.nickname),
                }),
            }),
            _ => None,
        };
        Ok(Stored {
            sealed: self.key_ciphertext,
            row: GameKeyRow {
                id: self.id,
                game_id,
                key: MASKED_KEY.to_owned(),
                order_id: self.order_id.map(OrderId),
                activated: self.activated,
                activation_date: self.activation_date,
                created_at: self.created_at,
                is_file: self.is_file,
                cost: self.cost.map(money_of).transpose()?,
                faulty_at: self.faulty_at,
                game: GameKeyGame {
                    id: game_id,
                    title: self.title,
                    slug: self.slug,
                    image: self.image,
                },
                order,
            },
        })
    }
}

/// Reads keys that a condition selects.
macro_rules! query_keys {
    ($name:literal, $ciphertext:literal, $condition:literal, $($value:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            "-- store.admin.keys." + $name + r#"
            select k.id, k.game_id, "# + $ciphertext + r#" as "key_ciphertext!", k.is_file, k.activated, k.activation_date, k.created_at, k.cost,
                   k.faulty_at, g.title, g.slug, g.image, o.id as "order_id?", o.user_id as "user_id?",
                   o.total as "total?", o.status::text as "status?", o.created_at as "ordered_at?", u.email as "email?",
                   u.nickname as "nickname?"
              from game_keys k join games g on g.id = k.game_id
              left join orders o on o.id = coalesce(k.order_id, k.faulty_order_id)
              left join users u on u.id = o.user_id "# + $condition,
            $($value),+
        )
    };
}

/// A page of keys, newest first, each with its sealed form, which is empty for a file.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, filter: &Filter, page: Page) -> Result<(GameKeyList, Vec<Vec<u8>>)> {
    let Some(found) = resolve(tx, filter).await? else {
        let empty = GameKeyList {
            keys: Vec::new(),
            paging: page.of(0),
        };
        return Ok((empty, Vec::new()));
    };
    let (limit, offset) = bounds(page);
    let (game, activated) = (filter.game.map(|game| game.0), filter.activated);
    let rows = query_keys!(
        "list",
        // A file is shown masked whole, and a thousand of them are 87 MB.
        "case when k.is_file then ''::bytea else k.key_ciphertext end",
        // Rows before the page are passed in the index alone.
        " join (select p.id from game_keys p
                 where ($1::uuid is null or p.game_id = $1) and ($2::boolean is null or p.activated = $2)
                   and ($3::uuid is null or p.id = $3) and ($4::uuid[] is null or p.order_id = any ($4) or p.faulty_order_id = any ($4))
                   and ($5::text is null or p.game_id in (select s.id from games s where s.title ilike $5))
                 order by p.created_at desc, p.id desc limit $6 offset $7) page on page.id = k.id
             order by k.created_at desc, k.id desc",
        game,
        activated,
        found.key,
        found.orders.as_deref(),
        found.title,
        limit,
        offset
    )
    .fetch_all(tx.uncached())
    .await?;
    let total = if found.key.is_none() && found.orders.is_none() {
        sqlx::query_scalar!(
            r#"-- store.admin.keys.count
            select coalesce(sum(case $2::boolean when true then c.used when false then c.keys - c.used else c.keys end), 0)::bigint
                   as "count!"
              from key_counts c
             where ($1::uuid is null or c.game_id = $1)
               and ($3::text is null or c.game_id in (select s.id from games s where s.title ilike $3))"#,
            game,
            activated,
            found.title
        )
        .fetch_one(tx.uncached())
        .await?
    } else {
        sqlx::query_scalar!(
            r#"-- store.admin.keys.count_few
            select count(*) as "count!" from game_keys k
             where ($1::uuid is null or k.game_id = $1) and ($2::boolean is null or k.activated = $2)
               and ($3::uuid is null or k.id = $3) and ($4::uuid[] is null or k.order_id = any ($4) or k.faulty_order_id = any ($4))"#,
            game,
            activated,
            found.key,
            found.orders.as_deref()
        )
        .fetch_one(tx.uncached())
        .await?
    };
    let mut list = GameKeyList {
        keys: Vec::with_capacity(rows.len()),
        paging: page.of(how_many_of(total)),
    };
    let mut sealed = Vec::with_capacity(rows.len());
    for row in rows {
        let stored = row.stored()?;
        list.keys.push(stored.row);
        sealed.push(stored.sealed);
    }
    Ok((list, sealed))
}

/// What a filter stands for.
#[derive(Default)]
struct Found {
    key: Option<Uuid>,
    orders: Option<Vec<Uuid>>,
    title: Option<String>,
}

impl Found {
    /// Narrowed to keys of these orders; `None` if nothing is left.
    fn within(mut self, mut orders: Vec<Uuid>) -> Option<Self> {
        if let Some(wanted) = &self.orders {
            orders.retain(|order| wanted.contains(order));
        }
        if orders.is_empty() {
            return None;
        }
        self.orders = Some(orders);
        Some(self)
    }
}

/// The newest orders of the user with this address, at most a thousand.
async fn of_buyer(tx: &mut Tx, email: &str) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        "-- store.admin.keys.of_buyer
        select o.id from orders o join users u on u.id = o.user_id
         where u.email = lower($1) and u.deleted_at is null order by o.created_at desc, o.id desc limit 1000",
        email
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Looks up what was searched for; `None` if nothing can fit.
async fn resolve(tx: &mut Tx, filter: &Filter) -> Result<Option<Found>> {
    let mut found = Found {
        orders: filter.order.map(|order| vec![order.0]),
        ..Found::default()
    };
    let Some(search) = &filter.search else {
        return Ok(Some(found));
    };
    if let Some(key) = find(tx, &search.hashes).await? {
        found.key = Some(key.0);
        return Ok(Some(found));
    }
    let ids = sqlx::query!(
        r#"-- store.admin.keys.by_id
        select (select id from game_keys where id = $1) as key,
               coalesce((select id from orders where id = $1), (select id from orders where number = upper($2))) as "order""#,
        search.text.parse::<Uuid>().ok(),
        search.text
    )
    .fetch_one(tx.conn())
    .await?;
    match (ids.key, ids.order) {
        (Some(key), _) => found.key = Some(key),
        (None, Some(order)) => return Ok(found.within(vec![order])),
        (None, None) if search.text.contains('@') => {
            let orders = of_buyer(tx, &search.text).await?;
            return Ok(found.within(orders));
        }
        (None, None) => found.title = Some(contains(&search.text)),
    }
    Ok(Some(found))
}

/// A key; `None` if there is none with this id.
///
/// # Errors
/// [`StoreError`].
pub async fn detail(tx: &mut Tx, id: KeyId) -> Result<Option<Stored>> {
    let row = query_keys!("detail", "k.key_ciphertext", "where k.id = $1", id.0)
        .fetch_optional(tx.conn())
        .await?;
    row.map(Row::stored).transpose()
}

/// Figures about all keys.
///
/// # Errors
/// [`StoreError`].
pub async fn statistics(tx: &mut Tx) -> Result<GameKeyStatistics> {
    let all = sqlx::query!(
        r#"-- store.admin.keys.totals
        select coalesce(sum(keys), 0)::bigint as "total!", coalesce(sum(used), 0)::bigint as "activated!" from key_counts"#
    )
    .fetch_one(tx.conn())
    .await?;
    let games = sqlx::query!(
        r#"-- store.admin.keys.of_games
        select g.id, g.title, k.total as "total!", k.activated as "activated!"
          from (select game_id, sum(keys)::bigint as total, sum(used)::bigint as activated
                  from key_counts group by game_id having sum(keys) > 0 order by sum(keys) desc, game_id limit $1) k
          join games g on g.id = k.game_id order by k.total desc, g.title, g.id"#,
        MOST
    )
    .fetch_all(tx.conn())
    .await?;
    let orders = sqlx::query!(
        r#"-- store.admin.keys.of_orders
        select o.id, k.total as "total!", k.activated as "activated!"
          from orders o cross join lateral (
               select count(*) as total, count(*) filter (where activated) as activated from game_keys
                where order_id = o.id) k
         where k.total > 0 order by o.created_at desc, o.id desc limit $1"#,
        MOST
    )
    .fetch_all(tx.conn())
    .await?;
    let (total, activated) = (how_many_of(all.total), how_many_of(all.activated));
    Ok(GameKeyStatistics {
        total_keys: total,
        activated_keys: activated,
        unactivated_keys: total.saturating_sub(activated),
        keys_by_game: games
            .into_iter()
            .map(|row| KeysOfGame {
                game_id: GameId(row.id),
                game_title: row.title,
                total: how_many_of(row.total),
                activated: how_many_of(row.activated),
                unactivated: how_many_of(row.total - row.activated),
            })
            .collect(),
        keys_by_order: orders
            .into_iter()
            .map(|row| KeysOfOrder {
                order_id: OrderId(row.id),
                total: how_many_of(row.total),
                activated: how_many_of(row.activated),
                unactivated: how_many_of(row.total - row.activated),
            })
            .collect(),
    })
}

/// A key's text in its stored form, sealed for the row that will hold it.
#[derive(Clone)]
pub struct SealedText {
    /// The sealed key.
    pub sealed: Vec<u8>,
    /// Its hashes with every secret, newest first. Never empty.
    pub hashes: Vec<[u8; 32]>,
    /// Whether it is a file in base64.
    pub is_file: bool,
}

/// A key for the shop's own stock.
#[derive(Clone)]
pub struct NewKey {
    /// The id of its row, for which the text is sealed.
    pub id: KeyId,
    /// Its game.
    pub game: GameId,
    /// The key.
    pub text: SealedText,
    /// What it cost, EUR.
    pub cost: Option<Money>,
    /// `Some` if it counts as used: since when, `None` for now.
    pub activated: Option<Option<DateTime<Utc>>>,
}

/// Stores a key of the shop's own. The audit log records it.
///
/// # Errors
/// [`KeyError::NoSuchGame`], [`KeyError::Exists`], [`KeyError::Store`].
pub async fn create(store: &Store, by: &By, new: &NewKey) -> Result<Stored, KeyError> {
    let (by, new) = (by.clone(), std::sync::Arc::new(new.clone()));
    let made = store
        .tx("keys.create", move |tx| {
            let (by, new) = (by.clone(), std::sync::Arc::clone(&new));
            Box::pin(async move {
                not_stored(tx, &new.text.hashes, None).await?;
                sqlx::query!(
                    "-- store.admin.keys.create
                    insert into game_keys (id, game_id, key_ciphertext, key_hash, is_file, cost, activated, activation_date)
                    values ($1, $2, $3, $4, $5, $6, $7, case when $7 then coalesce($8, now()) end)",
                    new.id.0,
                    new.game.0,
                    new.text.sealed,
                    new.text.hashes.first().map(<[u8; 32]>::as_slice),
                    new.text.is_file,
                    new.cost.map(Money::decimal),
                    new.activated.is_some(),
                    new.activated.flatten()
                )
                .execute(tx.conn())
                .await?;
                let details = json!({ "game": new.game, "activated": new.activated.is_some() });
                audit::record(tx, &by, "key.create", ("game_key", new.id.0), details).await?;
                detail(tx, new.id).await?.ok_or(KeyError::NotFound)
            })
        })
        .await;
    made.map_err(violated)
}

/// What to change about a key; `None` where it stays.
#[derive(Clone, Default)]
pub struct KeyChange {
    /// Its game.
    pub game: Option<GameId>,
    /// Another text.
    pub text: Option<SealedText>,
    /// The order that it is said to belong to; inner `None`: none.
    pub order: Option<Option<OrderId>>,
    /// What it cost, EUR; inner `None`: not known.
    pub cost: Option<Option<Money>>,
    /// Whether it counts as used.
    pub activated: Option<bool>,
    /// Since when.
    pub activation_date: Option<DateTime<Utc>>,
}

/// Changes a key and returns it. A delivered key keeps its game, its text and its order. The audit log records what was
/// changed.
///
/// # Errors
/// [`KeyError`]; then nothing has changed.
pub async fn change(store: &Store, by: &By, id: KeyId, change: &KeyChange) -> Result<Stored, KeyError> {
    let (by, change) = (by.clone(), std::sync::Arc::new(change.clone()));
    let changed = store
        .tx("keys.change", move |tx| {
            let (by, change) = (by.clone(), std::sync::Arc::clone(&change));
            Box::pin(async move { change_in(tx, &by, id, &change).await })
        })
        .await;
    changed.map_err(violated)
}

async fn change_in(tx: &mut Tx, by: &By, id: KeyId, change: &KeyChange) -> Result<Stored, KeyError> {
    let now = lock(tx, id).await?;
    // The same text again, whichever secret it was hashed with, changes nothing.
    let text = change
        .text
        .as_ref()
        .filter(|text| !text.hashes.iter().any(|hash| hash.as_slice() == now.key_hash));
    let game = change.game.filter(|game| game.0 != now.game_id);
    let owner = now.order_id.or(now.faulty_order_id).map(OrderId);
    if change.order.is_some_and(|order| order != owner) {
        return Err(KeyError::Fixed(match owner {
            Some(_) => "This key was delivered to its order and stays with it. Replace it if it does not work.",
            None => "Only a delivery gives a key to an order: own stock is sold before anything is bought.",
        }));
    }
    if owner.is_some() && (text.is_some() || game.is_some()) {
        return Err(KeyError::Fixed(
            "This key was delivered, so its game and its text stay. Replace it if it does not work.",
        ));
    }
    let is_used = change.activated.unwrap_or(now.activated);
    if now.faulty_order_id.is_some() && !is_used {
        return Err(KeyError::Fixed(
            "This key was replaced as faulty. It stays out of stock.",
        ));
    }
    if text.is_some() && (now.g2a_order_id.is_some() || is_known(tx, id).await?) {
        return Err(KeyError::Fixed(
            "Somebody has seen this key, or G2A was paid for it, so its text stays. Mark it as activated if it does not work.",
        ));
    }
    if let Some(text) = text {
        not_stored(tx, &text.hashes, Some(id)).await?;
    }
    sqlx::query!(
        "-- store.admin.keys.change
        update game_keys
           set game_id = coalesce($2, game_id), key_ciphertext = coalesce($3, key_ciphertext),
               key_hash = coalesce($4, key_hash), is_file = coalesce($5, is_file),
               cost = case when $6 then $7 else cost end, activated = $8,
               activation_date = case when $8 then coalesce($9, activation_date, now()) end
         where id = $1",
        id.0,
        game.map(|game| game.0),
        text.map(|text| text.sealed.as_slice()),
        text.and_then(|text| text.hashes.first()).map(<[u8; 32]>::as_slice),
        text.map(|text| text.is_file),
        change.cost.is_some(),
        change.cost.flatten().map(Money::decimal),
        is_used,
        change.activation_date
    )
    .execute(tx.conn())
    .await?;
    let after = detail(tx, id).await?.ok_or(KeyError::NotFound)?;
    let details = json!({
        "game": game, "text": text.is_some(), "cost": change.cost.is_some(),
        "activated": (is_used != now.activated).then_some(is_used),
        "activationDate": (after.row.activation_date != now.activation_date).then_some(after.row.activation_date),
    });
    audit::record(tx, by, "key.change", ("game_key", id.0), details).await?;
    Ok(after)
}

/// Deletes a key of own stock that nobody has seen. The audit log records it.
///
/// # Errors
/// [`KeyError`]; then nothing has changed.
pub async fn delete(store: &Store, by: &By, id: KeyId) -> Result<(), KeyError> {
    let by = by.clone();
    store
        .tx("keys.delete", move |tx| {
            let by = by.clone();
            Box::pin(async move {
                let now = lock(tx, id).await?;
                if now.order_id.is_some() || now.faulty_order_id.is_some() {
                    return Err(KeyError::Sold);
                }
                if now.g2a_order_id.is_some() {
                    return Err(KeyError::Fixed(
                        "G2A was paid for this key, so it stays. Mark it as activated if it does not work.",
                    ));
                }
                sqlx::query!("-- store.admin.keys.delete\ndelete from game_keys where id = $1", id.0)
                    .execute(tx.conn())
                    .await?;
                let details = json!({ "game": now.game_id, "activated": now.activated });
                audit::record(tx, &by, "key.delete", ("game_key", id.0), details).await?;
                Ok(())
            })
        })
        .await
        .map_err(violated)
}

/// Returns a key for `staff`, who gave this reason, and records that it was shown: in `key_reveals` and in the audit log.
///
/// # Errors
/// [`KeyError::NotFound`], [`KeyError::Store`]; then nothing may be shown.
pub async fn reveal_to_staff(store: &Store, staff: UserId, id: KeyId, reason: &str) -> Result<Stored, KeyError> {
    let reason = reason.to_owned();
    store
        .tx("keys.reveal", move |tx| {
            let reason = reason.clone();
            Box::pin(async move {
                // Not deleted meanwhile.
                sqlx::query!(
                    "-- store.admin.keys.reveal.lock\nselect 1 as one from game_keys where id = $1 for key share",
                    id.0
                )
                .fetch_optional(tx.conn())
                .await?;
                let key = detail(tx, id).await?.ok_or(KeyError::NotFound)?;
                reveal(tx, &[id], staff, How::Console).await?;
                let details = json!({ "reason": reason, "order": key.row.order_id });
                audit::record(tx, &By::Staff(staff), "key.reveal", ("game_key", id.0), details).await?;
                Ok(key)
            })
        })
        .await
}

/// Whether anybody was shown the key.
async fn is_known(tx: &mut Tx, id: KeyId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.admin.keys.is_known
        select exists (select 1 from key_reveals where game_key_id = $1) as "is_known!""#,
        id.0
    )
    .fetch_one(tx.conn())
    .await?)
}

struct Locked {
    game_id: Uuid,
    g2a_order_id: Option<String>,
    key_hash: Vec<u8>,
    order_id: Option<Uuid>,
    faulty_order_id: Option<Uuid>,
    activated: bool,
    activation_date: Option<DateTime<Utc>>,
}

/// Locks a key: it is not sold until the transaction ends.
async fn lock(tx: &mut Tx, id: KeyId) -> Result<Locked, KeyError> {
    let row = sqlx::query_as!(
        Locked,
        "-- store.admin.keys.lock
        select game_id, g2a_order_id, key_hash, order_id, faulty_order_id, activated, activation_date
          from game_keys where id = $1 for update",
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(KeyError::NotFound)
}

/// Refuses a text that another key has.
async fn not_stored(tx: &mut Tx, hashes: &[[u8; 32]], except: Option<KeyId>) -> Result<(), KeyError> {
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let other = sqlx::query!(
        r#"-- store.admin.keys.owner
        select coalesce(order_id, faulty_order_id) as "order" from game_keys
         where key_hash = any ($1) and ($2::uuid is null or id <> $2) limit 1"#,
        &hashes as _,
        except.map(|id| id.0)
    )
    .fetch_optional(tx.conn())
    .await?;
    match other {
        Some(other) => Err(KeyError::Exists {
            order: other.order.map(OrderId),
        }),
        None => Ok(()),
    }
}

/// The refusal that a violated rule stands for.
fn violated(error: KeyError) -> KeyError {
    match error.as_store_error().and_then(StoreError::constraint) {
        Some("game_keys_game_id_fkey") => KeyError::NoSuchGame,
        // Stored by another at the same moment, so not sold yet.
        Some("game_keys_key_hash_key") => KeyError::Exists { order: None },
        Some("key_reveals_game_key_id_fkey") => KeyError::Shown,
        _ => error,
    }
}
