//! How it ends: what is under way finishes, or is broken off in order.

use http_body_util::BodyExt;
use sallygate_test_support::{
    PATIENCE,
    websocket::{GOING_AWAY, Server, ask, exchange, handshake_at, rest},
    within,
};
use tokio::io::AsyncReadExt;

use super::{
    TOKEN,
    held_back::{self, begun},
    traffic::sockets,
};
use crate::process::Site;

#[tokio::test]
async fn sockets_are_closed_in_order_and_streams_are_cut_once_the_time_for_it_is_over() {
    let (site, _finish) = held_back::site().await;
    let mut server = Server::switching("").await;
    let services = site.up() + &sockets(&site, &server);
    let file = format!("drain = \"1s\"\n{}", site.file(&services));
    let mut gateway = site.start(&file).await;
    let token = site.token(TOKEN).await;
    let fields = format!("Authorization: Bearer {token}\r\n");
    let request = handshake_at("/proxy/ws/chat", &fields);
    let (_, mut caller) = ask(gateway.address().parse().unwrap(), &request).await;
    let (_, mut upstream) = server.next().await;
    exchange(&mut caller, &mut upstream).await;
    let stream = begun(&gateway, &token).await;

    gateway.signal("TERM");
    assert_eq!(rest(&mut caller).await, GOING_AWAY.0);
    assert_eq!(rest(&mut upstream).await, GOING_AWAY.1);
    drop((caller, upstream));
    assert!(gateway.is_running());
    assert!(within(PATIENCE, stream.collect()).await.is_err());
    gateway
        .until_said("stopped; requests still under way: 1")
        .await;
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let (site, _finish) = held_back::site().await;
    let mut gateway = site.start(&site.file(&site.up())).await;
    let token = site.token(TOKEN).await;
    let stream = begun(&gateway, &token).await;
    gateway.signal("TERM");
    gateway.until_closed().await;
    // To read the file again is not to stop.
    gateway.signal("HUP");
    assert!(gateway.is_running());
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await.code(), Some(1));
    gateway
        .until_said("stopped without waiting for the requests under way")
        .await;
    assert!(within(PATIENCE, stream.collect()).await.is_err());
}

#[tokio::test]
async fn a_connection_that_is_kept_open_is_closed() {
    let site = Site::new().await;
    let mut gateway = site.start(&site.file(&site.up())).await;
    let mut idle = tokio::net::TcpStream::connect(gateway.address())
        .await
        .unwrap();
    let token = site.token(TOKEN).await;
    assert_eq!(gateway.get("/proxy/up/a", &token).await.status, 200);
    gateway.signal("TERM");
    let read = within(PATIENCE, idle.read(&mut [0; 1])).await;
    assert_eq!(read.unwrap_or(0), 0);
    assert_eq!(gateway.exit().await.code(), Some(0));
}
