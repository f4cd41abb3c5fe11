use std::sync::atomic::{AtomicUsize, Ordering};

use tonic::{Code, transport::Channel};

use crate::Error;

/// Servers that share a database, any of which takes any call, and the one that is used.
#[derive(Debug)]
pub(crate) struct Servers {
    first: Server,
    others: Vec<Server>,
    /// 0: the first; 1: the first of the others.
    used: AtomicUsize,
}

/// A server, and the connection to it, which is made again by itself when it was lost.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) channel: Channel,
}

impl Servers {
    /// Some servers, of which one is used first.
    pub(crate) fn new(first: Server, others: impl IntoIterator<Item = Server>) -> Self {
        Self { first, others: others.into_iter().collect(), used: AtomicUsize::new(0) }
    }

    /// The one that is used, and its place.
    pub(crate) fn used(&self) -> (usize, &Server) {
        let place = self.used.load(Ordering::Relaxed);
        (place, self.at(place))
    }

    fn at(&self, place: usize) -> &Server {
        place.checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.first)
    }

    /// Whether there are several.
    pub(crate) fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// Uses the next one, where the one at `place` failed like this, and is still the one that is used.
    pub(crate) fn failed(&self, place: usize, error: &Error) {
        if !self.are_several() || !may_go_better_elsewhere(error) {
            return;
        }
        let next = (place + 1) % (self.others.len() + 1);
        if self.used.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::debug!(%error, from = self.at(place).url, to = self.at(next).url, "another server is used");
        }
    }
}

/// Whether the error is of the server, and not of what it was asked.
fn may_go_better_elsewhere(error: &Error) -> bool {
    matches!(error, Error::Connect { .. } | Error::ConnectionLost { .. } | Error::Timeout { .. })
        || error.code() == Code::Unavailable
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::transport::Endpoint;

    use super::*;

    fn server(url: &'static str) -> Server {
        Server { url: url.to_owned(), channel: Endpoint::from_static(url).connect_lazy() }
    }

    #[tokio::test]
    async fn the_next_one_is_used_once_for_all_that_fail_at_one() {
        let servers = Servers::new(server("http://a"), ["http://b", "http://c"].map(server));
        let away = Error::Timeout { after: Duration::ZERO };
        let used = || servers.used().1.url.clone();
        assert_eq!((servers.used().0, used().as_str()), (0, "http://a"));
        servers.failed(0, &away);
        // Another call of then tells of the same one.
        servers.failed(0, &away);
        assert_eq!(used(), "http://b");
        servers.failed(1, &Error::config("asked wrongly"));
        assert_eq!(used(), "http://b");
        servers.failed(1, &away);
        servers.failed(2, &away);
        assert_eq!(used(), "http://a");
    }
}
