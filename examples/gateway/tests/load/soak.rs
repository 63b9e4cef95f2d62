use std::{
    env, fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use sallygate::Issuer;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    alone,
    api::{Api, EVENTS},
    caller::{Caller, checksum},
    numbers::{descriptors, gateway, resident},
};
use crate::process::{Gateway, Site};

const WORKERS: u64 = 16;

/// Between two requests of a worker: the load is to last, not to fill the machine.
const PAUSE: Duration = Duration::from_millis(5);

/// After a load of this length, it is waited for that all connections to the API are closed.
const WORTH_WAITING: Duration = Duration::from_secs(600);

/// How much longer than asked for the load may run, before a caller is taken to hang.
const OVERTIME: Duration = Duration::from_secs(180);

const KINDS: [&str; 6] = ["small", "upload", "stream", "abort", "bad token", "socket"];

#[derive(Clone)]
struct Load {
    addr: SocketAddr,
    issuer: Arc<Issuer>,
    over: Arc<AtomicBool>,
    done: Arc<[AtomicU64; KINDS.len()]>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_load_with_new_keys_and_new_files_gets_no_wrong_answer_and_takes_no_more_memory() {
    let _alone = alone().await;
    let seconds = env::var("SALLYGATE_SOAK_SECONDS");
    let duration = Duration::from_secs(seconds.map_or(12, |seconds| seconds.parse().unwrap()));
    let site = Site::new().await;
    let api = Api::start(&site.key).await;
    site.write("api.key", &site.key);
    let up = site.service("up", "\"bearer\"", "{ file = \"api.key\" }");
    let up = up.replace(&site.upstream.addr.to_string(), &api.addr.to_string());
    let gateway = site.start_command(gateway(&site, &site.file(&up))).await;
    let process = gateway.process.id();
    let load = Load {
        addr: gateway.address().parse().unwrap(),
        issuer: Arc::new(Issuer::hs256(&site.jwt_secret).unwrap()),
        over: Arc::default(),
        done: Arc::default(),
    };
    let before = descriptors(process);
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(work(load.clone(), worker));
    }

    let begun = Instant::now();
    let (mut memory, mut changes) = (Vec::new(), 0);
    while begun.elapsed() < duration {
        sleep(Duration::from_millis(500)).await;
        memory.push(resident(process));
        change(&site, &api, &gateway, &up, &mut changes).await;
        assert!(workers.try_join_next().is_none(), "a worker has ended");
    }
    load.over.store(true, Relaxed);
    let mut wrong = Vec::new();
    while let Some(end) = workers.join_next().await {
        wrong.extend(end.unwrap().err());
    }

    let quarter = |number: usize| {
        let length = memory.len() / 4;
        let mut samples = memory[number * length..(number + 1) * length].to_vec();
        samples.sort_unstable();
        samples[length / 2]
    };
    let quarters = [0, 1, 2, 3].map(quarter);
    let done: Vec<u64> = load.done.iter().map(|done| done.load(Relaxed)).collect();
    let kinds: Vec<_> = KINDS.iter().zip(&done).collect();
    let (all, keys, open) = (
        done.iter().sum::<u64>(),
        api.keys_seen(),
        descriptors(process),
    );
    eprintln!(
        "{all} requests in {} s: {kinds:?}; wrong answers: {wrong:?}\n\
         {changes} changes of key and file, {keys} keys used\n\
         resident, KiB, median of each quarter: {quarters:?}; descriptors: {before} before, {open} after",
        begun.elapsed().as_secs(),
    );
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(done.iter().all(|done| *done > 0), "{kinds:?}");
    assert!(keys > 1, "the key was never changed");
    // The first quarter warms up.
    let allowed = quarters[1] + (quarters[1] / 10).max(4 << 10);
    assert!(quarters[3] <= allowed, "{quarters:?}");
    // Some connections to the API are kept, for a minute or two.
    assert!(open <= before + 4 * WORKERS as usize, "{open}");
    if duration >= WORTH_WAITING {
        while descriptors(process) > before {
            assert!(
                begun.elapsed() < duration + OVERTIME,
                "{}",
                descriptors(process)
            );
            sleep(Duration::from_secs(1)).await;
        }
        eprintln!("descriptors: {} in the end", descriptors(process));
    }
}

/// A new key, and a file that differs from the one before.
async fn change(site: &Site, api: &Api, gateway: &Gateway, up: &str, changes: &mut usize) {
    *changes += 1;
    // A file is looked at once in a while: four keys are good at a time.
    if changes.is_multiple_of(4) {
        let key = site.oracle.secret("credential");
        api.rotate(&key);
        site.write("new.key", &key);
        fs::rename(site.folder.join("new.key"), site.folder.join("api.key")).unwrap();
    }
    let more = match *changes % 3 {
        0 => String::new(),
        number => up.replace("services.up", &format!("services.more-{number}")),
    };
    let file = if changes.is_multiple_of(5) {
        "this = \"is wrong\"".to_owned()
    } else {
        site.file(&format!("{up}{more}"))
    };
    site.write("new.toml", &file);
    fs::rename(
        site.folder.join("new.toml"),
        site.folder.join("gateway.toml"),
    )
    .unwrap();
    gateway.signal("HUP");
}

/// One request after the other, until it is over or one is answered wrongly.
async fn work(load: Load, worker: u64) -> Result<(), String> {
    let mut state = worker + 1;
    let mut kept = None;
    let mut number = 0_u64;
    let mut token = String::new();
    while !load.over.load(Relaxed) {
        // As many small ones as of all others together.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let kind = ((state >> 33) % 10) as usize;
        let kind = if kind < KINDS.len() { kind } else { 0 };
        if number.is_multiple_of(100) {
            let sandbox = format!("box-{worker}-{number}");
            token = load.issuer.issue(sandbox).sign().unwrap();
        }
        number += 1;
        let id = format!("{worker}-{number}");
        let wrong = |what: String| format!("{} {id}: {what}", KINDS[kind]);
        let caller = match kept.take() {
            Some(caller) => Ok(caller),
            None => Caller::connect(load.addr).await,
        };
        let mut caller = caller.map_err(|error| wrong(error.to_string()))?;
        let right = request(kind, &mut caller, &token, &id).await;
        match right.map_err(|error| wrong(error.to_string()))? {
            Ok(again) => kept = (again && !caller.closing).then_some(caller),
            Err(what) => return Err(wrong(what)),
        }
        load.done[kind].fetch_add(1, Relaxed);
        sleep(PAUSE).await;
    }
    Ok(())
}

/// What was wrong with the answer, or whether the connection can be used again.
async fn request(
    kind: usize,
    caller: &mut Caller,
    token: &str,
    id: &str,
) -> std::io::Result<Result<bool, String>> {
    let line = |what: &str| format!("GET /proxy/up/{what}?n={id}");
    let (status, body, expected) = match KINDS[kind] {
        "small" => {
            let status = caller.ask(&line("small"), token, "", b"").await?;
            (status, caller.body().await?, (200, format!("small {id}")))
        }
        "upload" => {
            let body = id.as_bytes().repeat(2_000);
            let line = format!("POST /proxy/up/upload?n={id}");
            let status = caller.ask(&line, token, "", &body).await?;
            let expected = format!("{} {} {id}", body.len(), checksum(&body));
            (status, caller.body().await?, (200, expected))
        }
        "stream" => {
            let status = caller.ask(&line("stream"), token, "", b"").await?;
            let events = (0..EVENTS).map(|event| format!("data: {id} {event}\n\n"));
            (status, caller.body().await?, (200, events.collect()))
        }
        "abort" => {
            let status = caller.ask(&line("stream"), token, "", b"").await?;
            let piece = caller.piece().await?;
            let right = status == 200 && piece.starts_with(&format!("data: {id} 0\n\n"));
            return Ok(right.then_some(false).ok_or(format!("{status} {piece}")));
        }
        "bad token" => {
            let bad = format!("{token}{id}");
            let status = caller.ask(&line("small"), &bad, "", b"").await?;
            let body = caller.body().await?;
            let right = status == 401 && body.contains("PROXY_TOKEN_INVALID");
            return Ok(right.then_some(true).ok_or(format!("{status} {body}")));
        }
        _ => {
            let status = caller.upgrade("/proxy/up/socket", token).await?;
            if status != 101 {
                return Ok(Err(status.to_string()));
            }
            for frame in 0..3_u64 {
                if !caller.echo(&frame.to_be_bytes()).await? {
                    return Ok(Err("another frame".into()));
                }
            }
            return Ok(Ok(false));
        }
    };
    if (status, &body) != (expected.0, &expected.1) {
        return Ok(Err(format!("{status} {body}")));
    }
    Ok(Ok(true))
}
