//! The TFTP server over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

mod tftp_client;

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use mrp_netboot::tftp::{
    Body, Ending, OpenError, Opened, Outcome, Progress, Request, Source, TftpConfig, TftpHandle, TftpServer,
};
use tftp_client::{Client, Received};

/// Patience for what must happen; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Files in memory and on disk, a slow one, and one that panics; it keeps what it was asked and told.
#[derive(Clone, Default)]
struct Library(Arc<Shelf>);

#[derive(Default)]
struct Shelf {
    texts: HashMap<String, Bytes>,
    files: HashMap<String, std::path::PathBuf>,
    asked: Mutex<Vec<Request>>,
    progress: Mutex<Vec<Progress>>,
    outcomes: Mutex<Vec<(String, Outcome)>>,
}

#[async_trait]
impl Source for Library {
    type Tag = String;

    async fn open(&self, request: &Request) -> Result<Opened<String>, OpenError> {
        self.0.asked.lock().unwrap().push(request.clone());
        match request.path.as_str() {
            "slow" => tokio::time::sleep(Duration::from_secs(3600)).await,
            "panic" => panic!("as the test wants it"),
            "forbidden" => return Err(OpenError::AccessDenied("node-01 is not yours".into())),
            "broken" => return Err(OpenError::Internal("the store is away".into())),
            "shrunk" => {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&[7; 1000]).unwrap();
                return Ok(Opened { body: Body::File { file, len: 100_000 }, tag: request.path.clone() });
            }
            _ => {}
        }
        let text = self.0.texts.get(&request.path).cloned().map(Body::Bytes);
        let file = || {
            let file = std::fs::File::open(self.0.files.get(&request.path)?).unwrap();
            let len = file.metadata().unwrap().len();
            Some(Body::File { file, len })
        };
        let body = text.or_else(file).ok_or(OpenError::NotFound)?;
        Ok(Opened { body, tag: request.path.clone() })
    }

    fn progress(&self, path: &String, progress: &Progress) {
        assert_ne!(path, "panic in progress");
        self.0.progress.lock().unwrap().push(*progress);
    }

    fn finished(&self, path: &String, outcome: &Outcome) {
        self.0.outcomes.lock().unwrap().push((path.clone(), outcome.clone()));
    }
}

impl Library {
    fn with(texts: &[(&str, Vec<u8>)]) -> Self {
        let texts = texts.iter().map(|(name, text)| ((*name).into(), Bytes::from(text.clone()))).collect();
        Self(Arc::new(Shelf { texts, ..Shelf::default() }))
    }

    /// The outcomes, once there are as many as expected.
    fn outcomes(&self, count: usize) -> Vec<(String, Outcome)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let outcomes = self.0.outcomes.lock().unwrap().clone();
            if outcomes.len() >= count {
                assert_eq!(outcomes.len(), count, "{outcomes:?}");
                return outcomes;
            }
            assert!(Instant::now() < deadline, "no {count} outcomes came: {outcomes:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ending(&self) -> Ending {
        self.outcomes(1).remove(0).1.ending
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}

fn loopback() -> TftpConfig {
    TftpConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..TftpConfig::default() }
}

fn start(config: TftpConfig, library: &Library) -> TftpHandle {
    TftpServer::bind(config).unwrap().start(library.clone()).unwrap()
}

fn metric(handle: &TftpHandle, line: &str) -> bool {
    handle.metrics().to_string().lines().any(|other| other == line)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_length_arrive() {
    let lengths = [0, 1, 511, 512, 513, 1024, 8192, 100_000];
    let names: Vec<String> = lengths.iter().map(usize::to_string).collect();
    let texts: Vec<_> =
        names.iter().zip(lengths).map(|(name, length)| (name.as_str(), bytes(length))).collect();
    let library = Library::with(&texts);
    let handle = start(loopback(), &library);
    for (name, text) in &texts {
        for options in
            [&[][..], &[("blksize", "1468"), ("windowsize", "16"), ("tsize", "0")], &[("blksize", "8")]]
        {
            let received = Client::new(handle.local_addr()).fetch(name, options).unwrap();
            assert_eq!(&received.file, text, "{name} with {options:?}");
            if !options.is_empty() && options.len() == 3 {
                let expected = [("blksize", "1468"), ("windowsize", "16"), ("tsize", *name)];
                let expected: Vec<_> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
                assert_eq!(received.options, expected);
            }
        }
    }
    let outcomes = library.outcomes(lengths.len() * 3);
    assert!(
        outcomes.iter().all(|(_, outcome)| outcome.is_complete() && outcome.bytes_acked == outcome.total)
    );
    assert!(metric(&handle, "mrp_tftp_transfers_ended_total{end=\"completed\"} 24"), "{}", handle.metrics());
    assert!(metric(&handle, "mrp_tftp_transfers_active 0"));
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn block_numbers_roll_over() {
    // 33 MiB in blocks of 512 is more than 65535 blocks, and past what 16 bits times 512 can address.
    let content = bytes(33 << 20);
    let mut on_disk = tempfile::NamedTempFile::new().unwrap();
    on_disk.write_all(&content).unwrap();
    let mut shelf = Shelf::default();
    shelf.files.insert("initrd".into(), on_disk.path().to_owned());
    let library = Library(Arc::new(shelf));
    let handle = start(loopback(), &library);
    for options in [&[("windowsize", "64")][..], &[("blksize", "512"), ("windowsize", "3")]] {
        let received = Client::new(handle.local_addr()).fetch("initrd", options).unwrap();
        assert!(received.file == content, "the file differs");
    }
    let outcomes = library.outcomes(2);
    assert_eq!(outcomes[0].1.total, 33 << 20);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn greedy_options_are_capped_and_cost_no_memory() {
    let library = Library::with(&[("f", bytes(3_000_000))]);
    let config = TftpConfig { max_blksize: Some(1468), max_windowsize: 32, ..loopback() };
    let handle = start(config, &library);
    let before = resident_kib();
    let greedy = [("blksize", "65464"), ("windowsize", "65535")];
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let mut client = Client::new(handle.local_addr());
            client.ask("f", &greedy);
            assert_eq!(
                client.receive(),
                Some(Received::Oack(vec![
                    ("blksize".into(), "1468".into()),
                    ("windowsize".into(), "32".into())
                ]))
            );
            client.acknowledge(0);
            client
        })
        .collect();
    let received = Client::new(handle.local_addr()).fetch("f", &greedy).unwrap();
    assert_eq!(received.file.len(), 3_000_000);
    assert!(resident_kib() < before + 64 * 1024, "{} KiB before, {} KiB after", before, resident_kib());
    drop(waiting);
    handle.stop().await;
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_stay_within_the_path_unless_configured() {
    let library = Library::with(&[("f", bytes(200_000))]);
    let (own, wide) =
        (start(loopback(), &library), start(TftpConfig { max_blksize: Some(9000), ..loopback() }, &library));
    let mtu: u64 = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap().trim().parse().unwrap();
    for (handle, expected) in [(&own, (mtu - 32).min(65464).to_string()), (&wide, "9000".into())] {
        let received = Client::new(handle.local_addr())
            .fetch("f", &[("blksize", "65464"), ("windowsize", "4")])
            .unwrap();
        assert_eq!(received.options[0], ("blksize".into(), expected));
        assert_eq!(received.file, bytes(200_000));
    }
    own.stop().await;
    wide.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_twice_is_one_transfer() {
    let library = Library::with(&[("f", bytes(5000)), ("g", bytes(7))]);
    let handle = start(loopback(), &library);
    let mut client = Client::new(handle.local_addr());
    for _ in 0..3 {
        client.ask("f", &[("tsize", "0")]);
    }
    let received = client.finish().unwrap();
    assert_eq!(received.file, bytes(5000));
    assert_eq!(library.outcomes(1)[0].1.ending, Ending::Completed);
    assert_eq!(library.0.asked.lock().unwrap().len(), 1);
    assert!(metric(&handle, "mrp_tftp_requests_again_total 2"), "{}", handle.metrics());

    // Another file from the same port takes the place of a transfer that the client gave up.
    let mut client = Client::new(handle.local_addr());
    client.ask("f", &[("tsize", "0")]);
    assert!(matches!(client.receive(), Some(Received::Oack(_))));
    client.restart();
    assert_eq!(client.fetch("g", &[]).unwrap().file, bytes(7));
    let endings: Vec<_> =
        library.outcomes(3).into_iter().map(|(name, outcome)| (name, outcome.ending)).collect();
    assert!(endings.contains(&("f".into(), Ending::Superseded)), "{endings:?}");
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_oack_and_a_lost_window_come_again() {
    let library = Library::with(&[("f", bytes(100_000))]);
    let handle = start(loopback(), &library);
    let mut client = Client::new(handle.local_addr());
    client.ask("f", &[("windowsize", "8")]);
    let lost = client.receive().unwrap();
    assert_eq!(client.receive(), Some(lost), "the OACK again, without being asked");
    client.acknowledge(0);
    for _ in 0..8 {
        assert!(matches!(client.receive(), Some(Received::Data(..))));
    }
    // The window as if it had been lost; then again from block 4 on, as if 4 alone had been.
    assert_eq!(client.receive().unwrap().block(), Some(1));
    client.skip(7);
    client.acknowledge(3);
    assert_eq!(client.receive().unwrap().block(), Some(4));
    client.skip(7);
    client.acknowledge(3);
    client.fail(0, "enough");
    assert!(
        matches!(library.ending(), Ending::Refused { code: 0, offered: false, ref text } if text == "enough")
    );
    assert!(library.outcomes(1)[0].1.retransmissions >= 13);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why() {
    let library = Library::with(&[("f", bytes(10))]);
    let handle = start(loopback(), &library);
    let long = "n".repeat(10_000);
    let table = [
        (b"\0\x01nothing\0octet\0".to_vec(), 1, "file not found"),
        (b"\0\x01forbidden\0octet\0".to_vec(), 2, "node-01 is not yours"),
        (b"\0\x01broken\0octet\0".to_vec(), 0, "the store is away"),
        (b"\0\x01panic\0octet\0".to_vec(), 0, "internal error"),
        (b"\0\x01../../etc/passwd\0octet\0".to_vec(), 1, "file not found"),
        (b"\0\x01/etc/passwd\0octet\0".to_vec(), 1, "file not found"),
        (b"\0\x01f\0g\0octet\0".to_vec(), 4, "the mode is neither octet nor netascii"),
        (b"\0\x01f\0mail\0".to_vec(), 4, "the mode is neither octet nor netascii"),
        (format!("\0\x01{long}\0octet\0").into_bytes(), 4, "the request is too long"),
        (b"\0\x01f\0octet".to_vec(), 4, "the request does not end with a zero byte"),
        (b"\0\x01\0octet\0".to_vec(), 4, "the request names no file"),
        (b"\0\x02f\0octet\0".to_vec(), 2, "this server is read-only"),
    ];
    for (packet, code, text) in table {
        let mut client = Client::new(handle.local_addr());
        client.send(&packet);
        assert_eq!(client.receive(), Some(Received::Error(code, text.into())), "{packet:?}");
    }
    assert_eq!(Client::new(handle.local_addr()).fetch("f", &[]).unwrap().file, bytes(10), "the server lives");
    assert!(
        metric(&handle, "mrp_tftp_requests_refused_total{reason=\"malformed\"} 5"),
        "{}",
        handle.metrics()
    );
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stray_packets_are_not_answered() {
    let library = Library::with(&[("f", bytes(10))]);
    let handle = start(loopback(), &library);
    let mut client = Client::new(handle.local_addr());
    for packet in
        [&b""[..], b"\0", b"\0\x03\0\x01data", b"\0\x04\0\x01", b"\0\x05\0\0text\0", b"\xff\xff\xff\xff"]
    {
        client.send(packet);
    }
    client.ask("f", &[]);
    assert_eq!(client.receive(), Some(Received::Data(1, bytes(10))), "the first answer is the file's");
    client.acknowledge(1);
    library.outcomes(1);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told() {
    let library = Library::with(&[("f", bytes(10_000))]);
    let handle = start(TftpConfig { max_transfers: 3, max_transfers_per_client: 2, ..loopback() }, &library);
    let begin = |host: u8| {
        let mut client = Client::bound(IpAddr::from([127, 0, 0, host]), handle.local_addr());
        client.ask("f", &[]);
        let first = client.receive().unwrap();
        (client, first)
    };
    let held: Vec<_> = (0..2).map(|_| begin(1)).collect();
    assert!(held.iter().all(|(_, first)| first.block() == Some(1)));
    assert_eq!(begin(1).1, Received::Error(0, "too many transfers of this client".into()));
    let other = begin(2);
    assert_eq!(other.1.block(), Some(1));
    assert_eq!(begin(3).1, Received::Error(0, "too many transfers, try again later".into()));
    drop(held);
    drop(other);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_source_stalls_nobody() {
    let library = Library::with(&[("f", bytes(10_000))]);
    let handle = start(TftpConfig { open_timeout: Duration::from_millis(1500), ..loopback() }, &library);
    let mut slow = Client::new(handle.local_addr());
    slow.ask("slow", &[]);
    for _ in 0..20 {
        assert_eq!(Client::new(handle.local_addr()).fetch("f", &[]).unwrap().file, bytes(10_000));
    }
    assert_eq!(slow.receive(), Some(Received::Error(0, "the server is too slow".into())));
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_port_ends_its_transfer() {
    let library = Library::with(&[("f", bytes(100_000))]);
    let handle = start(loopback(), &library);
    let mut client = Client::new(handle.local_addr());
    client.ask("f", &[("windowsize", "4"), ("tsize", "0")]);
    client.receive().unwrap();
    client.acknowledge(0);
    drop(client);
    assert_eq!(library.ending(), Ending::Vanished);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_question_is_told_as_such() {
    let library = Library::with(&[("f", bytes(100_000))]);
    let handle = start(loopback(), &library);
    let mut client = Client::new(handle.local_addr());
    client.ask("f", &[("tsize", "0")]);
    assert_eq!(client.receive(), Some(Received::Oack(vec![("tsize".into(), "100000".into())])));
    client.fail(8, "User aborted the transfer");
    assert!(matches!(library.ending(), Ending::Refused { code: 8, offered: true, .. }));
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_shorter_than_told_is_an_error() {
    let library = Library::default();
    let handle = start(loopback(), &library);
    let error = Client::new(handle.local_addr()).fetch("shrunk", &[("windowsize", "4")]).unwrap_err();
    assert_eq!(error, (0, "the server could not read the file".into()));
    assert!(matches!(library.ending(), Ending::Failed(_)));
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_stops_in_the_middle() {
    let library = Library::with(&[("f", bytes(100_000))]);
    let handle = start(loopback(), &library);
    let (address, mut client) = (handle.local_addr(), Client::new(handle.local_addr()));
    client.ask("f", &[]);
    assert_eq!(client.receive().unwrap().block(), Some(1));
    handle.stop().await;
    assert_eq!(client.receive(), Some(Received::Error(0, "the server is being stopped".into())));
    assert_eq!(library.ending(), Ending::Stopped);
    UdpSocket::bind(address).expect("the port is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_from_the_address_asked() {
    let library = Library::with(&[("f", bytes(3000))]);
    let any = TftpConfig { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..TftpConfig::default() };
    let dual = TftpConfig { listen: "[::]:0".parse().unwrap(), ..TftpConfig::default() };
    for config in [any, dual] {
        let handle = start(config, &library);
        let asked = IpAddr::from([127, 0, 0, 2]);
        let mut client = Client::new(SocketAddr::new(asked, handle.local_addr().port()));
        client.ask("f", &[]);
        client.receive().unwrap();
        assert_eq!(client.peer().unwrap().ip(), asked);
        client.ask("nothing", &[]);
        let request = library.0.asked.lock().unwrap().last().unwrap().clone();
        assert_eq!((request.local, request.client.ip()), (asked, IpAddr::from([127, 0, 0, 1])));
        let mut refused = Client::new(SocketAddr::new(asked, handle.local_addr().port()));
        refused.ask("nothing", &[]);
        assert_eq!(refused.receive(), Some(Received::Error(1, "file not found".into())));
        assert_eq!(refused.peer().unwrap().ip(), asked);
        handle.stop().await;
    }
    let handle = start(TftpConfig { listen: "[::1]:0".parse().unwrap(), ..TftpConfig::default() }, &library);
    assert_eq!(
        Client::new(handle.local_addr()).fetch("f", &[("windowsize", "3")]).unwrap().file,
        bytes(3000)
    );
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_now_and_then() {
    let library = Library::with(&[("f", bytes(2560))]);
    let handle = start(loopback(), &library);
    let mut client = Client::new(handle.local_addr());
    client.ask("f", &[]);
    for block in 1..=6 {
        assert_eq!(client.receive().unwrap().block(), Some(block));
        std::thread::sleep(Duration::from_millis(if block == 3 { 700 } else { 1 }));
        client.acknowledge(block);
        client.forget_repeats(block);
    }
    library.outcomes(1);
    let progress = library.0.progress.lock().unwrap().clone();
    assert!(!progress.is_empty() && progress.len() <= 2, "{progress:?}");
    let first = progress[0];
    assert!(first.bytes >= 2 * 512 && first.total == 2560 && first.rate() > 0.0);
    assert_eq!((first.blksize, first.windowsize, first.tsize), (512, 1, false));
    assert!(first.retransmissions >= 1, "the third block came again: {first:?}");
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_at_once() {
    let library = Library::with(&[("small", bytes(2048)), ("large", bytes(50_000))]);
    let config = TftpConfig { max_transfers_per_client: 2000, ..loopback() };
    let handle = start(config, &library);
    for (name, length) in [("small", 2048), ("large", 50_000)] {
        let content = bytes(length);
        let mut clients: Vec<_> = (0..1000).map(|_| Client::new(handle.local_addr())).collect();
        clients.iter_mut().for_each(|client| client.ask(name, &[("blksize", "1468"), ("windowsize", "4")]));
        for client in clients {
            assert!(client.finish().unwrap().file == content);
        }
    }
    let outcomes = library.outcomes(2000);
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_complete()));
    handle.stop().await;
}
