//! Registration, log-in and log-out. The reader returns to the page they came from (`next`); a guest's cart and
//! wishlist are moved to the account.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{self, HeaderMap};
use axum::response::Response;
use lockstep_auth::AuthError;
use lockstep_domain::account::{Credentials, Registration};
use lockstep_shop::SignedIn;

use crate::WebState;
use crate::error::PageError;
use crate::forms::{self, Form};
use crate::layout::Layout;
use crate::pages::form_page::{FormPage, FormView, notice};
use crate::session::{self, PageUser, SignedInUser};
use crate::visit::{Preferences, cookie, preference};

/// Stores that the reader of this browser has an authenticator, so that the log-in asks for its code at once.
const FACTOR_COOKIE: &str = "authenticator";

/// The page to return to, as the address names it.
fn wanted(visit: &Preferences) -> String {
    visit
        .pairs()
        .find(|(name, _)| name == "next")
        .map(|(_, address)| address)
        .filter(|address| forms::is_ours(address))
        .unwrap_or_default()
}

/// The address of `page` with `next` as the page to return to.
fn leading_to(page: &str, next: &str) -> String {
    if next.is_empty() {
        return page.to_owned();
    }
    form_urlencoded::Serializer::new(format!("{page}?"))
        .append_pair("next", next)
        .finish()
}

async fn register_form(
    state: &WebState,
    visit: &Preferences,
    reader: &PageUser,
    form: &Form,
    next: &str,
) -> Result<Response, PageError> {
    let words = visit.language;
    let fields = vec![
        form.field("email", "email", words.text("field.email"))
            .autocomplete("email")
            .required(),
        form.field("password", "password", words.text("field.new_password"))
            .hint(words.text("field.new_password.hint"))
            .autocomplete("new-password")
            .required(),
        form.field("nickname", "text", words.text("field.nickname"))
            .hint(words.text("field.nickname.hint"))
            .autocomplete("nickname"),
    ];
    let mut links = vec![(words.text("register.to_login"), leading_to("/login", next))];
    if let Some(address) = &state.settings.operator.privacy_url {
        links.push((words.text("footer.privacy"), address.clone()));
    }
    FormPage {
        layout: Layout::of_reader(state, visit, &reader.context).await?,
        title: words.text("register.title"),
        lead: Some(words.text("register.lead").to_owned()),
        notice: notice(words, visit),
        form_page: FormView::new(form, "/register", words.text("register.submit"), fields).carrying("next", next),
        links,
    }
    .answer(form)
}

pub(crate) async fn register_page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
) -> Result<Response, PageError> {
    let next = wanted(&visit);
    if reader.context.caller().is_some() {
        return Ok(forms::done(if next.is_empty() { "/account" } else { &next }));
    }
    register_form(&state, &visit, &reader, &Form::default(), &next).await
}

pub(crate) async fn register(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let nickname = Some(form.value("nickname")).filter(|name| !name.is_empty());
    let checked = Registration::check(form.value("email"), form.raw("password"), nickname, None, None);
    match checked {
        Ok(registration) => {
            match state
                .shop
                .register(registration, &reader.device, reader.context.cookie())
                .await
            {
                Ok(signed_in) => {
                    return Ok(welcome(
                        &state,
                        &signed_in,
                        form.value("next"),
                        "/account?done=registered",
                    ));
                }
                Err(error) => form.refuse(words, error, &[("email_taken", "email")])?,
            }
        }
        Err(errors) => form.wrong_fields(words, &errors),
    }
    let next = form.value("next").to_owned();
    register_form(&state, &visit, &reader, &form, &next).await
}

async fn log_in_form(
    state: &WebState,
    visit: &Preferences,
    reader: &PageUser,
    form: &Form,
    next: &str,
    with_code: bool,
) -> Result<Response, PageError> {
    let words = visit.language;
    let mut fields = vec![
        form.field("email", "email", words.text("field.email"))
            .autocomplete("username")
            .required(),
        form.field("password", "password", words.text("field.password"))
            .autocomplete("current-password")
            .required(),
    ];
    if with_code {
        let code = form
            .field("code", "text", words.text("field.code"))
            .hint(words.text("field.code.hint"))
            .autocomplete("one-time-code");
        fields.push(code);
    }
    FormPage {
        layout: Layout::of_reader(state, visit, &reader.context).await?,
        title: words.text("login.title"),
        lead: (!next.is_empty()).then(|| words.text("login.lead").to_owned()),
        notice: notice(words, visit),
        form_page: FormView::new(form, "/login", words.text("login.submit"), fields).carrying("next", next),
        links: vec![
            (words.text("login.to_register"), leading_to("/register", next)),
            (words.text("login.to_forgot"), "/forgot-password".to_owned()),
        ],
    }
    .answer(form)
}

pub(crate) async fn log_in_page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let next = wanted(&visit);
    if reader.context.caller().is_some() {
        return Ok(forms::done(if next.is_empty() { "/account" } else { &next }));
    }
    let with_code = cookie(&headers, FACTOR_COOKIE).is_some();
    log_in_form(&state, &visit, &reader, &Form::default(), &next, with_code).await
}

pub(crate) async fn log_in(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
    headers: HeaderMap,
    mut form: Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let code = Some(form.value("code")).filter(|code| !code.is_empty());
    let mut with_code = code.is_some() || cookie(&headers, FACTOR_COOKIE).is_some();
    match Credentials::check(form.value("email"), form.raw("password"), code) {
        Ok(credentials) => {
            let guest = reader.context.cookie();
            match state.shop.log_in(&credentials, &reader.device, guest).await {
                Ok(signed_in) => {
                    let mut response = welcome(&state, &signed_in, form.value("next"), "/account");
                    if credentials.code.is_some()
                        && let Some(remembered) = preference(FACTOR_COOKIE, "yes", state.settings.production)
                    {
                        response.headers_mut().append(header::SET_COOKIE, remembered);
                    }
                    return Ok(response);
                }
                Err(error) => {
                    with_code |= matches!(error, AuthError::SecondFactorNeeded | AuthError::SecondFactorWrong);
                    let places = [("second_factor_wrong", "code")];
                    form.refuse(words, error, &places)?;
                }
            }
        }
        Err(errors) => form.wrong_fields(words, &errors),
    }
    let next = form.value("next").to_owned();
    log_in_form(&state, &visit, &reader, &form, &next, with_code).await
}

/// Signs the user in and redirects to where they wanted to go; to the cart if some items could not be moved.
fn welcome(state: &WebState, signed_in: &SignedIn, next: &str, otherwise: &str) -> Response {
    let left_out = signed_in
        .moved
        .cart
        .as_ref()
        .is_none_or(|moved| !moved.left_out.is_empty());
    let to = match (left_out, next) {
        (true, _) => "/cart?done=left_out",
        (false, "") => otherwise,
        (false, next) => next,
    };
    session::signed_in(forms::done(to), &signed_in.data.tokens, &state.settings)
}

pub(crate) async fn log_out(State(state): State<Arc<WebState>>, member: SignedInUser) -> Result<Response, PageError> {
    state.shop.auth().log_out(&member.caller).await?;
    Ok(session::signed_out(
        forms::done("/login?done=logged_out"),
        &state.settings,
    ))
}
