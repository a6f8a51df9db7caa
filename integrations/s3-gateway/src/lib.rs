//! An S3 server that encrypts: SSE-S3, SSE-KMS and SSE-C in front of any S3 store, or of a directory.
//!
//! ```text
//! client --S3--> server --> s3 --> sse: which key --> objects: seal, open --> backend --> the store
//!                   |        |         |                  |                       |
//!             sockets, TLS  the wire  KMS, key ring   sealstone's engine     a directory, S3
//! ```
//!
//! Objects are stored as sealstone's composite objects, padded so that a listing reveals plaintext sizes, with their
//! headers in the stored metadata. The gateway keeps no state: any number of instances serve one store.

pub mod backend;
pub mod bucket;
pub mod config;
pub mod connection;
mod domains;
pub mod keys;
pub mod objects;
mod own;
pub mod policy;
pub mod program;
pub mod s3;
pub mod server;
pub mod sse;
mod sys;
pub mod uploads;
