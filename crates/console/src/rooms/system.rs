//! System: who is on the staff, programs with tokens, webhooks, accounts at G2A, mail servers, jobs, settings, diagnostics.

mod diagnostics;
mod jobs;
mod mail_servers;
mod roles;
mod staff_list;
mod supplier_accounts;
mod tokens;
mod webhook;
mod webhooks;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_domain::account::FieldError;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::page;

use crate::gate::{AnyStaff, Confirmed, ConfirmedStaff, Route, at};
use crate::layout::Layout;
use crate::staff::Staff;
use crate::table::{Cell, Table};

/// Every page of the room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        at("/admin/system").get(AnyStaff, page),
        at("/admin/system/diagnostics")
            .get(Permission::SystemRead, diagnostics::page)
            .post(Permission::SystemWrite, diagnostics::run),
        at("/admin/system/settings").get(Permission::SystemRead, diagnostics::settings),
        at("/admin/system/staff").get(Permission::StaffWrite, staff_list::list),
        at("/admin/system/staff/new")
            .get(Permission::StaffWrite, staff_list::new_page)
            .post(Confirmed(Permission::StaffWrite), staff_list::create),
        at("/admin/system/roles").get(Permission::StaffWrite, roles::list),
        at("/admin/system/roles/new")
            .get(Permission::StaffWrite, roles::new_page)
            .post(Confirmed(Permission::StaffWrite), roles::create),
        at("/admin/system/roles/{name}")
            .get(Permission::StaffWrite, roles::page)
            .post(Confirmed(Permission::StaffWrite), roles::change),
        at("/admin/system/roles/{name}/delete")
            .get(Permission::StaffWrite, roles::delete_page)
            .post(Confirmed(Permission::StaffWrite), roles::delete),
        at("/admin/system/tokens").get(AnyStaff, tokens::list),
        at("/admin/system/tokens/new")
            .get(AnyStaff, tokens::new_page)
            .post(ConfirmedStaff, tokens::create),
        at("/admin/system/tokens/{id}/delete")
            .get(AnyStaff, tokens::delete_page)
            .post(AnyStaff, tokens::delete),
        at("/admin/system/webhooks").get(Permission::WebhooksRead, webhooks::list),
        at("/admin/system/webhooks/new")
            .get(Permission::WebhooksWrite, webhooks::new_page)
            .post(Confirmed(Permission::WebhooksWrite), webhooks::create),
        at("/admin/system/webhooks/{id}").get(Permission::WebhooksRead, webhook::page),
        at("/admin/system/webhooks/{id}/edit")
            .get(Permission::WebhooksWrite, webhooks::page)
            .post(Confirmed(Permission::WebhooksWrite), webhooks::change),
        at("/admin/system/webhooks/{id}/delete")
            .get(Permission::WebhooksWrite, webhook::delete_page)
            .post(Confirmed(Permission::WebhooksWrite), webhook::delete),
        at("/admin/system/webhooks/{id}/secrets")
            .get(Permission::WebhooksWrite, webhook::rotate_page)
            .post(Confirmed(Permission::WebhooksWrite), webhook::rotate),
        at("/admin/system/webhooks/{id}/secrets/{secret}/end")
            .get(Permission::WebhooksWrite, webhook::end_page)
            .post(Confirmed(Permission::WebhooksWrite), webhook::end),
        at("/admin/system/webhooks/{id}/ping").post(Permission::WebhooksWrite, webhook::ping),
        at("/admin/system/webhooks/{id}/replay")
            .get(Permission::WebhooksWrite, webhook::replay_page)
            .post(Permission::WebhooksWrite, webhook::replay),
        at("/admin/system/webhooks/{id}/deliveries/{delivery}/replay")
            .post(Permission::WebhooksWrite, webhook::replay_one),
        at("/admin/system/g2a").get(Permission::SupplierRead, supplier_accounts::list),
        at("/admin/system/g2a/test").post(Permission::SupplierWrite, supplier_accounts::test),
        at("/admin/system/g2a/new")
            .get(Permission::SupplierWrite, supplier_accounts::new_page)
            .post(Confirmed(Permission::SupplierWrite), supplier_accounts::create),
        at("/admin/system/g2a/{id}")
            .get(Permission::SupplierWrite, supplier_accounts::page)
            .post(Confirmed(Permission::SupplierWrite), supplier_accounts::change),
        at("/admin/system/g2a/{id}/delete")
            .get(Permission::SupplierWrite, supplier_accounts::delete_page)
            .post(Confirmed(Permission::SupplierWrite), supplier_accounts::delete),
        at("/admin/system/mail").get(Permission::EmailRead, mail_servers::list),
        at("/admin/system/mail/new")
            .get(Permission::SystemWrite, mail_servers::new_page)
            .post(Confirmed(Permission::SystemWrite), mail_servers::create),
        at("/admin/system/mail/{id}")
            .get(Permission::SystemWrite, mail_servers::page)
            .post(Confirmed(Permission::SystemWrite), mail_servers::change),
        at("/admin/system/mail/{id}/test").post(Permission::SystemWrite, mail_servers::test),
        at("/admin/system/mail/{id}/delete")
            .get(Permission::SystemWrite, mail_servers::delete_page)
            .post(Confirmed(Permission::SystemWrite), mail_servers::delete),
        at("/admin/system/jobs").get(Permission::SupplierRead, jobs::list),
        at("/admin/system/jobs/{id}/cancel").post(Permission::SupplierWrite, jobs::cancel),
    ]
}

/// A page of the room: address, name, what it is for.
struct Place {
    address: &'static str,
    name: &'static str,
    about: &'static str,
}

#[derive(Template)]
#[template(path = "places.html")]
struct PlacesPage {
    layout: Layout,
    places: Vec<Place>,
}

/// The pages of the room, with what each needs; without a permission, any member of staff may open it.
const PLACES: [(&str, &str, &str, Option<Permission>); 9] = [
    (
        "/admin/system/diagnostics",
        "system.diagnostics",
        "system.diagnostics.about",
        Some(Permission::SystemRead),
    ),
    (
        "/admin/system/settings",
        "system.settings",
        "system.settings.about",
        Some(Permission::SystemRead),
    ),
    (
        "/admin/system/staff",
        "system.staff",
        "system.staff.about",
        Some(Permission::StaffWrite),
    ),
    (
        "/admin/system/roles",
        "system.roles",
        "system.roles.about",
        Some(Permission::StaffWrite),
    ),
    ("/admin/system/tokens", "system.tokens", "system.tokens.about", None),
    (
        "/admin/system/webhooks",
        "system.webhooks",
        "system.webhooks.about",
        Some(Permission::WebhooksRead),
    ),
    (
        "/admin/system/g2a",
        "system.g2a",
        "system.g2a.about",
        Some(Permission::SupplierRead),
    ),
    (
        "/admin/system/mail",
        "system.mail",
        "system.mail.about",
        Some(Permission::EmailRead),
    ),
    (
        "/admin/system/jobs",
        "system.jobs",
        "system.jobs.about",
        Some(Permission::SupplierRead),
    ),
];

/// `GET /admin/system`
async fn page(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let places = PLACES
        .iter()
        .filter(|(.., needed)| needed.is_none_or(|permission| staff.may(permission)))
        .map(|(address, name, about, _)| Place {
            address,
            name: words.text(name),
            about: words.text(about),
        });
    page::private(&PlacesPage {
        places: places.collect(),
        layout: Layout::new(&staff, words.text("system.room").to_owned(), &[]),
    })
}

/// The layout of a page of the room, below the pages `above`: name and address.
fn layout(staff: &Staff, title: String, above: &[(&str, &str)]) -> Layout {
    let mut crumbs = vec![(staff.words().text("system.room"), "/admin/system")];
    crumbs.extend_from_slice(above);
    Layout::new(staff, title, &crumbs)
}

/// A list with a button that tests what is in use.
#[derive(Template)]
#[template(path = "tested.html")]
struct TestedPage {
    layout: Layout,
    lead: String,
    actions: Vec<(&'static str, String)>,
    /// The address of the test.
    test: Option<&'static str>,
    table: Table,
}

/// A page with a secret that is shown this once.
#[derive(Template)]
#[template(path = "secret.html")]
struct SecretPage {
    layout: Layout,
    label: &'static str,
    secret: String,
    back: String,
}

impl SecretPage {
    fn answer(&self) -> Result<Response, PageError> {
        Ok(page::secret(StatusCode::OK, self.render()?))
    }
}

/// What an empty field of a form that changes something says: nothing.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The errors of fields that a form does not have, above the form.
fn unplaced(errors: &[FieldError], fields: &[&str]) -> Option<String> {
    let error = errors.iter().find(|error| !fields.contains(&error.path))?;
    Some(format!("{}: {}.", error.path, error.msg.trim_end_matches('.')))
}
