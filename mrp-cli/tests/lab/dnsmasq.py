"""The site's dnsmasq, with the configuration that mrp prints for it."""

from netns import BRIDGE, DYNAMIC
from processes import run

# mrp's side.
CONFIG = """\
[dhcp]
backend = "dnsmasq"
dnsmasq_hosts = "{folder}/hosts.d/mrp"
dnsmasq_reload = ["sh", "-c", "kill -HUP $(cat {folder}/dnsmasq.pid)"]
"""

# The site's part of dnsmasq's configuration; the rest is what `mrp dnsmasq config` prints.
SITE = """\
port=0
interface={bridge}
except-interface=lo
bind-interfaces
pid-file={folder}/dnsmasq.pid
dhcp-leasefile={folder}/leases
dhcp-authoritative
no-ping
log-dhcp
dhcp-range={first},{last},255.255.255.0,1h
enable-ra
dhcp-range=fd77::,ra-only,64,1h
conf-file={folder}/mrp-dnsmasq.conf
"""


def prepare(folder):
    """Before mrp starts."""
    (folder / "hosts.d").mkdir()


def start(processes, folder, mrp, config):
    """Starts it; mrp runs with the configuration file."""
    script = folder / "mrp-dnsmasq-event"
    print_config = [mrp, "dnsmasq", "config", "--config", config, "--script", script, "--spool", folder / "spool"]
    (folder / "mrp-dnsmasq.conf").write_text(run(print_config))
    script.write_text(run([*print_config, "--print-script"]))
    script.chmod(0o755)
    first, last = DYNAMIC
    site = folder / "dnsmasq.conf"
    site.write_text(SITE.format(folder=folder, bridge=BRIDGE, first=first, last=last))
    processes.start("dnsmasq", ["dnsmasq", "-k", "-C", site, "--user=root", "--log-facility=-"])
