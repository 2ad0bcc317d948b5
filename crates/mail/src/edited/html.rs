//! The HTML of edited e-mails: cleaned, and as plain text.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;

/// Elements of an e-mail.
const ELEMENTS: &[&str] = &[
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "del",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "i",
    "img",
    "ins",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
    "caption",
];

/// Elements without content.
pub(super) const VOID: [&str; 3] = ["br", "hr", "img"];

/// Properties of `style` that load nothing and move nothing out of the e-mail.
const PROPERTIES: &[&str] = &[
    "background-color",
    "border",
    "border-bottom",
    "border-collapse",
    "border-color",
    "border-left",
    "border-radius",
    "border-right",
    "border-style",
    "border-top",
    "border-width",
    "color",
    "display",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "height",
    "letter-spacing",
    "line-height",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-width",
    "overflow-wrap",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "text-align",
    "text-decoration",
    "text-transform",
    "vertical-align",
    "white-space",
    "width",
];

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let cell = HashSet::from(["colspan", "rowspan", "align", "valign", "width"]);
    let mut builder = Builder::empty();
    builder
        .tags(ELEMENTS.iter().copied().collect())
        .clean_content_tags(HashSet::from([
            "script", "style", "iframe", "object", "noscript", "template", "svg", "math",
        ]))
        .generic_attributes(HashSet::from(["style"]))
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href"])),
            ("img", HashSet::from(["src", "alt", "width", "height"])),
            (
                "table",
                HashSet::from(["role", "align", "width", "cellpadding", "cellspacing"]),
            ),
            ("td", cell.clone()),
            ("th", cell),
        ]))
        .filter_style_properties(PROPERTIES.iter().copied().collect())
        .url_schemes(HashSet::from(["https", "http", "mailto"]))
        .link_rel(None);
    builder
});

/// Whether an element is possible in an e-mail.
pub(super) fn is_possible(element: &str) -> bool {
    ELEMENTS.contains(&element)
}

/// Keeps what shows text, tables, links and pictures; nothing remains that runs scripts or loads styles. Cleaning twice
/// changes nothing.
pub(super) fn clean(html: &str) -> String {
    CLEANER.clean(html).to_string()
}

/// The text of cleaned HTML: paragraphs with an empty line between them, links with their address.
pub(super) fn to_text(html: &str) -> String {
    let mut text = Text::default();
    let mut links: Vec<(String, usize, bool)> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push(rest.get(..at).unwrap_or_default());
        let (tag, after) = tag(rest.get(at + 1..).unwrap_or_default());
        rest = after;
        let name = tag
            .split(|c: char| c.is_ascii_whitespace() || c == '>')
            .next()
            .unwrap_or_default();
        match name {
            "br" => text.end_line(1),
            "tr" | "/tr" | "li" | "/li" => {
                text.end_line(1);
                if name == "li" {
                    text.push("- ");
                }
            }
            "/td" | "/th" => text.push(" "),
            "img" => text.push(attribute(tag, "alt").unwrap_or_default()),
            "a" => {
                let href = attribute(tag, "href").map(html_escape::decode_html_entities);
                links.push((
                    href.unwrap_or_default().into_owned(),
                    text.out.len(),
                    text.begins_paragraph(),
                ));
            }
            "/a" => {
                if let Some((href, from, stands_alone)) = links.pop() {
                    text.link(&href, from, stands_alone);
                }
            }
            "span" | "/span" | "b" | "/b" | "strong" | "/strong" | "em" | "/em" | "i" | "/i" | "u" | "/u" | "s"
            | "/s" | "code" | "/code" | "small" | "/small" | "sub" | "/sub" | "sup" | "/sup" | "del" | "/del"
            | "ins" | "/ins" | "td" | "th" | "tbody" | "/tbody" | "thead" | "/thead" | "tfoot" | "/tfoot" => {}
            _ => text.end_line(2),
        }
    }
    text.push(rest);
    text.out
}

/// The inside of a tag, and what follows it.
fn tag(rest: &str) -> (&str, &str) {
    let mut is_quoted = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'>' if !is_quoted => {
                return (
                    rest.get(..at).unwrap_or_default(),
                    rest.get(at + 1..).unwrap_or_default(),
                );
            }
            _ => {}
        }
    }
    (rest, "")
}

/// An attribute of a tag as it was serialised.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let from = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag.get(from..)?.split('"').next()
}

#[derive(Default)]
struct Text {
    out: String,
    /// Line ends to write before the next character.
    line_ends: usize,
    /// A space to write before it.
    has_space: bool,
}

impl Text {
    fn push(&mut self, html: &str) {
        for c in html_escape::decode_html_entities(html).chars() {
            if c.is_ascii_whitespace() {
                self.has_space = true;
                continue;
            }
            if self.line_ends > 0 && !self.out.is_empty() {
                self.out.extend(std::iter::repeat_n('\n', self.line_ends));
            } else if self.has_space && !self.out.is_empty() {
                self.out.push(' ');
            }
            (self.line_ends, self.has_space) = (0, false);
            self.out.push(c);
        }
    }

    fn end_line(&mut self, count: usize) {
        self.line_ends = self.line_ends.max(count);
        self.has_space = false;
    }

    fn begins_paragraph(&self) -> bool {
        self.line_ends > 0 || self.out.is_empty()
    }

    /// The address of the link whose text begins at `from`.
    fn link(&mut self, href: &str, from: usize, stands_alone: bool) {
        let label = self.out.get(from..).unwrap_or_default().trim();
        if label.is_empty() || label == href || href.is_empty() {
            return;
        }
        if stands_alone {
            self.out.push_str(":\n");
            self.out.push_str(href);
            self.end_line(1);
        } else {
            self.out.push_str(" (");
            self.out.push_str(href);
            self.out.push(')');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaned_html_runs_and_loads_nothing() {
        let html = clean(
            r#"<p style="color:red;background-image:url(https://evil.example/a);position:fixed" onclick="x()">Fine</p>
            <script>alert(1)</script><a href="JavaScript:alert(1)">one</a><a href="https://example.org/?a=1&b=2">two</a>
            <img src="data:image/svg+xml,x" onerror="x()"><img src="https://example.org/a.png" alt="A"><form action="/x"><input></form>
            <style>p{}</style><svg><script>1</script></svg><a href="{{link}}">three</a>"#,
        );
        for bad in [
            "script", "evil", "position", "onclick", "onerror", "data:", "form", "input", "svg", "<style",
        ] {
            assert!(!html.to_lowercase().contains(bad), "{bad} in {html}");
        }
        for good in [
            "color:red",
            r#"<a href="{{link}}">three</a>"#,
            r#"alt="A""#,
            "a=1&amp;b=2",
        ] {
            assert!(html.contains(good), "{good} in {html}");
        }
        assert_eq!(clean(&html), html);
    }

    #[test]
    fn text_has_paragraphs_and_the_addresses_of_links() {
        let html = "<h2>Hello &amp; welcome</h2>\n<p>One\n two<br>three <a href=\"https://a.example/?x=1&amp;y=2\">here</a>.</p>\
            <p><a href=\"https://b.example/\">Go</a></p><ul><li>A</li><li>B</li></ul><p>https: <a href=\"https://c.example\">https://c.example</a></p>";
        assert_eq!(
            to_text(html),
            "Hello & welcome\n\nOne two\nthree here (https://a.example/?x=1&y=2).\n\nGo:\nhttps://b.example/\n\n- A\n- B\n\n\
             https: https://c.example"
        );
    }
}
