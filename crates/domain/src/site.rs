//! What the operator writes on every page of the shop: own pages, to which the footer links, and a banner.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::account::FieldError;
use crate::branding::Look;
use crate::html;
use crate::language::Language;
use crate::slug::slug_of_name;

/// Maximum length of a page in bytes.
const MAX_SOURCE: usize = 90_000;
/// Maximum lengths of titles, banners and addresses, in characters.
const MAX_TITLE: usize = 100;
const MAX_BANNER: usize = 200;
const MAX_LINK: usize = 500;
const MAX_SLUG: usize = 60;

/// The pages that a shop in Europe needs, by their addresses.
pub const USUAL_PAGES: [&str; 4] = ["imprint", "terms", "privacy", "shipping"];

/// A link to an own page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageLink {
    /// Its slug: the page is `/pages/{slug}`.
    pub slug: String,
    /// Language (ISO 639-1).
    pub language: String,
    /// Its title.
    pub title: String,
}

/// A message on every page, in one language, within a window of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banner {
    /// Language (ISO 639-1).
    pub language: String,
    /// One line of plain text.
    pub text: String,
    /// Where it leads: a path of the shop.
    pub link: Option<String>,
    /// When it begins.
    pub begins_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
}

/// What stands on every page of the shop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The published pages.
    pub pages: Vec<PageLink>,
    /// The banners, also those that have ended: which is shown is decided when a page is made.
    pub banners: Vec<Banner>,
    /// Name and colours.
    #[serde(default)]
    pub look: Look,
    /// Whether prices include VAT.
    #[serde(default)]
    pub has_vat: bool,
}

impl Site {
    /// The published pages for a reader of `language`: each once, in that language, else in the shop's default language,
    /// else in another one.
    pub fn links(&self, language: &str) -> Vec<&PageLink> {
        let rank = |link: &PageLink| match link.language.as_str() {
            known if known == language => 0,
            known if known == Language::default().code() => 1,
            _ => 2,
        };
        let mut links: Vec<&PageLink> = Vec::new();
        for link in &self.pages {
            match links.iter_mut().find(|known| known.slug == link.slug) {
                Some(known) if rank(link) < rank(known) => *known = link,
                Some(_) => {}
                None => links.push(link),
            }
        }
        links
    }

    /// The banner for a reader of `language` at `now`.
    pub fn banner(&self, language: &str, now: DateTime<Utc>) -> Option<&Banner> {
        let is_due = |banner: &&Banner| banner.begins_at <= now && now < banner.ends_at;
        self.banners
            .iter()
            .filter(is_due)
            .find(|banner| banner.language == language)
    }
}

/// An own page, as readers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPage {
    /// Language (ISO 639-1) in which it is.
    pub language: String,
    /// Its title.
    pub title: String,
    /// Cleaned HTML.
    pub html: String,
}

/// A page as staff see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageDetail {
    /// Its slug.
    pub slug: String,
    /// Language (ISO 639-1).
    pub language: String,
    /// Its title.
    pub title: String,
    /// Markdown.
    pub source: String,
    /// Whether everybody can read it.
    pub published: bool,
    /// Number of its last change.
    pub version: i64,
    /// When it was changed.
    pub updated_at: DateTime<Utc>,
}

/// What staff enter of a page, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageForm {
    /// Its slug.
    pub slug: String,
    /// Its language.
    pub language: Language,
    /// Its title.
    pub title: String,
    /// Markdown.
    pub source: String,
    /// The same as cleaned HTML.
    pub html: String,
    /// Whether everybody can read it.
    pub published: bool,
}

impl PageForm {
    /// Checks what was entered; without a slug, it is made from the title.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn new(
        slug: &str,
        language: Language,
        title: &str,
        source: &str,
        published: bool,
    ) -> Result<Self, Vec<FieldError>> {
        let mut faults = Vec::new();
        let mut fault = |path, code, msg| faults.push(FieldError { path, code, msg });
        let title = title.trim();
        if title.is_empty() {
            fault("title", "required", "This field is required");
        } else if title.chars().count() > MAX_TITLE {
            fault("title", "too_long", "This field is too long");
        } else if title.chars().any(char::is_control) {
            fault(
                "title",
                "control_characters",
                "This field must not hold control characters",
            );
        }
        let slug = match slug.trim() {
            "" => slug_of_name(title),
            slug => slug.to_owned(),
        };
        if !is_slug(&slug) && !title.is_empty() {
            fault(
                "slug",
                "slug_invalid",
                "This field must have lower-case letters, digits and hyphens only",
            );
        }
        let source = source.replace("\r\n", "\n");
        let source = source.trim();
        let mut html = String::new();
        if source.is_empty() {
            fault("source", "required", "This field is required");
        } else if source.len() > MAX_SOURCE {
            fault("source", "too_long", "This field is too long");
        } else if source.contains('\0') {
            fault(
                "source",
                "control_characters",
                "This field must not hold control characters",
            );
        } else {
            match html_of_markdown(source) {
                Some(made) => html = made,
                None => fault(
                    "source",
                    "too_complex",
                    "This field has too many tags, or too many inside each other",
                ),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            slug,
            language,
            title: title.to_owned(),
            source: source.to_owned(),
            html,
            published,
        })
    }
}

fn is_slug(slug: &str) -> bool {
    !slug.is_empty()
        && slug.len() <= MAX_SLUG
        && slug.split('-').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

/// Markdown as cleaned HTML, by the cleaner of articles; `None` if cleaning would take long, or nothing is left.
pub fn html_of_markdown(source: &str) -> Option<String> {
    let mut dirty = String::new();
    pulldown_cmark::html::push_html(&mut dirty, pulldown_cmark::Parser::new(source));
    if dirty.len() > 2 * MAX_SOURCE || !html::is_bounded(&dirty) {
        return None;
    }
    // A page has its title as its only heading of the first level.
    let dirty = dirty.replace("<h1>", "<h2>").replace("</h1>", "</h2>");
    let html = html::article(&dirty);
    (!html.is_empty() && html.len() <= 2 * MAX_SOURCE).then_some(html)
}

/// What staff enter of a banner, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BannerForm {
    /// Its language.
    pub language: Language,
    /// One line of plain text.
    pub text: String,
    /// A path of the shop.
    pub link: Option<String>,
    /// When it begins.
    pub begins_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
}

impl BannerForm {
    /// Checks what was entered.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn checked(self) -> Result<Self, Vec<FieldError>> {
        let mut faults = Vec::new();
        let mut fault = |path, code, msg| faults.push(FieldError { path, code, msg });
        let form = Self {
            text: self.text.trim().to_owned(),
            link: self
                .link
                .map(|link| link.trim().to_owned())
                .filter(|link| !link.is_empty()),
            ..self
        };
        if form.text.is_empty() {
            fault("text", "required", "This field is required");
        } else if form.text.chars().count() > MAX_BANNER {
            fault("text", "too_long", "This field is too long");
        } else if form.text.chars().any(char::is_control) {
            fault(
                "text",
                "control_characters",
                "This field must not hold control characters",
            );
        }
        if form.link.as_deref().is_some_and(|link| !is_path(link)) {
            fault(
                "link",
                "path_invalid",
                "This field must be an address of the shop, such as /games",
            );
        }
        if form.ends_at <= form.begins_at {
            fault("until", "window", "The end must be later than the beginning");
        }
        if faults.is_empty() { Ok(form) } else { Err(faults) }
    }
}

/// Whether an address is a path of this site.
fn is_path(link: &str) -> bool {
    link.starts_with('/')
        && !link.starts_with("//")
        && !link.contains('\\')
        && link.len() <= MAX_LINK
        && link.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn markdown_becomes_clean_html() {
        let html = html_of_markdown("# Terms\n\nYou **may** [buy](https://a.example).\n\n- one\n- two").unwrap();
        for part in [
            "<h2>Terms</h2>",
            "<strong>may</strong>",
            "<li>one</li>",
            "href=\"https://a.example\"",
        ] {
            assert!(html.contains(part), "{html}");
        }
        let html =
            html_of_markdown("Hi <script>alert(1)</script> [x](javascript:alert(2)) <b onclick=a>b</b>").unwrap();
        for part in ["script", "javascript", "onclick"] {
            assert!(!html.contains(part), "{html}");
        }
        assert_eq!(html_of_markdown(&"<b>".repeat(6_000)), None);
        assert_eq!(html_of_markdown(&"> ".repeat(40_000)), None);
    }

    #[test]
    fn a_page_is_addressed_by_its_title_unless_it_has_an_address() {
        let form = |slug: &str, title: &str, text: &str| PageForm::new(slug, Language::English, title, text, true);
        assert_eq!(form("", "Our Imprint", "x").unwrap().slug, "our-imprint");
        assert_eq!(form("terms", "Terms", "x").unwrap().slug, "terms");
        for (slug, title, text, path) in [
            ("A b", "T", "x", "slug"),
            ("-a", "T", "x", "slug"),
            ("a", "", "x", "title"),
            ("a", "T", " ", "source"),
        ] {
            assert_eq!(form(slug, title, text).unwrap_err()[0].path, path, "{slug} {title}");
        }
    }

    #[test]
    fn a_link_is_shown_in_the_readers_language_or_another() {
        let link = |slug: &str, language: &str| PageLink {
            slug: slug.to_owned(),
            language: language.to_owned(),
            title: format!("{slug} {language}"),
        };
        let site = Site {
            pages: vec![link("imprint", "de"), link("imprint", "en"), link("terms", "de")],
            ..Site::default()
        };
        let titles = |language| -> Vec<String> { site.links(language).iter().map(|link| link.title.clone()).collect() };
        assert_eq!(titles("en"), ["imprint en", "terms de"]);
        assert_eq!(titles("de"), ["imprint de", "terms de"]);
        assert_eq!(titles("fr"), ["imprint en", "terms de"]);
    }

    #[test]
    fn a_banner_is_shown_within_its_window_and_in_its_language() {
        let now = DateTime::UNIX_EPOCH;
        let banner = Banner {
            language: "en".to_owned(),
            text: "Sale".to_owned(),
            link: None,
            begins_at: now,
            ends_at: now + TimeDelta::hours(1),
        };
        let site = Site {
            banners: vec![banner],
            ..Site::default()
        };
        assert!(site.banner("en", now).is_some() && site.banner("de", now).is_none());
        assert!(site.banner("en", now - TimeDelta::seconds(1)).is_none());
        assert!(site.banner("en", now + TimeDelta::hours(1)).is_none());
    }

    #[test]
    fn a_banner_leads_to_a_page_of_the_shop() {
        let now = DateTime::UNIX_EPOCH;
        let form = |link: &str| BannerForm {
            language: Language::English,
            text: " Sale ".to_owned(),
            link: Some(link.to_owned()),
            begins_at: now,
            ends_at: now + TimeDelta::hours(1),
        };
        assert_eq!(form("/games?sort=newest").checked().unwrap().text, "Sale");
        assert_eq!(form(" ").checked().unwrap().link, None);
        for bad in ["//evil.example", "https://evil.example", "/\\evil.example", "/a b"] {
            assert_eq!(form(bad).checked().unwrap_err()[0].path, "link", "{bad}");
        }
        let ends = BannerForm {
            ends_at: now,
            ..form("/")
        };
        assert_eq!(ends.checked().unwrap_err()[0].path, "until");
    }
}
