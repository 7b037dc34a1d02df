//! Every command of the client at least once, for admins and for others, with wrong input, and for programs.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::process::{Command, Stdio};

use harness::{Ended, Home, Ports, Server, wait_for};
use rustix::process::Signal;
use serde_json::Value;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXtJ1gJcU7cMNkUp6K+1S2c0DmMYwzqY0x0c8y6M9oQ alice@example.org\n";

/// A server whose admin and whose user `alice` have homes of their own.
struct Lab {
    server: Server,
    admin: Home,
    alice: Home,
}

impl Lab {
    fn new() -> Self {
        let (admin, alice) = (Home::new(), Home::new());
        let server = Server::start(&admin, Ports::free());
        let password = std::fs::read_to_string(admin.path("data/admin-password")).unwrap();
        admin.mrp_with(&["login", &server.url, "--user", "admin", "--password-stdin"], &password).ok();
        admin.mrp_with(&["user", "add", "alice", "--password-stdin"], "correct horse").ok();
        alice.mrp_with(&["login", &server.url, "--user", "alice", "--password-stdin"], "correct horse").ok();
        for home in [&admin, &alice] {
            home.file("loader.efi", vec![7; 3000]);
            home.file("vmlinuz", vec![1; 2000]);
            home.file("ks.cfg", "lang en_US\n");
            home.file("id.pub", KEY);
            home.file("secret", "a BMC's password\n");
            home.file("id", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n");
        }
        for line in [
            "arch add x86_64",
            "image upload loader.efi --type bootloader --arch x86_64 --public",
            "subarch add x86_64/efi --bootloader loader.efi --efi",
            "network add lab 10.9.0.0/24 --reserved 10.9.0.64/26 --static 10.9.0.128/26",
            "bmc add bmc-1 127.0.0.1:9 --user root --password-file secret",
            "machine add node-1 --arch x86_64/efi --bmc bmc-1 --mac 52:54:00:00:00:01,eth0,lab",
            "machine add node-2 --arch x86_64 --subarch efi --mac 52:54:00:00:00:02,eth0,lab",
        ] {
            admin.run(line).ok();
        }
        Self { server, admin, alice }
    }
}

/// Splits at spaces; `·` stands for a space within an argument.
fn run(home: &Home, line: &str) -> Ended {
    let arguments: Vec<String> = line.split(' ').map(|word| word.replace('·', " ")).collect();
    home.mrp(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn json(home: &Home, line: &str) -> Value {
    let ended = home.run(&format!("{line} -o json")).ok();
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{line}: {error}: {}", ended.out))
}

#[test]
fn each_command_prints_what_it_did_for_people_and_for_programs() {
    let lab = Lab::new();
    let (admin, alice) = (&lab.admin, &lab.alice);
    // Each line first as JSON, with a key of its answer; what changes something has another line for people.
    let lines: [(&Home, &str, &str); 44] = [
        (admin, "whoami", "admin"),
        (admin, "arch add arm46", "id"),
        (admin, "arch set arm46 --name arm64", "name"),
        (admin, "arch show arm64", "description"),
        (admin, "subarch add arm64/u-boot", "arch"),
        (admin, "subarch set arm64/u-boot --bootloader loader.efi --efi true", "bootloader_id"),
        (admin, "subarch set arm64 u-boot --bootloader none", "efiboot"),
        (admin, "subarch show u-boot", "name"),
        (admin, "subarch remove arm64/u-boot", "id"),
        (admin, "arch remove arm64", "id"),
        (admin, "network add spare 10.8.0.0/24", "subnet"),
        (admin, "network set spare --reserved 10.8.0.0/26 --trust-path-mac false", "reserved_net"),
        (admin, "network show spare", "trust_path_mac"),
        (admin, "network remove spare", "id"),
        (admin, "bmc add bmc-2 127.0.0.1:10 --password-file secret", "privilege"),
        (admin, "bmc set bmc-2 --user root --privilege operator --password-file secret", "username"),
        (admin, "bmc show bmc-2", "driver"),
        (admin, "bmc remove bmc-2", "id"),
        (admin, "machine add node-3 --arch x86_64", "hostname"),
        (admin, "machine set node-3 --name node-03 --subarch efi --bmc bmc-1 --bmc-info 3", "subarch"),
        (admin, "interface add node-03 52:54:00:00:00:03", "mac"),
        (admin, "interface set node-03 52-54-00-00-00-03 --identifier eth0 --network lab", "identifier"),
        (admin, "interface set node-03 eth0 --type static --address auto", "configured_ipv4"),
        (admin, "interface remove node-03 eth0", "id"),
        (admin, "assignment add node-03 alice --reason test", "user"),
        (admin, "assignment remove node-03 alice", "user"),
        (admin, "machine remove node-03", "id"),
        (admin, "user add bob --email b@example.org --admin --password-stdin", "admin"),
        (admin, "user set bob --admin false --ssh-keys id.pub", "ssh_keys"),
        (admin, "user show bob", "email"),
        (admin, "user remove bob", "id"),
        (alice, "reserve node-1 --reason mine", "netboot_enabled"),
        (alice, "assignment set node-1 --reason still", "reason"),
        (alice, "image upload vmlinuz --type kernel --arch x86_64", "upload_date"),
        (alice, "image set vmlinuz --public true --known-good true --description works", "known_good"),
        (alice, "image show vmlinuz", "sha256"),
        (alice, "preseed add fedora ks.cfg --type kickstart", "content"),
        (alice, "preseed set fedora --public true --name fedora-42", "public"),
        (alice, "preseed render fedora-42 --machine node-1", "warnings"),
        (alice, "machine set node-1 --kernel vmlinuz --preseed fedora-42 --kernel-opts quiet", "kernel_opts"),
        (alice, "state node-1 error", "state"),
        (alice, "token add --description ci --valid 2h", "token"),
        (alice, "token remove ci", "id"),
        (alice, "machine show node-1", "assignees"),
    ];
    for (home, line, key) in lines {
        let arguments = format!("{line} -o json");
        let ended = home.mrp_with(&arguments.split(' ').collect::<Vec<_>>(), "another horse\n").ok();
        let answer: Value =
            serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{line}: {e}: {}", ended.out));
        assert!(answer.get(key).is_some(), "{line}: {key:?} is missing in {answer}");
        assert!(!ended.out.contains("BMC's password"), "{line} shows a password");
    }
    assert_eq!(json(alice, "interface list node-1")[0]["identifier"], "eth0");
    alice.run("preseed show fedora-42").ok();
    assert_eq!(alice.run("preseed show fedora-42").ok().out, "lang en_US\n", "to the byte");
    for line in [
        "machine set node-1 --preseed none --kernel-opts x",
        "preseed remove fedora-42",
        "machine list",
        "machine list --mine",
        "image list --mine",
        "preseed list --mine",
        "run list --active",
        "events --machine node-1 --last 3",
        "assignment list node-1",
        "interface list node-1",
        "user list",
        "token list",
        "arch list",
        "subarch list",
        "network list",
        "discovered list",
        "release node-1",
        "logout",
    ] {
        assert!(!alice.run(line).ok().out.is_empty(), "{line}");
    }
    for line in
        ["audit --limit 5", "bmc list", "user show alice", "machine show node-2", "image remove vmlinuz"]
    {
        // The image is still the kernel of node-1: who uses it is told.
        let ended = admin.run(line);
        let wanted = if line.starts_with("image") { 1 } else { 0 };
        assert_eq!(ended.code, Some(wanted), "{ended:#?}");
    }
    admin.run("image remove vmlinuz").says(&["node-1"]);
}

#[test]
fn what_is_for_admins_is_refused_to_others_with_words() {
    let lab = Lab::new();
    let (admin, alice) = (&lab.admin, &lab.alice);
    for line in [
        "arch add arm64",
        "arch remove x86_64",
        "subarch set x86_64/efi --efi false",
        "network add other 10.7.0.0/24",
        "network remove lab",
        "bmc list",
        "machine add mine --arch x86_64",
        "machine remove node-1",
        "machine set node-1 --name mine",
        "interface remove node-1 eth0",
        "assignment add node-1 alice",
        "reserve node-1 --for alice",
        "user remove admin",
        "user set admin --email x@example.org",
        "audit",
    ] {
        let refused = alice.run(line).code(1);
        assert!(refused.err.starts_with("mrp: ") && refused.err.trim().len() > 12, "{refused:#?}");
    }
    alice.run("power node-1 on").code(1).says(&["you do not hold node-1", "mrp reserve node-1"]);
    alice.run("provision node-1").code(1).says(&["you do not hold node-1"]);
    alice.run("image remove loader.efi").code(1).says(&["mrp: "]);
    let private = admin.run("image upload vmlinuz --type kernel --arch x86_64").ok();
    assert!(private.out.contains("admin/vmlinuz."), "{}", private.out);
    alice.run("image show vmlinuz").code(1).says(&["there is no image \"vmlinuz\""]);
}

#[test]
fn wrong_input_is_refused_with_what_where_and_what_to_do() {
    let lab = Lab::new();
    let (admin, alice) = (&lab.admin, &lab.alice);
    let long = "x".repeat(5000);
    let lines: Vec<(&Home, String, i32, &[&str])> = vec![
        (
            alice,
            "machine show node-9".into(),
            1,
            &["there is no machine \"node-9\"", "\"node-1\" or \"node-2\""],
        ),
        (alice, "machine show 99999999999999".into(), 1, &["there is no machine"]),
        (alice, format!("machine show {long}"), 1, &["there is no machine \"xxx"]),
        (alice, "machine show \u{1b}[31m".into(), 1, &["\\u{1b}"]),
        (alice, "reserve --query ·".into(), 2, &["the query is empty", "(= free t)"]),
        (alice, "reserve --query=".into(), 2, &["the query is empty"]),
        (alice, "machine list -q (is·free)".into(), 1, &["`is` is not a valid operation", "=~"]),
        (admin, "arch remove x86_64".into(), 1, &["still"]),
        (admin, "audit --object machines".into(), 1, &["machines", "machine"]),
        (admin, "user set alice --ssh-keys secret".into(), 1, &["line 1 is no public SSH key"]),
        (admin, "user set alice --ssh-keys id".into(), 1, &["this is a private key"]),
        (
            admin,
            "interface set node-1 eth0 --type dynamic --address auto".into(),
            2,
            &["takes an address from the pool"],
        ),
        (admin, "interface add node-1 52:54:00:00:00:77,eth0".into(), 1, &["eth0 is taken already"]),
        (admin, "interface add node-1 01:00:5e:00:00:77".into(), 1, &["no network card's address"]),
        (admin, "machine add 12 --arch x86_64".into(), 1, &["would look like an id"]),
        (admin, "bmc add b bmc·one --password-file secret".into(), 1, &["address", "host:port"]),
        (alice, "reserve nod-1".into(), 1, &["did you mean \"node-1\"?"]),
        (alice, "reserve --query (=·nmae·\"x\")".into(), 1, &["nmae", "name"]),
        (alice, "machine list -q (=·name".into(), 1, &["query"]),
        (admin, "machine add m --arch x86_46".into(), 1, &["did you mean \"x86_64\"?"]),
        (admin, "machine add m --arch x86_64/eif".into(), 1, &["no subarchitecture \"eif\"", "\"efi\""]),
        (admin, "machine add m --arch x86_64 --bmc bmc-9".into(), 1, &["there is no BMC", "\"bmc-1\""]),
        (admin, "machine add m --arch x86_64 --mac 52:54".into(), 2, &["--mac", "52:54"]),
        (admin, "machine add m --arch x86_64 --mac 52:54:00:00:00:09,eth0,lba".into(), 1, &["\"lab\""]),
        (
            admin,
            "machine add m --arch x86_64 --mac 52:54:00:00:00:01".into(),
            1,
            &["52:54:00:00:00:01 is taken already, by machine node-1"],
        ),
        (admin, format!("machine add {long} --arch x86_64"), 1, &["mrp: "]),
        (admin, "machine add node-1 --arch x86_64".into(), 1, &["taken already"]),
        (admin, "interface set node-1 eht0 --address auto".into(), 1, &["no interface \"eht0\"", "\"eth0\""]),
        (admin, "interface set node-1 eth0 --address 10.9.0.300".into(), 2, &["10.9.0.300"]),
        (admin, "interface set node-1 eth0 --address 192.168.0.1".into(), 1, &["192.168.0.1"]),
        (admin, "network add other 10.9.0.0/25".into(), 1, &["lab"]),
        (admin, "network remove lab".into(), 1, &["in use"]),
        (admin, "bmc remove bmc-1".into(), 1, &["in use"]),
        (admin, "bmc add b 127.0.0.1 --driver plian --password-file secret".into(), 1, &["plian", "plain"]),
        (admin, "bmc add b 127.0.0.1 --password-file nothing".into(), 1, &["nothing", "No such file"]),
        (admin, "user add bob".into(), 2, &["no terminal", "--password-stdin"]),
        (admin, "user show alcie".into(), 1, &["did you mean \"alice\"?"]),
        (admin, "assignment remove node-1 alice".into(), 1, &["node-1 is free"]),
        (alice, "token remove nightly".into(), 1, &["there is no token \"nightly\""]),
        (alice, "run show 12".into(), 1, &["12"]),
        (alice, "run show twelve".into(), 2, &["twelve"]),
        (alice, "preseed render debian --machine node-1".into(), 1, &["there is no answer file \"debian\""]),
        (alice, "preseed add x nothing --type preseed".into(), 1, &["nothing", "No such file"]),
        (alice, "preseed add x ks.cfg --type presed".into(), 2, &["presed", "preseed"]),
        (alice, "image upload . --type kernel --arch x86_64".into(), 1, &["is no file"]),
        (alice, "machine set node-1".into(), 2, &["nothing to change was named"]),
        (alice, "machin list".into(), 2, &["machine"]),
        (alice, "machine lits".into(), 2, &["list"]),
        (alice, "login ftp://mrp".into(), 2, &["ftp://mrp", "http://mrp.example.org:8080"]),
    ];
    for (home, line, code, words) in lines {
        let refused = run(home, &line).code(code).says(words);
        assert!(refused.out.is_empty(), "an error is no result: {refused:#?}");
        assert!(!refused.err.contains('\u{1b}') && refused.err.len() < 4000, "{refused:#?}");
    }
    assert_eq!(json(admin, "machine list").as_array().unwrap().len(), 2, "nothing was added by halves");
}

#[test]
fn programs_get_errors_as_json_on_standard_error() {
    let Lab { alice, server, .. } = Lab::new();
    let error = |ended: Ended| -> Value {
        assert!(ended.out.is_empty() && ended.err.lines().count() == 1, "{ended:#?}");
        serde_json::from_str(&ended.err).unwrap()
    };
    let unknown = error(alice.run("machine show node-9 -o json").code(1));
    assert!(unknown["error"].as_str().unwrap().contains("did you mean"), "{unknown}");
    assert_eq!((&unknown["exit_code"], &unknown["status"]), (&1.into(), &Value::Null));
    let refused = error(alice.run("audit -o json").code(1));
    assert_eq!(refused["status"], 403, "{refused}");
    let refused = error(alice.run("run show 12 --output json").code(1));
    assert_eq!((&refused["status"], refused["error_type"].is_string()), (&404.into(), true), "{refused}");
    let wrong = error(alice.run("machine lits -ojson").code(2));
    assert!(wrong["error"].as_str().unwrap().contains("lits"), "{wrong}");
    assert_eq!(server.end(Signal::TERM), Some(0));
    let away = error(alice.run("machine list -o json").code(3));
    assert!(away["error"].as_str().unwrap().contains("not reachable"), "{away}");
}

#[test]
fn a_token_goes_to_the_server_that_it_is_for_and_to_no_other() {
    let Lab { alice, server, .. } = Lab::new();
    let token = json(&alice, "token add")["token"].as_str().unwrap().to_owned();
    let with = |arguments: &[&str], url: Option<&str>, token: &str| -> Ended {
        let mut command: Command = alice.command(arguments);
        command.env("MRP_TOKEN", token).stdin(Stdio::null());
        url.map(|url| command.env("MRP_URL", url));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (code, signal) = (output.status.code(), None);
        Ended {
            what: format!("{arguments:?}"),
            code,
            signal,
            out: text(output.stdout),
            err: text(output.stderr),
        }
    };
    with(&["whoami"], None, &token).code(2).says(&["MRP_TOKEN", "MRP_URL", "--url", &server.url]);
    with(&["whoami"], Some(&server.url), &token).ok();
    with(&["--url", &server.url, "whoami"], None, &token).ok();
    // MRP_TOKEN belongs to another server: the login at this one is used.
    with(&["whoami", "--url", &server.url], Some("http://127.0.0.1:9"), "of another server").ok();
    with(&["whoami", "--url", "http://127.0.0.1:9"], Some(&server.url), &token)
        .code(1)
        .says(&["not logged in at"]);
    with(&["whoami"], Some(&server.url), "wrong").code(1).says(&["MRP_TOKEN"]);
    // A job whose secret is missing or broken is not the login of whoever runs it.
    with(&["whoami"], Some(&server.url), "").code(2).says(&["MRP_TOKEN is set, but empty"]);
    with(&["whoami"], Some(&server.url), "two\nlines").code(2).says(&["MRP_TOKEN has a character"]);
    with(&["logout"], Some(&server.url), &token).ok();
    alice.run("whoami").ok();
}

#[test]
fn logins_that_cannot_be_read_are_kept() {
    let Lab { alice, server, .. } = Lab::new();
    let file = alice.path(".config/mrp/logins.json");
    std::fs::write(&file, "{\"logins\": oops").unwrap();
    let login = ["login", &server.url, "--user", "alice", "--password-stdin"];
    alice.mrp_with(&login, "correct horse").code(2).says(&["logins.json", "line 1", "move it away"]);
    alice.run("machine list").code(2).says(&["logins.json"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"logins\": oops");
    std::fs::remove_file(&file).unwrap();
    alice.mrp_with(&login, "wrong horse").code(1).says(&["mrp: "]);
    alice.mrp_with(&login, "correct horse").ok();
    alice.run("whoami").ok();
}

#[test]
fn an_answer_file_is_edited_and_nobody_overwrites_another() {
    let lab = Lab::new();
    let alice = &lab.alice;
    alice.run("preseed add fedora ks.cfg --type kickstart").ok();
    let edit = |editor: &str| -> Ended {
        let output = alice.command(&["preseed", "edit", "fedora"]).env("EDITOR", editor).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (code, what) = (output.status.code(), editor.to_owned());
        Ended { what, code, signal: None, out: text(output.stdout), err: text(output.stderr) }
    };
    assert!(edit("sed -i s/en_US/de_DE/").ok().out.contains("was changed"));
    assert_eq!(alice.run("preseed show fedora").ok().out, "lang de_DE\n");
    assert!(edit("true").ok().out.contains("nothing was changed"));
    edit("false").code(1).says(&["editor", "nothing was changed"]);
    edit("/nonexistent/editor").code(1).says(&["editor"]);
    // Somebody else saves while the editor is open.
    let program = env!("CARGO_BIN_EXE_mrp");
    alice.file("theirs", "lang fr_FR\n");
    let editor = alice.file(
        "editor",
        format!("#!/bin/sh\necho 'lang fi_FI' > \"$1\"\nexec {program} preseed set fedora --file theirs\n"),
    );
    let refused =
        edit(&format!("sh {editor}")).code(1).says(&["changed by somebody else", "your text is in "]);
    assert_eq!(alice.run("preseed show fedora").ok().out, "lang fr_FR\n");
    let kept = refused.err.split("your text is in ").nth(1).unwrap().split(": ").next().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "lang fi_FI\n");
}

#[test]
fn machines_have_tags_ends_of_assignments_and_addresses_and_are_made_of_what_dhcp_saw() {
    let lab = Lab::new();
    let (admin, alice) = (&lab.admin, &lab.alice);
    assert_eq!(json(admin, "machine tag node-1 --add ssd --add rack=3")["tags"][1], "ssd");
    admin.run("machine tag node-1 --remove rack=3").ok();
    assert_eq!(alice.run("machine tag node-1").ok().out, "node-1: ssd\n");
    alice.run("machine tag node-1 --add mine").code(1).says(&["mrp: "]);
    admin.run("machine tag node-1 --add a·b").code(1).says(&["mrp: "]);
    assert_eq!(json(alice, "machine list --tag ssd")[0]["name"], "node-1");
    assert!(json(alice, "machine list --tag ssd --tag gpu").as_array().unwrap().is_empty());
    assert!(alice.run("machine show node-1").ok().out.contains("ssd"));

    alice.run("reserve node-1 --until 2d --reason short").ok();
    assert!(json(alice, "assignment list node-1")[0]["until"].is_string());
    alice.run("assignment set node-1 --until none").ok();
    let held = json(alice, "assignment list node-1");
    assert_eq!((&held[0]["until"], &held[0]["reason"]), (&Value::Null, &"short".into()));
    alice.run("assignment set node-1 --until yesterday").code(2).says(&["yesterday", "2026-01-31"]);
    alice.run("assignment set node-1").code(2).says(&["nothing to change"]);
    alice.run("reserve node-2 --until 2001-01-01").code(1).says(&["until"]);

    alice.run("interface set node-1 eth0 --type static --address 10.9.0.130").ok();
    assert_eq!(json(alice, "network addresses lab")[0]["machine"], "node-1");
    let free = json(alice, "network free lab --pool static --limit 2");
    assert_eq!(free["addresses"].as_array().unwrap().len(), 2, "{free}");
    assert!(!free.to_string().contains("10.9.0.130"), "{free}");
    assert!(alice.run("network free lab --pool reserved").ok().out.contains("10.9.0.64/26"));

    let url = format!("http://{}", lab.server.ports.machines());
    let spool = admin.path("spool").display().to_string();
    for mac in ["52:54:00:00:00:0a", "52:54:00:00:00:0b"] {
        admin.mrp(&["dnsmasq-event", "--url", &url, "--spool", &spool, "add", mac, "10.9.0.9", "x"]).ok();
    }
    alice.run("discovered adopt 52-54-00-00-00-0A node-10 --arch x86_64/efi").code(1).says(&["mrp: "]);
    admin.run("discovered adopt 52:54:00:00:00:99 node-10 --arch x86_64").code(1).says(&["52:54:00:00:00:0"]);
    let line = "discovered adopt 52-54-00-00-00-0A node-10 --arch x86_64/efi --identifier eth0 --network lab";
    assert_eq!(json(admin, line)["name"], "node-10");
    assert_eq!(json(admin, "interface list node-10")[0]["mac"], "52:54:00:00:00:0a");
    admin.run("discovered remove 52:54:00:00:00:0b").ok();
    assert!(json(alice, "discovered list").as_array().unwrap().is_empty());
    admin.run("audit --object machine --name node-10 --since 1h").ok();
    assert!(
        json(admin, "audit --actor alice --last 500")
            .as_array()
            .unwrap()
            .iter()
            .all(|e| e["actor"] == "alice")
    );
}

#[test]
fn following_ends_at_ctrl_c_and_when_the_reader_goes() {
    let lab = Lab::new();
    let (admin, alice) = (&lab.admin, &lab.alice);
    let mut follow = alice.command(&["events", "--follow", "-o", "json"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = follow.stdout.take().unwrap();
    let reader = std::thread::spawn(move || wait_for(out, "node-2"));
    // The stream may be opened before or after it: both show it.
    admin.run("assignment add node-2 alice --reason node-2").ok();
    let lines = reader.join().unwrap();
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(last["kind"], "assignment");
    let pid = rustix::process::Pid::from_raw(i32::try_from(follow.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(follow.wait().unwrap().code(), Some(130));
}

#[test]
fn completions_are_scripts_for_each_shell() {
    let home = Home::new();
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef mrp"), ("fish", "complete -c mrp")] {
        let script = home.run(&format!("completions {shell}")).ok().out;
        assert!(script.contains(word) && script.contains("provision"), "{shell}");
    }
    home.run("completions tcsh").code(2).says(&["bash", "fish", "zsh"]);
}
