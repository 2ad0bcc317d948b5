//! The texts of e-mails that staff have changed, as the workers read them.

use crate::{Result, Store};

/// An edited text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Subject, with placeholders.
    pub subject: String,
    /// HTML with placeholders.
    pub content: String,
    /// Number of the edit; no other has it.
    pub version: i64,
}

/// The edit of an e-mail in a language; `None` while the shipped text is used.
///
/// # Errors
/// [`crate::StoreError::Unavailable`].
pub async fn current(store: &Store, name: &str, language: &str) -> Result<Option<Edit>> {
    Ok(sqlx::query_as!(
        Edit,
        "-- store.mail.edit
        select subject, content, version from email_template_edits where name = $1 and language = $2",
        name,
        language
    )
    .fetch_optional(store.alone())
    .await?)
}
