//! Mail servers that staff enter: several, one of which is active.
//!
//! A server becomes the active one, and an active one changes, only with settings that it has let us in with: a wrong
//! password would stop every e-mail. The check happens before the transaction, which then compares the version.

use chrono::{DateTime, Utc};
use lockstep_domain::Secret;
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use super::changes::ChangeError;
use crate::audit::{self, By};
use crate::mail::servers::Server;
use crate::row::port_of;
use crate::{Result, Store, Tx};

/// Maximum number of mail servers.
pub const MOST: i64 = 50;

/// A mail server with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Where, and as whom.
    pub server: Server,
    /// Its name for people.
    pub name: String,
    /// Whether the workers send over it.
    pub is_active: bool,
    /// When it last let us in with these settings.
    pub passed_at: Option<DateTime<Utc>>,
    /// Why the last test failed; `None` if it did not.
    pub test_error: Option<String>,
    /// When it was entered.
    pub created_at: DateTime<Utc>,
    /// When it was changed.
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    name: String,
    host: String,
    port: i32,
    secure: bool,
    username: String,
    password: Option<Vec<u8>>,
    from_email: String,
    from_name: Option<String>,
    is_active: bool,
    passed_at: Option<DateTime<Utc>>,
    test_error: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// `with_passwords`: opens them; otherwise a password is an empty text.
fn entered(store: &Store, row: Row, with_passwords: bool) -> Result<Entered> {
    let (password, is_locked) = if with_passwords {
        store.open_password(row.id, row.password.as_deref())
    } else {
        (row.password.map(|_| Secret::new("")), false)
    };
    Ok(Entered {
        server: Server {
            id: row.id,
            version: row.version,
            host: row.host,
            port: port_of(row.port)?,
            secure: row.secure,
            user: row.username,
            password,
            is_locked,
            from_email: row.from_email,
            from_name: row.from_name,
        },
        name: row.name,
        is_active: row.is_active,
        passed_at: row.passed_at,
        test_error: row.test_error,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// All mail servers, the active one first; their passwords stay sealed (an empty text stands for one).
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(store: &Store, active_only: bool) -> Result<Vec<Entered>> {
    let rows = sqlx::query_as!(
        Row,
        "-- store.admin.email_settings.list
        select id, name, host, port, secure, username, password, from_email, from_name, is_active, passed_at, test_error,
               version, created_at, updated_at
          from email_settings where is_active or not $1 order by is_active desc, created_at, id",
        active_only
    )
    .fetch_all(store.alone())
    .await?;
    rows.into_iter().map(|row| entered(store, row, false)).collect()
}

/// A mail server with its password.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn detail(store: &Store, id: Uuid) -> Result<Option<Entered>> {
    let row = sqlx::query_as!(
        Row,
        "-- store.admin.email_settings.detail
        select id, name, host, port, secure, username, password, from_email, from_name, is_active, passed_at, test_error,
               version, created_at, updated_at
          from email_settings where id = $1",
        id
    )
    .fetch_optional(store.alone())
    .await?;
    row.map(|row| entered(store, row, true)).transpose()
}

/// Stores a mail server, on behalf of `admin`: a new one, or over the version that `new.server.version` names. A locked
/// password stays as it is.
///
/// # Errors
/// [`ChangeError::Outdated`] when it was changed meanwhile, [`ChangeError::InUse`] when there are too many,
/// [`ChangeError::Store`].
pub async fn put(store: &Store, admin: UserId, new: &Entered, is_new: bool) -> Result<(), ChangeError> {
    let password = (new.server.password.as_ref())
        .map(|password| store.seal_password(new.server.id, password))
        .transpose()?;
    let new = new.clone();
    store
        .tx("admin.email_settings.put", move |tx| {
            let (new, password) = (new.clone(), password.clone());
            Box::pin(async move { put_in(tx, admin, &new, password, is_new).await })
        })
        .await
}

async fn put_in(
    tx: &mut Tx,
    admin: UserId,
    new: &Entered,
    password: Option<Vec<u8>>,
    is_new: bool,
) -> Result<(), ChangeError> {
    lock(tx).await?;
    let server = &new.server;
    if is_new {
        let all = sqlx::query_scalar!(
            r#"-- store.admin.email_settings.count
            select count(*) as "count!" from email_settings"#
        )
        .fetch_one(tx.conn())
        .await?;
        if all >= MOST {
            return Err(ChangeError::InUse(format!(
                "There are {MOST} mail servers. Delete one first."
            )));
        }
    }
    if new.is_active {
        sqlx::query!(
            "-- store.admin.email_settings.deactivate
            update email_settings set is_active = false, version = nextval('email_versions') where is_active and id <> $1",
            server.id
        )
        .execute(tx.conn())
        .await?;
    }
    let written = if is_new {
        sqlx::query!(
            "-- store.admin.email_settings.insert
            insert into email_settings (id, name, host, port, secure, username, password, from_email, from_name, is_active,
                                        passed_at, test_error)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            server.id,
            new.name,
            server.host,
            i32::from(server.port),
            server.secure,
            server.user,
            password,
            server.from_email,
            server.from_name,
            new.is_active,
            new.passed_at,
            new.test_error
        )
        .execute(tx.conn())
        .await?
    } else {
        sqlx::query!(
            "-- store.admin.email_settings.update
            update email_settings
               set name = $3, host = $4, port = $5, secure = $6, username = $7,
                   password = case when $14 then password else $8 end, from_email = $9, from_name = $10, is_active = $11,
                   passed_at = $12, test_error = $13, version = nextval('email_versions')
             where id = $1 and version = $2",
            server.id,
            server.version,
            new.name,
            server.host,
            i32::from(server.port),
            server.secure,
            server.user,
            password,
            server.from_email,
            server.from_name,
            new.is_active,
            new.passed_at,
            new.test_error,
            server.is_locked
        )
        .execute(tx.conn())
        .await?
    };
    if written.rows_affected() == 0 {
        return Err(ChangeError::Outdated("mail server"));
    }
    let action = if is_new {
        "email.server_create"
    } else {
        "email.server_change"
    };
    // Neither address nor user: the log outlives them.
    let details = json!({ "host": server.host, "port": server.port, "secure": server.secure, "active": new.is_active });
    Ok(audit::record(tx, &By::Staff(admin), action, ("email_server", server.id), details).await?)
}

/// Changes take turns: two that activate would otherwise meet at the unique index.
async fn lock(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        "-- store.admin.email_settings.lock\nselect pg_advisory_xact_lock(hashtextextended('lockstep mail servers', 0))"
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Records the result of a test of the settings of this version. Changes nothing when they were changed meanwhile.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn note_test(store: &Store, id: Uuid, version: i64, error: Option<&str>) -> Result<()> {
    sqlx::query!(
        "-- store.admin.email_settings.note_test
        update email_settings set passed_at = case when $3::text is null then now() when is_active then passed_at end, test_error = $3
         where id = $1 and version = $2",
        id,
        version,
        error
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Deletes a mail server that is not the active one, on behalf of `admin`.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`ChangeError::Store`].
pub async fn delete(store: &Store, admin: UserId, id: Uuid) -> Result<(), ChangeError> {
    store
        .tx("admin.email_settings.delete", move |tx| {
            Box::pin(async move {
                lock(tx).await?;
                let is_active = sqlx::query_scalar!(
                    "-- store.admin.email_settings.find\nselect is_active from email_settings where id = $1",
                    id
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(ChangeError::NotFound("Mail server"))?;
                if is_active {
                    let why = "This mail server is the active one. Activate another one first, or deactivate it.";
                    return Err(ChangeError::InUse(why.to_owned()));
                }
                sqlx::query!(
                    "-- store.admin.email_settings.delete\ndelete from email_settings where id = $1",
                    id
                )
                .execute(tx.conn())
                .await?;
                let subject = ("email_server", id);
                Ok(audit::record(tx, &By::Staff(admin), "email.server_delete", subject, json!({})).await?)
            })
        })
        .await
}
