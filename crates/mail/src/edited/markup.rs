//! The language of edited templates: HTML with `{{name}}` for a value, `{{#name}}…{{/name}}` for what is shown only when
//! there is one, and `{{^name}}…{{/name}}` for what is shown only when there is none.
//!
//! A value cannot leave its place: within a tag only a link may stand, as the whole of an `href`, so that no edited
//! template can send a code or a link elsewhere; and a section opens and closes within the same element.

use super::html::{VOID, is_possible};
use super::values::Kind;

/// Deepest nesting of sections, and of elements.
const MOST_DEEP: usize = 40;

/// What is wrong with a template, and where. Contains nothing of an e-mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct TemplateError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl TemplateError {
    pub(super) fn at(source: &str, offset: usize, what: impl Into<String>) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            what: what.into(),
        }
    }
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Literal(String),
    Value(String),
    /// Shown when the value is there, or (negated) when it is not.
    Section {
        name: String,
        is_negated: bool,
        nodes: Vec<Node>,
    },
}

/// An opened section, and the number of elements that were open then.
struct Open {
    name: String,
    is_negated: bool,
    depth: usize,
    at: usize,
    nodes: Vec<Node>,
}

/// Parses HTML with placeholders. `kind_of` knows the variables.
pub(super) fn parse(source: &str, kind_of: impl Fn(&str) -> Option<Kind>) -> Result<Vec<Node>, TemplateError> {
    Parser {
        source,
        kind_of,
        elements: Vec::new(),
        sections: Vec::new(),
        nodes: Vec::new(),
        literal: String::new(),
    }
    .run(false)
}

/// Parses a subject: text with placeholders.
pub(super) fn parse_line(source: &str, kind_of: impl Fn(&str) -> Option<Kind>) -> Result<Vec<Node>, TemplateError> {
    Parser {
        source,
        kind_of,
        elements: Vec::new(),
        sections: Vec::new(),
        nodes: Vec::new(),
        literal: String::new(),
    }
    .run(true)
}

struct Parser<'s, K> {
    source: &'s str,
    kind_of: K,
    /// Open elements: name and position.
    elements: Vec<(String, usize)>,
    sections: Vec<Open>,
    nodes: Vec<Node>,
    literal: String,
}

impl<'s, K: Fn(&str) -> Option<Kind>> Parser<'s, K> {
    fn error<T>(&self, at: usize, what: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::at(self.source, at, what))
    }

    fn run(mut self, is_line: bool) -> Result<Vec<Node>, TemplateError> {
        let mut at = 0;
        while let Some(rest) = self.source.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with("{{") {
                at = self.placeholder(at, is_line)?;
            } else if !is_line && rest.starts_with("<!--") {
                let Some(end) = rest.find("-->") else {
                    return self.error(at, "a comment is not closed with -->");
                };
                at += end + 3;
            } else if !is_line && starts_a_tag(rest) {
                at = self.tag(at)?;
            } else {
                let next = rest.chars().next().map_or(1, char::len_utf8);
                self.literal.push_str(rest.get(..next).unwrap_or_default());
                at += next;
            }
        }
        if let Some(open) = self.sections.last() {
            return self.error(open.at, format!("{{{{#{}}}}} is not closed", open.name));
        }
        if let Some((name, opened)) = self.elements.last() {
            return self.error(*opened, format!("<{name}> is not closed"));
        }
        self.flush();
        Ok(self.nodes)
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.nodes.push(Node::Literal(std::mem::take(&mut self.literal)));
        }
    }

    /// The kind of a variable.
    fn known(&self, at: usize, name: &str) -> Result<Kind, TemplateError> {
        match (self.kind_of)(name) {
            Some(kind) => Ok(kind),
            None => self.error(at, format!("{{{{{}}}}} is no variable of this e-mail", shortened(name))),
        }
    }

    /// Reads the placeholder at `at`; returns where it ends.
    fn placeholder(&mut self, at: usize, is_line: bool) -> Result<usize, TemplateError> {
        let (mark, name, end) = self.braces(at)?;
        let parent = self.elements.last().map(|(name, _)| name.as_str());
        if matches!(parent, Some("table" | "thead" | "tbody" | "tfoot" | "tr")) {
            return self.error(at, "in a table, placeholders are possible within its cells only");
        }
        let kind = self.known(at, name)?;
        self.flush();
        match mark {
            None if is_line && kind != Kind::Text => {
                return self.error(at, format!("{{{{{name}}}}} is not possible in a subject"));
            }
            None => self.nodes.push(Node::Value(name.to_owned())),
            Some('/') => {
                let Some(open) = self.sections.pop() else {
                    return self.error(at, format!("{{{{/{name}}}}} closes nothing"));
                };
                if open.name != name {
                    return self.error(
                        at,
                        format!("{{{{#{}}}}} is to be closed before {{{{/{name}}}}}", open.name),
                    );
                }
                if open.depth != self.elements.len() {
                    return self.error(
                        at,
                        format!("{{{{/{name}}}}} stands in another element than {{{{#{name}}}}}"),
                    );
                }
                let nodes = std::mem::replace(&mut self.nodes, open.nodes);
                self.nodes.push(Node::Section {
                    name: open.name,
                    is_negated: open.is_negated,
                    nodes,
                });
            }
            Some(mark) => {
                if self.sections.len() >= MOST_DEEP {
                    return self.error(at, "sections are nested too deeply");
                }
                self.sections.push(Open {
                    name: name.to_owned(),
                    is_negated: mark == '^',
                    depth: self.elements.len(),
                    at,
                    nodes: std::mem::take(&mut self.nodes),
                });
            }
        }
        Ok(end)
    }

    /// Mark, name and end of the braces at `at`.
    fn braces(&self, at: usize) -> Result<(Option<char>, &'s str, usize), TemplateError> {
        let source: &'s str = self.source;
        let inside = source.get(at + 2..).unwrap_or_default();
        let Some(length) = inside.find("}}") else {
            return self.error(at, "{{ is not closed with }}");
        };
        let text = inside.get(..length).unwrap_or_default();
        let mark = text.chars().next().filter(|c| matches!(c, '#' | '^' | '/'));
        let name = text.trim_start_matches(['#', '^', '/']).trim();
        let is_name = text.len() - text.trim_start_matches(['#', '^', '/']).len() <= 1
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if is_name {
            Ok((mark, name, at + 2 + length + 2))
        } else {
            self.error(at, "this is no placeholder; write {{name}}")
        }
    }

    /// Reads the tag at `at`; returns where it ends.
    fn tag(&mut self, at: usize) -> Result<usize, TemplateError> {
        let rest = self.source.get(at..).unwrap_or_default();
        let is_end = rest.starts_with("</");
        let name: String = rest
            .chars()
            .skip(if is_end { 2 } else { 1 })
            .take_while(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        if !is_possible(&name) {
            return self.error(at, format!("<{}> is not possible in an e-mail", shortened(&name)));
        }
        let end = self.end_of_tag(at, &name)?;
        let text = self.source.get(at..end).unwrap_or_default();
        let is_void = VOID.contains(&name.as_str());
        if is_end {
            match self.elements.last() {
                Some((open, _)) if *open == name => drop(self.elements.pop()),
                Some((open, _)) => {
                    return self.error(at, format!("<{open}> is to be closed before </{name}>"));
                }
                None => return self.error(at, format!("</{name}> closes nothing")),
            }
            if let Some(open) = self.sections.last()
                && open.depth > self.elements.len()
            {
                return self.error(
                    open.at,
                    format!("{{{{#{}}}}} is to be closed before </{name}>", open.name),
                );
            }
        } else if !is_void {
            if self.elements.len() >= MOST_DEEP {
                return self.error(at, "elements are nested too deeply");
            }
            self.elements.push((name, at));
        }
        // The links in it become values.
        let mut from = 0;
        while let Some(found) = text.get(from..).and_then(|rest| rest.find("{{")) {
            let (_, value, after) = self.braces(at + from + found)?;
            let value = value.to_owned();
            self.literal.push_str(text.get(from..from + found).unwrap_or_default());
            self.flush();
            self.nodes.push(Node::Value(value));
            from = after - at;
        }
        self.literal.push_str(text.get(from..).unwrap_or_default());
        Ok(end)
    }

    /// Where the tag at `at` ends. A placeholder within it has to be a link, as a whole `href`.
    fn end_of_tag(&self, at: usize, name: &str) -> Result<usize, TemplateError> {
        let rest = self.source.get(at..).unwrap_or_default();
        let mut quote = None;
        for (offset, c) in rest.char_indices().skip(1) {
            let here = rest.get(offset..).unwrap_or_default();
            match (quote, c) {
                (None, '>') => return Ok(at + offset + 1),
                (None, '<') => break,
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), _) if open == c => quote = None,
                (_, '{') if here.starts_with("{{") => {
                    let (mark, value, end) = self.braces(at + offset)?;
                    let before = rest.get(..offset).unwrap_or_default().to_ascii_lowercase();
                    let is_whole = name == "a"
                        && mark.is_none()
                        && quote.is_some_and(|quote| before.ends_with(&format!(" href={quote}")))
                        && self.source.get(end..).and_then(|rest| rest.chars().next()) == quote;
                    if self.known(at + offset, value)? != Kind::Link || !is_whole {
                        let what = "within a tag only a link is possible, as a whole: <a href=\"{{link}}\">";
                        return self.error(at + offset, what);
                    }
                }
                _ => {}
            }
        }
        self.error(at, format!("the tag <{name} is not closed with >"))
    }
}

fn starts_a_tag(rest: &str) -> bool {
    let mut chars = rest.chars();
    match (chars.next(), chars.next()) {
        (Some('<'), Some('/' | '!' | '?')) => true,
        (Some('<'), Some(c)) => c.is_ascii_alphabetic(),
        _ => false,
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}
