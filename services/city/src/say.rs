//! What a person at the terminal is told. Progress goes to stderr, results to stdout, so that a pipe gets results only.
//!
//! Does not: log. Services log to files; the launcher says only what it does and what went wrong.

/// One step that was done.
pub fn step(text: impl std::fmt::Display) {
    eprintln!("  {text}");
}

/// A headline.
pub fn title(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// Something a person should know of, though it goes on.
pub fn warn(text: impl std::fmt::Display) {
    eprintln!("! {text}");
}
