//! Subnets: who is a neighbour.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// An address and everything that begins like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    address: IpAddr,
    prefix_len: u8,
}

impl Subnet {
    /// The subnet of an address with this many leading bits. None for more bits than it has, and for none at all:
    /// everybody is no neighbour.
    pub const fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        if prefix_len > 0 && prefix_len <= most { Some(Self { address, prefix_len }) } else { None }
    }

    /// The address that it was made of.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let different = u32::from(ours) ^ u32::from(theirs);
                different.leading_zeros() >= u32::from(self.prefix_len)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let different = u128::from(ours) ^ u128::from(theirs);
                different.leading_zeros() >= u32::from(self.prefix_len)
            }
            _ => false,
        }
    }
}

impl FromStr for Subnet {
    type Err = ();

    /// Reads `10.8.0.0/24`, or one address.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, len)| (address, Some(len)));
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let prefix_len = match prefix {
            None => {
                if address.is_ipv4() {
                    32
                } else {
                    128
                }
            }
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_err(|_| ())?,
            Some(_) => return Err(()),
        };
        Self::new(address, prefix_len).ok_or(())
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_are_read_and_hold_what_begins_like_them() {
        for (subnet, inside, outside) in [
            ("10.8.0.0/24", "10.8.0.255", "10.8.1.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::a01:203"),
        ] {
            let subnet: Subnet = subnet.parse().unwrap();
            assert!(subnet.contains(ip(inside)) && !subnet.contains(ip(outside)), "{subnet}");
        }
        for wrong in ["", "10.0.0.0/0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/+8", "10.0.0.0/", "house"] {
            assert_eq!(wrong.parse::<Subnet>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_subnet_is_shown_as_it_is_written() {
        assert_eq!("10.8.0.0/24".parse::<Subnet>().unwrap().to_string(), "10.8.0.0/24");
        assert_eq!("192.0.2.1".parse::<Subnet>().unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(Subnet::new(ip("fd00::1"), 64).unwrap().address(), ip("fd00::1"));
        assert_eq!(Subnet::new(ip("10.0.0.1"), 33), None);
    }
}
