//! E-mails to many.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_auth::Admin;
use lockstep_domain::account::{Email, FieldError};
use lockstep_domain::admin::{EmailBulkError, EmailBulkResult, EmailJob};
use lockstep_store::idempotency::Idempotency;
use lockstep_store::mail::announcements::{self, NewJob};
use uuid::Uuid;

use crate::BackOffice;
use crate::mailing::EmailError;

/// Maximum number of addresses per call.
const MOST_ADDRESSES: usize = 1_000;
/// Maximum lengths of the values, in characters.
const MOST_TITLE: usize = 200;
const MOST_MESSAGE: usize = 4_000;
const MOST_LINK: usize = 500;

impl BackOffice {
    /// Queues the announcement for `emails`, all or none: with the shop's name in place of a title that is not given, so
    /// that an edited text needs no values. Recorded in the audit log. With `key`, repeated calls queue it once.
    ///
    /// # Errors
    /// [`EmailError::Fields`], [`EmailError::KeyReused`]; then nothing is queued.
    pub async fn send_to_many(
        &self,
        by: &Admin,
        template: &str,
        emails: &[String],
        values: &BTreeMap<String, String>,
        key: Option<&Idempotency>,
    ) -> Result<EmailBulkResult, EmailError> {
        let (title, message, link) = checked(template, emails, values).map_err(EmailError::Fields)?;
        let title = title.unwrap_or_else(|| self.mailing.head.shop.clone());
        let mut errors = Vec::new();
        let (mut seen, mut recipients) = (BTreeSet::new(), Vec::new());
        for given in emails {
            match Email::of_existing_account(given.trim()).ok().filter(Email::takes_mail) {
                None => errors.push(refused(given, "This is not an e-mail address")),
                Some(email) if !seen.insert(email.as_str().to_lowercase()) => {
                    errors.push(refused(given, "This address is given more than once"));
                }
                Some(email) => recipients.push(email.as_str().to_owned()),
            }
        }
        let job = NewJob {
            id: Uuid::now_v7(),
            refused: errors.len(),
            title,
            message,
            link,
            recipients,
        };
        let queued = announcements::queue(&self.store, by.caller().user(), &job, key).await?;
        let sent = job.recipients.len().saturating_sub(queued.unsubscribed.len());
        let unsubscribed = queued
            .unsubscribed
            .iter()
            .filter_map(|place| job.recipients.get(*place));
        errors.extend(unsubscribed.map(|email| refused(email, "This recipient has unsubscribed")));
        Ok(EmailBulkResult {
            job_id: queued.job,
            sent,
            failed: errors.len(),
            errors,
        })
    }

    /// The progress of an e-mail to many.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn email_job(&self, _by: &Admin, id: Uuid) -> lockstep_store::Result<Option<EmailJob>> {
        let job = announcements::job(&self.store, id).await?;
        Ok(job.map(|job| EmailJob {
            id: job.id,
            template: job.template,
            created_at: job.created_at,
            queued: job.queued,
            refused: job.refused,
            waiting: job.waiting,
            sent: job.sent,
            failed: job.failed,
        }))
    }
}

fn refused(email: &str, error: &str) -> EmailBulkError {
    EmailBulkError {
        email: email.chars().take(254).collect(),
        error: error.to_owned(),
    }
}

/// Title, message and link; each may be missing.
fn checked(
    template: &str,
    emails: &[String],
    values: &BTreeMap<String, String>,
) -> Result<(Option<String>, String, Option<String>), Vec<FieldError>> {
    let mut faults = Vec::new();
    let mut fault = |path, code, msg| faults.push(FieldError { path, code, msg });
    if template != "announcement" {
        fault(
            "templateName",
            "not_for_many",
            "This field must be announcement: the other e-mails are about one account",
        );
    }
    if emails.is_empty() || emails.len() > MOST_ADDRESSES {
        fault("emails", "out_of_range", "This field must have 1 to 1000 addresses");
    }
    let value = |name: &str| values.get(name).map(|text| text.trim()).unwrap_or_default();
    let (title, message, link) = (value("title"), value("message"), value("link"));
    let is_clean = |text: &str| !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    let is_title = title.chars().nth(MOST_TITLE).is_none() && !title.chars().any(char::is_control);
    if !is_title {
        fault(
            "variables",
            "title_invalid",
            "The title in this field must be one line of at most 200 characters",
        );
    } else if message.chars().nth(MOST_MESSAGE).is_some() || !is_clean(message) {
        fault(
            "variables",
            "message_invalid",
            "The message in this field must be text of at most 4000 characters",
        );
    } else if !link.is_empty() && !is_address(link) {
        fault(
            "variables",
            "link_invalid",
            "The link in this field must be an address, such as https://example.com/sale",
        );
    }
    if faults.is_empty() {
        let some = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok((some(title), message.to_owned(), some(link)))
    } else {
        Err(faults)
    }
}

fn is_address(link: &str) -> bool {
    ["https://", "http://"]
        .iter()
        .any(|scheme| link.len() > scheme.len() && link.starts_with(scheme))
        && link.len() <= MOST_LINK
        && !link
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '\\'))
}
