//! The last step of a letter: to a mail server, or, where there is none, into a folder as one file a letter.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use lockstep_store::mail::Claimed;

use crate::letters::Written;
use crate::smtp::{SmtpAddress, SmtpAddressError};

/// The longest that handing one letter over may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why a letter was not delivered. No text of these contains anything of the letter.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The server says that it will not ever take this letter.
    #[error("refused by the mail server: {0}")]
    Refused(String),
    /// Not now: the server is away, busy or slow, or the folder cannot be written.
    #[error("not delivered: {0}")]
    Later(String),
    /// The sender's or the receiver's address, or the server's, cannot be read.
    #[error("not an address: {0}")]
    Address(String),
}

/// Where letters go.
#[derive(Clone)]
pub enum Delivery {
    /// To a mail server.
    Smtp {
        /// Its connections.
        transport: AsyncSmtpTransport<Tokio1Executor>,
        /// Who writes.
        from: Mailbox,
    },
    /// Into a folder, one `.eml` file each, readable by its owner only.
    Folder {
        /// The folder; made when it is not there.
        path: PathBuf,
        /// Who writes.
        from: Mailbox,
    },
}

impl Delivery {
    /// To the server that `url` names (see [`SmtpAddress`]), from `from`
    /// (`Lockstep <shop@example.com>`), keeping up to `connections` open. Nothing is connected yet.
    ///
    /// # Errors
    /// [`DeliveryError::Address`], which says what is wrong with which part and names neither user nor password.
    pub fn smtp(url: &str, from: &str, connections: u32) -> Result<Self, DeliveryError> {
        let wrong = |error: SmtpAddressError| DeliveryError::Address(format!("SMTP_URL: {error}"));
        let address = SmtpAddress::parse(url).map_err(wrong)?;
        Ok(Self::Smtp {
            transport: address.transport(TIMEOUT, connections).map_err(wrong)?,
            from: mailbox(from)?,
        })
    }

    /// Into a folder.
    ///
    /// # Errors
    /// [`DeliveryError::Address`].
    pub fn folder(path: impl Into<PathBuf>, from: &str) -> Result<Self, DeliveryError> {
        Ok(Self::Folder {
            path: path.into(),
            from: mailbox(from)?,
        })
    }

    /// Hands a letter over. Done twice for the same letter, the server gets two with one Message-ID, the folder one file.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn deliver(&self, claimed: &Claimed, written: &Written) -> Result<(), DeliveryError> {
        self.hand_over(claimed.id, claimed.created_at, &claimed.recipient, written)
            .await
    }

    /// Sends an e-mail that nobody waits for, to see whether it arrives.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn send_test(&self, recipient: &str, written: &Written) -> Result<(), DeliveryError> {
        self.hand_over(uuid::Uuid::new_v4(), chrono::Utc::now(), recipient, written)
            .await
    }

    /// Whether the mail server answers, encrypts where it has to and takes the credentials, or whether the folder can be
    /// written. Sends nothing.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn check(&self) -> Result<(), DeliveryError> {
        match self {
            Self::Smtp { transport, .. } => {
                match tokio::time::timeout(TIMEOUT * 2, transport.test_connection()).await {
                    Ok(Ok(true)) => Ok(()),
                    Ok(Ok(false)) => Err(DeliveryError::Later("the mail server hangs up".into())),
                    Ok(Err(error)) if error.is_permanent() => Err(DeliveryError::Refused(error.to_string())),
                    Ok(Err(error)) => Err(DeliveryError::Later(error.to_string())),
                    Err(_) => Err(DeliveryError::Later("the mail server is too slow".into())),
                }
            }
            Self::Folder { path, .. } => {
                let name = format!("check-{}", uuid::Uuid::new_v4().simple());
                let tried = async {
                    put(path, &name, b"").await?;
                    tokio::fs::remove_file(path.join(&name)).await
                };
                tried.await.map_err(|error| DeliveryError::Later(error.to_string()))
            }
        }
    }

    async fn hand_over(
        &self,
        id: uuid::Uuid,
        created_at: chrono::DateTime<chrono::Utc>,
        recipient: &str,
        written: &Written,
    ) -> Result<(), DeliveryError> {
        let (Self::Smtp { from, .. } | Self::Folder { from, .. }) = self;
        let to: Address = recipient
            .parse()
            .map_err(|_| DeliveryError::Address("recipient".into()))?;
        let message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(&written.subject)
            .date(created_at.into())
            .message_id(Some(format!("<{id}@{}>", from.email.domain())))
            .multipart(
                MultiPart::alternative()
                    .singlepart(match self {
                        Self::Smtp { .. } => SinglePart::plain(written.text.clone()),
                        Self::Folder { .. } => readable(&written.text),
                    })
                    .singlepart(SinglePart::html(written.html.clone())),
            )
            .map_err(|_| DeliveryError::Refused("the letter cannot be put into a message".into()))?;
        match self {
            Self::Smtp { transport, .. } => match tokio::time::timeout(TIMEOUT * 2, transport.send(message)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) if error.is_permanent() => Err(DeliveryError::Refused(error.to_string())),
                Ok(Err(error)) => Err(DeliveryError::Later(error.to_string())),
                Err(_) => Err(DeliveryError::Later("the mail server is too slow".into())),
            },
            Self::Folder { path, .. } => {
                let name = format!("{}-{id}.eml", created_at.format("%Y%m%dT%H%M%S"));
                put(path, &name, &message.formatted())
                    .await
                    .map_err(|error| DeliveryError::Later(error.to_string()))
            }
        }
    }
}

/// Text as it is: whoever opens the file copies links out of it, which the encodings for the wire break into lines.
fn readable(text: &str) -> SinglePart {
    let body = text.replace('\n', "\r\n").into_bytes();
    SinglePart::builder()
        .header(ContentType::TEXT_PLAIN)
        .body(Body::dangerous_pre_encoded(body, ContentTransferEncoding::EightBit))
}

fn mailbox(text: &str) -> Result<Mailbox, DeliveryError> {
    text.parse().map_err(|_| DeliveryError::Address(text.to_owned()))
}

/// Writes a file completely or not at all, for its owner's eyes: letters hold codes.
async fn put(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let mut make = tokio::fs::DirBuilder::new();
    make.recursive(true).mode(0o700);
    make.create(folder).await?;
    // Its name is this call's alone: when a letter is out of its lease, two may be writing it.
    let unfinished = folder.join(format!(".{name}.{}.part", uuid::Uuid::new_v4().simple()));
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = async {
        let mut file = options.open(&unfinished).await?;
        file.write_all(bytes).await?;
        file.sync_all().await?;
        tokio::fs::rename(&unfinished, folder.join(name)).await
    };
    let written = written.await;
    if written.is_err() {
        drop(tokio::fs::remove_file(&unfinished).await);
    }
    written
}
