//! Promo codes: the list, and a form for a new one or a change.

use std::str::FromStr as _;

use axum::extract::Path;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use lockstep_admin::{List, NewPromoCode, PromoCodeChange, PromoCodeError};
use lockstep_domain::Money;
use lockstep_domain::admin::{Found, Percent, PromoCodeRow, PromoTerms};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::format;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use rust_decimal::Decimal;

use super::{found, id};
use crate::action::ActionPage;
use crate::gate::StaffForm;
use crate::layout::{Layout, money};
use crate::staff::Staff;
use crate::table::{self, Cell, ListPage, Row, Table};

/// Rows of the list; a shop with more codes downloads them.
const MOST: usize = 1_000;

/// `GET /admin/promotions`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    if table::wants_file(&staff) {
        return table::file(&staff, List::PromoCodes, false).await;
    }
    let codes = staff.office().promo_codes(&staff.admin).await?;
    let statistics = staff.office().promo_code_statistics(&staff.admin).await?;
    let rows = codes.into_iter().take(MOST).map(|code| row(&staff, code)).collect();
    let head = [
        "console.column.code",
        "#console.column.discount",
        "console.column.state",
        "#console.column.uses",
        "console.column.from",
        "console.column.until",
    ];
    let table = Table::plain(words, "console.room.promotions", &head, rows)
        .with_file(&staff)
        .or_else(words, "console.promotions.none", "console.promotions.none.advice");
    let mut actions = Vec::new();
    if staff.may(Permission::PromotionsWrite) {
        actions.push((words.text("console.promotions.new"), "/admin/promotions/new".to_owned()));
    }
    let lead = words.with_all(
        "console.promotions.lead",
        &[
            &format::number(words, statistics.active_codes),
            &format::number(words, statistics.total_uses),
            &format::price(words, statistics.total_discount_given),
        ],
    );
    ListPage {
        layout: Layout::new(&staff, words.text("console.room.promotions").to_owned(), &[]),
        lead: Some(lead),
        actions,
        table,
    }
    .answer(&staff)
    .await
}

/// Whether a code can be used now, or why not.
fn state(words: Language, code: &PromoCodeRow, now: DateTime<Utc>) -> Cell {
    let (kind, name) = if !code.active {
        ("", "console.promo.off")
    } else if code.valid_until.is_some_and(|until| until < now) {
        ("", "console.promo.expired")
    } else if code.max_uses.is_some_and(|most| code.used_count >= most) {
        ("", "console.promo.used_up")
    } else if code.valid_from > now {
        ("warn", "console.promo.scheduled")
    } else {
        ("good", "console.promo.usable")
    };
    Cell::Tag(kind, words.text(name).to_owned())
}

fn uses(words: Language, code: &PromoCodeRow) -> String {
    let used = format::number(words, u64::try_from(code.used_count).unwrap_or(0));
    match code.max_uses {
        Some(most) => format!("{used} / {}", format::number(words, u64::try_from(most).unwrap_or(0))),
        None => used,
    }
}

/// What a code is worth: a percentage, or an amount.
fn discount(words: Language, code: &PromoCodeRow) -> String {
    match code.terms.amount {
        Some(amount) => format::price(words, amount),
        None => format!("{} %", format::decimal(words, code.discount.0.normalize())),
    }
}

fn row(staff: &Staff, code: PromoCodeRow) -> Row {
    let words = staff.words();
    let discount = discount(words, &code);
    let (state, uses) = (state(words, &code, staff.now), uses(words, &code));
    Row {
        href: Some(format!("/admin/promotions/{}", code.id)),
        cells: vec![
            Cell::Main(code.code),
            Cell::Number(discount),
            state,
            Cell::Number(uses),
            Cell::time(words, code.valid_from),
            Cell::time_or_none(words, code.valid_until),
        ],
    }
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

/// What a form shows of a code, to notice that somebody else has changed it.
fn fingerprint(code: &PromoCodeRow) -> String {
    let until = code.valid_until.map(table::machine).unwrap_or_default();
    let most = code.max_uses.map(|most| most.to_string()).unwrap_or_default();
    format!(
        "{}|{}|{:?}|{most}|{}|{until}|{}",
        code.code,
        code.discount.0,
        code.terms.amount.map(|amount| amount.to_string()),
        table::machine(code.valid_from),
        code.active
    )
}

/// The form of a new code, or of `code`.
fn form_page(
    staff: &Staff,
    code: Option<&PromoCodeRow>,
    form: &Form,
    conflict: Option<String>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let crumbs = [(words.text("console.room.promotions"), "/admin/promotions")];
    let title = code.map_or_else(
        || words.text("console.promotions.new").to_owned(),
        |code| code.code.clone(),
    );
    let action = code.map_or_else(
        || "/admin/promotions/new".to_owned(),
        |code| format!("/admin/promotions/{}", code.id),
    );
    let submit = if code.is_some() {
        "form.save"
    } else {
        "console.promotions.create"
    };
    let mut page = ActionPage::new(
        Layout::new(staff, title, &crumbs),
        form,
        action,
        words.text(submit),
        "/admin/promotions".to_owned(),
    );
    page.problem = conflict.or(page.problem);
    let has_input = form.pairs().next().is_some();
    let shown = |value: Option<String>| {
        if has_input {
            String::new()
        } else {
            value.unwrap_or_default()
        }
    };
    page.fields = vec![
        form.field("code", "text", words.text("console.column.code"))
            .hint(words.text("console.promo.code.hint"))
            .filled(&shown(code.map(|code| code.code.clone())))
            .required(),
        form.field("discount", "text", words.text("console.promo.discount"))
            .hint(words.text("console.promo.discount.hint"))
            .filled(&shown(
                code.filter(|code| code.terms.amount.is_none())
                    .map(|code| format::decimal(words, code.discount.0.normalize())),
            )),
        form.field("amount", "text", words.text("console.promo.amount"))
            .hint(words.text("console.promo.amount.hint"))
            .filled(&shown(
                code.and_then(|code| Some(format::decimal(words, code.terms.amount?))),
            )),
        form.field("max_uses", "text", words.text("console.promo.max_uses"))
            .hint(words.text("console.promo.max_uses.hint"))
            .filled(&shown(code.and_then(|code| Some(code.max_uses?.to_string()))))
            .digits(),
        form.field("valid_from", "date", words.text("console.column.from"))
            .hint(words.text("console.promo.from.hint"))
            .filled(&shown(code.map(|code| day(code.valid_from)))),
        form.field("valid_until", "date", words.text("console.column.until"))
            .hint(words.text("console.promo.until.hint"))
            .filled(&shown(code.and_then(|code| Some(day(code.valid_until?))))),
    ];
    let is_active = if has_input {
        form.value("active") == "yes"
    } else {
        code.is_none_or(|code| code.active)
    };
    page.check = Some(("active", words.text("console.promo.active"), is_active));
    if let Some(code) = code {
        page.hidden = vec![("seen", fingerprint(code))];
        page.effects = vec![(words.text("console.column.uses").to_owned(), uses(words, code))];
        page.warning = Some(words.text("console.promo.warning").to_owned());
    }
    page.answer(form)
}

/// What a code takes off.
#[derive(Clone, Copy)]
enum Worth {
    Percent(Percent),
    Amount(Money),
}

/// What was entered, checked as far as the database does not.
struct Entered {
    code: String,
    worth: Worth,
    max_uses: Option<i32>,
    valid_from: Option<DateTime<Utc>>,
    valid_until: Option<DateTime<Utc>>,
    active: bool,
}

fn entered(words: Language, form: &mut Form) -> Option<Entered> {
    let code = form.value("code").to_uppercase();
    let is_code = (2..=40).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_code {
        form.wrong("code", words.text("wrong.promo_code_invalid"));
    }
    let worth = worth(words, form);
    let max_uses = match form.value("max_uses") {
        "" => None,
        text => {
            let uses = text.parse::<i32>().ok().filter(|uses| *uses > 0);
            if uses.is_none() {
                form.wrong("max_uses", words.text("wrong.promo_uses_invalid"));
            }
            uses
        }
    };
    let last = NaiveTime::from_hms_milli_opt(23, 59, 59, 999).unwrap_or_default();
    let valid_from = moment(words, form, "valid_from", NaiveTime::MIN);
    let valid_until = moment(words, form, "valid_until", last);
    if !form.is_sound() {
        return None;
    }
    Some(Entered {
        code,
        worth: worth?,
        max_uses,
        valid_from,
        valid_until,
        active: form.value("active") == "yes",
    })
}

/// The percentage or the amount of a form: one of them.
fn worth(words: Language, form: &mut Form) -> Option<Worth> {
    let percent = form.value("discount").trim_end_matches('%').trim().replace(',', ".");
    let amount = form.value("amount").trim_matches(['€', ' ']).to_owned();
    let (field, worth, why) = match (percent.is_empty(), amount.is_empty()) {
        (false, true) => {
            let percent = Percent::from_str(&percent).ok();
            ("discount", percent.map(Worth::Percent), "wrong.promo_discount_invalid")
        }
        (true, false) => {
            let amount = money(&amount).filter(|amount| *amount > Money::ZERO);
            ("amount", amount.map(Worth::Amount), "wrong.promo_amount_invalid")
        }
        _ => ("discount", None, "wrong.promo_one_worth"),
    };
    if worth.is_none() {
        form.wrong(field, words.text(why));
    }
    worth
}

/// A day of a form as a time of it, UTC.
fn moment(words: Language, form: &mut Form, field: &'static str, time: NaiveTime) -> Option<DateTime<Utc>> {
    let text = form.value(field);
    if text.is_empty() {
        return None;
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    // The range of years that the database can hold.
    let day = day.filter(|day| (1..=9998).contains(&chrono::Datelike::year(day)));
    if day.is_none() {
        form.wrong(field, words.text("wrong.day_invalid"));
    }
    Some(day?.and_time(time).and_utc())
}

fn refuse(words: Language, form: &mut Form, refused: PromoCodeError) -> Result<(), PageError> {
    let (field, why) = match refused {
        PromoCodeError::Store(error) => return Err(error.into()),
        PromoCodeError::Unknown(_) => return Err(PageError::NotFound),
        PromoCodeError::Exists(_) => ("code", "wrong.promo_exists"),
        PromoCodeError::InUse => ("code", "wrong.promo_in_use"),
        PromoCodeError::BelowUses => ("max_uses", "wrong.promo_below_uses"),
        PromoCodeError::Code => ("code", "wrong.promo_code_invalid"),
        PromoCodeError::Discount => ("discount", "wrong.promo_discount_invalid"),
        // The form has none of the others, so nothing that it sends can break their rules.
        PromoCodeError::Amount
        | PromoCodeError::MinOrder
        | PromoCodeError::MaxUsesPerCustomer
        | PromoCodeError::NoSuchGame
        | PromoCodeError::NoSuchGenre
        | PromoCodeError::NoSuchPlatform => ("amount", "wrong.promo_amount_invalid"),
        PromoCodeError::MaxUses => ("max_uses", "wrong.promo_uses_invalid"),
        PromoCodeError::Window => ("valid_until", "wrong.promo_window"),
    };
    form.wrong(field, words.text(why));
    Ok(())
}

/// `GET /admin/promotions/new`
pub(crate) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, None, &Form::default(), None)
}

/// `POST /admin/promotions/new`
pub(crate) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    if let Some(entered) = entered(words, &mut form) {
        let new = NewPromoCode {
            code: entered.code,
            discount: match entered.worth {
                Worth::Percent(percent) => percent.decimal(),
                Worth::Amount(_) => Decimal::ZERO,
            },
            terms: PromoTerms {
                amount: match entered.worth {
                    Worth::Percent(_) => None,
                    Worth::Amount(amount) => Some(amount),
                },
                ..PromoTerms::default()
            },
            max_uses: entered.max_uses,
            valid_from: entered.valid_from,
            valid_until: entered.valid_until,
            active: entered.active,
        };
        match staff.office().create_promo_code(&staff.admin, &new).await {
            Ok(_) => return Ok(forms::done("/admin/promotions?done=promo_created")),
            Err(refused) => refuse(words, &mut form, refused)?,
        }
    }
    form_page(&staff, None, &form, None)
}

async fn read(staff: &Staff, code: &str) -> Result<PromoCodeRow, PageError> {
    found(staff.office().promo_code(&staff.admin, id(code)?).await?)
}

/// `GET /admin/promotions/{id}`
pub(crate) async fn page(staff: Staff, Path(code): Path<String>) -> Result<Response, PageError> {
    let code = read(&staff, &code).await?;
    staff.saw(Found::PromoCode(code.id)).await;
    if staff.may(Permission::PromotionsWrite) {
        return form_page(&staff, Some(&code), &Form::default(), None);
    }
    // Who may only read sees the row.
    let words = staff.words();
    let title = code.code.clone();
    let head = [
        "console.column.code",
        "#console.column.discount",
        "console.column.state",
        "#console.column.uses",
        "console.column.from",
        "console.column.until",
    ];
    let mut row = row(&staff, code);
    row.href = None;
    ListPage {
        layout: Layout::new(
            &staff,
            title,
            &[(words.text("console.room.promotions"), "/admin/promotions")],
        ),
        lead: None,
        actions: Vec::new(),
        table: Table::plain(words, "console.room.promotions", &head, vec![row]),
    }
    .answer(&staff)
    .await
}

/// `POST /admin/promotions/{id}`
pub(crate) async fn change(Path(code): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, now) = (staff.words(), read(&staff, &code).await?);
    let entered = entered(words, &mut form);
    let seen = form.value("seen");
    if !seen.is_empty() && seen != fingerprint(&now) {
        // Both versions: the fields keep what was entered, the message says what is stored now.
        let until = now.valid_until.map_or_else(|| "–".to_owned(), day);
        let stored = format!(
            "{} · {} · {} · {} – {until}",
            now.code,
            discount(words, &now),
            uses(words, &now),
            day(now.valid_from)
        );
        let conflict = words.with("wrong.changed_meanwhile", stored);
        form.wrong("", conflict.clone());
        return form_page(&staff, Some(&now), &form, Some(conflict));
    }
    if let Some(entered) = entered {
        // A day that was not changed keeps its time.
        let from = entered.valid_from.filter(|from| day(*from) != day(now.valid_from));
        let until = match (entered.valid_until, now.valid_until) {
            (Some(until), Some(stored)) if day(until) == day(stored) => None,
            (None, None) => None,
            (until, _) => Some(until),
        };
        let change = PromoCodeChange {
            code: (entered.code != now.code).then_some(entered.code),
            discount: match entered.worth {
                Worth::Percent(percent) => Some(percent.decimal()),
                Worth::Amount(_) => None,
            },
            amount: match entered.worth {
                Worth::Percent(_) => None,
                Worth::Amount(amount) => Some(amount),
            },
            max_uses: Some(entered.max_uses),
            valid_from: from,
            valid_until: until,
            active: Some(entered.active),
            // What the form does not show stays.
            ..PromoCodeChange::default()
        };
        match staff.office().change_promo_code(&staff.admin, now.id, &change).await {
            Ok(_) => return Ok(forms::done(&format!("/admin/promotions/{}?done=saved", now.id))),
            Err(refused) => refuse(words, &mut form, refused)?,
        }
    }
    form_page(&staff, Some(&now), &form, None)
}
