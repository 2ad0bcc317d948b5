//! Accounts at G2A that staff enter: several, one of which is active.
//!
//! An account becomes the active one, and the active one changes, only with credentials that G2A has accepted: the shop
//! could buy nothing with wrong ones. The check happens before the transaction, which then compares the version.

use chrono::{DateTime, Utc};
use lockstep_domain::Secret;
use lockstep_domain::admin::{SupplierEnvironment, account_mark};
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use super::changes::ChangeError;
use crate::audit::{self, By};
use crate::{Result, Store, StoreError, Tx};

/// Maximum number of accounts.
pub const MOST: i64 = 50;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Its id.
    pub id: Uuid,
    /// Number of its last change; no other has it.
    pub version: i64,
    /// Client id at G2A.
    pub client_id: String,
    /// E-mail address at G2A.
    pub email: String,
    /// Client secret; `None` if no secret of this process opens it.
    pub secret: Option<Secret>,
    /// Which of G2A's worlds it belongs to.
    pub environment: SupplierEnvironment,
    /// Whether it is the active one.
    pub is_active: bool,
    /// When G2A last accepted just these credentials.
    pub passed_at: Option<DateTime<Utc>>,
    /// When it was entered.
    pub created_at: DateTime<Utc>,
    /// When it was changed.
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    version: i64,
    client_id: String,
    email: String,
    secret: Vec<u8>,
    environment: String,
    is_active: bool,
    passed_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The context that a client secret is sealed for.
pub fn place(account: Uuid) -> String {
    format!("g2a_settings.secret/{account}")
}

fn entered(store: &Store, row: Row) -> Result<Entered> {
    let environment = SupplierEnvironment::from_name(&row.environment);
    Ok(Entered {
        secret: store.open_secret(&place(row.id), &row.secret),
        environment: environment.ok_or_else(|| StoreError::from(sqlx::Error::RowNotFound))?,
        id: row.id,
        version: row.version,
        client_id: row.client_id,
        email: row.email,
        is_active: row.is_active,
        passed_at: row.passed_at,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// All accounts, the active one first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(store: &Store) -> Result<Vec<Entered>> {
    let rows = sqlx::query_as!(
        Row,
        "-- store.admin.g2a_settings.list
        select id, version, client_id, email, secret, environment, is_active, passed_at, created_at, updated_at
          from g2a_settings order by is_active desc, created_at, id"
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter().map(|row| entered(store, row)).collect()
}

/// Stores an account, on behalf of `admin`: a new one, or over the version that `new` has. `given_secret` is sealed anew;
/// without it the stored secret stays. `before` is the account as it was read.
///
/// # Errors
/// [`ChangeError::Outdated`] when it was changed meanwhile or another one has this client id; [`ChangeError::InUse`] when
/// there are too many, or units are being bought with the account; [`ChangeError::Store`].
pub async fn put(
    store: &Store,
    admin: UserId,
    new: &Entered,
    given_secret: Option<&Secret>,
    before: Option<&Entered>,
) -> Result<(), ChangeError> {
    let sealed = given_secret
        .map(|secret| store.seal_secret(&place(new.id), secret))
        .transpose()?;
    let left = before
        .filter(|before| before.client_id != new.client_id || before.environment != new.environment)
        .map(|before| account_mark(&before.client_id));
    let (new, is_new) = (new.clone(), before.is_none());
    let put = store.tx("admin.g2a_settings.put", move |tx| {
        let (new, sealed, left) = (new.clone(), sealed.clone(), left.clone());
        Box::pin(async move {
            lock(tx).await?;
            if let Some(mark) = &left {
                refuse_while_buying(tx, mark).await?;
            }
            put_in(tx, admin, &new, sealed, is_new).await
        })
    });
    match put.await {
        Err(ChangeError::Store(error)) if error.constraint() == Some("g2a_settings_client_id_key") => {
            Err(ChangeError::Outdated("G2A settings"))
        }
        other => other,
    }
}

async fn put_in(
    tx: &mut Tx,
    admin: UserId,
    new: &Entered,
    sealed: Option<Vec<u8>>,
    is_new: bool,
) -> Result<(), ChangeError> {
    let changes_secret = sealed.is_some();
    if new.is_active {
        sqlx::query!(
            "-- store.admin.g2a_settings.deactivate
            update g2a_settings set is_active = false, version = nextval('g2a_settings_versions')
             where is_active and id <> $1",
            new.id
        )
        .execute(tx.conn())
        .await?;
    }
    let written = if is_new {
        let all = sqlx::query_scalar!(
            r#"-- store.admin.g2a_settings.count
            select count(*) as "count!" from g2a_settings"#
        )
        .fetch_one(tx.conn())
        .await?;
        if all >= MOST {
            return Err(ChangeError::InUse(format!(
                "There are {MOST} accounts at G2A. Delete one first."
            )));
        }
        sqlx::query!(
            "-- store.admin.g2a_settings.insert
            insert into g2a_settings (id, client_id, email, secret, environment, is_active, passed_at)
            values ($1, $2, $3, $4, $5, $6, $7)",
            new.id,
            new.client_id,
            new.email,
            sealed.unwrap_or_default(),
            new.environment.name(),
            new.is_active,
            new.passed_at
        )
        .execute(tx.conn())
        .await?
    } else {
        sqlx::query!(
            "-- store.admin.g2a_settings.update
            update g2a_settings
               set client_id = $3, email = $4, secret = coalesce($5, secret), environment = $6, is_active = $7,
                   passed_at = $8, version = nextval('g2a_settings_versions')
             where id = $1 and version = $2",
            new.id,
            new.version,
            new.client_id,
            new.email,
            sealed,
            new.environment.name(),
            new.is_active,
            new.passed_at
        )
        .execute(tx.conn())
        .await?
    };
    if written.rows_affected() == 0 {
        return Err(ChangeError::Outdated("G2A settings"));
    }
    let action = if is_new {
        "supplier.account_create"
    } else {
        "supplier.account_change"
    };
    // Neither address nor secret: the log outlives them.
    let details = json!({
        "account": account_mark(&new.client_id),
        "environment": new.environment.name(),
        "active": new.is_active,
        "secretChanged": changes_secret,
    });
    Ok(audit::record(tx, &By::Staff(admin), action, ("g2a_account", new.id), details).await?)
}

/// Changes take turns: two that activate would otherwise meet at the unique index.
async fn lock(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        "-- store.admin.g2a_settings.lock\nselect pg_advisory_xact_lock(hashtextextended('lockstep G2A accounts', 0))"
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Refuses to forget an account that orders at G2A in progress belong to: no other could pay them or fetch their keys. An
/// order that is being placed, or was placed by an earlier version, may belong to any account.
async fn refuse_while_buying(tx: &mut Tx, mark: &str) -> Result<(), ChangeError> {
    let open = sqlx::query_scalar!(
        r#"-- store.admin.g2a_settings.open_units
        select count(*) as "count!" from order_units
         where state = 'ORDERING'
            or (state not in ('DONE', 'REFUNDED') and g2a_order_id is not null and (g2a_account is null or g2a_account = $1))"#,
        mark
    )
    .fetch_one(tx.conn())
    .await?;
    if open > 0 {
        return Err(ChangeError::InUse(format!(
            "{open} copies are being bought with this account. Try again when they are delivered."
        )));
    }
    Ok(())
}

/// Records the account with this mark as that of orders in progress of earlier versions, which knew only one account.
///
/// # Errors
/// [`StoreError`].
pub async fn stamp_orders(store: &Store, mark: &str) -> Result<()> {
    sqlx::query!(
        "-- store.admin.g2a_settings.stamp_orders
        with units as (
            update order_units set g2a_account = $1
             where state not in ('DONE', 'REFUNDED') and g2a_order_id is not null and g2a_account is null
            returning g2a_order_id)
        update g2a_orders o set account = $1 from units u where o.g2a_order_id = u.g2a_order_id and o.account is null",
        mark
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Deletes an account that is not the active one, on behalf of `admin`.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`ChangeError::Store`].
pub async fn delete(store: &Store, admin: UserId, id: Uuid) -> Result<(), ChangeError> {
    store
        .tx("admin.g2a_settings.delete", move |tx| {
            Box::pin(async move {
                lock(tx).await?;
                let row = sqlx::query!(
                    "-- store.admin.g2a_settings.find\nselect is_active, client_id from g2a_settings where id = $1",
                    id
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(ChangeError::NotFound("G2A settings"))?;
                if row.is_active {
                    let why = "These credentials are the active ones. Activate others first, or deactivate these.";
                    return Err(ChangeError::InUse(why.to_owned()));
                }
                let mark = account_mark(&row.client_id);
                refuse_while_buying(tx, &mark).await?;
                sqlx::query!(
                    "-- store.admin.g2a_settings.delete\ndelete from g2a_settings where id = $1",
                    id
                )
                .execute(tx.conn())
                .await?;
                let (subject, details) = (("g2a_account", id), json!({ "account": mark }));
                Ok(audit::record(tx, &By::Staff(admin), "supplier.account_delete", subject, details).await?)
            })
        })
        .await
}

/// Records that `admin` is given an access token of G2A.
///
/// # Errors
/// [`StoreError`].
pub async fn note_token(store: &Store, admin: UserId, id: Uuid, client_id: &str) -> Result<()> {
    let mark = account_mark(client_id);
    store
        .tx("admin.g2a_settings.token", move |tx| {
            let details = json!({ "account": mark });
            Box::pin(async move {
                audit::record(tx, &By::Staff(admin), "supplier.token", ("g2a_account", id), details).await
            })
        })
        .await
        .map(drop)
}

/// A page of sealed secrets, by id, for a rotation of `LOCKSTEP_KEY_SECRET`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sealed_page(store: &Store, after: Option<Uuid>, most: u32) -> Result<Vec<(Uuid, Vec<u8>)>> {
    let rows = sqlx::query!(
        "-- store.admin.g2a_settings.sealed
        select id, secret from g2a_settings where ($1::uuid is null or id > $1) order by id limit $2",
        after,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.secret)).collect())
}

/// Replaces a sealed secret if it is still the one that was read.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn reseal(store: &Store, id: Uuid, before: &[u8], after: &[u8]) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.admin.g2a_settings.reseal\nupdate g2a_settings set secret = $3 where id = $1 and secret = $2",
        id,
        before,
        after
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}
