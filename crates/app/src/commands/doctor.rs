//! `lockstep doctor`: checks every dependency and every invariant that can be checked, changes nothing, and prints a
//! remedy for each problem.

mod answers;
mod audit;
mod clock;
mod copies;
mod deliveries;
mod disk;
mod mail;
mod mail_server;
mod payments;
mod pooler;
mod promo;
mod provider;
mod redis;
mod sealed;
mod settings;
mod settings_file;
mod spool;
mod suitable;
mod writes;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use lockstep_store::fulfilment::incidents;
use lockstep_store::sync::{freshness, recent_runs};
use serde::Serialize;

use crate::config::{Config, Supplier as Configured, operator};
use crate::database::{Database, Use};
use crate::output::Output;
use crate::supplier::Supplier;

pub(crate) use payments::{in_words as top_up_in_words, remedy as remedy_of_top_up};

/// The result of one check.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    /// What the check found.
    seen: String,
    /// What to do about it, if there is a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Well,
    Note,
    Wrong,
}

impl Finding {
    fn well(what: &'static str, seen: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Well,
            seen: seen.into(),
            remedy: None,
        }
    }

    fn note(what: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Note,
            seen: seen.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn wrong(what: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Wrong,
            seen: seen.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// The remedy when the database did not answer a check.
const NO_ANSWER: &str = "look into PostgreSQL's log and correct what it names, then run `lockstep doctor` again";
/// The remedy when there is no database to check.
const NO_DATABASE: &str =
    "start PostgreSQL or correct DATABASE_URL; without one, name the folder of the private database with --data-dir";

/// Runs the checks and prints the findings; exits with 1 if something is wrong. Sends a test e-mail to `send_mail`.
pub(crate) async fn run(config: &Config, output: Output, send_mail: Option<&str>) -> Result<ExitCode> {
    let mut findings = vec![Finding::well(
        "configuration",
        if config.production {
            "production"
        } else {
            "development: settings that are not set have a default"
        },
    )];
    if config.production {
        findings.push(look_at_operator(config));
    }
    findings.extend(settings_file::look(config));
    findings.extend(disk::look(config));
    findings.push(provider::look(config).await);
    mail_server::look(config, send_mail, &mut findings).await;
    match Database::open(config, Use::Join).await {
        Ok(database) => {
            findings.push(Finding::well("database", database.place.clone()));
            findings.extend(suitable::look(&database.store).await);
            if let Some(pooler) = pooler::look(&database.store).await {
                findings.push(pooler);
            }
            if look_at_schema(&database, &mut findings).await {
                findings.push(writes::look(&database).await);
                findings.push(copies::look(&database.store).await);
                findings.extend(clock::look_at_database(&database.store, &config.clock).await);
                look_at_data(&database, config.clock.now(), &mut findings).await;
                findings.push(audit::look(&database.store).await);
                look_at_buying(&database, &mut findings).await;
                spool::look(config, &database, &mut findings).await;
                answers::look(&database, &mut findings).await;
                sealed::look(config, &database, &mut findings).await;
                findings.extend(settings::look(config, &database.store).await);
                payments::look(&database.store, &mut findings).await;
                findings.extend(deliveries::look(&database.store).await);
                mail::look(&database.store, config.clock.now(), &mut findings).await;
                promo::look(config, &database, &mut findings).await;
                findings.push(redis::look(config, &database).await);
                look_at_supplier(config, &database, &mut findings).await;
            }
            database.close().await;
        }
        Err(error) => findings.push(Finding::wrong("database", format!("{error:#}"), NO_DATABASE)),
    }
    let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
    output.list(&findings, || in_words(&findings, wrong))?;
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn in_words(findings: &[Finding], wrong: usize) -> String {
    let mut lines = Vec::new();
    for finding in findings {
        let mark = match finding.state {
            State::Well => "ok   ",
            State::Note => "note ",
            State::Wrong => "WRONG",
        };
        lines.push(format!("{mark} {:<14} {}", finding.what, finding.seen));
        if let Some(remedy) = &finding.remedy {
            lines.push(format!("{:>20} → {remedy}", ""));
        }
    }
    lines.push(match wrong {
        0 => "Everything works.".to_owned(),
        1 => "One thing is wrong.".to_owned(),
        many => format!("{many} things are wrong."),
    });
    lines.join("\n")
}

/// Whether the pages name the operator of the shop, as European law requires.
fn look_at_operator(config: &Config) -> Finding {
    match operator::missing(&config.operator).as_slice() {
        [] => Finding::well("operator", "the pages say who runs the shop"),
        missing => Finding::note(
            "operator",
            "the pages lack information that a shop in Europe has to give",
            format!("set {}", missing.join(", ")),
        ),
    }
}

/// Checks the schema. Returns whether the checks that depend on it can run.
async fn look_at_schema(database: &Database, findings: &mut Vec<Finding>) -> bool {
    match database.store.migration_status().await {
        Ok(status) if status.pending.is_empty() => {
            findings.push(Finding::well(
                "schema",
                format!("up to date, {} migrations", status.applied.len()),
            ));
            true
        }
        Ok(status) => {
            let seen = format!("{} migration(s) behind", status.pending.len());
            findings.push(Finding::wrong("schema", seen, "run `lockstep migrate`"));
            false
        }
        Err(error) => {
            let remedy = "is PostgreSQL running, and is DATABASE_URL right?";
            let why = database.store.why_unreachable().await;
            findings.push(Finding::wrong(
                "database",
                why.unwrap_or_else(|| format!("{:#}", anyhow::Error::from(error))),
                remedy,
            ));
            false
        }
    }
}

async fn look_at_data(database: &Database, now: DateTime<Utc>, findings: &mut Vec<Finding>) {
    match lockstep_store::doctor::broken_invariants(&database.store).await {
        Ok(broken) if broken.is_empty() => findings.push(Finding::well("invariants", "all hold")),
        Ok(broken) => {
            for invariant in broken {
                let remedy = "report it with what happened before; the database should have refused it";
                findings.push(Finding::wrong(
                    "invariants",
                    format!("{}: {} row(s)", invariant.name, invariant.rows),
                    remedy,
                ));
            }
        }
        Err(error) => findings.push(Finding::wrong("invariants", error.to_string(), NO_ANSWER)),
    }
    match freshness(&database.store).await {
        Ok(known) => findings.push(match known.latest() {
            None => Finding::note(
                "catalogue",
                "never synchronised",
                "run `lockstep sync --full`, or start the store",
            ),
            Some(at) if now - at > chrono::TimeDelta::hours(1) => {
                let seen = format!(
                    "price and stock were last complete at {}",
                    at.format("%Y-%m-%d %H:%M UTC")
                );
                Finding::wrong(
                    "catalogue",
                    seen,
                    "see the latest run below, and whether `lockstep serve` or `worker` is running",
                )
            }
            Some(at) => Finding::well(
                "catalogue",
                format!("price and stock complete as of {}", at.format("%H:%M:%S UTC")),
            ),
        }),
        Err(error) => findings.push(Finding::wrong("catalogue", error.to_string(), NO_ANSWER)),
    }
    if let Ok(runs) = database.store.read(|tx| Box::pin(recent_runs(tx, 1))).await
        && let Some(run) = runs.value.first()
    {
        let seen = format!(
            "{} {:?} at {}",
            run.kind.as_str(),
            run.status,
            run.started_at.format("%Y-%m-%d %H:%M UTC")
        );
        findings.push(match &run.stopped_by {
            Some(reason) if reason == lockstep_sync::ON_PURPOSE => {
                Finding::well("latest run", format!("{seen}: {reason}; it continues where it stopped"))
            }
            Some(reason) => Finding::wrong(
                "latest run",
                format!("{seen}: {reason}"),
                "remove the reason that it names; the next run takes it up by itself",
            ),
            None => Finding::well("latest run", seen),
        });
    }
}

/// What stops buying, which orders wait too long, and what failed.
async fn look_at_buying(database: &Database, findings: &mut Vec<Finding>) {
    match incidents::alarms(&database.store).await {
        Ok(alarms) => {
            for alarm in alarms {
                let remedy = match alarm.kind.as_str() {
                    "FUNDS" => "top up the wallet at G2A; orders wait and go on by themselves",
                    "LIMIT" => "have the limit of G2A PAY raised; orders wait and go on by themselves",
                    _ => "check the G2A credentials and the allowed addresses; orders wait and go on by themselves",
                };
                let since = alarm.since.format("%Y-%m-%d %H:%M UTC");
                findings.push(Finding::wrong(
                    "buying",
                    format!("nothing can be bought since {since}: {}", alarm.detail),
                    remedy,
                ));
            }
        }
        Err(error) => findings.push(Finding::wrong("buying", error.to_string(), NO_ANSWER)),
    }
    if let Ok(load) = lockstep_store::fulfilment::waiting(&database.store).await {
        let seen = format!(
            "{} copies on their way, {} of them preorders",
            load.open, load.preordered
        );
        findings.push(if load.paid_and_waiting > 0 {
            let seen = format!(
                "{seen}; {} paid for at G2A more than an hour ago",
                load.paid_and_waiting
            );
            Finding::wrong("orders", seen, "run `lockstep reconcile`")
        } else {
            Finding::well("orders", seen)
        });
    }
    if let Ok(open) = incidents::open(&database.store).await {
        for (kind, count) in open {
            let remedy = "each was compensated by a rule; review it in the console, or in the table `incidents`";
            findings.push(Finding::note(
                "incidents",
                format!("{count} of the kind {kind}"),
                remedy,
            ));
        }
    }
}

async fn look_at_supplier(config: &Config, database: &Database, findings: &mut Vec<Finding>) {
    if matches!(config.supplier, Configured::Sandbox) {
        findings.push(Finding::note(
            "g2a",
            "no account: the built-in sandbox",
            "set G2A_API_URL and the credentials to connect yours",
        ));
        return;
    }
    let mut their_clock = None;
    let asked = async {
        let supplier = Supplier::connect(config, &database.store).await?;
        let query = lockstep_g2a::ProductQuery {
            page: 1,
            ..Default::default()
        };
        let page = tokio::time::timeout(Duration::from_secs(30), supplier.client.products(&query)).await;
        their_clock = supplier.client.clock_ahead();
        anyhow::Ok(page.map_err(|_| anyhow::anyhow!("no answer within 30 s"))??)
    };
    findings.push(match asked.await {
        Ok(page) => Finding::well("g2a", format!("answers; {} products in stock", page.total)),
        Err(error) => Finding::wrong(
            "g2a",
            format!("{error:#}"),
            "check G2A_API_URL, the credentials, and whether G2A allows this address",
        ),
    });
    findings.extend(clock::look_at_supplier(their_clock));
}
