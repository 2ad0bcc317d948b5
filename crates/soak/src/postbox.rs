//! A mail server: it really speaks SMTP, and is slow, refuses or closes when it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How it behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes everything at once.
    #[default]
    Well,
    /// Takes an e-mail after so long.
    Slow(Duration),
    /// Answers every e-mail with 451.
    Refusing,
    /// Reads an e-mail whole and closes without an answer.
    Closing,
}

/// The mail server of a run.
#[derive(Debug, Clone)]
pub(crate) struct Postbox {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    mood: Mood,
    /// E-mails that were taken, by Message-ID: how often.
    taken: BTreeMap<String, u32>,
}

/// Longest line and longest e-mail that are taken.
const LONGEST: usize = 4 << 20;

impl Postbox {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let postbox = Self {
            address: listener.local_addr()?,
            inner: Arc::default(),
        };
        let taking = postbox.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let postbox = taking.clone();
                // A client that goes away is its own affair.
                tokio::spawn(async move { postbox.talk(stream).await.ok() });
            }
        });
        Ok(postbox)
    }

    /// For `SMTP_URL`.
    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Behaves so from now on.
    pub(crate) fn set(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// How many e-mails were taken, and how many of them more than once.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (
            inner.taken.len(),
            inner.taken.values().filter(|times| **times > 1).count(),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn talk(&self, stream: TcpStream) -> Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 soak.invalid ESMTP\r\n").await?;
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 || line.len() > LONGEST {
                return Ok(());
            }
            let word = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let answer: &[u8] = match &*word {
                "EHLO" => b"250-soak.invalid\r\n250 8BITMIME\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let Some(id) = body(&mut stream).await? else {
                        return Ok(());
                    };
                    let mood = self.lock().mood;
                    match mood {
                        Mood::Closing => return Ok(()),
                        Mood::Refusing => b"451 not now\r\n",
                        Mood::Well | Mood::Slow(_) => {
                            if let Mood::Slow(time) = mood {
                                tokio::time::sleep(time).await;
                            }
                            *self.lock().taken.entry(id).or_default() += 1;
                            b"250 taken\r\n"
                        }
                    }
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => b"250 ok\r\n",
            };
            stream.write_all(answer).await?;
        }
    }
}

/// Reads an e-mail to its end; its Message-ID.
async fn body(stream: &mut BufReader<TcpStream>) -> Result<Option<String>> {
    let (mut line, mut read, mut id) = (String::new(), 0, String::new());
    loop {
        line.clear();
        let count = stream.read_line(&mut line).await?;
        read += count;
        if count == 0 || read > LONGEST {
            return Ok(None);
        }
        if line == ".\r\n" {
            return Ok(Some(id));
        }
        if let Some(rest) = line.strip_prefix("Message-ID:") {
            rest.trim().clone_into(&mut id);
        }
    }
}
