//! The objects and what happens to them. Each change makes the events that Stripe documents for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::Utc;
use serde_json::{Map, Value, json};

use crate::VERSION;
use crate::cards::Card;
use crate::faults::{Fault, refuse};
use crate::webhooks::Delivery;

/// What Stripe keeps of a charge: 1.5 % and 25 cents.
fn fee_of(cents: i64) -> i64 {
    cents * 15 / 1000 + 25
}

/// What Stripe keeps for a dispute, in cents.
const DISPUTE_FEE: i64 = 2000;

/// An event as it is delivered.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The object's id.
    pub object: String,
    /// The whole body.
    pub body: String,
}

/// Everything the server knows.
pub(crate) struct State {
    pub(crate) api_key: String,
    pub(crate) webhook_secret: String,
    pub(crate) webhook_url: Option<String>,
    pub(crate) delivery: Delivery,
    pub(crate) fault: Fault,
    pub(crate) takes: Duration,
    pub(crate) calls: Vec<String>,
    pub(crate) objects: HashMap<String, Value>,
    order: Vec<String>,
    counts: BTreeMap<String, u32>,
    /// The parameters and the answer of each idempotency key.
    pub(crate) answered: HashMap<String, (String, (u16, Value))>,
    /// Idempotency keys of requests in progress.
    pub(crate) busy: HashSet<String>,
    pub(crate) events: Vec<Event>,
    /// How many events the deliverer has taken.
    pub(crate) sent: usize,
    /// Calls that the key may not make, by their beginning: `GET /v1/disputes`.
    pub(crate) denied: Vec<String>,
    /// What is kept of each refund, in cents.
    pub(crate) refund_fee: i64,
}

/// The fields of a dispute's evidence that are texts (docs.stripe.com/api/disputes/evidence_object).
const EVIDENCE: [&str; 15] = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_date",
    "uncategorized_text",
];

/// The most characters of all texts together.
const MOST_EVIDENCE: usize = 150_000;

/// A whole number of an object.
pub(crate) fn cents(object: &Value, field: &str) -> i64 {
    object.get(field).and_then(Value::as_i64).unwrap_or_default()
}

/// A text of an object.
pub(crate) fn text<'o>(object: &'o Value, field: &str) -> &'o str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            api_key: "sk_test_sandbox".into(),
            webhook_secret: "whsec_sandbox".into(),
            webhook_url: None,
            delivery: Delivery::default(),
            fault: Fault::None,
            takes: Duration::ZERO,
            calls: Vec::new(),
            objects: HashMap::new(),
            order: Vec::new(),
            counts: BTreeMap::new(),
            answered: HashMap::new(),
            busy: HashSet::new(),
            events: Vec::new(),
            sent: 0,
            denied: Vec::new(),
            refund_fee: 0,
        }
    }

    /// What outlives the process, if it is kept in a file.
    pub(crate) fn saved(&self) -> Value {
        let events = self
            .events
            .iter()
            .map(|event| json!({"id": event.id, "kind": event.kind, "object": event.object, "body": event.body}));
        json!({
            "objects": self.order.iter().filter_map(|id| self.objects.get(id)).collect::<Vec<_>>(),
            "counts": self.counts, "sent": self.sent, "events": events.collect::<Vec<_>>(),
        })
    }

    /// Takes over what [`saved`](Self::saved) has written.
    pub(crate) fn restore(&mut self, saved: &Value) {
        let list = |field: &str| saved.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
        for object in list("objects") {
            self.keep(object);
        }
        for (prefix, count) in saved.get("counts").and_then(Value::as_object).into_iter().flatten() {
            let count = count
                .as_u64()
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or_default();
            self.counts.insert(prefix.clone(), count);
        }
        self.events = list("events")
            .iter()
            .map(|event| Event {
                id: text(event, "id").to_owned(),
                kind: text(event, "kind").to_owned(),
                object: text(event, "object").to_owned(),
                body: text(event, "body").to_owned(),
            })
            .collect();
        let sent = saved.get("sent").and_then(Value::as_u64).unwrap_or_default();
        self.sent = usize::try_from(sent).unwrap_or_default().min(self.events.len());
    }

    /// Changes whenever there is something to save.
    pub(crate) fn version(&self) -> (usize, usize, usize) {
        (self.order.len(), self.events.len(), self.sent)
    }

    /// The next id with this prefix.
    fn id(&mut self, prefix: &'static str) -> String {
        let count = self.counts.entry(prefix.to_owned()).or_default();
        *count += 1;
        format!("{prefix}_{count}")
    }

    /// Stores an object under its id.
    fn keep(&mut self, object: Value) -> String {
        let id = text(&object, "id").to_owned();
        self.order.push(id.clone());
        self.objects.insert(id.clone(), object);
        id
    }

    /// All objects of a kind, the oldest first.
    pub(crate) fn all(&self, kind: &str) -> Vec<Value> {
        let found = self.order.iter().filter_map(|id| self.objects.get(id));
        found.filter(|object| text(object, "object") == kind).cloned().collect()
    }

    /// An object with what `paths` names in place of ids.
    pub(crate) fn expanded(&self, mut object: Value, paths: &[String]) -> Value {
        for path in paths {
            let parts: Vec<&str> = path.split('.').collect();
            self.expand(&mut object, &parts);
        }
        object
    }

    fn expand(&self, object: &mut Value, path: &[&str]) {
        let Some((field, rest)) = path.split_first() else {
            return;
        };
        match object.get_mut(*field) {
            Some(Value::Array(list)) => {
                for one in list {
                    self.expand(one, rest);
                }
            }
            Some(found) => {
                if let Some(whole) = found.as_str().and_then(|id| self.objects.get(id)) {
                    *found = whole.clone();
                }
                self.expand(found, rest);
            }
            None => {}
        }
    }

    /// Makes an event about an object as it is now.
    fn tell(&mut self, kind: &str, object: &str) {
        let id = self.id("evt");
        let snapshot = self.objects.get(object).cloned().unwrap_or_default();
        let body = json!({
            "id": id, "object": "event", "api_version": VERSION, "type": kind, "created": Utc::now().timestamp(),
            "livemode": false, "pending_webhooks": 1, "data": {"object": snapshot},
        });
        self.events.push(Event {
            id,
            kind: kind.to_owned(),
            object: object.to_owned(),
            body: body.to_string(),
        });
    }

    fn set(&mut self, id: &str, field: &str, value: Value) {
        if let Some(object) = self.objects.get_mut(id) {
            object[field] = value;
        }
    }

    /// Moves money of the account; returns the balance transaction.
    fn book(&mut self, category: &str, source: &str, amount: i64, fee: i64) -> String {
        let id = self.id("txn");
        self.keep(json!({
            "id": id, "object": "balance_transaction", "amount": amount, "currency": "eur", "fee": fee, "net": amount - fee,
            "reporting_category": category, "type": if category == "dispute" { "adjustment" } else { category },
            "source": source, "created": Utc::now().timestamp(), "status": "available",
        }))
    }

    /// Creates a session from its parameters.
    pub(crate) fn create_session(
        &mut self,
        form: &HashMap<String, String>,
        pages: &str,
    ) -> Result<Value, (u16, Value)> {
        let wrong = |message: &str| refuse(400, "invalid_request_error", None, message);
        for field in [
            "mode",
            "line_items[0][quantity]",
            "line_items[0][price_data][currency]",
            "line_items[0][price_data][unit_amount]",
            "line_items[0][price_data][product_data][name]",
            "success_url",
        ] {
            if !form.contains_key(field) {
                return Err(wrong(&format!("Missing required param: {field}")));
            }
        }
        if form.keys().any(|field| field.starts_with("payment_method_types")) {
            return Err(wrong("Received unknown parameter: payment_method_types"));
        }
        let now = Utc::now().timestamp();
        let expires = match form.get("expires_at").map(|text| text.parse::<i64>()) {
            None => now + 24 * 3600,
            Some(Ok(at)) if (30 * 60..=24 * 3600).contains(&(at - now)) => at,
            Some(_) => return Err(wrong("expires_at must be between 30 minutes and 24 hours from now")),
        };
        let amount = form["line_items[0][price_data][unit_amount]"]
            .parse::<i64>()
            .unwrap_or_default();
        if amount < 50 {
            return Err(wrong("The amount is below the minimum"));
        }
        let metadata = |prefix: &str| -> Map<String, Value> {
            let named = form.iter().filter_map(|(field, value)| {
                let name = field.strip_prefix(prefix)?.strip_suffix(']')?;
                Some((name.to_owned(), Value::from(value.as_str())))
            });
            named.collect()
        };
        let id = self.id("cs_test");
        let session = json!({
            "id": id, "object": "checkout.session", "url": format!("{pages}/{id}"),
            "client_reference_id": form.get("client_reference_id"), "metadata": metadata("metadata["),
            "mode": form["mode"], "status": "open", "payment_status": "unpaid", "amount_total": amount,
            "currency": form["line_items[0][price_data][currency]"], "success_url": form["success_url"],
            "cancel_url": form.get("cancel_url"), "payment_intent": null, "expires_at": expires, "created": now,
            "payment_method_options": {"card": {
                "request_three_d_secure": form.get("payment_method_options[card][request_three_d_secure]"),
            }},
            // Not a field of Stripe's: what the intent gets.
            "sandbox_intent_metadata": metadata("payment_intent_data[metadata]["),
        });
        self.keep(session.clone());
        Ok(session)
    }

    /// Only an open session can be expired.
    pub(crate) fn expire(&mut self, id: &str) -> Result<Value, (u16, Value)> {
        match self.objects.get(id) {
            Some(session) if text(session, "status") == "open" => {
                self.set(id, "status", json!("expired"));
                self.tell("checkout.session.expired", id);
                Ok(self.objects.get(id).cloned().unwrap_or_default())
            }
            _ => Err(refuse(
                400,
                "invalid_request_error",
                None,
                "Only Checkout Sessions with a status in [\"open\"] can be expired",
            )),
        }
    }

    /// Pays a session; `None` if it is not open or the card is declined.
    pub(crate) fn pay(&mut self, session: &str, card: Card) -> Option<String> {
        let found = self.objects.get(session)?.clone();
        if text(&found, "status") != "open" || card == Card::Declined {
            return None;
        }
        let (amount, metadata) = (cents(&found, "amount_total"), found["sandbox_intent_metadata"].clone());
        let (intent, charge) = self.charge(amount, &metadata, card);
        self.set(session, "status", json!("complete"));
        self.set(session, "payment_status", json!("paid"));
        self.set(session, "payment_intent", json!(intent));
        self.tell("checkout.session.completed", session);
        match card {
            Card::Disputed => drop(self.open_dispute(&charge, amount, "fraudulent")),
            Card::FraudWarning => drop(self.warn(&charge)),
            _ => {}
        }
        Some(charge)
    }

    /// A payment that no session of the shop made.
    pub(crate) fn foreign_payment(&mut self, amount: i64) -> String {
        self.charge(amount, &json!({"order": "of another program"}), Card::Succeeds)
            .1
    }

    fn charge(&mut self, amount: i64, metadata: &Value, card: Card) -> (String, String) {
        let (intent, charge) = (self.id("pi"), self.id("ch"));
        let booked = self.book("charge", &charge, amount, fee_of(amount));
        let now = Utc::now().timestamp();
        self.keep(json!({
            "id": charge, "object": "charge", "amount": amount, "amount_captured": amount, "amount_refunded": 0,
            "currency": "eur", "status": "succeeded", "paid": true, "captured": true, "refunded": false, "disputed": false,
            "payment_intent": intent, "balance_transaction": booked, "metadata": metadata, "created": now,
            "payment_method_details": {"type": "card", "card": {
                "brand": "visa", "country": card.country(), "last4": card.number().get(12..),
                "fingerprint": format!("fp_{}", card.number()),
            }},
        }));
        self.keep(json!({
            "id": intent, "object": "payment_intent", "amount": amount, "amount_received": amount, "currency": "eur",
            "status": "succeeded", "latest_charge": charge, "metadata": metadata, "created": now,
        }));
        (intent, charge)
    }

    /// What of a charge has neither gone back nor been taken by disputes.
    fn left_of(&self, charge: &str) -> i64 {
        let Some(found) = self.objects.get(charge) else {
            return 0;
        };
        let disputed: i64 = self
            .all("dispute")
            .iter()
            .filter(|dispute| text(dispute, "charge") == charge)
            .filter(|dispute| text(dispute, "status") != "won" && !text(dispute, "status").starts_with("warning"))
            .map(|dispute| cents(dispute, "amount"))
            .sum();
        cents(found, "amount") - cents(found, "amount_refunded") - disputed
    }

    /// Makes a refund of a charge; returns its id.
    pub(crate) fn make_refund(&mut self, charge: &str, amount: i64, metadata: &Value) -> Result<String, (u16, Value)> {
        let Some(found) = self.objects.get(charge).cloned() else {
            return Err(refuse(
                404,
                "invalid_request_error",
                Some("resource_missing"),
                "No such charge",
            ));
        };
        let open = cents(&found, "amount") - cents(&found, "amount_refunded");
        let is_disputed = self.all("dispute").iter().any(|dispute| {
            text(dispute, "charge") == charge && matches!(text(dispute, "status"), "needs_response" | "under_review")
        });
        if is_disputed {
            return Err(refuse(
                400,
                "invalid_request_error",
                Some("charge_disputed"),
                "The charge is disputed",
            ));
        }
        if amount > self.left_of(charge) || amount < 1 {
            let code = if amount > open {
                "charge_already_refunded"
            } else {
                "charge_disputed"
            };
            return Err(refuse(
                400,
                "invalid_request_error",
                Some(code),
                "The refund exceeds the charge",
            ));
        }
        let fingerprint = found["payment_method_details"]["card"]["fingerprint"]
            .as_str()
            .unwrap_or_default();
        let card = Card::of(fingerprint.trim_start_matches("fp_"));
        let status = if card == Some(Card::RefundPending) {
            "pending"
        } else {
            "succeeded"
        };
        let id = self.id("re");
        let fee = self.refund_fee;
        let booked = self.book("refund", &id, -amount, fee);
        self.keep(json!({
            "id": id, "object": "refund", "amount": amount, "currency": "eur", "charge": charge, "status": status,
            "payment_intent": found["payment_intent"], "metadata": metadata, "balance_transaction": booked,
            "created": Utc::now().timestamp(), "failure_reason": null,
        }));
        let refunded = cents(&found, "amount_refunded") + amount;
        self.set(charge, "amount_refunded", json!(refunded));
        self.set(charge, "refunded", json!(refunded == cents(&found, "amount")));
        self.tell("refund.created", &id);
        self.tell("charge.refunded", charge);
        if card == Some(Card::RefundFails) {
            self.set_refund_status(&id, "failed");
        }
        Ok(id)
    }

    pub(crate) fn set_refund_status(&mut self, refund: &str, status: &str) {
        let Some(found) = self.objects.get(refund).cloned() else {
            return;
        };
        let ended = |status: &str| matches!(status, "failed" | "canceled");
        self.set(refund, "status", json!(status));
        if ended(status) && !ended(text(&found, "status")) {
            let (charge, amount) = (text(&found, "charge").to_owned(), cents(&found, "amount"));
            self.book("refund_failure", refund, amount, 0);
            self.set(refund, "failure_reason", json!("lost_or_stolen_card"));
            let refunded = self
                .objects
                .get(&charge)
                .map_or(0, |charge| cents(charge, "amount_refunded"))
                - amount;
            self.set(&charge, "amount_refunded", json!(refunded));
            self.set(&charge, "refunded", json!(false));
        }
        self.tell("refund.updated", refund);
        if status == "failed" {
            self.tell("refund.failed", refund);
        }
    }

    pub(crate) fn open_dispute(&mut self, charge: &str, amount: i64, reason: &str) -> Option<String> {
        let found = self.objects.get(charge)?.clone();
        let id = self.id("du");
        let booked = self.book("dispute", &id, -amount, DISPUTE_FEE);
        let booked = self.objects.get(&booked).cloned();
        let now = Utc::now().timestamp();
        self.keep(json!({
            "id": id, "object": "dispute", "amount": amount, "currency": "eur", "charge": charge, "status": "needs_response",
            "payment_intent": found["payment_intent"], "reason": reason, "metadata": {}, "balance_transactions": [booked],
            "created": now, "is_charge_refundable": false,
            "evidence_details": {"due_by": now + 7 * 24 * 3600, "has_evidence": false, "past_due": false, "submission_count": 0},
        }));
        self.set(charge, "disputed", json!(true));
        self.tell("charge.dispute.created", &id);
        self.tell("charge.dispute.funds_withdrawn", &id);
        Some(id)
    }

    /// Opens an inquiry: no money moves yet.
    pub(crate) fn inquire(&mut self, charge: &str, amount: i64, reason: &str) -> Option<String> {
        let found = self.objects.get(charge)?.clone();
        let (id, now) = (self.id("du"), Utc::now().timestamp());
        self.keep(json!({
            "id": id, "object": "dispute", "amount": amount, "currency": "eur", "charge": charge, "status": "warning_needs_response",
            "payment_intent": found["payment_intent"], "reason": reason, "metadata": {}, "balance_transactions": [],
            "created": now, "is_charge_refundable": true,
            "evidence_details": {"due_by": now + 7 * 24 * 3600, "has_evidence": false, "past_due": false, "submission_count": 0},
        }));
        self.tell("charge.dispute.created", &id);
        Some(id)
    }

    /// Takes evidence about a dispute; with `submit` it goes to the bank.
    pub(crate) fn update_dispute(
        &mut self,
        dispute: &str,
        form: &HashMap<String, String>,
    ) -> Result<Value, (u16, Value)> {
        let wrong = |code: Option<&str>, message: &str| refuse(400, "invalid_request_error", code, message);
        let Some(found) = self
            .objects
            .get(dispute)
            .filter(|found| text(found, "object") == "dispute")
            .cloned()
        else {
            return Err(refuse(
                404,
                "invalid_request_error",
                Some("resource_missing"),
                "No such dispute",
            ));
        };
        if !text(&found, "status").ends_with("needs_response") {
            return Err(wrong(None, "This dispute is already closed or under review"));
        }
        let mut evidence = found
            .get("evidence")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        for (name, value) in form {
            let Some(field) = name.strip_prefix("evidence[").and_then(|rest| rest.split(']').next()) else {
                continue;
            };
            if field == "enhanced_evidence" {
                evidence.insert(name.clone(), json!(value));
            } else if EVIDENCE.contains(&field) {
                evidence.insert(field.to_owned(), json!(value));
            } else {
                return Err(wrong(
                    Some("parameter_unknown"),
                    &format!("Received unknown parameter: {name}"),
                ));
            }
        }
        let length: usize = evidence
            .values()
            .filter_map(Value::as_str)
            .map(|text| text.chars().count())
            .sum();
        if length > MOST_EVIDENCE {
            return Err(wrong(
                None,
                "The combined character count of your evidence exceeds 150000",
            ));
        }
        self.set(dispute, "evidence", Value::Object(evidence));
        if form.get("submit").is_none_or(|submit| submit == "true") {
            let mut details = found["evidence_details"].clone();
            details["has_evidence"] = json!(true);
            details["submission_count"] = json!(cents(&details, "submission_count") + 1);
            self.set(dispute, "evidence_details", details);
            let status = if text(&found, "status").starts_with("warning") {
                "warning_under_review"
            } else {
                "under_review"
            };
            self.set(dispute, "status", json!(status));
        }
        self.tell("charge.dispute.updated", dispute);
        Ok(self.objects.get(dispute).cloned().unwrap_or_default())
    }

    /// Transfers everything that was not transferred to the bank account; returns the payout, if there was something.
    pub(crate) fn pay_out(&mut self) -> Option<String> {
        let open = self.all("balance_transaction");
        let open: Vec<&Value> = open.iter().filter(|booked| booked.get("payout").is_none()).collect();
        let sum: i64 = open.iter().map(|booked| cents(booked, "net")).sum();
        if open.is_empty() {
            return None;
        }
        let id = self.id("po");
        for booked in open {
            self.set(text(booked, "id"), "payout", json!(id));
        }
        let booked = self.book("payout", &id, -sum, 0);
        self.set(&booked, "payout", json!(id));
        let now = Utc::now().timestamp();
        self.keep(json!({
            "id": id, "object": "payout", "amount": sum, "currency": "eur", "status": "paid", "arrival_date": now,
            "balance_transaction": booked, "created": now,
        }));
        Some(id)
    }

    pub(crate) fn set_dispute_status(&mut self, dispute: &str, status: &str) {
        let Some(found) = self.objects.get(dispute).cloned() else {
            return;
        };
        if text(&found, "status").starts_with("warning") && status == "needs_response" {
            let booked = self.book("dispute", dispute, -cents(&found, "amount"), DISPUTE_FEE);
            let booked = self.objects.get(&booked).cloned();
            self.set(dispute, "balance_transactions", json!([booked]));
            self.tell("charge.dispute.funds_withdrawn", dispute);
        }
        let was_won = text(&found, "status") == "won";
        self.set(dispute, "status", json!(status));
        if status == "won" && !was_won {
            let booked = self.book("dispute", dispute, cents(&found, "amount"), 0);
            let booked = self.objects.get(&booked).cloned().unwrap_or_default();
            if let Some(list) = self
                .objects
                .get_mut(dispute)
                .and_then(|object| object["balance_transactions"].as_array_mut())
            {
                list.push(booked);
            }
            self.tell("charge.dispute.funds_reinstated", dispute);
        }
        let kind = match status {
            "won" | "lost" | "warning_closed" | "prevented" => "charge.dispute.closed",
            _ => "charge.dispute.updated",
        };
        self.tell(kind, dispute);
    }

    pub(crate) fn warn(&mut self, charge: &str) -> Option<String> {
        let found = self.objects.get(charge)?.clone();
        let id = self.id("issfr");
        self.keep(json!({
            "id": id, "object": "radar.early_fraud_warning", "actionable": true, "charge": charge,
            "payment_intent": found["payment_intent"], "fraud_type": "made_with_stolen_card", "created": Utc::now().timestamp(),
        }));
        self.tell("radar.early_fraud_warning.created", &id);
        Some(id)
    }
}
