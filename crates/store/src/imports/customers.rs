//! A batch of customers, with everything that the books tie together: their orders, keys, bookings and balances.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

use super::PARKED_YEARS;
use super::runs::{Run, patience};
use crate::{Result, Store, Tx};

/// A customer.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `users` (docs/data-model.md)")]
pub struct User {
    /// The id in the source.
    pub foreign_id: String,
    pub id: Uuid,
    pub email: String,
    /// bcrypt; `None` if there is no password that opens the account.
    pub password_hash: Option<String>,
    pub nickname: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub avatar: Option<String>,
    pub is_admin: bool,
    pub email_verified: bool,
    pub created_at: DateTime<Utc>,
    /// The balance in the source, EUR; not below zero.
    pub balance: Decimal,
}

/// An order, with the state to which it goes.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `orders` (docs/data-model.md)")]
pub struct Order {
    pub foreign_id: String,
    pub id: Uuid,
    pub user_id: Uuid,
    /// `PROCESSING`, `COMPLETED`, `FAILED` or `CANCELLED`.
    pub status: &'static str,
    pub subtotal: Decimal,
    pub discount: Decimal,
    pub total: Decimal,
    pub payment_method: Option<String>,
    pub promo_code: Option<String>,
    pub external_order_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
}

/// An item of an order.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `order_items` (docs/data-model.md)")]
pub struct Item {
    pub id: Uuid,
    pub order_id: Uuid,
    pub game_id: Uuid,
    pub quantity: i32,
    pub price: Decimal,
}

/// A copy of an item, with the state to which it goes.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `order_units` (docs/data-model.md)")]
pub struct Unit {
    pub id: Uuid,
    pub order_id: Uuid,
    pub order_item_id: Uuid,
    pub game_id: Uuid,
    pub position: i32,
    pub price_paid: Decimal,
    /// `NEW` (it waits for a decision), `DONE` or `REFUNDED`.
    pub state: &'static str,
    /// Why it waits.
    pub why: Option<&'static str>,
    pub created_at: DateTime<Utc>,
}

/// A booking.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `transactions` (docs/data-model.md)")]
pub struct Booking {
    pub id: Uuid,
    pub user_id: Uuid,
    pub order_id: Option<Uuid>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub amount: Decimal,
    pub method: Option<String>,
    pub status: &'static str,
    pub description: Option<String>,
    pub transaction_hash: Option<String>,
    pub created_at: DateTime<Utc>,
}

/// A key of a unit, sealed for its row.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the columns of `game_keys` (docs/data-model.md)")]
pub struct Key {
    pub foreign_id: String,
    pub id: Uuid,
    pub game_id: Uuid,
    pub order_id: Uuid,
    pub order_unit_id: Uuid,
    /// The sealed key in hexadecimal digits.
    pub sealed: String,
    /// The keyed hash in hexadecimal digits.
    pub hash: String,
    pub activated: bool,
    pub activation_date: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// Customers with all that belongs to them.
#[derive(Debug, Clone, Default)]
pub struct CustomerBatch {
    /// New ones are stored; of those that are here, only the balance counts.
    pub users: Vec<User>,
    /// Their orders.
    pub orders: Vec<Order>,
    /// The items of the orders.
    pub items: Vec<Item>,
    /// One per copy.
    pub units: Vec<Unit>,
    /// Bookings, except refunds that name an order.
    pub bookings: Vec<Booking>,
    /// Refunds of orders.
    pub refunds: Vec<Booking>,
    /// Keys in the order of delivery: where a unit has several, all but the last were replaced.
    pub keys: Vec<Vec<Key>>,
}

/// What was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wrote {
    /// Customers.
    pub users: u64,
    /// Orders.
    pub orders: u64,
    /// Items of orders.
    pub items: u64,
    /// Bookings, without those that a balance began with.
    pub bookings: u64,
    /// Keys.
    pub keys: u64,
}

/// Stores a batch.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError); [`StoreError::Rule`](crate::StoreError) when a row breaks a rule that the caller did not keep.
pub async fn put_customers(store: &Store, run: Run, batch: CustomerBatch) -> Result<Wrote> {
    let batch = Arc::new(batch);
    store
        .tx("imports.customers", |tx| {
            let batch = Arc::clone(&batch);
            Box::pin(async move { put(tx, run, &batch).await })
        })
        .await
}

async fn put(tx: &mut Tx, run: Run, batch: &CustomerBatch) -> Result<Wrote> {
    patience(tx).await?;
    sqlx::query!("-- store.imports.figures_later\nselect set_config('lockstep.figures_later', 'on', true)")
        .fetch_one(tx.conn())
        .await?;
    let mut wrote = Wrote {
        users: put_users(tx, run, &batch.users).await?,
        ..Wrote::default()
    };
    wrote.orders = put_orders(tx, run, &batch.orders).await?;
    if !batch.items.is_empty() {
        wrote.items = put_items(tx, &batch.items).await?;
        put_units(tx, &batch.units).await?;
    }
    wrote.bookings = put_bookings(tx, &batch.bookings).await?;
    for round in &batch.keys {
        wrote.keys += put_keys(tx, run, round).await?;
    }
    if !batch.units.is_empty() {
        deliver(tx, &batch.units).await?;
    }
    wrote.bookings += put_bookings(tx, &batch.refunds).await?;
    if !batch.orders.is_empty() {
        move_orders(tx, &batch.orders).await?;
    }
    balance(tx, &batch.users).await?;
    Ok(wrote)
}

async fn put_users(tx: &mut Tx, run: Run, users: &[User]) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.imports.users
        with n as (
            select * from jsonb_to_recordset($1) as n (
                foreign_id text, id uuid, email text, password_hash text, nickname text, first_name text, last_name text,
                avatar text, is_admin boolean, email_verified boolean, created_at timestamptz)
             where not exists (select from import_rows i where i.source = $2 and i.kind = 'user' and i.foreign_id = n.foreign_id)),
        made as (
            insert into users (id, email, password_hash, nickname, first_name, last_name, avatar, role, email_verified, created_at)
            select id, email, coalesce(password_hash, '$2b$12$' || repeat('.', 53)), nickname, first_name, last_name, avatar,
                   case when is_admin then 'ADMIN' else 'USER' end::role, email_verified, created_at
              from n
            on conflict (id) do nothing returning id),
        noted as (
            insert into import_rows (source, kind, foreign_id, own_id, run_id, is_new)
            select $2, 'user', n.foreign_id, n.id, $3, made.id is not null from n left join made on made.id = n.id
            on conflict do nothing)
        select from made",
        super::rows(users)?,
        run.source.name(),
        run.id
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

async fn put_orders(tx: &mut Tx, run: Run, orders: &[Order]) -> Result<u64> {
    if orders.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        "-- store.imports.orders
        with n as (
            select * from jsonb_to_recordset($1) as n (
                foreign_id text, id uuid, user_id uuid, subtotal numeric, discount numeric, total numeric,
                payment_method text, promo_code text, external_order_id text, created_at timestamptz)),
        made as (
            insert into orders (id, user_id, subtotal, discount, total, payment_method, payment_status, promo_code,
                                promo_use_returned, external_order_id, created_at, imported_by)
            select n.id, user_id, subtotal, n.discount, total, payment_method,
                   'COMPLETED', p.code, p.code is not null,
                   case when not exists (select from orders o where o.external_order_id = n.external_order_id)
                        then external_order_id end,
                   n.created_at, $3
              from n left join promo_codes p on p.code = n.promo_code
            on conflict (id) do nothing returning id),
        noted as (
            insert into import_rows (source, kind, foreign_id, own_id, run_id, is_new)
            select $2, 'order', n.foreign_id, n.id, $3, true from n join made on made.id = n.id
            on conflict do nothing)
        select from made",
        super::rows(orders)?,
        run.source.name(),
        run.id
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

async fn put_items(tx: &mut Tx, items: &[Item]) -> Result<u64> {
    let done = sqlx::query!(
        "-- store.imports.items
        insert into order_items (id, order_id, game_id, quantity, price)
        select id, order_id, game_id, quantity, price
          from jsonb_to_recordset($1) as n (id uuid, order_id uuid, game_id uuid, quantity integer, price numeric)
        on conflict (id) do nothing",
        super::rows(items)?
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

async fn put_units(tx: &mut Tx, units: &[Unit]) -> Result<()> {
    sqlx::query!(
        r#"-- store.imports.units
        insert into order_units (id, order_id, order_item_id, game_id, "position", price_paid, last_error, created_at, not_before)
        select id, order_id, order_item_id, game_id, "position", price_paid, why, created_at, now() + make_interval(years => $2)
          from jsonb_to_recordset($1) as n (id uuid, order_id uuid, order_item_id uuid, game_id uuid, "position" integer,
                                            price_paid numeric, why text, created_at timestamptz)
        on conflict (id) do nothing"#,
        super::rows(units)?,
        PARKED_YEARS
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn put_bookings(tx: &mut Tx, bookings: &[Booking]) -> Result<u64> {
    if bookings.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        r#"-- store.imports.bookings
        insert into transactions (id, user_id, order_id, type, amount, method, status, description, transaction_hash, created_at)
        select id, user_id, order_id, type::transaction_type, amount, method, status::payment_status, description,
               transaction_hash, created_at
          from jsonb_to_recordset($1) as n (id uuid, user_id uuid, order_id uuid, type text, amount numeric, method text,
                                            status text, description text, transaction_hash text, created_at timestamptz)
        on conflict do nothing"#,
        super::rows(bookings)?
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// Stores one key of each unit. The one that the unit had until then was replaced by it.
async fn put_keys(tx: &mut Tx, run: Run, keys: &[Key]) -> Result<u64> {
    let rows = super::rows(keys)?;
    sqlx::query!(
        "-- store.imports.keys.replaced
        update game_keys k
           set order_id = null, order_unit_id = null, faulty_at = n.created_at, faulty_order_id = k.order_id,
               faulty_unit_id = k.order_unit_id, activated = true, activation_date = coalesce(k.activation_date, n.created_at)
          from jsonb_to_recordset($1) as n (id uuid, order_unit_id uuid, hash text, created_at timestamptz)
         where k.order_unit_id = n.order_unit_id and k.id <> n.id
           and not exists (select from game_keys x where x.id = n.id or x.key_hash = decode(n.hash, 'hex'))",
        &rows
    )
    .execute(tx.conn())
    .await?;
    let done = sqlx::query!(
        "-- store.imports.keys
        with n as (
            select * from jsonb_to_recordset($1) as n (
                foreign_id text, id uuid, game_id uuid, order_id uuid, order_unit_id uuid, sealed text, hash text,
                activated boolean, activation_date timestamptz, created_at timestamptz)
             where not exists (select from game_keys k where k.order_unit_id = n.order_unit_id)),
        made as (
            insert into game_keys (id, game_id, order_id, order_unit_id, key_ciphertext, key_hash, activated, activation_date, created_at)
            select id, game_id, order_id, order_unit_id, decode(sealed, 'hex'), decode(hash, 'hex'), activated, activation_date,
                   created_at
              from n
            on conflict do nothing returning id),
        noted as (
            insert into import_rows (source, kind, foreign_id, own_id, run_id, is_new)
            select $2, 'key', n.foreign_id, n.id, $3, true from n join made on made.id = n.id
            on conflict do nothing)
        select from made",
        &rows,
        run.source.name(),
        run.id
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// Brings units that still wait to the state that the source has for them: now, or in a later run.
async fn deliver(tx: &mut Tx, units: &[Unit]) -> Result<()> {
    sqlx::query!(
        "-- store.imports.units.end
        update order_units u
           set state = case when k.id is not null then 'DONE' else 'REFUNDED' end,
               refunded_for = case when k.id is null then 'NOT_DELIVERED' end, last_error = null, told_at = n.created_at
          from jsonb_to_recordset($1) as n (id uuid, state text, created_at timestamptz)
          left join game_keys k on k.order_unit_id = n.id
         where u.id = n.id and u.state = 'NEW' and u.worker is null and u.faulty_key_id is null
           and (k.id is not null or n.state = 'REFUNDED')",
        super::rows(units)?
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Moves orders along their states as far as their units allow.
async fn move_orders(tx: &mut Tx, orders: &[Order]) -> Result<()> {
    let rows = super::rows(orders)?;
    sqlx::query!(
        "-- store.imports.orders.begin
        update orders o set status = 'PROCESSING'
          from jsonb_to_recordset($1) as n (id uuid, status text)
         where o.id = n.id and o.status = 'PENDING' and n.status in ('PROCESSING', 'COMPLETED')",
        &rows
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.imports.orders.end
        update orders o
           set status = n.status::order_status,
               completed_at = case when n.status = 'COMPLETED' then coalesce(n.completed_at, o.created_at) end
          from jsonb_to_recordset($1) as n (id uuid, status text, completed_at timestamptz)
         where o.id = n.id and o.status in ('PENDING', 'PROCESSING') and n.status in ('COMPLETED', 'FAILED', 'CANCELLED')
           and not exists (select from order_units u where u.order_id = o.id
                              and case when n.status = 'COMPLETED' then u.state not in ('DONE', 'REFUNDED')
                                       else u.state <> 'REFUNDED' end)",
        &rows
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Books what a balance has beyond the bookings that were brought, and moves the balances: by the difference between the
/// source's balance now and the one that was booked before. What was bought or topped up here meanwhile stays.
async fn balance(tx: &mut Tx, users: &[User]) -> Result<()> {
    sqlx::query!(
        "-- store.imports.balances
        with n as (
            select u.id, n.balance - coalesce(b.balance, 0) as moved,
                   -- What is booked and is not in the balance yet is what this batch has brought.
                   u.balance - (select coalesce(sum(t.amount), 0) from transactions t
                                 where t.user_id = u.id and t.status = 'COMPLETED') as unbooked,
                   u.balance as has, b.user_id is null as is_first
              from jsonb_to_recordset($1) as n (id uuid, balance numeric)
              join users u on u.id = n.id and u.deleted_at is null
              left join import_balances b on b.user_id = u.id),
        -- A balance is never below zero: what was spent here meanwhile may be more than the source has left.
        moves as (select id, is_first, greatest(moved, -has) as moved, unbooked from n),
        booked as (
            insert into transactions (id, user_id, type, amount, method, status, description)
            select gen_random_uuid(), id, case when moved + unbooked > 0 then 'TOP_UP' else 'PURCHASE' end::transaction_type,
                   moved + unbooked, case when moved + unbooked > 0 then 'OPENING' else 'ADJUSTMENT' end, 'COMPLETED',
                   case when is_first then 'Balance brought from the former shop' else 'Change of the balance in the former shop' end
              from moves where moved + unbooked <> 0),
        kept as (
            insert into import_balances (user_id, balance)
            select n.id, n.balance from jsonb_to_recordset($1) as n (id uuid, balance numeric) where exists (select from moves m where m.id = n.id)
            on conflict (user_id) do update set balance = excluded.balance where import_balances.balance <> excluded.balance)
        update users u set balance = u.balance + m.moved from moves m where u.id = m.id and m.moved <> 0",
        super::rows(users)?
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The ids here of users that an address belongs to already.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError).
pub async fn of_addresses(store: &Store, addresses: &[String]) -> Result<std::collections::HashMap<String, Uuid>> {
    let rows = sqlx::query!(
        "-- store.imports.of_addresses\nselect email, id from users where email = any ($1)",
        addresses
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.email, row.id)).collect())
}

/// Of these ids, those whose account here is deleted or gone, although it was brought before.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError).
pub async fn gone(store: &Store, ids: &[Uuid]) -> Result<std::collections::HashSet<Uuid>> {
    let rows = sqlx::query_scalar!(
        r#"-- store.imports.gone
        select n as "id!" from unnest($1::uuid[]) n
         where not exists (select from users u where u.id = n and u.deleted_at is null)"#,
        ids
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().collect())
}
