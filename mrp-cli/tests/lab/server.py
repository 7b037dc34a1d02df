"""mrp itself, as a site runs it: the server, the site's dnsmasq beside it, and people at their command lines."""

import json
import os
import time
from pathlib import Path

from netns import BRIDGE, DYNAMIC, SERVER
from processes import Failure, run, run_raw

PEOPLE = "http://127.0.0.1:8080"
MACHINES = f"http://{SERVER}:8081"

CONFIG = """\
[server]
data_dir = "{folder}/data"

[web]
listen = "127.0.0.1:8080"

[machine]
listen = "0.0.0.0:8081"
token_file = "{folder}/dhcp-token"

[tftp]
listen = "{server}:69"

[boot]
next_server = "{server}"

[dhcp]
backend = "dnsmasq"
dnsmasq_hosts = "{folder}/hosts.d/mrp"
dnsmasq_reload = ["sh", "-c", "kill -HUP $(cat {folder}/dnsmasq.pid)"]

[run]
netboot = "5min"
answer_file = "5min"
install = "5min"
"""

# The site's part of dnsmasq's configuration; the rest is what `mrp dnsmasq config` prints.
DNSMASQ = """\
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


def start(processes, folder, mrp):
    """Starts `mrp serve`, then dnsmasq with the configuration that mrp prints for it."""
    config = folder / "mrp.toml"
    config.write_text(CONFIG.format(folder=folder, server=SERVER))
    (folder / "dhcp-token").write_text("a-token-of-the-lab-alone\n")
    (folder / "hosts.d").mkdir()
    environment = dict(os.environ, HOME=str(folder))
    processes.start("mrp", [mrp, "serve", "--config", config], env=environment)
    # The machines' port is the first that opens, people's the last.
    wait_for_port(processes, PEOPLE)

    script = folder / "mrp-dnsmasq-event"
    print_config = [mrp, "dnsmasq", "config", "--config", config, "--script", script, "--spool", folder / "spool"]
    (folder / "mrp-dnsmasq.conf").write_text(run(print_config))
    script.write_text(run([*print_config, "--print-script"]))
    script.chmod(0o755)
    first, last = DYNAMIC
    site = folder / "dnsmasq.conf"
    site.write_text(DNSMASQ.format(folder=folder, bridge=BRIDGE, first=first, last=last))
    processes.start("dnsmasq", ["dnsmasq", "-k", "-C", site, "--user=root", "--log-facility=-"])


def wait_for_port(processes, url):
    """Waits until mrp answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if "mrp" in processes.ended():
            raise Failure("mrp serve ended; see its log")
        try:
            run(["curl", "-sS", "--fail", "--output", os.devnull, f"{url}/healthz"])
            return
        except Failure:
            time.sleep(0.1)
    raise Failure(f"mrp serve does not answer at {url} within 60 s")


class Person:
    """Somebody with a login, at a command line of their own."""

    def __init__(self, processes, folder, mrp, name, password):
        self.processes, self.folder, self.mrp, self.name = processes, folder, mrp, name
        home = folder / f"home-{name}"
        home.mkdir()
        self.environment = dict(os.environ, HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"))
        self.say("login", PEOPLE, "--user", name, "--password-stdin", text=password + "\n")

    def read(self, *words, text=""):
        """Runs a command of mrp; fails if it does. Answers the bytes that it prints."""
        return run_raw([self.mrp, *words], text=text, env=self.environment, cwd=self.folder)

    def say(self, *words, text=""):
        """The same; answers the text."""
        return self.read(*words, text=text).decode(errors="replace")

    def ask(self, *words):
        """The same in JSON."""
        return json.loads(self.say("-o", "json", *words))

    def follow(self, name, *words, output=None):
        """Starts a command that goes on for a while, with a log of its own."""
        return self.processes.start(name, [self.mrp, *words], output, env=self.environment, cwd=self.folder)


def first_password(folder):
    """The password that the first start wrote down."""
    return Path(folder / "data/admin-password").read_text().strip()
