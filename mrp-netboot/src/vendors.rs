//! Who made a network card: IEEE's list of organizationally unique identifiers, where a package of the system has it.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use mrp_core::mac::{MacAddr, Vendors};

/// Where distributions put the list: Debian's package `ieee-data`, Fedora's `hwdata`.
pub const LISTS: [&str; 3] =
    ["/usr/share/ieee-data/oui.txt", "/var/lib/ieee-data/oui.txt", "/usr/share/hwdata/oui.txt"];

/// QEMU's own prefix. It is a locally administered one, so that IEEE does not list it.
const QEMU: [u8; 3] = [0x52, 0x54, 0x00];

/// IEEE's list, read when it is first needed.
#[derive(Debug)]
pub struct IeeeVendors {
    lists: Vec<PathBuf>,
    names: OnceLock<HashMap<[u8; 3], Box<str>>>,
}

impl Default for IeeeVendors {
    fn default() -> Self {
        Self::in_files(LISTS.iter().map(PathBuf::from).collect())
    }
}

impl IeeeVendors {
    /// Reads the first of these files that is there.
    pub fn in_files(lists: Vec<PathBuf>) -> Self {
        Self { lists, names: OnceLock::new() }
    }

    /// The file that is read; `None` where no package has it.
    pub fn list(&self) -> Option<&PathBuf> {
        self.lists.iter().find(|path| path.is_file())
    }

    fn names(&self) -> &HashMap<[u8; 3], Box<str>> {
        self.names.get_or_init(|| {
            let read = self.list().map(fs::read).transpose().unwrap_or_else(|error| {
                tracing::warn!(%error, "the list of network cards' makers cannot be read");
                None
            });
            parse(&String::from_utf8_lossy(&read.unwrap_or_default()))
        })
    }
}

impl Vendors for IeeeVendors {
    fn vendor(&self, mac: MacAddr) -> Option<String> {
        let [a, b, c, ..] = mac.0;
        if [a, b, c] == QEMU {
            return Some("QEMU".into());
        }
        self.names().get(&[a, b, c]).map(|name| name.to_string())
    }
}

/// Reads the lines `28-6F-B9   (hex)  Nokia Shanghai Bell Co., Ltd.`.
fn parse(list: &str) -> HashMap<[u8; 3], Box<str>> {
    let entry = |line: &str| {
        let (prefix, name) = line.split_once("(hex)")?;
        let mut bytes = prefix.trim().split('-').map(|byte| u8::from_str_radix(byte, 16));
        let prefix = [bytes.next()?.ok()?, bytes.next()?.ok()?, bytes.next()?.ok()?];
        Some((prefix, name.trim().into()))
    };
    list.lines().filter_map(entry).filter(|(_, name): &([u8; 3], Box<str>)| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a failure is a panic")]

    use super::*;

    #[test]
    fn makers_are_found_in_the_list_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oui.txt");
        let list = "OUI/MA-L                                                    Organization\r\n\r\n\
                    28-6F-B9   (hex)\t\tNokia Shanghai Bell Co., Ltd.\r\n\
                    286FB9     (base 16)\t\tNokia Shanghai Bell Co., Ltd.\r\n\
                    00-25-90   (hex)\t\tSuper Micro Computer, Inc.\r\n00-00   (hex)\t\tshort\r\nzz-00-11   (hex)\t\tno\r\n";
        fs::write(&path, list).unwrap();
        let vendors = IeeeVendors::in_files(vec![folder.path().join("missing"), path]);
        let vendor = |mac: &str| vendors.vendor(mac.parse().unwrap());
        assert_eq!(vendor("28:6f:b9:00:00:01").as_deref(), Some("Nokia Shanghai Bell Co., Ltd."));
        assert_eq!(vendor("00:25:90:00:00:01").as_deref(), Some("Super Micro Computer, Inc."));
        assert_eq!(vendor("52:54:00:00:00:01").as_deref(), Some("QEMU"));
        assert_eq!((vendor("00:00:00:00:00:01"), vendors.names().len()), (None, 2));
        let none = IeeeVendors::in_files(vec![folder.path().join("missing")]);
        assert_eq!((none.list(), none.vendor(MacAddr([0; 6]))), (None, None));
    }
}
