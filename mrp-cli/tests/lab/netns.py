"""The lab's network: a namespace with a bridge, a tap for each machine, and a stranger's host beside them.

The lab runs in namespaces of its own for network and processes, without a name: the kernel removes both, and everything
in them, when the lab ends, however it ends. The stranger is a second network namespace with one cable to the bridge.
"""

import os
import sys

from processes import run

SERVER = "10.77.0.1"
SUBNET = "10.77.0.0/24"
DYNAMIC = ("10.77.0.100", "10.77.0.149")
RESERVED = "10.77.0.64/28"
RESERVED_ADDRESS = "10.77.0.70"
STRANGER = "10.77.0.200"
STRANGER_MAC = "52:54:00:77:00:99"
BRIDGE = "br0"


def inside(arguments):
    """The command that runs this program again, in its namespaces; all of them end with whoever starts it."""
    unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*unshare, sys.executable, *arguments]


def make(processes, taps):
    """Makes the bridge with the server's address, the taps, and the stranger. Answers the stranger's command prefix."""
    ip("link", "set", "lo", "up")
    ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "stp_state", "0")
    ip("addr", "add", f"{SERVER}/24", "dev", BRIDGE)
    # iPXE's ROM waits for a router advertisement before it goes on: dnsmasq sends them on this network.
    ip("addr", "add", "fd77::1/64", "dev", BRIDGE, "nodad")
    ip("link", "set", BRIDGE, "up")
    for tap in taps:
        ip("tuntap", "add", tap, "mode", "tap")
        ip("link", "set", tap, "master", BRIDGE, "up")
    return stranger(processes)


def ip(*words):
    """Runs `ip`."""
    run(["ip", *words])


def stranger(processes):
    """A host on the same network with a MAC address of its own."""
    started = processes.start("stranger", ["unshare", "--net", "sleep", "infinity"])
    inside = ["nsenter", f"--net=/proc/{started.pid}/ns/net"]
    own = os.stat("/proc/self/ns/net").st_ino
    while os.stat(f"/proc/{started.pid}/ns/net").st_ino == own:
        pass
    ip("link", "add", "cable", "type", "veth", "peer", "name", "eth0", "address", STRANGER_MAC, "netns", str(started.pid))
    ip("link", "set", "cable", "master", BRIDGE, "up")
    run([*inside, "ip", "addr", "add", f"{STRANGER}/24", "dev", "eth0"])
    run([*inside, "ip", "link", "set", "eth0", "up"])
    return inside
