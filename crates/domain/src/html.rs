//! Sanitises HTML from outside: only markup for readable text is kept; nothing remains that runs scripts, applies styles
//! or sets names. Descriptions of games do not link or load anything either; articles of the shop itself may.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;

/// Maximum size of a game's description in bytes.
pub const MAX_BYTES: usize = 60_000;

/// The tags of readable text.
const TEXT: [&str; 15] = [
    "p",
    "br",
    "ul",
    "ol",
    "li",
    "strong",
    "b",
    "em",
    "i",
    "u",
    "h3",
    "h4",
    "h5",
    "blockquote",
    "hr",
];
/// What articles have beyond it.
const ARTICLE: [&str; 5] = ["h2", "a", "img", "pre", "code"];

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| cleaner(HashSet::from(TEXT)));

static ARTICLE_CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = cleaner(TEXT.into_iter().chain(ARTICLE).collect());
    builder
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href"])),
            ("img", HashSet::from(["src", "alt"])),
        ]))
        .url_schemes(HashSet::from(["https", "http", "mailto"]))
        .link_rel(Some("noopener noreferrer"));
    builder
});

fn cleaner(tags: HashSet<&'static str>) -> Builder<'static> {
    let mut builder = Builder::empty();
    builder
        .tags(tags)
        .clean_content_tags(HashSet::from([
            "script", "style", "iframe", "object", "noscript", "template", "svg", "math",
        ]))
        .tag_attributes(HashMap::new())
        .generic_attributes(HashSet::new());
    builder
}

/// A description of a game: HTML that is safe to embed in a page. Text without tags becomes paragraphs.
pub fn description(text: &str) -> String {
    let mut end = text.len().min(MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    clean(text.get(..end).unwrap_or_default(), &CLEANER)
}

/// An article or an answer of the shop's own, of any length: like a [`description`], with links and pictures.
pub fn article(text: &str) -> String {
    clean(text, &ARTICLE_CLEANER)
}

fn clean(text: &str, cleaner: &Builder<'_>) -> String {
    let text = text.trim();
    if text.contains('<') {
        return cleaner.clean(text).to_string().trim().to_owned();
    }
    let mut html = String::with_capacity(text.len() + 64);
    for paragraph in text
        .split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
    {
        html.push_str("<p>");
        // Text without tags may still contain entities, which must not be shown raw.
        html.push_str(&cleaner.clean(paragraph).to_string());
        html.push_str("</p>");
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sanitising_removes_harmful_markup_and_keeps_text() {
        let harmless = description(
            r#"<h1>Big</h1><h3 onclick="x()">Features</h3><p style="position:fixed">Fine <b class=a id=cart>bold</b>
            <script>alert(1)</script><img src=x onerror=alert(1)><a href="javascript:alert(1)">link</a>
            <iframe src="https://evil.example">in</iframe><svg><script>1</script></svg><form action=/login><input name=x></form><ul><li>One"#,
        );
        for bad in [
            "script", "onclick", "onerror", "style", "img", "href", "iframe", "svg", "form", "input", "class", "id=",
            "evil",
        ] {
            assert!(!harmless.contains(bad), "{bad} in {harmless}");
        }
        assert!(
            harmless.contains("<h3>Features</h3>")
                && harmless.contains("<b>bold</b>")
                && harmless.contains("<li>One</li>")
        );
    }

    #[test]
    fn articles_link_and_show_pictures_and_run_nothing() {
        let safe = article(
            r#"<h2 onclick="x()">News</h2><a href="https://example.org/a" target=_top onmouseover="x()">one</a>
            <a href="JaVaScript:alert(1)">two</a><a href="data:text/html,x">three</a><a href="/game/portal">four</a>
            <img src="https://example.org/a.png" alt="A" onerror="alert(1)" style="x"><img src="data:image/svg+xml,x">
            <script>alert(1)</script><iframe src="https://example.org"></iframe><base href="//example.org">"#,
        );
        for bad in [
            "script", "onclick", "onmouse", "onerror", "style", "data:", "iframe", "base", "target",
        ] {
            assert!(!safe.to_lowercase().contains(bad), "{bad} in {safe}");
        }
        for good in [
            "<h2>News</h2>",
            r#"<a href="https://example.org/a" rel="noopener noreferrer">one</a>"#,
            r#"<a href="/game/portal" rel="noopener noreferrer">four</a>"#,
            r#"<img src="https://example.org/a.png" alt="A">"#,
        ] {
            assert!(safe.contains(good), "{good} in {safe}");
        }
        assert_eq!(article(&safe), safe, "cleaning twice changes nothing");
    }

    #[test]
    fn plain_text_becomes_paragraphs() {
        assert_eq!(
            description("One & two\n\nThree > 2"),
            "<p>One &amp; two</p><p>Three &gt; 2</p>"
        );
        // The form in which the synchronisation stores a description without tags.
        assert_eq!(
            description("Quill&#039;s &quot;Ascent&quot; &amp; &lt;b&gt; AT&T"),
            "<p>Quill's \"Ascent\" &amp; &lt;b&gt; AT&amp;T</p>"
        );
        assert_eq!(description(""), "");
        assert!(description(&"ä".repeat(MAX_BYTES)).len() <= MAX_BYTES + 10);
    }
}
