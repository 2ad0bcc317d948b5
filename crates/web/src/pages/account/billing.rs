//! Billing data: the country, by which orders are taxed, and what a company needs on its receipts.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::tax::{BillingForm, BillingProfile, PostalName};
use lockstep_page::countries::countries;

use super::Menu;
use crate::error::PageError;
use crate::forms::{self, Field, Form};
use crate::layout::Layout;
use crate::pages::form_page::notice;
use crate::session::SignedInUser;
use crate::visit::Preferences;
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "account/billing.html")]
struct BillingPage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    problem: Option<String>,
    /// Code, name, whether it is chosen.
    countries: Vec<(&'static str, &'static str, bool)>,
    country_error: Option<String>,
    fields: Vec<Field>,
    /// What the register says about the VAT id.
    check: Option<String>,
}

/// The countries of a choice, with the chosen one.
pub(crate) fn choices(visit: &Preferences, chosen: &str) -> Vec<(&'static str, &'static str, bool)> {
    countries(visit.language)
        .iter()
        .map(|(code, name)| (*code, *name, *code == chosen))
        .collect()
}

async fn show(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &Form,
    stored: Option<&BillingProfile>,
) -> Result<Response, PageError> {
    let words = visit.language;
    let is_stored = form.pairs().next().is_none();
    let known = |text: Option<&str>| text.filter(|_| is_stored).unwrap_or_default().to_owned();
    let field = |name, text, autocomplete, value: Option<&str>| {
        form.field(name, "text", words.text(text))
            .autocomplete(autocomplete)
            .filled(&known(value))
    };
    let address = stored.map(|stored| &stored.address);
    let chosen = match (is_stored, stored) {
        (true, Some(stored)) => stored.country.as_str().to_owned(),
        _ => form.value("country").to_owned(),
    };
    let check = stored
        .filter(|_| is_stored)
        .and_then(|stored| stored.vat_id_check.as_deref())
        .and_then(|check| words.find(&format!("billing.check.{}", check.to_lowercase())));
    let page = BillingPage {
        layout: Layout::of_reader(state, visit, &member.context).await?,
        menu: Menu::of(visit),
        notice: notice(words, visit),
        problem: form.problem().map(str::to_owned),
        countries: choices(visit, &chosen),
        country_error: form.error("country").map(str::to_owned),
        fields: vec![
            field("name", "billing.name", "name", address.map(|a| a.name.as_str())),
            field(
                "street",
                "billing.street",
                "street-address",
                address.map(|a| a.street.as_str()),
            ),
            field(
                "postcode",
                "billing.postcode",
                "postal-code",
                address.map(|a| a.postcode.as_str()),
            ),
            field(
                "city",
                "billing.city",
                "address-level2",
                address.map(|a| a.city.as_str()),
            ),
            field(
                "vatId",
                "billing.vat_id",
                "off",
                stored.and_then(|s| s.vat_id.as_deref()),
            )
            .hint(words.text("billing.vat_id.hint")),
        ],
        check: check.map(str::to_owned),
    };
    Ok(page::secret(form.status(), page.render()?))
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let stored = state.shop.billing(&member.caller).await?;
    show(&state, &visit, &member, &Form::default(), stored.as_ref()).await
}

pub(crate) async fn change(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let entered = BillingForm {
        country: form.value("country").to_owned(),
        address: PostalName {
            name: form.value("name").to_owned(),
            street: form.value("street").to_owned(),
            postcode: form.value("postcode").to_owned(),
            city: form.value("city").to_owned(),
        },
        vat_id: form.value("vatId").to_owned(),
    };
    match entered.checked() {
        Ok((profile, vat_id)) => {
            state
                .shop
                .change_billing(&member.caller, &profile, vat_id.as_ref())
                .await?;
            return Ok(forms::done("/account/billing?done=billing"));
        }
        Err(errors) => form.wrong_fields(visit.language, &errors),
    }
    show(&state, &visit, &member, &form, None).await
}
