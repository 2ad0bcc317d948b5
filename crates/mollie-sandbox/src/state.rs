//! The payments and what happens to them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::Shared;
use crate::faults::{Fault, refuse};
use crate::webhooks::Delivery;

/// The key that clients have to use.
pub(crate) const API_KEY: &str = "test_sandboxsandboxsandboxsandbox";

/// A card of the payment page, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// Pays.
    Succeeds,
    /// Fails.
    Fails,
    /// Is never entered: the page expires.
    Expires,
    /// The shopper gives up on the page.
    Cancels,
    /// Stays pending until the bank decides.
    Pending,
    /// Pays; its refunds are queued, as when the account has no balance.
    RefundQueued,
    /// Pays; its refunds fail after they were taken.
    RefundFails,
    /// Pays, and is charged back at once.
    ChargedBack,
}

impl Card {
    /// All cards, in the order of the page.
    pub const ALL: [Self; 8] = [
        Self::Succeeds,
        Self::Fails,
        Self::Expires,
        Self::Cancels,
        Self::Pending,
        Self::RefundQueued,
        Self::RefundFails,
        Self::ChargedBack,
    ];

    /// Its name in the form of the page.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeds => "succeeds",
            Self::Fails => "fails",
            Self::Expires => "expires",
            Self::Cancels => "cancels",
            Self::Pending => "pending",
            Self::RefundQueued => "refund-queued",
            Self::RefundFails => "refund-fails",
            Self::ChargedBack => "charged-back",
        }
    }

    /// What the page says of it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Succeeds => "pays",
            Self::Fails => "fails",
            Self::Expires => "lets the payment expire",
            Self::Cancels => "cancels the payment",
            Self::Pending => "stays pending",
            Self::RefundQueued => "pays; refunds are queued",
            Self::RefundFails => "pays; refunds fail",
            Self::ChargedBack => "pays, and is charged back",
        }
    }

    /// The status that it leads to.
    const fn status(self) -> &'static str {
        match self {
            Self::Fails => "failed",
            Self::Expires => "expired",
            Self::Cancels => "canceled",
            Self::Pending => "pending",
            Self::Succeeds | Self::RefundQueued | Self::RefundFails | Self::ChargedBack => "paid",
        }
    }
}

/// What money really moved, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// What shoppers paid.
    pub paid: i64,
    /// What went back by refunds that did not fail.
    pub refunded: i64,
    /// What was charged back and not reversed.
    pub charged_back: i64,
}

pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) cents: i64,
    pub(crate) currency: String,
    pub(crate) status: String,
    pub(crate) card: Option<Card>,
    pub(crate) description: String,
    pub(crate) metadata: Value,
    pub(crate) redirect_url: String,
    pub(crate) cancel_url: Option<String>,
    pub(crate) webhook_url: Option<String>,
    created_at: DateTime<Utc>,
    paid_at: Option<DateTime<Utc>>,
}

pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) payment: String,
    cents: i64,
    status: String,
    metadata: Value,
    created_at: DateTime<Utc>,
}

pub(crate) struct Chargeback {
    pub(crate) id: String,
    pub(crate) payment: String,
    cents: i64,
    created_at: DateTime<Utc>,
    reversed_at: Option<DateTime<Utc>>,
}

/// Everything the server knows.
pub(crate) struct State {
    pub(crate) payments: Vec<Payment>,
    pub(crate) refunds: Vec<Refund>,
    pub(crate) chargebacks: Vec<Chargeback>,
    /// The request and the answer of each idempotency key.
    pub(crate) answered: HashMap<String, (String, (u16, Value))>,
    /// Idempotency keys of requests in progress.
    pub(crate) busy: HashSet<String>,
    pub(crate) calls: Vec<String>,
    pub(crate) fault: Fault,
    pub(crate) takes: Duration,
    pub(crate) is_cancelable: bool,
    pub(crate) most_in_part: usize,
    pub(crate) delivery: Delivery,
    /// The payments with news, and where each is told.
    pub(crate) news: Vec<(String, String)>,
    /// How many of them the deliverer has taken.
    pub(crate) sent: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            payments: Vec::new(),
            refunds: Vec::new(),
            chargebacks: Vec::new(),
            answered: HashMap::new(),
            busy: HashSet::new(),
            calls: Vec::new(),
            fault: Fault::None,
            takes: Duration::ZERO,
            is_cancelable: false,
            most_in_part: 250,
            delivery: Delivery::default(),
            news: Vec::new(),
            sent: 0,
        }
    }
}

/// An amount in the API's form.
fn amount(cents: i64, currency: &str) -> Value {
    let (sign, cents) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
    json!({"currency": currency, "value": format!("{sign}{}.{:02}", cents / 100, cents % 100)})
}

/// Reads an amount: two decimals exactly, and a currency of three capitals.
pub(crate) fn cents_of(amount: &Value) -> Option<(i64, String)> {
    let currency = amount.get("currency")?.as_str()?;
    let (whole, rest) = amount.get("value")?.as_str()?.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return None;
    }
    if !is_number(whole) || !is_number(rest) || rest.len() != 2 {
        return None;
    }
    let cents = whole.parse::<i64>().ok()?.checked_mul(100)? + rest.parse::<i64>().ok()?;
    (cents > 0).then(|| (cents, currency.to_owned()))
}

fn at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, false)
}

fn link(href: &str) -> Value {
    json!({"href": href, "type": "application/hal+json"})
}

impl Refund {
    fn is_live(&self) -> bool {
        !matches!(self.status.as_str(), "failed" | "canceled")
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "resource": "refund", "id": self.id, "mode": "test", "amount": amount(self.cents, "EUR"), "status": self.status,
            "metadata": self.metadata, "paymentId": self.payment, "createdAt": at(self.created_at),
            "settlementAmount": amount(-self.cents, "EUR"),
        })
    }
}

impl Chargeback {
    pub(crate) fn json(&self) -> Value {
        json!({
            "resource": "chargeback", "id": self.id, "amount": amount(self.cents, "EUR"), "paymentId": self.payment,
            "createdAt": at(self.created_at), "reversedAt": self.reversed_at.map(at),
            "reason": {"code": "AC01", "description": "Account identifier incorrect"},
        })
    }
}

impl State {
    pub(crate) fn find(&mut self, id: &str) -> Option<&mut Payment> {
        self.payments.iter_mut().find(|one| one.id == id)
    }

    /// A new payment; `None` if a field is missing or wrong: then its name.
    pub(crate) fn create(&mut self, body: &Value) -> Result<String, &'static str> {
        let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
        let address = |field: &'static str| match text(field) {
            Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => Err(field),
            url => Ok(url),
        };
        let (cents, currency) = body.get("amount").and_then(cents_of).ok_or("amount")?;
        let description = text("description")
            .filter(|text| (1..=255).contains(&text.len()))
            .ok_or("description")?;
        let redirect_url = address("redirectUrl")?.ok_or("redirectUrl")?;
        let (cancel_url, webhook_url) = (address("cancelUrl")?, address("webhookUrl")?);
        let id = format!("tr_{}", self.payments.len() + 1);
        self.payments.push(Payment {
            id: id.clone(),
            cents,
            currency,
            status: "open".into(),
            card: None,
            description,
            metadata: body.get("metadata").cloned().unwrap_or_default(),
            redirect_url,
            cancel_url,
            webhook_url,
            created_at: Utc::now(),
            paid_at: None,
        });
        Ok(id)
    }

    pub(crate) fn foreign_payment(&mut self, cents: i64) -> String {
        let id = format!("tr_{}", self.payments.len() + 1);
        self.payments.push(Payment {
            id: id.clone(),
            cents,
            currency: "EUR".into(),
            status: "paid".into(),
            card: Some(Card::Succeeds),
            description: "of another program".into(),
            metadata: json!("order 17"),
            redirect_url: "https://another.example/".into(),
            cancel_url: None,
            webhook_url: None,
            created_at: Utc::now(),
            paid_at: Some(Utc::now()),
        });
        id
    }

    /// A payment has news, of which its webhook is told.
    fn tell(&mut self, payment: &str) {
        let url = self.find(payment).and_then(|one| one.webhook_url.clone());
        self.news.extend(url.map(|url| (payment.to_owned(), url)));
    }

    pub(crate) fn pay(&mut self, id: &str, card: Card) -> bool {
        let Some(found) = self.find(id).filter(|one| one.status == "open") else {
            return false;
        };
        found.card = Some(card);
        let cents = found.cents;
        self.set_status(id, card.status());
        if card == Card::ChargedBack {
            self.charge_back(id, cents);
        }
        true
    }

    pub(crate) fn set_status(&mut self, id: &str, status: &str) {
        if let Some(found) = self.find(id) {
            status.clone_into(&mut found.status);
            if status == "paid" {
                found.paid_at = Some(Utc::now());
            }
            self.tell(id);
        }
    }

    fn refunded(&self, payment: &str) -> i64 {
        let of = self
            .refunds
            .iter()
            .filter(|one| one.payment == payment && one.is_live());
        of.map(|one| one.cents).sum()
    }

    fn charged_back(&self, payment: &str) -> i64 {
        let of = (self.chargebacks.iter()).filter(|one| one.payment == payment && one.reversed_at.is_none());
        of.map(|one| one.cents).sum()
    }

    pub(crate) fn refund(&mut self, payment: &str, cents: i64, metadata: Value) -> Result<String, (u16, Value)> {
        let Some(found) = self.payments.iter().find(|one| one.id == payment) else {
            return Err(refuse(404, "No payment exists with this token.", None));
        };
        if found.status != "paid" {
            return Err(refuse(422, "The payment is not paid.", None));
        }
        if cents > found.cents - self.refunded(payment) - self.charged_back(payment) {
            return Err(refuse(422, "The amount is higher than the maximum", Some("amount")));
        }
        let card = found.card;
        let status = match card {
            Some(Card::RefundQueued) => "queued",
            Some(Card::RefundFails) => "pending",
            _ => "refunded",
        };
        let id = format!("re_{}", self.refunds.len() + 1);
        self.refunds.push(Refund {
            id: id.clone(),
            payment: payment.to_owned(),
            cents,
            status: status.to_owned(),
            metadata,
            created_at: Utc::now(),
        });
        self.tell(payment);
        Ok(id)
    }

    pub(crate) fn set_refund_status(&mut self, refund: &str, status: &str) {
        let Some(found) = self.refunds.iter_mut().find(|one| one.id == refund) else {
            return;
        };
        status.clone_into(&mut found.status);
        let payment = found.payment.clone();
        self.tell(&payment);
    }

    pub(crate) fn charge_back(&mut self, payment: &str, cents: i64) -> Option<String> {
        self.find(payment).filter(|one| one.status == "paid")?;
        let id = format!("chb_{}", self.chargebacks.len() + 1);
        self.chargebacks.push(Chargeback {
            id: id.clone(),
            payment: payment.to_owned(),
            cents,
            created_at: Utc::now(),
            reversed_at: None,
        });
        self.tell(payment);
        Some(id)
    }

    pub(crate) fn reverse(&mut self, chargeback: &str) {
        let Some(found) = self.chargebacks.iter_mut().find(|one| one.id == chargeback) else {
            return;
        };
        found.reversed_at = Some(Utc::now());
        let payment = found.payment.clone();
        self.tell(&payment);
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let paid = self.payments.iter().filter(|one| one.status == "paid");
        Ledger {
            paid: paid.clone().map(|one| one.cents).sum(),
            refunded: paid.clone().map(|one| self.refunded(&one.id)).sum(),
            charged_back: paid.map(|one| self.charged_back(&one.id)).sum(),
        }
    }

    pub(crate) fn payment_json(&self, one: &Payment, shared: &Shared) -> Value {
        let own = format!("{}/v2/payments/{}", shared.url(), one.id);
        let mut body = json!({
            "resource": "payment", "id": one.id, "mode": "test", "amount": amount(one.cents, &one.currency),
            "description": one.description, "status": one.status, "metadata": one.metadata, "profileId": "pfl_sandbox",
            "sequenceType": "oneoff", "redirectUrl": one.redirect_url, "cancelUrl": one.cancel_url,
            "webhookUrl": one.webhook_url, "method": one.card.map(|_| "creditcard"), "createdAt": at(one.created_at),
            "_links": {"self": link(&own)},
        });
        let Some(fields) = body.as_object_mut() else {
            return body;
        };
        let mut more = Vec::new();
        if one.status == "open" {
            more.push(("isCancelable", json!(self.is_cancelable)));
            more.push(("expiresAt", json!(at(one.created_at + TimeDelta::minutes(15)))));
        }
        if let Some(card) = one.card {
            let details = json!({
                "cardNumber": "6787", "cardLabel": "Visa", "cardCountryCode": "NL", "cardFingerprint": format!("fp_{}", card.name()),
            });
            more.push(("details", details));
        }
        if let Some(paid_at) = one.paid_at {
            let (refunded, charged_back) = (self.refunded(&one.id), self.charged_back(&one.id));
            more.push(("paidAt", json!(at(paid_at))));
            more.push(("amountRefunded", amount(refunded, &one.currency)));
            more.push((
                "amountRemaining",
                amount(one.cents - refunded - charged_back, &one.currency),
            ));
            more.push(("amountChargedBack", amount(charged_back, &one.currency)));
        }
        fields.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if one.status == "open"
            && let Some(links) = body["_links"].as_object_mut()
        {
            let page = json!({"href": format!("{}/{}", shared.pages(), one.id), "type": "text/html"});
            links.insert("checkout".into(), page);
        }
        body
    }
}
