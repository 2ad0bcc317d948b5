//! The reader's account: an overview, and a page for each task.

pub(crate) mod balance;
pub(crate) mod billing;
pub(crate) mod data;
pub(crate) mod factor;
pub(crate) mod overview;
pub(crate) mod picture;
pub(crate) mod profile;
pub(crate) mod sessions;
mod uploaded;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};

use crate::error::PageError;
use crate::forms::Form;
use crate::layout::Layout;
use crate::pages::form_page::{FormView, notice};
use crate::pictures::upload;
use crate::session::SignedInUser;
use crate::visit::Preferences;
use crate::{WebState, page};

pub(crate) fn routes() -> Router<Arc<WebState>> {
    Router::new()
        .route("/account", get(overview::page))
        .route("/account/balance", get(balance::page).post(balance::top_up))
        .route("/account/keys", get(balance::keys))
        .route("/account/billing", get(billing::page).post(billing::change))
        .route("/account/profile", get(profile::page).post(profile::change))
        .route(upload::PATH, post(picture::set))
        .route("/account/profile/no-picture", post(picture::remove))
        .route(
            "/account/password",
            get(profile::password_page).post(profile::change_password),
        )
        .route("/account/second-factor", get(factor::page).post(factor::offer))
        .route("/account/second-factor/confirm", post(factor::confirm))
        .route(
            "/account/second-factor/recovery-codes",
            get(factor::recovery_page).post(factor::recovery_codes),
        )
        .route("/account/second-factor/remove", post(factor::remove))
        .route("/account/sessions", get(sessions::page))
        .route("/account/sessions/end", post(sessions::end))
        .route("/account/sessions/end-others", post(sessions::end_others))
        .route("/account/data", get(data::page))
        .route("/account/data/download", get(data::download))
        .route("/account/delete", get(data::leave_page).post(data::leave))
}

/// The pages of an account for the menu: address and key of the title.
pub(crate) const MENU: [(&str, &str); 10] = [
    ("/account", "account.overview"),
    ("/orders", "account.orders"),
    ("/account/keys", "account.keys"),
    ("/account/balance", "account.balance"),
    ("/account/billing", "account.billing"),
    ("/account/profile", "account.profile"),
    ("/account/password", "account.password"),
    ("/account/second-factor", "account.factor"),
    ("/account/sessions", "account.sessions"),
    ("/account/data", "account.data"),
];

/// The menu beside the pages of an account: address, text, and whether it is this page.
pub(crate) struct Menu(pub(crate) Vec<(&'static str, &'static str, bool)>);

impl Menu {
    pub(crate) fn of(visit: &Preferences) -> Self {
        Self(
            MENU.into_iter()
                .filter(|(address, _)| *address != "/account/billing" || visit.site.has_vat)
                .map(|(address, key)| (address, visit.language.text(key), visit.uri.path() == address))
                .collect(),
        )
    }
}

/// A page of the account with one form.
#[derive(Template)]
#[template(path = "account/form_page.html")]
pub(crate) struct AccountForm {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    title: &'static str,
    lead: Option<String>,
    form_page: FormView,
}

impl AccountForm {
    pub(crate) async fn show(
        state: &WebState,
        visit: &Preferences,
        member: &SignedInUser,
        form: &Form,
        title: &'static str,
        lead: Option<String>,
        form_page: FormView,
    ) -> Result<Response, PageError> {
        let page = Self {
            layout: Layout::of_reader(state, visit, &member.context).await?,
            menu: Menu::of(visit),
            notice: notice(visit.language, visit),
            title,
            lead,
            form_page,
        };
        Ok(page::secret(form.status(), page.render()?))
    }
}
