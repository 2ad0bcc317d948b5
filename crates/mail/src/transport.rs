//! Delivery of e-mails: to a mail server or, without one, to a folder with one file per e-mail.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use lockstep_store::mail::Claimed;
use lockstep_store::mail::servers::Server;

use crate::render::RenderedEmail;
use crate::smtp::{SmtpAddress, SmtpAddressError};

/// Time limit for the delivery of one e-mail.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Why an e-mail was not delivered. No text of these contains any part of the e-mail.
#[derive(Debug, thiserror::Error)]
pub enum EmailTransportError {
    /// The server rejected the e-mail permanently.
    #[error("refused by the mail server: {0}")]
    Refused(String),
    /// Temporary: the server is unreachable, busy or slow, or the folder is not writable.
    #[error("not delivered: {0}")]
    Later(String),
    /// The sender's, the recipient's or the server's address is invalid, or the server cannot deliver to its form.
    #[error("not an address: {0}")]
    Address(String),
    /// There is no server to deliver to, whatever the e-mail: it waits, and this was no attempt.
    #[error("e-mails wait: {0}")]
    NoServer(String),
}

/// The destination of e-mails.
#[derive(Clone)]
pub enum EmailTransport {
    /// To a mail server.
    Smtp {
        /// Its connection pool.
        transport: AsyncSmtpTransport<Tokio1Executor>,
        /// Where, and as whom.
        address: SmtpAddress,
        /// Time limit of one answer.
        timeout: Duration,
        /// Sender.
        from: Mailbox,
    },
    /// To a folder, one `.eml` file each, readable by its owner only.
    Folder {
        /// The folder; created when it does not exist.
        path: PathBuf,
        /// Sender.
        from: Mailbox,
    },
}

impl EmailTransport {
    /// Delivers to the server that `url` names (see [`SmtpAddress`]), with the sender `from`
    /// (`Lockstep <shop@example.com>`), over at most `connections` pooled connections. Does not connect yet.
    ///
    /// # Errors
    /// [`EmailTransportError::Address`], which names the invalid part but neither user nor password.
    pub fn smtp(url: &str, from: &str, connections: u32) -> Result<Self, EmailTransportError> {
        let wrong = |error: SmtpAddressError| EmailTransportError::Address(format!("SMTP_URL: {error}"));
        let address = SmtpAddress::parse(url).map_err(wrong)?;
        Ok(Self::Smtp {
            transport: address.transport(TIMEOUT, connections).map_err(wrong)?,
            address,
            timeout: TIMEOUT,
            from: mailbox(from)?,
        })
    }

    /// Delivers to a server that staff entered, over at most `connections` pooled connections, and waits at most
    /// `timeout` for each answer. Does not connect yet.
    ///
    /// # Errors
    /// [`EmailTransportError::Address`]; [`EmailTransportError::NoServer`] when its password cannot be opened.
    pub fn to_server(server: &Server, timeout: Duration, connections: u32) -> Result<Self, EmailTransportError> {
        if server.is_locked {
            return Err(EmailTransportError::NoServer(
                "no secret of LOCKSTEP_KEY_SECRET opens the password of the mail server".into(),
            ));
        }
        let wrong = |error: SmtpAddressError| EmailTransportError::Address(error.to_string());
        let credentials = server.password.clone().map(|password| (server.user.clone(), password));
        let address = SmtpAddress::of_parts(&server.host, server.port, server.secure, credentials).map_err(wrong)?;
        let email = address_of(&server.from_email).ok_or_else(|| EmailTransportError::Address("sender".into()))?;
        Ok(Self::Smtp {
            transport: address.transport(timeout, connections).map_err(wrong)?,
            address,
            timeout,
            from: Mailbox::new(server.from_name.clone(), email),
        })
    }

    /// Delivers to the folder `path`, with the sender `from`.
    ///
    /// # Errors
    /// [`EmailTransportError::Address`].
    pub fn folder(path: impl Into<PathBuf>, from: &str) -> Result<Self, EmailTransportError> {
        Ok(Self::Folder {
            path: path.into(),
            from: mailbox(from)?,
        })
    }

    /// Name and address of the sender.
    pub fn sender(&self) -> (Option<String>, String) {
        let (Self::Smtp { from, .. } | Self::Folder { from, .. }) = self;
        (from.name.clone(), from.email.to_string())
    }

    /// Delivers an e-mail. When the same e-mail is delivered twice, the server gets two with one Message-ID, the folder
    /// one file.
    ///
    /// # Errors
    /// [`EmailTransportError`].
    pub async fn deliver(&self, claimed: &Claimed, written: &RenderedEmail) -> Result<(), EmailTransportError> {
        self.hand_over(claimed.id, claimed.created_at, &claimed.recipient, written)
            .await
    }

    /// Sends a test e-mail, dated `now`, that is not in the queue.
    ///
    /// # Errors
    /// [`EmailTransportError`].
    pub async fn send_test(
        &self,
        recipient: &str,
        written: &RenderedEmail,
        now: DateTime<Utc>,
    ) -> Result<(), EmailTransportError> {
        self.hand_over(uuid::Uuid::new_v4(), now, recipient, written).await
    }

    /// What an eavesdropper could learn, in words; `None` when nothing.
    pub fn weakness(&self) -> Option<&'static str> {
        match self {
            Self::Smtp { address, .. } => address.weakness(),
            Self::Folder { .. } => None,
        }
    }

    /// Checks that the mail server responds, encrypts where required, accepts the credentials and takes e-mails from the
    /// sender, or that the folder is writable. Sends nothing.
    ///
    /// # Errors
    /// [`EmailTransportError`].
    pub async fn check(&self) -> Result<(), EmailTransportError> {
        match self {
            Self::Smtp {
                address, timeout, from, ..
            } => {
                let text = |error: &lettre::transport::smtp::Error| address.without_secrets(&error.to_string());
                match tokio::time::timeout(TIMEOUT * 2, address.try_sender(&from.email, *timeout)).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) if error.is_permanent() => Err(EmailTransportError::Refused(text(&error))),
                    Ok(Err(error)) => Err(EmailTransportError::Later(text(&error))),
                    Err(_) => Err(EmailTransportError::Later("the mail server is too slow".into())),
                }
            }
            Self::Folder { path, .. } => {
                let name = format!("check-{}", uuid::Uuid::new_v4().simple());
                let tried = async {
                    put(path, &name, b"").await?;
                    tokio::fs::remove_file(path.join(&name)).await
                };
                tried
                    .await
                    .map_err(|error| EmailTransportError::Later(error.to_string()))
            }
        }
    }

    async fn hand_over(
        &self,
        id: uuid::Uuid,
        created_at: DateTime<Utc>,
        recipient: &str,
        written: &RenderedEmail,
    ) -> Result<(), EmailTransportError> {
        let (Self::Smtp { from, .. } | Self::Folder { from, .. }) = self;
        let nowhere = || EmailTransportError::Address("recipient".into());
        let to = address_of(recipient).ok_or_else(nowhere)?;
        // Without one, lettre reads the addresses back from the header, and not every address that it writes.
        let envelope = Envelope::new(Some(from.email.clone()), vec![to.clone()]).map_err(|_| nowhere())?;
        let needs_utf8 = !to.user().is_ascii();
        let sent_to = [recipient.to_owned(), to.to_string()];
        let mut builder = Message::builder();
        if let Some(url) = &written.unsubscribe {
            // One click in the mail program (RFC 8058).
            for (name, value) in [
                ("List-Unsubscribe", format!("<{url}>")),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()),
            ] {
                builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
            }
        }
        let message = builder
            .envelope(envelope)
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
            .map_err(|_| EmailTransportError::Refused("the e-mail cannot be encoded".into()))?;
        match self {
            Self::Smtp { transport, address, .. } => {
                // A server's answer may repeat the address, or what it was told to let us in.
                let text = |error: lettre::transport::smtp::Error| {
                    let text = address.without_secrets(&error.to_string());
                    sent_to.iter().fold(text, |text, to| text.replace(to.as_str(), "…"))
                };
                match tokio::time::timeout(TIMEOUT * 2, transport.send(message)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) if error.is_permanent() => Err(EmailTransportError::Refused(text(error))),
                    // The server lacks SMTPUTF8: it would say the same every time.
                    Ok(Err(error)) if needs_utf8 && error.is_client() && error.to_string().contains("non-ascii") => {
                        Err(EmailTransportError::Address(
                            "recipient: the mail server takes no letters outside ASCII before the @".into(),
                        ))
                    }
                    Ok(Err(error)) => Err(EmailTransportError::Later(text(error))),
                    Err(_) => Err(EmailTransportError::Later("the mail server is too slow".into())),
                }
            }
            Self::Folder { path, .. } => {
                let name = format!("{}-{id}.eml", created_at.format("%Y%m%dT%H%M%S"));
                put(path, &name, &message.formatted())
                    .await
                    .map_err(|error| EmailTransportError::Later(error.to_string()))
            }
        }
    }
}

/// A recipient as it is sent: the domain in its ASCII form, which every server takes.
fn address_of(recipient: &str) -> Option<Address> {
    let (local, domain) = recipient.rsplit_once('@')?;
    let domain = match url::Host::parse(domain) {
        Ok(url::Host::Domain(domain)) => domain,
        _ => domain.to_owned(),
    };
    Address::new(local, domain).ok()
}

/// Unencoded text: operators copy links from the file, and transfer encodings would break them into lines.
fn readable(text: &str) -> SinglePart {
    let body = text.replace('\n', "\r\n").into_bytes();
    SinglePart::builder()
        .header(ContentType::TEXT_PLAIN)
        .body(Body::dangerous_pre_encoded(body, ContentTransferEncoding::EightBit))
}

fn mailbox(text: &str) -> Result<Mailbox, EmailTransportError> {
    text.parse().map_err(|_| EmailTransportError::Address(text.to_owned()))
}

/// Writes a file atomically, readable by its owner only, because e-mails contain codes.
async fn put(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let mut make = tokio::fs::DirBuilder::new();
    make.recursive(true).mode(0o700);
    make.create(folder).await?;
    // The temporary name is unique: after a lease expires, two workers may write the same e-mail.
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
