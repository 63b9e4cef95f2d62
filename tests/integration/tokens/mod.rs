mod cases;
mod claims;
mod interop;
mod revocation;
mod verifiers;
