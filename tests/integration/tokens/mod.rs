//! Tokens: which are good, where they stand, and how they are taken back.

mod cases;
mod claims;
mod interop;
mod removed;
mod revocation;
mod revoked;
mod verifiers;
