//! Connections as the store takes them: so many at a time, and each has to say what it wants soon. Whoever opens
//! connections and says nothing, or says it letter by letter, holds a place for seconds, and no file that the database,
//! the spool or a purchase needs.

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

/// Files that the rest of the store may have open besides: pools, spool, pictures, calls to others.
const RESERVED: u64 = 512;
/// More connections would only wait for one another.
const MOST: u64 = 10_000;
/// So long a connection may take to say what it wants, the first time and every next time, and so long it may leave
/// untaken what it is sent.
const SILENCE: Duration = Duration::from_secs(30);
/// After a connection could not be taken, for want of files, so long none is.
const PAUSE: Duration = Duration::from_secs(1);

/// What is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at a time; whoever comes then waits outside.
    most: usize,
    /// How long one may say nothing, or not enough, or take nothing of its answer, before it is closed.
    silence: Duration,
}

impl Limits {
    /// As much as the system lets this process have. The soft limit on open files, which is low on many systems, is raised
    /// as far as it may be.
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
        // Half of them, where there are few.
        let most = files.saturating_sub(RESERVED).max(files / 2).clamp(1, MOST);
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            silence: SILENCE,
        }
    }
}

/// Serves `router` until `stop`, and then until every connection has had the answer that it waits for: each of
/// `connections` is one.
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
            talk(&http, stream, peer, router, limits.silence, &stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, once there is a place for it; `None` when it is time to stop.
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
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken; it is tried again");
                stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await?;
            }
        }
    }
}

/// The other side has gone already, which says nothing about the next.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection to its end.
async fn talk(
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
    // Until it is known which HTTP is spoken, nothing else measures the time.
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

    /// No test waits longer for what has to come.
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

    fn who() -> Router {
        Router::new().route(
            "/",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        )
    }

    async fn say(address: SocketAddr, words: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        stream
    }

    /// All that comes until the other side closes.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // Closed hard or softly.
        let _closed = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut text))
            .await
            .expect("it is closed");
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn whoever_says_nothing_or_not_enough_is_shown_out_and_makes_room() {
        let (address, ..) = open(4, who()).await;
        let mut silent = [
            say(address, "").await,
            say(address, "GET / HTTP/1.1\r\nHost: x\r\n").await,
            say(address, "PRI * HTTP/2.0\r\n").await,
            say(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await,
        ];
        // It waits for a place until one of them has gone.
        let mut next = say(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let answer = rest(&mut next).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(&next.local_addr().unwrap().to_string()),
            "{answer}"
        );
        for stream in &mut silent {
            rest(stream).await;
        }
    }

    /// A file of no end, to somebody who asks for it and then reads nothing.
    #[tokio::test]
    async fn whoever_takes_nothing_of_an_answer_is_shown_out_and_makes_room() {
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
        let (address, ..) = open(1, who().route("/file", get(file))).await;
        let _stalled = say(address, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(
            tokio::time::timeout(DEADLINE, told).await.expect("it ends").is_err(),
            "what it held is let go"
        );
        let mut next = say(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(rest(&mut next).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn whoever_waits_for_news_is_not_shown_out() {
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
        let (address, stop, serving) = open(9, who().route("/news", get(stream))).await;
        let mut waiting = say(address, "GET /news HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        // By then everybody who says nothing has been shown out.
        rest(&mut say(address, "").await).await;
        told.send(Bytes::from_static(b"good news")).await.unwrap();
        // Shutdown waits for what is under way.
        stop.cancel();
        drop(told);
        assert!(rest(&mut waiting).await.contains("good news"));
        tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
