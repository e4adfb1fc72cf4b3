//! Named crash points: places between two effects where a chaos run ends the process as `kill -9` does.
//!
//! Compiled in by the feature `crash-points` only; without it [`point`] is nothing. `HEXCAB_CRASH_POINT` names a file, which
//! need not be there. While it says `name`, the process dies when that point is reached; `name:3`, when it is reached for the
//! third time since. Whatever follows on further lines tells one order from another that says the same. The file is removed
//! first, so that the next process does not die too.
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
    use std::{path::PathBuf, sync::LazyLock};

    use parking_lot::Mutex;

    static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "a fault is given to one process from outside, and to no configuration file"
        )]
        let file = std::env::var(crate::config::CRASH_POINT).ok()?;
        Some(file.into())
    });

    static ARMED: Mutex<Armed> = Mutex::new(Armed {
        order: String::new(),
        left: 0,
    });

    /// What this process is armed for.
    struct Armed {
        /// As it is written in the file.
        order: String,
        /// Times that the point is still to be reached, the last one included.
        left: u32,
    }

    impl Armed {
        /// Counts one arrival under this order; true at the one that kills.
        fn is_last(&mut self, order: &str, name: &str) -> bool {
            let line = order.lines().next().unwrap_or_default();
            let (wanted, times) = match line.rsplit_once(':') {
                Some((wanted, times)) => (wanted, times.parse().unwrap_or(1)),
                None => (line, 1),
            };
            if order != self.order {
                (self.order, self.left) = (order.to_owned(), times);
            }
            if wanted != name || self.left == 0 {
                return false;
            }
            self.left -= 1;
            self.left == 0
        }
    }

    pub fn reach(name: &'static str) {
        let Some(file) = FILE.as_ref() else { return };
        let Ok(order) = std::fs::read_to_string(file) else {
            return;
        };
        if ARMED.lock().is_last(&order, name) {
            let _ = std::fs::remove_file(file);
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
            let (order, mut armed) = (
                "payment.hold.asked:2\nfirst",
                Armed {
                    order: String::new(),
                    left: 0,
                },
            );
            assert!(!armed.is_last(order, "payment.hold.known"));
            assert!(!armed.is_last(order, "payment.hold.asked"));
            assert!(armed.is_last(order, "payment.hold.asked"));
            assert!(!armed.is_last(order, "payment.hold.asked"));
            // The same once more, and another.
            let again = "payment.hold.asked:2\nsecond";
            assert!(!armed.is_last(again, "payment.hold.asked"));
            assert!(armed.is_last("relay.sent", "relay.sent"));
            assert!(!armed.is_last("", "relay.sent"));
        }
    }
}
