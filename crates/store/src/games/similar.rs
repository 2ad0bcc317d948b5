//! Games similar to a given one.
//!
//! A shared attribute counts more, the fewer games have it: a tag of ten games is more significant than a genre of a
//! third of the catalogue. Counting stops at [`COMMON`], and the number of compared games is limited, so the cost is
//! bounded. Games without a shared attribute are not returned, however popular they are.

use lockstep_domain::GameId;
use lockstep_domain::catalogue::Game;

use super::{Detail, views};
use crate::{Result, Tx};

/// An attribute of this number of games or more is barely significant.
const COMMON: i64 = 5_000;

/// Words at the end of G2A's product names that do not identify the game.
const OFFER_WORDS: [&str; 12] = [
    "steam", "key", "global", "europe", "pc", "gog", "xbox", "psn", "dlc", "gift", "com", "account",
];

/// Games that can be bought and are most similar to the game `id`, at most `count`; empty for an unknown id.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn similar(tx: &mut Tx, id: GameId, count: u32) -> Result<Vec<Game>> {
    let title = sqlx::query_scalar!(
        r#"-- store.games.similar_to
        select search_fold(title) as "title!" from games where id = $1"#,
        id.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(title) = title else {
        return Ok(Vec::new());
    };
    let ids = sqlx::query_scalar!(
        r#"-- store.games.similar
        with mine as materialized (
            select g.id, lower(nullif(g.publisher, '')) as publisher, s.title,
                   to_tsquery('simple', nullif($2, '')) as series, 0.8 * ln($4::bigint::float8 / (1 + n.games)) as publisher_weight
              from games g join game_search s on s.game_id = g.id cross join lateral (
                   select count(*) as games
                     from (select 1 from games o
                            where lower(o.publisher) = lower(g.publisher) and o.withdrawn_at is null limit $4::bigint - 1) o) n
             where g.id = $1),
        my_tags as materialized (
            select l.tag_id, 1.0 * ln($4::bigint::float8 / (1 + n.games)) as weight, n.games
              from game_tags l cross join lateral (
                   select count(*) as games from (select 1 from game_tags o where o.tag_id = l.tag_id limit $4::bigint - 1) o) n
             where l.game_id = $1),
        my_genres as materialized (
            select l.genre_id, 0.2 + 0.7 * ln($4::bigint::float8 / (1 + n.games)) as weight
              from game_genres l cross join lateral (
                   select count(*) as games
                     from (select 1 from game_genres o where o.genre_id = l.genre_id limit $4::bigint - 1) o) n
             where l.game_id = $1),
        candidates as (
            select o.game_id as id
              from (select tag_id from my_tags order by games, tag_id limit 6) t cross join lateral (
                   select l.game_id from game_tags l where l.tag_id = t.tag_id limit 120) o
            union
            select o.game_id
              from my_genres t cross join lateral (
                   select l.game_id from game_genres l where l.genre_id = t.genre_id limit 80) o
            union
            select o.id
              from mine cross join lateral (
                   select g.id from games g
                    where lower(g.publisher) = mine.publisher and g.withdrawn_at is null limit 120) o
            union
            select o.game_id
              from mine cross join lateral (
                   select s.game_id from game_search s where s.words @@ mine.series limit 120) o
            union
            (select id from games where withdrawn_at is null and in_stock and not is_preorder
              order by popularity desc, id desc limit 150))
        select id as "id!"
          from (select g.id, g.popularity, similarity(mine.title, s.title) as alike,
                       coalesce((select sum(t.weight) from my_tags t join game_tags l on l.tag_id = t.tag_id
                                  where l.game_id = g.id), 0)
                       + coalesce((select sum(t.weight) from my_genres t join game_genres l on l.genre_id = t.genre_id
                                    where l.game_id = g.id), 0)
                       + case when lower(g.publisher) = mine.publisher then mine.publisher_weight else 0 end
                       + case when s.words @@ mine.series then 6 else 0 end as common
                  from candidates c join games g on g.id = c.id join game_search s on s.game_id = g.id cross join mine
                 where g.id <> $1 and g.withdrawn_at is null and g.in_stock and not g.is_preorder) compared
         where common > 0
         order by common + 2 * alike desc, popularity desc, id desc
         limit $3"#,
        id.0,
        series(&title),
        i64::from(count),
        COMMON
    )
    .fetch_all(tx.conn())
    .await?;
    views(tx, &ids, Detail::List).await
}

/// The words that identify a series, as a query for words in titles: the first two that are neither articles nor
/// numbers nor part of the offer ("Killing Floor 2 Steam Key GLOBAL": killing, floor). Empty if there are none.
fn series(folded: &str) -> String {
    folded
        .split(' ')
        .filter(|word| word.chars().count() > 1 && !word.chars().all(char::is_numeric))
        .filter(|word| !matches!(*word, "the" | "of" | "and" | "an"))
        .take(2)
        .filter(|word| !OFFER_WORDS.contains(word))
        .map(|word| format!("{word}:A"))
        .collect::<Vec<_>>()
        .join(" & ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_is_identified_by_its_first_words() {
        assert_eq!(series("killing floor 2 steam key global"), "killing:A & floor:A");
        assert_eq!(series("the witcher 3 wild hunt"), "witcher:A & wild:A");
        assert_eq!(series("portal steam key"), "portal:A");
        assert_eq!(series("2048"), "");
    }
}
