#!/usr/bin/env python3
"""The real lab: `mrp` provisions machines of every firmware in QEMU, through OpenIPMI's BMCs and a DHCP server, and the
serial console of one is watched and typed at.

    sudo python3 mrp-cli/tests/lab/lab.py --mrp target/debug/mrp [--only console] [--firmware http ipxe]

Needs root and what `.ci/install-packages` installs. Runs in namespaces of its own for network and processes, so that
nothing stays behind, however it ends; the folder with the logs stays after a failure. scenario.py tells what is asserted.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # runs as root: leaves nothing among the sources

import installer_image
import netns
from firmware import FIRMWARES
from installer_mirror import InstallerMirror
from mirror import Mirror
from processes import Failure, Processes
from scenario import Lab

TAIL = 60
PARTS = ["provision", "console", "firmware", "debian-installer"]
MORE_PARTS = ["installation", "debian-installation"]
HERE = Path(__file__).parent
DHCP_SERVERS = [name for name in ("dnsmasq", "kea") if (HERE / f"{name}.py").is_file()]


def main():
    """Runs the lab; the exit code tells how it went."""
    parser = argparse.ArgumentParser(description="provisions QEMU machines with mrp, on this machine alone")
    parser.add_argument("--mrp", required=True, type=Path, help="the program under test")
    parser.add_argument("--only", choices=[*PARTS, *MORE_PARTS], action="append",
                        help=f"a part of the story [default: {', '.join(PARTS)}]")  # fmt: skip
    parser.add_argument("--firmware", choices=FIRMWARES, nargs="*", default=["bios", "uefi", "http", "ipxe", "arm64"],
                        help="the machines of the part `firmware`")  # fmt: skip
    parser.add_argument("--dhcp", choices=DHCP_SERVERS, default="dnsmasq", help="the site's DHCP server")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("lab: root is needed for network namespaces; run it with sudo")
    arguments.mrp = arguments.mrp.resolve()
    if not os.access(arguments.mrp, os.X_OK):
        sys.exit(f"lab: {arguments.mrp} is no program; build it with `make build`")
    sys.exit(tell(arguments) if arguments.inside else start(arguments.only or PARTS))


def start(parts):
    """Runs the lab in its namespaces, with a folder that stays after a failure alone."""
    try:
        download(parts)
    except Failure as failure:
        return f"lab: {failure}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("lab: terminated"))
    folder = tempfile.mkdtemp(prefix="mrp-lab-")
    failed = False
    try:
        words = [__file__, *sys.argv[1:], "--inside", folder]
        code = subprocess.call(netns.inside(words), start_new_session=True)
        failed = code != 0
        return code
    except KeyboardInterrupt:
        return "lab: interrupted"
    finally:
        if failed:
            print(f"lab: everything is in {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def download(parts):
    """Fetches packages for what parts of the story install: inside there is no way to the distribution's mirrors."""
    mirrors = {
        "installation": (Mirror, [*installer_image.TOOLS, *installer_image.SYSTEM]),
        "debian-installation": (InstallerMirror, []),
    }
    for part in set(parts) & mirrors.keys():
        mirror, packages = mirrors[part]
        print(f"lab: downloading the packages for {part}", flush=True)
        mirror(None).download(packages)


def tell(arguments):
    """Tells the story, or parts of it, in a folder. 0 if all of it was as it should be."""
    begun = time.monotonic()
    folder = arguments.inside

    def say(text):
        print(f"lab {time.monotonic() - begun:6.1f} s  {text}", flush=True)

    processes = Processes(folder)
    try:
        lab = Lab(processes, folder, arguments.mrp, say, arguments.dhcp)
        lab.run(arguments.only or PARTS, arguments.firmware)
        return 0
    except Failure as failure:
        processes.end_all()
        print_logs(folder)
        say(f"FAILED: {failure}")
        return 1
    finally:
        processes.end_all()


def print_logs(folder):
    """The ends of everything that could tell why."""
    for log in sorted([*folder.glob("*.log"), *folder.glob("*.serial")]):
        lines = log.read_text(errors="replace").splitlines()[-TAIL:]
        if lines:
            print(f"--- the end of {log.name}")
            print("\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines))


if __name__ == "__main__":
    main()
