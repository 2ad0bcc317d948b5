//! Templates of e-mails, mail servers and the e-mail queue as staff see and enter them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::Paging;
use super::checks::{Checks, MAX_NAME};
use crate::account::FieldError;
use crate::catalogue::iso_millis;
use crate::purchase::iso_millis_or_none;
use crate::secret::Secret;

/// Shown in place of a password; sent back, it keeps the stored one.
pub const MASKED_PASSWORD: &str = "••••••••";

/// An e-mail template in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailTemplateView {
    /// Its name in paths.
    pub name: String,
    /// The name of a file with it.
    pub filename: String,
    /// When it is sent.
    pub description: String,
    /// Its variables: `{{name}}` in subject and content.
    pub variables: Vec<String>,
    /// Subject, with placeholders.
    pub subject: String,
    /// HTML between the shop's head and foot, with placeholders.
    pub content: String,
    /// Language (ISO 639-1).
    pub language: String,
    /// Number of the edit; 0 for the shipped text.
    pub version: i64,
    /// Whether staff have changed it.
    pub edited: bool,
    /// Nickname of who did; absent if their account is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_by: Option<String>,
    /// When.
    #[serde(with = "iso_millis_or_none", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub edited_at: Option<DateTime<Utc>>,
}

/// What can stand in an e-mail template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailTemplateInfo {
    /// Its name in paths.
    pub name: String,
    /// When it is sent.
    pub description: String,
    /// Its variables.
    pub variables: Vec<EmailVariable>,
    /// The languages in which it can be changed (ISO 639-1).
    pub languages: Vec<String>,
}

/// A variable of an e-mail template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailVariable {
    /// `{{name}}` stands for its value, `{{#name}}…{{/name}}` is shown only when it has one.
    pub name: String,
    /// What it is.
    pub description: String,
    /// `text`; `link`, also possible as an `href`; or `block`, several lines in the shop's format.
    pub kind: String,
    /// Whether the e-mail is of no use without it.
    pub required: bool,
}

/// A rendered e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailPreview {
    /// Language (ISO 639-1).
    pub language: String,
    /// Subject.
    pub subject: String,
    /// Plain-text body.
    pub text: String,
    /// HTML body, whole.
    pub html: String,
}

/// Where the settings of a mail server come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ServerSource {
    /// `SMTP_URL`.
    Environment,
    /// Staff entered them.
    Database,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailServer {
    /// Identifier; all zeros for the one of `SMTP_URL`.
    pub id: Uuid,
    /// Its name for people.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS from the first byte; otherwise STARTTLS, which is required with a password.
    pub secure: bool,
    /// User; empty without a log-in.
    pub user: String,
    /// Masked; empty without a log-in.
    pub password: String,
    /// Address of the sender.
    pub from_email: String,
    /// Name of the sender.
    pub from_name: Option<String>,
    /// Whether it is the active one of its source.
    pub is_active: bool,
    /// Whether e-mails are sent over it: `SMTP_URL` overrides the active one.
    pub in_use: bool,
    /// Where the settings come from.
    pub source: ServerSource,
    /// Number of the last change; a change may name the one that it replaces.
    pub version: i64,
    /// When it last let us in with these settings; `null` if it has not.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub tested_at: Option<DateTime<Utc>>,
    /// Why the last test failed; `null` if it did not.
    pub test_error: Option<String>,
    /// When it was entered.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When it was changed.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: DateTime<Utc>,
    /// What staff should know: that e-mails may be sent in clear, or that no server is active any more; else `null`.
    pub warning: Option<String>,
}

/// What was entered of a mail server, and after [`checked`](Self::checked) what is stored. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmailServerForm {
    /// Its name for people; of a new one by default its host.
    pub name: Option<String>,
    /// Host name or address.
    pub host: Option<String>,
    /// Port.
    pub port: Option<i64>,
    /// TLS from the first byte.
    pub secure: Option<bool>,
    /// User; empty for no log-in.
    pub user: Option<String>,
    /// Password; an empty or the masked one keeps the stored one.
    pub password: Option<Secret>,
    /// Address of the sender.
    pub from_email: Option<String>,
    /// Name of the sender; empty for none.
    pub from_name: Option<String>,
    /// Whether it shall be the active one.
    pub is_active: Option<bool>,
    /// The version that the form showed.
    pub version: Option<i64>,
}

impl EmailServerForm {
    /// Checks what was entered. A new server needs a host, a port and a sender.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn checked(self, is_new: bool) -> Result<Self, Vec<FieldError>> {
        let mut checks = Checks::default();
        for (path, is_there) in [
            ("host", self.host.is_some()),
            ("port", self.port.is_some()),
            ("fromEmail", self.from_email.is_some()),
        ] {
            if is_new && !is_there {
                checks.fault(path, "required", "This field is required");
            }
        }
        if self.port.is_some_and(|port| !(1..=65_535).contains(&port)) {
            checks.fault(
                "port",
                "out_of_range",
                "This field must be a whole number from 1 to 65535",
            );
        }
        let password = self.password.filter(|password| {
            let text = password.expose();
            !text.is_empty() && text != MASKED_PASSWORD
        });
        if let Some(text) = password.as_ref().map(Secret::expose) {
            if text.chars().any(char::is_control) {
                checks.fault(
                    "password",
                    "control_characters",
                    "This field must not hold control characters",
                );
            } else if text.len() > 1_000 {
                checks.fault("password", "too_long", "This field is too long");
            }
        }
        let form = Self {
            name: self
                .name
                .filter(|name| !(is_new && name.trim().is_empty()))
                .map(|text| checks.line("name", &text, MAX_NAME)),
            host: self.host.map(|text| checks.host("host", &text)),
            port: self.port,
            secure: self.secure,
            user: self.user.map(|text| checks.line_or_nothing("user", &text, 254)),
            password,
            from_email: self.from_email.map(|text| checks.address("fromEmail", &text)),
            from_name: self
                .from_name
                .map(|text| checks.line_or_nothing("fromName", &text, MAX_NAME)),
            is_active: self.is_active,
            version: self.version,
        };
        checks.finish(form)
    }
}

impl Checks {
    /// A host name, or an IP address.
    fn host(&mut self, path: &'static str, text: &str) -> String {
        let text = text.trim();
        let is_name = !text.is_empty()
            && text.len() <= 253
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if !is_name && text.parse::<std::net::Ipv6Addr>().is_err() {
            self.fault(
                path,
                "host_invalid",
                "This field must be a host name, such as mail.example.com",
            );
        }
        text.to_owned()
    }

    /// An e-mail address.
    pub(super) fn address(&mut self, path: &'static str, text: &str) -> String {
        let text = text.trim();
        let is_address = crate::account::Email::of_existing_account(text).is_ok_and(|email| email.takes_mail());
        if !is_address || text.len() > 254 || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.fault(path, "email_invalid", "This field must be an e-mail address");
        }
        text.to_owned()
    }
}

/// The state of an e-mail in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EmailState {
    /// It is to be sent, perhaps again.
    Waiting,
    /// It was given up.
    Failed,
    /// It was sent.
    Sent,
}

impl std::str::FromStr for EmailState {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "waiting" => Ok(Self::Waiting),
            "failed" => Ok(Self::Failed),
            "sent" => Ok(Self::Sent),
            _ => Err("must be waiting, failed or sent"),
        }
    }
}

/// A page of the e-mail queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailQueueList {
    /// The e-mails: those that wait in their order, the others newest first.
    pub emails: Vec<EmailQueueRow>,
    /// Number of e-mails in each state.
    pub counts: EmailQueueCounts,
    /// Pagination.
    #[serde(flatten)]
    pub paging: Paging,
}

/// Number of e-mails in each state, of the last 30 days; at most 10,000 are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailQueueCounts {
    /// To be sent.
    pub waiting: u64,
    /// Given up.
    pub failed: u64,
    /// Sent.
    pub sent: u64,
}

/// An e-mail in the queue, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailQueueRow {
    /// Identifier.
    pub id: Uuid,
    /// Address; masked for staff who may not read users.
    pub recipient: String,
    /// Name of its template.
    pub kind: String,
    /// Its state.
    pub state: EmailState,
    /// Number of attempts.
    pub attempts: u32,
    /// When it was written.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// When it is tried next; `null` unless it waits.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it was sent.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was given up.
    #[serde(with = "iso_millis_or_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub gave_up_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Whether a retry is possible and would change something.
    pub can_retry: bool,
}

/// How many e-mails are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailRetries {
    /// Number of e-mails that are due now.
    pub retried: u64,
}

/// What became of an e-mail to many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailBulkResult {
    /// The job, for its progress.
    pub job_id: Uuid,
    /// Number of addresses for which it is queued.
    pub sent: usize,
    /// Number of the others.
    pub failed: usize,
    /// Why, for each of them.
    pub errors: Vec<EmailBulkError>,
}

/// An address that is not written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailBulkError {
    /// The address as it was given.
    pub email: String,
    /// Why not.
    pub error: String,
}

/// The progress of an e-mail to many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EmailJob {
    /// Identifier.
    pub id: Uuid,
    /// Name of the template.
    pub template: String,
    /// When it was queued.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// Number of e-mails that were queued.
    pub queued: u32,
    /// Number of addresses that were refused.
    pub refused: u32,
    /// To be sent, of the last 30 days.
    pub waiting: u64,
    /// Sent, of the last 30 days.
    pub sent: u64,
    /// Given up, of the last 30 days.
    pub failed: u64,
}
