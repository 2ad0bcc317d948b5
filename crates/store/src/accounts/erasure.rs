//! Forgetting a person: their account, and whatever else is stored under their e-mail address or the addresses of their
//! devices.
//!
//! The books stay provable: bookings, orders and receipts remain, under an account without a name. What the law wants kept of
//! a buyer stays in `order_taxes` as long as it wants it. `docs/operations.md` lists both.

use std::sync::Arc;

use lockstep_domain::Money;
use lockstep_domain::account::Email;
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use super::AccountError;
use super::deletion::{Farewell, delete_in};
use crate::audit::{self, By};
use crate::gate::Subject;
use crate::row::{how_many_of, money_of};
use crate::sessions::ClientInfo;
use crate::{Result, Store, Tx};

/// What is stored about a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Their account, if they have one.
    pub account: Option<UserId>,
    /// Its balance, EUR.
    pub balance: Money,
    /// What is removed: kind and number of rows, only where there are any.
    pub removed: Vec<(&'static str, u64)>,
    /// What stays, without who it was: kind and number of rows, only where there are any.
    pub kept: Vec<(&'static str, u64)>,
}

impl Held {
    /// Whether nothing is stored.
    pub fn is_nothing(&self) -> bool {
        self.account.is_none() && self.removed.is_empty() && self.kept.is_empty()
    }
}

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// What was stored before.
    pub before: Held,
    /// Tags of cached answers that show something of the person.
    pub tags: Vec<String>,
}

/// What is stored about the person with this address.
///
/// # Errors
/// [`AccountError::Store`].
pub async fn held(store: &Store, email: &Email) -> Result<Held, AccountError> {
    let names = email.spellings();
    let read = store.read::<_, AccountError>(move |tx| Box::pin(async move { held_in(tx, &names).await }));
    Ok(read.await?.value)
}

/// Deletes the account with this address, and everything else that is stored under the address or that names a device of
/// theirs. Sends no e-mail, because its address would be stored until it is sent. A balance stays in the books.
/// The audit log says that somebody was erased, not who. `None` if nothing is stored.
///
/// # Errors
/// [`AccountError::OrdersUnderWay`], also while a withdrawal of theirs is undecided; [`AccountError::PaymentUnderWay`];
/// [`AccountError::LastAdmin`].
pub async fn erase(store: &Store, email: &Email, by: &By) -> Result<Option<Erased>, AccountError> {
    let account = held(store, email).await?.account;
    let subjects: Vec<Subject<'_>> = account.into_iter().map(Into::into).collect();
    let asked = Arc::new((email.spellings(), by.clone()));
    let erased = store
        .tx_about("accounts.erase", &subjects, move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let before = held_in(tx, &asked.0).await?;
                if before.is_nothing() {
                    return Ok(None);
                }
                let subject = ("user", before.account.map_or(Uuid::nil(), |user| user.0));
                audit::record(tx, &asked.1, "user.erase", subject, json!({})).await?;
                let tags = before.account.map(tags_of).unwrap_or_default();
                erase_in(tx, &asked.0, before.account).await?;
                Ok(Some(Erased { before, tags }))
            })
        })
        .await;
    match erased {
        // Another deletion of the account was quicker; it left nothing either.
        Err(AccountError::NotFound) => Ok(None),
        erased => erased,
    }
}

fn tags_of(user: UserId) -> Vec<String> {
    [
        format!("user:{user}:profile"),
        format!("user:{user}:orders"),
        format!("user:{user}:transactions"),
        format!("shopper:{user}:cart"),
        format!("shopper:{user}:wishlist"),
    ]
    .into()
}

async fn held_in(tx: &mut Tx, names: &[String]) -> Result<Held, AccountError> {
    let account = sqlx::query!(
        "-- store.accounts.erase.account
        select id, balance from users where email = any ($1) and deleted_at is null",
        names
    )
    .fetch_optional(tx.conn())
    .await?;
    let user = account.as_ref().map(|account| account.id);
    let counted = sqlx::query!(
        r#"-- store.accounts.erase.count
        select (select count(*) from user_sessions where user_id = $1) as "sessions!",
               (select count(*) from login_history where user_id = $1) as "logins!",
               (select count(*) from mail_outbox where user_id = $1 or lower(recipient) = any ($2)) as "emails!",
               (select count(*) from cart_items where user_id = $1) + (select count(*) from wishlist where user_id = $1)
                   + (select count(*) from stock_alerts where user_id = $1) as "wishes!",
               (select count(*) from billing_profiles where user_id = $1) as "billing!",
               (select count(*) from user_totp where user_id = $1) + (select count(*) from one_time_codes where user_id = $1 or email = any ($2))
                   + (select count(*) from api_tokens where user_id = $1) as "credentials!",
               (select count(*) from top_up_origins s join top_ups p on p.id = s.top_up_id where p.user_id = $1) as "origins!",
               (select count(*) from unused_deliveries d where d.body <> '' and (d.user_id = $1 or d.payers && $2::text[])) as "deliveries!",
               (select count(*) from orders where user_id = $1) as "orders!",
               (select count(*) from transactions where user_id = $1) as "bookings!",
               (select count(*) from receipts r join orders o on o.id = r.order_id where o.user_id = $1) as "receipts!",
               (select count(*) from withdrawals where (user_id = $1 or lower(contact) = any ($2))) as "withdrawals!",
               (select count(*) from audit_log where admin_id = $1) as "deeds!""#,
        user,
        names
    )
    .fetch_one(tx.conn())
    .await?;
    let some = |rows: &[(&'static str, i64)]| -> Vec<(&'static str, u64)> {
        rows.iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (*kind, how_many_of(*count)))
            .collect()
    };
    Ok(Held {
        account: user.map(UserId),
        balance: account.map_or(Ok(Money::ZERO), |account| money_of(account.balance))?,
        removed: some(&[
            ("sessions", counted.sessions),
            ("logIns", counted.logins),
            ("emails", counted.emails),
            ("cartAndWishes", counted.wishes),
            ("billingDetails", counted.billing),
            ("credentials", counted.credentials),
            ("originsOfPayments", counted.origins),
            ("paymentEvents", counted.deliveries),
        ]),
        kept: some(&[
            ("orders", counted.orders),
            ("bookings", counted.bookings),
            ("receipts", counted.receipts),
            ("withdrawals", counted.withdrawals),
            ("auditEntries", counted.deeds),
        ]),
    })
}

async fn erase_in(tx: &mut Tx, names: &[String], account: Option<UserId>) -> Result<(), AccountError> {
    // One that nobody has decided may still move money of an account; its declarant waits for an answer.
    let is_waiting = sqlx::query_scalar!(
        r#"-- store.accounts.erase.waits
        select exists (select from withdrawals where state = 'OPEN' and lower(contact) = any ($1)) as "waits!""#,
        names
    )
    .fetch_one(tx.conn())
    .await?;
    if is_waiting {
        return Err(AccountError::OrdersUnderWay);
    }
    let user = account.map(|user| user.0);
    // Before the rows that say so are gone.
    let addresses = sqlx::query_scalar!(
        r#"-- store.accounts.erase.devices
        select host(address) as "address!" from user_sessions where user_id = $1 and address is not null
        union select host(address) from login_history where user_id = $1 and address is not null
        union select host(s.address) from top_up_origins s join top_ups p on p.id = s.top_up_id where p.user_id = $1 and s.address is not null
        union select c.address from order_consents c join orders o on o.id = c.order_id where o.user_id = $1 and c.address is not null
        union select address from withdrawals where (user_id = $1 or lower(contact) = any ($2)) and address is not null"#,
        user,
        names
    )
    .fetch_all(tx.conn())
    .await?;
    if let Some(user) = account {
        delete_in(tx, user, true, Farewell::Left).await?;
        // What a booking was called in another shop may name them.
        sqlx::query!(
            "-- store.accounts.erase.descriptions
            update transactions set description = null
             where user_id = $1 and exists (select from unnest($2::text[]) n where strpos(lower(description), lower(n)) > 0)",
            user.0,
            names
        )
        .execute(tx.conn())
        .await?;
    }
    erase_devices(tx, &addresses).await?;
    // Executes statements about the address, in this order.
    macro_rules! for_names {
        ($($statement:literal),* $(,)?) => {
            $(sqlx::query!($statement, names).execute(tx.conn()).await?;)*
        };
    }
    for_names!(
        "-- store.accounts.erase.mail\ndelete from mail_outbox where lower(recipient) = any ($1)",
        "-- store.accounts.erase.codes\ndelete from one_time_codes where email = any ($1)",
        // Of payments that no account was found for, and of those whose text names the address otherwise.
        "-- store.accounts.erase.deliveries
        update unused_deliveries set body = '', payers = '{}', user_id = null
         where body <> '' and (payers && $1::text[]
             or exists (select from unnest($1::text[]) n where strpos(lower(encode(body, 'escape')), lower(n)) > 0))",
        "-- store.accounts.erase.withdrawals
        update withdrawals set name = 'erased', contact = 'erased', address = null,
               reason = case when reason is not null then 'erased' end
         where lower(contact) = any ($1)",
        // What staff have asked for: answers that are kept for a repeated request, and views that look for the person.
        "-- store.accounts.erase.answers
        delete from idempotency_keys
         where exists (select from unnest($1::text[]) n where strpos(lower(answer::text), lower(n)) > 0)",
        "-- store.accounts.erase.views
        delete from saved_views
         where exists (select from unnest($1::text[]) n
                        where strpos(lower(query), lower(n)) > 0 or strpos(lower(query), replace(lower(n), '@', '%40')) > 0
                           or strpos(lower(name), lower(n)) > 0)",
    );
    Ok(())
}

/// Deletes what names the devices with these IP addresses, beside the rows of the account: attempts to log in to accounts that
/// do not exist, and limits, which begin again.
async fn erase_devices(tx: &mut Tx, addresses: &[String]) -> Result<(), AccountError> {
    let devices = addresses.iter().filter_map(|address| address.parse().ok());
    let mut limited: Vec<String> = addresses.to_vec();
    limited.extend(devices.filter_map(|device| ClientInfo::new(Some(device), None).network()));
    sqlx::query!(
        "-- store.accounts.erase.attempts
        delete from login_history where user_id is null and host(address) = any ($1)",
        addresses
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "-- store.accounts.erase.limits
        delete from rate_limits
         where split_part(key, ':address:', 2) = any ($1) or split_part(key, ':from:', 2) = any ($1)",
        &limited
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
