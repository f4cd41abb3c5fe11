//! What one caller may take of the server, so that others get theirs.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};

use super::AuthError;
use crate::{approval::Principal, config};

/// After so many calls those who have not called for a while are forgotten.
const SWEEP_EVERY: u32 = 4_096;
/// How soon it is worth while to try again for a seat.
const FOR_A_CALL: Duration = Duration::from_millis(200);
const FOR_A_STREAM: Duration = Duration::from_secs(5);

/// Keeps count of who takes what.
#[derive(Debug)]
pub(crate) struct CallLimits {
    most: RwLock<Arc<Most>>,
    open: Arc<Seats<(Principal, Slot)>>,
}

/// How much each may take.
#[derive(Debug)]
struct Most {
    calls: Rates<Principal>,
    logins: Rates<IpAddr>,
    concurrent_calls: u32,
    concurrent_lists: u32,
    streams: u32,
}

impl Most {
    fn new(limits: &config::Limits) -> Self {
        Self {
            calls: Rates::new(limits.requests_per_second, limits.burst),
            logins: Rates::new(limits.logins_per_second, limits.logins_per_second),
            concurrent_calls: limits.concurrent_calls,
            concurrent_lists: limits.concurrent_lists,
            streams: limits.streams,
        }
    }
}

/// What a call takes while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// One of a caller's calls.
    Call,
    /// One of their lists, which also is one of the store's few readers.
    List,
    /// One of their streams.
    Stream,
}

impl CallLimits {
    pub(crate) fn new(limits: &config::Limits) -> Self {
        Self { most: RwLock::new(Arc::new(Most::new(limits))), open: Arc::default() }
    }

    /// Has others hold from the next call on. Those who hold seats keep them.
    pub(crate) fn replace(&self, limits: &config::Limits) {
        *self.most.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Most::new(limits));
    }

    fn most(&self) -> Arc<Most> {
        Arc::clone(&self.most.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a call of somebody.
    pub(crate) fn call(&self, who: &Principal) -> Result<(), AuthError> {
        self.most().calls.take(who, "requests_per_second")
    }

    /// Counts credentials from an address that were not seen before.
    pub(crate) fn login(&self, from: Option<IpAddr>) -> Result<(), AuthError> {
        // A local address that is not known is nobody's in particular.
        let from = from.map_or(IpAddr::from([0, 0, 0, 0]), network);
        self.most().logins.take(&from, "logins_per_second")
    }

    /// A seat for a call or a stream, as long as it is held.
    pub(crate) fn enter(&self, who: &Principal, slot: Slot) -> Result<Seat<(Principal, Slot)>, AuthError> {
        let limits = self.most();
        let (most, limit, retry_after) = match slot {
            Slot::Call => (limits.concurrent_calls, "concurrent_calls", FOR_A_CALL),
            Slot::List => (limits.concurrent_lists, "concurrent_lists", FOR_A_CALL),
            Slot::Stream => (limits.streams, "streams", FOR_A_STREAM),
        };
        self.open.enter((who.clone(), slot), most).ok_or(AuthError::Limit { limit, retry_after })
    }
}

/// Who has a whole network of addresses counts once.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => {
            six.to_ipv4_mapped().map_or_else(|| IpAddr::from((six.to_bits() >> 64 << 64).to_be_bytes()), IpAddr::V4)
        }
    }
}

/// So many per second for each.
struct Rates<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    taken: AtomicU32,
}

impl<K: Hash + Eq + Clone> std::fmt::Debug for Rates<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> Rates<K> {
    fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self { limiter: RateLimiter::keyed(quota), clock: DefaultClock::default(), taken: AtomicU32::new(0) }
    }

    fn take(&self, key: &K, limit: &'static str) -> Result<(), AuthError> {
        if self.taken.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(key).map_err(|not_yet| AuthError::Limit {
            limit,
            retry_after: not_yet.wait_time_from(self.clock.now()).max(Duration::from_millis(1)),
        })
    }
}

/// How many seats each holds. Who holds none is not in it.
#[derive(Debug)]
pub(crate) struct Seats<K>(Mutex<HashMap<K, u32>>);

impl<K> Default for Seats<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone> Seats<K> {
    /// A seat, unless `key` has `most` already.
    pub(crate) fn enter(self: &Arc<Self>, key: K, most: u32) -> Option<Seat<K>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(key.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Seat { places: Arc::clone(self), key })
    }
}

/// A seat that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat<K: Hash + Eq> {
    places: Arc<Seats<K>>,
    key: K,
}

impl<K: Hash + Eq> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut held = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(change: impl FnOnce(&mut config::Limits)) -> CallLimits {
        let mut limits = config::Limits::default();
        change(&mut limits);
        CallLimits::new(&limits)
    }

    fn who(name: &str) -> Principal {
        name.parse().unwrap()
    }

    #[test]
    fn one_caller_leaves_the_others_theirs() {
        let limits = limits(|limits| (limits.requests_per_second, limits.burst) = (1, 3));
        for _ in 0..3 {
            limits.call(&who("ana")).unwrap();
        }
        let AuthError::Limit { limit: "requests_per_second", retry_after } = limits.call(&who("ana")).unwrap_err()
        else {
            panic!("not limited")
        };
        assert!(retry_after <= Duration::from_secs(1));
        limits.call(&who("bob")).unwrap();
    }

    #[test]
    fn a_place_is_free_once_it_is_left() {
        let limits = limits(|limits| (limits.concurrent_calls, limits.streams) = (2, 1));
        let ana = who("ana");
        let (one, _two) = (limits.enter(&ana, Slot::Call).unwrap(), limits.enter(&ana, Slot::Call).unwrap());
        assert!(limits.enter(&ana, Slot::Call).is_err());
        let _stream = limits.enter(&ana, Slot::Stream).unwrap();
        assert!(limits.enter(&ana, Slot::Stream).is_err());
        assert!(limits.enter(&who("bob"), Slot::Call).is_ok());
        drop(one);
        assert!(limits.enter(&ana, Slot::Call).is_ok());
        assert_eq!(limits.open.0.lock().unwrap().len(), 2, "who left is remembered");
    }

    #[test]
    fn other_limits_hold_at_once_and_seats_are_kept() {
        let limits = limits(|limits| limits.concurrent_calls = 2);
        let ana = who("ana");
        let _held = (limits.enter(&ana, Slot::Call).unwrap(), limits.enter(&ana, Slot::Call).unwrap());
        limits.replace(&config::Limits { concurrent_calls: 3, ..config::Limits::default() });
        let _third = limits.enter(&ana, Slot::Call).unwrap();
        assert!(limits.enter(&ana, Slot::Call).is_err());
        limits.replace(&config::Limits { requests_per_second: 1, burst: 1, ..config::Limits::default() });
        limits.call(&ana).unwrap();
        assert!(limits.call(&ana).is_err());
    }

    #[test]
    fn a_network_is_one() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::ffff")));
        assert_ne!(network(address("2001:db8::1")), network(address("2001:db8:0:1::1")));
        assert_eq!(network(address("::ffff:10.0.0.1")), address("10.0.0.1"));
        let limits = limits(|limits| limits.logins_per_second = 1);
        limits.login(Some(address("2001:db8::1"))).unwrap();
        assert!(limits.login(Some(address("2001:db8::2"))).is_err());
        limits.login(Some(address("10.0.0.1"))).unwrap();
    }
}
