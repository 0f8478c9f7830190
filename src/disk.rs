//! Small files that must outlive a power cut: what was there before or what is new, and never half of it.
//!
//! Not here: what grows while it is written (`update/intake.rs`, `store/guide`), and the database.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

/// Puts `bytes` in the place of the file at `path`; when this returns they are on the disk, and it waits for that.
///
/// The file is nobody else's business, and belongs to whom its folder belongs: what root writes by hand, the daemon reads.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    // Never one that somebody has put there, which might lead somewhere else.
    fs::remove_file(new).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(new)?;
    let (owner, writer) = (fs::metadata(folder)?, file.metadata()?);
    if owner.uid() != writer.uid() {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};

    /// A folder of our own, removed when it is dropped.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tunerd-disk-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_is_nobody_elses_business() {
        let folder = Folder::new("whole");
        let path = folder.0.join("update.json");
        replace(&path, b"a long one").unwrap();
        replace(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "and nothing beside it");
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = Folder::new("link");
        let (path, other) = (folder.0.join("proved"), folder.0.join("other"));
        fs::write(&other, "untouched").unwrap();
        symlink(&other, folder.0.join("proved.new")).unwrap();
        symlink(&other, &path).unwrap();
        replace(&path, b"good").unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"good".to_vec(), b"untouched".to_vec()));
    }

    #[test]
    fn what_root_writes_belongs_to_whom_the_folder_belongs() {
        let folder = Folder::new("owner");
        // Only root can give a folder away.
        if chown(&folder.0, Some(1), Some(1)).is_err() {
            return;
        }
        let path = folder.0.join("proved");
        replace(&path, b"good").unwrap();
        let file = path.metadata().unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (1, 1, 0o600));
    }
}
