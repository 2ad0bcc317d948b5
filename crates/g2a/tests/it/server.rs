//! A server that answers from a script, one answer per request, and records the requests.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The server's reaction to one request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A complete answer: status, headers, body.
    Whole(u16, &'static str, String),
    /// An answer that announces more body than it sends, then a broken connection.
    Half(u16, String),
    /// An answer that announces more body than it sends, then silence.
    Stuck(u16, String),
    /// A broken connection without an answer.
    Break,
    /// No answer on an open connection.
    Silence,
}

pub(crate) fn json(status: u16, body: impl Into<String>) -> Answer {
    Answer::Whole(status, "content-type: application/json\r\n", body.into())
}

pub(crate) fn error(status: u16, code: &str) -> Answer {
    json(
        status,
        format!(r#"{{"status":"ERROR","message":"something","code":"{code}"}}"#),
    )
}

/// One request as received.
#[derive(Clone)]
pub(crate) struct Seen {
    /// Request line and headers, header names in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) at: Instant,
    /// The number of its connection.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or("")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
}

pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts a server that answers with `script` and afterwards with status 599.
    pub(crate) async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into_iter().collect()),
            ..Shared::default()
        });
        let serving = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let mut connections = tokio::task::JoinSet::new();
                for connection in 0.. {
                    let (socket, _) = listener.accept().await.unwrap();
                    connections.spawn(serve(socket, connection, Arc::clone(&shared)));
                }
            }
        });
        Self {
            address,
            shared,
            serving,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut socket: TcpStream, connection: usize, shared: Arc<Shared>) {
    while let Some(seen) = read_request(&mut socket, connection).await {
        shared.seen.lock().unwrap().push(seen);
        let answer = shared
            .script
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Answer::Whole(599, "", String::new()));
        match answer {
            Answer::Whole(status, headers, body) => {
                let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
                if socket.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                    return;
                }
            }
            Answer::Half(status, body) => return half(&mut socket, status, &body).await,
            Answer::Stuck(status, body) => {
                half(&mut socket, status, &body).await;
                return until_closed(&mut socket).await;
            }
            Answer::Break => return,
            Answer::Silence => return until_closed(&mut socket).await,
        }
    }
}

async fn half(socket: &mut TcpStream, status: u16, body: &str) {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len() + 100);
    socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    socket.flush().await.unwrap();
}

async fn until_closed(socket: &mut TcpStream) {
    while socket.read_u8().await.is_ok() {}
}

async fn read_request(socket: &mut TcpStream, connection: usize) -> Option<Seen> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(socket.read_u8().await.ok()?);
    }
    let head: String = String::from_utf8(bytes).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some(Seen {
        head,
        body: String::from_utf8(body).ok()?,
        at: Instant::now(),
        connection,
    })
}
