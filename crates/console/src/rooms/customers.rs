//! Customers: the list, and everything about one.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::{ActivityKind, List, Span, UserFilter};
use lockstep_domain::admin::{Activity, Found, UserDetail, UserRow};
use lockstep_domain::ids::UserId;
use lockstep_domain::staff::{Permission, StaffRole};
use lockstep_page::error::PageError;
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};

use super::{found, id};
use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{self, Cell, Filter, ListPage, Row, Table};

/// `GET /admin/customers`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let filter = UserFilter {
        query: staff.parameter("query").map(|query| query.chars().take(100).collect()),
        ..UserFilter::default()
    };
    if table::wants_file(&staff) {
        return table::file(&staff, List::Users(filter), false).await;
    }
    let users = staff.office().users(&staff.admin, &filter, staff.page()).await?;
    let rows = users.users.into_iter().map(|user| row(words, user)).collect();
    let head = [
        "console.column.email",
        "console.column.nickname",
        "console.column.role",
        "#console.column.balance",
        "#console.column.orders",
        "console.column.registered",
    ];
    let search = Filter::text(&staff, "query", words.text("console.customers.search"));
    let table = Table::plain(words, "console.room.customers", &head, rows)
        .filtered(&staff, vec![search])
        .paged(&staff, users.paging)
        .with_file(&staff)
        .or_else(words, "console.customers.none", "console.customers.none.advice");
    ListPage {
        layout: Layout::new(&staff, words.text("console.room.customers").to_owned(), &[]),
        lead: None,
        actions: Vec::new(),
        table,
    }
    .answer(&staff)
    .await
}

fn row(words: Language, user: UserRow) -> Row {
    Row {
        href: Some(format!("/admin/customers/{}", user.id)),
        cells: vec![
            Cell::Main(user.email),
            Cell::Text(user.nickname),
            Cell::Text(show::name(words, "role", user.role.name())),
            Cell::money(words, user.balance),
            Cell::number(words, user.orders_count),
            Cell::time(words, user.created_at),
        ],
    }
}

#[derive(Template)]
#[template(path = "customer.html")]
struct CustomerPage {
    layout: Layout,
    facts: Vec<(&'static str, String)>,
    /// What can be done: label and address.
    actions: Vec<(&'static str, String)>,
    orders: Table,
    transactions: Table,
    logins: Table,
}

/// `GET /admin/customers/{id}`
pub(crate) async fn page(staff: Staff, Path(user): Path<String>) -> Result<Response, PageError> {
    let (words, user_id) = (staff.words(), UserId(id(&user)?));
    let user = found(staff.office().user(&staff.admin, user_id).await?)?;
    staff.saw(Found::User(user.user.id)).await;
    let role = staff.office().role_of(&staff.admin, user_id).await?;
    let activity = staff
        .office()
        .activity(&staff.admin, user_id, ActivityKind::Login, Span::default())
        .await?;
    let page = CustomerPage {
        layout: Layout::new(
            &staff,
            user.user.email.clone(),
            &[(words.text("console.room.customers"), "/admin/customers")],
        ),
        facts: facts(words, &user, role.as_deref().unwrap_or_default()),
        actions: actions(&staff, &user, role.as_deref()),
        orders: orders(&staff, &user),
        transactions: transactions(words, &user),
        logins: logins(words, activity),
    };
    page::private(&page)
}

fn facts(words: Language, user: &UserDetail, role: &str) -> Vec<(&'static str, String)> {
    let row = &user.user;
    let names = [row.first_name.as_deref(), row.last_name.as_deref()];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut facts = vec![
        (words.text("console.column.balance"), format::price(words, row.balance)),
        (words.text("console.column.nickname"), row.nickname.clone()),
    ];
    if !name.is_empty() {
        facts.push((words.text("console.column.name"), name));
    }
    facts.extend([
        (words.text("console.column.role"), show::name(words, "role", role)),
        (
            words.text("console.column.orders"),
            format::number(words, row.orders_count),
        ),
        (
            words.text("console.column.registered"),
            format::moment(words, row.created_at),
        ),
        (words.text("console.column.id"), row.id.to_string()),
    ]);
    facts
}

fn actions(staff: &Staff, user: &UserDetail, role: Option<&str>) -> Vec<(&'static str, String)> {
    let words = staff.words();
    let own = format!("/admin/customers/{}", user.user.id);
    let mut actions = Vec::new();
    if staff.may(Permission::BalanceAdjust) {
        actions.push((words.text("console.balance.title"), format!("{own}/balance")));
    }
    if staff.may(Permission::StaffWrite) {
        actions.push((words.text("console.role.title"), format!("{own}/role")));
    }
    // Nobody acts as staff.
    if staff.may(Permission::UsersImpersonate) && role == Some(StaffRole::None.name()) {
        actions.push((words.text("console.act.title"), format!("{own}/act")));
    }
    if staff.may(Permission::AuditRead) {
        actions.push((words.text("console.acts.title"), format!("{own}/acts")));
    }
    actions.push((words.text("console.export.pdf"), format!("{own}/export?format=pdf")));
    if staff.may(Permission::CartsRead) && staff.may(Permission::PaymentsRead) {
        actions.push((words.text("console.export.json"), format!("{own}/export?format=json")));
    }
    actions
}

fn orders(staff: &Staff, user: &UserDetail) -> Table {
    let words = staff.words();
    let may_read = staff.may(Permission::OrdersRead);
    let rows = user.orders.iter().map(|order| Row {
        href: may_read.then(|| format!("/admin/orders/{}", order.id)),
        cells: vec![
            Cell::Main(format::moment(words, order.created_at)),
            Cell::money(words, order.total),
            show::order_cell(words, order.status),
        ],
    });
    let head = [
        "console.column.placed",
        "#console.column.total",
        "console.column.status",
    ];
    Table::plain(words, "console.customer.orders", &head, rows.collect())
}

fn transactions(words: Language, user: &UserDetail) -> Table {
    let rows = user.transactions.iter().map(|booking| Row {
        href: None,
        cells: vec![
            Cell::time(words, booking.created_at),
            Cell::Text(show::booking(words, booking.kind)),
            Cell::money(words, booking.amount),
            show::state_cell(words, "payment_status", booking.status.as_str()),
        ],
    });
    let head = [
        "console.column.time",
        "console.column.kind",
        "#console.column.amount",
        "console.column.status",
    ];
    Table::plain(words, "console.customer.transactions", &head, rows.collect())
}

fn logins(words: Language, activity: Option<Activity>) -> Table {
    let attempts = activity.map(|activity| activity.login_history).unwrap_or_default();
    let rows = attempts.into_iter().map(|attempt| Row {
        href: None,
        cells: vec![
            Cell::time(words, attempt.created_at),
            if attempt.success {
                Cell::Tag("good", words.text("console.login.ok").to_owned())
            } else {
                Cell::Tag("bad", words.text("console.login.failed").to_owned())
            },
            attempt.ip_address.map_or(Cell::Nothing, Cell::Code),
            Cell::text_or_none(attempt.user_agent.map(|agent| show::short(&agent, 90))),
        ],
    });
    let head = [
        "console.column.time",
        "console.column.result",
        "console.column.address",
        "console.column.browser",
    ];
    Table::plain(words, "console.customer.logins", &head, rows.collect())
}
