//! One call, as the wire brought it.

use crate::operation::Operation;

/// Who calls, from where, and with what.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    /// The JSON text.
    pub(crate) body: &'a [u8],
    /// Of the credential in the signature.
    pub(crate) access_key: &'a str,
    /// The region that the signature is for.
    pub(crate) region: &'a str,
    /// A UUID: what `x-amzn-RequestId` answers.
    pub(crate) request_id: &'a str,
    pub(crate) source_ip: &'a str,
    pub(crate) user_agent: &'a str,
    /// The `Host` header.
    pub(crate) host: &'a str,
}
