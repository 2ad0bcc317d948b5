//! The servers of an address with several hosts, and which of them is the primary.
//!
//! A server is asked whether it is a standby when a connection to it is opened, and never again: PostgreSQL turns from a primary
//! into a standby by a restart only, which ends its sessions. So every connection that works leads to a primary. When
//! statements fail as they do when a server went away, all servers are asked for the primary until there is one, and the pools
//! follow it. Which server may be the primary is decided by what promotes it (Patroni, an operator of Kubernetes); of two, the
//! one with the newer timeline counts.
//!
//! An address with one host is used as it is, also if it is a standby's: its reads are of use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, PgPool, Row as _};
use tokio::time::{Instant, sleep, timeout};

use crate::{Result, StoreError, trust};

/// Most hosts of an address.
const MOST: usize = 16;
/// Time limit for the answer of a server.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is checked whether statements failed, and how often the primary is looked for while there is none.
const WATCH: Duration = Duration::from_millis(250);
/// The pause after a look that found the primary where it was.
const REST: Duration = Duration::from_secs(1);

/// The servers of an address. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hosts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// At least one.
    servers: Vec<PgConnectOptions>,
    /// Index of the server that was the primary when it was last looked for.
    primary: AtomicUsize,
    /// The pools that connect to it, for as long as somebody uses them.
    pools: Mutex<Vec<Weak<PgPool>>>,
    /// When the last look began, and the primary that it found. One look at a time.
    looked: tokio::sync::Mutex<Option<(Instant, Option<usize>)>>,
}

impl Hosts {
    /// The servers of `url`, each with the settings that `prepare` adds.
    ///
    /// # Errors
    /// [`StoreError::Address`] when the address cannot be parsed.
    pub(crate) fn of(url: &str, prepare: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Result<Self> {
        let mut servers = Vec::new();
        for single in singles(url)? {
            let options: PgConnectOptions = single.parse().map_err(|_| {
                StoreError::Address(
                    "its parts are ambiguous; percent-encode @ : / # ? and % in user and password".to_owned(),
                )
            })?;
            servers.push(prepare(options));
        }
        Ok(Self(Arc::new(Inner {
            servers,
            primary: AtomicUsize::new(0),
            pools: Mutex::default(),
            looked: tokio::sync::Mutex::default(),
        })))
    }

    /// How to connect to the primary, as far as it is known.
    pub(crate) fn primary(&self) -> PgConnectOptions {
        self.0.primary()
    }

    /// Every server, the primary or not.
    pub(crate) fn servers(&self) -> &[PgConnectOptions] {
        &self.0.servers
    }

    /// Makes sure that new connections lead to the primary. It does not keep the pools alive.
    pub(crate) fn admission(&self) -> Admission {
        Admission(if self.are_several() {
            Arc::downgrade(&self.0)
        } else {
            Weak::new()
        })
    }

    /// Has a pool follow the primary until the answer is dropped.
    pub(crate) fn lead(&self, pool: &PgPool) -> Arc<PgPool> {
        let pool = Arc::new(pool.clone());
        if self.are_several() {
            let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.retain(|pool| pool.strong_count() > 0);
            pools.push(Arc::downgrade(&pool));
        }
        pool
    }

    /// Looks for the primary whenever statements failed as they do when it went away, until this is dropped.
    pub(crate) fn watch(&self) {
        if !self.are_several() {
            return;
        }
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let (mut seen, mut is_missing) = (trust::failures(), false);
            loop {
                sleep(WATCH).await;
                let Some(inner) = inner.upgrade() else { return };
                if !is_missing && trust::failures() == seen {
                    continue;
                }
                is_missing = inner.look().await.is_none();
                drop(inner);
                seen = trust::failures();
                if !is_missing {
                    sleep(REST).await;
                }
            }
        });
    }

    fn are_several(&self) -> bool {
        self.0.servers.len() > 1
    }
}

impl Inner {
    fn primary(&self) -> PgConnectOptions {
        let index = self.primary.load(Ordering::Relaxed);
        self.servers.get(index).cloned().unwrap_or_default()
    }

    /// Asks all servers which is the primary, and has the pools follow it. `None`: no server says that it is. Callers at the
    /// same time share one look.
    async fn look(&self) -> Option<PgConnectOptions> {
        let asked = Instant::now();
        let mut looked = self.looked.lock().await;
        if let Some((began, found)) = *looked
            && began >= asked
        {
            return found.and_then(|found| self.servers.get(found).cloned());
        }
        let began = Instant::now();
        let before = self.primary.load(Ordering::Relaxed);
        let timelines = join_all(self.servers.iter().map(timeline)).await;
        let primaries = (timelines.iter().enumerate()).filter_map(|(index, timeline)| Some((index, (*timeline)?)));
        if primaries.clone().count() > 1 {
            tracing::warn!(
                "{} servers of DATABASE_URL say that they are the primary; the one with the newest timeline is used",
                primaries.clone().count()
            );
        }
        let found = primaries.max_by_key(|(index, timeline)| (*timeline, *index == before));
        let found = found.map(|(index, _)| index);
        *looked = Some((began, found));
        let options = self.servers.get(found?)?;
        if found != Some(before) {
            self.primary.store(found?, Ordering::Relaxed);
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.retain(|pool| pool.strong_count() > 0);
            for pool in pools.iter().filter_map(Weak::upgrade) {
                pool.set_connect_options(options.clone());
            }
            drop(pools);
            // Connections to the server before are not used again.
            trust::lose();
            tracing::info!("the primary of the database is {}", place(options));
        }
        Some(options.clone())
    }
}

/// Sees to it that a new connection leads to the primary.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Weak<Inner>);

impl Admission {
    /// Replaces a connection to a standby by one to the primary.
    pub(crate) async fn admit(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let Some(inner) = self.0.upgrade() else { return Ok(()) };
        // A promotion may happen between the look and the connection.
        for _ in 0..2 {
            if !is_standby(connection).await? {
                return Ok(());
            }
            let primary = inner.look().await.ok_or_else(no_primary)?;
            let standby = std::mem::replace(connection, primary.connect().await?);
            timeout(PATIENCE, standby.close()).await.ok();
        }
        if is_standby(connection).await? {
            Err(no_primary())
        } else {
            Ok(())
        }
    }
}

fn no_primary() -> sqlx::Error {
    let why = "no server of DATABASE_URL is the primary; they are standbys or do not answer";
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, why))
}

/// The simple protocol, because it has to work on any connection.
async fn is_standby(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let row = sqlx::raw_sql("-- store.hosts.is_standby\nselect pg_is_in_recovery()").fetch_one(connection);
    timeout(PATIENCE, row)
        .await
        .map_err(|_| sqlx::Error::PoolTimedOut)??
        .try_get(0)
}

/// The timeline of a server that is a primary; `None` for a standby, and for a server that does not answer.
async fn timeline(server: &PgConnectOptions) -> Option<i32> {
    let ask = async {
        let mut connection = server.connect().await?;
        // As the identity of the database: unlike the control file it has the new timeline at once after a promotion.
        let row = sqlx::raw_sql(
            "-- store.hosts.timeline
            select case when not pg_is_in_recovery()
                        then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await.ok();
        row.try_get(0)
    };
    timeout(PATIENCE, ask).await.ok()?.ok()?
}

/// Where a server is, for people.
pub(crate) fn place(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(folder) => format!("{}/.s.PGSQL.{}", folder.display(), server.get_port()),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    }
}

/// An address with one host for each host of an address in libpq's form, `postgres://user@a:5432,b:5432/shop` or
/// `postgres://user@/shop?host=a,b&port=5432,5432`.
fn singles(url: &str) -> Result<Vec<String>> {
    let wrong = |why: &str| StoreError::Address(why.to_owned());
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, hosts) = authority
        .rsplit_once('@')
        .map_or(("", authority), |(user, hosts)| (user, hosts));
    let (path, query) = path
        .split_once('?')
        .map_or((path, None), |(path, query)| (path, Some(query)));
    let mut others = Vec::new();
    let (mut named, mut ports) = (None, None);
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace("%2C", ",").replace("%2c", ",");
        match name {
            "host" => named = Some(value),
            "port" => ports = Some(value),
            // The primary is what Lockstep needs, and what it looks for.
            "target_session_attrs" if matches!(value.as_str(), "read-write" | "primary" | "any") => {}
            "target_session_attrs" => {
                return Err(wrong(
                    "target_session_attrs asks for a standby, and Lockstep needs the primary (primary, read-write)",
                ));
            }
            _ => others.push(pair.to_owned()),
        }
    }
    let several = hosts.contains(',') || named.as_deref().is_some_and(|named| named.contains(','));
    if !several {
        // As it was, but for what only chooses among several.
        let kept = named.map(|host| format!("host={host}")).into_iter();
        let kept: Vec<String> = kept
            .chain(ports.map(|port| format!("port={port}")))
            .chain(others)
            .collect();
        let query = if kept.is_empty() {
            String::new()
        } else {
            format!("?{}", kept.join("&"))
        };
        return Ok(vec![format!("{scheme}://{authority}{path}{query}")]);
    }
    let user = if user.is_empty() {
        String::new()
    } else {
        format!("{user}@")
    };
    let servers: Vec<(String, Option<String>)> = if let Some(named) = named {
        let names: Vec<&str> = named.split(',').collect();
        let ports: Vec<&str> = ports
            .as_deref()
            .map(|ports| ports.split(',').collect())
            .unwrap_or_default();
        if ports.len() > 1 && ports.len() != names.len() {
            return Err(wrong("it has not as many ports as hosts"));
        }
        let port = |index: usize| ports.get(index).or(ports.first()).filter(|port| !port.is_empty());
        (names.iter().enumerate())
            .map(|(index, name)| ((*name).to_owned(), port(index).map(|port| (*port).to_owned())))
            .collect()
    } else {
        hosts.split(',').map(|host| (host.to_owned(), None)).collect()
    };
    if servers.len() > MOST {
        return Err(StoreError::Address(format!("it has more than {MOST} hosts")));
    }
    if servers.iter().any(|(host, _)| host.is_empty()) {
        return Err(wrong("one of its hosts is empty"));
    }
    let is_named = hosts.is_empty();
    Ok(servers
        .into_iter()
        .map(|(host, port)| {
            let mut query = others.clone();
            let host = if is_named {
                query.push(format!("host={host}"));
                query.extend(port.map(|port| format!("port={port}")));
                String::new()
            } else {
                host
            };
            let query = if query.is_empty() {
                String::new()
            } else {
                format!("?{}", query.join("&"))
            };
            // A URL with a user has a host; the one of the query replaces it.
            let host = if host.is_empty() { "localhost".to_owned() } else { host };
            format!("{scheme}://{user}{host}{path}{query}")
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(url: &str) -> Vec<String> {
        let hosts = Hosts::of(url, |options| options).unwrap();
        hosts.servers().iter().map(place).collect()
    }

    #[test]
    fn an_address_may_have_several_hosts() {
        for (url, expected) in [
            ("postgres://u:p@a/shop", &["a:5432"][..]),
            ("postgres://u:p@a:1/shop?target_session_attrs=read-write", &["a:1"]),
            (
                "postgres://u:p@a,b:7,10.0.0.3/shop",
                &["a:5432", "b:7", "10.0.0.3:5432"],
            ),
            (
                "postgresql://u@[::1]:5,[fe80::1]/shop?sslmode=require",
                &["[::1]:5", "[fe80::1]:5432"],
            ),
            ("postgres://u@%2Frun%2Fa,b/shop", &["/run/a/.s.PGSQL.5432", "b:5432"]),
            (
                "postgres://u@/shop?host=a,b&port=1,2&target_session_attrs=primary",
                &["a:1", "b:2"],
            ),
            ("postgres://u@/shop?host=a%2Cb&port=7", &["a:7", "b:7"]),
            ("postgres://u@/shop?host=/run/a,b", &["/run/a/.s.PGSQL.5432", "b:5432"]),
        ] {
            assert_eq!(places(url), expected, "{url}");
        }
        let several = singles("postgres://u:p%40%2C@a,b/shop?sslmode=verify-full&sslrootcert=/c").unwrap();
        assert_eq!(
            several,
            [
                "postgres://u:p%40%2C@a/shop?sslmode=verify-full&sslrootcert=/c",
                "postgres://u:p%40%2C@b/shop?sslmode=verify-full&sslrootcert=/c"
            ]
        );
    }

    #[test]
    fn an_address_that_cannot_be_followed_is_refused_without_repeating_it() {
        for url in [
            "postgres://u:hunter2@a,,b/shop",
            "postgres://u:hunter2@a,/shop",
            "postgres://u:hunter2@/shop?host=a,b,c&port=1,2",
            "postgres://u:hunter2@a,b/shop?target_session_attrs=standby",
            "postgres://u:hunter2@a:x,b/shop",
            &format!("postgres://u:hunter2@{}/shop", ["a"; 17].join(",")),
        ] {
            let error = Hosts::of(url, |options| options).map(drop).unwrap_err();
            assert!(matches!(error, StoreError::Address(_)), "{url}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
