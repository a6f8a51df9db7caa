//! `kms-mock`: a local AWS KMS.

fn main() {}
