//! Search for games by typed text.
//!
//! The search combines three lookups, each by an index: titles that contain every typed word, texts (title and
//! description) with words that start with every typed word, and, when few titles contain them, titles that contain the
//! words with two letters swapped or that are similar to the typed text. Better matches come first. Each part is
//! bounded, so that a word in every title costs no more than another one, even among a million games.
//!
//! Typed texts and titles are compared in the folded form that the database computes for both (`search_fold`, migration
//! 0191): accents, punctuation, `&` and the notation of numbers make no difference.

use lockstep_domain::GameId;
use lockstep_domain::catalogue::{CatalogQuery, Game, Offer, Sort, Suggestion};
use lockstep_domain::title::Title;
use rust_decimal::Decimal;
use sqlx::types::Uuid;
use sqlx::{Postgres, QueryBuilder, Row as _};

use super::filter::{Filter, Window, order_by, push_window};
use crate::games::{Detail, views};
use crate::{Result, Tx};

/// Maximum number of games a search finds, and maximum of its total.
pub const MAX_HITS: i64 = 10_000;
/// Maximum number of similar titles that are considered.
const MAX_SIMILAR: i64 = 2_000;
/// Minimum similarity (`word_similarity`, 0–1) of a title to a mistyped text: a letter missing, doubled or wrong in a
/// word of five or more stays above.
const SIMILARITY: &str = "0.42";
/// The minimum similarity when some titles contain every word: alternatives then have to be closer.
const SIMILARITY_BESIDE: &str = "0.6";
/// When at least this number of titles contains every word, no similar titles are searched.
const ENOUGH: i64 = 10;
/// Lengths of words that are also searched with two adjacent letters swapped, which trigrams do not match.
const SWAPPED_LETTERS: std::ops::RangeInclusive<usize> = 4..=20;
/// A text with fewer characters only matches the beginnings of words in titles.
const SHORT_TEXT: usize = 3;
/// Maximum number of typed words; further ones are ignored.
const MAX_WORDS: usize = 8;

/// Games that match `text`, best match first, at most `limit`, including sold-out games and preorders.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn search(tx: &mut Tx, text: &str, limit: u32) -> Result<Vec<Game>> {
    let Some(text) = Text::of(tx, text).await? else {
        return Ok(Vec::new());
    };
    let all = every_listed_game();
    let filter = Filter::resolve(tx, &all).await?;
    let found = find(tx, &text, &filter, None, Window::first(limit), Where::TitleAndText).await?;
    views(tx, &found.ids, Detail::List).await
}

/// Ids of all listed games that match `text`, at most [`MAX_HITS`], unordered, including sold-out games and preorders.
pub(super) async fn hits(tx: &mut Tx, text: &str) -> Result<Vec<Uuid>> {
    let Some(text) = Text::of(tx, text).await? else {
        return Ok(Vec::new());
    };
    let all = every_listed_game();
    let filter = Filter::resolve(tx, &all).await?;
    let window = Window {
        limit: MAX_HITS,
        offset: 0,
    };
    Ok(find(tx, &text, &filter, None, window, Where::TitleAndText).await?.ids)
}

/// Completions of the partially typed `text`: titles, best match first, at most `limit`.
///
/// # Errors
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
pub async fn suggest(tx: &mut Tx, text: &str, limit: u32) -> Result<Vec<Suggestion>> {
    let Some(text) = Text::of(tx, text).await? else {
        return Ok(Vec::new());
    };
    let all = every_listed_game();
    let filter = Filter::resolve(tx, &all).await?;
    let found = find(tx, &text, &filter, None, Window::first(limit), Where::Title).await?;
    let rows = sqlx::query!(
        r#"-- store.games.suggest
        select g.id, g.title, g.image, g.slug, wanted.score as "score!"
          from unnest($1::uuid[], $2::numeric[]) with ordinality as wanted (id, score, place)
          join games g on g.id = wanted.id
         order by wanted.place"#,
        &found.ids,
        &found.scores
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let title = Title::new(&row.title);
            Suggestion {
                id: GameId(row.id),
                name: title.name().to_owned(),
                offer: Offer::of(&title),
                title: row.title,
                image: row.image,
                slug: row.slug,
                relevance_score: row.score,
            }
        })
        .collect())
}

fn every_listed_game() -> CatalogQuery {
    CatalogQuery {
        in_stock_only: false,
        ..CatalogQuery::default()
    }
}

/// A typed text, folded and parsed. It contains only letters, digits and single spaces, so nothing has to be escaped.
pub(super) struct Text {
    plain: String,
    /// Its words; a run of Chinese or Japanese characters, which are folded separately, is one.
    words: Vec<String>,
    /// A text search query: every word as a prefix.
    query: String,
}

impl Text {
    /// `None` if the text has no letter or digit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    pub(super) async fn of(tx: &mut Tx, typed: &str) -> Result<Option<Self>> {
        let words: Vec<&str> = typed.split_whitespace().take(MAX_WORDS).collect();
        let typed = words.join(" ");
        if !typed.chars().any(char::is_alphanumeric) {
            return Ok(None);
        }
        // It returns null for null alone.
        let folded = sqlx::query_scalar!(
            r#"-- store.games.search_fold
            select search_fold($1) as "folded!""#,
            typed
        )
        .fetch_one(tx.conn())
        .await?;
        Ok(Self::parse(&folded))
    }

    /// Parses a folded text.
    fn parse(folded: &str) -> Option<Self> {
        let mut words: Vec<String> = Vec::new();
        let mut runs_on = false;
        for word in folded.split_whitespace() {
            let is_character = is_written_without_spaces(word);
            let is_full = words.len() == MAX_WORDS;
            match words.last_mut() {
                Some(last) if runs_on && is_character => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ if is_full => break,
                _ => words.push(word.to_owned()),
            }
            runs_on = is_character;
        }
        let query = words
            .iter()
            .flat_map(|word| word.split(' '))
            // Prefix match, unless the word is so short that half the catalogue would match.
            .map(|word| match word.chars().count() {
                0..SHORT_TEXT => word.to_owned(),
                _ => format!("{word}:*"),
            })
            .collect::<Vec<_>>()
            .join(" & ");
        (!query.is_empty()).then(|| Self {
            plain: words.join(" "),
            words,
            query,
        })
    }

    /// Appends the condition that a title (of `s`) contains every word. A word of one or two letters has to start a
    /// word of the title: the trigram index could not find it inside a word, and users would not mean that.
    fn push_title_matches(&self, sql: &mut QueryBuilder<Postgres>) {
        for (i, word) in self.words.iter().enumerate() {
            sql.push(if i == 0 { "" } else { " and " });
            push_holds(sql, word);
        }
    }

    /// Appends the condition that a title (of `s`) contains every word, one of them with two letters swapped.
    fn push_title_matches_swapped(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("(false");
        for (i, word) in self.words.iter().enumerate() {
            let patterns = swapped(word);
            if patterns.is_empty() {
                continue;
            }
            sql.push(" or (s.title like any(").push_bind(patterns).push(")");
            for (_, other) in self.words.iter().enumerate().filter(|(other, _)| *other != i) {
                sql.push(" and ");
                push_holds(sql, other);
            }
            sql.push(")");
        }
        sql.push(")");
    }

    /// Appends the score of a title that contains every word: from 1 for one of its forms to 0.6 for all words
    /// anywhere.
    fn push_title_score(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push("case");
        for (before, after, score) in [
            ("% | ", " | %", "1.00"),
            ("% | ", " %", "0.95"),
            ("% | ", "%", "0.90"),
            ("% ", " %", "0.80"),
            ("% ", "%", "0.75"),
            ("%", "%", "0.70"),
        ] {
            sql.push(" when ' | ' || s.title || ' | ' like ");
            sql.push_bind(format!("{before}{}{after}", self.plain));
            sql.push(" then ").push(score);
        }
        sql.push(" else 0.60 end");
    }
}

/// Whether a folded word is one character of a script without spaces between words; the same characters as in
/// `search_fold`.
fn is_written_without_spaces(word: &str) -> bool {
    let mut letters = word.chars();
    let is_one = |letter| matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}');
    letters.next().is_some_and(is_one) && letters.next().is_none()
}

/// Appends the condition that a title (of `s`) contains a word.
fn push_holds(sql: &mut QueryBuilder<Postgres>, word: &str) {
    if word.chars().count() >= SHORT_TEXT {
        sql.push("s.title like ").push_bind(format!("%{word}%"));
    } else {
        sql.push("(s.title like ").push_bind(format!("{word}%"));
        sql.push(" or s.title like ").push_bind(format!("% {word}%")).push(")");
    }
}

/// Patterns of a word with each pair of adjacent letters swapped; none for words that are too short or too long, or
/// that contain other characters than letters and digits.
fn swapped(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    if !SWAPPED_LETTERS.contains(&letters.len()) || !letters.iter().all(|letter| letter.is_alphanumeric()) {
        return Vec::new();
    }
    (1..letters.len())
        .filter_map(|i| {
            let mut swapped = letters.clone();
            swapped.swap(i - 1, i);
            (swapped != letters).then(|| format!("%{}%", String::from_iter(swapped)))
        })
        .collect()
}

/// The texts to search.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// For suggestions.
    Title,
    /// Title and description.
    TitleAndText,
}

impl Where {
    /// Maximum number of matches that are ranked. Of more, the first ones in the requested order are taken.
    const fn limit(self) -> i64 {
        match self {
            // Requested on every key press, with few results.
            Self::Title => 1_000,
            Self::TitleAndText => MAX_HITS,
        }
    }
}

/// One window of the search results.
pub(super) struct Found {
    pub(super) total: i64,
    pub(super) ids: Vec<Uuid>,
    /// Score of each match, 0–1.
    scores: Vec<Decimal>,
}

/// Games that match `text` and pass `filter`; best match first unless `sort` is given.
pub(super) async fn find(
    tx: &mut Tx,
    text: &Text,
    filter: &Filter<'_>,
    sort: Option<Sort>,
    window: Window,
    place: Where,
) -> Result<Found> {
    let typed = query_window(tx, text, filter, sort, window, place, false).await?;
    if typed.titles > place.limit() {
        // A word in very many titles. Ranking an arbitrary subset would give random results, so the first ones in the
        // requested order are taken, which are found quickly because there are many matches.
        return walk(tx, text, filter, sort, window, typed.found.total.min(place.limit())).await;
    }
    if typed.titles >= ENOUGH || text.plain.chars().count() < SHORT_TEXT {
        return Ok(typed.found);
    }
    sqlx::query_scalar!(
        "-- store.games.search_similarity\nselect set_config('pg_trgm.word_similarity_threshold', $1, true)",
        if typed.titles > 0 {
            SIMILARITY_BESIDE
        } else {
            SIMILARITY
        }
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(query_window(tx, text, filter, sort, window, place, true).await?.found)
}

struct Look {
    /// Number of titles that contain every word, before filters; one more than [`Where::limit`] means many more.
    titles: i64,
    found: Found,
}

async fn query_window(
    tx: &mut Tx,
    text: &Text,
    filter: &Filter<'_>,
    sort: Option<Sort>,
    window: Window,
    place: Where,
    similar: bool,
) -> Result<Look> {
    let mut sql = QueryBuilder::new(
        "-- store.games.search
        with titles as materialized (select s.game_id, ",
    );
    text.push_title_score(&mut sql);
    sql.push(" as score from game_search s where ");
    text.push_title_matches(&mut sql);
    sql.push(" limit ").push_bind(place.limit() + 1);
    sql.push("), hits as materialized (select game_id, max(score) as score from (select game_id, score from titles");
    if place == Where::TitleAndText && text.plain.chars().count() >= SHORT_TEXT {
        sql.push(" union all (select game_id, 0.30 from game_search where words @@ to_tsquery('simple', ");
        sql.push_bind(text.query.clone()).push(") limit ");
        sql.push_bind(place.limit()).push(")");
    }
    if similar {
        sql.push(" union all (select s.game_id, 0.50 from game_search s where ");
        text.push_title_matches_swapped(&mut sql);
        sql.push(" limit ").push_bind(MAX_SIMILAR).push(")");
        sql.push(" union all (select game_id, round((0.5 * word_similarity(");
        sql.push_bind(text.plain.clone())
            .push(", title))::numeric, 2) from game_search where ");
        sql.push_bind(text.plain.clone()).push(" <% title limit ");
        sql.push_bind(MAX_SIMILAR).push(")");
    }
    sql.push(
        ") parts group by game_id), found as materialized (
            select g.id, g.created_at, g.release_date, g.popularity, g.price, h.score
              from hits h join games g on g.id = h.game_id",
    );
    filter.push_where(&mut sql);
    sql.push("), shown as materialized (select id, score from found order by ");
    sql.push(if sort.is_some() {
        order_by(sort)
    } else {
        "score desc, popularity desc, id desc"
    });
    push_window(&mut sql, window);
    sql.push(
        ") select (select count(*) from titles), (select count(*) from found),
                  array(select id from shown), array(select score from shown)",
    );
    let row = sql.build().persistent(false).fetch_one(tx.conn()).await?;
    let total: i64 = row.try_get(1)?;
    Ok(Look {
        titles: row.try_get(0)?,
        found: Found {
            total,
            ids: row.try_get(2)?,
            scores: row.try_get(3)?,
        },
    })
}

/// Reads the games whose titles contain every word from the index with the requested order.
async fn walk(
    tx: &mut Tx,
    text: &Text,
    filter: &Filter<'_>,
    sort: Option<Sort>,
    window: Window,
    total: i64,
) -> Result<Found> {
    let limit = window.limit.min(total - window.offset);
    if limit <= 0 {
        return Ok(Found {
            total,
            ids: Vec::new(),
            scores: Vec::new(),
        });
    }
    let mut sql = QueryBuilder::new("-- store.games.search_walk\nselect g.id, ");
    text.push_title_score(&mut sql);
    sql.push(" from games g join game_search s on s.game_id = g.id");
    filter.push_where(&mut sql);
    sql.push(" and ");
    text.push_title_matches(&mut sql);
    sql.push(" order by g.").push(order_by(sort.or(Some(Sort::Popular))));
    push_window(&mut sql, Window { limit, ..window });
    let rows = sql.build().persistent(false).fetch_all(tx.conn()).await?;
    Ok(Found {
        total,
        ids: rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
        scores: rows.iter().map(|row| row.try_get(1)).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_text_is_parsed() {
        let text = Text::parse("100 orange juice").unwrap();
        assert_eq!(text.plain, "100 orange juice");
        assert_eq!(text.words, ["100", "orange", "juice"]);
        assert_eq!(text.query, "100:* & orange:* & juice:*");
    }

    #[test]
    fn separately_folded_characters_form_one_word() {
        let text = Text::parse("ff7 伝 説 of ゼ").unwrap();
        assert_eq!(text.words, ["ff7", "伝 説", "of", "ゼ"]);
        assert_eq!(text.query, "ff7:* & 伝 & 説 & of & ゼ");
        assert_eq!(Text::parse(&"説 ".repeat(100)).unwrap().words.len(), 1);
        assert_eq!(Text::parse(&"so ".repeat(100)).unwrap().words.len(), MAX_WORDS);
    }

    #[test]
    fn words_are_also_searched_with_two_letters_swapped() {
        assert_eq!(swapped("doom"), ["%odom%", "%domo%"], "not where it stays the same");
        assert!(swapped("gta").is_empty() && swapped("伝 説 の 話").is_empty());
    }

    #[test]
    fn text_without_letters_or_digits_is_no_query() {
        for nothing in ["", " "] {
            assert!(Text::parse(nothing).is_none(), "{nothing:?}");
        }
    }
}
