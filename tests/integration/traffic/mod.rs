//! Every kind of traffic, and every kind of failure.

mod ambiguous_hosts;
mod bad_answers;
mod caller;
mod callers;
mod concurrency;
mod cors;
mod cut_off;
mod early;
mod events;
mod faulty;
mod flow;
mod frames;
mod framing;
mod grpc;
mod h2c;
mod hosts;
mod http2_cases;
mod interim;
mod outcomes;
mod pages;
mod scene;
mod semantics;
mod shutdown;
mod silence;
mod versions;
