"""The site's Kea, with mrp's hook and the configuration that mrp prints for it."""

import os

from bootfiles import PACKAGES
from netns import BRIDGE, DYNAMIC, RESERVED, SUBNET
from processes import Failure, run, wait_for

LIBRARY = PACKAGES.parents[1] / "libdhcp_mrp.so"

# What mrp's own configuration says of its DHCP server.
CONFIG = """\
[dhcp]
backend = "kea"
kea_config = "{folder}/kea-dhcp4.conf"
"""

# The site's part of Kea's configuration; the rest is what `mrp kea config` prints.
SITE = """\
{{ "Dhcp4": {{
  "interfaces-config": {{ "interfaces": [ "{bridge}" ], "dhcp-socket-type": "raw" }},
  "lease-database": {{ "type": "memfile", "name": "{folder}/kea-leases" }},
  "valid-lifetime": 3600,
  "loggers": [ {{ "name": "kea-dhcp4", "severity": "INFO", "output_options": [ {{ "output": "stdout" }} ] }} ],
{printed}
}} }}
"""


def prepare(folder):
    """Fails without the hook."""
    if not LIBRARY.is_file():
        raise Failure(f"{LIBRARY} is missing: run make kea-hook")


def start(processes, folder, mrp, config):
    """Starts Kea, and waits until the hook has the table."""
    first, last = DYNAMIC
    words = [mrp, "kea", "config", "--config", config, "--library", LIBRARY, "--cache", folder / "kea-table"]
    printed = run([*words, "--subnet", SUBNET, "--pool", f"{first}-{last}", "--reserved", RESERVED])
    site = folder / "kea-dhcp4.conf"
    site.write_text(SITE.format(bridge=BRIDGE, folder=folder, printed=printed))
    run(["kea-dhcp4", "-t", site], env=environment(folder))
    processes.start("kea", ["kea-dhcp4", "-c", site], env=environment(folder))
    log = processes.log("kea")
    for words in ("DHCP4_STARTED", "clients are known from mrp"):
        wait_for(lambda: words in log.read_text(errors="replace"), f"Kea's log has {words!r}", 30)


def environment(folder):
    """Kea's own files go to the folder."""
    return dict(os.environ, KEA_PIDFILE_DIR=str(folder), KEA_LOCKFILE_DIR=str(folder))
