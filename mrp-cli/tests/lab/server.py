"""mrp itself, as a site runs it: the server, the site's DHCP server beside it, and people at their command lines."""

import importlib
import json
import os
import time
from pathlib import Path

from netns import SERVER
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
dns = "{server}"

[run]
netboot = "5min"
answer_file = "5min"
install = "60min"

"""


def start(processes, folder, mrp, dhcp):
    """Starts `mrp serve`, then the site's DHCP server: the module of this folder that has its name."""
    dhcp = importlib.import_module(dhcp)
    config = folder / "mrp.toml"
    config.write_text((CONFIG + dhcp.CONFIG).format(folder=folder, server=SERVER))
    (folder / "dhcp-token").write_text("a-token-of-the-lab-alone\n")
    dhcp.prepare(folder)
    environment = dict(os.environ, HOME=str(folder))
    processes.start("mrp", [mrp, "serve", "--config", config], env=environment)
    # The machines' port is the first that opens, people's the last.
    wait_for_port(processes, PEOPLE)
    dhcp.start(processes, folder, mrp, config)


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
