//! `cargo run -p hexcab-e2e --bin telemetry`: writes the table of instruments in docs/telemetry.md anew.

use std::path::PathBuf;

use hexcab_e2e::telemetry;

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join("docs/telemetry.md");
    let page = telemetry::page(
        &std::fs::read_to_string(&path)?,
        &telemetry::instruments(&root)?,
    )?;
    Ok(std::fs::write(path, page)?)
}
