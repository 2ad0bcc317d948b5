//! The texts of e-mails, in each language: changed, shown as they will be sent, tried, and brought back.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::{ChangeError, EmailDraft, EmailError};
use lockstep_domain::account::Email;
use lockstep_domain::admin::EmailTemplateView;
use lockstep_domain::html;
use lockstep_domain::language::Language as Speech;
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::format;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::layout;
use crate::action::ActionPage;
use crate::edit::{self, Conflict, Control, EditPage, PREVIEW, Preview};
use crate::gate::StaffForm;
use crate::rooms::found;
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

const EMAILS: &str = "/admin/content/emails";

fn address(view: &EmailTemplateView) -> String {
    format!("{EMAILS}/{}/{}", view.name, view.language)
}

fn title(words: Language, view: &EmailTemplateView) -> String {
    let language = Language::of_code(&view.language).unwrap_or_default().name();
    format!("{} ({language})", show::name(words, "email", &view.name))
}

/// `GET /admin/content/emails`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let mut views = Vec::new();
    for language in Speech::ALL {
        views.extend(staff.office().email_templates(&staff.admin, language).await?);
    }
    views.sort_by(|a, b| a.name.cmp(&b.name));
    let rows = views.into_iter().map(|view| Row {
        href: Some(address(&view)),
        cells: vec![
            Cell::Main(title(words, &view)),
            Cell::Text(show::short(&view.subject, 100)),
            if view.edited {
                Cell::Tag("good", words.text("content.emails.edited").to_owned())
            } else {
                Cell::Tag("", words.text("content.emails.shipped").to_owned())
            },
            Cell::text_or_none(view.edited_by),
            Cell::time_or_none(words, view.edited_at),
        ],
    });
    let head = [
        "console.column.kind",
        "content.emails.subject",
        "console.column.state",
        "content.author",
        "console.column.changed",
    ];
    ListPage {
        layout: layout(&staff, words.text("content.emails").to_owned(), &[]),
        lead: Some(words.text("content.emails.lead").to_owned()),
        actions: Vec::new(),
        table: Table::plain(words, "content.emails", &head, rows.collect()),
    }
    .answer(&staff)
    .await
}

fn form_page(
    staff: &Staff,
    view: &EmailTemplateView,
    form: &Form,
    conflicts: Vec<Conflict>,
    preview: Option<Preview>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let address = address(view);
    let mut page = EditPage::new(
        layout(staff, title(words, view), &[(words.text("content.emails"), EMAILS)]),
        form,
        address.clone(),
        words.text("form.save"),
        EMAILS.to_owned(),
    );
    page.is_read_only = !staff.may(Permission::EmailWrite);
    page.can_preview = !page.is_read_only;
    page.lead = Some(view.description.clone());
    let infos = staff.office().email_template_infos(&staff.admin);
    let known = infos.into_iter().find(|info| info.name == view.name);
    for variable in known.into_iter().flat_map(|info| info.variables) {
        let must = if variable.required {
            format!(" ({})", words.text("content.emails.required"))
        } else {
            String::new()
        };
        page.variables.push((
            format!("{{{{{}}}}}", variable.name),
            format!("{}{must}", variable.description),
        ));
    }
    if let Some(at) = view.edited_at {
        let by = view.edited_by.clone().unwrap_or_default();
        page.facts = vec![
            (words.text("console.column.changed"), format::moment(words, at)),
            (words.text("content.author"), by),
        ];
    }
    page.preview = preview;
    page.hidden = vec![edit::seen(form, "version", view.version)];
    page.controls = vec![
        Control::Line(edit::stored(
            form,
            form.field("subject", "text", words.text("content.emails.subject"))
                .required(),
            &view.subject,
        )),
        Control::Text(
            edit::stored(
                form,
                form.field("content", "text", words.text("content.text"))
                    .hint(words.text("content.emails.text.hint"))
                    .required(),
                &view.content,
            ),
            18,
        ),
    ];
    if !page.is_read_only {
        page.actions = vec![(words.text("content.emails.test"), format!("{address}/test"), false)];
        if view.edited {
            page.actions
                .push((words.text("content.emails.reset"), format!("{address}/reset"), true));
        }
    }
    page.conflicts = conflicts;
    page.answer(form)
}

fn speech(code: &str) -> Result<Speech, PageError> {
    found(Speech::ALL.into_iter().find(|language| language.code() == code))
}

/// The template, and its language.
async fn read(staff: &Staff, name: &str, language: &str) -> Result<(EmailTemplateView, Speech), PageError> {
    let language = speech(language)?;
    let view = staff
        .office()
        .current_email_template(&staff.admin, name, language)
        .await?;
    // Other names of templates are for the API.
    Ok((found(view.filter(|view| view.name == name))?, language))
}

async fn preview(
    staff: &Staff,
    view: &EmailTemplateView,
    language: Speech,
    draft: &EmailDraft,
) -> Result<Preview, EmailError> {
    let none = BTreeMap::new();
    let shown = staff
        .office()
        .preview_email(&staff.admin, &view.name, language, draft, &none)
        .await?;
    // What it says and where it leads, in this page's own style: mail programs have theirs.
    let body = shown
        .html
        .split_once("<body")
        .and_then(|(_, rest)| rest.split_once('>'));
    Ok(Preview {
        title: shown.subject,
        html: html::article(body.map_or(shown.html.as_str(), |(_, body)| body)),
        text: Some(shown.text),
    })
}

/// `GET /admin/content/emails/{name}/{language}`
pub(super) async fn page(staff: Staff, Path((name, language)): Path<(String, String)>) -> Result<Response, PageError> {
    let (view, language) = read(&staff, &name, &language).await?;
    let shown = preview(&staff, &view, language, &EmailDraft::default()).await.ok();
    // Who may change it sees the preview on demand.
    let shown = shown.filter(|_| !staff.may(Permission::EmailWrite));
    form_page(&staff, &view, &Form::default(), Vec::new(), shown)
}

fn refuse(words: Language, form: &mut Form, error: EmailError) -> Result<bool, PageError> {
    match error {
        EmailError::Source(error) => {
            let (part, why) = (error.part(), format!("{error}."));
            form.wrong(part, why);
        }
        EmailError::Change(ChangeError::Store(error)) => return Err(error.into()),
        EmailError::Change(ChangeError::NotFound(_)) => return Err(PageError::NotFound),
        EmailError::Change(ChangeError::Outdated(_) | ChangeError::NotSeen(_)) => {
            edit::outdated(words, form, "version");
            return Ok(true);
        }
        EmailError::Server(why) => form.wrong("", words.with("system.mail.refused", show::short(&why, 300))),
        EmailError::NoServer => form.wrong("", words.text("wrong.no_mail_server")),
        EmailError::Busy => form.wrong("", words.text("wrong.mail_busy")),
        EmailError::Fields(errors) => form.wrong_fields(words, &errors),
        error => form.wrong("", format!("{error}.")),
    }
    Ok(false)
}

/// `POST /admin/content/emails/{name}/{language}`
pub(super) async fn change(
    Path((name, language)): Path<(String, String)>,
    sent: StaffForm,
) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, (view, language)) = (staff.words(), read(&staff, &name, &language).await?);
    let draft = EmailDraft {
        subject: Some(form.value("subject").to_owned()),
        content: Some(form.raw("content").replace("\r\n", "\n")),
    };
    if form.value("do") == PREVIEW {
        let shown = match preview(&staff, &view, language, &draft).await {
            Ok(shown) => Some(shown),
            Err(error) => {
                refuse(words, &mut form, error)?;
                None
            }
        };
        return form_page(&staff, &view, &form, Vec::new(), shown);
    }
    let version = form.value("version").parse().ok();
    let mut conflicts = Vec::new();
    match staff
        .office()
        .change_email_template(&staff.admin, &name, language, &draft, version)
        .await
    {
        Ok(_) => return Ok(forms::done(&format!("{}?done=saved", address(&view)))),
        Err(error) => {
            if refuse(words, &mut form, error)? {
                conflicts = edit::conflicts(&[
                    (
                        words.text("content.emails.subject"),
                        view.subject.clone(),
                        draft.subject.unwrap_or_default(),
                    ),
                    (
                        words.text("content.text"),
                        view.content.clone(),
                        draft.content.unwrap_or_default(),
                    ),
                ]);
            }
        }
    }
    form_page(&staff, &view, &form, conflicts, None)
}

fn action(staff: &Staff, view: &EmailTemplateView, form: &Form, what: &str, title_key: &'static str) -> ActionPage {
    let words = staff.words();
    let back = address(view);
    let name = title(words, view);
    let mut page = ActionPage::new(
        layout(
            staff,
            title_key.to_owned(),
            &[(words.text("content.emails"), EMAILS), (&name, &back)],
        ),
        form,
        format!("{back}/{what}"),
        title_key,
        back.clone(),
    );
    page.effects = vec![
        (words.text("console.column.kind").to_owned(), name.clone()),
        (words.text("content.emails.subject").to_owned(), view.subject.clone()),
    ];
    page
}

fn reset_form(staff: &Staff, view: &EmailTemplateView, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = action(staff, view, form, "reset", words.text("content.emails.reset"));
    page.warning = Some(words.text("content.emails.reset.warning").to_owned());
    page.hidden = vec![("version", view.version.to_string())];
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/content/emails/{name}/{language}/reset`
pub(super) async fn reset_page(
    staff: Staff,
    Path((name, language)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (view, _) = read(&staff, &name, &language).await?;
    reset_form(&staff, &view, &Form::default())
}

/// `POST /admin/content/emails/{name}/{language}/reset`
pub(super) async fn reset(
    Path((name, language)): Path<(String, String)>,
    sent: StaffForm,
) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (view, language) = read(&staff, &name, &language).await?;
    let version = form.value("version").parse().ok();
    match staff
        .office()
        .reset_email_template(&staff.admin, &name, language, version)
        .await
    {
        Ok(_) => Ok(forms::done(&format!("{}?done=email_reset", address(&view)))),
        Err(error) => {
            refuse(staff.words(), &mut form, error)?;
            reset_form(&staff, &view, &form)
        }
    }
}

fn test_form(staff: &Staff, view: &EmailTemplateView, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = action(staff, view, form, "test", words.text("content.emails.test"));
    page.warning = Some(words.text("content.emails.test.warning").to_owned());
    let own = staff.admin.caller().email().to_owned();
    page.fields = vec![
        form.field("email", "email", words.text("console.column.recipient"))
            .filled(&own)
            .required(),
    ];
    page.answer(form)
}

/// `GET /admin/content/emails/{name}/{language}/test`
pub(super) async fn test_page(
    staff: Staff,
    Path((name, language)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (view, _) = read(&staff, &name, &language).await?;
    test_form(&staff, &view, &Form::default())
}

/// `POST /admin/content/emails/{name}/{language}/test`
pub(super) async fn test(
    Path((name, language)): Path<(String, String)>,
    sent: StaffForm,
) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, (view, language)) = (staff.words(), read(&staff, &name, &language).await?);
    let to = form.value("email").to_owned();
    if Email::of_existing_account(&to).is_ok_and(|email| email.takes_mail()) {
        let none = BTreeMap::new();
        match staff
            .office()
            .send_test_email(&staff.admin, &name, language, &to, &none, staff.now)
            .await
        {
            Ok(()) => return Ok(forms::done(&format!("{}?done=email_sent", address(&view)))),
            Err(error) => {
                refuse(words, &mut form, error)?;
            }
        }
    } else {
        form.wrong("email", words.text("wrong.email_invalid"));
    }
    test_form(&staff, &view, &form)
}
