//! `mrp serve` with a lab in its database: its first objects come through its own commands, the many machines by SQL.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mrp_core::secret::{Secret, ServerKey};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection, raw_sql};

use crate::farm::{self, Farm};
use crate::http::{Client, Request};
use crate::postgres::Postgres;
use crate::program::{Program, binary, wait_for_port};

/// The answer file of all machines.
const ANSWER_FILE: &str = include_str!("lab/preseed.cfg");
/// The many machines. `{had}` of them are there.
const MACHINES: &str = include_str!("lab/machines.sql");
/// Networks, each a /16.
const NETWORKS: usize = 8;
/// A password that is long enough.
const PASSWORD: &str = "bench-password";

/// Where the server keeps its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// In a file of its own.
    Sqlite,
    /// In a server's.
    Postgres,
}

impl Database {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A server and its lab.
#[derive(Debug)]
pub struct Lab {
    /// Dropped before the database's server.
    program: Option<Program>,
    postgres: Option<Postgres>,
    folder: tempfile::TempDir,
    people: SocketAddr,
    machine_door: SocketAddr,
    /// Tokens of an admin, of a user who holds a thousand machines, and of one who holds ten thousand.
    pub admin: String,
    /// See [`Lab::admin`].
    pub alice: String,
    /// See [`Lab::admin`].
    pub ci: String,
    key: ServerKey,
    machines: usize,
}

impl Lab {
    /// Starts a server on an empty folder and makes what comes before the machines.
    pub async fn start(database: Database, ports: [u16; 3]) -> io::Result<Self> {
        // Not the system's folder for temporary files, which may be in memory: commits have to reach a disk.
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (people, machine_door) = (address(ports[0]), address(ports[1]));
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Postgres::start(ports[2])?),
        };
        let program = Some(serve(folder.path(), postgres.as_ref(), people, machine_door, &[])?);
        let read = |name: &str| fs::read_to_string(folder.path().join("data").join(name));
        let key = ServerKey::from_hex(&read("key")?).ok_or_else(|| io::Error::other("no key"))?;
        let admin = log_in(people, "admin", read("admin-password")?.trim()).await?;
        let cli = Cli { folder: folder.path(), people, token: &admin };
        cli.first_objects()?;
        let (alice, ci) = (log_in(people, "alice", PASSWORD).await?, log_in(people, "ci", PASSWORD).await?);
        Ok(Self { program, postgres, folder, people, machine_door, admin, alice, ci, key, machines: 0 })
    }

    /// Grows the lab to a number of machines; the server starts anew.
    ///
    /// One half of the machines, those with the lower ids, is held: a thousand (as far as there are so many) by `alice`, with
    /// 100,000 ten thousand by `ci`, the others by fifty users.
    pub async fn grow(&mut self, machines: usize) -> io::Result<()> {
        self.program = None;
        let step = |wanted: usize| (machines / 2 / wanted).max(1).to_string();
        let text = MACHINES
            .replace("{had}", &self.machines.to_string())
            .replace("{machines}", &machines.to_string())
            .replace("{networks}", &NETWORKS.to_string())
            .replace("{alice}", &step(1_000))
            .replace("{ci}", &if machines >= 100_000 { step(10_000) } else { "1000000".into() });
        self.write(text).await.map_err(io::Error::other)?;
        self.machines = machines;
        self.restart(&[])
    }

    /// Gives every machine a BMC of its own: machine 1 has BMC number 0 of the farm. The server stops until it is started
    /// anew. In SQLite only.
    pub async fn give_bmcs(&mut self) -> io::Result<()> {
        self.stop();
        let sealed = hex(&self.key.seal(&Secret::new(farm::PASSWORD)));
        let mut text = String::from("BEGIN;\n");
        for machine in 1..=self.machines {
            let address = Farm::address(u32::try_from(machine - 1).map_err(io::Error::other)?);
            text += &format!(
                "INSERT INTO bmcs (id, revision, name, address, driver, username, sealed_password, privilege, options) \
                 VALUES ({machine}, 1, 'bmc-{machine}', '{address}', 'plain', '{}', x'{sealed}', 'admin', '{{}}');\n",
                farm::USER
            );
        }
        text += "UPDATE machines SET bmc_id = id;\nCOMMIT;\nANALYZE;\n";
        self.write(text).await.map_err(io::Error::other)
    }

    /// Gives every machine a boot loader, a kernel and an initrd of these sizes in bytes, switches netboot on and tells of its
    /// lease ([`Lab::address`]); the server stops until it is started anew. The names of the files.
    pub async fn arm(&mut self, sizes: [usize; 3]) -> io::Result<[String; 3]> {
        let cli = Cli { folder: self.folder.path(), people: self.people, token: &self.admin };
        let kinds = ["bootloader", "kernel", "initrd"];
        for (kind, size) in kinds.into_iter().zip(sizes) {
            let path = self.folder.path().join(format!("storm-{kind}"));
            let bytes = (0..size).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8);
            fs::write(&path, bytes.collect::<Vec<u8>>())?;
            let path = path.display().to_string();
            cli.run(&["image", "upload", &path, "--type", kind, "--arch", "x86_64", "--public"], "")?;
        }
        let list = Request::new("GET", "/api/v1/image?show_all=true", Some(&self.admin), 200);
        let images = Client::connect(self.people, 1).await?.ask(&list).await?;
        let named = |kind: &str| {
            let names = images.as_array().into_iter().flatten().filter_map(|image| image["name"].as_str());
            let found = names.into_iter().find(|name| name.contains(&format!("storm-{kind}")));
            found.map(str::to_owned).ok_or_else(|| io::Error::other(format!("the {kind} is not listed")))
        };
        let names = [named(kinds[0])?, named(kinds[1])?, named(kinds[2])?];
        let id = |name: &str| format!("(SELECT id FROM images WHERE name = '{name}')");
        let [loader, kernel, initrd] = [id(&names[0]), id(&names[1]), id(&names[2])];
        let mut text = format!(
            "BEGIN; UPDATE subarchs SET bootloader_id = {loader}; \
             UPDATE machines SET kernel_id = {kernel}, initrd_id = {initrd}, netboot = 'hand'; DELETE FROM leases;\n"
        );
        for machine in 1..=self.machines {
            let (mac, address) = (Self::mac(machine), Self::address(machine));
            text += &format!(
                "INSERT INTO leases (mac, ipv4, last_seen) VALUES ('{mac}', '{address}', 1700000000000);\n"
            );
        }
        self.stop();
        self.write(text + "COMMIT; ANALYZE;\n").await.map_err(io::Error::other)?;
        Ok(names)
    }

    /// The address of the loopback network that a machine asks from, once it is armed.
    pub fn address(machine: usize) -> Ipv4Addr {
        let byte = |number: usize| u8::try_from(number % 250 + 1).unwrap_or(1);
        Ipv4Addr::new(127, byte(machine / 62_500), byte(machine / 250), byte(machine))
    }

    /// Starts the server anew, with settings as the environment has them.
    pub fn restart(&mut self, settings: &[(&str, &str)]) -> io::Result<()> {
        self.stop();
        let (folder, postgres) = (self.folder.path(), self.postgres.as_ref());
        self.program = Some(serve(folder, postgres, self.people, self.machine_door, settings)?);
        Ok(())
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.program = None;
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs statements on the database itself.
    async fn write(&self, text: String) -> sqlx::Result<()> {
        let text = AssertSqlSafe(text);
        if let Some(postgres) = &self.postgres {
            let mut connection = PgConnection::connect(&postgres.url()).await?;
            raw_sql(text).execute(&mut connection).await?;
            return connection.close().await;
        }
        let file = self.folder.path().join("data/mrp.db");
        let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await?;
        raw_sql(text).execute(&mut connection).await?;
        connection.close().await
    }

    /// People's door.
    pub fn people(&self) -> SocketAddr {
        self.people
    }

    /// The machines' door.
    pub fn machine_door(&self) -> SocketAddr {
        self.machine_door
    }

    /// How many machines there are; their ids are 1 and following.
    pub fn machines(&self) -> usize {
        self.machines
    }

    /// The server's process.
    pub fn process(&self) -> u32 {
        self.program.as_ref().map_or(0, Program::id)
    }

    /// The database server's process; none for a database in the server itself.
    pub fn database_process(&self) -> Option<u32> {
        self.postgres.as_ref().map(Postgres::id)
    }

    /// The MAC address of a machine, as `lab/machines.sql` makes it.
    pub fn mac(machine: usize) -> String {
        let digits = format!("{machine:06}");
        format!("52:54:00:{}:{}:{}", &digits[..2], &digits[2..4], &digits[4..])
    }

    /// Where a machine has its answer file that was not given back since [`Lab::grow`].
    pub fn answer_file(&self, machine: usize) -> String {
        let signature = self.key.sign("boot", &format!("{machine}/1"));
        format!("/preseed/{machine}/{machine:x}-{signature}")
    }
}

fn serve(
    folder: &Path,
    postgres: Option<&Postgres>,
    people: SocketAddr,
    machine_door: SocketAddr,
    settings: &[(&str, &str)],
) -> io::Result<Program> {
    let mut command = Command::new(binary("mrp")?);
    command.arg("serve").env("MRP_SERVER__DATA_DIR", folder.join("data")).env("MRP_TFTP__ENABLED", "false");
    command.env("MRP_WEB__LISTEN", people.to_string()).env("MRP_MACHINE__LISTEN", machine_door.to_string());
    command.env("MRP_BOOT__NEXT_SERVER", "10.0.0.1").envs(settings.iter().copied());
    if let Some(postgres) = postgres {
        command.env("MRP_DATABASE__URL", postgres.url());
    }
    let mut program = Program::start(&mut command)?;
    // It listens before it opens its database, and answers after.
    for door in [people, machine_door] {
        wait_for_port(&mut program, door)?;
        let mut stream = TcpStream::connect(door)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: mrp\r\n\r\n")?;
        stream.read_exact(&mut [0])?;
    }
    Ok(program)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A token, by name and password.
async fn log_in(people: SocketAddr, user: &str, password: &str) -> io::Result<String> {
    let login = json!({"user": user, "password": password});
    let request = Request::json("POST", "/api/v1/session", None, &login, 201);
    let answer = Client::connect(people, 1).await?.ask(&request).await?;
    let token = answer["token"].as_str().ok_or_else(|| io::Error::other("a login without a token"))?;
    Ok(token.to_owned())
}

/// The client commands of `mrp`, as an admin.
struct Cli<'a> {
    folder: &'a Path,
    people: SocketAddr,
    token: &'a str,
}

impl Cli<'_> {
    fn first_objects(&self) -> io::Result<()> {
        for (name, file) in [("bootx64.efi", "bootloader"), ("vmlinuz", "kernel"), ("initrd.gz", "initrd")] {
            self.write(name, &format!("the {file}"))?;
        }
        for arch in ["x86_64", "arm64"] {
            self.run(&["arch", "add", arch], "")?;
        }
        for (name, kind) in [("bootx64.efi", "bootloader"), ("vmlinuz", "kernel"), ("initrd.gz", "initrd")] {
            let file = self.folder.join(name).display().to_string();
            self.run(&["image", "upload", &file, "--type", kind, "--arch", "x86_64", "--public"], "")?;
        }
        for arch in ["x86_64", "arm64"] {
            self.run(&["subarch", "add", arch, "efi", "--bootloader", "bootx64.efi", "--efi"], "")?;
        }
        for number in 0..NETWORKS {
            let (name, subnet) = (format!("lab-{number}"), format!("10.{number}.0.0/16"));
            self.run(&["network", "add", &name, &subnet, "--reserved", &subnet], "")?;
        }
        let file = self.write("preseed.cfg", ANSWER_FILE)?.display().to_string();
        self.run(&["preseed", "add", "debian", &file, "--type", "preseed", "--public"], "")?;
        let keys = self.write("keys", KEYS)?.display().to_string();
        for user in ["alice", "ci"] {
            self.run(&["user", "add", user, "--ssh-keys", &keys, "--password-stdin"], PASSWORD)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    fn run(&self, arguments: &[&str], input: &str) -> io::Result<()> {
        let mut command = Command::new(binary("mrp")?);
        command.args(arguments).env("MRP_URL", format!("http://{}", self.people));
        command.env("MRP_TOKEN", self.token).env("XDG_CONFIG_HOME", self.folder);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("mrp {}: {}", arguments.join(" "), said.trim())))
    }
}

/// Public keys of a user.
const KEYS: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXtJ1gJcU7cMNkUp6K+1S2c0DmMYwzqY0x0c8y6M9oQ laptop
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXtJ1gJcU7cMNkUp6K+1S2c0DmMYwzqY0x0c8y6M9oQ desk
";
