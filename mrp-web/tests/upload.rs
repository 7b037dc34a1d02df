//! Uploads that go on after a cut (tus 1.0.0).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::lab::{ADMIN, ALICE, Answer, BOB, KERNEL, Lab, eventually};

fn content(size: u32) -> Vec<u8> {
    (0..size).map(|n| (n % 249) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value)));
    pairs.collect::<Vec<_>>().join(",")
}

const KERNEL_FILE: [(&str, &str); 3] = [("filename", "vmlinuz"), ("type", "Kernel"), ("arch", "arm64")];

async fn begin(lab: &Lab, token: &str, length: usize, more: &[(&str, &str)]) -> Answer {
    let pairs = [&KERNEL_FILE, more].concat();
    let request = lab.request("POST", "/api/v1/upload").header("authorization", token);
    let request = request.header("tus-resumable", "1.0.0").header("upload-length", length);
    Answer::of(request.header("upload-metadata", metadata(&pairs)).send().await.unwrap()).await
}

async fn begun(lab: &Lab, token: &str, length: usize, more: &[(&str, &str)]) -> String {
    let answer = begin(lab, token, length, more).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!((answer.header("tus-resumable"), answer.header("upload-offset")), ("1.0.0", "0"));
    answer.header("location").to_owned()
}

async fn send(lab: &Lab, token: &str, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    let request = lab.request("PATCH", path).header("authorization", token);
    let request = request.header("tus-resumable", "1.0.0").header("upload-offset", offset);
    let request = request.header("content-type", "application/offset+octet-stream");
    Answer::of(request.body(bytes.to_vec()).send().await.unwrap()).await
}

async fn tus(lab: &Lab, token: &str, method: &str, path: &str) -> Answer {
    let request = lab.request(method, path).header("authorization", token).header("tus-resumable", "1.0.0");
    Answer::of(request.send().await.unwrap()).await
}

async fn offset(lab: &Lab, path: &str) -> String {
    let answer = tus(lab, ALICE, "HEAD", path).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{answer:?}");
    answer.header("upload-offset").to_owned()
}

#[tokio::test]
async fn an_upload_in_pieces_becomes_an_image() {
    let lab = Lab::start().await;
    let bytes = content(3_000_000);
    let digest = sha256(&bytes);
    let more = [("description", "ü"), ("public", "true"), ("sha256", digest.as_str()), ("other", "ignored")];
    let path = begun(&lab, ALICE, bytes.len(), &more).await;
    for (start, end) in [(0, 1), (1, 1_500_000), (1_500_000, 1_500_000)] {
        let answer = send(&lab, ALICE, &path, start, &bytes[start..end]).await;
        assert_eq!(
            (answer.status, answer.header("upload-offset")),
            (204, end.to_string().as_str()),
            "{answer:?}"
        );
        assert_eq!(answer.header("x-mrp-image"), "");
        assert!(answer.header("upload-expires").ends_with("GMT"), "{answer:?}");
    }
    assert_eq!(offset(&lab, &path).await, "1500000");
    let answer = send(&lab, ALICE, &path, 1_500_000, &bytes[1_500_000..]).await;
    assert_eq!((answer.status, answer.header("upload-offset")), (204, "3000000"), "{answer:?}");
    let image = answer.header("x-mrp-image").to_owned();
    let detail = lab.expect(200, BOB, "GET", &format!("{image}/detail"), "").await;
    assert_eq!(
        (detail["sha256"].as_str(), detail["size"].as_u64()),
        (Some(digest.as_str()), Some(3_000_000))
    );
    assert_eq!((detail["description"].as_str(), detail["user"].as_str()), (Some("ü"), Some("alice")));
    assert!(detail["name"].as_str().unwrap().starts_with("alice/vmlinuz."), "{detail}");
    // Whose answer was lost asks again.
    let again = tus(&lab, ALICE, "HEAD", &path).await;
    assert_eq!((again.header("upload-offset"), again.header("x-mrp-image")), ("3000000", image.as_str()));
    let more = send(&lab, ALICE, &path, 3_000_000, b"").await;
    assert_eq!(more.status, 409, "{more:?}");
    lab.expect(204, ALICE, "DELETE", &image, "").await;
    assert_eq!(tus(&lab, ALICE, "HEAD", &path).await.status, 404, "it goes with its image");
    lab.stop().await;
}

#[tokio::test]
async fn what_a_cut_connection_brought_is_kept() {
    let lab = Lab::start().await;
    let bytes = content(2_000_000);
    let path = begun(&lab, ALICE, bytes.len(), &[]).await;
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: lab\r\nAuthorization: {ALICE}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 2000000\r\n\r\n"
    );
    let mut socket = TcpStream::connect(lab.people).await.unwrap();
    socket.write_all(&[head.as_bytes(), &bytes[..700_000]].concat()).await.unwrap();
    socket.flush().await.unwrap();
    // While one request sends, another is told to come back.
    eventually("the first one holds the upload", async || {
        send(&lab, ALICE, &path, 0, b"x").await.status == 409
    })
    .await;
    socket.shutdown().await.unwrap();
    drop(socket);
    eventually("what came is kept", async || offset(&lab, &path).await != "0").await;
    let at: usize = offset(&lab, &path).await.parse().unwrap();
    assert!((1..=700_000).contains(&at), "{at}");
    let answer = send(&lab, ALICE, &path, at, &bytes[at..]).await;
    let image = answer.header("x-mrp-image");
    let detail = lab.expect(200, ALICE, "GET", &format!("{image}/detail"), "").await;
    assert_eq!(detail["sha256"], sha256(&bytes));
    lab.stop().await;
}

#[tokio::test]
async fn content_that_one_may_use_is_not_sent_again() {
    let lab = Lab::start().await;
    let kernel = sha256(KERNEL);
    let more = [("sha256", kernel.as_str())];
    let mine = begin(&lab, ALICE, KERNEL.len(), &more).await;
    assert_eq!((mine.status, mine.header("upload-offset")), (201, "12"), "{mine:?}");
    let image = lab.expect(200, ALICE, "GET", mine.header("x-mrp-image"), "").await;
    assert!(image["name"].as_str().unwrap().starts_with("alice/vmlinuz."), "{image}");
    // Alice's kernel is private: nobody learns by its digest that it is here.
    for token in [BOB, ADMIN] {
        let others = begin(&lab, token, KERNEL.len(), &more).await;
        assert_eq!((others.status, others.header("upload-offset")), (201, "0"), "{others:?}");
        assert_eq!(others.header("x-mrp-image"), "");
    }
    let path = image["id"].to_string();
    lab.expect(200, ALICE, "PUT", &format!("/api/v1/image/{path}"), r#"{"public": true}"#).await;
    let public = begin(&lab, BOB, KERNEL.len(), &more).await;
    let image = lab.expect(200, BOB, "GET", public.header("x-mrp-image"), "").await;
    assert_eq!(image["user"], "bob");
    let wrong = begin(&lab, ALICE, 11, &more).await;
    assert_eq!(
        wrong.refusal(),
        "400 SchemaError: Upload-Length: the content of this sha256 has 12 bytes, not 11"
    );
    lab.stop().await;
}

#[tokio::test]
async fn content_of_another_digest_is_refused_and_forgotten() {
    let lab = Lab::start().await;
    let before = lab.files();
    let said = sha256(b"what was meant");
    let path = begun(&lab, ALICE, 5, &[("sha256", &said)]).await;
    let answer = send(&lab, ALICE, &path, 0, b"hello").await;
    let (found, words) = (sha256(b"hello"), "nothing was stored, send it again");
    let wanted = format!("400 InvalidUsage: the content has the SHA-256 {found}, not {said}; {words}");
    assert_eq!(answer.refusal(), wanted);
    assert_eq!(tus(&lab, ALICE, "HEAD", &path).await.status, 404);
    assert_eq!(lab.files(), before);
    lab.stop().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let lab = Lab::start().await;
    let path = begun(&lab, ALICE, 5, &[]).await;
    let key = path.rsplit('/').next().unwrap().to_owned();
    let answer = send(&lab, ALICE, &path, 3, b"lo").await;
    let words = format!("409 IntegrityError: upload {key} is at byte 0, not 3; go on there");
    assert_eq!(answer.refusal(), words);
    let answer = send(&lab, ALICE, &path, 0, b"hello, world").await;
    assert_eq!(answer.refusal(), "400 InvalidUsage: more came than the 5 bytes that were announced");
    assert_eq!(offset(&lab, &path).await, "0");
    for (token, status) in [(BOB, 403), (ADMIN, 403), ("WRONG", 401)] {
        assert_eq!(send(&lab, token, &path, 0, b"hello").await.status, status);
    }
    assert_eq!(tus(&lab, BOB, "HEAD", &path).await.status, 403);
    assert_eq!(tus(&lab, ADMIN, "HEAD", &path).await.status, 200);
    for other in
        ["/api/v1/upload/0123456789abcdef0123456789abcdef", "/api/v1/upload/%2e%2e%2fx", "/api/v1/upload/1"]
    {
        assert_eq!(tus(&lab, ALICE, "HEAD", other).await.status, 404, "{other}");
        assert_eq!(send(&lab, ALICE, other, 0, b"x").await.status, 404, "{other}");
    }
    let ask = |method: &str, path: &str| lab.request(method, path).header("authorization", ALICE);
    let answer = Answer::of(ask("PATCH", &path).send().await.unwrap()).await;
    assert_eq!(answer.refusal(), "412 PreconditionFailed: send the header Tus-Resumable: 1.0.0");
    let plain =
        ask("PATCH", &path).header("tus-resumable", "1.0.0").header("upload-offset", "0").body("hello");
    let answer = Answer::of(plain.send().await.unwrap()).await;
    assert_eq!(
        answer.refusal(),
        "415 UnsupportedMediaType: send the content type application/offset+octet-stream"
    );
    for (length, metadata, words) in [
        ("5", "type S2VybmVs,arch YXJtNjQ=", "upload-metadata: filename is needed"),
        ("5", "filename YQ==,arch YXJtNjQ=", "upload-metadata: type is needed"),
        ("5", "filename YQ==,type eA==,arch YQ==", "upload-metadata: type: \"x\" is no image type"),
        ("5", "filename %%", "upload-metadata: filename is no base64"),
        (
            "5",
            "sha256 YQ==,filename YQ==,type S2VybmVs,arch YXJtNjQ=",
            "upload-metadata: sha256: 64 hexadecimal",
        ),
        ("0", "filename YQ==,type S2VybmVs,arch YXJtNjQ=", "Upload-Length: the file is empty"),
        ("-1", "", "upload-length: a number of bytes is needed"),
        ("", "", "upload-length: a number of bytes is needed"),
        ("9223372036854775808", "", "upload-length: a number of bytes is needed"),
        (
            "9223372036854775807",
            "filename YQ==,type S2VybmVs,arch YXJtNjQ=",
            "Upload-Length: 9223372036854775807; at most",
        ),
    ] {
        let request = ask("POST", "/api/v1/upload").header("tus-resumable", "1.0.0");
        let request = request.header("upload-length", length).header("upload-metadata", metadata);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert!(
            answer.refusal().starts_with(&format!("400 SchemaError: {words}")),
            "{length} {metadata}: {answer:?}"
        );
    }
    let answer = begin(&lab, ALICE, 5, &[("description", &"x".repeat(1025))]).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    lab.stop().await;
}

#[tokio::test]
async fn uploads_are_listed_cancelled_and_forgotten_in_time() {
    let lab = Lab::start().await;
    let before = lab.files();
    let (first, second) = (begun(&lab, ALICE, 5, &[]).await, begun(&lab, ALICE, 6, &[]).await);
    send(&lab, ALICE, &first, 0, b"hel").await;
    send(&lab, ALICE, &second, 0, b"hel").await;
    let listed = lab.expect(200, ALICE, "GET", "/api/v1/upload", "").await;
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(
        (listed[0]["offset"].as_u64(), listed[0]["type"].as_str()),
        (Some(3), Some("Kernel")),
        "{listed}"
    );
    assert_eq!(lab.expect(200, BOB, "GET", "/api/v1/upload", "").await, serde_json::json!([]));
    assert_eq!(lab.expect(200, ADMIN, "GET", "/api/v1/upload", "").await, listed);
    assert_eq!(tus(&lab, BOB, "DELETE", &first).await.status, 403);
    assert_eq!(tus(&lab, ALICE, "DELETE", &first).await.status, 204);
    assert_eq!(tus(&lab, ALICE, "DELETE", &first).await.status, 404);
    lab.clock.advance(Duration::from_secs(23 * 60 * 60));
    lab.service.uploads().expire().await.unwrap();
    assert_eq!(offset(&lab, &second).await, "3");
    send(&lab, ALICE, &second, 3, b"lo").await;
    lab.clock.advance(Duration::from_secs(23 * 60 * 60));
    lab.service.uploads().expire().await.unwrap();
    assert_eq!(offset(&lab, &second).await, "5", "it went on in the meantime");
    lab.clock.advance(Duration::from_secs(60 * 60));
    lab.service.uploads().expire().await.unwrap();
    assert_eq!(tus(&lab, ALICE, "HEAD", &second).await.status, 404);
    assert_eq!(lab.files(), before);
    lab.stop().await;
}

#[tokio::test]
async fn a_user_has_a_hundred_uploads_under_way_at_most() {
    let lab = Lab::start().await;
    for _ in 0..100 {
        begun(&lab, ALICE, 5, &[]).await;
    }
    let answer = begin(&lab, ALICE, 5, &[]).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    begun(&lab, BOB, 5, &[]).await;
    lab.stop().await;
}

#[tokio::test]
async fn the_protocol_is_announced() {
    let lab = Lab::start().await;
    for path in ["/api/v1/upload", "/api/v1/upload/0123456789abcdef0123456789abcdef"] {
        let answer = lab.ask("", "OPTIONS", path, "").await;
        let told = (answer.header("tus-version"), answer.header("tus-extension"));
        assert_eq!(told, ("1.0.0", "creation,termination,expiration"), "{answer:?}");
        assert_eq!(answer.header("tus-max-size"), "1099511627776");
    }
    assert_eq!(lab.ask("", "OPTIONS", "/api/v1/image", "").await.header("tus-version"), "");
    lab.stop().await;
}
