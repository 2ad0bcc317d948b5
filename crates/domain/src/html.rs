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

/// An article of the shop's own, of any length: like a [`description`], with links and pictures.
pub fn article(text: &str) -> String {
    let mut html = clean(text, &ARTICLE_CLEANER);
    // Without the tags that are not kept, what is left can mean something else.
    for _ in 0..3 {
        let again = clean(&html, &ARTICLE_CLEANER);
        if again == html || !has_tags(&html) {
            break;
        }
        html = again;
    }
    if html.is_empty() || has_tags(&html) {
        html
    } else {
        // What was cleaned stays HTML: sent back, it must not be taken for text.
        format!("<p>{html}</p>")
    }
}

/// An answer to a question: HTML like an [`article`], or plain text, which stays as it is. Front-ends show it as text.
pub fn answer(text: &str) -> String {
    let text = text.trim();
    if has_tags(text) { article(text) } else { text.to_owned() }
}

/// Most entities and most tags of a text that is parsed, and most tags that are open at once. The parser's time grows with
/// the square of each: beyond these bounds (measured with ammonia 4.1 on 90 kB) it takes seconds, and a hostile text of
/// that size took more than a minute.
const MAX_ENTITIES: usize = 3_000;
const MAX_TAGS: usize = 5_000;
const MAX_OPEN: usize = 100;
/// Most tags at once that the parser opens again in each paragraph after the one in which they were left open.
const MAX_FORMATTING: usize = 10;
/// These tags.
const FORMATTING: [&str; 14] = [
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
];
/// Tags that need no end.
const ENDLESS: [&str; 6] = ["p", "li", "br", "hr", "img", "input"];

/// Whether a text is within the bounds of what is parsed; another one is shown as plain text, with its tags.
pub fn is_bounded(text: &str) -> bool {
    if text.matches('<').count() > MAX_TAGS || text.matches('&').count() > MAX_ENTITIES {
        return false;
    }
    let mut open: HashMap<String, usize> = HashMap::new();
    for (at, _) in text.match_indices('<') {
        let rest = text.get(at + 1..).unwrap_or_default();
        let (is_end, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default().to_ascii_lowercase();
        if name.is_empty() || ENDLESS.contains(&name.as_str()) {
            continue;
        }
        let count = open.entry(name).or_default();
        // An end of what is not open closes nothing.
        *count = if is_end { count.saturating_sub(1) } else { *count + 1 };
        let formatting = FORMATTING.iter().filter_map(|name| open.get(*name)).sum::<usize>();
        if open.len() > MAX_OPEN || open.values().sum::<usize>() > MAX_OPEN || formatting > MAX_FORMATTING {
            return false;
        }
    }
    true
}

/// A text with its special characters as entities.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether a text has tags, comments or the like: `5 < 6` has none.
fn has_tags(text: &str) -> bool {
    text.match_indices('<')
        .filter_map(|(at, _)| text.get(at + 1..)?.chars().next())
        .any(|next| next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?'))
}

fn clean(text: &str, cleaner: &Builder<'_>) -> String {
    let text = text.trim();
    if !is_bounded(text) {
        return format!("<p>{}</p>", escaped(text));
    }
    if has_tags(text) {
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
    fn what_would_take_the_parser_long_is_text() {
        let paragraphs = "<p>One <b>two</b><br><ul><li>three<li>four</ul>".repeat(500);
        assert!(is_bounded(&paragraphs));
        for long in [
            "<b>".repeat(200),
            "<ul>".repeat(200),
            "<ul></x>".repeat(200),
            "<p>a</p>".repeat(3_000),
            "&".repeat(4_000),
        ] {
            assert!(!is_bounded(&long));
            let shown = article(&long);
            assert!(shown.starts_with("<p>&") && !shown.contains("<b>"), "{}", shown.len());
        }
    }

    #[test]
    fn answers_stay_text_unless_they_have_tags() {
        for text in [
            "Pay & play",
            "Line 1\nLine 2",
            "5 < 6",
            "<3 games",
            "&lt;b&gt;",
            "a <- b",
        ] {
            assert_eq!(answer(text), text);
        }
        assert_eq!(answer("<b>Yes</b> & no"), "<b>Yes</b> &amp; no");
        assert_eq!(answer("<x>5 &lt; 6</x>"), "<p>5 &lt; 6</p>");
        assert_eq!(answer("<script>1</script>"), "");
    }

    #[test]
    fn what_was_cleaned_can_be_sent_back() {
        let parts = [
            "<p>",
            "</p>",
            "<b>",
            "</b>",
            "<x>",
            "<!",
            "<a href=/x>",
            "&lt;b",
            "&",
            "a",
            " ",
            "5 < 6",
            "\n\n",
        ];
        let pairs = || {
            parts
                .iter()
                .flat_map(|one| parts.iter().map(move |two| format!("{one}{two}")))
        };
        for text in [
            "<h2><span><h3>a</h3></span></h2>",
            "<pre>\n\na</pre>",
            "<p>a<button><p>b</button>",
        ] {
            let once = article(text);
            assert_eq!(article(&once), once, "{text}");
        }
        for text in pairs().flat_map(|pair| parts.iter().map(move |three| format!("{pair}{three}"))) {
            for clean in [answer, article] {
                let once = clean(&text);
                assert_eq!(clean(&once), once, "{text}");
            }
        }
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
