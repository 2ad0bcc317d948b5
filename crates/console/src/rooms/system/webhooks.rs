//! Outgoing webhooks: the endpoints, and the form of one.

use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::{ChangeError, WebhookError};
use lockstep_domain::admin::{LOW_STOCK_BELOW, WebhookEndpoint, WebhookEndpointForm, WebhookEvent};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::i18n::Language;

use super::{SecretPage, given, layout, unplaced};
use crate::edit::{self, Checks, Conflict, Control, EditPage};
use crate::gate::StaffForm;
use crate::rooms::{found, id};
use crate::staff::Staff;
use crate::table::{Cell, ListPage, Row, Table};

pub(super) const WEBHOOKS: &str = "/admin/system/webhooks";
const FIELDS: [&str; 4] = ["name", "url", "events", "lowStockBelow"];

/// Whether an endpoint works.
pub(super) fn state(words: Language, endpoint: &WebhookEndpoint) -> (&'static str, String) {
    let (kind, text) = if !endpoint.is_enabled {
        ("bad", "system.webhooks.off")
    } else if endpoint.failing_since.is_some() {
        ("warn", "system.webhooks.failing")
    } else {
        ("good", "system.webhooks.on")
    };
    (kind, words.text(text).to_owned())
}

/// `GET /admin/system/webhooks`
pub(super) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let endpoints = staff.office().webhooks(&staff.admin).await?;
    let rows = endpoints.into_iter().map(|endpoint| {
        let (kind, state) = state(words, &endpoint);
        Row {
            href: Some(format!("{WEBHOOKS}/{}", endpoint.id)),
            cells: vec![
                Cell::Main(endpoint.name),
                Cell::Text(endpoint.url),
                Cell::Tag(kind, state),
                Cell::number(words, endpoint.waiting),
                Cell::number(words, endpoint.failed),
            ],
        }
    });
    let head = [
        "console.column.name",
        "system.column.url",
        "console.column.state",
        "#system.column.waiting",
        "#system.column.failed",
    ];
    let mut actions = Vec::new();
    if staff.may(Permission::WebhooksWrite) {
        actions.push((words.text("system.webhooks.new"), format!("{WEBHOOKS}/new")));
    }
    ListPage {
        layout: layout(&staff, words.text("system.webhooks").to_owned(), &[]),
        lead: Some(words.text("system.webhooks.lead").to_owned()),
        actions,
        table: Table::plain(words, "system.webhooks", &head, rows.collect()).or_else(
            words,
            "system.webhooks.none",
            "system.webhooks.none.advice",
        ),
    }
    .answer(&staff)
    .await
}

fn form_page(
    staff: &Staff,
    endpoint: Option<&WebhookEndpoint>,
    form: &Form,
    conflicts: Vec<Conflict>,
) -> Result<Response, PageError> {
    let words = staff.words();
    let (title, back) = match endpoint {
        Some(endpoint) => (endpoint.name.clone(), format!("{WEBHOOKS}/{}", endpoint.id)),
        None => (words.text("system.webhooks.new").to_owned(), WEBHOOKS.to_owned()),
    };
    let action = endpoint.map_or_else(|| format!("{WEBHOOKS}/new"), |_| format!("{back}/edit"));
    let mut page = EditPage::new(
        layout(staff, title, &[(words.text("system.webhooks"), WEBHOOKS)]),
        form,
        action,
        words.text("form.save"),
        back,
    );
    let shown = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let bound = endpoint
        .map_or(LOW_STOCK_BELOW, |endpoint| endpoint.low_stock_below)
        .to_string();
    let events: Vec<String> = if edit::has_input(form) {
        form.values("events").map(str::to_owned).collect()
    } else {
        endpoint.map(|endpoint| endpoint.events.clone()).unwrap_or_default()
    };
    let line = |field, value: &str| Control::Line(edit::stored(form, field, value));
    page.controls = vec![
        line(
            form.field("url", "url", words.text("system.column.url"))
                .hint(words.text("system.webhooks.url.hint"))
                .required(),
            &shown(endpoint.map(|endpoint| endpoint.url.as_str())),
        ),
        line(
            form.field("name", "text", words.text("console.column.name"))
                .hint(words.text("system.webhooks.name.hint")),
            &shown(endpoint.map(|endpoint| endpoint.name.as_str())),
        ),
        Control::Checks(Checks {
            name: "events",
            legend: words.text("system.webhooks.events"),
            hint: None,
            options: WebhookEvent::ALL
                .iter()
                .map(|event| {
                    let is_ticked = events.iter().any(|name| name == event.name());
                    (event.name().to_owned(), event.name().to_owned(), is_ticked)
                })
                .collect(),
            error: form.error("events").map(str::to_owned),
        }),
        line(
            form.field("lowStockBelow", "text", words.text("system.webhooks.bound"))
                .digits()
                .required(),
            &bound,
        ),
    ];
    if let Some(endpoint) = endpoint {
        page.hidden = vec![edit::seen(form, "version", endpoint.version)];
        page.controls.push(Control::Check(
            "enabled",
            words.text("system.webhooks.enabled"),
            edit::ticked(form, "enabled", endpoint.is_enabled),
        ));
    }
    page.conflicts = conflicts;
    page.answer(form)
}

fn entered(words: Language, form: &mut Form, is_new: bool) -> Option<WebhookEndpointForm> {
    let wanted = WebhookEndpointForm {
        name: given(form.value("name")).or_else(|| (!is_new).then(String::new)),
        url: Some(form.value("url").to_owned()),
        events: Some(form.values("events").map(str::to_owned).collect()),
        low_stock_below: Some(form.value("lowStockBelow").parse().unwrap_or(0)),
        is_enabled: (!is_new).then(|| form.value("enabled") == "yes"),
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
pub(super) fn refuse(words: Language, form: &mut Form, error: WebhookError) -> Result<bool, PageError> {
    match error {
        WebhookError::Change(ChangeError::Store(error)) => return Err(error.into()),
        WebhookError::Change(ChangeError::NotFound(_)) => return Err(PageError::NotFound),
        WebhookError::Change(ChangeError::NameTaken(_)) => form.wrong("name", words.text("wrong.name_taken")),
        WebhookError::Change(ChangeError::Outdated(_)) => {
            edit::outdated(words, form, "version");
            return Ok(true);
        }
        WebhookError::Change(error) => form.wrong("", format!("{error}.")),
        WebhookError::Address(error) => form.wrong("url", format!("{error}.")),
        WebhookError::Fields(errors) => {
            if let Some(other) = unplaced(&errors, &FIELDS) {
                form.wrong("", other);
            }
            form.wrong_fields(words, &errors);
        }
    }
    Ok(false)
}

/// `GET /admin/system/webhooks/new`
pub(super) async fn new_page(staff: Staff) -> Result<Response, PageError> {
    form_page(&staff, None, &Form::default(), Vec::new())
}

/// `POST /admin/system/webhooks/new`: the answer is the secret, once; nothing stores the page.
pub(super) async fn create(sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let words = staff.words();
    if let Some(wanted) = entered(words, &mut form, true) {
        match staff.office().create_webhook(&staff.admin, &wanted).await {
            Ok(made) => {
                let page = SecretPage {
                    layout: layout(&staff, made.listed.name, &[(words.text("system.webhooks"), WEBHOOKS)]),
                    label: words.text("system.webhooks.secret"),
                    secret: made.secret.expose().to_owned(),
                    back: format!("{WEBHOOKS}/{}", made.listed.id),
                };
                return page.answer();
            }
            Err(error) => {
                refuse(words, &mut form, error)?;
            }
        }
    }
    form_page(&staff, None, &form, Vec::new())
}

pub(super) async fn read(staff: &Staff, endpoint: &str) -> Result<WebhookEndpoint, PageError> {
    found(staff.office().webhook(&staff.admin, id(endpoint)?).await?)
}

/// `GET /admin/system/webhooks/{id}/edit`
pub(super) async fn page(staff: Staff, Path(endpoint): Path<String>) -> Result<Response, PageError> {
    let endpoint = read(&staff, &endpoint).await?;
    form_page(&staff, Some(&endpoint), &Form::default(), Vec::new())
}

/// `POST /admin/system/webhooks/{id}/edit`
pub(super) async fn change(Path(endpoint): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, before) = (staff.words(), read(&staff, &endpoint).await?);
    let mut conflicts = Vec::new();
    if let Some(wanted) = entered(words, &mut form, false) {
        match staff.office().change_webhook(&staff.admin, before.id, &wanted).await {
            Ok(_) => return Ok(forms::done(&format!("{WEBHOOKS}/{}?done=saved", before.id))),
            Err(error) => {
                if refuse(words, &mut form, error)? {
                    conflicts = edit::conflicts(&[
                        (
                            words.text("system.column.url"),
                            before.url.clone(),
                            wanted.url.unwrap_or_default(),
                        ),
                        (
                            words.text("console.column.name"),
                            before.name.clone(),
                            wanted.name.unwrap_or_default(),
                        ),
                        (
                            words.text("system.webhooks.events"),
                            before.events.join("\n"),
                            wanted.events.unwrap_or_default().join("\n"),
                        ),
                    ]);
                }
            }
        }
    }
    form_page(&staff, Some(&before), &form, conflicts)
}
