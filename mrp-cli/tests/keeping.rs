//! What must not be lost: uploads across cuts and kills, and everything across a backup and its restore.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::{Home, Ports, Server, files_below, serve, until};
use rustix::process::Signal;
use sha2::{Digest, Sha256};

/// A server with an architecture, and its admin logged in.
fn start() -> (Home, Server) {
    let home = Home::new();
    let server = Server::start(&home, Ports::free());
    log_in(&home, &server.url);
    home.run("arch add x86_64").ok();
    (home, server)
}

fn log_in(home: &Home, url: &str) {
    let password = std::fs::read_to_string(home.path("data/admin-password")).unwrap();
    home.mrp_with(&["login", url, "--user", "admin", "--password-stdin"], &password).ok();
}

fn content(size: u32) -> Vec<u8> {
    (0..size / 4).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// Passes connections on to a server; cuts off the first one that has brought so many bytes.
fn proxy(to: SocketAddr, cut_after: usize) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (cut, brought) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let told = cut.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(to).unwrap());
            let (mut back, mut from) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut back));
            let (cut, brought) = (cut.clone(), brought.clone());
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    let sum = brought.fetch_add(read, Ordering::SeqCst) + read;
                    if sum > cut_after && !cut.swap(true, Ordering::SeqCst) {
                        break;
                    }
                    if server.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            });
        }
    });
    (address, told)
}

#[test]
fn an_upload_that_is_cut_off_goes_on_by_itself() {
    let (home, server) = start();
    let (address, cut) = proxy(server.ports.people(), 5_000_000);
    log_in(&home, &format!("http://{address}"));
    let bytes = content(30_000_000);
    home.file("vmlinuz", &bytes);
    let ended = home.run("image upload vmlinuz --type kernel --arch x86_64").ok();
    assert!(cut.load(Ordering::SeqCst), "the connection was cut");
    assert!(ended.err.contains("trying again"), "{ended:?}");
    let shown = home.json("image show vmlinuz");
    assert_eq!(shown["sha256"], hex::encode(Sha256::digest(&bytes)));
    let stored = files_below(&home.path("data/images")).len();
    home.run("image upload vmlinuz --type kernel --arch x86_64 --name other").ok();
    assert_eq!(files_below(&home.path("data/images")).len(), stored, "its content was there already");
    assert_eq!(server.end(Signal::TERM), Some(0));
}

#[test]
fn an_upload_survives_the_kill_of_the_server() {
    let (home, server) = start();
    let bytes = content(40_000_000);
    home.file("vmlinuz", &bytes);
    let token = home.json("token add --description uploads")["token"].as_str().unwrap().to_owned();
    let ports = server.ports;
    let ask = |head: &str, body: &[u8]| {
        let mut socket = TcpStream::connect(ports.people()).unwrap();
        write!(
            socket,
            "{head}Host: x\r\nAuthorization: {token}\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        socket.write_all(body).unwrap();
        socket
    };
    let header = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.to_lowercase().starts_with(name));
        line.map(|line| line.split_once(": ").unwrap().1.trim().to_owned()).unwrap_or_default()
    };
    let whole = |mut socket: TcpStream| {
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text
    };
    let sha256 = hex::encode(Sha256::digest(&bytes));
    use base64::Engine as _;
    let pairs = [("filename", "vmlinuz"), ("type", "Kernel"), ("arch", "x86_64"), ("sha256", &sha256)];
    let encoded = pairs
        .map(|(key, value)| format!("{key} {}", base64::engine::general_purpose::STANDARD.encode(value)));
    let head = format!(
        "POST /api/v1/upload HTTP/1.1\r\nUpload-Length: 40000000\r\nUpload-Metadata: {}\r\n",
        encoded.join(",")
    );
    let path = header(&whole(ask(&head, b"")), "location");
    let offset = || -> usize {
        header(&whole(ask(&format!("HEAD {path} HTTP/1.1\r\n"), b"")), "upload-offset").parse().unwrap()
    };
    assert_eq!(offset(), 0);
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 40000000\r\n"
    );
    let sending = ask(&head, &bytes[..20_000_000]);
    until("two steps are noted", || offset() >= 16 << 20);
    let told = offset();
    assert_eq!(server.end(Signal::KILL), None);
    drop(sending);
    let server = Server::start(&home, ports);
    assert_eq!(offset(), told, "what was told is there");
    assert_eq!(home.run("image list").ok().out.lines().count(), 1, "no image of a half");
    // The command finds the upload by its content and sends the rest.
    home.run("image upload vmlinuz --type kernel --arch x86_64").ok();
    assert_eq!(home.json("image show vmlinuz")["sha256"], sha256);
    assert_eq!(offset(), 40_000_000, "it is the same upload");
    assert_eq!(server.end(Signal::TERM), Some(0));
}

#[test]
fn answer_files_keep_their_history_and_images_are_replaced() {
    let (home, server) = start();
    home.file("one.cfg", "d-i passwd/make-user boolean false\n");
    home.file("two.cfg", "d-i passwd/make-user boolean maybe\n{{ nosuch }}\n");
    home.run("preseed add debian one.cfg --type preseed").ok();
    assert!(home.run("preseed lint debian").ok().out.contains("nothing is wrong"));
    assert!(
        home.run("preseed lint one.cfg --type preseed").ok().out.contains("nothing is wrong with one.cfg")
    );
    assert!(home.run("preseed lint two.cfg --type preseed").code(1).out.contains("nosuch is undefined"));
    home.run("preseed set debian --file two.cfg").ok();
    let lint = home.run("preseed lint debian").code(1).out;
    assert!(lint.contains("1 (rendered)") && lint.contains("passwd/make-user is \"maybe\""), "{lint}");
    assert!(lint.contains("nosuch is undefined"), "{lint}");
    let history = home.json("preseed history debian");
    assert_eq!(history.as_array().map(Vec::len), Some(2), "{history}");
    assert_eq!(history[0]["saved_by"], "admin");
    assert!(home.run("preseed history debian --version 1").ok().out.contains("boolean false"));
    home.run("preseed restore debian 1").ok();
    assert!(home.run("preseed show debian").ok().out.contains("boolean false"));
    home.run("preseed restore debian 7").code(1).says(&["version not found"]);

    home.file("old", content(3000));
    home.file("new", content(4000));
    home.run("image upload old --type kernel --arch x86_64").ok();
    home.run("image upload new --type kernel --arch x86_64").ok();
    home.run("machine add node-01 --arch x86_64").ok();
    home.run("machine set node-01 --kernel old").ok();
    assert!(home.run("image show old").ok().out.contains("node-01"));
    home.run("image remove old").code(1).says(&["still in use by machines node-01"]);
    assert!(home.run("image replace old --by new").ok().out.contains("node-01 was changed to"));
    home.run("image remove old").ok();
    assert_eq!(server.end(Signal::TERM), Some(0));
}

/// What two servers with the same data answer alike.
fn answers(home: &Home) -> Vec<serde_json::Value> {
    ["machine list", "image list", "preseed list", "arch list", "user list", "bmc list", "image show vmlinuz"]
        .map(|line| home.json(line))
        .to_vec()
}

#[test]
fn a_backup_of_a_running_server_is_restored_elsewhere() {
    let (home, server) = start();
    home.file("vmlinuz", content(3_000_000));
    home.file("other", content(1_000_000));
    home.file("preseed.cfg", "d-i passwd/make-user boolean false\n");
    for line in [
        "image upload vmlinuz --type kernel --arch x86_64",
        "preseed add debian preseed.cfg --type preseed",
        "machine add node-01 --arch x86_64",
    ] {
        home.run(line).ok();
    }
    home.mrp_with(&["bmc", "add", "b", "10.1.0.1", "--user", "admin", "--password-stdin"], "secret-of-b")
        .ok();
    home.mrp_with(&["user", "add", "alice", "--password-stdin"], "correct horse").ok();
    let file = home.path("backup.tar").display().to_string();
    let here = |home: &Home, arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("MRP_SERVER__DATA_DIR", home.path("data")).output().unwrap()
    };
    // While others write.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                home.run(&format!("arch add arch-{number}")).ok();
                home.run("image upload other --type initrd --arch x86_64").ok();
                home.run("image delete other").ok();
            }
        });
        let made = here(&home, &["backup", &file]);
        stop.store(true, Ordering::SeqCst);
        assert!(made.status.success(), "{made:?}");
    });
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let listed = home.json(&format!("backup --list {file}"));
    assert_eq!((listed["machines"].as_u64(), listed["users"].as_u64()), (Some(1), Some(2)), "{listed}");
    let again = here(&home, &["backup", &file]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"), "{again:?}");
    std::fs::remove_file(&file).unwrap();
    assert!(here(&home, &["backup", &file]).status.success());
    let before = answers(&home);
    let running = here(&home, &["restore", &file]);
    assert!(String::from_utf8_lossy(&running.stderr).contains("another mrp (pid"), "{running:?}");
    let left = std::fs::read_dir(home.path("data")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(
        left.filter(|name| name.to_string_lossy().starts_with('.')).count(),
        0,
        "nothing is left behind"
    );

    let there = Home::new();
    let restored = here(&there, &["restore", &file]);
    assert!(restored.status.success(), "{restored:?}");
    std::fs::copy(home.path("data/admin-password"), there.path("data/admin-password")).unwrap();
    let second = Server::start(&there, Ports::free());
    log_in(&there, &second.url);
    assert_eq!(answers(&there), before);
    there.mrp_with(&["login", &second.url, "--user", "alice", "--password-stdin"], "correct horse").ok();
    assert_eq!(second.end(Signal::TERM), Some(0));
    // Not over what is there, unless that is asked for; and then nothing of it is lost.
    let refused = here(&there, &["restore", &file]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not empty"), "{refused:?}");
    let forced = here(&there, &["restore", &file, "--force"]);
    assert!(forced.status.success(), "{forced:?}");
    let aside = files_below(&there.path("data"));
    assert!(
        aside
            .iter()
            .any(|path| path.to_string_lossy().contains("before-restore-") && path.ends_with("mrp.db"))
    );
    assert_eq!(server.end(Signal::TERM), Some(0));
}

#[test]
fn images_lie_where_they_are_configured_and_are_restored_there() {
    let home = Home::new();
    let server = |home: &Home, ports: Ports| {
        let mut command = serve(home, ports);
        command.env("MRP_IMAGES__DIR", home.path("pictures"));
        Server::spawn(command, ports)
    };
    let here = |home: &Home, arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("MRP_SERVER__DATA_DIR", home.path("data"));
        command.env("MRP_IMAGES__DIR", home.path("pictures")).output().unwrap()
    };
    let first = server(&home, Ports::free());
    log_in(&home, &first.url);
    home.run("arch add x86_64").ok();
    home.file("vmlinuz", content(300_000));
    home.run("image upload vmlinuz --type kernel --arch x86_64").ok();
    let sha256 = home.json("image show vmlinuz")["sha256"].as_str().unwrap().to_owned();
    let lies = |home: &Home| home.path("pictures").join(&sha256[..2]).join(&sha256);
    assert_eq!(std::fs::read(lies(&home)).unwrap(), content(300_000));
    assert!(!home.path("data/images").exists());
    let file = home.path("backup.tar").display().to_string();
    assert!(here(&home, &["backup", &file]).status.success());
    assert_eq!(first.end(Signal::TERM), Some(0));
    // Another folder is not taken for this one.
    let mut elsewhere = serve(&home, Ports::free());
    let refused = elsewhere.env("MRP_IMAGES__DIR", home.path("others")).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("the same folder (images.dir)"), "{said}");

    let there = Home::new();
    std::fs::create_dir(there.path("pictures")).unwrap();
    there.file("pictures/mine", "");
    let refused = here(&there, &["restore", &file]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("image folder") && said.contains("by images.dir"), "{said}");
    let forced = here(&there, &["restore", &file, "--force"]);
    assert!(forced.status.success(), "{forced:?}");
    assert_eq!(std::fs::read(lies(&there)).unwrap(), content(300_000));
    let kept = files_below(&there.path("pictures"));
    assert!(kept.iter().any(|path| path.ends_with("mine")), "{kept:?}");
    assert!(!there.path("data/images").exists());
    std::fs::copy(home.path("data/admin-password"), there.path("data/admin-password")).unwrap();
    let second = server(&there, Ports::free());
    log_in(&there, &second.url);
    assert_eq!(there.json("image show vmlinuz")["sha256"], sha256.as_str());
    assert_eq!(second.end(Signal::TERM), Some(0));
}

/// Writes a backup with a changed manifest.
fn with_schema(from: &Path, to: &Path, schema: i64) {
    let mut archive = tar::Archive::new(std::fs::File::open(from).unwrap());
    let mut changed = tar::Builder::new(std::fs::File::create(to).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if path == Path::new("manifest.json") {
            let mut manifest: serde_json::Value = serde_json::from_slice(&content).unwrap();
            manifest["schema"] = schema.into();
            content = serde_json::to_vec(&manifest).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        changed.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    changed.finish().unwrap();
}

#[test]
fn what_is_no_whole_backup_is_refused_before_anything_is_touched() {
    let (home, server) = start();
    home.file("vmlinuz", content(300_000));
    home.run("image upload vmlinuz --type kernel --arch x86_64").ok();
    let file = home.path("backup.tar");
    let mut command = home.command(&["backup", &file.display().to_string()]);
    assert!(command.env("MRP_SERVER__DATA_DIR", home.path("data")).output().unwrap().status.success());
    assert_eq!(server.end(Signal::TERM), Some(0));
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    let middle = whole.len() - 100_000;
    flipped[middle] ^= 1;
    home.file("cut.tar", &whole[..whole.len() - 200_000]);
    home.file("head.tar", &whole[..700]);
    home.file("flipped.tar", &flipped);
    home.file("foreign.tar", b"not a tar file at all");
    home.file("empty.tar", b"");
    with_schema(&file, &home.path("newer.tar"), 9999);
    for (name, words) in [
        ("cut.tar", "is damaged"),
        ("head.tar", "is damaged"),
        ("flipped.tar", "is damaged"),
        ("foreign.tar", "is no backup of mrp"),
        ("empty.tar", "is no backup of mrp"),
        ("nothing.tar", "No such file"),
        ("newer.tar", "was made by a newer mrp"),
    ] {
        let mut command = home.command(&["restore", name]);
        let ended = command.env("MRP_SERVER__DATA_DIR", home.path("elsewhere")).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains(words), "{name}: {said}");
        let left =
            if home.path("elsewhere").exists() { files_below(&home.path("elsewhere")) } else { Vec::new() };
        assert!(left.iter().all(|path| path.ends_with("lock")), "{name} left {left:?}");
    }
}
