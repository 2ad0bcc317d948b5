//! The results of a run: how often each rule was checked and violated, and the first violations of each with their
//! evidence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// A rule that must hold at every time, or at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// Paid = delivered + refunded + in progress; balances are sums of transactions; a delivered unit has its key.
    Books,
    /// No order at the supplier was paid twice, and each paid one is known to the shop.
    SupplierPaidOnce,
    /// Each key that was paid for is stored, or recorded as lost with its cause.
    KeysKept,
    /// Each acknowledged order exists once, with its charge.
    OrdersOnce,
    /// Each acknowledged write is stored.
    WritesKept,
    /// A deleted account keeps no cart, no wishlist, and nothing that can be paid.
    LeftNothing,
    /// E-mails about one order arrive in the order of the events.
    MailInOrder,
    /// No response is more than one second stale.
    Fresh,
    /// No response has status 500.
    No500,
    /// No request is refused, and no connection closed, without a fault that explains it.
    NoRefusalInCalm,
    /// Responses are those of the API's description.
    ExpectedAnswers,
    /// No warning and no error is logged without a fault that explains it.
    LogsExplained,
    /// No response is quarantined in the spool unless it was unreadable.
    NothingAside,
    /// Readiness is reported correctly.
    ReadyTrue,
    /// `lockstep doctor` reports correctly.
    DoctorTrue,
    /// Memory, file handles, queues and tables stay within their bounds.
    Bounded,
    /// Each instance recovers after a fault.
    Recovery,
    /// After all faults are healed, all work ends.
    Drained,
    /// `lockstep reconcile` finds nothing left to do.
    Reconciled,
    /// An instance never terminates by itself, and terminates on request.
    Processes,
}

impl Rule {
    /// All rules.
    pub(crate) const ALL: [Self; 20] = [
        Self::Books,
        Self::SupplierPaidOnce,
        Self::KeysKept,
        Self::OrdersOnce,
        Self::WritesKept,
        Self::LeftNothing,
        Self::MailInOrder,
        Self::Fresh,
        Self::No500,
        Self::NoRefusalInCalm,
        Self::ExpectedAnswers,
        Self::LogsExplained,
        Self::NothingAside,
        Self::ReadyTrue,
        Self::DoctorTrue,
        Self::Bounded,
        Self::Recovery,
        Self::Drained,
        Self::Reconciled,
        Self::Processes,
    ];

    /// The rule in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Books => "the books balance",
            Self::SupplierPaidOnce => "nothing was paid twice at the supplier, or paid and forgotten",
            Self::KeysKept => "every key that was paid for is stored, or flagged with its cause",
            Self::OrdersOnce => "every answered order is there once, with one charge",
            Self::WritesKept => "every acknowledged write is there",
            Self::LeftNothing => "a deleted account keeps no cart, no wishlist, nothing to pay",
            Self::MailInOrder => "an e-mail about an order came before the one with its keys",
            Self::Fresh => "no answer was older than a second",
            Self::No500 => "no HTTP 500",
            Self::NoRefusalInCalm => "no refusal without a fault that explains it",
            Self::ExpectedAnswers => "every answer was one of the expected",
            Self::LogsExplained => "every WARN and ERROR line has a named cause",
            Self::NothingAside => "nothing was set aside without an unreadable answer",
            Self::ReadyTrue => "/readyz told the truth",
            Self::DoctorTrue => "lockstep doctor told the truth",
            Self::Bounded => "memory, handles, queues and tables stayed within bounds",
            Self::Recovery => "every instance came back after every fault",
            Self::Drained => "all work ended once all faults were healed",
            Self::Reconciled => "lockstep reconcile finds nothing left to do",
            Self::Processes => "no instance ended by itself, and each ended when told to",
        }
    }
}

/// The result of a rule.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tally {
    /// Number of checks.
    pub(crate) checks: u64,
    /// Number of violations.
    pub(crate) breaches: u64,
    /// The first violations: when (ms after the start of the buyers) and what was seen.
    pub(crate) evidence: Vec<(u64, String)>,
}

/// Number of violations per rule that are kept with their evidence.
const MOST_EVIDENCE: usize = 20;

/// The verdicts of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdicts {
    began: Arc<OnceLock<Instant>>,
    tallies: Arc<Mutex<BTreeMap<Rule, Tally>>>,
}

impl Verdicts {
    /// Times are relative to `began` from now on; before this call they are 0.
    pub(crate) fn begin(&self, began: Instant) {
        self.began.get_or_init(|| began);
    }

    /// Records a check that passed.
    pub(crate) fn held(&self, rule: Rule) {
        self.with(rule, |tally| tally.checks += 1);
    }

    /// Records a violation.
    pub(crate) fn broken(&self, rule: Rule, evidence: impl Into<String>) {
        let at = self.began.get().map_or(0, |began| began.elapsed().as_millis());
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        let evidence = evidence.into();
        self.with(rule, |tally| {
            tally.checks += 1;
            tally.breaches += 1;
            if tally.evidence.len() < MOST_EVIDENCE {
                crate::say(&format!("{at:>8} ms  BROKEN: {}: {evidence}", rule.words()));
                tally.evidence.push((at, evidence));
            }
        });
    }

    /// Records a violation if there is evidence, otherwise a check that passed.
    pub(crate) fn judge(&self, rule: Rule, evidence: Option<String>) {
        match evidence {
            None => self.held(rule),
            Some(evidence) => self.broken(rule, evidence),
        }
    }

    /// The results of all rules.
    pub(crate) fn all(&self) -> Vec<(Rule, Tally)> {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        Rule::ALL
            .into_iter()
            .map(|rule| (rule, tallies.get(&rule).cloned().unwrap_or_default()))
            .collect()
    }

    /// The first violation of all: when, of which rule, and what was seen.
    pub(crate) fn first_breach(&self) -> Option<(u64, Rule, String)> {
        self.all()
            .into_iter()
            .filter_map(|(rule, tally)| {
                let (at, evidence) = tally.evidence.into_iter().next()?;
                Some((at, rule, evidence))
            })
            .min_by_key(|(at, ..)| *at)
    }

    fn with(&self, rule: Rule, change: impl FnOnce(&mut Tally)) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        change(tallies.entry(rule).or_default());
    }
}
