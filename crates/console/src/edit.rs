//! The page of a longer form: lines, texts, choices; a preview that needs no script; and both versions when somebody
//! else has saved meanwhile.
//!
//! As at [`ActionPage`](crate::action::ActionPage), what was entered is never lost.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use askama::Template;
use axum::response::Response;
use lockstep_page::error::PageError;
use lockstep_page::forms::{Field, Form};
use lockstep_page::i18n::Language;
use lockstep_page::page;

use crate::action::Choice;
use crate::layout::Layout;

/// The button that shows what was entered, without saving it.
pub(crate) const PREVIEW: &str = "preview";

/// Checkboxes under one heading; those that are ticked are sent under one name.
pub(crate) struct Checks {
    pub(crate) name: &'static str,
    pub(crate) legend: &'static str,
    pub(crate) hint: Option<&'static str>,
    /// Value, name, and whether it is ticked.
    pub(crate) options: Vec<(String, String, bool)>,
    pub(crate) error: Option<String>,
}

/// A part of the form.
pub(crate) enum Control {
    Line(Field),
    /// Several lines, and how many are shown.
    Text(Field, u16),
    Choice(Choice),
    /// A checkbox: name, label, whether it is ticked.
    Check(&'static str, &'static str, bool),
    Checks(Checks),
}

/// What was entered, as readers will see it.
pub(crate) struct Preview {
    pub(crate) title: String,
    /// HTML that the cleaner of what is stored has made.
    pub(crate) html: String,
    /// Plain text, below it.
    pub(crate) text: Option<String>,
}

/// A field that somebody else has changed: name, what is stored now, what was entered.
pub(crate) struct Conflict {
    pub(crate) label: &'static str,
    pub(crate) stored: String,
    pub(crate) entered: String,
}

/// The page.
#[derive(Template)]
#[template(path = "edit.html")]
pub(crate) struct EditPage {
    pub(crate) layout: Layout,
    /// What to know before.
    pub(crate) lead: Option<String>,
    /// What is known about it: name and value.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What else can be done with it: label, address, whether it is dangerous.
    pub(crate) actions: Vec<(&'static str, String, bool)>,
    /// What can stand in its texts: placeholder, and what it stands for.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) preview: Option<Preview>,
    pub(crate) action: String,
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) controls: Vec<Control>,
    pub(crate) problem: Option<String>,
    pub(crate) submit: String,
    /// The form can be shown as readers will see it.
    pub(crate) can_preview: bool,
    /// The form cannot be sent by this reader.
    pub(crate) is_read_only: bool,
    pub(crate) back: String,
}

impl EditPage {
    /// A page whose form is sent to `action`.
    pub(crate) fn new(layout: Layout, form: &Form, action: String, submit: impl Into<String>, back: String) -> Self {
        Self {
            layout,
            lead: None,
            facts: Vec::new(),
            actions: Vec::new(),
            variables: Vec::new(),
            conflicts: Vec::new(),
            preview: None,
            action,
            hidden: Vec::new(),
            controls: Vec::new(),
            problem: form.problem().map(str::to_owned),
            submit: submit.into(),
            can_preview: false,
            is_read_only: false,
            back,
        }
    }

    /// The response that shows the page after `form`.
    pub(crate) fn answer(&self, form: &Form) -> Result<Response, PageError> {
        Ok(page::secret(form.status(), self.render()?))
    }
}

/// Whether something was entered: otherwise fields show what is stored.
pub(crate) fn has_input(form: &Form) -> bool {
    form.pairs().next().is_some()
}

/// `field` with what is stored, unless something was entered, which may be nothing.
pub(crate) fn stored(form: &Form, field: Field, value: &str) -> Field {
    if has_input(form) { field } else { field.filled(value) }
}

/// Whether a checkbox is ticked: as entered, or as stored.
pub(crate) fn ticked(form: &Form, name: &str, stored: bool) -> bool {
    if has_input(form) {
        form.value(name) == "yes"
    } else {
        stored
    }
}

/// The hidden field of what the reader has seen: as it was sent, so that a preview or an error takes up nothing that
/// somebody else has saved meanwhile; else what is stored.
#[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
pub(crate) fn seen(form: &Form, name: &'static str, stored: impl ToString) -> (&'static str, String) {
    let sent = form.pairs().find(|(known, _)| *known == name);
    (
        name,
        sent.map_or_else(|| stored.to_string(), |(_, value)| value.to_owned()),
    )
}

/// Says that somebody else has saved meanwhile. The page shows what they saved, which from then on counts as seen.
pub(crate) fn outdated(words: Language, form: &mut Form, name: &str) {
    form.wrong("", words.text("wrong.outdated"));
    form.forget(name);
}

/// What a form shows, as a short name, to notice that somebody else has changed it.
pub(crate) fn fingerprint(shown: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    shown.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The fields of which the stored value is another one than was entered.
pub(crate) fn conflicts(fields: &[(&'static str, String, String)]) -> Vec<Conflict> {
    let differing = fields
        .iter()
        .filter(|(_, stored, entered)| stored.trim() != entered.trim());
    differing
        .map(|(label, stored, entered)| Conflict {
            label,
            stored: stored.clone(),
            entered: entered.clone(),
        })
        .collect()
}
