//! Randomness, injected: production takes the system's, simulations their own.

use std::sync::Arc;

use jiff::Timestamp;
use rand::Rng as _;
use uuid::Uuid;

/// Where random bits come from.
pub trait Entropy: Send + Sync + 'static {
    /// 64 random bits.
    fn bits(&self) -> u64;
}

/// Randomness shared by all parts of the server.
pub type SharedEntropy = Arc<dyn Entropy>;

/// The system's randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn bits(&self) -> u64 {
        rand::rng().next_u64()
    }
}

/// A number of 0..1.
#[must_use]
pub fn fraction(entropy: &dyn Entropy) -> f64 {
    // 53 bits are what a double holds; no cast loses any.
    #[allow(clippy::cast_precision_loss)]
    let bits = (entropy.bits() >> 11) as f64;
    bits / 9_007_199_254_740_992.0
}

/// A UUIDv7 of a time.
#[must_use]
pub fn uuid_v7(entropy: &dyn Entropy, at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
    let mut random = [0_u8; 10];
    let bits = u128::from(entropy.bits()) << 64 | u128::from(entropy.bits());
    random.iter_mut().zip(bits.to_be_bytes()).for_each(|(to, from)| *to = from);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_below_one() {
        struct Most;
        impl Entropy for Most {
            fn bits(&self) -> u64 {
                u64::MAX
            }
        }
        assert!(fraction(&Most) < 1.0);
        assert!(fraction(&Most) > 0.999);
    }

    #[test]
    fn a_uuid_holds_its_time() {
        let at = Timestamp::from_millisecond(1_780_000_000_123).unwrap();
        let uuid = uuid_v7(&SystemEntropy, at);
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_timestamp().unwrap().to_unix(), (1_780_000_000, 123_000_000));
    }
}
