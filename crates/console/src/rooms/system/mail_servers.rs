//! Mail servers: that of `SMTP_URL`, which wins, and those that staff enter. One is active.

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::{ChangeError, EmailError};
use lockstep_domain::Secret;
use lockstep_domain::admin::{EmailServer, EmailServerForm, ServerSource};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::supplier_accounts::{source, standing, tested};
use super::{given, layout, unplaced};
use crate::action::ActionPage;
use crate::edit::{self, Conflict, Control, EditPage};
use crate::gate::StaffForm;
use crate::rooms::{found, id};
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

const SERVERS: &str = "/admin/system/mail";
const FIELDS: [&str; 7] = ["name", "host", "port", "user", "password", "fromEmail", "fromName"];

/// `GET /admin/system/mail`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let servers = staff.office().email_servers(&staff.admin, false).await?;
    let may_write = staff.may(Permission::SystemWrite);
    let rows = servers.into_iter().map(|server| {
        let is_own = server.source == ServerSource::Database;
        let note = server.test_error.or(server.warning);
        Row {
            href: (may_write && is_own).then(|| format!("{SERVERS}/{}", server.id)),
            cells: vec![
                Cell::Main(server.name),
                Cell::Text(format!("{}:{}", server.host, server.port)),
                Cell::Text(server.from_email),
                source(words, server.source),
                standing(words, server.in_use, server.is_active),
                tested(words, server.tested_at),
                Cell::text_or_none(note.map(|note| show::short(&note, 200))),
                if may_write {
                    Cell::Post(format!("{SERVERS}/{}/test", server.id), words.text("system.test"))
                } else {
                    Cell::Nothing
                },
            ],
        }
    });
    let head = [
        "console.column.name",
        "system.mail.host",
        "system.mail.sender",
        "system.column.source",
        "console.column.state",
        "system.column.tested",
        "console.column.note",
        "console.column.action",
    ];
    let mut actions = Vec::new();
    if may_write {
        actions.push((words.text("system.mail.new"), format!("{SERVERS}/new")));
    }
    ListPage {
        layout: layout(&staff, words.text("system.mail").to_owned(), &[]),
        lead: Some(words.text("system.mail.lead").to_owned()),
        actions,
        table: Table::plain(words, "system.mail", &head, rows.collect()).or_else(
            words,
            "system.mail.none",
            "system.mail.none.advice",
        ),
    }
    .answer(&staff)
    .await
}

fn form_page(
    staff: &Staff,
    server: Option<&EmailServer>,
    form: &Form,
    conflicts: Vec<Conflict>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let title = server.map_or_else(
        || words.text("system.mail.new").to_owned(),
        |server| server.name.clone(),
    );
    let action = server.map_or_else(|| format!("{SERVERS}/new"), |server| format!("{SERVERS}/{}", server.id));
    let mut page = EditPage::new(
        layout(staff, title, &[(words.text("system.mail"), SERVERS)]),
        form,
        action,
        words.text("form.save"),
        SERVERS.to_owned(),
    );
    let line = |field, value: Option<&str>| Control::Line(edit::stored(form, field, value.unwrap_or_default()));
    let port = server.map_or_else(|| "465".to_owned(), |server| server.port.to_string());
    let password = form
        .field("password", "password", words.text("system.mail.password"))
        .autocomplete("new-password");
    page.controls = vec![
        line(
            form.field("host", "text", words.text("system.mail.host")).required(),
            server.map(|server| server.host.as_str()),
        ),
        line(
            form.field("port", "text", words.text("system.mail.port"))
                .digits()
                .required(),
            Some(&port),
        ),
        Control::Check(
            "secure",
            words.text("system.mail.secure"),
            edit::ticked(form, "secure", server.is_none_or(|server| server.secure)),
        ),
        line(
            form.field("user", "text", words.text("system.mail.user")),
            server.map(|server| server.user.as_str()),
        ),
        Control::Line(if server.is_some() {
            password.hint(words.text("system.secret.keep"))
        } else {
            password
        }),
        line(
            form.field("fromEmail", "email", words.text("system.mail.sender"))
                .required(),
            server.map(|server| server.from_email.as_str()),
        ),
        line(
            form.field("fromName", "text", words.text("system.mail.sender_name")),
            server.and_then(|server| server.from_name.as_deref()),
        ),
        line(
            form.field("name", "text", words.text("console.column.name"))
                .hint(words.text("system.mail.name.hint")),
            server.map(|server| server.name.as_str()),
        ),
        Control::Check(
            "active",
            words.text("system.mail.active"),
            edit::ticked(form, "active", server.is_none_or(|server| server.is_active)),
        ),
    ];
    if let Some(server) = server {
        page.hidden = vec![edit::seen(form, "version", server.version)];
        page.actions = vec![(
            words.text("system.delete"),
            format!("{SERVERS}/{}/delete", server.id),
            true,
        )];
    }
    page.conflicts = conflicts;
    page.answer(form)
}

fn entered(words: Language, form: &mut Form, is_new: bool) -> Option<EmailServerForm> {
    let wanted = EmailServerForm {
        name: given(form.value("name")),
        host: Some(form.value("host").to_owned()),
        port: Some(form.value("port").parse().unwrap_or(0)),
        secure: Some(form.value("secure") == "yes"),
        user: Some(form.value("user").to_owned()),
        password: given(form.raw("password")).map(Secret::new),
        from_email: Some(form.value("fromEmail").to_owned()),
        from_name: Some(form.value("fromName").to_owned()),
        is_active: Some(form.value("active") == "yes"),
        version: form.value("version").parse().ok(),
    };
    match wanted.checked(is_new) {
        Ok(wanted) => Some(wanted),
        Err(errors) => {
            form.wrong_fields(words, &errors);
            None
        }
    }
}

/// Records why nothing was changed; whether somebody else has saved meanwhile.
fn refuse(words: Language, form: &mut Form, error: EmailError) -> Result<bool, PageError> {
    match error {
        EmailError::Change(ChangeError::Store(error)) => return Err(error.into()),
        EmailError::Change(ChangeError::NotFound(_)) => return Err(PageError::NotFound),
        EmailError::Change(ChangeError::Outdated(_)) => {
            edit::outdated(words, form, "version");
            return Ok(true);
        }
        EmailError::Change(ChangeError::NameTaken(_)) => form.wrong("name", words.text("wrong.name_taken")),
        EmailError::Change(ChangeError::InUse(_)) => form.wrong("", words.text("wrong.server_in_use")),
        EmailError::Change(error) => form.wrong("", format!("{error}.")),
        EmailError::Fields(errors) => {
            if let Some(other) = unplaced(&errors, &FIELDS) {
                form.wrong("", other);
            }
            form.wrong_fields(words, &errors);
        }
        EmailError::Server(why) => form.wrong("", words.with("system.mail.refused", show::short(&why, 300))),
        EmailError::Environment => form.wrong("", words.text("wrong.set_by_environment")),
        EmailError::Busy => form.wrong("", words.text("wrong.mail_busy")),
        EmailError::NoServer | EmailError::Locked | EmailError::KeyReused | EmailError::Source(_) => {
            form.wrong("", error.to_string());
        }
    }
    Ok(false)
}

/// `GET /admin/system/mail/new`
pub(super) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, None, &Form::default(), Vec::new())
}

/// `POST /admin/system/mail/new`
pub(super) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    if let Some(wanted) = entered(words, &mut form, true) {
        match staff
            .office()
            .create_email_server(&staff.admin, wanted, staff.now)
            .await
        {
            Ok(_) => {
                staff.office().forget_first_steps(&staff.admin);
                return Ok(forms::done(&format!("{SERVERS}?done=saved")));
            }
            Err(error) => {
                refuse(words, &mut form, error)?;
            }
        }
    }
    form_page(&staff, None, &form, Vec::new())
}

/// A server that staff entered.
async fn read(staff: &Staff, server: &str) -> Result<EmailServer, PageError> {
    let server = staff.office().email_server(&staff.admin, id(server)?).await?;
    found(server.filter(|server| server.source == ServerSource::Database))
}

/// `GET /admin/system/mail/{id}`
pub(super) async fn page(staff: Staff, Path(server): Path<String>) -> Result<Response, PageError> {
    let server = read(&staff, &server).await?;
    form_page(&staff, Some(&server), &Form::default(), Vec::new())
}

/// `POST /admin/system/mail/{id}`
pub(super) async fn change(Path(server): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, server) = (staff.words(), read(&staff, &server).await?);
    let mut conflicts = Vec::new();
    if let Some(wanted) = entered(words, &mut form, false) {
        let new = (
            format!("{}:{}", form.value("host"), form.value("port")),
            wanted.user.clone().unwrap_or_default(),
            wanted.from_email.clone().unwrap_or_default(),
        );
        match staff
            .office()
            .change_email_server(&staff.admin, server.id, wanted, staff.now)
            .await
        {
            Ok(saved) => {
                staff.office().forget_first_steps(&staff.admin);
                let is_stopped = server.is_active
                    && !saved.is_active
                    && staff.office().email_servers(&staff.admin, true).await?.is_empty();
                let done = if is_stopped { "mail_stopped" } else { "saved" };
                return Ok(forms::done(&format!("{SERVERS}?done={done}")));
            }
            Err(error) => {
                if refuse(words, &mut form, error)? {
                    conflicts = edit::conflicts(&[
                        (
                            words.text("system.mail.host"),
                            format!("{}:{}", server.host, server.port),
                            new.0,
                        ),
                        (words.text("system.mail.user"), server.user.clone(), new.1),
                        (words.text("system.mail.sender"), server.from_email.clone(), new.2),
                    ]);
                }
            }
        }
    }
    form_page(&staff, Some(&server), &form, conflicts)
}

/// `POST /admin/system/mail/{id}/test`: connects and logs in; sends nothing. The list shows the result.
pub(super) async fn test(Path(server): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    let done = match staff.office().test_email_server(&staff.admin, id(&server)?).await {
        Ok(()) => "mail_lets_in",
        Err(EmailError::Change(ChangeError::Store(error))) => return Err(error.into()),
        Err(EmailError::Change(ChangeError::NotFound(_))) => return Err(PageError::NotFound),
        Err(EmailError::Busy) => "mail_busy",
        Err(_) => "mail_refuses",
    };
    staff.office().forget_first_steps(&staff.admin);
    Ok(forms::done(&format!("{SERVERS}?done={done}")))
}

fn delete_form(staff: &Staff, server: &EmailServer, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("{SERVERS}/{}", server.id);
    let mut page = ActionPage::new(
        layout(
            staff,
            words.text("system.mail.delete").to_owned(),
            &[(words.text("system.mail"), SERVERS), (&server.name, &back)],
        ),
        form,
        format!("{back}/delete"),
        words.text("system.mail.delete"),
        back.clone(),
    );
    page.effects = vec![
        (words.text("console.column.name").to_owned(), server.name.clone()),
        (words.text("system.mail.host").to_owned(), server.host.clone()),
    ];
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/system/mail/{id}/delete`
pub(super) async fn delete_page(staff: Staff, Path(server): Path<String>) -> Result<Response, PageError> {
    let server = read(&staff, &server).await?;
    delete_form(&staff, &server, &Form::default())
}

/// `POST /admin/system/mail/{id}/delete`
pub(super) async fn delete(Path(server): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let server = read(&staff, &server).await?;
    match staff.office().delete_email_server(&staff.admin, server.id).await {
        Ok(()) => Ok(forms::done(&format!("{SERVERS}?done=deleted"))),
        Err(error) => {
            refuse(staff.words(), &mut form, error)?;
            delete_form(&staff, &server, &form)
        }
    }
}
