//! The e-mail queue as staff see it, and second tries of e-mails that were given up or wait.

use chrono::{DateTime, Utc};
use lockstep_domain::admin::{EmailQueueCounts, EmailQueueList, EmailQueueRow, EmailState, Page};
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use super::bounds;
use super::changes::ChangeError;
use crate::audit::{self, By};
use crate::row::{count_of, how_many_of};
use crate::{Result, Store, Tx};

/// Maximum number of e-mails of a state that are counted: more are as many for whoever looks, and cost a look at each.
const MOST_COUNTED: i64 = 10_000;

/// Maximum number of e-mails that [`retry_failed`] takes at once.
pub const MOST_RETRIED: u32 = 1_000;

struct Row {
    id: Uuid,
    recipient: String,
    kind: String,
    attempts: i32,
    created_at: DateTime<Utc>,
    not_before: DateTime<Utc>,
    is_leased: bool,
    sent_at: Option<DateTime<Utc>>,
    gave_up_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
    can_retry: bool,
}

/// E-mails in one state: those that wait in the order of writing, the others newest first.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn list(tx: &mut Tx, state: EmailState, page: Page) -> Result<EmailQueueList> {
    let (limit, offset) = bounds(page);
    let rows = match state {
        EmailState::Waiting => {
            sqlx::query_as!(
                Row,
                r#"-- store.admin.email_queue.waiting
                select id, recipient, kind, attempts, created_at, not_before, lease is not null as "is_leased!", sent_at,
                       gave_up_at, last_error, attempts > 0 and lease is null and not_before > now() as "can_retry!"
                  from mail_outbox where sent_at is null and gave_up_at is null order by seq limit $1 offset $2"#,
                limit,
                offset
            )
            .fetch_all(tx.conn())
            .await?
        }
        EmailState::Failed => {
            sqlx::query_as!(
                Row,
                r#"-- store.admin.email_queue.failed
                select id, recipient, kind, attempts, created_at, not_before, lease is not null as "is_leased!", sent_at,
                       gave_up_at, last_error, sealed is not null and not_after > now() as "can_retry!"
                  from mail_outbox where gave_up_at is not null order by gave_up_at desc, id limit $1 offset $2"#,
                limit,
                offset
            )
            .fetch_all(tx.conn())
            .await?
        }
        EmailState::Sent => {
            sqlx::query_as!(
                Row,
                r#"-- store.admin.email_queue.sent
                select id, recipient, kind, attempts, created_at, not_before, lease is not null as "is_leased!", sent_at,
                       gave_up_at, last_error, false as "can_retry!"
                  from mail_outbox where sent_at is not null order by created_at desc, id limit $1 offset $2"#,
                limit,
                offset
            )
            .fetch_all(tx.conn())
            .await?
        }
    };
    let counts = sqlx::query!(
        r#"-- store.admin.email_queue.counts
        select (select count(*) from (select from mail_outbox where sent_at is null and gave_up_at is null limit $1) few) as "waiting!",
               (select count(*) from (select from mail_outbox where gave_up_at is not null limit $1) few) as "failed!",
               (select count(*) from (select from mail_outbox where sent_at is not null limit $1) few) as "sent!""#,
        MOST_COUNTED
    )
    .fetch_one(tx.conn())
    .await?;
    let counts = EmailQueueCounts {
        waiting: how_many_of(counts.waiting),
        failed: how_many_of(counts.failed),
        sent: how_many_of(counts.sent),
    };
    let emails = rows.into_iter().map(|row| {
        Ok(EmailQueueRow {
            id: row.id,
            recipient: row.recipient,
            kind: row.kind,
            state,
            attempts: count_of(row.attempts)?,
            created_at: row.created_at,
            next_attempt_at: (state == EmailState::Waiting && !row.is_leased).then_some(row.not_before),
            sent_at: row.sent_at,
            gave_up_at: row.gave_up_at,
            last_error: row.last_error,
            can_retry: row.can_retry,
        })
    });
    Ok(EmailQueueList {
        emails: emails.collect::<Result<_>>()?,
        counts,
        paging: page.of(match state {
            EmailState::Waiting => counts.waiting,
            EmailState::Failed => counts.failed,
            EmailState::Sent => counts.sent,
        }),
    })
}

/// Makes an e-mail due now: one that was given up, while its content is kept, with all its attempts again; or one that
/// waits after a failure. On behalf of `admin`.
///
/// # Errors
/// [`ChangeError::NotFound`]; [`ChangeError::InUse`] when it was sent, is being sent, or its content is erased;
/// [`ChangeError::Store`].
pub async fn retry(store: &Store, admin: UserId, id: Uuid) -> Result<(), ChangeError> {
    store
        .tx("admin.email_queue.retry", move |tx| {
            Box::pin(async move {
                let row = sqlx::query!(
                    r#"-- store.admin.email_queue.lock
                    select kind, sent_at, gave_up_at, lease is not null and not_before > now() as "is_leased!",
                           sealed is not null as "is_kept!", not_after > now() as "is_useful!"
                      from mail_outbox where id = $1 for update"#,
                    id
                )
                .fetch_optional(tx.conn())
                .await?
                .ok_or(ChangeError::NotFound("E-mail"))?;
                let why_not = match (row.sent_at, row.gave_up_at) {
                    (Some(_), _) => Some("This e-mail was sent."),
                    (None, _) if row.is_leased => Some("This e-mail is being sent."),
                    (None, _) if !row.is_useful => Some("This e-mail is of no use any more: its time is over."),
                    (None, Some(_)) if !row.is_kept => Some("The content of this e-mail is erased."),
                    _ => None,
                };
                if let Some(why_not) = why_not {
                    return Err(ChangeError::InUse(why_not.to_owned()));
                }
                sqlx::query!(
                    "-- store.admin.email_queue.retry
                    update mail_outbox
                       set attempts = case when gave_up_at is null then attempts else 0 end, gave_up_at = null, lease = null,
                           left_at = null, not_before = now()
                     where id = $1",
                    id
                )
                .execute(tx.conn())
                .await?;
                let (subject, details) = (("email", id), json!({ "kind": row.kind }));
                Ok(audit::record(tx, &By::Staff(admin), "email.retry", subject, details).await?)
            })
        })
        .await
}

/// Makes those due now that were given up, while their content is kept, and those that wait after a failure: at most
/// [`MOST_RETRIED`], the oldest first. Returns how many. On behalf of `admin`.
///
/// # Errors
/// [`ChangeError::Store`].
pub async fn retry_failed(store: &Store, admin: UserId) -> Result<u64, ChangeError> {
    store
        .tx("admin.email_queue.retry_failed", move |tx| {
            Box::pin(async move {
                let done = sqlx::query!(
                    "-- store.admin.email_queue.retry_failed
                    update mail_outbox
                       set attempts = case when gave_up_at is null then attempts else 0 end, gave_up_at = null, lease = null,
                           left_at = null, not_before = now()
                     where id in (select id from mail_outbox
                                   where sent_at is null and not_after > now()
                                     and ((gave_up_at is not null and sealed is not null)
                                       or (gave_up_at is null and attempts > 0 and lease is null and not_before > now()))
                                   order by seq limit $1 for update skip locked)",
                    i64::from(MOST_RETRIED)
                )
                .execute(tx.conn())
                .await?;
                let (subject, details) = (("email", Uuid::nil()), json!({ "retried": done.rows_affected() }));
                audit::record(tx, &By::Staff(admin), "email.retry_failed", subject, details).await?;
                Ok(done.rows_affected())
            })
        })
        .await
}
