//! Sessions and the latest log-in attempts of the account; each session can be ended here.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use lockstep_domain::ids::SessionId;

use super::Menu;
use crate::error::PageError;
use crate::format;
use crate::forms::{self, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::pages::form_page::notice;
use crate::session::SignedInUser;
use crate::visit::Preferences;
use crate::{WebState, page};

/// Number of attempts that the page shows.
const LATEST: usize = 10;

#[derive(Template)]
#[template(path = "account/sessions.html")]
struct SessionsPage {
    layout: Layout,
    menu: Menu,
    notice: Option<String>,
    sessions: Vec<Place>,
    attempts: Vec<Attempt>,
}

/// A signed-in device.
struct Place {
    id: SessionId,
    device: String,
    address: String,
    used: Moment,
    is_this: bool,
}

/// A log-in attempt, successful or not.
struct Attempt {
    device: String,
    address: String,
    at: Moment,
    succeeded: bool,
}

/// A time in machine-readable form and in words.
pub(crate) struct Moment {
    pub(crate) machine: String,
    pub(crate) words: String,
}

impl Moment {
    pub(crate) fn ago(words: Language, at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            machine: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            words: format::ago(words, at, now),
        }
    }
}

/// A device in plain words, from its user agent: browser and system.
fn device(words: Language, agent: Option<&str>) -> String {
    let Some(agent) = agent else {
        return words.text("sessions.unknown").to_owned();
    };
    let first = |names: &[(&str, &'static str)]| {
        names
            .iter()
            .find(|(mark, _)| agent.contains(mark))
            .map(|(_, name)| *name)
    };
    // The order matters: Edge and Opera also name Chrome, and Chrome also names Safari.
    let browser = first(&[
        ("Firefox/", "Firefox"),
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("Chromium/", "Chromium"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser}, {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => agent.chars().take(40).collect(),
    }
}

pub(crate) async fn page(
    State(state): State<Arc<WebState>>,
    visit: Preferences,
    member: SignedInUser,
) -> Result<Response, PageError> {
    let (words, now) = (visit.language, state.now());
    let sessions = state.shop.auth().sessions(&member.caller).await?;
    let attempts = state.shop.logins(&member.caller).await?;
    let address = |address: Option<String>| address.unwrap_or_else(|| words.text("sessions.unknown").to_owned());
    let page = SessionsPage {
        layout: Layout::of_reader(&state, &visit, &member.context).await?,
        menu: Menu::of(&visit),
        notice: notice(words, &visit),
        sessions: sessions
            .into_iter()
            .map(|session| Place {
                id: session.id,
                device: if session.is_of_staff {
                    words.text("sessions.staff").to_owned()
                } else {
                    device(words, session.user_agent.as_deref())
                },
                address: address(session.address),
                used: Moment::ago(words, session.last_used_at, now),
                is_this: session.id == member.caller.session(),
            })
            .collect(),
        attempts: attempts
            .into_iter()
            .take(LATEST)
            .map(|attempt| Attempt {
                device: device(words, attempt.user_agent.as_deref()),
                address: address(attempt.address),
                at: Moment::ago(words, attempt.at, now),
                succeeded: attempt.succeeded,
            })
            .collect(),
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}

pub(crate) async fn end(
    State(state): State<Arc<WebState>>,
    member: SignedInUser,
    form: Form,
) -> Result<Response, PageError> {
    let session = form.value("session").parse().map_err(|_| PageError::BadRequest)?;
    state
        .shop
        .auth()
        .end_session(&member.caller, SessionId(session))
        .await?;
    Ok(forms::done("/account/sessions?done=session_ended"))
}

pub(crate) async fn end_others(
    State(state): State<Arc<WebState>>,
    member: SignedInUser,
) -> Result<Response, PageError> {
    state.shop.auth().end_other_sessions(&member.caller).await?;
    Ok(forms::done("/account/sessions?done=sessions_ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_by_browser_and_system() {
        let words = Language::ENGLISH;
        for (agent, name) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0",
                "Edge, Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 Version/18.0 Mobile/15E148 Safari/604.1",
                "Safari, iPhone",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox, Linux",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
        ] {
            assert_eq!(device(words, Some(agent)), name);
        }
        assert_eq!(device(words, None), words.text("sessions.unknown"));
    }
}
