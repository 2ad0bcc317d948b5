//! A minimal HTTP client, so that it hides little of the server's cost: it writes a prepared request and counts bytes
//! until the response is complete.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::figures::Times;

/// Longest valid response, in bytes.
const LONGEST: usize = 16 << 20;
/// Time limit of a response.
const PATIENCE: Duration = Duration::from_secs(30);

/// A GET request in wire format.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n\r\n").into_bytes()
}

/// A request in wire format, with a token or a body.
pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Vec<u8> {
    let authorization = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n{authorization}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 64 << 10],
        })
    }

    /// Sends `request` and returns the body of the response, which must be a success.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let body_at = loop {
            filled += self.read(filled).await?;
            let head = self.buffer.get(..filled).unwrap_or_default();
            if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = self.buffer.get(..body_at).unwrap_or_default();
        if head.get(9..11) != Some(b"20") {
            bail!(
                "answered with {}",
                String::from_utf8_lossy(self.buffer.get(..filled).unwrap_or_default())
            );
        }
        let end = body_at + content_length(head).context("an answer of unknown length")?;
        ensure!(end <= LONGEST, "an answer of {end} bytes");
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        while filled < end {
            filled += self.read(filled).await?;
        }
        ensure!(filled == end, "more than one answer to one request");
        Ok(self.buffer.get(body_at..end).unwrap_or_default())
    }

    async fn read(&mut self, from: usize) -> Result<usize> {
        if from == self.buffer.len() {
            ensure!(from < LONGEST, "headers without an end");
            self.buffer.resize(from * 2, 0);
        }
        let read = self
            .stream
            .read(self.buffer.get_mut(from..).unwrap_or_default())
            .await?;
        ensure!(read > 0, "the server closed the connection");
        Ok(read)
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let name = line.get(..15)?;
        let value = line.get(15..)?;
        name.eq_ignore_ascii_case(b"content-length:").then_some(())?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    })
}

/// The result of a load test.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) times: Times,
    pub(crate) took: Duration,
}

/// Sends `request` over `connections` connections, each sequentially, for `time`.
pub(crate) async fn load(address: SocketAddr, request: &[u8], connections: usize, time: Duration) -> Result<Load> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let began = Instant::now();
    let end = began + time;
    let mut running = JoinSet::new();
    for mut connection in open {
        let request = request.to_vec();
        running.spawn(tokio::time::timeout(time + PATIENCE, async move {
            let mut times = Times::default();
            let mut now = Instant::now();
            while now < end {
                connection.ask(&request).await?;
                let answered = Instant::now();
                times.add(answered - now);
                now = answered;
            }
            anyhow::Ok(times)
        }));
    }
    let mut times = Times::default();
    while let Some(ended) = running.join_next().await {
        times.extend(&ended?.context("no answer")??);
    }
    Ok(Load {
        times,
        took: began.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_length_is_found_in_any_case() {
        assert_eq!(
            content_length(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"),
            Some(12)
        );
        assert_eq!(
            content_length(b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length:7\r\n\r\n"),
            Some(7)
        );
        assert_eq!(content_length(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }
}
