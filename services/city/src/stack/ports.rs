//! Ports on loopback that stay ours over restarts.
//!
//! Invariant: below the kernel's ephemeral range (32768 and up on Linux), so that no outgoing connection takes one while
//! its service is being restarted. Invariant: cities that are starting at once get different ones: as long as [`Ports`]
//! lives it holds the UDP port of the same number, which nobody here uses, which is seen by every user and container of
//! this network, and which goes with the process. Does not: hold the TCP port; its service listens.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

/// Where free ports are looked for.
const RANGE: std::ops::Range<u16> = 17_000..32_000;

/// Hands out ports that were free a moment ago, each once, and keeps other cities from them.
#[derive(Debug, Default)]
pub struct Ports {
    given: BTreeMap<u16, Option<UdpSocket>>,
}

impl Ports {
    /// This port if one is wanted, else a free one.
    ///
    /// # Errors
    /// When the wanted one is taken, or none is free.
    pub fn take(&mut self, wanted: Option<u16>) -> anyhow::Result<u16> {
        if let Some(port) = wanted {
            anyhow::ensure!(
                is_free(port),
                "port {port} is taken; choose another one, or none to get a free one"
            );
            // It is asked for: that someone else uses its UDP port is no reason to refuse it.
            self.given.insert(port, reserve(port));
            return Ok(port);
        }
        let start = rand::random_range(RANGE);
        let all = (start..RANGE.end).chain(RANGE.start..start);
        for port in all {
            if self.given.contains_key(&port) {
                continue;
            }
            // Reserved first: whoever had it reserved before may just have begun to listen.
            if let Some(reserved) = reserve(port)
                && is_free(port)
            {
                self.given.insert(port, Some(reserved));
                return Ok(port);
            }
        }
        anyhow::bail!(
            "no free port on 127.0.0.1 between {} and {}",
            RANGE.start,
            RANGE.end
        )
    }
}

fn reserve(port: u16) -> Option<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let mut ports = Ports::default();
        let all: BTreeSet<u16> = (0..50).map(|_| ports.take(None).unwrap()).collect();
        assert_eq!(all.len(), 50);
        assert!(all.iter().all(|port| RANGE.contains(port)));
    }

    #[test]
    fn a_port_is_not_given_to_another_city_while_its_own_lives() {
        let mut ports = Ports::default();
        let port = ports.take(None).unwrap();
        assert!(is_free(port) && reserve(port).is_none());
        drop(ports);
        assert!(reserve(port).is_some());
    }

    #[test]
    fn a_taken_port_is_named() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = Ports::default().take(Some(port)).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()), "{error}");
    }
}
