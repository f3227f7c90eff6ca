//! How often wrong tokens may be tried. Pure: the caller brings the time.
//!
//! Where the tries of an address are used up, its tokens are not looked at at all, the right one included: an answer
//! that tells right from wrong is all that somebody who guesses needs. So whoever guesses can keep out programs behind
//! the same address, for as long as the guessing goes on and no longer than [`SECONDS`] after; browsers that have
//! logged in are never kept out, nor is any address by the guesses of others once it has brought the right token.
//! Behind a proxy all are one address.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// After so long without a failure all tries are there again.
const SECONDS: u64 = 60;

/// Tries of one address within [`SECONDS`].
const OF_ONE: u32 = 10;

/// Tries of all addresses together, but for those that know the token: there may be very many of one guesser's.
const OF_ALL: u32 = 100;

/// Addresses with failures that are remembered. One more displaces the one with the fewest.
const ADDRESSES_MAX: usize = 256;

/// Addresses that have brought the right token and are remembered for it.
const KNOWN_MAX: usize = 64;

/// Tries that are used up, as the time at which none will be any more (the generic cell rate algorithm of ITU-T I.371).
#[derive(Debug, Clone, Copy)]
struct Used {
    until: Instant,
}

impl Used {
    fn one_more(&mut self, of: u32, now: Instant) {
        self.until = self.until.max(now) + Duration::from_secs(SECONDS) / of;
    }

    /// How long until there is a try again; `None` when there is one.
    fn wait(self, of: u32, now: Instant) -> Option<Duration> {
        let last = Duration::from_secs(SECONDS) / of * (of - 1);
        let wait = self.until.saturating_duration_since(now).saturating_sub(last);
        (!wait.is_zero()).then_some(wait)
    }
}

/// The failures of the last minute.
#[derive(Debug)]
pub(super) struct Failures {
    of_each: Vec<(IpAddr, Used)>,
    of_all: Used,
    /// Addresses that know the token, the latest first.
    known: VecDeque<IpAddr>,
    told: Option<Instant>,
}

impl Failures {
    pub(super) fn new(now: Instant) -> Failures {
        Failures { of_each: Vec::new(), of_all: Used { until: now }, known: VecDeque::new(), told: None }
    }

    /// How long a token from `peer` is not looked at; `None` when it is.
    pub(super) fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let peer = network(peer);
        let own = self.of_each.iter().find(|(known, _)| *known == peer).and_then(|(_, used)| used.wait(OF_ONE, now));
        let shared = if self.known.contains(&peer) { None } else { self.of_all.wait(OF_ALL, now) };
        own.max(shared)
    }

    /// Notes a wrong token. True when this should be told in the log: tries are used up, and nothing was told of it
    /// for a minute.
    pub(super) fn wrong(&mut self, peer: IpAddr, now: Instant) -> bool {
        self.of_all.one_more(OF_ALL, now);
        let address = network(peer);
        match self.of_each.iter_mut().find(|(known, _)| *known == address) {
            Some((_, used)) => used.one_more(OF_ONE, now),
            None => self.remember(address, now),
        }
        let tell = self.wait(peer, now).is_some()
            && self.told.is_none_or(|told| now.saturating_duration_since(told) >= Duration::from_secs(SECONDS));
        if tell {
            self.told = Some(now);
        }
        tell
    }

    /// Notes the right token. What an address has used up stays so: behind it may be more than one.
    pub(super) fn right(&mut self, peer: IpAddr) {
        let peer = network(peer);
        if self.known.front() == Some(&peer) {
            return;
        }
        self.known.retain(|known| *known != peer);
        self.known.push_front(peer);
        self.known.truncate(KNOWN_MAX);
    }

    /// Nobody knows a new token yet.
    pub(super) fn forget_known(&mut self) {
        self.known.clear();
    }

    fn remember(&mut self, address: IpAddr, now: Instant) {
        if self.of_each.len() >= ADDRESSES_MAX {
            self.of_each.retain(|(_, used)| used.until > now);
        }
        if self.of_each.len() >= ADDRESSES_MAX {
            let fewest = self.of_each.iter().enumerate().min_by_key(|(_, (_, used))| used.until).map(|(i, _)| i);
            if let Some(i) = fewest {
                self.of_each.swap_remove(i);
            }
        }
        let mut used = Used { until: now };
        used.one_more(OF_ONE, now);
        self.of_each.push((address, used));
    }
}

/// What one subscriber has: an IPv4 address, or 64 bit of an IPv6 one, below which it takes addresses as it likes.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5));

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0A00_0000 + n))
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ten_tries_and_then_one_in_six_seconds() {
        let start = Instant::now();
        let mut failures = Failures::new(start);
        for _ in 0..OF_ONE {
            assert_eq!(failures.wait(PEER, start), None);
            failures.wrong(PEER, start);
        }
        assert_eq!(failures.wait(PEER, start), Some(s(6)));
        assert_eq!(failures.wait(PEER, start + s(5)), Some(s(1)));
        assert_eq!(failures.wait(PEER, start + s(6)), None);
        assert_eq!(failures.wait(address(1), start), None, "nobody else has to wait");
        failures.wrong(PEER, start + s(6));
        assert_eq!(failures.wait(PEER, start + s(6)), Some(s(6)));
        for _ in 1..OF_ONE {
            assert_eq!(failures.wait(PEER, start + s(72)), None, "after a minute all tries are there again");
            failures.wrong(PEER, start + s(72));
        }
    }

    #[test]
    fn many_addresses_share_a_hundred_tries_with_all_that_are_not_known() {
        let start = Instant::now();
        let mut failures = Failures::new(start);
        failures.right(PEER);
        for n in 0..OF_ALL {
            assert_eq!(failures.wait(address(n), start), None);
            failures.wrong(address(n), start);
        }
        assert_eq!(failures.wait(address(1000), start), Some(s(60) / OF_ALL));
        assert_eq!(failures.wait(PEER, start), None, "it has brought the right token before");
        failures.forget_known();
        assert!(failures.wait(PEER, start).is_some());
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_worst() {
        let start = Instant::now();
        let mut failures = Failures::new(start);
        for _ in 0..OF_ONE {
            failures.wrong(PEER, start);
        }
        for n in 0..1000 {
            failures.wrong(address(n), start);
            failures.right(address(n));
        }
        assert_eq!((failures.of_each.len(), failures.known.len()), (ADDRESSES_MAX, KNOWN_MAX));
        assert!(failures.wait(PEER, start).is_some());
    }

    #[test]
    fn told_once_a_minute() {
        let start = Instant::now();
        let mut failures = Failures::new(start);
        let mut told = |at: u64| (0..20).filter(|_| failures.wrong(PEER, start + s(at))).count();
        assert_eq!([told(0), told(30), told(59), told(60), told(61)], [1, 0, 0, 1, 0]);
    }

    #[test]
    fn one_subscriber_is_one_address() {
        for (one, other, same) in [
            ("192.168.1.5", "::ffff:192.168.1.5", true),
            ("192.168.1.5", "192.168.1.6", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let [one, other] = [one, other].map(|text| network(text.parse().expect("an address")));
            assert_eq!(one == other, same, "{one} {other}");
        }
    }
}
