mod context;
mod frameworks;
mod handle;
mod outbound;
mod own_service;
