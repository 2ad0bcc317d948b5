//! `lockstep doctor`: checks every dependency and every invariant that can be checked, changes nothing, and prints a
//! remedy for each problem.

mod address;
mod answers;
mod audit;
mod backup;
mod clock;
mod copies;
mod deliveries;
mod demo_owner;
mod disk;
mod mail;
mod mail_server;
mod payments;
mod pooler;
mod promo;
mod provider;
mod redis;
mod schedule;
mod sealed;
mod settings;
mod settings_file;
mod spool;
mod suitable;
mod vat;
mod verified;
mod webhooks;
mod writes;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use lockstep_admin::FirstStep;
use lockstep_domain::admin::SupplierEnvironment;
use lockstep_domain::consent::ConsentMode;
use lockstep_domain::language::Sentence;
use lockstep_domain::law::Duty;
use lockstep_store::Store;
use lockstep_store::admin::g2a_settings;
use lockstep_store::fulfilment::incidents;
use lockstep_store::sync::{freshness, recent_runs};
use serde::Serialize;

use crate::config::{Config, Supplier as Configured, operator};
use crate::database::{Database, Use};
use crate::output::Output;
use crate::supplier::{Supplier, accounts};
use crate::words::{english, say};

pub(crate) use payments::{in_words as top_up_in_words, remedy as remedy_of_top_up};

/// The result of one check.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) state: State,
    /// What the check found.
    #[serde(serialize_with = "in_english")]
    pub(crate) seen: Sentence,
    /// What to do about it, if there is a problem.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_english_too")]
    pub(crate) remedy: Option<Sentence>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Well,
    Note,
    Wrong,
}

impl Finding {
    fn well(what: &'static str, seen: impl Into<Sentence>) -> Self {
        Self {
            what,
            state: State::Well,
            seen: seen.into(),
            remedy: None,
        }
    }

    /// The check could not be made.
    fn failed(what: &'static str, error: impl std::fmt::Display) -> Self {
        Self::wrong(what, Sentence::verbatim(error), NO_ANSWER)
    }

    fn note(what: &'static str, seen: impl Into<Sentence>, remedy: impl Into<Sentence>) -> Self {
        Self {
            what,
            state: State::Note,
            seen: seen.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn wrong(what: &'static str, seen: impl Into<Sentence>, remedy: impl Into<Sentence>) -> Self {
        Self {
            what,
            state: State::Wrong,
            seen: seen.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// The command line and its JSON are in English.
fn in_english<S: serde::Serializer>(sentence: &Sentence, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(&english(sentence))
}

#[expect(clippy::ref_option, reason = "serde gives a field by reference")]
fn in_english_too<S: serde::Serializer>(remedy: &Option<Sentence>, to: S) -> std::result::Result<S::Ok, S::Error> {
    remedy.as_ref().map(english).serialize(to)
}

/// The sentences in a row; of more than `most`, the first ones and how many more there are.
fn listed(sentences: &[Sentence], most: usize) -> Sentence {
    let mut all: Vec<Sentence> = sentences.iter().take(most).cloned().collect();
    if sentences.len() > most {
        all.push(say!("doctor.and_more", sentences.len() - most));
    }
    all.into_iter()
        .reduce(|before, next| say!("doctor.both", before, next))
        .unwrap_or_else(|| Sentence::verbatim(""))
}

/// The remedy when the database did not answer a check.
const NO_ANSWER: &str = "doctor.no_answer.do";
/// The remedy when there is no database to check.
const NO_DATABASE: &str = "doctor.database.do";

/// Runs the checks and prints the findings; exits with 1 if something is wrong. Sends a test e-mail to `send_mail`.
pub(crate) async fn run(config: &Config, output: Output, send_mail: Option<&str>) -> Result<ExitCode> {
    let mut findings = around(config, send_mail).await;
    match Database::open(config, Use::Join).await {
        Ok(database) => {
            findings.push(Finding::well("database", say!("doctor.database.at", database.place)));
            look_at(config, &database, send_mail, &mut findings).await;
            database.close().await;
        }
        Err(error) => findings.push(Finding::wrong(
            "database",
            Sentence::verbatim(format!("{error:#}")),
            NO_DATABASE,
        )),
    }
    let wrong = number_wrong(&findings);
    output.list(&findings, || in_words(&findings))?;
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The same checks by a process that has the database open.
pub(crate) async fn examine(config: &Config, database: &Database) -> Vec<Finding> {
    let mut findings = around(config, None).await;
    findings.push(Finding::well("database", say!("doctor.database.at", database.place)));
    look_at(config, database, None, &mut findings).await;
    findings
}

/// What a shop needs before it sells: the few checks that answer within seconds.
pub(crate) async fn first_day(config: &Config, database: &Database) -> Vec<(FirstStep, Finding)> {
    let mut found = Vec::new();
    for step in [
        FirstStep::Supplier,
        FirstStep::Payments,
        FirstStep::Mail,
        FirstStep::Address,
        FirstStep::Legal,
        FirstStep::Prices,
        FirstStep::Backup,
    ] {
        let mut findings = Vec::new();
        part(step.name(), &mut findings, async |found| match step {
            FirstStep::Supplier => look_at_supplier(config, database, found).await,
            FirstStep::Payments => found.extend(provider::look(config).await),
            FirstStep::Mail => {
                mail_server::look(config, None, found).await;
                mail_server::look_at_active(config, database, None, found).await;
            }
            FirstStep::Address => found.push(address::look(config)),
            FirstStep::Legal => found.push(address::look_at_legal_pages(config, &database.store).await),
            FirstStep::Prices => found.push(address::look_at_prices(config, &database.store).await),
            FirstStep::Backup => found.push(backup::look(&database.store, config.clock.now()).await),
            FirstStep::SecondFactor => {}
        })
        .await;
        // The one that asks for the most.
        let worst = findings.into_iter().max_by_key(|finding| match finding.state {
            State::Well => 0,
            State::Note => 1,
            State::Wrong => 2,
        });
        found.extend(worst.map(|finding| (step, finding)));
    }
    found
}

/// What needs no database.
async fn around(config: &Config, send_mail: Option<&str>) -> Vec<Finding> {
    let mut findings = vec![Finding::well(
        "configuration",
        if config.production {
            "doctor.production"
        } else {
            "doctor.development"
        },
    )];
    if config.production {
        findings.push(look_at_operator(config));
        findings.push(look_at_duties(config));
    }
    findings.extend(settings_file::look(config));
    findings.extend(disk::look(config));
    part("provider", &mut findings, async |found| {
        found.extend(provider::look(config).await);
    })
    .await;
    part("mail server", &mut findings, async |found| {
        mail_server::look(config, send_mail, found).await;
    })
    .await;
    findings
}

fn number_wrong(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.state == State::Wrong).count()
}

/// Time limit of a part that has none of its own.
const PART: Duration = Duration::from_mins(1);

/// Looks at one part: when it does not answer, what is found so far and the other parts are told all the same.
async fn part(what: &'static str, findings: &mut Vec<Finding>, look: impl AsyncFnOnce(&mut Vec<Finding>)) {
    if tokio::time::timeout(PART, look(&mut *findings)).await.is_err() {
        let seen = say!("doctor.too_slow", PART.as_secs());
        findings.push(Finding::wrong(what, seen, NO_ANSWER));
    }
}

/// Everything that needs the database.
async fn look_at(config: &Config, database: &Database, send_mail: Option<&str>, findings: &mut Vec<Finding>) {
    let (store, now) = (&database.store, config.clock.now());
    part("database", findings, async |found| {
        found.extend(suitable::look(store).await);
    })
    .await;
    part("database", findings, async |found| {
        found.extend(pooler::look(store).await);
    })
    .await;
    let mut is_current = false;
    part("schema", findings, async |found| {
        is_current = look_at_schema(database, found).await;
    })
    .await;
    if !is_current {
        return;
    }
    part("mail server", findings, async |found| {
        mail_server::look_at_active(config, database, send_mail, found).await;
    })
    .await;
    part("writes", findings, async |found| {
        found.push(writes::look(database).await);
    })
    .await;
    part("copies", findings, async |found| found.push(copies::look(store).await)).await;
    part("clock", findings, async |found| {
        found.extend(clock::look_at_database(store, &config.clock).await);
    })
    .await;
    look_at_invariants(store, findings).await;
    part("verification", findings, async |found| {
        found.push(verified::look(store, now).await);
    })
    .await;
    part("catalogue", findings, async |found| {
        look_at_data(database, now, found).await;
    })
    .await;
    // It reads the log piece by piece, however long that takes.
    findings.push(audit::look(store).await);
    part("buying", findings, async |found| look_at_buying(database, found).await).await;
    part("spool", findings, async |found| {
        spool::look(config, database, found).await;
    })
    .await;
    part("answers", findings, async |found| answers::look(database, found).await).await;
    part("demo owner", findings, async |found| {
        demo_owner::look(config, store, found).await;
    })
    .await;
    part("sealed", findings, async |found| {
        sealed::look(config, database, found).await;
    })
    .await;
    part("instances", findings, async |found| {
        found.extend(settings::look(config, store).await);
    })
    .await;
    part("payments", findings, async |found| payments::look(store, found).await).await;
    part("deliveries", findings, async |found| {
        found.extend(deliveries::look(store).await);
    })
    .await;
    part("e-mail", findings, async |found| mail::look(store, now, found).await).await;
    part("webhooks", findings, async |found| webhooks::look(store, found).await).await;
    part("VAT", findings, async |found| vat::look(store, now, found).await).await;
    part("schedule", findings, async |found| {
        found.push(schedule::look(store, now).await);
    })
    .await;
    part("promo codes", findings, async |found| {
        promo::look(config, database, found).await;
    })
    .await;
    part("redis", findings, async |found| {
        found.push(redis::look(config, database).await);
    })
    .await;
    part("g2a", findings, async |found| {
        look_at_supplier(config, database, found).await;
    })
    .await;
}

/// The findings as lines of text.
pub(crate) fn in_words(findings: &[Finding]) -> String {
    let (mut lines, wrong) = (Vec::new(), number_wrong(findings));
    for finding in findings {
        let mark = match finding.state {
            State::Well => "ok   ",
            State::Note => "note ",
            State::Wrong => "WRONG",
        };
        lines.push(format!("{mark} {:<14} {}", finding.what, english(&finding.seen)));
        if let Some(remedy) = &finding.remedy {
            lines.push(format!("{:>20} → {}", "", english(remedy)));
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
        [] => Finding::well("operator", "doctor.operator.named"),
        missing => Finding::note(
            "operator",
            "doctor.operator.missing",
            say!("doctor.operator.missing.do", missing.join(", ")),
        ),
    }
}

/// Which duties of the shop's country the program does not fulfil. Its operator has to.
fn look_at_duties(config: &Config) -> Finding {
    let duties = &config.duties;
    let profile = duties.profile();
    let mut off: Vec<String> = Duty::ALL
        .into_iter()
        .filter(|duty| !duties.is_on(*duty))
        .filter_map(|duty| profile.rule(duty))
        .map(|rule| format!("{} ({})", rule.duty.as_str(), rule.source))
        .collect();
    if config.consent != ConsentMode::Required {
        off.push(format!("consent (LOCKSTEP_CONSENT={})", config.consent.as_str()));
    }
    let checked = profile.rules.iter().map(|rule| rule.checked).min().unwrap_or_default();
    if !off.is_empty() {
        return Finding::note(
            "duties",
            say!("doctor.duties.off", off.join(", ")),
            "doctor.duties.off.do",
        );
    }
    if duties.country.is_none() {
        return Finding::note("duties", "doctor.duties.common", "doctor.duties.common.do");
    }
    let seen = match checked {
        "" => say!("doctor.duties.unread", profile.country),
        day => say!("doctor.duties.read", profile.country, day),
    };
    Finding::well("duties", seen)
}

/// Checks the schema. Returns whether the checks that depend on it can run.
async fn look_at_schema(database: &Database, findings: &mut Vec<Finding>) -> bool {
    match database.store.migration_status().await {
        Ok(status) if status.pending.is_empty() => {
            findings.push(Finding::well(
                "schema",
                say!("doctor.schema.current", status.applied.len()),
            ));
            true
        }
        Ok(status) => {
            let seen = say!("doctor.schema.behind", status.pending.len());
            findings.push(Finding::wrong("schema", seen, "doctor.schema.behind.do"));
            false
        }
        Err(error) => {
            let remedy = "doctor.database.ask.do";
            let why = database.store.why_unreachable().await;
            findings.push(Finding::wrong(
                "database",
                Sentence::verbatim(why.unwrap_or_else(|| format!("{:#}", anyhow::Error::from(error)))),
                remedy,
            ));
            false
        }
    }
}

async fn look_at_data(database: &Database, now: DateTime<Utc>, findings: &mut Vec<Finding>) {
    match freshness(&database.store).await {
        Ok(known) => findings.push(match known.latest() {
            None => Finding::note("catalogue", "doctor.catalogue.never", "doctor.catalogue.never.do"),
            Some(at) if now - at > chrono::TimeDelta::hours(1) => {
                let seen = say!("doctor.catalogue.old", at.format("%Y-%m-%d %H:%M UTC"));
                Finding::wrong("catalogue", seen, "doctor.catalogue.old.do")
            }
            Some(at) => Finding::well("catalogue", say!("doctor.catalogue.current", at.format("%H:%M:%S UTC"))),
        }),
        Err(error) => findings.push(Finding::failed("catalogue", error)),
    }
    if let Ok(runs) = database.store.read(|tx| Box::pin(recent_runs(tx, 1))).await
        && let Some(run) = runs.value.first()
    {
        let (kind, status) = (run.kind.as_str(), format!("{:?}", run.status));
        let at = run.started_at.format("%Y-%m-%d %H:%M UTC");
        findings.push(match &run.stopped_by {
            Some(reason) if reason == lockstep_sync::ON_PURPOSE => {
                Finding::well("latest run", say!("doctor.run.paused", kind, status, at, reason))
            }
            Some(reason) => Finding::wrong(
                "latest run",
                say!("doctor.run.stopped", kind, status, at, reason),
                "doctor.run.stopped.do",
            ),
            None => Finding::well("latest run", say!("doctor.run.ended", kind, status, at)),
        });
    }
}

/// Each invariant has a time limit of its own, and one that cannot be checked hides nothing of the others.
async fn look_at_invariants(store: &Store, findings: &mut Vec<Finding>) {
    let mut all_hold = true;
    for checked in lockstep_store::doctor::check(store).await {
        let name = checked.name;
        let finding = match checked.broken {
            Ok(0) => continue,
            Ok(rows) => Finding::wrong(
                "invariants",
                say!("doctor.invariants.broken", name, rows),
                "doctor.invariants.broken.do",
            ),
            Err(error) if error.is_too_slow() => Finding::wrong(
                "invariants",
                say!("doctor.invariants.slow", name),
                "doctor.invariants.slow.do",
            ),
            Err(error) => Finding::wrong("invariants", say!("doctor.invariants.failed", name, error), NO_ANSWER),
        };
        all_hold = false;
        findings.push(finding);
    }
    if all_hold {
        findings.push(Finding::well("invariants", "doctor.invariants.hold"));
    }
}

/// What stops buying, which orders wait too long, and what failed.
async fn look_at_buying(database: &Database, findings: &mut Vec<Finding>) {
    match incidents::alarms(&database.store).await {
        Ok(alarms) => {
            for alarm in alarms {
                let remedy = match alarm.kind.as_str() {
                    "FUNDS" => "doctor.buying.funds.do",
                    "LIMIT" => "doctor.buying.limit.do",
                    _ => "doctor.buying.access.do",
                };
                let since = alarm.since.format("%Y-%m-%d %H:%M UTC");
                findings.push(Finding::wrong(
                    "buying",
                    say!("doctor.buying.stopped", since, alarm.detail),
                    remedy,
                ));
            }
        }
        Err(error) => findings.push(Finding::failed("buying", error)),
    }
    if let Ok(load) = lockstep_store::fulfilment::waiting(&database.store).await {
        findings.push(if load.paid_and_waiting > 0 {
            let seen = say!("doctor.orders.late", load.open, load.preordered, load.paid_and_waiting);
            Finding::wrong("orders", seen, "doctor.orders.late.do")
        } else {
            Finding::well("orders", say!("doctor.orders.open", load.open, load.preordered))
        });
    }
    if let Ok(open) = incidents::open(&database.store).await {
        for (kind, count) in open {
            let remedy = "doctor.incidents.open.do";
            findings.push(Finding::note(
                "incidents",
                say!("doctor.incidents.open", count, kind),
                remedy,
            ));
        }
    }
}

async fn look_at_supplier(config: &Config, database: &Database, findings: &mut Vec<Finding>) {
    if matches!(config.supplier, Configured::Sandbox) {
        let stored = g2a_settings::list(&database.store).await.unwrap_or_default();
        let seen = match accounts::Accounts::of(config, "", &stored).origin {
            accounts::Origin::BuiltIn => "doctor.g2a.sandbox".into(),
            origin => say!(
                "doctor.g2a.sandbox_with",
                accounts::in_words(&origin, SupplierEnvironment::Sandbox)
            ),
        };
        findings.push(Finding::note("g2a", seen, "doctor.g2a.sandbox.do"));
        return;
    }
    let environment = config.supplier.environment(config.production);
    let mut origin = None;
    let mut their_clock = None;
    let asked = async {
        let supplier = Supplier::connect(config, &database.store).await?;
        origin = Some(supplier.origin.clone());
        let query = lockstep_g2a::ProductQuery {
            page: 1,
            ..Default::default()
        };
        let page = tokio::time::timeout(Duration::from_secs(30), supplier.client.products(&query)).await;
        their_clock = supplier.client.clock_ahead();
        anyhow::Ok(page.map_err(|_| anyhow::anyhow!("no answer within 30 s"))??)
    };
    let answer = asked.await;
    let used = origin.map_or_else(
        || Sentence::verbatim(environment),
        |origin| accounts::in_words(&origin, environment),
    );
    findings.push(match answer {
        Ok(page) => Finding::well("g2a", say!("doctor.g2a.answers", used, page.total)),
        Err(error) => Finding::wrong(
            "g2a",
            say!("doctor.g2a.failed", format!("{error:#}"), used),
            "doctor.g2a.failed.do",
        ),
    });
    findings.extend(clock::look_at_supplier(their_clock));
}
