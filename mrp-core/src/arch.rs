//! Processor architectures and their ways to boot.

use crate::id::Id;
use crate::image::ImageId;

/// Identifies an [`Arch`].
pub type ArchId = Id<Arch>;
/// Identifies a [`Subarch`].
pub type SubarchId = Id<Subarch>;

/// A processor architecture, such as `arm64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arch {
    /// Row id.
    pub id: ArchId,
    /// Grows by one with each change.
    pub revision: i64,
    /// Unique name.
    pub name: String,
    /// For people.
    pub description: String,
}

/// A way in which machines of an architecture boot, such as `efi`. Names are unique within an [`Arch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subarch {
    /// Row id.
    pub id: SubarchId,
    /// Grows by one with each change.
    pub revision: i64,
    /// The architecture it belongs to.
    pub arch: ArchId,
    /// Name, unique within the architecture.
    pub name: String,
    /// For people.
    pub description: String,
    /// The boot loader that its machines netboot; netboot needs one.
    pub bootloader: Option<ImageId>,
    /// The BMC must ask for an EFI boot.
    pub efi_boot: bool,
}
