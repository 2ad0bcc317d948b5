//! The Redis server for fault injection: killed, frozen, flushed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::process;

/// Time limit for its start.
const START: Duration = Duration::from_secs(20);

/// The run's Redis, on a private port, without persistence.
#[derive(Debug)]
pub(crate) struct Redis {
    program: PathBuf,
    setpriv: bool,
    address: SocketAddr,
    child: Mutex<Option<Child>>,
}

impl Redis {
    /// Starts an empty server.
    pub(crate) async fn start(program: PathBuf, setpriv: bool) -> Result<Self> {
        let address = process::free_address()?;
        let redis = Self {
            program,
            setpriv,
            address,
            child: Mutex::default(),
        };
        redis.start_again().await?;
        Ok(redis)
    }

    /// The value for `REDIS_URL`.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Restarts it on the same port, empty, and waits until it responds.
    pub(crate) async fn start_again(&self) -> Result<()> {
        let port = self.address.port().to_string();
        let child = process::command(&self.program, self.setpriv)
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--daemonize", "no", "--loglevel", "warning", "--databases", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let began = Instant::now();
        while self.ask("PING").await.ok().as_deref() != Some("+PONG\r\n") {
            if began.elapsed() > START {
                bail!("redis-server does not answer on {}", self.address);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Kills it (`SIGKILL`).
    pub(crate) async fn kill(&self) -> Result<()> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            child.kill().await?;
        }
        Ok(())
    }

    /// Suspends or resumes it.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = child.as_ref().and_then(process::pid).context("Redis does not run")?;
        process::signal(pid, if frozen { Signal::STOP } else { Signal::CONT })
    }

    /// Deletes all keys.
    pub(crate) async fn flush(&self) -> Result<()> {
        match &*self.ask("FLUSHALL").await? {
            "+OK\r\n" => Ok(()),
            other => bail!("FLUSHALL: {other}"),
        }
    }

    async fn ask(&self, command: &str) -> Result<String> {
        let asked = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(format!("{command}\r\n").as_bytes()).await?;
            let mut answer = vec![0; 256];
            let count = stream.read(&mut answer).await?;
            answer.truncate(count);
            anyhow::Ok(String::from_utf8(answer)?)
        };
        tokio::time::timeout(Duration::from_secs(5), asked).await?
    }
}
