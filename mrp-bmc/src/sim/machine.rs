//! The machine behind a simulated BMC: its power and the boot flags that its firmware takes at each start.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mrp_core::bmc::{BootOverride, Power};
use tokio::sync::broadcast;

use super::{MachineEvent, SimConfig};
use crate::ipmi::override_of;
use crate::ipmi::wire::chassis_control::ChassisControl;
use crate::ipmi::wire::system_boot_options::{BootFlags, NO_EXPIRY};

/// Events that a slow receiver may lag behind.
const EVENTS: usize = 64;

#[derive(Debug, Clone, Copy)]
enum Change {
    On,
    Off,
    Reset,
    SoftOff,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    power: Power,
    flags: BootFlags,
    /// When the flags lose their validity.
    expires: Option<Instant>,
    /// Boot option parameter 3.
    pub(super) valid_bit_clearing: u8,
    /// Why power changed last, as Get Chassis Status reports it.
    pub(super) last_power_event: u8,
    changes: VecDeque<(Instant, Change)>,
    events: broadcast::Sender<MachineEvent>,
    /// What its firmware printed and nobody has fetched.
    printed: String,
    boot_expiry: Duration,
    power_delay: Duration,
    cycle_pause: Duration,
    soft_delay: Duration,
}

impl Machine {
    pub(super) fn new(config: &SimConfig) -> Self {
        Self {
            power: config.power,
            flags: BootFlags::default(),
            expires: None,
            printed: String::new(),
            valid_bit_clearing: 0,
            last_power_event: 0,
            changes: VecDeque::new(),
            events: broadcast::Sender::new(EVENTS),
            boot_expiry: config.boot_expiry,
            power_delay: config.power_delay,
            cycle_pause: config.cycle_pause,
            soft_delay: config.soft_delay,
        }
    }

    pub(super) fn events(&self) -> broadcast::Receiver<MachineEvent> {
        self.events.subscribe()
    }

    pub(super) fn power(&mut self, now: Instant) -> Power {
        self.advance(now);
        self.power
    }

    /// The flags as the firmware would take them.
    pub(super) fn flags(&mut self, now: Instant) -> BootFlags {
        if self.expires.is_some_and(|expires| expires <= now) {
            self.expires = None;
            self.flags.data1 &= !BootFlags::VALID;
        }
        self.flags
    }

    pub(super) fn boot(&mut self, now: Instant) -> Option<BootOverride> {
        Some(self.flags(now)).filter(|flags| flags.is_valid()).and_then(override_of)
    }

    pub(super) fn set_flags(&mut self, flags: BootFlags, now: Instant) {
        self.flags = flags;
        let expires = self.valid_bit_clearing & NO_EXPIRY[0] == 0;
        self.expires = (flags.is_valid() && expires).then(|| now + self.boot_expiry);
    }

    /// Carries out Chassis Control. What an earlier command has not finished is given up.
    pub(super) fn control(&mut self, control: ChassisControl, now: Instant) {
        let is_on = self.power(now) == Power::On;
        self.changes.clear();
        let due = now + self.power_delay;
        match control {
            ChassisControl::PowerUp if !is_on => self.changes.push_back((due, Change::On)),
            ChassisControl::PowerDown if is_on => self.changes.push_back((due, Change::Off)),
            ChassisControl::PowerCycle if is_on => {
                self.changes.push_back((due, Change::Off));
                self.changes.push_back((due + self.cycle_pause, Change::On));
            }
            ChassisControl::HardReset if is_on => self.changes.push_back((due, Change::Reset)),
            ChassisControl::SoftShutdown if is_on => {
                self.changes.push_back((now + self.soft_delay, Change::SoftOff));
            }
            _ => {}
        }
        self.advance(now);
    }

    /// What was printed on the serial port since it was fetched last.
    pub(super) fn take_printed(&mut self) -> String {
        std::mem::take(&mut self.printed)
    }

    /// When [`Machine::advance`] is due.
    pub(super) fn next_change(&self) -> Option<Instant> {
        self.changes.front().map(|(due, _)| *due)
    }

    /// Lets happen what is due.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some((due, change)) = self.changes.pop_front() {
            if due > now {
                return self.changes.push_front((due, change));
            }
            let event = match change {
                Change::On => MachineEvent::On { boot: self.start(now) },
                Change::Off => MachineEvent::Off,
                Change::Reset => MachineEvent::Reset { boot: self.start(now) },
                Change::SoftOff => MachineEvent::SoftOff,
            };
            (self.power, self.last_power_event) = match change {
                Change::On => (Power::On, 0x10),
                Change::Reset => (Power::On, self.last_power_event),
                Change::Off | Change::SoftOff => (Power::Off, 0x00),
            };
            // Nobody has to listen.
            let _ = self.events.send(event);
        }
    }

    /// The firmware takes the boot flags: once, unless they are persistent.
    fn start(&mut self, now: Instant) -> Option<BootOverride> {
        let boot = self.boot(now);
        let device = boot.map_or_else(|| "its first boot device".into(), |boot| boot.device.to_string());
        self.printed.push_str(&format!("\r\nThe simulated machine starts from {device}.\r\nlogin: "));
        self.expires = None;
        if self.flags.data1 & BootFlags::PERSISTENT == 0 {
            self.flags.data1 &= !BootFlags::VALID;
        }
        boot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mrp_core::bmc::BootDevice;

    const PXE_EFI: BootFlags = BootFlags { data1: 0xa0, data2: 0x04, data3: 0, data4: 0, data5: 0 };

    #[test]
    fn a_start_takes_the_boot_flags_once() {
        let now = Instant::now();
        let mut machine = Machine::new(&SimConfig::default());
        let mut events = machine.events();
        machine.set_flags(PXE_EFI, now);
        let boot = Some(BootOverride { device: BootDevice::Pxe, efi: true, persistent: false });
        machine.control(ChassisControl::PowerUp, now);
        assert_eq!(events.try_recv().unwrap(), MachineEvent::On { boot });
        assert_eq!(machine.boot(now), None);
        machine.control(ChassisControl::HardReset, now);
        assert_eq!(events.try_recv().unwrap(), MachineEvent::Reset { boot: None });
        machine.set_flags(BootFlags { data1: 0xe0, ..PXE_EFI }, now);
        machine.control(ChassisControl::PowerCycle, now);
        assert_eq!(events.try_recv().unwrap(), MachineEvent::Off);
        assert!(matches!(events.try_recv().unwrap(), MachineEvent::On { boot: Some(_) }));
        assert!(machine.boot(now).is_some(), "persistent flags stay");
    }

    #[test]
    fn boot_flags_expire_after_a_minute_unless_that_is_off() {
        let now = Instant::now();
        let later = now + Duration::from_secs(61);
        let mut machine = Machine::new(&SimConfig::default());
        machine.set_flags(PXE_EFI, now);
        assert!(machine.boot(now + Duration::from_secs(59)).is_some());
        assert_eq!(machine.boot(later), None);
        machine.valid_bit_clearing = NO_EXPIRY[0];
        machine.set_flags(PXE_EFI, now);
        assert!(machine.boot(later).is_some());
    }

    #[test]
    fn a_slow_machine_changes_when_its_time_has_come() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let config = SimConfig { power_delay: second, cycle_pause: second, ..SimConfig::default() };
        let mut machine = Machine::new(&config);
        machine.control(ChassisControl::PowerUp, now);
        assert_eq!(machine.next_change(), Some(now + second));
        assert_eq!(machine.power(now), Power::Off);
        assert_eq!(machine.power(now + second), Power::On);
        machine.control(ChassisControl::PowerCycle, now + second);
        assert_eq!(machine.power(now + second * 2), Power::Off);
        assert_eq!(machine.power(now + second * 3), Power::On);
        assert_eq!(machine.next_change(), None);
    }
}
