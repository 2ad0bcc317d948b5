//! Payments: every booking, newest first.

use axum::response::Response;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use lockstep_admin::{List, Method, TransactionFilter};
use lockstep_domain::admin::{TransactionList, TransactionRow};
use lockstep_domain::purchase::PaymentStatus;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::i18n::Language;

use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{self, Cell, Filter, ListPage, Row, Table};

/// `GET /admin/payments`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let asked = staff.parameter("status");
    let known = |name: &String| PaymentStatus::ALL.into_iter().find(|status| status.as_str() == name);
    let status = asked.as_ref().map(known);
    // No booking has an unknown status.
    let is_empty = status == Some(None);
    let short = |text: String| text.chars().take(100).collect::<String>();
    let filter = TransactionFilter {
        method: staff.parameter("method").map(|method| Method::Contains(short(method))),
        status: status.flatten(),
        from: day(&staff, "from"),
        until: until(&staff),
        transaction_hash: staff.parameter("reference").map(short),
    };
    if table::wants_file(&staff) {
        return table::file(&staff, List::Transactions(filter), is_empty).await;
    }
    let listed = if is_empty {
        TransactionList {
            transactions: Vec::new(),
            paging: staff.page().of(0),
        }
    } else {
        staff.office().transactions(&staff.admin, &filter, staff.page()).await?
    };
    let rows = listed.transactions.into_iter().map(|booking| row(&staff, booking));
    let filters = vec![
        Filter::choice(
            &staff,
            "status",
            words.text("console.column.status"),
            show::choices(words, "payment_status", PaymentStatus::ALL.map(PaymentStatus::as_str)),
        ),
        Filter::text(&staff, "method", words.text("console.column.method")),
        Filter::text(&staff, "reference", words.text("console.column.reference")),
        Filter::day(&staff, "from", words.text("console.filter.from")),
        Filter::day(&staff, "to", words.text("console.filter.to")),
    ];
    let head = [
        "console.column.customer",
        "console.column.kind",
        "console.column.method",
        "#console.column.amount",
        "console.column.status",
        "console.column.reference",
        "console.column.time",
    ];
    let table = Table::plain(words, "console.room.payments", &head, rows.collect())
        .filtered(&staff, filters)
        .paged(&staff, listed.paging)
        .with_file(&staff)
        .or_else(words, "console.payments.none", "console.payments.none.advice");
    ListPage {
        layout: Layout::new(&staff, words.text("console.room.payments").to_owned(), &[]),
        lead: None,
        actions: places(words),
        table,
    }
    .answer(&staff)
    .await
}

/// The end of the day `to` of the address.
pub(super) fn until(staff: &Staff) -> Option<DateTime<Utc>> {
    day(staff, "to").and_then(|day| day.checked_add_days(Days::new(1)))
}

/// A day of the address, as its beginning in UTC. What is none is no filter.
pub(super) fn day(staff: &Staff, name: &str) -> Option<DateTime<Utc>> {
    let day = NaiveDate::parse_from_str(&staff.parameter(name)?, "%Y-%m-%d").ok()?;
    // The range of years that the database can compare with.
    let day = Some(day).filter(|day| (1..=9999).contains(&chrono::Datelike::year(day)))?;
    Some(day.and_time(NaiveTime::MIN).and_utc())
}

fn row(staff: &Staff, row: TransactionRow) -> Row {
    let words = staff.words();
    let booking = row.transaction;
    let href = match row.order_id {
        Some(order) if staff.may(Permission::OrdersRead) => Some(format!("/admin/orders/{order}")),
        _ if staff.may(Permission::UsersRead) => Some(format!("/admin/customers/{}", row.user_id)),
        _ => None,
    };
    Row {
        href,
        cells: vec![
            Cell::Main(row.user.email),
            Cell::Text(show::booking(words, booking.kind)),
            Cell::text_or_none(booking.method),
            Cell::money(words, booking.amount),
            show::state_cell(words, "payment_status", booking.status.as_str()),
            booking
                .transaction_hash
                .map_or(Cell::Nothing, |hash| Cell::Code(show::short(&hash, 24))),
            Cell::time(words, booking.created_at),
        ],
    }
}

/// What the room has besides its bookings: label and address.
fn places(words: Language) -> Vec<(&'static str, String)> {
    vec![
        (words.text("payments.top_ups"), "/admin/payments/top-ups".to_owned()),
        (words.text("payments.disputes"), "/admin/payments/disputes".to_owned()),
        (
            words.text("payments.holds"),
            "/admin/payments/holds?state=OPEN".to_owned(),
        ),
        (words.text("payments.incidents"), "/admin/payments/incidents".to_owned()),
        (
            words.text("payments.comparison"),
            "/admin/payments/comparison".to_owned(),
        ),
        (
            words.text("console.vat.receipts"),
            "/admin/payments/receipts".to_owned(),
        ),
        (words.text("console.vat.report"), "/admin/payments/vat".to_owned()),
    ]
}
