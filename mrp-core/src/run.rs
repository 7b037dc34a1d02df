//! The life of one attempt to provision a machine. Pure: what was observed comes in, what the run makes of it
//! comes out. This file is the only writer of a run's status.
//!
//! A run ends by evidence alone: the machine's phone-home, its state set by a person, the DHCP of an installed
//! system after local boot was served, a missed deadline, a loop, a cancel.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::boot::Transport;
use crate::id::{Id, Timestamp};
use crate::machine::MachineId;
use crate::user::UserId;

/// Identifies a [`Run`].
pub type RunId = Id<Run>;

/// How long a boot loader may go on asking for configurations that belong to one boot.
const SAME_BOOT: Duration = Duration::from_secs(30);

/// The stages of a run, in the order in which they are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// The power command was sent.
    Power,
    /// The machine got an address.
    Dhcp,
    /// It fetched its boot loader.
    BootLoader,
    /// The boot loader asked for its configuration.
    Config,
    /// It fetched the kernel.
    Kernel,
    /// It fetched the initrd.
    Initrd,
    /// The installer fetched its answer file.
    AnswerFile,
    /// The machine reported.
    PhoneHome,
}

impl StageKind {
    /// The stage in words.
    pub fn as_str(self) -> &'static str {
        match self {
            StageKind::Power => "power",
            StageKind::Dhcp => "DHCP",
            StageKind::BootLoader => "boot loader",
            StageKind::Config => "configuration",
            StageKind::Kernel => "kernel",
            StageKind::Initrd => "initrd",
            StageKind::AnswerFile => "answer file",
            StageKind::PhoneHome => "phone-home",
        }
    }
}

/// A stage that was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// Which.
    pub stage: StageKind,
    /// When it was first observed.
    pub at: Timestamp,
    /// When it was last observed.
    pub last: Timestamp,
    /// How often.
    pub count: u32,
    /// Bytes that the machine has acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// In words: an address, a file, a BMC's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How its file goes, or went, to the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferFacts>,
}

/// How a file goes, or went, to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransferFacts {
    /// By TFTP or HTTP.
    pub protocol: Transport,
    /// Bytes a second from the first packet on.
    pub bytes_per_second: u64,
    /// What TFTP agreed on, and lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tftp: Option<TftpFacts>,
}

/// What a TFTP server and its client agreed on (RFC 2348, 2349, 7440), and what was lost between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TftpFacts {
    /// Bytes in a block.
    pub blksize: u16,
    /// Blocks in a window.
    pub windowsize: u16,
    /// The client asked for the file's size.
    pub tsize: bool,
    /// Blocks that were sent again.
    pub retransmissions: u64,
}

impl Stage {
    /// True unless bytes are missing.
    pub fn is_complete(&self) -> bool {
        self.bytes == self.total
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Under way.
    Active,
    /// The machine reported that it is ready.
    Ready,
    /// The installed system was seen, but did not report.
    Presumed,
    /// It failed; the verdict says why.
    Failed,
    /// A person ended it.
    Cancelled,
}

impl RunStatus {
    /// The status in API and store.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Active => "active",
            RunStatus::Ready => "ready",
            RunStatus::Presumed => "presumed",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
        }
    }

    /// True for `Ready` and `Presumed`.
    pub fn is_success(self) -> bool {
        matches!(self, RunStatus::Ready | RunStatus::Presumed)
    }
}

/// A file that the run boots, as it was when the run started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunFile {
    /// The image's name.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// What a run is to do, as it was when the run started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunPlan {
    /// A person does the installation at the console: nothing is expected after the kernel.
    pub manual: bool,
    /// The machine is powered by its BMC; otherwise a person switches it on.
    pub has_bmc: bool,
    /// Kernel.
    pub kernel: RunFile,
    /// Initrd.
    pub initrd: Option<RunFile>,
    /// The answer file's name.
    pub answer_file: Option<String>,
}

/// How long a run waits for the next stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// From power-on to the request of a boot loader. Slow firmware takes minutes.
    pub netboot: Duration,
    /// The same where a person switches the machine on.
    pub by_hand: Duration,
    /// From the boot loader to its configuration, and without progress of kernel or initrd.
    pub transfer: Duration,
    /// From the last byte of kernel and initrd to the answer file.
    pub answer_file: Duration,
    /// From the answer file to the phone-home.
    pub install: Duration,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            netboot: Duration::from_secs(15 * 60),
            by_hand: Duration::from_secs(60 * 60),
            transfer: Duration::from_secs(5 * 60),
            answer_file: Duration::from_secs(10 * 60),
            install: Duration::from_secs(2 * 60 * 60),
        }
    }
}

/// The stage that is waited for, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// The stage.
    pub stage: StageKind,
    /// Until when.
    pub at: Timestamp,
    /// Length of the wait, in milliseconds; for the verdict.
    pub after_ms: u64,
}

/// What tells one firmware boot from the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTrack {
    /// Firmware was seen since the last configuration was served: the next request is a new boot.
    fresh: bool,
    /// When the last configuration was served.
    served: Option<Timestamp>,
    /// Local boot has been served to one boot.
    local: bool,
}

/// What a boot loader is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootChoice {
    /// Kernel and initrd.
    Install,
    /// The local disk.
    Local,
}

/// Something that was observed of a run's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The power command is about to be sent.
    PowerStarted,
    /// The BMC took the power command.
    PowerDone {
        /// What was done, in words.
        detail: String,
    },
    /// The BMC did not do it.
    PowerFailed {
        /// Why, in words.
        message: String,
    },
    /// The machine got or confirmed an address.
    Dhcp {
        /// Its firmware or boot loader asked, or an operating system; `None` where that is not known.
        firmware: Option<bool>,
        /// The address.
        address: Option<Ipv4Addr>,
    },
    /// It fetched a boot loader.
    BootLoader {
        /// The file.
        name: String,
        /// Bytes.
        bytes: u64,
        /// How it went.
        facts: TransferFacts,
    },
    /// It fetches kernel or initrd.
    Transfer {
        /// [`StageKind::Kernel`] or [`StageKind::Initrd`].
        stage: StageKind,
        /// Bytes acknowledged.
        bytes: u64,
        /// Bytes of the file.
        total: u64,
        /// Protocol and rate, in words.
        detail: String,
        /// How it goes.
        facts: TransferFacts,
    },
    /// It fetched its answer file.
    AnswerFile {
        /// Bytes of the rendered file.
        bytes: u64,
    },
    /// What it is to be told, its configuration or its answer file, could not be rendered.
    Unrenderable {
        /// Why, with the template's line.
        message: String,
    },
    /// It reported.
    PhoneHome {
        /// The installation succeeded.
        ok: bool,
        /// Its words.
        message: Option<String>,
    },
    /// A person or a program said how it stands.
    StateSet {
        /// Ready, or in error.
        ok: bool,
        /// Who said so.
        by: String,
    },
    /// A holder switched it off.
    SwitchedOff {
        /// Who.
        by: String,
    },
    /// A holder cancelled the run, or gave the machine back.
    Cancelled {
        /// Who and how, in words: `cancelled by alice`.
        how: String,
    },
}

/// One attempt to provision a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Row id.
    pub id: RunId,
    /// Grows by one with each change.
    pub revision: i64,
    /// The machine; has at most one active run.
    pub machine: MachineId,
    /// Who started it; `None` when that user is gone.
    pub user: Option<UserId>,
    /// The starter's name.
    pub started_by: String,
    /// What it is to do.
    pub plan: RunPlan,
    /// How it stands.
    pub status: RunStatus,
    /// How it ended, in words.
    pub verdict: Option<String>,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What was observed, in order of first observation.
    pub stages: Vec<Stage>,
    /// What is waited for.
    pub deadline: Option<Deadline>,
    /// When a new stage or more bytes were last seen.
    pub advanced: Timestamp,
    /// Which firmware boot it is in.
    pub boot: BootTrack,
}

impl Run {
    /// Starts a run.
    pub fn new(
        machine: MachineId,
        user: Option<UserId>,
        started_by: impl Into<String>,
        plan: RunPlan,
        limits: &RunLimits,
        now: Timestamp,
    ) -> Self {
        let mut run = Self {
            id: Id::NEW,
            revision: 0,
            machine,
            user,
            started_by: started_by.into(),
            plan,
            status: RunStatus::Active,
            verdict: None,
            started: now,
            ended: None,
            stages: Vec::new(),
            deadline: None,
            advanced: now,
            boot: BootTrack::default(),
        };
        run.deadline = run.next_deadline(limits);
        run
    }

    /// True until it has ended.
    pub fn is_active(&self) -> bool {
        self.status == RunStatus::Active
    }

    /// The stage, if it was observed.
    pub fn stage(&self, kind: StageKind) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.stage == kind)
    }

    /// Takes in an observation. True if anything of the run changed; an ended run changes no more.
    pub fn observe(&mut self, seen: Observation, limits: &RunLimits, now: Timestamp) -> bool {
        if !self.is_active() {
            return false;
        }
        let before = self.clone();
        self.take(seen, now);
        self.deadline = self.next_deadline(limits);
        *self != before
    }

    /// A boot loader asks for its configuration: decides what it gets. A second netboot after local boot was served ends
    /// the run as a loop. The run must be active.
    pub fn config_requested(&mut self, limits: &RunLimits, now: Timestamp) -> BootChoice {
        let new_boot = self.boot.fresh || self.boot.served.is_none_or(|served| now.since(served) > SAME_BOOT);
        self.boot.fresh = false;
        self.boot.served = Some(now);
        let installed = self.stage(StageKind::AnswerFile).is_some();
        if installed && new_boot && self.boot.local {
            self.end(
                RunStatus::Failed,
                "netbooted again after it was told to boot its disk: a netboot loop, broken".into(),
                now,
            );
            return BootChoice::Local;
        }
        if installed && (new_boot || self.boot.local) {
            self.boot.local = true;
            self.mark(StageKind::Config, Some("local boot".into()), None, now);
            self.deadline = self.next_deadline(limits);
            return BootChoice::Local;
        }
        self.mark(StageKind::Config, None, None, now);
        self.deadline = self.next_deadline(limits);
        BootChoice::Install
    }

    /// Ends the run if its deadline has passed. True if it did.
    pub fn check_deadline(&mut self, now: Timestamp) -> bool {
        match self.deadline {
            Some(deadline) if self.is_active() && deadline.at <= now => {
                let verdict = self.missed(deadline);
                self.end(RunStatus::Failed, verdict, now);
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, seen: Observation, now: Timestamp) {
        match seen {
            Observation::PowerStarted => self.mark(StageKind::Power, None, None, now),
            Observation::PowerDone { detail } => {
                if let Some(stage) = self.stages.iter_mut().find(|stage| stage.stage == StageKind::Power) {
                    stage.last = now;
                    stage.detail = Some(detail);
                }
            }
            Observation::PowerFailed { message } => {
                self.end(RunStatus::Failed, format!("power: {message}"), now)
            }
            Observation::Dhcp { firmware: Some(false), .. } if self.boot.local => {
                let verdict =
                    "presumed ready: the installed system asked for an address, but did not phone home";
                self.end(RunStatus::Presumed, verdict.into(), now);
            }
            Observation::Dhcp { firmware, address } => {
                self.boot.fresh |= firmware == Some(true) && self.boot.served.is_some();
                self.mark(StageKind::Dhcp, address.map(|address| address.to_string()), None, now);
            }
            Observation::BootLoader { name, bytes, facts } => {
                self.boot.fresh |= self.boot.served.is_some();
                self.mark(StageKind::BootLoader, Some(name), Some((bytes, bytes)), now);
                self.note_facts(StageKind::BootLoader, facts);
            }
            Observation::Transfer { stage, bytes, total, detail, facts } => {
                self.mark(stage, Some(detail), Some((bytes, total)), now);
                self.note_facts(stage, facts);
            }
            Observation::AnswerFile { bytes } => {
                self.mark(StageKind::AnswerFile, None, Some((bytes, bytes)), now)
            }
            Observation::Unrenderable { message } => self.end(RunStatus::Failed, message, now),
            Observation::PhoneHome { ok, message } => {
                self.mark(StageKind::PhoneHome, message.clone(), None, now);
                match (ok, message) {
                    (true, _) => self.end(RunStatus::Ready, "ready: the machine phoned home".into(), now),
                    (false, Some(message)) => {
                        self.end(
                            RunStatus::Failed,
                            format!("the machine reported a failure: {message}"),
                            now,
                        );
                    }
                    (false, None) => {
                        self.end(RunStatus::Failed, "the machine reported a failure".into(), now)
                    }
                }
            }
            Observation::StateSet { ok: true, by } => {
                self.end(RunStatus::Ready, format!("ready: said by {by}"), now)
            }
            Observation::StateSet { ok: false, by } => {
                self.end(RunStatus::Failed, format!("failed: said by {by}"), now)
            }
            Observation::SwitchedOff { by } => {
                self.end(RunStatus::Cancelled, format!("switched off by {by}"), now)
            }
            Observation::Cancelled { how } => self.end(RunStatus::Cancelled, how, now),
        }
    }

    fn mark(
        &mut self,
        kind: StageKind,
        detail: Option<String>,
        progress: Option<(u64, u64)>,
        now: Timestamp,
    ) {
        let Some(stage) = self.stages.iter_mut().find(|stage| stage.stage == kind) else {
            let (bytes, total) = progress.unzip();
            let transfer = None;
            self.stages.push(Stage {
                stage: kind,
                at: now,
                last: now,
                count: 1,
                bytes,
                total,
                detail,
                transfer,
            });
            self.advanced = now;
            return;
        };
        stage.last = now;
        stage.count += 1;
        if detail.is_some() {
            stage.detail = detail;
        }
        if let Some((bytes, total)) = progress
            && stage.bytes.is_none_or(|seen| bytes > seen)
        {
            (stage.bytes, stage.total) = (Some(bytes), Some(total));
            self.advanced = now;
        }
    }

    fn note_facts(&mut self, kind: StageKind, facts: TransferFacts) {
        if let Some(stage) = self.stages.iter_mut().find(|stage| stage.stage == kind) {
            stage.transfer = Some(facts);
        }
    }

    fn end(&mut self, status: RunStatus, verdict: String, now: Timestamp) {
        self.status = status;
        self.verdict = Some(verdict);
        self.ended = Some(now);
        self.deadline = None;
    }

    fn done(&self, kind: StageKind) -> bool {
        self.stage(kind).is_some_and(Stage::is_complete)
    }

    fn next_deadline(&self, limits: &RunLimits) -> Option<Deadline> {
        if !self.is_active() || (self.plan.has_bmc && self.stage(StageKind::Power).is_none()) {
            return None;
        }
        let first_contact = if self.plan.has_bmc { limits.netboot } else { limits.by_hand };
        let expects_answer_file = self.plan.answer_file.is_some() && !self.plan.manual;
        let (stage, after) = if self.done(StageKind::AnswerFile) {
            (StageKind::PhoneHome, limits.install)
        } else if self.done(StageKind::Kernel) && (self.plan.initrd.is_none() || self.done(StageKind::Initrd))
        {
            if !expects_answer_file {
                return None;
            }
            (StageKind::AnswerFile, limits.answer_file)
        } else if self.done(StageKind::Kernel) {
            (StageKind::Initrd, limits.transfer)
        } else if self.done(StageKind::Config) {
            (StageKind::Kernel, limits.transfer)
        } else if self.done(StageKind::BootLoader) {
            (StageKind::Config, limits.transfer)
        } else if self.done(StageKind::Dhcp) {
            (StageKind::BootLoader, first_contact)
        } else {
            (StageKind::Dhcp, first_contact)
        };
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Some(Deadline { stage, at: self.advanced + after, after_ms })
    }

    fn missed(&self, deadline: Deadline) -> String {
        let within = Words(Duration::from_millis(deadline.after_ms));
        let stalled = self.stage(deadline.stage).filter(|stage| !stage.is_complete());
        if let Some(Stage { bytes: Some(bytes), total: Some(total), .. }) = stalled {
            let stage = deadline.stage.as_str();
            return format!("{stage} stopped at {bytes} of {total} bytes and did not go on within {within}");
        }
        match deadline.stage {
            StageKind::Power | StageKind::Dhcp if self.plan.has_bmc => {
                format!("powered on, but no DHCP or netboot request was seen within {within}")
            }
            StageKind::Power | StageKind::Dhcp => {
                format!("nothing was seen of the machine within {within}; was it switched on?")
            }
            StageKind::BootLoader => {
                format!("address given by DHCP, but no boot loader requested within {within}")
            }
            StageKind::Config => {
                format!("boot loader fetched, but no configuration requested within {within}")
            }
            StageKind::Kernel => format!("configuration served, but no kernel requested within {within}"),
            StageKind::Initrd => format!("kernel fetched, but no initrd requested within {within}"),
            StageKind::AnswerFile => format!("kernel fetched, but no answer file requested within {within}"),
            StageKind::PhoneHome => format!("answer file fetched, but no phone-home within {within}"),
        }
    }
}

/// A duration as people say it: `90 s`, `10 min`, `2 h`.
struct Words(Duration);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => write!(f, "{} ms", self.0.as_millis()),
            s if s % 3600 == 0 => write!(f, "{} h", s / 3600),
            s if s % 60 == 0 => write!(f, "{} min", s / 60),
            s => write!(f, "{s} s"),
        }
    }
}

#[cfg(test)]
mod tests;
