//! Normalises image addresses, which people, templates and programs have written with too little or too much escaping.

use html_escape::decode_html_entities;
use url::Url;

/// Maximum length of an address, in bytes.
const MAX_URL: usize = 1_000;

/// Normalises an image address to the only form that pages contain: absolute, ASCII, and without characters that could
/// end an attribute. `None` if the text has no address.
///
/// # Errors
/// Returns why the address is unusable, in a few words that are the same for all addresses of that kind.
pub(super) fn address(text: &str) -> Result<Option<String>, &'static str> {
    let text = decode_html_entities(text.trim());
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    // A page served over TLS would request it over TLS too.
    let absolute = match text.strip_prefix("//") {
        Some(rest) => format!("https://{rest}"),
        None => text.to_owned(),
    };
    let url = Url::parse(&absolute).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => "it names no host",
        _ => "it cannot be read",
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it is not http or https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a password");
    }
    // The standard does not escape an apostrophe in a path.
    let address = url.as_str().replace('\'', "%27");
    if address.len() > MAX_URL {
        return Err("it is too long");
    }
    let harmless = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`');
    if !address.bytes().all(harmless) {
        return Err("it holds characters that no address may hold");
    }
    Ok(Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usable_addresses_are_normalised() {
        for (sent, expected) in [
            ("https://a.test/b.jpg", "https://a.test/b.jpg"),
            ("//images.test/cover.jpg", "https://images.test/cover.jpg"),
            (" HTTPS://Images.Test/Cover.jpg\n", "https://images.test/Cover.jpg"),
            ("https://a.test/two words.jpg", "https://a.test/two%20words.jpg"),
            ("https://a.test/two%20words.jpg", "https://a.test/two%20words.jpg"),
            ("https://a.test/Pok\u{e9}mon.jpg", "https://a.test/Pok%C3%A9mon.jpg"),
            (
                "https://a.test/Quill's.jpg?q=it's",
                "https://a.test/Quill%27s.jpg?q=it%27s",
            ),
            ("https://a.test/c.jpg?w=1&amp;h=2", "https://a.test/c.jpg?w=1&h=2"),
            ("https://a.test/\"onload=x", "https://a.test/%22onload=x"),
            ("https://m\u{fc}nchen.test/a.jpg", "https://xn--mnchen-3ya.test/a.jpg"),
            ("http://a.test", "http://a.test/"),
        ] {
            assert_eq!(address(sent), Ok(Some(expected.to_owned())), "{sent}");
        }
        assert_eq!(address(" "), Ok(None));
    }

    #[test]
    fn unusable_addresses_are_refused_with_a_reason() {
        for (sent, reason) in [
            ("data:image/png;base64,AAAA", "it is not http or https"),
            ("javascript:alert(1)", "it is not http or https"),
            ("/covers/a.jpg", "it names no host"),
            ("cover.jpg", "it names no host"),
            ("https://", "it cannot be read"),
            ("https://a b.test/", "it cannot be read"),
            ("https://me:secret@a.test/x.jpg", "it holds a password"),
        ] {
            assert_eq!(address(sent), Err(reason), "{sent}");
        }
        assert_eq!(
            address(&format!("https://a.test/{}", "x".repeat(1000))),
            Err("it is too long")
        );
    }

    proptest! {
        #[test]
        fn addresses_are_attribute_safe_and_normalised_once(text in "(https?:|//|[a-z.]{1,8}|/|\\PC){0,12}") {
            if let (false, Ok(Some(once))) = (text.contains('&'), address(&text)) {
                prop_assert!(!once.contains(['"', '\'', '<', '>', ' ', '`']));
                prop_assert!(once.starts_with("http"));
                prop_assert_eq!(address(&once), Ok(Some(once.clone())));
            }
        }
    }
}
