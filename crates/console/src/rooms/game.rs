//! A game: its fields with what G2A says beside them, locks, the history of its price, and scheduled changes; a new one,
//! and deleting one.
//!
//! A form carries a fingerprint of every value that it showed. What its author did not touch is not sent on, so that it is
//! as others have set it by now; what both have changed is shown in both versions, and nothing is saved.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_admin::{BulkKind, ChangeError, GameSheet};
use lockstep_domain::admin::{Found, GameEntry, GameField, GameForm, Page, PriceHistory};
use lockstep_domain::staff::Permission;
use lockstep_domain::{GameId, Money};
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};

use super::game_pictures::{self, Pictures};
use super::{catalogue, found, id};
use crate::action::ActionPage;
use crate::chart::Bars;
use crate::gate::StaffForm;
use crate::layout::{Layout, money};
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, Row, Table};

const ROOM: &str = "/admin/catalogue";
/// Changes of the price that the page shows.
const CHANGES: Page = Page { number: 1, size: 30 };
/// Scheduled changes that the page shows.
const SCHEDULED: Page = Page { number: 1, size: 20 };
/// How often a form is compared again when the game changes at that moment.
const ATTEMPTS: u32 = 3;

/// A field of the form: its name, what it is called, the kind of its input, and which field of the game it is.
struct Kind {
    name: &'static str,
    label: &'static str,
    input: &'static str,
    field: Option<GameField>,
}

const fn kind(name: &'static str, label: &'static str, input: &'static str, field: Option<GameField>) -> Kind {
    Kind {
        name,
        label,
        input,
        field,
    }
}

/// The fields, by the names that the use case gives them in its errors.
const FIELDS: [Kind; 15] = [
    kind("title", "console.game.title", "text", Some(GameField::Title)),
    kind("slug", "console.game.slug", "text", None),
    kind("price", "console.game.price", "text", Some(GameField::Price)),
    kind(
        "originalPrice",
        "console.game.original_price",
        "text",
        Some(GameField::OriginalPrice),
    ),
    kind("visible", "console.game.visible", "choice", None),
    kind(
        "isPreorder",
        "console.game.is_preorder",
        "choice",
        Some(GameField::IsPreorder),
    ),
    kind(
        "releaseDate",
        "console.game.release_date",
        "date",
        Some(GameField::ReleaseDate),
    ),
    kind("imageUrl", "console.game.image", "text", Some(GameField::Image)),
    kind(
        "publisher",
        "console.game.publisher",
        "text",
        Some(GameField::Publisher),
    ),
    kind(
        "developer",
        "console.game.developer",
        "text",
        Some(GameField::Developer),
    ),
    kind(
        "platforms",
        "console.terms.platforms",
        "lines",
        Some(GameField::Platforms),
    ),
    kind("genres", "console.terms.genres", "lines", Some(GameField::Genres)),
    kind("tags", "console.terms.tags", "lines", Some(GameField::Tags)),
    kind(
        "categories",
        "console.terms.categories",
        "lines",
        Some(GameField::Categories),
    ),
    kind(
        "description",
        "console.game.description",
        "area",
        Some(GameField::Description),
    ),
];

/// A field as the page shows it.
struct EditField {
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    value: String,
    options: Vec<(String, String)>,
    hint: Option<&'static str>,
    error: Option<String>,
    /// What is stored by now, if others have changed it as well.
    conflict: Option<String>,
    says: Option<String>,
    /// Its name among the locks, and whether it is locked.
    lock: Option<(&'static str, bool)>,
}

impl EditField {
    fn is_whole(&self) -> bool {
        self.kind == "area"
    }

    fn described_by(&self) -> String {
        let parts = [
            self.hint.map(|_| "hint"),
            self.error.as_ref().map(|_| "error"),
            self.conflict.as_ref().map(|_| "stored"),
        ];
        let parts = parts.into_iter().flatten().map(|part| format!("{}-{part}", self.name));
        parts.collect::<Vec<_>>().join(" ")
    }
}

/// The form.
struct Editor {
    action: String,
    problem: Option<String>,
    hidden: Vec<(String, String)>,
    fields: Vec<EditField>,
    /// The question about a price below the supplier's, and whether it was answered.
    below_cost: Option<(String, bool)>,
    submit: &'static str,
}

/// A change of one game that is previewed like one of many.
struct Quick {
    game: String,
    as_of: String,
    kind: &'static str,
    label: &'static str,
}

#[derive(Template)]
#[template(path = "game.html")]
struct GamePage {
    layout: Layout,
    tags: Vec<(&'static str, String)>,
    in_shop: Option<String>,
    facts: Vec<(&'static str, String)>,
    quick: Vec<Quick>,
    links: Vec<(&'static str, String, bool)>,
    editor: Option<Editor>,
    pictures: Option<Pictures>,
    scheduled: Option<Table>,
    history: Option<Table>,
    chart: Option<Bars>,
}

/// The value of a field as the form shows it.
fn value(words: Language, sheet: &GameSheet, name: &str) -> String {
    let game = &sheet.game;
    let amount = |amount: Money| format::decimal(words, amount);
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    match name {
        "title" => game.title.clone(),
        "slug" => game.slug.clone(),
        "description" => game.description.clone(),
        "price" => amount(game.price),
        "originalPrice" => game.original_price.map(amount).unwrap_or_default(),
        "visible" => yes_no(!sheet.is_hidden),
        "isPreorder" => yes_no(game.is_preorder),
        "releaseDate" => game.release_date.format("%Y-%m-%d").to_string(),
        "imageUrl" => game.image_url.clone(),
        "publisher" => game.publisher.clone(),
        "developer" => game.developer.clone().unwrap_or_default(),
        "platforms" => game.platforms.join("\n"),
        "genres" => game.genres.join("\n"),
        "tags" => game.tags.join("\n"),
        _ => game.categories.join("\n"),
    }
}

/// What was entered in a field, with line ends as they are stored.
fn entered(form: &Form, name: &str) -> Option<String> {
    let sent = form.pairs().find(|(known, _)| *known == name)?.1;
    Some(sent.replace("\r\n", "\n").trim().to_owned())
}

/// A short text that differs with the value.
fn mark(value: &str) -> String {
    format!("{:016x}", page::fingerprint(&[&value.trim()]))
}

/// The locked fields that the form shows: not the one that hides a game, and not the pictures, which have forms of their own.
fn locks(sheet: &GameSheet) -> BTreeSet<String> {
    let names = sheet.game.locked_fields.iter().map(|name| (*name).to_owned());
    names
        .filter(|name| name != GameField::InStock.name() && name != GameField::Images.name())
        .collect()
}

fn mark_of_locks(locks: &BTreeSet<String>) -> String {
    mark(&locks.iter().cloned().collect::<Vec<_>>().join(" "))
}

fn was(name: &str) -> String {
    format!("was_{name}")
}

/// What G2A says of a field, as far as it is known.
fn says(words: Language, sheet: &GameSheet, kind: &Kind, is_locked: bool) -> Option<String> {
    sheet.game.g2a_product_id.as_ref()?;
    let field = kind.field?;
    if !is_locked {
        return Some(words.text("console.game.g2a_same").to_owned());
    }
    if let (GameField::Price, Some(price)) = (field, sheet.game.g2a_price) {
        return Some(format::price(words, price));
    }
    let said = sheet.said.as_ref().and_then(|said| said.get(field.name()));
    let text = match said {
        Some(serde_json::Value::String(text)) => show::short(text, 500),
        Some(serde_json::Value::Array(names)) if !names.is_empty() => {
            let names = names.iter().filter_map(|name| name.as_str());
            names.collect::<Vec<_>>().join(", ")
        }
        Some(_) => words.text("console.game.g2a_nothing").to_owned(),
        None => words.text("console.game.g2a_next_sync").to_owned(),
    };
    Some(text)
}

/// The form of `sheet`, or of a new game, with what was entered.
fn editor(staff: &Staff, sheet: Option<&GameSheet>, form: &Form, conflicts: &BTreeSet<&'static str>) -> Editor {
    let words = staff.words();
    let now = sheet.map(locks).unwrap_or_default();
    let sent: BTreeSet<String> = form.values("lock").map(str::to_owned).collect();
    let seen = form.value(&was("locks"));
    // Ticks that the author did not touch are those of by now.
    let is_touched = !seen.is_empty() && mark_of_locks(&sent) != seen;
    let locked = if is_touched { sent } else { now.clone() };
    let is_supplied = sheet.is_some_and(|sheet| sheet.game.g2a_product_id.is_some());
    let mut hidden = Vec::new();
    let shown = FIELDS.iter().filter(|kind| sheet.is_some() || kind.name != "visible");
    let fields = shown.map(|kind| {
        let stored = sheet.map(|sheet| value(words, sheet, kind.name)).unwrap_or_default();
        if sheet.is_some() {
            hidden.push((was(kind.name), mark(&stored)));
        }
        let is_locked = kind.field.is_some_and(|field| locked.contains(field.name()));
        let was_locked = kind.field.is_some_and(|field| now.contains(field.name()));
        let is_conflict = conflicts.contains(kind.name);
        // What others have changed and the author has not is shown as it is by now.
        let is_own = is_conflict || form.error(kind.name).is_some() || sheet.is_none();
        let mine = entered(form, kind.name).filter(|mine| {
            is_own || form.value(&was(kind.name)).is_empty() || mark(mine) != form.value(&was(kind.name))
        });
        EditField {
            name: kind.name,
            label: words.text(kind.label),
            kind: kind.input,
            value: mine.unwrap_or_else(|| stored.clone()),
            options: match kind.name {
                "visible" => show::choices(words, "visible", ["yes", "no"]),
                "isPreorder" => show::choices(words, "yes_no", ["no", "yes"]),
                _ => Vec::new(),
            },
            hint: match kind.name {
                "slug" => Some(words.text("console.game.slug.hint")),
                "originalPrice" => Some(words.text("console.game.original_price.hint")),
                "imageUrl" => Some(words.text("console.game.image.hint")),
                _ if kind.input == "lines" => Some(words.text("console.game.lines.hint")),
                _ => None,
            },
            error: form.error(kind.name).map(str::to_owned),
            conflict: is_conflict.then(|| {
                let stored = if stored.is_empty() {
                    words.text("console.unknown").to_owned()
                } else {
                    stored.replace('\n', ", ")
                };
                show::short(&stored, 500)
            }),
            says: sheet.and_then(|sheet| says(words, sheet, kind, was_locked)),
            lock: kind
                .field
                .filter(|_| is_supplied)
                .map(|field| (field.name(), is_locked)),
        }
    });
    let fields = fields.collect();
    hidden.push((was("locks"), mark_of_locks(&now)));
    let cost = sheet.and_then(|sheet| catalogue::cost(words, sheet.cost));
    Editor {
        action: sheet.map_or_else(|| format!("{ROOM}/new"), |sheet| format!("{ROOM}/{}", sheet.game.id)),
        problem: form.problem().map(str::to_owned),
        hidden,
        fields,
        below_cost: is_below_cost(sheet, form).then(|| {
            let question = cost.map_or_else(
                || words.text("console.schedule.below_cost").to_owned(),
                |cost| words.with("console.game.below_cost", cost),
            );
            (question, form.value("below_cost") == "yes")
        }),
        submit: words.text(if sheet.is_some() {
            "form.save"
        } else {
            "console.game.create"
        }),
    }
}

/// Whether the price that was entered is below what the supplier asks.
fn is_below_cost(sheet: Option<&GameSheet>, form: &Form) -> bool {
    let price = money(form.value("price"));
    sheet
        .zip(price)
        .is_some_and(|(sheet, price)| sheet.is_below_cost(price))
}

fn facts(staff: &Staff, sheet: &GameSheet) -> Vec<(&'static str, String)> {
    let words = staff.words();
    let game = &sheet.game;
    let mut facts = vec![(words.text("console.game.price"), format::price(words, game.price))];
    if let Some(cost) = sheet.cost {
        facts
            .extend(catalogue::cost(words, Some(cost)).map(|cost| (words.text("console.column.supplier_price"), cost)));
        let margin = Money::rounded(game.price.decimal() - cost);
        facts.extend(margin.map(|margin| (words.text("console.game.margin"), format::price(words, margin))));
    }
    if let Some(price) = game.g2a_price {
        facts.push((words.text("console.game.g2a_price"), format::price(words, price)));
    }
    facts.push((
        words.text("console.game.own_keys"),
        format::number(words, sheet.own_keys),
    ));
    if let Some(product) = &game.g2a_product_id {
        facts.push((words.text("console.game.g2a_product"), product.clone()));
        facts.push((
            words.text("console.game.g2a_stock"),
            show::name(words, "yes_no", if game.g2a_stock { "yes" } else { "no" }),
        ));
    }
    if let Some(at) = sheet.synced_at {
        facts.push((words.text("console.game.synced"), format::moment(words, at)));
    }
    if let Some(at) = sheet.withdrawn_at {
        facts.push((words.text("console.game.withdrawn"), format::moment(words, at)));
    }
    facts.push((words.text("console.column.id"), game.id.to_string()));
    facts
}

fn tags(words: Language, sheet: &GameSheet) -> Vec<(&'static str, String)> {
    let game = &sheet.game;
    let all = [
        (sheet.withdrawn_at.is_some(), "bad", "console.game.withdrawn"),
        (sheet.is_hidden, "warn", "console.game.hidden"),
        (game.in_stock, "good", "console.game.in_stock"),
        (!game.in_stock && !sheet.is_hidden, "", "console.game.sold_out"),
        (sheet.is_featured, "", "console.game.featured"),
        (game.is_preorder, "", "console.game.preorder"),
        (game.g2a_product_id.is_none(), "", "console.game.own_game"),
    ];
    let held = all.into_iter().filter(|(holds, ..)| *holds);
    held.map(|(_, kind, key)| (kind, words.text(key).to_owned())).collect()
}

/// Changes with a preview of their own, and other pages.
fn quick(staff: &Staff, sheet: &GameSheet) -> Vec<Quick> {
    if !staff.may(Permission::CatalogueWrite) || sheet.withdrawn_at.is_some() {
        return Vec::new();
    }
    let words = staff.words();
    let mut kinds = vec![
        if sheet.is_hidden {
            (BulkKind::Show, "console.game.show")
        } else {
            (BulkKind::Hide, "console.game.hide")
        },
        if sheet.is_featured {
            (BulkKind::Unfeature, "console.game.unfeature")
        } else {
            (BulkKind::Feature, "console.game.feature")
        },
    ];
    if sheet.game.g2a_price.is_some() && staff.may(Permission::PricesWrite) {
        kinds.push((BulkKind::PriceDrop, "console.game.drop_price"));
    }
    let kinds = kinds.into_iter().map(|(kind, label)| Quick {
        game: format!("{}.{}", sheet.game.id, sheet.offer_version),
        as_of: crate::table::machine(staff.now),
        kind: kind.name(),
        label: words.text(label),
    });
    kinds.collect()
}

pub(super) async fn read(staff: &Staff, game: &str) -> Result<GameSheet, PageError> {
    found(staff.office().game_sheet(&staff.admin, GameId(id(game)?)).await?)
}

/// `GET /admin/catalogue/{id}`
pub(crate) async fn page(staff: Staff, Path(game): Path<String>) -> Result<Response, PageError> {
    let sheet = read(&staff, &game).await?;
    staff.saw(Found::Game(sheet.game.id)).await;
    show_game(&staff, &sheet, &Form::default(), &BTreeSet::new()).await
}

async fn show_game(
    staff: &Staff,
    sheet: &GameSheet,
    form: &Form,
    conflicts: &BTreeSet<&'static str>,
) -> Result<Response, PageError> {
    let pictures = game_pictures::read(
        staff,
        GameId(sheet.game.id),
        &sheet.game.locked_fields,
        &Form::default(),
    )
    .await?;
    let status = if conflicts.is_empty() {
        form.status()
    } else {
        StatusCode::CONFLICT
    };
    show(staff, sheet, (form, conflicts), pictures, status).await
}

/// The page after a change of pictures.
pub(super) async fn show_with(
    staff: &Staff,
    sheet: &GameSheet,
    pictures: Pictures,
    status: StatusCode,
) -> Result<Response, PageError> {
    show(staff, sheet, (&Form::default(), &BTreeSet::new()), pictures, status).await
}

async fn show(
    staff: &Staff,
    sheet: &GameSheet,
    (form, conflicts): (&Form, &BTreeSet<&'static str>),
    pictures: Pictures,
    status: StatusCode,
) -> Result<Response, PageError> {
    let words = staff.words();
    let game = GameId(sheet.game.id);
    let history = staff.office().price_history(&staff.admin, game, CHANGES).await?;
    let history = found(history)?;
    let may_write = staff.may(Permission::CatalogueWrite);
    let own = format!("{ROOM}/{}", sheet.game.id);
    let mut links = Vec::new();
    if staff.may(Permission::PricesWrite) {
        links.push((words.text("console.schedule.title"), format!("{own}/schedule"), false));
    }
    if may_write {
        links.push((words.text("console.game.delete"), format!("{own}/delete"), true));
    }
    let scheduled = if staff.may(Permission::PricesRead) {
        Some(super::schedule::of_game(staff, game, SCHEDULED).await?)
    } else {
        None
    };
    let page = GamePage {
        layout: Layout::new(
            staff,
            sheet.game.title.clone(),
            &[(words.text("console.room.catalogue"), ROOM)],
        ),
        tags: tags(words, sheet),
        in_shop: sheet
            .withdrawn_at
            .is_none()
            .then(|| format!("/game/{}", sheet.game.slug)),
        facts: facts(staff, sheet),
        quick: quick(staff, sheet),
        links,
        editor: may_write.then(|| editor(staff, Some(sheet), form, conflicts)),
        pictures: Some(pictures),
        scheduled,
        chart: chart(words, &history),
        history: Some(history_table(words, history)),
    };
    Ok(page::fresh(status, page.render()?))
}

fn history_table(words: Language, history: PriceHistory) -> Table {
    let rows = history.changes.into_iter().map(|change| Row {
        href: None,
        cells: vec![
            Cell::time(words, change.at),
            Cell::money(words, change.previous_price),
            Cell::money(words, change.price),
            change
                .g2a_price
                .map_or(Cell::Nothing, |price| Cell::money(words, price)),
            catalogue::cost(words, change.supplier_price.map(|cost| cost.0)).map_or(Cell::Nothing, Cell::Number),
            Cell::text_or_none(change.reason.map(|reason| show::name(words, "price_reason", &reason))),
        ],
    });
    let head = [
        "console.column.time",
        "#console.bulk.before",
        "#console.bulk.after",
        "#console.game.g2a_price",
        "#console.column.supplier_price",
        "console.column.reason",
    ];
    Table::plain(words, "console.game.history", &head, rows.collect()).or_else(
        words,
        "console.game.history.none",
        "console.game.history.none.advice",
    )
}

/// The prices, the oldest first.
fn chart(words: Language, history: &PriceHistory) -> Option<Bars> {
    let mut bars: Vec<(String, i64, String)> = history
        .changes
        .iter()
        .map(|change| {
            let label = format::date(words, change.at);
            (label, change.price.cents(), format::price(words, change.price))
        })
        .collect();
    if bars.len() < 2 {
        return None;
    }
    bars.reverse();
    Some(Bars {
        title: words.text("console.game.history.chart").to_owned(),
        bars,
    })
}

/// A form read into what the use case takes: only what its author has changed.
fn read_form(words: Language, form: &mut Form, sheet: Option<&GameSheet>) -> GameEntry {
    let is_changed = |form: &Form, name: &str| {
        let mine = entered(form, name)?;
        let seen = form.value(&was(name));
        let stored = sheet.map(|sheet| value(words, sheet, name));
        let is_new = match (seen, stored) {
            ("", None) => !mine.is_empty(),
            ("", Some(stored)) => mine != stored.trim(),
            (seen, _) => mark(&mine) != seen,
        };
        is_new.then_some(mine)
    };
    let lines = |text: String| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    let mut entry = GameEntry {
        title: is_changed(form, "title"),
        slug: is_changed(form, "slug"),
        description: is_changed(form, "description"),
        image: is_changed(form, "imageUrl"),
        platforms: is_changed(form, "platforms").map(lines),
        genres: is_changed(form, "genres").map(lines),
        tags: is_changed(form, "tags").map(lines),
        categories: is_changed(form, "categories").map(lines),
        publisher: is_changed(form, "publisher"),
        developer: is_changed(form, "developer"),
        release_date: is_changed(form, "releaseDate"),
        is_preorder: is_changed(form, "isPreorder").map(|text| text == "yes"),
        is_hidden: is_changed(form, "visible").map(|text| text == "no"),
        ..GameEntry::default()
    };
    if let Some(text) = is_changed(form, "price") {
        entry.price = money(&text).filter(|price| price.is_positive());
        if entry.price.is_none() {
            form.wrong("price", words.text("wrong.amount_invalid"));
        }
    }
    if let Some(text) = is_changed(form, "originalPrice") {
        entry.original_price = match text.as_str() {
            "" => Some(Money::ZERO),
            text => money(text).filter(|price| price.is_positive()),
        };
        if entry.original_price.is_none() {
            form.wrong("originalPrice", words.text("wrong.amount_invalid"));
        }
    }
    if let Some(sheet) = sheet {
        let sent: BTreeSet<String> = form.values("lock").map(str::to_owned).collect();
        let seen = form.value(&was("locks"));
        if !seen.is_empty() && mark_of_locks(&sent) != seen {
            let mut locked: Vec<String> = sent.into_iter().collect();
            if sheet.is_hidden {
                locked.push(GameField::InStock.name().to_owned());
            }
            if sheet.game.locked_fields.contains(&GameField::Images.name()) {
                locked.push(GameField::Images.name().to_owned());
            }
            entry.locked = Some(locked);
        }
    }
    entry
}

/// The fields that the author and others have changed to different values.
fn conflicts(words: Language, form: &Form, sheet: &GameSheet) -> BTreeSet<&'static str> {
    let both = FIELDS.iter().filter(|kind| {
        let (stored, seen) = (value(words, sheet, kind.name), form.value(&was(kind.name)));
        entered(form, kind.name).is_some_and(|mine| {
            !seen.is_empty() && mark(&stored) != seen && mark(&mine) != seen && mine != stored.trim()
        })
    });
    both.map(|kind| kind.name).collect()
}

/// `POST /admin/catalogue/{id}`
pub(crate) async fn change(Path(game): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    for _ in 0..ATTEMPTS {
        let sheet = read(&staff, &game).await?;
        let both = conflicts(words, &form, &sheet);
        if !both.is_empty() {
            form.wrong("", words.text("wrong.game_changed"));
            return show_game(&staff, &sheet, &form, &both).await;
        }
        let entry = read_form(words, &mut form, Some(&sheet));
        if entry.price.is_some() && is_below_cost(Some(&sheet), &form) && form.value("below_cost") != "yes" {
            form.wrong("price", words.text("wrong.below_cost"));
        }
        let checked = GameForm::new(entry, false).map_err(|errors| form.wrong_fields(words, &errors));
        let (Ok(entry), true) = (checked, form.is_sound()) else {
            return show_game(&staff, &sheet, &form, &both).await;
        };
        let saved = staff
            .office()
            .update_game_version(&staff.admin, GameId(sheet.game.id), &sheet.version, &entry)
            .await;
        match saved {
            Ok(_) => return Ok(forms::done(&format!("{ROOM}/{}?done=saved", sheet.game.id))),
            // Somebody, or a synchronisation, was faster: compared again with what they have made of it.
            Err(ChangeError::Outdated(_)) => {}
            Err(error) => {
                refuse(words, &mut form, error)?;
                return show_game(&staff, &sheet, &form, &both).await;
            }
        }
    }
    Err(PageError::Locked)
}

fn refuse(words: Language, form: &mut Form, error: ChangeError) -> Result<(), PageError> {
    match error {
        ChangeError::Store(error) => return Err(error.into()),
        ChangeError::NotFound(_) => return Err(PageError::NotFound),
        ChangeError::SlugTaken(_) => form.wrong("slug", words.text("wrong.slug_taken")),
        ChangeError::Invalid(error) => form.wrong_fields(words, &[error]),
        ChangeError::InUse(_) => form.wrong("", words.text("wrong.game_in_use")),
        ChangeError::NameTaken(_) | ChangeError::Outdated(_) | ChangeError::NotSeen(_) => {
            return Err(PageError::Internal);
        }
    }
    Ok(())
}

/// `GET /admin/catalogue/new`
pub(crate) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    new_form(&staff, &Form::default())
}

fn new_form(staff: &Staff, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let page = GamePage {
        layout: Layout::new(
            staff,
            words.text("console.game.new").to_owned(),
            &[(words.text("console.room.catalogue"), ROOM)],
        ),
        tags: Vec::new(),
        in_shop: None,
        facts: Vec::new(),
        quick: Vec::new(),
        links: Vec::new(),
        editor: Some(editor(staff, None, form, &BTreeSet::new())),
        pictures: None,
        scheduled: None,
        history: None,
        chart: None,
    };
    Ok(page::fresh(form.status(), page.render()?))
}

/// `POST /admin/catalogue/new`
pub(crate) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let entry = read_form(words, &mut form, None);
    let checked = GameForm::new(entry, true).map_err(|errors| form.wrong_fields(words, &errors));
    if let (Ok(entry), true) = (checked, form.is_sound()) {
        match staff.office().create_game(&staff.admin, &entry).await {
            Ok(made) => return Ok(forms::done(&format!("{ROOM}/{}?done=game_created", made.id))),
            Err(error) => refuse(words, &mut form, error)?,
        }
    }
    new_form(&staff, &form)
}

/// `GET /admin/catalogue/{id}/delete`
pub(crate) async fn delete_page(staff: Staff, Path(game): Path<String>) -> Result<Response, PageError> {
    delete_form(&staff, &game, &Form::default()).await
}

async fn delete_form(staff: &Staff, game: &str, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let sheet = read(staff, game).await?;
    let own = format!("{ROOM}/{}", sheet.game.id);
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("console.game.delete").to_owned(),
            &[(words.text("console.room.catalogue"), ROOM), (&sheet.game.title, &own)],
        ),
        form,
        format!("{own}/delete"),
        words.text("console.game.delete"),
        own.clone(),
    );
    page.effects = vec![
        (words.text("console.column.game").to_owned(), sheet.game.title.clone()),
        (
            words.text("console.game.own_keys").to_owned(),
            format::number(words, sheet.own_keys),
        ),
    ];
    page.warning = Some(words.text("console.game.delete.warning").to_owned());
    page.is_danger = true;
    let status = if form.is_sound() {
        StatusCode::OK
    } else {
        StatusCode::CONFLICT
    };
    Ok(page::secret(status, page.render()?))
}

/// `POST /admin/catalogue/{id}/delete`
pub(crate) async fn delete(Path(game): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    match staff.office().delete_game(&staff.admin, GameId(id(&game)?)).await {
        Ok(()) => return Ok(forms::done("/admin/catalogue?done=game_deleted")),
        Err(error) => refuse(staff.words(), &mut form, error)?,
    }
    delete_form(&staff, &game, &form).await
}
