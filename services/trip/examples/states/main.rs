//! Draws the states of a trip as `decide` has them: `cargo run -p hexcab-trip --example states` prints the drawing,
//! `… -- --write` puts it into ARCHITECTURE.md. A test compares the two.

mod drawing;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let drawn = drawing::drawn()?;
    if std::env::args().any(|argument| argument == "--write") {
        let path = drawing::architecture();
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        std::fs::write(&path, drawing::with(&text, &drawn)?)?;
    } else {
        print!("{drawn}");
    }
    Ok(())
}
