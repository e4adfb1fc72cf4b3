//! A clock that is wrong, for chaos runs: `HEXCAB_CLOCK_SKEW` names a file, and what it says is how many seconds every
//! clock of this process is off. The file is looked at again and again, so that a clock steps in the middle of everything,
//! forwards and back, as a machine's does when somebody sets it.
//!
//! Compiled in by the feature `crash-points` only; without it a clock is never off. It is the one thing of a process's
//! clocks that is process-wide, as the machine's clock is. Does not: touch timeouts, which count and do not read a clock.

use chrono::TimeDelta;

/// How much every running clock of this process is off.
#[cfg(feature = "crash-points")]
#[inline]
pub fn now() -> TimeDelta {
    TimeDelta::microseconds(watched::MICROS.load(std::sync::atomic::Ordering::Relaxed))
}

/// A clock that nobody can set is right.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub const fn now() -> TimeDelta {
    TimeDelta::zero()
}

/// Begins to look at the file, if there is to be one.
///
/// # Errors
/// When the thread that looks cannot be started.
pub fn watch() -> std::io::Result<()> {
    #[cfg(feature = "crash-points")]
    watched::begin()?;
    Ok(())
}

#[cfg(feature = "crash-points")]
mod watched {
    use std::{
        path::Path,
        sync::atomic::{AtomicI64, Ordering},
        time::Duration,
    };

    pub static MICROS: AtomicI64 = AtomicI64::new(0);
    /// How often the file is looked at.
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    const MICROS_PER_SECOND: i64 = 1_000_000;

    pub fn begin() -> std::io::Result<()> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a fault is given to one process from outside, and to no configuration file"
        )]
        let Ok(file) = std::env::var(crate::config::CLOCK_SKEW) else {
            return Ok(());
        };
        let look = move || {
            loop {
                let off_s = off_s(Path::new(&file));
                let before = MICROS.swap(off_s * MICROS_PER_SECOND, Ordering::Relaxed);
                if before != off_s * MICROS_PER_SECOND {
                    eprintln!("the clock of this process is off by {off_s} s now");
                }
                std::thread::sleep(LOOK_EVERY);
            }
        };
        let named = std::thread::Builder::new().name("clock-skew".into());
        named.spawn(look).map(|_| ())
    }

    /// What the file says; a clock that nobody set is right.
    pub fn off_s(file: &Path) -> i64 {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_clock_is_off_by_what_the_file_says_and_right_without_one() {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("trip");
            assert_eq!(off_s(&file), 0);
            for (text, expected) in [("-300\n", -300), ("300", 300), ("", 0), ("soon", 0)] {
                std::fs::write(&file, text).unwrap();
                assert_eq!(off_s(&file), expected, "{text:?}");
            }
        }
    }
}
