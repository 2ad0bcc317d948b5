//! A page with one form: its purpose, fields, one button, and links.

use askama::Template;
use axum::response::Response;

use crate::error::PageError;
use crate::forms::{Field, Form};
use crate::i18n::Language;
use crate::layout::Layout;
use crate::page;
use crate::visit::Preferences;

/// A form.
pub(crate) struct FormView {
    /// The address that it is sent to.
    pub(crate) action: &'static str,
    /// Hidden fields.
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) fields: Vec<Field>,
    /// A checkbox: name, label, whether it is checked.
    pub(crate) check: Option<(&'static str, String, bool)>,
    /// The error of the form as a whole.
    pub(crate) problem: Option<String>,
    /// Label of the button.
    pub(crate) submit: &'static str,
    /// The action cannot be undone.
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

    /// Adds a hidden field.
    pub(crate) fn carrying(mut self, name: &'static str, value: &str) -> Self {
        if !value.is_empty() {
            self.hidden.push((name, value.to_owned()));
        }
        self
    }

    /// Adds a checkbox.
    pub(crate) fn check(mut self, name: &'static str, label: impl Into<String>, ticked: bool) -> Self {
        self.check = Some((name, label.into(), ticked));
        self
    }

    /// Marks the action as one that cannot be undone.
    pub(crate) fn danger(mut self) -> Self {
        self.is_danger = true;
        self
    }
}

/// The page with the form.
#[derive(Template)]
#[template(path = "form_page.html")]
#[expect(
    clippy::struct_field_names,
    reason = "the component of the form, which other pages use too, names it so"
)]
pub(crate) struct FormPage {
    pub(crate) layout: Layout,
    pub(crate) title: &'static str,
    pub(crate) lead: Option<String>,
    /// A message about the previous action.
    pub(crate) notice: Option<String>,
    pub(crate) form_page: FormView,
    /// Links: text and address.
    pub(crate) links: Vec<(&'static str, String)>,
}

impl FormPage {
    /// The response that shows the page after `form`.
    pub(crate) fn answer(&self, form: &Form) -> Result<Response, PageError> {
        Ok(page::secret(form.status(), self.render()?))
    }
}

/// A message about the previous action, from the address: `?done=profile` is the text `done.profile`.
pub(crate) fn notice(words: Language, visit: &Preferences) -> Option<String> {
    let (_, what) = visit.pairs().find(|(name, _)| name == "done")?;
    words.find(&format!("done.{what}")).map(str::to_owned)
}
