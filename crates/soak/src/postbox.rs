//! A mail server that speaks real SMTP and can be slow, reject, or close connections on demand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The server's behaviour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Accepts everything at once.
    #[default]
    Well,
    /// Accepts an e-mail after this delay.
    Slow(Duration),
    /// Rejects every e-mail with 451.
    Refusing,
    /// Reads an e-mail completely and closes the connection without a response.
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
    /// How often each accepted e-mail was received, by Message-ID.
    taken: BTreeMap<String, u32>,
    /// The e-mails about each order in order of arrival: whether each was the one with the keys.
    about: BTreeMap<String, Vec<bool>>,
}

/// The parsed parts of an e-mail.
#[derive(Debug, Default)]
struct Mail {
    id: String,
    subject: String,
    /// The order that it links to.
    order: Option<String>,
}

/// Longest accepted line and e-mail, in bytes.
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
                // Errors of a client that disconnects are ignored.
                tokio::spawn(async move { postbox.talk(stream).await.ok() });
            }
        });
        Ok(postbox)
    }

    /// The value for `SMTP_URL`.
    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Changes the behaviour.
    pub(crate) fn set(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// Number of accepted e-mails, and of those accepted more than once.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (
            inner.taken.len(),
            inner.taken.values().filter(|times| **times > 1).count(),
        )
    }

    /// Every order with two e-mails, and an error if the one with the keys was first.
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
    // Lines of the body may be wrapped anywhere except within a URL.
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
        // Quoted-printable marks a soft line break by a trailing equals sign.
        text.push_str(line.trim_end().trim_end_matches('='));
    }
}

/// The order that a text links to.
fn order_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("/orders/")?;
    rest.get(..36).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn key_emails_before_their_order_emails_are_detected() {
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
