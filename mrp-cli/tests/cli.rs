//! The client against a server, both as processes: README's main job, refusals and their exit codes, ends and restarts.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use harness::{Home, Ports, Server, files_below, serve, until, wait_for};
use mrp_cli::demo::rack::{PASSWORD, Rack, USER};
use rustix::process::Signal;
use tokio::runtime::Runtime;

/// A server with what README's admin enters, a rack beside it, and `alice` logged in.
struct Lab {
    home: Home,
    server: Server,
    rack: Rack,
    runtime: Runtime,
}

impl Lab {
    fn new() -> Self {
        let (home, ports) = (Home::new(), Ports::free());
        let server = Server::start(&home, ports);
        let runtime = Runtime::new().unwrap();
        let rack = runtime.block_on(Rack::start(2, ports.machines(), ports.tftp().port(), false)).unwrap();
        let lab = Self { home, server, rack, runtime };
        lab.set_up();
        lab
    }

    fn set_up(&self) {
        let (home, url) = (&self.home, &self.server.url);
        let password = std::fs::read_to_string(home.path("data/admin-password")).unwrap();
        home.mrp_with(&["login", url, "--user", "admin", "--password-stdin"], &password).ok();
        home.file("bootx64.efi", vec![7; 300_000]);
        home.file("vmlinuz", vec![1; 2_000_000]);
        home.file("initrd.gz", vec![2; 5_000_000]);
        home.file("preseed.cfg", "d-i preseed/late_command string wget -qO- {{ phone_home_url }}\n");
        for line in [
            "arch add x86_64",
            "image upload bootx64.efi --type bootloader --arch x86_64 --public",
            "subarch add x86_64 efi --bootloader bootx64.efi --efi",
            "network add lab 127.77.0.0/24 --reserved 127.77.0.64/26",
        ] {
            home.run(line).ok();
        }
        for unit in self.rack.units() {
            let (name, address, mac) = (&unit.name, unit.bmc_address, unit.mac);
            home.mrp_with(
                &["bmc", "add", name, &address.to_string(), "--user", USER, "--password-stdin"],
                PASSWORD,
            )
            .ok();
            home.run(&format!(
                "machine add {name} --arch x86_64 --subarch efi --bmc {name} --mac {mac},eth0,lab"
            ))
            .ok();
        }
        home.mrp_with(&["user", "add", "alice", "--password-stdin"], "correct horse").ok();
        home.mrp_with(&["login", url, "--user", "alice", "--password-stdin"], "correct horse").ok();
    }

    fn end(self) {
        self.runtime.block_on(self.rack.stop());
        assert_eq!(self.server.end(Signal::TERM), Some(0));
    }
}

#[test]
fn the_main_job_of_the_readme_by_command_line() {
    let lab = Lab::new();
    let home = &lab.home;
    home.run("reserve sim-1 --reason bisect").ok();
    home.run("image upload vmlinuz --type kernel --arch x86_64").ok();
    home.run("image upload initrd.gz --type initrd --arch x86_64").ok();
    home.run("preseed add debian preseed.cfg --type preseed").ok();
    let run = home.run("provision sim-1 --kernel vmlinuz --initrd initrd.gz --preseed debian --follow").ok();
    for stage in
        ["power", "DHCP", "boot loader", "configuration", "kernel", "initrd", "answer file", "phone-home"]
    {
        assert!(run.out.lines().any(|line| line.contains(&format!(" s  {stage}"))), "{stage}: {}", run.out);
    }
    assert!(run.out.trim_end().ends_with("ready: the machine phoned home"), "{}", run.out);
    assert_eq!(home.run("power sim-1 status").ok().out, "sim-1: on\n");

    let machine = home.json("machine show sim-1");
    assert_eq!(
        (&machine["state"], &machine["power"], &machine["netboot"]),
        (&"ready".into(), &"on".into(), &"off".into())
    );
    assert_eq!(machine["assignees"][0]["user"], "alice");
    let bytes = |stage: &str| {
        let stages = machine["run"]["stages"].as_array().unwrap();
        stages.iter().find(|found| found["stage"] == stage).unwrap()["bytes"].as_u64().unwrap()
    };
    assert_eq!([bytes("boot_loader"), bytes("kernel"), bytes("initrd")], [300_000, 2_000_000, 5_000_000]);
    let shown = home.run("machine show sim-1").ok().out;
    assert!(shown.contains("alice (bisect)") && shown.contains("debian"), "{shown}");

    for line in [
        "machine list",
        "image list",
        "preseed list",
        "run list",
        "events",
        "interface list sim-1",
        "user list",
        "token list",
        "arch list",
        "subarch list",
        "network list",
        "discovered list",
    ] {
        assert!(home.json(line).is_array(), "{line}");
        home.run(line).ok();
    }
    assert_eq!(home.json("image show vmlinuz")["size"], 2_000_000);
    let found = home.mrp(&["machine", "list", "-q", "(=~ name \"sim-2\")", "-o", "json"]).ok().out;
    assert!(found.contains("sim-2") && !found.contains("sim-1"), "{found}");
    assert!(home.run("preseed render debian --machine sim-1").ok().out.contains("/phone-home/"));
    home.run("release sim-1").ok();
    home.run("run follow 1").ok();
    lab.end();
}

#[test]
fn refusals_have_words_and_exit_codes() {
    let lab = Lab::new();
    let (home, url) = (&lab.home, &lab.server.url);
    let token_file = std::fs::metadata(home.path(".config/mrp/logins.json")).unwrap();
    assert_eq!(token_file.permissions().mode() & 0o777, 0o600);
    assert!(home.run("whoami").ok().out.contains("alice"));

    home.run("power sim-9 status").code(1).says(&["sim-9", "did you mean \"sim-"]);
    home.run("image upload nothing.img --type kernel --arch x86_64")
        .code(1)
        .says(&["nothing.img", "No such file"]);
    home.run("image upload vmlinuz --type kernel --arch x86_46").code(1).says(&["did you mean \"x86_64\""]);
    home.run("machine set sim-1 --netboot on").code(1).says(&["you do not hold sim-1", "mrp reserve sim-1"]);
    home.run("release sim-1").code(1).says(&["you do not hold sim-1"]);
    home.run("arch add arm64").code(1).says(&["mrp: "]);
    home.run("provision sim-1 --kernel nokernel").code(1).says(&["there is no kernel \"nokernel\""]);
    home.mrp_with(&["login", url, "--user", "alice", "--password-stdin"], "wrong")
        .code(1)
        .says(&["wrong user name or password"]);
    home.run("whoami").ok();

    home.run("frobnicate").code(2);
    home.run("power sim-1 explode").code(2);
    home.run("machine set sim-1").code(2).says(&["nothing to change"]);
    home.run(&format!("login {url} --user bob")).code(2).says(&["--password-stdin"]);
    home.run("login mrp.example.org --user bob --password-stdin").code(2).says(&["write it as http://"]);
    home.run("login http://127.0.0.1:9 --user bob --password-stdin").code(3).says(&["not reachable"]);
    let status = home
        .command(&["machine", "list"])
        .env("MRP_URL", "http://127.0.0.1:9")
        .env("MRP_TOKEN", "x")
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(3));
    let status =
        home.command(&["machine", "list"]).env("MRP_URL", url).env("MRP_TOKEN", "x").output().unwrap();
    assert_eq!(status.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&status.stderr).contains("mrp login"));

    home.run("reserve sim-1 --reason mine").ok();
    home.run("reserve sim-1").code(1).says(&["sim-1 is held by alice (mine)"]);
    let issued = home.json("token add --description ci --valid 1h");
    let token = issued["token"].as_str().unwrap();
    let by_token = home
        .command(&["machine", "list", "--mine", "-o", "json"])
        .env("MRP_URL", url)
        .env("MRP_TOKEN", token)
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&by_token.stdout).unwrap()[0]["name"], "sim-1");
    home.run("logout").ok();
    home.run("whoami").code(1).says(&["mrp login"]);
    lab.end();
}

#[test]
fn ctrl_c_ends_the_display_and_not_the_run() {
    let lab = Lab::new();
    let home = &lab.home;
    home.run("reserve sim-1").ok();
    home.run("image upload vmlinuz --type kernel --arch x86_64").ok();
    let mut follow = home.command(&["provision", "sim-1", "--kernel", "vmlinuz", "--manual", "--follow"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(follow.stdout.take().unwrap(), "kernel  ");
    let pid = rustix::process::Pid::from_raw(i32::try_from(follow.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    wait_for(
        follow.stderr.take().unwrap(),
        "The run goes on. See it again: mrp run follow 1. End it: mrp run cancel 1",
    );
    assert_eq!(follow.wait().unwrap().code(), Some(130));
    assert_eq!(home.json("run show 1")["status"], "active");
    assert!(home.run("run cancel 1").ok().out.contains("cancelled by alice"));
    home.run("run follow 1").code(1);
    lab.end();
}

#[test]
fn a_killed_server_goes_on_and_leaves_nothing_behind() {
    let lab = Lab::new();
    let home = &lab.home;
    home.run("reserve sim-1").ok();
    for line in [
        "image upload vmlinuz --type kernel --arch x86_64",
        "image upload initrd.gz --type initrd --arch x86_64",
    ] {
        home.run(line).ok();
    }
    let token = home.json("token add")["token"].as_str().unwrap().to_owned();
    // A run without an answer file waits for a person after its initrd: it is under way when the server dies.
    home.run("provision sim-1 --kernel vmlinuz --initrd initrd.gz").ok();
    until("the initrd", || {
        home.json("run show 1")["stages"]
            .as_array()
            .unwrap()
            .iter()
            .any(|stage| stage["stage"] == "initrd" && stage["bytes"] == 5_000_000)
    });
    let before = home.json("run show 1");

    // A transfer that is under way: the client has asked, and acknowledges nothing.
    let client = UdpSocket::bind("127.77.0.11:0").unwrap();
    client.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    client.send_to(b"\0\x01bootx64.efi\0octet\0", lab.server.ports.tftp()).unwrap();
    let mut packet = [0; 600];
    assert!(client.recv(&mut packet).unwrap() > 500, "the first block came");
    // An upload that is under way.
    let files = files_below(&home.path("data/images")).len();
    let mut upload = TcpStream::connect(lab.server.ports.people()).unwrap();
    let head = "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n{\"type\":\"Kernel\",\"arch\":\"x86_64\"}\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big\"\r\n\r\n";
    write!(upload, "POST /api/v1/image HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 90000000\r\n\r\n{head}").unwrap();
    upload.write_all(&vec![9; 1 << 20]).unwrap();
    until("the upload", || files_below(&home.path("data/images")).len() > files);

    let Lab { home, server, rack, runtime } = lab;
    let ports = server.ports;
    assert_eq!(server.end(Signal::KILL), None);
    let server = Server::start(&home, ports);
    let after = home.json("run show 1");
    assert_eq!(after["status"], "active");
    assert_eq!(after["stages"], before["stages"], "nothing is lost, nothing doubled");
    assert_eq!(files_below(&home.path("data/images")).len(), files, "the cut upload is gone");
    assert_eq!(home.json("image list").as_array().unwrap().len(), 3);
    home.run("state sim-1 ready").ok();
    assert_eq!(home.json("run show 1")["verdict"], "ready: said by alice");
    home.run("power sim-1 off").ok();
    let lab = Lab { home, server, rack, runtime };
    lab.end();
}

#[test]
fn a_server_ends_at_ctrl_c_and_starts_again() {
    let (home, ports) = (Home::new(), Ports::free());
    let first = Server::start(&home, ports);
    let second = serve(&home, Ports::free()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another mrp (pid ") && second.status.code() == Some(1), "{said}");
    assert_eq!(first.end(Signal::INT), Some(0));
    let password = std::fs::read_to_string(home.path("data/admin-password")).unwrap();
    for secret in ["admin-password", "key"] {
        let mode = std::fs::metadata(home.path("data").join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let again = Server::start(&home, ports);
    home.mrp_with(&["login", &again.url, "--user", "admin", "--password-stdin"], &password).ok();

    // A forgotten password, while the server runs.
    let mut reset = home.command(&["user", "reset-password", "admin", "--password-stdin"]);
    let mut reset = reset
        .env("MRP_SERVER__DATA_DIR", home.path("data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    reset.stdin.take().unwrap().write_all(b"a new password\n").unwrap();
    assert!(reset.wait().unwrap().success());
    home.run("whoami").code(1).says(&["mrp login"]);
    home.mrp_with(&["login", &again.url, "--user", "admin", "--password-stdin"], "a new password").ok();
    assert_eq!(again.end(Signal::TERM), Some(0));

    // The first password is nobody's any more, and is not left lying about.
    assert!(home.path("data/admin-password").exists());
    let third = Server::start(&home, ports);
    assert!(!home.path("data/admin-password").exists());
    home.mrp_with(&["login", &third.url, "--user", "admin", "--password-stdin"], "a new password").ok();
    assert_eq!(third.end(Signal::TERM), Some(0));
}

#[test]
fn the_key_is_changed_and_a_change_that_was_cut_off_is_finished() {
    let (home, ports) = (Home::new(), Ports::free());
    let server = Server::start(&home, ports);
    let rotate = || {
        let mut command = home.command(&["key", "rotate"]);
        let output = command.env("MRP_SERVER__DATA_DIR", home.path("data")).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = rotate();
    assert!(code == Some(1) && said.contains("another mrp (pid "), "{said}");
    let password = std::fs::read_to_string(home.path("data/admin-password")).unwrap();
    home.mrp_with(&["login", &server.url, "--user", "admin", "--password-stdin"], &password).ok();
    home.mrp_with(&["bmc", "add", "b1", "127.0.0.9", "--user", "u", "--password-stdin"], "bmc secret\n").ok();
    assert_eq!(server.end(Signal::TERM), Some(0));

    let (key, next) = (home.path("data/key"), home.path("data/key.new"));
    let first = std::fs::read_to_string(&key).unwrap();
    let (code, said) = rotate();
    assert!(code == Some(0) && said.contains("1 BMC password"), "{said}");
    let second = std::fs::read_to_string(&key).unwrap();
    assert!(first != second && !next.exists() && !said.contains(second.trim()), "{said}");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    // Killed between database and file: the file of before is still in place, the new one beside it.
    std::fs::write(&key, &first).unwrap();
    std::fs::write(&next, &second).unwrap();
    let server = Server::start(&home, ports);
    assert_eq!((std::fs::read_to_string(&key).unwrap(), next.exists()), (second.clone(), false));
    home.run("bmc list").ok();
    assert_eq!(server.end(Signal::TERM), Some(0));
    // Killed before the database: the new file is of no meaning.
    std::fs::write(&next, &first).unwrap();
    assert_eq!(Server::start(&home, ports).end(Signal::TERM), Some(0));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), second);
    std::fs::remove_file(&next).unwrap();

    // Of another database, damaged, and lost: refused in words that name the file.
    for (content, words) in
        [(Some(first.as_str()), "is not the one"), (Some("x"), "is no key"), (None, "is missing")]
    {
        match content {
            Some(content) => std::fs::write(&key, content).unwrap(),
            None => std::fs::remove_file(&key).unwrap(),
        }
        let refused = serve(&home, ports).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(&key.display().to_string()) && said.contains(words), "{said}");
        assert!(!said.contains(first.trim()), "{said}");
    }
    assert!(!key.exists(), "none is made in its place");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let (home, ports) = (Home::new(), Ports::free());
    let refused = |change: &dyn Fn(&mut std::process::Command), words: &[&str]| {
        let mut command = serve(&home, ports);
        change(&mut command);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is missing: {said}");
        }
    };
    let taken = TcpListener::bind(ports.people()).unwrap();
    refused(
        &|_| {},
        &[
            "web.listen",
            &ports.people().to_string(),
            &format!("(pid {})", std::process::id()),
            "MRP_WEB__LISTEN",
        ],
    );
    drop(taken);
    let taken = UdpSocket::bind(ports.tftp()).unwrap();
    refused(&|_| {}, &["tftp.listen", &format!("(pid {})", std::process::id())]);
    drop(taken);
    let file = home.file("file", "");
    refused(
        &|command| {
            command.env("MRP_SERVER__DATA_DIR", format!("{file}/data"));
        },
        &["data folder", "server.data_dir"],
    );
    let config = home.file("mrp.toml", "[tftp]\nmax_widowsize = 3\n");
    refused(
        &|command| {
            command.args(["--config", &config]);
        },
        &["line 2", "did you mean \"max_windowsize\""],
    );
    refused(
        &|command| {
            command.args(["--config", "/nonexistent.toml"]);
        },
        &["/nonexistent.toml"],
    );
}

#[test]
fn doctor_finds_what_is_wrong() {
    let lab = Lab::new();
    let doctor = |home: &Home| {
        let mut command = home.command(&["doctor", "-o", "json"]);
        for (name, value) in
            serve(home, lab.server.ports).get_envs().filter_map(|(name, value)| Some((name, value?)))
        {
            command.env(name, value);
        }
        let output = command.output().unwrap();
        let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let level = |about: &str| {
            findings.iter().find(|f| f["about"] == about).map(|f| f["level"].as_str().unwrap().to_owned())
        };
        (output.status.code(), ["BMC sim-1", "key file", "web.listen", "tftp.listen", "database"].map(level))
    };
    let ok = Some("ok".to_owned());
    let all_ok = [ok.clone(), ok.clone(), ok.clone(), ok.clone(), ok.clone()];
    assert_eq!(doctor(&lab.home), (Some(0), all_ok));
    let key = lab.home.path("data/key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let password = std::fs::read_to_string(lab.home.path("data/admin-password")).unwrap();
    lab.home.mrp_with(&["login", &lab.server.url, "--user", "admin", "--password-stdin"], &password).ok();
    lab.home.mrp_with(&["bmc", "set", "sim-1", "--password-stdin"], "not its password").ok();
    let problem = Some("problem".to_owned());
    assert_eq!(doctor(&lab.home), (Some(1), [problem.clone(), problem, ok.clone(), ok.clone(), ok]));
    lab.end();
}

#[test]
fn reports_of_dnsmasq_wait_while_mrp_is_away() {
    let (home, ports) = (Home::new(), Ports::free());
    let spool = home.path("spool").display().to_string();
    let url = format!("http://{}", ports.machines());
    let report = |mac: &str| {
        home.mrp(&["dnsmasq-event", "--url", &url, "--spool", &spool, "add", mac, "10.0.0.7", "node"]).ok()
    };
    report("52:54:00:00:00:01");
    let waiting = || {
        files_below(&home.path("spool"))
            .iter()
            .filter(|file| file.extension().is_some_and(|e| e == "json"))
            .count()
    };
    assert_eq!(waiting(), 1);
    let server = Server::start(&home, ports);
    // The time for which it is left alone has passed.
    std::fs::remove_file(home.path("spool/.rest")).unwrap();
    report("52:54:00:00:00:02");
    assert_eq!(waiting(), 0);
    let password = std::fs::read_to_string(home.path("data/admin-password")).unwrap();
    home.mrp_with(&["login", &server.url, "--user", "admin", "--password-stdin"], &password).ok();
    assert_eq!(home.json("discovered list").as_array().unwrap().len(), 2);
    let config = home.run("dnsmasq config").ok().out;
    assert!(
        config.contains("dhcp-script=") && config.contains("dnsmasq-event --url http://127.0.0.1:8081"),
        "{config}"
    );
    home.mrp(&["dnsmasq-event", "tftp", "12", "10.0.0.1", "/file"]).ok();
    home.mrp(&["dnsmasq-event"]).ok();
}

#[test]
fn a_server_that_hangs_holds_up_one_report_and_not_each() {
    let (home, hung) = (Home::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let spool = home.path("spool").display().to_string();
    let url = format!("http://{}", hung.local_addr().unwrap());
    for last in 1..=5 {
        let mac = format!("52:54:00:00:00:0{last}");
        home.mrp(&["dnsmasq-event", "--url", &url, "--spool", &spool, "add", &mac, "10.0.0.7", "node"]).ok();
    }
    hung.set_nonblocking(true).unwrap();
    let asked = std::iter::from_fn(|| hung.accept().ok()).count();
    assert!((1..5).contains(&asked), "{asked} reports waited for it");
    let server = Server::start(&home, Ports::free());
    // The time for which it is left alone has passed.
    std::fs::remove_file(home.path("spool/.rest")).unwrap();
    let url = format!("http://{}", server.ports.machines());
    home.mrp(&[
        "dnsmasq-event",
        "--url",
        &url,
        "--spool",
        &spool,
        "add",
        "52:54:00:00:00:06",
        "10.0.0.8",
        "x",
    ])
    .ok();
    let password = std::fs::read_to_string(home.path("data/admin-password")).unwrap();
    home.mrp_with(&["login", &server.url, "--user", "admin", "--password-stdin"], &password).ok();
    assert_eq!(home.json("discovered list").as_array().unwrap().len(), 6, "all have arrived");
}

#[test]
fn a_self_made_certificate_is_trusted_only_when_it_is_named() {
    let (home, ports) = (Home::new(), Ports::free());
    let mut command = serve(&home, ports);
    command.env("MRP_WEB__TLS", "self-made");
    let server = Server::spawn(command, ports);
    let url = format!("https://{}", ports.people());
    let password = std::fs::read_to_string(home.path("data/admin-password")).unwrap();
    let login = |more: &[&str]| {
        let mut arguments = vec!["login", &url, "--user", "admin", "--password-stdin"];
        arguments.extend(more);
        home.mrp_with(&arguments, &password)
    };
    login(&[]).code(1).says(&["not trusted", "--ca FILE", "--fingerprint"]);
    login(&["--fingerprint", &"00".repeat(32)]).code(1);
    let certificate = home.path("data/certificate.pem").display().to_string();
    login(&["--ca", &certificate]).ok();
    assert!(home.run("whoami").ok().out.contains("admin"));
    assert_eq!(server.end(Signal::TERM), Some(0));
}

#[test]
fn help_is_as_it_was_written() {
    let home = Home::new();
    let help = home.run("--help").ok().out;
    assert_eq!(
        help,
        include_str!("help.txt"),
        "if this is meant, write it anew: mrp --help > mrp-cli/tests/help.txt"
    );
    let examples = home.run("image upload --help").ok().out;
    assert!(examples.contains("Examples:") && examples.contains("mrp image upload vmlinuz"), "{examples}");
}
