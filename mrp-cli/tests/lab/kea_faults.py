#!/usr/bin/env python3
"""Kea with mrp's hook: addresses and boot files as mrp says, and no exchange lost whatever becomes of mrp.

    sudo python3 mrp-cli/tests/lab/kea_faults.py --mrp target/debug/mrp [--measure]

Needs root, what `.ci/install-packages` installs, and `make kea-hook`. mrp and Kea run in a network namespace of their
own; perfdhcp and a client of ours are at the other end of its only cable. With --measure there is more load than Kea can bear,
so that the rates show what the hook costs.
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

sys.dont_write_bytecode = True  # runs as root: leaves nothing among the sources

import kea
import netns
import server
from dhcp import ACK, DECLINE, DISCOVER, NAK, RELEASE, REQUEST, Wire, address_bytes
from processes import Failure, Processes, check, run, wait_for

SERVER, SUBNET, RESERVED, POOL = "10.78.0.1", "10.78.0.0/16", "10.78.16.0/20", "10.78.64.1-10.78.95.254"
RELAY, CABLE = "10.78.128.1", "clients"
MAC = "52:54:00:78:00:{:02x}"
ADDRESS = "10.78.16.{}"
POOLED, TAKEN = "10.78.64.", "10.78.16."
# perfdhcp's simulated clients count up from its base; some of them are machines with addresses of their own.
BASE, CLIENTS, KNOWN = 0x000C01020304, 900, 90
# Exchanges a second: far less than Kea can bear, and more.
STEADY, LOAD = 500, 8000
# What may be lost beyond what Kea alone loses, as a share, and how often both are tried: a busy machine loses packets by itself.
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
backend = "kea"
kea_config = "{folder}/kea-dhcp4.conf"
observe = []
"""

SITE = """\
{{ "Dhcp4": {{
  "interfaces-config": {{ "interfaces": [ "eth0" ], "dhcp-socket-type": "raw" }},
  "lease-database": {{ "type": "memfile", "persist": false }}, "valid-lifetime": 3600,
  "multi-threading": {{ "enable-multi-threading": {threads}, "thread-pool-size": 4, "packet-queue-size": 64 }},
  "loggers": [ {{ "name": "kea-dhcp4", "severity": "WARN", "output_options": [ {{ "output": "stdout" }} ] }},
               {{ "name": "kea-dhcp4.mrp-hooks", "severity": "INFO", "output_options": [ {{ "output": "stdout" }} ] }} ],
  {printed}
}} }}
"""

SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
NONSENSE = b"HTTP/1.1 200 OK\r\n\r\n<html>\n" + bytes(200)
# In place of mrp's machine door: its address, and its answer in hexadecimal.
IMPOSTOR = """
import socket, sys
listener = socket.create_server((sys.argv[1], 8081))
while True:
    connection, _ = listener.accept()
    try:
        connection.settimeout(2)
        connection.recv(65536)
        connection.sendall(bytes.fromhex(sys.argv[2]))
    except OSError:
        pass
    connection.close()
"""

PXE = [(60, b"PXEClient:Arch:00007:UNDI:003000"), (93, b"\0\7")]
HTTP = [(60, b"HTTPClient:Arch:00016:UNDI:003001"), (93, b"\0\x10")]


class Site:
    """mrp and Kea in their namespace, and what is at the other end of the cable."""

    def __init__(self, processes, folder, mrp, say):
        self.processes, self.folder, self.mrp, self.say = processes, folder, mrp, say
        self.environment = dict(kea.environment(folder), HOME=str(folder))

    def run(self, measure):
        """All of it."""
        kea.prepare(self.folder)
        self.build()
        self.start_mrp()
        self.describe()
        self.start_kea(hook=True)
        self.answers()
        self.leases()
        self.say("the same of a Kea with four threads")
        self.start_kea(hook=True, threads=True)
        self.answers()
        self.without_a_table()
        self.faults(measure)
        self.say("done")

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
        config.write_text(MRP.format(folder=self.folder, server=SERVER))
        (self.folder / "dhcp-token").write_text("a-token-of-the-lab-alone\n")
        self.processes.start("mrp", [*self.there, self.mrp, "serve", "--config", config], env=self.environment)
        server.wait_for_port(self.processes, f"http://{SERVER}:8080")

    def start_kea(self, hook, threads=False):
        """Starts Kea with mrp's piece of configuration, or with the same piece without the hook."""
        self.processes.end("kea")
        words = [self.mrp, "kea", "config", "--config", self.folder / "mrp.toml", "--library", kea.LIBRARY]
        words += ["--cache", self.folder / "kea-table", "--subnet", SUBNET, "--pool", POOL, "--reserved", RESERVED]
        printed = run(words)
        if not hook:
            printed, found = re.subn(r'"hooks-libraries": \[.*?\n\],\n', "", printed, flags=re.S)
            check(found == 1, "the hook's line is not where it was")
        config = self.folder / "kea-dhcp4.conf"
        config.write_text(SITE.format(threads=json.dumps(threads), printed=printed))
        self.log_begins = self.processes.log("kea").stat().st_size if self.processes.log("kea").exists() else 0
        self.processes.start("kea", [*self.there, "kea-dhcp4", "-c", config], env=self.environment)
        wait_for(lambda: self.wire.ask(DISCOVER, "52:54:00:78:ff:ff", seconds=0.3), "Kea answers", 30)

    def log(self):
        """What this Kea has said."""
        with self.processes.log("kea").open(errors="replace") as log:
            log.seek(self.log_begins)
            return log.read()

    def says(self, words, seconds=40):
        """Waits for a line in Kea's log."""
        wait_for(lambda: words in self.log(), f"Kea's log has {words!r}", seconds)

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
        self.say(f"{KNOWN} of perfdhcp's {CLIENTS} clients become machines")
        for number in range(KNOWN):
            mac = f"{BASE + number:012x}"
            self.machine(f"load-{number}", mac, f"10.78.17.{number + 1}")
        self.one = self.machine("one", MAC.format(1), ADDRESS.format(11), netboot=True)
        self.two = self.machine("two", MAC.format(2), ADDRESS.format(12))
        self.three = self.machine("three", MAC.format(3), None)
        doctor = subprocess.run([self.mrp, "doctor", "--config", self.folder / "mrp.toml"], capture_output=True, env=self.environment)
        check(b"kea-dhcp4.conf cannot be read" in doctor.stdout, f"mrp doctor misses no configuration:\n{doctor.stdout.decode()}")

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

    def given(self, reply, kind, address, what):
        """Fails unless the reply is of this kind and has this address, or one that begins so."""
        found = (reply.kind, reply.address) if reply else None
        check(reply and reply.kind == kind and reply.address.startswith(address), f"{what}: {found}, not {(kind, address)}")
        return reply

    def answers(self):
        """What clients are told."""
        self.says("clients are known from mrp")
        wire, one, mine = self.wire, MAC.format(1), ADDRESS.format(11)
        self.say("reserved addresses hold at DISCOVER, REQUEST and INIT-REBOOT, with a client-id and behind a relay")
        offer = self.given(wire.ask(DISCOVER, one, PXE), 2, mine, "DISCOVER")
        check((offer.next_server, offer.file) == (SERVER, "bootx64.efi"), f"told {offer.next_server} {offer.file!r}")
        check(offer.options[67] == b"bootx64.efi" and offer.options[66] == SERVER.encode(), f"options {offer.options}")
        check(offer.options[12] == b"one", f"the host name is {offer.options.get(12)}")
        self.says(f'{one}: next server {SERVER}, boot file bootx64.efi: machine "one" netboots, its firmware is of architecture 7')
        self.given(wire.lease(one, PXE), ACK, mine, "REQUEST")
        self.given(wire.ask(REQUEST, one, [(50, address_bytes(mine))]), ACK, mine, "INIT-REBOOT")
        self.given(wire.lease(one, [(61, b"\0something-else")]), ACK, mine, "with a client-id")
        self.given(wire.lease(one, source=RELAY, giaddr=RELAY), ACK, mine, "behind a relay")
        self.given(wire.ask(REQUEST, one, [(50, address_bytes(ADDRESS.format(200)))]), NAK, "0.0.0.0", "another address")
        http = wire.ask(DISCOVER, one, HTTP)
        check(http.file == f"http://{SERVER}:8081/boot/bootx64.efi" and http.options[60] == b"HTTPClient", f"HTTP boot: {http.file!r} {http.options}")
        ipxe = wire.ask(DISCOVER, one, [*PXE, (77, b"iPXE")])
        check(ipxe.file == f"http://{SERVER}:8081/boot/boot.ipxe" and 60 not in ipxe.options, f"iPXE: {ipxe.file!r}")
        system = wire.ask(DISCOVER, one)
        check((system.file, system.next_server) == ("", "0.0.0.0"), f"an operating system is told {system.file!r}")
        off = wire.ask(DISCOVER, MAC.format(2), PXE)
        # Which boots its disk by mrp's word; told nothing, UEFI firmware waits for minutes.
        check((off.file, off.address) == ("bootx64.efi", ADDRESS.format(12)), f"a machine that does not netboot is told {off.file!r}")
        twin = wire.lease(one, [(61, b"\0twin")])
        self.given(twin, ACK, mine, "a second machine with the same MAC")

        self.say("strangers, and hardware that is no Ethernet, get what Kea gives them alone")
        self.given(wire.lease(MAC.format(0x80)), ACK, POOLED, "a stranger")
        self.given(wire.ask(REQUEST, MAC.format(0x81), [(50, address_bytes(mine))]), NAK, "0.0.0.0", "a stranger with a reserved address")
        self.given(wire.ask(DISCOVER, MAC.format(0x82), [(50, address_bytes(mine))]), 2, POOLED, "a stranger who wishes for one")
        infiniband = [(61, b"\xff" + bytes(15))]
        self.given(wire.ask(DISCOVER, bytes(0), infiniband, htype=32, hlen=0), 2, POOLED, "InfiniBand")
        self.given(wire.ask(DISCOVER, bytes.fromhex("525400780001"), infiniband, htype=32, hlen=6), 2, POOLED, "another hardware type")
        self.say("malformed packets change nothing")
        for raw in (b"\x35\x01", b"\x35\xff\x01", b"\x35\x01\x01\x5d\x01\x07\x3c\x00\x4d\xff", b"\x35\x01\x01\x5d\xff\x00", bytes(60), b"\xff"):
            wire.ask(DISCOVER, one, raw_options=raw, seconds=0.05)
        for hlen in (0, 5, 7, 16, 255):
            wire.ask(DISCOVER, one, PXE, hlen=hlen, seconds=0.05)
        self.given(wire.ask(DISCOVER, one, PXE), 2, mine, "after malformed packets")

    def leases(self):
        """Changes in mrp are in force within half a second, and what Kea saw arrives."""
        wire, two = self.wire, MAC.format(2)
        self.say("changes in mrp are in force within 500 ms")
        for address in (ADDRESS.format(32), ADDRESS.format(12)):
            self.reserve(self.two, address)
            since = time.monotonic()
            wait_for(lambda: wire.ask(DISCOVER, two).address == address, f"{two} is offered {address}", 0.5)
            self.say(f"  {address} is offered {(time.monotonic() - since) * 1000:.0f} ms after mrp's answer")
        self.say("what Kea saw is known to mrp")
        self.given(wire.lease(two), ACK, ADDRESS.format(12), "REQUEST")
        path = "/api/v1/machine/{}/interface".format(self.two[0])
        lease = lambda: self.ask("GET", path)[0]["lease_ipv4"]
        wait_for(lambda: lease() == ADDRESS.format(12), "the lease is known", 20)
        seen = [client["mac"] for client in self.ask("GET", "/api/v1/discovered")]
        check(MAC.format(0x80) in seen, f"the stranger is not among those discovered: {seen}")
        server_id = [(54, address_bytes(SERVER))]
        wire.ask(RELEASE, two, server_id, ciaddr=ADDRESS.format(12), seconds=0.05)
        wait_for(lambda: lease() is None, "the released lease is over", 20)
        self.given(wire.lease(two), ACK, ADDRESS.format(12), "after the release")
        wait_for(lambda: lease() == ADDRESS.format(12), "the new lease is known", 20)

        self.say("an address that somebody else has, and the lease of a deleted machine")
        squatter = MAC.format(0x83)
        mine = self.given(wire.lease(squatter), ACK, POOLED, "a stranger").address
        three = MAC.format(3)
        wait_for(lambda: self.known(three), "the third machine is known", 5)
        self.given(wire.lease(three), ACK, POOLED, "a machine without an address of its own")
        self.reserve(self.three, ADDRESS.format(13))
        wait_for(lambda: wire.lease(three).address == ADDRESS.format(13), "the reserved address is given", 5)
        again = [(50, address_bytes(ADDRESS.format(13)))]
        self.given(wire.ask(REQUEST, three, again), ACK, ADDRESS.format(13), "INIT-REBOOT")
        self.ask("DELETE", f"/api/v1/machine/{self.three[0]}")
        # Kea is silent to who has a lease that no pool and no reservation allows; the client asks anew.
        wait_for(lambda: wire.ask(REQUEST, three, again, seconds=0.5) is None, "a deleted machine's address is not renewed", 5)
        self.given(wire.lease(three), ACK, POOLED, "the client of a deleted machine")
        four = self.machine("four", MAC.format(4), ADDRESS.format(13))
        wait_for(lambda: wire.lease(MAC.format(4)).address == ADDRESS.format(13), "its address is another's", 5)
        wire.ask(DECLINE, MAC.format(4), [*server_id, (50, address_bytes(ADDRESS.format(13)))], seconds=0.05)
        self.given(wire.lease(MAC.format(4)), ACK, POOLED, "while its address is used by somebody else")
        events = lambda: [event["text"] for event in self.ask("GET", f"/api/v1/event?machine={four[0]}")]
        wait_for(lambda: any("somebody else" in text for text in events()), "the declined address is told", 20)
        self.given(wire.ask(REQUEST, squatter, ciaddr=mine, source=mine), ACK, mine, "the stranger renews")

    def known(self, mac):
        """Whether Kea's copy on disk, which follows the table, has a client."""
        copy = self.folder / "kea-table"
        return copy.exists() and mac in copy.read_text()

    def without_a_table(self):
        """Kea starts while mrp is away: with the copy on disk, with a damaged one, with none."""
        wire, one, copy = self.wire, MAC.format(1), self.folder / "kea-table"
        self.say("mrp is killed, and Kea started anew: the copy on disk answers")
        self.processes.end("mrp", grace=0)
        self.start_kea(hook=True)
        self.given(wire.lease(one), ACK, ADDRESS.format(11), "by the copy on disk")
        self.say("damaged copies are told and passed over")
        whole = copy.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"\xff\0nonsense", b""):
            copy.write_bytes(damaged)
            self.start_kea(hook=True)
            self.says("it is damaged")
            self.given(wire.lease(one), ACK, POOLED, "without a table")
            self.given(wire.ask(REQUEST, MAC.format(0x85), [(50, address_bytes(ADDRESS.format(11)))]), NAK, "0.0.0.0", "without a table a reserved address")
        copy.unlink()
        self.start_mrp()
        self.says("clients are known from mrp")
        self.given(wire.lease(one), ACK, ADDRESS.format(11), "once mrp is back")

    def load(self, name, rate, seconds, meanwhile=None):
        """Runs perfdhcp; answers the exchanges a second, and the share of messages that were not answered."""
        words = ["perfdhcp", "-4", "-l", CABLE, "-R", CLIENTS, "-r", rate, "-p", seconds]
        done = []
        thread = threading.Thread(target=lambda: done.append(subprocess.run([str(w) for w in words], capture_output=True, text=True)))
        thread.start()
        if meanwhile:
            time.sleep(seconds / 3)  # in the middle of the load
            meanwhile()
        thread.join()
        text = done[0].stdout
        found = re.search(r"Rate: ([\d.]+) 4-way exchanges/second", text)
        check(found, f"perfdhcp says nothing of a rate:\n{text}\n{done[0].stderr}")
        lost = sum(int(number) for number in re.findall(r"^drops: (\d+)", text, flags=re.M))
        sent = sum(int(number) for number in re.findall(r"^sent packets: (\d+)", text, flags=re.M))
        self.say(f"  {name:34} {float(found[1]):7.0f} exchanges/s, {lost} of {sent} messages unanswered")
        return float(found[1]), lost / sent

    def faults(self, measure):
        """perfdhcp's load while mrp is up, paused, killed, started anew and talking nonsense."""
        rate, seconds = (LOAD, 8) if measure else (STEADY, 4)
        self.say(f"perfdhcp asks for {rate} exchanges a second")
        pause = lambda: os.kill(self.processes.running["mrp"].pid, signal.SIGSTOP)  # nsenter has become mrp
        kill = lambda: self.processes.end("mrp", grace=0)
        alone = None
        for name, before, meanwhile in (
            ("mrp up", self.up, None),
            ("mrp paused (SIGSTOP) in the middle", self.up, pause),
            ("mrp hung", lambda: (self.up(), pause()), None),
            ("mrp killed in the middle", self.up, kill),
            ("mrp down", kill, None),
            ("mrp started in the middle", kill, self.start_mrp),
            ("mrp answers status 500", lambda: self.impostor(SERVER_ERROR), None),
            ("mrp answers nonsense", lambda: self.impostor(NONSENSE), None),
        ):
            for attempt in range(ATTEMPTS):
                # Where others use the machine, Kea alone is asked again just before.
                if measure or attempt or alone is None:
                    self.start_kea(hook=False)
                    alone = self.load("Kea alone", rate, seconds)
                self.processes.end("impostor", grace=0)
                self.start_kea(hook=True)
                before()
                got = self.load(name, rate, seconds, meanwhile)
                self.say(f"  {name:34} {got[0] / alone[0]:7.2f} of Kea alone")
                if measure or got[1] <= alone[1] + TOLERANCE:
                    break
            else:
                raise Failure(f"{name}: {got[1]:.1%} of the messages were not answered, of Kea alone {alone[1]:.1%}")
            reply = self.wire.lease(MAC.format(1)) or self.wire.lease(MAC.format(1))
            self.given(reply, ACK, ADDRESS.format(11), f"while {name}")

    def up(self):
        """mrp runs, and the hook follows it."""
        self.processes.end("impostor", grace=0)
        self.processes.end("mrp", grace=0)
        self.start_mrp()
        self.says("clients are known from mrp")

    def impostor(self, answer):
        """Something else listens where mrp's machine door was, and gives one answer to everything."""
        self.processes.end("mrp", grace=0)
        self.processes.start("impostor", [*self.there, sys.executable, "-c", IMPOSTOR, SERVER, answer.hex()])
        self.says("answers with status 500" if answer is SERVER_ERROR else "it sends no table")


def main():
    """Runs it in its namespaces; the folder with the logs stays after a failure."""
    parser = argparse.ArgumentParser(description="Kea with mrp's hook while mrp is up, down, hung and talks nonsense")
    parser.add_argument("--mrp", required=True, type=Path, help="the program under test")
    parser.add_argument("--measure", action="store_true", help="more load than Kea can bear")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        sys.exit(tell(arguments))
    if os.geteuid() != 0:
        sys.exit("kea: root is needed for network namespaces; run it with sudo")
    folder = tempfile.mkdtemp(prefix="mrp-kea-")
    code = subprocess.call(netns.inside([__file__, *sys.argv[1:], "--inside", folder]), start_new_session=True)
    if code:
        print(f"kea: everything is in {folder}", flush=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


def tell(arguments):
    """0 if all of it was as it should be."""
    begun, processes = time.monotonic(), Processes(arguments.inside)

    def say(text):
        print(f"kea {time.monotonic() - begun:6.1f} s  {text}", flush=True)

    try:
        Site(processes, arguments.inside, arguments.mrp.resolve(), say).run(arguments.measure)
        return 0
    except Failure as failure:
        processes.end_all()
        for name in ("mrp", "kea"):
            log = processes.log(name)
            if log.exists():
                print(f"--- the end of {log.name}", "\n".join(log.read_text(errors="replace").splitlines()[-30:]), sep="\n")
        say(f"FAILED: {failure}")
        return 1
    finally:
        processes.end_all()


if __name__ == "__main__":
    main()
