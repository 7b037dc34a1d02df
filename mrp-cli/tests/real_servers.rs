//! Several `mrp serve` as processes on one PostgreSQL database. A missing program is a failure.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;
#[path = "../../mrp-store/tests/postgres_server/mod.rs"]
mod postgres_server;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Home, Ports, Server, serve, until};
use mrp_bmc::sim::BmcSimulator;
use mrp_cli::demo::rack::{PASSWORD, Rack, USER};
use postgres_server::PostgresServer;
use rustix::process::Signal;
use tokio::runtime::Runtime;

/// A server with a data folder of its own, and images that it has in common with others.
fn server(home: &Home, database: &str, images: &Path, ports: Ports) -> Command {
    let door = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = serve(home, ports);
    command
        .env("MRP_DATABASE__URL", database)
        .env("MRP_IMAGES__DIR", images)
        .env("MRP_SERVER__PEER_LISTEN", door.to_string())
        .env("MRP_SERVER__URL", format!("http://{door}"));
    command
}

fn start(home: &Home, database: &str, images: &Path, ports: Ports) -> Server {
    Server::spawn(server(home, database, images, ports), ports)
}

fn log_in(home: &Home, server: &Server, password: &str) {
    home.mrp_with(&["login", &server.url, "--user", "admin", "--password-stdin"], password).ok();
}

#[test]
fn two_servers_share_a_database_and_one_takes_over_when_the_other_is_killed() {
    let mut postgres = PostgresServer::start();
    let database = postgres.database();
    let (one, two) = (Home::new(), Home::new());
    let (ports, images) = (Ports::free(), one.path("images"));
    let first = start(&one, &database, &images, ports);
    std::fs::create_dir(two.path("data")).unwrap();
    std::fs::copy(one.path("data/key"), two.path("data/key")).unwrap();
    let refused = server(&two, &database, &two.path("images"), Ports::free()).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("the same folder (images.dir)"), "{said}");
    let second = start(&two, &database, &images, Ports::free());
    let password = std::fs::read_to_string(one.path("data/admin-password")).unwrap();
    assert!(!two.path("data/admin-password").exists(), "the first admin is made once");
    log_in(&one, &first, &password);
    log_in(&two, &second, &password);

    let runtime = Runtime::new().unwrap();
    let rack = runtime.block_on(Rack::start(1, ports.machines(), ports.tftp().port(), false)).unwrap();
    let (name, bmc) = (&rack.units()[0].name, rack.units()[0].bmc_address.to_string());
    one.run("arch add x86_64").ok();
    one.mrp_with(&["bmc", "add", name, &bmc, "--user", USER, "--password-stdin"], PASSWORD).ok();
    one.run(&format!("machine add {name} --arch x86_64 --bmc {name}")).ok();
    let claims = |postgres: &PostgresServer| {
        postgres.sql("mrp0", "SELECT COUNT(*) FROM claims WHERE name LIKE 'bmc:%'")
    };
    one.run(&format!("power {name} on")).ok();
    // The second server passes it on: the BMC stays with the first.
    let owner = postgres.sql("mrp0", "SELECT holder FROM claims WHERE name LIKE 'bmc:%'");
    two.run(&format!("power {name} off")).ok();
    assert_eq!(postgres.sql("mrp0", "SELECT holder FROM claims WHERE name LIKE 'bmc:%'"), owner);
    assert!(two.run(&format!("power {name} status")).ok().out.contains("off"));

    // PostgreSQL is away: refused as such, and well again by itself.
    postgres.stop();
    let refused = two.run(&format!("machine show {name}"));
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.err.contains("not reachable"), "{refused:?}");
    postgres.run();
    until("the second server is well again", || two.run(&format!("machine show {name}")).code == Some(0));
    until("the first server is well again", || one.run(&format!("machine show {name}")).code == Some(0));

    let rotate = || {
        let mut command = two.command(&["key", "rotate"]);
        command.env("MRP_DATABASE__URL", &database).env("MRP_SERVER__DATA_DIR", two.path("data"));
        command.output().unwrap()
    };
    assert_eq!(second.end(Signal::TERM), Some(0));
    let alive = std::fs::read_to_string(one.path("data/server-id")).unwrap();
    let refused = rotate();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains(&format!("server {} is up", alive.trim())), "{said}");
    let second = start(&two, &database, &images, Ports::free());
    log_in(&two, &second, &password);

    assert_eq!(first.end(Signal::KILL), None);
    until("the second server has taken over", || two.run(&format!("power {name} on")).code == Some(0));
    assert_ne!(postgres.sql("mrp0", "SELECT holder FROM claims WHERE name LIKE 'bmc:%'"), owner);
    assert_eq!(claims(&postgres), "1\n");
    assert_eq!(second.end(Signal::TERM), Some(0));
    assert_eq!(claims(&postgres), "0\n", "who ends gives up what it has");
    let mut rotated = None;
    until("the killed server counts as down", || {
        rotated = Some(rotate()).filter(|rotated| rotated.status.success());
        rotated.is_some()
    });
    let said = String::from_utf8_lossy(&rotated.unwrap().stdout).into_owned();
    assert!(said.contains("1 BMC password") && said.contains("copy it to the other servers"), "{said}");
}

#[test]
fn doctor_looks_at_the_database_and_changes_nothing() {
    let postgres = PostgresServer::start();
    let (home, database) = (Home::new(), postgres.database());
    let doctor = |url: &str| {
        let mut command = serve(&home, Ports::free());
        command.env("MRP_DATABASE__URL", url);
        let mut doctor = home.command(&["doctor", "-o", "json"]);
        doctor.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let out = String::from_utf8(doctor.output().unwrap().stdout).unwrap();
        let findings: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
        let found = findings.into_iter().find(|finding| finding["about"] == "database").unwrap();
        (found["level"].as_str().unwrap().to_owned(), found["text"].as_str().unwrap().to_owned())
    };
    let (level, text) = doctor(&database);
    assert!(level == "ok" && text.contains("empty, its tables are made"), "{text}");
    assert_eq!(postgres.sql("mrp0", "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'"), "0\n");
    let server = start(&home, &database, &home.path("images"), Ports::free());
    let (level, text) = doctor(&database);
    assert!(level == "ok" && text.contains("schema ") && text.contains("(version 1"), "{text}");
    let (level, text) = doctor("postgres://mrp:hunter2@127.0.0.1:1/mrp");
    assert!(level == "problem" && text.contains("cannot be reached") && !text.contains("hunter2"), "{text}");
    assert_eq!(server.end(Signal::TERM), Some(0));
}

/// What clients of a server were answered, by status.
#[derive(Default)]
struct Answers {
    done: AtomicUsize,
    refused: AtomicUsize,
}

/// Asks until it is told to stop: a request is done, or refused in the API's own shape.
async fn ask_on(url: String, token: String, client: usize, answers: Arc<Answers>, stop: Arc<AtomicBool>) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let requests = [
            http.get(format!("{url}/api/v1/machine")),
            http.post(format!("{url}/api/v1/arch")).body(format!(r#"{{"name": "arch-{client}-{number}"}}"#)),
        ];
        for request in requests {
            let answer = request.header("authorization", &token).send().await.expect("the server is up");
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            match status {
                200 | 201 => answers.done.fetch_add(1, Ordering::SeqCst),
                503 => {
                    let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                    let is_shaped = body["error_type"] == "Unavailable" && body["errors"][0].is_string();
                    assert!(is_shaped && !text.contains("sqlx"), "{text}");
                    answers.refused.fetch_add(1, Ordering::SeqCst)
                }
                other => panic!("{other}: {text}"),
            };
        }
    }
}

#[test]
fn requests_are_refused_while_the_database_restarts_and_the_server_recovers_by_itself() {
    let mut postgres = PostgresServer::start();
    let (home, database) = (Home::new(), postgres.database());
    let server = start(&home, &database, &home.path("images"), Ports::free());
    log_in(&home, &server, &std::fs::read_to_string(home.path("data/admin-password")).unwrap());
    let token = home.json("token add --description load")["token"].as_str().unwrap().to_owned();
    let (answers, stop) = (Arc::new(Answers::default()), Arc::new(AtomicBool::new(false)));
    mrp_tls::install_provider();
    let runtime = Runtime::new().unwrap();
    let clients: Vec<_> = (0..8)
        .map(|client| ask_on(server.url.clone(), token.clone(), client, answers.clone(), stop.clone()))
        .map(|asking| runtime.spawn(asking))
        .collect();
    let done = || answers.done.load(Ordering::SeqCst);
    until("requests are answered", || done() > 100);
    for _ in 0..2 {
        let refused = answers.refused.load(Ordering::SeqCst);
        postgres.stop();
        until("requests are refused", || answers.refused.load(Ordering::SeqCst) > refused + 50);
        postgres.run();
        let before = done();
        until("requests are answered again", || done() > before + 200);
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        runtime.block_on(client).unwrap();
    }
    home.run("machine list").ok();
    assert_eq!(server.end(Signal::TERM), Some(0));
}

/// `mrp console --watch`: what it has printed, console and notices alike.
struct Watcher {
    child: Child,
    said: PathBuf,
}

impl Watcher {
    fn start(home: &Home, machine: &str) -> Self {
        let said = home.path("watched");
        let file = File::create(&said).unwrap();
        let mut command = home.command(&["console", machine, "--watch"]);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), said }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.said).unwrap()).into_owned()
    }

    fn sees(&self, text: &str) {
        until(text, || self.said().contains(text));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two servers, of which the first drives the BMC of `sim-1`, and the second gives it its boot files. Alice asks the second.
struct Pair {
    postgres: PostgresServer,
    one: Home,
    first: Server,
    second: Server,
    alice: Home,
    rack: Rack,
    runtime: Runtime,
}

impl Pair {
    fn new() -> Self {
        let postgres = PostgresServer::start();
        let database = postgres.database();
        let (one, two, alice) = (Home::new(), Home::new(), Home::new());
        let (ports, images) = (Ports::free(), one.path("images"));
        let first = start(&one, &database, &images, Ports::free());
        std::fs::create_dir(two.path("data")).unwrap();
        std::fs::copy(one.path("data/key"), two.path("data/key")).unwrap();
        let second = start(&two, &database, &images, ports);
        log_in(&one, &first, &std::fs::read_to_string(one.path("data/admin-password")).unwrap());
        let runtime = Runtime::new().unwrap();
        let rack = runtime.block_on(Rack::start(1, ports.machines(), ports.tftp().port(), false)).unwrap();
        for (file, size) in [("bootx64.efi", 300_000), ("vmlinuz", 2_000_000), ("initrd.gz", 5_000_000)] {
            one.file(file, vec![7; size]);
        }
        one.file("preseed.cfg", "d-i preseed/late_command string wget -qO- {{ phone_home_url }}\n");
        one.mrp_with(&["user", "add", "alice", "--password-stdin"], "correct horse").ok();
        let address = rack.units()[0].bmc_address.to_string();
        one.mrp_with(&["bmc", "add", "sim-1", &address, "--user", USER, "--password-stdin"], PASSWORD).ok();
        for line in [
            "arch add x86_64",
            "image upload bootx64.efi --type bootloader --arch x86_64 --public",
            "image upload vmlinuz --type kernel --arch x86_64 --public",
            "image upload initrd.gz --type initrd --arch x86_64 --public",
            "preseed add debian preseed.cfg --type preseed --public",
            "subarch add x86_64 efi --bootloader bootx64.efi --efi",
            "network add lab 127.77.0.0/24 --reserved 127.77.0.64/26",
            &format!(
                "machine add sim-1 --arch x86_64 --subarch efi --bmc sim-1 --mac {},eth0,lab",
                rack.units()[0].mac
            ),
            "power sim-1 off",
        ] {
            one.run(line).ok();
        }
        alice.mrp_with(&["login", &second.url, "--user", "alice", "--password-stdin"], "correct horse").ok();
        let pair = Self { postgres, one, first, second, alice, rack, runtime };
        assert!(pair.is_owned_by_the_first());
        pair
    }

    fn bmc(&self) -> &BmcSimulator {
        &self.rack.bmcs()[0]
    }

    fn is_owned_by_the_first(&self) -> bool {
        let id = std::fs::read_to_string(self.one.path("data/server-id")).unwrap();
        self.postgres.sql("mrp0", "SELECT holder FROM claims WHERE name LIKE 'bmc:%'").trim() == id.trim()
    }

    /// Alice watches the console, which is open, and a run is under way.
    fn run_and_watch(&self) -> Watcher {
        self.alice.run("reserve sim-1").ok();
        let watcher = Watcher::start(&self.alice, "sim-1");
        until("the console is open", || self.bmc().console_is_open());
        self.alice.run("provision sim-1 --kernel vmlinuz --initrd initrd.gz --preseed debian").ok();
        watcher.sees("starts from pxe");
        watcher
    }

    /// The second server has the console, and the run ends.
    fn goes_on(&self, watcher: &Watcher, since: Instant) {
        watcher.sees("had it and has not closed it");
        self.bmc().print("the console goes on\r\n");
        watcher.sees("the console goes on");
        assert!(since.elapsed() < Duration::from_secs(15), "taken over {:?} later", since.elapsed());
        assert!(!self.is_owned_by_the_first());
        until("the run ends", || self.alice.json("run list --machine sim-1")[0]["status"] == "ready");
        let log = self.alice.run("console sim-1 --log").ok();
        assert!(log.out.contains("the console goes on"), "{log:?}");
    }

    fn end(self) {
        self.runtime.block_on(self.rack.stop());
        assert_eq!(self.second.end(Signal::TERM), Some(0));
    }
}

#[test]
fn giving_a_machine_back_cuts_its_consoles_at_other_servers() {
    let pair = Pair::new();
    pair.alice.run("reserve sim-1").ok();
    let mut watcher = Watcher::start(&pair.alice, "sim-1");
    until("the console is open", || pair.bmc().console_is_open());
    pair.bmc().print("before it is given back\r\n");
    watcher.sees("before it is given back");
    let log = pair.alice.run("console sim-1 --log").ok();
    assert!(log.out.contains("before it is given back"), "the record is read at the other server: {log:?}");
    pair.alice.run("release sim-1").ok();
    let given_back = Instant::now();
    until("the console is cut", || watcher.child.try_wait().unwrap().is_some());
    assert!(given_back.elapsed() < Duration::from_secs(1), "cut {:?} later", given_back.elapsed());
    watcher.sees("the console was cut");
    assert!(pair.is_owned_by_the_first());
    pair.end();
}

#[test]
fn a_console_and_a_run_go_on_when_the_owner_of_the_bmc_is_killed() {
    let pair = Pair::new();
    let watcher = pair.run_and_watch();
    let activations = pair.bmc().console_activations();
    pair.first.signal(Signal::KILL);
    pair.goes_on(&watcher, Instant::now());
    // A BMC gives its console to one session at a time: nobody has taken it from the new owner.
    assert_eq!(pair.bmc().console_activations(), activations + 1);
    pair.end();
}

#[test]
fn an_owner_that_hung_does_not_fight_for_its_console() {
    let pair = Pair::new();
    let watcher = pair.run_and_watch();
    let there = Watcher::start(&pair.one, "sim-1");
    there.sees("starts from pxe");
    let activations = pair.bmc().console_activations();
    pair.first.signal(Signal::STOP);
    pair.goes_on(&watcher, Instant::now());
    pair.first.signal(Signal::CONT);
    // Who watches at the first server is passed on: it has seen that it has lost the console.
    until("the first server passes on", || {
        pair.bmc().print("and on\r\n");
        there.said().contains("and on")
    });
    watcher.sees("and on");
    assert_eq!(pair.bmc().console_activations(), activations + 1);
    assert!(!pair.is_owned_by_the_first());
    pair.end();
}
