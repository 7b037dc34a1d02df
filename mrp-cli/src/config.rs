//! `mrp.toml`: every key optional, `MRP_SECTION__KEY` overrides, an unknown key is an error that names the nearest one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use bmc::BmcSection;
pub use console::{ConsoleSection, RecordWhen};
pub use database::DatabaseSection;
pub use plugins::PluginsSection;
pub use retention::{Age, RetentionSection};
pub use server::{Role, ServerSection};

mod bmc;
mod console;
mod database;
mod plugins;
mod retention;
mod server;

/// The whole configuration.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Config {
    /// Data and logs.
    pub server: ServerSection,
    /// Rows: SQLite in the data folder, or PostgreSQL.
    pub database: DatabaseSection,
    /// People's HTTP.
    pub web: WebSection,
    /// Machines' HTTP.
    pub machine: MachineSection,
    /// TFTP.
    pub tftp: TftpSection,
    /// What machines are told.
    pub boot: BootSection,
    /// DHCP server.
    pub dhcp: DhcpSection,
    /// Kernels, initrds and boot loaders.
    pub images: ImagesSection,
    /// BMCs.
    pub bmc: BmcSection,
    /// Deadlines of runs.
    pub run: RunSection,
    /// How long the history is kept.
    pub retention: RetentionSection,
    /// BMC drivers that are not linked in.
    pub plugins: PluginsSection,
    /// Serial consoles.
    pub console: ConsoleSection,
}

/// People's HTTP: API and pages.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct WebSection {
    /// Address and port.
    pub listen: SocketAddr,
    /// `off`, `files`, or `self-made`.
    pub tls: TlsMode,
    /// PEM file of the certificate chain, for `files`.
    pub certificate: Option<PathBuf>,
    /// PEM file of the private key, for `files`.
    pub private_key: Option<PathBuf>,
    /// Who may read `/metrics` without a login.
    pub metrics_from: Vec<IpNet>,
    /// How long a login lasts.
    pub session: Span,
}

/// Where people's HTTP has its certificate from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Plain HTTP.
    Off,
    /// From files.
    Files,
    /// Made at the first start, and kept in the data folder.
    SelfMade,
}

/// Machines' HTTP: boot files, answer files, phone-home, DHCP reports.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct MachineSection {
    /// Address and port.
    pub listen: SocketAddr,
    /// Who may report and ask for DHCP, and use `/tftp/`.
    pub dhcp_from: Vec<IpNet>,
    /// File with a token that DHCP servers elsewhere send in `X-MRP-Token`.
    pub token_file: Option<PathBuf>,
    /// Who may read answer files by the machine's id alone, beside the machine itself.
    pub preseed_from: Vec<IpNet>,
}

/// TFTP.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct TftpSection {
    /// Serve TFTP.
    pub enabled: bool,
    /// Address and port.
    pub listen: SocketAddr,
    /// Largest window (RFC 7440) in blocks.
    pub max_windowsize: u16,
    /// Largest block in bytes; 0 keeps blocks within one packet of the path.
    pub max_blksize: u16,
    /// Transfers at once.
    pub max_transfers: usize,
    /// Transfers at once of one client.
    pub max_transfers_per_client: usize,
}

/// What machines are told.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct BootSection {
    /// TFTP server named in DHCP answers of the old Kea hook's contract and by `mrp dnsmasq config` and `mrp kea config`.
    pub next_server: Option<IpAddr>,
    /// Boot file for machines whose subarch has no boot loader, in the old Kea hook's contract.
    pub default_bootfile: String,
    /// Name server put into installers' kernel options.
    pub dns: Option<IpAddr>,
    /// Folder with the site's own boot configurations.
    pub templates: Option<PathBuf>,
}

/// The site's DHCP server.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct DhcpSection {
    /// `none` (also for mr-provisioner's Kea hook), `dnsmasq`, or `kea`.
    pub backend: DhcpKind,
    /// Host file for dnsmasq; by default `dnsmasq/hosts` in the data folder.
    pub dnsmasq_hosts: Option<PathBuf>,
    /// Command that makes dnsmasq read its host file again; none where a systemd path unit does.
    pub dnsmasq_reload: Vec<String>,
    /// Kea's own configuration, which `mrp doctor` looks at.
    pub kea_config: PathBuf,
    /// Interfaces on which DHCP is observed; by default every Ethernet interface that is up and has an IPv4 address.
    pub observe: Option<Vec<String>>,
    /// The DHCP servers that belong here, by their server identifiers.
    pub servers: Vec<Ipv4Addr>,
}

/// Which DHCP server is steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DhcpKind {
    /// None.
    None,
    /// dnsmasq, by a host file.
    Dnsmasq,
    /// Kea: the hook of mrp's own fetches the table.
    Kea,
}

/// Kernels, initrds and boot loaders.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default)]
pub struct ImagesSection {
    /// How long an upload without progress is kept.
    pub upload_expiry: Span,
    /// `folder`, or `s3`.
    pub store: ImageStoreKind,
    /// The folder; by default `images` in the data folder.
    pub dir: Option<PathBuf>,
    /// Bucket, for `s3`.
    pub bucket: String,
    /// Where the S3 server is, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// S3 region.
    pub region: String,
    /// File with the access key's id and secret, a line each; by default they come from the environment.
    pub key_file: Option<PathBuf>,
    /// Size of the local copies of what is in the bucket.
    pub cache_gb: u32,
}

/// Where images lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageStoreKind {
    /// In a folder.
    Folder,
    /// In an S3-compatible store.
    S3,
}

/// Deadlines of runs.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(default)]
pub struct RunSection {
    /// From power-on to the boot loader.
    pub netboot: Span,
    /// The same for a machine that a person switches on.
    pub by_hand: Span,
    /// From boot loader to configuration, and without progress of kernel or initrd.
    pub transfer: Span,
    /// From the kernel to the answer file.
    pub answer_file: Span,
    /// From the answer file to the phone-home.
    pub install: Span,
}

/// A duration as people write it: `90s`, `10min`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = humantime::parse_duration(&text);
        parsed.map(Span).map_err(|error| {
            serde::de::Error::custom(format!(
                "{text:?} is no duration ({error}); write it as \"90s\", \"10min\" or \"2h\""
            ))
        })
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl Default for WebSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            tls: TlsMode::Off,
            certificate: None,
            private_key: None,
            metrics_from: loopback(),
            session: Span(Duration::from_secs(12 * 60 * 60)),
        }
    }
}

impl Default for MachineSection {
    fn default() -> Self {
        let listen = SocketAddr::from(([0, 0, 0, 0], 8081));
        Self { listen, dhcp_from: loopback(), token_file: None, preseed_from: Vec::new() }
    }
}

impl Default for TftpSection {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([0, 0, 0, 0], 69)),
            max_windowsize: 64,
            max_blksize: 0,
            max_transfers: 4096,
            max_transfers_per_client: 64,
        }
    }
}

impl Default for DhcpSection {
    fn default() -> Self {
        Self {
            backend: DhcpKind::None,
            dnsmasq_hosts: None,
            dnsmasq_reload: Vec::new(),
            kea_config: "/etc/kea/kea-dhcp4.conf".into(),
            observe: None,
            servers: Vec::new(),
        }
    }
}

impl Default for ImagesSection {
    fn default() -> Self {
        Self {
            upload_expiry: Span(Duration::from_secs(24 * 60 * 60)),
            store: ImageStoreKind::Folder,
            dir: None,
            bucket: String::new(),
            endpoint: None,
            region: "us-east-1".into(),
            key_file: None,
            cache_gb: 20,
        }
    }
}

impl Default for RunSection {
    fn default() -> Self {
        let limits = mrp_core::run::RunLimits::default();
        Self {
            netboot: Span(limits.netboot),
            by_hand: Span(limits.by_hand),
            transfer: Span(limits.transfer),
            answer_file: Span(limits.answer_file),
            install: Span(limits.install),
        }
    }
}

/// Why a configuration was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file, or a variable, is wrong.
    #[error("{0}")]
    Wrong(String),
}

impl Config {
    /// Where the machines' door is reached: what it listens on, and on which of this host's addresses where that is all.
    pub fn machine_door(&self) -> SocketAddr {
        let mut door = self.machine.listen;
        if door.ip().is_unspecified() {
            door.set_ip(self.boot.next_server.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        }
        door
    }

    /// A comment for who is about to use a DHCP server that this configuration does not name; empty where it does.
    pub fn not_configured_yet(&self, kind: DhcpKind, comment: &str) -> String {
        if self.dhcp.backend == kind {
            return String::new();
        }
        let word = serde_json::to_string(&kind).unwrap_or_default();
        format!(
            "{comment} mrp's configuration has no dhcp.backend = {word} yet: without it none of this takes effect.\n"
        )
    }

    /// Reads the file, if one is named, and the environment.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?,
            None => String::new(),
        };
        let name = path.map_or_else(|| "the environment".into(), |path| path.display().to_string());
        Self::parse(&text, &name, std::env::vars())
    }

    /// Reads the text of a file named `name`, and the environment.
    pub fn parse(
        text: &str,
        name: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let wrong = |error: toml::de::Error| {
            let words = database::without_passwords(error.to_string().trim_end());
            ConfigError::Wrong(format!("{name}: {words}"))
        };
        let mut table: toml::Table = toml::from_str(text).map_err(wrong)?;
        check_keys(&table, text, name)?;
        for (variable, value) in environment {
            override_key(&mut table, &variable, &value)?;
        }
        let config: Config = table.clone().try_into().map_err(wrong)?;
        config.check(name)?;
        Ok(config)
    }

    /// The deadlines as core takes them.
    pub fn run_limits(&self) -> mrp_core::run::RunLimits {
        mrp_core::run::RunLimits {
            netboot: self.run.netboot.0,
            by_hand: self.run.by_hand.0,
            transfer: self.run.transfer.0,
            answer_file: self.run.answer_file.0,
            install: self.run.install.0,
        }
    }

    fn check(&self, name: &str) -> Result<(), ConfigError> {
        self.server
            .check(self.database.url.is_some())
            .map_err(|words| ConfigError::Wrong(format!("{name}: {words}")))?;
        self.database.check().map_err(|words| ConfigError::Wrong(format!("{name}: {words}")))?;
        self.plugins.check().map_err(|words| ConfigError::Wrong(format!("{name}: {words}")))?;
        self.console.check().map_err(|words| ConfigError::Wrong(format!("{name}: {words}")))?;
        let files = self.web.certificate.is_some() && self.web.private_key.is_some();
        if self.web.tls == TlsMode::Files && !files {
            let message = format!("{name}: web.tls = \"files\" needs web.certificate and web.private_key");
            return Err(ConfigError::Wrong(message));
        }
        if self.images.store == ImageStoreKind::S3 && self.images.bucket.is_empty() {
            return Err(ConfigError::Wrong(format!("{name}: images.store = \"s3\" needs images.bucket")));
        }
        if self.images.store == ImageStoreKind::S3 && self.images.dir.is_some() {
            let message = format!("{name}: images.dir goes with images.store = \"folder\" only");
            return Err(ConfigError::Wrong(message));
        }
        Ok(())
    }
}

/// Every key there is, by section, as [`Config`] has them.
pub fn keys() -> BTreeMap<String, Vec<String>> {
    let sections = serde_json::to_value(Config::default()).expect("a configuration has text keys only");
    let keys = |section: &serde_json::Value| section.as_object().map(|keys| keys.keys().cloned().collect());
    let sections = sections.as_object().into_iter().flatten();
    sections.map(|(name, section)| (name.clone(), keys(section).unwrap_or_default())).collect()
}

fn check_keys(table: &toml::Table, text: &str, name: &str) -> Result<(), ConfigError> {
    let sections = keys();
    for (section, value) in table {
        let Some(keys) = sections.get(section) else {
            return Err(unknown(name, text, section, section, sections.keys()));
        };
        let Some(inner) = value.as_table() else {
            return Err(ConfigError::Wrong(format!(
                "{name}: {section} is a section; write [{section}] above its keys"
            )));
        };
        if let Some(key) = inner.keys().find(|key| !keys.contains(key)) {
            return Err(unknown(name, text, &format!("{section}.{key}"), key, keys.iter()));
        }
    }
    Ok(())
}

fn unknown<'a>(
    name: &str,
    text: &str,
    full: &str,
    key: &str,
    known: impl Iterator<Item = &'a String>,
) -> ConfigError {
    let line = text.lines().position(|line| line.trim_start().trim_start_matches('[').starts_with(key));
    let at = line.map(|line| format!(", line {}", line + 1)).unwrap_or_default();
    let nearest = known.max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
    let hint = nearest.map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default();
    ConfigError::Wrong(format!("{name}{at}: unknown key {full:?}{hint}"))
}

/// `MRP_SECTION__KEY`; other variables, `MRP_URL` among them, are none of ours.
fn override_key(table: &mut toml::Table, variable: &str, value: &str) -> Result<(), ConfigError> {
    let Some((section, key)) = variable.strip_prefix("MRP_").and_then(|rest| rest.split_once("__")) else {
        return Ok(());
    };
    let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
    let sections = keys();
    let Some(keys) = sections.get(&section) else {
        return Err(unknown(variable, "", &section, &section, sections.keys()));
    };
    if !keys.contains(&key) {
        return Err(unknown(variable, "", &format!("{section}.{key}"), &key, keys.iter()));
    }
    // What reads as a TOML value is one (`true`, `64`, `["10.0.0.0/8"]`); the rest is text.
    let parsed = toml::from_str::<toml::Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
    let parsed = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let Some(section) = section.as_table_mut() {
        section.insert(key, parsed);
    }
    Ok(())
}

fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect()
}

/// `/var/lib/mrp` where it is ours, else the user's own data folder.
fn default_data_dir() -> PathBuf {
    if let Some(state) = std::env::var_os("STATE_DIRECTORY") {
        return PathBuf::from(state);
    }
    match (std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME")) {
        (Some(data), _) => PathBuf::from(data).join("mrp"),
        (None, Some(home)) => PathBuf::from(home).join(".local/share/mrp"),
        (None, None) => PathBuf::from("/var/lib/mrp"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, "mrp.toml", std::iter::empty()).map_err(|error| error.to_string())
    }

    fn with_environment(variable: &str, value: &str) -> Result<Config, String> {
        let environment = [(variable.to_owned(), value.to_owned())].into_iter();
        Config::parse("", "mrp.toml", environment).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        assert_eq!(parse("").unwrap().web.listen.port(), 8080);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_one() {
        let error = parse("[web]\nlisten = \"0.0.0.0:80\"\n\n[tftp]\nmax_widowsize = 3\n").unwrap_err();
        let expected =
            "mrp.toml, line 5: unknown key \"tftp.max_widowsize\"; did you mean \"max_windowsize\"?";
        assert_eq!(error, expected);
        assert_eq!(
            parse("[wbe]\n").unwrap_err(),
            "mrp.toml, line 1: unknown key \"wbe\"; did you mean \"web\"?"
        );
        assert!(with_environment("MRP_WEB__LISTN", "x").unwrap_err().contains("did you mean \"listen\""));
    }

    #[test]
    fn wrong_values_say_what_would_be_right() {
        for (text, says) in [
            ("[run]\nnetboot = \"soon\"", "\"90s\", \"10min\" or \"2h\""),
            ("[web]\nlisten = \"here\"", "listen"),
            ("[web]\ntls = \"files\"", "needs web.certificate"),
            ("[images]\nstore = \"s3\"", "needs images.bucket"),
            ("[images]\nstore = \"s3\"\nbucket = \"b\"\ndir = \"/srv/images\"", "images.dir goes with"),
            ("[web", "mrp.toml"),
            ("web = 3", "[web]"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_environment_overrides() {
        assert_eq!(with_environment("MRP_WEB__LISTEN", "127.0.0.1:1").unwrap().web.listen.port(), 1);
        assert!(!with_environment("MRP_TFTP__ENABLED", "false").unwrap().tftp.enabled);
        let config = with_environment("MRP_MACHINE__PRESEED_FROM", "[\"10.0.0.0/8\"]").unwrap();
        assert_eq!(config.machine.preseed_from.len(), 1);
        assert!(with_environment("MRP_URL", "http://x").is_ok());
    }
}
