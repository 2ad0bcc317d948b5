//! `/withdraw`: withdrawal from a contract in two steps, without a log-in and without a reason. The answer is the same
//! whether or not there is such an order; its arrival is acknowledged by e-mail.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_domain::law::Duty;
use lockstep_domain::withdrawal::WithdrawalForm;
use lockstep_shop::ShopError;
use uuid::Uuid;

use crate::error::PageError;
use crate::forms::Form;
use crate::layout::Layout;
use crate::pages::form_page::{FormPage, FormView};
use crate::session::PageUser;
use crate::visit::Preferences;
use crate::{WebState, format, page};

#[derive(Template)]
#[template(path = "withdraw.html")]
struct WithdrawPage {
    layout: Layout,
    /// What was entered: label and value.
    facts: Vec<(&'static str, String)>,
    /// Day and time of arrival: machine-readable, and in words. `None`: it is not confirmed yet.
    arrived: Option<(String, String)>,
    /// The form of the second step: names and values.
    hidden: Vec<(&'static str, String)>,
}

/// The page exists while the shop fulfils this duty itself.
fn check_duty(state: &WebState) -> Result<(), PageError> {
    if state.shop.duties().is_on(Duty::Withdrawal) {
        Ok(())
    } else {
        Err(PageError::NotFound)
    }
}

async fn first_step(
    state: &WebState,
    visit: &Preferences,
    reader: &PageUser,
    form: &Form,
    shown: (&str, &str),
) -> Result<Response, PageError> {
    let words = visit.language;
    let (number, contact) = shown;
    let mut fields = vec![
        form.field("name", "text", words.text("withdraw.name"))
            .autocomplete("name")
            .required(),
        form.field("orderNumber", "text", words.text("withdraw.order"))
            .hint(words.text("withdraw.order.hint"))
            .required(),
        form.field("contact", "email", words.text("withdraw.contact"))
            .hint(words.text("withdraw.contact.hint"))
            .autocomplete("email")
            .required(),
    ];
    for (field, value) in fields.iter_mut().skip(1).zip([number, contact]) {
        if field.value.is_empty() && field.error.is_none() {
            value.clone_into(&mut field.value);
        }
    }
    FormPage {
        layout: Layout::of_reader(state, visit, &reader.context).await?,
        title: words.text("withdraw.title"),
        lead: Some(words.text("withdraw.lead").to_owned()),
        notice: None,
        form_page: FormView::new(form, "/withdraw", words.text("withdraw.continue"), fields),
        links: Vec::new(),
    }
    .answer(form)
}

/// `GET /withdraw`, with `?order=` from the page of an order
pub(crate) async fn form_page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
) -> Result<Response, PageError> {
    check_duty(&state)?;
    let number = visit
        .pairs()
        .find(|(name, _)| name == "order")
        .map(|(_, number)| number);
    let number: String = number.unwrap_or_default().chars().take(60).collect();
    let contact = reader.context.caller().map(|caller| caller.email().to_owned());
    let shown = (number.trim(), contact.as_deref().unwrap_or_default());
    first_step(&state, &visit, &reader, &Form::default(), shown).await
}

fn checked(form: &Form) -> Result<WithdrawalForm, Vec<lockstep_domain::account::FieldError>> {
    WithdrawalForm::check(form.value("name"), form.value("orderNumber"), form.value("contact"))
}

fn facts(visit: &Preferences, said: &WithdrawalForm) -> Vec<(&'static str, String)> {
    let words = visit.language;
    vec![
        (words.text("withdraw.name"), said.name.clone()),
        (words.text("withdraw.order"), said.order_number.clone()),
        (words.text("withdraw.contact"), said.contact.as_str().to_owned()),
    ]
}

/// `POST /withdraw`: shows what was entered, with the button that confirms it.
pub(crate) async fn review(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
    mut form: Form,
) -> Result<Response, PageError> {
    check_duty(&state)?;
    match checked(&form) {
        Ok(said) => {
            let hidden = vec![
                ("id", Uuid::new_v4().to_string()),
                ("name", said.name.clone()),
                ("orderNumber", said.order_number.clone()),
                ("contact", said.contact.as_str().to_owned()),
            ];
            let page = WithdrawPage {
                layout: Layout::of_reader(&state, &visit, &reader.context).await?,
                facts: facts(&visit, &said),
                arrived: None,
                hidden,
            };
            Ok(page::secret(StatusCode::OK, page.render()?))
        }
        Err(faults) => {
            form.wrong_fields(visit.language, &faults);
            first_step(&state, &visit, &reader, &form, ("", "")).await
        }
    }
}

/// `POST /withdraw/confirm`
pub(crate) async fn confirm(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    reader: PageUser,
    mut form: Form,
) -> Result<Response, PageError> {
    check_duty(&state)?;
    let words = visit.language;
    let id: Uuid = form.value("id").parse().map_err(|_| PageError::BadRequest)?;
    let said = match checked(&form) {
        Ok(said) => said,
        Err(faults) => {
            form.wrong_fields(words, &faults);
            return first_step(&state, &visit, &reader, &form, ("", "")).await;
        }
    };
    let arrived = match state.shop.withdraw(id, &said, words.code(), &reader.device).await {
        Ok(arrived) => arrived,
        Err(ShopError::Refused(error)) => {
            form.refuse(words, error, &[])?;
            return first_step(&state, &visit, &reader, &form, ("", "")).await;
        }
        Err(error) => return Err(error.into()),
    };
    let page = WithdrawPage {
        layout: Layout::of_reader(&state, &visit, &reader.context).await?,
        facts: facts(&visit, &said),
        arrived: Some((
            arrived.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            format::moment(words, arrived),
        )),
        hidden: Vec::new(),
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}
