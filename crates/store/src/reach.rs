//! Explains in words why the database cannot be reached. A pool only reports a timeout.

use std::io::ErrorKind;
use std::time::Duration;

use futures::future::join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use crate::hosts::place;
use crate::{Store, StoreError};

/// Maximum time for opening a connection.
const PATIENCE: Duration = Duration::from_secs(5);

impl Store {
    /// Tries one connection outside the pools to each server and returns why all failed; `None` if one succeeded.
    pub async fn why_unreachable(&self) -> Option<String> {
        let servers = self.hosts.servers();
        let mut reasons = Vec::new();
        for server in join_all(servers.iter().map(why)).await {
            reasons.push(server?);
        }
        Some(reasons.join("; "))
    }
}

/// Why a server cannot be reached; `None` if it can.
async fn why(options: &PgConnectOptions) -> Option<String> {
    let place = place(options);
    match timeout(PATIENCE, options.connect()).await {
        Err(_) => Some(format!("{place} does not answer within {} s", PATIENCE.as_secs())),
        Ok(Ok(connection)) => {
            timeout(PATIENCE, connection.close()).await.ok();
            None
        }
        Ok(Err(error)) => Some(in_words(&place, options.get_host(), &error)),
    }
}

fn in_words(place: &str, host: &str, error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => format!("{place} refuses connections: is PostgreSQL running there?"),
            ErrorKind::NotFound => format!("there is no socket {place}: is PostgreSQL running on this machine?"),
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                format!("{place} cannot be reached: {error}")
            }
            // The resolver's errors have no `ErrorKind`.
            _ if error.to_string().contains("lookup address") => format!("there is no host {host}: {error}"),
            _ => format!("{place}: {error}"),
        },
        sqlx::Error::Database(refusal) => format!("{place} answers: {}", refusal.message()),
        error => format!("{place}: {error}"),
    }
}

/// Validates the form of an address before it is used.
///
/// # Errors
/// [`StoreError::Address`] describes the problem without repeating the address, which may hold a password.
pub(crate) fn check(url: &str) -> Result<(), StoreError> {
    let form = "it looks like postgres://USER:PASSWORD@HOST:5432/NAME";
    match url.split_once("://") {
        Some(("postgres" | "postgresql", _)) => Ok(()),
        Some((scheme, _))
            if scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) =>
        {
            Err(StoreError::Address(format!("it begins with {scheme}://, and {form}")))
        }
        _ => Err(StoreError::Address(form.to_owned())),
    }
}
