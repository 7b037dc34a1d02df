"""A server of the lab: a QEMU machine that its BMC switches.

It boots its disk first and the network second; a boot override of the BMC holds for one start. One that is given a kernel
boots that. Everything is emulated (no KVM), so that it runs on any machine.

Its serial port is a TCP port for its BMC, and QEMU itself writes all that comes out of it to a file. It starts once the
BMC is connected: a cable that is plugged in a second late would lose what the firmware says.
"""

import json
import os
import socket
import threading
import time

from bootfiles import PACKAGES
from firmware import FIRMWARES
from processes import Failure

ROMS = [PACKAGES / folder for folder in ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")]
MODULES = PACKAGES / "usr/lib/x86_64-linux-gnu/qemu"
MEMORY_MB = {"x86_64": 512, "arm64": 1024}


class Machine:
    """One server. Methods come from its BMC's thread and from the scenario."""

    def __init__(self, processes, folder, name, mac, serial_port, firmware=FIRMWARES["bios"], disk=None, kernel=None,
                 memory_mb=None):  # fmt: skip
        self.processes, self.folder, self.serial_port = processes, folder, serial_port
        self.name, self.mac, self.firmware, self.disk, self.kernel = name, mac, firmware, disk, kernel
        self.variables = folder / f"{name}.vars"
        self.memory_mb = memory_mb or MEMORY_MB[firmware.arch]
        self.serial_log = folder / f"{name}.serial"
        self.boot = None  # the BMC's override: "pxe" or what else it calls
        self.lock = threading.Lock()
        self.serial_log.touch()
        firmware.prepare(self.variables)

    def is_on(self):
        """Whether QEMU runs."""
        process = self.processes.running.get(self.name)
        return process is not None and process.poll() is None

    def power_on(self):
        """Starts it, unless it runs."""
        with self.lock:
            if not self.is_on():
                self.start()

    def power_off(self):
        """Pulls the plug."""
        with self.lock:
            self.processes.end(self.name, grace=0)

    def reset(self):
        """The reset button: a start from nothing. False if it is off.

        Not QEMU's own reset: SeaBIOS resets a second time by itself, which would use up a boot override.
        """
        with self.lock:
            if not self.is_on():
                return False
            self.start()
            return True

    def start(self):
        """Starts QEMU, in place of the one that runs or ran."""
        self.processes.end(self.name, grace=0)
        environment = dict(os.environ, QEMU_MODULE_DIR=str(MODULES))
        self.processes.start(self.name, self.command(), env=environment)
        # The override holds for this start: another order takes effect when the machine resets itself.
        self.boot = None
        monitor = self.monitor()
        if self.disk:
            self.set_boot_order(monitor)
        # The BMC connects the serial port only when it has been answered.
        threading.Thread(target=self.begin, args=(monitor,), daemon=True).start()

    def begin(self, monitor):
        """Lets the machine run once its BMC has its serial port."""
        try:
            while not any("->" in device["filename"] for device in monitor.command("query-chardev")):
                time.sleep(0.02)
            monitor.command("cont")
        except (Failure, OSError, ValueError):
            pass  # switched off before
        finally:
            monitor.close()

    def shutdown(self):
        """Presses the power button: asks the operating system to shut down."""
        with self.lock:
            if self.is_on():
                monitor = self.monitor()
                monitor.command("system_powerdown")
                monitor.close()

    def serial(self, start=0):
        """What it has said on its serial console, from a byte on."""
        return self.serial_log.read_bytes()[start:].decode(errors="replace")

    def boot_order(self):
        """The boot indexes of network and disk."""
        return (1, 2) if self.boot == "pxe" else (2, 1)

    def set_boot_order(self, monitor):
        """Tells a running QEMU the order for its next reset by itself."""
        network, disk = self.boot_order()
        # QEMU refuses an index that is in use, even by the device itself: both are cleared first.
        for device, index in (("net0", -1), ("disk0", -1), ("disk0", disk), ("net0", network)):
            path = f"/machine/peripheral/{device}"
            monitor.command("qom-set", path=path, property="bootindex", value=index)

    def monitor(self):
        """A connection to QEMU's monitor."""
        return Monitor(self.folder / f"{self.name}.qmp", self)

    def command(self):
        """QEMU's command line."""
        network, disk = self.boot_order()
        (self.folder / f"{self.name}.qmp").unlink(missing_ok=True)
        roms = [word for folder in ROMS for word in ("-L", folder)]
        command = [
            self.firmware.program(), *roms, "-name", self.name, *self.firmware.words(self.variables), "-S",
            "-accel", "tcg,thread=multi,tb-size=64", "-m", self.memory_mb,
            "-nodefaults", "-no-user-config", "-display", "none", "-device", "virtio-rng-pci",
            "-chardev", f"socket,id=serial,host=127.0.0.1,port={self.serial_port},server=on,wait=off,"
            f"logfile={self.serial_log},logappend=on", "-serial", "chardev:serial",
            "-qmp", f"unix:{self.folder}/{self.name}.qmp,server=on,wait=off",
        ]  # fmt: skip
        if self.kernel:
            kernel, initrd, options = self.kernel
            return [*command, "-kernel", kernel, "-initrd", initrd, "-append", options]
        return [
            *command,
            "-netdev", f"tap,id=cable,ifname=tap-{self.name},script=no,downscript=no",
            "-device", f"virtio-net-pci,id=net0,netdev=cable,mac={self.mac},bootindex={network}{self.firmware.rom}",
            "-drive", f"if=none,id=image,format=raw,file={self.disk}",
            "-device", f"virtio-blk-pci,id=disk0,drive=image,bootindex={disk}",
        ]  # fmt: skip


class Monitor:
    """QEMU's monitor protocol (QMP)."""

    def __init__(self, path, machine):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        end = time.monotonic() + 10
        while True:
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > end or not machine.is_on():
                    raise Failure(f"QEMU of {machine.name} did not start; see its log") from None
                time.sleep(0.02)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.command("qmp_capabilities")

    def close(self):
        """Lets the next one in: QEMU serves one at a time."""
        self.file.close()
        self.socket.close()

    def command(self, name, **arguments):
        """Sends a command and answers what it returns."""
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise Failure(f"QEMU refused {name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
