//! Images: uploads whole, cut off, hostile; and the rest.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::{ADMIN, ALICE, Answer, BOB, Lab, eventually};

const Q: &str = r#"{"type": "Kernel", "arch": "arm64"}"#;

fn part(head: &str, content: &[u8]) -> Vec<u8> {
    let mut part = format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n").into_bytes();
    part.extend_from_slice(content);
    part.extend_from_slice(b"\r\n");
    part
}

fn multipart(q: &str, head: &[u8], content: &[u8]) -> Vec<u8> {
    let mut body = part("name=\"q\"", q.as_bytes());
    body.extend_from_slice(b"--B\r\nContent-Disposition: form-data; name=\"file\"; ");
    body.extend_from_slice(head);
    body.extend_from_slice(b"\r\n\r\n");
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--B--\r\n");
    body
}

async fn upload(lab: &Lab, token: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = lab.request("POST", "/api/v1/image").header("authorization", token);
    let request = request.header("content-type", "multipart/form-data; boundary=B");
    Answer::of(request.body(body).send().await.unwrap()).await
}

/// Sends bytes and closes the connection's sending half, or all of it.
async fn send_raw(door: SocketAddr, bytes: &[u8], wait: bool) -> String {
    let mut socket = TcpStream::connect(door).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    if wait {
        socket.read_to_string(&mut answer).await.unwrap();
    }
    answer
}

#[tokio::test]
async fn an_upload_is_stored_whole_in_either_order_of_its_parts() {
    let lab = Lab::start().await;
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let answer = upload(&lab, ALICE, multipart(Q, b"filename=\"vmlinuz\"", &content)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let mut other = part("name=\"file\"; filename=\"vmlinuz\"", &content);
    other.extend(part("name=\"q\"", Q.as_bytes()));
    other.extend_from_slice(b"--B--\r\n");
    // In pieces and without a length.
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        other.chunks(10_000).map(|piece| Ok(piece.to_vec())).collect();
    let answer = upload(&lab, ALICE, reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    use sha2::Digest as _;
    let sha256 = hex::encode(sha2::Sha256::digest(&content));
    for id in [6, 7] {
        let detail = lab.expect(200, ALICE, "GET", &format!("/api/v1/image/{id}/detail"), "").await;
        assert_eq!(
            (detail["sha256"].as_str(), detail["size"].as_u64()),
            (Some(sha256.as_str()), Some(3_000_000))
        );
    }
    lab.stop().await;
}

#[tokio::test]
async fn file_names_are_made_safe() {
    let lab = Lab::start().await;
    let long = format!("filename=\"{}\"", "x".repeat(300));
    for (head, name) in [
        (&b"filename=\"../../etc/passwd\""[..], "alice/etc_passwd.".to_owned()),
        (b"filename=\"..\"", "alice/.".to_owned()),
        (b"filename=\"a\xff\xfeb.img\"", "alice/ab.img.".to_owned()),
        (b"filename=\"C:\\boot\\linux\"", "alice/C_boot_linux.".to_owned()),
        (long.as_bytes(), format!("alice/{}.", "x".repeat(100))),
    ] {
        let answer = upload(&lab, ALICE, multipart(Q, head, b"content")).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let stored = answer.json()["name"].as_str().unwrap().to_owned();
        assert_eq!(stored[..stored.len() - 8], name);
    }
    // A NUL is no header at all.
    let answer = upload(&lab, ALICE, multipart(Q, b"filename=\"a\0b\"", b"content")).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    lab.stop().await;
}

#[tokio::test]
async fn what_is_cut_off_leaves_nothing() {
    let lab = Lab::start().await;
    let before = lab.files();
    let content = vec![7; 900_000];
    let whole = multipart(Q, b"filename=\"vmlinuz\"", &content);
    for cut in [150, 200, 500_000, whole.len() - 4, whole.len() - 7] {
        // The body says by its length that it is whole, and is not one in multipart's terms.
        let answer = upload(&lab, ALICE, whole[..cut].to_vec()).await;
        assert_eq!(answer.status, 400, "cut at {cut}: {answer:?}");
        // The connection ends in the middle.
        let head = format!(
            "POST /api/v1/image HTTP/1.1\r\nHost: lab\r\nAuthorization: {ALICE}\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n",
            whole.len()
        );
        send_raw(lab.people, &[head.as_bytes(), &whole[..cut]].concat(), false).await;
    }
    eventually("no files are left", async || lab.files() == before).await;
    let images = lab.expect(200, ADMIN, "GET", "/api/v1/image?show_all=true", "").await;
    assert_eq!(images.as_array().map(Vec::len), Some(5));
    lab.stop().await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong_and_leave_nothing() {
    let lab = Lab::start().await;
    let before = lab.files();
    for (q, words) in [
        (r#"{"type": "Kernel"}"#, "400 InvalidUsage: arch is required"),
        (r#"{"type": "Kernel", "arch": "sparc"}"#, "400 InvalidUsage: no such architecture"),
        (r#"{"arch": "arm64"}"#, "400 SchemaMissingKeyError: Missing keys: 'type'"),
        (
            r#"{"type": "x", "arch": "arm64"}"#,
            "400 SchemaError: type: \"x\" is no image type; the types are Kernel, Initrd and bootloader",
        ),
        (
            r#"{"type": "Kernel", "arch": "arm64", "public": 1}"#,
            "400 SchemaUnexpectedTypeError: public: true or false is needed, not a number",
        ),
    ] {
        // The file is larger than the sockets' buffers: the client still sees the refusal.
        let answer = upload(&lab, ALICE, multipart(q, b"filename=\"f\"", &vec![1; 20_000_000])).await;
        assert_eq!(answer.refusal(), words);
    }
    let answer = upload(&lab, ALICE, multipart(Q, b"filename=\"f\"", b"")).await;
    assert_eq!(answer.refusal(), "400 InvalidUsage: the file is empty; send its bytes in the part `file`");
    let answer = upload(&lab, ALICE, multipart("{", b"filename=\"f\"", b"x")).await;
    assert!(answer.refusal().starts_with("400 JSONDecodeError: multipart `q` is not JSON"), "{answer:?}");
    let answer = upload(&lab, "WRONG", multipart(Q, b"filename=\"f\"", &vec![1; 20_000_000])).await;
    assert_eq!((answer.status, answer.text.as_str()), (401, ""));
    lab.refused(
        "400 InvalidUsage: send multipart/form-data with the parts `q` (JSON) and `file`",
        ALICE,
        "POST",
        "/api/v1/image",
        Q,
    )
    .await;
    eventually("no files are left", async || lab.files() == before).await;
    lab.stop().await;
}

#[tokio::test]
async fn an_image_in_use_stays_and_one_removed_takes_its_file_along() {
    let lab = Lab::start().await;
    let answer = upload(&lab, BOB, multipart(Q, b"filename=\"own\"", b"bob's own")).await;
    let path = format!("/api/v1/image/{}", answer.json()["id"]);
    let with = lab.files().len();
    lab.refused(
        "403 InvalidUsage: the image is private: only its owner and admins may use it",
        ALICE,
        "GET",
        &format!("{path}/detail"),
        "",
    )
    .await;
    lab.refused(
        "403 InvalidUsage: only the owner of the image and admins may change it",
        ALICE,
        "DELETE",
        &path,
        "",
    )
    .await;
    lab.expect(204, BOB, "DELETE", &path, "").await;
    assert_eq!(lab.files().len(), with - 1);
    let words = "409 IntegrityError: image alice/linux.11 is still in use by machines lab.node-1";
    lab.refused(words, ALICE, "DELETE", "/api/v1/image/2", "").await;
    lab.stop().await;
}

#[tokio::test]
async fn a_newer_image_takes_the_place_of_an_older_one() {
    let lab = Lab::start().await;
    let answer = upload(&lab, ALICE, multipart(Q, b"filename=\"newer\"", b"newer kernel")).await;
    let new = answer.json()["id"].as_i64().unwrap();
    let body = format!(r#"{{"by": {new}}}"#);
    // Bob's machine, set up by an admin, has Alice's kernel too.
    lab.expect(200, ADMIN, "PUT", "/api/v1/machine/2", r#"{"kernel_id": 2}"#).await;
    let used = lab.expect(200, ALICE, "GET", "/api/v1/image/2/detail", "").await["used_by"].clone();
    assert_eq!(used["machines"][0]["name"], "lab.node-1", "{used}");
    assert_eq!(
        (used["machines"][0]["kernel"].as_bool(), used["machines"][0]["initrd"].as_bool()),
        (Some(true), Some(false))
    );
    let path = "/api/v1/image/2/replace";
    lab.refused(
        "403 InvalidUsage: the image is private: only its owner and admins may use it",
        BOB,
        "POST",
        path,
        &body,
    )
    .await;
    lab.refused("404 InvalidUsage: image not found", ALICE, "POST", path, r#"{"by": 4294967297}"#).await;
    let same = lab.ask(ALICE, "POST", path, r#"{"by": 2}"#).await;
    assert_eq!(
        same.refusal(),
        "400 InvalidUsage: alice/linux.11 cannot take the place of alice/linux.11: they are the same"
    );
    let other = lab.ask(ALICE, "POST", path, r#"{"by": 3}"#).await;
    assert!(other.refusal().ends_with("they are of different types"), "{other:?}");
    let replaced = lab.expect(200, ALICE, "POST", path, &body).await;
    assert_eq!(replaced["by"]["id"], new);
    assert_eq!(replaced["changed"]["machines"][0]["name"], "lab.node-1", "{replaced}");
    assert_eq!(replaced["kept"][0]["reason"], "you do not hold it", "{replaced}");
    assert_eq!(lab.expect(200, ALICE, "GET", "/api/v1/machine/1", "").await["kernel_id"], new);
    assert_eq!(lab.expect(200, ALICE, "GET", "/api/v1/machine/2", "").await["kernel_id"], 2);
    let events = lab.expect(200, ALICE, "GET", "/api/v1/event?machine=1", "").await;
    let told = events.as_array().unwrap().iter().any(|event| event["kind"] == "image");
    assert!(told, "{events}");
    let replaced = lab.expect(200, ADMIN, "POST", path, &body).await;
    assert_eq!(replaced["kept"], serde_json::json!([]));
    lab.expect(204, ALICE, "DELETE", "/api/v1/image/2", "").await;
    lab.stop().await;
}

#[tokio::test]
async fn a_boot_loader_in_use_names_its_subarchitectures() {
    let lab = Lab::start().await;
    let detail = lab.expect(200, ADMIN, "GET", "/api/v1/image/1/detail", "").await;
    let subarch = detail["used_by"]["subarchs"][0]["name"].as_str().unwrap().to_owned();
    let refused = lab.ask(ADMIN, "DELETE", "/api/v1/image/1", "").await;
    assert!(
        refused.refusal().contains(&format!("still in use by subarchitectures {subarch}")),
        "{refused:?}"
    );
    lab.stop().await;
}
