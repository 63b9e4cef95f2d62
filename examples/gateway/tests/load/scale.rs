use std::{env, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};

use super::{
    alone,
    api::Api,
    caller::Caller,
    numbers::{again_with_more_descriptors, descriptor_limits, descriptors, gateway, resident},
};
use crate::process::Site;

/// What either process needs besides.
const SPARE: usize = 600;

/// How many of each kind are to be open, as a user of the documentation would want to know.
const USUAL: usize = 4_800;

const LEAST: usize = 4_000;

/// How many are opened at a time.
const AT_A_TIME: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_streams_and_sockets_are_open_at_once_and_leave_nothing_behind() {
    let (soft, hard) = descriptor_limits();
    let wanted = env::var("SALLYGATE_SCALE").map_or(USUAL, |wanted| wanted.parse().unwrap());
    // In each process two for each.
    let possible = hard.saturating_sub(SPARE) / 4;
    if possible < LEAST {
        let strict = env::var_os("SALLYGATE_REQUIRE_ALL").is_some_and(|value| value == "1");
        assert!(!strict, "{hard} descriptors are too few");
        eprintln!("skipped: {hard} descriptors are too few");
        return;
    }
    let number = wanted.min(possible);
    if soft < 4 * number + SPARE {
        let name = "load::scale::thousands_of_streams_and_sockets_are_open_at_once_and_leave_nothing_behind";
        return again_with_more_descriptors(name);
    }
    let _alone = alone().await;
    let site = Site::new().await;
    let api = Api::start(&site.key).await;
    let up = site.up();
    let up = up.replace(&site.upstream.addr.to_string(), &api.addr.to_string());
    let file = site.file(&up);
    let gateway = site.start_command(gateway(&site, &file)).await;
    let token = site.token(&["--sandbox", "box-1"]).await;
    let (addr, process) = (gateway.address().parse().unwrap(), gateway.process.id());

    let settled = open_one_of_each(addr, &token, process).await;
    let begun = Instant::now();
    let idle = resident(process);
    let mut sockets: Vec<Caller> = stream::iter(0..number)
        .map(|_| socket(addr, &token))
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let with_sockets = resident(process);
    let mut streams: Vec<Caller> = stream::iter(0..number)
        .map(|_| async {
            let mut caller = Caller::connect(addr).await.unwrap();
            let status = caller.ask("GET /proxy/up/hold", &token, "", b"").await;
            assert_eq!(status.unwrap(), 200);
            assert_eq!(caller.piece().await.unwrap(), "data: first\n\n");
            caller
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let with_streams = resident(process);
    let open = descriptors(process);
    assert!(open >= 4 * number, "{open}");

    // All of them are alive.
    api.tick();
    for caller in &mut streams {
        assert_eq!(caller.piece().await.unwrap(), "data: tick\n\n");
    }
    for (at, caller) in sockets.iter_mut().enumerate() {
        assert!(caller.echo(&at.to_be_bytes()).await.unwrap());
    }
    let used = resident(process);
    let lasted = begun.elapsed().as_secs_f32();
    drop((streams, sockets));
    let left = fall(process, settled).await;
    let after = resident(process);

    let each = |grown: usize| grown as f64 / number as f64;
    eprintln!(
        "{number} streams and {number} sockets at once, {open} descriptors, in {lasted:.1} s\n\
         resident: {idle} KiB idle, {with_sockets} with the sockets ({:.1} KiB each), {with_streams} with the streams \
         as well ({:.1} KiB each), {used} once all were used, {after} after all are closed\n\
         descriptors: {settled} before, {left} after",
        each(with_sockets.saturating_sub(idle)),
        each(with_streams.saturating_sub(with_sockets)),
    );
    assert!(each(used.saturating_sub(idle)) < 200.0, "KiB of a pair");
}

async fn socket(addr: SocketAddr, token: &str) -> Caller {
    let mut caller = Caller::connect(addr).await.unwrap();
    let status = caller.upgrade("/proxy/up/socket", token).await;
    assert_eq!(status.unwrap(), 101);
    caller
}

/// What is allocated once is not to be counted. Gives the number of descriptors without any connection.
async fn open_one_of_each(addr: SocketAddr, token: &str, process: u32) -> usize {
    let before = descriptors(process);
    // One on each of two threads, most likely.
    for _ in 0..16 {
        let mut socket = socket(addr, token).await;
        assert!(socket.echo(b"01234567").await.unwrap());
        let mut caller = Caller::connect(addr).await.unwrap();
        let status = caller.ask("GET /proxy/up/hold", token, "", b"").await;
        assert_eq!(status.unwrap(), 200);
    }
    fall(process, before).await
}

/// Waits until there are so many descriptors again.
async fn fall(process: u32, to: usize) -> usize {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let left = descriptors(process);
        if left <= to {
            return left;
        }
        assert!(Instant::now() < end, "{left} descriptors, not {to}");
        sleep(Duration::from_millis(20)).await;
    }
}
