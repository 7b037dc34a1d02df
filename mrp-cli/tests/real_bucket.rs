//! `mrp serve` with its images in a bucket, against moto's S3 server. A missing program is a failure.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;
#[path = "../../mrp-store/tests/moto/mod.rs"]
mod moto;

use std::process::Command;

use harness::{Home, Ports, Server, serve};
use moto::Moto;
use rustix::process::Signal;

/// A command with the configuration of a server whose images are in a bucket.
fn with_bucket(mut command: Command, home: &Home, moto: &Moto, bucket: &str) -> Command {
    command
        .env("MRP_SERVER__DATA_DIR", home.path("data"))
        .env("MRP_IMAGES__STORE", "s3")
        .env("MRP_IMAGES__BUCKET", bucket)
        .env("MRP_IMAGES__ENDPOINT", &moto.url)
        .env("MRP_IMAGES__KEY_FILE", home.path("s3-key"));
    command
}

/// What the bucket has under a digest. moto takes any signature, but none at all for nobody.
fn object(moto: &Moto, bucket: &str, sha256: &str) -> Option<Vec<u8>> {
    let url = format!("{}/{bucket}/{}/{sha256}", moto.url, &sha256[..2]);
    let got = Command::new("curl")
        .args(["-sf", "-H", "Authorization: AWS the-id:signature", &url])
        .output()
        .unwrap();
    got.status.success().then_some(got.stdout)
}

#[test]
fn images_are_kept_in_the_bucket_and_outlive_the_server_and_its_cache() {
    let moto = Moto::start();
    let (home, bucket) = (Home::new(), moto.bucket());
    home.file("s3-key", "the-id\nthe-secret-of-the-bucket\n");
    let start = |bucket: &str| {
        let ports = Ports::free();
        Server::spawn(with_bucket(serve(&home, ports), &home, &moto, bucket), ports)
    };
    let server = start(&bucket);
    let log_in = |server: &Server| {
        let password = std::fs::read_to_string(home.path("data/admin-password")).unwrap();
        home.mrp_with(&["login", &server.url, "--user", "admin", "--password-stdin"], &password).ok();
    };
    log_in(&server);
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    home.file("vmlinuz", &content);
    home.run("arch add x86_64").ok();
    home.run("image upload vmlinuz --type kernel --arch x86_64").ok();
    let sha256 = home.json("image show vmlinuz")["sha256"].as_str().unwrap().to_owned();
    assert!(object(&moto, &bucket, &sha256).is_some_and(|found| found == content));
    assert!(!home.path("data/images").exists());
    assert_eq!(server.end(Signal::TERM), Some(0));

    // Another bucket is not taken for this one.
    let other = moto.bucket();
    let refused = with_bucket(serve(&home, Ports::free()), &home, &moto, &other).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("are in another store"), "{said}");
    assert!(!said.contains("the-secret-of-the-bucket"), "{said}");

    // Without its local copies.
    std::fs::remove_dir_all(home.path("data/image-cache")).unwrap();
    let server = start(&bucket);
    let file = home.path("backup.tar").display().to_string();
    let backup = with_bucket(home.command(&["backup", &file]), &home, &moto, &bucket).output().unwrap();
    assert!(backup.status.success(), "{backup:?}");
    assert!(std::fs::metadata(&file).unwrap().len() > 3_000_000, "the backup has the content");
    log_in(&server);
    home.run("image remove vmlinuz").ok();
    assert_eq!(object(&moto, &bucket, &sha256), None);
    assert_eq!(server.end(Signal::TERM), Some(0));
}
