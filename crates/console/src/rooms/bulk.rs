//! Changes of many games at once: what they would do exactly, carrying them out, following them, and taking them back.

use std::str::FromStr as _;

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use lockstep_admin::{Bulk, BulkError, BulkGame, BulkGroup, BulkKind, BulkSelection, BulkSheet, NewBulk};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use lockstep_page::{format, page};
use rust_decimal::Decimal;

use super::{catalogue, found, id};
use crate::action::{ActionPage, Choice};
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{self, Cell, ListPage, Row, Table, with_query};

const ROOM: &str = "/admin/catalogue";
const LIST: &str = "/admin/catalogue/bulk";

/// What a change is called: its kind and amount.
fn title(words: Language, kind: BulkKind, amount: Option<Decimal>) -> String {
    let name = show::name(words, "bulk_kind", kind.name());
    let Some(amount) = amount else { return name };
    let sign = if amount > Decimal::ZERO && kind != BulkKind::PriceSet {
        "+"
    } else {
        ""
    };
    let unit = if kind == BulkKind::PricePercent { "%" } else { "€" };
    format!("{name}: {sign}{} {unit}", format::decimal(words, amount.normalize()))
}

fn state(words: Language, state: &str) -> (&'static str, String) {
    let kind = match state {
        "COMPLETED" => "good",
        "OPEN" | "UNDOING" => "warn",
        _ => "",
    };
    (kind, show::name(words, "bulk_state", state))
}

/// `GET /admin/catalogue/bulk`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let (bulks, paging) = staff.office().bulk_changes(&staff.admin, staff.page()).await?;
    let rows = bulks.into_iter().map(|bulk| row(words, bulk)).collect();
    let head = [
        "console.column.what",
        "console.column.state",
        "console.column.who",
        "console.column.started",
    ];
    ListPage {
        layout: Layout::new(
            &staff,
            words.text("console.bulk.list").to_owned(),
            &[(words.text("console.room.catalogue"), ROOM)],
        ),
        lead: None,
        actions: Vec::new(),
        table: Table::plain(words, "console.bulk.list", &head, rows)
            .paged(&staff, paging)
            .or_else(words, "console.bulk.none", "console.bulk.none.advice"),
    }
    .answer(&staff)
    .await
}

fn row(words: Language, bulk: Bulk) -> Row {
    let (kind, name) = state(words, &bulk.state);
    Row {
        href: Some(format!("{LIST}/{}", bulk.id)),
        cells: vec![
            Cell::Main(title(words, bulk.kind, bulk.amount)),
            Cell::Tag(kind, name),
            Cell::text_or_none(bulk.by),
            Cell::time(words, bulk.confirmed_at.unwrap_or(bulk.created_at)),
        ],
    }
}

/// The form again, with what was entered and picked.
fn form_page(staff: &Staff, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("console.bulk.title").to_owned(),
            &[(words.text("console.room.catalogue"), ROOM)],
        ),
        form,
        LIST.to_owned(),
        words.text("console.bulk.look"),
        ROOM.to_owned(),
    );
    let picked = form.values("game").map(|game| ("game", game.to_owned()));
    page.hidden = [("as_of", form.value("as_of")), ("q", form.value("q"))]
        .map(|(name, value)| (name, value.to_owned()))
        .into_iter()
        .chain(picked)
        .collect();
    let chosen = |name: &str, options: Vec<(String, String)>| {
        let chosen = form.value(name).to_owned();
        let options = options.into_iter().map(|(value, name)| {
            let is_chosen = value == chosen;
            (value, name, is_chosen)
        });
        options.collect()
    };
    page.choices = vec![
        Choice {
            name: "which",
            label: words.text("console.bulk.which"),
            options: chosen("which", show::choices(words, "bulk_which", ["picked", "all"])),
        },
        Choice {
            name: "kind",
            label: words.text("console.bulk.kind"),
            options: chosen("kind", catalogue::kinds(staff)),
        },
    ];
    page.fields = vec![
        form.field("amount", "text", words.text("console.bulk.amount"))
            .hint(words.text("console.bulk.amount.hint")),
    ];
    page.answer(form)
}

/// An amount of a form: percent or EUR, with at most two decimals.
fn amount(text: &str) -> Option<Decimal> {
    let text = text.trim_matches(['%', '€', ' ', '+']).trim().replace(',', ".");
    let amount = Decimal::from_str(&text).ok()?;
    (amount.normalize().scale() <= 2 && amount.abs() <= Decimal::from(1_000_000)).then_some(amount)
}

/// `POST /admin/catalogue/bulk`
pub(crate) async fn look(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let kind = BulkKind::of_name(form.value("kind")).ok_or(PageError::BadRequest)?;
    let as_of = DateTime::parse_from_rfc3339(form.value("as_of")).map_err(|_| PageError::BadRequest)?;
    // Of the range that the database can hold.
    let as_of = as_of.with_timezone(&Utc).clamp(DateTime::UNIX_EPOCH, staff.now);
    let amount = if kind.has_amount() {
        let amount = amount(form.value("amount"));
        if amount.is_none() {
            form.wrong("amount", words.text("wrong.bulk_amount"));
        }
        amount
    } else {
        None
    };
    let selection = if form.value("which") == "all" {
        let query: Vec<(String, String)> = form_urlencoded::parse(form.value("q").as_bytes())
            .into_owned()
            .collect();
        let value = |name: &str| {
            let found = query.iter().find(|(known, _)| known == name);
            let text = found.map(|(_, value)| value.trim().to_owned());
            text.filter(|text| !text.is_empty() && text.len() <= 2_000 && !text.contains('\0'))
        };
        BulkSelection::Matching(catalogue::filter(&staff, value).await?)
    } else {
        let picked = form.values("game").map(|text| {
            let (game, version) = text.split_once('.')?;
            Some((game.parse().ok()?, version.to_owned()))
        });
        let picked: Vec<_> = picked.collect::<Option<_>>().ok_or(PageError::BadRequest)?;
        if picked.is_empty() {
            form.wrong("", words.text("wrong.bulk_nothing_picked"));
        }
        BulkSelection::Games(picked)
    };
    if !form.is_sound() {
        return form_page(&staff, &form);
    }
    let new = NewBulk {
        kind,
        amount,
        selection,
        as_of,
    };
    match staff.office().look_at_bulk(&staff.admin, &new).await {
        Ok(bulk) => return Ok(forms::done(&format!("{LIST}/{bulk}"))),
        Err(error) => refuse(words, &mut form, error)?,
    }
    form_page(&staff, &form)
}

fn refuse(words: Language, form: &mut Form, error: BulkError) -> Result<(), PageError> {
    let (field, text) = match error {
        BulkError::Store(error) => return Err(error.into()),
        BulkError::NotFound => return Err(PageError::NotFound),
        BulkError::Amount => ("amount", words.text("wrong.bulk_amount").to_owned()),
        BulkError::Nothing => ("", words.text("wrong.bulk_nothing").to_owned()),
        BulkError::TooMany => ("", words.text("wrong.bulk_too_many").to_owned()),
        BulkError::Over => ("", words.text("wrong.bulk_over").to_owned()),
        BulkError::Forbidden => ("", words.text("wrong.bulk_prices").to_owned()),
        BulkError::Sold { titles, has_more } => {
            let games = format!("{}{}", titles.len(), if has_more { "+" } else { "" });
            let titles = show::short(&titles.join(", "), 80);
            ("", words.with_all("wrong.bulk_sold", &[&games, &titles]))
        }
    };
    form.wrong(field, text);
    Ok(())
}

/// The form that confirms a preview.
struct Confirm {
    action: String,
    /// The question about prices below the supplier's.
    below_cost: Option<String>,
    submit: String,
}

#[derive(Template)]
#[template(path = "bulk.html")]
struct BulkPage {
    layout: Layout,
    state: (&'static str, String),
    as_of: (String, String),
    lead: String,
    problem: Option<String>,
    facts: Vec<(&'static str, String)>,
    /// Games that are done, and all of them, while a worker is at it.
    progress: Option<(u64, u64)>,
    confirm: Option<Confirm>,
    /// The address at which it is taken back.
    undo: Option<String>,
    tables: Vec<Table>,
}

async fn read(staff: &Staff, bulk: &str) -> Result<BulkSheet, PageError> {
    found(staff.office().bulk_change(&staff.admin, id(bulk)?).await?)
}

/// `GET /admin/catalogue/bulk/{id}`
pub(crate) async fn page(staff: Staff, Path(bulk): Path<String>) -> Result<Response, PageError> {
    let sheet = read(&staff, &bulk).await?;
    show_sheet(&staff, &sheet, &Form::default())
}

/// What changes, in one sentence.
fn lead(words: Language, sheet: &BulkSheet) -> String {
    let counts = &sheet.counts;
    let changing = counts.waiting + counts.done + counts.undone + counts.kept;
    let number = |number: u64| format::number(words, number);
    if let Some(below_cost) = counts.below_cost.filter(|_| sheet.bulk.kind.is_price()) {
        words.with_all(
            "console.bulk.lead.prices",
            &[&number(changing), &number(below_cost), &number(counts.changed)],
        )
    } else {
        words.with_all("console.bulk.lead.games", &[&number(changing), &number(counts.changed)])
    }
}

fn facts(words: Language, sheet: &BulkSheet) -> Vec<(&'static str, String)> {
    let (bulk, counts) = (&sheet.bulk, &sheet.counts);
    let number = |number: u64| format::number(words, number);
    let mut facts = vec![(words.text("console.bulk.games"), number(counts.total))];
    if bulk.kind.is_price() {
        facts.push((words.text("console.bulk.raised"), number(counts.raised)));
        facts.push((words.text("console.bulk.lowered"), number(counts.lowered)));
        facts.extend(
            counts
                .below_cost
                .map(|games| (words.text("console.bulk.below_cost"), number(games))),
        );
    }
    facts.push((words.text("console.bulk.changed"), number(counts.changed)));
    facts.push((words.text("console.bulk.nothing"), number(counts.nothing)));
    if counts.out_of_range > 0 {
        facts.push((words.text("console.bulk.out_of_range"), number(counts.out_of_range)));
    }
    if counts.scheduled > 0 {
        facts.push((words.text("console.bulk.scheduled"), number(counts.scheduled)));
    }
    if bulk.confirmed_at.is_some() {
        facts.push((
            words.text("console.bulk.done"),
            number(counts.done + counts.undone + counts.kept),
        ));
        facts.push((words.text("console.bulk.skipped"), number(counts.skipped)));
    }
    if bulk.undone_at.is_some() || counts.undone > 0 {
        facts.push((words.text("console.bulk.undone"), number(counts.undone)));
        facts.push((words.text("console.bulk.kept"), number(counts.kept)));
    }
    if let Some(by) = &bulk.by {
        facts.push((words.text("console.column.who"), by.clone()));
    }
    facts
}

/// Games that the page of a bulk change names of each group.
const NAMED: usize = 50;

/// The groups of a bulk change: name in the address, caption, group.
const GROUPS: [(&str, &str, BulkGroup); 3] = [
    ("below-cost", "console.bulk.below_cost.title", BulkGroup::BelowCost),
    ("left-out", "console.bulk.left_out.title", BulkGroup::LeftOut),
    CHANGES,
];
const CHANGES: (&str, &str, BulkGroup) = ("changes", "console.bulk.changes.title", BulkGroup::Changes);

/// `GET /admin/catalogue/bulk/{id}/games`: all games of a group, page by page.
pub(crate) async fn games_page(staff: Staff, Path(bulk): Path<String>) -> Result<Response, PageError> {
    let words = staff.words();
    let asked = staff.parameter("group");
    let group = GROUPS.into_iter().find(|(name, ..)| Some(*name) == asked.as_deref());
    let (_, caption, group) = group.unwrap_or(CHANGES);
    let sheet = read(&staff, &bulk).await?;
    let listed = staff
        .office()
        .bulk_group(&staff.admin, sheet.bulk.id, group, staff.page());
    let (listed, paging) = found(listed.await?)?;
    let name = title(words, sheet.bulk.kind, sheet.bulk.amount);
    let own = format!("{LIST}/{}", sheet.bulk.id);
    ListPage {
        layout: Layout::new(
            &staff,
            words.text(caption).to_owned(),
            &[
                (words.text("console.room.catalogue"), ROOM),
                (words.text("console.bulk.list"), LIST),
                (&name, &own),
            ],
        ),
        lead: None,
        actions: Vec::new(),
        table: game_table(words, caption, &listed).paged(&staff, paging),
    }
    .answer(&staff)
    .await
}

/// Some games of a group, and the way to all of them.
fn games(words: Language, own: &str, (name, caption): (&str, &str), games: &[BulkGame]) -> Option<Table> {
    (!games.is_empty()).then(|| {
        let mut table = game_table(words, caption, games);
        let all = with_query(&format!("{own}/games"), [("group", name)]);
        table.more = (games.len() >= NAMED).then_some(all);
        table
    })
}

fn game_table(words: Language, caption: &str, games: &[BulkGame]) -> Table {
    let rows = games.iter().map(|game| {
        let reason = game.reason.as_deref();
        Row {
            href: Some(format!("{ROOM}/{}", game.id)),
            cells: vec![
                Cell::Main(show::short(&game.title, 120)),
                Cell::money(words, game.price_before),
                game.price_after
                    .map_or(Cell::Nothing, |price| Cell::money(words, price)),
                catalogue::cost(words, game.cost).map_or(Cell::Nothing, Cell::Number),
                Cell::text_or_none(reason.map(|reason| show::name(words, "bulk_reason", reason))),
            ],
        }
    });
    let head = [
        "console.column.game",
        "#console.bulk.before",
        "#console.bulk.after",
        "#console.column.supplier_price",
        "console.column.reason",
    ];
    Table::plain(words, caption, &head, rows.collect())
}

fn show_sheet(staff: &Staff, sheet: &BulkSheet, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let (bulk, counts) = (&sheet.bulk, &sheet.counts);
    let own = format!("{LIST}/{}", bulk.id);
    let may_write =
        staff.may(Permission::CatalogueWrite) && (!bulk.kind.is_price() || staff.may(Permission::PricesWrite));
    let below_cost = counts.below_cost.unwrap_or_default();
    let is_open = matches!(bulk.state.as_str(), "OPEN" | "UNDOING");
    let left = if bulk.state == "UNDOING" {
        counts.done
    } else {
        counts.waiting
    };
    let confirm = (may_write && bulk.state == "PREVIEW" && counts.waiting > 0).then(|| Confirm {
        action: format!("{own}/confirm"),
        below_cost: (below_cost > 0).then(|| words.count("console.bulk.confirm.below_cost", below_cost)),
        // What is asked for with the tick comes on top.
        submit: words.count("console.bulk.confirm", counts.waiting.saturating_sub(below_cost)),
    });
    let page = BulkPage {
        layout: Layout::new(
            staff,
            title(words, bulk.kind, bulk.amount),
            &[
                (words.text("console.room.catalogue"), ROOM),
                (words.text("console.bulk.list"), LIST),
            ],
        )
        .following_job(format!("/admin/live/bulk/{}", bulk.id), is_open),
        state: state(words, &bulk.state),
        as_of: (table::machine(bulk.as_of), format::moment(words, bulk.as_of)),
        lead: lead(words, sheet),
        problem: form.problem().map(str::to_owned),
        facts: facts(words, sheet),
        progress: is_open.then_some((counts.total - left.min(counts.total), counts.total)),
        confirm,
        undo: (may_write && matches!(bulk.state.as_str(), "OPEN" | "COMPLETED") && counts.done > 0)
            .then(|| format!("{own}/undo")),
        tables: GROUPS
            .into_iter()
            .zip([&sheet.below_cost, &sheet.left_out, &sheet.changes])
            .filter_map(|((name, caption, _), some)| games(words, &own, (name, caption), some))
            .collect(),
    };
    Ok(page::fresh(form.status(), page.render()?))
}

/// `POST /admin/catalogue/bulk/{id}/confirm`
pub(crate) async fn confirm(Path(bulk): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let below_cost = form.value("below_cost") == "yes";
    match staff.office().confirm_bulk(&staff.admin, id(&bulk)?, below_cost).await {
        // Sent twice, it is carried out once.
        Ok(()) | Err(BulkError::Over) => return Ok(forms::done(&format!("{LIST}/{bulk}"))),
        Err(error) => refuse(staff.words(), &mut form, error)?,
    }
    let sheet = read(&staff, &bulk).await?;
    show_sheet(&staff, &sheet, &form)
}

/// `GET /admin/catalogue/bulk/{id}/undo`
pub(crate) async fn undo_page(staff: Staff, Path(bulk): Path<String>) -> Result<Response, PageError> {
    let sheet = read(&staff, &bulk).await?;
    undo_form(&staff, &sheet, &Form::default(), StatusCode::OK).await
}

async fn undo_form(staff: &Staff, sheet: &BulkSheet, form: &Form, status: StatusCode) -> Result<Response, PageError> {
    let words = staff.words();
    let own = format!("{LIST}/{}", sheet.bulk.id);
    let name = title(words, sheet.bulk.kind, sheet.bulk.amount);
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("console.bulk.undo").to_owned(),
            &[(words.text("console.room.catalogue"), ROOM), (&name, &own)],
        ),
        form,
        format!("{own}/undo"),
        words.count("console.bulk.undo.submit", sheet.counts.done),
        own.clone(),
    );
    page.effects = vec![
        (words.text("console.column.what").to_owned(), name.clone()),
        (
            words.text("console.bulk.undo.games").to_owned(),
            format::number(words, sheet.counts.done),
        ),
    ];
    let below_cost = staff.office().bulk_undo_below_cost(&staff.admin, sheet.bulk.id).await?;
    if below_cost > 0 {
        page.effects.push((
            words.text("console.bulk.below_cost").to_owned(),
            format::number(words, below_cost),
        ));
        page.check = Some((
            "below_cost",
            words.text("console.bulk.undo.below_cost"),
            form.value("below_cost") == "yes",
        ));
    }
    page.warning = Some(words.text("console.bulk.undo.warning").to_owned());
    page.is_danger = true;
    Ok(page::secret(status, page.render()?))
}

/// `POST /admin/catalogue/bulk/{id}/undo`
pub(crate) async fn undo(Path(bulk): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let below_cost = form.value("below_cost") == "yes";
    match staff.office().undo_bulk(&staff.admin, id(&bulk)?, below_cost).await {
        Ok(()) => return Ok(forms::done(&format!("{LIST}/{bulk}"))),
        Err(error) => refuse(staff.words(), &mut form, error)?,
    }
    let sheet = read(&staff, &bulk).await?;
    undo_form(&staff, &sheet, &form, StatusCode::CONFLICT).await
}
