//! Architectures, images and answer files.

use crate::answer_file::{AnswerFile, AnswerFileKind};
use crate::arch::{Arch, Subarch};
use crate::id::Id;
use crate::image::{Digest, Image, ImageKind, safe_file_name};
use crate::import::{LegacyImage, Noun};
use crate::service::import::plan::{At, Plan};

impl Plan<'_> {
    pub(super) fn archs_and_images(&mut self) {
        for legacy in &self.legacy.archs {
            let at = At(Noun::Arch, legacy.id);
            let description = legacy.description.as_deref().unwrap_or_default();
            let arch = Arch {
                id: Id::NEW,
                revision: 0,
                name: self.name(at, "name", &legacy.name, 1, 64),
                description: self.text(at, "description", description, 1024),
            };
            self.settle(legacy.id, arch);
        }
        for legacy in &self.legacy.images {
            if let Some(image) = self.image(legacy) {
                self.settle(legacy.id, image);
            }
        }
    }

    fn image(&mut self, legacy: &LegacyImage) -> Option<Image> {
        let at = At(Noun::Image, legacy.id);
        let arch = self.needed(at, "arch_id", Noun::Arch, Some(legacy.arch))?;
        let Ok(kind) = legacy.kind.parse::<ImageKind>() else {
            self.leave_out(at, "file_type", format!("{:?} is no type of image", legacy.kind));
            return None;
        };
        let (digest, size) = match self.content(legacy.id) {
            Some(Ok((digest, size))) => (digest.clone(), *size),
            Some(Err(reason)) => {
                self.leave_out(at, "filename", reason.clone());
                return None;
            }
            // mrp has it already; what stands here is replaced by what mrp has.
            None => (Digest::from_bytes([0; 32]), 0),
        };
        Some(Image {
            id: Id::NEW,
            revision: 0,
            name: legacy.name.clone(),
            file_name: uploaded_name(&legacy.name),
            kind,
            arch: Id::new(arch),
            owner: self.reference(at, "user_id", Noun::User, legacy.owner).map(Id::new),
            description: self.description(at, legacy.description.as_deref()),
            known_good: legacy.known_good,
            public: legacy.public,
            digest,
            size,
            uploaded: legacy.uploaded,
        })
    }

    fn description(&mut self, at: At, text: Option<&str>) -> Option<String> {
        text.map(|text| self.text(at, "description", text, 1024))
    }

    pub(super) fn subarchs_and_answer_files(&mut self) {
        for legacy in &self.legacy.subarchs {
            let at = At(Noun::Subarch, legacy.id);
            let Some(arch) = self.needed(at, "arch_id", Noun::Arch, Some(legacy.arch)) else { continue };
            let description = legacy.description.as_deref().unwrap_or_default();
            let subarch = Subarch {
                id: Id::NEW,
                revision: 0,
                arch: Id::new(arch),
                name: self.name(at, "name", &legacy.name, 1, 64),
                description: self.text(at, "description", description, 1024),
                bootloader: self.reference(at, "bootloader_id", Noun::Image, legacy.bootloader).map(Id::new),
                efi_boot: legacy.efi_boot,
            };
            self.settle(legacy.id, subarch);
        }
        self.answer_files();
    }

    fn answer_files(&mut self) {
        for legacy in &self.legacy.answer_files {
            let at = At(Noun::AnswerFile, legacy.id);
            let Ok(kind) = legacy.kind.parse::<AnswerFileKind>() else {
                self.leave_out(at, "file_type", format!("{:?} is no type of answer file", legacy.kind));
                continue;
            };
            let bytes = legacy.content.as_deref().unwrap_or_default().len();
            if bytes > AnswerFile::MAX_BYTES {
                let reason = format!("{bytes} bytes; {} are allowed", AnswerFile::MAX_BYTES);
                self.leave_out(at, "file_content", reason);
                continue;
            }
            let file = AnswerFile {
                id: Id::NEW,
                revision: 0,
                name: self.name(at, "filename", &legacy.name, 2, 256),
                kind,
                description: self.description(at, legacy.description.as_deref()),
                content: legacy.content.clone(),
                owner: self.reference(at, "user_id", Noun::User, legacy.owner).map(Id::new),
                known_good: legacy.known_good,
                public: legacy.public,
                saved: legacy.saved,
                // The original did not note it.
                saved_by: String::new(),
            };
            self.settle(legacy.id, file);
        }
    }
}

/// Why an image's name is no path below the folder of images, if it is none.
pub(super) fn bad_path(name: &str) -> Option<&'static str> {
    let part = |part: &str| part.is_empty() || part == "." || part == "..";
    if name.len() > 1024 || name.contains(char::is_control) || name.split('/').any(part) {
        Some("is no path below the folder of images")
    } else {
        None
    }
}

/// The name of the file that was uploaded: mr-provisioner made `<user>/<file>.<8 hexadecimal digits>` of it.
fn uploaded_name(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or_default();
    let plain = match file.rsplit_once('.') {
        Some((plain, digits)) if digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => plain,
        _ => file,
    };
    safe_file_name(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_the_name_that_was_uploaded() {
        for (name, uploaded) in [
            ("alice/vm_linuz.bin.cc7950d7", "vm_linuz.bin"),
            ("admin/ldlinux.c32.0a1b2c3d", "ldlinux.c32"),
            ("admin/ldlinux.c32", "ldlinux.c32"),
            ("alice/.178f7897", ""),
        ] {
            assert_eq!(uploaded_name(name), uploaded, "{name}");
        }
    }

    #[test]
    fn an_image_lies_below_its_folder() {
        assert_eq!(bad_path("alice/linux.1a2b3c4d"), None);
        for bad in ["", "/etc/passwd", "../key", "a/../../key", "a//b", "a/./b", "a\nb"] {
            assert!(bad_path(bad).is_some(), "{bad:?}");
        }
    }
}
