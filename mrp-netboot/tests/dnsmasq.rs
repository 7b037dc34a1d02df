//! The host file, the printed configuration, and what dnsmasq's script is told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use mrp_core::dhcp::{DhcpBackend, DhcpHost};
use mrp_netboot::dnsmasq::{Action, DnsmasqBackend, ScriptError, ScriptEvent, ServerConfig, Spool};
use tempfile::TempDir;

fn host(last: u8, address: &str) -> DhcpHost {
    let mac = format!("52:54:00:00:00:{last:02x}").parse().unwrap();
    DhcpHost { mac, ipv4: address.parse().unwrap(), hostname: format!("node-{last}") }
}

/// A backend whose reload command writes a line into `reloads`.
fn backend(folder: &TempDir) -> DnsmasqBackend {
    let command = format!("echo reload >> {}", folder.path().join("reloads").display());
    let reload = ["/bin/sh", "-c", &command].map(str::to_owned).to_vec();
    DnsmasqBackend::new(folder.path().join("a/dnsmasq/hosts"), reload)
}

fn reloads(folder: &TempDir) -> usize {
    fs::read_to_string(folder.path().join("reloads")).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn the_host_file_is_written_for_every_reader_and_only_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&folder), folder.path().join("a/dnsmasq/hosts"));
    let hosts = [host(2, "10.0.0.65"), host(1, "10.0.0.64")];
    backend.apply(&hosts).await.unwrap();
    let expected = "52:54:00:00:00:01,10.0.0.64,node-1\n52:54:00:00:00:02,10.0.0.65,node-2\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    let written = fs::metadata(&path).unwrap();
    assert_eq!(written.permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    backend.apply(&hosts).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), written.ino());
    assert_eq!(reloads(&folder), 1, "once, for what dnsmasq holds from before");
    for spoil in
        [|path: &Path| fs::write(path, "edited").unwrap(), |path: &Path| fs::remove_file(path).unwrap()]
    {
        spoil(&path);
        backend.apply(&hosts).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }
}

#[tokio::test]
async fn dnsmasq_is_told_of_changed_and_removed_lines_once() {
    let folder = tempfile::tempdir().unwrap();
    let backend = backend(&folder);
    backend.apply(&[host(1, "10.0.0.64")]).await.unwrap();
    assert_eq!(reloads(&folder), 1, "dnsmasq tells the leases of before");
    backend.apply(&[host(1, "10.0.0.64"), host(2, "10.0.0.65")]).await.unwrap();
    assert_eq!(reloads(&folder), 1, "additions need none");
    let steps = [vec![host(1, "10.0.0.70"), host(2, "10.0.0.65")], vec![host(1, "10.0.0.71")], Vec::new()];
    let applied = futures_util::future::join_all(steps.iter().map(|hosts| backend.apply(hosts))).await;
    assert!(applied.iter().all(Result::is_ok), "{applied:?}");
    assert_eq!(reloads(&folder), 2);
    backend.apply(&[]).await.unwrap();
    assert_eq!(reloads(&folder), 2);
}

#[tokio::test]
async fn a_file_that_somebody_touched_is_mended_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (backend, path) = (backend(&folder), folder.path().join("a/dnsmasq/hosts"));
    assert_eq!(backend.tend().await.unwrap(), None, "nothing is known yet");
    backend.apply(&[host(1, "10.0.0.64")]).await.unwrap();
    assert_eq!(backend.tend().await.unwrap(), None);
    let expected = fs::read_to_string(&path).unwrap();
    let edited = "52:54:00:00:00:01,set:x,10.0.0.99\n02:00:00:00:00:09,10.0.0.9\n";
    type Spoil<'a> = (&'static str, Box<dyn Fn() + 'a>);
    let spoils: [Spoil<'_>; 4] = [
        ("was missing", Box::new(|| fs::remove_file(&path).unwrap())),
        ("(2 lines that are not mrp's, 1 of mrp's missing)", Box::new(|| fs::write(&path, edited).unwrap())),
        ("was missing", Box::new(|| fs::remove_dir_all(path.parent().unwrap()).unwrap())),
        (
            "could not be read by dnsmasq's user",
            Box::new(|| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap()),
        ),
    ];
    for (number, (what, spoil)) in spoils.iter().enumerate() {
        spoil();
        let said = backend.tend().await.unwrap().unwrap();
        assert!(said.contains(what) && said.contains("a/dnsmasq/hosts"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(reloads(&folder), 2 + number, "dnsmasq forgets what it read meanwhile");
        assert_eq!(backend.tend().await.unwrap(), None, "{what} is mended");
    }
    // Touched, but whole.
    fs::write(&path, &expected).unwrap();
    assert_eq!(backend.tend().await.unwrap(), None);
    assert_eq!(reloads(&folder), 5);
}

#[tokio::test]
async fn what_failed_is_tried_again_without_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("d");
    fs::write(&blocked, "").unwrap();
    let once = folder.path().join("once");
    let command = format!("test -e {0} || {{ touch {0}; exit 3; }}", once.display());
    let reload = ["/bin/sh", "-c", &command].map(str::to_owned).to_vec();
    let backend = DnsmasqBackend::new(blocked.join("hosts"), reload);
    backend.apply(&[host(1, "10.0.0.64")]).await.unwrap_err();
    backend.tend().await.unwrap_err();
    fs::remove_file(&blocked).unwrap();
    let error = backend.tend().await.unwrap_err().to_string();
    assert!(error.contains("was missing and was written anew") && error.contains("ended with"), "{error}");
    assert!(fs::read_to_string(blocked.join("hosts")).unwrap().contains("10.0.0.64"));
    assert_eq!(backend.tend().await.unwrap(), None, "the second reload did it");
}

#[tokio::test]
async fn a_reload_that_fails_says_what_to_do_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d/hosts");
    let once = folder.path().join("once");
    let command = format!("test -e {0} || {{ touch {0}; echo no right >&2; exit 3; }}", once.display());
    let reload = ["/bin/sh", "-c", &command].map(str::to_owned).to_vec();
    let backend = DnsmasqBackend::new(path, reload);
    let error = backend.apply(&[host(1, "10.0.0.64")]).await.unwrap_err().to_string();
    assert!(error.contains("no right") && error.contains("dhcp.dnsmasq_reload"), "{error}");
    backend.apply(&[]).await.unwrap();
    let backend = DnsmasqBackend::new(folder.path().join("d/hosts2"), vec!["/nonexistent/reload".into()]);
    let error = backend.apply(&[host(1, "10.0.0.64")]).await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/reload") && error.contains("cannot be run"), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let backend = DnsmasqBackend::new(folder.path().join("file/hosts"), Vec::new());
    let error = backend.apply(&[]).await.unwrap_err().to_string();
    assert!(error.contains("file/hosts") && error.contains("dhcp.dnsmasq_hosts"), "{error}");
}

#[test]
fn the_printed_configuration_names_loaders_hosts_and_script() {
    let config = ServerConfig {
        hosts: "/var/lib/mrp/dnsmasq/hosts".into(),
        next_server: Some("10.0.0.1".parse().unwrap()),
        http_base: Some("http://10.0.0.1:8081/boot".into()),
        script: "/usr/local/lib/mrp/dnsmasq-event".into(),
        event_command: ["/usr/bin/mrp", "dnsmasq-event", "--url", "http://it's/"].map(str::to_owned).to_vec(),
    };
    let text = config.text();
    let settings: Vec<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    for line in [
        "dhcp-match=set:mrp-arch-7,option:client-arch,7",
        "dhcp-boot=tag:mrp-arch-7,tag:!mrp-ipxe,bootx64.efi,,10.0.0.1",
        "dhcp-boot=tag:mrp-arch-0,tag:!mrp-ipxe,pxelinux.0,,10.0.0.1",
        "dhcp-boot=tag:mrp-arch-11,tag:!mrp-ipxe,bootaa64.efi,,10.0.0.1",
        "dhcp-userclass=set:mrp-ipxe,iPXE",
        "dhcp-boot=tag:mrp-ipxe,http://10.0.0.1:8081/boot/boot.ipxe,,10.0.0.1",
        "dhcp-option-force=tag:mrp-arch-16,option:vendor-class,HTTPClient",
        "dhcp-boot=tag:mrp-arch-16,tag:!mrp-ipxe,http://10.0.0.1:8081/boot/bootx64.efi,,10.0.0.1",
        "dhcp-boot=tag:mrp-arch-19,tag:!mrp-ipxe,http://10.0.0.1:8081/boot/bootaa64.efi,,10.0.0.1",
        "dhcp-hostsdir=/var/lib/mrp/dnsmasq",
        "dhcp-script=/usr/local/lib/mrp/dnsmasq-event",
        "script-on-renewal",
    ] {
        assert!(settings.contains(&line), "{line} is missing in {text}");
    }
    assert!(text.contains("# PathChanged=/var/lib/mrp/dnsmasq/hosts\n"), "{text}");
    assert_eq!(
        config.script(),
        "#!/bin/sh\nexec /usr/bin/mrp dnsmasq-event --url 'http://it'\\''s/' \"$@\"\n"
    );
    let unknown = ServerConfig { next_server: None, http_base: None, ..config }.text();
    assert!(unknown.contains("mrp-arch-9,tag:!mrp-ipxe,bootx64.efi\n"), "{unknown}");
    assert!(unknown.contains("dhcp-boot=tag:mrp-ipxe,boot.ipxe\n"), "{unknown}");
    assert!(
        !unknown.contains("dhcp-boot=tag:mrp-arch-16") && unknown.contains("with boot.next_server set"),
        "{unknown}"
    );
}

fn event(args: &str, env: &[(&str, &str)]) -> Result<Option<ScriptEvent>, ScriptError> {
    let args: Vec<String> = args.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let get = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    ScriptEvent::from_args_and_env(&args, get, 1_700_000_000_000)
}

#[test]
fn firmware_and_operating_system_are_told_apart() {
    let lease = "add 52:54:00:00:00:01 10.0.0.64 node-1";
    let firmware = event(
        lease,
        &[
            ("DNSMASQ_VENDOR_CLASS", "PXEClient:Arch:00007:UNDI:003000"),
            ("DNSMASQ_LEASE_EXPIRES", "1700003600"),
        ],
    );
    let firmware = firmware.unwrap().unwrap();
    assert_eq!((firmware.client_arch, firmware.firmware), (Some(7), Some(true)));
    assert_eq!(firmware.expires, Some(1_700_003_600));
    let text = serde_json::to_string(&firmware).unwrap();
    let expected = r#"{"action":"add","mac":"52:54:00:00:00:01","ipv4":"10.0.0.64","hostname":"node-1","client_arch":7,"firmware":true,"expires":1700003600,"at":1700000000000}"#;
    assert_eq!(text, expected);
    let http =
        event(lease, &[("DNSMASQ_VENDOR_CLASS", "HTTPClient:Arch:00016:UNDI:003001")]).unwrap().unwrap();
    assert_eq!((http.client_arch, http.firmware), (Some(16), Some(true)));
    let system =
        event(lease, &[("DNSMASQ_VENDOR_CLASS", "udhcp 1.35.0"), ("DNSMASQ_SUPPLIED_HOSTNAME", "own")]);
    let system = system.unwrap().unwrap();
    assert_eq!(
        (system.client_arch, system.firmware, system.hostname.as_deref()),
        (None, Some(false), Some("own"))
    );
    assert_eq!(event(lease, &[]).unwrap().unwrap().firmware, Some(false));
    let old = event("old 52:54:00:00:00:01 10.0.0.64", &[("DNSMASQ_DATA_MISSING", "1")]).unwrap().unwrap();
    assert_eq!((old.action, old.firmware, old.hostname), (Action::Old, None, None));
    let del = event("del 52:54:00:00:00:01 10.0.0.64 node-1", &[]).unwrap().unwrap();
    assert_eq!((del.action, del.firmware), (Action::Del, None));
}

#[test]
fn other_calls_of_the_script_are_no_lease_of_ours() {
    for args in
        ["init", "tftp 1024 10.0.0.64 /srv/file", "arp-add 52:54:00:00:00:01 10.0.0.64", "relay-snoop a b c"]
    {
        assert_eq!(event(args, &[]), Ok(None), "{args}");
    }
    assert_eq!(event("add 00:01:00:01:2c fd00::5 n", &[("DNSMASQ_IAID", "1")]), Ok(None));
    assert_eq!(event("", &[]), Err(ScriptError::Missing));
    assert_eq!(event("add 52:54:00:00:00:01", &[]), Err(ScriptError::Missing));
    assert_eq!(event("add 20-80:00:02:08 10.0.0.1", &[]), Err(ScriptError::Mac("20-80:00:02:08".into())));
    assert_eq!(event("add 52:54:00:00:00:01 here", &[]), Err(ScriptError::Address("here".into())));
}

#[test]
fn reports_are_spooled_in_order_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(folder.path().join("spool")).with_max(3);
    assert_eq!(spool.reports().unwrap().len(), 0);
    for last in 1..=5 {
        let report = event(&format!("add 52:54:00:00:00:0{last} 10.0.0.{last}"), &[]).unwrap().unwrap();
        spool.append(&report).unwrap();
    }
    fs::write(folder.path().join("spool/00000000000000000000.json"), "no report").unwrap();
    let last = |event: &ScriptEvent| event.ipv4.octets()[3];
    let kept: Vec<u8> = spool.reports().unwrap().iter().map(|report| last(&report.event)).collect();
    assert_eq!(kept, [3, 4, 5]);
    let mut seen = Vec::new();
    let interrupted = spool.drain(|event| {
        seen.push(last(event));
        if seen.len() == 2 { Err(std::io::Error::other("away")) } else { Ok(()) }
    });
    assert!(interrupted.is_err());
    let drained = spool.drain(|event| {
        seen.push(last(event));
        Ok::<_, std::io::Error>(())
    });
    assert_eq!(drained.unwrap(), 2);
    assert_eq!(seen, [3, 4, 4, 5]);
    assert_eq!(spool.reports().unwrap().len(), 0);
}
