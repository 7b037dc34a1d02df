//! Who has a port: for errors that say what to stop.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What to say of a port that cannot be had, naming the key that sets it; `None` where the reason is another one.
pub fn taken(key: &str, protocol: Protocol, address: SocketAddr, kind: ErrorKind) -> Option<anyhow::Error> {
    let variable = format!("MRP_{}", key.replace('.', "__").to_uppercase());
    let message = match kind {
        ErrorKind::AddrInUse => {
            let who = holder(protocol, address.port()).unwrap_or_else(|| "another program".into());
            format!(
                "{key} {address}: the port is taken by {who}; stop it, or set {key} ({variable}) to another port"
            )
        }
        ErrorKind::PermissionDenied => {
            format!(
                "{key} {address}: ports below 1024 need a privilege; set {key} ({variable}) to a port above"
            )
        }
        ErrorKind::AddrNotAvailable => {
            format!(
                "{key} {address}: this machine does not have that address; set {key} ({variable}) to one that it has"
            )
        }
        _ => return None,
    };
    Some(anyhow::Error::new(std::io::Error::from(kind)).context(message))
}

/// The program that has a port, as far as this user may see it: `dnsmasq (pid 812)`.
pub fn holder(protocol: Protocol, port: u16) -> Option<String> {
    let tables = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let texts = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    let sockets: HashSet<String> = texts.flat_map(|text| inodes(&text, protocol, port)).collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        if pid.parse::<u32>().is_err() {
            continue;
        }
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        let mut names = links.filter_map(|link| link.to_str().map(str::to_owned));
        if names.any(|name| {
            name.strip_prefix("socket:[").is_some_and(|inode| sockets.contains(inode.trim_end_matches(']')))
        }) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// Inodes of the sockets in a table of `proc(5)` that are bound to a port.
fn inodes(table: &str, protocol: Protocol, port: u16) -> Vec<String> {
    let wanted = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let found = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        // 0A: listening. UDP sockets have no such state.
        let fits = found == port && (protocol == Protocol::Udp || *state == "0A");
        fits.then(|| (*inode).to_owned())
    };
    table.lines().skip(1).filter_map(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder_and_its_key() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = taken("web.listen", Protocol::Tcp, address, ErrorKind::AddrInUse).unwrap().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        assert!(error.contains("MRP_WEB__LISTEN"), "{error}");
        assert!(taken("web.listen", Protocol::Tcp, address, ErrorKind::Other).is_none());
    }
}
