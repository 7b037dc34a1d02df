//! The `mrp` binary.
fn main() {}
