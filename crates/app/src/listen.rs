//! Accepts connections: a limited number at a time, each of which has to send its request in time. A client that opens
//! connections and sends nothing, or sends single bytes, occupies a place for seconds only, and takes no file
//! descriptor that the database, the spool or a purchase needs.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer as _, ServiceExt as _};

mod stall;

use stall::Taken;

/// File descriptors reserved for the rest of the store: pools, spool, pictures, outgoing calls.
const RESERVED: u64 = 512;
/// Maximum number of connections; more would only wait for one another.
const MOST: u64 = 10_000;
/// How long a connection may take to send each request, and how long it may leave its response unread.
const SILENCE: Duration = Duration::from_secs(30);
/// Pause after `accept` failed for want of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Limits of accepted connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at a time; further clients wait in the listen backlog.
    most: usize,
    /// How long a connection may send nothing or an incomplete request, or read nothing of its response, before it is
    /// closed.
    silence: Duration,
}

impl Limits {
    /// The limits that the system allows this process. Raises the soft limit on open files, which is low on many
    /// systems, as far as permitted.
    pub(crate) fn of_system() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.unwrap_or(u64::MAX).min(MOST + RESERVED);
        let mut files = current.unwrap_or(u64::MAX);
        if files < wanted {
            let raised = Rlimit {
                current: Some(wanted),
                maximum,
            };
            match setrlimit(Resource::Nofile, raised) {
                Ok(()) => files = wanted,
                Err(error) => tracing::debug!(%error, files, "the limit on open files stays"),
            }
        }
        // Half of them, if there are few.
        let most = files.saturating_sub(RESERVED).max(files / 2).clamp(1, MOST);
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            silence: SILENCE,
        }
    }
}

/// Serves `router` until `stop` is cancelled, then waits until every connection has received its pending response. Each
/// connection is a task of `connections`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
    connections: &TaskTracker,
) {
    let places = Arc::new(Semaphore::new(limits.most));
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.silence);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.silence)
        .keep_alive_timeout(limits.silence);
    while let Some((stream, peer, place)) = next(&listener, &places, &stop).await {
        let (http, router, stop) = (http.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            serve_one(&http, stream, peer, router, limits.silence, &stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Accepts the next connection once a place is free; `None` when `stop` is cancelled.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = stop
        .run_until_cancelled(Arc::clone(places).acquire_owned())
        .await?
        .ok()?;
    loop {
        match stop.run_until_cancelled(listener.accept()).await? {
            Ok((stream, peer)) => return Some((stream, peer, place)),
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken; it is tried again");
                stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await?;
            }
        }
    }
}

/// Whether the peer is gone already, which does not affect the next connection.
fn is_connection_error(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection until it ends.
async fn serve_one(
    http: &Builder<TokioExecutor>,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    silence: Duration,
    stop: &CancellationToken,
) {
    let spoke = Arc::new(AtomicBool::new(false));
    let has_spoken = Arc::clone(&spoke);
    let service = Extension(ConnectInfo(peer)).layer(router).map_request(move |request| {
        has_spoken.store(true, Ordering::Relaxed);
        request
    });
    let mut connection = pin!(http.serve_connection(
        TokioIo::new(Taken::new(stream, silence)),
        TowerToHyperService::new(service)
    ));
    // Until the HTTP version is detected, hyper applies no timeout.
    let silent = async {
        tokio::time::sleep(silence).await;
        if spoke.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silent => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(error, %peer, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc;

    /// Deadline of every wait in these tests.
    const DEADLINE: Duration = Duration::from_secs(20);

    async fn open(most: usize, router: Router) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let limits = Limits {
            most,
            silence: Duration::from_millis(200),
        };
        let until = stop.clone();
        let serving = tokio::spawn(async move { serve(listener, router, limits, until, &TaskTracker::new()).await });
        (address, stop, serving)
    }

    fn peer_router() -> Router {
        Router::new().route(
            "/",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        )
    }

    async fn send_text(address: SocketAddr, words: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        stream
    }

    /// Reads until the peer closes the connection.
    async fn read_all(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // Closed with FIN or RST.
        let _closed = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut text))
            .await
            .expect("it is closed");
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn silent_clients_are_disconnected_and_free_their_places() {
        let (address, ..) = open(4, peer_router()).await;
        let mut silent = [
            send_text(address, "").await,
            send_text(address, "GET / HTTP/1.1\r\nHost: x\r\n").await,
            send_text(address, "PRI * HTTP/2.0\r\n").await,
            send_text(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await,
        ];
        // It waits for a place until one of them is closed.
        let mut next = send_text(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let answer = read_all(&mut next).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(&next.local_addr().unwrap().to_string()),
            "{answer}"
        );
        for stream in &mut silent {
            read_all(stream).await;
        }
    }

    /// An endless response to a client that reads nothing.
    #[tokio::test]
    async fn slow_readers_are_disconnected_and_free_their_places() {
        let (dropped, told) = tokio::sync::oneshot::channel::<()>();
        let dropped = Arc::new(tokio::sync::Mutex::new(Some(dropped)));
        let file = move || {
            let dropped = Arc::clone(&dropped);
            async move {
                let held = dropped.lock().await.take();
                Body::from_stream(futures::stream::unfold(held, |held| async move {
                    Some((Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'x'; 65536])), held))
                }))
            }
        };
        let (address, ..) = open(1, peer_router().route("/file", get(file))).await;
        let _stalled = send_text(address, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(
            tokio::time::timeout(DEADLINE, told).await.expect("it ends").is_err(),
            "what it held is let go"
        );
        let mut next = send_text(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(read_all(&mut next).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn clients_of_an_idle_stream_stay_connected() {
        let (told, news) = mpsc::channel::<Bytes>(1);
        let news = Arc::new(tokio::sync::Mutex::new(news));
        let stream = move || {
            let news = Arc::clone(&news);
            async move {
                Body::from_stream(futures::stream::unfold(news, |news| async move {
                    let item = news.lock().await.recv().await?;
                    Some((Ok::<_, std::convert::Infallible>(item), news))
                }))
            }
        };
        let (address, stop, serving) = open(9, peer_router().route("/news", get(stream))).await;
        let mut waiting = send_text(address, "GET /news HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        // By then every silent client has been disconnected.
        read_all(&mut send_text(address, "").await).await;
        told.send(Bytes::from_static(b"good news")).await.unwrap();
        // Shutdown waits for requests in flight.
        stop.cancel();
        drop(told);
        assert!(read_all(&mut waiting).await.contains("good news"));
        tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
