//! Which addresses a target may be at. Whoever can make the server send to a URL could else make it talk to what only
//! the server reaches: itself, its neighbours, the cloud's metadata.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks of IPv4 that are not the public internet, or are and answer only to machines of a cloud (RFC 6890 and its
/// registry; the last is Azure's).
const PRIVATE_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    v4([168, 63, 129, 16], 32),
];

/// Of IPv6 all that is public is in here.
const PUBLIC_V6: Ipv6Net = v6([0x2000, 0], 3);

/// But for these: what is assigned to protocols, examples, and what holds an address of IPv4.
const PRIVATE_V6: [Ipv6Net; 4] =
    [v6([0x2001, 0], 23), v6([0x2001, 0x0db8], 32), v6([0x2002, 0], 16), v6([0x3fff, 0], 20)];

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]), length)
}

const fn v6(start: [u16; 2], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(start[0], start[1], 0, 0, 0, 0, 0, 0), length)
}

/// Whether an address is on the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !PRIVATE_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address) && !PRIVATE_V6.iter().any(|network| network.contains(&address))
        }
    }
}

/// The addresses that a target may be at: public ones, and those in networks that were allowed for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Networks beyond the public ones.
    pub allowed: Vec<IpNet>,
}

impl Reach {
    /// Whether it may be at this address.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        // An address of IPv4 that is written as one of IPv6 leads to the same place.
        let address = address.to_canonical();
        is_public(address) || self.is_allowed(address)
    }

    /// Whether it is in a network that was allowed.
    #[must_use]
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&address.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_public_internet_is_reached() {
        let reach = Reach::default();
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "198.19.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!reach.holds(address.parse().unwrap()), "{address}");
        }
        for address in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:1.1.1.1"]
        {
            assert!(reach.holds(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_network_is_allowed_and_not_its_neighbour() {
        let reach = Reach { allowed: vec!["10.1.0.0/16".parse().unwrap(), "::1/128".parse().unwrap()] };
        for (address, holds) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("10.2.0.1", false), ("::1", true), ("127.0.0.1", false)]
        {
            assert_eq!(reach.holds(address.parse().unwrap()), holds, "{address}");
        }
    }

    proptest! {
        #[test]
        fn an_address_of_the_old_internet_is_the_same_in_the_new_one(bits in any::<u32>()) {
            let address = Ipv4Addr::from(bits);
            let reach = Reach::default();
            prop_assert_eq!(reach.holds(address.into()), reach.holds(address.to_ipv6_mapped().into()));
            let std = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_unspecified() || address.is_multicast() || address.is_broadcast();
            prop_assert!(!std || !reach.holds(address.into()));
        }
    }
}
