"""A partial mirror for the Debian installer: its own packages (udebs) of the kernel that it runs, and the base system's.

Not every mirror has every udeb. So what is to be had is downloaded first, and what is missing is named.
"""

import gzip
import re
import subprocess

from bootfiles import PACKAGES
from mirror import RELEASE, Mirror
from processes import Failure, run

FOLDER = PACKAGES / "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64"
# What the installer puts on the disk beyond the required packages.
SYSTEM = "linux-image-amd64 initramfs-tools grub-pc grub-efi-amd64 systemd-sysv init ifupdown isc-dhcp-client tasksel".split()
UDEBS = "main/debian-installer"


class InstallerMirror(Mirror):
    """A mirror with the component of the installer's own packages."""

    name = "mirror-installer"

    def __init__(self, folder):
        super().__init__(folder)
        self.sources = self.kept / "sources.list"
        self.options += ["-o", f"Dir::Etc::sourcelist={self.sources}", "-o", "Dir::Etc::sourceparts=-"]

    def download(self, packages):
        """Fetches everything; names what the distribution's mirror does not have."""
        self.kept.mkdir(parents=True, exist_ok=True)
        named = ["Created-By: Packages", "Codename: bookworm", "Component: main"]
        uris = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", *named]).split()
        if not uris:
            raise Failure("apt has no package list of bookworm's main: run apt-get update")
        self.sources.write_text(f"deb {uris[0]} bookworm main {UDEBS}\n")
        self.update()
        missing = [*self.fetch_udebs(), *self.fetch_system([*packages, *SYSTEM])]
        if missing:
            raise Failure(
                f"{uris[0]} does not have {len(missing)} of the packages that the Debian installer needs: "
                f"{' '.join(missing)}; give apt a mirror that has them, and run make lab-install again"
            )

    def fetch_udebs(self):
        """Downloads the installer's packages; answers the names of those that are not to be had."""
        names, folder = self.udebs(), self.kept / "udebs"
        folder.mkdir(exist_ok=True)
        there = {file.name.split("_")[0] for file in folder.glob("*.udeb")}
        wanted = [name for name in names if name not in there]
        if wanted:
            subprocess.run(["apt-get", *self.options, "download", *wanted], cwd=folder, capture_output=True, check=False)
        there = {file.name.split("_")[0] for file in folder.glob("*.udeb")}
        return [f"{name} (udeb)" for name in names if name not in there]

    def fetch_system(self, packages):
        """Downloads the system's packages; answers the names of those that are not to be had."""
        words = ["apt-get", *self.options, "--yes", "--download-only", "install", *self.required(), *packages]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return []
        failed = re.findall(r"Failed to fetch \S*/([^/_\s]+)_", done.stderr)
        return failed or [f"({line})" for line in done.stderr.splitlines() if line.startswith("E:")]

    def udebs(self):
        """The names of the installer's packages for its kernel that it loads by itself."""
        initrd = gzip.decompress((FOLDER / "initrd.gz").read_bytes())
        kernel = re.search(rb"lib/modules/([0-9][^/\0]*)", initrd)[1].decode()
        named = ["Created-By: Packages", f"Component: {UDEBS}"]
        lists = run(["apt-get", *self.options, "indextargets", "--format", "$(FILENAME)", *named]).split()
        if not lists:
            raise Failure(f"apt has no package list of {UDEBS}")
        found = {}
        for text in run(["/usr/lib/apt/apt-helper", "cat-file", *lists]).split("\n\n"):
            fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
            if fields and fields.get("Kernel-Version", kernel) == kernel:
                found[fields["Package"]] = fields
        providers = {}
        for name, fields in found.items():
            for provided in re.findall(r"[a-z0-9][^\s,(]*", fields.get("Provides", "")):
                providers.setdefault(provided, []).append(name)
        names, more = set(), [n for n, f in found.items() if f.get("Priority") in ("required", "important", "standard")]
        while more:
            name = more.pop()
            if name not in names:
                names.add(name)
                depends = re.sub(r"\([^)]*\)|:any", "", found[name].get("Depends", ""))
                for wanted in re.split(r"[,|\s]+", depends):
                    more += [wanted] if wanted in found else providers.get(wanted, [])
        return sorted(names)

    def index(self):
        """The indexes of both components, which the installer reads compressed."""
        super().index()
        pool, binary = self.folder / "pool-udeb", self.folder / "dists/bookworm" / UDEBS / "binary-amd64"
        pool.mkdir()
        binary.mkdir(parents=True)
        for package in sorted((self.kept / "udebs").glob("*.udeb")):
            (pool / package.name.replace("%3a", ":")).symlink_to(package)
        words = ["apt-ftparchive", "-o", "APT::FTPArchive::DoByHash=false", "packages", "pool-udeb"]
        (binary / "Packages").write_text(run(words, cwd=self.folder))
        release = self.folder / "dists/bookworm"
        for packages in release.rglob("Packages"):
            packages.with_suffix(".gz").write_bytes(gzip.compress(packages.read_bytes()))
        (release / "Release").unlink()
        sums = run(["apt-ftparchive", "release", "."], cwd=release)
        (release / "Release").write_text(RELEASE + sums)
