//! The other shop's database, read in one read-only snapshot.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, FromRow, PgConnection, Row as _};

use crate::ImportError;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The columns without which it is not such a shop.
const REQUIRED: &[(&str, &[&str])] = &[
    (
        "users",
        &[
            "id",
            "email",
            "passwordHash",
            "nickname",
            "firstName",
            "lastName",
            "avatar",
            "balance",
            "role",
            "emailVerified",
            "createdAt",
            "updatedAt",
        ],
    ),
    (
        "games",
        &[
            "id",
            "title",
            "slug",
            "description",
            "shortDescription",
            "price",
            "originalPrice",
            "discount",
            "image",
            "images",
            "inStock",
            "g2aProductId",
            "g2aLastSync",
            "releaseDate",
            "metacriticScore",
            "userRating",
            "ageRating",
            "multiplayer",
            "activationService",
            "region",
            "publisher",
            "isBestSeller",
            "isNew",
            "isPreorder",
            "createdAt",
            "updatedAt",
        ],
    ),
    (
        "game_keys",
        &[
            "id",
            "gameId",
            "key",
            "orderId",
            "activated",
            "activationDate",
            "createdAt",
        ],
    ),
    (
        "orders",
        &[
            "id",
            "userId",
            "status",
            "subtotal",
            "discount",
            "total",
            "paymentMethod",
            "promoCode",
            "createdAt",
            "completedAt",
        ],
    ),
    ("order_items", &["id", "orderId", "gameId", "quantity", "price"]),
    (
        "transactions",
        &[
            "id",
            "userId",
            "orderId",
            "type",
            "amount",
            "currency",
            "method",
            "status",
            "description",
            "transactionHash",
            "createdAt",
        ],
    ),
    ("cart_items", &["userId", "gameId", "quantity", "addedAt"]),
    ("wishlist", &["userId", "gameId", "addedAt"]),
    (
        "promo_codes",
        &[
            "id",
            "code",
            "discount",
            "maxUses",
            "usedCount",
            "validFrom",
            "validUntil",
            "active",
            "createdAt",
        ],
    ),
    ("categories", &["id", "name", "slug"]),
    ("genres", &["id", "name", "slug"]),
    ("platforms", &["id", "name", "slug"]),
    ("tags", &["id", "name", "slug"]),
    ("game_categories", &["gameId", "categoryId"]),
    ("game_genres", &["gameId", "genreId"]),
    ("game_platforms", &["gameId", "platformId"]),
    ("game_tags", &["gameId", "tagId"]),
    (
        "articles",
        &[
            "id",
            "slug",
            "title",
            "excerpt",
            "content",
            "coverImage",
            "category",
            "author",
            "published",
            "publishedAt",
            "readTime",
            "tags",
            "createdAt",
        ],
    ),
];

/// An open snapshot.
pub(super) struct Source {
    conn: PgConnection,
    /// Its columns, as `table.column`.
    columns: HashSet<String>,
    /// The moment of the snapshot, by the other server's clock.
    pub(super) at: DateTime<Utc>,
}

/// The address without what only Prisma understands, and the schema that it names.
pub(super) fn address(url: &str) -> Result<(String, String), ImportError> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme {
        "postgres" | "postgresql" => {}
        "prisma" | "prisma+postgres" => {
            return Err(ImportError::Address(
                "a prisma:// address leads to Prisma Accelerate; give the database's own one, DIRECT_URL of the shop.",
            ));
        }
        _ => {
            return Err(ImportError::Address(
                "give the shop's database as postgresql://user:password@host:5432/name, as its DATABASE_URL has it.",
            ));
        }
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut schema = "public".to_owned();
    let mut kept = form_urlencoded::Serializer::new(String::new());
    let mut has_kept = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "schema" if !value.is_empty() => schema = value.into_owned(),
            "sslmode" | "sslrootcert" => {
                kept.append_pair(&name, &value);
                has_kept = true;
            }
            // The client's own: they mean nothing here.
            _ => {}
        }
    }
    let kept = if has_kept {
        format!("?{}", kept.finish())
    } else {
        String::new()
    };
    Ok((format!("{base}{kept}"), schema))
}

impl Source {
    /// Connects, takes the snapshot, and checks that it is such a shop.
    pub(super) async fn open(url: &str) -> Result<Self, ImportError> {
        let (url, schema) = address(url)?;
        let options: PgConnectOptions = url.parse().map_err(|_| {
            ImportError::Address("the shop's address cannot be read; compare it with its DATABASE_URL.")
        })?;
        let options = options
            .application_name("lockstep import")
            .extra_float_digits(None)
            // Statements are not shared with what a pooler puts on the connection later.
            .statement_cache_capacity(0)
            .disable_statement_logging();
        let connected = tokio::time::timeout(PATIENCE, options.connect()).await;
        let mut conn = connected.map_err(|_| sqlx::Error::PoolTimedOut)??;
        sqlx::raw_sql(
            "begin isolation level repeatable read read only;
             set local time zone 'UTC'; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0;
             set local lock_timeout = '10s'",
        )
        .execute(&mut conn)
        .await?;
        let path = format!("\"{}\", pg_catalog", schema.replace('"', "\"\""));
        sqlx::query("select set_config('search_path', $1, true)")
            .bind(path)
            .persistent(false)
            .execute(&mut conn)
            .await?;
        let columns: Vec<String> = sqlx::query_scalar(
            "select table_name || '.' || column_name from information_schema.columns where table_schema = $1",
        )
        .bind(&schema)
        .persistent(false)
        .fetch_all(&mut conn)
        .await?;
        let columns: HashSet<String> = columns.into_iter().collect();
        let mut lacks = Vec::new();
        for (table, names) in REQUIRED {
            if !columns
                .iter()
                .any(|known| known.split_once('.').is_some_and(|(known, _)| known == *table))
            {
                lacks.push(format!("the table {table}"));
                continue;
            }
            for name in *names {
                if !columns.contains(&format!("{table}.{name}")) {
                    lacks.push(format!("{table}.\"{name}\""));
                }
            }
        }
        if !lacks.is_empty() {
            let schema = if lacks.len() == REQUIRED.len() {
                format!(" in the schema {schema}; another one is named by ?schema=")
            } else {
                String::new()
            };
            return Err(ImportError::NotAShop(format!("{}{schema}", lacks.join(", "))));
        }
        let at: DateTime<Utc> = sqlx::query_scalar("select now()")
            .persistent(false)
            .fetch_one(&mut conn)
            .await?;
        Ok(Self { conn, columns, at })
    }

    /// Whether there is such a table: a database that stopped half-way through its migrations lacks some.
    pub(super) fn has(&self, table: &str) -> bool {
        self.columns
            .iter()
            .any(|known| known.split_once('.').is_some_and(|(known, _)| known == table))
    }

    /// The statement with what this database writes in place of the words between braces:
    /// `{t:column}` is a time in UTC (the columns have no zone and mean UTC), `{m:column}` an amount that is a number,
    /// `{a:column}` a list without gaps, and the others are columns and tables that may be missing.
    fn sql(&self, text: &str) -> String {
        let mut sql = String::with_capacity(text.len() + 256);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            sql.push_str(before);
            let Some((word, after)) = after.split_once('}') else {
                rest = after;
                continue;
            };
            rest = after;
            let column = |name: &str| match name.split_once('.') {
                Some((table, name)) => format!("{table}.\"{name}\""),
                None => format!("\"{name}\""),
            };
            match word.split_once(':') {
                Some(("t", name)) => {
                    let column = column(name);
                    sql.extend([
                        "(case when isfinite(",
                        &column,
                        ") then ",
                        &column,
                        " at time zone 'UTC' end)",
                    ]);
                }
                Some(("m", name)) => sql.extend(["coalesce(nullif(", &column(name), ", 'NaN'), 0)"]),
                Some(("a", name)) => {
                    sql.extend(["array_remove(coalesce(", &column(name), ", '{}'), null)"]);
                }
                _ => sql.push_str(match word {
                    "external" if self.columns.contains("orders.externalOrderId") => "o.\"externalOrderId\"",
                    "external" => "null::text",
                    "sessions" if self.has("sessions") => "sessions",
                    "sessions" => "(select null::text as \"sessionId\", null::timestamp as \"expiresAt\" where false)",
                    "environment" if self.columns.contains("g2a_settings.environment") => "environment",
                    "environment" => "'sandbox'",
                    "g2aStock" if self.columns.contains("games.g2aStock") => "\"g2aStock\"",
                    "ratingCritic" if self.columns.contains("games.ratingCritic") => "\"ratingCritic\"::integer",
                    "ratingUser" if self.columns.contains("games.ratingUser") => "\"ratingUser\"::integer",
                    "languages" if self.columns.contains("games.languages") => {
                        "array_remove(coalesce(languages, '{}'), null)"
                    }
                    "languages" => "'{}'::text[]",
                    // A guest's row among the users: no customer.
                    "guest" => "u.email = 'guest-' || u.id || '@temp.local'",
                    _ => "null",
                }),
            }
        }
        sql.push_str(rest);
        sql
    }

    /// Rows of a statement with the lists of texts that it takes.
    pub(super) async fn rows<T>(&mut self, text: &str, lists: &[&[String]]) -> Result<Vec<T>, ImportError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let sql = self.sql(text);
        let mut query = sqlx::query_as::<_, T>(AssertSqlSafe(sql)).persistent(false);
        for list in lists {
            query = query.bind(list.to_vec());
        }
        Ok(query.fetch_all(&mut self.conn).await?)
    }

    /// A page of rows after `key`, a list of the texts that the last row is found by.
    pub(super) async fn page<T>(
        &mut self,
        text: &str,
        key: &[String],
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<T>, ImportError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let sql = self.sql(text);
        let mut query = sqlx::query_as::<_, T>(AssertSqlSafe(sql)).persistent(false);
        for part in key {
            query = query.bind(part.clone());
        }
        query = query.bind(since.map(|since| since.naive_utc()));
        Ok(query.fetch_all(&mut self.conn).await?)
    }

    /// Number of rows of a table; 0 if it is missing.
    pub(super) async fn count(&mut self, table: &str) -> Result<u64, ImportError> {
        if !self.has(table) {
            return Ok(0);
        }
        let sql = format!("select count(*) from \"{table}\"");
        let row = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch_one(&mut self.conn)
            .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }

    /// Ends the snapshot.
    pub(super) async fn close(self) {
        // Nothing was written; a connection that is gone has ended it, too.
        self.conn.close().await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_prisma_understands_is_left_out_of_the_address() {
        let (url, schema) =
            address("postgresql://u:p%40@h:6543/d?schema=old%20shop&connection_limit=5&pgbouncer=true&sslmode=require&connect_timeout=10")
                .unwrap();
        assert_eq!(
            (url.as_str(), schema.as_str()),
            ("postgresql://u:p%40@h:6543/d?sslmode=require", "old shop")
        );
        assert_eq!(
            address("postgres://h/d").unwrap(),
            ("postgres://h/d".to_owned(), "public".to_owned())
        );
    }

    #[test]
    fn addresses_of_accelerate_are_refused_with_the_cure() {
        for url in ["prisma://accelerate.prisma-data.net/?api_key=k", "prisma+postgres://x"] {
            let error = address(url).unwrap_err().to_string();
            assert!(error.contains("DIRECT_URL") && !error.contains("api_key"), "{error}");
        }
        assert!(address("mysql://h/d").is_err() && address("h/d").is_err());
    }
}
