//! The frame of every page, and what its templates may use: texts, addresses of assets, and data of the shop.

use std::sync::Arc;

use lockstep_domain::law::Duty;
use lockstep_shop::RequestContext;

use crate::error::PageError;
use crate::header::Me;
use crate::i18n::Language;
use crate::visit::{OnEveryPage, Preferences, Theme};
use crate::{Progress, Settings, WebState, assets, brand, format};

/// The layout of a page. Templates read texts in the reader's language from it with `t`, `t1` and `n`.
#[expect(clippy::struct_excessive_bools, reason = "they do not depend on each other")]
pub(crate) struct Layout {
    pub(crate) words: Language,
    pub(crate) theme: Theme,
    pub(crate) settings: Arc<Settings>,
    /// Goods come from the built-in sandbox; every page says so.
    pub(crate) sandbox: bool,
    /// The contents of the search field.
    pub(crate) search: String,
    /// When prices and stock were last checked: machine-readable, and in words.
    pub(crate) checked: Option<(String, String)>,
    /// The first synchronisation is in progress.
    pub(crate) progress: Option<Progress>,
    /// The address of this page in each language: code, name, address.
    pub(crate) languages: Vec<(&'static str, &'static str, String)>,
    /// Path of the page that search engines should list, when it differs from this address.
    pub(crate) canonical: String,
    /// Search engines should not list the page.
    pub(crate) unlisted: bool,
    /// Search and menus are hidden, so that nothing distracts from the payment.
    pub(crate) focused: bool,
    /// A description of the page, for search engines and previews.
    pub(crate) about: String,
    /// The reader; empty on pages that are the same for all.
    pub(crate) me: Me,
    /// What the operator writes on every page.
    pub(crate) site: Arc<OnEveryPage>,
    /// Every page links to the withdrawal from a contract.
    pub(crate) withdrawal: bool,
    /// Every page links to the accessibility statement.
    pub(crate) accessibility: bool,
}

impl Layout {
    pub(crate) fn new(state: &WebState, visit: &Preferences) -> Self {
        let words = visit.language;
        let supply = state.supply.borrow();
        Self {
            words,
            theme: visit.theme,
            settings: Arc::clone(&state.settings),
            sandbox: state.settings.sandbox,
            search: String::new(),
            checked: supply.checked_at.map(|then| {
                (
                    then.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
                    format::ago(words, then, state.now()),
                )
            }),
            progress: supply.progress.clone().filter(|_| supply.checked_at.is_none()),
            languages: Language::ALL
                .map(|language| (language.code(), language.name(), visit.in_language(language)))
                .into(),
            canonical: visit.uri.path().to_owned(),
            unlisted: false,
            focused: false,
            about: words.with(
                "about",
                visit.site.look.name.as_ref().unwrap_or(&state.settings.shop_name),
            ),
            me: Me::default(),
            site: Arc::clone(&visit.site),
            withdrawal: state.shop.duties().is_on(Duty::Withdrawal),
            accessibility: state.shop.duties().is_on(Duty::Accessibility),
        }
    }

    /// Sets the contents of the search field.
    pub(crate) fn searching(mut self, search: &str) -> Self {
        search.clone_into(&mut self.search);
        self
    }

    /// Marks the page as one that search engines should not list.
    pub(crate) fn unlisted(mut self) -> Self {
        self.unlisted = true;
        self
    }

    /// Hides search and menus.
    pub(crate) fn focused(mut self) -> Self {
        self.focused = true;
        self
    }

    /// The layout of a page with data of the reader.
    pub(crate) async fn of_reader(
        state: &WebState,
        visit: &Preferences,
        context: &RequestContext,
    ) -> Result<Self, PageError> {
        let mut layout = Self::new(state, visit).unlisted();
        layout.me = Me::of(context).await?;
        Ok(layout)
    }

    /// Sets the description of the page.
    pub(crate) fn about(mut self, about: String) -> Self {
        self.about = about;
        self
    }

    /// Sets the path and query that search engines should list and that links to other languages use. A cached page
    /// must set it: nothing of one reader's address may be in it.
    pub(crate) fn canonical(mut self, canonical: String) -> Self {
        let separator = if canonical.contains('?') { '&' } else { '?' };
        for (code, _, address) in &mut self.languages {
            *address = format!("{canonical}{separator}lang={code}");
        }
        self.canonical = canonical;
        self
    }

    /// The text under a key.
    pub(crate) fn t(&self, key: &str) -> &'static str {
        self.words.text(key)
    }

    /// The text with one placeholder filled.
    pub(crate) fn t1(&self, key: &str, value: impl std::fmt::Display) -> String {
        self.words.with(key, value)
    }

    /// The text for a number of something. Templates pass what they iterate over, by reference.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as templates pass it")]
    pub(crate) fn n(&self, key: &str, number: &u64) -> String {
        self.words.count(key, *number)
    }

    /// The address of an asset.
    #[expect(clippy::unused_self, reason = "templates ask the layout for everything")]
    pub(crate) fn asset(&self, name: &str) -> &'static str {
        assets::address(name)
    }

    /// The addresses and titles of the pages to which the footer links: the operator's own, then those that settings name
    /// and that the shop does not have itself.
    pub(crate) fn footer_pages(&self) -> Vec<(String, String)> {
        let own = self.site.pages.iter();
        let mut pages: Vec<(String, String)> = own
            .map(|(slug, title)| (format!("/pages/{slug}"), title.clone()))
            .collect();
        let operator = &self.settings.operator;
        for (slug, address, title) in [
            ("terms", &operator.terms_url, "footer.terms"),
            ("privacy", &operator.privacy_url, "footer.privacy"),
            ("imprint", &operator.imprint_url, "footer.imprint"),
        ] {
            let is_own = self.site.pages.iter().any(|(own, _)| own == slug);
            if let Some(address) = address.as_ref().filter(|_| !is_own) {
                pages.push((address.clone(), self.t(title).to_owned()));
            }
        }
        pages
    }

    /// As whom staff act, in words.
    pub(crate) fn acting(&self) -> Option<String> {
        let (email, until) = self.site.acting.as_ref()?;
        let until = format::moment(self.words, *until);
        Some(self.words.with_all("acting", &[email, &until]))
    }

    /// The shop's name.
    pub(crate) fn shop(&self) -> &str {
        self.site.look.name.as_deref().unwrap_or(&self.settings.shop_name)
    }

    /// The address of the stylesheet with the shop's own colours.
    pub(crate) fn brand(&self) -> Option<String> {
        brand::address(&self.site.look)
    }

    /// The absolute URL of `path`.
    pub(crate) fn absolute(&self, path: &str) -> String {
        format!("{}{path}", self.settings.public_url)
    }

    /// The URL that search engines should list for this page in a language.
    pub(crate) fn canonical_in(&self, code: &str) -> String {
        let separator = if self.canonical.contains('?') { '&' } else { '?' };
        format!("{}{}{separator}lang={code}", self.settings.public_url, self.canonical)
    }

    /// The attribute that marks a link of the main menu when it leads to this page.
    pub(crate) fn mark(&self, address: &str) -> &'static str {
        if self.canonical == address {
            " aria-current=page"
        } else {
            ""
        }
    }

    /// The `data-theme` attribute of the page.
    pub(crate) fn theme_name(&self) -> &'static str {
        self.theme.name()
    }
}

/// The parts of the layout that change with time, for the fingerprint of a cached page. Costs a clock read and a lock.
pub(crate) fn moment(state: &WebState) -> impl std::hash::Hash + use<> {
    let supply = state.supply.borrow();
    let minutes = supply.checked_at.map(|then| (state.now() - then).num_minutes());
    (supply.checked_at, minutes, supply.progress.clone())
}
