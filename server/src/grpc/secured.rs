//! TLS on connections as they come in. Handshakes go on side by side, each for so long at most.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _, future};
use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::server::Connected;
use tracing::debug;

use super::incoming::Connection;
use crate::{auth::Tls, config};

/// Connections that are ready for requests. One whose handshake fails, or takes too long, is closed. Each begins with the
/// certificates that hold at that moment.
pub(crate) fn secured<I: Stream<Item = io::Result<Connection>>>(
    incoming: I,
    tls: Option<Arc<Tls>>,
    limits: &config::Limits,
) -> impl Stream<Item = io::Result<Secured>> + use<I> {
    let within = Duration::from_secs(limits.request_seconds.into());
    // No more than there can be: one that waits holds up no other.
    let at_once = usize::try_from(limits.connections).unwrap_or(usize::MAX).max(1);
    let met = incoming.map(move |accepted| {
        let tls = tls.clone();
        async move {
            let (connection, tls) = match (accepted, tls) {
                (Err(error), _) => return Some(Err(error)),
                (Ok(connection), None) => return Some(Ok(Secured::Plain(connection))),
                (Ok(connection), Some(tls)) => (connection, tls),
            };
            // In a task of its own: signatures take time, and there is more than one processor.
            let handshake = tokio::spawn(timeout(within, tls.acceptor().accept(connection)));
            match AbortOnDropHandle::new(handshake).await {
                Ok(Ok(Ok(stream))) => Some(Ok(Secured::Tls(Box::new(stream)))),
                Ok(Ok(Err(error))) => {
                    debug!(%error, "a handshake failed");
                    None
                }
                Ok(Err(_)) | Err(_) => {
                    debug!("a handshake did not end");
                    None
                }
            }
        }
    });
    met.buffer_unordered(at_once).filter_map(future::ready)
}

/// A connection, encrypted or not.
pub(crate) enum Secured {
    /// As it came.
    Plain(Connection),
    /// After its handshake.
    Tls(Box<TlsStream<Connection>>),
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Where from.
    pub(crate) address: Option<SocketAddr>,
    /// The certificate that was shown and checked, and those above it.
    pub(crate) certificates: Option<Arc<[CertificateDer<'static>]>>,
}

impl Connected for Secured {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Plain(connection) => Peer { address: connection.address(), certificates: None },
            Self::Tls(stream) => {
                let (connection, session) = stream.get_ref();
                let certificates = session.peer_certificates().map(Arc::from);
                Peer { address: connection.address(), certificates }
            }
        }
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(connection) => Pin::new(connection).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(connection) => Pin::new(connection).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(connection) => Pin::new(connection).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(connection) => connection.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(connection) => Pin::new(connection).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(connection) => Pin::new(connection).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
