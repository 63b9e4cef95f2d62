//! Where keys come from: sources that change, and what becomes of requests when one of them fails.

mod bad_endpoint;
mod choose;
mod crowds;
mod endpoint;
mod file;
mod github_app;
mod google;
mod grants;
mod keys;
mod ledger;
mod lifecycle;
mod oauth;
mod redacted;
mod refused;
mod signing_keys;
mod source;
mod tenants;
