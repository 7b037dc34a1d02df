//! The `mrp` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    mrp_cli::Mrp::new().run()
}
