//! Connections that can be cut.
//!
//! A fault such as "the connection closes in the middle of the body" must happen on the socket, because an HTTP
//! framework would hide it. The server therefore runs on this wrapper of a TCP stream, which stops writing at a chosen
//! byte and then fails, so that the server closes the connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The bytes that may still be written.
#[derive(Debug, Clone, Copy, Default)]
enum Cut {
    #[default]
    None,
    /// None.
    Now,
    /// The head of the answer and this many bytes of its body. `matched` counts the bytes seen of the blank line that
    /// ends the head; 4 is the end of the head.
    InBody { matched: u8, left: u64 },
}

impl Cut {
    /// How many bytes of `bytes` may be written, and the state after that.
    fn allow(self, bytes: &[u8]) -> (usize, Self) {
        match self {
            Self::None => (bytes.len(), self),
            Self::Now => (0, self),
            Self::InBody { mut matched, mut left } => {
                let mut allowed = 0;
                for byte in bytes {
                    if matched < 4 {
                        let expected = if matched % 2 == 0 { b'\r' } else { b'\n' };
                        matched = if *byte == expected {
                            matched + 1
                        } else {
                            u8::from(*byte == b'\r')
                        };
                    } else if left == 0 {
                        break;
                    } else {
                        left -= 1;
                    }
                    allowed += 1;
                }
                (allowed, Self::InBody { matched, left })
            }
        }
    }
}

/// The handle with which a request can cut its own connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection(Arc<Mutex<Cut>>);

impl Connection {
    fn cut(&self) -> MutexGuard<'_, Cut> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks all further writes; the connection closes when the answer would be sent.
    pub(crate) fn cut_now(&self) {
        *self.cut() = Cut::Now;
    }

    /// Limits the next answer to this many bytes of its body.
    pub(crate) fn cut_in_body(&self, bytes: u64) {
        *self.cut() = Cut::InBody {
            matched: 0,
            left: bytes,
        };
    }

    /// Lets the next answer be written completely.
    pub(crate) fn mend(&self) {
        *self.cut() = Cut::None;
    }
}

impl Connected<IncomingStream<'_, Gate>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        stream.io().connection.clone()
    }
}

/// Accepts connections until the sandbox ends.
pub(crate) struct Gate {
    pub(crate) listener: TcpListener,
    /// Cancelled when every connection must end at once.
    pub(crate) ended: CancellationToken,
}

impl Listener for Gate {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "could not switch off Nagle's algorithm");
                    }
                    let ended = Box::pin(self.ended.clone().cancelled_owned());
                    return (
                        Wire {
                            stream,
                            connection: Connection::default(),
                            ended,
                        },
                        address,
                    );
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    // Usually a lack of file descriptors: only waiting helps.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    connection: Connection,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Wire {
    fn check_ended(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.ended.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_ended(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_ended(context)?;
        let connection = self.connection.clone();
        let cut = *connection.cut();
        let (allowed, _) = cut.allow(bytes);
        if allowed == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, &bytes[..allowed]);
        if let Poll::Ready(Ok(count)) = written {
            *connection.cut() = cut.allow(&bytes[..count]).1;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
