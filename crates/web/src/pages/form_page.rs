//! A page that is one form: what it is for, its fields, one button, and where else to go.

use askama::Template;
use axum::response::Response;

use crate::error::PageError;
use crate::forms::{Field, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::page;
use crate::visit::Preferences;

/// One form.
pub(crate) struct FormView {
    /// Where it is sent.
    pub(crate) action: &'static str,
    /// What the form carries along.
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) fields: Vec<Field>,
    /// A box to tick: name, label, whether it is ticked, and what is wrong.
    pub(crate) check: Option<(&'static str, String, bool)>,
    /// What is wrong with the form as a whole.
    pub(crate) problem: Option<String>,
    /// What the button says.
    pub(crate) submit: &'static str,
    /// It cannot be undone.
    pub(crate) is_danger: bool,
}

impl FormView {
    pub(crate) fn new(form: &Form, action: &'static str, submit: &'static str, fields: Vec<Field>) -> Self {
        Self {
            action,
            hidden: Vec::new(),
            fields,
            check: None,
            problem: form.problem().map(str::to_owned),
            submit,
            is_danger: false,
        }
    }

    /// The same, carrying a value along.
    pub(crate) fn carrying(mut self, name: &'static str, value: &str) -> Self {
        if !value.is_empty() {
            self.hidden.push((name, value.to_owned()));
        }
        self
    }

    /// The same with a box to tick.
    pub(crate) fn check(mut self, name: &'static str, label: impl Into<String>, ticked: bool) -> Self {
        self.check = Some((name, label.into(), ticked));
        self
    }

    /// The same for what cannot be undone.
    pub(crate) fn danger(mut self) -> Self {
        self.is_danger = true;
        self
    }
}

/// The page around it.
#[derive(Template)]
#[template(path = "form_page.html")]
pub(crate) struct FormPage {
    pub(crate) layout: Layout,
    pub(crate) title: &'static str,
    pub(crate) lead: Option<String>,
    /// What has just happened.
    pub(crate) notice: Option<String>,
    pub(crate) form_page: FormView,
    /// Text and address.
    pub(crate) links: Vec<(&'static str, String)>,
}

impl FormPage {
    /// The page as the answer to `form`.
    pub(crate) fn answer(&self, form: &Form) -> Result<Response, PageError> {
        Ok(page::secret(form.status(), self.render()?))
    }
}

/// What has just happened, when the address says so: `?done=profile` is the text `done.profile`.
pub(crate) fn notice(words: Language, visit: &Preferences) -> Option<String> {
    let (_, what) = visit.pairs().find(|(name, _)| name == "done")?;
    words.find(&format!("done.{what}")).map(str::to_owned)
}
