//! The PostgreSQL database of a Prisma shop: everything in it, in one snapshot.
//!
//! Games first, then keys in stock, then customers in batches with all that belongs to them, then the rest. A batch is one
//! transaction here; its size bounds the memory. What was brought before is skipped, so a run that was killed is run again.

mod catalogue;
mod customers;
mod findings;
mod plan;
mod rest;
mod rows;
mod source;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::Pin;

use chrono::{DateTime, Utc};
use lockstep_domain::key_text::KeyText;
use lockstep_store::Store;
use lockstep_store::audit::By;
use lockstep_store::fulfilment::keys::{HASH, place};
use lockstep_store::imports::{self, Run, Settled};
use lockstep_vault::Keys;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::report::{Finding, Report, Table};
use crate::{ImportError, own_id};
use source::Source;

/// The name of this source in ids and rows.
const SOURCE: &str = "prisma";
/// Rows of one read, and of one transaction.
const BATCH: usize = 500;
/// The tables of such a shop, in the order in which they are brought.
const TABLES: &[&str] = &[
    "users",
    "games",
    "game_keys",
    "orders",
    "order_items",
    "transactions",
    "cart_items",
    "wishlist",
    "promo_codes",
    "categories",
    "genres",
    "platforms",
    "tags",
    "game_categories",
    "game_genres",
    "game_platforms",
    "game_tags",
    "sessions",
    "login_history",
    "articles",
    "faqs",
    "email_settings",
    "g2a_settings",
    "payment_methods",
    "payment_forms",
];

/// Kinds of findings that can be settled: their money goes back to the balance.
pub const SETTLED_KINDS: [&str; 3] = ["refund_lost", "keys_missing", "paid_stuck"];

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The table.
    pub table: &'static str,
    /// Rows of it that were worked on.
    pub done: u64,
    /// Rows of it in the source.
    pub of: u64,
}

/// Where the rows go.
pub struct Target<'a> {
    /// This shop.
    pub store: &'a Store,
    /// What keys are sealed with.
    pub secrets: &'a Keys,
    /// Who imports.
    pub by: By,
}

/// What the supplier asks for a product at present, EUR; `None` if it does not list it. An error ends the asking.
pub type Ask = dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<Option<Decimal>, String>> + Send>> + Send + Sync;

/// What a run is to do.
pub struct Options<'a> {
    /// The other shop's address, with its password.
    pub url: &'a str,
    /// Where the rows go; `None` writes nothing.
    pub target: Option<Target<'a>>,
    /// What the supplier asks for products is read here; `None` if that is not known.
    pub costs: Option<&'a Store>,
    /// Asks the supplier what is not known here, a bounded number of times.
    pub ask: Option<&'a Ask>,
    /// Only what changed since.
    pub since: Option<DateTime<Utc>>,
    /// Kinds of findings to settle afterwards ([`SETTLED_KINDS`]).
    pub settle: Vec<String>,
    /// Called after each batch.
    pub progress: &'a (dyn Fn(Progress) + Send + Sync),
}

/// The work of a run.
struct Work<'a> {
    source: Source,
    options: &'a Options<'a>,
    run: Option<Run>,
    tables: BTreeMap<&'static str, Table>,
    /// Rows that were not brought: by table and reason.
    skipped: BTreeMap<(&'static str, &'static str), u64>,
    findings: Vec<Finding>,
    notes: Vec<String>,
    /// The id here of each game.
    games: HashMap<String, Uuid>,
    /// Rows of keys that are not brought because an equal one is.
    double_keys: HashSet<String>,
    promo_codes: HashSet<String>,
}

/// Checks that `url` leads to the database of such a shop, before anything is made for what it holds.
///
/// # Errors
/// [`ImportError`] if it cannot be read, or is none.
pub async fn check(url: &str) -> Result<(), ImportError> {
    Source::open(url).await?.close().await;
    Ok(())
}

/// Runs an import, or a dry run.
///
/// # Errors
/// [`ImportError`]; what was committed until then stays, and the next run goes on from there.
pub async fn run(options: &Options<'_>) -> Result<Report, ImportError> {
    let source = Source::open(options.url).await?;
    let run = match &options.target {
        Some(target) => Some(imports::begin(target.store, imports::Source::Prisma, &target.by).await?),
        None => None,
    };
    let mut work = Work {
        source,
        options,
        run,
        tables: BTreeMap::new(),
        skipped: BTreeMap::new(),
        findings: Vec::new(),
        notes: Vec::new(),
        games: HashMap::new(),
        double_keys: HashSet::new(),
        promo_codes: HashSet::new(),
    };
    for table in TABLES {
        let rows = work.source.count(table).await?;
        work.tables.insert(
            table,
            Table {
                rows,
                ..Table::default()
            },
        );
    }
    work.findings = findings::find(&mut work.source).await?;
    work.double_keys = findings::double_keys(&mut work.source)
        .await?
        .into_iter()
        .map(|(id,)| id)
        .collect();
    work.terms_and_games().await?;
    work.check_prices().await?;
    work.put_promo_codes().await?;
    work.put_stock().await?;
    work.put_customers().await?;
    work.put_guests().await?;
    work.put_carts().await?;
    work.put_rest().await?;
    work.finish().await
}

impl Work<'_> {
    fn table(&mut self, name: &'static str) -> &mut Table {
        self.tables.entry(name).or_default()
    }

    fn target(&self) -> Option<(&Store, &Keys, Run)> {
        let target = self.options.target.as_ref()?;
        Some((target.store, target.secrets, self.run?))
    }

    fn skip(&mut self, table: &'static str, reason: &'static str, rows: u64) {
        if rows > 0 {
            *self.skipped.entry((table, reason)).or_default() += rows;
        }
    }

    fn progress(&self, table: &'static str, done: usize) {
        let of = self.tables.get(table).map_or(0, |table| table.rows);
        (self.options.progress)(Progress {
            table,
            done: u64::try_from(done).unwrap_or_default(),
            of,
        });
    }

    async fn finish(mut self) -> Result<Report, ImportError> {
        for table in ["payment_methods", "payment_forms"] {
            let rows = self.table(table).rows;
            self.skip(table, "Lockstep has payment providers of its own", rows);
        }
        for (name, table) in &mut self.tables {
            table.refuse_rest();
            let named: u64 = self
                .skipped
                .iter()
                .filter(|((table, _), _)| table == name)
                .map(|(_, rows)| rows)
                .sum();
            let rest = table.refused.saturating_sub(named);
            if rest > 0 {
                self.skipped.insert(
                    (
                        name,
                        "they belong to a guest who is gone, or to a row that was not brought",
                    ),
                    rest,
                );
            }
        }
        for ((table, reason), rows) in std::mem::take(&mut self.skipped) {
            self.findings.push(Finding::new(
                "rows_skipped",
                table,
                format!("{rows} row(s): {reason}."),
                "None is needed, unless these rows matter to you.",
            ));
        }
        if let (Some(target), false) = (&self.options.target, self.options.settle.is_empty()) {
            for kind in &self.options.settle {
                let Settled { orders, amount } =
                    imports::settle(target.store, &format!("import: {kind}"), &target.by).await?;
                self.notes.push(format!(
                    "Settled {kind}: {orders} order(s), {amount:.2} EUR back to balances."
                ));
            }
        }
        let at = self.source.at;
        self.source.close().await;
        let report = Report {
            run: self.run.map(|run| run.id),
            source: SOURCE.to_owned(),
            dry_run: self.run.is_none(),
            snapshot_at: Some(at),
            findings: self.findings,
            lines: Vec::new(),
            notes: self.notes,
            tables: self
                .tables
                .into_iter()
                .map(|(name, table)| (name.to_owned(), table))
                .collect(),
        };
        if let (Some(target), Some(run)) = (&self.options.target, self.run) {
            imports::end(target.store, run, &report.summary()).await?;
        }
        Ok(report)
    }
}

/// A sealed key with its hashes, as hexadecimal digits.
struct Sealed {
    sealed: String,
    hashes: Vec<String>,
}

/// The text of a key as it is stored: in the form of keys that staff enter, else as it is.
fn key_text(text: &str) -> String {
    KeyText::new(text).map_or_else(|_| text.trim().to_owned(), |key| key.expose().to_owned())
}

fn seal(secrets: &Keys, id: Uuid, text: &str) -> Sealed {
    let text = key_text(text);
    Sealed {
        sealed: hex::encode(secrets.seal(&place(lockstep_domain::ids::KeyId(id)), text.as_bytes())),
        hashes: secrets.hashes(HASH, &[text.as_bytes()]).map(hex::encode).collect(),
    }
}

/// The id here of a row.
fn own(kind: &str, foreign: &str) -> Uuid {
    own_id(SOURCE, kind, foreign)
}

/// A text without the characters that PostgreSQL's texts and our pages do not take, or `None` if nothing is left.
fn line(text: Option<String>) -> Option<String> {
    let text: String = text?.chars().filter(|c| !c.is_control()).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// An amount that fits its column; the other shop's columns hold less.
fn positive(amount: Option<Decimal>) -> Option<Decimal> {
    amount.filter(|amount| *amount > Decimal::ZERO)
}
