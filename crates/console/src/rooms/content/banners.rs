//! The banner of the shop: one line on every page, in each language, within a window of time.

use axum::extract::Path;
use axum::response::Response;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use lockstep_admin::ChangeError;
use lockstep_domain::language::Language as Speech;
use lockstep_domain::site::{Banner, BannerForm};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::layout;
use crate::action::ActionPage;
use crate::edit::{self, Conflict, Control, EditPage};
use crate::gate::StaffForm;
use crate::rooms::found;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

const BANNERS: &str = "/admin/content/banners";
/// How a browser sends and shows a moment, here UTC.
const MOMENT: &str = "%Y-%m-%dT%H:%M";

fn language_name(code: &str) -> &'static str {
    Language::of_code(code).unwrap_or_default().name()
}

/// `GET /admin/content/banners`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let known = staff.office().banners(&staff.admin).await?;
    let may_write = staff.may(Permission::ContentWrite);
    let rows = Speech::ALL.into_iter().map(|language| {
        let banner = known.iter().find(|(banner, _)| banner.language == language.code());
        let (kind, state) = match banner {
            None => ("", "content.banners.none"),
            Some((banner, _)) if banner.ends_at <= staff.now => ("", "content.banners.over"),
            Some((banner, _)) if banner.begins_at > staff.now => ("warn", "content.banners.planned"),
            Some(_) => ("good", "content.banners.shown"),
        };
        Row {
            href: may_write.then(|| format!("{BANNERS}/{}", language.code())),
            cells: vec![
                Cell::Main(language_name(language.code()).to_owned()),
                Cell::text_or_none(banner.map(|(banner, _)| banner.text.clone())),
                Cell::Tag(kind, words.text(state).to_owned()),
                Cell::time_or_none(words, banner.map(|(banner, _)| banner.begins_at)),
                Cell::time_or_none(words, banner.map(|(banner, _)| banner.ends_at)),
            ],
        }
    });
    let head = [
        "content.language",
        "content.text",
        "console.column.state",
        "console.column.from",
        "console.column.until",
    ];
    ListPage {
        layout: layout(&staff, words.text("content.banners").to_owned(), &[]),
        lead: Some(words.text("content.banners.lead").to_owned()),
        actions: Vec::new(),
        table: Table::plain(words, "content.banners", &head, rows.collect()),
    }
    .answer(&staff)
    .await
}

async fn read(staff: &Staff, language: &str) -> Result<(Speech, Option<(Banner, i64)>), PageError> {
    let speech = found(Speech::ALL.into_iter().find(|known| known.code() == language))?;
    let known = staff.office().banners(&staff.admin).await?;
    let stored = known.into_iter().find(|(banner, _)| banner.language == language);
    Ok((speech, stored))
}

fn form_page(
    staff: &Staff,
    language: Speech,
    stored: Option<&(Banner, i64)>,
    form: &Form,
    conflicts: Vec<Conflict>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let address = format!("{BANNERS}/{}", language.code());
    let mut page = EditPage::new(
        layout(
            staff,
            language_name(language.code()).to_owned(),
            &[(words.text("content.banners"), BANNERS)],
        ),
        form,
        address.clone(),
        words.text("form.save"),
        BANNERS.to_owned(),
    );
    let banner = stored.map(|(banner, _)| banner);
    let line = |field, value: &str| Control::Line(edit::stored(form, field, value));
    let moment = |at: DateTime<Utc>| at.format(MOMENT).to_string();
    page.controls = vec![
        line(
            form.field("text", "text", words.text("content.text"))
                .hint(words.text("content.banners.text.hint"))
                .required(),
            banner.map_or("", |banner| banner.text.as_str()),
        ),
        line(
            form.field("link", "text", words.text("content.banners.link"))
                .hint(words.text("content.banners.link.hint")),
            banner.and_then(|banner| banner.link.as_deref()).unwrap_or_default(),
        ),
        line(
            form.field("from", "datetime-local", words.text("content.banners.from"))
                .required(),
            &moment(banner.map_or(staff.now, |banner| banner.begins_at)),
        ),
        line(
            form.field("until", "datetime-local", words.text("content.banners.until"))
                .required(),
            &moment(banner.map_or(staff.now + TimeDelta::days(7), |banner| banner.ends_at)),
        ),
    ];
    page.hidden = vec![edit::seen(form, "version", stored.map_or(0, |(_, version)| *version))];
    if stored.is_some() {
        page.actions = vec![(words.text("content.banners.delete"), format!("{address}/delete"), true)];
    }
    page.conflicts = conflicts;
    page.answer(form)
}

/// A moment of a form; UTC.
fn moment(words: Language, form: &mut Form, field: &'static str) -> Option<DateTime<Utc>> {
    let text = form.value(field);
    let found = [MOMENT, "%Y-%m-%dT%H:%M:%S"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .filter(|at| (2000..=9998).contains(&chrono::Datelike::year(at)));
    if found.is_none() {
        form.wrong(field, words.text("wrong.moment_invalid"));
    }
    found.map(|at| at.and_utc())
}

/// `GET /admin/content/banners/{language}`
pub(super) async fn page(staff: Staff, Path(language): Path<String>) -> Result<Response, PageError> {
    let (language, stored) = read(&staff, &language).await?;
    form_page(&staff, language, stored.as_ref(), &Form::default(), Vec::new())
}

/// `POST /admin/content/banners/{language}`
pub(super) async fn change(Path(language): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, (language, stored)) = (staff.words(), read(&staff, &language).await?);
    let mut conflicts = Vec::new();
    let from = moment(words, &mut form, "from");
    let until = moment(words, &mut form, "until");
    if let (Some(begins_at), Some(ends_at)) = (from, until) {
        let wanted = BannerForm {
            language,
            text: form.value("text").to_owned(),
            link: Some(form.value("link").to_owned()),
            begins_at,
            ends_at,
        };
        let seen = form.value("version").parse().unwrap_or(-1);
        match wanted.checked() {
            Err(errors) => form.wrong_fields(words, &errors),
            Ok(wanted) => match staff.office().put_banner(&staff.admin, &wanted, seen).await {
                Ok(()) => return Ok(forms::done(&format!("{BANNERS}?done=saved"))),
                Err(ChangeError::Store(error)) => return Err(error.into()),
                Err(_) => {
                    edit::outdated(words, &mut form, "version");
                    if let Some((banner, _)) = &stored {
                        conflicts =
                            edit::conflicts(&[(words.text("content.text"), banner.text.clone(), wanted.text.clone())]);
                    }
                }
            },
        }
    }
    form_page(&staff, language, stored.as_ref(), &form, conflicts)
}

fn delete_form(staff: &Staff, banner: &Banner, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("{BANNERS}/{}", banner.language);
    let mut page = ActionPage::new(
        layout(
            staff,
            words.text("content.banners.delete").to_owned(),
            &[
                (words.text("content.banners"), BANNERS),
                (language_name(&banner.language), &back),
            ],
        ),
        form,
        format!("{back}/delete"),
        words.text("content.banners.delete"),
        back.clone(),
    );
    page.effects = vec![(words.text("content.text").to_owned(), banner.text.clone())];
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/content/banners/{language}/delete`
pub(super) async fn delete_page(staff: Staff, Path(language): Path<String>) -> Result<Response, PageError> {
    let (_, stored) = read(&staff, &language).await?;
    delete_form(&staff, &found(stored)?.0, &Form::default())
}

/// `POST /admin/content/banners/{language}/delete`
pub(super) async fn delete(Path(language): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    match staff.office().delete_banner(&staff.admin, &language).await {
        Ok(()) => Ok(forms::done(&format!("{BANNERS}?done=deleted"))),
        Err(ChangeError::Store(error)) => Err(error.into()),
        Err(_) => Err(PageError::NotFound),
    }
}
