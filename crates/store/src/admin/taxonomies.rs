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
use crate::audit::{self, By};
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

    /// Its table.
    const fn plural(self) -> &'static str {
        match self {
            Self::Categories => "categories",
            Self::Genres => "genres",
            Self::Platforms => "platforms",
            Self::Tags => "tags",
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
            audit::record(
                tx,
                &By::Staff(admin),
                "taxonomy.create",
                (taxonomy.singular(), id),
                details,
            )
            .await?;
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
            audit::record(
                tx,
                &By::Staff(admin),
                "taxonomy.update",
                (taxonomy.singular(), id),
                details,
            )
            .await?;
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
            audit::record(
                tx,
                &By::Staff(admin),
                "taxonomy.delete",
                (taxonomy.singular(), id),
                details,
            )
            .await?;
            Ok(())
        })
    });
    deleted.await.map_err(|error: ChangeError| in_use(error, taxonomy))
}

/// The refusal that a violated reference stands for.
fn in_use(error: ChangeError, taxonomy: Taxonomy) -> ChangeError {
    match &error {
        ChangeError::Store(refused)
            if refused
                .constraint()
                .is_some_and(|rule| rule.starts_with("price_rules_")) =>
        {
            ChangeError::InUse(format!("A price rule names this {}.", taxonomy.singular()))
        }
        ChangeError::Store(refused) if refused.constraint().is_some_and(|rule| rule.starts_with("promo_code_")) => {
            ChangeError::InUse(format!("A promo code names this {}.", taxonomy.singular()))
        }
        ChangeError::Store(refused) if refused.constraint().is_some_and(|rule| rule.ends_with("_id_fkey")) => {
            ChangeError::InUse(format!(
                "Games have this {}. Take it from them first.",
                taxonomy.singular()
            ))
        }
        _ => error,
    }
}

/// Gives all games of an entry another one instead and deletes it, on behalf of `admin`; returns how many games had it. A
/// synchronisation takes its name for the other one from then on.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::InUse`] when price rules or promo codes name it, [`ChangeError::Store`].
pub async fn merge(store: &Store, admin: UserId, taxonomy: Taxonomy, id: Uuid, into: Uuid) -> Result<u64, ChangeError> {
    let merged = store.tx("admin.taxonomies.merge", move |tx| {
        Box::pin(async move {
            if id == into {
                return Err(ChangeError::NotFound(taxonomy.title()));
            }
            // In one order, so that two that are merged into each other take turns.
            let (first, second) = (id.min(into), id.max(into));
            let first_one = lock(tx, taxonomy, first).await?;
            let second_one = lock(tx, taxonomy, second).await?;
            let (gone, other) = if id == first {
                (first_one, second_one)
            } else {
                (second_one, first_one)
            };
            let (Some(gone), Some(other)) = (gone, other) else {
                return Err(ChangeError::NotFound(taxonomy.title()));
            };
            macro_rules! relink {
                ($plural:literal, $singular:literal) => {{
                    // Who changes what a game is in has locked the game.
                    sqlx::query!(
                        "-- store.admin.taxonomies.lock_games_of_"
                            + $plural
                            + "\nselect g.id from games g where g.id in (select l.game_id from game_"
                            + $plural
                            + " l where l."
                            + $singular
                            + "_id = $1) order by g.id for no key update",
                        id
                    )
                    .fetch_all(tx.conn())
                    .await?;
                    sqlx::query!(
                        "-- store.admin.taxonomies.link_"
                            + $plural
                            + "\ninsert into game_"
                            + $plural
                            + " (game_id, "
                            + $singular
                            + "_id) select l.game_id, $2 from game_"
                            + $plural
                            + " l where l."
                            + $singular
                            + "_id = $1 on conflict do nothing",
                        id,
                        into
                    )
                    .execute(tx.conn())
                    .await?;
                    sqlx::query!(
                        "-- store.admin.taxonomies.unlink_"
                            + $plural
                            + "\ndelete from game_"
                            + $plural
                            + " where "
                            + $singular
                            + "_id = $1",
                        id
                    )
                    .execute(tx.conn())
                    .await?
                    .rows_affected()
                }};
            }
            let games = match taxonomy {
                Taxonomy::Categories => relink!("categories", "category"),
                Taxonomy::Genres => relink!("genres", "genre"),
                Taxonomy::Platforms => relink!("platforms", "platform"),
                Taxonomy::Tags => relink!("tags", "tag"),
            };
            macro_rules! remove {
                ($plural:literal) => {
                    sqlx::query!(
                        "-- store.admin.taxonomies.merge_" + $plural + "\ndelete from " + $plural + " where id = $1",
                        id
                    )
                    .execute(tx.conn())
                    .await?
                };
            }
            of_table!(taxonomy, remove);
            sqlx::query!(
                "-- store.admin.taxonomies.move\nupdate merged_terms set into_id = $2 where into_id = $1",
                id,
                into
            )
            .execute(tx.conn())
            .await?;
            sqlx::query!(
                "-- store.admin.taxonomies.remember
                insert into merged_terms (taxonomy, slug, name, into_id) values ($1, $2, $3, $4)
                on conflict (taxonomy, slug) do update set name = excluded.name, into_id = excluded.into_id",
                taxonomy.plural(),
                gone.slug,
                gone.name,
                into
            )
            .execute(tx.conn())
            .await?;
            let details = json!({ "name": gone.name, "slug": gone.slug, "into": other.name, "games": games });
            audit::record(
                tx,
                &By::Staff(admin),
                "taxonomy.merge",
                (taxonomy.singular(), into),
                details,
            )
            .await?;
            Ok(games)
        })
    });
    merged.await.map_err(|error: ChangeError| in_use(error, taxonomy))
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
