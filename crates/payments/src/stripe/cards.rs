//! Stripe's charges, refunds, disputes and warnings, and what their words mean for the money
//! (docs.stripe.com/api/disputes, docs.stripe.com/api/refunds).

use chrono::{DateTime, Utc};
use futures_core::future::BoxFuture;
use lockstep_domain::Money;
use lockstep_domain::ids::TopUpId;
use lockstep_store::cards::PaymentRef;
use lockstep_store::cards::charges::ChargeReading;
use lockstep_store::cards::disputes::{DisputeReading, DisputeState};
use lockstep_store::cards::incidents::WarningReading;
use lockstep_store::cards::refunds::{RefundReading, RefundState};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Stripe;
use crate::http::is_name;
use crate::provider::{CardProvider, ListPart, PayoutReading, ProviderError};

/// Objects in one part of a list.
const PART: &str = "100";
/// The most refunds that Stripe lists of one charge at a time; a charge has few.
const REFUNDS: &str = "100";
/// The most parts of such a list.
const MOST_PARTS: usize = 50;

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct PaidSession {
    #[serde(default)]
    payment_intent: Option<Intent>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Intent {
    #[serde(default)]
    latest_charge: Option<Charge>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    top_up: Option<String>,
    #[serde(default)]
    refund: Option<String>,
}

#[derive(Deserialize)]
struct Charge {
    id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    balance_transaction: Option<Booked>,
    #[serde(default)]
    payment_method_details: Option<MethodDetails>,
}

/// A balance transaction: its id, or the whole if it was asked for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Booked {
    Whole(Transaction),
    Id(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Transaction {
    amount: i64,
    fee: i64,
    currency: String,
}

#[derive(Deserialize)]
struct MethodDetails {
    #[serde(default)]
    card: Option<CardDetails>,
}

#[derive(Deserialize)]
struct CardDetails {
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    fingerprint: Option<String>,
}

#[derive(Deserialize)]
struct Dispute {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    created: i64,
    #[serde(default)]
    charge: Option<String>,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    balance_transactions: Vec<Transaction>,
    #[serde(default)]
    evidence_details: Option<EvidenceDetails>,
}

#[derive(Deserialize)]
struct EvidenceDetails {
    #[serde(default)]
    due_by: Option<i64>,
}

#[derive(Deserialize)]
struct Refund {
    id: String,
    amount: i64,
    currency: String,
    created: i64,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    charge: Option<String>,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    failure_reason: Option<String>,
    #[serde(default)]
    balance_transaction: Option<Booked>,
}

#[derive(Deserialize)]
struct Payout {
    id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    status: Option<String>,
}

/// A booking of Stripe's, as a part of a payout.
#[derive(Deserialize)]
struct PartOfPayout {
    id: String,
    net: i64,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Warning {
    id: String,
    #[serde(default)]
    charge: Option<String>,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    fraud_type: Option<String>,
}

fn unreadable(what: &str) -> ProviderError {
    ProviderError::Unreadable(what.to_owned())
}

fn money(cents: i64) -> Result<Money, ProviderError> {
    Money::from_cents(cents).map_err(|_| unreadable("an amount that cannot be one"))
}

/// An amount in euro; `None` in another currency.
fn euro(cents: i64, currency: &str) -> Result<Option<Money>, ProviderError> {
    if !currency.eq_ignore_ascii_case("eur") {
        return Ok(None);
    }
    money(cents).map(Some)
}

impl Charge {
    fn is_paid(&self) -> bool {
        self.status.as_deref() == Some("succeeded")
    }

    /// `named` is the metadata of its payment, which older charges lack.
    fn read(self, named: Option<&Metadata>) -> Result<ChargeReading, ProviderError> {
        let card = self.payment_method_details.and_then(|details| details.card);
        let fee = match &self.balance_transaction {
            Some(Booked::Whole(booked)) => euro(booked.fee, &booked.currency)?,
            Some(Booked::Id(_)) | None => None,
        };
        let top_up = (self.metadata.as_ref())
            .and_then(|metadata| metadata.top_up.as_ref())
            .or(named.and_then(|named| named.top_up.as_ref()));
        Ok(ChargeReading {
            charge: self.id,
            intent: self.payment_intent,
            top_up: top_up.and_then(|id| id.parse::<TopUpId>().ok()),
            amount: money(self.amount)?,
            currency: self.currency.to_uppercase(),
            fee,
            card_country: card.as_ref().and_then(|card| card.country.clone()),
            card_fingerprint: card.and_then(|card| card.fingerprint),
        })
    }
}

impl Dispute {
    /// What the status means, and whether it is a known one. An appeal does not bring the money back, and what was
    /// prevented may have been: there the money decides.
    fn state(&self) -> (DisputeState, bool) {
        let moved: i64 = self.balance_transactions.iter().map(|booked| booked.amount).sum();
        match self.status.as_str() {
            "needs_response" | "under_review" | "warning_needs_response" | "warning_under_review" => {
                (DisputeState::Open, true)
            }
            "prevented" if moved < 0 => (DisputeState::Lost, true),
            "won" | "warning_closed" | "charge_refunded" | "prevented" => (DisputeState::Won, true),
            "lost" | "appeal_needs_response" | "appeal_under_review" => (DisputeState::Lost, true),
            _ => (DisputeState::Open, false),
        }
    }

    /// What it takes, EUR: what was withdrawn, if anything was. An inquiry takes nothing before that. `None` in another
    /// currency.
    fn takes(&self) -> Result<Option<Money>, ProviderError> {
        let moved: i64 = self.balance_transactions.iter().map(|booked| booked.amount).sum();
        let is_euro = (self.balance_transactions.iter()).all(|booked| booked.currency.eq_ignore_ascii_case("eur"));
        if moved < 0 && is_euro {
            return euro(moved.saturating_neg(), "eur");
        }
        if moved >= 0 && self.status.starts_with("warning_") {
            return Ok(Some(Money::ZERO));
        }
        euro(self.amount, &self.currency)
    }

    fn read(self, read_number: i64) -> Result<DisputeReading, ProviderError> {
        let (state, is_known_status) = self.state();
        let named = money(self.amount)?;
        let mut fee = Money::ZERO;
        for booked in &self.balance_transactions {
            let kept = euro(booked.fee, &booked.currency)?.unwrap_or(Money::ZERO);
            fee = fee.checked_add(kept).ok_or_else(|| unreadable("fees that cannot be"))?;
        }
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0);
        Ok(DisputeReading {
            amount: self.takes()?,
            named,
            currency: self.currency.to_uppercase(),
            reference: self.id,
            payment: PaymentRef {
                charge: self.charge,
                intent: self.payment_intent,
                top_up: None,
            },
            status: self.status,
            is_known_status,
            state,
            reason: self.reason,
            fee,
            due_by: self.evidence_details.and_then(|details| details.due_by).and_then(at),
            opened_at: at(self.created).ok_or_else(|| unreadable("a time that cannot be one"))?,
            read_number,
        })
    }
}

impl Refund {
    fn read(self, read_number: i64) -> Result<RefundReading, ProviderError> {
        // `null` is a refund from before there were statuses.
        let status = self.status.unwrap_or_else(|| "succeeded".into());
        let state = match status.as_str() {
            "succeeded" => RefundState::Succeeded,
            "failed" | "canceled" => RefundState::Failed,
            // `pending`, `requires_action`, and what is not known yet: its end is open.
            _ => RefundState::Pending,
        };
        let metadata = self.metadata.unwrap_or_default();
        let fee = match &self.balance_transaction {
            Some(Booked::Whole(booked)) => euro(booked.fee, &booked.currency)?,
            Some(Booked::Id(_)) | None => None,
        };
        Ok(RefundReading {
            fee,
            amount: euro(self.amount, &self.currency)?,
            paid_back: money(self.amount)?,
            currency: self.currency.to_uppercase(),
            made_at: DateTime::from_timestamp(self.created, 0)
                .ok_or_else(|| unreadable("a time that cannot be one"))?,
            reference: self.id,
            named: metadata.refund.and_then(|id| id.parse().ok()),
            payment: PaymentRef {
                charge: self.charge,
                intent: self.payment_intent,
                top_up: metadata.top_up.and_then(|id| id.parse().ok()),
            },
            status,
            state,
            failure: self.failure_reason,
            read_number,
        })
    }
}

impl Warning {
    fn read(self) -> WarningReading {
        WarningReading {
            reference: self.id,
            payment: PaymentRef {
                charge: self.charge,
                intent: self.payment_intent,
                top_up: None,
            },
            kind: self.fraud_type,
        }
    }
}

impl Stripe {
    /// Reads an object: `path` below `/v1/`, `id` checked to be one.
    async fn object<T: DeserializeOwned>(
        &self,
        call: &str,
        path: &str,
        id: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ProviderError> {
        if !is_name(id) {
            return Err(unreadable("an id that cannot be one"));
        }
        self.send(call, self.http.get(self.url(&format!("/v1/{path}/{id}"))).query(query))
            .await
    }

    async fn part<T: DeserializeOwned>(
        &self,
        call: &str,
        path: &str,
        since: DateTime<Utc>,
        after: Option<&str>,
        expand: Option<&str>,
    ) -> Result<List<T>, ProviderError> {
        let since = since.timestamp().to_string();
        let mut query = vec![("limit", PART), ("created[gte]", since.as_str())];
        query.extend(after.map(|after| ("starting_after", after)));
        query.extend(expand.map(|expand| ("expand[]", expand)));
        self.send(call, self.http.get(self.url(&format!("/v1/{path}"))).query(&query))
            .await
    }
}

/// A part of a list whose objects are read one by one.
fn part<T, R>(
    list: List<T>,
    id: impl Fn(&T) -> String,
    read: impl Fn(T) -> Result<Option<R>, ProviderError>,
) -> Result<ListPart<R>, ProviderError> {
    let next = list.data.last().map(id).filter(|_| list.has_more);
    let found = list.data.into_iter().filter_map(|object| read(object).transpose());
    Ok(ListPart {
        found: found.collect::<Result<_, _>>()?,
        next,
    })
}

impl CardProvider for Stripe {
    fn charge_of_session<'p>(
        &'p self,
        session: &'p str,
    ) -> BoxFuture<'p, Result<Option<ChargeReading>, ProviderError>> {
        Box::pin(async move {
            let query = [("expand[]", "payment_intent.latest_charge.balance_transaction")];
            let found: PaidSession = self
                .object("read_paid_session", "checkout/sessions", session, &query)
                .await?;
            let Some(intent) = found.payment_intent else {
                return Ok(None);
            };
            // The payment has it as well, unless somebody took it away there.
            let mut named = intent.metadata.unwrap_or_default();
            named.top_up = named.top_up.or(found.metadata.and_then(|metadata| metadata.top_up));
            intent
                .latest_charge
                .filter(Charge::is_paid)
                .map(|charge| charge.read(Some(&named)))
                .transpose()
        })
    }

    fn charge_of<'p>(&'p self, payment: &'p PaymentRef) -> BoxFuture<'p, Result<Option<ChargeReading>, ProviderError>> {
        Box::pin(async move {
            match (&payment.intent, &payment.charge) {
                (Some(intent), _) => {
                    let query = [("expand[]", "latest_charge.balance_transaction")];
                    let found: Intent = self.object("read_intent", "payment_intents", intent, &query).await?;
                    let named = found.metadata.unwrap_or_default();
                    found
                        .latest_charge
                        .filter(Charge::is_paid)
                        .map(|charge| charge.read(Some(&named)))
                        .transpose()
                }
                (None, Some(charge)) => {
                    let query = [("expand[]", "balance_transaction")];
                    let found: Charge = self.object("read_charge", "charges", charge, &query).await?;
                    Some(found)
                        .filter(Charge::is_paid)
                        .map(|charge| charge.read(None))
                        .transpose()
                }
                (None, None) => Ok(None),
            }
        })
    }

    fn dispute<'p>(&'p self, id: &'p str, read_number: i64) -> BoxFuture<'p, Result<DisputeReading, ProviderError>> {
        Box::pin(async move {
            let found: Dispute = self.object("read_dispute", "disputes", id, &[]).await?;
            found.read(read_number)
        })
    }

    fn refund<'p>(&'p self, id: &'p str, read_number: i64) -> BoxFuture<'p, Result<RefundReading, ProviderError>> {
        Box::pin(async move {
            let query = [("expand[]", "balance_transaction")];
            let found: Refund = self.object("read_refund", "refunds", id, &query).await?;
            found.read(read_number)
        })
    }

    fn refunds_of<'p>(
        &'p self,
        payment: &'p PaymentRef,
        read_number: i64,
    ) -> BoxFuture<'p, Result<Vec<RefundReading>, ProviderError>> {
        Box::pin(async move {
            let of = match (&payment.intent, &payment.charge) {
                (Some(intent), _) => ("payment_intent", intent.as_str()),
                (None, Some(charge)) => ("charge", charge.as_str()),
                (None, None) => return Ok(Vec::new()),
            };
            let (mut all, mut after): (Vec<RefundReading>, Option<String>) = (Vec::new(), None);
            for _ in 0..MOST_PARTS {
                let mut query = vec![("limit", REFUNDS), of];
                query.extend(after.as_deref().map(|after| ("starting_after", after)));
                let found: List<Refund> = self
                    .send("list_refunds", self.http.get(self.url("/v1/refunds")).query(&query))
                    .await?;
                let more = found.has_more;
                for refund in found.data {
                    all.push(refund.read(read_number)?);
                }
                after = all.last().filter(|_| more).map(|last| last.reference.clone());
                if after.is_none() {
                    return Ok(all);
                }
            }
            // What is not read to its end must not look like all of it.
            Err(unreadable("a list without an end"))
        })
    }

    fn warning<'p>(&'p self, id: &'p str) -> BoxFuture<'p, Result<WarningReading, ProviderError>> {
        Box::pin(async move {
            let found: Warning = self
                .object("read_warning", "radar/early_fraud_warnings", id, &[])
                .await?;
            Ok(found.read())
        })
    }

    fn make_refund<'p>(
        &'p self,
        id: Uuid,
        intent: &'p str,
        amount: Money,
        read_number: i64,
    ) -> BoxFuture<'p, Result<RefundReading, ProviderError>> {
        Box::pin(async move {
            let form = [
                ("payment_intent", intent.to_owned()),
                ("amount", amount.cents().to_string()),
                ("metadata[refund]", id.to_string()),
            ];
            let request = self
                .http
                .post(self.url("/v1/refunds"))
                // The same refund is never made twice.
                .header("Idempotency-Key", format!("refund-{id}"))
                .form(&form);
            let (made, is_repeated) = self.send_noting::<Refund>("create_refund", request).await?;
            if is_repeated {
                // It is as it was then, which may be long ago.
                return self.refund(&made.id, read_number).await;
            }
            made.read(read_number)
        })
    }

    fn charges_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
    ) -> BoxFuture<'p, Result<ListPart<ChargeReading>, ProviderError>> {
        Box::pin(async move {
            let list: List<Charge> = self
                .part(
                    "list_charges",
                    "charges",
                    since,
                    after,
                    Some("data.balance_transaction"),
                )
                .await?;
            part(
                list,
                |charge| charge.id.clone(),
                |charge| {
                    Some(charge)
                        .filter(Charge::is_paid)
                        .map(|charge| charge.read(None))
                        .transpose()
                },
            )
        })
    }

    fn refunds_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
        read_number: i64,
    ) -> BoxFuture<'p, Result<ListPart<RefundReading>, ProviderError>> {
        Box::pin(async move {
            let list: List<Refund> = self
                .part(
                    "list_refunds",
                    "refunds",
                    since,
                    after,
                    Some("data.balance_transaction"),
                )
                .await?;
            part(
                list,
                |refund| refund.id.clone(),
                |refund| refund.read(read_number).map(Some),
            )
        })
    }

    fn disputes_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
        read_number: i64,
    ) -> BoxFuture<'p, Result<ListPart<DisputeReading>, ProviderError>> {
        Box::pin(async move {
            let list: List<Dispute> = self.part("list_disputes", "disputes", since, after, None).await?;
            part(
                list,
                |dispute| dispute.id.clone(),
                |dispute| dispute.read(read_number).map(Some),
            )
        })
    }

    fn warnings_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
    ) -> BoxFuture<'p, Result<ListPart<WarningReading>, ProviderError>> {
        Box::pin(async move {
            let list: List<Warning> = self
                .part("list_warnings", "radar/early_fraud_warnings", since, after, None)
                .await?;
            part(list, |warning| warning.id.clone(), |warning| Ok(Some(warning.read())))
        })
    }

    fn payouts_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
    ) -> BoxFuture<'p, Result<ListPart<PayoutReading>, ProviderError>> {
        Box::pin(async move {
            let list: List<Payout> = self.part("list_payouts", "payouts", since, after, None).await?;
            part(
                list,
                |payout| payout.id.clone(),
                |payout| {
                    Ok(Some(PayoutReading {
                        amount: money(payout.amount)?,
                        currency: payout.currency.to_uppercase(),
                        status: payout.status.unwrap_or_default(),
                        reference: payout.id,
                    }))
                },
            )
        })
    }

    fn paid_out<'p>(&'p self, payout: &'p str) -> BoxFuture<'p, Result<Money, ProviderError>> {
        Box::pin(async move {
            let (mut sum, mut after) = (0_i64, None::<String>);
            for _ in 0..MOST_PARTS {
                let mut query = vec![("limit", PART), ("payout", payout)];
                query.extend(after.as_deref().map(|after| ("starting_after", after)));
                let request = self.http.get(self.url("/v1/balance_transactions")).query(&query);
                let found: List<PartOfPayout> = self.send("list_paid_out", request).await?;
                // The payout itself is among them.
                let parts = found.data.iter().filter(|one| one.kind.as_deref() != Some("payout"));
                sum = parts.fold(sum, |sum, one| sum.saturating_add(one.net));
                after = found.data.last().filter(|_| found.has_more).map(|last| last.id.clone());
                if after.is_none() {
                    return money(sum);
                }
            }
            Err(unreadable("a payout without an end"))
        })
    }

    fn takes_evidence(&self, dispute: &DisputeReading) -> bool {
        dispute.status.ends_with("needs_response")
    }

    fn submit_evidence<'p>(
        &'p self,
        id: Uuid,
        dispute: &'p str,
        fields: &'p [(String, String)],
        read_number: i64,
    ) -> BoxFuture<'p, Result<DisputeReading, ProviderError>> {
        Box::pin(async move {
            if !is_name(dispute) {
                return Err(unreadable("an id that cannot be one"));
            }
            let mut form: Vec<(&str, &str)> = (fields.iter())
                .map(|(name, text)| (name.as_str(), text.as_str()))
                .collect();
            form.push(("submit", "true"));
            let request = self
                .http
                .post(self.url(&format!("/v1/disputes/{dispute}")))
                .header("Idempotency-Key", format!("evidence-{id}"))
                .form(&form);
            let (submitted, is_repeated) = self.send_noting::<Dispute>("submit_evidence", request).await?;
            if is_repeated {
                return self.dispute(&submitted.id, read_number).await;
            }
            submitted.read(read_number)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Vec<(&'static str, ProviderError)>> {
        Box::pin(async move {
            let mut denied = Vec::new();
            for (name, path) in [
                ("Charges", "charges"),
                ("Refunds", "refunds"),
                ("Disputes", "disputes"),
                ("Radar", "radar/early_fraud_warnings"),
                ("Payouts", "payouts"),
                ("Balance", "balance_transactions"),
            ] {
                let request = self.http.get(self.url(&format!("/v1/{path}"))).query(&[("limit", "1")]);
                if let Err(error) = self.send::<List<serde::de::IgnoredAny>>("probe", request).await {
                    denied.push((name, error));
                }
            }
            denied
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: &str, moved: &[i64]) -> DisputeReading {
        let booked: Vec<_> = moved
            .iter()
            .map(|amount| json!({"amount": amount, "fee": if *amount < 0 { 2000 } else { 0 }, "currency": "eur"}))
            .collect();
        let dispute: Dispute = serde_json::from_value(json!({
            "id": "du_1", "amount": 1000, "currency": "eur", "status": status, "created": 1_700_000_000,
            "balance_transactions": booked,
        }))
        .unwrap();
        dispute.read(1).unwrap()
    }

    #[test]
    fn the_money_decides_what_an_ambiguous_status_means() {
        for (status, moved, state, is_known) in [
            ("needs_response", &[-1000][..], DisputeState::Open, true),
            ("warning_needs_response", &[], DisputeState::Open, true),
            ("warning_closed", &[], DisputeState::Won, true),
            ("won", &[-1000, 1000], DisputeState::Won, true),
            ("lost", &[-1000], DisputeState::Lost, true),
            ("appeal_under_review", &[-1000], DisputeState::Lost, true),
            ("prevented", &[-1000], DisputeState::Lost, true),
            ("prevented", &[], DisputeState::Won, true),
            ("a_word_of_tomorrow", &[-1000], DisputeState::Open, false),
        ] {
            let found = read(status, moved);
            assert_eq!((found.state, found.is_known_status), (state, is_known), "{status}");
        }
        assert_eq!(read("lost", &[-1000]).fee.cents(), 2000);
    }

    #[test]
    fn an_unknown_status_of_a_refund_leaves_its_end_open() {
        for (status, state) in [
            (json!("succeeded"), RefundState::Succeeded),
            (json!(null), RefundState::Succeeded),
            (json!("pending"), RefundState::Pending),
            (json!("requires_action"), RefundState::Pending),
            (json!("a_word_of_tomorrow"), RefundState::Pending),
            (json!("failed"), RefundState::Failed),
            (json!("canceled"), RefundState::Failed),
        ] {
            let refund: Refund = serde_json::from_value(
                json!({"id": "re_1", "amount": 1000, "currency": "eur", "status": status, "created": 1}),
            )
            .unwrap();
            assert_eq!(refund.read(1).unwrap().state, state, "{status}");
        }
    }
}
