//! The database of a command: the one that `DATABASE_URL` names, or the private one in the data folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lockstep_embedded_postgres::Postgres;
use lockstep_store::pooler::Path as Way;
use lockstep_store::{Options, Store};

use crate::config::Config;

/// How a command uses the private database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It runs permanently and owns the data folder; a second owner is refused.
    Own,
    /// It works beside a running store, or else starts the database for itself. It does not create one.
    Join,
    /// Like `Join`, but creates a database if there is none.
    Make,
}

/// The problem with a pooler in transaction mode, and its remedy.
pub(crate) const SHARED_SESSIONS: &str = "DATABASE_URL leads through a connection pooler that gives one connection's \
    transactions to different server processes (PgBouncer: pool_mode = transaction or statement), where Lockstep's locks, \
    settings and notifications are lost; use a pool in session mode (pool_mode = session), or PostgreSQL's own address";

/// Fails if there is no store: only `serve`, `migrate`, `restore` and `import prisma` create one.
pub(crate) fn demand_store(config: &Config) -> Result<()> {
    ensure!(
        config.database_url.is_some() || Postgres::is_in(&config.data_dir),
        "no store in {}; name its folder with --data-dir, or its database with --database-url (`lockstep serve` makes a \
         new one)",
        config.data_dir.display()
    );
    Ok(())
}

/// How long closing waits for connections whose statements do not end.
const CONNECTIONS: Duration = Duration::from_secs(2);

/// An open database.
pub(crate) struct Database {
    pub(crate) store: Store,
    /// Describes where the data are, for people. Contains no password.
    pub(crate) place: String,
    /// The connection string for PostgreSQL's programs. May hold a password.
    pub(crate) url: String,
    /// The folder of PostgreSQL's programs, if known.
    programs: Option<PathBuf>,
    private: Option<Postgres>,
}

impl Database {
    /// Connects to the database, or starts the private one. Does not touch the schema.
    pub(crate) async fn open(config: &Config, how: Use) -> Result<Self> {
        let options = Options {
            application_name: "lockstep".into(),
            max_connections: config.db_connections,
            ..Options::default()
        };
        if let Some(url) = &config.database_url {
            let store = Store::new(url, &options).context("DATABASE_URL")?;
            return Ok(Self {
                store,
                place: "DATABASE_URL".into(),
                url: url.clone(),
                programs: config.pg_bin.clone(),
                private: None,
            });
        }
        let (data_dir, pg_bin, asked) = (config.data_dir.clone(), config.pg_bin.clone(), config.clone());
        // Starting takes about a second and blocks.
        let (private, url, programs, place) = tokio::task::spawn_blocking(move || -> Result<_> {
            if how != Use::Own
                && let Some(running) = Postgres::attach(&data_dir)?
            {
                return Ok((
                    None,
                    running.connection_string(),
                    running.bin_dir().map(Path::to_path_buf),
                    format!("{} (in use by a running store)", data_dir.display()),
                ));
            }
            if how == Use::Join {
                demand_store(&asked)?;
            }
            let options = lockstep_embedded_postgres::Options {
                bin_dir: pg_bin,
                ..lockstep_embedded_postgres::Options::new(&data_dir)
            };
            let postgres = Postgres::start(&options)?;
            let (url, place) = (postgres.connection_string(), postgres.cluster().display().to_string());
            let programs = postgres.installation().bin_dir().to_path_buf();
            Ok((Some(postgres), url, Some(programs), place))
        })
        .await
        .context("starting the private database")??;
        let store = Store::new(&url, &options)?;
        Ok(Self {
            store,
            place,
            url,
            programs,
            private,
        })
    }

    /// The same database for checks within this process: it does not own the private server, and is dropped, not closed.
    pub(crate) fn beside(&self) -> Self {
        Self {
            store: self.store.clone(),
            place: self.place.clone(),
            url: self.url.clone(),
            programs: None,
            private: None,
        }
    }

    /// The path of a PostgreSQL program: in the private server's installation, or else on this machine.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let Some(folder) = self.programs.as_deref() else {
            return on_machine(name).with_context(|| {
                format!(
                    "{name} is not on this machine; install PostgreSQL's client programs, not older than the server"
                )
            });
        };
        let program = folder.join(name);
        ensure!(
            program.is_file(),
            "{name} is not in {}, where PostgreSQL's programs are; name a whole PostgreSQL with --pg-bin",
            folder.display()
        );
        Ok(program)
    }

    /// The connection string for PostgreSQL's programs without its password, which the machine's process list would show,
    /// and the password.
    pub(crate) fn url_and_password(&self) -> (String, Option<String>) {
        for_libpq(&self.url)
    }

    /// Whether the database is the private one.
    pub(crate) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Applies pending migrations, deletes the transaction ids that a restored backup holds of another server, and logs
    /// both.
    ///
    /// Refuses a database behind a pooler that shares sessions, before taking a lock there.
    pub(crate) async fn migrate(&self) -> Result<Vec<(i64, String)>> {
        if self.store.path().await.context("connecting to the database")? == Way::SharedSessions {
            bail!(SHARED_SESSIONS);
        }
        let brought = self.store.migrate().await.context("bringing the schema up to date")?;
        if !brought.is_empty() {
            tracing::info!(
                migrations = brought.len(),
                "migrated the schema: {} migration(s) applied",
                brought.len()
            );
        }
        let forgotten = self.store.forget_foreign_ids().await.context("the invalidation log")?;
        if forgotten.is_something() {
            tracing::info!(
                rows = forgotten.rows,
                "this database was restored from another server's backup; discarded that server's transaction ids"
            );
        }
        Ok(brought)
    }

    /// Migrates a private database; any other has to be migrated already, and has to hold a shop.
    pub(crate) async fn be_up_to_date(&self) -> Result<()> {
        if self.is_private() {
            return self.migrate().await.map(drop);
        }
        let status = self.store.migration_status().await.context("the database")?;
        ensure!(
            !status.applied.is_empty(),
            "no shop in this database; `lockstep migrate` or `lockstep serve` makes one, or is DATABASE_URL another's?"
        );
        ensure!(
            status.pending.is_empty(),
            "the database's schema is behind this program; run `lockstep migrate` first"
        );
        Ok(())
    }

    /// Closes the connections, then stops the private database cleanly. If connections cannot be closed because the
    /// server does not respond, the server is stopped all the same: it ends with this process.
    pub(crate) async fn close(self) {
        if tokio::time::timeout(CONNECTIONS, self.store.close()).await.is_err() {
            tracing::warn!("connections to the database do not close; it does not answer");
        }
        if let Some(postgres) = self.private {
            let stopped = tokio::task::spawn_blocking(move || postgres.stop()).await;
            if let Ok(Err(error)) = stopped {
                tracing::warn!("{error}");
            }
        }
    }
}

/// A program on the `PATH`, or of the newest PostgreSQL that Debian's packages have installed.
fn on_machine(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut usual: Vec<(u32, PathBuf)> = usual
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin"))))
        .collect();
    usual.sort();
    std::env::split_paths(&path)
        .chain(usual.into_iter().rev().map(|(_, folder)| folder))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// An address in the form that libpq takes, without its password, and the password.
fn for_libpq(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), None);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut password = None;
    let authority = match authority.rsplit_once('@') {
        Some((user, hosts)) => match user.split_once(':') {
            Some((user, secret)) => {
                password = Some(percent_decoded(secret));
                format!("{user}@{hosts}")
            }
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let (mut pairs, mut hosts_are_several) = (Vec::new(), authority.contains(','));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Other names that the shop's own connections take.
        let name = match name {
            "ssl-mode" => "sslmode",
            "ssl-root-cert" | "ssl-ca" => "sslrootcert",
            "ssl-cert" => "sslcert",
            "ssl-key" => "sslkey",
            name => name,
        };
        match name {
            "password" => password = Some(percent_decoded(value)),
            "statement-cache-capacity" | "target_session_attrs" => {}
            name => {
                hosts_are_several |= name == "host" && (value.contains(',') || value.contains("%2C"));
                pairs.push(format!("{name}={value}"));
            }
        }
    }
    if hosts_are_several {
        pairs.push("target_session_attrs=read-write".to_owned());
    }
    let query = if pairs.is_empty() {
        String::new()
    } else {
        format!("?{}", pairs.join("&"))
    };
    (format!("{scheme}://{authority}{path}{query}"), password)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after
            .get(..2)
            .filter(|_| first == b'%')
            .and_then(|digits| hex::decode(digits).ok());
        if let Some([byte]) = escaped.as_deref() {
            bytes.push(*byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_an_address_of_their_form_and_the_password_apart() {
        for (url, expected, password) in [
            (
                "postgres://u:p%40%3A%25é@h/d?sslmode=require",
                "postgres://u@h/d?sslmode=require",
                Some("p@:%é"),
            ),
            (
                "postgres://u:p@a:1,b:2/d",
                "postgres://u@a:1,b:2/d?target_session_attrs=read-write",
                Some("p"),
            ),
            (
                "postgres://u@h/d?ssl-ca=/c&statement-cache-capacity=5&password=p%20q",
                "postgres://u@h/d?sslrootcert=/c",
                Some("p q"),
            ),
            ("postgres://u@h/d", "postgres://u@h/d", None),
            ("postgres://%2Frun%2Fpg/d", "postgres://%2Frun%2Fpg/d", None),
            ("postgres://u:100%@h/d", "postgres://u@h/d", Some("100%")),
        ] {
            let found = for_libpq(url);
            assert_eq!((found.0.as_str(), found.1.as_deref()), (expected, password), "{url}");
        }
    }
}
