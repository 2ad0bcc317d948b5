//! The case file of a dispute: what the shop knows about the payment, as JSON, as the payment provider's fields, as a PDF
//! document, and as a signed file that a third party checks without the shop.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_documents::Paper;
use lockstep_domain::admin::{
    EarlierPaymentRow, EvidenceCase, EvidenceCopy, EvidenceLogin, EvidencePayment, EvidenceSent, EvidenceView,
};
use lockstep_store::cards::evidence::{self, CaseFile, EvidenceError};
use lockstep_store::{Result, StoreError};
use uuid::Uuid;

use crate::BackOffice;
use crate::cards::dispute_row;

/// Most characters of a field; the provider takes 150,000 of all together.
const MOST: usize = 18_000;
/// How many earlier payments Compelling Evidence 3.0 asks for.
const COMPELLING: usize = 2;
/// The form of signed files.
const FORMAT: &str = "lockstep-evidence-1";

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// What happened, in the order of time: a line each.
fn activity(file: &CaseFile) -> String {
    let mut lines: Vec<(DateTime<Utc>, String)> = Vec::new();
    let from = |address: &Option<String>| address.as_deref().unwrap_or("an unknown address").to_owned();
    for login in &file.logins {
        lines.push((login.at, format!("log-in from {}", from(&login.address))));
    }
    lines.push((
        file.payment.paid_at,
        format!(
            "{} EUR paid, begun from {}",
            file.payment.amount,
            from(&file.payment.address)
        ),
    ));
    for copy in &file.copies {
        lines.push((copy.ordered_at, format!("ordered: {}", copy.title)));
        if let Some(at) = copy.delivered_at {
            lines.push((at, format!("key delivered to the account: {}", copy.title)));
        }
    }
    for view in &file.views {
        let how = format!(
            "key viewed by its owner ({}, {} times): {}",
            view.how, view.count, view.title
        );
        lines.push((view.at, format!("{how}, logged in from {}", from(&view.address))));
    }
    lines.sort();
    let mut text = String::new();
    for (at, line) in lines {
        // Writing into a text does not fail.
        let _written = writeln!(text, "{}  {line}", time(at));
    }
    text
}

/// The provider's fields (docs.stripe.com/api/disputes/evidence_object): names as they are sent, and texts.
fn fields(file: &CaseFile) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut add = |name: &str, text: Option<String>| {
        let text = text.map(|text| text.chars().take(MOST).collect::<String>());
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            fields.insert(format!("evidence[{name}]"), text);
        }
    };
    let titles: Vec<&str> = file.copies.iter().map(|copy| copy.title.as_str()).collect();
    let product = if titles.is_empty() {
        "Balance for digital game keys".to_owned()
    } else {
        format!("Digital game keys: {}", titles.join(", "))
    };
    let payment = &file.payment;
    add("customer_email_address", Some(payment.email.clone()));
    add("customer_name", payment.name.clone());
    add("customer_purchase_ip", payment.address.clone());
    add("product_description", Some(product.clone()));
    let first = file.copies.iter().filter_map(|copy| copy.delivered_at).min();
    add("service_date", first.map(|at| at.format("%Y-%m-%d").to_string()));
    add("access_activity_log", Some(activity(file)));
    let mut summary = format!(
        "Account {} was made on {}; its e-mail address {} is {}.\n",
        file.dispute.user,
        time(payment.registered_at),
        payment.email,
        if payment.email_verified {
            "confirmed"
        } else {
            "not confirmed"
        }
    );
    for consent in &file.consents {
        let _written = writeln!(summary, "Consent to immediate delivery: {consent}");
    }
    for one in &file.earlier {
        let _written = writeln!(
            summary,
            "Earlier undisputed payment {} on {}: {} EUR from {}",
            one.charge,
            time(one.paid_at),
            one.amount,
            one.address.as_deref().unwrap_or("an unknown address")
        );
    }
    add("uncategorized_text", Some(summary));
    let compelling: Vec<_> = file.earlier.iter().filter(|one| one.is_compelling).collect();
    let is_about_fraud = file.dispute.reason.as_deref() == Some("fraudulent");
    if is_about_fraud && compelling.len() >= COMPELLING {
        let part = |name: &str| format!("enhanced_evidence][visa_compelling_evidence_3][{name}");
        let account = Some(file.dispute.user.to_string());
        add(&part("disputed_transaction][customer_account_id"), account.clone());
        add(
            &part("disputed_transaction][customer_email_address"),
            Some(payment.email.clone()),
        );
        add(
            &part("disputed_transaction][customer_purchase_ip"),
            payment.address.clone(),
        );
        add(
            &part("disputed_transaction][merchandise_or_services"),
            Some("services".into()),
        );
        add(
            &part("disputed_transaction][product_description"),
            Some(product.clone()),
        );
        for (number, one) in compelling.iter().take(COMPELLING).enumerate() {
            let prior = |name: &str| part(&format!("prior_undisputed_transactions][{number}][{name}"));
            add(&prior("charge"), Some(one.charge.clone()));
            add(&prior("customer_account_id"), account.clone());
            add(&prior("customer_email_address"), one.email.clone());
            add(&prior("customer_purchase_ip"), one.address.clone());
            add(
                &prior("product_description"),
                Some("Balance for digital game keys".into()),
            );
        }
    }
    fields
}

fn case(file: CaseFile, sent: Option<evidence::Sent>) -> EvidenceCase {
    let fields = fields(&file);
    let payment = file.payment;
    EvidenceCase {
        fields,
        sent: sent.map(|sent| EvidenceSent {
            state: sent.state,
            created_at: sent.created_at,
            answered_at: sent.answered_at,
            problem: sent.problem,
        }),
        payment: EvidencePayment {
            email: payment.email,
            email_verified: payment.email_verified,
            nickname: payment.nickname,
            name: payment.name,
            registered_at: payment.registered_at,
            paid_at: payment.paid_at,
            amount: payment.amount,
            charge: payment.charge,
            address: payment.address,
            user_agent: payment.user_agent,
            card_country: payment.card_country,
        },
        copies: (file.copies.into_iter())
            .map(|copy| EvidenceCopy {
                unit_id: copy.unit,
                order_id: copy.order,
                title: copy.title,
                price: copy.price,
                ordered_at: copy.ordered_at,
                delivered_at: copy.delivered_at,
            })
            .collect(),
        views: (file.views.into_iter())
            .map(|view| EvidenceView {
                unit_id: view.unit,
                title: view.title,
                how: view.how,
                at: view.at,
                count: view.count,
                address: view.address,
            })
            .collect(),
        logins: (file.logins.into_iter())
            .map(|login| EvidenceLogin {
                at: login.at,
                address: login.address,
                user_agent: login.user_agent,
            })
            .collect(),
        earlier: (file.earlier.into_iter())
            .map(|one| EarlierPaymentRow {
                charge: one.charge,
                paid_at: one.paid_at,
                amount: one.amount,
                address: one.address,
                email: one.email,
                compelling: one.is_compelling,
            })
            .collect(),
        consents: file.consents,
        dispute: dispute_row(file.dispute),
    }
}

impl BackOffice {
    /// The case of a dispute with what would be submitted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn evidence(&self, _by: &Admin, id: Uuid) -> Result<Option<EvidenceCase>> {
        let read = self.store.read(|tx| Box::pin(evidence::collect(tx, id))).await?;
        let Some(file) = read.value else { return Ok(None) };
        Ok(Some(case(file, evidence::last(&self.store, id).await?)))
    }

    /// The case as a PDF document. Recorded in the audit log.
    ///
    /// # Errors
    /// [`StoreError`].
    #[tracing::instrument(name = "admin.evidence_document", skip_all)]
    pub async fn evidence_document(&self, by: &Admin, id: Uuid, now: DateTime<Utc>) -> Result<Option<Vec<u8>>> {
        let Some(case) = self.evidence(by, id).await? else {
            return Ok(None);
        };
        evidence::record_export(&self.store, by.caller().user(), id, "pdf").await?;
        render(&case, now).map(Some)
    }

    /// The case as a signed file: JSON with the content as a text, its Ed25519 signature and the public key. Recorded in the
    /// audit log.
    ///
    /// # Errors
    /// [`StoreError`].
    #[tracing::instrument(name = "admin.evidence_export", skip_all)]
    pub async fn evidence_export(&self, by: &Admin, id: Uuid) -> Result<Option<String>> {
        let Some(case) = self.evidence(by, id).await? else {
            return Ok(None);
        };
        evidence::record_export(&self.store, by.caller().user(), id, "signed").await?;
        let content = serde_json::to_string(&case).map_err(|error| StoreError::Schema(format!("a case: {error}")))?;
        let (public, signature) = evidence::sign(&self.store, content.as_bytes()).await?;
        let file = serde_json::json!({
            "format": FORMAT, "publicKey": hex::encode(public), "signature": hex::encode(signature), "content": content,
        });
        Ok(Some(file.to_string()))
    }

    /// Has the evidence about a dispute submitted to the payment provider, once.
    ///
    /// # Errors
    /// [`EvidenceError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.submit_evidence", skip_all)]
    pub async fn submit_evidence(&self, by: &Admin, id: Uuid) -> Result<(), EvidenceError> {
        let case = self.evidence(by, id).await?.ok_or(EvidenceError::NotFound)?;
        let fields = serde_json::json!(case.fields);
        evidence::request(&self.store, by.caller().user(), id, fields)
            .await
            .map(drop)
    }
}

fn render(case: &EvidenceCase, now: DateTime<Utc>) -> Result<Vec<u8>> {
    let mut paper = Paper::new().map_err(|error| StoreError::Schema(format!("the font of reports: {error}")))?;
    let dispute = &case.dispute;
    paper.heading(18, "Evidence about a disputed payment");
    paper.paragraph(&format!("As of {}. Times are UTC, amounts are EUR.", time(now)));
    paper.gap();
    let payment = &case.payment;
    let unknown = || "unknown".to_owned();
    for (name, value) in [
        ("Dispute", dispute.reference.clone()),
        ("Reason", dispute.reason.clone().unwrap_or_else(unknown)),
        ("Status", dispute.status.clone()),
        ("Disputed", dispute.amount.to_string()),
        ("Charge", payment.charge.clone().unwrap_or_else(unknown)),
        ("Paid", format!("{} on {}", payment.amount, time(payment.paid_at))),
        ("IP address", payment.address.clone().unwrap_or_else(unknown)),
        ("Browser", payment.user_agent.clone().unwrap_or_else(unknown)),
        (
            "Country of the card",
            payment.card_country.clone().unwrap_or_else(unknown),
        ),
        (
            "Account",
            format!("{} since {}", dispute.user_id, time(payment.registered_at)),
        ),
        ("E-mail", payment.email.clone()),
        ("Name", payment.name.clone().unwrap_or_else(unknown)),
    ] {
        paper.pair(name, &value);
    }
    for (name, heading) in [
        ("evidence[product_description]", "What was bought"),
        ("evidence[access_activity_log]", "What happened"),
        ("evidence[uncategorized_text]", "Account, consents and earlier payments"),
    ] {
        paper.gap();
        paper.heading(13, heading);
        for line in case.fields.get(name).map(String::as_str).unwrap_or_default().lines() {
            paper.paragraph(line);
        }
    }
    Ok(
        paper.document(&format!("Evidence {}", dispute.reference), "en", |number, count| {
            format!("page {number} of {count}")
        }),
    )
}
