//! Data export and deletion of the account.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use lockstep_domain::Money;
use lockstep_domain::secret::Secret;

use super::{AccountForm, Menu};
use crate::error::PageError;
use crate::format;
use crate::forms::{self, Form};
use crate::layout::Layout;
use crate::pages::form_page::FormView;
use crate::session::{self, SignedInUser};
use crate::visit::Preferences;
use crate::{WebState, page};

#[derive(Template)]
#[template(path = "account/data.html")]
struct DataPage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let page = DataPage {
        layout: Layout::of_reader(&state, &visit, &member.context).await?,
        menu: Menu::of(&visit),
        notice: None,
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

/// Everything stored about the reader as a file, streamed while it is read.
pub(crate) async fn download(State(state): State<Arc<WebState>>, member: SignedInUser) -> Result<Response, PageError> {
    let export = state.shop.export(&member.caller).await?;
    // Fused, because compression polls the stream once more after its end.
    let chunks = stream::unfold(export, |mut export| async move { Some((export.next().await?, export)) }).fuse();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"my-data.json\""),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

async fn show(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let balance = member.context.profile().await?.balance;
    let password = form
        .field("password", "password", words.text("field.current_password"))
        .autocomplete("current-password")
        .required();
    let mut form_page = FormView::new(form, "/account/delete", words.text("leave.submit"), vec![password]).danger();
    if balance > Money::ZERO {
        let label = words.with("leave.balance", format::price(words, balance));
        form_page = form_page.check("give_up_balance", label, form.value("give_up_balance") == "yes");
    }
    let lead = Some(words.text("leave.lead").to_owned());
    AccountForm::show(state, visit, member, form, words.text("leave.title"), lead, form_page).await
}

pub(crate) async fn leave_page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    show(&state, &visit, &member, &Form::default()).await
}

pub(crate) async fn leave(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let password = Secret::new(form.raw("password"));
    let give_up_balance = form.value("give_up_balance") == "yes";
    let left = state
        .shop
        .auth()
        .delete_account(&member.caller, &password, give_up_balance, &member.device)
        .await;
    match left {
        Ok(_) => return Ok(session::signed_out(forms::done("/login?done=left"), &state.settings)),
        Err(error) => form.refuse(visit.language, error, &[("wrong_password", "password")])?,
    }
    show(&state, &visit, &member, &form).await
}
