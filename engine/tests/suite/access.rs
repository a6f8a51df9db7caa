//! Who may access an output: the users of the file it replaces, and never a user who may not read its object.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::common::{decryptor, encryptor};
use sealstone::KeyRing;
use sealstone::file::{AtomicFile, FileAccess, FileAttributes, IfExists};

struct Place(tempfile::TempDir);

impl Place {
    /// With a plaintext `plain` and its object `sealed`.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("plain"), b"secret").unwrap();
        let sealed = place.path("sealed");
        encryptor()
            .seal_path(place.path("plain"), sealed, IfExists::Fail)
            .unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of this mode.
    fn file(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, b"old").unwrap();
        chmod(&path, mode);
        path
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn attributes(path: &Path) -> FileAttributes {
    FileAttributes::of(&File::open(path).unwrap()).unwrap()
}

#[test]
fn what_replaces_a_file_has_its_mode() {
    let place = Place::new();
    for (old, new) in [
        (0o600, 0o600),
        (0o640, 0o640),
        (0o664, 0o664),
        (0o400, 0o400),
        (0o4755, 0o755),
    ] {
        let target = place.file("target", old);
        decryptor()
            .open_path(place.path("sealed"), &target, IfExists::Replace)
            .unwrap();
        assert_eq!(mode(&target), new, "decrypted over {old:o}");
        let target = place.file("target", old);
        encryptor()
            .seal_path(place.path("plain"), &target, IfExists::Replace)
            .unwrap();
        assert_eq!(mode(&target), new, "encrypted over {old:o}");
        fs::remove_file(target).unwrap();
    }
}

#[test]
fn a_new_plaintext_is_no_wider_than_its_object() {
    let place = Place::new();
    let (sealed, target) = (place.path("sealed"), place.path("target"));
    let by_umask = mode(&sealed);
    for (object, new) in [
        (0o600, 0o600),
        (0o604, 0o604 & by_umask),
        (0o660, 0o660 & by_umask),
        (0o777, by_umask),
    ] {
        chmod(&sealed, object);
        decryptor().open_path(&sealed, &target, IfExists::Fail).unwrap();
        assert_eq!(mode(&target), new, "of an object of mode {object:o}");
        fs::remove_file(&target).unwrap();
    }
}

#[test]
fn a_file_is_narrow_until_it_has_its_name() {
    let place = Place::new();
    let (model, old) = (place.file("model", 0o664), place.file("old", 0o666));
    let (new, like) = (place.path("new"), || FileAccess::Like(attributes(&model)));
    for (target, existing, access, end) in [
        (&new, IfExists::Fail, like(), 0o664),
        (&old, IfExists::Replace, FileAccess::Umask, 0o666),
        (&old, IfExists::Replace, like(), 0o666),
    ] {
        let file = AtomicFile::create_with(target, existing, access).unwrap();
        assert_eq!(file.file().metadata().unwrap().mode() & 0o777, 0o600);
        file.commit().unwrap();
        assert_eq!(mode(target), end);
    }
}

#[test]
fn a_file_like_another_has_its_mode_and_time_and_one_in_place_of_a_third_its_time() {
    let place = Place::new();
    let model = place.file("model", 0o640);
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_000);
    File::options()
        .write(true)
        .open(&model)
        .unwrap()
        .set_modified(then)
        .unwrap();
    let (new, old) = (place.path("new"), place.file("old", 0o604));
    for (target, existing, end) in [(&new, IfExists::Fail, 0o640), (&old, IfExists::Replace, 0o604)] {
        let file = AtomicFile::create_with(target, existing, FileAccess::Like(attributes(&model))).unwrap();
        let named = file.name().unwrap();
        assert!(named.not_kept().is_empty());
        assert_eq!(
            (mode(target), fs::metadata(target).unwrap().modified().unwrap()),
            (end, then)
        );
    }
}

#[test]
fn a_link_is_replaced_and_says_nothing_of_who_may_access_it() {
    let place = Place::new();
    place.file("elsewhere", 0o600);
    symlink("elsewhere", place.path("link")).unwrap();
    encryptor()
        .seal_path(place.path("plain"), place.path("link"), IfExists::Replace)
        .unwrap();
    assert_eq!(mode(&place.path("link")), mode(&place.path("sealed")));
    assert!(!place.path("link").is_symlink());
}

/// Without the right to change owners, owner and group are the user's own and stay the same.
#[test]
fn owner_and_group_are_kept() {
    let place = Place::new();
    let ids = |path: &Path| {
        fs::metadata(path)
            .map(|metadata| (metadata.uid(), metadata.gid()))
            .unwrap()
    };
    let old = place.file("old", 0o640);
    let owner = if rustix::process::geteuid().is_root() {
        65_534
    } else {
        rustix::process::geteuid().as_raw()
    };
    let group = if owner == 65_534 {
        65_533
    } else {
        rustix::process::getegid().as_raw()
    };
    std::os::unix::fs::chown(&old, Some(owner), Some(group)).unwrap();
    decryptor()
        .open_path(place.path("sealed"), &old, IfExists::Replace)
        .unwrap();
    assert_eq!((ids(&old), mode(&old)), ((owner, group), 0o640));

    let new = place.path("new");
    let file = AtomicFile::create_with(&new, IfExists::Fail, FileAccess::Like(attributes(&old))).unwrap();
    file.commit().unwrap();
    assert_eq!((ids(&new), mode(&new)), ((owner, group), 0o640));
}

/// As with `sudo HOME=...`: whether or not root may change the ring, its owner is not locked out.
#[test]
fn a_key_ring_and_its_lock_stay_their_owners() {
    let place = Place::new();
    let (ring, lock) = (place.path("ring"), place.path("ring.lock"));
    KeyRing::create_or_open(&ring, "default").unwrap();
    let (own, group) = (fs::metadata(&ring).unwrap().uid(), rustix::process::getegid().as_raw());
    let is_root = rustix::process::geteuid().is_root();
    let group = if is_root { 65_533 } else { group };
    for owner in [own, if is_root { 65_534 } else { own }] {
        chmod(&ring, 0o400);
        std::os::unix::fs::chown(&ring, Some(owner), Some(group)).unwrap();
        fs::remove_file(&lock).unwrap();
        let before = fs::metadata(&ring).unwrap().ino();
        let rotated = KeyRing::rotate(&ring, "default");
        assert!(rotated.is_ok() || owner != own, "{rotated:?}");
        assert_eq!(rotated.is_ok(), fs::metadata(&ring).unwrap().ino() != before);
        for (path, mode) in [(&ring, 0o400), (&lock, 0o600)] {
            let metadata = match fs::metadata(path) {
                // Root was refused before it took the lock.
                Err(_) if owner != own => continue,
                found => found.unwrap(),
            };
            let found = (metadata.uid(), metadata.gid(), metadata.mode() & 0o777);
            assert_eq!(found, (owner, group, mode), "{}", path.display());
        }
    }
}

#[cfg(target_os = "linux")]
mod extended {
    use rustix::fs::{XattrFlags, getxattr, setxattr};

    use super::*;

    const ACL: &str = "system.posix_acl_access";

    fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
        let mut value = vec![0; 1024];
        let len = getxattr(path, name, value.as_mut_slice()).ok()?;
        value.truncate(len);
        Some(value)
    }

    /// Whether the file system has such attributes.
    fn set(path: &Path, name: &str, value: &[u8]) -> bool {
        match setxattr(path, name, value, XattrFlags::empty()) {
            Err(rustix::io::Errno::NOTSUP) => false,
            done => done.map(|()| true).unwrap(),
        }
    }

    /// The owner and one other user may read and write; all others have no access.
    fn one_other_user() -> Vec<u8> {
        const NOBODY: u32 = u32::MAX;
        let entries = [
            (1_u16, 6_u16, NOBODY),
            (2, 6, 1234),
            (4, 0, NOBODY),
            (16, 6, NOBODY),
            (32, 0, NOBODY),
        ];
        let entries = entries
            .into_iter()
            .flat_map(|(tag, rights, id)| [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat());
        2_u32.to_le_bytes().into_iter().chain(entries).collect()
    }

    #[test]
    fn lists_and_attributes_of_a_replaced_file_are_kept() {
        let place = Place::new();
        let old = place.file("old", 0o600);
        if !set(&old, ACL, &one_other_user()) | !set(&old, "user.note", b"mine") {
            return eprintln!("SKIPPED: the file system has no extended attributes");
        }
        decryptor()
            .open_path(place.path("sealed"), &old, IfExists::Replace)
            .unwrap();
        assert_eq!(get(&old, ACL), Some(one_other_user()));
        assert_eq!(get(&old, "user.note").as_deref(), Some(&b"mine"[..]));
    }

    /// The group bits of a file with a list are not rights of its group.
    #[test]
    fn a_list_of_the_object_is_never_taken_for_rights_of_its_group() {
        let place = Place::new();
        let (sealed, new, like) = (place.path("sealed"), place.path("new"), place.path("like"));
        if !set(&sealed, ACL, &one_other_user()) {
            return eprintln!("SKIPPED: the file system has no access control lists");
        }
        assert_eq!(mode(&sealed), 0o660);
        decryptor().open_path(&sealed, &new, IfExists::Fail).unwrap();
        assert_eq!(mode(&new), 0o600);
        let file = AtomicFile::create_with(&like, IfExists::Fail, FileAccess::Like(attributes(&sealed))).unwrap();
        file.commit().unwrap();
        assert_eq!(get(&like, ACL), Some(one_other_user()));
    }

    #[test]
    fn a_list_inherited_from_the_directory_is_removed() {
        let place = Place::new();
        let (model, old) = (place.file("model", 0o660), place.file("old", 0o660));
        if !set(place.0.path(), "system.posix_acl_default", &one_other_user()) {
            return eprintln!("SKIPPED: the file system has no access control lists");
        }
        let like = || FileAccess::Like(attributes(&model));
        let new = place.path("new");
        for (target, existing) in [(&new, IfExists::Fail), (&old, IfExists::Replace)] {
            let file = AtomicFile::create_with(target, existing, like()).unwrap();
            assert_eq!(file.file().metadata().unwrap().mode() & 0o077, 0);
            file.commit().unwrap();
            assert_eq!((get(target, ACL), mode(target)), (None, 0o660));
        }
    }
}
