"""The whole installation's part of the story: two machines with empty disks, one with UEFI and one with BIOS, get a system.

The lab's own installer (installer_image.py) puts it there by debootstrap, from a mirror that the lab serves. mrp disarms
netboot by the phone-home, and from then on tells the machines to boot their disks, whose login is seen on the console.
"""

import http.server
import re
import threading
import time

import installer_image
import netns
from mirror import Mirror
from processes import check, wait_for

PORT = 8090
NAMES = {"inst-uefi": "uefi", "inst-bios": "bios"}
MEMORY_MB = 1536
# Everything is emulated.
WITHIN = 45 * 60


class Installed:
    """Machines that have a system of their own on their disks."""

    def __init__(self, lab, names):
        self.lab, self.say, self.alice = lab, lab.say, lab.alice
        self.machines = [lab.machines[name] for name in names]

    def is_done(self, machine):
        """Its phone-home ended the run well, and netboot with it."""
        name = machine.name
        shown = self.alice.ask("machine", "show", name)
        check(shown["state"] == "ready", f"{name} is {shown['state']}")
        check(not shown["netboot_enabled"], f"{name}: netboot is on after it phoned home")

    def logs_in(self, machine, start, after):
        """Waits for the login of the installed system."""
        prompt = f"{machine.name} login: "
        wait_for(lambda: prompt in machine.serial(start), f"{machine.name} shows its login after {after}", WITHIN)
        self.say(f"{machine.name}: its login is on the console after {after}")

    def boots_by_mrp(self):
        """Netboots both again: mrp tells them to boot their disks."""
        self.say("power pxe-reboot: mrp tells both to boot what was installed")
        begun = time.monotonic()
        before = {m: (m.serial_log.stat().st_size, self.lab.events(m)[-1]["id"]) for m in self.machines}
        for machine in self.machines:
            self.alice.say("power", machine.name, "pxe-reboot")
        for machine, (start, event) in before.items():
            self.logs_in(machine, start, "mrp's local boot")
            told = [e for e in self.lab.events(machine) if e["id"] > event and e["kind"] == "boot"]
            choices = [e["data"]["local"] for e in told if "local" in e["data"]]
            check(choices and all(choices), f"{machine.name} reached its disk, but not by mrp's word: {told}")
        self.say(f"{time.monotonic() - begun:.1f} s from power-on to both logins")
        for machine in self.machines:
            self.alice.say("power", machine.name, "off")


class Story(Installed):
    """From empty disks to logins."""

    def __init__(self, lab):
        super().__init__(lab, NAMES)

    def tell(self):
        """Installs, and boots what was installed."""
        folder = self.lab.folder / "mirror"
        folder.mkdir()
        mirror = Mirror(folder)
        mirror.index()
        installer_image.build(folder, mirror)
        installer_image.installer(self.lab.folder / "installer.gz")
        self.say(f"a mirror of {len(mirror.packages())} packages is served at {netns.SERVER}:{PORT}")
        serve(folder)
        (self.lab.folder / "installer.cfg").write_text(installer_image.answers(f"{netns.SERVER}:{PORT}", ""))
        self.alice.say("image", "upload", "installer.gz", "--type", "initrd", "--arch", "x86_64")
        self.alice.say("preseed", "add", "installer", "installer.cfg", "--type", "preseed")
        for machine in self.machines:
            self.alice.say("reserve", machine.name, "--reason", "lab")
        started = {machine: self.provision(machine) for machine in self.machines}
        for machine, process in started.items():
            self.installed(machine, process)
        for machine in self.machines:
            self.logs_in(machine, 0, "its own reboot")
        self.boots_by_mrp()

    def provision(self, machine):
        """Alice provisions a machine with the installer."""
        files = ["--kernel", "vmlinuz-x86_64", "--initrd", "installer.gz", "--preseed", "installer"]
        options = ["--kernel-opts", machine.firmware.console]
        return self.alice.follow(f"provision-{machine.name}", "provision", machine.name, *files, *options, "--follow")

    def installed(self, machine, process):
        """Waits for the end of the run: by the phone-home of a machine that has a system."""
        name = machine.name

        def over():
            failed = re.search(r"LAB-failed.*", machine.serial())
            check(not failed, f"{name}: {failed and failed[0]}")
            return process.poll() is not None

        wait_for(over, f"{name} is installed", WITHIN)
        told = self.lab.processes.log(f"provision-{name}").read_text()
        print("\n".join(f"    {name}  {line}" for line in told.splitlines()), flush=True)
        check(process.returncode == 0, f"mrp provision {name} ended with {process.returncode}")
        self.is_done(machine)
        for line in re.findall(r"LAB-(?:debootstrap|packages|installed|late-command) .*", machine.serial()):
            self.say(f"{name}: {line.strip()}")
        kind = "UEFI" if machine.firmware.efi else "BIOS"
        check(re.search(rf"LAB-installed \S+ {kind}", machine.serial()), f"{name} was not installed for {kind}")

def serve(folder):
    """Serves the mirror by HTTP."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        """Files of the mirror."""

        def __init__(self, *words):
            super().__init__(*words, directory=str(folder))

        def log_message(self, *_):
            """Says nothing: the installer does."""

    web = http.server.ThreadingHTTPServer((netns.SERVER, PORT), Handler)
    threading.Thread(target=web.serve_forever, name="mirror", daemon=True).start()
