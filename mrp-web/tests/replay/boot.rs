//! What a boot configuration does: mr-provisioner's and mrp's are written differently and do the same.

use std::collections::BTreeMap;

/// What is booted, with which arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Boot {
    kernel: String,
    initrd: Option<String>,
    arguments: Vec<String>,
}

/// A configuration of GRUB or PXELINUX that boots a kernel, or the local disk (then the kernel is empty).
pub(super) fn parse(text: &str) -> Option<Boot> {
    if is_local(text) {
        return Some(Boot { kernel: String::new(), initrd: None, arguments: Vec::new() });
    }
    // The `linux` of GRUB, the `kernel` or `LINUX` of PXELINUX, where `linux` is a label too.
    let lines: Vec<Vec<String>> = text
        .lines()
        .map(|line| line.split_whitespace().map(|word| word.replace('\'', "")).collect())
        .filter(|words: &Vec<String>| words.len() > 1)
        .collect();
    let line = |names: &[&str]| {
        lines.iter().find(|words| names.contains(&words[0].as_str())).map(|words| words[1..].to_vec())
    };
    let path = |path: &str| {
        path.trim_start_matches("(tftp)").trim_start_matches("(http)").trim_start_matches('/').to_owned()
    };
    let kernel = line(&["linux", "kernel", "LINUX"])?;
    let mut arguments = kernel[1..].to_vec();
    arguments.extend(line(&["append", "APPEND"]).unwrap_or_default());
    let mut initrd = line(&["initrd"]).map(|words| path(&words[0]));
    arguments.retain(|argument| match argument.strip_prefix("initrd=") {
        Some(file) => {
            initrd = Some(path(file));
            false
        }
        None => true,
    });
    // What PXELINUX's `ipappend 2` appends.
    if lines.iter().any(|words| words[0] == "ipappend") {
        arguments.insert(0, "BOOTIF=01-$net_default_mac_dash".into());
    }
    Some(Boot { kernel: path(&kernel[0]), initrd, arguments })
}

/// True for a configuration that boots the local disk: by `LOCALBOOT`, by EFI's next entry, or by its boot loader.
pub(super) fn is_local(text: &str) -> bool {
    ["LOCALBOOT", "efiquit", "chainloader"].iter().any(|word| text.contains(word))
        && !text.lines().any(|line| line.trim_start().starts_with("linux "))
}

/// The client's MAC address in place of GRUB's variable, and no word of where the answer file lies.
pub(super) fn normal(mut boot: Boot, headers: &BTreeMap<String, String>) -> Boot {
    let asked = headers.get("X-TFTP-File").map_or("", String::as_str);
    let mac = asked.rsplit_once("01-").map_or("", |(_, mac)| mac);
    for argument in &mut boot.arguments {
        *argument = argument.replace("$net_default_mac_dash", mac);
        for key in ["url=", "ks=", "autoyast="] {
            if argument.starts_with(key) {
                *argument = format!("{key}<the answer file>");
            }
        }
    }
    boot
}
