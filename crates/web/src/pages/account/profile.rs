//! Names, picture and password.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use lockstep_domain::account::{DEFAULT_NICKNAME, ProfileChange, ProfileFacts};
use lockstep_domain::secret::Secret;

use super::{AccountForm, Menu, uploaded};
use crate::error::PageError;
use crate::forms::{self, Form};
use crate::layout::Layout;
use crate::pages::form_page::{FormView, notice};
use crate::session::SignedInUser;
use crate::visit::Preferences;
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "account/profile.html")]
struct ProfilePage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    lead: String,
    form_page: FormView,
    /// Path of the uploaded picture.
    picture: Option<String>,
    /// Error of the picture that was sent.
    picture_error: Option<String>,
}

/// The page, with the stored values in its fields, or the values that were typed.
pub(super) async fn show(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &Form,
    facts: &ProfileFacts,
    is_stored: bool,
) -> Result<Response, PageError> {
    let words = visit.language;
    let picture = uploaded::path(state, facts).await?;
    let known = |text: Option<&str>| text.filter(|_| is_stored).unwrap_or_default().to_owned();
    let nickname = facts.nickname.as_deref().filter(|name| *name != DEFAULT_NICKNAME);
    let fields = vec![
        form.field("nickname", "text", words.text("field.nickname"))
            .hint(words.text("field.nickname.hint"))
            .autocomplete("nickname")
            .filled(&known(nickname)),
        form.field("firstName", "text", words.text("field.first_name"))
            .autocomplete("given-name")
            .filled(&known(facts.first_name.as_deref())),
        form.field("lastName", "text", words.text("field.last_name"))
            .autocomplete("family-name")
            .filled(&known(facts.last_name.as_deref())),
        // An uploaded picture has its own form.
        form.field("avatar", "url", words.text("field.avatar"))
            .hint(words.text("field.avatar.hint"))
            .autocomplete("photo")
            .filled(&known(facts.avatar.as_deref().filter(|_| picture.is_none()))),
    ];
    let page = ProfilePage {
        layout: Layout::of_reader(state, visit, &member.context).await?,
        menu: Menu::of(visit),
        notice: notice(words, visit),
        lead: words.with("profile.lead", member.caller.email()),
        form_page: FormView::new(form, "/account/profile", words.text("form.save"), fields),
        picture: picture.map(str::to_owned),
        picture_error: form.error("picture").map(str::to_owned),
    };
    Ok(page::secret(form.status(), page.render()?))
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let facts = member.context.profile().await?;
    show(&state, &visit, &member, &Form::default(), &facts, true).await
}

pub(crate) async fn change(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let facts = member.context.profile().await?;
    // An empty address leaves an uploaded picture unchanged: it has its own button.
    let is_uploaded = uploaded::path(&state, &facts).await?.is_some();
    let avatar = Some(form.value("avatar")).filter(|address| !address.is_empty() || !is_uploaded);
    let avatar = avatar.filter(|address| !facts.has_avatar(address));
    let checked = ProfileChange::check(
        Some(form.value("nickname")),
        Some(form.value("firstName")),
        Some(form.value("lastName")),
        avatar,
    );
    match checked {
        Ok(change) => {
            state.shop.change_profile(&member.caller, &change).await?;
            return Ok(forms::done("/account/profile?done=profile"));
        }
        Err(errors) => form.wrong_fields(visit.language, &errors),
    }
    show(&state, &visit, &member, &form, &facts, false).await
}

async fn password_form(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &Form,
) -> Result<Response, PageError> {
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
    let form_page = FormView::new(form, "/account/password", words.text("password.submit"), fields);
    let lead = Some(words.text("password.lead").to_owned());
    AccountForm::show(
        state,
        visit,
        member,
        form,
        words.text("account.password"),
        lead,
        form_page,
    )
    .await
}

pub(crate) async fn password_page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    password_form(&state, &visit, &member, &Form::default()).await
}

pub(crate) async fn change_password(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
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
