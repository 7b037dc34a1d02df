"""The firmwares of the lab's machines, and what QEMU needs for each."""

import shutil
from dataclasses import dataclass

from bootfiles import MARK, PACKAGES

OVMF = PACKAGES / "usr/share/OVMF"
AAVMF = PACKAGES / "usr/share/AAVMF"


@dataclass(frozen=True)
class Firmware:
    """A kind of machine: what it is to mrp, and what is to be seen of its boot."""

    name: str
    arch: str  # mrp's name of the architecture
    subarch: str  # as `mrp bootloader add --from-distribution` makes them
    transport: str  # by which the kernel comes
    efi: bool
    http_boot: bool = False
    loads: bool = True  # a boot loader is fetched: an iPXE in the network card's ROM needs none
    exits: bool = False  # for its disk the loader ends, and the firmware goes on with its own boot order

    @property
    def console(self):
        """The kernel option for the serial console."""
        return "console=ttyAMA0 quiet" if self.arch == "arm64" else "console=ttyS0,115200 quiet"

    @property
    def marks(self):
        """What the disk says when mrp's loader starts it, and when the firmware does."""
        if not self.efi:
            return f"{MARK} mbr", f"{MARK} mbr"
        by_firmware = f"{MARK} (hd0,msdos1)/EFI/BOOT"
        return by_firmware if self.exits else f"{MARK} (hd0,msdos1)/EFI/debian", by_firmware

    def program(self):
        """QEMU."""
        return PACKAGES / "usr/bin" / ("qemu-system-aarch64" if self.arch == "arm64" else "qemu-system-x86_64")

    def prepare(self, variables):
        """Makes the file of UEFI's variables."""
        if self.efi:
            shutil.copy(AAVMF / "AAVMF_VARS.fd" if self.arch == "arm64" else OVMF / "OVMF_VARS_4M.fd", variables)

    def words(self, variables):
        """The part of QEMU's command line that is the machine and its firmware."""
        if not self.efi:
            return ["-M", "pc"]
        if self.arch == "arm64":
            words, code = ["-M", "virt", "-cpu", "cortex-a57"], AAVMF / "AAVMF_CODE.fd"
        else:
            words, code = ["-M", "q35,smm=off"], OVMF / "OVMF_CODE_4M.fd"
        words += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"]
        words += ["-drive", f"if=pflash,unit=1,format=raw,file={variables}"]
        if self.http_boot:
            # OVMF tries PXE first unless it is told to leave it.
            for protocol in ("IPv4PXESupport", "IPv6PXESupport"):
                words += ["-fw_cfg", f"name=opt/org.tianocore/{protocol},string=no"]
        return words

    @property
    def rom(self):
        """The network card's: UEFI has a driver of its own for the card, and is faster without iPXE's."""
        return ",romfile=" if self.efi else ""


FIRMWARES = {
    firmware.name: firmware
    for firmware in (
        Firmware("uefi", "x86_64", "efi", "TFTP", efi=True),
        # SeaBIOS has the network from iPXE in the card's ROM, which mrp tells to load the subarchitecture's PXELINUX.
        Firmware("bios", "x86_64", "bios", "TFTP", efi=False),
        Firmware("http", "x86_64", "efi", "HTTP", efi=True, http_boot=True),
        Firmware("ipxe", "x86_64", "bios-ipxe", "HTTP", efi=False, loads=False),
        Firmware("efi-ipxe", "x86_64", "efi-ipxe", "HTTP", efi=True, exits=True),
        Firmware("arm64", "arm64", "efi", "TFTP", efi=True),
    )
}
