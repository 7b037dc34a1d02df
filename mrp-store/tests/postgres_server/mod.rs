//! A PostgreSQL server of a test's own, from the distribution's programs, in a temporary folder on a unix socket. It
//! ends with its value, or with the thread that started it. PostgreSQL refuses to run as root: then it runs as `nobody`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]
#![allow(dead_code, reason = "each test that includes this uses a part of it")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

/// A server, and its folder.
#[derive(Debug)]
pub(crate) struct PostgresServer {
    folder: TempDir,
    programs: PathBuf,
    running: Option<Child>,
    databases: AtomicU32,
    /// The port on localhost where it speaks TLS, if it does.
    tls: Option<u16>,
}

impl PostgresServer {
    /// Makes and starts a server. It writes nothing to disk for good: a test's data may be lost in a power failure.
    pub(crate) fn start() -> Self {
        let folder = TempDir::with_prefix("pg").unwrap();
        let mut server =
            Self { folder, programs: programs(), running: None, databases: AtomicU32::new(0), tls: None };
        fs::set_permissions(server.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in [server.data(), server.socket()] {
            fs::create_dir(&folder).unwrap();
            if let Some((user, group)) = unprivileged() {
                chown(&folder, Some(user), Some(group)).unwrap();
            }
        }
        let mut initdb = server.program("initdb");
        initdb.arg("-D").arg(server.data());
        // The locale sorts otherwise than bytes do: what mrp sorts must not depend on it.
        initdb.args(["-U", "mrp", "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]);
        let made = initdb.stdout(Stdio::null()).stderr(Stdio::inherit()).status().unwrap();
        assert!(made.success(), "initdb: {made}");
        server.run();
        server
    }

    /// Starts it again after [`stop`](Self::stop).
    pub(crate) fn run(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.data()).arg("-k").arg(self.socket());
        postgres.args(["-c", "fsync=off", "-c", "max_connections=200"]);
        match self.tls {
            None => postgres.args(["-c", "listen_addresses="]),
            Some(port) => {
                let port = format!("port={port}");
                postgres.args(["-c", "listen_addresses=localhost", "-c", &port, "-c", "ssl=on"])
            }
        };
        postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running = Some(postgres.spawn().unwrap());
        for _ in 0..600 {
            let mut ready = self.program("pg_isready");
            ready.arg("-q").arg("-h").arg(self.socket()).args(["-p", &self.port().to_string()]);
            if ready.status().unwrap().success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PostgreSQL does not start: {}", fs::read_to_string(self.log()).unwrap());
    }

    /// Starts it again with TLS on localhost, by a certificate for that name of a CA made for it; tells the CA's file.
    pub(crate) fn run_with_tls(&mut self) -> PathBuf {
        self.stop();
        let data = self.data();
        let extensions =
            "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n";
        fs::write(data.join("extensions"), extensions).unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for command in [
            format!("req -x509 {key} -days 2 -subj /CN=mrp-test-CA -keyout ca.key -out ca.pem"),
            format!("req -new {key} -subj /CN=localhost -keyout server.key -out server.csr"),
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.crt"
                .to_owned(),
        ] {
            let made = Command::new("openssl").args(command.split(' ')).current_dir(&data).output().unwrap();
            assert!(made.status.success(), "openssl {command}: {}", String::from_utf8_lossy(&made.stderr));
        }
        let private = data.join("server.key");
        fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((user, group)) = unprivileged() {
            chown(&private, Some(user), Some(group)).unwrap();
            chown(data.join("server.crt"), Some(user), Some(group)).unwrap();
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        self.tls = Some(free.local_addr().unwrap().port());
        drop(free);
        self.run();
        data.join("ca.pem")
    }

    /// The port, of the socket's name too.
    pub(crate) fn port(&self) -> u16 {
        self.tls.unwrap_or(5432)
    }

    /// Cuts every connection and stops the server, as an operator does who cannot wait (SIGINT).
    pub(crate) fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let pid = running.id().to_string();
            let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
            assert!(sent.success(), "kill -INT {pid}: {sent}");
            running.wait().unwrap();
        }
    }

    /// A new, empty database; its URL.
    pub(crate) fn database(&self) -> String {
        let name = format!("mrp{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        let socket = self.socket().display().to_string().replace('/', "%2F");
        format!("postgres://mrp@{socket}/{database}")
    }

    /// Runs statements with `psql`; what they answer, a row a line, columns by `|`.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> String {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "mrp", "-h"]);
        psql.arg(self.socket()).args(["-p", &self.port().to_string(), "-d", database, "-c", statements]);
        let done = psql.stdin(Stdio::null()).output().unwrap();
        let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "psql: {statements}: {error}");
        out.into_owned()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// A program that ends with the thread that starts it, should that be killed.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=INT").current_dir("/");
        if let Some((user, group)) = unprivileged() {
            command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into()]);
        }
        command.arg("--").arg(self.programs.join(name));
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The newest PostgreSQL that the distribution installed.
fn programs() -> PathBuf {
    let versions =
        fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed: .ci/install-packages");
    let folders = versions.map(|version| version.unwrap().path().join("bin"));
    let newest =
        folders.filter(|folder| folder.join("initdb").is_file()).max_by_key(|folder| version(folder));
    newest.expect("/usr/lib/postgresql has no initdb: .ci/install-packages")
}

fn version(folder: &Path) -> u32 {
    let name = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

/// Who runs it where the test is root's: `nobody`.
fn unprivileged() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    (user.split_whitespace().nth(1) == Some("0")).then_some((65534, 65534))
}
