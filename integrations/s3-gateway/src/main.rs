//! The program `sealstone-gateway`; all of it is in the library.

fn main() {}
