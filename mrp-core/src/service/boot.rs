//! What a client that netboots gets, and what it says back. TFTP, HTTP and DHCP all ask here.
//!
//! Who asks is decided by the source address: what the kernel sees behind it, the lease, a static address. A MAC in
//! the path that contradicts it is refused, with an event for the machine whose MAC it is.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::actor::Actor;
use crate::answer_file::AnswerFileKind;
use crate::blob::Blob;
use crate::boot::{BootPath, BootPlan, Dialect, Linux, Transport, answer_file_options, parse_path};
use crate::error::Error;
use crate::event::{EventKind, Journal, NewEvent};
use crate::firmware::{is_ipxe_name, is_loader_name};
use crate::image::{Image, ImageKind};
use crate::mac::MacAddr;
use crate::machine::{InterfaceView, Machine, MachineId};
use crate::render::RenderError;
use crate::run::{BootChoice, Observation, Run, RunId, StageKind, TftpFacts, TransferFacts};
use crate::service::{Provisioner, lock};
use crate::store::BootFacts;

/// How long a client that is known by the MAC in its path alone is believed.
const BELIEF: Duration = Duration::from_secs(10 * 60);

/// How many clients are remembered at once as believed, or as refused.
const MOST_CLIENTS: usize = 10_000;
/// Most machines that boot a file and are told that a stranger asked for it.
const TOLD: usize = 20;
/// How often one refusal of one client is told.
const REFUSALS: Duration = Duration::from_secs(60);

/// A request for a boot file.
#[derive(Debug, Clone)]
pub struct BootRequest {
    /// Who asks.
    pub client: IpAddr,
    /// The address that was asked.
    pub local: IpAddr,
    /// What for.
    pub path: String,
    /// How.
    pub transport: Transport,
}

/// What a boot file is, for whoever reports its transfer.
#[derive(Debug, Clone)]
pub struct Transfer {
    machine: Option<MachineId>,
    name: String,
    kind: Option<ImageKind>,
    transport: Transport,
    client: IpAddr,
}

/// A boot file.
#[derive(Debug)]
pub struct BootFile {
    /// The bytes.
    pub content: BootContent,
    /// Hand it back with what became of the transfer.
    pub transfer: Transfer,
}

/// The bytes of a boot file.
#[derive(Debug)]
pub enum BootContent {
    /// Rendered on request.
    Text(Bytes),
    /// An image.
    Blob(Blob),
}

/// How far a transfer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferReport {
    /// Bytes that the client has acknowledged, or that were sent.
    pub bytes: u64,
    /// Bytes of the file.
    pub total: u64,
    /// It is over; otherwise it goes on.
    pub over: bool,
    /// Options, rate and retransmissions, or why it was cut off, in words.
    pub detail: String,
    /// Bytes a second from the first packet on.
    pub bytes_per_second: u64,
    /// What TFTP agreed on, and lost.
    pub tftp: Option<TftpFacts>,
}

/// Netbooting clients.
#[derive(Debug)]
pub struct Boot<'a>(&'a Provisioner);

/// Who a client is.
struct Client {
    machine: Machine,
    /// The MAC that it is known by or asked with.
    mac: Option<MacAddr>,
}

impl Provisioner {
    /// Netbooting clients.
    pub fn boot(&self) -> Boot<'_> {
        Boot(self)
    }

    /// The secret part of the URLs that a machine is given. It is valid until netboot is armed anew or the machine is
    /// given back: `<machine id in hex>-<32 hexadecimal digits>`.
    pub(crate) fn boot_token(&self, machine: &Machine) -> String {
        let message = format!("{}/{}", machine.id, machine.boot_epoch);
        format!("{:x}-{}", machine.id.get(), self.0.key.sign("boot", &message))
    }

    /// The base of URLs for a machine: its network's, else the address that was asked, else that of no address.
    pub(crate) fn base_url(&self, interfaces: &[InterfaceView], local: Option<IpAddr>) -> String {
        let networks = interfaces.iter().filter_map(|interface| interface.network.as_ref());
        if let Some(url) = networks.filter_map(|network| network.server_url.as_deref()).next() {
            return url.trim_end_matches('/').to_owned();
        }
        let port = self.settings().machine_http_port;
        match local.or(self.settings().next_server) {
            Some(IpAddr::V6(address)) => format!("http://[{address}]:{port}"),
            Some(address) => format!("http://{address}:{port}"),
            None => format!("http://localhost:{port}"),
        }
    }

    pub(crate) async fn record_event(&self, event: NewEvent) -> Result<(), Error> {
        self.store().record(&Journal { events: vec![event], ..Journal::default() }).await?;
        self.announce();
        Ok(())
    }

    /// Gives an observation to a machine's active run, if it has one, and writes the event in any case.
    pub(crate) async fn note_machine(
        &self,
        machine: &Machine,
        seen: Observation,
        event: Option<NewEvent>,
    ) -> Result<(), Error> {
        let run = self.store().active_run(machine.id).await?;
        self.note_in_run(run.map(|run| run.id), seen, event).await
    }

    /// The same for a machine whose active run is known.
    async fn note_in_run(
        &self,
        run: Option<RunId>,
        seen: Observation,
        event: Option<NewEvent>,
    ) -> Result<(), Error> {
        match (run, event) {
            (Some(run), event) => {
                let event = event.map(|event| NewEvent { run: Some(run), ..event });
                self.observe(run, seen, &machine_actor(), event).await
            }
            (None, Some(event)) => self.record_event(event).await,
            (None, None) => Ok(()),
        }
    }

    fn machine_event(&self, machine: &Machine, kind: EventKind, text: String, data: Value) -> NewEvent {
        let (at, actor) = (self.now(), "machine".to_owned());
        NewEvent { at, machine: Some(machine.id), run: None, kind, actor, text, data }
    }
}

impl Boot<'_> {
    /// What a client gets for a path. Not every file to everyone: configurations and images of its own machine,
    /// and public boot loaders.
    pub async fn file(&self, request: &BootRequest) -> Result<BootFile, Error> {
        let path = parse_path(&request.path);
        let mac = match &path {
            BootPath::Config { mac, .. } => *mac,
            BootPath::File(_) | BootPath::Nothing => None,
        };
        let client = self.identify(request.client, mac).await?;
        let (content, name, kind) = match path {
            BootPath::Nothing => return Err(not_found(request)),
            BootPath::Config { dialect, .. } => {
                let text = self.configuration(request, dialect, client.as_ref()).await?;
                (BootContent::Text(Bytes::from(text)), request.path.clone(), None)
            }
            BootPath::File(name) => {
                let image = self.image(request, &name, client.as_ref()).await?;
                let blob = self.0.0.blobs.open(&image.digest).await?;
                (BootContent::Blob(blob), image.name, Some(image.kind))
            }
        };
        let machine = client.map(|client| client.machine.id);
        let (transport, client) = (request.transport, request.client);
        Ok(BootFile { content, transfer: Transfer { machine, name, kind, transport, client } })
    }

    /// The same as [`Boot::transferred`] in the background, for threads that must not wait; on the current runtime.
    pub fn report(&self, transfer: &Transfer, report: TransferReport) {
        let (service, transfer) = (self.0.clone(), transfer.clone());
        self.0.start_task(async move {
            if let Err(error) = service.boot().transferred(&transfer, report).await {
                tracing::warn!(%error, "a transfer could not be written down");
            }
        });
    }

    /// How far the transfer of a boot file came. Only what is over becomes an event.
    pub async fn transferred(&self, transfer: &Transfer, report: TransferReport) -> Result<(), Error> {
        let (Some(id), Some(kind)) = (transfer.machine, transfer.kind) else { return Ok(()) };
        let Some(machine) = self.0.store().machine(id).await? else { return Ok(()) };
        let complete = report.over && report.bytes == report.total;
        let (name, transport) = (&transfer.name, transfer.transport.as_str());
        let TransferReport { bytes, total, over, detail, bytes_per_second, tftp } = report;
        let facts = TransferFacts { protocol: transfer.transport, bytes_per_second, tftp };
        let seen = match kind {
            ImageKind::BootLoader if complete => {
                Observation::BootLoader { name: name.clone(), bytes: total, facts: facts.clone() }
            }
            ImageKind::BootLoader => return Ok(()),
            ImageKind::Kernel | ImageKind::Initrd => {
                let stage = if kind == ImageKind::Kernel { StageKind::Kernel } else { StageKind::Initrd };
                let detail = format!("{transport}, {detail}");
                Observation::Transfer { stage, bytes, total, detail, facts: facts.clone() }
            }
        };
        // Firmware opens a file to learn its size and opens it again: that is no news.
        let event = (over && bytes > 0).then(|| {
            let data = json!({
                "file": name, "type": kind, "client": transfer.client,
                "protocol": transport, "bytes": bytes, "total": total, "detail": detail,
                "bytes_per_second": facts.bytes_per_second, "tftp": facts.tftp,
            });
            let how = if complete { "fetched" } else { "stopped fetching" };
            let text = format!("{how} {name} by {transport}: {bytes} of {total} bytes, {detail}");
            self.0.machine_event(&machine, EventKind::Boot, text, data)
        });
        if bytes == 0 && total > 0 {
            return Ok(());
        }
        self.0.note_machine(&machine, seen, event).await
    }

    /// The answer file of a machine: by its boot token, or without one by its own address or a configured source.
    pub async fn answer_file(
        &self,
        machine: MachineId,
        token: Option<&str>,
        client: IpAddr,
        local: IpAddr,
    ) -> Result<String, Error> {
        let missing = || Error::not_found("preseed", machine);
        let facts = self.0.store().boot_facts(machine).await?.ok_or_else(missing)?;
        let machine = &facts.machine;
        match token {
            Some(token) if self.is_token_of(machine, token) => {}
            Some(_) => {
                return Err(self
                    .refuse(machine, client, "the answer file with an old or foreign token")
                    .await);
            }
            None => {
                let known =
                    self.identify(client, None).await?.is_some_and(|known| known.machine.id == machine.id);
                let configured = self.0.settings().preseed_sources.iter().any(|net| net.contains(&client));
                if !known && !configured {
                    return Err(self.refuse(machine, client, "the answer file").await);
                }
            }
        }
        self.render_answer_file(&facts, client, local).await
    }

    /// The answer file of the machine whose boot token this is.
    pub async fn answer_file_by_token(
        &self,
        token: &str,
        client: IpAddr,
        local: IpAddr,
    ) -> Result<String, Error> {
        let machine = self.by_token(token, client, "the answer file").await?.id;
        let facts = self.0.store().boot_facts(machine).await?.ok_or_else(unknown_token)?;
        self.render_answer_file(&facts, client, local).await
    }

    /// The machine whose boot token this is; for the files beside an answer file that are always empty.
    pub async fn check_token(&self, token: &str, client: IpAddr) -> Result<Machine, Error> {
        self.by_token(token, client, "the answer file").await
    }

    /// A machine reports. A second report changes nothing.
    pub async fn phone_home(
        &self,
        token: &str,
        ok: bool,
        message: Option<String>,
        client: IpAddr,
    ) -> Result<(), Error> {
        let machine = self.by_token(token, client, "its phone-home").await?;
        let message =
            message.map(|message| message.chars().filter(|c| !c.is_control()).take(1000).collect::<String>());
        let how = if ok { "phoned home" } else { "phoned home with a failure" };
        let said = message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
        let data = json!({"client": client, "status": if ok { "ok" } else { "failed" }, "message": message});
        let event = self.0.machine_event(&machine, EventKind::PhoneHome, format!("{how}{said}"), data);
        self.0.note_machine(&machine, Observation::PhoneHome { ok, message }, Some(event)).await
    }

    async fn identify(&self, client: IpAddr, path_mac: Option<MacAddr>) -> Result<Option<Client>, Error> {
        let neighbour = self.0.0.neighbours.mac(client);
        let seen = match neighbour {
            Some(mac) => self.0.interfaces().owner_of(mac).await?,
            None => None,
        };
        let known = match seen {
            Some(known) => Some(known),
            None => self.by_address(client).await?,
        };
        let Some(mac) = path_mac else {
            if let Some((machine, interface)) = known {
                return Ok(Some(Client { machine, mac: Some(interface.mac) }));
            }
            return self.believed(client).await;
        };
        let named = self.0.interfaces().owner_of(mac).await?;
        match (known, named) {
            (Some((machine, _)), Some((named, _))) if machine.id == named.id => {
                Ok(Some(Client { machine: named, mac: Some(mac) }))
            }
            (Some(_), Some((named, _))) => Err(self.refuse(&named, client, "its boot configuration").await),
            (Some((machine, interface)), None) => Ok(Some(Client { machine, mac: Some(interface.mac) })),
            (None, None) => Ok(None),
            (None, Some((named, interface))) => {
                let network = match interface.network {
                    Some(id) => self.0.store().network(id).await?,
                    None => None,
                };
                let contradicted = neighbour.is_some_and(|seen| seen != mac);
                if contradicted || network.is_some_and(|network| !network.trust_path_mac) {
                    return Err(self.refuse(&named, client, "its boot configuration").await);
                }
                let now = self.0.now();
                let mut believed = lock(&self.0.0.believed);
                believed.retain(|_, (_, since)| now.since(*since) < BELIEF);
                if believed.len() < MOST_CLIENTS {
                    believed.insert(client, (named.id, now));
                }
                drop(believed);
                Ok(Some(Client { machine: named, mac: Some(mac) }))
            }
        }
    }

    async fn by_address(
        &self,
        client: IpAddr,
    ) -> Result<Option<(Machine, crate::machine::Interface)>, Error> {
        let IpAddr::V4(address) = client else { return Ok(None) };
        if let Some(lease) = self.0.store().lease_by_address(address).await?
            && let Some(owner) = self.0.interfaces().owner_of(lease.mac).await?
        {
            return Ok(Some(owner));
        }
        match self.0.store().interface_by_address(address).await? {
            Some(interface) => self.0.interfaces().owner_of(interface.mac).await,
            None => Ok(None),
        }
    }

    async fn believed(&self, client: IpAddr) -> Result<Option<Client>, Error> {
        let now = self.0.now();
        let found = {
            let mut believed = lock(&self.0.0.believed);
            believed.retain(|_, (_, since)| now.since(*since) < BELIEF);
            believed.get(&client).map(|(machine, _)| *machine)
        };
        let Some(id) = found else { return Ok(None) };
        Ok(self.0.store().machine(id).await?.map(|machine| Client { machine, mac: None }))
    }

    /// Refuses a client what belongs to a machine, and tells the machine's people.
    async fn refuse(&self, machine: &Machine, client: IpAddr, what: &str) -> Error {
        let refusal = Error::Forbidden("this belongs to another machine".into());
        if !self.is_news(machine.id, client, what) {
            return refusal;
        }
        let text = format!("{client} asked for {what} and was refused: it is not this machine");
        let data = json!({"client": client});
        let event = self.0.machine_event(machine, EventKind::Refused, text, data);
        match self.0.record_event(event).await {
            Ok(()) => refusal,
            Err(error) => error,
        }
    }

    /// False for what was told within the last minute: who asks for ever does not fill the events.
    pub(super) fn is_news(&self, machine: MachineId, client: IpAddr, what: &str) -> bool {
        let now = self.0.now();
        let mut told = lock(&self.0.0.refusals);
        told.retain(|_, since| now.since(*since) < REFUSALS);
        let key = (machine, client, what.to_owned());
        if told.contains_key(&key) || told.len() >= MOST_CLIENTS {
            return false;
        }
        told.insert(key, now);
        true
    }

    async fn configuration(
        &self,
        request: &BootRequest,
        dialect: Dialect,
        client: Option<&Client>,
    ) -> Result<String, Error> {
        let (plan, text) = match client {
            None => (BootPlan::Local { reason: "this machine is unknown here".into() }, None),
            Some(client) => {
                let plan = match self.own_loader(dialect, client).await? {
                    Some(loader) => BootPlan::Chain { loader },
                    None => self.plan(request, client).await?,
                };
                let told = match &plan {
                    BootPlan::Local { reason } => format!("told to boot its local disk: {reason}"),
                    BootPlan::Linux(linux) => format!("told to boot {}", linux.kernel),
                    BootPlan::Chain { loader } => format!("told to load its boot loader {loader}"),
                };
                (plan, Some(told))
            }
        };
        if let (Some(client), Some(told)) = (client, text) {
            let data = json!({
                "path": request.path, "client": request.client, "protocol": request.transport.as_str(),
                "local": matches!(plan, BootPlan::Local { .. }),
            });
            self.0.record_event(self.0.machine_event(&client.machine, EventKind::Boot, told, data)).await?;
        }
        match (self.0.0.renderer.boot_config(dialect, &plan), client) {
            (Ok(text), _) => Ok(text),
            (Err(error), None) => Err(error.into()),
            (Err(error), Some(Client { machine, .. })) => {
                let what = "the boot configuration";
                self.unrenderable(machine, EventKind::Boot, what, &error, request.client).await?;
                Err(error.into())
            }
        }
    }

    /// Writes down what could not be rendered for a machine; its run ends with it.
    async fn unrenderable(
        &self,
        machine: &Machine,
        kind: EventKind,
        what: &str,
        error: &RenderError,
        client: IpAddr,
    ) -> Result<(), Error> {
        let message = format!("{what} cannot be rendered: {error}");
        let data = json!({"what": what, "line": error.line, "client": client});
        let event = self.0.machine_event(machine, kind, message.clone(), data);
        self.0.note_machine(machine, Observation::Unrenderable { message }, Some(event)).await
    }

    /// The boot loader that an iPXE is to load: its machine's, where that is not iPXE itself and has something to load.
    async fn own_loader(&self, dialect: Dialect, client: &Client) -> Result<Option<String>, Error> {
        if dialect != Dialect::Ipxe || !client.machine.netboot.is_on() {
            return Ok(None);
        }
        let loader = self.0.subarch_of(&client.machine).await?.and_then(|subarch| subarch.bootloader);
        let image = match loader {
            Some(id) => self.0.store().image(id).await?,
            None => None,
        };
        let is_ipxe = |name: &str| is_ipxe_name(name.rsplit('/').next().unwrap_or(name));
        Ok(image.map(|image| image.name).filter(|name| !is_ipxe(name)))
    }

    async fn plan(&self, request: &BootRequest, client: &Client) -> Result<BootPlan, Error> {
        let id = client.machine.id;
        let facts = self.0.store().boot_facts(id).await?.ok_or_else(|| Error::not_found("machine", id))?;
        let machine = &facts.machine;
        if !machine.netboot.is_on() {
            return Ok(BootPlan::Local { reason: "netboot is off".into() });
        }
        if let Some(run) = &facts.run {
            let limits = self.0.settings().run;
            let decide = |run: &mut Run, now| Some(run.config_requested(&limits, now));
            let choice = self.0.change_run(run.id, "machine", Journal::default(), decide).await?;
            if choice != Some(BootChoice::Install) {
                return Ok(BootPlan::Local {
                    reason: "the answer file was fetched: the installed system is next".into(),
                });
            }
        }
        let Some(kernel) = facts.kernel.as_ref().map(|image| image.name.clone()) else {
            return Ok(BootPlan::Local { reason: "netboot is on, but no kernel is set".into() });
        };
        let base = self.0.base_url(&facts.interfaces, Some(request.local));
        let context = self.0.answer_context(&facts, &base);
        let own = machine.kernel_options.as_deref().unwrap_or("");
        let own = match self.0.0.renderer.kernel_options(own, &context).await {
            Ok(own) => own,
            Err(error) => {
                let what = "the kernel options";
                self.unrenderable(machine, EventKind::Boot, what, &error, request.client).await?;
                return Err(error.into());
            }
        };
        let token = self.0.boot_token(machine);
        let pointer = facts.answer_file.as_ref().map(|answer_file| {
            let url = match answer_file.kind {
                AnswerFileKind::Autoinstall => format!("{base}/autoinstall/{token}"),
                _ => format!("{base}/preseed/{}/{token}", machine.id),
            };
            answer_file_options(answer_file.kind, &url, self.0.settings().dns)
        });
        let arguments = match (pointer, own.is_empty()) {
            (Some(pointer), true) => pointer,
            (Some(pointer), false) => format!("{pointer} {own}"),
            (None, _) => own,
        };
        let initrd = facts.initrd.as_ref().map(|image| image.name.clone());
        let (mac, http_base, transport) = (client.mac, format!("{base}/boot"), request.transport);
        let machine = machine.name.clone();
        Ok(BootPlan::Linux(Linux { machine, kernel, initrd, mac, arguments, http_base, transport }))
    }

    /// The image behind a file name, if this client may have it.
    async fn image(
        &self,
        request: &BootRequest,
        name: &str,
        client: Option<&Client>,
    ) -> Result<Image, Error> {
        let store = self.0.store();
        let file_name = name.rsplit('/').next().unwrap_or(name);
        if let Some(client) = client
            && is_loader_name(file_name)
            && let Some(id) = self.0.subarch_of(&client.machine).await?.and_then(|subarch| subarch.bootloader)
            && let Some(image) = store.image(id).await?
        {
            return Ok(image);
        }
        let Some(image) = store.image_by_name(name).await? else {
            let loader = store.boot_loader_by_file_name(file_name).await?;
            return loader.ok_or_else(|| not_found(request));
        };
        let subarch = match client {
            Some(client) => self.0.subarch_of(&client.machine).await?,
            None => None,
        };
        let own = client.is_some_and(|Client { machine, .. }| {
            let loader = subarch.and_then(|subarch| subarch.bootloader);
            [machine.kernel, machine.initrd, loader].contains(&Some(image.id))
        });
        if own || (image.kind == ImageKind::BootLoader && image.public) {
            return Ok(image);
        }
        for name_of_machine in store.machines_using_image(image.id).await?.iter().take(TOLD) {
            if let Some(owner) = store.machine_by_name(name_of_machine).await? {
                self.refuse(&owner, request.client, &format!("the file {name}")).await;
            }
        }
        Err(Error::Forbidden("this file belongs to another machine".into()))
    }

    async fn render_answer_file(
        &self,
        facts: &BootFacts,
        client: IpAddr,
        local: IpAddr,
    ) -> Result<String, Error> {
        let machine = &facts.machine;
        let missing = || Error::not_found("preseed", machine.id);
        let file = facts.answer_file.as_ref().ok_or_else(missing)?;
        let base = self.0.base_url(&facts.interfaces, Some(local));
        let context = self.0.answer_context(facts, &base);
        let template = file.content.as_deref().unwrap_or("");
        let rendered = match self.0.0.renderer.answer_file(template, &context).await {
            Ok(rendered) => rendered,
            Err(error) => {
                let what = format!("answer file {}", file.name);
                self.unrenderable(machine, EventKind::AnswerFile, &what, &error, client).await?;
                return Err(error.into());
            }
        };
        for warning in &rendered.warnings {
            let text = format!("answer file {}: {warning}", file.name);
            let data = json!({"answer_file": file.name, "line": warning.line});
            self.0.record_event(self.0.machine_event(machine, EventKind::AnswerFile, text, data)).await?;
        }
        let bytes = rendered.text.len() as u64;
        let data = json!({"answer_file": file.name, "client": client, "bytes": bytes});
        let text = format!("fetched answer file {}: {bytes} bytes", file.name);
        let event = self.0.machine_event(machine, EventKind::AnswerFile, text, data);
        let run = facts.run.as_ref().map(|run| run.id);
        self.0.note_in_run(run, Observation::AnswerFile { bytes }, Some(event)).await?;
        Ok(rendered.text)
    }

    /// The machine of a token. One that is not valid any more, or was never, is told to the people of the machine that it names.
    async fn by_token(&self, token: &str, client: IpAddr, what: &str) -> Result<Machine, Error> {
        let id = token.split_once('-').and_then(|(id, _)| i64::from_str_radix(id, 16).ok());
        let id = id.ok_or_else(unknown_token)?;
        let machine = self.0.store().machine(MachineId::new(id)).await?.ok_or_else(unknown_token)?;
        if !self.is_token_of(&machine, token) {
            self.refuse(&machine, client, &format!("{what} with an old or foreign token")).await;
            return Err(unknown_token());
        }
        Ok(machine)
    }

    fn is_token_of(&self, machine: &Machine, token: &str) -> bool {
        let expected = self.0.boot_token(machine);
        // Compares every byte, so that the time tells nothing of how many were right.
        expected.len() == token.len()
            && expected.bytes().zip(token.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

fn unknown_token() -> Error {
    Error::not_found("token", "")
}

fn machine_actor() -> Actor {
    Actor { name: "machine".into(), admin: false, ..Actor::system() }
}

fn not_found(request: &BootRequest) -> Error {
    Error::not_found("file", request.path.chars().take(200).collect::<String>())
}
