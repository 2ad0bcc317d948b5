//! Verification of the e-mail address with the code that was sent to it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lockstep_auth::AuthError;

use crate::WebState;
use crate::error::PageError;
use crate::forms::{self, Form};
use crate::layout::Layout;
use crate::page;
use crate::pages::form_page::{FormView, notice};
use crate::session::SignedInUser;
use crate::visit::Preferences;

use askama::Template;

#[derive(Template)]
#[template(path = "verify.html")]
struct VerifyPage {
    layout: Layout,
    notice: Option<String>,
    /// The address that the code was sent to.
    email: String,
    form_page: FormView,
}

async fn show(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    // The link in the e-mail contains the code; nothing happens before the button is pressed.
    let code_in_address = visit
        .pairs()
        .find(|(name, code)| name == "code" && code.len() <= 6 && code.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|(_, code)| code);
    let fields = vec![
        form.field("code", "text", words.text("verify.code"))
            .autocomplete("one-time-code")
            .digits()
            .filled(code_in_address.as_deref().unwrap_or_default())
            .required(),
    ];
    let page = VerifyPage {
        layout: Layout::of_reader(state, visit, &member.context).await?,
        notice: notice(words, visit),
        email: member.caller.email().to_owned(),
        form_page: FormView::new(form, "/verify-email", words.text("verify.submit"), fields),
    };
    Ok(page::secret(form.status(), page.render()?))
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    if member.caller.email_verified() {
        return Ok(forms::done("/account"));
    }
    show(&state, &visit, &member, &Form::default()).await
}

pub(crate) async fn verify(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let auth = state.shop.auth();
    match auth
        .verify_email(&member.caller, form.value("code"), &member.device)
        .await
    {
        Ok(()) => return Ok(forms::done("/account?done=verified")),
        Err(error) => form.refuse(visit.language, error, &[("code_not_valid", "code")])?,
    }
    show(&state, &visit, &member, &form).await
}

pub(crate) async fn send_again(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let mut form = Form::default();
    match state
        .shop
        .auth()
        .send_verification(&member.caller, &member.device)
        .await
    {
        Ok(()) => return Ok(forms::done("/verify-email?done=code_sent")),
        // The page has no field for the address.
        Err(AuthError::Invalid(_)) => form.wrong("", visit.language.text("wrong.email_unreachable")),
        Err(error) => form.refuse(visit.language, error, &[])?,
    }
    show(&state, &visit, &member, &form).await
}
