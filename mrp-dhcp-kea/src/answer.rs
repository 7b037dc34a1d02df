//! What a client that netboots is told. Pure: no I/O, no clock, no log.

use std::net::Ipv4Addr;

use mrp_core::firmware::{ClientFirmware, FIRMWARE};
use mrp_core::mac::MacAddr;

use crate::table::{Client, Table};

/// What is looked at of a DHCP query and of the answer that Kea made.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The client (`chaddr`).
    pub mac: MacAddr,
    /// What it says of its firmware.
    pub firmware: ClientFirmware<'a>,
    /// The DHCP server's own address, as Kea's answer has it (option 54).
    pub server: Option<Ipv4Addr>,
}

/// What is put into Kea's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `siaddr`, and option 66 for loaders by TFTP.
    pub next_server: Ipv4Addr,
    /// `file` and option 67.
    pub file: String,
    /// Option 60 says `HTTPClient`.
    pub http_client: bool,
    /// What was changed and why, for the log.
    pub why: String,
}

/// Longest boot file: an option has 255 bytes.
const LONGEST: usize = 255;

/// What a client is told beyond what Kea says by itself. `None` leaves the answer alone: for whoever is no machine's, has no
/// boot loader, is an operating system, or has firmware that nothing is known for.
///
/// Machines that do not netboot are told their boot loader too, and by mrp to boot their disk: firmware that asks and is
/// told no boot file waits for minutes (OVMF: "No valid offer received") before it goes on to the disk.
pub fn answer(table: &Table, query: &Query<'_>) -> Option<Answer> {
    let client = table.by_mac(query.mac).filter(|client| client.boot_loader.is_some())?;
    let next_server = table.head().next_server.or(query.server)?;
    let base = match client.server_url {
        Some(url) => format!("{}/boot", url.trim_end_matches('/')),
        None => format!("http://{next_server}:{}/boot", table.head().http_port),
    };
    let (file, http_client) = boot_file(&client, &query.firmware, &base)?;
    if file.len() > LONGEST {
        return None;
    }
    let kind = match query.firmware.architecture {
        _ if query.firmware.is_ipxe() => "it is iPXE".to_owned(),
        Some(architecture) => format!("its firmware is of architecture {architecture}"),
        None => "its firmware names no architecture".to_owned(),
    };
    let http = if http_client { ", option 60 HTTPClient" } else { "" };
    let Client { mac, hostname, netboot, .. } = client;
    let does = if netboot { "netboots" } else { "is to boot its disk" };
    let why = format!(
        "{mac}: next server {next_server}, boot file {file}{http}: machine {hostname:?} {does}, {kind}"
    );
    Some(Answer { next_server, file, http_client, why })
}

/// The boot file by the client's architecture; for one that has no name of its own, what the machine's subarchitecture
/// has.
fn boot_file(client: &Client<'_>, firmware: &ClientFirmware<'_>, base: &str) -> Option<(String, bool)> {
    if let Some(told) = firmware.boot_file(base) {
        return Some((told.file, told.http_client));
    }
    let unnamed = |architecture| FIRMWARE.iter().all(|known| known.architecture != architecture);
    firmware.architecture.filter(|architecture| unnamed(*architecture))?;
    client.boot_loader.map(|loader| (loader.to_owned(), false))
}

/// True for firmware and boot loaders; operating systems say nothing of that kind.
pub fn is_firmware(client: &ClientFirmware<'_>) -> bool {
    let classes: [&[u8]; 2] = [b"PXEClient", b"HTTPClient"];
    client.architecture.is_some()
        || client.is_ipxe()
        || classes.iter().any(|class| client.vendor_class.starts_with(class))
}

/// The client's architecture in option 93 (RFC 4578, 2.1): the first where there are several.
pub fn architecture(option: &[u8]) -> Option<u16> {
    option.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use mrp_core::api::kea::{TableClient, TableHead};

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn table(next_server: Option<&str>, change: impl FnOnce(&mut TableClient)) -> Table {
        let mut client = TableClient {
            mac: MAC,
            ipv4: None,
            hostname: "node-1".into(),
            netboot: true,
            boot_loader: Some("admin/sparc.1".into()),
            server_url: None,
        };
        change(&mut client);
        let next_server = next_server.map(|address| address.parse().unwrap());
        Table::new(TableHead { next_server, http_port: 8081 }, [client])
    }

    fn ask(table: &Table, architecture: Option<u16>, vendor_class: &str, user_class: &str) -> Option<Answer> {
        let (vendor_class, user_class) = (vendor_class.as_bytes(), user_class.as_bytes());
        let firmware = ClientFirmware { architecture, vendor_class, user_class };
        answer(table, &Query { mac: MAC, firmware, server: Some(Ipv4Addr::new(10, 0, 0, 2)) })
    }

    fn told(answer: Option<Answer>) -> Option<(String, String, bool)> {
        answer.map(|answer| (answer.next_server.to_string(), answer.file, answer.http_client))
    }

    #[test]
    fn firmware_of_a_machine_that_netboots_is_told_its_boot_file() {
        let table = table(Some("10.0.0.1"), |_| ());
        let tftp = |file: &str| Some(("10.0.0.1".to_owned(), file.to_owned(), false));
        let url = |file: &str, client| {
            Some(("10.0.0.1".into(), format!("http://10.0.0.1:8081/boot/{file}"), client))
        };
        for (architecture, vendor_class, user_class, expected) in [
            (Some(0), "PXEClient:Arch:00000", "", tftp("pxelinux.0")),
            (Some(7), "PXEClient:Arch:00007", "", tftp("bootx64.efi")),
            (Some(11), "PXEClient:Arch:00011", "", tftp("bootaa64.efi")),
            (Some(16), "HTTPClient:Arch:00016", "", url("bootx64.efi", true)),
            (Some(0), "PXEClient", "iPXE", url("boot.ipxe", false)),
            (Some(0x1234), "PXEClient", "", tftp("admin/sparc.1")),
            (None, "udhcp 1.35", "", None),
            (None, "", "", None),
        ] {
            assert_eq!(
                told(ask(&table, architecture, vendor_class, user_class)),
                expected,
                "{architecture:?}"
            );
        }
    }

    #[test]
    fn others_are_left_alone() {
        let none = table(Some("10.0.0.1"), |client| client.boot_loader = None);
        assert_eq!(ask(&none, Some(7), "PXEClient", ""), None);
        let other = table(Some("10.0.0.1"), |client| client.mac = MacAddr([2, 0, 0, 0, 0, 9]));
        assert_eq!(ask(&other, Some(7), "PXEClient", ""), None);
        assert_eq!(ask(&Table::default(), Some(7), "PXEClient", ""), None);
        let endless =
            table(Some("10.0.0.1"), |client| client.server_url = Some(format!("http://{:0>250}", 1)));
        assert_eq!(ask(&endless, Some(16), "HTTPClient", ""), None);
    }

    #[test]
    fn who_is_to_boot_its_disk_is_told_so_by_mrp() {
        let off =
            ask(&table(Some("10.0.0.1"), |client| client.netboot = false), Some(7), "PXEClient", "").unwrap();
        assert_eq!(off.file, "bootx64.efi");
        assert!(off.why.contains("\"node-1\" is to boot its disk"), "{}", off.why);
    }

    #[test]
    fn the_next_server_is_the_sites_or_kea_itself() {
        let here = table(None, |_| ());
        assert_eq!(told(ask(&here, Some(7), "", "")), Some(("10.0.0.2".into(), "bootx64.efi".into(), false)));
        let answer = ask(&here, Some(16), "HTTPClient", "").unwrap();
        assert_eq!(answer.file, "http://10.0.0.2:8081/boot/bootx64.efi");
        let far = table(None, |client| client.server_url = Some("https://boot.example.org/".into()));
        assert_eq!(ask(&far, Some(16), "", "").unwrap().file, "https://boot.example.org/boot/bootx64.efi");
    }

    #[test]
    fn the_log_says_what_and_why() {
        let why = ask(&table(Some("10.0.0.1"), |_| ()), Some(7), "PXEClient", "").unwrap().why;
        let expected = "02:00:00:00:00:01: next server 10.0.0.1, boot file bootx64.efi: machine \"node-1\" netboots, \
                        its firmware is of architecture 7";
        assert_eq!(why, expected);
    }

    #[test]
    fn firmware_is_told_from_operating_systems() {
        let client = |architecture, vendor_class, user_class| {
            is_firmware(&ClientFirmware { architecture, vendor_class, user_class })
        };
        assert!(
            client(Some(0), b"", b"") && client(None, b"PXEClient:Arch", b"") && client(None, b"", b"iPXE")
        );
        assert!(!client(None, b"udhcp", b"") && !client(None, b"", b"\xff\xff"));
        assert_eq!(architecture(&[0, 7, 0, 9]), Some(7));
        assert_eq!((architecture(&[7]), architecture(&[])), (None, None));
    }
}
