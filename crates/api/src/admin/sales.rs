//! Dashboard, orders and transactions.

use axum::extract::Path;
use http::StatusCode;
use lockstep_admin::{List, Method, TransactionFilter};
use lockstep_domain::admin::{Dashboard, OrderDetail, OrderList, Page, TransactionList};
use lockstep_domain::catalogue::Answer;
use lockstep_domain::ids::OrderId;
use lockstep_domain::order::OrderStatus;
use lockstep_domain::purchase::PaymentStatus;
use lockstep_domain::staff::Permission;
use utoipa::OpenApi;

use super::routes::{StaffRoute, at};
use super::{Paged, RequireStaff, days, files, found};
use crate::answer::{self, Answered};
use crate::body::uuid_in;
use crate::params::Ask;

#[derive(OpenApi)]
#[openapi(paths(dashboard, orders, order, transactions, payments))]
pub(super) struct Description;

pub(super) fn routes() -> Vec<StaffRoute> {
    vec![
        at("/api/admin/dashboard").get(Permission::DashboardRead, dashboard),
        at("/api/admin/orders").get(Permission::OrdersRead, orders),
        at("/api/admin/transactions").get(Permission::PaymentsRead, transactions),
        at("/api/admin/payments/transactions").get(Permission::PaymentsRead, payments),
    ]
}

/// Returns the key figures of the shop.
///
/// Revenue is the amount paid for orders minus refunds. Days are days of the
/// shop's time zone (`timeZone`).
#[utoipa::path(get, path = "/api/admin/dashboard", tag = "admin", operation_id = "adminDashboard", security(("bearer" = [])),
    responses((status = 200, description = "Current figures", body = Answer<Dashboard>),
    (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn dashboard(staff: RequireStaff) -> Answered {
    answer::data(StatusCode::OK, &staff.office.dashboard(&staff.admin, staff.now).await?)
}

/// Returns the orders, newest first.
///
/// An unknown status returns an empty list.
#[utoipa::path(get, path = "/api/admin/orders", tag = "admin", operation_id = "adminOrders", security(("bearer" = [])), params(
    Paged<20>,
    ("status" = Option<String>, Query, max_length = 100, description = "PENDING, PROCESSING, COMPLETED, FAILED or CANCELLED"),
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default), or `csv` for a file with every row")),
    responses((status = 200, description = "A page of orders", body = Answer<OrderList>),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn orders(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let status = ask.text("status")?;
    let as_file = files::wanted(&ask)?;
    let known = |name: &String| OrderStatus::ALL.into_iter().find(|status| status.as_str() == name);
    let status = status.as_ref().map(known);
    if as_file {
        return files::csv(&staff, List::Orders(status.flatten()), status == Some(None)).await;
    }
    let orders = match status {
        Some(None) => OrderList {
            orders: Vec::new(),
            paging: page.of(0),
        },
        Some(status) => staff.office.orders(&staff.admin, status, page).await?,
        None => staff.office.orders(&staff.admin, None, page).await?,
    };
    answer::data(StatusCode::OK, &orders)
}

/// Returns an order with its items, units and transaction.
///
/// The content of its keys is not included.
#[utoipa::path(get, path = "/api/admin/orders/{id}", tag = "admin", operation_id = "adminOrder", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "ID of the order")),
    responses((status = 200, description = "The order", body = Answer<OrderDetail>),
    (status = 400, description = "`id` is not a UUID"), (status = 403, description = "Not signed in as an administrator"),
    (status = 404, description = "There is no such order")))]
pub(crate) async fn order(Path(id): Path<String>, staff: RequireStaff) -> Answered {
    let order = staff.office.order(&staff.admin, OrderId(uuid_in("id", &id)?)).await?;
    answer::data(StatusCode::OK, &found(order, "Order")?)
}

/// Returns the transactions of all users, newest first.
#[utoipa::path(get, path = "/api/admin/transactions", tag = "admin", operation_id = "adminTransactions", security(("bearer" = [])), params(
    Paged<100>,
    ("method" = Option<String>, Query, max_length = 100, description = "Payment method, exact match"),
    ("status" = Option<String>, Query, max_length = 100, description = "PENDING, PROCESSING, COMPLETED, FAILED or CANCELLED"),
    ("startDate" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD, UTC"),
    ("endDate" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD, UTC"),
    ("transactionHash" = Option<String>, Query, max_length = 100, description = "Part of the external reference"),
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default), or `csv` for a file with every row")),
    responses((status = 200, description = "A page of transactions", body = Answer<TransactionList>),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn transactions(staff: RequireStaff, Paged(page): Paged<100>, ask: Ask) -> Answered {
    let method = ask.text("method")?.map(Method::Is);
    listed(&staff, &ask, method, page).await
}

/// Returns the transactions as payments, newest first.
///
/// The same list as `/api/admin/transactions`, but `method` matches a part of the payment method.
#[utoipa::path(get, path = "/api/admin/payments/transactions", tag = "admin", operation_id = "adminPaymentTransactions", security(("bearer" = [])), params(
    Paged<20>,
    ("method" = Option<String>, Query, max_length = 100, description = "Part of the payment method"),
    ("status" = Option<String>, Query, max_length = 100, description = "PENDING, PROCESSING, COMPLETED, FAILED or CANCELLED"),
    ("startDate" = Option<String>, Query, max_length = 100, description = "First day, YYYY-MM-DD, UTC"),
    ("endDate" = Option<String>, Query, max_length = 100, description = "Last day, YYYY-MM-DD, UTC"),
    ("transactionHash" = Option<String>, Query, max_length = 100, description = "Part of the reference outside"),
    ("format" = Option<String>, Query, max_length = 100, description = "`json` (default), or `csv` for a file with every row")),
    responses((status = 200, description = "A page of transactions", body = Answer<TransactionList>),
    (status = 400, description = "Invalid parameter"), (status = 403, description = "Not signed in as an administrator")))]
pub(crate) async fn payments(staff: RequireStaff, Paged(page): Paged<20>, ask: Ask) -> Answered {
    let method = ask.text("method")?.map(Method::Contains);
    listed(&staff, &ask, method, page).await
}

async fn listed(staff: &RequireStaff, ask: &Ask, method: Option<Method>, page: Page) -> Answered {
    let span = days(ask)?;
    let status = ask.text("status")?;
    let known = |name: &String| PaymentStatus::ALL.into_iter().find(|status| status.as_str() == name);
    let status = status.as_ref().map(known);
    let filter = TransactionFilter {
        method,
        status: status.flatten(),
        from: span.from,
        until: span.until,
        transaction_hash: ask.text("transactionHash")?,
    };
    // No transaction has an unknown status.
    let is_empty = status == Some(None);
    if files::wanted(ask)? {
        return files::csv(staff, List::Transactions(filter), is_empty).await;
    }
    if is_empty {
        let none = TransactionList {
            transactions: Vec::new(),
            paging: page.of(0),
        };
        return answer::data(StatusCode::OK, &none);
    }
    let listed = staff.office.transactions(&staff.admin, &filter, page).await?;
    answer::data(StatusCode::OK, &listed)
}
