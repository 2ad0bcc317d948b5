//! E-mails whose texts staff have changed.
//!
//! An edited text is a subject and the HTML between the shop's head and foot, both with placeholders. It is checked when
//! it is saved: it names no unknown variable, its tags and sections are closed, and what the e-mail is for (a link, a
//! code, the keys) is in it. It is cleaned when it is saved and again when it is sent, with the values in it.

mod html;
mod markup;
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;

use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::language::Language;
use lockstep_domain::title::Title;

pub use markup::TemplateError;
pub use values::{Kind, Variable, about, variables};

use crate::render::{self, Block, EmailBranding, RenderedEmail};
use crate::texts::Words;
use markup::Node;
use values::{Facts, Value, Values};

/// Maximum length of a subject with placeholders, in characters.
const MOST_SUBJECT: usize = 200;
/// Maximum length of a content with placeholders, in bytes.
const MOST_CONTENT: usize = 60_000;

/// The text of an e-mail in one language, with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// One line.
    pub subject: String,
    /// HTML.
    pub content: String,
}

/// Why a text cannot be saved or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no such e-mail.
    #[error("there is no such e-mail")]
    Unknown,
    /// The subject is wrong.
    #[error("{0}")]
    Subject(TemplateError),
    /// The content is wrong.
    #[error("{0}")]
    Content(TemplateError),
    /// Too long, empty, or without something that the e-mail is for.
    #[error("{what}")]
    Whole {
        /// `subject` or `content`.
        part: &'static str,
        /// What is wrong.
        what: Cow<'static, str>,
    },
}

impl SourceError {
    /// The part that is wrong: `subject` or `content`.
    pub fn part(&self) -> &'static str {
        match self {
            Self::Subject(_) => "subject",
            Self::Whole { part, .. } => part,
            Self::Unknown | Self::Content(_) => "content",
        }
    }

    fn whole(part: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Self::Whole {
            part,
            what: what.into(),
        }
    }
}

impl From<askama::Error> for SourceError {
    fn from(_: askama::Error) -> Self {
        Self::whole("content", "it cannot be rendered")
    }
}

/// A parsed text.
struct Parsed {
    subject: Vec<Node>,
    content: Vec<Node>,
}

fn parse(source: &Source, variables: &[Variable]) -> Result<Parsed, SourceError> {
    let kind_of = |name: &str| {
        variables
            .iter()
            .find(|known| known.name == name)
            .map(|known| known.kind)
    };
    Ok(Parsed {
        subject: markup::parse_line(&source.subject, kind_of).map_err(SourceError::Subject)?,
        content: markup::parse(&source.content, kind_of).map_err(SourceError::Content)?,
    })
}

/// Checks the text of the e-mail `name` and returns it cleaned, as it is to be saved.
///
/// # Errors
/// [`SourceError`]: what is wrong, and where.
pub fn check(name: &str, source: &Source, language: Language, head: &EmailBranding) -> Result<Source, SourceError> {
    let variables = variables(name).ok_or(SourceError::Unknown)?;
    let subject = source.subject.trim();
    if subject.chars().any(char::is_control) || subject.is_empty() {
        return Err(SourceError::whole("subject", "it must be one line of text"));
    }
    if subject.chars().nth(MOST_SUBJECT).is_some() || source.content.len() > MOST_CONTENT {
        let part = if source.content.len() > MOST_CONTENT {
            "content"
        } else {
            "subject"
        };
        return Err(SourceError::whole(part, "it is too long"));
    }
    if let Some(at) = source.content.find(is_forbidden) {
        let what = "this control character is not possible";
        return Err(SourceError::Content(TemplateError::at(&source.content, at, what)));
    }
    parse(source, &variables)?;
    let cleaned = Source {
        subject: subject.to_owned(),
        content: html::clean(&source.content).trim().to_owned(),
    };
    if cleaned.content.len() > MOST_CONTENT {
        return Err(SourceError::whole("content", "it is too long"));
    }
    // HTML may nest what was written in another way: a table ends a paragraph, say.
    let parsed = parse(&cleaned, &variables).map_err(|error| match error {
        SourceError::Content(error) => SourceError::whole(
            "content",
            format!("HTML does not allow these elements within each other ({})", error.what),
        ),
        error => error,
    })?;
    for is_whole in [true, false] {
        let email = values::example(name, &Facts::usual(), is_whole).ok_or(SourceError::Unknown)?;
        let values = values::values(&email, language, head)?;
        let unsubscribe = render::unsubscribe(&email, language, head);
        let rendered = fill_all(&parsed, &values, unsubscribe, language, head)?;
        if rendered.subject.is_empty() {
            return Err(SourceError::whole("subject", "it is empty without its values"));
        }
        let missing = variables
            .iter()
            .filter(|variable| variable.is_required)
            .find(|variable| {
                values
                    .get(variable.name)
                    .is_some_and(|value| !value.is_empty() && !shows(&rendered, value))
            });
        if let Some(missing) = missing {
            return Err(SourceError::whole(
                "content",
                format!(
                    "{{{{{}}}}} is missing: without it this e-mail is of no use",
                    missing.name
                ),
            ));
        }
    }
    Ok(cleaned)
}

fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || is_mark(c)
}

/// Whether a rendered e-mail shows a value, to readers of HTML and of text.
fn shows(rendered: &RenderedEmail, value: &Value) -> bool {
    match value {
        Value::Link(url) => {
            rendered.html.contains(&format!(
                "href=\"{}\"",
                html_escape::encode_double_quoted_attribute(url)
            )) && rendered.text.contains(url)
        }
        Value::Text(text) | Value::Block { text, .. } => rendered.text.contains(text),
    }
}

/// Renders an e-mail with an edited text.
///
/// # Errors
/// [`SourceError`], for a text that [`check`] of another version of the program accepted.
pub fn render(
    email: &EmailTemplate,
    source: &Source,
    language: Language,
    head: &EmailBranding,
) -> Result<RenderedEmail, SourceError> {
    let variables = variables(email.kind()).ok_or(SourceError::Unknown)?;
    let values = values::values(email, language, head)?;
    let unsubscribe = render::unsubscribe(email, language, head);
    fill_all(&parse(source, &variables)?, &values, unsubscribe, language, head)
}

/// Renders an example of the e-mail `name` with this text; `given` replaces values.
///
/// # Errors
/// [`SourceError`].
pub fn preview(
    name: &str,
    source: &Source,
    given: &BTreeMap<String, String>,
    language: Language,
    head: &EmailBranding,
) -> Result<RenderedEmail, SourceError> {
    let variables = variables(name).ok_or(SourceError::Unknown)?;
    let email = values::example(name, &Facts::usual(), true).ok_or(SourceError::Unknown)?;
    let mut values = values::values(&email, language, head)?;
    values::replace(&mut values, &variables, given);
    let unsubscribe = render::unsubscribe(&email, language, head);
    fill_all(&parse(source, &variables)?, &values, unsubscribe, language, head)
}

/// Puts a block into the text form: its text comes in its place when the rest is text.
const MARKS: (char, char) = ('\u{e000}', '\u{e001}');

fn is_mark(c: char) -> bool {
    c == MARKS.0 || c == MARKS.1
}

fn fill_all(
    parsed: &Parsed,
    values: &Values,
    unsubscribe: Option<(String, String)>,
    language: Language,
    head: &EmailBranding,
) -> Result<RenderedEmail, SourceError> {
    let subject = fill(&parsed.subject, values, &mut |value| match value {
        Value::Text(text) | Value::Link(text) | Value::Block { text, .. } => text.clone(),
    });
    // A title or a name must not inject headers.
    let subject = subject.replace(char::is_control, " ").trim().to_owned();
    let escaped = |text: &str| html_escape::encode_safe(&text.replace(is_mark, "")).into_owned();
    let body = html::clean(&fill(&parsed.content, values, &mut |value| match value {
        Value::Text(text) | Value::Link(text) => escaped(text),
        Value::Block { html, .. } => html.clone(),
    }));
    let mut blocks = Vec::new();
    let for_text = fill(&parsed.content, values, &mut |value| match value {
        Value::Text(text) | Value::Link(text) => escaped(text),
        Value::Block { text, .. } => {
            blocks.push(text.clone());
            format!("<div>{}{}{}</div>", MARKS.0, blocks.len() - 1, MARKS.1)
        }
    });
    let mut text = html::to_text(&html::clean(&for_text));
    for (number, block) in blocks.iter().enumerate() {
        text = text.replace(&format!("{}{number}{}", MARKS.0, MARKS.1), block);
    }
    Ok(render::framed(subject, &body, &text, unsubscribe, language, head)?)
}

fn fill(nodes: &[Node], values: &Values, form: &mut impl FnMut(&Value) -> String) -> String {
    let mut out = String::new();
    fill_into(&mut out, nodes, values, &mut |value| form(value));
    out
}

fn fill_into(out: &mut String, nodes: &[Node], values: &Values, form: &mut dyn FnMut(&Value) -> String) {
    for node in nodes {
        match node {
            Node::Literal(text) => out.push_str(text),
            Node::Value(name) => {
                if let Some(value) = values.get(name.as_str()).filter(|value| !value.is_empty()) {
                    out.push_str(&form(value));
                }
            }
            Node::Section {
                name,
                is_negated,
                nodes,
            } => {
                let is_there = values.get(name.as_str()).is_some_and(|value| !value.is_empty());
                if is_there != *is_negated {
                    fill_into(out, nodes, values, form);
                }
            }
        }
    }
}

/// The shipped text of the e-mail `name`, with placeholders; `None` if there is no such e-mail.
///
/// It is made from the same texts as the e-mails themselves: an example with conspicuous values is written, and each
/// value becomes its placeholder again.
pub fn shipped(name: &str, language: Language, head: &EmailBranding) -> Option<Source> {
    if name == "announcement" {
        return Some(announcement(language));
    }
    let facts = Facts {
        minutes: 4_000_000_007,
        amount: values::cents(765_432_109),
        number: "XNUMBERX".to_owned(),
        title: "Xtitlex".to_owned(),
    };
    let head = EmailBranding {
        shop: "{{shop}}".to_owned(),
        front_url: head.front_url.clone(),
        public_url: head.public_url.clone(),
        logo: head.logo,
    };
    let amount = Words(language).price(facts.amount);
    let amount_is = if name == "back-in-stock" {
        "{{price}}"
    } else {
        "{{amount}}"
    };
    let title = Title::new(&facts.title).name().to_owned();
    let with_places = |text: &str| {
        text.replace(&facts.minutes.to_string(), "{{minutes}}")
            .replace(&amount, amount_is)
            .replace(&facts.number, "{{orderNumber}}")
            .replace(&title, "{{title}}")
    };
    let write = |is_whole| {
        Some(render::contents(
            &values::example(name, &facts, is_whole)?,
            language,
            &head,
        ))
    };
    let (whole, least) = (write(true)?, write(false)?);
    let always = least.blocks.len();
    let is_longer = whole.blocks.len() > always;
    let mut content = "<p>{{greeting}}</p>".to_owned();
    for (number, block) in whole.blocks.iter().enumerate() {
        if is_longer && number == always {
            content.push_str("\n{{#code}}");
        }
        let block = match block {
            Block::Text(text) => Block::Text(with_places(text)),
            Block::Quiet(text) => Block::Quiet(with_places(text)),
            Block::Code(_) => Block::Code("{{code}}".to_owned()),
            Block::Button { label, .. } => Block::Button {
                label: label.clone(),
                url: "{{link}}".to_owned(),
            },
            Block::Items(_) => {
                content.push_str("\n{{items}}");
                continue;
            }
            Block::Facts(_) => {
                content.push_str("\n{{summary}}");
                continue;
            }
        };
        content.push('\n');
        content.push_str(render::one_block(&block).ok()?.0.trim());
    }
    if is_longer {
        content.push_str("\n{{/code}}");
    }
    Some(Source {
        subject: with_places(&whole.subject),
        content: html::clean(&content),
    })
}

/// The shipped text of an announcement, of which nearly everything is a value.
fn announcement(language: Language) -> Source {
    let button = render::one_block(&Block::Button {
        label: Words(language).text("announcement.button"),
        url: "{{link}}".to_owned(),
    });
    let button = button.map(|(html, _)| html).unwrap_or_default();
    let content = format!(
        "<p>{{{{greeting}}}}</p>\n{{{{#message}}}}<p>{{{{message}}}}</p>{{{{/message}}}}\n{{{{#link}}}}{}{{{{/link}}}}",
        button.trim()
    );
    Source {
        subject: "{{title}}".to_owned(),
        content: html::clean(&content),
    }
}

#[cfg(test)]
mod tests;
