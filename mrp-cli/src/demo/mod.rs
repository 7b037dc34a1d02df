//! `mrp demo`: the whole main job on one machine without hardware.
//!
//! A server on SQLite in a folder of its own, and a [`rack`] of simulated machines whose BMCs speak real IPMI over UDP.
//! Everything goes through the REST API, as a user would do it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mrp_core::api;
use mrp_core::bmc::Drivers;
use mrp_web::Web;
use serde_json::{Value, json};

use crate::client::Client;
use crate::config::{Config, Span};
use crate::exit::Exit;
use crate::follow::follow_run;
use crate::output::{bold, is_styled};
use crate::upload::{Content, Upload};
use crate::wiring::Server;
use rack::Rack;
use tokio::signal::unix::{SignalKind, signal};

mod machine;
pub mod rack;
mod tftp;

/// Provision a simulated machine, then keep serving
///
/// Starts a server in a new folder (MRP_DATA, or one under the system's temporary folder), a rack of simulated machines
/// with simulated BMCs, and takes one machine through reserve, upload, provision and phone-home.
///
/// Examples:
///   mrp demo
///   mrp demo --break tftp
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Demo {
    /// Break one part: the run ends with the fitting verdict, and the exit code is 1
    #[arg(long, value_enum, value_name = "PART")]
    r#break: Option<Break>,
    /// End when the machine is ready instead of serving on
    #[arg(long)]
    once: bool,
}

/// What can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Break {
    /// The TFTP server does not answer
    Tftp,
    /// The BMC has another password
    Bmc,
    /// The machine cannot reach mrp by HTTP
    Http,
    /// The answer file has a syntax error
    AnswerFile,
    /// The disk never boots, so that the machine netboots for ever
    Loop,
}

const MACHINES: u8 = 4;
const USER: &str = "demo";
const PASSWORD: &str = "demo-password";
const ANSWER_FILE: &str = "\
d-i netcfg/get_hostname string {{ hostname }}
d-i passwd/root-login boolean false
d-i preseed/late_command string wget -qO- {{ phone_home_url }}
";
const BROKEN_ANSWER_FILE: &str =
    "d-i netcfg/get_hostname string {{ hostname }}\n{% if kernel %}\nd-i foo {{ }}\n";

impl Demo {
    /// Runs the demo. A machine that did not become ready is [`Exit::FAILED`].
    pub async fn run(self, drivers: Drivers) -> Result<()> {
        let folder = Folder::choose()?;
        let mut config = configuration(folder.path.clone(), self.r#break);
        config.tftp.enabled = self.r#break != Some(Break::Tftp);
        let server = start(config, drivers).await?;
        let address =
            |door: &Option<Web>| door.as_ref().map(Web::local_addr).context("a demo has every role");
        let (people, machines) = (address(&server.web)?, address(&server.machine_web)?);
        let tftp_port = server.tftp.as_ref().map_or(1, |tftp| tftp.local_addr().port());
        let admin_password = match &server.first_password {
            Some(password) => password.clone(),
            None => bail!("{} holds a demo of before", folder.path.display()),
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let rack = Rack::start(MACHINES, machines, tftp_port, self.r#break == Some(Break::Loop)).await?;
        let (mut terminate, url) = (signal(SignalKind::terminate())?, format!("http://{people}"));
        let outcome = tokio::select! {
            outcome = self.show(&url, machines, admin_password.expose(), &rack, &folder) => outcome,
            _ = tokio::signal::ctrl_c() => Ok(true),
            _ = terminate.recv() => Ok(true),
        };
        rack.stop().await;
        let _ = stop.send(());
        serving.await?;
        folder.remove();
        if outcome? { Ok(()) } else { Err(Exit::FAILED.into()) }
    }

    async fn show(
        &self,
        url: &str,
        machines: SocketAddr,
        admin_password: &str,
        rack: &Rack,
        folder: &Folder,
    ) -> Result<bool> {
        say(&format!("mrp serves at {url}, data in {}", folder.path.display()))?;
        let admin = Client::login(url, "admin", admin_password).await?;
        let network = match self.r#break {
            Some(Break::Http) => Some("http://127.0.0.1:9".to_owned()), // "discard": nobody listens there
            _ => None,
        };
        set_up(&admin, rack, network, self.r#break == Some(Break::Bmc)).await?;
        say(&format!(
            "a rack of {MACHINES} simulated machines, each behind a BMC that speaks IPMI 2.0 on {machines_ip}",
            machines_ip = machines.ip()
        ))?;

        let user = Client::login(url, USER, PASSWORD).await?;
        let reservation = json!({"query": "(= name \"sim-1\")", "reason": "demo"});
        let machine: api::Machine = user.post("/machine/reservation", &reservation).await?;
        say(&format!("{USER} reserved {}", machine.name))?;
        let kernel = upload(&user, "vmlinuz", "Kernel", pattern(8 << 20)).await?;
        let initrd = upload(&user, "initrd.img", "Initrd", pattern(24 << 20)).await?;
        say(&format!("{USER} uploaded {} (8 MB) and {} (24 MB)", kernel.name, initrd.name))?;
        let content = if self.r#break == Some(Break::AnswerFile) { BROKEN_ANSWER_FILE } else { ANSWER_FILE };
        let preseed = json!({"name": "demo", "type": "preseed", "content": content, "public": true});
        let preseed: api::Preseed = user.post("/preseed", &preseed).await?;
        let settings = json!({
            "kernel_id": kernel.id, "initrd_id": initrd.id, "preseed_id": preseed.id, "kernel_opts": "console=ttyS0",
        });
        let _: api::Machine = user.put(&format!("/machine/{}", machine.id), &settings).await?;
        say(&format!("provisioning {}: its BMC is told to boot the network", machine.name))?;
        let run: api::Run = user.post("/run", &json!({"machine": machine.id})).await?;
        let run = follow_run(&user, run.id, &mut std::io::stdout()).await?;
        let ready = matches!(run.status.as_str(), "ready" | "presumed");
        if !ready || self.once || self.r#break.is_some() {
            return Ok(ready);
        }
        let binary = std::env::current_exe()?;
        let mrp = binary.display();
        say(&format!(
            "\n{} is ready, and its netboot is off again. Three others are free.\n\n\
             The server goes on at {url} (user {USER}, password {PASSWORD}; admin's password is in {}/admin-password).\n\
             Try in another terminal:\n\n  \
             echo {PASSWORD} | {mrp} login {url} --user {USER} --password-stdin\n  \
             {mrp} reserve sim-2 --reason trying\n  \
             {mrp} provision sim-2 --kernel vmlinuz --initrd initrd.img --preseed demo --follow\n\n\
             Ctrl-C ends it.",
            machine.name,
            folder.path.display()
        ))?;
        std::future::pending().await
    }
}

/// Boots the server on the usual ports, or on free ones where they are taken.
async fn start(mut config: Config, drivers: Drivers) -> Result<Server> {
    match Server::start(&config, drivers.clone()).await {
        Err(error) if address_in_use(&error) => {
            config.web.listen.set_port(0);
            config.machine.listen.set_port(0);
            config.tftp.listen.set_port(0);
            Server::start(&config, drivers).await
        }
        other => other,
    }
}

fn address_in_use(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// Where the demo keeps its data.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// It is the demo's own, and goes with it.
    temporary: bool,
}

impl Folder {
    fn choose() -> Result<Self> {
        let (path, temporary) = match std::env::var_os("MRP_DATA") {
            Some(path) => (PathBuf::from(path), false),
            None => (std::env::temp_dir().join(format!("mrp-demo-{}", std::process::id())), true),
        };
        if path.join("mrp.db").exists() {
            bail!("{} holds a demo of before; remove it, or set MRP_DATA to another folder", path.display());
        }
        Ok(Self { path, temporary })
    }

    fn remove(&self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("mrp: {} could not be removed: {error}", self.path.display());
        }
    }
}

fn configuration(folder: PathBuf, broken: Option<Break>) -> Config {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut config = Config::default();
    config.server.data_dir = folder;
    (config.web.listen, config.machine.listen, config.tftp.listen) =
        (loopback(8080), loopback(8081), loopback(6969));
    config.boot.next_server = Some(Ipv4Addr::LOCALHOST.into());
    // A simulated machine boots in a second: what takes longer than this is broken.
    let patience = Span(Duration::from_secs(if broken.is_some() { 4 } else { 30 }));
    let run = &mut config.run;
    (run.netboot, run.by_hand, run.transfer) = (patience, patience, patience);
    (run.answer_file, run.install) = (patience, patience);
    config
}

/// What an admin enters once.
async fn set_up(admin: &Client, rack: &Rack, server_url: Option<String>, wrong_password: bool) -> Result<()> {
    let user = json!({"name": USER, "email": "demo@example.org", "password": PASSWORD});
    let _: Value = admin.post("/user", &user).await?;
    let _: Value = admin.post("/arch", &json!({"name": "x86_64"})).await?;
    let loader =
        "a boot loader as firmware fetches it; simulated machines only look at its length\n".repeat(4096);
    let loader =
        upload(admin, "bootx64.efi", "bootloader", loader.into_bytes()).await.context("the boot loader")?;
    let subarch = json!({"arch": "x86_64", "name": "efi", "bootloader_id": loader.id, "efiboot": true});
    let _: Value = admin.post("/subarch", &subarch).await?;
    let network = json!({
        "name": "rack", "subnet": "127.77.0.0/24", "reserved_net": "127.77.0.64/26", "server_url": server_url,
    });
    let _: Value = admin.post("/network", &network).await?;
    for unit in rack.units() {
        let password = if wrong_password { "not-its-password" } else { rack::PASSWORD };
        let bmc = json!({
            "name": format!("bmc-{}", unit.name), "address": unit.bmc_address.to_string(), "driver": "plain",
            "username": rack::USER, "password": password,
        });
        let _: Value = admin.post("/bmc", &bmc).await?;
        let machine = json!({
            "name": unit.name, "arch": "x86_64", "subarch": "efi", "bmc": format!("bmc-{}", unit.name),
        });
        let machine: api::Machine = admin.post("/machine", &machine).await?;
        let interface = json!({"mac": unit.mac.to_string(), "identifier": "eth0", "network": "rack"});
        let _: Value = admin.post(&format!("/machine/{}/interface", machine.id), &interface).await?;
    }
    Ok(())
}

async fn upload(client: &Client, name: &str, kind: &str, bytes: Vec<u8>) -> Result<api::Image> {
    let (public, known_good) = (true, false);
    let upload = Upload { file_name: name, kind, arch: "x86_64", description: None, public, known_good };
    Ok(client.upload(&upload, &Content::Bytes(bytes.into()), &|_| ()).await?)
}

/// No two blocks alike, so that a block in the wrong place shows.
fn pattern(size: u32) -> Vec<u8> {
    (0..size / 4).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout();
    let arrow = if text.starts_with('\n') {
        String::new()
    } else if is_styled(&out) {
        bold("==>") + " "
    } else {
        "==> ".into()
    };
    writeln!(out, "{arrow}{text}")?;
    Ok(out.flush()?)
}
