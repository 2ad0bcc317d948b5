//! The preferences of a request: language, theme, address, and the versions that the browser has cached.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderName, Uri};
use chrono::{DateTime, Utc};
use lockstep_auth::cookies;
use lockstep_domain::branding::Look;
use lockstep_domain::site::Site;
use lockstep_request::{has_version, takes_gzip};

use crate::i18n::Language;

/// Cookie that stores the language.
pub const LANGUAGE_COOKIE: &str = "lang";
/// Cookie that stores the theme.
pub const THEME_COOKIE: &str = "theme";

/// The theme of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Theme {
    /// The preference of the system.
    #[default]
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// All themes.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The name in the cookie.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme with a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// The preferences that a request states. An infallible extractor for any page.
#[derive(Debug, Clone)]
pub struct Preferences {
    /// The language of the page.
    pub language: Language,
    /// The theme.
    pub theme: Theme,
    /// The address.
    pub uri: Uri,
    /// The address itself sets the language (`?lang=`), which is then stored in a cookie.
    pub language_in_address: bool,
    /// The browser accepts gzip.
    pub gzip: bool,
    /// The versions that the browser has cached.
    pub if_none_match: Option<HeaderValue>,
    /// What the operator writes on every page; nothing on pages that do not ask for it.
    pub site: Arc<OnEveryPage>,
}

/// What the operator writes on every page, for one reader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OnEveryPage {
    /// Own pages of the shop: slug and title.
    pub pages: Vec<(String, String)>,
    /// A message, and the path to which it leads.
    pub banner: Option<(String, Option<String>)>,
    /// Name and colours.
    pub look: Look,
    /// Whether prices include VAT.
    pub has_vat: bool,
    /// As whom staff act, and until when.
    pub acting: Option<(String, DateTime<Utc>)>,
}

impl OnEveryPage {
    /// What `site` shows to a reader of `language` at `now`.
    pub fn of(site: &Site, language: Language, now: DateTime<Utc>) -> Self {
        let code = language.code();
        let links = site.links(code).into_iter();
        Self {
            pages: links.map(|link| (link.slug.clone(), link.title.clone())).collect(),
            banner: site
                .banner(code, now)
                .map(|banner| (banner.text.clone(), banner.link.clone())),
            look: site.look.clone(),
            has_vat: site.has_vat,
            acting: None,
        }
    }
}

impl Preferences {
    /// Reads them from a request for a page of the shop.
    pub fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        Self::among(Language::negotiate, |_| true, uri, headers)
    }

    /// Reads them from a request for a page of the console, which is in fewer languages.
    pub fn of_console(uri: &Uri, headers: &HeaderMap) -> Self {
        Self::among(Language::negotiate_console, Language::is_of_console, uri, headers)
    }

    fn among(
        negotiate: impl FnOnce(&str) -> Language,
        is_known: impl Fn(Language) -> bool,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Self {
        let known = |code: &str| Language::of_code(code).filter(|language| is_known(*language));
        let asked = uri.query().filter(|query| query.contains("lang=")).and_then(|query| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(name, _)| name == "lang")
                .and_then(|(_, code)| known(&code))
        });
        let accepted = text_of(headers, &header::ACCEPT_LANGUAGE);
        let language = asked
            .or_else(|| cookie(headers, LANGUAGE_COOKIE).and_then(known))
            .unwrap_or_else(|| negotiate(accepted))
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
            site: Arc::default(),
        }
    }

    /// Whether the browser has the version with this validator.
    pub fn has(&self, etag: &HeaderValue) -> bool {
        let held = self.if_none_match.as_ref();
        held.is_some_and(|held| has_version(held, etag.as_bytes()))
    }

    /// The pairs of the query, without the language.
    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name != "lang")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
    }

    /// The address of this page in another language, with the parameters that the pages know; other parameters of a
    /// link from elsewhere are dropped. A path with two leading slashes, of either kind, would lead to another site, so
    /// it is reduced to one.
    pub fn in_language(&self, language: Language) -> String {
        let path = format!("/{}?", self.uri.path().trim_start_matches(['/', '\\']));
        let start = path.len();
        let mut address = form_urlencoded::Serializer::for_suffix(path, start);
        for (name, value) in self.pairs().filter(|(name, _)| OWN_PARAMETERS.contains(&name.as_str())) {
            address.append_pair(&name, &value);
        }
        address.append_pair("lang", language.code()).finish()
    }

    /// Distinguishes the renderings of a page, for the names of cached pages.
    pub fn variant(&self) -> String {
        let mut site = DefaultHasher::new();
        self.site.hash(&mut site);
        format!(
            "{}:{}:{}:{:x}",
            self.language.code(),
            self.language.form().id(),
            self.theme.name(),
            site.finish()
        )
    }
}

/// Parameters of the pages that set no canonical address.
const OWN_PARAMETERS: &[&str] = &["next", "token", "code", "promo", "topUp", "page"];

impl<S: Sync> FromRequestParts<S> for Preferences {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let site = parts.extensions.get::<Arc<OnEveryPage>>().cloned();
        Ok(Self {
            site: site.unwrap_or_default(),
            ..Self::of(&parts.uri, &parts.headers)
        })
    }
}

/// The value of a cookie.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    cookies::values(headers, name).next()
}

/// A cookie for a preference: not secret, valid for a year on every page; in production HTTPS only.
pub fn preference(name: &str, value: &str, production: bool) -> Option<HeaderValue> {
    let secure = if production { "; Secure" } else { "" };
    HeaderValue::try_from(format!(
        "{name}={value}; Path=/; Max-Age=31536000; SameSite=Lax{secure}"
    ))
    .ok()
}

/// The text of a header; empty if it is missing or no text.
pub fn text_of<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
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
    fn the_console_is_in_its_own_languages() {
        let language = |address: &str, headers: &[(&'static str, &str)]| {
            let read = visit(address, headers);
            let headers = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
                .collect();
            (read.language, Preferences::of_console(&read.uri, &headers).language)
        };
        let french = ("accept-language", "fr,de;q=0.5");
        assert_eq!(language("/admin", &[french]), (Language::FRENCH, Language::GERMAN));
        assert_eq!(
            language("/admin", &[("accept-language", "pl")]),
            (Language::POLISH, Language::ENGLISH)
        );
        assert_eq!(
            language("/admin", &[("cookie", "lang=es")]),
            (Language::SPANISH, Language::ENGLISH)
        );
        assert_eq!(
            language("/admin?lang=fr", &[french]),
            (Language::FRENCH, Language::GERMAN)
        );
        assert_eq!(language("/admin?lang=de", &[]), (Language::GERMAN, Language::GERMAN));
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
