//! Genres, categories, platforms and tags: created when they are new, and linked to games according to their listings.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
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

/// One taxonomy with its links.
pub(super) struct Taxonomy {
    find: &'static str,
    create: &'static str,
    link: &'static str,
    terms: fn(&Listing) -> &[Term],
    pub(super) count: fn(&mut TermCounts) -> &mut u64,
}

macro_rules! taxonomy {
    ($plural:ident, $singular:literal) => {
        Taxonomy {
            find: concat!(
                "-- store.sync.find_",
                stringify!($plural),
                "
                select w.slug, t.id from unnest($1::text[], $2::text[]) as w(slug, name)
                  join ",
                stringify!($plural),
                " t on t.slug = w.slug or t.name = w.name
                 order by t.slug = w.slug",
            ),
            create: concat!(
                "-- store.sync.create_",
                stringify!($plural),
                "
                insert into ",
                stringify!($plural),
                " (slug, name)
                select * from unnest($1::text[], $2::text[]) on conflict do nothing",
            ),
            link: concat!(
                "-- store.sync.link_",
                stringify!($plural),
                "
                with wanted as materialized (
                    select distinct * from unnest($1::uuid[], $2::uuid[]) as w(game_id, term_id)),
                gone as (
                    delete from game_",
                stringify!($plural),
                " l
                     where l.game_id = any($3)
                       and not exists (select from wanted w where w.game_id = l.game_id and w.term_id = l.",
                $singular,
                "_id)
                    returning l.game_id),
                added as (
                    insert into game_",
                stringify!($plural),
                " (game_id, ",
                $singular,
                "_id)
                    select w.game_id, w.term_id from wanted w
                     where not exists (select from game_",
                stringify!($plural),
                " l
                                        where l.game_id = w.game_id and l.",
                $singular,
                "_id = w.term_id)
                    on conflict do nothing returning game_id)
                select game_id from gone union select game_id from added",
            ),
            terms: |listing| &listing.$plural,
            count: |counts| &mut counts.$plural,
        }
    };
}

pub(super) const TAXONOMIES: [Taxonomy; 4] = [
    taxonomy!(categories, "category"),
    taxonomy!(genres, "genre"),
    taxonomy!(platforms, "platform"),
    taxonomy!(tags, "tag"),
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
        let terms: HashSet<&Term> = games.iter().flat_map(|(_, listing)| (self.terms)(listing)).collect();
        let mut terms: Vec<&Term> = terms.into_iter().collect();
        terms.sort_unstable();
        let mut ids = self.find(tx, &terms).await?;
        let missing: Vec<&&Term> = terms.iter().filter(|term| !ids.contains_key(&term.slug)).collect();
        let mut created = 0;
        if !missing.is_empty() {
            created = sqlx::query(self.create)
                .bind(missing.iter().map(|t| t.slug.as_str()).collect::<Vec<_>>())
                .bind(missing.iter().map(|t| t.name.as_str()).collect::<Vec<_>>())
                .execute(tx.conn())
                .await?
                .rows_affected();
            ids = self.find(tx, &terms).await?;
        }
        let (mut game_ids, mut term_ids) = (Vec::new(), Vec::new());
        for (game, listing) in games {
            for term in (self.terms)(listing).iter().filter_map(|term| ids.get(&term.slug)) {
                game_ids.push(*game);
                term_ids.push(*term);
            }
        }
        let all: Vec<Uuid> = games.iter().map(|(game, _)| *game).collect();
        let differed: Vec<Uuid> = sqlx::query_scalar(self.link)
            .bind(game_ids)
            .bind(term_ids)
            .bind(all)
            .fetch_all(tx.conn())
            .await?;
        changed.extend(differed);
        Ok(created)
    }

    /// Ids by slug. A term that a person gave another slug is found by its name; one with the same slug has priority.
    async fn find(&self, tx: &mut Tx, terms: &[&Term]) -> Result<HashMap<String, Uuid>> {
        Ok(sqlx::query_as(self.find)
            .bind(terms.iter().map(|t| t.slug.as_str()).collect::<Vec<_>>())
            .bind(terms.iter().map(|t| t.name.as_str()).collect::<Vec<_>>())
            .fetch_all(tx.conn())
            .await?
            .into_iter()
            .collect())
    }
}
