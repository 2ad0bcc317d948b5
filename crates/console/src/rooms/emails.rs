//! The e-mail queue: what waits, what was given up, what was sent.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use lockstep_admin::ChangeError;
use lockstep_domain::admin::{EmailQueueRow, EmailState};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::{format, forms, page};

use super::id;
use crate::gate::StaffForm;
use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;
use crate::table::{Cell, Row, Table};

/// A state as a tab: name, number of e-mails, address, whether it is shown.
struct Tab {
    name: String,
    count: String,
    address: String,
    is_current: bool,
}

#[derive(Template)]
#[template(path = "emails.html")]
struct EmailsPage {
    layout: Layout,
    tabs: Vec<Tab>,
    /// Label of the button that sends all again, if there is something to send.
    retry_all: Option<String>,
    table: Table,
}

/// `GET /admin/emails`
pub(crate) async fn list(staff: Staff) -> Result<Response, PageError> {
    let words = staff.words();
    let asked = staff.parameter("state").and_then(|state| state.parse().ok());
    let state = asked.unwrap_or(EmailState::Waiting);
    let queue = staff.office().email_queue(&staff.admin, state, staff.page()).await?;
    let counts = queue.counts;
    let tabs = [
        ("waiting", EmailState::Waiting, counts.waiting),
        ("failed", EmailState::Failed, counts.failed),
        ("sent", EmailState::Sent, counts.sent),
    ];
    let may_retry = staff.may(Permission::EmailWrite);
    let rows = queue.emails.into_iter().map(|email| row(&staff, email));
    let head = [
        "console.column.recipient",
        "console.column.kind",
        "#console.column.attempts",
        "console.column.written",
        "console.column.next",
        "console.column.note",
    ];
    let page = EmailsPage {
        layout: Layout::new(&staff, words.text("console.room.emails").to_owned(), &[]),
        tabs: tabs
            .into_iter()
            .map(|(name, of, count)| Tab {
                name: show::name(words, "email_state", name),
                count: format::number(words, count),
                address: format!("/admin/emails?state={name}"),
                is_current: of == state,
            })
            .collect(),
        retry_all: (may_retry && counts.failed > 0 && state == EmailState::Failed)
            .then(|| words.count("console.emails.retry_all", counts.failed)),
        table: Table::plain(words, "console.room.emails", &head, rows.collect())
            .paged(&staff, queue.paging)
            .or_else(words, "console.emails.none", "console.emails.none.advice")
            .reads(&["state"])
            .finished(&staff)
            .await?,
    };
    page::private(&page)
}

fn row(staff: &Staff, email: EmailQueueRow) -> Row {
    let words = staff.words();
    let note = email.last_error.map(|error| show::short(&error, 160));
    Row {
        href: None,
        cells: vec![
            Cell::Text(email.recipient),
            Cell::Text(show::name(words, "email", &email.kind)),
            Cell::number(words, email.attempts.into()),
            Cell::time(words, email.created_at),
            match (
                email.can_retry,
                email.next_attempt_at.or(email.sent_at).or(email.gave_up_at),
            ) {
                (true, _) if staff.may(Permission::EmailWrite) => Cell::Post(
                    format!("/admin/emails/{}/retry", email.id),
                    words.text("console.emails.retry"),
                ),
                (_, at) => Cell::time_or_none(words, at),
            },
            Cell::text_or_none(note),
        ],
    }
}

/// `POST /admin/emails/{id}/retry`
pub(crate) async fn retry(Path(email): Path<String>, sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    let done = match staff.office().retry_email(&staff.admin, id(&email)?).await {
        Ok(()) => "email_due",
        Err(ChangeError::NotFound(_)) => return Err(PageError::NotFound),
        Err(ChangeError::Store(error)) => return Err(error.into()),
        Err(_) => "email_not_due",
    };
    Ok(forms::done(&format!("/admin/emails?done={done}")))
}

/// `POST /admin/emails/retry`
pub(crate) async fn retry_all(sent: StaffForm) -> Result<Response, PageError> {
    let staff = sent.staff;
    let retried = match staff.office().retry_failed_emails(&staff.admin).await {
        Ok(retried) => retried.retried,
        Err(ChangeError::Store(error)) => return Err(error.into()),
        Err(_) => return Err(PageError::Internal),
    };
    Ok(forms::done(&format!("/admin/emails?done=emails_due&amount={retried}")))
}
