//! A way to a test's database that can be cut and mended, for what happens while the database is gone.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::TestDb;

/// An address of its own that leads to one database, over TCP whichever way the database itself is reached. Whoever uses it
/// is cut off with it, and nobody else.
#[derive(Debug)]
pub struct DatabaseProxy {
    address: SocketAddr,
    target: PgConnectOptions,
    url: String,
    is_open: watch::Sender<bool>,
    listening: Mutex<Option<AbortHandle>>,
}

impl DatabaseProxy {
    /// Lets connections through.
    pub fn before(db: &TestDb) -> Self {
        let proxy = Self::refusing(db);
        proxy.mend();
        proxy
    }

    /// Refuses connections, as if PostgreSQL had not been started, until it is [mended](Self::mend).
    pub fn refusing(db: &TestDb) -> Self {
        let target: PgConnectOptions = db.url().parse().expect("address of the database");
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|free| free.local_addr())
            .expect("a free port");
        let there = match target.get_socket() {
            // Whoever may enter the socket's folder needs no password.
            Some(_) => PgConnectOptions::new_without_pgpass()
                .username(target.get_username())
                .database(db.name()),
            None => target.clone(),
        };
        let there = there.host(&address.ip().to_string()).port(address.port());
        Self {
            address,
            target,
            url: there.to_url_lossy().to_string(),
            is_open: watch::Sender::new(false),
            listening: Mutex::new(None),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address of the database through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends all connections, and new ones as soon as they are made.
    pub fn cut(&self) {
        self.is_open.send_replace(false);
    }

    /// Ends all connections and refuses new ones, as if PostgreSQL had ended.
    pub fn refuse(&self) {
        self.cut();
        if let Some(listening) = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take() {
            listening.abort();
        }
    }

    /// Lets connections through from now on.
    pub fn mend(&self) {
        self.is_open.send_replace(true);
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if listening.is_some() {
            return;
        }
        let listener = TcpListener::bind(self.address).expect("the port is still free");
        listener.set_nonblocking(true).expect("a listener");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let (target, is_open) = (self.target.clone(), self.is_open.clone());
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (target, mut open) = (target.clone(), is_open.subscribe());
                connections.spawn(async move {
                    if *open.borrow_and_update() {
                        tokio::select! {
                            _ = carry(client, &target) => {}
                            _ = open.wait_for(|open| !open) => {}
                        }
                    }
                });
            }
        });
        *listening = Some(task.abort_handle());
    }
}

impl Drop for DatabaseProxy {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// Either side may go away at any time.
async fn carry(mut client: TcpStream, target: &PgConnectOptions) -> std::io::Result<(u64, u64)> {
    if let Some(folder) = target.get_socket() {
        let socket = folder.join(format!(".s.PGSQL.{}", target.get_port()));
        copy_bidirectional(&mut client, &mut UnixStream::connect(socket).await?).await
    } else {
        let server = (target.get_host(), target.get_port());
        copy_bidirectional(&mut client, &mut TcpStream::connect(server).await?).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::{Connection as _, PgConnection};

    use super::*;

    async fn answers(proxy: &DatabaseProxy) -> bool {
        let asked = async {
            let mut connection = PgConnection::connect(proxy.url()).await?;
            sqlx::query("select 1").execute(&mut connection).await
        };
        let answered = tokio::time::timeout(Duration::from_secs(20), asked).await;
        answered.expect("it answers or fails").is_ok()
    }

    #[tokio::test]
    async fn a_database_is_reached_through_it_except_while_it_is_cut_or_refuses() {
        let db = TestDb::empty().await;
        let proxy = DatabaseProxy::refusing(&db);
        assert!(!answers(&proxy).await);
        proxy.mend();
        assert!(answers(&proxy).await);

        let mut open = PgConnection::connect(proxy.url()).await.expect("a connection");
        proxy.cut();
        assert!(sqlx::query("select 1").execute(&mut open).await.is_err(), "it is ended");
        assert!(!answers(&proxy).await);
        assert!(TcpStream::connect(proxy.address()).await.is_ok(), "the port is kept");
        proxy.mend();
        assert!(answers(&proxy).await);
    }
}
