//! Texts in feeds: what is left of a description without its tags, and what XML can hold of a text.

use std::borrow::Cow;

/// Elements whose content is no text.
const UNREAD: [&str; 2] = ["script", "style"];

/// The text of `html` in one line, at most `most` characters of it.
pub(super) fn plain(html: &str, most: usize) -> String {
    // Enough for any share of tags; the rest of a longer text is not looked at.
    let mut end = html.len().min(most.saturating_mul(8));
    while !html.is_char_boundary(end) {
        end -= 1;
    }
    let mut rest = html.get(..end).unwrap_or_default();
    let mut text = String::with_capacity(rest.len());
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        text.push_str(before);
        let inside = tag.get(1..).unwrap_or_default();
        if !inside.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
            text.push('<');
            rest = inside;
            continue;
        }
        text.push(' ');
        let Some(close) = inside.find('>') else {
            rest = "";
            break;
        };
        let name: String = inside.chars().take_while(char::is_ascii_alphanumeric).collect();
        rest = inside.get(close + 1..).unwrap_or_default();
        if UNREAD.iter().any(|unread| name.eq_ignore_ascii_case(unread)) {
            rest = rest.find("</").and_then(|at| rest.get(at..)).unwrap_or_default();
        }
    }
    text.push_str(rest);
    let text = html_escape::decode_html_entities(&text);
    let words: Vec<&str> = text.split_whitespace().collect();
    cut(&words.join(" "), most).to_owned()
}

/// The first `most` characters of `text`.
pub(super) fn cut(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or(text).trim_end(),
        None => text,
    }
}

/// `text` as it stands in an element or an attribute, without the characters that XML 1.0 cannot hold.
pub(super) fn xml(text: &str) -> String {
    let holds = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    let held: Cow<'_, str> = if text.chars().all(holds) {
        text.into()
    } else {
        text.chars().filter(|c| holds(*c)).collect::<String>().into()
    };
    html_escape::encode_quoted_attribute(&held).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_lose_their_tags_and_keep_their_words() {
        for (html, text) in [
            ("<p>One</p><p>two &amp; <b>three</b></p>", "One two & three"),
            ("5 < 6 and a<b", "5 < 6 and a"),
            ("no tags\n\nat all", "no tags at all"),
            ("<style>p { color: red }</style>seen<SCRIPT>alert(1)</SCRIPT>", "seen"),
            ("&lt;b&gt; is a tag", "<b> is a tag"),
            ("", ""),
        ] {
            assert_eq!(plain(html, 100), text, "{html}");
        }
        assert_eq!(plain("<p>äöü äöü</p>", 4), "äöü");
        assert_eq!(plain(&"<i>".repeat(10_000), 10), "");
    }

    #[test]
    fn xml_holds_every_text() {
        assert_eq!(
            xml("a < b & \"c\" > 'd'"),
            "a &lt; b &amp; &quot;c&quot; &gt; &#x27;d&#x27;"
        );
        assert_eq!(xml("bell\u{7} nul\u{0} \u{fffe}end"), "bell nul end");
        assert_eq!(xml("日本 😀\t"), "日本 😀\t");
    }
}
