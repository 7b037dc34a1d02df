"""A small partial mirror of the distribution, made from what apt downloads: the packages named and all that they depend on.

apt runs with a state of its own, in which nothing is installed: so it downloads what the machine has, too. The packages are
kept below target/lab for the next time.
"""

import subprocess
import tempfile

from bootfiles import LAB
from processes import Failure, run

RELEASE = """\
Suite: stable
Codename: bookworm
Architectures: amd64
Components: main
"""


class Mirror:
    """A folder that a web server may serve: pool/ and dists/bookworm/."""

    name = "mirror"

    def __init__(self, folder):
        self.folder = folder
        self.kept = LAB / self.name
        self.options = [
            "-qq", "-o", f"Dir::State={self.kept}", "-o", "Dir::State::status=/dev/null",
            "-o", f"Dir::State::lists={self.kept}/lists", "-o", f"Dir::Cache={self.kept}",
            "-o", "APT::Sandbox::User=root", "-o", "APT::Install-Recommends=false", "-o", "Dpkg::Use-Pty=0",
        ]  # fmt: skip

    def download(self, packages):
        """Fetches the required packages and those named, with what they depend on. Needs the network."""
        self.update()
        run(["apt-get", *self.options, "--yes", "--download-only", "install", *self.required(), *packages])

    def update(self):
        """Reads the distribution's lists; packages of before that it does not have any more go."""
        for folder in ("lists/partial", "archives/partial"):
            (self.kept / folder).mkdir(parents=True, exist_ok=True)
        run(["apt-get", *self.options, "update"])
        run(["apt-get", *self.options, "autoclean"])

    def required(self):
        """The names of the packages that every system has."""
        available = run(["apt-cache", *self.options[1:], "dumpavail"]).split("\n\n")
        required = [text.splitlines() for text in available if "\nPriority: required\n" in text]
        # The Debian installer's own packages have priorities too.
        required = [lines for lines in required if "Section: debian-installer" not in lines]
        return sorted({line.removeprefix("Package: ") for lines in required for line in lines[:1]})

    def packages(self):
        """The package files."""
        found = sorted((self.kept / "archives").glob("*.deb"))
        if not found:
            raise Failure(f"no packages in {self.kept}/archives: make lab-full downloads them")
        return found

    def index(self):
        """Writes what debootstrap reads (apt-ftparchive, of the package apt-utils)."""
        pool, binary = self.folder / "pool", self.folder / "dists/bookworm/main/binary-amd64"
        pool.mkdir()
        binary.mkdir(parents=True)
        for package in self.packages():
            # apt writes a colon as %3a, which a web server takes for a colon.
            (pool / package.name.replace("%3a", ":")).symlink_to(package)
        (binary / "Packages").write_text(run(["apt-ftparchive", "packages", "pool"], cwd=self.folder))
        release = binary.parents[1]
        sums = run(["apt-ftparchive", "release", "."], cwd=release)
        (release / "Release").write_text(RELEASE + sums)

    def unpack(self, archive):
        """Writes the files of all packages, unpacked but not set up, as one compressed archive."""
        with tempfile.TemporaryDirectory(dir=self.folder) as root:
            for package in self.packages():
                run(["dpkg-deb", "--extract", package, root])
            subprocess.run(["tar", "-C", root, "-czf", str(archive), "."], check=True)
