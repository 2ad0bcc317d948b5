//! A proxy to PostgreSQL that can be cut and restored, for tests of a lost database.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lockstep_testkit::TestDb;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};

/// Listens on its own socket and forwards everything.
#[derive(Debug)]
pub(crate) struct Proxy {
    folder: tempfile::TempDir,
    target: PgConnectOptions,
    open: Mutex<Option<AbortHandle>>,
}

impl Proxy {
    pub(crate) fn to(db: &TestDb) -> Arc<Self> {
        let proxy = Arc::new(Self {
            folder: tempfile::tempdir().unwrap(),
            target: db.url().parse().unwrap(),
            open: Mutex::new(None),
        });
        proxy.mend();
        proxy
    }

    /// Address of the database through the proxy.
    pub(crate) fn url(&self) -> String {
        self.target
            .clone()
            .socket(self.folder.path())
            .to_url_lossy()
            .to_string()
    }

    /// Ends all connections and refuses new ones.
    pub(crate) fn cut(&self) {
        self.open.lock().unwrap().take().unwrap().abort();
        std::fs::remove_file(self.path()).unwrap();
    }

    /// Accepts connections again.
    pub(crate) fn mend(&self) {
        let listener = UnixListener::bind(self.path()).unwrap();
        let target = self.target.clone();
        let task = tokio::spawn(async move {
            // Dropped with this task, which closes the connections.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let target = target.clone();
                connections.spawn(async move {
                    if let Some(folder) = target.get_socket() {
                        let path = folder.join(format!(".s.PGSQL.{}", target.get_port()));
                        pass(client, UnixStream::connect(path).await.unwrap()).await;
                    } else {
                        let address = (target.get_host(), target.get_port());
                        pass(client, TcpStream::connect(address).await.unwrap()).await;
                    }
                });
            }
        });
        *self.open.lock().unwrap() = Some(task.abort_handle());
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{}", self.target.get_port()))
    }
}

async fn pass(mut client: UnixStream, mut server: impl AsyncRead + AsyncWrite + Unpin) {
    // Either side may close at any time.
    copy_bidirectional(&mut client, &mut server).await.ok();
}
