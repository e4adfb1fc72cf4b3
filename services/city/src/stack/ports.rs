//! Ports on loopback that stay ours over restarts.
//!
//! Invariant: below the kernel's ephemeral range (32768 and up on Linux), so that no outgoing connection takes one while
//! its service is being restarted. Does not: hold them; whoever listens first has them.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
};

/// Where free ports are looked for.
const RANGE: std::ops::Range<u16> = 17_000..32_000;

/// Hands out ports that were free a moment ago, each once.
#[derive(Debug, Default)]
pub struct Ports {
    given: BTreeSet<u16>,
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
            self.given.insert(port);
            return Ok(port);
        }
        let start = rand::random_range(RANGE);
        let all = (start..RANGE.end).chain(RANGE.start..start);
        for port in all {
            if !self.given.contains(&port) && is_free(port) {
                self.given.insert(port);
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

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let mut ports = Ports::default();
        let all: BTreeSet<u16> = (0..50).map(|_| ports.take(None).unwrap()).collect();
        assert_eq!(all.len(), 50);
        assert!(all.iter().all(|port| RANGE.contains(port)));
    }

    #[test]
    fn a_taken_port_is_named() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = Ports::default().take(Some(port)).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()), "{error}");
    }
}
