#!/usr/bin/env python3
"""Kea with mrp's hook: addresses and boot files as mrp says, and no exchange lost whatever becomes of mrp.

    sudo python3 mrp-cli/tests/lab/kea_faults.py --mrp target/debug/mrp [--measure]

Needs root, what `.ci/install-packages` installs, and `make kea-hook`. mrp and Kea run in a network namespace of their
own; perfdhcp and a client of ours are at the other end of its only cable. With --measure there is more load than Kea can bear,
so that the rates show what the hook costs.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # runs as root: leaves nothing among the sources

import fault_site
import kea
from dhcp import ACK, DECLINE, DISCOVER, NAK, RELEASE, REQUEST, address_bytes
from fault_site import ADDRESS, MAC, POOL, RELAY, RESERVED, SERVER, SUBNET
from processes import check, run, wait_for

POOLED = "10.78.64."
# Exchanges a second: far less than Kea can bear, and more.
STEADY, LOAD = 500, 20_000
# What is measured, and how often beside Kea alone.
COSTS, ROUNDS = ("mrp up", "mrp hung", "mrp down", "mrp is slow"), 7

SITE = """\
{{ "Dhcp4": {{
  "interfaces-config": {{ "interfaces": [ "eth0" ], "dhcp-socket-type": "raw" }},
  "lease-database": {{ "type": "memfile", {leases} }}, "valid-lifetime": 3600,
  "multi-threading": {{ "enable-multi-threading": {threads}, "thread-pool-size": 4, "packet-queue-size": 64 }},
  "loggers": [ {{ "name": "kea-dhcp4", "severity": "WARN", "output_options": [ {{ "output": "stdout" }} ] }},
               {{ "name": "kea-dhcp4.mrp-hooks", "severity": "INFO", "output_options": [ {{ "output": "stdout" }} ] }} ],
  {printed}
}} }}
"""

PXE = [(60, b"PXEClient:Arch:00007:UNDI:003000"), (93, b"\0\7")]
HTTP = [(60, b"HTTPClient:Arch:00016:UNDI:003001"), (93, b"\0\x10")]


class Kea(fault_site.Site):
    """A site with Kea and mrp's hook."""

    DHCP, CLIENTS, KNOWN = "kea", 900, 90
    MRP_DHCP = 'backend = "kea"\nkea_config = "{folder}/kea-dhcp4.conf"\n'

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.environment = dict(kea.environment(self.folder), HOME=str(self.folder))

    def run(self, measure):
        """All of it."""
        self.measured = False
        kea.prepare(self.folder)
        self.build()
        self.start_mrp()
        self.describe()
        self.start_dhcp(mrp=False)
        self.doctor("does not load libdhcp_mrp.so")
        self.start_dhcp(mrp=True)
        self.doctor(f"libdhcp_mrp.so, which asks http://{SERVER}:8081")
        self.doctor(f"mrp gives it at http://{SERVER}:8081/dhcp/table")
        self.answers()
        self.leases()
        self.say("the same of a Kea with four threads")
        self.start_dhcp(mrp=True, threads=True)
        self.answers()
        self.without_a_table()
        self.measured = measure
        if measure:
            self.costs()
        else:
            self.faults(STEADY)
            self.reports_arrive()

    def reports_arrive(self):
        """Those that Kea has while mrp hangs wait for it."""
        process = lambda: self.processes.running["mrp"].pid
        self.start_dhcp(mrp=True)
        self.everything_arrives(STEADY, lambda: os.kill(process(), signal.SIGSTOP), lambda: os.kill(process(), signal.SIGCONT))
        wait_for(self.all_leases_are_known, "the leases of all machines are known", 60)

    def describe(self):
        """Also machines that do not netboot, and one without an address of its own."""
        super().describe()
        self.two = self.machine("two", MAC.format(2), ADDRESS.format(12))
        self.three = self.machine("three", MAC.format(3), None)
        self.doctor("kea-dhcp4.conf cannot be read")

    def doctor(self, words):
        """What mrp doctor says of Kea's configuration has these words."""
        words_of = [*self.there, self.mrp, "doctor", "--config", self.folder / "mrp.toml"]
        said = subprocess.run(words_of, capture_output=True, text=True, env=self.environment).stdout
        check(words in said, f"mrp doctor does not say {words!r}:\n{said}")

    def start_dhcp(self, mrp, threads=False):
        """Starts Kea with mrp's piece of configuration, or with the same piece without the hook."""
        self.processes.end("kea")
        words = [self.mrp, "kea", "config", "--config", self.folder / "mrp.toml", "--library", kea.LIBRARY]
        words += ["--cache", self.folder / "kea-table", "--subnet", SUBNET, "--pool", "-".join(POOL), "--reserved", RESERVED]
        printed = run(words)
        if not mrp:
            printed, found = re.subn(r'"hooks-libraries": \[.*?\n\],\n', "", printed, flags=re.S)
            check(found == 1, "the hook's line is not where it was")
        config = self.folder / "kea-dhcp4.conf"
        # What is measured is a Kea that keeps its leases, as sites have it.
        leases = f'"name": "{self.folder}/kea-leases"' if self.measured else '"persist": false'
        config.write_text(SITE.format(threads=json.dumps(threads), printed=printed, leases=leases))
        self.log_begins = self.processes.log("kea").stat().st_size if self.processes.log("kea").exists() else 0
        self.processes.start("kea", [*self.there, "kea-dhcp4", "-c", config], env=self.environment)
        wait_for(lambda: self.wire.ask(DISCOVER, "52:54:00:78:ff:ff", seconds=0.3), "Kea answers", 30)

    def log(self):
        """What this Kea has said."""
        with self.processes.log("kea").open(errors="replace") as log:
            log.seek(self.log_begins)
            return log.read()

    def noticed(self, words):
        """Waits for a line in Kea's log."""
        wait_for(lambda: words in self.log(), f"Kea's log has {words!r}", 40)

    def answers(self):
        """What clients are told."""
        self.noticed("clients are known from mrp")
        wire, one, mine = self.wire, MAC.format(1), ADDRESS.format(11)
        self.say("reserved addresses hold at DISCOVER, REQUEST and INIT-REBOOT, with a client-id and behind a relay")
        offer = self.given(wire.ask(DISCOVER, one, PXE), 2, mine, "DISCOVER")
        check((offer.next_server, offer.file) == (SERVER, "bootx64.efi"), f"told {offer.next_server} {offer.file!r}")
        check(offer.options[67] == b"bootx64.efi" and offer.options[66] == SERVER.encode(), f"options {offer.options}")
        check(offer.options[12] == b"one", f"the host name is {offer.options.get(12)}")
        self.noticed(f'{one}: next server {SERVER}, boot file bootx64.efi: machine "one" netboots, its firmware is of architecture 7')
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
        lease = lambda: self.lease(self.two)
        wait_for(lambda: lease() == ADDRESS.format(12), "the lease is known", 20)
        seen = [client["mac"] for client in self.ask("GET", "/api/v1/discovered")]
        for stranger, said in ((0x80, "DISCOVER"), (0x81, "a REQUEST that takes no offer")):
            check(MAC.format(stranger) in seen, f"a stranger who sent {said} is not among those discovered: {seen}")
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
        self.start_dhcp(mrp=True)
        self.given(wire.lease(one), ACK, ADDRESS.format(11), "by the copy on disk")
        self.say("damaged copies are told and passed over")
        whole = copy.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"\xff\0nonsense", b""):
            copy.write_bytes(damaged)
            self.start_dhcp(mrp=True)
            self.noticed("it is damaged")
            self.given(wire.lease(one), ACK, POOLED, "without a table")
            self.given(wire.ask(REQUEST, MAC.format(0x85), [(50, address_bytes(ADDRESS.format(11)))]), NAK, "0.0.0.0", "without a table a reserved address")
        copy.unlink()
        self.start_mrp()
        self.noticed("clients are known from mrp")
        self.given(wire.lease(one), ACK, ADDRESS.format(11), "once mrp is back")

    def costs(self):
        """Prints what Kea with the hook does of what Kea alone does in the same minute, as medians."""
        self.say(f"perfdhcp asks for {LOAD} exchanges a second")
        for name, before, meanwhile in self.states():
            if name not in COSTS:
                continue
            rates, costs = [], []
            for _ in range(ROUNDS):
                self.start_dhcp(mrp=False)
                alone, cpu_alone = self.load("kea alone", LOAD)[0], self.cpu()
                beside, cpu_beside = self.beside(name, LOAD, before, meanwhile)[0], self.cpu()
                rates.append(beside / alone)
                costs.append((beside / cpu_beside) / (alone / cpu_alone))
            shown = ", ".join(f"{rate:.2f}" for rate in sorted(rates))
            text = f"{statistics.median(rates):.2f} of Kea alone ({shown}); by a second of Kea's CPU {statistics.median(costs):.2f}"
            self.say(f"{name:36} {text}")
            self.still_gives(name)

    def cpu(self):
        """Seconds of CPU that this Kea has used."""
        stat = (Path("/proc") / str(self.processes.running["kea"].pid) / "stat").read_text()
        return sum(int(ticks) for ticks in stat.rpartition(")")[2].split()[11:13]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    fault_site.main(__file__, Kea, "Kea with mrp's hook while mrp is up, down, hung and talks nonsense")
