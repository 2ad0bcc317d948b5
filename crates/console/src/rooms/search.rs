//! The search: what a text names exactly opens at once; otherwise customers, keys and games that match, pages and actions by
//! name, and saved views. The palette is the same in short, for a script; without a text both show what was opened last.

use askama::Template;
use axum::response::Response;
use lockstep_admin::{CatalogueFilter, CatalogueSort, KeyFilter, NamedThing, UserFilter};
use lockstep_domain::admin::{Found, Page};
use lockstep_domain::secret::Secret;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::i18n::Language;
use lockstep_page::{forms, page};

use crate::layout::Layout;
use crate::staff::Staff;
use crate::table::{Cell, Row, Table, with_query};

/// Rows of each kind that the page shows.
const SOME: Page = Page { number: 1, size: 20 };
/// The same in the palette.
const FEW: Page = Page { number: 1, size: 5 };
/// Shortest text for which customers, keys and games are looked through, in characters.
const SHORTEST: usize = 3;
/// Longest one.
const LONGEST: usize = 100;

/// Pages other than rooms, and what can be done: the key of its name, and its address. The permission is the page's.
const ACTIONS: [(&str, &str); 27] = [
    ("console.supplier.sync", "/admin/supplier/sync"),
    ("console.promotions.new", "/admin/promotions/new"),
    ("console.game.new", "/admin/catalogue/new"),
    ("console.keys.import", "/admin/keys/import"),
    ("console.keys.add", "/admin/keys/new"),
    ("console.prices.new", "/admin/prices/rule"),
    ("console.prices.set", "/admin/prices/set"),
    ("console.prices.jobs", "/admin/prices/jobs"),
    ("console.bulk.list", "/admin/catalogue/bulk"),
    ("console.schedule.list", "/admin/catalogue/schedule"),
    ("console.incidents.title", "/admin/incidents"),
    ("console.supplier.runs", "/admin/supplier/runs"),
    ("content.articles", "/admin/content/articles"),
    ("content.articles.new", "/admin/content/articles/new"),
    ("content.questions", "/admin/content/questions"),
    ("content.questions.new", "/admin/content/questions/new"),
    ("content.pages", "/admin/content/pages"),
    ("content.pages.new", "/admin/content/pages/new"),
    ("content.banners", "/admin/content/banners"),
    ("content.emails", "/admin/content/emails"),
    ("system.diagnostics", "/admin/system/diagnostics"),
    ("system.jobs", "/admin/system/jobs"),
    ("system.staff", "/admin/system/staff"),
    ("system.staff.new", "/admin/system/staff/new"),
    ("system.roles", "/admin/system/roles"),
    ("system.tokens", "/admin/system/tokens"),
    ("system.webhooks", "/admin/system/webhooks"),
];

/// Something that the search leads to.
struct Hit {
    name: String,
    /// What it is, beside its name.
    about: String,
    address: String,
}

/// What was found of one kind.
struct Group {
    title: &'static str,
    hits: Vec<Hit>,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    layout: Layout,
    /// Whether something was searched for.
    has_asked: bool,
    /// What was found: a table of each kind that has something.
    tables: Vec<Table>,
}

#[derive(Template)]
#[template(path = "palette.html")]
struct Palette {
    /// How many there are, in words.
    count: String,
    groups: Vec<Group>,
}

/// What kind of thing it is, and its page.
fn page_of(found: &Found) -> (&'static str, String) {
    match found {
        Found::Order(id) => ("console.found.order", format!("/admin/orders/{id}")),
        Found::User(id) => ("console.found.user", format!("/admin/customers/{id}")),
        Found::Game(id) => ("console.found.game", format!("/admin/catalogue/{id}")),
        Found::PromoCode(id) => ("console.found.promo", format!("/admin/promotions/{id}")),
        Found::Key(id) => ("console.found.key", format!("/admin/keys/{id}")),
    }
}

fn hit(words: Language, thing: NamedThing) -> Hit {
    let (kind, address) = page_of(&thing.found);
    Hit {
        name: thing.name,
        about: words.text(kind).to_owned(),
        address,
    }
}

/// `GET /admin/search?q=`
pub(crate) async fn page(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let asked = staff.parameter("q");
    let mut tables = Vec::new();
    if let Some(text) = &asked {
        let found = staff.office().find(&staff.admin, text).await?;
        if let [found] = found.as_slice() {
            return Ok(forms::done(&page_of(found).1));
        }
        let exact = exact(&staff, &found).await?;
        let is_exact = !exact.hits.is_empty();
        tables.extend(table(words, exact));
        if !is_exact && text.chars().count() <= LONGEST {
            tables.extend(customers(&staff, text).await?);
            tables.extend(keys(&staff, text).await?);
            tables.extend(table(words, games(&staff, text, SOME).await?));
        }
        tables.extend(table(words, actions(&staff, text)));
        tables.extend(table(words, views(&staff, text).await?));
    } else {
        tables.extend(table(words, recent(&staff).await?));
        tables.extend(table(words, actions(&staff, "")));
    }
    let page = SearchPage {
        has_asked: asked.is_some(),
        layout: Layout::new(&staff, words.text("console.search.title").to_owned(), &[])
            .searching(asked.unwrap_or_default()),
        tables,
    };
    page::private(&page)
}

/// `GET /admin/palette?q=`: a piece of a page.
pub(crate) async fn options(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let mut groups = Vec::new();
    if let Some(text) = staff.parameter("q") {
        let found = staff.office().find(&staff.admin, &text).await?;
        let exact = exact(&staff, &found).await?;
        let is_exact = !exact.hits.is_empty();
        groups.push(exact);
        groups.push(actions(&staff, &text));
        groups.push(views(&staff, &text).await?);
        if !is_exact && (SHORTEST..=LONGEST).contains(&text.chars().count()) {
            groups.push(people(&staff, &text).await?);
            groups.push(games(&staff, &text, FEW).await?);
        }
    } else {
        groups.push(recent(&staff).await?);
        groups.push(actions(&staff, ""));
    }
    groups.retain(|group| !group.hits.is_empty());
    let count: usize = groups.iter().map(|group| group.hits.len()).sum();
    let palette = Palette {
        count: words.count("console.search.results", u64::try_from(count).unwrap_or(0)),
        groups,
    };
    page::private(&palette)
}

/// A group as a table of the page, unless it is empty.
fn table(words: Language, group: Group) -> Option<Table> {
    let rows = group.hits.into_iter().map(|hit| Row {
        href: Some(hit.address),
        cells: vec![Cell::Main(hit.name), Cell::text_or_none(Some(hit.about))],
    });
    let rows: Vec<Row> = rows.collect();
    (!rows.is_empty()).then(|| {
        let head = ["console.column.name", "console.column.kind"];
        let mut table = Table::plain(words, "console.search.title", &head, rows);
        group.title.clone_into(&mut table.caption);
        table
    })
}

async fn exact(staff: &Staff, found: &[Found]) -> Result<Group, PageError> {
    let words = staff.words();
    let things = staff.office().named_things(&staff.admin, found).await?;
    Ok(Group {
        title: words.text("console.search.exact"),
        hits: things.into_iter().map(|thing| hit(words, thing)).collect(),
    })
}

async fn recent(staff: &Staff) -> Result<Group, PageError> {
    let words = staff.words();
    let things = staff.office().recent_things(&staff.admin).await?;
    Ok(Group {
        title: words.text("console.search.recent"),
        hits: things.into_iter().map(|thing| hit(words, thing)).collect(),
    })
}

/// Whether every word of `text` is in `name`.
fn is_named(name: &str, text: &str) -> bool {
    let name = name.to_lowercase();
    let text = text.to_lowercase();
    text.split_whitespace().all(|word| name.contains(word))
}

/// Rooms, other pages, and what can be done, by name: those that the reader may open.
fn actions(staff: &Staff, text: &str) -> Group {
    let words = staff.words();
    let pages = ACTIONS.into_iter().filter(|(_, address)| staff.may_open(address));
    let pages = pages.map(|(key, address)| (words.text(key), address));
    let rooms = Layout::new(staff, String::new(), &[]).rooms;
    let rooms = rooms.into_iter().map(|room| (room.name, room.address));
    let hits = rooms
        .chain(pages)
        .filter(|(name, _)| is_named(name, text))
        .map(|(name, address)| Hit {
            name: name.to_owned(),
            about: String::new(),
            address: address.to_owned(),
        });
    Group {
        title: words.text("console.search.actions"),
        hits: hits.collect(),
    }
}

/// Saved views of lists that the reader may open.
async fn views(staff: &Staff, text: &str) -> Result<Group, PageError> {
    let words = staff.words();
    let known = staff.office().saved_views(&staff.admin, None).await?;
    let hits = known.into_iter().filter(|view| is_named(&view.name, text)).map(|view| {
        let path = format!("/admin/{}", view.list);
        let id = view.id.to_string();
        let address = if view.query.is_empty() {
            with_query(&path, [("view", id.as_str())])
        } else {
            format!("{path}?{}&view={id}", view.query)
        };
        Hit {
            name: view.name,
            about: words.text("console.views").to_owned(),
            address,
        }
    });
    Ok(Group {
        title: words.text("console.views"),
        hits: hits.filter(|hit| staff.may_open(&hit.address)).collect(),
    })
}

async fn games(staff: &Staff, text: &str, page: Page) -> Result<Group, PageError> {
    let title = staff.words().text("console.room.catalogue");
    if !staff.may(Permission::CatalogueRead) {
        return Ok(Group {
            title,
            hits: Vec::new(),
        });
    }
    let filter = CatalogueFilter {
        text: Some(text.to_owned()),
        ..CatalogueFilter::default()
    };
    let office = staff.office();
    let games = office.catalogue(&staff.admin, &filter, CatalogueSort::Title, None, page.size);
    let hits = games.await?.rows.into_iter().map(|game| Hit {
        address: format!("/admin/catalogue/{}", game.id),
        name: game.title,
        about: game.platform,
    });
    Ok(Group {
        title,
        hits: hits.collect(),
    })
}

/// Customers in the palette.
async fn people(staff: &Staff, text: &str) -> Result<Group, PageError> {
    let mut hits = Vec::new();
    if staff.may(Permission::UsersRead) {
        let filter = UserFilter {
            query: Some(text.to_owned()),
            ..UserFilter::default()
        };
        let users = staff.office().users(&staff.admin, &filter, FEW).await?.users;
        hits.extend(users.into_iter().map(|user| Hit {
            name: user.email,
            about: user.nickname,
            address: format!("/admin/customers/{}", user.id),
        }));
    }
    Ok(Group {
        title: staff.words().text("console.room.customers"),
        hits,
    })
}

async fn customers(staff: &Staff, text: &str) -> Result<Option<Table>, PageError> {
    if !staff.may(Permission::UsersRead) {
        return Ok(None);
    }
    let words = staff.words();
    let filter = UserFilter {
        query: Some(text.to_owned()),
        ..UserFilter::default()
    };
    let users = staff.office().users(&staff.admin, &filter, SOME).await?;
    let more = users.paging.total > u64::from(SOME.size);
    let mut rows: Vec<Row> = users
        .users
        .into_iter()
        .map(|user| Row {
            href: Some(format!("/admin/customers/{}", user.id)),
            cells: vec![
                Cell::Main(user.email),
                Cell::Text(user.nickname),
                Cell::number(words, user.orders_count),
            ],
        })
        .collect();
    if more {
        rows.push(Row {
            href: Some(with_query("/admin/customers", [("query", text)])),
            cells: vec![
                Cell::Main(words.text("console.search.more").to_owned()),
                Cell::Nothing,
                Cell::Nothing,
            ],
        });
    }
    let head = [
        "console.column.email",
        "console.column.nickname",
        "#console.column.orders",
    ];
    Ok((!rows.is_empty()).then(|| Table::plain(words, "console.room.customers", &head, rows)))
}

async fn keys(staff: &Staff, text: &str) -> Result<Option<Table>, PageError> {
    if !staff.may(Permission::KeysRead) {
        return Ok(None);
    }
    let words = staff.words();
    let filter = KeyFilter {
        search: Some(Secret::new(text.to_owned())),
        ..KeyFilter::default()
    };
    let keys = staff.office().game_keys(&staff.admin, &filter, SOME).await?.keys;
    let rows: Vec<Row> = keys
        .into_iter()
        .map(|key| Row {
            href: Some(format!("/admin/keys/{}", key.id)),
            cells: vec![Cell::Main(key.key), Cell::Text(key.game.title)],
        })
        .collect();
    let head = ["console.column.key", "console.column.game"];
    Ok((!rows.is_empty()).then(|| Table::plain(words, "console.room.keys", &head, rows)))
}
