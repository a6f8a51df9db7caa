//! One call, as the wire brought it.

use std::fmt;

use crate::operation::Operation;
use crate::tls::Agreed;

/// Who calls, from where, and with what.
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
    pub(crate) tls: Option<&'a Agreed>,
}

/// Without the body, which may hold a plaintext.
impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.operation)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}
