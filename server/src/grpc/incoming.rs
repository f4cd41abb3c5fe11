//! Connections, as they come in: so many in all and from each address, and none that says nothing for ever.

use std::{
    future::Future as _,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _, future};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep_until},
};
use tonic::transport::server::TcpIncoming;
use tracing::debug;

use crate::{
    auth::{Seat, Seats, network},
    config,
};

/// How long a connection may neither say nor take anything. Over HTTP/2 the server pings more often than that, so one that
/// lives answers; over HTTP/1.1 whoever reads a stream takes it, and says nothing.
const IDLE: Duration = Duration::from_secs(75);

/// The connections of a listener that there is room for. Others are closed at once.
pub(crate) fn incoming(
    listener: TcpListener,
    limits: &config::Limits,
) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let (in_all, of_address) = (limits.connections, limits.connections_per_address);
    let (all, addresses) = (Arc::new(Seats::default()), Arc::new(Seats::default()));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    incoming.filter_map(move |accepted| {
        let admitted = accepted.map(|stream| {
            let address = stream.peer_addr().ok().map(|address| network(address.ip()));
            let places = all.enter((), in_all).zip(addresses.enter(address, of_address));
            if places.is_none() {
                debug!(address = address.map(tracing::field::display), "no room for a connection");
            }
            places.map(|(all, address)| Connection::new(stream, all, address))
        });
        future::ready(admitted.transpose())
    })
}

/// A connection that holds its place.
pub(crate) struct Connection {
    stream: TcpStream,
    heard: Instant,
    silence: Pin<Box<Sleep>>,
    _all: Seat<()>,
    _address: Seat<Option<IpAddr>>,
}

impl Connection {
    fn new(stream: TcpStream, all: Seat<()>, address: Seat<Option<IpAddr>>) -> Self {
        let heard = Instant::now();
        Self { stream, heard, silence: Box::pin(sleep_until(heard + IDLE)), _all: all, _address: address }
    }

    /// Where it comes from.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    fn took(&mut self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(_)) = wrote {
            self.heard = Instant::now();
        }
        wrote
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, into) {
            this.heard = Instant::now();
            return Poll::Ready(read);
        }
        while this.silence.as_mut().poll(cx).is_ready() {
            let end = this.heard + IDLE;
            if end <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            this.silence.as_mut().reset(end);
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.took(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.took(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
