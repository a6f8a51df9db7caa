//! What requests may ask for and the gateway does not do. Ignoring it would be worse than refusing it.

use s3s::{S3Result, s3_error};

/// Refuses ACLs that grant others anything, object locks and redirects, in fields that several inputs of s3s have.
macro_rules! refuse_unsupported {
    ($input:expr) => {
        $crate::s3::unsupported::check(
            $input.acl.as_ref().map(|acl| acl.as_str()),
            $input.grant_full_control.is_some()
                || $input.grant_read.is_some()
                || $input.grant_read_acp.is_some()
                || $input.grant_write_acp.is_some(),
            $input.object_lock_legal_hold_status.is_some()
                || $input.object_lock_mode.is_some()
                || $input.object_lock_retain_until_date.is_some(),
            $input.website_redirect_location.is_some(),
        )
    };
}

pub(super) use refuse_unsupported;

pub(super) fn check(acl: Option<&str>, grants: bool, lock: bool, redirect: bool) -> S3Result<()> {
    if grants
        || !matches!(
            acl,
            None | Some("private" | "bucket-owner-full-control" | "bucket-owner-read")
        )
    {
        // As in buckets whose owner owns everything, S3's default.
        return Err(s3_error!(
            AccessControlListNotSupported,
            "The bucket does not allow ACLs"
        ));
    }
    if lock {
        return Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"));
    }
    if redirect {
        return Err(s3_error!(NotImplemented, "Redirects of websites are not implemented."));
    }
    Ok(())
}
