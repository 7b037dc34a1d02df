//! `mrp kea config`.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, ensure};
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::config::{Config, DhcpKind};
use crate::output::line;

/// What belongs into the configuration of the site's Kea.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeaCommand {
    Config(PrintConfig),
}

/// Print the piece of configuration to paste: the hook, and a subnet whose pool leaves reserved addresses alone
///
/// It goes between the braces of "Dhcp4" in kea-dhcp4.conf. The hook itself is made by `make kea-hook`.
///
/// Example:
///   mrp kea config --subnet 10.0.0.0/24 --pool 10.0.0.100-10.0.0.199 --reserved 10.0.0.64/27
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PrintConfig {
    /// Configuration file of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the hook is put; Kea after 2.7.8 loads it from its own folder of hooks alone
    #[arg(long, value_name = "FILE", default_value_os_t = default_library())]
    library: PathBuf,
    /// Where the hook keeps its copy of the table, in a folder that Kea's user may write in
    #[arg(long, value_name = "FILE", default_value = "/var/lib/kea/mrp-dhcp-table")]
    cache: PathBuf,
    /// The subnet of the machines
    #[arg(long, value_name = "NET", requires = "pool")]
    subnet: Option<Ipv4Net>,
    /// Addresses that Kea may give to anybody
    #[arg(long, value_name = "FIRST-LAST", requires = "subnet")]
    pool: Option<Pool>,
    /// The reserved range of mrp's network, which has to be apart from the pool
    #[arg(long, value_name = "NET", requires = "subnet")]
    reserved: Option<Ipv4Net>,
}

/// Addresses from a first to a last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The first.
    pub first: Ipv4Addr,
    /// The last.
    pub last: Ipv4Addr,
}

impl Pool {
    /// True if the two have an address in common.
    pub fn overlaps(self, net: Ipv4Net) -> bool {
        self.first <= net.broadcast() && net.network() <= self.last
    }
}

impl FromStr for Pool {
    type Err = String;

    /// As Kea writes it: `10.0.0.100 - 10.0.0.199`, or a prefix.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no pool; write 10.0.0.100-10.0.0.199");
        if let Ok(net) = text.trim().parse::<Ipv4Net>() {
            return Ok(Self { first: net.network(), last: net.broadcast() });
        }
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let parse = |text: &str| text.trim().parse().map_err(|_| wrong());
        let pool = Self { first: parse(first)?, last: parse(last)? };
        let backwards = || format!("{text:?} ends before it begins; write the lower address first");
        if pool.first <= pool.last { Ok(pool) } else { Err(backwards()) }
    }
}

impl KeaCommand {
    pub(super) fn run(self) -> Result<()> {
        let KeaCommand::Config(command) = self;
        command.run()
    }
}

impl PrintConfig {
    fn run(self) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        line(self.text(&config)?.trim_end())
    }

    fn text(&self, config: &Config) -> Result<String> {
        let machines = config.machine_door();
        let mut parameters = json!({"url": format!("http://{machines}"), "cache": self.cache});
        if let Some(file) = &config.machine.token_file {
            parameters["token-file"] = json!(file);
        }
        let mut text = config.not_configured_yet(DhcpKind::Kea, "//");
        text.push_str(
            "// mrp's hook: addresses, boot files and reports of machines. Kea never waits for mrp: while it is away the last\n\
             // table answers. Kea's user must be allowed to read the library and the token, and to write the copy.\n",
        );
        key(&mut text, "hooks-libraries", &json!([{"library": self.library, "parameters": parameters}]));
        text += "\n// Machines' addresses are looked up in their subnet; those inside of a pool are not, so keep pools apart.\n";
        key(&mut text, "reservations-in-subnet", &json!(true));
        key(&mut text, "reservations-out-of-pool", &json!(true));
        text += "\n// Who asks for an address of another network is told so at once.\n";
        key(&mut text, "authoritative", &json!(true));
        text += &self.subnet()?;
        // No comma after the last one.
        let end = text.trim_end().trim_end_matches(',').len();
        text.truncate(end);
        Ok(text)
    }

    fn subnet(&self) -> Result<String> {
        let (Some(subnet), Some(pool)) = (self.subnet, self.pool) else {
            return Ok("\n// The subnet of the machines: --subnet, --pool and --reserved print it, and check the pool.\n".into());
        };
        let inside = subnet.contains(&pool.first) && subnet.contains(&pool.last);
        ensure!(inside, "the pool {}-{} is not in the subnet {subnet}", pool.first, pool.last);
        let mut text = String::from(
            "\n// Beside the pool mrp gives the addresses of its machines. That it is apart from what mrp reserves is not checked \
             here: --reserved does it, and mrp doctor.\n",
        );
        if let Some(reserved) = self.reserved {
            ensure!(
                subnet.contains(&reserved),
                "the reserved range {reserved} is not in the subnet {subnet}"
            );
            ensure!(
                !pool.overlaps(reserved),
                "the pool {}-{} has addresses of the reserved range {reserved}: Kea would give them to anybody while the \
                 hook has no table; take another pool",
                pool.first,
                pool.last
            );
            text = format!(
                "\n// Apart from the pool: {reserved}, which mrp reserves. Even without a table nobody else gets it.\n"
            );
        }
        let pools = json!([{"pool": format!("{} - {}", pool.first, pool.last)}]);
        key(&mut text, "subnet4", &json!([{"id": 1, "subnet": subnet.trunc(), "pools": pools}]));
        Ok(text)
    }
}

fn key(text: &mut String, name: &str, value: &Value) {
    let value = serde_json::to_string_pretty(value).expect("a JSON value has text keys only");
    let _ = writeln!(text, "{name:?}: {value},");
}

fn default_library() -> PathBuf {
    format!("/usr/lib/{}-linux-gnu/kea/hooks/libdhcp_mrp.so", std::env::consts::ARCH).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(pool: &str, reserved: &str) -> Result<String, String> {
        let command = PrintConfig {
            config: None,
            library: "/l.so".into(),
            cache: "/c".into(),
            subnet: Some("10.0.0.0/24".parse().unwrap()),
            pool: Some(pool.parse()?),
            reserved: Some(reserved.parse().unwrap()),
        };
        command.text(&Config::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pool_that_has_reserved_addresses_is_refused() {
        for (pool, reserved, says) in [
            ("10.0.0.100-10.0.0.199", "10.0.0.128/28", "has addresses of the reserved range"),
            ("10.0.0.100-10.0.0.128", "10.0.0.128/28", "has addresses of the reserved range"),
            ("10.0.0.143-10.0.0.199", "10.0.0.128/28", "has addresses of the reserved range"),
            ("10.0.0.100-10.0.1.9", "10.0.0.16/28", "is not in the subnet"),
            ("10.0.0.100-10.0.0.199", "10.0.1.0/28", "is not in the subnet"),
            ("10.0.0.100", "10.0.1.0/28", "is no pool"),
            ("10.0.0.9-10.0.0.3", "10.0.1.0/28", "ends before it begins"),
        ] {
            let error = printed(pool, reserved).unwrap_err();
            assert!(error.contains(says), "{pool} {reserved}: {error}");
        }
        let text = printed("10.0.0.144 - 10.0.0.199", "10.0.0.128/28").unwrap();
        assert!(text.contains(r#""pool": "10.0.0.144 - 10.0.0.199""#), "{text}");
        assert!(text.contains(r#""url": "http://127.0.0.1:8081""#) && !text.ends_with(','), "{text}");
        assert!(text.starts_with("// mrp's configuration has no dhcp.backend = \"kea\" yet"), "{text}");
    }
}
