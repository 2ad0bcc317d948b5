//! Mollie's refunds and chargebacks, and what their words mean for the money
//! (docs.mollie.com/reference/refunds-api, docs.mollie.com/reference/chargebacks-api).
//!
//! Mollie names them below their payment, so that a reference here is `tr_…/re_…` or `tr_…/chb_…`. It reports neither fees of a
//! payment nor settlements to an API key, and neither warnings of fraud nor evidence at all.

use chrono::{DateTime, TimeDelta, Utc};
use futures_core::future::BoxFuture;
use lockstep_domain::Money;
use lockstep_store::cards::PaymentRef;
use lockstep_store::cards::charges::ChargeReading;
use lockstep_store::cards::disputes::{DisputeReading, DisputeState};
use lockstep_store::cards::incidents::WarningReading;
use lockstep_store::cards::refunds::{RefundReading, RefundState};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Amount, List, MOST_PARTS, Mollie, Payment, Payments, is_payment, unreadable};
use crate::http::is_name;
use crate::provider::{CardProvider, ListPart, PayoutReading, ProviderError, Refusal};

/// The longest time between the making of a payment and its being paid; a transfer takes days.
const LATEST_PAID: TimeDelta = TimeDelta::days(31);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refund {
    id: String,
    payment_id: String,
    status: String,
    amount: Amount,
    created_at: DateTime<Utc>,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
struct Refunds {
    refunds: Vec<Refund>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chargeback {
    id: String,
    payment_id: String,
    amount: Amount,
    created_at: DateTime<Utc>,
    #[serde(default)]
    reversed_at: Option<DateTime<Utc>>,
    #[serde(default)]
    reason: Option<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Deserialize)]
struct Chargebacks {
    chargebacks: Vec<Chargeback>,
}

/// A payment, which is its own charge.
fn of_payment(id: &str) -> PaymentRef {
    PaymentRef {
        charge: Some(id.to_owned()),
        intent: Some(id.to_owned()),
        top_up: None,
    }
}

/// The id of a payment, by either name.
fn id_of(payment: &PaymentRef) -> Option<&str> {
    payment.intent.as_deref().or(payment.charge.as_deref())
}

/// The path of a refund or chargeback; `kind` is a part of it.
fn path_of(reference: &str, kind: &str) -> Result<String, ProviderError> {
    match reference.split_once('/') {
        Some((payment, id)) if is_payment(payment) && is_name(id) => Ok(format!("payments/{payment}/{kind}/{id}")),
        _ => Err(unreadable("a reference that cannot be one")),
    }
}

/// Mollie has nothing like this: a refusal that is the same for every call.
fn not_offered() -> ProviderError {
    ProviderError::Refused(Refusal {
        words: "Mollie does not offer this".into(),
        is_missing: true,
        ends_refund: false,
    })
}

fn empty<T>() -> ListPart<T> {
    ListPart {
        found: Vec::new(),
        next: None,
    }
}

impl Payment {
    /// What it is as a charge; `None` unless it was paid.
    fn charge(self) -> Result<Option<ChargeReading>, ProviderError> {
        if !self.is_paid() {
            return Ok(None);
        }
        let top_up = self.top_up();
        let card = self.details;
        Ok(Some(ChargeReading {
            top_up,
            amount: self.amount.money()?,
            currency: self.amount.currency,
            fee: None,
            card_country: card.as_ref().and_then(|card| card.card_country_code.clone()),
            card_fingerprint: card.and_then(|card| card.card_fingerprint),
            intent: Some(self.id.clone()),
            charge: self.id,
        }))
    }
}

impl Refund {
    fn read(self, read_number: i64) -> Result<RefundReading, ProviderError> {
        let state = match self.status.as_str() {
            "refunded" => RefundState::Succeeded,
            "failed" | "canceled" => RefundState::Failed,
            // `queued`, `pending`, `processing`, and what is not known yet: its end is open.
            _ => RefundState::Pending,
        };
        let named = self.metadata.get("refund").and_then(Value::as_str);
        Ok(RefundReading {
            reference: format!("{}/{}", self.payment_id, self.id),
            named: named.and_then(|id| id.parse().ok()),
            payment: of_payment(&self.payment_id),
            amount: self.amount.euro()?,
            paid_back: self.amount.money()?,
            currency: self.amount.currency,
            fee: None,
            made_at: self.created_at,
            failure: (state == RefundState::Failed).then(|| self.status.clone()),
            status: self.status,
            state,
            read_number,
        })
    }
}

impl Chargeback {
    /// The money of a chargeback is gone until it is reversed.
    fn read(self, read_number: i64) -> Result<DisputeReading, ProviderError> {
        let (status, state) = match self.reversed_at {
            None => ("charged_back", DisputeState::Lost),
            Some(_) => ("reversed", DisputeState::Won),
        };
        Ok(DisputeReading {
            reference: format!("{}/{}", self.payment_id, self.id),
            payment: of_payment(&self.payment_id),
            amount: self.amount.euro()?,
            named: self.amount.money()?,
            currency: self.amount.currency,
            status: status.to_owned(),
            is_known_status: true,
            state,
            reason: self.reason.and_then(|reason| reason.description.or(reason.code)),
            fee: Money::ZERO,
            due_by: None,
            opened_at: self.created_at,
            read_number,
        })
    }
}

impl CardProvider for Mollie {
    fn charge_of_session<'p>(
        &'p self,
        session: &'p str,
    ) -> BoxFuture<'p, Result<Option<ChargeReading>, ProviderError>> {
        Box::pin(async move { self.payment(session).await?.charge() })
    }

    fn charge_of<'p>(&'p self, payment: &'p PaymentRef) -> BoxFuture<'p, Result<Option<ChargeReading>, ProviderError>> {
        Box::pin(async move {
            match id_of(payment) {
                Some(id) => self.payment(id).await?.charge(),
                None => Ok(None),
            }
        })
    }

    fn dispute<'p>(&'p self, id: &'p str, read_number: i64) -> BoxFuture<'p, Result<DisputeReading, ProviderError>> {
        Box::pin(async move {
            let request = self.http.get(self.url(&path_of(id, "chargebacks")?));
            self.send::<Chargeback>("read_chargeback", request)
                .await?
                .read(read_number)
        })
    }

    fn refund<'p>(&'p self, id: &'p str, read_number: i64) -> BoxFuture<'p, Result<RefundReading, ProviderError>> {
        Box::pin(async move {
            let request = self.http.get(self.url(&path_of(id, "refunds")?));
            self.send::<Refund>("read_refund", request).await?.read(read_number)
        })
    }

    fn refunds_of<'p>(
        &'p self,
        payment: &'p PaymentRef,
        read_number: i64,
    ) -> BoxFuture<'p, Result<Vec<RefundReading>, ProviderError>> {
        Box::pin(async move {
            let Some(id) = id_of(payment).filter(|id| is_payment(id)) else {
                return Ok(Vec::new());
            };
            let (mut all, mut from) = (Vec::new(), None::<String>);
            for _ in 0..MOST_PARTS {
                let part: List<Refunds> = self
                    .part("list_refunds", &format!("payments/{id}/refunds"), from.as_deref())
                    .await?;
                from = part.next();
                for refund in part.embedded.refunds {
                    all.push(refund.read(read_number)?);
                }
                if from.is_none() {
                    return Ok(all);
                }
            }
            Err(unreadable("a list without an end"))
        })
    }

    fn disputes_of<'p>(
        &'p self,
        payment: &'p PaymentRef,
        read_number: i64,
    ) -> BoxFuture<'p, Result<Vec<DisputeReading>, ProviderError>> {
        Box::pin(async move {
            let Some(id) = id_of(payment).filter(|id| is_payment(id)) else {
                return Ok(Vec::new());
            };
            let (mut all, mut from) = (Vec::new(), None::<String>);
            for _ in 0..MOST_PARTS {
                let part: List<Chargebacks> = self
                    .part(
                        "list_chargebacks",
                        &format!("payments/{id}/chargebacks"),
                        from.as_deref(),
                    )
                    .await?;
                from = part.next();
                for chargeback in part.embedded.chargebacks {
                    all.push(chargeback.read(read_number)?);
                }
                if from.is_none() {
                    return Ok(all);
                }
            }
            Err(unreadable("a list without an end"))
        })
    }

    fn warning<'p>(&'p self, _id: &'p str) -> BoxFuture<'p, Result<WarningReading, ProviderError>> {
        Box::pin(std::future::ready(Err(not_offered())))
    }

    fn make_refund<'p>(
        &'p self,
        id: Uuid,
        intent: &'p str,
        amount: Money,
        read_number: i64,
    ) -> BoxFuture<'p, Result<RefundReading, ProviderError>> {
        Box::pin(async move {
            if !is_payment(intent) {
                return Err(unreadable("a reference that cannot be one"));
            }
            let body = json!({
                "amount": {"currency": "EUR", "value": amount.to_string()},
                "description": self.config.description,
                "metadata": {"refund": id.to_string()},
            });
            let request = self
                .http
                .post(self.url(&format!("payments/{intent}/refunds")))
                // The same refund is not made twice within the hour; after that it is searched for first.
                .header("Idempotency-Key", format!("refund-{id}"))
                .json(&body);
            let made: Refund = self.send_reading("create_refund", request, true).await?;
            // The answer may be that of an earlier request with this key, as the refund was then.
            self.refund(&format!("{}/{}", made.payment_id, made.id), read_number)
                .await
        })
    }

    fn charges_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
    ) -> BoxFuture<'p, Result<ListPart<ChargeReading>, ProviderError>> {
        Box::pin(async move {
            let part: List<Payments> = self.part("list_payments", "payments", after).await?;
            let next = part.next();
            let payments = part.embedded.payments;
            let is_past = (payments.last()).is_none_or(|last| last.created_at < since - LATEST_PAID);
            let found = payments
                .into_iter()
                .filter(|payment| payment.paid_at.unwrap_or(payment.created_at) >= since)
                .filter_map(|payment| payment.charge().transpose());
            Ok(ListPart {
                found: found.collect::<Result<_, _>>()?,
                next: next.filter(|_| !is_past),
            })
        })
    }

    fn refunds_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
        read_number: i64,
    ) -> BoxFuture<'p, Result<ListPart<RefundReading>, ProviderError>> {
        Box::pin(async move {
            let part: List<Refunds> = self.part("list_refunds", "refunds", after).await?;
            let next = part.next();
            let refunds = part.embedded.refunds;
            let is_past = refunds.last().is_none_or(|last| last.created_at < since);
            let found = refunds.into_iter().filter(|refund| refund.created_at >= since);
            Ok(ListPart {
                found: found.map(|refund| refund.read(read_number)).collect::<Result<_, _>>()?,
                next: next.filter(|_| !is_past),
            })
        })
    }

    fn disputes_since<'p>(
        &'p self,
        since: DateTime<Utc>,
        after: Option<&'p str>,
        read_number: i64,
    ) -> BoxFuture<'p, Result<ListPart<DisputeReading>, ProviderError>> {
        Box::pin(async move {
            let part: List<Chargebacks> = self.part("list_chargebacks", "chargebacks", after).await?;
            let next = part.next();
            let chargebacks = part.embedded.chargebacks;
            let is_past = chargebacks.last().is_none_or(|last| last.created_at < since);
            let found = (chargebacks.into_iter()).filter(|chargeback| chargeback.created_at >= since);
            Ok(ListPart {
                found: found
                    .map(|chargeback| chargeback.read(read_number))
                    .collect::<Result<_, _>>()?,
                next: next.filter(|_| !is_past),
            })
        })
    }

    fn warnings_since<'p>(
        &'p self,
        _since: DateTime<Utc>,
        _after: Option<&'p str>,
    ) -> BoxFuture<'p, Result<ListPart<WarningReading>, ProviderError>> {
        Box::pin(std::future::ready(Ok(empty())))
    }

    fn payouts_since<'p>(
        &'p self,
        _since: DateTime<Utc>,
        _after: Option<&'p str>,
    ) -> BoxFuture<'p, Result<ListPart<PayoutReading>, ProviderError>> {
        Box::pin(std::future::ready(Ok(empty())))
    }

    fn paid_out<'p>(&'p self, _payout: &'p str) -> BoxFuture<'p, Result<Money, ProviderError>> {
        Box::pin(std::future::ready(Err(not_offered())))
    }

    fn takes_evidence(&self, _dispute: &DisputeReading) -> bool {
        false
    }

    fn submit_evidence<'p>(
        &'p self,
        _id: Uuid,
        _dispute: &'p str,
        _fields: &'p [(String, String)],
        _read_number: i64,
    ) -> BoxFuture<'p, Result<DisputeReading, ProviderError>> {
        Box::pin(std::future::ready(Err(not_offered())))
    }

    fn probe(&self) -> BoxFuture<'_, Vec<(&'static str, ProviderError)>> {
        Box::pin(async move {
            let mut denied = Vec::new();
            for (name, path) in [
                ("Payments", "payments"),
                ("Refunds", "refunds"),
                ("Chargebacks", "chargebacks"),
            ] {
                let request = self.http.get(self.url(path)).query(&[("limit", "1")]);
                if let Err(error) = self.send::<List<serde::de::IgnoredAny>>("probe", request).await {
                    denied.push((name, error));
                }
            }
            denied
        })
    }
}
