//! Accounts at G2A: that of the environment, which wins, and those that staff enter; their secrets are stored sealed and
//! never shown. An account becomes the active one only with credentials that G2A has just accepted.

use std::time::Duration;

use axum::extract::Path;
use axum::response::Response;
use chrono::{DateTime, Utc};
use lockstep_admin::{ChangeError, JobKind, JobState, NewJob, Submitted, SupplierAccountError};
use lockstep_domain::Secret;
use lockstep_domain::admin::{ServerSource, SupplierAccount, SupplierAccountForm};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;
use lockstep_page::page;

use super::{given, layout, unplaced};
use crate::action::{ActionPage, Choice};
use crate::edit::{self, Conflict, Control, EditPage};
use crate::gate::StaffForm;
use crate::rooms::{found, id};
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, Row, Table};

const ACCOUNTS: &str = "/admin/system/g2a";
const FIELDS: [&str; 4] = ["clientId", "email", "clientSecret", "environment"];
/// How long the page waits for a test of the connection.
const PATIENCE: Duration = Duration::from_secs(8);

/// Where an account or a server comes from.
pub(super) fn source(words: Language, source: ServerSource) -> Cell {
    match source {
        ServerSource::Environment => Cell::Tag("good", words.text("system.source.environment").to_owned()),
        ServerSource::Database => Cell::Tag("", words.text("system.source.console").to_owned()),
    }
}

/// Whether it is in use, or only active.
pub(super) fn standing(words: Language, in_use: bool, is_active: bool) -> Cell {
    let (kind, text) = match (in_use, is_active) {
        (true, _) => ("good", "system.in_use"),
        (false, true) => ("warn", "system.overridden"),
        (false, false) => ("", "system.inactive"),
    };
    Cell::Tag(kind, words.text(text).to_owned())
}

pub(super) fn tested(words: Language, at: Option<DateTime<Utc>>) -> Cell {
    at.map_or_else(
        || Cell::Tag("", words.text("system.untested").to_owned()),
        |at| Cell::time(words, at),
    )
}

/// `GET /admin/system/g2a`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let accounts = staff.office().supplier_accounts(&staff.admin).await?;
    let may_write = staff.may(Permission::SupplierWrite);
    let is_fixed = accounts
        .iter()
        .any(|account| account.source == ServerSource::Environment);
    let rows = accounts.into_iter().map(|account| {
        let is_own = account.source == ServerSource::Database;
        Row {
            href: (may_write && is_own).then(|| format!("{ACCOUNTS}/{}", account.id)),
            cells: vec![
                Cell::Main(account.email),
                Cell::Code(account.client_id),
                Cell::Text(show::name(words, "environment", &account.environment.to_string())),
                source(words, account.source),
                standing(words, account.in_use, account.is_active),
                tested(words, account.tested_at),
            ],
        }
    });
    let head = [
        "console.column.email",
        "system.g2a.client_id",
        "system.g2a.environment",
        "system.column.source",
        "console.column.state",
        "system.column.tested",
    ];
    let mut actions = Vec::new();
    if may_write {
        actions.push((words.text("system.g2a.new"), format!("{ACCOUNTS}/new")));
    }
    let lead = if is_fixed {
        "system.g2a.lead.fixed"
    } else {
        "system.g2a.lead"
    };
    page::private(&super::TestedPage {
        layout: layout(&staff, words.text("system.g2a").to_owned(), &[]),
        lead: words.text(lead).to_owned(),
        actions,
        test: may_write.then_some("/admin/system/g2a/test"),
        table: Table::plain(words, "system.g2a", &head, rows.collect()).or_else(
            words,
            "system.g2a.none",
            "system.g2a.none.advice",
        ),
    })
}

/// `POST /admin/system/g2a/test`: a worker asks G2A with the account in use.
pub(super) async fn test(sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    let office = staff.office();
    if !office.has_worker(&staff.admin).await? {
        return Ok(forms::done(&format!("{ACCOUNTS}?done=no_worker")));
    }
    let job = match office
        .submit_job(&staff.admin, &NewJob::new(JobKind::Connection))
        .await?
    {
        Submitted::New(job) | Submitted::Joined(job) | Submitted::Busy(job) => job,
    };
    let job = office.wait_for_job(&staff.admin, job, PATIENCE).await?;
    office.forget_first_steps(&staff.admin);
    Ok(forms::done(&match job.state {
        JobState::Completed => format!("{ACCOUNTS}?done=g2a_answers"),
        // Its page says why, and follows it.
        _ => format!("/admin/supplier/jobs/{}", job.id),
    }))
}

fn form_page(
    staff: &Staff,
    account: Option<&SupplierAccount>,
    form: &Form,
    conflicts: Vec<Conflict>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let title = account.map_or_else(
        || words.text("system.g2a.new").to_owned(),
        |account| account.email.clone(),
    );
    let action = account.map_or_else(
        || format!("{ACCOUNTS}/new"),
        |account| format!("{ACCOUNTS}/{}", account.id),
    );
    let mut page = EditPage::new(
        layout(staff, title, &[(words.text("system.g2a"), ACCOUNTS)]),
        form,
        action,
        words.text("form.save"),
        ACCOUNTS.to_owned(),
    );
    page.lead = Some(words.text("system.g2a.form.lead").to_owned());
    let line = |field, value: Option<&str>| Control::Line(edit::stored(form, field, value.unwrap_or_default()));
    let secret = form.field("clientSecret", "password", words.text("system.g2a.client_secret"));
    let environment = match form.value("environment") {
        "" => account
            .map(|account| account.environment.to_string())
            .unwrap_or_default(),
        chosen => chosen.to_owned(),
    };
    page.controls = vec![
        line(
            form.field("clientId", "text", words.text("system.g2a.client_id"))
                .required(),
            account.map(|account| account.client_id.as_str()),
        ),
        line(
            form.field("email", "email", words.text("console.column.email"))
                .required(),
            account.map(|account| account.email.as_str()),
        ),
        Control::Line(if account.is_some() {
            secret
                .hint(words.text("system.secret.keep"))
                .autocomplete("new-password")
        } else {
            secret.autocomplete("new-password").required()
        }),
        Control::Choice(Choice {
            name: "environment",
            label: words.text("system.g2a.environment"),
            options: ["production", "sandbox"]
                .map(|name| {
                    let shown = show::name(words, "environment", name);
                    (name.to_owned(), shown, name == environment)
                })
                .into(),
        }),
        Control::Check(
            "active",
            words.text("system.g2a.active"),
            edit::ticked(form, "active", account.is_none_or(|account| account.is_active)),
        ),
    ];
    if let Some(account) = account {
        page.hidden = vec![edit::seen(form, "version", account.version)];
        page.actions = vec![(
            words.text("system.delete"),
            format!("{ACCOUNTS}/{}/delete", account.id),
            true,
        )];
    }
    page.conflicts = conflicts;
    page.answer(form)
}

fn entered(words: Language, form: &mut Form) -> Option<SupplierAccountForm> {
    let wanted = SupplierAccountForm {
        client_id: Some(form.value("clientId").to_owned()),
        email: Some(form.value("email").to_owned()),
        client_secret: given(form.raw("clientSecret")).map(Secret::new),
        api_key: None,
        environment: given(form.value("environment")),
        is_active: Some(form.value("active") == "yes"),
        version: form.value("version").parse().ok(),
    };
    match wanted.checked() {
        Ok(wanted) => Some(wanted),
        Err(errors) => {
            form.wrong_fields(words, &errors);
            None
        }
    }
}

/// Records why nothing was changed; whether somebody else has saved meanwhile.
fn refuse(words: Language, form: &mut Form, error: SupplierAccountError) -> Result<bool, PageError> {
    match error {
        SupplierAccountError::Change(ChangeError::Store(error)) => return Err(error.into()),
        SupplierAccountError::Change(ChangeError::NotFound(_)) => return Err(PageError::NotFound),
        SupplierAccountError::Change(ChangeError::Outdated(_)) => {
            edit::outdated(words, form, "version");
            return Ok(true);
        }
        SupplierAccountError::Change(ChangeError::InUse(_)) => {
            form.wrong("", words.text("wrong.account_in_use"));
        }
        SupplierAccountError::Change(error) => form.wrong("", format!("{error}.")),
        SupplierAccountError::Fields(errors) => {
            if let Some(other) = unplaced(&errors, &FIELDS) {
                form.wrong("", other);
            }
            form.wrong_fields(words, &errors);
        }
        SupplierAccountError::Access(error) => {
            let why = show::short(&error.to_string(), 300);
            form.wrong("", words.with("system.g2a.refused", why));
        }
        SupplierAccountError::OtherEnvironment(environment) => {
            let name = show::name(words, "environment", &environment.to_string());
            form.wrong("", words.with("system.g2a.other_environment", name));
        }
        SupplierAccountError::Environment => form.wrong("", words.text("wrong.set_by_environment")),
    }
    Ok(false)
}

/// `GET /admin/system/g2a/new`
pub(super) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, None, &Form::default(), Vec::new())
}

/// `POST /admin/system/g2a/new`
pub(super) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    if form.raw("clientSecret").is_empty() {
        form.wrong("clientSecret", words.text("wrong.required"));
    }
    if let Some(wanted) = entered(words, &mut form).filter(|_| form.is_sound()) {
        match staff
            .office()
            .save_supplier_account(&staff.admin, wanted, staff.now)
            .await
        {
            Ok(_) => {
                staff.office().forget_first_steps(&staff.admin);
                return Ok(forms::done(&format!("{ACCOUNTS}?done=saved")));
            }
            Err(error) => {
                refuse(words, &mut form, error)?;
            }
        }
    }
    form_page(&staff, None, &form, Vec::new())
}

/// An account that staff entered.
async fn read(staff: &Staff, account: &str) -> Result<SupplierAccount, PageError> {
    let account = id(account)?;
    let accounts = staff.office().supplier_accounts(&staff.admin).await?;
    let own = accounts
        .into_iter()
        .find(|known| known.id == account && known.source == ServerSource::Database);
    found(own)
}

/// `GET /admin/system/g2a/{id}`
pub(super) async fn page(staff: Staff, Path(account): Path<String>) -> Result<Response, PageError> {
    let account = read(&staff, &account).await?;
    form_page(&staff, Some(&account), &Form::default(), Vec::new())
}

/// `POST /admin/system/g2a/{id}`: a new secret of a known account rotates it.
pub(super) async fn change(Path(account): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, account) = (staff.words(), read(&staff, &account).await?);
    let mut conflicts = Vec::new();
    if let Some(wanted) = entered(words, &mut form) {
        let new = (wanted.client_id.clone(), wanted.email.clone());
        match staff
            .office()
            .change_supplier_account(&staff.admin, account.id, wanted, staff.now)
            .await
        {
            Ok(_) => {
                staff.office().forget_first_steps(&staff.admin);
                return Ok(forms::done(&format!("{ACCOUNTS}?done=saved")));
            }
            Err(error) => {
                if refuse(words, &mut form, error)? {
                    conflicts = edit::conflicts(&[
                        (
                            words.text("system.g2a.client_id"),
                            account.client_id.clone(),
                            new.0.unwrap_or_default(),
                        ),
                        (
                            words.text("console.column.email"),
                            account.email.clone(),
                            new.1.unwrap_or_default(),
                        ),
                    ]);
                }
            }
        }
    }
    form_page(&staff, Some(&account), &form, conflicts)
}

fn delete_form(staff: &Staff, account: &SupplierAccount, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let back = format!("{ACCOUNTS}/{}", account.id);
    let mut page = ActionPage::new(
        layout(
            staff,
            words.text("system.g2a.delete").to_owned(),
            &[(words.text("system.g2a"), ACCOUNTS), (&account.email, &back)],
        ),
        form,
        format!("{back}/delete"),
        words.text("system.g2a.delete"),
        back.clone(),
    );
    page.effects = vec![
        (words.text("console.column.email").to_owned(), account.email.clone()),
        (words.text("system.g2a.client_id").to_owned(), account.client_id.clone()),
    ];
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/system/g2a/{id}/delete`
pub(super) async fn delete_page(staff: Staff, Path(account): Path<String>) -> Result<Response, PageError> {
    let account = read(&staff, &account).await?;
    delete_form(&staff, &account, &Form::default())
}

/// `POST /admin/system/g2a/{id}/delete`
pub(super) async fn delete(Path(account): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let account = read(&staff, &account).await?;
    match staff.office().delete_supplier_account(&staff.admin, account.id).await {
        Ok(()) => Ok(forms::done(&format!("{ACCOUNTS}?done=deleted"))),
        Err(error) => {
            refuse(staff.words(), &mut form, error)?;
            delete_form(&staff, &account, &form)
        }
    }
}
