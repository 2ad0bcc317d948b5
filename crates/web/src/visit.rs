//! The preferences of a request: language, theme, address, and the versions that the browser has cached.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderName, Uri};
use lockstep_auth::cookies;
use lockstep_request::takes_gzip;

use crate::i18n::Language;

/// Cookie that stores the language.
pub(crate) const LANGUAGE_COOKIE: &str = "lang";
/// Cookie that stores the theme.
pub(crate) const THEME_COOKIE: &str = "theme";

/// The theme of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Theme {
    /// The preference of the system.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// The preferences that a request states. An infallible extractor for any page.
#[derive(Debug, Clone)]
pub(crate) struct Preferences {
    pub(crate) language: Language,
    pub(crate) theme: Theme,
    pub(crate) uri: Uri,
    /// The address itself sets the language (`?lang=`), which is then stored in a cookie.
    pub(crate) language_in_address: bool,
    /// The browser accepts gzip.
    pub(crate) gzip: bool,
    /// The versions that the browser has cached.
    pub(crate) if_none_match: Option<HeaderValue>,
}

impl Preferences {
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let asked = uri.query().filter(|query| query.contains("lang=")).and_then(|query| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(name, _)| name == "lang")
                .and_then(|(_, code)| Language::of_code(&code))
        });
        let accepted = text_of(headers, &header::ACCEPT_LANGUAGE);
        let language = asked
            .or_else(|| cookie(headers, LANGUAGE_COOKIE).and_then(Language::of_code))
            .unwrap_or_else(|| Language::negotiate(accepted))
            .for_reader(accepted);
        Self {
            language,
            theme: cookie(headers, THEME_COOKIE)
                .and_then(Theme::of_name)
                .unwrap_or_default(),
            uri: uri.clone(),
            language_in_address: asked.is_some(),
            gzip: takes_gzip(headers),
            if_none_match: headers.get(header::IF_NONE_MATCH).cloned(),
        }
    }

    /// The pairs of the query, without the language.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name != "lang")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
    }

    /// The address of this page in another language, with the parameters that the pages know; other parameters of a
    /// link from elsewhere are dropped. A path with two leading slashes, of either kind, would lead to another site, so
    /// it is reduced to one.
    pub(crate) fn in_language(&self, language: Language) -> String {
        let path = format!("/{}?", self.uri.path().trim_start_matches(['/', '\\']));
        let start = path.len();
        let mut address = form_urlencoded::Serializer::for_suffix(path, start);
        for (name, value) in self.pairs().filter(|(name, _)| OWN_PARAMETERS.contains(&name.as_str())) {
            address.append_pair(&name, &value);
        }
        address.append_pair("lang", language.code()).finish()
    }

    /// Distinguishes the renderings of a page, for the names of cached pages.
    pub(crate) fn variant(&self) -> String {
        format!(
            "{}:{}:{}",
            self.language.code(),
            self.language.form().id(),
            self.theme.name()
        )
    }
}

/// Parameters of the pages that set no canonical address ([`crate::layout::Layout::canonical`]).
const OWN_PARAMETERS: &[&str] = &["next", "token", "code", "promo", "topUp", "page"];

impl<S: Sync> FromRequestParts<S> for Preferences {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.uri, &parts.headers))
    }
}

/// The value of a cookie.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    cookies::values(headers, name).next()
}

/// A cookie for a preference: not secret, valid for a year on every page; in production HTTPS only.
pub(crate) fn preference(name: &str, value: &str, production: bool) -> Option<HeaderValue> {
    let secure = if production { "; Secure" } else { "" };
    HeaderValue::try_from(format!(
        "{name}={value}; Path=/; Max-Age=31536000; SameSite=Lax{secure}"
    ))
    .ok()
}

pub(crate) fn text_of<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(address: &str, headers: &[(&'static str, &str)]) -> Preferences {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        Preferences::of(&address.parse().unwrap(), &headers)
    }

    #[test]
    fn language_comes_from_address_then_cookie_then_browser() {
        let browser = ("accept-language", "de");
        assert_eq!(visit("/", &[browser]).language, Language::GERMAN);
        assert_eq!(
            visit("/", &[browser, ("cookie", "a=b; lang=en")]).language,
            Language::ENGLISH
        );
        let asked = visit("/?lang=de", &[("cookie", "lang=en")]);
        assert_eq!((asked.language, asked.language_in_address), (Language::GERMAN, true));
        let nonsense = visit("/?lang=xx", &[("cookie", "lang=\"><script>")]);
        assert_eq!(
            (nonsense.language, nonsense.language_in_address),
            (Language::ENGLISH, false)
        );
    }

    #[test]
    fn language_links_keep_known_parameters_only() {
        assert_eq!(
            visit("/login?next=a%26b&lang=en&utm_source=x&gclid=y&next%20=z", &[]).in_language(Language::GERMAN),
            "/login?next=a%26b&lang=de"
        );
        assert_eq!(visit("/", &[]).in_language(Language::GERMAN), "/?lang=de");
    }

    #[test]
    fn language_links_stay_on_this_site() {
        for address in [
            "//evil.example/a",
            "///evil.example/a",
            "/\\evil.example/a",
            "/%2fevil.example",
        ] {
            let uri = Uri::builder().path_and_query(address).build().unwrap();
            let other = Preferences::of(&uri, &HeaderMap::new()).in_language(Language::GERMAN);
            let second = other.chars().nth(1);
            assert!(
                other.starts_with('/') && !matches!(second, Some('/' | '\\')),
                "{address}: {other}"
            );
        }
    }
}
