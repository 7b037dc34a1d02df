//! A PostgreSQL server of a benchmark's own, with the distribution's settings: what it commits is on the disk.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};

use crate::program::{Program, wait_for_port};

/// A running server. It listens on the loopback address and believes whoever comes from there.
#[derive(Debug)]
pub struct Postgres {
    program: Program,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Postgres {
    /// Makes and starts a server.
    pub fn start(port: u16) -> io::Result<Self> {
        let folder = tempfile::tempdir_in("/var/tmp")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let data = folder.path().join("postgres");
        fs::create_dir(&data)?;
        // It refuses to run as root.
        let user = if Uid::effective().is_root() { User::from_name("nobody")? } else { None };
        if let Some(user) = &user {
            chown(&data, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let mut initdb = program("initdb", user.as_ref())?;
        initdb.arg("-D").arg(&data).args(["-U", "mrp", "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8"]);
        let made = initdb.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        if !made.success() {
            return Err(io::Error::other(format!("initdb: {made}")));
        }
        let mut postgres = program("postgres", user.as_ref())?;
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        let mut program = Program::start(&mut postgres)?;
        wait_for_port(&mut program, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(Self { program, port, _folder: folder })
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("postgres://mrp@127.0.0.1:{}/postgres", self.port)
    }

    /// Its first process, the parent of the others.
    pub fn id(&self) -> u32 {
        self.program.id()
    }
}

/// A program of the newest PostgreSQL that the distribution installed. `setpriv` becomes it.
fn program(name: &str, user: Option<&User>) -> io::Result<Command> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "PostgreSQL is not there: run `make bench`");
    let versions = fs::read_dir("/usr/lib/postgresql").map_err(|_| missing())?;
    let folders = versions.flatten().map(|version| version.path().join("bin"));
    let newest = folders.filter(|folder| folder.join("initdb").is_file()).max_by_key(|path| version(path));
    let path: PathBuf = newest.ok_or_else(missing)?.join(name);
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=INT").current_dir("/");
    if let Some(user) = user {
        command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
        command.arg("--clear-groups");
    }
    command.arg("--").arg(path);
    Ok(command)
}

fn version(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}
