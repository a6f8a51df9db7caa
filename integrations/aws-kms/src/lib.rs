//! AWS KMS as a key provider.
