//! Named crash points: places between two effects where a chaos run ends the process as `kill -9` does.
//!
//! Compiled in by the feature `crash-points` only; without it [`point`] is nothing. Armed by the environment at start:
//! `HEXCAB_CRASH_POINT=name` dies when the point is reached, `name:3` when it is reached for the third time.
//! Does not: clean up, flush, or tell anybody but stderr: that is what it is for.

/// The process dies here when it was armed for this name.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(feature = "crash-points")]
    armed::reach(name);
    #[cfg(not(feature = "crash-points"))]
    let _ = name;
}

/// Whether this build has crash points.
pub const fn compiled_in() -> bool {
    cfg!(feature = "crash-points")
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    };

    /// What this process is armed for.
    struct Armed {
        name: String,
        /// Times that it is still to be reached, the last one included.
        left: AtomicU32,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "a fault is given to one process from outside, and to no configuration file"
        )]
        let spec = std::env::var(crate::config::CRASH_POINT).ok()?;
        Some(read(&spec))
    });

    fn read(spec: &str) -> Armed {
        let (name, times) = match spec.rsplit_once(':') {
            Some((name, times)) => (name, times.parse().unwrap_or(1)),
            None => (spec, 1),
        };
        Armed {
            name: name.to_owned(),
            left: AtomicU32::new(times),
        }
    }

    /// Counts one arrival; true at the one that kills.
    fn is_last(armed: &Armed, name: &str) -> bool {
        armed.name == name && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
    }

    pub fn reach(name: &'static str) {
        let Some(armed) = ARMED.as_ref() else { return };
        if is_last(armed, name) {
            eprintln!("crash point {name} reached: killing this process");
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::SIGKILL);
            // The signal is on its way; nothing more may happen here.
            loop {
                std::thread::park();
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_point_kills_at_its_arrival_and_no_other() {
            let armed = read("payment.hold.asked:2");
            assert!(!is_last(&armed, "payment.hold.known"));
            assert!(!is_last(&armed, "payment.hold.asked"));
            assert!(is_last(&armed, "payment.hold.asked"));
            assert!(!is_last(&armed, "payment.hold.asked"));
            assert!(is_last(&read("relay.sent"), "relay.sent"));
        }
    }
}
