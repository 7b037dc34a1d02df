//! The peer: nginx, one process, which gives files.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::program::{Program, unpacked, wait_for_port};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    program: Program,
    address: SocketAddr,
    files: tempfile::TempDir,
}

impl Nginx {
    /// Starts it with a folder of its own.
    pub fn start(port: u16) -> io::Result<Self> {
        let files = tempfile::tempdir()?;
        let folder = files.path();
        fs::create_dir(folder.join("files"))?;
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, configured(folder, port))?;
        let mut command = Command::new(unpacked("nginx", "nginx")?);
        command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(configuration);
        let mut program = Program::start(&mut command)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_for_port(&mut program, address)?;
        Ok(Self { program, address, files })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// Gives a file of a size from here on; answers its path.
    pub fn add(&self, size: usize) -> io::Result<String> {
        fs::write(self.files.path().join("files").join(size.to_string()), vec![b'x'; size])?;
        Ok(format!("/{size}"))
    }
}

/// As it comes, but for what would be in the way: connections are kept, nothing is logged.
fn configured(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/pid;
         events {{ worker_connections 4096; }}
         http {{
           access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
           client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
           uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
           server {{ listen 127.0.0.1:{port}; root {folder}/files; }}
         }}\n"
    )
}
