//! Questions with their answers.

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::{ChangeError, FaqFilter};
use lockstep_domain::admin::{FaqForm, Page};
use lockstep_domain::content::Faq;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::{layout, yes_or_no};
use crate::action::ActionPage;
use crate::edit::{self, Conflict, Control, EditPage, PREVIEW, Preview};
use crate::gate::StaffForm;
use crate::rooms::{found, id};
use crate::staff::Staff;
use crate::table::{Cell, Filter, ListPage, Row, Table};

const QUESTIONS: &str = "/admin/content/questions";
/// Questions that one is looked for among; a help page has dozens.
const ALL: Page = Page {
    number: 1,
    size: 10_000,
};

/// `GET /admin/content/questions`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let filter = FaqFilter {
        search: staff.parameter("search"),
        ..FaqFilter::default()
    };
    let listed = staff.office().faqs(&staff.admin, &filter, staff.page()).await?;
    let may_write = staff.may(Permission::ContentWrite);
    let rows = listed.faqs.into_iter().map(|faq| Row {
        href: may_write.then(|| format!("{QUESTIONS}/{}", faq.id)),
        cells: vec![
            Cell::Main(faq.question),
            Cell::Text(faq.category),
            Cell::Number(faq.order.to_string()),
            if faq.active {
                Cell::Tag("good", words.text("content.shown").to_owned())
            } else {
                Cell::Tag("warn", words.text("content.hidden").to_owned())
            },
        ],
    });
    let head = [
        "content.question",
        "content.category",
        "#content.order",
        "console.column.state",
    ];
    let mut actions = Vec::new();
    if may_write {
        actions.push((words.text("content.questions.new"), format!("{QUESTIONS}/new")));
    }
    let filter = Filter::text(&staff, "search", words.text("search.button"));
    ListPage {
        layout: layout(&staff, words.text("content.questions").to_owned(), &[]),
        lead: None,
        actions,
        table: Table::plain(words, "content.questions", &head, rows.collect())
            .filtered(&staff, vec![filter])
            .paged(&staff, listed.paging)
            .or_else(words, "content.questions.none", "content.questions.none.advice"),
    }
    .answer(&staff)
    .await
}

fn fingerprint(faq: &Faq) -> String {
    edit::fingerprint(&(&faq.category, &faq.question, &faq.answer, faq.order, faq.active))
}

fn form_page(
    staff: &Staff,
    faq: Option<&Faq>,
    form: &Form,
    conflicts: Vec<Conflict>,
    preview: Option<Preview>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let title = faq.map_or_else(
        || words.text("content.questions.new").to_owned(),
        |faq| faq.question.clone(),
    );
    let action = faq.map_or_else(|| format!("{QUESTIONS}/new"), |faq| format!("{QUESTIONS}/{}", faq.id));
    let mut page = EditPage::new(
        layout(staff, title, &[(words.text("content.questions"), QUESTIONS)]),
        form,
        action,
        words.text("form.save"),
        QUESTIONS.to_owned(),
    );
    page.can_preview = true;
    page.preview = preview;
    let stored = |field, value: Option<&str>| edit::stored(form, field, value.unwrap_or_default());
    let order = faq.map_or_else(|| "0".to_owned(), |faq| faq.order.to_string());
    page.controls = vec![
        Control::Line(stored(
            form.field("question", "text", words.text("content.question"))
                .required(),
            faq.map(|faq| faq.question.as_str()),
        )),
        Control::Line(stored(
            form.field("category", "text", words.text("content.category"))
                .required(),
            faq.map(|faq| faq.category.as_str()),
        )),
        Control::Text(
            stored(
                form.field("answer", "text", words.text("content.answer"))
                    .hint(words.text("content.text.hint"))
                    .required(),
                faq.map(|faq| faq.answer.as_str()),
            ),
            10,
        ),
        Control::Line(stored(
            form.field("order", "text", words.text("content.order"))
                .hint(words.text("content.order.hint"))
                .digits(),
            Some(&order),
        )),
        Control::Check(
            "active",
            words.text("content.shown.label"),
            edit::ticked(form, "active", faq.is_none_or(|faq| faq.active)),
        ),
    ];
    if let Some(faq) = faq {
        page.hidden = vec![edit::seen(form, "seen", fingerprint(faq))];
        page.actions = vec![(
            words.text("content.questions.delete"),
            format!("{QUESTIONS}/{}/delete", faq.id),
            true,
        )];
    }
    page.conflicts = conflicts;
    page.answer(form)
}

fn entered(words: Language, form: &mut Form, is_new: bool) -> Option<FaqForm> {
    let order = match form.value("order") {
        "" => 0,
        // What is no number is out of range.
        text => text.parse().unwrap_or(-1),
    };
    let wanted = FaqForm {
        category: Some(form.value("category").to_owned()),
        question: Some(form.value("question").to_owned()),
        answer: Some(form.raw("answer").to_owned()),
        order: Some(order),
        active: Some(form.value("active") == "yes"),
    };
    match wanted.checked(is_new) {
        Ok(wanted) => Some(wanted),
        Err(errors) => {
            form.wrong_fields(words, &errors);
            None
        }
    }
}

fn preview(wanted: &FaqForm) -> Preview {
    Preview {
        title: wanted.question.clone().unwrap_or_default(),
        // A plain text stays as it is; here it is shown as HTML.
        html: lockstep_domain::html::article(wanted.answer.as_deref().unwrap_or_default()),
        text: None,
    }
}

fn refuse(form: &mut Form, error: ChangeError) -> Result<(), PageError> {
    match error {
        ChangeError::Store(error) => return Err(error.into()),
        ChangeError::NotFound(_) => return Err(PageError::NotFound),
        error => form.wrong("", format!("{error}.")),
    }
    Ok(())
}

/// `GET /admin/content/questions/new`
pub(super) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, None, &Form::default(), Vec::new(), None)
}

/// `POST /admin/content/questions/new`
pub(super) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    if let Some(wanted) = entered(staff.words(), &mut form, true) {
        if form.value("do") == PREVIEW {
            return form_page(&staff, None, &form, Vec::new(), Some(preview(&wanted)));
        }
        match staff.office().create_faq(&staff.admin, &wanted).await {
            Ok(_) => return Ok(forms::done(&format!("{QUESTIONS}?done=saved"))),
            Err(error) => refuse(&mut form, error)?,
        }
    }
    form_page(&staff, None, &form, Vec::new(), None)
}

async fn read(staff: &Staff, faq: &str) -> Result<Faq, PageError> {
    let faq = id(faq)?;
    let listed = staff.office().faqs(&staff.admin, &FaqFilter::default(), ALL).await?;
    found(listed.faqs.into_iter().find(|known| known.id == faq))
}

/// `GET /admin/content/questions/{id}`
pub(super) async fn page(staff: Staff, Path(faq): Path<String>) -> Result<Response, PageError> {
    let faq = read(&staff, &faq).await?;
    form_page(&staff, Some(&faq), &Form::default(), Vec::new(), None)
}

/// `POST /admin/content/questions/{id}`
pub(super) async fn change(Path(faq): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, now) = (staff.words(), read(&staff, &faq).await?);
    let Some(wanted) = entered(words, &mut form, false) else {
        return form_page(&staff, Some(&now), &form, Vec::new(), None);
    };
    if form.value("do") == PREVIEW {
        return form_page(&staff, Some(&now), &form, Vec::new(), Some(preview(&wanted)));
    }
    if form.value("seen") != fingerprint(&now) {
        return stale(&staff, &mut form, &now, &wanted);
    }
    // Compared again where it is written: another form may be saved in this moment.
    let changed = staff
        .office()
        .update_faq(&staff.admin, now.id, &wanted, Some(&now))
        .await;
    match changed {
        Ok(_) => return Ok(forms::done(&format!("{QUESTIONS}/{}?done=saved", now.id))),
        Err(ChangeError::Outdated(_)) => return stale(&staff, &mut form, &read(&staff, &faq).await?, &wanted),
        Err(error) => refuse(&mut form, error)?,
    }
    form_page(&staff, Some(&now), &form, Vec::new(), None)
}

/// The form beside what somebody else has saved meanwhile.
fn stale(staff: &Staff, form: &mut Form, now: &Faq, wanted: &FaqForm) -> Result<Response, PageError> {
    let words = staff.words();
    edit::outdated(words, form, "seen");
    let entered = |text: &Option<String>| text.clone().unwrap_or_default();
    let conflicts = edit::conflicts(&[
        (
            words.text("content.question"),
            now.question.clone(),
            entered(&wanted.question),
        ),
        (
            words.text("content.category"),
            now.category.clone(),
            entered(&wanted.category),
        ),
        (
            words.text("content.answer"),
            now.answer.clone(),
            entered(&wanted.answer),
        ),
        (
            words.text("content.order"),
            now.order.to_string(),
            wanted.order.unwrap_or_default().to_string(),
        ),
        (
            words.text("content.shown.label"),
            yes_or_no(staff, now.active),
            yes_or_no(staff, wanted.active.unwrap_or_default()),
        ),
    ]);
    form_page(staff, Some(now), form, conflicts, None)
}

fn delete_form(staff: &Staff, faq: &Faq, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("{QUESTIONS}/{}", faq.id);
    let mut page = ActionPage::new(
        layout(
            staff,
            words.text("content.questions.delete").to_owned(),
            &[(words.text("content.questions"), QUESTIONS), (&faq.question, &back)],
        ),
        form,
        format!("{back}/delete"),
        words.text("content.questions.delete"),
        back.clone(),
    );
    page.effects = vec![(words.text("content.question").to_owned(), faq.question.clone())];
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/content/questions/{id}/delete`
pub(super) async fn delete_page(staff: Staff, Path(faq): Path<String>) -> Result<Response, PageError> {
    let faq = read(&staff, &faq).await?;
    delete_form(&staff, &faq, &Form::default())
}

/// `POST /admin/content/questions/{id}/delete`
pub(super) async fn delete(Path(faq): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let faq = read(&staff, &faq).await?;
    match staff.office().delete_faq(&staff.admin, faq.id).await {
        Ok(()) => Ok(forms::done(&format!("{QUESTIONS}?done=deleted"))),
        Err(error) => {
            refuse(&mut form, error)?;
            delete_form(&staff, &faq, &form)
        }
    }
}
