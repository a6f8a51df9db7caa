//! Owner, group, mode and access control list.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use super::{NotKept, extended};

/// Read, write and execute, of owner, group and others.
const PERMISSIONS: u32 = 0o777;
const OWNER: u32 = 0o700;

/// Who may access a file.
#[derive(Debug, Clone)]
pub(super) struct Access {
    mode: u32,
    uid: u32,
    gid: u32,
    /// The access control list, if there is one. Then the mode's group bits are the most that any entry grants, except
    /// those of owner and others.
    acl: Option<Vec<u8>>,
}

impl Access {
    pub(super) fn new(metadata: &Metadata, acl: Option<Vec<u8>>) -> Self {
        Self {
            mode: metadata.mode() & PERMISSIONS,
            uid: metadata.uid(),
            gid: metadata.gid(),
            acl,
        }
    }

    /// See [`super::FileAttributes::creation_mode`].
    pub(super) fn creation_mode(&self) -> u32 {
        0o600 | self.shared() & 0o066
    }

    /// What group and others may do; nothing if there is a list, which the mode cannot express.
    fn shared(&self) -> u32 {
        if self.acl.is_some() { 0 } else { self.mode & !OWNER }
    }

    /// The same for a file with another group. Members of the old group then count as others, and members of the new
    /// one counted as others before, so neither gains access.
    fn shared_in_another_group(&self) -> u32 {
        let both = self.shared() >> 3 & self.shared() & 0o007;
        both << 3 | both
    }

    /// See [`super::FileAttributes::narrow`].
    pub(super) fn narrow(&self, file: &File) -> io::Result<bool> {
        let metadata = file.metadata()?;
        let allowed = if metadata.gid() == self.gid {
            self.shared()
        } else {
            self.shared_in_another_group()
        };
        let narrow = metadata.mode() & (OWNER | allowed) & PERMISSIONS;
        if narrow == metadata.mode() & PERMISSIONS {
            return Ok(true);
        }
        set_mode(file, narrow)
    }

    /// See [`super::FileAttributes::give_access_to`]. The mode comes last: until then `file` is as restricted as when
    /// it was created.
    pub(super) fn give_to(&self, file: &File) -> io::Result<Vec<NotKept>> {
        let (owner, group) = self.give_owner_to(file)?;
        // A list has an entry for the file's group, but does not name it.
        let acl = self.acl.as_deref().filter(|_| group);
        let acl_set = extended::set_acl(file, acl);
        let shared = match (acl_set, group) {
            (true, true) => self.mode & !OWNER,
            (true, false) => self.shared_in_another_group(),
            (false, _) => 0,
        };
        let mode_kept = set_mode(file, self.mode & OWNER | shared)?;
        let kept = [
            (owner, NotKept::Owner),
            (group, NotKept::Group),
            (
                acl_set && acl.is_some() == self.acl.is_some(),
                NotKept::AccessControlList,
            ),
            (mode_kept, NotKept::Mode),
        ];
        Ok(kept
            .into_iter()
            .filter(|(kept, _)| !kept)
            .map(|(_, what)| what)
            .collect())
    }

    /// Sets owner and group; returns whether each is the same afterwards. Only root may give files away; others can
    /// choose among their own groups.
    fn give_owner_to(&self, file: &File) -> io::Result<(bool, bool)> {
        let metadata = file.metadata()?;
        let (same_owner, same_group) = (metadata.uid() == self.uid, metadata.gid() == self.gid);
        if same_owner && same_group || fchown(file, Some(self.uid), Some(self.gid)).is_ok() {
            return Ok((true, true));
        }
        Ok((same_owner, same_group || fchown(file, None, Some(self.gid)).is_ok()))
    }
}

/// Sets the mode; returns whether the file now allows no more than that. Some file systems do not store modes, and not
/// all of them report that.
fn set_mode(file: &File, mode: u32) -> io::Result<bool> {
    match file.set_permissions(Permissions::from_mode(mode)) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
            ) =>
        {
            Err(error)
        }
        _ => Ok(file.metadata()?.mode() & PERMISSIONS & !mode == 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The group could not be kept.
    #[test]
    fn no_user_gains_access_by_another_group() {
        let access = |mode, acl| Access {
            mode,
            uid: 0,
            gid: 0,
            acl,
        };
        for (mode, shared) in [
            (0o600, 0),
            (0o640, 0),
            (0o660, 0),
            (0o604, 0),
            (0o644, 0o044),
            (0o664, 0o044),
            (0o646, 0o044),
            (0o666, 0o066),
        ] {
            assert_eq!(access(mode, None).shared_in_another_group(), shared, "{mode:o}");
            assert_eq!(access(mode, Some(Vec::new())).shared_in_another_group(), 0, "{mode:o}");
        }
    }
}
