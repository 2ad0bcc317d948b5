//! The link by which the owner of a demo signs in: printed by the program, good once and for an hour. Its page asks for
//! a password of the owner's own, so that what is dangerous can ask for it again.
//!
//! It exists only where nothing is sold and nobody else reaches the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use chrono::{DateTime, Utc};
use lockstep_auth::AuthError;
use lockstep_domain::account::Email;
use lockstep_page::error::PageError;
use lockstep_page::forms::{Field, Form};
use lockstep_page::session::{self, PageUser};
use lockstep_page::visit::Preferences;
use lockstep_page::{forms, page};

use crate::ConsoleState;
use crate::layout::Layout;

/// The link.
#[derive(Debug)]
pub struct DemoLink {
    token: String,
    email: Email,
    machine: String,
    expires_at: DateTime<Utc>,
    is_used: AtomicBool,
}

impl DemoLink {
    /// A link with this token, for the account with this address. The token is a secret that nobody can guess; `machine`
    /// is where the program printed it.
    pub fn new(token: String, email: Email, machine: String, expires_at: DateTime<Utc>) -> Self {
        Self {
            token,
            email,
            machine,
            expires_at,
            is_used: AtomicBool::new(false),
        }
    }

    /// Whether `token` is the link's and still good.
    fn is_good(&self, token: &str, now: DateTime<Utc>) -> bool {
        // Every character is compared: how long it takes says nothing about where the first difference is.
        let (ours, theirs) = (self.token.as_bytes(), token.as_bytes());
        let differences = ours.iter().zip(theirs).fold(0_u8, |all, (a, b)| all | (a ^ b));
        let is_it = ours.len() == theirs.len() && differences == 0;
        is_it && now < self.expires_at && !self.is_used.load(Ordering::SeqCst)
    }

    /// Uses the link up. Only the first call returns true, until it is given back.
    fn take(&self, token: &str, now: DateTime<Utc>) -> bool {
        self.is_good(token, now) && !self.is_used.swap(true, Ordering::SeqCst)
    }

    /// After a failure: the link can be used again.
    fn give_back(&self) {
        self.is_used.store(false, Ordering::SeqCst);
    }
}

/// The link of this address, while it is good.
fn found<'s>(state: &'s ConsoleState, token: &str) -> Result<&'s DemoLink, PageError> {
    let link = state.demo.as_ref().filter(|_| !state.settings.production);
    link.filter(|link| link.is_good(token, state.now()))
        .ok_or(PageError::NotFound)
}

#[derive(Template)]
#[template(path = "enter.html")]
struct EnterPage {
    layout: Layout,
    action: String,
    lead: String,
    field: Field,
    problem: Option<String>,
}

fn form_page(state: &ConsoleState, visit: &Preferences, link: &DemoLink, form: &Form) -> Result<Response, PageError> {
    let words = visit.language;
    let page = EnterPage {
        layout: Layout::bare(state, visit, words.text("console.enter.title").to_owned()),
        action: visit.uri.path().to_owned(),
        lead: words.with("console.enter.lead", link.email.as_str()),
        field: form
            .field("password", "password", words.text("field.new_password"))
            .hint(words.text("field.new_password.hint"))
            .autocomplete("new-password")
            .required(),
        problem: form.problem().map(str::to_owned),
    };
    let response = page::secret(form.status(), page.render()?);
    Ok(page::without_referrer(response))
}

/// `GET /admin/enter/{token}`: changes nothing, so that a program that looks does not use the link up.
pub(crate) async fn page(
    State(state): State<Arc<ConsoleState>>,
    Path(token): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let visit = Preferences::of_console(&uri, &headers);
    let link = found(&state, &token)?;
    form_page(&state, &visit, link, &Form::default())
}

/// `POST /admin/enter/{token}`: sets the owner's password and signs them in.
pub(crate) async fn enter(
    State(state): State<Arc<ConsoleState>>,
    Path(token): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    visitor: PageUser,
    mut form: Form,
) -> Result<Response, PageError> {
    let visit = Preferences::of_console(&uri, &headers);
    let link = found(&state, &token)?;
    if !link.take(&token, state.now()) {
        return Err(PageError::NotFound);
    }
    let auth = state.shop.auth();
    let signed_in = auth
        .log_in_demo_owner(&link.email, form.raw("password"), &visitor.device, &link.machine)
        .await;
    match signed_in {
        Ok(signed_in) => {
            let response = session::signed_in(forms::done("/admin"), &signed_in.tokens, state.settings.production);
            Ok(page::without_referrer(response))
        }
        Err(error) => {
            link.give_back();
            match error {
                AuthError::Invalid(_) => form.refuse(visit.language, error, &[])?,
                error => return Err(error.into()),
            }
            form_page(&state, &visit, link, &form)
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_link_is_good_once_until_it_expires_and_for_its_own_token() {
        let now = DateTime::UNIX_EPOCH;
        let email = Email::parse("owner@demo.example").unwrap();
        let made = || {
            DemoLink::new(
                "secret".to_owned(),
                email.clone(),
                "here".to_owned(),
                now + TimeDelta::hours(1),
            )
        };
        let link = made();
        assert!(!link.take("", now) && !link.take("secreT", now) && !link.take("secret2", now));
        assert!(link.take("secret", now));
        assert!(!link.take("secret", now) && !link.is_good("secret", now));
        link.give_back();
        assert!(link.take("secret", now));
        let link = made();
        assert!(!link.take("secret", now + TimeDelta::hours(1)));
    }
}
