//! `mrp bootloader add --from-distribution`: packages become images and subarchitectures.

#![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::{Home, Ports, Server};
use rustix::process::Signal;

const ADD: &str = "bootloader add --from-distribution --root packages";

/// What PXELINUX's packages have, and iPXE's without the loader for UEFI; grub-mkimage is one that says what it was asked.
fn unpack(home: &Home) {
    for (path, content) in [
        ("usr/lib/PXELINUX/pxelinux.0", "pxelinux"),
        ("usr/lib/syslinux/modules/bios/ldlinux.c32", "ldlinux"),
        ("usr/lib/ipxe/undionly.kpxe", "ipxe"),
        ("usr/lib/grub/x86_64-efi/moddep.lst", "net: "),
        (
            "usr/bin/grub-mkimage",
            "#!/bin/sh\nfor word; do case $before in --output) out=$word;; --config) early=$word;; *) words=\"$words $word\";; esac; before=$word; done\n{ echo \"$words\"; cat \"$early\"; } > \"$out\"\n",
        ),
    ] {
        let path = home.path("packages").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
    }
    let program = home.path("packages/usr/bin/grub-mkimage");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn started() -> (Home, Server) {
    let home = Home::new();
    let server = Server::start(&home, Ports::free());
    let password = std::fs::read_to_string(home.path("data/admin-password")).unwrap();
    home.mrp_with(&["login", &server.url, "--user", "admin", "--password-stdin"], &password).ok();
    unpack(&home);
    (home, server)
}

/// Names of subarchitectures with the file names of their loaders.
fn subarchs(home: &Home) -> Vec<(String, String)> {
    let images = home.json("image list");
    let name = |id: &serde_json::Value| {
        let image = images.as_array().unwrap().iter().find(|image| image["id"] == *id).unwrap();
        Path::new(image["name"].as_str().unwrap()).file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let all = home.json("subarch list");
    let mut names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|subarch| {
            let named =
                format!("{}/{}", subarch["arch"].as_str().unwrap(), subarch["name"].as_str().unwrap());
            (named, name(&subarch["bootloader_id"]))
        })
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_there_is_taken_in_once_and_what_is_missing_is_named() {
    let (home, server) = started();
    let first = home.run(&format!("{ADD} --arch x86_64")).ok();
    let pairs =
        [("x86_64/bios", "pxelinux.0"), ("x86_64/bios-ipxe", "undionly.kpxe"), ("x86_64/efi", "bootx64.efi")];
    let expected = pairs.map(|(subarch, loader)| (subarch.to_owned(), loader.to_owned())).to_vec();
    assert_eq!(subarchs(&home), expected);
    assert!(
        first.err.contains("x86_64/efi-ipxe: iPXE is missing") && first.err.contains("apt-get install ipxe"),
        "{}",
        first.err
    );
    let images = home.json("image list");
    let images = images.as_array().unwrap();
    assert_eq!(images.len(), 4, "ldlinux.c32 too: {images:?}");
    assert!(
        images.iter().all(|image| image["public"] == true && image["type"] == "bootloader"),
        "{images:?}"
    );
    home.run(ADD).ok();
    assert_eq!(home.json("image list").as_array().unwrap().len(), 4, "the same is not taken in twice");

    std::fs::write(home.path("packages/usr/lib/PXELINUX/pxelinux.0"), "newer").unwrap();
    home.run("subarch set x86_64/bios-ipxe --bootloader ldlinux.c32").ok();
    let newer = home.run(ADD).ok();
    assert_eq!(home.json("image list").as_array().unwrap().len(), 5);
    let bios = home.json("subarch show x86_64/bios");
    let images = home.json("image list");
    let ids = images.as_array().unwrap().iter().map(|image| image["id"].as_i64());
    assert_eq!(bios["bootloader_id"].as_i64(), ids.max().unwrap(), "the newest: {images}");
    assert!(newer.out.contains("keeps admin/ldlinux.c32."), "{}", newer.out);
    assert_eq!(server.end(Signal::TERM), Some(0));
}

#[test]
fn grub_is_built_with_what_it_needs_to_ask_mrp() {
    let (home, server) = started();
    home.run(&format!("{ADD} --arch x86_64 --loader grub")).ok();
    // A public boot loader is anybody's who asks under the name that DHCP gives.
    let mut client = TcpStream::connect(server.ports.machines()).unwrap();
    client.write_all(b"GET /boot/bootx64.efi HTTP/1.0\r\n\r\n").unwrap();
    let mut image = String::new();
    client.read_to_string(&mut image).unwrap();
    for words in [
        "--format x86_64-efi",
        " http ",
        "packages/usr/lib/grub/x86_64-efi",
        "$cmdpath/grub/01-$mac",
        "net_bootp",
    ] {
        assert!(image.contains(words), "{words} is not in {image}");
    }
    assert_eq!(server.end(Signal::TERM), Some(0));
}

#[test]
fn an_architecture_without_loaders_is_refused_in_words() {
    let (home, server) = started();
    let refused = home.run(&format!("{ADD} --arch riscv64")).code(1);
    assert!(refused.err.contains("for x86_64 and arm64, not for riscv64"), "{}", refused.err);
    let refused = home.run(&format!("{ADD} --arch arm64")).code(1);
    assert!(refused.err.contains("apt-get install grub-common grub-efi-arm64-bin"), "{}", refused.err);
    let refused = home.run(&format!("{ADD} --arch arm64 --loader ipxe")).code(1);
    assert!(refused.err.contains("mrp image upload"), "{}", refused.err);
    assert_eq!(server.end(Signal::TERM), Some(0));
}
