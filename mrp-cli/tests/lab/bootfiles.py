"""What the lab's machines load: a small initrd, boot loaders, and disks with something to boot on them.

The initrd is a stand-in for an installer: it asks DHCP for an address, fetches the answer file that the kernel's
command line names, runs the answer file's late command, and says each step on the serial console, where the lab reads it.
"""

import gzip
import shutil
import struct
import subprocess
from pathlib import Path

LAB = Path(__file__).resolve().parents[3] / "target/lab"
PACKAGES = LAB / "packages"
PACKAGES_ARM64 = LAB / "packages-arm64"

MODULES = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
]

# How each init begins.
START = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
dmesg -n 1
say() { echo "LAB-$1 $(cut -d' ' -f1 /proc/uptime)s $2"; }
"""
NETWORK = r"""
ip link set lo up; ip link set eth0 up
udhcpc -i eth0 -n -q -t 10 -T 2 -s /dhcp.sh && say address "$(cat /address)"
"""

INIT = r"""
for word in $(cat /proc/cmdline); do case "$word" in url=*) url=${word#url=};; esac; done
if [ -n "$url" ] && wget -q -O /preseed.cfg "$url"; then
  say answer-file "$(wc -c < /preseed.cfg) bytes"
  command=$(sed -n 's,^d-i preseed/late_command string ,,p' /preseed.cfg)
  sh -c "$command" && say late-command done || say late-command failed
else
  say answer-file "none from ${url:-nowhere}"
fi
say end
while :; do sleep 3600; done
"""

# A system of its own: it has a login on the serial console, and nothing else.
LOGIN_INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
hostname serial
while :; do getty -L 115200 ttyS0 vt102; done
"""
ROOT_PASSWORD = "root of the lab"
# openssl passwd -6 -salt lab "$ROOT_PASSWORD"
ROOT_HASH = "$6$lab$IUng/85SgzFNTnFhz3PJd8QDiP.HHYdcPcG64XBCt90QLOx4SSMZgueIF.jxPbSF6cwqPRaP.bv.hfL35XoVf."

DHCP_SCRIPT = r"""#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/${mask:-24} dev $interface
[ -z "$router" ] || ip route replace default via ${router%% *}
echo "$ip" > /address
"""

MARK = "LAB-local-disk"

# The installed system of a UEFI machine: GRUB from the disk, which says where it was loaded from.
GRUB_ON_DISK = f"""\
echo {MARK} $cmdpath
sleep 3600
"""


def kernel(packages=PACKAGES):
    """The distribution's kernel for virtual machines, unmodified."""
    found = sorted((packages / "boot").glob("vmlinuz-*-cloud-*"))
    if not found:
        raise RuntimeError(f"no kernel below {packages}: run .ci/install-packages")
    return found[-1]


def modules(names, packages=PACKAGES):
    """The files of kernel modules, and the commands that load them in this order."""
    folder = packages / "lib/modules" / kernel(packages).name.removeprefix("vmlinuz-") / "kernel"
    # A kernel may have some of them built in, as arm64's has virtio itself.
    found = [(folder / f"{name}.ko", name.rsplit("/", 1)[1]) for name in names if (folder / f"{name}.ko").is_file()]
    files = {f"lib/modules/{name}.ko": (file.read_bytes(), 0o644) for file, name in found}
    return files, "".join(f"insmod /lib/modules/{name}.ko\n" for _, name in found)


def busybox(init, packages=PACKAGES):
    """What each initrd has, with an init of its own."""
    return {"bin/busybox": ((packages / "bin/busybox").read_bytes(), 0o755), "init": (init.encode(), 0o755)}


def login_initrd(path):
    """Writes the initrd of a system with a login."""
    files = busybox(LOGIN_INIT)
    files["etc/passwd"] = (f"root:{ROOT_HASH}:0:0:root:/:/bin/sh\n".encode(), 0o600)
    pack(path, files)


def initrd(path, packages=PACKAGES):
    """Writes the initrd: busybox, the modules of virtio, and the init above."""
    networked(path, INIT, MODULES, packages)


def networked(path, init, names, packages=PACKAGES):
    """Writes an initrd whose init has modules loaded and an address before it begins."""
    files, load = modules(names, packages)
    told = """say up "$(uname -r)"\necho; echo "LAB-cmdline $(base64 -w 0 /proc/cmdline)"\n"""
    files |= busybox(START + told + load + NETWORK + init, packages)
    files["dhcp.sh"] = (DHCP_SCRIPT.encode(), 0o755)
    pack(path, files)


def pack(path, files):
    """Writes an initrd of files with their modes."""
    folders = ["bin", "dev", "etc", "lib", "lib/modules", "proc", "sys", "tmp"]
    entries = [(name, b"", 0o040755) for name in folders]
    entries += [(name, data, 0o100000 | mode) for name, (data, mode) in files.items()]
    path.write_bytes(gzip.compress(cpio(entries), 6))


def cpio(entries):
    """An archive in the kernel's format (Documentation/driver-api/early-userspace/buffer-format.rst, "newc")."""
    out = bytearray()
    for inode, (name, data, mode) in enumerate([*entries, ("TRAILER!!!", b"", 0)], 1):
        encoded = name.encode() + b"\0"
        fields = [inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def uefi_disk(path, platform="x86_64-efi", packages=Path("/"), suffix="x64"):
    """A disk with an EFI system partition, as an installation leaves it: a loader below EFI/debian and EFI/BOOT."""
    loader, early = path.with_name(f"grub-on-disk{suffix}.efi"), path.with_name("grub-on-disk.cfg")
    early.write_text(GRUB_ON_DISK)
    words = ["grub-mkimage", "-O", platform, "-d", packages / "usr/lib/grub" / platform, "-o", loader, "-c", early]
    words += ["-p", "(hd0,msdos1)/EFI/debian", "normal", "echo", "sleep", "fat", "part_msdos"]
    subprocess.run(words, check=True)
    start, sectors = 2048, 64 * 2048
    with path.open("wb") as disk:
        disk.truncate((start + sectors) * 512)
        disk.write(master_boot_record(b"", [(0xEF, start, sectors)]))
    partition = f"{path}@@{start * 512}"
    for command in (
        ["mformat", "-i", partition, "-T", str(sectors), "-h", "64", "-s", "32", "::"],
        ["mmd", "-i", partition, "::/EFI", "::/EFI/debian", "::/EFI/BOOT"],
        ["mcopy", "-i", partition, loader, f"::/EFI/debian/grub{suffix}.efi"],
        ["mcopy", "-i", partition, loader, f"::/EFI/BOOT/BOOT{suffix.upper()}.EFI"],
    ):
        subprocess.run(command, check=True)


def bios_disk(path):
    """A disk whose boot sector says the mark on the first serial port and stops."""
    mark = f"\r\n{MARK} mbr\r\n".encode()
    code = bytes.fromhex(
        "fa 31c0 8ed8 fc"  # no interrupts, data segment 0, forwards
        "be1c7c"  # from the text after this code (the sector is loaded at 7c00)
        "ac 84c0 740b"  # a byte; the zero ends
        "baf803 ee"  # to the first serial port
        "b9ffff e2fe"  # which takes its time
        "ebf0"
        "f4 ebfd"  # stop
    )
    with path.open("wb") as disk:
        disk.truncate(1 << 20)
        disk.write(master_boot_record(code + mark + b"\0", []))


def empty_disk(path):
    """A disk for an installer, which takes no room before it is written."""
    with path.open("wb") as disk:
        disk.truncate(3 << 30)


def master_boot_record(code, partitions):
    """A boot sector of code and up to four (type, first sector, sectors)."""
    table = b"".join(
        struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", start, sectors)
        for kind, start, sectors in partitions
    )
    return code.ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa"


def build(folder, firmwares):
    """Everything that is uploaded to mrp, and a disk for each firmware, in a folder."""
    for arch, packages in (("x86_64", PACKAGES), ("arm64", PACKAGES_ARM64)):
        if any(firmware.arch == arch for firmware in firmwares):
            shutil.copy(kernel(packages), folder / f"vmlinuz-{arch}")
            initrd(folder / f"initrd-{arch}.gz", packages)
    login_initrd(folder / "login.gz")
    for firmware in firmwares:
        disk = folder / f"{firmware.name}.img"
        if not firmware.efi:
            bios_disk(disk)
        elif firmware.arch == "arm64":
            uefi_disk(disk, "arm64-efi", PACKAGES_ARM64, "aa64")
        else:
            uefi_disk(disk)
