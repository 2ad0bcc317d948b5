//! Uncached responses: does a page cost more when the catalogue is a hundred times as large?
//!
//! The same queries are sent to a small and to a large catalogue alternately, one at a time, once through the store and
//! once through the whole API with caching disabled. The small catalogue is the reference of the large one.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use lockstep_domain::GameId;
use lockstep_domain::catalogue::{CatalogQuery, Sort};
use lockstep_store::{Store, games};
use lockstep_testkit::sqlx;
use uuid::Uuid;

use crate::client::{self, Connection};
use crate::figures::{Aim, Figure, Section, Times, milliseconds, number};
use crate::servers::{Database, Role, Server};
use crate::{Run, say};

/// Target for the large catalogue's 99th percentile, as a multiple of the small one's.
const AIM: f64 = 3.0;

/// A kind of query, with different games and values each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    FirstPages,
    TenthPage,
    Genre,
    RegionAndPlatform,
    PriceAscending,
    Search,
    SearchWithTypo,
    FilterOptions,
    Similar,
    OneGame,
}

const SHAPES: [(Shape, &str); 10] = [
    (Shape::FirstPages, "pages 1-5"),
    (Shape::TenthPage, "page 10"),
    (Shape::Genre, "genre, most popular first"),
    (Shape::RegionAndPlatform, "region and platform"),
    (Shape::PriceAscending, "price range, cheapest first"),
    (Shape::Search, "search of two words"),
    (Shape::SearchWithTypo, "search with a typing error"),
    (Shape::FilterOptions, "filter options"),
    (Shape::Similar, "similar games"),
    (Shape::OneGame, "one game"),
];

/// A query in the store's form.
enum Question {
    Page(Box<CatalogQuery>),
    FilterOptions,
    Similar(GameId),
    OneGame(GameId),
}

/// One catalogue, ready for queries.
struct Catalogue {
    store: Store,
    server: Server,
    /// Some games with the first words of their titles.
    samples: Vec<(Uuid, String)>,
    genres: Vec<String>,
}

impl Catalogue {
    async fn open(database: &Database) -> Result<Self> {
        let role = Role::Api {
            database: database.url.clone(),
            l1_bytes: 0,
        };
        Ok(Self {
            store: database.store.clone(),
            server: Server::start(&role).await?,
            samples: sqlx::query_as(
                "select id, lower(split_part(title, ' ', 1) || ' ' || split_part(replace(title, ':', ''), ' ', 2))
                   from games where in_stock order by md5(id::text) limit 500",
            )
            .fetch_all(&database.sql)
            .await?,
            genres: sqlx::query_scalar("select slug from genres order by md5(slug)")
                .fetch_all(&database.sql)
                .await?,
        })
    }

    fn question(&self, shape: Shape, turn: usize) -> Question {
        let empty = (Uuid::nil(), String::new());
        let (id, words) = self.samples.get(turn % self.samples.len().max(1)).unwrap_or(&empty);
        let mut query = CatalogQuery::default();
        let page = |turn: usize| u32::try_from(turn % 5).unwrap_or(0) + 1;
        match shape {
            Shape::FirstPages => query.page = page(turn),
            Shape::TenthPage => {
                query.page = 10;
                query.sort = Some(Sort::ALL[turn % 4]);
            }
            Shape::Genre => {
                query.genres = self
                    .genres
                    .get(turn % self.genres.len().max(1))
                    .into_iter()
                    .cloned()
                    .collect();
                query.sort = Some(Sort::Popular);
                query.page = page(turn / 7);
            }
            Shape::RegionAndPlatform => {
                query.regions = vec![["global", "turkey", "latam", "canada", "europe"][turn % 5].to_owned()];
                query.platforms = vec![["pc", "xbox", "linux", "vr", "switch", "mac"][turn % 6].to_owned()];
            }
            Shape::PriceAscending => {
                query.sort = Some(Sort::PriceAsc);
                query.min_price = format!("{}.00", 1 + turn % 60).parse().ok();
                query.max_price = format!("{}.50", 2 + turn % 60 + turn % 9).parse().ok();
            }
            Shape::Search => query.search = Some(words.clone()),
            Shape::SearchWithTypo => query.search = Some(with_typo(words)),
            Shape::FilterOptions => return Question::FilterOptions,
            Shape::Similar => return Question::Similar(GameId(*id)),
            Shape::OneGame => return Question::OneGame(GameId(*id)),
        }
        Question::Page(Box::new(query))
    }

    /// Queries the store until there are `most` results or `time` is over.
    async fn ask_store(&self, shape: Shape, first: usize, most: usize, time: Duration) -> Result<Times> {
        let mut times = Times::default();
        let end = Instant::now() + time;
        for turn in first..first + most {
            let question = self.question(shape, turn);
            let began = Instant::now();
            match question {
                Question::Page(query) => {
                    self.store
                        .read(move |tx| Box::pin(async move { games::page(tx, &query).await }))
                        .await?;
                }
                Question::FilterOptions => {
                    self.store.read(|tx| Box::pin(games::filter_options(tx))).await?;
                }
                Question::Similar(id) => {
                    self.store.read(|tx| Box::pin(games::similar(tx, id, 10))).await?;
                }
                Question::OneGame(id) => {
                    self.store.read(|tx| Box::pin(games::by_id(tx, id))).await?;
                }
            }
            times.add(began.elapsed());
            if Instant::now() > end {
                break;
            }
        }
        Ok(times)
    }

    /// The same through HTTP.
    async fn ask_api(&self, shape: Shape, first: usize, most: usize, time: Duration) -> Result<Times> {
        let mut connection = Connection::open(self.server.address).await?;
        let mut times = Times::default();
        let end = Instant::now() + time;
        for turn in first..first + most {
            let request = client::get(&path(&self.question(shape, turn)));
            let began = Instant::now();
            connection.ask(&request).await?;
            times.add(began.elapsed());
            if Instant::now() > end {
                break;
            }
        }
        Ok(times)
    }
}

/// Swaps the two letters before the last one of a word, a common typing error.
fn with_typo(words: &str) -> String {
    let mut letters: Vec<char> = words.chars().collect();
    if let Some(at) = letters.len().checked_sub(3) {
        letters.swap(at, at + 1);
        // Swapping equal letters would be no error.
        if letters.get(at) == letters.get(at + 1) {
            letters.insert(at, 'x');
        }
    }
    letters.into_iter().collect()
}

fn path(question: &Question) -> String {
    let query = match question {
        Question::FilterOptions => return "/api/games/filter-options".to_owned(),
        Question::Similar(id) => return format!("/api/games/{}/similar?count=10", id.0),
        Question::OneGame(id) => return format!("/api/games/{}", id.0),
        Question::Page(query) => query,
    };
    let mut path = format!(
        "/api/games?page={}&pageSize={}&inStockOnly={}",
        query.page, query.page_size, query.in_stock_only
    );
    let mut add = |name: &str, value: &str| {
        let _infallible = write!(path, "&{name}={}", value.replace(' ', "%20"));
    };
    if let Some(sort) = query.sort {
        add("sort", sort.name());
    }
    if let Some(search) = &query.search {
        add("search", search);
    }
    for (name, price) in [("minPrice", query.min_price), ("maxPrice", query.max_price)] {
        if let Some(price) = price {
            add(name, &price.to_string());
        }
    }
    for (name, values) in [
        ("genres", &query.genres),
        ("platforms", &query.platforms),
        ("regions", &query.regions),
    ] {
        for value in values {
            add(name, value);
        }
    }
    path
}

/// The measurements of one kind of query on one path.
#[derive(Default)]
struct Found {
    few: Times,
    many: Times,
    /// The 99th percentile of every round.
    few_p99: Vec<f64>,
    many_p99: Vec<f64>,
    /// PostgreSQL's processor time per query, in milliseconds, of every round.
    few_work: Vec<f64>,
    many_work: Vec<f64>,
}

pub(crate) async fn measure(run: &Run) -> Result<Section> {
    let few = Catalogue::open(run.few().await?).await?;
    let many = Catalogue::open(run.many().await?).await?;
    let rounds = if run.quick { 2 } else { 3 };
    let most = if run.quick { 60 } else { 200 };
    let time = Duration::from_millis(if run.quick { 600 } else { 1_500 });
    let mut figures = Vec::new();
    for (through, over_http) in [("store", false), ("API", true)] {
        for (shape, name) in SHAPES {
            let mut found = Found::default();
            // The first queries after a start read from the disk and create plans.
            for catalogue in [&few, &many] {
                catalogue.ask_store(shape, 0, 10, time / 4).await?;
            }
            for round in 0..rounds {
                let first = 10 + round * most;
                for (catalogue, times, p99, work) in [
                    (&few, &mut found.few, &mut found.few_p99, &mut found.few_work),
                    (&many, &mut found.many, &mut found.many_p99, &mut found.many_work),
                ] {
                    let before = run.cluster.processor_time()?;
                    let mut these = if over_http {
                        catalogue.ask_api(shape, first, most, time).await?
                    } else {
                        catalogue.ask_store(shape, first, most, time).await?
                    };
                    let used = run.cluster.processor_time()?.saturating_sub(before);
                    if !over_http {
                        work.push(milliseconds(used) / number(these.len()));
                    }
                    p99.push(these.percentile(99));
                    times.extend(&these);
                }
            }
            say(&format!(
                "{through}, {name}: p99 {:.1} ms of few, {:.1} ms of many games ({} and {} questions)",
                found.few.percentile(99),
                found.many.percentile(99),
                found.few.len(),
                found.many.len()
            ));
            add_figures(&mut figures, &format!("{through}: {name}"), &mut found);
        }
    }
    Ok(Section {
        name: "lists",
        about: format!(
            "Answers read from PostgreSQL, one at a time, with {} games; reference: the same questions with 10,000 games. \
             p50 over all rounds, p99 of each round.",
            run.how_many()
        ),
        figures,
    })
}

fn add_figures(figures: &mut Vec<Figure>, name: &str, found: &mut Found) {
    let (few, many) = (found.few.percentile(50), found.many.percentile(50));
    figures.push(Figure::against(format!("{name}, p50"), "ms", &[many], &[few]));
    figures.push(Figure::against(format!("{name}, p99"), "ms", &found.many_p99, &found.few_p99).aim(Aim::AtMost(AIM)));
    if !found.many_work.is_empty() {
        let name = format!("{name}, PostgreSQL's processor time");
        figures.push(Figure::against(name, "ms", &found.many_work, &found.few_work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_typo_changes_one_word_slightly() {
        assert_eq!(with_typo("crimson harbor"), "crimson harobr");
        assert_eq!(with_typo("royal balloon"), "royal ballxoon");
        assert_eq!(with_typo("ab"), "ab");
    }
}
