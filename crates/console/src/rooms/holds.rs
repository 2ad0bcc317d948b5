//! Payments that a rule against fraud holds until staff decide, and the rules themselves.

use axum::extract::Path;
use axum::response::Response;
use chrono::TimeDelta;
use lockstep_admin::{FraudRule, FraudRuleError, HoldDecideError, HoldDecision};
use lockstep_domain::admin::{FraudRuleRow, PaymentHoldRow};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};

use super::{found, id};
use crate::action::{self, ActionPage};
use crate::gate::{Confirmed, Route, StaffForm, at};
use crate::layout::{Layout, money};
use crate::show;
use crate::staff::Staff;
use crate::step_up;
use crate::table::{Cell, Filter, ListPage, Row, Table};

const HOLDS: &str = "/admin/payments/holds";
const RULES: &str = "/admin/payments/rules";

/// The pages, with the permission that each of their methods needs.
pub(super) fn routes() -> Vec<Route> {
    vec![
        at(HOLDS).get(Permission::PaymentsRead, list),
        at("/admin/payments/holds/{id}/release")
            .get(Permission::OrdersRefund, release_page)
            .post(Permission::OrdersRefund, release),
        at("/admin/payments/holds/{id}/refund")
            .get(Permission::OrdersRefund, refund_page)
            .post(Permission::OrdersRefund, refund),
        at(RULES).get(Permission::PaymentsRead, rules),
        at("/admin/payments/rules/{name}")
            .get(Permission::SystemWrite, rule_page)
            .post(Confirmed(Permission::SystemWrite), rule),
    ]
}

fn room(words: Language) -> (&'static str, &'static str) {
    (words.text("console.room.payments"), "/admin/payments")
}

/// `GET /admin/payments/holds`
async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let state = staff.parameter("state");
    let listed = staff
        .office()
        .payment_holds(&staff.admin, state.as_deref(), staff.page())
        .await?;
    let may_decide = staff.may(Permission::OrdersRefund);
    let action = |hold: &PaymentHoldRow, what: &str, label: &'static str| {
        if hold.state == "OPEN" && may_decide {
            Cell::Action(format!("{HOLDS}/{}/{what}", hold.id), words.text(label))
        } else {
            Cell::Nothing
        }
    };
    let rows = listed.holds.iter().map(|hold| Row {
        href: Some(format!("/admin/payments/top-ups/{}", hold.top_up_id)),
        cells: vec![
            Cell::Main(hold.email.clone()),
            Cell::money(words, hold.amount),
            Cell::Text(show::name(words, "fraud_rule", &hold.rule)),
            Cell::Text(hold.detail.clone()),
            Cell::Tag(
                if hold.state == "OPEN" { "warn" } else { "" },
                show::name(words, "payment_hold", &hold.state),
            ),
            Cell::text_or_none(hold.note.clone()),
            Cell::time(words, hold.created_at),
            action(hold, "release", "payments.hold.release"),
            action(hold, "refund", "payments.hold.refund"),
        ],
    });
    let head = [
        "console.column.customer",
        "#console.column.amount",
        "payments.rule",
        "console.column.reason",
        "console.column.state",
        "console.column.note",
        "console.column.time",
        "payments.hold.release",
        "payments.hold.refund",
    ];
    let filter = Filter::choice(
        &staff,
        "state",
        words.text("console.column.state"),
        show::choices(words, "payment_hold", ["OPEN", "RELEASED", "REFUNDING", "REFUNDED"]),
    );
    let table = Table::plain(words, "payments.holds", &head, rows.collect())
        .filtered(&staff, vec![filter])
        .paged(&staff, listed.paging)
        .or_else(words, "payments.holds.none", "payments.holds.none.advice");
    page::private(&ListPage {
        layout: Layout::new(&staff, words.text("payments.holds").to_owned(), &[room(words)]),
        lead: Some(words.text("payments.holds.lead").to_owned()),
        actions: vec![(words.text("payments.rules"), RULES.to_owned())],
        table,
    })
}

async fn read(staff: &Staff, hold: &str) -> Result<PaymentHoldRow, PageError> {
    found(staff.office().payment_hold(&staff.admin, id(hold)?).await?)
}

/// `GET /admin/payments/holds/{id}/release`
async fn release_page(staff: Staff, Path(hold): Path<String>) -> Result<Response, PageError> {
    let hold = read(&staff, &hold).await?;
    decide_form(&staff, &hold, HoldDecision::Release, &Form::default())
}

/// `GET /admin/payments/holds/{id}/refund`
async fn refund_page(staff: Staff, Path(hold): Path<String>) -> Result<Response, PageError> {
    let hold = read(&staff, &hold).await?;
    decide_form(&staff, &hold, HoldDecision::Refund, &Form::default())
}

/// `POST /admin/payments/holds/{id}/release`
async fn release(Path(hold): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    decide(&hold, HoldDecision::Release, sent).await
}

/// `POST /admin/payments/holds/{id}/refund`
async fn refund(Path(hold): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    decide(&hold, HoldDecision::Refund, sent).await
}

fn decide_form(
    staff: &Staff,
    hold: &PaymentHoldRow,
    decision: HoldDecision,
    form: &Form,
) -> Result<Response, PageError> {
    let words = staff.words();
    let (what, label, warning) = match decision {
        HoldDecision::Release => ("release", "payments.hold.release", "payments.hold.release.warning"),
        HoldDecision::Refund => ("refund", "payments.hold.refund", "payments.hold.refund.warning"),
    };
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text(label).to_owned(),
            &[room(words), (words.text("payments.holds"), HOLDS)],
        ),
        form,
        format!("{HOLDS}/{}/{what}", hold.id),
        words.text(label),
        HOLDS.to_owned(),
    );
    page.effects = vec![
        (words.text("console.column.customer").to_owned(), hold.email.clone()),
        (
            words.text("console.column.amount").to_owned(),
            format::price(words, hold.amount),
        ),
        (
            words.text("payments.rule").to_owned(),
            show::name(words, "fraud_rule", &hold.rule),
        ),
        (words.text("console.column.reason").to_owned(), hold.detail.clone()),
    ];
    page.warning = Some(words.text(warning).to_owned());
    page.is_danger = decision == HoldDecision::Refund;
    page.fields = vec![
        form.field("reason", "text", words.text("console.field.note"))
            .hint(words.text("console.field.note.hint"))
            .required(),
    ];
    page.answer(form)
}

async fn decide(hold: &str, decision: HoldDecision, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, hold) = (staff.words(), read(&staff, hold).await?);
    if let Some(note) = action::reason(words, &mut form, true) {
        let confirmed = step_up::is_confirmed(&staff).await?;
        let by = (&staff.admin, confirmed);
        match staff.office().decide_payment_hold(by, hold.id, decision, &note).await {
            Ok(()) => return Ok(forms::done(&format!("{HOLDS}?state=OPEN&done=hold_decided"))),
            // More than the role refunds a day without the password: it is asked for, and the decision carried out.
            Err(HoldDecideError::NotConfirmed { .. }) => {
                return match step_up::ask(&staff, &mut form).await? {
                    Some(asked) => Ok(asked),
                    None => Box::pin(decide(&hold.id.to_string(), decision, StaffForm { staff, form })).await,
                };
            }
            Err(HoldDecideError::NotFound) => form.wrong("", words.text("wrong.hold_decided")),
            Err(HoldDecideError::Own) => form.wrong("", words.text("wrong.own_payment")),
            Err(HoldDecideError::Refused(_)) => form.wrong("", words.text("wrong.has_more_permissions")),
            Err(HoldDecideError::Store(error)) => return Err(error.into()),
        }
    }
    decide_form(&staff, &hold, decision, &form)
}

/// What a rule measures with, in words.
fn measure(words: Language, rule: &FraudRuleRow) -> String {
    let number = |number: u32| format::number(words, number.into());
    let parts = [
        rule.amount.map(|amount| format::price(words, amount)),
        rule.count.map(number),
        rule.hours.map(|hours| words.with("payments.rule.hours", number(hours))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// `GET /admin/payments/rules`
async fn rules(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let listed = staff.office().fraud_rules(&staff.admin).await?;
    let report = staff
        .office()
        .hold_report(
            &staff.admin,
            staff.now - TimeDelta::days(90),
            staff.now + TimeDelta::days(1),
        )
        .await?;
    let may_write = staff.may(Permission::SystemWrite);
    let rows = listed.rules.iter().map(|rule| {
        let ended = report.rows.iter().find(|row| row.rule == rule.name);
        let figure = |of: fn(&lockstep_domain::admin::HoldReportRow) -> u64| {
            ended.map_or(Cell::Nothing, |row| Cell::number(words, of(row)))
        };
        Row {
            href: may_write.then(|| format!("{RULES}/{}", rule.name)),
            cells: vec![
                Cell::Main(show::name(words, "fraud_rule", &rule.name)),
                if rule.on {
                    Cell::Tag("good", words.text("payments.rule.on").to_owned())
                } else {
                    Cell::Tag("", words.text("payments.rule.off").to_owned())
                },
                Cell::Text(measure(words, rule)),
                figure(|row| row.held),
                figure(|row| row.released),
                figure(|row| row.refunded),
                figure(|row| row.regretted),
            ],
        }
    });
    let head = [
        "payments.rule",
        "console.column.state",
        "payments.rule.measure",
        "#payments.rule.held",
        "#payments.rule.released",
        "#payments.rule.refunded",
        "#payments.rule.regretted",
    ];
    let table = Table::plain(words, "payments.rules", &head, rows.collect());
    page::private(&ListPage {
        layout: Layout::new(&staff, words.text("payments.rules").to_owned(), &[room(words)]),
        lead: Some(words.text("payments.rules.lead").to_owned()),
        actions: vec![(words.text("payments.holds"), HOLDS.to_owned())],
        table,
    })
}

async fn read_rule(staff: &Staff, name: &str) -> Result<FraudRuleRow, PageError> {
    let rules = staff.office().fraud_rules(&staff.admin).await?.rules;
    found(rules.into_iter().find(|rule| rule.name == name))
}

/// `GET /admin/payments/rules/{name}`
async fn rule_page(staff: Staff, Path(name): Path<String>) -> Result<Response, PageError> {
    let rule = read_rule(&staff, &name).await?;
    rule_form(&staff, &rule, &Form::default())
}

fn rule_form(staff: &Staff, rule: &FraudRuleRow, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let name = show::name(words, "fraud_rule", &rule.name);
    let mut page = ActionPage::new(
        Layout::new(staff, name, &[room(words), (words.text("payments.rules"), RULES)]),
        form,
        format!("{RULES}/{}", rule.name),
        words.text("payments.rule.save"),
        RULES.to_owned(),
    );
    page.effects = vec![(words.text("payments.rule.measure").to_owned(), measure(words, rule))];
    page.warning = Some(words.text("payments.rule.warning").to_owned());
    page.hidden = vec![("version", rule.version.to_string())];
    if let Some(amount) = rule.amount {
        page.fields.push(
            form.field("amount", "text", words.text("console.field.amount"))
                .filled(&words.form().decimal(amount.decimal()))
                .required(),
        );
    }
    for (field, label, value) in [
        ("count", "console.column.count", rule.count),
        ("hours", "payments.rule.hours.field", rule.hours),
    ] {
        if let Some(value) = value {
            page.fields.push(
                form.field(field, "text", words.text(label))
                    .filled(&value.to_string())
                    .required(),
            );
        }
    }
    for field in &mut page.fields {
        field.keyboard = Some("decimal");
    }
    let is_sent = !form.value("version").is_empty();
    let is_on = if is_sent { form.value("on") == "yes" } else { rule.on };
    page.check = Some(("on", words.text("payments.rule.counts"), is_on));
    page.answer(form)
}

/// `POST /admin/payments/rules/{name}`
async fn rule(Path(name): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, now) = (staff.words(), read_rule(&staff, &name).await?);
    let whole = |form: &mut Form, field: &'static str, is_measured: bool| {
        let number = form.value(field).parse::<u32>().ok();
        if is_measured && number.is_none() {
            form.wrong(field, words.text("wrong.whole_number"));
        }
        number.filter(|_| is_measured)
    };
    let count = whole(&mut form, "count", now.count.is_some());
    let hours = whole(&mut form, "hours", now.hours.is_some());
    let amount = money(form.value("amount")).filter(|_| now.amount.is_some());
    if now.amount.is_some() && amount.is_none() {
        form.wrong("amount", words.text("wrong.amount_invalid"));
    }
    if form.is_sound() {
        let changed = FraudRule {
            name: now.name.clone(),
            is_on: form.value("on") == "yes",
            amount,
            count,
            hours,
            version: form.value("version").parse().unwrap_or_default(),
        };
        match staff.office().change_fraud_rule(&staff.admin, changed).await {
            Ok(_) => return Ok(forms::done(&format!("{RULES}?done=saved"))),
            Err(FraudRuleError::NotFound) => return Err(PageError::NotFound),
            Err(FraudRuleError::Changed) => {
                form.wrong("", words.with("wrong.changed_meanwhile", measure(words, &now)));
            }
            Err(FraudRuleError::Wrong) => form.wrong("", words.text("wrong.rule_out_of_bounds")),
            Err(FraudRuleError::Store(error)) => return Err(error.into()),
        }
    }
    rule_form(&staff, &now, &form)
}
