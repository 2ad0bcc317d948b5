//! An endpoint of webhooks: its secrets, its deliveries, and what can be done with them.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use chrono::{NaiveDate, NaiveTime, TimeDelta};
use lockstep_admin::{ChangeError, OVERLAP_HOURS, WebhookError};
use lockstep_domain::admin::{WebhookDelivery, WebhookEndpoint, WebhookState};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::{self, Form};
use lockstep_page::{format, page};
use uuid::Uuid;

use super::webhooks::{WEBHOOKS, read, refuse, state};
use super::{SecretPage, layout};
use crate::action::ActionPage;
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::rooms::{found, id};
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, Filter, Row, Table, with_query};

#[derive(Template)]
#[template(path = "webhook.html")]
struct WebhookPage {
    layout: Layout,
    state: (&'static str, String),
    facts: Vec<(&'static str, String)>,
    /// The endpoint was disabled for this reason.
    disabled: Option<String>,
    may_write: bool,
    address: String,
    secrets: Table,
    deliveries: Table,
}

/// `GET /admin/system/webhooks/{id}`
pub(super) async fn page(staff: Staff, Path(endpoint): Path<String>) -> Result<Response, PageError> {
    let (words, endpoint) = (staff.words(), read(&staff, &endpoint).await?);
    let wanted = staff.parameter("state").and_then(|name| WebhookState::from_name(&name));
    let listed = staff
        .office()
        .webhook_deliveries(&staff.admin, endpoint.id, wanted, staff.page());
    let listed = found(listed.await?)?;
    let may_write = staff.may(Permission::WebhooksWrite);
    let facts = vec![
        (words.text("system.column.url"), endpoint.url.clone()),
        (words.text("system.webhooks.events"), endpoint.events.join(", ")),
        (
            words.text("system.webhooks.bound"),
            endpoint.low_stock_below.to_string(),
        ),
        (
            words.text("system.column.waiting"),
            format::number(words, endpoint.waiting),
        ),
        (
            words.text("system.column.failed"),
            format::number(words, endpoint.failed),
        ),
    ];
    let rows = listed.deliveries.into_iter().map(|one| row(&staff, &endpoint, one));
    let head = [
        "system.webhooks.event",
        "console.column.state",
        "#console.column.attempts",
        "#system.column.answer",
        "console.column.time",
        "console.column.note",
        "console.column.action",
    ];
    let filter = Filter::choice(
        &staff,
        "state",
        words.text("console.column.state"),
        show::choices(words, "delivery_state", ["waiting", "delivered", "failed"]),
    );
    let deliveries = Table::plain(words, "system.webhooks.deliveries", &head, rows.collect())
        .filtered(&staff, vec![filter])
        .paged(&staff, listed.paging)
        .or_else(
            words,
            "system.webhooks.deliveries.none",
            "system.webhooks.deliveries.none.advice",
        );
    page::private(&WebhookPage {
        layout: layout(
            &staff,
            endpoint.name.clone(),
            &[(words.text("system.webhooks"), WEBHOOKS)],
        ),
        state: state(words, &endpoint),
        facts,
        disabled: (!endpoint.is_enabled)
            .then(|| endpoint.disabled_reason.clone())
            .flatten(),
        may_write,
        address: format!("{WEBHOOKS}/{}", endpoint.id),
        secrets: secrets(&staff, &endpoint),
        deliveries,
    })
}

fn secrets(staff: &Staff, endpoint: &WebhookEndpoint) -> Table {
    let words = staff.words();
    let may_write = staff.may(Permission::WebhooksWrite);
    let rows = endpoint.secrets.iter().map(|secret| Row {
        href: None,
        cells: vec![
            Cell::Code(secret.hint.clone()),
            Cell::time(words, secret.created_at),
            match secret.ends_at {
                Some(at) => Cell::time(words, at),
                None => Cell::Tag("good", words.text("system.webhooks.current").to_owned()),
            },
            if may_write && secret.ends_at.is_some() {
                Cell::Action(
                    format!("{WEBHOOKS}/{}/secrets/{}/end", endpoint.id, secret.id),
                    words.text("system.webhooks.end"),
                )
            } else {
                Cell::Nothing
            },
        ],
    });
    let head = [
        "system.webhooks.secret",
        "system.column.made",
        "system.column.signs_until",
        "console.column.action",
    ];
    Table::plain(words, "system.webhooks.secrets", &head, rows.collect())
}

fn row(staff: &Staff, endpoint: &WebhookEndpoint, delivery: WebhookDelivery) -> Row {
    let words = staff.words();
    let kind = match delivery.state {
        WebhookState::Delivered => "good",
        WebhookState::Waiting => "warn",
        WebhookState::Failed => "bad",
    };
    let can_replay = delivery.state != WebhookState::Waiting && staff.may(Permission::WebhooksWrite);
    Row {
        href: None,
        cells: vec![
            Cell::Text(delivery.event),
            Cell::Tag(kind, show::name(words, "delivery_state", delivery.state.name())),
            Cell::number(words, delivery.attempts.into()),
            delivery
                .status
                .map_or(Cell::Nothing, |status| Cell::Number(status.to_string())),
            Cell::time(words, delivery.created_at),
            Cell::text_or_none(delivery.last_error.map(|error| show::short(&error, 160))),
            if can_replay {
                Cell::Post(
                    format!("{WEBHOOKS}/{}/deliveries/{}/replay", endpoint.id, delivery.id),
                    words.text("system.webhooks.replay_one"),
                )
            } else {
                Cell::Nothing
            },
        ],
    }
}

/// The page of something that is done with an endpoint.
fn action(staff: &Staff, endpoint: &WebhookEndpoint, form: &Form, what: &str, title: &'static str) -> ActionPage {
    let words = staff.words();
    let back = format!("{WEBHOOKS}/{}", endpoint.id);
    let mut page = ActionPage::new(
        layout(
            staff,
            title.to_owned(),
            &[(words.text("system.webhooks"), WEBHOOKS), (&endpoint.name, &back)],
        ),
        form,
        format!("{back}/{what}"),
        title,
        back.clone(),
    );
    page.effects = vec![(words.text("system.column.url").to_owned(), endpoint.url.clone())];
    page
}

fn delete_form(staff: &Staff, endpoint: &WebhookEndpoint, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = action(staff, endpoint, form, "delete", words.text("system.webhooks.delete"));
    page.effects.push((
        words.text("system.column.waiting").to_owned(),
        format::number(words, endpoint.waiting),
    ));
    page.warning = Some(words.text("system.webhooks.delete.warning").to_owned());
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/system/webhooks/{id}/delete`
pub(super) async fn delete_page(staff: Staff, Path(endpoint): Path<String>) -> Result<Response, PageError> {
    let endpoint = read(&staff, &endpoint).await?;
    delete_form(&staff, &endpoint, &Form::default())
}

/// `POST /admin/system/webhooks/{id}/delete`
pub(super) async fn delete(Path(endpoint): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let endpoint = read(&staff, &endpoint).await?;
    match staff.office().delete_webhook(&staff.admin, endpoint.id).await {
        Ok(()) => Ok(forms::done(&format!("{WEBHOOKS}?done=deleted"))),
        Err(error) => {
            refuse(staff.words(), &mut form, error)?;
            delete_form(&staff, &endpoint, &form)
        }
    }
}

fn rotate_form(staff: &Staff, endpoint: &WebhookEndpoint, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = action(staff, endpoint, form, "secrets", words.text("system.webhooks.rotate"));
    page.warning = Some(words.text("system.webhooks.rotate.warning").to_owned());
    page.fields = vec![
        form.field("overlapHours", "text", words.text("system.webhooks.overlap"))
            .hint(words.text("system.webhooks.overlap.hint"))
            .filled(&OVERLAP_HOURS.to_string())
            .digits()
            .required(),
    ];
    page.answer(form)
}

/// `GET /admin/system/webhooks/{id}/secrets`
pub(super) async fn rotate_page(staff: Staff, Path(endpoint): Path<String>) -> Result<Response, PageError> {
    let endpoint = read(&staff, &endpoint).await?;
    rotate_form(&staff, &endpoint, &Form::default())
}

/// `POST /admin/system/webhooks/{id}/secrets`: the answer is the secret, once; nothing stores the page.
pub(super) async fn rotate(Path(endpoint): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, endpoint) = (staff.words(), read(&staff, &endpoint).await?);
    // What is no number is out of range.
    let hours = form.value("overlapHours").parse().unwrap_or(-1);
    let made = staff
        .office()
        .rotate_webhook_secret(&staff.admin, endpoint.id, Some(hours));
    match made.await {
        Ok(made) => {
            let back = format!("{WEBHOOKS}/{}", endpoint.id);
            let page = SecretPage {
                layout: layout(&staff, endpoint.name, &[(words.text("system.webhooks"), WEBHOOKS)]),
                label: words.text("system.webhooks.secret"),
                secret: made.secret.expose().to_owned(),
                back,
            };
            page.answer()
        }
        Err(WebhookError::Fields(errors)) => {
            form.wrong_fields(words, &errors);
            rotate_form(&staff, &endpoint, &form)
        }
        Err(error) => {
            refuse(words, &mut form, error)?;
            rotate_form(&staff, &endpoint, &form)
        }
    }
}

fn end_form(staff: &Staff, endpoint: &WebhookEndpoint, secret: Uuid, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let known = found(endpoint.secrets.iter().find(|known| known.id == secret))?;
    let what = format!("secrets/{secret}/end");
    let mut page = action(staff, endpoint, form, &what, words.text("system.webhooks.end"));
    page.effects
        .push((words.text("system.webhooks.secret").to_owned(), known.hint.clone()));
    page.warning = Some(words.text("system.webhooks.end.warning").to_owned());
    page.is_danger = true;
    page.answer(form)
}

/// `GET /admin/system/webhooks/{id}/secrets/{secret}/end`
pub(super) async fn end_page(
    staff: Staff,
    Path((endpoint, secret)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let endpoint = read(&staff, &endpoint).await?;
    end_form(&staff, &endpoint, id(&secret)?, &Form::default())
}

/// `POST /admin/system/webhooks/{id}/secrets/{secret}/end`
pub(super) async fn end(
    Path((endpoint, secret)): Path<(String, String)>,
    sent: StaffForm,
) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (endpoint, secret) = (read(&staff, &endpoint).await?, id(&secret)?);
    match staff
        .office()
        .end_webhook_secret(&staff.admin, endpoint.id, secret)
        .await
    {
        Ok(()) => Ok(forms::done(&format!("{WEBHOOKS}/{}?done=saved", endpoint.id))),
        Err(error) => {
            refuse(staff.words(), &mut form, error)?;
            end_form(&staff, &endpoint, secret, &form)
        }
    }
}

/// What became of a request without a page of its own.
fn done(endpoint: &WebhookEndpoint, result: Result<(), WebhookError>, done: &str) -> Result<Response, PageError> {
    let done = match result {
        Ok(()) => done,
        Err(WebhookError::Change(ChangeError::Store(error))) => return Err(error.into()),
        Err(WebhookError::Change(ChangeError::NotFound(_))) => return Err(PageError::NotFound),
        Err(_) => "webhook_off",
    };
    let address = format!("{WEBHOOKS}/{}", endpoint.id);
    Ok(forms::done(&with_query(&address, [("done", done)])))
}

/// `POST /admin/system/webhooks/{id}/ping`
pub(super) async fn ping(Path(endpoint): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    let endpoint = read(&staff, &endpoint).await?;
    let pinged = staff.office().ping_webhook(&staff.admin, endpoint.id).await;
    done(&endpoint, pinged.map(drop), "pinged")
}

/// `POST /admin/system/webhooks/{id}/deliveries/{delivery}/replay`
pub(super) async fn replay_one(
    Path((endpoint, delivery)): Path<(String, String)>,
    sent: StaffForm,
) -> Result<Response, PageError> {
    let staff = sent.staff;
    let (endpoint, delivery) = (read(&staff, &endpoint).await?, id(&delivery)?);
    let replayed = staff
        .office()
        .replay_delivery(&staff.admin, endpoint.id, delivery)
        .await;
    done(&endpoint, replayed, "replay_due")
}

fn replay_form(staff: &Staff, endpoint: &WebhookEndpoint, form: &Form) -> Result<Response, PageError> {
    let words = staff.words();
    let mut page = action(staff, endpoint, form, "replay", words.text("system.webhooks.replay"));
    page.effects.push((
        words.text("system.column.failed").to_owned(),
        format::number(words, endpoint.failed),
    ));
    page.warning = Some(words.text("system.webhooks.replay.warning").to_owned());
    let day = |days: i64| (staff.now - TimeDelta::days(days)).format("%Y-%m-%d").to_string();
    page.fields = vec![
        form.field("from", "date", words.text("system.webhooks.from"))
            .filled(&day(1))
            .required(),
        form.field("until", "date", words.text("system.webhooks.until"))
            .filled(&day(0))
            .required(),
    ];
    page.check = Some(("all", words.text("system.webhooks.all"), form.value("all") == "yes"));
    page.answer(form)
}

/// `GET /admin/system/webhooks/{id}/replay`
pub(super) async fn replay_page(staff: Staff, Path(endpoint): Path<String>) -> Result<Response, PageError> {
    let endpoint = read(&staff, &endpoint).await?;
    replay_form(&staff, &endpoint, &Form::default())
}

/// `POST /admin/system/webhooks/{id}/replay`
pub(super) async fn replay(Path(endpoint): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let StaffForm { staff, mut form } = sent;
    let (words, endpoint) = (staff.words(), read(&staff, &endpoint).await?);
    let mut day = |name: &'static str| {
        let day = NaiveDate::parse_from_str(form.value(name), "%Y-%m-%d").ok();
        let day = day.filter(|day| (2000..=9998).contains(&chrono::Datelike::year(day)));
        if day.is_none() {
            form.wrong(name, words.text("wrong.day_invalid"));
        }
        day.map(|day| day.and_time(NaiveTime::MIN).and_utc())
    };
    if let (Some(from), Some(last)) = (day("from"), day("until")) {
        let (until, all) = (last + TimeDelta::days(1), form.value("all") == "yes");
        let replayed = staff
            .office()
            .replay_deliveries(&staff.admin, endpoint.id, from, until, None, all);
        match replayed.await {
            Ok(replayed) => {
                let amount = replayed.replayed.to_string();
                let address = format!("{WEBHOOKS}/{}", endpoint.id);
                let address = with_query(&address, [("done", "replayed"), ("amount", amount.as_str())]);
                return Ok(forms::done(&address));
            }
            Err(WebhookError::Fields(_)) => form.wrong("until", words.text("wrong.webhook_window")),
            Err(error) => {
                refuse(words, &mut form, error)?;
            }
        }
    }
    replay_form(&staff, &endpoint, &form)
}
