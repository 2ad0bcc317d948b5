//! The rooms of the console, one module each.

pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod cache;
pub(crate) mod cards;
pub(crate) mod catalogue;
pub(crate) mod content;
pub(crate) mod customer;
pub(crate) mod customers;
pub(crate) mod emails;
pub(crate) mod follow;
pub(crate) mod game;
pub(crate) mod game_pictures;
pub(crate) mod holds;
pub(crate) mod key_stock;
pub(crate) mod keys;
pub(crate) mod order;
pub(crate) mod order_changes;
pub(crate) mod order_email;
pub(crate) mod orders;
pub(crate) mod payments;
pub(crate) mod picture_changes;
pub(crate) mod prices;
pub(crate) mod promotions;
pub(crate) mod schedule;
pub(crate) mod search;
pub(crate) mod supplier;
pub(crate) mod system;
pub(crate) mod terms;
pub(crate) mod today;
pub(crate) mod vat;
pub(crate) mod views;
pub(crate) mod withdrawals;

use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use uuid::Uuid;

use crate::gate::{AnyStaff, Confirmed, Route, at};

/// Every page, with the permission that each of its methods needs.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = vec![
        at("/admin").get(AnyStaff, today::page),
        at("/admin/search").get(AnyStaff, search::page),
        at("/admin/palette").get(AnyStaff, search::options),
        at("/admin/views").post(AnyStaff, views::create),
        at("/admin/views/{id}")
            .get(AnyStaff, views::page)
            .post(AnyStaff, views::change),
        at("/admin/views/{id}/delete")
            .get(AnyStaff, views::delete_page)
            .post(AnyStaff, views::delete),
        at("/admin/live/today").get(Permission::DashboardRead, follow::today),
        at("/admin/live/supplier").get(Permission::SupplierRead, follow::supplier),
        at("/admin/live/jobs/{id}").get(Permission::SupplierRead, follow::job),
        at("/admin/live/orders/{id}").get(Permission::OrdersRead, follow::order),
        at("/admin/live/bulk/{id}").get(Permission::CatalogueRead, follow::bulk),
        at("/admin/live/prices").get(Permission::PricesRead, follow::prices),
        at("/admin/live/diagnostics").get(Permission::SystemRead, follow::diagnostics),
        at("/admin/orders").get(Permission::OrdersRead, orders::list),
        at("/admin/orders/{id}").get(Permission::OrdersRead, order::page),
        at("/admin/orders/{id}/emails/{email}").get(Permission::OrdersRead, order_email::page),
        at("/admin/orders/{id}/cancel")
            .get(Permission::OrdersWrite, order_changes::cancel_page)
            .post(Permission::OrdersWrite, order_changes::cancel),
        at("/admin/orders/{id}/refund")
            .get(Permission::OrdersRefund, order_changes::refund_page)
            .post(Permission::OrdersRefund, order_changes::refund),
        at("/admin/withdrawals").get(Permission::OrdersRead, withdrawals::list),
        at("/admin/withdrawals/{id}")
            .get(Permission::OrdersRefund, withdrawals::decide_page)
            .post(Permission::OrdersRefund, withdrawals::decide),
        at("/admin/customers").get(Permission::UsersRead, customers::list),
        at("/admin/customers/{id}").get(Permission::UsersRead, customers::page),
        at("/admin/customers/{id}/balance")
            .get(Permission::BalanceAdjust, customer::balance_page)
            .post(Permission::BalanceAdjust, customer::balance),
        at("/admin/customers/{id}/role")
            .get(Permission::StaffWrite, customer::role_page)
            .post(Confirmed(Permission::StaffWrite), customer::role),
        at("/admin/customers/{id}/act")
            .get(Permission::UsersImpersonate, customer::act_page)
            .post(Confirmed(Permission::UsersImpersonate), customer::act),
        at("/admin/customers/{id}/acts").get(Permission::AuditRead, customer::acts),
        at("/admin/customers/{id}/export").get(Permission::UsersRead, customer::export),
        at("/admin/keys").get(Permission::KeysRead, keys::list),
        at("/admin/keys/new")
            .get(Permission::KeysWrite, key_stock::add_page)
            .post(Permission::KeysWrite, key_stock::add),
        at(keys::IMPORT)
            .get(Permission::KeysWrite, key_stock::import_page)
            .upload(Permission::KeysWrite, key_stock::import),
        at("/admin/keys/{id}").get(Permission::KeysRead, keys::page),
        at("/admin/keys/{id}/reveal")
            .get(Permission::KeysWrite, keys::reveal_page)
            .post(Confirmed(Permission::KeysWrite), keys::reveal),
        at("/admin/keys/{id}/replace")
            .get(Permission::OrdersWrite, keys::replace_page)
            .post(Confirmed(Permission::OrdersWrite), keys::replace),
        at("/admin/keys/{id}/delete")
            .get(Permission::KeysWrite, key_stock::delete_page)
            .post(Permission::KeysWrite, key_stock::delete),
        at("/admin/promotions").get(Permission::PromotionsRead, promotions::list),
        at("/admin/promotions/new")
            .get(Permission::PromotionsWrite, promotions::new_page)
            .post(Permission::PromotionsWrite, promotions::create),
        at("/admin/promotions/{id}")
            .get(Permission::PromotionsRead, promotions::page)
            .post(Permission::PromotionsWrite, promotions::change),
        at("/admin/payments").get(Permission::PaymentsRead, payments::list),
        at("/admin/supplier").get(Permission::SupplierRead, supplier::page),
        at("/admin/supplier/sync")
            .get(Permission::SupplierWrite, supplier::sync_page)
            .post(Permission::SupplierWrite, supplier::sync),
        at("/admin/supplier/sync/cancel").post(Permission::SupplierWrite, supplier::cancel),
        at("/admin/supplier/jobs/{id}").get(Permission::SupplierRead, supplier::job),
        at("/admin/supplier/runs").get(Permission::SupplierRead, supplier::runs),
        at("/admin/incidents").get(Permission::SupplierRead, supplier::incidents),
        at("/admin/incidents/{id}/close")
            .get(Permission::SupplierWrite, supplier::close_page)
            .post(Permission::SupplierWrite, supplier::close),
        at("/admin/emails").get(Permission::EmailRead, emails::list),
        at("/admin/emails/retry").post(Permission::EmailWrite, emails::retry_all),
        at("/admin/emails/{id}/retry").post(Permission::EmailWrite, emails::retry),
        at("/admin/cache").get(Permission::SystemRead, cache::page),
        at("/admin/cache/drop")
            .get(Permission::SystemWrite, cache::drop_page)
            .post(Permission::SystemWrite, cache::drop_answers),
        at("/admin/audit").get(Permission::AuditRead, audit::list),
    ];
    routes.push(at("/admin/first-day").post(Permission::SystemWrite, today::check_again));
    routes.extend(vat::routes());
    routes.extend(cards::routes());
    routes.extend(holds::routes());
    routes.extend(content::routes());
    routes.extend(system::routes());
    routes.extend(catalogue_routes());
    routes
}

/// The pages of the catalogue and of prices.
fn catalogue_routes() -> Vec<Route> {
    vec![
        at("/admin/catalogue").get(Permission::CatalogueRead, catalogue::list),
        at("/admin/catalogue/new")
            .get(Permission::CatalogueWrite, game::new_page)
            .post(Permission::CatalogueWrite, game::create),
        at("/admin/catalogue/{id}")
            .get(Permission::CatalogueRead, game::page)
            .post(Permission::CatalogueWrite, game::change),
        at("/admin/catalogue/{id}/delete")
            .get(Permission::CatalogueWrite, game::delete_page)
            .post(Permission::CatalogueWrite, game::delete),
        at("/admin/catalogue/{id}/pictures").post(Permission::CatalogueWrite, picture_changes::save),
        at("/admin/catalogue/{id}/pictures/add").upload(Permission::CatalogueWrite, picture_changes::add),
        at("/admin/catalogue/{id}/schedule")
            .get(Permission::PricesWrite, schedule::new_page)
            .post(Permission::PricesWrite, schedule::create),
        at("/admin/catalogue/schedule").get(Permission::PricesRead, schedule::list),
        at("/admin/catalogue/schedule/{id}/cancel").post(Permission::PricesWrite, schedule::cancel),
        at("/admin/catalogue/bulk")
            .get(Permission::CatalogueRead, bulk::list)
            .post(Permission::CatalogueWrite, bulk::look),
        at("/admin/catalogue/bulk/{id}").get(Permission::CatalogueRead, bulk::page),
        at("/admin/catalogue/bulk/{id}/games").get(Permission::CatalogueRead, bulk::games_page),
        at("/admin/catalogue/bulk/{id}/confirm").post(Permission::CatalogueWrite, bulk::confirm),
        at("/admin/catalogue/bulk/{id}/undo")
            .get(Permission::CatalogueWrite, bulk::undo_page)
            .post(Permission::CatalogueWrite, bulk::undo),
        at("/admin/catalogue/terms/{taxonomy}").get(Permission::CatalogueRead, terms::list),
        at("/admin/catalogue/terms/{taxonomy}/new")
            .get(Permission::CatalogueWrite, terms::new_page)
            .post(Permission::CatalogueWrite, terms::create),
        at("/admin/catalogue/terms/{taxonomy}/{id}")
            .get(Permission::CatalogueWrite, terms::page)
            .post(Permission::CatalogueWrite, terms::change),
        at("/admin/catalogue/terms/{taxonomy}/{id}/delete")
            .get(Permission::CatalogueWrite, terms::delete_page)
            .post(Permission::CatalogueWrite, terms::delete),
        at("/admin/catalogue/terms/{taxonomy}/{id}/merge")
            .get(Permission::CatalogueWrite, terms::merge_page)
            .post(Permission::CatalogueWrite, terms::merge),
        at("/admin/prices").get(Permission::PricesRead, prices::page),
        at("/admin/prices/jobs").get(Permission::PricesRead, prices::jobs),
        at("/admin/prices/set")
            .get(Permission::PricesWrite, prices::set_page)
            .post(Permission::PricesWrite, prices::change_set),
        at("/admin/prices/rule")
            .get(Permission::PricesWrite, prices::rule_page)
            .post(Permission::PricesWrite, prices::change_rule),
    ]
}

/// The id in an address. What is none names nothing.
pub(crate) fn id(text: &str) -> Result<Uuid, PageError> {
    text.parse().map_err(|_| PageError::NotFound)
}

/// What was looked for, or the page that says that there is no such thing.
pub(crate) fn found<T>(what: Option<T>) -> Result<T, PageError> {
    what.ok_or(PageError::NotFound)
}
