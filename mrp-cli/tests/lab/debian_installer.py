"""The Debian installer's part of the story: the unmodified one of the distribution, on a machine with an empty disk.

It comes as it is in the package debian-installer-12-netboot-amd64, and is seen to ask for its answer file; with a mirror
that has all that it needs, it is seen to its end.
"""

import datetime

import bootfiles
import installation
import netns
from installer_mirror import FOLDER, InstallerMirror
from processes import check, wait_for

# What the installer would ask before it has a network, and after it for a mirror.
PRESEED = """\
d-i debian-installer/locale string en_US.UTF-8
d-i keyboard-configuration/xkb-keymap select us
d-i netcfg/get_hostname string {{ hostname }}
d-i mirror/country string manual
d-i mirror/http/hostname string 192.0.2.1
d-i mirror/http/directory string /debian
d-i mirror/http/proxy string
d-i preseed/late_command string wget -qO- {{ phone_home_url }}
"""
# What it would ask after that.
TO_THE_END = PRESEED.replace("192.0.2.1", f"{netns.SERVER}:{installation.PORT}").replace("string /debian", "string /") + f"""\
d-i mirror/suite string bookworm
d-i clock-setup/utc boolean true
d-i clock-setup/ntp boolean false
d-i time/zone string UTC
d-i passwd/make-user boolean false
d-i passwd/root-login boolean true
d-i passwd/root-password-crypted password {bootfiles.ROOT_HASH}
d-i partman-auto/method string regular
d-i partman-auto/choose_recipe select atomic
d-i partman-partitioning/confirm_write_new_label boolean true
d-i partman/choose_partition select finish
d-i partman/confirm boolean true
d-i partman/confirm_nooverwrite boolean true
d-i base-installer/install-recommends boolean false
d-i apt-setup/services-select multiselect
d-i debian-installer/allow_unauthenticated boolean true
tasksel tasksel/first multiselect
d-i pkgsel/upgrade select none
popularity-contest popularity-contest/participate boolean false
d-i grub-installer/only_debian boolean true
d-i grub-installer/bootdev string /dev/vda
d-i finish-install/reboot_in_progress note
"""
MEMORY_MB = 1024
OPTIONS = "DEBIAN_FRONTEND=text console=ttyS0,115200 ---"


class Story(installation.Installed):
    """From the provision command to the request of the answer file, or to the login of what was installed."""

    def __init__(self, lab):
        super().__init__(lab, ["installer"])
        self.machine = self.machines[0]

    def tell_to_the_end(self):
        """Provisions the machine, and boots what the installer left on its disk."""
        folder = self.lab.folder / "mirror"
        folder.mkdir()
        mirror = InstallerMirror(folder)
        mirror.index()
        installation.serve(folder)
        number, name = self.provision(TO_THE_END), self.machine.name

        def ended():
            run = self.alice.ask("run", "show", number)
            return run if run["status"] != "active" else None

        run = wait_for(ended, f"{name}: the installer ends", 2 * installation.WITHIN)
        check(run["status"] == "ready", f"{name}: the run is {run['status']}: {run['verdict']}")
        self.is_done(self.machine)
        self.logs_in(self.machine, 0, "the installer's reboot")
        self.boots_by_mrp()

    def tell(self):
        """Provisions the machine, and cancels once the installer has its answers."""
        alice, name = self.alice, self.machine.name
        number = self.provision(PRESEED)
        stages = wait_for(lambda: self.stages_with_answers(number), f"{name}: the installer asks for its answer file")
        wanted = {"kernel", "initrd", "answer_file"}
        check(wanted <= stages.keys(), f"{name}: stages {wanted - stages.keys()} are missing")
        for stage, file in (("kernel", "linux"), ("initrd", "initrd.gz")):
            size = (FOLDER / file).stat().st_size
            check(stages[stage].get("bytes") == size, f"{name}: {stage} is {stages[stage]}, the file has {size} bytes")
        told = [event for event in self.lab.events(self.machine) if event["kind"] == "answer_file"]
        check(told, f"{name}: no event tells of the answer file")
        times = [datetime.datetime.fromisoformat(stages[stage]["at"]) for stage in ("power", "answer_file")]
        self.say(f"{name}: {(times[1] - times[0]).total_seconds():.1f} s from power-on to the answer file")
        alice.say("run", "cancel", number)
        alice.say("power", name, "off")

    def provision(self, answers):
        """Alice provisions the machine with an answer file; answers the run's number."""
        alice, name = self.alice, self.machine.name
        self.say("the unmodified Debian installer is provisioned on an empty disk")
        (self.lab.folder / "d-i.cfg").write_text(answers)
        alice.say("image", "upload", FOLDER / "linux", "--type", "kernel", "--arch", "x86_64")
        alice.say("image", "upload", FOLDER / "initrd.gz", "--type", "initrd", "--arch", "x86_64", "--name", "d-i.gz")
        alice.say("preseed", "add", "d-i", "d-i.cfg", "--type", "preseed")
        alice.say("reserve", name, "--reason", "lab")
        words = ["--kernel", "linux", "--initrd", "d-i.gz", "--preseed", "d-i", "--kernel-opts", OPTIONS]
        alice.say("provision", name, *words)
        return str(alice.ask("run", "list", "--machine", name)[0]["id"])

    def stages_with_answers(self, number):
        """The stages of the run, once the answer file is among them."""
        run = self.alice.ask("run", "show", number)
        check(run["status"] == "active", f"the run ended: {run['status']}: {run.get('verdict')}")
        stages = {stage["stage"]: stage for stage in run["stages"]}
        return stages if "answer_file" in stages else None
