"""A site whose mrp fails: mrp and the site's DHCP server in a network namespace, perfdhcp and a client of ours at the other end of
its only cable, and every way in which mrp can be away. What differs between DHCP servers is in kea_faults.py and dnsmasq_faults.py.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import netns
import server
from dhcp import ACK, DISCOVER, Wire
from processes import Failure, Processes, check, run, wait_for

SERVER, SUBNET, RESERVED = "10.78.0.1", "10.78.0.0/16", "10.78.16.0/20"
POOL = ("10.78.64.1", "10.78.95.254")
RELAY, CABLE = "10.78.128.1", "clients"
MAC = "52:54:00:78:00:{:02x}"
ADDRESS = "10.78.16.{}"
# perfdhcp's simulated clients count up from its base.
BASE = 0x000C01020304
# How long a load lasts, in seconds.
SECONDS = 2
# What may be lost beyond what the DHCP server alone loses, as a share, and how often both are tried: a busy machine loses packets
# by itself.
TOLERANCE, ATTEMPTS = 0.01, 4

MRP = """\
[server]
data_dir = "{folder}/data"
[web]
listen = "0.0.0.0:8080"
[machine]
listen = "{server}:8081"
dhcp_from = []
token_file = "{folder}/dhcp-token"
[tftp]
enabled = false
[boot]
next_server = "{server}"
[dhcp]
observe = []
"""

SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
NONSENSE = b"HTTP/1.1 200 OK\r\n\r\n<html>\n" + bytes(200)
# A table that is begun, and takes for ever.
SLOW = b"HTTP/1.1 200 OK\r\n\r\n" + b'data:{"begin":{"http_port":8081}}\n' + b"\n" * 100_000
# In place of mrp's machine door: its address, the file with its answer, and how long each byte of it takes.
IMPOSTOR = """
import socket, sys, threading, time
answer, pause = open(sys.argv[2], "rb").read(), float(sys.argv[3])
def serve(connection):
    try:
        connection.settimeout(2)
        connection.recv(65536)
        if not pause:
            connection.sendall(answer)
        for byte in answer if pause else b"":
            connection.sendall(bytes([byte]))
            time.sleep(pause)
    except OSError:
        pass
    connection.close()
listener = socket.create_server((sys.argv[1], 8081))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def client(number):
    """The MAC address of one of perfdhcp's clients."""
    return (BASE + number).to_bytes(6, "big").hex(":")


class Site:
    """mrp and a DHCP server in their namespace, and what is at the other end of the cable.

    A DHCP server's own site says what it is called, how it is started with and without mrp's part of its configuration
    (`start_dhcp`), what mrp's configuration says of it, how many clients perfdhcp simulates, and how many of them, the first ones,
    are machines with an address of their own.
    """

    DHCP = MRP_DHCP = ""
    CLIENTS = KNOWN = 0

    def __init__(self, processes, folder, mrp, say):
        self.processes, self.folder, self.mrp, self.say = processes, folder, mrp, say
        self.environment = dict(os.environ, HOME=str(folder))

    def start_dhcp(self, mrp):
        """Starts the DHCP server anew, with or without mrp, and waits until it answers."""
        raise NotImplementedError

    def noticed(self, words):
        """Waits until the DHCP server's log has these words, if it is one that looks at mrp."""

    def build(self):
        """Two namespaces and a cable between them."""
        run(["ip", "link", "set", "lo", "up"])
        there = self.processes.start("namespace", ["unshare", "--net", "sleep", "infinity"])
        own = os.stat("/proc/self/ns/net").st_ino
        while os.stat(f"/proc/{there.pid}/ns/net").st_ino == own:
            pass
        self.there = ["nsenter", f"--net=/proc/{there.pid}/ns/net"]
        run(["ip", "link", "add", CABLE, "type", "veth", "peer", "name", "eth0", "netns", str(there.pid)])
        for words in ("link set lo up", f"addr add {SERVER}/16 dev eth0", "link set eth0 up"):
            run([*self.there, "ip", *words.split()])
        run(["ip", "addr", "add", f"{RELAY}/16", "dev", CABLE])
        run(["ip", "link", "set", CABLE, "up"])
        self.wire = Wire(CABLE)

    def start_mrp(self):
        """Starts mrp, and waits until it answers."""
        config = self.folder / "mrp.toml"
        config.write_text((MRP + self.MRP_DHCP).format(folder=self.folder, server=SERVER))
        (self.folder / "dhcp-token").write_text("a-token-of-the-lab-alone\n")
        self.processes.start("mrp", [*self.there, self.mrp, "serve", "--config", config], env=self.environment)
        server.wait_for_port(self.processes, f"http://{SERVER}:8080")

    def ask(self, method, path, body=None):
        """Asks mrp's API as the admin; the answer's JSON."""
        connection = http.client.HTTPConnection(SERVER, 8080, timeout=30)
        connection.request(method, path, json.dumps(body) if body is not None else None, {"Authorization": self.token})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        check(answer.status < 300, f"{method} {path}: {answer.status} {text}")
        return json.loads(text) if text else None

    def describe(self):
        """An admin tells mrp what there is."""
        wrapper = self.folder / "mrp-there"
        wrapper.write_text(f'#!/bin/sh\nexec {" ".join(self.there)} {self.mrp} "$@"\n')
        wrapper.chmod(0o755)
        admin = server.Person(self.processes, self.folder, wrapper, "admin", server.first_password(self.folder))
        self.token = admin.ask("token", "add", "--description", "lab")["token"]
        (self.folder / "loader").write_bytes(b"a boot loader")
        admin.say("arch", "add", "x86_64")
        admin.say("image", "upload", "loader", "--type", "bootloader", "--arch", "x86_64", "--public")
        admin.say("subarch", "add", "x86_64", "efi", "--bootloader", "loader", "--efi")
        admin.say("network", "add", "lab", SUBNET, "--reserved", RESERVED)
        self.say(f"{self.KNOWN} of perfdhcp's {self.CLIENTS} clients become machines")
        self.machines = []
        for number in range(self.KNOWN):
            self.machines.append(self.machine(f"load-{number}", client(number), f"10.78.17.{number + 1}"))
        self.one = self.machine("one", MAC.format(1), ADDRESS.format(11), netboot=True)

    def machine(self, name, mac, address, netboot=False):
        """A machine with one interface; answers the ids of both."""
        made = self.ask("POST", "/api/v1/machine", {"name": name, "arch": "x86_64", "subarch": "efi"})
        path = f"/api/v1/machine/{made['id']}/interface"
        interface = self.ask("POST", path, {"mac": mac, "identifier": "eth0", "network": "lab"})
        if address:
            self.reserve((made["id"], interface["id"]), address)
        if netboot:
            self.ask("PUT", f"/api/v1/machine/{made['id']}", {"netboot_enabled": True})
        return made["id"], interface["id"]

    def reserve(self, ids, address):
        """Reserves an address for a machine."""
        path = "/api/v1/machine/{}/interface/{}".format(*ids)
        self.ask("PUT", path, {"config_type_v4": "dynamic-reserved", "configured_ipv4": address})

    def lease(self, ids):
        """The address that mrp knows a machine to have."""
        return self.ask("GET", f"/api/v1/machine/{ids[0]}/interface")[0]["lease_ipv4"]

    def given(self, reply, kind, address, what):
        """Fails unless the reply is of this kind and has this address, or one that begins so."""
        found = (reply.kind, reply.address) if reply else None
        check(reply and reply.kind == kind and reply.address.startswith(address), f"{what}: {found}, not {(kind, address)}")
        return reply

    def load(self, name, rate, meanwhile=None):
        """Runs perfdhcp; answers the exchanges a second, and the share of messages that were not answered."""
        words = ["perfdhcp", "-4", "-l", CABLE, "-R", self.CLIENTS, "-r", rate, "-p", SECONDS]
        done = []
        thread = threading.Thread(target=lambda: done.append(subprocess.run([str(w) for w in words], capture_output=True, text=True)))
        thread.start()
        if meanwhile:
            time.sleep(SECONDS / 3)  # in the middle of the load
            meanwhile()
        thread.join()
        text = done[0].stdout
        found = re.search(r"Rate: ([\d.]+) 4-way exchanges/second", text)
        check(found, f"perfdhcp says nothing of a rate:\n{text}\n{done[0].stderr}")
        lost = sum(int(number) for number in re.findall(r"^drops: (\d+)", text, flags=re.M))
        sent = sum(int(number) for number in re.findall(r"^sent packets: (\d+)", text, flags=re.M))
        self.say(f"  {name:34} {float(found[1]):7.0f} exchanges/s, {lost} of {sent} messages unanswered")
        return float(found[1]), lost / sent

    def states(self):
        """What may become of mrp: a name, what is done before the load, and what in the middle of it."""
        pause = lambda: os.kill(self.processes.running["mrp"].pid, signal.SIGSTOP)  # nsenter has become mrp
        kill = lambda: self.processes.end("mrp", grace=0)
        return (
            ("mrp up", self.up, None),
            ("mrp paused (SIGSTOP) in the middle", self.up, pause),
            ("mrp hung", lambda: (self.up(), pause()), None),
            ("mrp killed in the middle", self.up, kill),
            ("mrp down", kill, None),
            ("mrp started in the middle", kill, self.start_mrp),
            ("mrp answers status 500", lambda: self.impostor(SERVER_ERROR, "answers with status 500"), None),
            ("mrp answers nonsense", lambda: self.impostor(NONSENSE, "it sends no table"), None),
            ("mrp is slow", lambda: self.impostor(SLOW, "clients are known from", pause=0.02), None),
        )

    def faults(self, rate):
        """perfdhcp's load in every state of mrp: fails if more stays unanswered than of the DHCP server alone."""
        self.say(f"perfdhcp asks for {rate} exchanges a second")
        alone = None
        for name, before, meanwhile in self.states():
            for attempt in range(ATTEMPTS):
                # Where others use the machine, the DHCP server alone is asked again just before.
                if attempt or alone is None:
                    self.start_dhcp(mrp=False)
                    alone = self.load(f"{self.DHCP} alone", rate)
                got = self.beside(name, rate, before, meanwhile)
                if got[1] <= alone[1] + TOLERANCE:
                    break
            else:
                raise Failure(f"{name}: {got[1]:.1%} of the messages were not answered, of {self.DHCP} alone {alone[1]:.1%}")
            self.still_gives(name)

    def beside(self, name, rate, before, meanwhile):
        """The load on a DHCP server that mrp serves."""
        self.processes.end("impostor", grace=0)
        self.start_dhcp(mrp=True)
        before()
        return self.load(name, rate, meanwhile)

    def everything_arrives(self, rate, away, back):
        """mrp hears of all leases that are given while it is away; the machines have just got other addresses."""
        self.say("mrp hears of the leases that were given while it was away")
        self.up()
        for number, ids in enumerate(self.machines):
            self.reserve(ids, f"10.78.18.{number + 1}")
        wait_for(lambda: self.offered(client(self.KNOWN - 1)) == f"10.78.18.{self.KNOWN}", "the new addresses are in force", 20)
        away()
        self.load("mrp away", rate)
        back()

    def all_leases_are_known(self):
        """Whether mrp knows the machines to have their new addresses."""
        return all(self.lease(ids) == f"10.78.18.{number + 1}" for number, ids in enumerate(self.machines))

    def offered(self, mac):
        """The address that a client is offered."""
        offer = self.wire.ask(DISCOVER, mac, seconds=0.5)
        return offer and offer.address

    def still_gives(self, name):
        """A machine gets its address whatever mrp does."""
        reply = self.wire.lease(MAC.format(1)) or self.wire.lease(MAC.format(1))
        self.given(reply, ACK, ADDRESS.format(11), f"while {name}")

    def up(self):
        """mrp runs, and the DHCP server's side of it follows."""
        self.processes.end("impostor", grace=0)
        self.processes.end("mrp", grace=0)
        self.start_mrp()
        self.noticed("clients are known from mrp")

    def impostor(self, answer, words, pause=0):
        """Something else listens where mrp's machine door was, and gives one answer to everything; who looks at mrp notices."""
        self.processes.end("mrp", grace=0)
        file = self.folder / "impostor-answer"
        file.write_bytes(answer)
        self.processes.start("impostor", [*self.there, sys.executable, "-c", IMPOSTOR, SERVER, file, pause])
        self.noticed(words)


def main(file, site, description):
    """Runs a site in its namespaces; the folder with the logs stays after a failure."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--mrp", required=True, type=Path, help="the program under test")
    parser.add_argument("--measure", action="store_true", help="more load than the DHCP server can bear")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        sys.exit(tell(site, arguments))
    if os.geteuid() != 0:
        sys.exit(f"{site.DHCP}: root is needed for network namespaces; run it with sudo")
    folder = tempfile.mkdtemp(prefix=f"mrp-{site.DHCP}-")
    code = subprocess.call(netns.inside([file, *sys.argv[1:], "--inside", folder]), start_new_session=True)
    if code:
        print(f"{site.DHCP}: everything is in {folder}", flush=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


def tell(site, arguments):
    """0 if all of it was as it should be."""
    begun, processes = time.monotonic(), Processes(arguments.inside)

    def say(text):
        print(f"{site.DHCP} {time.monotonic() - begun:6.1f} s  {text}", flush=True)

    try:
        site(processes, arguments.inside, arguments.mrp.resolve(), say).run(arguments.measure)
        say("done")
        return 0
    except Failure as failure:
        processes.end_all()
        for name in ("mrp", site.DHCP):
            log = processes.log(name)
            if log.exists():
                print(f"--- the end of {log.name}", "\n".join(log.read_text(errors="replace").splitlines()[-30:]), sep="\n")
        say(f"FAILED: {failure}")
        return 1
    finally:
        processes.end_all()
