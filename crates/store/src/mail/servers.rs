//! The mail server that staff have made the active one, as the workers read it, and its sealed password.

use lockstep_domain::Secret;
use uuid::Uuid;

use crate::row::port_of;
use crate::{Result, Store, StoreError};

/// Where to send, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its id.
    pub id: Uuid,
    /// Number of its last change; no other has it.
    pub version: i64,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS from the first byte; otherwise STARTTLS.
    pub secure: bool,
    /// User, or empty without a log-in.
    pub user: String,
    /// Password; `None` without a log-in, and if it is locked.
    pub password: Option<Secret>,
    /// Whether there is a password that no secret of this process opens.
    pub is_locked: bool,
    /// Address of the sender.
    pub from_email: String,
    /// Name of the sender.
    pub from_name: Option<String>,
}

/// The context that the password of a mail server is sealed for.
pub fn place(server: Uuid) -> String {
    format!("email_settings.password/{server}")
}

/// The active mail server; `None` if there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn active(store: &Store) -> Result<Option<Server>> {
    let row = sqlx::query!(
        "-- store.mail.active_server
        select id, version, host, port, secure, username, password, from_email, from_name
          from email_settings where is_active"
    )
    .fetch_optional(store.alone())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (password, is_locked) = store.open_password(row.id, row.password.as_deref());
    Ok(Some(Server {
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
    }))
}

impl Store {
    /// Seals the password of a mail server.
    pub(crate) fn seal_password(&self, server: Uuid, password: &Secret) -> Result<Vec<u8>> {
        let keys = self.seal.0.get().ok_or_else(no_secrets)?;
        Ok(keys.seal(&place(server), password.expose().as_bytes()))
    }

    /// Opens the password of a mail server; and whether there is one that no secret of this process opens.
    pub(crate) fn open_password(&self, server: Uuid, sealed: Option<&[u8]>) -> (Option<Secret>, bool) {
        let Some(sealed) = sealed else { return (None, false) };
        let plain = (self.seal.0.get()).and_then(|keys| keys.open(&place(server), sealed).ok());
        let text = plain.and_then(|plain| String::from_utf8(plain).ok());
        let is_locked = text.is_none();
        (text.map(Secret::new), is_locked)
    }
}

fn no_secrets() -> StoreError {
    StoreError::from(sqlx::Error::Configuration(
        "there are no secrets to seal the password of a mail server with".into(),
    ))
}

/// A page of sealed passwords, by id, for a rotation of secrets.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sealed_page(store: &Store, after: Option<Uuid>, most: u32) -> Result<Vec<(Uuid, Vec<u8>)>> {
    let rows = sqlx::query!(
        r#"-- store.mail.sealed_passwords
        select id, password as "password!" from email_settings
         where password is not null and ($1::uuid is null or id > $1) order by id limit $2"#,
        after,
        i64::from(most)
    )
    .fetch_all(store.alone())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.password)).collect())
}

/// Replaces a sealed password if it is still the one that was read.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn reseal(store: &Store, server: Uuid, before: &[u8], after: &[u8]) -> Result<bool> {
    let done = sqlx::query!(
        "-- store.mail.reseal_password\nupdate email_settings set password = $3 where id = $1 and password = $2",
        server,
        before,
        after
    )
    .execute(store.alone())
    .await?;
    Ok(done.rows_affected() == 1)
}
