#!/usr/bin/env python3
"""The real lab: `mrp` provisions a UEFI and a BIOS machine in QEMU, through OpenIPMI's BMCs and dnsmasq.

    sudo python3 mrp-cli/tests/lab/lab.py --mrp target/debug/mrp

Needs root and what `.ci/install-packages` installs. Makes namespaces of its own for network and processes, so that
nothing stays behind; the folder with the logs stays after a failure. scenario.py tells what is asserted.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # runs as root: leaves nothing among the sources

import netns
from processes import Failure, Processes
from scenario import Lab

TAIL = 60


def main():
    """Runs the lab; the exit code tells how it went."""
    parser = argparse.ArgumentParser(description="provisions two QEMU machines with mrp, on this machine alone")
    parser.add_argument("--mrp", required=True, type=Path, help="the program under test")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("lab: root is needed for network namespaces; run it with sudo")
    mrp = arguments.mrp.resolve()
    if not os.access(mrp, os.X_OK):
        sys.exit(f"lab: {mrp} is no program; build it with `make build`")
    if not arguments.inside:
        netns.enter([__file__, "--mrp", str(mrp), "--inside"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("lab: terminated"))
    sys.exit(0 if run(mrp) else 1)


def run(mrp):
    """Tells the story in a folder of its own. True if all of it was as it should be."""
    begun = time.monotonic()

    def say(text):
        print(f"lab {time.monotonic() - begun:6.1f} s  {text}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="mrp-lab-"))
    processes = Processes(folder)
    try:
        Lab(processes, folder, mrp, say).run()
    except Failure as failure:
        processes.end_all()
        print_logs(processes, folder)
        say(f"FAILED: {failure}")
        print(f"lab: everything is in {folder}", flush=True)
        return False
    finally:
        processes.end_all()
    shutil.rmtree(folder)
    return True


def print_logs(processes, folder):
    """The ends of everything that could tell why."""
    for log in sorted([*folder.glob("*.log"), *folder.glob("*.serial")]):
        lines = log.read_text(errors="replace").splitlines()[-TAIL:]
        if lines:
            print(f"--- the end of {log.name}")
            print("\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines))


if __name__ == "__main__":
    main()
