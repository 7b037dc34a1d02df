//! Which boot file a client's firmware is given by DHCP: the one table that every DHCP backend follows. Pure.
//!
//! The boot file depends on what the client says of its firmware alone. Which loader a machine gets under that name, and
//! whether it netboots at all, is decided when the file is asked for (`service/boot.rs`).

/// What option 60 must say back to UEFI HTTP boot (UEFI 2.10, 24.7.3.1); the client's own begins with it.
pub const HTTP_CLIENT: &str = "HTTPClient";

/// What iPXE says of itself in option 77.
pub const IPXE_USER_CLASS: &str = "iPXE";

/// The script that every iPXE is given, from a network card's ROM or loaded by other firmware.
pub const IPXE_SCRIPT: &str = "boot.ipxe";

/// Firmware that netboots, by the client architecture that it says in option 93 (RFC 4578, 2.1; RFC 5970, 3.3; IANA
/// "Processor Architecture Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firmware {
    /// Client architecture.
    pub architecture: u16,
    /// The name under which it asks for its boot loader; a machine gets its subarch's loader under it.
    pub loader: &'static str,
    /// It loads by HTTP and wants a URL; otherwise by TFTP.
    pub http: bool,
}

/// All firmware that is known.
pub const FIRMWARE: [Firmware; 6] = [
    Firmware { architecture: 0, loader: "pxelinux.0", http: false },
    Firmware { architecture: 7, loader: "bootx64.efi", http: false },
    Firmware { architecture: 9, loader: "bootx64.efi", http: false },
    Firmware { architecture: 11, loader: "bootaa64.efi", http: false },
    Firmware { architecture: 16, loader: "bootx64.efi", http: true },
    Firmware { architecture: 19, loader: "bootaa64.efi", http: true },
];

/// What a client architecture is called (option 93; RFC 4578, 2.1, and IANA's registry of processor architectures).
pub fn client_arch_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0 => "x86 BIOS",
        6 => "x86 UEFI",
        7 | 9 => "x86-64 UEFI",
        10 => "arm UEFI",
        11 => "arm64 UEFI",
        15 => "x86 UEFI HTTP",
        16 => "x86-64 UEFI HTTP",
        18 => "arm UEFI HTTP",
        19 => "arm64 UEFI HTTP",
        20 => "x86 BIOS HTTP",
        25 => "riscv32 UEFI",
        26 => "riscv32 UEFI HTTP",
        27 => "riscv64 UEFI",
        28 => "riscv64 UEFI HTTP",
        37 => "loongarch32 UEFI",
        38 => "loongarch32 UEFI HTTP",
        39 => "loongarch64 UEFI",
        40 => "loongarch64 UEFI HTTP",
        _ => return None,
    })
}

/// What a DHCP query says of the client's firmware.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientFirmware<'a> {
    /// Option 93; its first value where there are several.
    pub architecture: Option<u16>,
    /// Option 60; empty where there is none.
    pub vendor_class: &'a [u8],
    /// Option 77 as it came: iPXE sends the bare word, others put a length before each class (RFC 3004).
    pub user_class: &'a [u8],
}

/// What a DHCP answer says of booting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// Option 67 and the field `file`: a name for TFTP, or a URL.
    pub file: String,
    /// Option 60 must say [`HTTP_CLIENT`], or the firmware passes over the answer.
    pub http_client: bool,
}

impl ClientFirmware<'_> {
    /// The boot file of this client; `None` for one that does not netboot, or whose firmware is not known.
    ///
    /// `http_base` is the base URL of boot files, `http://10.0.0.1:8081/boot`.
    pub fn boot_file(&self, http_base: &str) -> Option<BootFile> {
        let url = |name: &str| format!("{}/{name}", http_base.trim_end_matches('/'));
        if self.is_ipxe() {
            return Some(BootFile { file: url(IPXE_SCRIPT), http_client: false });
        }
        let by_http = self.vendor_class.starts_with(HTTP_CLIENT.as_bytes());
        let known = FIRMWARE.iter().find(|known| Some(known.architecture) == self.architecture)?;
        // Some firmware says the architecture of its TFTP boot for both ways; its vendor class tells them apart.
        let http_client = known.http || by_http;
        let file = if http_client { url(known.loader) } else { known.loader.to_owned() };
        Some(BootFile { file, http_client })
    }

    /// Whether it is iPXE that asks, which takes a script.
    pub fn is_ipxe(&self) -> bool {
        let word = IPXE_USER_CLASS.as_bytes();
        if self.user_class == word {
            return true;
        }
        let mut rest = self.user_class;
        while let Some((length, after)) = rest.split_first() {
            let Some((class, after)) = after.split_at_checked(usize::from(*length)) else { return false };
            if class == word {
                return true;
            }
            rest = after;
        }
        false
    }
}

/// True for a name under which firmware asks for its loader: a machine gets its subarch's loader under it.
pub fn is_loader_name(file_name: &str) -> bool {
    FIRMWARE.iter().any(|firmware| firmware.loader == file_name)
}

/// True for a boot loader that is iPXE itself, by its file name (`ipxe.efi`, `snponly.efi`, `undionly.kpxe`, …): it is
/// given a script that boots. Any other loader of a subarch is what an iPXE in a network card's ROM is told to load.
pub fn is_ipxe_name(file_name: &str) -> bool {
    let name = file_name.to_ascii_lowercase();
    ["ipxe", "snponly", "undionly"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(architecture: Option<u16>, vendor_class: &str, user_class: &[u8]) -> Option<(String, bool)> {
        let client = ClientFirmware { architecture, vendor_class: vendor_class.as_bytes(), user_class };
        client.boot_file("http://10.0.0.1:8081/boot/").map(|told| (told.file, told.http_client))
    }

    #[test]
    fn firmware_is_given_its_loader_and_ipxe_its_script() {
        let http = |name: &str, http_client| Some((format!("http://10.0.0.1:8081/boot/{name}"), http_client));
        let tftp = |name: &str| Some((name.to_owned(), false));
        let pxe = "PXEClient:Arch:00000:UNDI:002001";
        let classes: [&[u8]; 4] = [b"iPXE", b"\x04iPXE", b"\x02ab\x04iPXE", b"\x04iPXE\x02ab"];
        for (architecture, vendor_class, user_class, expected) in [
            (Some(0), pxe, &b""[..], tftp("pxelinux.0")),
            (Some(7), pxe, b"", tftp("bootx64.efi")),
            (Some(9), pxe, b"", tftp("bootx64.efi")),
            (Some(11), pxe, b"", tftp("bootaa64.efi")),
            (Some(16), "HTTPClient:Arch:00016:UNDI:003001", b"", http("bootx64.efi", true)),
            (Some(19), "HTTPClient:Arch:00019:UNDI:003001", b"", http("bootaa64.efi", true)),
            (Some(7), "HTTPClient:Arch:00007", b"", http("bootx64.efi", true)),
            (Some(2), pxe, b"", None),
            (None, "", b"", None),
            (None, "udhcp 1.35.0", b"\x01x", None),
            (Some(0), pxe, b"iPX", tftp("pxelinux.0")),
            (Some(0), pxe, b"\xffiPXE", tftp("pxelinux.0")),
            (Some(0), pxe, b"\x05iPXEs", tftp("pxelinux.0")),
        ] {
            assert_eq!(
                told(architecture, vendor_class, user_class),
                expected,
                "{architecture:?} {vendor_class}"
            );
        }
        for user_class in classes {
            for architecture in [Some(0), Some(7), Some(11), Some(16), None] {
                assert_eq!(told(architecture, pxe, user_class), http("boot.ipxe", false), "{user_class:?}");
            }
        }
    }

    #[test]
    fn ipxe_is_known_by_its_file_name() {
        for name in ["ipxe.efi", "snponly.efi", "undionly.kpxe", "ipxe-arm64.efi", "my-iPXE.efi"] {
            assert!(is_ipxe_name(name), "{name}");
        }
        for name in ["bootx64.efi", "pxelinux.0", "lpxelinux.0", "grubaa64.efi", "shimx64.efi"] {
            assert!(!is_ipxe_name(name), "{name}");
        }
    }
}
