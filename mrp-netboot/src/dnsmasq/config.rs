//! The text of `mrp dnsmasq config`.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use mrp_core::firmware::{FIRMWARE, HTTP_CLIENT, IPXE_SCRIPT, IPXE_USER_CLASS};

/// What `mrp dnsmasq config` prints: a piece of configuration for the site's dnsmasq, and what belongs beside it.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    /// The host file that [`DnsmasqBackend`](super::DnsmasqBackend) writes.
    pub hosts: PathBuf,
    /// The TFTP server; `None` where mrp runs on dnsmasq's own machine.
    pub next_server: Option<IpAddr>,
    /// Base URL of boot files by HTTP; `None` where the address is not known at which machines reach mrp.
    pub http_base: Option<String>,
    /// Where the small script is to be put that dnsmasq runs for each lease.
    pub script: PathBuf,
    /// What that script runs: `mrp dnsmasq-event` with its options. dnsmasq's arguments are added.
    pub event_command: Vec<String>,
}

impl ServerConfig {
    /// The configuration for dnsmasq, with the script and the systemd units as comments.
    pub fn text(&self) -> String {
        let hosts = self.hosts.parent().unwrap_or(&self.hosts).display();
        let mut text = self.loaders();
        let _ = write!(
            text,
            "\n# Addresses of machines: mrp writes the file {}. The folder must exist before dnsmasq starts, and\n\
             # dnsmasq's user must be allowed to read it and to enter every folder above it (if not, set dhcp.dnsmasq_hosts).\n\
             dhcp-hostsdir={hosts}\n",
            self.hosts.display()
        );
        let _ = write!(
            text,
            "\n# Leases are reported to mrp by this script, new ones and renewed ones. With leasefile-ro, which makes a script\n\
             # keep the leases themselves, this script cannot be used.\n\
             dhcp-script={}\n\
             script-on-renewal\n\
             # dnsmasq runs it as root unless told otherwise:\n\
             #dhcp-scriptuser=mrp\n",
            self.script.display()
        );
        text + &commented(&self.beside())
    }

    /// The boot file of each firmware.
    fn loaders(&self) -> String {
        let mut text = String::from(
            "# Boot loaders by the client's architecture (option 93). Whether a machine netboots, and what, is decided by\n\
             # mrp when its boot loader asks; nothing here changes for that. iPXE gets a script, from a network card's ROM too.\n",
        );
        let server = self.next_server.map(|address| format!(",,{address}")).unwrap_or_default();
        let script = self.url(IPXE_SCRIPT).unwrap_or_else(|| IPXE_SCRIPT.to_owned());
        let _ = writeln!(text, "dhcp-userclass=set:mrp-ipxe,{IPXE_USER_CLASS}");
        let _ = writeln!(text, "dhcp-boot=tag:mrp-ipxe,{script}{server}");
        for firmware in FIRMWARE {
            let tag = format!("mrp-arch-{}", firmware.architecture);
            let file =
                if firmware.http { self.url(firmware.loader) } else { Some(firmware.loader.to_owned()) };
            let Some(file) = file else { continue };
            let _ = writeln!(text, "dhcp-match=set:{tag},option:client-arch,{}", firmware.architecture);
            if firmware.http {
                let _ = writeln!(text, "dhcp-option-force=tag:{tag},option:vendor-class,{HTTP_CLIENT}");
            }
            let _ = writeln!(text, "dhcp-boot=tag:{tag},tag:!mrp-ipxe,{file}{server}");
        }
        match self.next_server {
            // GRUB asks DHCP itself after UEFI's HTTP boot, without saying what it is.
            Some(address) => {
                let _ = writeln!(text, "# For those that ask for no boot file, but for the server:\ndhcp-boot=,,{address}");
            }
            None => text.push_str(
                "# mrp's own address is not known: with boot.next_server set, UEFI HTTP boot is configured here too.\n",
            ),
        }
        text
    }

    fn url(&self, name: &str) -> Option<String> {
        Some(format!("{}/{name}", self.http_base.as_deref()?.trim_end_matches('/')))
    }

    /// The script that dnsmasq runs; make it executable.
    pub fn script(&self) -> String {
        let command: Vec<String> = self.event_command.iter().map(|word| shell_quoted(word)).collect();
        format!("#!/bin/sh\nexec {} \"$@\"\n", command.join(" "))
    }

    /// What else the machine needs: the script, and units that make dnsmasq read the host file again.
    fn beside(&self) -> String {
        format!(
            "The script {script} (mode 0755):\n\n{text}\n\
             dnsmasq reads new lines of the host file at once, but changed and removed ones only when it is told. These two\n\
             units tell it; or name a command in dhcp.dnsmasq_reload that mrp's user may run.\n\n\
             /etc/systemd/system/mrp-dnsmasq.path, then: systemctl enable --now mrp-dnsmasq.path\n\n\
             [Path]\nPathChanged={hosts}\n\n[Install]\nWantedBy=multi-user.target\n\n\
             /etc/systemd/system/mrp-dnsmasq.service\n\n\
             [Service]\nType=oneshot\nExecStart=/usr/bin/systemctl reload dnsmasq.service\n\n\
             dnsmasq before 2.91 dies at a reload if a host line that it read from a file has a tag (set:…). mrp writes\n\
             none; keep them out of other host files too.\n",
            script = self.script.display(),
            text = self.script(),
            hosts = self.hosts.display(),
        )
    }
}

fn commented(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { "#\n".to_owned() } else { format!("# {line}\n") };
    format!("\n{}", text.lines().map(line).collect::<String>())
}

fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
