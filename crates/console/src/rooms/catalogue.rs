//! The catalogue: the list of games with its filters and orders, and the form of changes to many of them.

use askama::Template;
use axum::response::Response;
use lockstep_admin::{BulkKind, CatalogueFilter, CataloguePlace, CatalogueRow, CatalogueSort, List, Taxonomy};
use lockstep_domain::Money;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{self, Cell, Filter, Row, Table};

/// Games of a page.
const ROWS: u32 = 50;

/// The orders of the list: value in the address, order.
const SORTS: [(&str, CatalogueSort); 4] = [
    ("newest", CatalogueSort::Newest),
    ("title", CatalogueSort::Title),
    ("cheapest", CatalogueSort::Cheapest),
    ("dearest", CatalogueSort::Dearest),
];

/// The form of bulk changes below the list.
struct BulkForm {
    as_of: String,
    /// The parameters of the list.
    query: String,
    /// What the choice of all games is called, with their number.
    all: String,
    kinds: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "catalogue.html")]
struct CataloguePage {
    layout: Layout,
    actions: Vec<(&'static str, String)>,
    table: Table,
    bulk: Option<BulkForm>,
}

/// The kinds of bulk changes that staff may make, with their names.
pub(super) fn kinds(staff: &Staff) -> Vec<(String, String)> {
    let may_price = staff.may(Permission::PricesWrite);
    let kinds = BulkKind::ALL.into_iter().filter(|kind| may_price || !kind.is_price());
    show::choices(staff.words(), "bulk_kind", kinds.map(BulkKind::name))
}

/// What the supplier asks, for a cell.
pub(super) fn cost(words: Language, cost: Option<Decimal>) -> Option<String> {
    Some(format::price(words, Money::rounded(cost?).ok()?))
}

/// Reads the filter from the parameters of the list, by name.
pub(super) async fn filter(
    staff: &Staff,
    value: impl Fn(&str) -> Option<String>,
) -> Result<CatalogueFilter, PageError> {
    let tag = match value("tag") {
        None => None,
        Some(name) => Some(
            staff
                .office()
                .tag_named(&staff.admin, &name)
                .await?
                .unwrap_or(Uuid::nil()),
        ),
    };
    let is_unknown = std::cell::Cell::new(false);
    let one_of = |name: &str, yes: &str, no: &str| match value(name)?.as_str() {
        text if text == yes => Some(true),
        text if text == no => Some(false),
        _ => {
            is_unknown.set(true);
            None
        }
    };
    // What names nothing matches nothing.
    let id = |name: &str| value(name).map(|text| text.parse::<Uuid>().unwrap_or(Uuid::nil()));
    let text = value("search");
    let is_too_long = text.as_ref().is_some_and(|text| text.chars().count() > 200);
    let mut filter = CatalogueFilter {
        text: text.filter(|_| !is_too_long),
        genre: id("genre"),
        platform: id("platform"),
        tag,
        hidden: one_of("shown", "hidden", "visible"),
        in_stock: one_of("stock", "in", "out"),
        own_price: one_of("price", "own", "supplier"),
        locked: one_of("locks", "some", "none"),
        preorder: one_of("preorder", "yes", "no"),
        supplied: one_of("source", "g2a", "own"),
    };
    if is_unknown.get() || is_too_long {
        filter.genre = Some(Uuid::nil());
    }
    Ok(filter)
}

fn filters(staff: &Staff, genres: Vec<(Uuid, String)>, platforms: Vec<(Uuid, String)>) -> Vec<Filter> {
    let words = staff.words();
    let text = |key: &str| words.text(key);
    let ids = |terms: Vec<(Uuid, String)>| terms.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
    let choice = |name: &'static str, label: &'static str, group: &str, values: &[&'static str]| {
        Filter::choice(staff, name, label, show::choices(words, group, values.iter().copied()))
    };
    vec![
        Filter::text(staff, "search", text("console.catalogue.search")),
        Filter::choice(staff, "genre", text("console.term.genre"), ids(genres)),
        Filter::choice(staff, "platform", text("console.term.platform"), ids(platforms)),
        Filter::text(staff, "tag", text("console.term.tag")),
        choice(
            "shown",
            text("console.catalogue.shown"),
            "shown",
            &["visible", "hidden"],
        ),
        choice("stock", text("console.catalogue.stock"), "stock", &["in", "out"]),
        choice(
            "price",
            text("console.catalogue.price"),
            "price_source",
            &["own", "supplier"],
        ),
        choice("locks", text("console.catalogue.locks"), "locks", &["some", "none"]),
        choice("preorder", text("console.catalogue.preorder"), "yes_no", &["yes", "no"]),
        choice("source", text("console.catalogue.source"), "source", &["g2a", "own"]),
        choice(
            "sort",
            text("console.catalogue.sort"),
            "catalogue_sort",
            &SORTS.map(|(name, _)| name),
        ),
    ]
}

/// A place in an address: the row's id, and its value in the order of the list.
fn place(staff: &Staff, sort: CatalogueSort) -> Option<CataloguePlace> {
    let read = |name: &str, is_before: bool| {
        let text = staff.parameter(name)?;
        let (id, key) = text.split_once('~')?;
        CataloguePlace::new(sort, key, id.parse().ok()?, is_before)
    };
    read("after", false).or_else(|| read("before", true))
}

fn named(row: &CatalogueRow) -> String {
    format!("{}~{}", row.id, row.key)
}

/// `GET /admin/catalogue`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let (words, office) = (staff.words(), staff.office());
    let filter = filter(&staff, |name| staff.parameter(name)).await?;
    let asked = staff.parameter("sort");
    let sort = SORTS.into_iter().find(|(name, _)| Some(*name) == asked.as_deref());
    let sort = sort.map(|(_, sort)| sort).unwrap_or_default();
    if table::wants_file(&staff) {
        return table::file(&staff, List::Catalogue(filter, sort), false).await;
    }
    let place = place(&staff, sort);
    let games = office
        .catalogue(&staff.admin, &filter, sort, place.as_ref(), ROWS)
        .await?;
    let genres = office.terms_to_choose(&staff.admin, Taxonomy::Genres).await?;
    let platforms = office.terms_to_choose(&staff.admin, Taxonomy::Platforms).await?;
    let may_write = staff.may(Permission::CatalogueWrite);
    let before = games.rows.first().filter(|_| games.has_before).map(named);
    let after = games.rows.last().filter(|_| games.has_after).map(named);
    let (total, as_of) = (games.total, games.as_of);
    let rows = games.rows.into_iter().map(|game| row(words, may_write, game)).collect();
    let head = [
        "console.column.pick",
        "console.column.game",
        "console.column.platform",
        "#console.column.price",
        "#console.column.supplier_price",
        "console.column.state",
        "console.column.source",
        "#console.column.locks",
        "console.column.since",
    ];
    let table = Table::plain(words, "console.room.catalogue", &head, rows)
        .filtered(&staff, filters(&staff, genres, platforms))
        .placed(&staff, total, before, after, as_of)
        .with_file(&staff)
        .or_else(words, "console.catalogue.none", "console.catalogue.none.advice")
        .finished(&staff)
        .await?;
    let mut actions = Vec::new();
    if may_write {
        actions.push((words.text("console.game.new"), "/admin/catalogue/new".to_owned()));
    }
    actions.push((
        words.text("console.terms.title"),
        "/admin/catalogue/terms/genres".to_owned(),
    ));
    actions.push((words.text("console.bulk.list"), "/admin/catalogue/bulk".to_owned()));
    if staff.may(Permission::PricesRead) {
        actions.push((
            words.text("console.schedule.list"),
            "/admin/catalogue/schedule".to_owned(),
        ));
    }
    let query = staff.visit.uri.query().unwrap_or_default().to_owned();
    let bulk = (may_write && total > 0).then(|| BulkForm {
        as_of: as_of.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        query,
        all: words.count("console.bulk.all", total),
        kinds: kinds(&staff),
    });
    page::private(&CataloguePage {
        layout: Layout::new(&staff, words.text("console.room.catalogue").to_owned(), &[]),
        actions,
        table,
        bulk,
    })
}

/// The state of a game: whether it can be bought, or why not.
fn state(words: Language, game: &CatalogueRow) -> Cell {
    let (kind, key) = if game.is_hidden {
        ("warn", "console.game.hidden")
    } else if game.is_preorder {
        ("", "console.game.preorder")
    } else if game.in_stock {
        ("good", "console.game.in_stock")
    } else {
        ("", "console.game.sold_out")
    };
    Cell::Tag(kind, words.text(key).to_owned())
}

fn row(words: Language, may_pick: bool, game: CatalogueRow) -> Row {
    let is_below = game.cost.is_some_and(|cost| game.price.decimal() < cost);
    let price = format::price(words, game.price);
    let price = match (is_below, game.has_own_price) {
        (true, _) => format!("{price} · {}", words.text("console.catalogue.below_cost")),
        (_, true) => format!("{price} · {}", words.text("console.catalogue.own")),
        _ => price,
    };
    let state = state(words, &game);
    let source = if game.is_supplied { "g2a" } else { "own" };
    Row {
        href: Some(format!("/admin/catalogue/{}", game.id)),
        cells: vec![
            if may_pick {
                Cell::Pick(format!("{}.{}", game.id, game.version))
            } else {
                Cell::Nothing
            },
            Cell::Main(show::short(&game.title, 120)),
            Cell::text_or_none(Some(game.platform)),
            Cell::Number(price),
            cost(words, game.cost).map_or(Cell::Nothing, Cell::Number),
            state,
            Cell::Text(show::name(words, "source", source)),
            if game.locks > 0 {
                Cell::number(words, u64::try_from(game.locks).unwrap_or(0))
            } else {
                Cell::Nothing
            },
            Cell::time(words, game.created_at),
        ],
    }
}
