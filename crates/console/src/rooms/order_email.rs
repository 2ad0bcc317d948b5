//! An e-mail about an order, as it is sent: from the order's timeline.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use lockstep_admin::EmailContent;
use lockstep_domain::html;
use lockstep_domain::ids::OrderId;
use lockstep_page::error::PageError;
use lockstep_page::{format, page};

use super::{found, id};
use crate::edit::Preview;
use crate::layout::Layout;
use crate::show;
use crate::staff::Staff;

#[derive(Template)]
#[template(path = "order_email.html")]
struct OrderEmailPage {
    layout: Layout,
    facts: Vec<(&'static str, String)>,
    /// What it says, as far as it is kept.
    preview: Option<Preview>,
    /// Why it is not shown.
    absent: Option<&'static str>,
}

/// `GET /admin/orders/{id}/emails/{email}`
pub(crate) async fn page(staff: Staff, Path((order, email)): Path<(String, String)>) -> Result<Response, PageError> {
    let (words, order_id, email_id) = (staff.words(), OrderId(id(&order)?), id(&email)?);
    let email = found(staff.office().order_email(&staff.admin, order_id, email_id).await?)?;
    let history = found(staff.office().order_history(&staff.admin, order_id).await?)?;
    let (number, address) = (
        words.with("console.order.title", &history.number),
        format!("/admin/orders/{order_id}"),
    );
    let state = match (email.sent_at, email.gave_up_at) {
        (Some(at), _) => (words.text("console.event.email.sent"), at),
        (None, Some(at)) => (words.text("console.event.email.failed"), at),
        (None, None) => (words.text("console.event.email.waiting"), email.created_at),
    };
    let facts = vec![
        (words.text("console.column.recipient"), email.recipient),
        (
            words.text("console.order_email.written"),
            format::moment(words, email.created_at),
        ),
        (state.0, format::moment(words, state.1)),
    ];
    let (preview, absent) = match email.content {
        EmailContent::Kept(kept) => {
            // In this page's own style: mail programs have theirs.
            let body = kept.html.split_once("<body").and_then(|(_, rest)| rest.split_once('>'));
            let preview = Preview {
                title: kept.subject.clone(),
                html: html::article(body.map_or(kept.html.as_str(), |(_, body)| body)),
                text: Some(kept.text.clone()),
            };
            (Some(preview), None)
        }
        EmailContent::Unreadable => (None, Some("console.order_email.unreadable")),
        EmailContent::Forgotten => (None, Some("console.order_email.forgotten")),
    };
    let page = OrderEmailPage {
        layout: Layout::new(
            &staff,
            show::name(words, "email", &email.kind),
            &[
                (words.text("console.room.orders"), "/admin/orders"),
                (&number, &address),
            ],
        ),
        facts,
        preview,
        absent: absent.map(|why| words.text(why)),
    };
    Ok(page::secret(StatusCode::OK, page.render()?))
}
