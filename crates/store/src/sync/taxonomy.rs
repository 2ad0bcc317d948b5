//! Genres, categories, platforms and tags: created when they are new, and linked to games according to their listings.

use std::collections::{HashMap, HashSet};

use futures_core::future::BoxFuture;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Listing;
use crate::Tx;
use crate::error::Result;

/// A genre, category, platform or tag: looked up by its slug, named when it is new.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Term {
    /// The display name.
    pub name: String,
    /// The identifier.
    pub slug: String,
}

/// How many terms were created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TermCounts {
    /// Categories.
    pub categories: u64,
    /// Genres.
    pub genres: u64,
    /// Platforms.
    pub platforms: u64,
    /// Tags.
    pub tags: u64,
}

impl TermCounts {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            categories: self.categories + other.categories,
            genres: self.genres + other.genres,
            platforms: self.platforms + other.platforms,
            tags: self.tags + other.tags,
        }
    }
}

/// The result of a statement in an open transaction.
type Step<'t, T> = BoxFuture<'t, Result<T>>;
/// Ids by slug, of slugs and names.
type Find = fn(&mut Tx, Vec<String>, Vec<String>) -> Step<'_, HashMap<String, Uuid>>;
/// Creates terms of slugs and names; returns how many.
type Create = fn(&mut Tx, Vec<String>, Vec<String>) -> Step<'_, u64>;
/// Links games (first list) to terms (second list, one for each) so that the games of the third list have exactly these,
/// except where the named field is staff's. Returns the games whose links differed.
type Link = for<'t> fn(&'t mut Tx, Vec<Uuid>, Vec<Uuid>, Vec<Uuid>, Option<&'static str>) -> Step<'t, Vec<Uuid>>;

/// One taxonomy with its links.
pub(crate) struct Taxonomy {
    /// Its table, and its name in `games.fields_by_hand`.
    pub(super) name: &'static str,
    find: Find,
    create: Create,
    link: Link,
    pub(super) terms: fn(&Listing) -> &[Term],
    pub(super) count: fn(&mut TermCounts) -> &mut u64,
}

macro_rules! taxonomy {
    ($field:ident, $plural:literal, $singular:literal) => {
        Taxonomy {
            name: $plural,
            find: |tx, slugs, names| {
                Box::pin(async move {
                    let terms = sqlx::query!(
                        "-- store.sync.find_"
                            + $plural
                            + r#"
                        select f.slug as "slug!", f.id as "id!"
                          from (select w.slug, t.id, case when t.slug = w.slug then 2 else 1 end as rank
                                  from unnest($1::text[], $2::text[]) as w(slug, name) join "#
                            + $plural
                            + " t on t.slug = w.slug or t.name = w.name
                                union all
                                select w.slug, t.id, 0 from unnest($1::text[], $2::text[]) as w(slug, name)
                                  join merged_terms m on m.taxonomy = '"
                            + $plural
                            + "' and (m.slug = w.slug or m.name = w.name)
                                  join "
                            + $plural
                            + " t on t.id = m.into_id) f
                         order by f.rank",
                        &slugs,
                        &names
                    )
                    .fetch_all(tx.conn())
                    .await?;
                    Ok(terms.into_iter().map(|term| (term.slug, term.id)).collect())
                })
            },
            create: |tx, slugs, names| {
                Box::pin(async move {
                    let created = sqlx::query!(
                        "-- store.sync.create_"
                            + $plural
                            + "
                        insert into "
                            + $plural
                            + " (slug, name)
                        select * from unnest($1::text[], $2::text[]) on conflict do nothing",
                        &slugs,
                        &names
                    )
                    .execute(tx.conn())
                    .await?;
                    Ok(created.rows_affected())
                })
            },
            link: |tx, games, terms, all, kept| {
                Box::pin(async move {
                    Ok(sqlx::query_scalar!(
                        "-- store.sync.link_"
                            + $plural
                            + "
                        with wanted as materialized (
                            select distinct * from unnest($1::uuid[], $2::uuid[]) as w(game_id, term_id)),
                        different as (
                            select l.game_id from game_"
                            + $plural
                            + " l
                             where l.game_id = any($3)
                               and not exists (select from wanted w where w.game_id = l.game_id and w.term_id = l."
                            + $singular
                            + "_id)
                            union
                            select w.game_id from wanted w
                             where not exists (select from game_"
                            + $plural
                            + " l
                                                where l.game_id = w.game_id and l."
                            + $singular
                            + "_id = w.term_id)),
                        -- Locked, and looked at again if staff had it: links that they set meanwhile stay.
                        ours as materialized (
                            select id from games
                             where id in (select game_id from different) and not coalesce($4 = any(fields_by_hand), false)
                             order by id for no key update),
                        gone as (
                            delete from game_"
                            + $plural
                            + " l
                             where l.game_id in (select id from ours)
                               and not exists (select from wanted w where w.game_id = l.game_id and w.term_id = l."
                            + $singular
                            + "_id)),
                        added as (
                            insert into game_"
                            + $plural
                            + " (game_id, "
                            + $singular
                            + r#"_id)
                            select w.game_id, w.term_id from wanted w where w.game_id in (select id from ours)
                            on conflict do nothing)
                        select id as "id!" from ours"#,
                        &games,
                        &terms,
                        &all,
                        kept
                    )
                    .fetch_all(tx.conn())
                    .await?)
                })
            },
            terms: |listing| &listing.$field,
            count: |counts| &mut counts.$field,
        }
    };
}

pub(crate) const TAXONOMIES: [Taxonomy; 4] = [
    taxonomy!(categories, "categories", "category"),
    taxonomy!(genres, "genres", "genre"),
    taxonomy!(platforms, "platforms", "platform"),
    taxonomy!(tags, "tags", "tag"),
];

impl Taxonomy {
    /// Sets the links of these games to those of their listings, and adds the games whose links differed to `changed`.
    /// Returns how many terms were created.
    pub(super) async fn link(
        &self,
        tx: &mut Tx,
        games: &[(Uuid, &Listing)],
        changed: &mut HashSet<Uuid>,
    ) -> Result<u64> {
        let kept = self.kept(tx, games).await?;
        let games: Vec<&(Uuid, &Listing)> = games.iter().filter(|(game, _)| !kept.contains(game)).collect();
        let terms: HashSet<&Term> = games.iter().flat_map(|(_, listing)| (self.terms)(listing)).collect();
        let (ids, created) = self.found_or_created(tx, terms).await?;
        let (mut game_ids, mut term_ids) = (Vec::new(), Vec::new());
        for (game, listing) in &games {
            for term in (self.terms)(listing).iter().filter_map(|term| ids.get(&term.slug)) {
                game_ids.push(*game);
                term_ids.push(*term);
            }
        }
        let all: Vec<Uuid> = games.iter().map(|(game, _)| *game).collect();
        changed.extend((self.link)(tx, game_ids, term_ids, all, Some(self.name)).await?);
        Ok(created)
    }

    /// Gives one game exactly these terms; creates those that are new.
    pub(crate) async fn set(&self, tx: &mut Tx, game: Uuid, terms: &[Term]) -> Result<()> {
        let (ids, _) = self.found_or_created(tx, terms.iter().collect()).await?;
        let wanted: Vec<Uuid> = terms.iter().filter_map(|term| ids.get(&term.slug).copied()).collect();
        (self.link)(tx, vec![game; wanted.len()], wanted, vec![game], None).await?;
        Ok(())
    }

    /// The games whose terms staff have set.
    pub(super) async fn kept(&self, tx: &mut Tx, games: &[(Uuid, &Listing)]) -> Result<HashSet<Uuid>> {
        let games: Vec<Uuid> = games.iter().map(|(game, _)| *game).collect();
        let kept = sqlx::query_scalar!(
            r#"-- store.sync.kept_links
            select id as "id!" from games where id = any($1) and $2 = any(fields_by_hand)"#,
            &games,
            self.name
        )
        .fetch_all(tx.conn())
        .await?;
        Ok(kept.into_iter().collect())
    }

    /// Ids by slug, and how many terms were created.
    async fn found_or_created(&self, tx: &mut Tx, terms: HashSet<&Term>) -> Result<(HashMap<String, Uuid>, u64)> {
        let mut terms: Vec<&Term> = terms.into_iter().collect();
        terms.sort_unstable();
        let ids = self.find(tx, &terms).await?;
        let missing: Vec<&&Term> = terms.iter().filter(|term| !ids.contains_key(&term.slug)).collect();
        if missing.is_empty() {
            return Ok((ids, 0));
        }
        let slugs = missing.iter().map(|t| t.slug.clone()).collect();
        let names = missing.iter().map(|t| t.name.clone()).collect();
        let created = (self.create)(tx, slugs, names).await?;
        Ok((self.find(tx, &terms).await?, created))
    }

    /// Ids by slug. A term that a person gave another slug is found by its name, and one that was merged by what it became; one
    /// with the same slug has priority.
    pub(super) async fn find(&self, tx: &mut Tx, terms: &[&Term]) -> Result<HashMap<String, Uuid>> {
        let slugs = terms.iter().map(|t| t.slug.clone()).collect();
        let names = terms.iter().map(|t| t.name.clone()).collect();
        (self.find)(tx, slugs, names).await
    }
}
