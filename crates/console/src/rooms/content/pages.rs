//! The shop's own pages, in Markdown and in each language: imprint, terms, privacy, shipping of keys, and others.

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::ChangeError;
use lockstep_domain::language::Language as Speech;
use lockstep_domain::site::{PageDetail, PageForm, USUAL_PAGES};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::{layout, yes_or_no};
use crate::action::{ActionPage, Choice};
use crate::edit::{self, Conflict, Control, EditPage, PREVIEW, Preview};
use crate::gate::StaffForm;
use crate::rooms::found;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

const PAGES: &str = "/admin/content/pages";

fn language_name(code: &str) -> &'static str {
    Language::of_code(code).unwrap_or_default().name()
}

/// `GET /admin/content/pages`: what is written, and what a shop in Europe still needs.
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let pages = staff.office().own_pages(&staff.admin).await?;
    let missing: Vec<&str> = USUAL_PAGES
        .into_iter()
        .filter(|slug| !pages.iter().any(|page| page.slug == *slug && page.published))
        .collect();
    let rows = pages.into_iter().map(|page| Row {
        href: Some(format!("{PAGES}/{}/{}", page.slug, page.language)),
        cells: vec![
            Cell::Main(page.title),
            Cell::Text(language_name(&page.language).to_owned()),
            if page.published {
                Cell::Link(format!("/pages/{}", page.slug), format!("/pages/{}", page.slug))
            } else {
                Cell::Text(format!("/pages/{}", page.slug))
            },
            if page.published {
                Cell::Tag("good", words.text("content.published").to_owned())
            } else {
                Cell::Tag("warn", words.text("content.draft").to_owned())
            },
            Cell::time(words, page.updated_at),
        ],
    });
    let head = [
        "content.title",
        "content.language",
        "content.slug",
        "console.column.state",
        "console.column.changed",
    ];
    let mut actions = Vec::new();
    if staff.may(Permission::ContentWrite) {
        actions.push((words.text("content.pages.new"), format!("{PAGES}/new")));
    }
    ListPage {
        layout: layout(&staff, words.text("content.pages").to_owned(), &[]),
        lead: (!missing.is_empty()).then(|| words.with("content.pages.missing", missing.join(", "))),
        actions,
        table: Table::plain(words, "content.pages", &head, rows.collect()).or_else(
            words,
            "content.pages.none",
            "content.pages.none.advice",
        ),
    }
    .answer(&staff)
    .await
}

fn form_page(
    staff: &Staff,
    stored: Option<&PageDetail>,
    form: &Form,
    conflicts: Vec<Conflict>,
    preview: Option<Preview>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let (title, action) = match stored {
        Some(stored) => (
            format!("{} ({})", stored.title, language_name(&stored.language)),
            format!("{PAGES}/{}/{}", stored.slug, stored.language),
        ),
        None => (words.text("content.pages.new").to_owned(), format!("{PAGES}/new")),
    };
    let mut page = EditPage::new(
        layout(staff, title, &[(words.text("content.pages"), PAGES)]),
        form,
        action.clone(),
        words.text("form.save"),
        PAGES.to_owned(),
    );
    page.is_read_only = !staff.may(Permission::ContentWrite);
    page.can_preview = !page.is_read_only;
    page.preview = preview;
    let line = |field, value: Option<&str>| edit::stored(form, field, value.unwrap_or_default());
    page.controls = vec![Control::Line(line(
        form.field("title", "text", words.text("content.title")).required(),
        stored.map(|stored| stored.title.as_str()),
    ))];
    if stored.is_none() {
        let chosen = form.value("language");
        page.controls.push(Control::Line(
            form.field("slug", "text", words.text("content.slug"))
                .hint(words.text("content.pages.slug.hint")),
        ));
        page.controls.push(Control::Choice(Choice {
            name: "language",
            label: words.text("content.language"),
            options: Language::ALL
                .map(|language| {
                    let code = language.code();
                    (code.to_owned(), language.name().to_owned(), code == chosen)
                })
                .into(),
        }));
    }
    page.controls.push(Control::Text(
        line(
            form.field("source", "text", words.text("content.text"))
                .hint(words.text("content.pages.text.hint"))
                .required(),
            stored.map(|stored| stored.source.as_str()),
        ),
        20,
    ));
    page.controls.push(Control::Check(
        "published",
        words.text("content.published.label"),
        edit::ticked(form, "published", stored.is_some_and(|stored| stored.published)),
    ));
    page.hidden = vec![edit::seen(form, "version", stored.map_or(0, |stored| stored.version))];
    if stored.is_some() && !page.is_read_only {
        page.actions = vec![(words.text("content.pages.delete"), format!("{action}/delete"), true)];
    }
    page.conflicts = conflicts;
    page.answer(form)
}

fn entered(words: Language, form: &mut Form, slug: &str, language: Speech) -> Option<PageForm> {
    let (title, source) = (form.value("title").to_owned(), form.raw("source").to_owned());
    match PageForm::new(slug, language, &title, &source, form.value("published") == "yes") {
        Ok(wanted) => Some(wanted),
        Err(errors) => {
            form.wrong_fields(words, &errors);
            None
        }
    }
}

fn preview(wanted: &PageForm) -> Preview {
    Preview {
        title: wanted.title.clone(),
        html: wanted.html.clone(),
        text: None,
    }
}

/// Records why nothing was changed; whether somebody else has saved meanwhile.
fn refuse(words: Language, form: &mut Form, error: ChangeError) -> Result<bool, PageError> {
    match error {
        ChangeError::Store(error) => return Err(error.into()),
        ChangeError::NotFound(_) => return Err(PageError::NotFound),
        ChangeError::Outdated(_) => {
            edit::outdated(words, form, "version");
            return Ok(true);
        }
        error => form.wrong("", format!("{error}.")),
    }
    Ok(false)
}

fn speech(code: &str) -> Result<Speech, PageError> {
    found(Speech::ALL.into_iter().find(|language| language.code() == code))
}

/// `GET /admin/content/pages/new`
pub(super) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, None, &Form::default(), Vec::new(), None)
}

/// `POST /admin/content/pages/new`
pub(super) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    let (slug, language) = (form.value("slug").to_owned(), speech(form.value("language"))?);
    if let Some(wanted) = entered(words, &mut form, &slug, language) {
        if form.value("do") == PREVIEW {
            return form_page(&staff, None, &form, Vec::new(), Some(preview(&wanted)));
        }
        match staff.office().put_own_page(&staff.admin, &wanted, 0).await {
            Ok(()) => {
                staff.office().forget_first_steps(&staff.admin);
                let address = format!("{PAGES}/{}/{}?done=saved", wanted.slug, language.code());
                return Ok(forms::done(&address));
            }
            Err(ChangeError::Outdated(_)) => form.wrong("slug", words.text("wrong.page_exists")),
            Err(error) => {
                refuse(words, &mut form, error)?;
            }
        }
    }
    form_page(&staff, None, &form, Vec::new(), None)
}

async fn read(staff: &Staff, slug: &str, language: &str) -> Result<PageDetail, PageError> {
    let pages = staff.office().own_pages(&staff.admin).await?;
    let wanted = pages
        .into_iter()
        .find(|page| page.slug == slug && page.language == language);
    found(wanted)
}

/// `GET /admin/content/pages/{slug}/{language}`
pub(super) async fn page(staff: Staff, Path((slug, language)): Path<(String, String)>) -> Result<Response, PageError> {
    let stored = read(&staff, &slug, &language).await?;
    form_page(&staff, Some(&stored), &Form::default(), Vec::new(), None)
}

/// `POST /admin/content/pages/{slug}/{language}`
pub(super) async fn change(
    Path((slug, language)): Path<(String, String)>,
    sent: StaffForm,
) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, stored) = (staff.words(), read(&staff, &slug, &language).await?);
    let mut conflicts = Vec::new();
    if let Some(wanted) = entered(words, &mut form, &slug, speech(&language)?) {
        if form.value("do") == PREVIEW {
            return form_page(&staff, Some(&stored), &form, Vec::new(), Some(preview(&wanted)));
        }
        let seen = form.value("version").parse().unwrap_or(-1);
        match staff.office().put_own_page(&staff.admin, &wanted, seen).await {
            Ok(()) => {
                staff.office().forget_first_steps(&staff.admin);
                return Ok(forms::done(&format!("{PAGES}/{slug}/{language}?done=saved")));
            }
            Err(error) => {
                if refuse(words, &mut form, error)? {
                    conflicts = edit::conflicts(&[
                        (words.text("content.title"), stored.title.clone(), wanted.title),
                        (words.text("content.text"), stored.source.clone(), wanted.source),
                        (
                            words.text("content.published.label"),
                            yes_or_no(&staff, stored.published),
                            yes_or_no(&staff, wanted.published),
                        ),
                    ]);
                }
            }
        }
    }
    form_page(&staff, Some(&stored), &form, conflicts, None)
}

fn delete_form(staff: &Staff, stored: &PageDetail, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("{PAGES}/{}/{}", stored.slug, stored.language);
    let mut page = ActionPage::new(
        layout(
            staff,
            words.text("content.pages.delete").to_owned(),
            &[(words.text("content.pages"), PAGES), (&stored.title, &back)],
        ),
        form,
        format!("{back}/delete"),
        words.text("content.pages.delete"),
        back.clone(),
    );
    page.effects = vec![
        (words.text("content.title").to_owned(), stored.title.clone()),
        (
            words.text("content.language").to_owned(),
            language_name(&stored.language).to_owned(),
        ),
        (
            words.text("content.published.label").to_owned(),
            yes_or_no(staff, stored.published),
        ),
    ];
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/content/pages/{slug}/{language}/delete`
pub(super) async fn delete_page(
    staff: Staff,
    Path((slug, language)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let stored = read(&staff, &slug, &language).await?;
    delete_form(&staff, &stored, &Form::default())
}

/// `POST /admin/content/pages/{slug}/{language}/delete`
pub(super) async fn delete(
    Path((slug, language)): Path<(String, String)>,
    sent: StaffForm,
) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let stored = read(&staff, &slug, &language).await?;
    match staff.office().delete_own_page(&staff.admin, &slug, &language).await {
        Ok(()) => {
            staff.office().forget_first_steps(&staff.admin);
            Ok(forms::done(&format!("{PAGES}?done=deleted")))
        }
        Err(error) => {
            refuse(staff.words(), &mut form, error)?;
            delete_form(&staff, &stored, &form)
        }
    }
}
