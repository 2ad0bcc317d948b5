//! Password reset: requesting a link, and setting a new password with it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lockstep_domain::account::{EMAIL_INVALID, Email};

use crate::WebState;
use crate::error::PageError;
use crate::forms::{self, Form};
use crate::layout::Layout;
use crate::page;
use crate::pages::form_page::{FormPage, FormView, notice};
use crate::session::PageUser;
use crate::visit::Preferences;

async fn forgot_form(
    state: &WebState,
    visit: &Preferences,
    reader: &PageUser,
    form: &Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let fields = vec![
        form.field("email", "email", words.text("field.email"))
            .autocomplete("username")
            .required(),
    ];
    FormPage {
        layout: Layout::of_reader(state, visit, &reader.context).await?,
        title: words.text("forgot.title"),
        lead: Some(words.text("forgot.lead").to_owned()),
        notice: notice(words, visit),
        form_page: FormView::new(form, "/forgot-password", words.text("forgot.submit"), fields),
        links: vec![(words.text("register.to_login"), "/login".to_owned())],
    }
    .answer(form)
}

pub(crate) async fn forgot_page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
) -> Result<Response, PageError> {
    forgot_form(&state, &visit, &reader, &Form::default()).await
}

pub(crate) async fn forgot(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    match Email::of_existing_account(form.value("email")) {
        Ok(email) => match state.shop.auth().forgot_password(&email, &reader.device).await {
            Ok(()) => return Ok(forms::done("/forgot-password?done=link_sent")),
            Err(error) => form.refuse(words, error, &[])?,
        },
        Err(_) => form.wrong_fields(words, &[EMAIL_INVALID]),
    }
    forgot_form(&state, &visit, &reader, &form).await
}

async fn reset_form(
    state: &WebState,
    visit: &Preferences,
    reader: &PageUser,
    form: &Form,
    token: &str,
) -> Result<Response, PageError> {
    let words = visit.language;
    let fields = vec![
        form.field("newPassword", "password", words.text("field.new_password"))
            .hint(words.text("field.new_password.hint"))
            .autocomplete("new-password")
            .required(),
    ];
    FormPage {
        layout: Layout::of_reader(state, visit, &reader.context).await?,
        title: words.text("reset.title"),
        lead: Some(words.text("reset.lead").to_owned()),
        notice: None,
        form_page: FormView::new(form, "/reset-password", words.text("reset.submit"), fields).carrying("token", token),
        links: vec![(words.text("reset.to_forgot"), "/forgot-password".to_owned())],
    }
    .answer(form)
    .map(page::without_referrer)
}

pub(crate) async fn reset_page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
) -> Result<Response, PageError> {
    let Some((_, token)) = visit.pairs().find(|(name, _)| name == "token") else {
        return Ok(forms::done("/forgot-password"));
    };
    reset_form(&state, &visit, &reader, &Form::default(), &token).await
}

pub(crate) async fn reset(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let auth = state.shop.auth();
    let token = form.value("token").to_owned();
    match auth
        .reset_password(&token, form.raw("newPassword"), &reader.device)
        .await
    {
        Ok(()) => return Ok(forms::done("/login?done=password_set")),
        Err(error) => form.refuse(visit.language, error, &[])?,
    }
    reset_form(&state, &visit, &reader, &form, &token).await
}
