//! The page of a change: what it does, in figures; what has to be entered; and one button that does it.
//!
//! What was entered is never lost: after an error the page is shown again with it.

use askama::Template;
use axum::response::Response;
use lockstep_page::error::PageError;
use lockstep_page::forms::{Field, Form};
use lockstep_page::page;
use lockstep_shop::Idempotency;

use crate::layout::Layout;

/// Maximum length of a reason, in characters.
const MAX_REASON: usize = 500;

/// A choice in a form.
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    /// Value, name, and whether it is chosen.
    pub(crate) options: Vec<(String, String, bool)>,
}

/// The page.
#[derive(Template)]
#[template(path = "action.html")]
pub(crate) struct ActionPage {
    pub(crate) layout: Layout,
    /// What the change does: name and figure.
    pub(crate) effects: Vec<(String, String)>,
    /// What to know before.
    pub(crate) warning: Option<String>,
    /// The address that the form is sent to.
    pub(crate) action: String,
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) choices: Vec<Choice>,
    pub(crate) fields: Vec<Field>,
    /// A checkbox: name, label, whether it is ticked.
    pub(crate) check: Option<(&'static str, &'static str, bool)>,
    /// The error of the form as a whole.
    pub(crate) problem: Option<String>,
    pub(crate) submit: String,
    /// The change cannot be undone.
    pub(crate) is_danger: bool,
    /// Where the way back leads.
    pub(crate) back: String,
}

impl ActionPage {
    /// A page whose form is sent to its own address.
    pub(crate) fn new(layout: Layout, form: &Form, action: String, submit: impl Into<String>, back: String) -> Self {
        Self {
            layout,
            effects: Vec::new(),
            warning: None,
            action,
            hidden: Vec::new(),
            choices: Vec::new(),
            fields: Vec::new(),
            check: None,
            problem: form.problem().map(str::to_owned),
            submit: submit.into(),
            is_danger: false,
            back,
        }
    }

    /// The response that shows the page after `form`.
    pub(crate) fn answer(&self, form: &Form) -> Result<Response, PageError> {
        Ok(page::secret(form.status(), self.render()?))
    }
}

/// The reason in a form; an error is recorded at its field.
pub(crate) fn reason(words: lockstep_page::i18n::Language, form: &mut Form, is_required: bool) -> Option<String> {
    let reason = form.value("reason").to_owned();
    if reason.is_empty() && is_required {
        form.wrong("reason", words.text("wrong.reason_missing"));
        return None;
    }
    if reason.chars().count() > MAX_REASON {
        form.wrong("reason", words.text("wrong.reason_too_long"));
        return None;
    }
    (!reason.is_empty()).then_some(reason)
}

/// The name of one sending of a form: sent twice, it is carried out once.
pub(crate) fn once(form: &Form) -> String {
    match form.value("once") {
        "" => uuid::Uuid::new_v4().to_string(),
        sent => sent.to_owned(),
    }
}

/// The same as the key of the use case.
pub(crate) fn key(form: &Form) -> Option<Idempotency> {
    Idempotency::new(form.value("once"))
}
