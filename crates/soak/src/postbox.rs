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
    /// What came about each order, in the order in which it came: whether it was the one with the keys.
    about: BTreeMap<String, Vec<bool>>,
}

/// What an e-mail says of itself.
#[derive(Debug, Default)]
struct Mail {
    id: String,
    subject: String,
    /// The order that it leads to.
    order: Option<String>,
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

    /// Each order about which two e-mails came, and what is wrong when the one with the keys was first.
    pub(crate) fn pairs(&self) -> Vec<(String, Option<String>)> {
        let inner = self.lock();
        let pairs = inner
            .about
            .iter()
            .filter(|(_, came)| came.contains(&true) && came.contains(&false));
        pairs
            .map(|(order, came)| {
                let reversed = came.first() == Some(&true);
                (
                    format!("order {order}"),
                    reversed.then(|| "the keys were announced before the order was confirmed".to_owned()),
                )
            })
            .collect()
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
                    let Some(mail) = body(&mut stream).await? else {
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
                            self.take(mail);
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

impl Postbox {
    fn take(&self, mail: Mail) {
        let mut inner = self.lock();
        let keys = mail.subject.starts_with("Your key");
        if let Some(order) = mail.order
            && (keys || mail.subject.starts_with("Your order"))
        {
            inner.about.entry(order).or_default().push(keys);
        }
        *inner.taken.entry(mail.id).or_default() += 1;
    }
}

/// Reads an e-mail to its end.
async fn body(stream: &mut BufReader<TcpStream>) -> Result<Option<Mail>> {
    let (mut line, mut read, mut mail) = (String::new(), 0, Mail::default());
    // Lines of the body may be broken anywhere but in an address of a page.
    let mut text = String::new();
    loop {
        line.clear();
        let count = stream.read_line(&mut line).await?;
        read += count;
        if count == 0 || read > LONGEST {
            return Ok(None);
        }
        if line == ".\r\n" {
            mail.order = order_in(&text);
            return Ok(Some(mail));
        }
        if let Some(rest) = line.strip_prefix("Message-ID:") {
            rest.trim().clone_into(&mut mail.id);
        } else if let Some(rest) = line.strip_prefix("Subject:") {
            rest.trim().clone_into(&mut mail.subject);
        }
        // Quoted-printable breaks lines with an equals sign at their end.
        text.push_str(line.trim_end().trim_end_matches('='));
    }
}

/// The order that a text leads to.
fn order_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("/orders/")?;
    rest.get(..36).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_that_are_announced_before_their_order_are_seen() {
        let postbox = Postbox::start().await.unwrap();
        let mail = |subject: &str, order: &str| Mail {
            id: format!("{subject}{order}"),
            subject: subject.to_owned(),
            order: Some(order.to_owned()),
        };
        for (subject, order) in [
            ("Your order at", "1"),
            ("Your key from", "1"),
            ("Your keys from", "2"),
            ("Your order at", "2"),
        ] {
            postbox.take(mail(subject, order));
        }
        let wrong: Vec<bool> = postbox.pairs().into_iter().map(|(_, wrong)| wrong.is_some()).collect();
        assert_eq!(wrong, [false, true]);
    }
}
