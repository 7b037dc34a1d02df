#!/usr/bin/env python3
"""The real lab: `mrp` provisions a UEFI and a BIOS machine in QEMU, through OpenIPMI's BMCs and dnsmasq, and a third one's
serial console is watched and typed at.

    sudo python3 mrp-cli/tests/lab/lab.py --mrp target/debug/mrp [--only console]

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

import netns
from processes import Failure, Processes
from scenario import Lab

TAIL = 60


def main():
    """Runs the lab; the exit code tells how it went."""
    parser = argparse.ArgumentParser(description="provisions two QEMU machines with mrp, on this machine alone")
    parser.add_argument("--mrp", required=True, type=Path, help="the program under test")
    parser.add_argument("--only", choices=["provision", "console"], help="one part of the story")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("lab: root is needed for network namespaces; run it with sudo")
    mrp = arguments.mrp.resolve()
    if not os.access(mrp, os.X_OK):
        sys.exit(f"lab: {mrp} is no program; build it with `make build`")
    only = arguments.only
    sys.exit(tell(mrp, arguments.inside, only) if arguments.inside else start(mrp, only))


def start(mrp, only):
    """Runs the lab in its namespaces, with a folder that stays after a failure alone."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("lab: terminated"))
    folder = tempfile.mkdtemp(prefix="mrp-lab-")
    failed = False
    try:
        words = [__file__, "--mrp", str(mrp), "--inside", folder, *(["--only", only] if only else [])]
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


def tell(mrp, folder, only):
    """Tells the story, or a part of it, in a folder. 0 if all of it was as it should be."""
    begun = time.monotonic()

    def say(text):
        print(f"lab {time.monotonic() - begun:6.1f} s  {text}", flush=True)

    processes = Processes(folder)
    try:
        Lab(processes, folder, mrp, say).run(only)
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
