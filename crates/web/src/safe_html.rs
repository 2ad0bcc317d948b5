//! Sanitises descriptions from outside: only markup for readable text is kept; nothing remains that loads resources,
//! links, runs scripts, applies styles or sets names.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;

/// Maximum size of a description in bytes.
const MAX_BYTES: usize = 60_000;

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::empty();
    builder
        .tags(HashSet::from([
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
        ]))
        .clean_content_tags(HashSet::from([
            "script", "style", "iframe", "object", "noscript", "template", "svg", "math",
        ]))
        .tag_attributes(HashMap::new())
        .generic_attributes(HashSet::new());
    builder
});

/// HTML that is safe to embed in a page. Text without tags becomes paragraphs.
pub(crate) fn description(text: &str) -> String {
    let mut end = text.len().min(MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default().trim();
    if text.contains('<') {
        return CLEANER.clean(text).to_string();
    }
    let mut html = String::with_capacity(text.len() + 64);
    for paragraph in text
        .split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
    {
        html.push_str("<p>");
        // Text without tags may still contain entities, which must not be shown raw.
        html.push_str(&CLEANER.clean(paragraph).to_string());
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
