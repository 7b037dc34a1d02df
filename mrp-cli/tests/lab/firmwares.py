"""The firmwares' part of the story: one machine of each kind is provisioned, and then boots its disk.

Everything is emulated, so two machines at a time keep the processors busy.
"""

import time

from processes import check

# What the loaders' languages could take for their own; iPXE refuses ${…}, and GRUB what the main story's BIOS machine has.
WORDS = "lab.list=a;b lab.value=$HOME lab.braces={y} lab.shell=#&|<>!~*?[] two  spaces"


class Story:
    """Machines of several firmwares, two at a time."""

    def __init__(self, lab, names):
        self.lab, self.say, self.alice = lab, lab.say, lab.alice
        self.machines = [lab.machines[name] for name in names]

    def tell(self):
        """All of them."""
        for machine in self.machines:
            self.alice.say("reserve", machine.name, "--reason", "lab")
        for start in range(0, len(self.machines), 2):
            self.boot(self.machines[start : start + 2])

    def boot(self, machines):
        """A pair: provisioned, booted from their disks, switched off."""
        lab, names = self.lab, " and ".join(machine.name for machine in machines)
        options = {machine: f"{machine.firmware.console} {WORDS}" for machine in machines}
        self.say(f"firmware: {names}")
        started = {machine: lab.start_run(machine, options[machine]) for machine in machines}
        for machine, process in started.items():
            lab.finish_run(machine, process, options[machine])
        begun = time.monotonic()
        if lab.dhcp == "kea":
            self.boots_disk_by_firmware(machines)
        else:
            lab.boots_disk_by_mrp(machines)
        self.say(f"{names}: {time.monotonic() - begun:.1f} s from power-on to the local disk")
        for machine in machines:
            self.alice.say("power", machine.name, "off")
            check(not machine.is_on(), f"{machine.name} runs on after power off")

    def boots_disk_by_firmware(self, machines):
        """With Kea a machine that does not netboot is given no boot file: UEFI told to netboot would wait for minutes."""
        for machine, told in self.lab.reboot(machines, "reboot", 1).items():
            check(not told, f"{machine.name} netbooted after a plain reboot: {told}")
