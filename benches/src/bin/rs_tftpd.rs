//! The peer rs-tftpd as a program of its own: `rs_tftpd -i ADDRESS -p PORT -d FOLDER -r`, options as its own.

use std::process::ExitCode;

use tftpd::{Config, Server};

fn main() -> ExitCode {
    let served = Config::new(std::env::args())
        .and_then(|config| Server::new(&config).map(|mut server| server.listen()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rs-tftpd: {error}");
            ExitCode::FAILURE
        }
    }
}
