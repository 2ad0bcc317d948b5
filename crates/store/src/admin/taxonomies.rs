//! Categories, genres, platforms and tags: made, renamed and deleted by staff.
//!
//! An entry that games have cannot be deleted (the schema refuses it), and a renamed one keeps its slug unless staff give
//! it another: addresses and filters name the slug, and the synchronisation finds an entry by it.

use lockstep_domain::admin::{TermForm, TermSaved};
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use super::changes::ChangeError;
use super::games::Taxonomy;
use crate::audit::{self, AuditEntry};
use crate::{Store, Tx};

impl Taxonomy {
    /// One of its entries, as a word.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Categories => "category",
            Self::Genres => "genre",
            Self::Platforms => "platform",
            Self::Tags => "tag",
        }
    }

    /// One of its entries, at the beginning of a sentence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Categories => "Category",
            Self::Genres => "Genre",
            Self::Platforms => "Platform",
            Self::Tags => "Tag",
        }
    }
}

/// Runs a macro with the table of a taxonomy, because statements are literals.
macro_rules! of_table {
    ($taxonomy:expr, $run:ident) => {
        match $taxonomy {
            Taxonomy::Categories => $run!("categories"),
            Taxonomy::Genres => $run!("genres"),
            Taxonomy::Platforms => $run!("platforms"),
            Taxonomy::Tags => $run!("tags"),
        }
    };
}

/// An entry as it is stored.
struct Stored {
    name: String,
    slug: String,
    description: Option<String>,
}

/// Makes an entry, on behalf of `admin`.
///
/// # Errors
/// [`ChangeError::SlugTaken`], [`ChangeError::NameTaken`], [`ChangeError::Store`].
pub async fn create(
    store: &Store,
    admin: UserId,
    taxonomy: Taxonomy,
    form: &TermForm,
) -> Result<TermSaved, ChangeError> {
    let form = form.clone();
    let made = store.tx("admin.taxonomies.create", move |tx| {
        let form = form.clone();
        Box::pin(async move {
            let (slug, description) = (form.slug_of_new(), form.description.filter(|text| !text.is_empty()));
            macro_rules! insert {
                ($plural:literal) => {
                    sqlx::query_scalar!(
                        "-- store.admin.taxonomies.create_"
                            + $plural
                            + "\ninsert into "
                            + $plural
                            + " (name, slug, description) values ($1, $2, $3) returning id",
                        form.name,
                        slug,
                        description
                    )
                    .fetch_one(tx.conn())
                    .await?
                };
            }
            let id = of_table!(taxonomy, insert);
            let saved = TermSaved {
                id,
                name: form.name,
                slug,
            };
            let details = json!({ "name": saved.name, "slug": saved.slug });
            note(tx, admin, "taxonomy.create", taxonomy, id, details).await?;
            Ok(saved)
        })
    });
    made.await.map_err(|error: ChangeError| error.of(taxonomy.singular()))
}

/// Renames or describes an entry, on behalf of `admin`. What the form does not mention stays.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::SlugTaken`], [`ChangeError::NameTaken`], [`ChangeError::Store`].
pub async fn update(
    store: &Store,
    admin: UserId,
    taxonomy: Taxonomy,
    id: Uuid,
    form: &TermForm,
) -> Result<TermSaved, ChangeError> {
    let form = form.clone();
    let changed = store.tx("admin.taxonomies.update", move |tx| {
        let form = form.clone();
        Box::pin(async move {
            let before = lock(tx, taxonomy, id)
                .await?
                .ok_or(ChangeError::NotFound(taxonomy.title()))?;
            let slug = form.slug.unwrap_or_else(|| before.slug.clone());
            let description = match form.description {
                None => before.description.clone(),
                Some(text) => Some(text).filter(|text| !text.is_empty()),
            };
            let saved = TermSaved {
                id,
                name: form.name,
                slug,
            };
            if (&before.name, &before.slug, &before.description) == (&saved.name, &saved.slug, &description) {
                return Ok(saved);
            }
            macro_rules! write {
                ($plural:literal) => {
                    sqlx::query!(
                        "-- store.admin.taxonomies.update_"
                            + $plural
                            + "\nupdate "
                            + $plural
                            + " set name = $2, slug = $3, description = $4 where id = $1",
                        id,
                        saved.name,
                        saved.slug,
                        description
                    )
                    .execute(tx.conn())
                    .await?
                };
            }
            of_table!(taxonomy, write);
            let details = json!({
                "before": { "name": before.name, "slug": before.slug },
                "after": { "name": saved.name, "slug": saved.slug },
            });
            note(tx, admin, "taxonomy.update", taxonomy, id, details).await?;
            Ok(saved)
        })
    });
    changed
        .await
        .map_err(|error: ChangeError| error.of(taxonomy.singular()))
}

/// Deletes an entry that no game has, on behalf of `admin`.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`ChangeError::Store`].
pub async fn delete(store: &Store, admin: UserId, taxonomy: Taxonomy, id: Uuid) -> Result<(), ChangeError> {
    let deleted = store.tx("admin.taxonomies.delete", move |tx| {
        Box::pin(async move {
            let before = lock(tx, taxonomy, id)
                .await?
                .ok_or(ChangeError::NotFound(taxonomy.title()))?;
            macro_rules! remove {
                ($plural:literal) => {
                    sqlx::query!(
                        "-- store.admin.taxonomies.delete_" + $plural + "\ndelete from " + $plural + " where id = $1",
                        id
                    )
                    .execute(tx.conn())
                    .await?
                };
            }
            of_table!(taxonomy, remove);
            let details = json!({ "name": before.name, "slug": before.slug });
            note(tx, admin, "taxonomy.delete", taxonomy, id, details).await?;
            Ok(())
        })
    });
    deleted.await.map_err(|error: ChangeError| match &error {
        ChangeError::Store(refused) if refused.constraint().is_some_and(|rule| rule.ends_with("_id_fkey")) => {
            ChangeError::InUse(format!(
                "Games have this {}. Take it from them first.",
                taxonomy.singular()
            ))
        }
        _ => error,
    })
}

/// The entry, locked against other changes of it.
async fn lock(tx: &mut Tx, taxonomy: Taxonomy, id: Uuid) -> Result<Option<Stored>, ChangeError> {
    macro_rules! read {
        ($plural:literal) => {
            sqlx::query_as!(
                Stored,
                "-- store.admin.taxonomies.lock_"
                    + $plural
                    + "\nselect name, slug, description from "
                    + $plural
                    + " where id = $1 for no key update",
                id
            )
            .fetch_optional(tx.conn())
            .await?
        };
    }
    Ok(of_table!(taxonomy, read))
}

async fn note(
    tx: &mut Tx,
    admin: UserId,
    action: &'static str,
    taxonomy: Taxonomy,
    id: Uuid,
    details: serde_json::Value,
) -> Result<(), ChangeError> {
    let entry = AuditEntry {
        admin,
        action,
        subject: (taxonomy.singular(), id),
        details,
    };
    Ok(audit::write(tx, &entry).await?)
}
