//! The database a command works with: the one that `DATABASE_URL` names, or the private one in the data folder.

use anyhow::{Context as _, Result};
use lockstep_embedded::Postgres;
use lockstep_store::{Options, Store};

use crate::config::Config;

/// What a command may do with the private database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It runs for long and owns the data folder; a second one is refused.
    Own,
    /// It works beside a running store if there is one, and otherwise starts the database for itself.
    Join,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) store: Store,
    /// In words, for people: where the data are. No password in it.
    pub(crate) place: String,
    private: Option<Postgres>,
}

impl Database {
    /// Finds or starts the database. Does not touch the schema.
    pub(crate) async fn open(config: &Config, how: Use) -> Result<Self> {
        let options = Options {
            application_name: "lockstep".into(),
            ..Options::default()
        };
        if let Some(url) = &config.database_url {
            let store = Store::new(url, &options).context("DATABASE_URL")?;
            return Ok(Self {
                store,
                place: "DATABASE_URL".into(),
                private: None,
            });
        }
        let (data_dir, pg_bin) = (config.data_dir.clone(), config.pg_bin.clone());
        // Starting takes about a second and blocks.
        let (private, url, place) = tokio::task::spawn_blocking(move || -> Result<_> {
            if how == Use::Join
                && let Some(running) = Postgres::attach(&data_dir)?
            {
                return Ok((
                    None,
                    running.connection_string(),
                    format!("{} (in use by a running store)", data_dir.display()),
                ));
            }
            let options = lockstep_embedded::Options {
                bin_dir: pg_bin,
                ..lockstep_embedded::Options::new(&data_dir)
            };
            let postgres = Postgres::start(&options)?;
            let (url, place) = (postgres.connection_string(), postgres.cluster().display().to_string());
            Ok((Some(postgres), url, place))
        })
        .await
        .context("starting the private database")??;
        let store = Store::new(&url, &options)?;
        Ok(Self { store, place, private })
    }

    /// Whether the database is Lockstep's own.
    pub(crate) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Brings the schema up to date and says so.
    pub(crate) async fn migrate(&self) -> Result<()> {
        let brought = self.store.migrate().await.context("bringing the schema up to date")?;
        if !brought.is_empty() {
            tracing::info!(
                migrations = brought.len(),
                "brought the schema up to date: {} migration(s)",
                brought.len()
            );
        }
        Ok(())
    }

    /// Closes connections, then stops the private database in good order.
    pub(crate) async fn close(self) {
        self.store.close().await;
        if let Some(postgres) = self.private {
            let stopped = tokio::task::spawn_blocking(move || postgres.stop()).await;
            if let Ok(Err(error)) = stopped {
                tracing::warn!("{error}");
            }
        }
    }
}
