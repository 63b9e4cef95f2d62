//! The proxy in an application: frameworks, services and outbound stacks of its own.

mod context;
mod frameworks;
mod handle;
mod outbound;
mod own_service;
mod panics;
