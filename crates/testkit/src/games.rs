//! Games described by tests, written as plain rows.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use lockstep_domain::slug::slugify;
use uuid::Uuid;

use crate::TestDb;

/// A game to write. Names of genres, platforms and tags become slugs.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the columns")]
#[expect(missing_docs, reason = "the columns")]
pub struct NewGame {
    pub id: Uuid,
    pub title: String,
    pub slug: String,
    pub description: String,
    pub image: String,
    pub images: Vec<String>,
    pub price_cents: i64,
    pub in_stock: bool,
    pub is_preorder: bool,
    pub is_best_seller: bool,
    pub is_new: bool,
    pub multiplayer: bool,
    pub withdrawn: bool,
    pub popularity: i32,
    pub release_date: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub service: Option<String>,
    pub region: Option<String>,
    pub publisher: Option<String>,
    pub genres: BTreeSet<String>,
    pub platforms: BTreeSet<String>,
    pub tags: BTreeSet<String>,
}

impl NewGame {
    /// A game in stock with a slug made from its title, and defaults otherwise.
    pub fn titled(title: &str) -> Self {
        let slug = slugify(title);
        Self {
            id: Uuid::new_v4(),
            title: title.to_owned(),
            description: String::new(),
            image: format!("https://images.example.org/{slug}"),
            images: Vec::new(),
            slug,
            price_cents: 1000,
            in_stock: true,
            is_preorder: false,
            is_best_seller: false,
            is_new: false,
            multiplayer: false,
            withdrawn: false,
            popularity: 0,
            release_date: date("2020-01-01"),
            created_at: date("2024-01-01"),
            service: None,
            region: None,
            publisher: None,
            genres: BTreeSet::new(),
            platforms: BTreeSet::new(),
            tags: BTreeSet::new(),
        }
    }

    /// The same game after `change`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same game in these genres.
    #[must_use]
    pub fn genres(self, names: &[&str]) -> Self {
        self.with(|game| game.genres = set(names))
    }

    /// The same game for these platforms.
    #[must_use]
    pub fn platforms(self, names: &[&str]) -> Self {
        self.with(|game| game.platforms = set(names))
    }

    /// The same game with these tags.
    #[must_use]
    pub fn tags(self, names: &[&str]) -> Self {
        self.with(|game| game.tags = set(names))
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A time on a day such as `2024-01-31`.
pub fn date(day: &str) -> DateTime<Utc> {
    format!("{day}T10:00:00Z").parse().expect("a day")
}

impl TestDb {
    /// Writes the games.
    pub async fn put(&self, games: &[NewGame]) {
        for game in games {
            sqlx::query(
                "insert into games (id, title, slug, description, price, image, images, in_stock, is_preorder,
                                    is_best_seller, is_new, multiplayer, withdrawn_at, popularity, release_date,
                                    created_at, activation_service, region, publisher)
                 values ($1, $2, $3, $4, $5::bigint / 100.0, $6, $7, $8, $9, $10, $11, $12, case when $13 then now() end,
                         $14, $15, $16, $17, $18, $19)",
            )
            .bind(game.id)
            .bind(&game.title)
            .bind(&game.slug)
            .bind(&game.description)
            .bind(game.price_cents)
            .bind(&game.image)
            .bind(&game.images)
            .bind(game.in_stock)
            .bind(game.is_preorder)
            .bind(game.is_best_seller)
            .bind(game.is_new)
            .bind(game.multiplayer)
            .bind(game.withdrawn)
            .bind(game.popularity)
            .bind(game.release_date)
            .bind(game.created_at)
            .bind(&game.service)
            .bind(&game.region)
            .bind(&game.publisher)
            .execute(&self.sql)
            .await
            .expect("a game");
            for (table, links, column, names) in [
                ("genres", "game_genres", "genre_id", &game.genres),
                ("platforms", "game_platforms", "platform_id", &game.platforms),
                ("tags", "game_tags", "tag_id", &game.tags),
            ] {
                for name in names {
                    let statement = format!(
                        "with x as (insert into {table} (name, slug) values ($2, $3)
                                    on conflict (name) do update set slug = excluded.slug returning id)
                         insert into {links} (game_id, {column}) select $1, id from x"
                    );
                    sqlx::query(sqlx::AssertSqlSafe(statement))
                        .bind(game.id)
                        .bind(name)
                        .bind(slugify(name))
                        .execute(&self.sql)
                        .await
                        .expect("a term");
                }
            }
        }
    }
}
