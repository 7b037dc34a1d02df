"""An installer of the lab's own: a small initrd that puts a Debian on the disk by debootstrap, and what it loads.

It reads its answer file (lines of the Debian installer's own form), partitions the disk, unpacks its tools into memory, runs
debootstrap from the lab's mirror, installs GRUB for the firmware that it runs on, runs the answer file's late command, and
reboots. The system that it leaves has a login on the first serial port.
"""

import bootfiles

# Beyond what busybox has: debootstrap with what it runs and wants, and GRUB for both firmwares.
TOOLS = "debootstrap wget xz-utils e2fsprogs dosfstools fdisk grub-pc-bin grub-efi-amd64-bin grub2-common usr-is-merged".split()
# Beyond the required packages: an init for the installed system.
SYSTEM = ["sysvinit-core"]

VIRTIO = bootfiles.MODULES[:5]
DISK_MODULES = [
    "drivers/block/virtio_blk",
    "fs/nls/nls_cp437",
    "fs/nls/nls_ascii",
    "fs/nls/nls_utf8",
    "fs/fat/fat",
    "fs/fat/vfat",
]

INSTALLER = r"""
die() { say failed "$*"; while :; do sleep 3600; done; }
answer() { sed -n "s,^d-i $1 string ,,p" /answers; }
for word in $(cat /proc/cmdline); do case "$word" in url=*) url=${word#url=};; esac; done
wget -q -O /answers "$url" || die "no answer file from ${url:-nowhere}"
say answer-file "$(wc -c < /answers) bytes"
mirror=http://$(answer mirror/http/hostname)$(answer mirror/http/directory)

mkdir -p /tools && mount -t tmpfs -o size=90% tools /tools
wget -q -O - "$mirror/tools.tar.gz" | tar -xzf - -C /tools || die 'the tools could not be unpacked'
for folder in dev proc sys; do mkdir -p /tools/$folder; mount -o bind /$folder /tools/$folder; done
in_tools() { chroot /tools /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

say partition /dev/vda
printf 'label: dos\n- 64MiB ef *\n- - 83\n' | in_tools sfdisk -q /dev/vda || die sfdisk
in_tools mkfs.vfat -n EFI /dev/vda1 > /dev/null || die mkfs.vfat
in_tools mkfs.ext4 -q -L root /dev/vda2 || die mkfs.ext4
mkdir -p /tools/target && mount -t ext4 /dev/vda2 /tools/target || die mount

say debootstrap "$(answer debian-installer/suite)"
in_tools debootstrap --variant=minbase --no-check-gpg --include="$(answer pkgsel/include)" \
  "$(answer debian-installer/suite)" /target "$mirror" > /tools/log 2>&1 || { tail -20 /tools/log; tail -5 /tools/target/debootstrap/debootstrap.log; die debootstrap; }
say packages "$(chroot /tools/target dpkg-query -W | wc -l)"

target=/tools/target
answer netcfg/get_hostname > $target/etc/hostname
echo '/dev/vda2 / ext4 defaults 0 1' > $target/etc/fstab
sed -i "s,^root:[^:]*:,root:$(answer passwd/root-password-crypted):," $target/etc/shadow
cat > $target/etc/inittab <<'TAB'
id:2:initdefault:
si::sysinit:/bin/sh -c 'mount -o remount,rw /; mount -a; hostname -F /etc/hostname'
s0:2:respawn:/sbin/agetty -L ttyS0 115200 vt102
TAB
wget -q -O $target/boot/vmlinuz "$mirror/vmlinuz" && wget -q -O $target/boot/initrd.gz "$mirror/system.gz" || die 'no kernel'
mkdir -p $target/boot/efi $target/boot/grub
mount -t vfat /dev/vda1 $target/boot/efi || die 'mount of the EFI partition'
if [ -d /sys/firmware/efi ]; then
  in_tools grub-install --target=x86_64-efi --efi-directory=/target/boot/efi --boot-directory=/target/boot --no-nvram \
    --bootloader-id=debian > /tools/log 2>&1 || { cat /tools/log; die grub-install; }
  in_tools grub-install --target=x86_64-efi --efi-directory=/target/boot/efi --boot-directory=/target/boot --removable \
    > /tools/log 2>&1 || { cat /tools/log; die grub-install; }
else
  in_tools grub-install --target=i386-pc --boot-directory=/target/boot /dev/vda > /tools/log 2>&1 || { cat /tools/log; die grub-install; }
fi
cat > $target/boot/grub/grub.cfg <<'GRUB'
set timeout=0
menuentry system {
  linux /boot/vmlinuz root=/dev/vda2 console=ttyS0,115200 quiet no_timer_check
  initrd /boot/initrd.gz
}
GRUB
umount $target/boot/efi && umount $target && sync || die umount
say installed "$([ -d /sys/firmware/efi ] && echo UEFI || echo BIOS)"
sh -c "$(answer preseed/late_command)" || die 'the late command'
say late-command done
reboot -f
"""

# The installed system's initrd: it finds the disk and goes over to it.
HANDOVER = r"""
for word in $(cat /proc/cmdline); do case "$word" in root=*) root=${word#root=};; esac; done
mkdir -p /root; mount -t ext4 -o ro "$root" /root
for folder in dev proc sys; do mount -o move /$folder /root/$folder; done
exec switch_root /root /sbin/init
"""


def answers(mirror, directory):
    """The answer file: a template of mrp's."""
    return f"""\
d-i netcfg/get_hostname string {{{{ hostname }}}}
d-i mirror/http/hostname string {mirror}
d-i mirror/http/directory string {directory}
d-i debian-installer/suite string bookworm
d-i pkgsel/include string {",".join(SYSTEM)}
d-i passwd/root-password-crypted string {bootfiles.ROOT_HASH}
d-i preseed/late_command string wget -q -O - {{{{ phone_home_url }}}}
"""


def installer(path):
    """Writes the installer's initrd."""
    bootfiles.networked(path, INSTALLER, [*bootfiles.MODULES, *DISK_MODULES])


def build(folder, mirror):
    """What lies beside the packages of the mirror: kernel and initrd of the installed system, and the installer's tools."""
    (folder / "vmlinuz").write_bytes(bootfiles.kernel().read_bytes())
    files, load = bootfiles.modules([*VIRTIO, *DISK_MODULES])
    bootfiles.pack(folder / "system.gz", bootfiles.busybox(bootfiles.START + load + HANDOVER) | files)
    mirror.unpack(folder / "tools.tar.gz")
