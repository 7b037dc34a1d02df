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
        self.reports_arrive()

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
        """The file with the addresses is mrp's: what somebody writes there is put right, and dnsmasq reads it."""
        hosts = self.folder / "hosts.d/mrp"
        wait_for(lambda: hosts.exists() and ADDRESS.format(11) in hosts.read_text(), "the machines' addresses are written", 20)
        whole = hosts.read_text()
        self.start_dhcp(mrp=True)
        hosts.write_text(whole.replace(ADDRESS.format(11), ADDRESS.format(99)))
        wait_for(lambda: hosts.read_text() == whole, "the file is mended", 20)
        wait_for(lambda: self.offered(MAC.format(1)) == ADDRESS.format(11), "dnsmasq forgets what somebody wrote", 10)
        hosts.unlink()
        wait_for(lambda: hosts.exists() and hosts.read_text() == whole, "the file is there again", 20)
        folder, away = hosts.parent, hosts.parent.with_name("hosts.away")
        folder.rename(away)
        folder.write_text("a file where the folder was")
        self.reserve(self.one, ADDRESS.format(99))
        log = self.processes.log("mrp")
        wait_for(lambda: "hosts.d/mrp cannot be written" in log.read_text(), "mrp says that it cannot write", 10)
        folder.unlink()
        away.rename(folder)
        wait_for(lambda: ADDRESS.format(99) in hosts.read_text(), "what could not be written is written later", 20)
        for address in (ADDRESS.format(12), ADDRESS.format(11)):
            self.reserve(self.one, address)
            wait_for(lambda: self.offered(MAC.format(1)) == address, "dnsmasq follows the new file", 10)
        self.say("the file with the addresses is mended")

    def reports_arrive(self):
        """Those that had to wait come with the next one: of a client that nobody knows."""
        strangers = iter(range(0x20, 0xFF))

        def all_are_there():
            # One whose packet meets dnsmasq while it reads its files asks again, as clients do.
            stranger = self.wire.lease(MAC.format(next(strangers)), seconds=1)
            if stranger is None:
                return False
            self.given(stranger, ACK, "10.78.", "a stranger")
            return not list((self.folder / "spool").glob("*.json")) and self.all_leases_are_known()

        self.everything_arrives(STEADY, lambda: self.processes.end("mrp", grace=0), self.start_mrp)
        wait_for(all_are_there, "the leases of all machines are known", 60)


if __name__ == "__main__":
    fault_site.main(__file__, Dnsmasq, "dnsmasq beside mrp while mrp is up, down, hung and talks nonsense")
