//! The drawing of the states in ARCHITECTURE.md is what `decide` says today.

#[path = "../../examples/states/drawing.rs"]
mod states;

#[test]
fn the_states_are_drawn_as_they_are_decided() {
    let drawn = states::drawn().unwrap();
    let path = states::architecture();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        states::with(&text, &drawn).unwrap() == text,
        "{} shows other states than decide has: run `cargo run -p hexcab-trip --example states -- --write`",
        path.display()
    );
}
