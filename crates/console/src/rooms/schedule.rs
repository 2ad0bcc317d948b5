//! Scheduled changes of a game: its list, planning one, and cancelling one.

use axum::extract::Path;
use axum::response::Response;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use lockstep_admin::{GameSheet, NewScheduledChange, ScheduleError, ScheduleFilter};
use lockstep_domain::GameId;
use lockstep_domain::admin::{Page, PlannedChange, ScheduleState, ScheduledChangeRow};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::format;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::{catalogue, found, id};
use crate::action::{ActionPage, Choice};
use crate::gate::StaffForm;
use crate::layout::{Layout, money};
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, Filter, ListPage, Row, Table};

/// How far ahead a change may be scheduled.
const FARTHEST: TimeDelta = TimeDelta::days(5 * 366);

const KINDS: [&str; 6] = ["PRICE", "SALE", "HIDE", "SHOW", "FEATURE", "UNFEATURE"];

/// The columns of scheduled changes; those of all games have the game as well.
const HEAD: [&str; 8] = [
    "console.column.game",
    "console.column.what",
    "#console.column.price",
    "console.schedule.starts",
    "console.schedule.ends",
    "console.column.state",
    "console.column.note",
    "console.column.action",
];

/// `GET /admin/catalogue/schedule`: the scheduled changes of all games.
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let states = ScheduleState::ALL.map(ScheduleState::name);
    let asked = staff.parameter("state");
    let filter = ScheduleFilter {
        state: asked.clone(),
        ..ScheduleFilter::default()
    };
    // No change has an unknown state.
    let is_empty = asked.is_some_and(|asked| !states.contains(&asked.as_str()));
    let (changes, paging) = if is_empty {
        (Vec::new(), staff.page().of(0))
    } else {
        let listed = staff
            .office()
            .scheduled_changes(&staff.admin, &filter, staff.page())
            .await?;
        (listed.changes, listed.paging)
    };
    let may_cancel = staff.may(Permission::PricesWrite);
    let rows = changes.into_iter().map(|change| {
        let game = (change.title.clone(), format!("/admin/catalogue/{}", change.game_id));
        let mut row = row(words, may_cancel, change);
        row.href = Some(game.1);
        row.cells.insert(0, Cell::Main(show::short(&game.0, 120)));
        row
    });
    let filter = Filter::choice(
        &staff,
        "state",
        words.text("console.column.state"),
        show::choices(words, "schedule_state", states),
    );
    ListPage {
        layout: Layout::new(
            &staff,
            words.text("console.schedule.list").to_owned(),
            &[(words.text("console.room.catalogue"), "/admin/catalogue")],
        ),
        lead: None,
        actions: Vec::new(),
        table: Table::plain(words, "console.schedule.list", &HEAD, rows.collect())
            .filtered(&staff, vec![filter])
            .paged(&staff, paging)
            .or_else(words, "console.schedule.none", "console.schedule.none.advice"),
    }
    .answer(&staff)
    .await
}

/// The scheduled changes of a game.
pub(super) async fn of_game(staff: &Staff, game: GameId, page: Page) -> Result<Table, PageError> {
    let words = staff.words();
    let filter = ScheduleFilter {
        game: Some(game),
        ..ScheduleFilter::default()
    };
    let found = staff.office().scheduled_changes(&staff.admin, &filter, page).await?;
    let may_cancel = staff.may(Permission::PricesWrite);
    let rows = found.changes.into_iter().map(|change| row(words, may_cancel, change));
    let [_, head @ ..] = HEAD;
    Ok(
        Table::plain(words, "console.schedule.list", &head, rows.collect()).or_else(
            words,
            "console.schedule.none",
            "console.schedule.none.advice",
        ),
    )
}

fn row(words: Language, may_cancel: bool, change: ScheduledChangeRow) -> Row {
    let what = match (change.change, change.value) {
        ("VISIBLE", Some(true)) => "SHOW",
        ("VISIBLE", _) => "HIDE",
        ("FEATURED", Some(true)) => "FEATURE",
        ("FEATURED", _) => "UNFEATURE",
        (price, _) => price,
    };
    let kind = match change.state {
        ScheduleState::Waiting | ScheduleState::Active => "warn",
        ScheduleState::Done => "good",
        ScheduleState::Skipped => "bad",
        ScheduleState::Cancelled => "",
    };
    let is_open = matches!(change.state, ScheduleState::Waiting | ScheduleState::Active);
    Row {
        href: None,
        cells: vec![
            Cell::Text(show::name(words, "scheduled", what)),
            change.price.map_or(Cell::Nothing, |price| Cell::money(words, price)),
            Cell::time(words, change.starts_at),
            Cell::time_or_none(words, change.ends_at),
            Cell::Tag(kind, show::name(words, "schedule_state", change.state.name())),
            Cell::text_or_none(change.reason),
            if is_open && may_cancel {
                Cell::Post(
                    format!("/admin/catalogue/schedule/{}/cancel", change.id),
                    words.text("console.schedule.cancel"),
                )
            } else {
                Cell::Nothing
            },
        ],
    }
}

async fn read(staff: &Staff, game: &str) -> Result<GameSheet, PageError> {
    found(staff.office().game_sheet(&staff.admin, GameId(id(game)?)).await?)
}

/// `GET /admin/catalogue/{id}/schedule`
pub(crate) async fn new_page(staff: Staff, Path(game): Path<String>) -> Result<Response, PageError> {
    let sheet = read(&staff, &game).await?;
    form_page(&staff, &sheet, &Form::default())
}

fn form_page(staff: &Staff, sheet: &GameSheet, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let own = format!("/admin/catalogue/{}", sheet.game.id);
    let mut page = ActionPage::new(
        Layout::new(
            staff,
            words.text("console.schedule.title").to_owned(),
            &[
                (words.text("console.room.catalogue"), "/admin/catalogue"),
                (&sheet.game.title, &own),
            ],
        ),
        form,
        format!("{own}/schedule"),
        words.text("console.schedule.submit"),
        own.clone(),
    );
    page.effects = vec![(
        words.text("console.game.price").to_owned(),
        format::price(words, sheet.game.price),
    )];
    if let Some(cost) = catalogue::cost(words, sheet.cost) {
        page.effects
            .push((words.text("console.column.supplier_price").to_owned(), cost));
    }
    page.warning = Some(words.text("console.schedule.warning").to_owned());
    let chosen = form.value("change");
    let kinds = show::choices(words, "scheduled", KINDS).into_iter();
    page.choices = vec![Choice {
        name: "change",
        label: words.text("console.column.what"),
        options: kinds
            .map(|(value, name)| {
                let is_chosen = value == chosen;
                (value, name, is_chosen)
            })
            .collect(),
    }];
    page.fields = vec![
        form.field("price", "text", words.text("console.schedule.price"))
            .hint(words.text("console.schedule.price.hint")),
        form.field("starts", "datetime-local", words.text("console.schedule.starts"))
            .hint(words.text("console.schedule.utc"))
            .required(),
        form.field("ends", "datetime-local", words.text("console.schedule.ends"))
            .hint(words.text("console.schedule.ends.hint")),
    ];
    page.check = Some((
        "below_cost",
        words.text("console.schedule.below_cost"),
        form.value("below_cost") == "yes",
    ));
    page.answer(form)
}

/// A time of a form, UTC.
fn time(words: Language, form: &mut Form, field: &'static str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let text = form.value(field);
    if text.is_empty() {
        return None;
    }
    let time = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let time = time.map(|time| time.and_utc());
    let time = time.filter(|at| *at > now && *at - now <= FARTHEST);
    if time.is_none() {
        form.wrong(field, words.text("wrong.schedule_time"));
    }
    time
}

fn planned(words: Language, form: &mut Form) -> Option<PlannedChange> {
    let change = form.value("change").to_owned();
    match change.as_str() {
        "PRICE" | "SALE" => {
            let price = money(form.value("price")).filter(|price| price.is_positive());
            if price.is_none() {
                form.wrong("price", words.text("wrong.amount_invalid"));
            }
            Some(PlannedChange::Price {
                price: price?,
                is_sale: change == "SALE",
            })
        }
        "HIDE" | "SHOW" => Some(PlannedChange::Visible(change == "SHOW")),
        "FEATURE" | "UNFEATURE" => Some(PlannedChange::Featured(change == "FEATURE")),
        _ => None,
    }
}

/// `POST /admin/catalogue/{id}/schedule`
pub(crate) async fn create(Path(game): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let sheet = read(&staff, &game).await?;
    let change = planned(words, &mut form);
    let now = staff.now;
    let starts_at = time(words, &mut form, "starts", now);
    let ends_at = time(words, &mut form, "ends", now);
    if starts_at.is_none() {
        form.wrong("starts", words.text("wrong.schedule_time"));
    }
    if starts_at.zip(ends_at).is_some_and(|(starts, ends)| ends <= starts) {
        form.wrong("ends", words.text("wrong.promo_window"));
    }
    if let (Some(change), Some(starts_at), true) = (change, starts_at, form.is_sound()) {
        let new = NewScheduledChange {
            game: GameId(sheet.game.id),
            change,
            starts_at,
            ends_at,
            below_cost: form.value("below_cost") == "yes",
        };
        match staff.office().schedule_change(&staff.admin, &new).await {
            Ok(_) => {
                let address = format!("/admin/catalogue/{}?done=scheduled", sheet.game.id);
                return Ok(forms::done(&address));
            }
            Err(error) => refuse(words, &mut form, error)?,
        }
    }
    form_page(&staff, &sheet, &form)
}

fn refuse(words: Language, form: &mut Form, error: ScheduleError) -> Result<(), PageError> {
    let (field, key) = match error {
        ScheduleError::Store(error) => return Err(error.into()),
        ScheduleError::NoSuchGame | ScheduleError::NotFound => return Err(PageError::NotFound),
        ScheduleError::OnlyPrices => ("", "wrong.forbidden"),
        ScheduleError::BelowCost => ("price", "wrong.below_cost"),
        ScheduleError::Overlaps => ("starts", "wrong.schedule_overlaps"),
        ScheduleError::Over => ("", "wrong.schedule_over"),
        ScheduleError::TooMany => ("", "wrong.schedule_too_many"),
    };
    form.wrong(field, words.text(key));
    Ok(())
}

/// `POST /admin/catalogue/schedule/{id}/cancel`
pub(crate) async fn cancel(Path(change): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    let cancelled = staff
        .office()
        .cancel_scheduled_change(&staff.admin, id(&change)?, staff.now)
        .await;
    let done = match cancelled {
        Ok(change) => format!("/admin/catalogue/{}?done=schedule_cancelled", change.game_id),
        Err(ScheduleError::Over) => "/admin/catalogue?done=schedule_over".to_owned(),
        Err(ScheduleError::Store(error)) => return Err(error.into()),
        Err(ScheduleError::OnlyPrices) => return Err(PageError::Forbidden),
        Err(_) => return Err(PageError::NotFound),
    };
    Ok(forms::done(&done))
}
