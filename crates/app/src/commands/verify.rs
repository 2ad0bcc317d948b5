//! `lockstep verify`: proves every invariant of a database and names each row that violates one. It changes nothing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lockstep_store::verify::{self, Verdict, Walk};
use tokio::time::Instant;

use crate::commands::keys;
use crate::config::Config;
use crate::database::{Database, Use};
use crate::output::Output;
use crate::secrets::Secrets;

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(5);

/// Verifies the database; exits with 1 if an invariant is violated or could not be checked. Opens `sample` sealed values of
/// each kind, or all.
pub(crate) async fn run(config: &Config, output: Output, sample: Option<u32>) -> Result<ExitCode> {
    let database = Database::open(config, Use::Join).await?;
    let verdicts = prove(config, &database, output, sample).await;
    database.close().await;
    let verdicts = verdicts?;
    output.list(&verdicts, || in_words(&verdicts))?;
    Ok(if verdicts.iter().all(Verdict::holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn prove(config: &Config, database: &Database, output: Output, sample: Option<u32>) -> Result<Vec<Verdict>> {
    let status = database.store.migration_status().await.context("the database")?;
    ensure!(
        !status.applied.is_empty(),
        "no shop in this database; is DATABASE_URL another's?"
    );
    ensure!(
        status.pending.is_empty(),
        "the database's schema is behind this program; run `lockstep migrate` on it first, or use the program that made it"
    );
    let mut walk = Shown {
        output,
        shown: Instant::now(),
    };
    let mut verdicts = verify::verify(&database.store, &mut walk).await;
    let secrets = Secrets::known(config)?.map(|secrets| secrets.keys);
    verdicts.extend(keys::verify(&config.random, secrets.as_ref(), &database.store, sample).await);
    Ok(verdicts)
}

struct Shown {
    output: Output,
    shown: Instant,
}

impl Walk for Shown {
    async fn progress(&mut self, table: &'static str, rows: u64) {
        if self.shown.elapsed() >= PROGRESS {
            self.shown = Instant::now();
            self.output.progress(&format!("{table}: {rows} rows checked"));
        }
    }

    fn rests(&self) -> bool {
        false
    }
}

/// The verdicts as lines of text.
fn in_words(verdicts: &[Verdict]) -> String {
    let mut lines = Vec::new();
    let mut broken = 0;
    for verdict in verdicts {
        let Verdict { name, table, rows, .. } = verdict;
        if verdict.holds() {
            lines.push(format!("ok    {table:<14} {name} ({rows} rows)"));
            continue;
        }
        broken += 1;
        if verdict.violations > 0 {
            lines.push(format!("WRONG {table:<14} {name}: {} violation(s)", verdict.violations));
        }
        for example in &verdict.examples {
            let detail = if example.detail.is_empty() {
                String::new()
            } else {
                format!(" ({})", example.detail)
            };
            lines.push(format!("{:>20} {}{detail}", "", example.id));
        }
        let named = u64::try_from(verdict.examples.len()).unwrap_or(u64::MAX);
        if named > 0 && verdict.violations > named {
            lines.push(format!("{:>20} and {} more", "", verdict.violations - named));
        }
        if let Some(error) = &verdict.error {
            lines.push(format!("WRONG {table:<14} {name}: not checked: {error}"));
        }
    }
    lines.push(match broken {
        0 => "Every invariant holds.".to_owned(),
        1 => "One invariant does not hold, or could not be checked.".to_owned(),
        many => format!("{many} invariants do not hold, or could not be checked."),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_told_with_its_rows() {
        let mut broken = Verdict::new("copies", "every copy of an order has its unit", "orders");
        broken.rows = 30;
        for order in 1..=22 {
            broken.add(format!("order {order}"), "2 copies, 1 units".to_owned());
        }
        let text = in_words(&[
            broken,
            Verdict::new("debts", "who owes something has no balance", "users"),
        ]);
        assert!(
            text.contains("WRONG orders         every copy of an order has its unit: 22 violation(s)\n"),
            "{text}"
        );
        assert!(
            text.contains(" order 20 (2 copies, 1 units)\n") && !text.contains("order 21"),
            "{text}"
        );
        assert!(text.contains(" and 2 more\n"), "{text}");
        assert!(
            text.ends_with("One invariant does not hold, or could not be checked."),
            "{text}"
        );
    }
}
