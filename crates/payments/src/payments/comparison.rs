//! Compares charges, refunds, disputes and fees of the provider with the books, to the cent.
//!
//! What differs is named. What was only missed, because an event never came, is taken by the fetched object, as an event
//! would have been; then everything is compared again.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::Money;
use lockstep_domain::ids::TopUpId;
use lockstep_store::cards::charges::ChargeReading;
use lockstep_store::cards::comparison::{self, Books, Difference};
use lockstep_store::cards::disputes::DisputeReading;
use lockstep_store::cards::inbox::ObjectKind;
use lockstep_store::cards::incidents::WarningReading;
use lockstep_store::cards::refunds::RefundReading;
use lockstep_store::cards::{self, Applied};
use lockstep_store::{Store, StoreError};

use super::Payments;
use super::cards::ActError;
use crate::provider::{CardProvider, ListPart, PayoutReading, ProviderError};

/// How far back objects are compared. A refund can fail for a month after it succeeded.
const SINCE: TimeDelta = TimeDelta::days(35);
/// The books are read for longer, so that everything the provider lists is found.
const MARGIN: TimeDelta = TimeDelta::days(2);
/// Most parts of a list; a hundred objects each.
const MOST_PARTS: usize = 1_000;
/// Most objects that are looked at one by one, because no list had them.
const MOST_LOOKS: u32 = 500;

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many of the provider's objects were compared.
    pub objects: u32,
    /// What differed and was taken by the fetched object.
    pub fixed: Vec<Difference>,
    /// What differs.
    pub left: Vec<Difference>,
}

/// Why a comparison was not made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The provider did not answer.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the provider has.
#[derive(Debug, Default)]
struct Theirs {
    charges: Vec<ChargeReading>,
    refunds: Vec<RefundReading>,
    disputes: Vec<DisputeReading>,
    warnings: Vec<WarningReading>,
    /// References in the books that the provider does not know.
    unknown: HashSet<String>,
    /// Top-ups in the books without a payment at the provider, and what was credited for them.
    unpaid: Vec<(TopUpId, Money)>,
    /// Payouts, and the sum of what each consists of.
    payouts: Vec<(PayoutReading, Money)>,
    /// Objects of the books that were not looked at, because there are too many.
    unseen: u32,
}

/// A difference, and whose reading settles it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    difference: Difference,
    read: Option<(ObjectKind, String)>,
}

impl Compared {
    fn add(&mut self, other: Self) {
        self.objects = self.objects.saturating_add(other.objects);
        self.fixed.extend(other.fixed);
        self.left.extend(other.left);
    }
}

impl Payments {
    /// Compares the providers' objects of the last weeks with the books at the time `now`; `None` without a provider that
    /// takes cards. With `fix`, what was only missed is taken. The results are recorded for `lockstep doctor`.
    ///
    /// # Errors
    /// [`CompareError`] of one of them; then nothing is recorded of it, and the others are compared nevertheless.
    pub async fn compare(&self, fix: bool, now: DateTime<Utc>) -> Result<Option<Compared>, CompareError> {
        let (mut all, mut failed) = (None::<Compared>, None);
        for (name, cards) in self.with_cards() {
            match Box::pin(self.compare_with(name, cards, fix, now)).await {
                Ok(compared) => all.get_or_insert_default().add(compared),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(all), Err)
    }

    async fn compare_with(
        &self,
        name: &'static str,
        cards: &dyn CardProvider,
        fix: bool,
        now: DateTime<Utc>,
    ) -> Result<Compared, CompareError> {
        let store = &self.0.store;
        let since = comparison::compared_since(store, name, now - SINCE).await?;
        let (theirs, books) = read_both(store, cards, name, since).await?;
        let mut found = differences(&theirs, &books);
        let objects = theirs.charges.len() + theirs.refunds.len() + theirs.disputes.len() + theirs.payouts.len();
        let mut fixed = Vec::new();
        let mut settled: HashSet<(ObjectKind, String)> = HashSet::new();
        if fix && found.iter().any(|one| one.read.is_some()) {
            for one in &found {
                let Some((object, reference)) = &one.read else { continue };
                match self.act(name, cards, *object, reference).await {
                    // Another program's, or an incident by now: it would be named every day.
                    Ok(Applied::NotOurs | Applied::InReview | Applied::BeforeBooks) => {
                        settled.insert((*object, reference.clone()));
                    }
                    Ok(applied) => tracing::debug!(reference, applied = applied.name(), "took what was missed"),
                    Err(ActError::Store(error)) => return Err(error.into()),
                    Err(error) => tracing::debug!(reference, %error, "could not take what was missed"),
                }
            }
            let (theirs, books) = read_both(store, cards, name, since).await?;
            let mut left = differences(&theirs, &books);
            left.retain(|one| one.read.as_ref().is_none_or(|read| !settled.contains(read)));
            found.retain(|one| one.read.as_ref().is_none_or(|read| !settled.contains(read)));
            fixed = found
                .into_iter()
                .filter(|one| !left.contains(one))
                .map(|one| one.difference)
                .collect();
            found = left;
        }
        let left: Vec<Difference> = found.into_iter().map(|one| one.difference).collect();
        let objects = u32::try_from(objects).unwrap_or(u32::MAX);
        comparison::record(store, name, since, objects, &left).await?;
        Ok(Compared { objects, fixed, left })
    }

    /// Compares with each provider once a day, whichever process comes first; repeated after an hour when it did not answer.
    pub(super) async fn compare_daily(&self, now: DateTime<Utc>) {
        for (name, cards) in self.with_cards() {
            Box::pin(self.compare_daily_with(name, cards, now)).await;
        }
    }

    async fn compare_daily_with(&self, name: &'static str, cards: &dyn CardProvider, now: DateTime<Utc>) {
        let begun = async {
            let since = comparison::compared_since(&self.0.store, name, now - SINCE).await?;
            comparison::begin_daily(&self.0.store, name, since).await
        };
        match begun.await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(%error, "could not look whether the payment provider has to be compared");
                return;
            }
        }
        match self.compare_with(name, cards, true, now).await {
            Ok(compared) if compared.left.is_empty() => {
                tracing::info!(
                    objects = compared.objects,
                    fixed = compared.fixed.len(),
                    "the books agree with the payment provider"
                );
            }
            Ok(compared) => tracing::error!(
                left = compared.left.len(),
                "the books differ from the payment provider in {} places; `lockstep reconcile` names them",
                compared.left.len()
            ),
            Err(error) => {
                tracing::warn!(%error, "could not compare the books with the payment provider; it is retried in an hour");
            }
        }
    }
}

/// Everything of a list, part by part.
macro_rules! all {
    ($provider:ident . $list:ident ($($argument:expr),*), $after:ident) => {{
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MOST_PARTS {
            let $after = after.as_deref();
            let ListPart { found, next } = $provider.$list($($argument),*).await?;
            all.extend(found);
            after = next;
            if after.is_none() {
                break;
            }
        }
        if after.is_some() {
            // What is not read to its end must not look like all of it.
            return Err(ProviderError::Unreadable("a list without an end".into()).into());
        }
        all
    }};
}

async fn read_both(
    store: &Store,
    provider: &dyn CardProvider,
    name: &'static str,
    since: DateTime<Utc>,
) -> Result<(Theirs, Books), CompareError> {
    let number = cards::reading(store).await?;
    let mut theirs = Theirs {
        charges: all!(provider.charges_since(since, after), after),
        refunds: all!(provider.refunds_since(since, after, number), after),
        disputes: all!(provider.disputes_since(since, after, number), after),
        warnings: all!(provider.warnings_since(since, after), after),
        unknown: HashSet::new(),
        unpaid: Vec::new(),
        payouts: Vec::new(),
        unseen: 0,
    };
    for payout in all!(provider.payouts_since(since, after), after) {
        let parts = provider.paid_out(&payout.reference).await?;
        theirs.payouts.push((payout, parts));
    }
    let books = comparison::books(store, name, since - MARGIN).await?;
    // What is in the books and in no list: older than the lists, or unknown there.
    let mut looks = 0_u32;
    let mut may_look = || {
        looks += 1;
        looks <= MOST_LOOKS
    };
    for refund in &books.refunds {
        let Some(reference) = &refund.reference else { continue };
        if theirs.refunds.iter().any(|their| their.reference == *reference) || !may_look() {
            continue;
        }
        match provider.refund(reference, number).await {
            Ok(read) => theirs.refunds.push(read),
            Err(error) if error.is_missing() => drop(theirs.unknown.insert(reference.clone())),
            Err(error) => return Err(error.into()),
        }
    }
    for dispute in &books.disputes {
        if theirs.disputes.iter().any(|their| their.reference == dispute.reference) || !may_look() {
            continue;
        }
        match provider.dispute(&dispute.reference, number).await {
            Ok(read) => theirs.disputes.push(read),
            Err(error) if error.is_missing() => drop(theirs.unknown.insert(dispute.reference.clone())),
            Err(error) => return Err(error.into()),
        }
    }
    let listed: HashSet<String> = theirs.charges.iter().map(|their| their.charge.clone()).collect();
    for charge in &books.charges {
        let Some(reference) = &charge.charge else { continue };
        // One from before the list was compared while it was in it.
        if listed.contains(reference) || charge.at < since || !may_look() {
            continue;
        }
        let payment = cards::PaymentRef {
            charge: Some(reference.clone()),
            ..cards::PaymentRef::default()
        };
        match provider.charge_of(&payment).await {
            Ok(Some(read)) => theirs.charges.push(read),
            Ok(None) => drop(theirs.unknown.insert(reference.clone())),
            Err(error) if error.is_missing() => drop(theirs.unknown.insert(reference.clone())),
            Err(error) => return Err(error.into()),
        }
    }
    // Credited, and no charge was ever read for it.
    for booked in &books.charges {
        let Some(session) = booked
            .session
            .as_deref()
            .filter(|_| booked.charge.is_none() && booked.is_settled)
        else {
            continue;
        };
        if theirs.charges.iter().any(|their| their.top_up == Some(booked.top_up)) || !may_look() {
            continue;
        }
        match provider.charge_of_session(session).await {
            Ok(Some(read)) => theirs.charges.push(read),
            Ok(None) => theirs.unpaid.push((booked.top_up, booked.credited)),
            Err(error) if error.is_missing() => theirs.unpaid.push((booked.top_up, booked.credited)),
            Err(error) => return Err(error.into()),
        }
    }
    theirs.unseen = looks.saturating_sub(MOST_LOOKS);
    Ok((theirs, books))
}

/// Every difference between the provider's objects and the books.
fn differences(theirs: &Theirs, books: &Books) -> Vec<Found> {
    let mut found = Vec::new();
    let mut add = |kind: &str, reference: &str, detail: String, read: Option<(ObjectKind, &str)>| {
        found.push(Found {
            difference: Difference {
                kind: kind.to_owned(),
                reference: reference.to_owned(),
                detail,
            },
            read: read.map(|(object, reference)| (object, reference.to_owned())),
        });
    };
    let booked: HashMap<&str, _> = (books.charges.iter())
        .filter_map(|charge| Some((charge.charge.as_deref()?, charge)))
        .collect();
    let credited: HashMap<_, _> = books.charges.iter().map(|charge| (charge.top_up, charge)).collect();
    // Charges of other programs, whose refunds and disputes are not ours either.
    let foreign: HashSet<&str> = (theirs.charges.iter())
        .filter(|charge| charge.top_up.is_none() && !booked.contains_key(charge.charge.as_str()))
        .map(|charge| charge.charge.as_str())
        .collect();
    let is_foreign =
        |payment: &cards::PaymentRef| payment.charge.as_deref().is_some_and(|charge| foreign.contains(charge));

    for their in theirs
        .charges
        .iter()
        .filter(|their| !foreign.contains(their.charge.as_str()))
    {
        let name = their.charge.as_str();
        let ours = booked
            .get(name)
            .copied()
            .or_else(|| credited.get(&their.top_up?).copied());
        let read = Some((ObjectKind::Charge, name));
        match ours {
            None => add(
                "charge_missing",
                name,
                format!("{} {} were paid and are not in the books", their.amount, their.currency),
                read,
            ),
            Some(ours) if ours.charge.is_none() => {
                add(
                    "charge_unread",
                    name,
                    format!("the charge of top-up {} is not stored", ours.top_up),
                    read,
                );
            }
            Some(ours) if ours.charge.as_deref() != Some(name) => add(
                "charge_twice",
                name,
                format!(
                    "top-up {} was paid by charge {} already",
                    ours.top_up,
                    ours.charge.as_deref().unwrap_or_default()
                ),
                None,
            ),
            Some(ours) => {
                if ours.amount != Some(their.amount)
                    || ours.currency.as_deref() != Some(&their.currency)
                    || (their.currency == "EUR" && ours.credited != their.amount && !ours.by_staff)
                {
                    let detail = format!(
                        "{} {} were paid, {} EUR are credited for top-up {}",
                        their.amount, their.currency, ours.credited, ours.top_up
                    );
                    add("charge_amount", name, detail, None);
                }
                if let Some(fee) = their.fee.filter(|fee| ours.fee != Some(*fee)) {
                    let is_unread = ours.fee.is_none();
                    let detail = format!(
                        "the fee is {fee} EUR, in the books {}",
                        ours.fee.map_or("unknown".into(), |fee| fee.to_string())
                    );
                    let session = ours.session.as_deref().filter(|_| is_unread);
                    add(
                        "charge_fee",
                        name,
                        detail,
                        session.map(|session| (ObjectKind::Session, session)),
                    );
                }
            }
        }
    }

    for their in theirs.refunds.iter().filter(|their| !is_foreign(&their.payment)) {
        let name = their.reference.as_str();
        let ours =
            (books.refunds.iter()).find(|ours| ours.reference.as_deref() == Some(name) || Some(ours.id) == their.named);
        let read = Some((ObjectKind::Refund, name));
        let amount = their
            .amount
            .map_or("an amount in another currency".into(), |amount| format!("{amount} EUR"));
        match ours {
            None => add(
                "refund_missing",
                name,
                format!("{amount} were refunded and are not in the books"),
                read,
            ),
            Some(ours) => {
                if ours.state != their.state.as_str() {
                    add(
                        "refund_state",
                        name,
                        format!("it is {}, in the books {}", their.status, ours.state),
                        read,
                    );
                }
                let known = ours.fee.unwrap_or(Money::ZERO);
                if let Some(fee) = their.fee.filter(|fee| *fee != known) {
                    add(
                        "refund_fee",
                        name,
                        format!("the fee is {fee} EUR, in the books {known}"),
                        read,
                    );
                }
                if their.amount.is_some_and(|amount| amount != ours.claimed) {
                    add(
                        "refund_amount",
                        name,
                        format!("it is {amount}, in the books {} EUR", ours.claimed),
                        None,
                    );
                }
            }
        }
    }

    for their in theirs.disputes.iter().filter(|their| !is_foreign(&their.payment)) {
        let name = their.reference.as_str();
        let read = Some((ObjectKind::Dispute, name));
        match books.disputes.iter().find(|ours| ours.reference == name) {
            None => add(
                "dispute_missing",
                name,
                format!("it is {} and not in the books", their.status),
                read,
            ),
            Some(ours) => {
                if ours.state != their.state.as_str() || ours.status != their.status {
                    add(
                        "dispute_state",
                        name,
                        format!("it is {}, in the books {} ({})", their.status, ours.status, ours.state),
                        read,
                    );
                }
                if their.amount.is_some_and(|amount| amount != ours.claimed) {
                    add(
                        "dispute_amount",
                        name,
                        format!("the amounts differ: in the books {} EUR", ours.claimed),
                        read,
                    );
                }
                if their.fee != ours.fee {
                    add(
                        "dispute_fee",
                        name,
                        format!("the fee is {} EUR, in the books {}", their.fee, ours.fee),
                        read,
                    );
                }
            }
        }
    }

    for their in theirs.warnings.iter().filter(|their| !is_foreign(&their.payment)) {
        let name = their.reference.as_str();
        if !books.warnings.iter().any(|known| known == name) {
            let detail = "the card's bank reports fraud, which is not in the books".to_owned();
            add("warning_missing", name, detail, Some((ObjectKind::Warning, name)));
        }
    }

    for (payout, parts) in &theirs.payouts {
        let (name, currency) = (payout.reference.as_str(), &payout.currency);
        if payout.status == "failed" {
            add(
                "payout_failed",
                name,
                format!("{} {currency} did not reach the bank account", payout.amount),
                None,
            );
        } else if payout.amount != *parts {
            let detail = format!(
                "it is {} {currency}, and what it consists of adds up to {parts}",
                payout.amount
            );
            add("payout_amount", name, detail, None);
        }
    }

    if theirs.unseen > 0 || books.is_incomplete {
        let detail = format!(
            "{} objects were not looked at; there are more than one comparison reads",
            theirs.unseen
        );
        add("incomplete", "all", detail, None);
    }
    for (top_up, credited) in &theirs.unpaid {
        let detail = format!("{credited} EUR are credited, and the provider has no payment of it");
        add("credited_unpaid", &top_up.to_string(), detail, None);
    }
    for name in &theirs.unknown {
        add(
            "unknown",
            name,
            "it is in the books, and the provider does not know it".into(),
            None,
        );
    }
    found.sort_by(|one, other| {
        (&one.difference.kind, &one.difference.reference).cmp(&(&other.difference.kind, &other.difference.reference))
    });
    found
}
