//! The running hook beside a server that is not always mrp.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use mrp_core::api::kea::{Reports, Seen};
use mrp_core::mac::MacAddr;
use mrp_dhcp_kea::hook::{Hook, Level};
use mrp_dhcp_kea::settings::Settings;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

/// A line of the table.
fn line(data: &str) -> String {
    let data = format!("data:{data}\n\n");
    format!("{:x}\r\n{data}\r\n", data.len())
}

fn client(last: u8, address: u8) -> String {
    line(&format!(
        r#"{{"client":{{"mac":"02:00:00:00:00:0{last}","ipv4":"10.0.0.{address}","hostname":"n{last}","netboot":true}}}}"#
    ))
}

fn whole(clients: &[String]) -> String {
    let begin = line(r#"{"begin":{"http_port":8081,"next_server":"10.0.0.1"}}"#);
    let complete = line(&format!(r#"{{"complete":{}}}"#, clients.len()));
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{begin}{}{complete}", clients.concat())
}

/// What a hook asked for.
struct Asked {
    head: String,
    body: String,
    stream: TcpStream,
}

impl Asked {
    fn answer(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }
}

/// In place of mrp: requests for the table and reports come out apart.
struct Server {
    address: String,
    tables: Receiver<Asked>,
    reports: Receiver<Asked>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ((table, tables), (report, reports)) = (channel(), channel());
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let asked = read(stream);
                let to = if asked.head.starts_with("GET /dhcp/table ") { &table } else { &report };
                if to.send(asked).is_err() {
                    return;
                }
            }
        });
        Self { address, tables, reports }
    }

    fn table(&self) -> Asked {
        self.tables.recv_timeout(PATIENCE).expect("the hook asks for the table")
    }

    fn report(&self) -> (Asked, Reports) {
        let asked = self.reports.recv_timeout(PATIENCE).expect("the hook reports");
        let reports = serde_json::from_str(&asked.body).unwrap();
        (asked, reports)
    }
}

fn read(stream: TcpStream) -> Asked {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        length = line.strip_prefix("Content-Length: ").map_or(length, |value| value.trim().parse().unwrap());
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Asked { head, body: String::from_utf8(body).unwrap(), stream }
}

/// Starts a hook with its copy in a folder; the log comes line by line.
fn start(authority: &str, folder: &Path) -> (Hook, Receiver<(Level, String)>) {
    let token = Some("a-token".to_owned());
    let settings = Settings { authority: authority.into(), token, cache: folder.join("table") };
    let (log, lines) = channel();
    let hook =
        Hook::start(settings, Box::new(move |level, text| drop(log.send((level, text.to_owned()))))).unwrap();
    (hook, lines)
}

fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < end, "{what}: not in time");
        thread::sleep(Duration::from_millis(5));
    }
}

fn address(hook: &Hook, last: u8) -> Option<u8> {
    let table = hook.shared().table();
    table.by_mac(MacAddr([2, 0, 0, 0, 0, last])).and_then(|client| Some(client.ipv4?.octets()[3]))
}

fn logged(lines: &Receiver<(Level, String)>, words: &str) {
    let mut seen = Vec::new();
    while !seen.iter().any(|line: &String| line.contains(words)) {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{words:?} is not in {seen:#?}"));
        seen.push(line.1);
    }
}

#[test]
fn the_table_follows_mrp_and_outlives_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start());
    let (hook, log) = start(&server.address, folder.path());
    let mut asked = server.table();
    assert!(asked.head.contains("\r\nX-MRP-Token: a-token\r\n"), "{}", asked.head);
    asked.answer(&whole(&[client(1, 10), client(2, 20)]));
    wait_for("the whole table", || address(&hook, 2) == Some(20));
    asked.answer(&client(2, 21));
    wait_for("a change", || address(&hook, 2) == Some(21));
    asked.answer(&(line(r#"{"gone":"02:00:00:00:00:01"}"#) + &client(3, 30)));
    wait_for("two changes", || address(&hook, 1).is_none() && address(&hook, 3) == Some(30));
    drop(asked);
    logged(&log, "the connection was cut off; going on with the 2 clients known");
    assert_eq!(address(&hook, 3), Some(30));
    server.table().answer(&whole(&[client(4, 40)]));
    wait_for("another table", || address(&hook, 4) == Some(40) && address(&hook, 3).is_none());
    drop(hook);

    // The next life begins with the copy on disk, without mrp.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (hook, log) = start(&nobody, folder.path());
    assert_eq!(address(&hook, 4), Some(40));
    logged(&log, "1 clients are known from");
    logged(&log, "going on with the 1 clients known");
}

#[test]
fn nonsense_keeps_the_last_table() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start());
    let (hook, log) = start(&server.address, folder.path());
    server.table().answer(&whole(&[client(1, 10)]));
    wait_for("the table", || address(&hook, 1) == Some(10));
    let short = whole(&[client(5, 50)]).replace("\"complete\":1", "\"complete\":7");
    let html = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html>\n</html>".to_owned();
    let broken = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", line("{\"begin\":3}"));
    for (answer, says) in [
        ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned(), "answers with status 500"),
        ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_owned(), "machine.dhcp_from"),
        (html, "no line of a table: \"<html>\""),
        (broken, "no line of a table"),
        (short, "ends after 1 of 7"),
        ("\0\0\0\0\r\n".to_owned(), "does not speak HTTP"),
        (whole(&[])[..40].to_owned(), "cut off"),
    ] {
        server.table().answer(&answer);
        logged(&log, says);
        assert_eq!((address(&hook, 1), address(&hook, 5)), (Some(10), None), "{says}");
    }
    // A table that is empty is one.
    server.table().answer(&whole(&[]));
    wait_for("an empty table", || address(&hook, 1).is_none());
}

#[test]
fn a_damaged_copy_is_told_and_passed_over() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start());
    std::fs::write(folder.path().join("table"), "mrp-dhcp-table 1\n{\"beg").unwrap();
    let (hook, log) = start(&server.address, folder.path());
    assert!(hook.shared().table().is_empty());
    logged(&log, "it is damaged: it is cut off; going on without it");
    server.table().answer(&whole(&[client(1, 10)]));
    wait_for("the table", || address(&hook, 1) == Some(10));
}

#[test]
fn reports_arrive_in_batches_and_wait_while_mrp_is_away() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start());
    let (hook, log) = start(&server.address, folder.path());
    let seen = |last: u8| Seen::Expired { ipv4: [10, 0, 0, last].into() };
    hook.shared().queue.push(MAC, seen(1));
    let (mut asked, first) = server.report();
    assert!(asked.head.starts_with("POST /dhcp/report ") && asked.head.contains("X-MRP-Token: a-token"));
    assert_eq!((first.reports[0].mac, &first.reports[0].what), (MAC, &seen(1)));
    hook.shared().queue.push(MAC, seen(2));
    asked.answer("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    logged(&log, "takes no reports: it answers with status 500");
    let (mut asked, again) = server.report();
    assert_eq!(again.source, first.source);
    let numbers: Vec<u64> = again.reports.iter().map(|report| report.number).collect();
    assert_eq!((numbers, &again.reports[0].what), (vec![1, 2], &seen(1)));
    asked.answer("HTTP/1.1 204 No Content\r\n\r\n");
    hook.shared().queue.push(MAC, seen(3));
    let (mut asked, third) = server.report();
    assert_eq!((third.reports.len(), third.reports[0].number), (1, 3));
    asked.answer("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
    logged(&log, "refuses reports with status 400; they are dropped");
    hook.shared().queue.push(MAC, seen(4));
    assert_eq!(server.report().1.reports[0].what, seen(4));
}

#[test]
fn a_hook_that_waits_for_a_silent_mrp_ends_at_once() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::start());
    let (hook, _log) = start(&server.address, folder.path());
    hook.shared().queue.push(MAC, Seen::Expired { ipv4: [10, 0, 0, 1].into() });
    let _silent = (server.table(), server.report());
    let (ended, end) = channel();
    thread::spawn(move || {
        drop(hook);
        ended.send(()).unwrap();
    });
    // Far less than the 15 seconds of patience with a silent mrp.
    end.recv_timeout(Duration::from_secs(10)).expect("the hook ends");
}
