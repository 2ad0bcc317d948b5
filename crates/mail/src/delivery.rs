//! Which mail server the workers use.
//!
//! `SMTP_URL` overrides everything. Without it, the server that staff have made the active one is looked up for each
//! e-mail, so that a change counts at once in every process; its connections are kept while it stays the same.

use std::sync::{Arc, Mutex, PoisonError};

use lockstep_store::Store;
use lockstep_store::mail::servers;
use uuid::Uuid;

use crate::transport::{EmailTransport, EmailTransportError, TIMEOUT};

/// Where e-mails go.
#[derive(Clone)]
pub enum Delivery {
    /// Always there.
    Fixed(EmailTransport),
    /// To the mail server that staff have made the active one.
    Chosen(Box<ActiveServer>),
}

impl From<EmailTransport> for Delivery {
    fn from(transport: EmailTransport) -> Self {
        Self::Fixed(transport)
    }
}

/// The mail server that staff have made the active one.
#[derive(Clone)]
pub struct ActiveServer {
    store: Store,
    /// While none is active; without it, e-mails wait.
    otherwise: Option<EmailTransport>,
    connections: u32,
    /// The connections to the server of this id and version.
    open: Arc<Mutex<Option<(Uuid, i64, EmailTransport)>>>,
}

impl ActiveServer {
    /// Over at most `connections` pooled connections; `otherwise` while no server is active.
    pub fn new(store: Store, otherwise: Option<EmailTransport>, connections: u32) -> Self {
        Self {
            store,
            otherwise,
            connections,
            open: Arc::default(),
        }
    }

    async fn transport(&self) -> Result<EmailTransport, EmailTransportError> {
        let later = |why: String| EmailTransportError::Later(why);
        let server = servers::active(&self.store)
            .await
            .map_err(|error| later(error.to_string()))?;
        let Some(server) = server else {
            let none = || EmailTransportError::NoServer("no mail server is active".into());
            return self.otherwise.clone().ok_or_else(none);
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Some((id, version, transport)) if (*id, *version) == (server.id, server.version) => Ok(transport.clone()),
            _ => {
                // Staff correct it: the e-mails wait rather than being given up.
                let transport =
                    EmailTransport::to_server(&server, TIMEOUT, self.connections).map_err(|error| match error {
                        EmailTransportError::NoServer(why) => EmailTransportError::NoServer(why),
                        other => EmailTransportError::NoServer(other.to_string()),
                    })?;
                *open = Some((server.id, server.version, transport.clone()));
                Ok(transport)
            }
        }
    }
}

impl Delivery {
    /// Where the next e-mail goes.
    ///
    /// # Errors
    /// [`EmailTransportError::NoServer`] when there is none, [`EmailTransportError::Later`] when it is not known.
    pub async fn transport(&self) -> Result<EmailTransport, EmailTransportError> {
        match self {
            Self::Fixed(transport) => Ok(transport.clone()),
            Self::Chosen(server) => server.transport().await,
        }
    }
}
