//! How staff reach the mail server: which one is in use, tests of its settings, and e-mails sent at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_domain::account::FieldError;
use lockstep_mail::edited::SourceError;
use lockstep_mail::{EmailBranding, EmailTransport, EmailTransportError, RenderedEmail, SmtpAddress};
use lockstep_store::mail::announcements::QueueError;
use lockstep_store::mail::servers::{self, Server};
use lockstep_store::{Store, StoreError};
use tokio::sync::Semaphore;

use crate::ChangeError;

/// Time limit of a test or of an e-mail that is sent at once: the request itself has ten seconds.
const PATIENCE: Duration = Duration::from_secs(7);
/// Time limit of one answer of the mail server.
const ANSWER: Duration = Duration::from_secs(5);
/// Number of conversations with mail servers at the same time.
const MOST_AT_ONCE: usize = 4;
/// Maximum length of a server's reason, in characters.
const MOST_REASON: usize = 300;

/// Why something about e-mails was refused.
#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    /// The text of a template is wrong.
    #[error("{0}")]
    Source(#[from] SourceError),
    /// Nothing changed.
    #[error("{0}")]
    Change(#[from] ChangeError),
    /// Fields are invalid.
    #[error("Validation failed")]
    Fields(Vec<FieldError>),
    /// The mail server refused, or cannot be reached. Without secrets.
    #[error("The mail server refuses: {0}")]
    Server(String),
    /// No mail server is known.
    #[error("No mail server is active. Enter one first.")]
    NoServer,
    /// The password of the mail server cannot be opened.
    #[error("No secret of LOCKSTEP_KEY_SECRET opens the password of this mail server. Enter it again.")]
    Locked,
    /// The idempotency key was used for another request.
    #[error("This Idempotency-Key was used for another request")]
    KeyReused,
    /// The server of `SMTP_URL` is not changed here.
    #[error("This mail server is set by SMTP_URL. Change it there.")]
    Environment,
    /// Too many conversations with mail servers at the same time.
    #[error("Other mail servers are being tested. Try again in a few seconds.")]
    Busy,
}

impl From<QueueError> for EmailError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::KeyReused => Self::KeyReused,
            QueueError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for EmailError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// The mail server of `SMTP_URL`.
#[derive(Clone)]
pub struct FixedServer {
    /// Where.
    pub address: SmtpAddress,
    /// Its connections.
    pub transport: EmailTransport,
}

/// The e-mail settings of this process.
#[derive(Clone)]
pub struct Mailing {
    /// Name and address of the shop.
    pub head: EmailBranding,
    /// The server of `SMTP_URL`, which overrides those that staff enter.
    pub fixed: Option<FixedServer>,
    /// Where e-mails go while no server is active.
    pub otherwise: Option<EmailTransport>,
    /// When this process read its settings.
    pub since: DateTime<Utc>,
    conversations: Arc<Semaphore>,
}

impl fmt::Debug for Mailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailing")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl Default for Mailing {
    /// No mail server but the one that staff enter.
    fn default() -> Self {
        let head = EmailBranding {
            shop: "Lockstep".to_owned(),
            front_url: "http://127.0.0.1:8080".to_owned(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            logo: None,
        };
        Self::new(head, None, None, DateTime::UNIX_EPOCH)
    }
}

impl Mailing {
    /// The settings of a process.
    pub fn new(
        head: EmailBranding,
        fixed: Option<FixedServer>,
        otherwise: Option<EmailTransport>,
        since: DateTime<Utc>,
    ) -> Self {
        Self {
            head,
            fixed,
            otherwise,
            since,
            conversations: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        }
    }

    /// Tests whether a server that staff entered answers, encrypts the connection and takes log-in and sender.
    pub(crate) async fn test(&self, server: &Server) -> Result<(), EmailError> {
        let transport = EmailTransport::to_server(server, ANSWER, 1).map_err(|error| told(&error))?;
        self.check(&transport).await
    }

    /// Tests the server of `SMTP_URL`.
    pub(crate) async fn test_fixed(&self) -> Result<(), EmailError> {
        let fixed = self.fixed.as_ref().ok_or(ChangeError::NotFound("Mail server"))?;
        self.check(&fixed.transport).await
    }

    async fn check(&self, transport: &EmailTransport) -> Result<(), EmailError> {
        let _turn = self.conversations.try_acquire().map_err(|_| EmailError::Busy)?;
        match tokio::time::timeout(PATIENCE, transport.check()).await {
            Ok(result) => result.map_err(|error| told(&error)),
            Err(_) => Err(too_slow()),
        }
    }

    /// Sends an e-mail at once, over the server that the workers use.
    pub(crate) async fn send(
        &self,
        store: &Store,
        recipient: &str,
        written: &RenderedEmail,
        now: DateTime<Utc>,
    ) -> Result<(), EmailError> {
        let transport = match &self.fixed {
            Some(fixed) => fixed.transport.clone(),
            None => match servers::active(store).await? {
                Some(server) => EmailTransport::to_server(&server, ANSWER, 1).map_err(|error| told(&error))?,
                None => self.otherwise.clone().ok_or(EmailError::NoServer)?,
            },
        };
        let _turn = self.conversations.try_acquire().map_err(|_| EmailError::Busy)?;
        match tokio::time::timeout(PATIENCE, transport.send_test(recipient, written, now)).await {
            Ok(result) => result.map_err(|error| told(&error)),
            Err(_) => Err(too_slow()),
        }
    }
}

fn too_slow() -> EmailError {
    EmailError::Server("it does not answer in time".to_owned())
}

/// The reason of a failure.
fn told(error: &EmailTransportError) -> EmailError {
    match error {
        EmailTransportError::NoServer(_) => EmailError::Locked,
        error => {
            EmailError::Server((error.to_string().chars().filter(|c| !c.is_control()).take(MOST_REASON)).collect())
        }
    }
}
