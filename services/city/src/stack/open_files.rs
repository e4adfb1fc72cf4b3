//! How many files a process may have open: every rider and driver is a socket of the gateway.
//!
//! Does not: raise what only an administrator may.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Enough for every evening; more would only make programs slow that keep a table of all.
const ENOUGH: u64 = 65_536;

/// Raises this process' soft limit as far as is allowed and useful. Processes that it starts from then on inherit that.
pub fn allow_many() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    let wanted = hard.min(ENOUGH);
    if wanted > soft {
        // It goes on with fewer; `hexcab doctor` says how many are needed.
        let _as_it_was = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
    }
}

/// How many it may be raised to; none when the system does not say.
pub fn at_most() -> Option<u64> {
    let (_soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_and_the_hard_one_left() {
        let (_, before) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, before.min(256), before).unwrap();
        allow_many();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, hard), (before.min(ENOUGH), before));
        assert_eq!(at_most(), Some(before));
    }
}
