//! Converts external text to text that can be stored and shown: no control characters, a maximum length, and no markup
//! except a few harmless elements. G2A's descriptions are written by its merchants, so they are untrusted.

use html_escape::decode_html_entities;

/// Elements that are kept, without their attributes.
const KEPT: &[&str] = &[
    "p", "br", "ul", "ol", "li", "b", "strong", "i", "em", "u", "h1", "h2", "h3", "h4", "h5", "h6",
];
/// Elements that are removed together with their content.
const DROPPED: &[&str] = &[
    "script",
    "style",
    "iframe",
    "object",
    "embed",
    "noscript",
    "template",
    "svg",
    "math",
    "head",
    "title",
    "textarea",
    "select",
    "xmp",
    "plaintext",
    "noembed",
    "noframes",
];
/// Maximum length of a tag, in bytes.
const MAX_TAG: usize = 2_000;
/// Maximum nesting depth of elements; deeper ones are dropped.
const MAX_OPEN: usize = 32;

/// Converts a field of G2A's to one line of plain text: decodes HTML entities once (`&#039;` is `'`, `&amp;lt;` is
/// `&lt;`), then applies [`clean`].
pub(super) fn line(text: &str, max: usize) -> String {
    clean(&decode_html_entities(text), max)
}

/// Converts text to one line: removes control and invisible formatting characters, collapses blanks, and cuts to at
/// most `max` characters, between words where possible.
fn clean(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max * 4));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let mut visible = word.chars().filter(|c| !is_invisible(*c)).peekable();
        if visible.peek().is_none() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(visible);
        if out.len() > max * 4 {
            break;
        }
    }
    shorten(&out, max)
}

/// Whether `c` is a zero-width or a bidirectional control character.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || c.is_control()
}

/// Cuts text to at most `max` characters: the whole text, or as many whole words as fit and an ellipsis.
fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let cut = text
        .char_indices()
        .nth(max.saturating_sub(1))
        .map_or(text.len(), |(at, _)| at);
    let head = text.get(..cut).unwrap_or_default();
    let words = head
        .rfind(' ')
        .and_then(|at| head.get(..at))
        .filter(|words| words.chars().count() * 2 > max);
    format!("{}…", words.unwrap_or(head).trim_end())
}

/// A description as G2A sends it as [`safe_html`], its entities read once where they were written twice: `Quill&amp;#039;s`
/// says `Quill's`. A text without any tag is escaped as names are, so what it escapes may also be its tags.
pub(super) fn description(sent: &str, max: usize) -> String {
    if !sent.contains('<') {
        return safe_html(&decode_html_entities(sent), max);
    }
    let mut once = String::with_capacity(sent.len());
    let mut pieces = sent.split("&amp;");
    once.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        // Never more than an entity comes of it, so nothing becomes a tag.
        once.push_str(if starts_entity(piece) { "&" } else { "&amp;" });
        once.push_str(piece);
    }
    safe_html(&once, max)
}

/// HTML with nothing but the elements of [`KEPT`], all of them closed, no attributes; at most about `max` characters
/// of text.
pub(super) fn safe_html(html: &str, max: usize) -> String {
    let mut out = String::with_capacity(html.len().min(max * 2));
    let mut open: Vec<&'static str> = Vec::new();
    let mut written = 0;
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        if written >= max {
            break;
        }
        if c == '<'
            && let Some((tag, after)) = Tag::read(rest)
        {
            rest = after;
            match tag {
                Tag::Comment => {}
                Tag::Open(name) if DROPPED.contains(&name.as_str()) => rest = after_end_of(&name, after),
                Tag::Open(name) => match kept(&name) {
                    Some("br") => out.push_str("<br>"),
                    Some(name) if open.len() < MAX_OPEN => {
                        out.push('<');
                        out.push_str(name);
                        out.push('>');
                        open.push(name);
                    }
                    _ => out.push(' '),
                },
                Tag::Close(name) => match open.iter().rposition(|one| *one == name) {
                    Some(at) => close(&mut out, &mut open, at),
                    None => out.push(' '),
                },
            }
            continue;
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '&' if !starts_entity(rest) => out.push_str("&amp;"),
            '\n' | '\t' => out.push(c),
            c if is_invisible(c) => continue,
            c => out.push(c),
        }
        written += 1;
    }
    close(&mut out, &mut open, 0);
    out.trim().to_owned()
}

enum Tag {
    Comment,
    Open(String),
    Close(String),
}

impl Tag {
    /// Parses a tag at the start of `text`; `None` for a lone `<`.
    fn read(text: &str) -> Option<(Self, &str)> {
        if let Some(comment) = text.strip_prefix("<!--") {
            let after = comment
                .find("-->")
                .and_then(|at| comment.get(at + 3..))
                .unwrap_or_default();
            return Some((Self::Comment, after));
        }
        let body = text.get(1..)?;
        let (closing, body) = body.strip_prefix('/').map_or((false, body), |body| (true, body));
        let first = body.chars().next()?;
        if !first.is_ascii_alphabetic() && !matches!(first, '!' | '?') {
            return None;
        }
        // A tag without an end is no tag; an unlimited search for its end would make parsing quadratic.
        let end = body.bytes().take(MAX_TAG).position(|byte| byte == b'>')?;
        let after = body.get(end + 1..)?;
        let name: String = body
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        Some(match (first, closing) {
            ('!' | '?', _) => (Self::Comment, after),
            (_, true) => (Self::Close(name), after),
            (_, false) => (Self::Open(name), after),
        })
    }
}

fn kept(name: &str) -> Option<&'static str> {
    KEPT.iter().copied().find(|kept| *kept == name)
}

/// Returns the text after the end of a dropped element; empty if it has no end.
fn after_end_of<'a>(name: &str, text: &'a str) -> &'a str {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("</")).map(|at| from + at) {
        let rest = text.get(at + 2..).unwrap_or_default();
        if rest
            .get(..name.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(name))
        {
            return rest.find('>').and_then(|end| rest.get(end + 1..)).unwrap_or_default();
        }
        from = at + 2;
    }
    ""
}

/// Closes the open elements from position `at`, innermost first.
fn close(out: &mut String, open: &mut Vec<&'static str>, at: usize) {
    for name in open.drain(at..).rev() {
        out.push_str("</");
        out.push_str(name);
        out.push('>');
    }
}

/// Whether the text after an `&` makes it an entity.
fn starts_entity(rest: &str) -> bool {
    let Some(end) = rest.bytes().take(12).position(|byte| byte == b';') else {
        return false;
    };
    let body = rest.as_bytes().get(..end).unwrap_or_default();
    match body.split_first() {
        Some((b'#', digits)) => {
            !digits.is_empty()
                && digits
                    .iter()
                    .skip(usize::from(digits.first() == Some(&b'x')))
                    .all(u8::is_ascii_hexdigit)
        }
        Some(_) => body.iter().all(u8::is_ascii_alphanumeric),
        None => false,
    }
}

/// Returns the text of HTML made by [`safe_html`], at most `max` characters on one line.
pub(super) fn plain(html: &str, max: usize) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            '<' => {
                text.push(' ');
                after.find('>').and_then(|end| after.get(end + 1..)).unwrap_or_default()
            }
            c => {
                text.push(c);
                after
            }
        };
    }
    line(&text, max)
}

/// Returns the first sentence of a plain text, at most `max` characters.
pub(super) fn first_sentence(text: &str, max: usize) -> String {
    let end = text
        .char_indices()
        .filter(|(_, c)| matches!(c, '.' | '!' | '?'))
        .map(|(at, c)| at + c.len_utf8())
        // "Vol. 2" and "St. Olga" do not end a sentence: an end needs a minimum length before it and a blank after it.
        .find(|end| {
            *end >= 24
                && text
                    .get(*end..)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
    shorten(end.and_then(|end| text.get(..end)).unwrap_or(text), max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scripts_attributes_and_unknown_elements_are_removed() {
        let html = "<P onclick=\"x()\">One <a href='javascript:y'>two</a><script>alert('<p>')</script> &amp; 3 < 4 & so</p><ul><li>x";
        assert_eq!(
            safe_html(html, 1_000),
            "<p>One  two  &amp; 3 &lt; 4 &amp; so</p><ul><li>x</li></ul>"
        );
        assert_eq!(safe_html("<style>p{}</STYLE>a<!-- <b> -->b", 99), "ab");
        assert_eq!(safe_html("<script>never closed", 99), "");
        assert_eq!(safe_html("</p>a<br/>b", 99), "a<br>b");
    }

    #[test]
    fn entities_that_were_written_twice_are_read_once_and_nothing_harmful_comes_of_it() {
        for (sent, kept) in [
            (
                "Quill&amp;#039;s Ascent &amp;amp; Beyond",
                "Quill&#039;s Ascent &amp; Beyond",
            ),
            ("Quill&#039;s &quot;Ascent&quot;", "Quill's &quot;Ascent&quot;"),
            (
                "<p>Quill&amp;#039;s Ascent &amp;amp; Beyond</p>",
                "<p>Quill&#039;s Ascent &amp; Beyond</p>",
            ),
            ("<p>Tom &amp; Jerry; AT&amp;T</p>", "<p>Tom &amp; Jerry; AT&amp;T</p>"),
            ("<p>a &amp;lt;script&amp;gt; tag</p>", "<p>a &lt;script&gt; tag</p>"),
            (
                "&lt;p&gt;All of it&lt;/p&gt;&lt;script&gt;x()&lt;/script&gt;",
                "<p>All of it</p>",
            ),
            ("&amp;lt;script&amp;gt;x()", "&lt;script&gt;x()"),
            ("I &lt;3 you", "I &lt;3 you"),
        ] {
            assert_eq!(description(sent, 999), kept, "{sent}");
        }
        assert_eq!(
            plain(&description("<p>Quill&amp;#039;s Ascent &amp;amp; Beyond</p>", 99), 99),
            "Quill's Ascent & Beyond"
        );
    }

    #[test]
    fn plain_text_decodes_entities_and_drops_elements() {
        assert_eq!(
            plain("<p>Tom&#39;s &amp;&nbsp;Jo</p><ul><li>x &lt; y</li></ul>", 99),
            "Tom's & Jo x < y"
        );
    }

    #[test]
    fn lines_are_clean_and_bounded() {
        assert_eq!(line(" a\u{0}b \u{202e}c\r\n\u{200b} d ", 99), "a b c d");
        assert_eq!(line("one two three four", 12), "one two…");
        assert_eq!(line(&"東".repeat(50), 10).chars().count(), 10);
    }

    #[test]
    fn entities_are_decoded_once_and_other_ampersands_stay() {
        for (sent, shown) in [
            ("Quill&#039;s Ascent &amp; Beyond", "Quill's Ascent & Beyond"),
            ("Pok&eacute;mon &ndash; Ed&#xED;tion", "Pokémon – Edítion"),
            ("&amp;amp; &amp;lt;b&amp;gt;", "&amp; &lt;b&gt;"),
            ("I &lt;3 you", "I <3 you"),
            (
                "Tom & Jerry; AT&T &nosuch; &#xD800; &#0;",
                "Tom & Jerry; AT&T &nosuch; &#xD800; &#0;",
            ),
            ("A&nbsp;B&#8203;C", "A BC"),
        ] {
            assert_eq!(
                line(sent, 99).replace('\u{fffd}', ""),
                shown.replace('\u{fffd}', ""),
                "{sent}"
            );
        }
    }

    #[test]
    fn the_first_sentence_does_not_end_at_an_abbreviation() {
        let text = "Return to St. Olga and repair the old harbour. Then sail.";
        assert_eq!(
            first_sentence(text, 200),
            "Return to St. Olga and repair the old harbour."
        );
        assert_eq!(first_sentence("No end in sight", 200), "No end in sight");
        let cut = first_sentence(&"word ".repeat(100), 200);
        assert!(cut.ends_with("word…") && cut.chars().count() > 190);
    }

    proptest! {
        #[test]
        fn only_kept_elements_survive_and_all_are_closed(html in "(<|>|/|!--|-->|script|p|li|b|onx=|'|\"|&|;|#|x|[a-z ]|\\PC){0,60}") {
          for safe in [safe_html(&html, 500), description(&html, 500)] {
            let mut open = Vec::new();
            for piece in safe.split('<').skip(1) {
                let (tag, _) = piece.split_once('>').expect("a tag that was written is whole");
                if let Some(name) = tag.strip_prefix('/') {
                    prop_assert_eq!(open.pop(), Some(name));
                } else {
                    prop_assert!(KEPT.contains(&tag), "{}", tag);
                    if tag != "br" { open.push(tag); }
                }
            }
            prop_assert!(open.is_empty());
          }
        }

        #[test]
        fn texts_are_bounded_and_storable(text in ".*", max in 1usize..80) {
            let line = line(&text, max);
            prop_assert!(line.chars().count() <= max);
            prop_assert!(!line.chars().any(is_invisible));
            prop_assert!(!safe_html(&text, max).contains('\0'));
            prop_assert!(first_sentence(&line, max).chars().count() <= max);
        }
    }
}
