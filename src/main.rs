//! datagate.
fn main() {}
