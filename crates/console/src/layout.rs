//! The frame of every page: rooms by permission, where the page is, search, and the message about the last action.

use lockstep_domain::Money;
use lockstep_domain::staff::Permission;
use lockstep_page::format;
use lockstep_page::i18n::Language;
use lockstep_page::visit::{Preferences, Theme};

use crate::ConsoleState;
use crate::assets;
use crate::staff::Staff;

/// Address, name and permission of each room, in the order in which they are used.
const ROOMS: [(&str, &str, Permission); 13] = [
    ("/admin", "console.room.today", Permission::DashboardRead),
    ("/admin/orders", "console.room.orders", Permission::OrdersRead),
    (
        "/admin/withdrawals",
        "console.withdrawals.title",
        Permission::OrdersRead,
    ),
    ("/admin/customers", "console.room.customers", Permission::UsersRead),
    ("/admin/catalogue", "console.room.catalogue", Permission::CatalogueRead),
    ("/admin/prices", "console.room.prices", Permission::PricesRead),
    ("/admin/keys", "console.room.keys", Permission::KeysRead),
    (
        "/admin/promotions",
        "console.room.promotions",
        Permission::PromotionsRead,
    ),
    ("/admin/payments", "console.room.payments", Permission::PaymentsRead),
    ("/admin/supplier", "console.room.supplier", Permission::SupplierRead),
    ("/admin/emails", "console.room.emails", Permission::EmailRead),
    ("/admin/cache", "console.room.cache", Permission::SystemRead),
    ("/admin/audit", "console.room.audit", Permission::AuditRead),
];

/// The rooms of what the shop says, and of the shop's own workings. The last is open to everybody on the staff: their
/// tokens are there.
const MORE_ROOMS: [(&str, &str, Option<Permission>); 2] = [
    ("/admin/content", "content.room", Some(Permission::ContentRead)),
    ("/admin/system", "system.room", None),
];

/// The address of the first room that a member of staff may open.
pub(crate) fn first_room(staff: &Staff) -> Option<&'static str> {
    let open = ROOMS.iter().find(|(_, _, permission)| staff.may(*permission));
    open.map(|(address, _, _)| *address)
}

/// A room in the navigation.
pub(crate) struct Room {
    pub(crate) address: &'static str,
    pub(crate) name: &'static str,
    pub(crate) is_current: bool,
}

/// The layout of a page. Templates read texts in the reader's language from it with `t` and `t1`.
pub(crate) struct Layout {
    pub(crate) words: Language,
    theme: Theme,
    pub(crate) shop: String,
    pub(crate) sandbox: bool,
    pub(crate) title: String,
    pub(crate) rooms: Vec<Room>,
    /// The pages above this one: name and address.
    pub(crate) crumbs: Vec<(String, String)>,
    /// Address of the member of staff; `None` for everybody else, who sees no navigation.
    pub(crate) who: Option<String>,
    /// The contents of the search field.
    pub(crate) search: String,
    /// A message about the previous action.
    pub(crate) notice: Option<String>,
    /// The address of the events that this page follows.
    pub(crate) live: Option<String>,
    /// Without scripts the page is read again every few seconds.
    pub(crate) is_reread: bool,
    /// The address of this page in each language: code, name, address.
    pub(crate) languages: Vec<(&'static str, &'static str, String)>,
}

impl Layout {
    /// The layout of a page called `title`, below the pages `crumbs`.
    pub(crate) fn new(staff: &Staff, title: String, crumbs: &[(&str, &str)]) -> Self {
        let mut layout = Self::bare(&staff.state, &staff.visit, title);
        let here = staff.visit.uri.path();
        let words = staff.words();
        layout.rooms = ROOMS
            .iter()
            .map(|(address, name, permission)| (*address, *name, Some(*permission)))
            .chain(MORE_ROOMS)
            .filter(|(_, _, needed)| needed.is_none_or(|permission| staff.may(permission)))
            .map(|(address, name, _)| Room {
                address,
                name: words.text(name),
                is_current: here == address
                    || address != "/admin" && here.strip_prefix(address).is_some_and(|rest| rest.starts_with('/')),
            })
            .collect();
        layout.crumbs = crumbs
            .iter()
            .map(|(name, address)| ((*name).to_owned(), (*address).to_owned()))
            .collect();
        layout.who = Some(staff.admin.caller().email().to_owned());
        layout.notice = notice(staff);
        layout
    }

    /// The layout without anything about the reader.
    pub(crate) fn bare(state: &ConsoleState, visit: &Preferences, title: String) -> Self {
        Self {
            words: visit.language,
            theme: visit.theme,
            shop: visit
                .site
                .look
                .name
                .clone()
                .unwrap_or_else(|| state.settings.shop_name.clone()),
            sandbox: state.settings.sandbox,
            title,
            rooms: Vec::new(),
            crumbs: Vec::new(),
            who: None,
            search: String::new(),
            notice: None,
            live: None,
            is_reread: false,
            languages: Language::CONSOLE
                .map(|language| (language.code(), language.name(), in_language(visit, language)))
                .into(),
        }
    }

    /// Sets the contents of the search field.
    pub(crate) fn searching(mut self, search: String) -> Self {
        self.search = search;
        self
    }

    /// Lets the page follow the events at `address`; without scripts it has a link that reads it again.
    pub(crate) fn following(mut self, address: String) -> Self {
        self.live = Some(address);
        self
    }

    /// The same while `is_open`; without scripts the page reads itself again every few seconds, until it is no more.
    pub(crate) fn following_job(mut self, address: String, is_open: bool) -> Self {
        self.live = is_open.then_some(address);
        self.is_reread = is_open;
        self
    }

    /// The address of the script.
    #[expect(clippy::unused_self, reason = "templates ask the layout for everything")]
    pub(crate) fn script(&self) -> &'static str {
        assets::script()
    }

    /// The text under a key.
    pub(crate) fn t(&self, key: &str) -> &'static str {
        self.words.text(key)
    }

    /// The text with one placeholder filled.
    pub(crate) fn t1(&self, key: &str, value: impl std::fmt::Display) -> String {
        self.words.with(key, value)
    }

    /// The address of the stylesheet.
    #[expect(clippy::unused_self, reason = "templates ask the layout for everything")]
    pub(crate) fn style(&self) -> &'static str {
        assets::style()
    }

    /// The `data-theme` attribute of the page.
    pub(crate) fn theme_name(&self) -> &'static str {
        self.theme.name()
    }

    /// The themes: value, name, whether it is chosen.
    pub(crate) fn themes(&self) -> [(&'static str, &'static str, bool); 3] {
        Theme::ALL.map(|theme| {
            let name = match theme {
                Theme::System => self.t("theme.system"),
                Theme::Light => self.t("theme.light"),
                Theme::Dark => self.t("theme.dark"),
            };
            (theme.name(), name, theme == self.theme)
        })
    }
}

/// This page in another language, with everything else that its address says.
fn in_language(visit: &Preferences, language: Language) -> String {
    // Below `/admin`, so the address stays on this site.
    let path = format!("{}?", visit.uri.path());
    let start = path.len();
    let mut address = form_urlencoded::Serializer::for_suffix(path, start);
    for (name, value) in visit.pairs().filter(|(name, _)| name != "done" && name != "amount") {
        address.append_pair(&name, &value);
    }
    address.append_pair("lang", language.code()).finish()
}

/// A message about the previous action, from the address: `?done=refunded&amount=5.00` fills the text
/// `console.done.refunded`.
fn notice(staff: &Staff) -> Option<String> {
    let words = staff.words();
    let text = words.find(&format!("console.done.{}", staff.parameter("done")?))?;
    if !text.contains("{}") {
        return Some(text.to_owned());
    }
    let amount = staff.parameter("amount")?;
    let shown = match amount.strip_suffix("EUR") {
        Some(amount) => format::price(words, money(amount)?),
        None => format::number(words, amount.parse().ok()?),
    };
    Some(text.replacen("{}", &shown, 1))
}

/// An amount of a form or an address: `5`, `5.00`, `5,00`, `-5`.
pub(crate) fn money(text: &str) -> Option<Money> {
    let text = text.trim().trim_start_matches(['+', '€']).trim();
    text.replace(',', ".").parse().ok()
}
