//! Top-ups, disputes, and what needs a person about payments: the money that came from cards and goes back to them.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use lockstep_admin::{CardRefundError, DisputeState, EvidenceError, IncidentCloseError, TopUpFilter};
use lockstep_domain::Money;
use lockstep_domain::admin::{
    CardRefundRow, DisputeCase, DisputeRow, EvidenceCase, PaymentIncidentRow, TopUpDetail, TopUpList, TopUpRow,
};
use lockstep_domain::ids::TopUpId;
use lockstep_domain::purchase::PaymentStatus;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};
use lockstep_shop::{WithdrawError, WithdrawalError};

use super::payments::until;
use super::{found, id, payments};
use crate::action::{self, ActionPage};
use crate::gate::StaffForm;
use crate::layout::{Layout, money};
use crate::show;
use crate::staff::Staff;
use crate::step_up;
use crate::table::{Cell, Filter, ListPage, Row, Table, attachment, with_query};

/// Name, value, and the address that it leads to.
type Facts = Vec<(&'static str, String, Option<String>)>;

/// A page about one thing: facts, what can be done, and lists below.
#[derive(Template)]
#[template(path = "payment.html")]
struct PaymentPage {
    layout: Layout,
    state: (&'static str, String),
    facts: Facts,
    /// What can be done: label, address, whether it is dangerous.
    actions: Vec<(&'static str, String, bool)>,
    /// Heading and list.
    lists: Vec<(&'static str, Table)>,
}

/// The room's own page, above what is in it.
fn room(words: Language) -> (&'static str, &'static str) {
    (words.text("console.room.payments"), "/admin/payments")
}

/// How the state of a top-up, a refund or a dispute is coloured, and its name.
fn state(words: Language, group: &str, state: &str) -> (&'static str, String) {
    let kind = match state {
        "COMPLETED" | "SUCCEEDED" | "WON" => "good",
        "FAILED" | "LOST" => "bad",
        "PENDING" | "PROCESSING" | "REQUESTED" | "OPEN" => "warn",
        _ => "",
    };
    (kind, show::name(words, group, state))
}

fn tag(words: Language, group: &str, named: &str) -> Cell {
    let (kind, name) = state(words, group, named);
    Cell::Tag(kind, name)
}

/// `GET /admin/payments/top-ups`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let asked = staff.parameter("status");
    let known = |name: &String| PaymentStatus::ALL.into_iter().find(|status| status.as_str() == name);
    let status = asked.as_ref().map(known);
    let short = |text: String| text.chars().take(100).collect::<String>();
    let filter = TopUpFilter {
        status: status.flatten(),
        text: staff.parameter("query").map(short),
        country: staff.parameter("country").map(|code| short(code).to_uppercase()),
        is_troubled: staff.parameter("trouble").is_some(),
        from: payments::day(&staff, "from"),
        until: until(&staff),
    };
    // No top-up has an unknown status.
    let listed = if status == Some(None) {
        TopUpList {
            top_ups: Vec::new(),
            paging: staff.page().of(0),
        }
    } else {
        staff.office().top_ups(&staff.admin, &filter, staff.page()).await?
    };
    let rows = listed.top_ups.iter().map(|top_up| row(words, top_up));
    let filters = vec![
        Filter::choice(
            &staff,
            "status",
            words.text("console.column.status"),
            show::choices(words, "payment_status", PaymentStatus::ALL.map(PaymentStatus::as_str)),
        ),
        Filter::text(&staff, "query", words.text("payments.filter.query")),
        Filter::text(&staff, "country", words.text("payments.column.country")),
        Filter::choice(
            &staff,
            "trouble",
            words.text("payments.filter.trouble"),
            vec![("yes".to_owned(), words.text("payments.filter.trouble.yes").to_owned())],
        ),
        Filter::day(&staff, "from", words.text("console.filter.from")),
        Filter::day(&staff, "to", words.text("console.filter.to")),
    ];
    let head = [
        "console.column.customer",
        "#console.column.amount",
        "console.column.status",
        "console.column.method",
        "payments.column.country",
        "console.column.reference",
        "console.column.time",
    ];
    let table = Table::plain(words, "payments.top_ups", &head, rows.collect())
        .filtered(&staff, filters)
        .paged(&staff, listed.paging)
        .or_else(words, "payments.top_ups.none", "payments.top_ups.none.advice");
    page::private(&ListPage {
        layout: Layout::new(&staff, words.text("payments.top_ups").to_owned(), &[room(words)]),
        lead: None,
        actions: Vec::new(),
        table,
    })
}

fn row(words: Language, top_up: &TopUpRow) -> Row {
    Row {
        href: Some(format!("/admin/payments/top-ups/{}", top_up.id)),
        cells: vec![
            Cell::Main(top_up.user.email.clone()),
            Cell::money(words, top_up.credited.unwrap_or(top_up.amount)),
            match &top_up.review {
                Some(why) => Cell::Tag("bad", show::name(words, "top_up_review", why)),
                None => tag(words, "payment_status", &top_up.status),
            },
            Cell::Text(format!("{} · {}", top_up.provider, top_up.method)),
            Cell::text_or_none(top_up.card_country.clone()),
            (top_up.reference.as_deref()).map_or(Cell::Nothing, |name| Cell::Code(show::short(name, 24))),
            Cell::time(words, top_up.created_at),
        ],
    }
}

async fn read(staff: &Staff, top_up: &str) -> Result<TopUpDetail, PageError> {
    found(staff.office().top_up(&staff.admin, TopUpId(id(top_up)?)).await?)
}

/// `GET /admin/payments/top-ups/{id}`
pub(crate) async fn top_up(staff: Staff, Path(top_up): Path<String>) -> Result<Response, PageError> {
    let (words, top_up) = (staff.words(), read(&staff, &top_up).await?);
    let row = &top_up.top_up;
    let own = format!("/admin/payments/top-ups/{}", row.id);
    let mut actions = Vec::new();
    if top_up.refundable.is_positive() && staff.may(Permission::OrdersRefund) {
        actions.push((words.text("payments.refund.title"), format!("{own}/refund"), false));
    }
    let page = PaymentPage {
        layout: Layout::new(
            &staff,
            words.with(
                "payments.top_up.title",
                format::price(words, row.credited.unwrap_or(row.amount)),
            ),
            &[room(words), (words.text("payments.top_ups"), "/admin/payments/top-ups")],
        ),
        state: state(words, "payment_status", &row.status),
        facts: facts(&staff, &top_up),
        actions,
        lists: vec![
            (words.text("payments.refunds"), refunds(&staff, &top_up.refunds)),
            (words.text("payments.disputes"), dispute_table(words, &top_up.disputes)),
            (
                words.text("payments.incidents"),
                incident_table(&staff, &top_up.incidents),
            ),
        ],
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

/// The address of a customer's page, for who may see it.
fn customer(staff: &Staff, user: uuid::Uuid) -> Option<String> {
    let may_read = staff.may(Permission::UsersRead);
    may_read.then(|| format!("/admin/customers/{user}"))
}

fn facts(staff: &Staff, top_up: &TopUpDetail) -> Facts {
    let (words, row) = (staff.words(), &top_up.top_up);
    let price = |amount: Money| format::price(words, amount);
    let mut facts: Facts = vec![
        (
            words.text("console.column.customer"),
            format!("{} · {}", row.user.email, row.user.nickname),
            customer(staff, row.user.id),
        ),
        (words.text("payments.asked"), price(row.amount), None),
    ];
    if let Some(credited) = row.credited {
        facts.push((words.text("payments.credited"), price(credited), None));
    }
    if let Some(checkout) = &top_up.checkout {
        let state = show::name(words, "checkout_state", checkout.state.as_str());
        let why = checkout
            .reason
            .map(|why| show::name(words, "checkout_reason", why.as_str()));
        let told: Vec<String> = [Some(state), why, Some(price(checkout.total))]
            .into_iter()
            .flatten()
            .collect();
        let order = (checkout.order_id.filter(|_| staff.may(Permission::OrdersRead)))
            .map(|order| format!("/admin/orders/{order}"));
        facts.push((words.text("payments.checkout"), told.join(" · "), order));
    }
    facts.push((words.text("payments.refundable"), price(top_up.refundable), None));
    facts.push((words.text("console.column.balance"), price(top_up.balance), None));
    facts.push((
        words.text("console.column.method"),
        format!("{} · {}", row.provider, row.method),
        None,
    ));
    if let Some(charge) = &top_up.charge {
        let paid = format!("{} {}", charge.amount, charge.currency);
        facts.push((words.text("console.column.paid"), paid, None));
        let fee = charge
            .fee
            .map_or_else(|| words.text("console.unknown").to_owned(), price);
        facts.push((words.text("payments.fee"), fee, None));
        if let Some(country) = &charge.card_country {
            facts.push((words.text("payments.column.country"), country.clone(), None));
        }
        if let Some(card) = &charge.card_fingerprint {
            facts.push((words.text("payments.card"), card.clone(), None));
        }
        facts.push((words.text("payments.charge"), charge.charge.clone(), None));
    }
    if let Some(reference) = &row.reference {
        facts.push((words.text("console.column.reference"), reference.clone(), None));
    }
    if let Some(problem) = &top_up.problem {
        facts.push((words.text("payments.problem"), problem.clone(), None));
    }
    facts.push((
        words.text("console.column.time"),
        format::moment(words, row.created_at),
        None,
    ));
    facts.push((words.text("console.column.id"), row.id.to_string(), None));
    facts
}

fn refunds(staff: &Staff, refunds: &[CardRefundRow]) -> Table {
    let words = staff.words();
    let may_withdraw = staff.may(Permission::OrdersRefund);
    let rows = refunds.iter().map(|refund| Row {
        href: None,
        cells: vec![
            Cell::Main(format::moment(words, refund.created_at)),
            Cell::money(words, refund.amount),
            tag(words, "card_refund", refund.state),
            Cell::text_or_none(refund.failure.clone()),
            (refund.reference.clone()).map_or(Cell::Nothing, Cell::Code),
            if refund.state == "REQUESTED" && may_withdraw {
                let address = format!("/admin/payments/refunds/{}/withdraw", refund.id);
                Cell::Action(address, words.text("payments.withdraw.title"))
            } else {
                Cell::Nothing
            },
        ],
    });
    let head = [
        "console.column.requested",
        "#console.column.amount",
        "console.column.state",
        "payments.problem",
        "console.column.reference",
        "console.column.action",
    ];
    Table::plain(words, "payments.refunds", &head, rows.collect())
}

fn dispute_table(words: Language, disputes: &[DisputeRow]) -> Table {
    let rows = disputes.iter().map(|dispute| Row {
        href: Some(format!("/admin/payments/disputes/{}", dispute.id)),
        cells: vec![
            Cell::Main(dispute.reference.clone()),
            Cell::money(words, dispute.amount),
            Cell::money(words, dispute.held),
            Cell::money(words, dispute.debt),
            tag(words, "dispute", dispute.state),
            Cell::text_or_none(dispute.reason.clone()),
            Cell::time_or_none(words, dispute.due_by),
            Cell::time(words, dispute.opened_at),
        ],
    });
    let head = [
        "console.column.reference",
        "#console.column.amount",
        "#payments.held",
        "#payments.debt",
        "console.column.state",
        "console.column.reason",
        "payments.due",
        "payments.opened",
    ];
    Table::plain(words, "payments.disputes", &head, rows.collect())
}

/// `GET /admin/payments/disputes`
pub(crate) async fn disputes(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let state = match staff.parameter("state").as_deref() {
        Some("OPEN") => Some(DisputeState::Open),
        Some("WON") => Some(DisputeState::Won),
        Some("LOST") => Some(DisputeState::Lost),
        _ => None,
    };
    let listed = staff.office().disputes(&staff.admin, state, staff.page()).await?;
    let filter = Filter::choice(
        &staff,
        "state",
        words.text("console.column.state"),
        show::choices(words, "dispute", ["OPEN", "WON", "LOST"]),
    );
    let table = dispute_table(words, &listed.disputes)
        .filtered(&staff, vec![filter])
        .paged(&staff, listed.paging)
        .or_else(words, "payments.disputes.none", "payments.disputes.none.advice");
    page::private(&ListPage {
        layout: Layout::new(&staff, words.text("payments.disputes").to_owned(), &[room(words)]),
        lead: None,
        actions: Vec::new(),
        table,
    })
}

/// `GET /admin/payments/disputes/{id}`
pub(crate) async fn dispute(staff: Staff, Path(dispute): Path<String>) -> Result<Response, PageError> {
    let words = staff.words();
    let case = found(staff.office().dispute(&staff.admin, id(&dispute)?).await?)?;
    let page = PaymentPage {
        layout: Layout::new(
            &staff,
            words.with("payments.dispute.title", &case.dispute.reference),
            &[
                room(words),
                (words.text("payments.disputes"), "/admin/payments/disputes"),
            ],
        ),
        state: state(words, "dispute", case.dispute.state),
        facts: dispute_facts(&staff, &case.dispute),
        actions: evidence_actions(&staff, &case.dispute),
        lists: vec![
            (words.text("payments.units"), units(&staff, &case)),
            (words.text("payments.statuses"), statuses(words, &case)),
            (words.text("payments.refunds"), refunds(&staff, &case.refunds)),
        ],
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

fn evidence_actions(staff: &Staff, dispute: &DisputeRow) -> Vec<(&'static str, String, bool)> {
    let words = staff.words();
    let own = format!("/admin/payments/disputes/{}/evidence", dispute.id);
    let mut actions = Vec::new();
    if staff.may(Permission::UsersRead) {
        actions.push((
            words.text("payments.evidence.pdf"),
            format!("{own}/export?format=pdf"),
            false,
        ));
        actions.push((
            words.text("payments.evidence.signed"),
            format!("{own}/export?format=signed"),
            false,
        ));
        if dispute.status.ends_with("needs_response") && staff.may(Permission::OrdersRefund) {
            actions.push((words.text("payments.evidence.submit"), own, false));
        }
    }
    actions
}

/// `GET /admin/payments/disputes/{id}/evidence/export`: the case as a PDF document, or signed.
pub(crate) async fn evidence_export(staff: Staff, Path(dispute): Path<String>) -> Result<Response, PageError> {
    let id = id(&dispute)?;
    let (body, kind, ending) = if staff.parameter("format").as_deref() == Some("signed") {
        let export = staff.office().evidence_export(&staff.admin, id).await?;
        (Body::from(found(export)?), "application/json", "json")
    } else {
        let document = staff.office().evidence_document(&staff.admin, id, staff.now).await?;
        (Body::from(found(document)?), "application/pdf", "pdf")
    };
    let name = format!("attachment; filename=\"evidence-{id}.{ending}\"");
    Ok(attachment(body, HeaderValue::from_static(kind), &name))
}

/// `GET /admin/payments/disputes/{id}/evidence`
pub(crate) async fn evidence_page(staff: Staff, Path(dispute): Path<String>) -> Result<Response, PageError> {
    if !staff.may(Permission::UsersRead) {
        return Err(PageError::NotFound);
    }
    let case = found(staff.office().evidence(&staff.admin, id(&dispute)?).await?)?;
    evidence_form(&staff, &case, &Form::default())
}

fn evidence_form(staff: &Staff, case: &EvidenceCase, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("/admin/payments/disputes/{}", case.dispute.id);
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("payments.evidence.submit").to_owned(),
            &[
                room(words),
                (words.text("payments.disputes"), "/admin/payments/disputes"),
                (case.dispute.reference.as_str(), back.as_str()),
            ],
        ),
        form,
        format!("{back}/evidence"),
        words.text("payments.evidence.submit"),
        back,
    );
    let named = |name: &str| {
        let name = name.trim_start_matches("evidence[").trim_end_matches(']');
        name.replace("][", " ").replace('_', " ")
    };
    page.effects = (case.fields.iter())
        .map(|(name, text)| (named(name), show::short(text, 1_000)))
        .collect();
    page.warning = Some(words.text("payments.evidence.warning").to_owned());
    page.answer(form)
}

/// `POST /admin/payments/disputes/{id}/evidence`
pub(crate) async fn evidence(Path(dispute): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, id) = (staff.words(), id(&dispute)?);
    let why = match staff.office().submit_evidence(&staff.admin, id).await {
        Ok(()) => {
            let address = format!("/admin/payments/disputes/{id}?done=evidence_submitted");
            return Ok(forms::done(&address));
        }
        Err(EvidenceError::NotFound) => return Err(PageError::NotFound),
        Err(EvidenceError::Store(error)) => return Err(error.into()),
        Err(EvidenceError::NotAsked) => "wrong.evidence_not_asked",
        Err(EvidenceError::Already) => "wrong.evidence_submitted",
        Err(EvidenceError::Own) => "wrong.own_payment",
    };
    form.wrong("", words.text(why));
    let case = found(staff.office().evidence(&staff.admin, id).await?)?;
    evidence_form(&staff, &case, &form)
}

fn dispute_facts(staff: &Staff, dispute: &DisputeRow) -> Facts {
    let words = staff.words();
    let price = |amount: Money| format::price(words, amount);
    let mut facts: Facts = vec![
        (words.text("console.column.amount"), price(dispute.amount), None),
        (words.text("payments.held"), price(dispute.held), None),
        (words.text("payments.debt"), price(dispute.debt), None),
        (words.text("payments.fee"), price(dispute.fee), None),
        (words.text("payments.word"), dispute.status.clone(), None),
    ];
    if let Some(reason) = &dispute.reason {
        facts.push((words.text("console.column.reason"), reason.clone(), None));
    }
    if let Some(due) = dispute.due_by {
        facts.push((words.text("payments.due"), format::moment(words, due), None));
    }
    facts.push((
        words.text("payments.opened"),
        format::moment(words, dispute.opened_at),
        None,
    ));
    if let Some(at) = dispute.closed_at {
        facts.push((words.text("payments.decided"), format::moment(words, at), None));
    }
    let top_up = format!("/admin/payments/top-ups/{}", dispute.top_up_id);
    facts.push((
        words.text("payments.top_up"),
        dispute.top_up_id.to_string(),
        Some(top_up),
    ));
    facts.push((
        words.text("console.column.customer"),
        dispute.user_id.to_string(),
        customer(staff, dispute.user_id),
    ));
    facts
}

fn units(staff: &Staff, case: &DisputeCase) -> Table {
    let words = staff.words();
    let may_read = staff.may(Permission::OrdersRead);
    let rows = case.units.iter().map(|unit| Row {
        href: may_read.then(|| format!("/admin/orders/{}", unit.order_id)),
        cells: vec![
            Cell::Main(unit.title.clone()),
            Cell::money(words, unit.price_paid),
            if unit.delivered {
                Cell::Tag("good", words.text("payments.delivered").to_owned())
            } else {
                Cell::Tag("", words.text("payments.not_delivered").to_owned())
            },
            unit.key.clone().map_or(Cell::Nothing, Cell::Code),
            Cell::time_or_none(words, unit.first_shown_at),
        ],
    });
    let head = [
        "console.column.game",
        "#console.column.paid",
        "console.column.state",
        "console.column.key",
        "payments.first_shown",
    ];
    Table::plain(words, "payments.units", &head, rows.collect())
}

fn statuses(words: Language, case: &DisputeCase) -> Table {
    let rows = case.statuses.iter().map(|said| Row {
        href: None,
        cells: vec![Cell::Main(said.status.clone()), Cell::time(words, said.at)],
    });
    let head = ["payments.word", "console.column.time"];
    Table::plain(words, "payments.statuses", &head, rows.collect())
}

fn incident_table(staff: &Staff, incidents: &[PaymentIncidentRow]) -> Table {
    let words = staff.words();
    let may_close = staff.may(Permission::OrdersRefund);
    let rows = incidents.iter().map(|incident| Row {
        href: Some(format!("/admin/payments/top-ups/{}", incident.top_up_id)),
        cells: vec![
            Cell::Main(show::name(words, "payment_incident", &incident.kind)),
            Cell::Text(incident.detail.clone()),
            match incident.due_at {
                Some(due) if due <= staff.now => Cell::Tag("bad", format::moment(words, due)),
                due => Cell::time_or_none(words, due),
            },
            Cell::time(words, incident.created_at),
            if may_close {
                let address = format!("/admin/payments/incidents/{}/close", incident.id);
                Cell::Action(address, words.text("console.incident.close"))
            } else {
                Cell::Nothing
            },
        ],
    });
    let head = [
        "console.column.kind",
        "console.column.details",
        "payments.due",
        "console.column.time",
        "console.column.action",
    ];
    Table::plain(words, "payments.incidents", &head, rows.collect())
}

/// `GET /admin/payments/incidents`
pub(crate) async fn incidents(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let open = staff.office().payment_incidents(&staff.admin).await?;
    let table = incident_table(&staff, &open.incidents).or_else(
        words,
        "payments.incidents.none",
        "payments.incidents.none.advice",
    );
    page::private(&ListPage {
        layout: Layout::new(&staff, words.text("payments.incidents").to_owned(), &[room(words)]),
        lead: None,
        actions: Vec::new(),
        table,
    })
}

/// `GET /admin/payments/incidents/{id}/close`
pub(crate) async fn close_page(staff: Staff, Path(incident): Path<String>) -> Result<Response, PageError> {
    let incident = found(staff.office().payment_incident(&staff.admin, id(&incident)?).await?)?;
    close_form(&staff, &incident, &Form::default())
}

fn close_form(staff: &Staff, incident: &PaymentIncidentRow, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = "/admin/payments/incidents";
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("console.incident.close").to_owned(),
            &[room(words), (words.text("payments.incidents"), back)],
        ),
        form,
        format!("{back}/{}/close", incident.id),
        words.text("console.incident.close"),
        back.to_owned(),
    );
    page.effects = vec![
        (
            words.text("console.column.kind").to_owned(),
            show::name(words, "payment_incident", &incident.kind),
        ),
        (words.text("console.column.details").to_owned(), incident.detail.clone()),
    ];
    let warning = if incident.kind == "FRAUD_WARNING" {
        "payments.incident.warning.fraud"
    } else {
        "console.incident.warning"
    };
    page.warning = Some(words.text(warning).to_owned());
    page.fields = vec![
        form.field("reason", "text", words.text("console.field.note"))
            .hint(words.text("console.field.note.hint"))
            .required(),
    ];
    page.answer(form)
}

/// `POST /admin/payments/incidents/{id}/close`
pub(crate) async fn close(Path(incident): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let incident = found(staff.office().payment_incident(&staff.admin, id(&incident)?).await?)?;
    if let Some(note) = action::reason(words, &mut form, true) {
        let closed = staff
            .office()
            .close_payment_incident(&staff.admin, incident.id, &note)
            .await;
        match closed {
            Ok(()) => return Ok(forms::done("/admin/payments/incidents?done=incident_closed")),
            Err(IncidentCloseError::NotFound) => return Err(PageError::NotFound),
            Err(IncidentCloseError::Own) => form.wrong("", words.text("wrong.own_payment")),
            Err(IncidentCloseError::Refused(_)) => form.wrong("", words.text("wrong.has_more_permissions")),
            Err(IncidentCloseError::Store(error)) => return Err(error.into()),
        }
    }
    close_form(&staff, &incident, &form)
}

/// `GET /admin/payments/comparison`
pub(crate) async fn comparison(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let last = staff.office().payment_comparison(&staff.admin).await?;
    let rows = last.differences.iter().map(|one| Row {
        href: None,
        cells: vec![
            Cell::Main(show::name(words, "payment_difference", &one.kind)),
            Cell::Code(one.reference.clone()),
            Cell::Text(one.detail.clone()),
        ],
    });
    let head = [
        "console.column.kind",
        "console.column.reference",
        "console.column.details",
    ];
    let lead = match (last.began_at, last.ended_at) {
        (None, _) => words.text("payments.comparison.never").to_owned(),
        (Some(began), None) => words.with("payments.comparison.under_way", format::moment(words, began)),
        (_, Some(ended)) if last.differences.is_empty() => {
            words.with("payments.comparison.equal", format::moment(words, ended))
        }
        (_, Some(ended)) => words.with("payments.comparison.differs", format::moment(words, ended)),
    };
    let table = Table::plain(words, "payments.comparison", &head, rows.collect()).or_else(
        words,
        "payments.comparison.none",
        "payments.comparison.none.advice",
    );
    page::private(&ListPage {
        layout: Layout::new(&staff, words.text("payments.comparison").to_owned(), &[room(words)]),
        lead: Some(lead),
        actions: Vec::new(),
        table,
    })
}

/// `GET /admin/payments/top-ups/{id}/refund`
pub(crate) async fn refund_page(staff: Staff, Path(top_up): Path<String>) -> Result<Response, PageError> {
    let top_up = read(&staff, &top_up).await?;
    refund_form(&staff, &top_up, &Form::default())
}

fn refund_form(staff: &Staff, top_up: &TopUpDetail, form: &Form) -> Result<Response, PageError> {
    let (words, row) = (staff.words(), &top_up.top_up);
    let back = format!("/admin/payments/top-ups/{}", row.id);
    let price = |amount: Money| format::price(words, amount);
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("payments.refund.title").to_owned(),
            &[room(words), (words.text("payments.top_ups"), "/admin/payments/top-ups")],
        ),
        form,
        format!("{back}/refund"),
        words.text("payments.refund.submit"),
        back,
    );
    page.effects = vec![
        (words.text("console.column.customer").to_owned(), row.user.email.clone()),
        (words.text("payments.refund.most").to_owned(), price(top_up.refundable)),
        (words.text("console.balance.now").to_owned(), price(top_up.balance)),
    ];
    let amount = money(form.value("amount")).unwrap_or(top_up.refundable);
    if let Some(then) = top_up
        .balance
        .checked_sub(amount)
        .filter(|_| amount <= top_up.refundable)
    {
        page.effects
            .push((words.text("console.balance.then").to_owned(), price(then)));
        page.effects
            .push((words.text("payments.refund.to_card").to_owned(), price(amount)));
    }
    page.warning = Some(words.text("payments.refund.warning").to_owned());
    page.hidden = vec![("once", action::once(form))];
    page.fields = vec![
        form.field("amount", "text", words.text("console.field.amount"))
            .filled(&words.form().decimal(top_up.refundable.decimal()))
            .required(),
        form.field("reason", "text", words.text("console.field.reason"))
            .hint(words.text("console.field.reason.audit"))
            .required(),
    ];
    for field in &mut page.fields {
        field.keyboard = (field.name == "amount").then_some("decimal");
    }
    page.answer(form)
}

/// `POST /admin/payments/top-ups/{id}/refund`
pub(crate) async fn refund(Path(top_up): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, top_up) = (staff.words(), read(&staff, &top_up).await?);
    let reason = action::reason(words, &mut form, true);
    let amount = money(form.value("amount")).filter(|amount| amount.is_positive());
    if amount.is_none() {
        form.wrong("amount", words.text("wrong.amount_invalid"));
    }
    if let (Some(amount), Some(reason), true) = (amount, reason, form.is_sound()) {
        let confirmed = step_up::is_confirmed(&staff).await?;
        let (top_up_id, once) = (TopUpId(top_up.top_up.id), form.value("once").to_owned());
        let key = Some(once.as_str()).filter(|once| !once.is_empty());
        let refunded = staff
            .office()
            .refund_top_up((&staff.admin, confirmed), top_up_id, Some(amount), Some(&reason), key)
            .await;
        match refunded {
            Ok(refund) => {
                let amount = format!("{}EUR", refund.amount.decimal());
                let address = format!("/admin/payments/top-ups/{}", top_up.top_up.id);
                return Ok(forms::done(&with_query(
                    &address,
                    [("done", "card_refunded"), ("amount", &amount)],
                )));
            }
            // More than the role refunds a day without the password: it is asked for, and the refund made.
            Err(CardRefundError::NotConfirmed { .. }) => {
                return match step_up::ask(&staff, &mut form).await? {
                    Some(asked) => Ok(asked),
                    None => Box::pin(again(staff, &top_up, form)).await,
                };
            }
            Err(refused) => refuse(words, &mut form, refused)?,
        }
    }
    refund_form(&staff, &top_up, &form)
}

/// Makes the refund after the password was given.
async fn again(staff: Staff, top_up: &TopUpDetail, form: Form) -> Result<Response, PageError> {
    refund(Path(top_up.top_up.id.to_string()), StaffForm { staff, form }).await
}

fn refuse(words: Language, form: &mut Form, refused: CardRefundError) -> Result<(), PageError> {
    let why = match refused {
        CardRefundError::Store(error) => return Err(error.into()),
        CardRefundError::NotFound => return Err(PageError::NotFound),
        CardRefundError::TooMuch { left } => {
            form.wrong(
                "amount",
                words.with("wrong.refund_too_much", format::price(words, left)),
            );
            return Ok(());
        }
        CardRefundError::NotPositive => "wrong.amount_invalid",
        CardRefundError::NotPaid | CardRefundError::NotConfirmed { .. } => "wrong.not_refundable",
        CardRefundError::OtherProvider => "wrong.other_provider",
        CardRefundError::OtherCurrency => "wrong.other_currency",
        CardRefundError::Own => "wrong.own_payment",
        CardRefundError::Refused(_) => "wrong.has_more_permissions",
        CardRefundError::KeyReused => "wrong.sent_twice",
    };
    form.wrong("", words.text(why));
    Ok(())
}

/// `GET /admin/payments/refunds/{id}/withdraw`
pub(crate) async fn withdraw_page(staff: Staff, Path(refund): Path<String>) -> Result<Response, PageError> {
    let refund = found(staff.office().card_refund(&staff.admin, id(&refund)?).await?)?;
    withdraw_form(&staff, &refund, &Form::default())
}

fn withdraw_form(staff: &Staff, refund: &CardRefundRow, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("/admin/payments/top-ups/{}", refund.top_up_id);
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("payments.withdraw.title").to_owned(),
            &[room(words), (words.text("payments.top_ups"), "/admin/payments/top-ups")],
        ),
        form,
        format!("/admin/payments/refunds/{}/withdraw", refund.id),
        words.text("payments.withdraw.submit"),
        back,
    );
    page.effects = vec![(
        words.text("payments.withdraw.effect").to_owned(),
        format::price(words, refund.amount),
    )];
    page.warning = Some(words.text("payments.withdraw.warning").to_owned());
    page.fields = vec![
        form.field("reason", "text", words.text("console.field.reason"))
            .hint(words.text("console.field.reason.audit"))
            .required(),
    ];
    page.answer(form)
}

/// `POST /admin/payments/refunds/{id}/withdraw`
pub(crate) async fn withdraw(Path(refund): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let refund = found(staff.office().card_refund(&staff.admin, id(&refund)?).await?)?;
    if let Some(reason) = action::reason(words, &mut form, true) {
        let shop = &staff.state.shop;
        let why = match shop.withdraw_card_refund(&staff.admin, refund.id, &reason).await {
            Ok(()) => {
                let address = format!(
                    "/admin/payments/top-ups/{}?done=card_refund_withdrawn",
                    refund.top_up_id
                );
                return Ok(forms::done(&address));
            }
            Err(WithdrawalError::NotSearched(_)) => "wrong.refund_not_searched",
            Err(WithdrawalError::Refused(refused)) => match refused {
                WithdrawError::Store(error) => return Err(error.into()),
                WithdrawError::NotFound => return Err(PageError::NotFound),
                WithdrawError::Made => "wrong.refund_made",
                WithdrawError::Busy => "wrong.refund_busy",
                WithdrawError::Own => "wrong.own_payment",
                WithdrawError::Refused(_) => "wrong.has_more_permissions",
            },
        };
        form.wrong("", words.text(why));
    }
    withdraw_form(&staff, &refund, &form)
}

/// The pages of the room, with the permission that each of their methods needs.
pub(super) fn routes() -> Vec<crate::gate::Route> {
    use crate::gate::at;
    vec![
        at("/admin/payments/top-ups").get(Permission::PaymentsRead, list),
        at("/admin/payments/top-ups/{id}").get(Permission::PaymentsRead, top_up),
        at("/admin/payments/top-ups/{id}/refund")
            .get(Permission::OrdersRefund, refund_page)
            .post(Permission::OrdersRefund, refund),
        at("/admin/payments/refunds/{id}/withdraw")
            .get(Permission::OrdersRefund, withdraw_page)
            .post(Permission::OrdersRefund, withdraw),
        at("/admin/payments/disputes").get(Permission::PaymentsRead, disputes),
        at("/admin/payments/disputes/{id}").get(Permission::PaymentsRead, dispute),
        at("/admin/payments/disputes/{id}/evidence")
            .get(Permission::OrdersRefund, evidence_page)
            .post(Permission::OrdersRefund, evidence),
        at("/admin/payments/disputes/{id}/evidence/export").get(Permission::UsersRead, evidence_export),
        at("/admin/payments/incidents").get(Permission::PaymentsRead, incidents),
        at("/admin/payments/incidents/{id}/close")
            .get(Permission::OrdersRefund, close_page)
            .post(Permission::OrdersRefund, close),
        at("/admin/payments/comparison").get(Permission::PaymentsRead, comparison),
    ]
}
