//! The distribution's boot loaders: in which packages they are, and how GRUB's image is built from its modules.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::process::Command;

/// A processor that the distribution has boot loaders for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cpu {
    X64,
    Arm64,
}

impl Cpu {
    /// By the names that architectures go by.
    pub(super) fn named(arch: &str) -> Option<Self> {
        match arch.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" | "amd64" | "x64" => Some(Self::X64),
            "arm64" | "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Program {
    Grub,
    Pxelinux,
    Ipxe,
}

/// One boot loader for one firmware.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) program: Program,
    pub(super) cpu: Cpu,
    /// Name of the subarchitecture.
    pub(super) subarch: &'static str,
    /// Its BMCs must ask for an EFI boot.
    pub(super) efi: bool,
    packages: &'static str,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Files by their paths; the first is what firmware loads.
    Files(&'static [&'static str]),
    /// Built by grub-mkimage for a platform, under a name.
    Grub { platform: &'static str, name: &'static str },
}

pub(super) const LOADERS: [Loader; 5] = [
    Loader {
        program: Program::Grub,
        cpu: Cpu::X64,
        subarch: "efi",
        efi: true,
        packages: "grub-common grub-efi-amd64-bin",
        source: Source::Grub { platform: "x86_64-efi", name: "bootx64.efi" },
    },
    Loader {
        program: Program::Pxelinux,
        cpu: Cpu::X64,
        subarch: "bios",
        efi: false,
        packages: "pxelinux syslinux-common",
        source: Source::Files(&["usr/lib/PXELINUX/pxelinux.0", "usr/lib/syslinux/modules/bios/ldlinux.c32"]),
    },
    Loader {
        program: Program::Ipxe,
        cpu: Cpu::X64,
        subarch: "efi-ipxe",
        efi: true,
        packages: "ipxe",
        source: Source::Files(&["usr/lib/ipxe/snponly.efi"]),
    },
    Loader {
        program: Program::Ipxe,
        cpu: Cpu::X64,
        subarch: "bios-ipxe",
        efi: false,
        packages: "ipxe",
        source: Source::Files(&["usr/lib/ipxe/undionly.kpxe"]),
    },
    Loader {
        program: Program::Grub,
        cpu: Cpu::Arm64,
        subarch: "efi",
        efi: true,
        packages: "grub-common grub-efi-arm64-bin",
        source: Source::Grub { platform: "arm64-efi", name: "bootaa64.efi" },
    },
];

/// A file for the image store.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) content: Bytes,
}

/// What GRUB's image holds: the network, what mrp's configurations use, and the file systems of EFI partitions.
const MODULES: &str = "efinet net tftp http normal configfile linux echo test tr sleep reboot halt minicmd ls regexp \
    search search_fs_file chain fat part_gpt part_msdos";

/// How many network cards are tried where no card is known.
const CARDS: usize = 8;

/// GRUB's first commands: they ask for the configuration where GRUB itself came from, by TFTP or by HTTP, with the MAC address
/// if PXE told it. A GRUB that does not know where it came from asks the server that DHCP named, and one that has no
/// address, as after some firmware's HTTP boot, asks DHCP on all cards before. Only simple commands work here: `if` does
/// not, before the module `normal` runs.
fn first_commands() -> String {
    let card = |number| {
        // Where DHCP gave this card no answer, there is no server, and the file is not asked for.
        format!(
            "set net_default_server=$net_efinet{number}_dhcp_next_server\nconfigfile (tftp)/grub/grub.cfg\n"
        )
    };
    format!(
        "tr -s mac : - $net_default_mac\n\
         configfile $cmdpath/grub/01-$mac\nconfigfile $cmdpath/grub/grub.cfg\n\
         configfile (tftp)/grub/01-$mac\nnet_bootp\n{}\
         echo 'mrp: the boot configuration could not be loaded; this machine reboots in 30 seconds'\nsleep 30\nreboot\n",
        (0..CARDS).map(card).collect::<String>()
    )
}

impl Loader {
    /// For people.
    pub(super) fn name(&self) -> &'static str {
        match self.program {
            Program::Grub => "GRUB",
            Program::Pxelinux => "PXELINUX",
            Program::Ipxe => "iPXE",
        }
    }

    /// Its files, from packages unpacked below a folder, `/` where they are installed. An error says what is missing.
    pub(super) async fn files(&self, root: &Path) -> Result<Vec<File>, String> {
        match self.source {
            Source::Grub { platform, name } => Ok(vec![self.build_grub(root, platform, name).await?]),
            Source::Files(paths) => {
                let mut files = Vec::new();
                for path in paths {
                    let path = root.join(path);
                    let content =
                        tokio::fs::read(&path).await.map_err(|error| self.missing(&path, &error))?;
                    files.push(self.file(&path, content));
                }
                Ok(files)
            }
        }
    }

    fn file(&self, path: &Path, content: Vec<u8>) -> File {
        let file_name = |known: &&&'static str| path.ends_with(known);
        let name = match self.source {
            Source::Grub { name, .. } => name,
            Source::Files(paths) => paths.iter().find(file_name).copied().unwrap_or_default(),
        };
        let name = name.rsplit('/').next().unwrap_or(name);
        File { name, description: self.packages, content: content.into() }
    }

    async fn build_grub(&self, root: &Path, platform: &str, name: &str) -> Result<File, String> {
        let modules = root.join("usr/lib/grub").join(platform);
        let list = modules.join("moddep.lst");
        tokio::fs::metadata(&list).await.map_err(|error| self.missing(&list, &error))?;
        let folder =
            tempfile::tempdir().map_err(|error| format!("no temporary folder can be made: {error}"))?;
        let (early, image) = (folder.path().join("early.cfg"), folder.path().join(name));
        let failed = |path: &Path, error: &std::io::Error| format!("{}: {error}", path.display());
        tokio::fs::write(&early, first_commands()).await.map_err(|error| failed(&early, &error))?;
        let program = mkimage(root);
        let mut command = Command::new(&program);
        command.args(["--format", platform, "--prefix", "(tftp)/grub", "--directory"]).arg(&modules);
        command.arg("--config").arg(&early).arg("--output").arg(&image).args(MODULES.split_whitespace());
        let done = command.output().await.map_err(|error| self.missing(&program, &error))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(format!("{} ended with {}: {}", program.display(), done.status, said.trim()));
        }
        let content = tokio::fs::read(&image).await.map_err(|error| failed(&image, &error))?;
        Ok(self.file(&image, content))
    }

    fn missing(&self, path: &Path, error: &std::io::Error) -> String {
        format!(
            "{} is missing: {}: {error}; it is in the packages {}: apt-get install {}",
            self.name(),
            path.display(),
            self.packages.replace(' ', " and "),
            self.packages
        )
    }
}

/// The program below the folder where the packages are, if it is there, else the installed one: it builds for every platform.
fn mkimage(root: &Path) -> PathBuf {
    let unpacked = root.join("usr/bin/grub-mkimage");
    if root != Path::new("/") && unpacked.is_file() { unpacked } else { "grub-mkimage".into() }
}
