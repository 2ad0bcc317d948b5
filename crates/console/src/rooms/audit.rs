//! The audit log: what staff and the operator did.

use axum::response::Response;
use lockstep_domain::admin::AuditRow;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;

use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, Filter, ListPage, Row, Table};

/// `GET /admin/audit`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let action = staff.parameter("action");
    let subject = staff.parameter("subject");
    let id = subject.as_deref().map(str::parse);
    // What is no ID is about nothing.
    let id = id.map(Result::unwrap_or_default);
    let log = staff
        .office()
        .audit(&staff.admin, action.as_deref(), id, staff.page())
        .await?;
    let rows = log.entries.into_iter().map(|entry| row(&staff, entry)).collect();
    let filters = vec![
        Filter::text(&staff, "action", words.text("console.audit.action")),
        Filter::text(&staff, "subject", words.text("console.audit.subject")),
    ];
    let head = [
        "console.column.time",
        "console.column.who",
        "console.column.action",
        "console.column.what",
        "console.column.details",
    ];
    let table = Table::plain(words, "console.room.audit", &head, rows)
        .filtered(&staff, filters)
        .paged(&staff, log.paging)
        .or_else(words, "console.audit.none", "console.audit.none.advice");
    ListPage {
        layout: Layout::new(&staff, words.text("console.room.audit").to_owned(), &[]),
        lead: Some(words.text("console.audit.lead").to_owned()),
        actions: Vec::new(),
        table,
    }
    .answer(&staff)
    .await
}

fn row(staff: &Staff, entry: AuditRow) -> Row {
    let words = staff.words();
    let href = match entry.subject_kind.as_str() {
        "order" if staff.may(Permission::OrdersRead) => Some(format!("/admin/orders/{}", entry.subject_id)),
        "user" if staff.may(Permission::UsersRead) => Some(format!("/admin/customers/{}", entry.subject_id)),
        "game_key" if staff.may(Permission::KeysRead) => Some(format!("/admin/keys/{}", entry.subject_id)),
        "promo_code" if staff.may(Permission::PromotionsRead) => {
            Some(format!("/admin/promotions/{}", entry.subject_id))
        }
        _ => None,
    };
    // Addresses of other staff are for those who may read users.
    let who = match (entry.actor, entry.actor_email) {
        (None, _) => words.text("console.audit.operator").to_owned(),
        (Some(_), Some(email)) if staff.may(Permission::UsersRead) => email,
        (Some(id), _) => show::short(&id.to_string(), 9),
    };
    Row {
        href,
        cells: vec![
            Cell::time(words, entry.at),
            Cell::Text(who),
            Cell::Main(show::event(words, &format!("audit.{}", entry.action))),
            Cell::Text(show::name(words, "subject", &entry.subject_kind)),
            Cell::Code(show::short(&entry.details, 240)),
        ],
    }
}
