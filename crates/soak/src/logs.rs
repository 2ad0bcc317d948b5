//! Checks that every log line of level WARN or ERROR is explained by a fault of the plan.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::plan::{Fault, Lane};
use crate::timeline::Timeline;
use crate::verdicts::{Rule, Verdicts};

/// A possible cause of a line.
#[derive(Debug, Clone, Copy)]
enum Cause {
    /// Logged at every start.
    Always,
    /// The machine is overloaded.
    Busy,
    /// Any fault of this lane.
    Lane(Lane),
    /// This fault.
    Fault(Fault),
}

/// A text of a line, its possible causes, and the reason.
struct Explained {
    words: &'static str,
    by: &'static [Cause],
    #[expect(dead_code, reason = "documents the table")]
    why: &'static str,
}

const DATABASE: Cause = Cause::Lane(Lane::Database);
const INSTANCE: Cause = Cause::Lane(Lane::Instance);
const SUPPLIER: Cause = Cause::Lane(Lane::Supplier);
const REDIS: Cause = Cause::Lane(Lane::Redis);
const MAIL: Cause = Cause::Lane(Lane::Mail);
const DATA_FULL: Cause = Cause::Fault(Fault::DataFolderFull);
const UNREADABLE: &[Cause] = &[
    Cause::Fault(Fault::SupplierUnreadable),
    Cause::Fault(Fault::SupplierCutting),
];

/// The first entry whose text occurs in the line decides.
const EXPLAINED: &[Explained] = &[
    explained(
        "a feed cannot be written",
        &[DATA_FULL],
        "feeds are files in the data folder",
    ),
    explained("the payment provider refuses evidence", &[], "a run has no Stripe"),
    explained("evidence about a dispute waits", &[], "a run has no Stripe"),
    explained("a payment has to be decided by", &[], "nothing is disputed in a run"),
    explained("the shop's key may not read", &[], "a run has no Stripe"),
    explained(
        "the nightly verification found a violation",
        &[],
        "nothing may be violated",
    ),
    explained("could not verify the database", &[DATABASE], "it is tried again"),
    explained("a payment needs a person:", &[], "nothing is disputed in a run"),
    explained("a payment event names an object", &[], "a run has no Stripe"),
    explained("the payment provider refuses a refund:", &[], "a run has no Stripe"),
    explained("a refund to a card waits", &[], "a run has no Stripe"),
    explained("refunds to cards wait for a person", &[], "a run has no Stripe"),
    explained("could not work on refunds and disputes", &[DATABASE], "it is retried"),
    explained("could not look for paid checkouts", &[DATABASE], "it is retried"),
    explained("could not settle a paid checkout", &[DATABASE], "it is retried"),
    explained("the books differ from the payment provider", &[], "a run has no Stripe"),
    explained(
        "could not compare the books with the payment provider",
        &[],
        "a run has no Stripe",
    ),
    explained(
        "an edited e-mail template cannot be used",
        &[],
        "no template is edited in a run",
    ),
    explained(
        "credentials of G2A are active",
        &[],
        "a run uses the account of its environment",
    ),
    explained("the active credentials of G2A", &[], "no account is entered in a run"),
    explained("a webhook waits:", &[], "no webhook is entered in a run"),
    explained("a webhook was disabled", &[], "no webhook is entered in a run"),
    explained(
        "because of crash of another server process",
        &[Cause::Always],
        "PostgreSQL itself says that it crashed; how the shop comes back is judged",
    ),
    explained(
        "no payment provider is configured: top-ups are paid on a test page",
        &[Cause::Always],
        "the run uses the built-in test provider",
    ),
    explained(
        "the database does not answer yet",
        &[DATABASE],
        "an instance that starts waits for it",
    ),
    explained(
        "error communicating with database",
        &[DATABASE, INSTANCE],
        "connections broke, or timed out while the process stood still",
    ),
    explained(
        "while testing the connection on-release",
        &[DATABASE, INSTANCE],
        "a connection broke in use",
    ),
    explained(
        "slow statement",
        &[DATABASE, INSTANCE, Cause::Busy],
        "it waited for the fault to pass",
    ),
    explained(
        "time to acquire exceeded slow threshold",
        &[DATABASE, INSTANCE, Cause::Busy],
        "a connection was waited for",
    ),
    explained(
        "the invalidation log cannot be read",
        &[DATABASE, INSTANCE],
        "the poll failed; copies are refused until it succeeds",
    ),
    explained(
        "this machine's clock is",
        &[DATABASE],
        "the database's clock was stepped",
    ),
    explained(
        "the database accepts no writes",
        &[DATABASE, INSTANCE, Cause::Busy],
        "readiness writes a row",
    ),
    explained(
        "the database's clock was set",
        &[DATABASE, INSTANCE],
        "its clock was stepped, or the process stood still",
    ),
    explained(
        "waits that began in the future",
        &[Cause::Fault(Fault::ClockBack), Cause::Fault(Fault::ClockForward)],
        "the database's clock was stepped back",
    ),
    explained(
        "scheduled changes could not be carried out",
        &[DATABASE, INSTANCE, Cause::Busy],
        "they are rows, and tried again each second",
    ),
    explained(
        "a bulk change could not go on",
        &[DATABASE, INSTANCE, Cause::Busy],
        "its games are rows, and tried again each second",
    ),
    explained(
        "prices could not be computed by the rules",
        &[DATABASE, INSTANCE, Cause::Busy],
        "they are rows, and tried again each second",
    ),
    explained(
        "a unit could not be released",
        &[DATABASE, INSTANCE],
        "its lease runs out",
    ),
    explained(
        "the leases of claimed e-mails could not be renewed",
        &[DATABASE, INSTANCE, Cause::Busy],
        "leases are rows",
    ),
    explained(
        "the result of a delivery could not be recorded",
        &[DATABASE, INSTANCE],
        "the queue is a table",
    ),
    explained(
        "an e-mail was dropped: its code or link expired",
        &[MAIL, DATABASE, INSTANCE],
        "it waited longer than its link is valid",
    ),
    explained(
        "no payment page for a top-up",
        &[DATABASE, INSTANCE],
        "the shopper tries again",
    ),
    explained("could not truncate", &[DATABASE], "retention is tried again"),
    explained(
        "connections to the database do not close",
        &[DATABASE],
        "an instance was told to end meanwhile",
    ),
    explained(
        "after the signal, and aborted",
        &[DATABASE, INSTANCE, SUPPLIER, MAIL],
        "an instance was told to end",
    ),
    explained(
        "shutdown took longer than",
        &[DATABASE, INSTANCE],
        "an instance was told to end",
    ),
    explained(
        "too many changes to remove keys from Redis one by one",
        &[DATABASE, REDIS, INSTANCE],
        "a long gap in the log",
    ),
    explained(
        "a process that ended left a partial answer",
        &[INSTANCE, DATA_FULL],
        "it was killed while it wrote; G2A is asked",
    ),
    explained(
        "could not be removed from the spool",
        &[INSTANCE, DATA_FULL],
        "a file could not be removed; recording it again has no effect",
    ),
    explained(
        "log lines were dropped",
        &[Cause::Fault(Fault::LogUnread)],
        "nobody read them",
    ),
    explained(
        "traces cannot be exported",
        &[Cause::Busy],
        "the collector, which a run has only when its environment names one, was slow",
    ),
    explained(
        "error returned from after_connect",
        &[DATABASE, INSTANCE],
        "a new connection broke before it was told its settings",
    ),
    explained(
        "the database was replaced",
        &[DATABASE],
        "PostgreSQL recovered from a crash",
    ),
    explained(
        "a job of staff broke off because of an error in this program",
        &[],
        "no staff ask for jobs in a run, and a panic is never expected",
    ),
    explained(
        "an e-mail waits for a mail server",
        &[],
        "the mail server is not changed in a run",
    ),
    explained(
        "e-mails wait: there is no mail server that can be used",
        &[],
        "the mail server is not changed in a run",
    ),
    explained(
        "e-mails wait: the outbox cannot be read",
        &[DATABASE, INSTANCE],
        "the queue is a table",
    ),
    explained("the evictor pauses", &[DATABASE, INSTANCE], "the log is a table"),
    explained(
        "buying waits for the database",
        &[DATABASE, INSTANCE],
        "the queue is a table",
    ),
    explained(
        "recovery waits for the database",
        &[DATABASE, INSTANCE],
        "an instance that starts takes up what it left",
    ),
    explained(
        "a key waits for the database, in the spool",
        &[DATABASE, INSTANCE],
        "it is safe in the spool until then",
    ),
    explained(
        "a step was not recorded",
        &[DATABASE, INSTANCE],
        "it is recorded when the database is back",
    ),
    explained("the database refused a step", &[DATABASE], "read-only, or out of disk"),
    explained("could not delete", &[DATABASE], "sweeps are tried again"),
    explained(
        "could not look for unconfirmed top-ups",
        &[DATABASE],
        "it is tried again",
    ),
    explained("could not query a top-up", &[DATABASE], "it is tried again"),
    explained("could not refresh the games' flags", &[DATABASE], "it is tried again"),
    explained(
        "a guest's cart could not be moved",
        &[DATABASE],
        "the front-end asks again",
    ),
    explained(
        "a guest's wishlist could not be moved",
        &[DATABASE],
        "the front-end asks again",
    ),
    explained(
        "the shared request budget could not be paused",
        &[DATABASE, INSTANCE],
        "the budget is a table",
    ),
    explained(
        "an attempt could not be refunded to its rate limit",
        &[DATABASE],
        "limits are rows",
    ),
    explained(
        "no connection can be taken",
        &[DATABASE, INSTANCE],
        "the pool is empty while a fault lasts",
    ),
    explained(
        "request not answered",
        &[DATABASE, INSTANCE, Cause::Busy],
        "the caller was told to try again",
    ),
    explained(
        " sync interrupted",
        &[SUPPLIER, DATABASE, INSTANCE],
        "a run ends early and is taken up again",
    ),
    explained(
        " sync failed",
        &[SUPPLIER, DATABASE, INSTANCE],
        "the next run does it again",
    ),
    explained(
        "a synchronisation stopped",
        &[SUPPLIER, DATABASE, INSTANCE],
        "it is taken up again",
    ),
    explained(
        "G2A does not answer; the circuit breaker is open",
        &[SUPPLIER, INSTANCE],
        "the breaker opened",
    ),
    explained("G2A's rate limit is reached", &[SUPPLIER], "the supplier said so"),
    explained(
        "the task that reads a key failed",
        &[SUPPLIER, INSTANCE],
        "the answer was cut, or the process stood still",
    ),
    explained("nothing can be bought at G2A", &[SUPPLIER], "an alarm for staff"),
    explained(
        "Redis lost",
        &[REDIS, INSTANCE, Cause::Busy],
        "answers come from the process and from PostgreSQL",
    ),
    explained("an e-mail is delayed", &[MAIL, INSTANCE], "it is tried again"),
    explained(
        "an e-mail was given up",
        &[MAIL],
        "the mail server refused it for good, or it lapsed",
    ),
    explained(
        "an answer could not be written; retrying with the reserved space",
        &[DATA_FULL],
        "the disk is full; space was reserved for it",
    ),
    explained(
        "too many G2A answers contain no readable key",
        UNREADABLE,
        "the game is not bought until staff have looked",
    ),
    explained(
        "the spool cannot be written",
        &[DATA_FULL],
        "the disk is full; buying stops until it is not",
    ),
    explained("a picture could not be stored", &[DATA_FULL], "the disk is full"),
    explained("\"kind\":\"KEY_UNREADABLE\"", UNREADABLE, "the supplier sent it so"),
    explained(
        "\"kind\":\"KEY_LOST\"",
        &[SUPPLIER, INSTANCE, DATABASE],
        "the answer with the key never arrived",
    ),
    explained(
        "\"kind\":\"KEY_LATE\"",
        &[SUPPLIER, INSTANCE, DATABASE],
        "it arrived after all, and is stock",
    ),
    explained(
        "cannot be opened and is set aside",
        &[],
        "only a spool that others write into does that",
    ),
];

const fn explained(words: &'static str, by: &'static [Cause], why: &'static str) -> Explained {
    Explained { words, by, why }
}

/// How long after its end a fault explains log lines: back-off and leases expire late.
const GRACE: Duration = Duration::from_secs(75);
/// Rows written while the clock was ahead remain ahead by as much, at most a quarter of an hour.
const CLOCK_GRACE: Duration = Duration::from_mins(16);

/// The log check.
#[derive(Debug, Clone)]
pub(crate) struct Logs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    timeline: Timeline,
    verdicts: Verdicts,
    names: Vec<&'static str>,
}

impl Logs {
    /// Checks the lines of the instances `names`.
    pub(crate) fn new(timeline: Timeline, verdicts: Verdicts, names: Vec<&'static str>) -> Self {
        Self(Arc::new(Inner {
            timeline,
            verdicts,
            names,
        }))
    }

    /// Checks a line of an instance.
    pub(crate) fn line(&self, instance: usize, line: &str) {
        let Inner {
            timeline,
            verdicts,
            names,
        } = &*self.0;
        let entry: Option<Value> = serde_json::from_str(line).ok();
        let level = entry.as_ref().and_then(|entry| entry["level"].as_str());
        if matches!(level, Some("INFO" | "DEBUG" | "TRACE")) {
            return;
        }
        let now = Instant::now();
        let is_clock = |fault| matches!(fault, Fault::ClockBack | Fault::ClockForward);
        let active: Vec<Fault> = timeline
            .between(now, now, CLOCK_GRACE)
            .into_iter()
            .filter(|period| is_clock(period.fault) || period.until.is_none_or(|until| until + GRACE >= now))
            .map(|period| period.fault)
            .collect();
        let name = names.get(instance).copied().unwrap_or("?");
        verdicts.judge(
            Rule::LogsExplained,
            unexplained(line, &active).map(|reason| format!("{name}: {reason}: {line}")),
        );
    }
}

/// Why the active faults do not explain a line; `None` when they do.
fn unexplained(line: &str, active: &[Fault]) -> Option<&'static str> {
    let Some(known) = EXPLAINED.iter().find(|known| line.contains(known.words)) else {
        return Some("no fault is known to cause this");
    };
    let explained = known.by.iter().any(|cause| match cause {
        Cause::Always => true,
        Cause::Busy => crate::machine::is_busy(),
        Cause::Lane(lane) => active.iter().any(|fault| fault.lane() == *lane),
        Cause::Fault(fault) => active.contains(fault),
    });
    (!explained).then_some("none of the faults that cause this went on")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of PostgreSQL and of libraries, and texts with a value in the middle.
    const NOT_LITERAL: &[&str] = &[
        "because of crash of another server process",
        "error communicating with database",
        "error returned from after_connect",
        "slow statement",
        "time to acquire exceeded slow threshold",
        "while testing the connection on-release",
        " sync failed",
        " sync interrupted",
        "\"kind\":\"KEY_LATE\"",
        "\"kind\":\"KEY_LOST\"",
        "\"kind\":\"KEY_UNREADABLE\"",
        "a key waits for the database, in the spool",
    ];

    /// All sources of the product, with texts that continue on the next line in one piece.
    fn sources(folder: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                for line in std::fs::read_to_string(&path).unwrap().lines() {
                    let line = line.trim();
                    text.push_str(line.strip_suffix('\\').unwrap_or(line));
                }
            }
        }
    }

    #[test]
    fn every_explained_text_is_one_that_the_product_logs() {
        let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut text = String::new();
        for entry in std::fs::read_dir(crates).unwrap() {
            let krate = entry.unwrap().path();
            if krate.join("src").is_dir() && !krate.ends_with("soak") {
                sources(&krate.join("src"), &mut text);
            }
        }
        let gone: Vec<&str> = EXPLAINED
            .iter()
            .map(|known| known.words)
            .filter(|words| !NOT_LITERAL.contains(words) && !text.contains(words))
            .collect();
        assert_eq!(gone, [""; 0], "no source logs these any more");
    }

    #[test]
    fn log_lines_require_a_matching_fault() {
        let line = r#"{"level":"WARN","message":"the invalidation log cannot be read"}"#;
        assert_eq!(unexplained(line, &[Fault::MailSlow, Fault::DatabaseFrozen]), None);
        assert!(unexplained(line, &[Fault::MailSlow]).is_some());
        assert!(unexplained("something else", &Fault::ALL).is_some());
    }
}
