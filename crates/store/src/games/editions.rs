//! The other products of a game: its editions, and the same edition for other regions and platforms.
//!
//! Nothing in the catalogue says which products are one game, so titles do: those that begin with the game's name, followed
//! by the end or by a word that editions and offers begin with, are read off an index, a bounded number for each such word;
//! then those stay whose name without edition and offer is the game's own.

use lockstep_domain::catalogue::Game;
use lockstep_domain::{GameId, title};
use sqlx::types::Uuid;

use super::{Detail, views};
use crate::{Result, Tx};

/// So many are told at the most.
pub const MOST_EDITIONS: u32 = 12;

/// So many titles are compared for each word that may follow the name.
const COMPARED: i64 = 24;

/// Names that are longer, in bytes, are not looked for: the index holds the beginning of a title only.
const LONGEST_NAME: usize = 150;

/// Products of the same game as `id`: what can be bought first, the cheapest of them first; at most [`MOST_EDITIONS`].
/// Without `id` itself and without what is withdrawn. Empty for an unknown id.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn editions(tx: &mut Tx, id: GameId) -> Result<Vec<Game>> {
    let own: Option<(String, Option<String>)> =
        sqlx::query_as("-- store.games.editions_of\nselect title, region from games where id = $1")
            .bind(id.0)
            .fetch_optional(tx.conn())
            .await?;
    let Some((text, region)) = own else {
        return Ok(Vec::new());
    };
    let name = name_of(&text, region.as_deref());
    if name.len() > LONGEST_NAME {
        return Ok(Vec::new());
    }
    let near: Vec<(Uuid, String, Option<String>)> = sqlx::query_as(
        "-- store.games.editions_near
        with own as materialized (select search_fold($2) as name),
        -- As C sorts: a space is the first letter, `!` the next one.
        beginnings as (
            select name as low, name || ' ' as high from own
            union all
            select name || ' |', name || ' }' from own
            union all
            select name || ' ' || word, name || ' ' || word || '!' from own, unnest($3::text[]) as words (word))
        select g.id, g.title, g.region
          from beginnings b cross join lateral (
               select s.game_id from game_search s
                where left(s.title, 200) collate \"C\" >= b.low and left(s.title, 200) collate \"C\" < b.high
                order by left(s.title, 200) collate \"C\" limit $4) found
          join games g on g.id = found.game_id
         where g.id <> $1 and g.withdrawn_at is null and (select name from own) <> ''",
    )
    .bind(id.0)
    .bind(name)
    .bind(title::followers())
    .bind(COMPARED)
    .fetch_all(tx.conn())
    .await?;
    let (ids, names): (Vec<Uuid>, Vec<String>) = near
        .iter()
        .map(|(id, text, region)| (*id, name_of(text, region.as_deref()).to_owned()))
        .unzip();
    let same: Vec<Uuid> = sqlx::query_scalar(
        "-- store.games.editions
        select g.id
          from unnest($1::uuid[], $2::text[]) as near (id, name) join games g on g.id = near.id
         where search_fold(near.name) = search_fold($3)
         group by g.id
         order by g.in_stock desc, g.price, g.id limit $4",
    )
    .bind(ids)
    .bind(names)
    .bind(name)
    .bind(i64::from(MOST_EDITIONS))
    .fetch_all(tx.conn())
    .await?;
    views(tx, &same, Detail::List).await
}

/// The game's name: without the edition and the offer.
fn name_of<'t>(text: &'t str, region: Option<&str>) -> &'t str {
    title::base(title::own(text, region))
}
