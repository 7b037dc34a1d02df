//! `mrp`: server, client, demo and doctor in one program. A site's own binary adds BMC drivers:
//!
//! ```no_run
//! # use mrp_core::bmc::OpenBmc;
//! # fn site<AcmeBmc: OpenBmc>() -> std::process::ExitCode {
//! mrp_cli::Mrp::new().bmc::<AcmeBmc>().run()
//! # }
//! ```

use std::process::ExitCode;

use mrp_core::bmc::{Drivers, OpenBmc};

pub mod backup;
pub mod client;
pub mod commands;
pub mod config;
mod console;
pub mod credentials;
pub mod demo;
pub mod event_stream;
pub mod exit;
pub mod follow;
mod key_file;
pub mod output;
pub mod peers;
pub mod plugins;
pub mod port;
pub mod resolve;
mod table;
pub mod upload;
pub mod wiring;

/// The program.
#[derive(Debug)]
pub struct Mrp {
    drivers: Drivers,
}

impl Default for Mrp {
    fn default() -> Self {
        Self::new()
    }
}

impl Mrp {
    /// With the drivers that mrp has.
    pub fn new() -> Self {
        Self { drivers: wiring::drivers() }
    }

    /// With no driver at all.
    pub fn without_drivers() -> Self {
        Self { drivers: Drivers::new() }
    }

    /// Adds a BMC driver.
    ///
    /// # Panics
    /// If there is a driver of that name already.
    #[must_use]
    pub fn bmc<B: OpenBmc>(mut self) -> Self {
        self.drivers = self.drivers.with::<B>();
        self
    }

    /// Does what the command line says.
    pub fn run(self) -> ExitCode {
        let arguments = match commands::Arguments::read() {
            Ok(arguments) => arguments,
            Err(code) => return code,
        };
        let output = arguments.output();
        mrp_tls::install_provider();
        match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => {
                let code = exit::report(runtime.block_on(commands::run(arguments, self.drivers)), output);
                // A prompt that still waits for its line does not hold the program.
                runtime.shutdown_background();
                code
            }
            Err(error) => {
                exit::report(Err(anyhow::Error::new(error).context("starting the runtime")), output)
            }
        }
    }
}
