//! A way to a test's database that can be cut, frozen and mended, for what happens while the database is gone.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
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
    is_frozen: watch::Sender<bool>,
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
            is_frozen: watch::Sender::new(false),
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

    /// Lets nothing through, in either direction and on new connections too, but ends no connection, as if one side stood
    /// still. What is on its way arrives after the [thaw](Self::thaw).
    pub fn freeze(&self) {
        self.is_frozen.send_replace(true);
    }

    /// Ends the [freeze](Self::freeze).
    pub fn thaw(&self) {
        self.is_frozen.send_replace(false);
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
        let (target, is_open, is_frozen) = (self.target.clone(), self.is_open.clone(), self.is_frozen.clone());
        let task = tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (target, mut open, frozen) = (target.clone(), is_open.subscribe(), is_frozen.subscribe());
                connections.spawn(async move {
                    if *open.borrow_and_update() {
                        tokio::select! {
                            _ = carry(client, &target, frozen) => {}
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
async fn carry(client: TcpStream, target: &PgConnectOptions, frozen: watch::Receiver<bool>) -> std::io::Result<()> {
    if let Some(folder) = target.get_socket() {
        let socket = folder.join(format!(".s.PGSQL.{}", target.get_port()));
        both_ways(client, UnixStream::connect(socket).await?, frozen).await
    } else {
        let server = TcpStream::connect((target.get_host(), target.get_port())).await?;
        server.set_nodelay(true)?;
        both_ways(client, server, frozen).await
    }
}

async fn both_ways(
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite,
    frozen: watch::Receiver<bool>,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let forth = one_way(from_client, to_server, frozen.clone());
    let back = one_way(from_server, to_client, frozen);
    tokio::try_join!(forth, back)?;
    Ok(())
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut frozen: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        // An error means that the proxy is gone, and with it this task.
        frozen.wait_for(|frozen| !frozen).await.ok();
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..count]).await?;
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

    #[tokio::test]
    async fn a_frozen_connection_answers_after_the_thaw() {
        let db = TestDb::empty().await;
        let proxy = DatabaseProxy::before(&db);
        let mut open = PgConnection::connect(proxy.url()).await.expect("a connection");
        proxy.freeze();
        let mut asked = Box::pin(sqlx::query_scalar::<_, i32>("select 7").fetch_one(&mut open));
        let early = tokio::time::timeout(Duration::from_millis(50), &mut asked).await;
        assert!(early.is_err(), "{early:?}");
        proxy.thaw();
        let late = tokio::time::timeout(Duration::from_secs(20), asked).await;
        assert_eq!(late.expect("it answers").expect("and does not fail"), 7);
    }
}
