//! What needs more than a session: the password again, or a second factor.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use lockstep_auth::AuthError;
use lockstep_domain::secret::Secret;
use lockstep_page::error::PageError;
use lockstep_page::forms::{Field, Form};
use lockstep_page::page;
use lockstep_page::visit::Preferences;

use crate::ConsoleState;
use crate::layout::Layout;
use crate::staff::Staff;

/// The field of the password, which no other form has.
const PASSWORD: &str = "confirm_password";

/// Asks for the password, and carries everything else that was sent.
#[derive(Template)]
#[template(path = "step_up.html")]
struct StepUp {
    layout: Layout,
    action: String,
    hidden: Vec<(String, String)>,
    field: Field,
    problem: Option<String>,
}

/// Tells a member of staff without a second factor where to set one up.
#[derive(Template)]
#[template(path = "second_factor.html")]
struct SecondFactor {
    layout: Layout,
}

/// Whether the password was given within the last five minutes.
pub(crate) async fn is_confirmed(staff: &Staff) -> Result<bool, PageError> {
    Ok(staff.state.shop.auth().is_confirmed(&staff.admin).await?)
}

/// Takes the password if the form has it, and returns the page that asks for it while it is needed.
pub(crate) async fn ask(staff: &Staff, form: &mut Form) -> Result<Option<Response>, PageError> {
    let words = staff.words();
    let password = form.raw(PASSWORD).to_owned();
    if !password.is_empty() {
        let auth = staff.state.shop.auth();
        match auth
            .confirm(staff.admin.caller(), &Secret::new(password), &staff.device)
            .await
        {
            Ok(()) => return Ok(None),
            Err(error @ AuthError::WrongPassword) => form.refuse(words, error, &[("wrong_password", PASSWORD)])?,
            Err(error) => form.refuse(words, error, &[])?,
        }
    } else if is_confirmed(staff).await? {
        return Ok(None);
    }
    page(staff, form).map(Some)
}

/// The page that asks for the password and then sends `form` again.
pub(crate) fn page(staff: &Staff, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut field = form
        .field(PASSWORD, "password", words.text("field.password"))
        .autocomplete("current-password")
        .required();
    field.is_first = true;
    let hidden = form.pairs().filter(|(name, _)| *name != PASSWORD);
    let address = staff.visit.uri.path_and_query().map(ToString::to_string);
    let page = StepUp {
        layout: Layout::new(staff, words.text("console.step_up.title").to_owned(), &[]),
        action: address.unwrap_or_default(),
        hidden: hidden
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        field,
        problem: form.problem().map(str::to_owned),
    };
    Ok(page::secret(form.status(), page.render()?))
}

/// The page for a member of staff who has no second factor in this session.
pub(crate) fn second_factor(state: &ConsoleState, visit: &Preferences) -> Response {
    let title = visit.language.text("console.second_factor.title").to_owned();
    let page = SecondFactor {
        layout: Layout::bare(state, visit, title),
    };
    match page.render() {
        Ok(html) => page::secret(StatusCode::FORBIDDEN, html),
        Err(error) => PageError::from(error).into_response(),
    }
}
