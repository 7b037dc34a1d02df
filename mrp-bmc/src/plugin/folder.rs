//! The plugins of a site: the files of a folder, as far as nobody but root and the server's user may write them.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::is_library;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const EXECUTABLE: u32 = 0o111;

/// The plugins in a folder, sorted: libraries (`NAME.so`) and executables. Other files, and hidden ones, are none.
pub fn plugins(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let Ok(metadata) = path.metadata() else { continue };
        let is_executable = metadata.mode() & EXECUTABLE != 0;
        if !hidden && metadata.is_file() && (is_library(&path) || is_executable) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Checks that nobody but root and this user may change the file or put another in its place. A link counts as what it leads
/// to. What is wrong is said with what to do.
pub fn check_owner(path: &Path) -> Result<(), String> {
    let path = path.canonicalize().map_err(|error| error.to_string())?;
    let folder = path.parent().unwrap_or(&path);
    for place in [path.as_path(), folder] {
        let metadata = place.metadata().map_err(|error| format!("{}: {error}", place.display()))?;
        if let Some(words) = untrusted(&metadata) {
            let place = place.display();
            return Err(format!(
                "{place} {words}, who could run code in the server; let it belong to root or to the server's user: chown \
                 root {place} && chmod go-w {place}"
            ));
        }
    }
    Ok(())
}

fn untrusted(metadata: &Metadata) -> Option<String> {
    let owner = metadata.uid();
    if owner != 0 && owner != geteuid().as_raw() {
        return Some(format!("belongs to the user with the id {owner}"));
    }
    match metadata.mode() & WRITABLE_BY_OTHERS {
        0 => None,
        mode if mode & 0o002 != 0 => Some("may be written by everyone".into()),
        _ => Some("may be written by its group".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn libraries_and_executables_are_plugins() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [
            ("acme.so", 0o644),
            ("shell", 0o755),
            ("README.md", 0o644),
            (".hidden", 0o755),
            ("bmc.json", 0o600),
        ] {
            fs::write(folder.path().join(name), "").unwrap();
            chmod(&folder.path().join(name), mode);
        }
        fs::create_dir(folder.path().join("folder")).unwrap();
        let found = plugins(folder.path()).unwrap();
        assert_eq!(found, ["acme.so", "shell"].map(|name| folder.path().join(name)));
        assert!(plugins(&folder.path().join("none")).is_err());
    }

    #[test]
    fn what_others_may_write_is_refused_with_words() {
        let folder = tempfile::tempdir().unwrap();
        chmod(folder.path(), 0o755);
        let file = folder.path().join("acme.so");
        fs::write(&file, "").unwrap();
        for (mode, says) in
            [(0o644, None), (0o755, None), (0o666, Some("everyone")), (0o664, Some("its group"))]
        {
            chmod(&file, mode);
            let outcome = check_owner(&file);
            match says {
                None => assert_eq!(outcome, Ok(())),
                Some(says) => assert!(outcome.unwrap_err().contains(says)),
            }
        }
        chmod(&file, 0o644);
        chmod(folder.path(), 0o777);
        let refused = check_owner(&file).unwrap_err();
        assert!(
            refused.contains("everyone") && !refused.contains("acme.so"),
            "the folder is named: {refused}"
        );
        let elsewhere = tempfile::tempdir().unwrap();
        chmod(elsewhere.path(), 0o755);
        let link = elsewhere.path().join("acme.so");
        symlink(&file, &link).unwrap();
        assert!(check_owner(&link).is_err(), "a link is what it leads to");
    }
}
