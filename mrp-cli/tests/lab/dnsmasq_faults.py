#!/usr/bin/env python3
"""dnsmasq with what mrp prints for it: no exchange is lost whatever becomes of mrp, and mrp hears of every lease once it is back.

    sudo python3 mrp-cli/tests/lab/dnsmasq_faults.py --mrp target/debug/mrp

Needs root and what `.ci/install-packages` installs. mrp and dnsmasq run in a network namespace of their own; perfdhcp and a client
of ours are at the other end of its only cable.
"""

import re
import sys

sys.dont_write_bytecode = True  # runs as root: leaves nothing among the sources

import fault_site
from dhcp import ACK, DISCOVER
from fault_site import ADDRESS, MAC, POOL
from processes import check, run, wait_for

# Exchanges a second: each lease is a program that dnsmasq starts, one after the other.
STEADY = 60

SITE = """\
port=0
interface=eth0
except-interface=lo
bind-interfaces
user=root
pid-file={folder}/dnsmasq.pid
dhcp-leasefile={folder}/dnsmasq-leases
dhcp-authoritative
no-ping
dhcp-range={first},{last},255.255.0.0,1h
conf-file={folder}/mrp-dnsmasq.conf
"""


class Dnsmasq(fault_site.Site):
    """A site with dnsmasq."""

    DHCP, CLIENTS, KNOWN = "dnsmasq", 60, 20
    MRP_DHCP = (
        'backend = "dnsmasq"\ndnsmasq_hosts = "{folder}/hosts.d/mrp"\n'
        'dnsmasq_reload = ["sh", "-c", "kill -HUP $(cat {folder}/dnsmasq.pid)"]\n'
    )

    def run(self, measure):
        """All of it."""
        check(not measure, "what dnsmasq bears is not measured")
        (self.folder / "hosts.d").mkdir()
        self.build()
        self.start_mrp()
        self.describe()
        self.hosts_are_mended()
        self.faults(STEADY)
        self.everything_arrives()

    def start_dhcp(self, mrp):
        """Starts dnsmasq with what mrp prints, or with the same without reports of leases. It has forgotten all leases."""
        self.processes.end("dnsmasq")
        script = self.folder / "mrp-dnsmasq-event"
        words = [self.mrp, "dnsmasq", "config", "--config", self.folder / "mrp.toml", "--script", script]
        words += ["--spool", self.folder / "spool"]
        script.write_text(run([*words, "--print-script"]))
        script.chmod(0o755)
        printed = run(words)
        if not mrp:
            printed, found = re.subn(r"^dhcp-script=.*\n", "", printed, flags=re.M)
            check(found == 1, "the script's line is not where it was")
        (self.folder / "mrp-dnsmasq.conf").write_text(printed)
        (self.folder / "dnsmasq-leases").unlink(missing_ok=True)
        first, last = POOL
        site = self.folder / "dnsmasq.conf"
        site.write_text(SITE.format(folder=self.folder, first=first, last=last))
        self.processes.start("dnsmasq", [*self.there, "dnsmasq", "-k", "-C", site, "--log-facility=-"])
        wait_for(lambda: self.wire.ask(DISCOVER, "52:54:00:78:ff:ff", seconds=0.3), "dnsmasq answers", 30)

    def hosts_are_mended(self):
        """The file with the addresses is mrp's: what somebody writes there is put right, and said."""
        hosts = self.folder / "hosts.d/mrp"
        wait_for(lambda: hosts.exists() and ADDRESS.format(11) in hosts.read_text(), "the machines' addresses are written", 20)
        whole = hosts.read_text()
        self.start_dhcp(mrp=True)
        for damage in (lambda: hosts.write_text("nonsense\n"), hosts.unlink):
            damage()
            wait_for(lambda: hosts.exists() and hosts.read_text() == whole, "the file is mended", 20)
            wait_for(self.gives_its_address, "dnsmasq reads it again", 10)
        self.say("the file with the addresses is mended")

    def gives_its_address(self):
        """Whether a machine is offered what mrp reserves for it."""
        offer = self.wire.ask(DISCOVER, MAC.format(1), seconds=0.5)
        return offer is not None and offer.address == ADDRESS.format(11)

    def everything_arrives(self):
        """Reports that had to wait come when mrp is back, the next time that dnsmasq has something to report."""
        self.say("mrp hears of the leases that were given while it was away")
        self.processes.end("impostor", grace=0)
        self.processes.end("mrp", grace=0)
        self.start_dhcp(mrp=True)
        self.load("mrp down", STEADY)
        self.start_mrp()
        # A restarted dnsmasq tells the leases that it has; here the next client does.
        stranger = iter(range(0x20, 0xFF))

        def spool_is_empty():
            self.given(self.wire.lease(MAC.format(next(stranger))), ACK, "10.78.", "a stranger")
            return not list((self.folder / "spool").glob("*.json"))

        wait_for(spool_is_empty, "no report is left in the spool", 60)
        for number, ids in enumerate(self.machines):
            check(self.lease(ids) == f"10.78.17.{number + 1}", f"machine {number} has {self.lease(ids)}")


if __name__ == "__main__":
    fault_site.main(__file__, Dnsmasq, "dnsmasq beside mrp while mrp is up, down, hung and talks nonsense")
