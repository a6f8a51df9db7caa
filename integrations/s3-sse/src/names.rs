//! S3's headers and their values. Header names are case-insensitive.

/// The mode: [`AES256`] or [`AWS_KMS`]. Absent with SSE-C.
pub const SERVER_SIDE_ENCRYPTION: &str = "x-amz-server-side-encryption";
/// SSE-KMS: the key's ARN.
pub const KMS_KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
/// SSE-KMS: `true` if a bucket key is used.
pub const BUCKET_KEY_ENABLED: &str = "x-amz-server-side-encryption-bucket-key-enabled";
/// SSE-KMS: the caller's own pairs of the encryption context.
pub const CONTEXT: &str = "x-amz-server-side-encryption-context";
/// SSE-C: [`AES256`].
pub const CUSTOMER_ALGORITHM: &str = "x-amz-server-side-encryption-customer-algorithm";
/// SSE-C: the key in base64. In requests only.
pub const CUSTOMER_KEY: &str = "x-amz-server-side-encryption-customer-key";
/// SSE-C: the MD5 of the key in base64.
pub const CUSTOMER_KEY_MD5: &str = "x-amz-server-side-encryption-customer-key-MD5";

/// SSE-S3, and the only algorithm of SSE-C.
pub const AES256: &str = "AES256";
/// SSE-KMS.
pub const AWS_KMS: &str = "aws:kms";
