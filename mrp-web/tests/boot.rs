//! What machines boot by.

use mrp_core::service::boot::{BootContent, BootRequest};
use mrp_web::MachineConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::{ADMIN, ALICE, Answer, KERNEL, Lab, SHARED, Setup, eventually};

/// The MAC of machine 1, as GRUB asks.
const CONFIG: &str = "/boot/grub/01-52-54-00-00-00-01";

/// Makes 127.0.0.1 known as machine 1, by the path that it asks for.
async fn known(lab: &Lab) {
    let answer = lab.get("", CONFIG).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn ranged(lab: &Lab, range: &str) -> Answer {
    let request = lab.request("GET", "/boot/alice/linux.11").header("range", range);
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_machine_gets_its_configuration_and_files() {
    let lab = Lab::start().await;
    let config = lab.get("", CONFIG).await;
    assert_eq!(config.header("content-type"), "text/plain; charset=utf-8");
    assert!(config.text.starts_with("Grub alice/linux.11"), "{config:?}");
    let http = format!("http://127.0.0.1:{}/preseed/1/1-", lab.machines.port());
    assert!(config.text.contains(&http), "the address that was asked is in the URL: {config:?}");
    let kernel = lab.get("", "/boot/alice/linux.11").await;
    assert_eq!((kernel.status, kernel.text.as_bytes()), (200, KERNEL));
    assert_eq!((kernel.header("content-length"), kernel.header("accept-ranges")), ("12", "bytes"));
    let head = lab.ask("", "HEAD", "/boot/alice/linux.11", "").await;
    assert_eq!((head.status, head.header("content-length"), head.text.as_str()), (200, "12", ""));
    let unknown = lab.get("", "/boot/nosuch").await;
    assert_eq!((unknown.status, unknown.header("content-type")), (404, "text/plain; charset=utf-8"));
    assert_eq!(unknown.text, "file not found");
    for path in ["/boot/../etc/passwd", "/boot/%2e%2e/etc/passwd", "/boot/a%00b", "/boot/%ff", "/boot/"] {
        assert_eq!(lab.get("", path).await.status, 404, "{path}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn lengths_are_written_as_grub_reads_them() {
    let lab = Lab::start().await;
    known(&lab).await;
    for path in [CONFIG, "/boot/alice/linux.11"] {
        let mut stream = TcpStream::connect(lab.machines).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{path}: {head}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn files_of_others_are_refused_with_an_event() {
    let lab = Lab::start().await;
    assert_eq!(lab.get("", "/boot/alice/linux.11").await.status, 403);
    let events = lab.get(ADMIN, "/api/v1/event?machine=1").await.json();
    assert_eq!(events[0]["kind"], "refused");
    // A public boot loader is everybody's.
    assert_eq!(lab.get("", "/boot/admin/grubaa64.efi.00").await.text, "loader");
    lab.stop().await;
}

#[tokio::test]
async fn parts_of_files_are_told_apart() {
    let lab = Lab::start().await;
    known(&lab).await;
    let part = ranged(&lab, "bytes=0-3").await;
    assert_eq!(
        (part.status, part.text.as_str(), part.header("content-range")),
        (206, "kern", "bytes 0-3/12")
    );
    let rest = ranged(&lab, "bytes=6-").await;
    assert_eq!((rest.status, rest.text.as_str()), (206, "bytes\n"));
    assert_eq!(ranged(&lab, "bytes=-2").await.text, "s\n");
    let none = ranged(&lab, "bytes=12-").await;
    assert_eq!((none.status, none.header("content-range")), (416, "bytes */12"));
    assert_eq!(ranged(&lab, "bytes=0-1,3-4").await.status, 200);
    lab.stop().await;
}

#[tokio::test]
async fn a_run_sees_what_was_transferred_and_what_was_cut_off() {
    let lab = Lab::start().await;
    let large = vec![9; 40_000_000];
    let body = reqwest::multipart::Form::new()
        .text("q", r#"{"type": "Kernel", "arch": "arm64"}"#)
        .part("file", reqwest::multipart::Part::bytes(large).file_name("large"));
    let request = lab.request("POST", "/api/v1/image").header("authorization", ALICE).multipart(body);
    let image = Answer::of(request.send().await.unwrap()).await.json();
    let set = format!(r#"{{"kernel_id": {}}}"#, image["id"]);
    lab.expect(200, ALICE, "PUT", "/api/v1/machine/1", &set).await;
    lab.expect(201, ALICE, "POST", "/api/v1/run", r#"{"machine": 1, "manual": true}"#).await;
    known(&lab).await;
    let path = format!("/boot/{}", image["name"].as_str().unwrap());
    // Cut off: the first piece is read, and the rest is not.
    let mut response = lab.request("GET", &path).send().await.unwrap();
    response.chunk().await.unwrap();
    drop(response);
    eventually("the cut is written down", async || {
        lab.get(ADMIN, "/api/v1/event?machine=1").await.text.contains("the connection was cut off")
    })
    .await;
    assert_eq!(lab.get("", &path).await.text.len(), 40_000_000);
    eventually("the run has seen the kernel", async || {
        let run = lab.get(ADMIN, "/api/v1/run/1").await.json();
        let stages = run["stages"].as_array().unwrap().clone();
        stages.iter().any(|stage| stage["stage"] == "kernel" && stage["bytes"] == 40_000_000)
    })
    .await;
    lab.stop().await;
}

#[tokio::test]
async fn a_tftp_server_may_ask_for_others_from_known_sources_only() {
    let lab = Lab::start().await;
    let ask = async |lab: &Lab, headers: &[(&str, &str)]| {
        let mut request = lab.request("GET", "/tftp/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.unwrap()).await
    };
    let asked = [("x-tftp-ip", "10.101.16.5"), ("x-tftp-file", "/alice/linux.11")];
    assert_eq!(ask(&lab, &asked).await.text.as_bytes(), KERNEL);
    assert_eq!(ask(&lab, &asked[..1]).await.status, 400);
    assert_eq!(ask(&lab, &[("x-tftp-ip", "nobody"), asked[1]]).await.status, 400);
    lab.stop().await;
    let machines =
        Some(MachineConfig { dhcp_from: Vec::new(), token: Some(mrp_core::secret::Secret::new(SHARED)) });
    let closed = Lab::with(Setup { machines, ..Setup::default() }).await;
    let refused = ask(&closed, &asked).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("machine.dhcp_from"), "{refused:?}");
    assert_eq!(ask(&closed, &[asked[0], asked[1], ("x-mrp-token", "wrong")]).await.status, 403);
    assert_eq!(ask(&closed, &[asked[0], asked[1], ("x-mrp-token", SHARED)]).await.status, 200);
    closed.stop().await;
}

#[tokio::test]
async fn answer_files_phone_home_and_cloud_init_go_by_token() {
    let lab = Lab::start().await;
    let content = "report to {{ phone_home_url }}";
    let body = serde_json::json!({"name": "auto", "type": "autoinstall", "content": content}).to_string();
    let file = lab.expect(201, ALICE, "POST", "/api/v1/preseed", &body).await;
    lab.expect(200, ALICE, "PUT", "/api/v1/machine/1", &format!(r#"{{"preseed_id": {}}}"#, file["id"])).await;
    lab.expect(201, ALICE, "POST", "/api/v1/run", r#"{"machine": 1}"#).await;
    let config = lab.get("", CONFIG).await.text;
    let base = format!("http://{}", lab.machines);
    let seed = config.split_once("nocloud-net;s=").unwrap().1.split_whitespace().next().unwrap();
    let seed = seed.strip_prefix(&base).unwrap().to_owned();
    for file in ["meta-data", "vendor-data"] {
        let empty = lab.get("", &format!("{seed}{file}")).await;
        assert_eq!((empty.status, empty.text.as_str()), (200, ""));
    }
    let data = lab.get("", &format!("{seed}user-data")).await;
    assert_eq!(data.status, 200, "{data:?}");
    let home = data.text.split_once(&base).unwrap().1.to_owned();
    assert_eq!(lab.ask("", "POST", &home, r#"{"status": "perhaps"}"#).await.status, 400);
    for _ in 0..2 {
        assert_eq!(lab.get("", &format!("{home}?status=ok&message=done")).await.status, 204);
    }
    let run = lab.get(ALICE, "/api/v1/run/1").await.json();
    assert_eq!((run["status"].as_str(), run["verdict"].is_string()), (Some("ready"), true));
    assert_eq!(lab.get("", &format!("{home}0")).await.status, 404);
    assert_eq!(lab.get("", "/autoinstall/1-00/meta-data").await.status, 404);
    assert_eq!(lab.get("", "/preseed/1/1-00").await.status, 403);
    assert_eq!(lab.get("", "/preseed/99").await.status, 404);
    assert_eq!(lab.get("", "/preseed/abc").await.status, 404);
    lab.stop().await;
}

#[tokio::test]
async fn the_service_and_the_door_give_the_same_bytes() {
    let lab = Lab::start().await;
    known(&lab).await;
    let request = BootRequest {
        client: "127.0.0.1".parse().unwrap(),
        local: "127.0.0.1".parse().unwrap(),
        path: "alice/initrd.22".into(),
        transport: mrp_core::boot::Transport::Http,
    };
    let BootContent::Blob(blob) = lab.service.boot().file(&request).await.unwrap().content else {
        panic!("an image is a blob")
    };
    assert_eq!(blob.len, lab.get("", "/boot/alice/initrd.22").await.text.len() as u64);
    lab.stop().await;
}
