//! What a client that netboots gets: the paths it may ask for and the plan it is told. Pure.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer_file::AnswerFileKind;
use crate::firmware::IPXE_SCRIPT;
use crate::mac::MacAddr;

/// The language of a boot loader's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// GRUB 2.
    Grub,
    /// PXELINUX.
    Pxelinux,
    /// iPXE.
    Ipxe,
}

/// Transport of a request for a boot file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// RFC 1350, also where another TFTP server asks for the client by mr-provisioner's `/tftp/`.
    Tftp,
    /// HTTP, by `/boot/…`.
    Http,
}

impl Transport {
    /// The name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Tftp => "TFTP",
            Transport::Http => "HTTP",
        }
    }
}

/// What a requested path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootPath {
    /// A configuration; the MAC is the one in the path.
    Config {
        /// For which loader.
        dialect: Dialect,
        /// The machine that the path names.
        mac: Option<MacAddr>,
    },
    /// A file by its name.
    File(String),
    /// A path that never is a file here.
    Nothing,
}

/// Understands a path as boot loaders ask for it.
///
/// GRUB: `…/01-<mac>` after a slash as mr-provisioner's loader asks, `…grub.cfg-01-<mac>` as stock GRUB asks, `…/grub.cfg`.
/// PXELINUX: `pxelinux.cfg/01-<mac>` and `pxelinux.cfg/default`. iPXE: `…/<mac>.ipxe`, `boot.ipxe`.
/// What DHCP names first is in [`firmware`](crate::firmware).
pub fn parse_path(path: &str) -> BootPath {
    let path = path.trim_start_matches('/');
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty() && *s != ".").collect();
    if path.contains('\0') || path.contains('\\') || segments.contains(&"..") {
        return BootPath::Nothing;
    }
    let Some((name, folders)) = segments.split_last() else { return BootPath::Nothing };
    let mac = |text: &str| text.to_ascii_lowercase().strip_prefix("01-").and_then(|mac| mac.parse().ok());
    if folders.last() == Some(&"pxelinux.cfg") {
        return match mac(name) {
            Some(mac) => BootPath::Config { dialect: Dialect::Pxelinux, mac: Some(mac) },
            None if *name == "default" => BootPath::Config { dialect: Dialect::Pxelinux, mac: None },
            None => BootPath::Nothing,
        };
    }
    if let Some(mac) = name.strip_prefix("grub.cfg-").and_then(mac).or_else(|| mac(name)) {
        return BootPath::Config { dialect: Dialect::Grub, mac: Some(mac) };
    }
    if name.starts_with("grub.cfg-") {
        return BootPath::Nothing; // stock GRUB's search by shortening hexadecimal address
    }
    match *name {
        "grub.cfg" | "efidefault" => return BootPath::Config { dialect: Dialect::Grub, mac: None },
        IPXE_SCRIPT => return BootPath::Config { dialect: Dialect::Ipxe, mac: None },
        _ => {}
    }
    if let Some(mac) = name.strip_suffix(".ipxe").and_then(|name| name.parse().ok()) {
        return BootPath::Config { dialect: Dialect::Ipxe, mac: Some(mac) };
    }
    BootPath::File(segments.join("/"))
}

/// What a boot loader is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootPlan {
    /// Boot the local disk, and why, in words for the console.
    Local {
        /// For the console and the log.
        reason: String,
    },
    /// Boot a kernel.
    Linux(Linux),
    /// Load the machine's own boot loader, which asks again: what an iPXE in a network card's ROM is told.
    Chain {
        /// Path of the loader below the root of TFTP.
        loader: String,
    },
}

/// A kernel to boot and its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linux {
    /// Machine's name, for the console.
    pub machine: String,
    /// Path of the kernel below the root of TFTP or `/boot/`.
    pub kernel: String,
    /// Path of the initrd.
    pub initrd: Option<String>,
    /// The machine's MAC address, for `BOOTIF`.
    pub mac: Option<MacAddr>,
    /// The whole rest of the command line, unquoted; spaces separate arguments.
    pub arguments: String,
    /// Base URL of the machine's HTTP, for loaders that can.
    pub http_base: String,
    /// How the loader asked, and so can load.
    pub transport: Transport,
}

/// The kernel options that point an installer to its answer file.
///
/// `dns` is an address of a name server, where the site configured one.
pub fn answer_file_options(kind: AnswerFileKind, url: &str, dns: Option<IpAddr>) -> String {
    let (options, dns_option) = match kind {
        AnswerFileKind::Preseed => {
            (format!("auto=true priority=critical url={url} interface=auto"), "netcfg/get_nameservers=")
        }
        AnswerFileKind::Kickstart => {
            let dns = dns.map(|dns| format!(" nameserver={dns} dns={dns}")).unwrap_or_default();
            return format!("inst.ks={url} inst.ks.sendmac ks={url} kssendmac{dns}");
        }
        AnswerFileKind::Autoyast => (format!("autoyast={url}"), "nameserver="),
        AnswerFileKind::Autoinstall => return format!("autoinstall ds=nocloud-net;s={url}/"),
        AnswerFileKind::Agama => return format!("inst.auto={url}"),
    };
    match dns {
        Some(dns) => format!("{options} {dns_option}{dns}"),
        None => options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dialect: Dialect, mac: Option<&str>) -> BootPath {
        BootPath::Config { dialect, mac: mac.map(|mac| mac.parse().unwrap()) }
    }

    #[test]
    fn paths_of_boot_loaders_are_understood() {
        let mac = Some("52:54:00:00:00:01");
        for (path, expected) in [
            ("grub/01-52-54-00-00-00-01", config(Dialect::Grub, mac)),
            ("/boot/01-52-54-00-00-00-01", config(Dialect::Grub, mac)),
            ("01-52-54-00-00-00-01", config(Dialect::Grub, mac)),
            ("grub/grub.cfg-01-52-54-00-00-00-01", config(Dialect::Grub, mac)),
            ("grub/grub.cfg", config(Dialect::Grub, None)),
            ("grub/grub.cfg-0A4D0064", BootPath::Nothing),
            ("pxelinux.cfg/01-52-54-00-00-00-01", config(Dialect::Pxelinux, mac)),
            ("alice/pxelinux.cfg/default", config(Dialect::Pxelinux, None)),
            ("pxelinux.cfg/default", config(Dialect::Pxelinux, None)),
            ("pxelinux.cfg/0A4D0064", BootPath::Nothing),
            ("ipxe/52-54-00-00-00-01.ipxe", config(Dialect::Ipxe, mac)),
            ("alice/linux.11223344", BootPath::File("alice/linux.11223344".into())),
            ("//alice//linux", BootPath::File("alice/linux".into())),
            ("../etc/passwd", BootPath::Nothing),
            ("alice/../../etc/passwd", BootPath::Nothing),
            ("a\0b", BootPath::Nothing),
            ("", BootPath::Nothing),
            ("/", BootPath::Nothing),
        ] {
            assert_eq!(parse_path(path), expected, "{path:?}");
        }
    }

    #[test]
    fn installers_are_pointed_to_their_answer_file() {
        let dns = Some("10.0.0.53".parse().unwrap());
        let options = |kind| answer_file_options(kind, "http://h/p", dns);
        assert_eq!(
            options(AnswerFileKind::Preseed),
            "auto=true priority=critical url=http://h/p interface=auto netcfg/get_nameservers=10.0.0.53"
        );
        assert_eq!(
            options(AnswerFileKind::Kickstart),
            "inst.ks=http://h/p inst.ks.sendmac ks=http://h/p kssendmac nameserver=10.0.0.53 dns=10.0.0.53"
        );
        assert_eq!(options(AnswerFileKind::Autoyast), "autoyast=http://h/p nameserver=10.0.0.53");
        assert_eq!(options(AnswerFileKind::Autoinstall), "autoinstall ds=nocloud-net;s=http://h/p/");
        assert_eq!(options(AnswerFileKind::Agama), "inst.auto=http://h/p");
    }
}
