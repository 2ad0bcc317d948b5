//! Withdrawals from contracts: the queue, and the decision about one.

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::{CardRefundError, NotRefundable, WithdrawalDecision, WithdrawalError, WithdrawalState};
use lockstep_domain::admin::{WithdrawalCase, WithdrawalRow};
use lockstep_domain::ids::TopUpId;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::{format, page};

use super::{found, id};
use crate::action::{self, ActionPage, Choice};
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::step_up;
use crate::table::{Cell, Filter, ListPage, Row, Table};

const ALL: &str = "/admin/withdrawals";
const OPEN: &str = "/admin/withdrawals?state=OPEN";

/// `GET /admin/withdrawals`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let states = [
        WithdrawalState::Open,
        WithdrawalState::Accepted,
        WithdrawalState::Refused,
    ];
    let asked = staff.parameter("state");
    let state = states
        .into_iter()
        .find(|state| asked.as_deref() == Some(state.as_str()));
    let listed = staff.office().withdrawals(&staff.admin, state, staff.page()).await?;
    let rows = listed.withdrawals.into_iter().map(|withdrawal| row(&staff, withdrawal));
    let filters = vec![Filter::choice(
        &staff,
        "state",
        words.text("console.column.status"),
        show::choices(words, "withdrawal", states.map(WithdrawalState::as_str)),
    )];
    let head = [
        "console.column.customer",
        "console.withdrawal.contact",
        "console.withdrawal.order",
        "console.column.status",
        "#console.column.amount",
        "console.column.time",
    ];
    let table = Table::plain(words, "console.withdrawals.title", &head, rows.collect())
        .filtered(&staff, filters)
        .paged(&staff, listed.paging)
        .or_else(words, "console.withdrawals.none", "console.withdrawals.none.advice");
    page::private(&ListPage {
        layout: Layout::new(
            &staff,
            words.text("console.withdrawals.title").to_owned(),
            &[(words.text("console.room.orders"), "/admin/orders")],
        ),
        lead: None,
        actions: Vec::new(),
        table,
    })
}

fn row(staff: &Staff, withdrawal: WithdrawalRow) -> Row {
    let words = staff.words();
    let is_open = withdrawal.state == WithdrawalState::Open.as_str();
    let href = match withdrawal.order_id {
        _ if is_open && staff.may(Permission::OrdersRefund) => Some(format!("{ALL}/{}", withdrawal.id)),
        Some(order) => Some(format!("/admin/orders/{order}")),
        None => None,
    };
    Row {
        href,
        cells: vec![
            Cell::Main(withdrawal.name),
            Cell::Text(withdrawal.contact),
            Cell::Code(withdrawal.order_number),
            show::state_cell(words, "withdrawal", &withdrawal.state),
            Cell::money(words, withdrawal.refunded),
            Cell::time(words, withdrawal.created_at),
        ],
    }
}

async fn read(staff: &Staff, withdrawal: &str) -> Result<WithdrawalCase, PageError> {
    found(staff.office().withdrawal(&staff.admin, id(withdrawal)?).await?)
}

/// `GET /admin/withdrawals/{id}`
pub(crate) async fn decide_page(staff: Staff, Path(withdrawal): Path<String>) -> Result<Response, PageError> {
    let case = read(&staff, &withdrawal).await?;
    if case.withdrawal.state != WithdrawalState::Open.as_str() {
        return Ok(forms::done(ALL));
    }
    decide_form(&staff, &case, &Form::default())
}

fn decide_form(staff: &Staff, case: &WithdrawalCase, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let said = &case.withdrawal;
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("console.withdrawal.title").to_owned(),
            &[(words.text("console.withdrawals.title"), OPEN)],
        ),
        form,
        format!("{ALL}/{}", said.id),
        words.text("console.withdrawal.decide"),
        OPEN.to_owned(),
    );
    page.effects = vec![
        (words.text("console.column.customer").to_owned(), said.name.clone()),
        (
            words.text("console.withdrawal.contact").to_owned(),
            said.contact.clone(),
        ),
        (
            words.text("console.withdrawal.order").to_owned(),
            said.order_number.clone(),
        ),
        (
            words.text("console.column.time").to_owned(),
            format::moment(words, said.created_at),
        ),
    ];
    if said.order_id.is_none() {
        page.warning = Some(words.text("console.withdrawal.unknown").to_owned());
    } else {
        let consent = case.consent.as_ref().map_or("none", |consent| consent.source.as_str());
        page.effects.push((
            words.text("console.withdrawal.consent").to_owned(),
            show::name(words, "consent", consent),
        ));
        page.warning = Some(words.text("console.withdrawal.warning").to_owned());
    }
    page.effects.extend(case.units.iter().map(|unit| {
        let state = match (unit.is_refunded, unit.is_delivered, unit.has_right) {
            (true, _, _) => "console.withdrawal.unit.refunded",
            (false, true, false) => "console.withdrawal.unit.no_right",
            (false, true, true) => "console.withdrawal.unit.by_hand",
            (false, false, _) => "console.withdrawal.unit.undelivered",
        };
        let text = format!("{} · {}", format::price(words, unit.price), words.text(state));
        (unit.title.clone(), text)
    }));
    let chosen = |name: &str, value: &str| form.value(name) == value;
    let option = |name: &str, value: &str, label: String| (value.to_owned(), label, chosen(name, value));
    page.choices = vec![Choice {
        name: "decision",
        label: words.text("console.withdrawal.decision"),
        options: vec![
            option("decision", "", words.text("console.withdrawal.choose").to_owned()),
            option("decision", "accept", words.text("console.withdrawal.accept").to_owned()),
            option("decision", "refuse", words.text("console.withdrawal.refuse").to_owned()),
        ],
    }];
    if !case.top_ups.is_empty() {
        let mut options = vec![option(
            "topUp",
            "",
            words.text("console.withdrawal.to_balance").to_owned(),
        )];
        options.extend(case.top_ups.iter().map(|top_up| {
            let label = words.with_all(
                "console.withdrawal.to_card",
                &[
                    &format::price(words, top_up.left),
                    &format::date(words, top_up.created_at),
                ],
            );
            option("topUp", &top_up.id.to_string(), label)
        }));
        page.choices.push(Choice {
            name: "topUp",
            label: words.text("console.withdrawal.money"),
            options,
        });
    }
    page.fields = vec![
        form.field("reason", "text", words.text("console.field.reason"))
            .hint(words.text("console.withdrawal.reason.hint")),
    ];
    page.answer(form)
}

/// `POST /admin/withdrawals/{id}`
pub(crate) async fn decide(Path(withdrawal): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, case) = (staff.words(), read(&staff, &withdrawal).await?);
    let is_accepted = match form.value("decision") {
        "accept" => true,
        "refuse" => false,
        _ => {
            form.wrong("", words.text("wrong.decision_missing"));
            return decide_form(&staff, &case, &form);
        }
    };
    let reason = action::reason(words, &mut form, !is_accepted);
    let top_up = match form.value("topUp") {
        "" => None,
        named => Some(TopUpId(id(named)?)),
    };
    if form.is_sound() {
        let decision = WithdrawalDecision {
            admin: staff.admin.caller().user(),
            is_accepted,
            reason,
            top_up: top_up.filter(|_| is_accepted),
            amount: None,
            confirmed: step_up::is_confirmed(&staff).await?,
            providers: staff.office().cards().to_vec(),
        };
        match staff
            .office()
            .decide_withdrawal(&staff.admin, case.withdrawal.id, &decision)
            .await
        {
            Ok(()) => return Ok(forms::done(&format!("{OPEN}&done=withdrawal_decided"))),
            // More than the role refunds to cards a day without the password: it is asked for, and the decision made.
            Err(WithdrawalError::Card(CardRefundError::NotConfirmed { .. })) => {
                return match step_up::ask(&staff, &mut form).await? {
                    Some(asked) => Ok(asked),
                    None => Box::pin(decide(Path(withdrawal), StaffForm { staff, form })).await,
                };
            }
            Err(WithdrawalError::NotFound) => return Err(PageError::NotFound),
            Err(WithdrawalError::Store(error)) => return Err(error.into()),
            Err(refused) => form.wrong("", words.text(why(&refused))),
        }
    }
    decide_form(&staff, &case, &form)
}

/// The text for a decision that was not made.
fn why(refused: &WithdrawalError) -> &'static str {
    match refused {
        WithdrawalError::Decided => "wrong.withdrawal_decided",
        WithdrawalError::NoReason => "wrong.reason_missing",
        WithdrawalError::NothingLeft => "wrong.withdrawal_nothing_left",
        WithdrawalError::Order(NotRefundable::NotAllowed(_)) | WithdrawalError::Card(CardRefundError::Refused(_)) => {
            "wrong.has_more_permissions"
        }
        _ => "wrong.withdrawal_card",
    }
}
