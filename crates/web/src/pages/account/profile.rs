//! Names, the picture, and the password.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use lockstep_domain::account::{DEFAULT_NICKNAME, ProfileChange, ProfileFacts};
use lockstep_domain::secret::Secret;

use super::AccountSheet;
use crate::WebState;
use crate::error::PageError;
use crate::forms::{self, Form};
use crate::pages::sheet::Sheet;
use crate::session::Member;
use crate::visit::Visit;

async fn show(
    state: &WebState,
    visit: &Visit,
    member: &Member,
    form: &Form,
    facts: Option<&ProfileFacts>,
) -> Result<Response, PageError> {
    let words = visit.language;
    let known =
        |name: fn(&ProfileFacts) -> &Option<String>| facts.and_then(|facts| name(facts).clone()).unwrap_or_default();
    let nickname = facts
        .and_then(|facts| facts.nickname.clone())
        .filter(|name| name != DEFAULT_NICKNAME);
    let fields = vec![
        form.field("nickname", "text", words.text("field.nickname"))
            .hint(words.text("field.nickname.hint"))
            .autocomplete("nickname")
            .filled(nickname.as_deref().unwrap_or_default()),
        form.field("firstName", "text", words.text("field.first_name"))
            .autocomplete("given-name")
            .filled(&known(|facts| &facts.first_name)),
        form.field("lastName", "text", words.text("field.last_name"))
            .autocomplete("family-name")
            .filled(&known(|facts| &facts.last_name)),
        form.field("avatar", "url", words.text("field.avatar"))
            .hint(words.text("field.avatar.hint"))
            .autocomplete("photo")
            .filled(&known(|facts| &facts.avatar)),
    ];
    let sheet = Sheet::new(form, "/account/profile", words.text("form.save"), fields);
    let lead = words.with("profile.lead", member.caller.email());
    AccountSheet::show(
        state,
        visit,
        member,
        form,
        words.text("account.profile"),
        Some(lead),
        sheet,
    )
    .await
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Visit,
    member: Member,
) -> Result<Response, PageError> {
    let facts = member.arrival.profile().await?;
    show(&state, &visit, &member, &Form::default(), Some(&facts)).await
}

pub(crate) async fn change(
    State(state): State<Arc<WebState>>,
    visit: Visit,
    member: Member,
    mut form: Form,
) -> Result<Response, PageError> {
    let checked = ProfileChange::check(
        Some(form.value("nickname")),
        Some(form.value("firstName")),
        Some(form.value("lastName")),
        Some(form.value("avatar")),
    );
    match checked {
        Ok(change) => {
            state.shop.change_profile(&member.caller, &change).await?;
            return Ok(forms::done("/account/profile?done=profile"));
        }
        Err(errors) => form.wrong_fields(visit.language, &errors),
    }
    show(&state, &visit, &member, &form, None).await
}

async fn password_form(state: &WebState, visit: &Visit, member: &Member, form: &Form) -> Result<Response, PageError> {
    let words = visit.language;
    let fields = vec![
        form.field("password", "password", words.text("field.current_password"))
            .autocomplete("current-password")
            .required(),
        form.field("newPassword", "password", words.text("field.new_password"))
            .hint(words.text("field.new_password.hint"))
            .autocomplete("new-password")
            .required(),
    ];
    let sheet = Sheet::new(form, "/account/password", words.text("password.submit"), fields);
    let lead = Some(words.text("password.lead").to_owned());
    AccountSheet::show(state, visit, member, form, words.text("account.password"), lead, sheet).await
}

pub(crate) async fn password_page(
    State(state): State<Arc<WebState>>,
    visit: Visit,
    member: Member,
) -> Result<Response, PageError> {
    password_form(&state, &visit, &member, &Form::default()).await
}

pub(crate) async fn change_password(
    State(state): State<Arc<WebState>>,
    visit: Visit,
    member: Member,
    mut form: Form,
) -> Result<Response, PageError> {
    let current = Secret::new(form.raw("password"));
    let changed = state
        .shop
        .auth()
        .change_password(&member.caller, &current, form.raw("newPassword"), &member.device)
        .await;
    match changed {
        Ok(()) => return Ok(forms::done("/account/password?done=password")),
        Err(error) => form.refuse(visit.language, error, &[("wrong_password", "password")])?,
    }
    password_form(&state, &visit, &member, &form).await
}
