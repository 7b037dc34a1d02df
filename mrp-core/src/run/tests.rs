//! Whole lives of runs, on a clock of their own.

use super::*;

struct Life {
    run: Run,
    now: Timestamp,
    limits: RunLimits,
}

impl Life {
    fn new(change: impl FnOnce(&mut RunPlan)) -> Self {
        let mut plan = RunPlan {
            manual: false,
            has_bmc: true,
            kernel: RunFile { name: "a/linux.1".into(), size: 100 },
            initrd: Some(RunFile { name: "a/initrd.1".into(), size: 300 }),
            answer_file: Some("debian".into()),
        };
        change(&mut plan);
        let (now, limits) = (Timestamp(1_000_000), RunLimits::default());
        Self { run: Run::new(Id::new(1), None, "alice", plan, &limits, now), now, limits }
    }

    fn see(&mut self, seen: Observation) -> &mut Self {
        self.now = self.now + Duration::from_secs(1);
        self.run.observe(seen, &self.limits, self.now);
        self
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(seconds);
        self.run.check_deadline(self.now);
        self
    }

    fn config(&mut self) -> BootChoice {
        self.now = self.now + Duration::from_secs(1);
        self.run.config_requested(&self.limits, self.now)
    }

    fn firmware(&mut self) -> &mut Self {
        self.see(Observation::Dhcp { firmware: Some(true), address: None }).see(loader())
    }

    /// Up to and with the initrd.
    fn booted(change: impl FnOnce(&mut RunPlan)) -> Self {
        let mut life = Self::new(change);
        life.see(Observation::PowerStarted).firmware();
        assert_eq!(life.config(), BootChoice::Install);
        life.see(bytes(StageKind::Kernel, 100, 100)).see(bytes(StageKind::Initrd, 300, 300));
        life
    }

    fn installing() -> Self {
        let mut life = Self::booted(|_| {});
        life.see(Observation::Dhcp { firmware: Some(false), address: None })
            .see(Observation::AnswerFile { bytes: 9 });
        life
    }

    fn ended(&self) -> (RunStatus, &str) {
        (self.run.status, self.run.verdict.as_deref().unwrap_or(""))
    }
}

fn loader() -> Observation {
    Observation::BootLoader { name: "bootx64.efi".into(), bytes: 7, facts: facts() }
}

fn bytes(stage: StageKind, bytes: u64, total: u64) -> Observation {
    Observation::Transfer { stage, bytes, total, detail: "TFTP".into(), facts: facts() }
}

fn facts() -> TransferFacts {
    let tftp = TftpFacts { blksize: 1468, windowsize: 16, tsize: true, retransmissions: 3 };
    TransferFacts { protocol: Transport::Tftp, bytes_per_second: 4_800_000, tftp: Some(tftp) }
}

fn phone_home(ok: bool, message: Option<&str>) -> Observation {
    Observation::PhoneHome { ok, message: message.map(str::to_owned) }
}

#[test]
fn a_run_passes_its_stages_and_ends_by_phone_home() {
    let mut life = Life::installing();
    life.see(phone_home(true, None));
    assert_eq!(life.ended(), (RunStatus::Ready, "ready: the machine phoned home"));
    let stages: Vec<_> = life.run.stages.iter().map(|stage| stage.stage).collect();
    use StageKind::*;
    assert_eq!(stages, [Power, Dhcp, BootLoader, Config, Kernel, Initrd, AnswerFile, PhoneHome]);
    assert!(life.run.stages.windows(2).all(|pair| pair[0].at < pair[1].at));
    let ended = life.run.clone();
    life.see(phone_home(false, None)).wait(1_000_000);
    assert_eq!(life.run, ended, "a run that has ended changes no more");
}

#[test]
fn each_missed_stage_has_its_verdict() {
    let verdict = |life: &mut Life| {
        life.wait(3 * 60 * 60);
        let (status, verdict) = life.ended();
        assert_eq!(status, RunStatus::Failed);
        verdict.to_owned()
    };
    let mut life = Life::new(|_| {});
    life.see(Observation::PowerStarted);
    assert_eq!(verdict(&mut life), "powered on, but no DHCP or netboot request was seen within 15 min");
    life = Life::new(|plan| plan.has_bmc = false);
    assert_eq!(verdict(&mut life), "nothing was seen of the machine within 1 h; was it switched on?");
    life = Life::new(|_| {});
    life.see(Observation::PowerStarted).see(Observation::Dhcp { firmware: Some(true), address: None });
    assert_eq!(verdict(&mut life), "address given by DHCP, but no boot loader requested within 15 min");
    life = Life::new(|_| {});
    life.see(Observation::PowerStarted).firmware();
    assert_eq!(verdict(&mut life), "boot loader fetched, but no configuration requested within 5 min");
    life = Life::new(|_| {});
    life.see(Observation::PowerStarted).firmware().config();
    assert_eq!(verdict(&mut life), "configuration served, but no kernel requested within 5 min");
    life = Life::new(|_| {});
    life.see(Observation::PowerStarted).firmware().config();
    life.see(bytes(StageKind::Kernel, 40, 100));
    assert_eq!(verdict(&mut life), "kernel stopped at 40 of 100 bytes and did not go on within 5 min");
    life = Life::booted(|_| {});
    assert_eq!(verdict(&mut life), "kernel fetched, but no answer file requested within 10 min");
    life = Life::installing();
    assert_eq!(verdict(&mut life), "answer file fetched, but no phone-home within 2 h");
}

#[test]
fn without_an_answer_file_or_by_hand_nothing_is_expected_after_the_kernel() {
    for mut life in [Life::booted(|plan| plan.answer_file = None), Life::booted(|plan| plan.manual = true)] {
        assert_eq!(life.run.deadline, None);
        life.wait(1_000_000);
        assert!(life.run.is_active());
        life.see(Observation::StateSet { ok: true, by: "alice".into() });
        assert_eq!(life.ended(), (RunStatus::Ready, "ready: said by alice"));
    }
}

#[test]
fn the_first_boot_after_the_answer_file_is_local_and_an_operating_system_after_it_is_presumed_ready() {
    let mut life = Life::installing();
    life.firmware();
    assert!(life.run.is_active(), "firmware's DHCP is no evidence");
    assert_eq!(life.config(), BootChoice::Local);
    assert_eq!(life.config(), BootChoice::Local, "the same boot asks for two configurations");
    assert!(life.run.is_active());
    life.see(Observation::Dhcp { firmware: Some(false), address: None });
    assert_eq!(life.ended().0, RunStatus::Presumed);
}

#[test]
fn a_second_netboot_after_local_boot_is_a_loop() {
    let mut life = Life::installing();
    life.firmware().config();
    life.firmware();
    assert_eq!(life.config(), BootChoice::Local);
    assert_eq!(life.ended().0, RunStatus::Failed);
    assert!(life.ended().1.contains("netboot loop"));
}

#[test]
fn an_installers_own_dhcp_is_no_evidence() {
    let mut life = Life::installing();
    life.see(Observation::Dhcp { firmware: Some(false), address: None });
    assert!(life.run.is_active());
}

#[test]
fn a_machine_that_crashes_before_its_answer_file_gets_the_kernel_again_but_not_for_ever() {
    let mut life = Life::booted(|_| {});
    for _ in 0..20 {
        life.wait(60).firmware();
        if !life.run.is_active() {
            break;
        }
        assert_eq!(life.config(), BootChoice::Install);
        life.see(bytes(StageKind::Kernel, 100, 100));
    }
    assert_eq!(
        life.ended(),
        (RunStatus::Failed, "kernel fetched, but no answer file requested within 10 min")
    );
}

#[test]
fn a_transfer_that_goes_on_does_not_time_out() {
    let mut life = Life::new(|_| {});
    life.see(Observation::PowerStarted).firmware().config();
    for done in 1..100 {
        life.wait(200).see(bytes(StageKind::Kernel, done, 100));
    }
    assert!(life.run.is_active());
}

#[test]
fn people_end_runs() {
    for (seen, status, verdict) in [
        (Observation::SwitchedOff { by: "bob".into() }, RunStatus::Cancelled, "switched off by bob"),
        (Observation::Cancelled { how: "cancelled by bob".into() }, RunStatus::Cancelled, "cancelled by bob"),
        (Observation::StateSet { ok: false, by: "ci".into() }, RunStatus::Failed, "failed: said by ci"),
        (phone_home(false, Some("no disk")), RunStatus::Failed, "the machine reported a failure: no disk"),
        (Observation::PowerFailed { message: "no".into() }, RunStatus::Failed, "power: no"),
    ] {
        let mut life = Life::booted(|_| {});
        life.see(seen);
        assert_eq!(life.ended(), (status, verdict));
    }
}

#[test]
fn durations_are_words() {
    for (seconds, words) in [(5, "5 s"), (90, "90 s"), (600, "10 min"), (7200, "2 h")] {
        assert_eq!(Words(Duration::from_secs(seconds)).to_string(), words);
    }
}
