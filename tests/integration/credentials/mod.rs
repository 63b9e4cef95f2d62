//! Where keys come from: sources that change, and what becomes of requests when one of them fails.

mod bad_endpoint;
mod choose;
mod endpoint;
mod file;
mod github_app;
mod google;
mod keys;
mod ledger;
mod lifecycle;
mod oauth;
mod refused;
mod scene;
mod signing_keys;
mod source;
mod tenants;
