"""The story that the lab tells: machines are set up, provisioned, booted from their disks; a stranger gets nothing.

Everything is done as people do it, by mrp's command line; what came of it is read from mrp, from the serial consoles,
and from the switches of the machines.
"""

import base64
import datetime
import re
from pathlib import Path

import bmc
import bootfiles
import console
import debian_installer
import firmwares
import installation
import netns
import server
from firmware import FIRMWARES
from machine import Machine
from processes import Failure, check, run, wait_for

PRESEED = """\
d-i netcfg/get_hostname string {{ hostname }}
d-i preseed/late_command string wget -q -O - {{ phone_home_url }}
"""

# What a boot loader's language could take for its own.
OPTIONS = FIRMWARES["uefi"].console + r' lab.list=a;b lab.value=$HOME${x} lab.braces={y} lab.shell=#&|<>!~*?[] two  spaces "lab.words=a b"'
# GRUB puts a backslash before these, whatever its configuration says; mrp refuses them for GRUB. PXELINUX passes them on.
MORE_OPTIONS = OPTIONS + r''' lab.path=a\b lab.apostrophe=it's lab.inner="c d"'''


class Lab:
    """The machines, the server, and the people."""

    def __init__(self, processes, folder, mrp, say, dhcp):
        self.processes, self.folder, self.mrp, self.say, self.dhcp = processes, folder, mrp, say, dhcp

    def run(self, parts, names):
        """Parts of the story; the firmwares' part with those named."""
        self.firmwares = [FIRMWARES[name] for name in dict.fromkeys(["uefi", "bios", *names])]
        self.set_up(parts)
        self.describe()
        stories = {
            "provision": self.install,
            "console": self.console,
            "firmware": lambda: firmwares.Story(self, names).tell(),
            "debian-installer": lambda: debian_installer.Story(self).tell(),
            "debian-installation": lambda: debian_installer.Story(self).tell_to_the_end(),
            "installation": lambda: installation.Story(self).tell(),
        }
        for part in parts:
            stories[part]()
        self.say("done")

    def install(self):
        """Two machines are provisioned, and booted from their disks; a stranger gets nothing."""
        self.provision()
        self.local_boot()
        self.strangers_with_addresses()

    def console(self):
        """A machine's console is watched and typed at."""
        console.Story(self).tell()

    def set_up(self, parts):
        """Network, machines, BMCs, server: those with a disk of their own, and those that parts of the story install."""
        self.say("building initrds and disks")
        bootfiles.build(self.folder, self.firmwares)
        kinds = {firmware.name: (firmware, None) for firmware in self.firmwares}
        if {"debian-installer", "debian-installation"} & set(parts):
            kinds["installer"] = FIRMWARES["ipxe"], debian_installer.MEMORY_MB
        if "installation" in parts:
            kinds |= {name: (FIRMWARES[kind], installation.MEMORY_MB) for name, kind in installation.NAMES.items()}
        self.stranger = netns.make(self.processes, [f"tap-{name}" for name in kinds])
        self.machines = {name: self.machine(name, *kind, n) for n, (name, kind) in enumerate(kinds.items(), 1)}
        self.uefi, self.bios = self.pair = [self.machines[name] for name in ("uefi", "bios")]
        kernel = self.folder / "vmlinuz-x86_64", self.folder / "login.gz", "console=ttyS0,115200"
        self.serial = Machine(self.processes, self.folder, "serial", None, 9000, kernel=kernel)
        machines = [*self.machines.values(), self.serial]
        self.bmcs = [bmc.Bmc(self.processes, self.folder, m, 11 + n) for n, m in enumerate(machines)]
        self.say(f"starting mrp and {self.dhcp}")
        server.start(self.processes, self.folder, self.mrp, self.dhcp)

    def machine(self, name, firmware, memory_mb, number):
        """A machine on its tap, with the disk that bootfiles.py made for it, or an empty one."""
        disk, mac = self.folder / f"{name}.img", f"52:54:00:77:00:{number:02x}"
        if not disk.exists():
            bootfiles.empty_disk(disk)
        return Machine(self.processes, self.folder, name, mac, 9000 + number, firmware, disk, memory_mb=memory_mb)

    def describe(self):
        """An admin tells mrp what there is."""
        self.say("an admin adds boot loaders, network, BMCs and machines")
        password = server.first_password(self.folder)
        admin = self.admin = server.Person(self.processes, self.folder, self.mrp, "admin", password)
        self.add_boot_loaders()
        admin.say("network", "add", "lab", netns.SUBNET, "--reserved", netns.RESERVED)
        for controller in self.bmcs:
            machine = controller.machine
            name = f"bmc-{machine.name}"
            words = ["bmc", "add", name, controller.address, "--user", bmc.USER, "--password-stdin"]
            admin.say(*words, text=bmc.PASSWORD + "\n")
            tested = admin.ask("bmc", "test", name)
            check(tested["state"] == "off", f"{name} says {tested}, but the machine is off")
            kind = ["--arch", machine.firmware.arch, "--subarch", machine.firmware.subarch]
            words = ["machine", "add", machine.name, *kind, "--bmc", name]
            admin.say(*words, *(["--mac", f"{machine.mac},eth0,lab"] if machine.mac else []))
        admin.say("user", "add", "alice", "--password-stdin", text="a password of alice\n")
        alice = self.alice = server.Person(self.processes, self.folder, self.mrp, "alice", "a password of alice")
        for arch in {firmware.arch for firmware in self.firmwares}:
            alice.say("image", "upload", f"vmlinuz-{arch}", "--type", "kernel", "--arch", arch)
            alice.say("image", "upload", f"initrd-{arch}.gz", "--type", "initrd", "--arch", arch)
        Path(self.folder / "preseed.cfg").write_text(PRESEED)
        alice.say("preseed", "add", "debian", "preseed.cfg", "--type", "preseed")

    def add_boot_loaders(self):
        """Those of the distribution; what is unpacked only is taken from there."""
        add = ["bootloader", "add", "--from-distribution"]
        self.admin.say(*add, "--arch", "x86_64", "--loader", "grub", "--loader", "pxelinux")
        self.admin.say(*add, "--arch", "x86_64", "--loader", "ipxe", "--root", bootfiles.PACKAGES)
        if any(firmware.arch == "arm64" for firmware in self.firmwares):
            self.admin.say(*add, "--arch", "arm64", "--root", bootfiles.PACKAGES_ARM64)

    def provision(self):
        """A user provisions both machines at the same time, while a stranger tries to get what is theirs."""
        self.say("a user reserves and provisions both machines")
        alice = self.alice
        for machine in self.pair:
            alice.say("reserve", machine.name, "--reason", "lab")
        # One of the two by an address of its own, from the host file that mrp writes for dnsmasq.
        alice.say("interface", "set", "bios", "eth0", "--address", netns.RESERVED_ADDRESS)
        options = {self.uefi: OPTIONS, self.bios: MORE_OPTIONS}
        started = {machine: self.start_run(machine, options[machine]) for machine in self.pair}
        wait_for(lambda: all(machine.is_on() for machine in self.pair), "the BMCs switch the machines on", 60)
        self.say("a stranger asks for their configurations, kernels and answer files")
        self.stranger_gets_nothing()
        self.say("the stranger asks again, as another machine that mrp knows")
        mac = f"{netns.STRANGER_MAC},eth0,lab"
        self.admin.say("machine", "add", "other", "--arch", "x86_64", "--mac", mac)
        self.stranger_gets_nothing()
        for machine, process in started.items():
            self.finish_run(machine, process, options[machine])

    def start_run(self, machine, options):
        """Alice provisions a machine; answers the command, which follows the run."""
        arch = machine.firmware.arch
        files = ["--kernel", f"vmlinuz-{arch}", "--initrd", f"initrd-{arch}.gz", "--preseed", "debian"]
        words = ["provision", machine.name, *files, "--kernel-opts", options, "--follow"]
        return self.alice.follow(f"provision-{machine.name}", *words)

    def finish_run(self, machine, process, options):
        """Waits for the end of a run, which must be a good one."""
        wait_for(lambda: process.poll() is not None, f"{machine.name} is provisioned")
        told = self.processes.log(f"provision-{machine.name}").read_text()
        print("\n".join(f"    {machine.name}  {line}" for line in told.splitlines()), flush=True)
        check(process.returncode == 0, f"mrp provision {machine.name} ended with {process.returncode}")
        self.check_run(machine, options)

    def check_run(self, machine, options):
        """A run that ended well: what mrp stored of it, and what the machine saw."""
        newest = self.alice.ask("run", "list", "--machine", machine.name)[0]
        done = self.alice.ask("run", "show", str(newest["id"]))
        check(done["status"] == "ready", f"the run of {machine.name} is {done['status']}: {done['verdict']}")
        stages = {stage["stage"]: stage for stage in done["stages"]}
        wanted = {"power", "dhcp", "config", "kernel", "initrd", "answer_file", "phone_home"}
        wanted |= {"boot_loader"} if machine.firmware.loads else set()
        check(wanted <= stages.keys(), f"{machine.name}: stages {wanted - stages.keys()} are missing")
        arch, transport = machine.firmware.arch, machine.firmware.transport
        for stage, file in (("kernel", f"vmlinuz-{arch}"), ("initrd", f"initrd-{arch}.gz")):
            size = (self.folder / file).stat().st_size
            how = stages[stage].get("detail") or ""
            check(how.startswith(transport), f"{machine.name}: {stage} came by {how!r}, not by {transport}")
            seen = stages[stage].get("bytes"), stages[stage].get("total")
            check(seen == (size, size), f"{machine.name}: {stage} has {seen} bytes, the file {size}")
        times = [datetime.datetime.fromisoformat(stages[name]["at"]) for name in ("power", "phone_home")]
        self.say(f"{machine.name}: {(times[1] - times[0]).total_seconds():.1f} s from power-on to phone-home")

        shown = self.alice.ask("machine", "show", machine.name)
        check(shown["state"] == "ready", f"{machine.name} is {shown['state']}")
        check(not shown["netboot_enabled"], f"{machine.name}: netboot is on after it phoned home")
        self.check_console(machine, options, shown["interfaces"][0])
        self.check_events(machine)

    def check_console(self, machine, options, interface):
        """What the machine's own console said."""
        serial = machine.serial()
        encoded = re.search(r"LAB-cmdline (\S+)\r?\n", serial)
        check(encoded, f"{machine.name} did not say its kernel's command line")
        arguments = base64.b64decode(encoded[1]).decode().rstrip("\n")
        check(
            arguments.endswith(f" {options}") and f"BOOTIF=01-{machine.mac.replace(':', '-')} " in arguments,
            f"{machine.name}: kernel options arrived as\n{arguments}\nwanted\n{options}",
        )
        recorded = ["console", machine.name, "--log"]
        real = machine.serial_log.read_bytes()
        self.say(f"{machine.name}: {len(real)} bytes came out of its serial port")
        wait_for(lambda: self.alice.read(*recorded).startswith(real), f"mrp recorded the console of {machine.name}", 20)
        check("LAB-late-command" in serial and "done" in serial, f"{machine.name}: the late command failed")
        address = re.search(r"LAB-address \S+ (\S+)", serial)[1]
        check(interface["lease_ipv4"] == address, f"{machine.name} has {address}, mrp knows {interface['lease_ipv4']}")
        reserved = interface["configured_ipv4"]
        check(reserved in (None, address), f"{machine.name} has {address}, not {reserved}, which is reserved for it")

    def check_events(self, machine):
        """Lease reports came from the DHCP server; the BMC's forgotten EFI flag is a warning."""
        events = self.events(machine)
        leases = [event for event in events if event["kind"] == "dhcp" and event["data"].get("firmware")]
        check(leases, f"{machine.name}: no lease of its firmware was reported")
        warnings = [event["data"]["warning"] for event in events if event["kind"] == "boot_device"]
        check(warnings and warnings[0], f"{machine.name}: its BMC does not report its boot flags, and no event says so")

    def events(self, machine):
        """A machine's events, the oldest first."""
        return self.admin.ask("events", "--machine", machine.name, "--last", "500")

    def local_boot(self):
        """The next netboot of a machine that is done gets its local disk, and so does a plain reset."""
        self.say("power pxe-reboot: mrp tells both machines to boot their disks")
        self.boots_disk_by_mrp(self.pair)
        self.say("power reboot: their firmware boots the disks")
        for machine, told in self.reboot(self.pair, "reboot", 1).items():
            check(not told, f"{machine.name} netbooted after a plain reboot: {told}")
        self.say("power off")
        for machine in self.pair:
            self.alice.say("power", machine.name, "off")
            check(not machine.is_on(), f"{machine.name} runs on after power off")
            status = self.alice.ask("power", machine.name, "status")
            check(status["state"] == "off", f"{machine.name}: the power is {status}")

    def boots_disk_by_mrp(self, machines):
        """Machines that netboot are told to boot their disks, and fetch no kernel."""
        for machine, told in self.reboot(machines, "pxe-reboot", 0).items():
            choices = [event["data"]["local"] for event in told if "local" in event["data"]]
            check(choices and all(choices), f"{machine.name} reached its disk, but not by mrp's word: {told}")
            kernels = [event for event in told if event["data"].get("type") in ("Kernel", "Initrd")]
            check(not kernels, f"{machine.name} fetched a kernel before its disk: {kernels}")

    def reboot(self, machines, how, mark_number):
        """Reboots machines and waits for what their disks say. Answers what they fetched from mrp."""
        before = {m: (m.serial_log.stat().st_size, self.events(m)[-1]["id"]) for m in machines}
        for machine in machines:
            self.alice.say("power", machine.name, how)
        told = {}
        for machine, (start, event) in before.items():
            mark = machine.firmware.marks[mark_number]
            wait_for(lambda: mark in machine.serial(start), f"{machine.name} says {mark!r} after power {how}")
            told[machine] = [e for e in self.events(machine) if e["id"] > event and e["kind"] == "boot"]
        return told

    def stranger_gets_nothing(self):
        """A host with another MAC address asks for what belongs to the machines."""
        machine = self.alice.ask("machine", "show", "uefi")
        images = {image["id"]: image["name"] for image in self.alice.ask("image", "list")}
        grub, pxelinux = (f"01-{m.mac.replace(':', '-')}" for m in self.pair)
        tftp, boot = f"tftp://{netns.SERVER}", f"{server.MACHINES}/boot"
        kernel = images[machine["kernel_id"]]
        for url in (
            f"{tftp}/grub/{grub}",
            f"{tftp}/pxelinux.cfg/{pxelinux}",
            f"{tftp}/{kernel}",
            f"{boot}/grub/{grub}",
            f"{boot}/{kernel}",
            f"{server.MACHINES}/preseed/{machine['id']}",
        ):
            self.refused([*self.stranger, "curl"], url)
        loader = run([*self.stranger, "curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download}", f"{tftp}/bootx64.efi"])
        size = self.admin.ask("image", "show", "bootx64.efi")["size"]
        check(int(loader) == size, f"the public boot loader has {loader} bytes for a stranger, not {size}")

    def strangers_with_addresses(self):
        """A host with a machine's own address asks for what belongs to the other machine."""
        self.say("a host with the address of one asks for the configuration of the other")
        run(["ip", "addr", "add", f"{netns.RESERVED_ADDRESS}/32", "dev", netns.BRIDGE])
        grub = f"01-{self.uefi.mac.replace(':', '-')}"
        self.refused(["curl", "--interface", netns.RESERVED_ADDRESS], f"tftp://{netns.SERVER}/grub/{grub}")
        refused = [event for event in self.events(self.uefi) if event["kind"] == "refused"]
        clients = {event["data"]["client"] for event in refused}
        wanted = {netns.STRANGER, netns.RESERVED_ADDRESS}
        check(wanted <= clients, f"refusals are told of {clients}, not of {wanted}")

    def refused(self, curl, url):
        """Fails if the URL can be had."""
        try:
            text = run([*curl, "-sS", "--fail", "--max-time", "20", url])
        except Failure:
            return
        raise Failure(f"{' '.join(curl)} got {url}:\n{text[:2000]}")
