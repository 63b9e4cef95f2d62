mod aborted;
mod http2;
mod live;
