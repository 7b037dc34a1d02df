//! The Kea hook's table and its reports.

use std::time::Duration;

use futures_util::StreamExt;
use mrp_core::api::kea::{TableClient, TableLine};
use mrp_core::secret::Secret;
use mrp_web::MachineConfig;
use serde_json::{Value, json};

use crate::lab::{ADMIN, ALICE, BOB, Lab, SHARED, Setup};

/// The table as a hook reads it.
struct Table {
    bytes: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    buffer: String,
}

impl Table {
    async fn open(lab: &Lab) -> Self {
        let response = lab.request("GET", "/dhcp/table").send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { bytes: Box::pin(response.bytes_stream()), buffer: String::new() }
    }

    /// The next line; `None` at the end of the stream.
    async fn next(&mut self) -> Option<TableLine> {
        loop {
            if let Some((line, rest)) = self.buffer.split_once('\n') {
                let data = line.strip_prefix("data:").map(|data| serde_json::from_str(data).unwrap());
                self.buffer = rest.to_owned();
                match data {
                    Some(line) => return Some(line),
                    None => continue,
                }
            }
            let piece = tokio::time::timeout(Duration::from_secs(20), self.bytes.next()).await;
            self.buffer.push_str(std::str::from_utf8(&piece.expect("a line comes")?.ok()?).unwrap());
        }
    }

    async fn whole(&mut self) -> Vec<TableClient> {
        let Some(TableLine::Begin(head)) = self.next().await else { panic!("no beginning") };
        assert_eq!(head.next_server, Some("10.0.0.1".parse().unwrap()));
        let mut clients = Vec::new();
        loop {
            match self.next().await.unwrap() {
                TableLine::Client(client) => clients.push(client),
                TableLine::Complete(count) => {
                    assert_eq!(count, clients.len() as u64);
                    return clients;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn client(last: u8, machine: &str, ipv4: Option<&str>, netboot: bool, loader: Option<&str>) -> TableClient {
    TableClient {
        mac: format!("52:54:00:00:00:0{last}").parse().unwrap(),
        ipv4: ipv4.map(|address| address.parse().unwrap()),
        hostname: machine.into(),
        netboot,
        boot_loader: loader.map(str::to_owned),
        server_url: None,
    }
}

#[tokio::test]
async fn a_hook_has_the_whole_table_and_each_change() {
    let lab = Lab::start().await;
    let mut table = Table::open(&lab).await;
    let clients = table.whole().await;
    let grub = Some("admin/grubaa64.efi.00");
    assert_eq!(clients.len(), 6);
    assert_eq!(clients[0], client(1, "lab-node-1", Some("10.101.16.5"), true, grub));
    assert_eq!(clients[1], client(2, "lab-node-1", Some("10.101.32.7"), true, grub));
    assert_eq!(clients[2], client(3, "node2", None, false, None));
    let other = &mut Table::open(&lab).await;
    assert_eq!(other.whole().await, clients);

    let off = r#"{"netboot_enabled": false}"#;
    lab.expect(200, ALICE, "PUT", "/api/v1/machine/1", off).await;
    for table in [&mut table, &mut *other] {
        for (card, address) in [(1, Some("10.101.16.5")), (2, Some("10.101.32.7")), (5, None)] {
            let wanted = client(card, "lab-node-1", address, false, grub);
            assert_eq!(table.next().await.unwrap(), TableLine::Client(wanted));
        }
    }
    let body = r#"{"mac": "52:54:00:00:00:09", "identifier": "eth1"}"#;
    let made = lab.expect(201, ADMIN, "POST", "/api/v1/machine/2/interface", body).await;
    let new = client(9, "node2", None, false, None);
    assert_eq!(table.next().await.unwrap(), TableLine::Client(new.clone()));
    let path = format!("/api/v1/machine/2/interface/{}", made["id"]);
    lab.expect(204, ADMIN, "DELETE", &path, "").await;
    assert_eq!(table.next().await.unwrap(), TableLine::Gone(new.mac));
    lab.expect(204, ADMIN, "DELETE", "/api/v1/machine/6", "").await;
    assert_eq!(table.next().await.unwrap(), TableLine::Gone(client(6, "", None, false, None).mac));
    lab.stop().await;
    while other.next().await.is_some() {}
}

fn batch(reports: &Value) -> String {
    json!({"source": "0a1b", "reports": reports}).to_string()
}

async fn texts(lab: &Lab, machine: u8) -> Vec<String> {
    let events = lab.get(BOB, &format!("/api/v1/event?machine={machine}")).await.json();
    events.as_array().unwrap().iter().map(|event| event["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn reports_are_taken_once() {
    let lab = Lab::start().await;
    let (mac, stranger) = ("52:54:00:00:00:03", "52:54:00:ff:00:01");
    let asked = |discover, firmware| json!({"asked": {"discover": discover, "client_arch": 7, "hostname": "h\u{7}i", "firmware": firmware}});
    let lease = json!({"lease": {"ipv4": "10.101.0.77", "seconds": 3600, "firmware": true}});
    let reports = json!([
        {"number": 1, "age_ms": 5, "mac": mac, "what": asked(true, true)},
        {"number": 2, "age_ms": 4, "mac": mac, "what": lease},
        {"number": 3, "age_ms": 0, "mac": stranger, "what": asked(true, false)},
        // Kept back for an hour: no boot that goes on.
        {"number": 4, "age_ms": 3_600_000, "mac": mac, "what": asked(false, true)},
        {"number": 5, "age_ms": 3_600_000, "mac": "52:54:00:ff:00:02", "what": asked(false, true)},
    ]);
    for _ in 0..2 {
        lab.expect(204, "", "POST", "/dhcp/report", &batch(&reports)).await;
        let told =
            ["DISCOVER of 52:54:00:00:00:03 (firmware)", "52:54:00:00:00:03 has 10.101.0.77 (firmware)"];
        assert_eq!(texts(&lab, 2).await, told);
    }
    let found = lab.get(BOB, "/api/v1/discovered").await.json();
    let names = |client: &Value| (client["mac"].as_str().unwrap().to_owned(), client["hostname"].clone());
    let mut found: Vec<_> = found.as_array().unwrap().iter().map(names).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, [(stranger.into(), json!("hi")), ("52:54:00:ff:00:02".into(), json!("hi"))]);

    let address = async || lab.get(BOB, "/api/v1/machine/2/interface").await.json()[0]["lease_ipv4"].clone();
    assert_eq!(address().await, "10.101.0.77");
    for (number, what, left) in [
        // An address of before: the one that it has now stays.
        (6, json!({"expired": {"ipv4": "10.101.0.76"}}), json!("10.101.0.77")),
        (7, json!({"released": {"ipv4": "10.101.0.77"}}), Value::Null),
        (
            8,
            json!({"lease": {"ipv4": "10.101.0.78", "seconds": 60, "firmware": false}}),
            json!("10.101.0.78"),
        ),
        (9, json!({"declined": {"ipv4": "10.101.0.78"}}), Value::Null),
    ] {
        let reports = json!([{"number": number, "age_ms": 0, "mac": mac, "what": what}]);
        lab.expect(204, "", "POST", "/dhcp/report", &batch(&reports)).await;
        assert_eq!(address().await, left, "{reports}");
    }
    let told = texts(&lab, 2).await;
    let refused = "52:54:00:00:00:03 refuses 10.101.0.78: somebody else on its network uses it";
    assert_eq!(told.last().unwrap(), refused);
    lab.stop().await;
}

#[tokio::test]
async fn wrong_reports_are_refused() {
    let lab = Lab::start().await;
    let report = |what: Value| json!([{"number": 1, "age_ms": 0, "mac": "52:54:00:00:00:03", "what": what}]);
    let many: Vec<Value> =
        (1..=1001).map(|n| json!({"number": n, "age_ms": 0, "mac": "52:54:00:00:00:03", "what": {"expired": {"ipv4": "10.0.0.1"}}})).collect();
    for wrong in [
        "{}".to_owned(),
        "nonsense".to_owned(),
        batch(&report(json!({"danced": {}}))),
        batch(&report(json!({"expired": {"ipv4": "here"}}))),
        batch(&json!(many)),
        json!({"source": "a b", "reports": []}).to_string(),
    ] {
        assert_eq!(lab.ask("", "POST", "/dhcp/report", &wrong).await.status, 400, "{wrong:.80}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn strangers_get_no_table() {
    let token = Some(Secret::new(SHARED));
    let machines = Some(MachineConfig { dhcp_from: vec!["10.0.0.0/8".parse().unwrap()], token });
    let lab = Lab::with(Setup { machines, ..Setup::default() }).await;
    for (method, path, status) in [("GET", "/dhcp/table", 200), ("POST", "/dhcp/report", 400)] {
        assert_eq!(lab.ask(ADMIN, method, path, "{}").await.status, 403, "{path}");
        let request = lab.request(method, path).header("x-mrp-token", SHARED).body("{}");
        assert_eq!(request.send().await.unwrap().status(), status, "{path}");
    }
    lab.stop().await;
}
