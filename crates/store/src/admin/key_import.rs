//! Importing many keys into the shop's own stock.
//!
//! Keys arrive sealed and are staged in a temporary table of a connection of their own, so that an upload of minutes
//! holds no lock, no transaction and no memory here. One transaction at the end moves them: an import that is cut off at
//! any point has stored nothing. When the connection ends, the staged keys are gone.

use std::collections::BTreeMap;

use lockstep_domain::Money;
use lockstep_domain::admin::{GameKeyImport, RefusedLine};
use lockstep_domain::ids::{GameId, KeyId, OrderId};
use serde_json::json;
use sqlx::Row as _;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::row::how_many_of;
use crate::transaction::MAX_CONFLICTS;
use crate::{Result, Store, StoreError, Tx};

/// Refused lines in the answer at most.
pub const MOST_REFUSED: usize = 1_000;
/// Bytes that are sent to the database at once.
const BATCH: usize = 256 * 1024;

/// The game of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GameRef {
    /// By id.
    Id(GameId),
    /// By slug ([`is_slug`](lockstep_domain::slug::is_slug)).
    Slug(String),
}

/// A key of an import.
#[derive(Clone)]
pub struct ImportedKey {
    /// Number of its line, from 1.
    pub line: u64,
    /// Its game.
    pub game: GameRef,
    /// The id of its future row, for which it is sealed.
    pub id: KeyId,
    /// The sealed key.
    pub sealed: Vec<u8>,
    /// Its hashes with every secret, newest first. Never empty.
    pub hashes: Vec<[u8; 32]>,
    /// What it cost, EUR.
    pub cost: Option<Money>,
}

/// Lines that were refused: all are counted, the first [`MOST_REFUSED`] are kept.
#[derive(Debug, Default)]
pub struct Refusals {
    kept: BTreeMap<u64, RefusedLine>,
    count: u64,
}

impl Refusals {
    /// Adds a line.
    pub fn add(&mut self, line: RefusedLine) {
        self.count += 1;
        self.keep(line);
    }

    fn keep(&mut self, line: RefusedLine) {
        self.kept.insert(line.line, line);
        if self.kept.len() > MOST_REFUSED {
            self.kept.pop_last();
        }
    }

    /// Number of lines.
    pub const fn count(&self) -> u64 {
        self.count
    }
}

/// An import in progress, on a connection of its own.
#[derive(Debug)]
pub struct KeyImport {
    store: Store,
    tx: Tx,
    rows: String,
    staged: u64,
}

impl KeyImport {
    /// Starts an import.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin(store: &Store) -> Result<Self> {
        let mut tx = Tx::outside(store.apart(1).pool().acquire().await?);
        sqlx::raw_sql(
            "-- store.admin.key_import.begin
            create temporary table staged_keys (
                line bigint not null, game_id uuid, slug text, id uuid not null, sealed bytea not null,
                hashes bytea[] not null, cost numeric(12,2))",
        )
        .execute(tx.conn())
        .await?;
        Ok(Self {
            store: store.clone(),
            tx,
            rows: String::with_capacity(BATCH + 16 * 1024),
            staged: 0,
        })
    }

    /// Stages a key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; then nothing is stored.
    pub async fn add(&mut self, key: &ImportedKey) -> Result<()> {
        write_row(&mut self.rows, key);
        self.staged += 1;
        if self.rows.len() >= BATCH {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        let mut copy = self
            .tx
            .conn()
            .copy_in_raw("-- store.admin.key_import.stage\ncopy staged_keys from stdin")
            .await?;
        copy.send(self.rows.as_bytes()).await?;
        copy.finish().await?;
        self.rows.clear();
        Ok(())
    }

    /// Stores what was staged, except what is refused, in one transaction, and records it in the audit log. With `dry_run`
    /// the transaction is rolled back.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is stored. If the commit itself got no answer, the error is
    /// [`StoreError::Unavailable`] and the outcome is unknown.
    pub async fn finish(mut self, by: &By, dry_run: bool, mut refusals: Refusals) -> Result<GameKeyImport> {
        if !self.rows.is_empty() {
            self.send().await?;
        }
        let import = Uuid::now_v7();
        let lines = self.staged + refusals.count();
        sqlx::raw_sql("-- store.admin.key_import.analyze\nanalyze staged_keys")
            .execute(self.tx.conn())
            .await?;
        let mut conflicts = 0;
        let moved = loop {
            match self.store_all(by, import, lines, dry_run).await {
                Err(error) if error.is_conflict() && conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    sqlx::raw_sql("rollback").execute(self.tx.conn()).await?;
                }
                result => break result?,
            }
        };
        if !dry_run {
            self.store.announce_commit();
        }
        for line in moved.refused {
            refusals.keep(line);
        }
        Ok(GameKeyImport {
            import_id: import,
            dry_run,
            lines,
            imported: moved.imported,
            games: moved.games,
            refused: lines.saturating_sub(moved.imported),
            refused_lines: refusals.kept.into_values().collect(),
        })
    }

    async fn store_all(&mut self, by: &By, import: Uuid, lines: u64, dry_run: bool) -> Result<Moved> {
        let tx = &mut self.tx;
        // Two imports at once would wait for each other's keys in another order each: the second waits here instead.
        sqlx::raw_sql(
            "-- store.admin.key_import.alone
            begin; set local lock_timeout = '60s'; set local statement_timeout = '5min';
            select pg_advisory_xact_lock(hashtextextended('lockstep key import', 0));",
        )
        .execute(tx.conn())
        .await?;
        sqlx::raw_sql(
            "-- store.admin.key_import.games
            update staged_keys s set game_id = g.id from games g where s.slug is not null and g.slug = s.slug;
            update staged_keys s set game_id = null
             where s.slug is null and s.game_id is not null and not exists (select from games g where g.id = s.game_id)",
        )
        .execute(tx.conn())
        .await?;
        sqlx::raw_sql(
            "-- store.admin.key_import.insert
            insert into game_keys (id, game_id, key_ciphertext, key_hash, cost)
            select s.id, s.game_id, s.sealed, s.hashes[1], s.cost
              from (select distinct on (hashes[1]) * from staged_keys where game_id is not null order by hashes[1], line) s
             where not exists (select 1 from game_keys k where k.key_hash = any (s.hashes))
             order by s.line
            on conflict (key_hash) do nothing",
        )
        .execute(tx.conn())
        .await?;
        let counted = sqlx::raw_sql(
            "-- store.admin.key_import.count
            select count(*) as imported, count(distinct s.game_id) as games
              from staged_keys s join game_keys k on k.id = s.id",
        )
        .fetch_one(tx.conn())
        .await?;
        let moved = Moved {
            imported: how_many_of(counted.try_get("imported")?),
            games: how_many_of(counted.try_get("games")?),
            refused: refused(tx).await?,
        };
        if dry_run {
            sqlx::raw_sql("rollback").execute(tx.conn()).await?;
            return Ok(moved);
        }
        let details = json!({ "lines": lines, "imported": moved.imported, "games": moved.games });
        audit::record(tx, by, "key.import", ("key_import", import), details).await?;
        sqlx::raw_sql("select 1; commit").execute(tx.conn()).await?;
        Ok(moved)
    }
}

/// What one transaction did.
struct Moved {
    imported: u64,
    games: u64,
    refused: Vec<RefusedLine>,
}

/// The first staged lines that were not stored, each with its reason.
async fn refused(tx: &mut Tx) -> Result<Vec<RefusedLine>> {
    let rows = sqlx::raw_sql(
        "-- store.admin.key_import.refused
        with missing as (
            select s.* from staged_keys s where not exists (select 1 from game_keys k where k.id = s.id)
             order by s.line limit 1000)
        select m.line, m.game_id is null as no_game, f.line as first_line, k.owner
          from missing m
          left join lateral (select k.id, coalesce(k.order_id, k.faulty_order_id) as owner from game_keys k
                              where k.key_hash = any (m.hashes) limit 1) k on true
          left join staged_keys f on f.id = k.id
         order by m.line",
    )
    .fetch_all(tx.conn())
    .await?;
    rows.iter()
        .map(|row| {
            let first: Option<i64> = row.try_get("first_line")?;
            let owner: Option<Uuid> = row.try_get("owner")?;
            let (code, reason) = match (row.try_get("no_game")?, first, owner) {
                (true, _, _) => ("no_such_game", "There is no game with this id or slug.".to_owned()),
                (_, Some(first), _) => ("duplicate_in_file", format!("Line {first} has the same key.")),
                (_, None, Some(order)) => (
                    "duplicate",
                    format!("This key exists already. Order {} has it.", OrderId(order)),
                ),
                (_, None, None) => (
                    "duplicate",
                    "This key exists already. It is in the shop's own stock.".to_owned(),
                ),
            };
            Ok(RefusedLine {
                line: how_many_of(row.try_get("line")?),
                code,
                reason,
                order_id: owner.filter(|_| code == "duplicate"),
                first_line: first.map(how_many_of).filter(|_| code == "duplicate_in_file"),
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(StoreError::from)
}

/// Appends a row in PostgreSQL's text format. No value has a character that needs an escape: slugs are checked, the rest
/// is hexadecimal digits and numbers.
fn write_row(rows: &mut String, key: &ImportedKey) {
    let (game, slug) = match &key.game {
        GameRef::Id(id) => (id.to_string(), "\\N"),
        GameRef::Slug(slug) => ("\\N".to_owned(), slug.as_str()),
    };
    let hashes: Vec<String> = key
        .hashes
        .iter()
        .map(|hash| format!("\"\\\\\\\\x{}\"", hex::encode(hash)))
        .collect();
    let cost = key.cost.map_or_else(|| "\\N".to_owned(), |cost| cost.to_string());
    let (line, id, sealed) = (key.line, key.id, hex::encode(&key.sealed));
    let hashes = hashes.join(",");
    let row = format!("{line}\t{game}\t{slug}\t{id}\t\\\\x{sealed}\t{{{hashes}}}\t{cost}\n");
    rows.push_str(&row);
}
