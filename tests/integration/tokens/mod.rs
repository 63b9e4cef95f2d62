mod cases;
mod claims;
mod interop;
mod verifiers;
