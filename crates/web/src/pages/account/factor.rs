//! Two-factor authentication: set-up by QR code or by typing, recovery codes, and removal.

use std::fmt::Write as _;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_domain::secret::Secret;
use qrcodegen::{QrCode, QrCodeEcc};

use super::{AccountForm, Menu};
use crate::error::PageError;
use crate::forms::{self, Field, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::pages::form_page::{FormView, notice};
use crate::session::SignedInUser;
use crate::visit::Preferences;
use crate::{WebState, page};

/// White margin of the QR code, in modules; without it cameras do not recognise the code.
const QUIET_ZONE: i32 = 4;

#[derive(Template)]
#[template(path = "account/factor.html")]
struct FactorPage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    /// The QR code: its size in modules, and the path of the dark modules.
    picture: (i32, String),
    /// The same secret for typing, in groups of four.
    secret: String,
    form_page: FormView,
}

/// The page with the recovery codes, shown once.
#[derive(Template)]
#[template(path = "account/recovery.html")]
struct RecoveryPage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    codes: Vec<String>,
}

/// Two-factor authentication is on: the number of unused recovery codes, and a form to turn it off.
#[derive(Template)]
#[template(path = "account/factor_on.html")]
struct FactorOnPage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    left: String,
    form_page: FormView,
}

fn code_sheet(visit: &Preferences, form: &Form) -> FormView {
    let words = visit.language;
    let code = form
        .field("code", "text", words.text("factor.code"))
        .autocomplete("one-time-code")
        .digits()
        .required();
    FormView::new(
        form,
        "/account/second-factor/confirm",
        words.text("factor.confirm"),
        vec![code],
    )
}

async fn show(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    if member.context.profile().await?.second_factor {
        return show_on(state, visit, member, form).await;
    }
    let password = password_field(words, form);
    let title = words.text("account.factor");
    let form_page = FormView::new(
        form,
        "/account/second-factor",
        words.text("factor.begin"),
        vec![password],
    );
    let lead = Some(words.text("factor.lead").to_owned());
    AccountForm::show(state, visit, member, form, title, lead, form_page).await
}

fn password_field(words: Language, form: &Form) -> Field {
    form.field("password", "password", words.text("field.current_password"))
        .autocomplete("current-password")
        .required()
}

/// Fields for the password and a code of either kind.
fn proof_fields(words: Language, form: &Form) -> Vec<Field> {
    let code = form
        .field("code", "text", words.text("factor.any_code"))
        .hint(words.text("factor.any_code.hint"))
        .autocomplete("one-time-code")
        .required();
    vec![password_field(words, form), code]
}

async fn show_on(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let left = state.shop.auth().recovery_codes_left(&member.caller).await?;
    let form_page = FormView::new(
        form,
        "/account/second-factor/remove",
        words.text("factor.remove"),
        proof_fields(words, form),
    );
    let page = FactorOnPage {
        layout: Layout::of_reader(state, visit, &member.context).await?,
        menu: Menu::of(visit),
        notice: notice(words, visit),
        left: words.count("factor.codes_left", left),
        form_page: form_page.danger(),
    };
    Ok(page::secret(form.status(), page.render()?))
}

/// Shows the recovery codes, once.
async fn show_codes(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    codes: &[Secret],
    done: &str,
) -> Result<Response, PageError> {
    let page = RecoveryPage {
        layout: Layout::of_reader(state, visit, &member.context).await?,
        menu: Menu::of(visit),
        notice: Some(visit.language.text(done).to_owned()),
        codes: codes.iter().map(|code| code.expose().to_owned()).collect(),
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

async fn show_recovery(
    state: &WebState,
    visit: &Preferences,
    member: &SignedInUser,
    form: &Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let form_page = FormView::new(
        form,
        "/account/second-factor/recovery-codes",
        words.text("factor.new_codes"),
        proof_fields(words, form),
    );
    let lead = Some(words.text("factor.new_codes.lead").to_owned());
    let title = words.text("factor.codes");
    AccountForm::show(state, visit, member, form, title, lead, form_page).await
}

pub(crate) async fn recovery_page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    show_recovery(&state, &visit, &member, &Form::default()).await
}

/// Creates new recovery codes.
pub(crate) async fn recovery_codes(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let (password, code) = (Secret::new(form.raw("password")), Secret::new(form.value("code")));
    let made = state
        .shop
        .auth()
        .new_recovery_codes(&member.caller, &password, &code, &member.device)
        .await;
    match made {
        Ok(codes) => return show_codes(&state, &visit, &member, &codes, "done.new_codes").await,
        Err(error) => form.refuse(
            visit.language,
            error,
            &[("wrong_password", "password"), ("second_factor_wrong", "code")],
        )?,
    }
    show_recovery(&state, &visit, &member, &form).await
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    show(&state, &visit, &member, &Form::default()).await
}

/// Shows the secret. Nothing changes until the first code is confirmed.
pub(crate) async fn offer(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let password = Secret::new(form.raw("password"));
    let offered = state
        .shop
        .auth()
        .offer_second_factor(&member.caller, &password, &member.device)
        .await;
    match offered {
        Ok(enrolment) => {
            let page = FactorPage {
                layout: Layout::of_reader(&state, &visit, &member.context).await?,
                menu: Menu::of(&visit),
                notice: None,
                picture: picture(enrolment.url.expose()).ok_or(PageError::Internal)?,
                secret: in_groups(enrolment.secret.expose()),
                form_page: code_sheet(&visit, &Form::default()),
            };
            Ok(page::secret(StatusCode::OK, page.render()?))
        }
        Err(error) => {
            form.refuse(visit.language, error, &[("wrong_password", "password")])?;
            show(&state, &visit, &member, &form).await
        }
    }
}

pub(crate) async fn confirm(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let words = visit.language;
    let code = Secret::new(form.value("code"));
    let confirmed = state
        .shop
        .auth()
        .confirm_second_factor(&member.caller, &code, &member.device)
        .await;
    match confirmed {
        Ok(codes) => return show_codes(&state, &visit, &member, &codes, "done.factor_on").await,
        Err(error) => form.refuse(words, error, &[("second_factor_wrong", "code")])?,
    }
    let form_page = code_sheet(&visit, &form);
    let lead = Some(words.text("factor.again").to_owned());
    AccountForm::show(
        &state,
        &visit,
        &member,
        &form,
        words.text("account.factor"),
        lead,
        form_page,
    )
    .await
}

pub(crate) async fn remove(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let (password, code) = (Secret::new(form.raw("password")), Secret::new(form.value("code")));
    let removed = state
        .shop
        .auth()
        .remove_second_factor(&member.caller, &password, &code, &member.device)
        .await;
    match removed {
        Ok(()) => return Ok(forms::done("/account/second-factor?done=factor_off")),
        Err(error) => form.refuse(
            visit.language,
            error,
            &[("wrong_password", "password"), ("second_factor_wrong", "code")],
        )?,
    }
    show(&state, &visit, &member, &form).await
}

/// A QR code as one SVG path: a square for each dark module.
fn picture(text: &str) -> Option<(i32, String)> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            let _infallible = write!(path, "M{} {}h1v1h-1z", x + QUIET_ZONE, y + QUIET_ZONE);
        }
    }
    Some((code.size() + 2 * QUIET_ZONE, path))
}

fn in_groups(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    letters
        .chunks(4)
        .map(|group| group.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qr_codes_have_finder_patterns_and_a_quiet_zone() {
        let (size, path) = picture("otpauth://totp/Shop:ada@example.com?secret=ABCDEFGH&issuer=Shop").unwrap();
        assert!(size > 21 + 2 * QUIET_ZONE);
        // The finder patterns are in three corners.
        assert!(path.starts_with("M4 4h1v1h-1z"));
        assert!(
            path.contains(&format!("M{} 4h1v1h-1z", size - 5)) && path.contains(&format!("M4 {}h1v1h-1z", size - 5))
        );
    }

    #[test]
    fn secrets_are_shown_in_groups_of_four() {
        assert_eq!(in_groups("ABCDEFGHIJ"), "ABCD EFGH IJ");
    }
}
