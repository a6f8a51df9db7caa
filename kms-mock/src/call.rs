//! One call, as received.

use std::fmt;

use crate::operation::Operation;
use crate::tls::Agreed;

/// A parsed request.
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    /// The JSON text.
    pub(crate) body: &'a [u8],
    /// The access key id in the signature's credential.
    pub(crate) access_key: &'a str,
    /// The region in the signature's credential.
    pub(crate) region: &'a str,
    /// A UUID, returned as `x-amzn-RequestId`.
    pub(crate) request_id: &'a str,
    pub(crate) source_ip: &'a str,
    pub(crate) user_agent: &'a str,
    /// The `Host` header.
    pub(crate) host: &'a str,
    pub(crate) tls: Option<&'a Agreed>,
}

/// Omits the body, which may contain a plaintext.
impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.operation)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}
