//! Serves a folder by TFTP, read-only: `tftp_folder <address:port> <folder> [largest window [largest block]]`.
//!
//! A [`Source`] in its smallest useful form. The kernel keeps names inside the folder and follows no symbolic link.

use std::error::Error;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use async_trait::async_trait;
use mrp_netboot::tftp::{
    Body, OpenError, Opened, Outcome, Progress, Request, Source, TftpConfig, TftpServer,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

struct Folder(OwnedFd);

impl Folder {
    fn open_file(&self, path: &str) -> Result<File, Errno> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let how =
            OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).resolve(resolve);
        openat2(&self.0, Path::new(path.trim_start_matches('/')), how).map(File::from)
    }
}

#[async_trait]
impl Source for Folder {
    type Tag = String;

    async fn open(&self, request: &Request) -> Result<Opened<String>, OpenError> {
        let file = self.open_file(&request.path).map_err(|errno| match errno {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::EINVAL => OpenError::NotFound,
            Errno::EXDEV | Errno::ELOOP | Errno::EACCES => OpenError::AccessDenied("access denied".into()),
            _ => OpenError::Internal("the file could not be opened".into()),
        })?;
        let metadata = file.metadata().map_err(|error| OpenError::Internal(error.kind().to_string()))?;
        if !metadata.is_file() {
            return Err(OpenError::NotFound);
        }
        Ok(Opened { body: Body::File { file, len: metadata.len() }, tag: request.path.clone() })
    }

    fn progress(&self, _path: &String, _progress: &Progress) {}

    fn finished(&self, path: &String, outcome: &Outcome) {
        if !outcome.is_complete() {
            eprintln!("{path}: {outcome}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: tftp_folder <address:port> <folder> [largest window [largest block]]".into());
    };
    let max_windowsize = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let max_blksize = arguments.next().map(|text| text.parse()).transpose()?;
    let listen: SocketAddr = listen.parse()?;
    let config = TftpConfig {
        listen,
        max_windowsize,
        max_blksize,
        max_transfers_per_client: 4096,
        ..TftpConfig::default()
    };
    let server = TftpServer::bind(config)?;
    if let Some(warning) = server.receive_buffer_warning() {
        eprintln!("{warning}");
    }
    let handle = server.start(Folder(File::open(folder)?.into()))?;
    println!("{}", handle.local_addr());
    std::future::pending().await
}
