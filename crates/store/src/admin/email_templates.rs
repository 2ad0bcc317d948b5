//! Texts of e-mails that staff change.
//!
//! The shipped text of a template has version 0; each edit has a new number. A form is written only over the version that
//! it showed: the one that it names, or else the one that its session was shown last.

use chrono::{DateTime, Utc};
use lockstep_domain::ids::{SessionId, UserId};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::changes::ChangeError;
use crate::audit::{self, By};
use crate::{Result, Store, Tx};

/// The version of a shipped text.
pub const SHIPPED: i64 = 0;

/// An edited text, with who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditRow {
    /// Kind of e-mail.
    pub name: String,
    /// Language, ISO 639-1.
    pub language: String,
    /// Subject, with placeholders.
    pub subject: String,
    /// HTML with placeholders.
    pub content: String,
    /// Number of the edit.
    pub version: i64,
    /// Nickname of who wrote it; `None` if their account is gone or has none.
    pub edited_by: Option<String>,
    /// When.
    pub edited_at: DateTime<Utc>,
}

/// A checked text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEdit {
    /// Kind of e-mail.
    pub name: String,
    /// Language, ISO 639-1.
    pub language: &'static str,
    /// Subject, with placeholders; `None`: the present one, or `shipped_subject`.
    pub subject: Option<String>,
    /// The subject that the program ships.
    pub shipped_subject: String,
    /// HTML with placeholders.
    pub content: String,
    /// The version that the form showed; by default the one that the session was shown last.
    pub seen: Option<i64>,
}

/// The edits of a language.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, language: &str) -> Result<Vec<EditRow>> {
    Ok(sqlx::query_as!(
        EditRow,
        r#"-- store.admin.email_templates.list
        select e.name, e.language, e.subject, e.content, e.version, u.nickname as "edited_by?", e.edited_at
          from email_template_edits e left join users u on u.id = e.edited_by
         where e.language = $1 order by e.name"#,
        language
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Records the versions that a session of staff is shown.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn note_shown(store: &Store, session: SessionId, language: &str, shown: &[(&str, i64)]) -> Result<()> {
    let (names, versions): (Vec<String>, Vec<i64>) = shown
        .iter()
        .map(|(name, version)| ((*name).to_owned(), *version))
        .unzip();
    sqlx::query!(
        "-- store.admin.email_templates.note_shown
        insert into seen_email_templates (session_id, name, language, version)
        select s.id, t.name, $2, t.version
          from user_sessions s, unnest($3::text[], $4::bigint[]) t (name, version) where s.id = $1
        on conflict (session_id, name, language) do update set version = excluded.version",
        session.0,
        language,
        &names,
        &versions
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Stores an edited text, on behalf of `admin`, and returns its version.
///
/// # Errors
/// [`ChangeError::Outdated`] when the template is no longer the one that the form showed, [`ChangeError::NotSeen`] when
/// it is not known which one that was, [`ChangeError::Store`].
pub async fn put(store: &Store, admin: UserId, session: SessionId, edit: &NewEdit) -> Result<i64, ChangeError> {
    let edit = edit.clone();
    store
        .tx("admin.email_templates.put", move |tx| {
            let edit = edit.clone();
            Box::pin(async move { put_in(tx, admin, session, &edit).await })
        })
        .await
}

async fn put_in(tx: &mut Tx, admin: UserId, session: SessionId, edit: &NewEdit) -> Result<i64, ChangeError> {
    let seen = seen(tx, session, &edit.name, edit.language, edit.seen).await?;
    let written = if seen == SHIPPED {
        sqlx::query_scalar!(
            "-- store.admin.email_templates.insert
            insert into email_template_edits (name, language, subject, content, edited_by) values ($1, $2, $3, $4, $5)
            on conflict (name, language) do nothing returning version",
            edit.name,
            edit.language,
            edit.subject.as_ref().unwrap_or(&edit.shipped_subject),
            edit.content,
            admin.0
        )
        .fetch_optional(tx.conn())
        .await?
    } else {
        sqlx::query_scalar!(
            "-- store.admin.email_templates.update
            update email_template_edits
               set subject = coalesce($4, subject), content = $5, edited_by = $6, edited_at = now(),
                   version = nextval('email_versions')
             where name = $1 and language = $2 and version = $3 returning version",
            edit.name,
            edit.language,
            seen,
            edit.subject,
            edit.content,
            admin.0
        )
        .fetch_optional(tx.conn())
        .await?
    };
    let version = written.ok_or(ChangeError::Outdated("e-mail template"))?;
    remember(tx, session, &edit.name, edit.language, version).await?;
    let details = json!({ "name": edit.name, "language": edit.language, "version": version });
    audit::record(
        tx,
        &By::Staff(admin),
        "email.template_change",
        ("email_template", Uuid::nil()),
        details,
    )
    .await?;
    Ok(version)
}

/// Brings the shipped text back, on behalf of `admin`. False if it is in use already.
///
/// # Errors
/// As [`put`].
pub async fn reset(
    store: &Store,
    admin: UserId,
    session: SessionId,
    name: &str,
    language: &'static str,
    given: Option<i64>,
) -> Result<bool, ChangeError> {
    let name = name.to_owned();
    store
        .tx("admin.email_templates.reset", move |tx| {
            let name = name.clone();
            Box::pin(async move {
                let seen = seen(tx, session, &name, language, given).await?;
                let now = sqlx::query_scalar!(
                    "-- store.admin.email_templates.lock
                    select version from email_template_edits where name = $1 and language = $2 for update",
                    name,
                    language
                )
                .fetch_optional(tx.conn())
                .await?;
                let Some(version) = now else { return Ok(false) };
                if version != seen {
                    return Err(ChangeError::Outdated("e-mail template"));
                }
                sqlx::query!(
                    "-- store.admin.email_templates.reset
                    delete from email_template_edits where name = $1 and language = $2",
                    name,
                    language
                )
                .execute(tx.conn())
                .await?;
                remember(tx, session, &name, language, SHIPPED).await?;
                let details = json!({ "name": name, "language": language, "version": version });
                let by = By::Staff(admin);
                audit::record(
                    tx,
                    &by,
                    "email.template_reset",
                    ("email_template", Uuid::nil()),
                    details,
                )
                .await?;
                Ok(true)
            })
        })
        .await
}

/// The version that a form showed.
async fn seen(
    tx: &mut Tx,
    session: SessionId,
    name: &str,
    language: &str,
    given: Option<i64>,
) -> Result<i64, ChangeError> {
    if let Some(version) = given {
        return Ok(version);
    }
    let seen = sqlx::query_scalar!(
        "-- store.admin.email_templates.seen
        select version from seen_email_templates where session_id = $1 and name = $2 and language = $3",
        session.0,
        name,
        language
    )
    .fetch_optional(tx.conn())
    .await?;
    seen.ok_or(ChangeError::NotSeen("e-mail template"))
}

/// What the form of this session shows from now on.
async fn remember(tx: &mut Tx, session: SessionId, name: &str, language: &str, version: i64) -> Result<()> {
    sqlx::query!(
        "-- store.admin.email_templates.remember
        insert into seen_email_templates (session_id, name, language, version)
        select id, $2, $3, $4 from user_sessions where id = $1
        on conflict (session_id, name, language) do update set version = excluded.version",
        session.0,
        name,
        language,
        version
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Records that `admin` has an example of an e-mail sent, before it is. The log keeps a digest of its recipient.
///
/// # Errors
/// [`ChangeError::Store`].
pub async fn note_test(
    store: &Store,
    admin: UserId,
    name: &'static str,
    language: &'static str,
    recipient: &str,
) -> Result<(), ChangeError> {
    let digest = hex::encode(Sha256::digest(recipient.trim().to_lowercase().as_bytes()));
    store
        .tx("admin.email_templates.test", move |tx| {
            let details = json!({ "name": name, "language": language, "recipient": digest });
            Box::pin(async move {
                let subject = ("email_template", Uuid::nil());
                Ok(audit::record(tx, &By::Staff(admin), "email.test", subject, details).await?)
            })
        })
        .await
}
