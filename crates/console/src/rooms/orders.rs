//! Orders: the list.

use axum::response::Response;
use lockstep_admin::List;
use lockstep_domain::admin::{OrderList, OrderRow};
use lockstep_domain::order::OrderStatus;
use lockstep_page::error::PageError;
use lockstep_page::i18n::Language;

use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{self, Cell, Filter, ListPage, Row, Table};

/// `GET /admin/orders`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let asked = staff.parameter("status");
    let known = |name: &String| OrderStatus::ALL.into_iter().find(|status| status.as_str() == name);
    let status = asked.as_ref().map(known);
    // No order has an unknown status.
    let is_empty = status == Some(None);
    if table::wants_file(&staff) {
        return table::file(&staff, List::Orders(status.flatten()), is_empty).await;
    }
    let orders = if is_empty {
        OrderList {
            orders: Vec::new(),
            paging: staff.page().of(0),
        }
    } else {
        staff
            .office()
            .orders(&staff.admin, status.flatten(), staff.page())
            .await?
    };
    let rows = orders.orders.into_iter().map(|order| row(words, order));
    let statuses = OrderStatus::ALL.map(OrderStatus::as_str);
    let filter = Filter::choice(
        &staff,
        "status",
        words.text("console.column.status"),
        show::choices(words, "order_status", statuses),
    );
    let head = [
        "console.column.customer",
        "console.column.items",
        "#console.column.units",
        "#console.column.total",
        "console.column.status",
        "console.column.placed",
    ];
    let table = Table::plain(words, "console.room.orders", &head, rows.collect())
        .filtered(&staff, vec![filter])
        .paged(&staff, orders.paging)
        .with_file(&staff)
        .or_else(words, "console.orders.none", "console.orders.none.advice");
    ListPage {
        layout: Layout::new(&staff, words.text("console.room.orders").to_owned(), &[]),
        lead: None,
        actions: Vec::new(),
        table,
    }
    .answer(&staff)
    .await
}

fn row(words: Language, order: OrderRow) -> Row {
    let titles: Vec<&str> = order.items.iter().map(|item| item.game_title.as_str()).collect();
    let first = titles.first().map_or_else(String::new, |title| show::short(title, 60));
    let items = match titles.len() {
        0 | 1 => first,
        more => format!("{first} +{}", more - 1),
    };
    Row {
        href: Some(format!("/admin/orders/{}", order.id)),
        cells: vec![
            Cell::Main(order.user_email),
            Cell::Text(items),
            Cell::number(words, order.items_count),
            Cell::money(words, order.total),
            show::order_cell(words, order.status),
            Cell::time(words, order.created_at),
        ],
    }
}
