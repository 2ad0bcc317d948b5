//! The other products of a game: its editions, and the same edition for other regions and platforms.
//!
//! The catalogue does not record which products are one game, so titles decide: those that start with the game's name,
//! followed by the end or by a word with which editions and offers start, are read from an index, a bounded number for
//! each such word; of these, the ones remain whose name without edition and offer is the game's own.

use lockstep_domain::catalogue::Game;
use lockstep_domain::{GameId, title};
use sqlx::types::Uuid;

use super::{Detail, views};
use crate::{Result, Tx};

/// Maximum number of products returned.
pub const MOST_EDITIONS: u32 = 12;

/// Maximum number of titles compared for each word that may follow the name.
const COMPARED: i64 = 300;

/// Maximum length of a name, in bytes; longer ones are not searched, because the index holds only the start of a title.
const LONGEST_NAME: usize = 150;

/// Products of the same game as `id`: those that can be bought first, cheapest first; at most [`MOST_EDITIONS`].
/// Excludes `id` itself and withdrawn products. Empty for an unknown id.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn editions(tx: &mut Tx, id: GameId) -> Result<Vec<Game>> {
    let own = sqlx::query!(
        "-- store.games.editions_of\nselect title, region from games where id = $1",
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(own) = own else {
        return Ok(Vec::new());
    };
    let name = name_of(&own.title, own.region.as_deref());
    if name.len() > LONGEST_NAME {
        return Ok(Vec::new());
    }
    let near = sqlx::query!(
        r#"-- store.games.editions_near
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
               select s.game_id from game_search s join games listed on listed.id = s.game_id
                where listed.withdrawn_at is null
                  and left(s.title, 200) collate "C" >= b.low and left(s.title, 200) collate "C" < b.high
                order by left(s.title, 200) collate "C" limit $4) found
          join games g on g.id = found.game_id
         where g.id <> $1 and g.withdrawn_at is null and (select name from own) <> ''"#,
        id.0,
        name,
        &title::followers(),
        COMPARED
    )
    .fetch_all(tx.conn())
    .await?;
    // The folded names below lack the signs in which names may differ.
    let signs = title::signs(name);
    let (ids, names): (Vec<Uuid>, Vec<String>) = near
        .iter()
        .map(|game| (game.id, name_of(&game.title, game.region.as_deref()).to_owned()))
        .filter(|(_, near)| title::signs(near) == signs)
        .unzip();
    let same = sqlx::query_scalar!(
        "-- store.games.editions
        select g.id
          from unnest($1::uuid[], $2::text[]) as near (id, name) join games g on g.id = near.id
         where search_fold(near.name) = search_fold($3)
         group by g.id
         order by g.in_stock desc, g.price, g.id limit $4",
        &ids,
        &names,
        name,
        i64::from(MOST_EDITIONS)
    )
    .fetch_all(tx.conn())
    .await?;
    views(tx, &same, Detail::List).await
}

/// The game's name, without the edition and the offer.
fn name_of<'t>(text: &'t str, region: Option<&str>) -> &'t str {
    title::base(title::own(text, region))
}
