//! Instructions and allocations of one request, counted by Valgrind and held to limits: the same on a busy machine.
//!
//! `cargo bench --bench instructions`, with `valgrind` and `gungraun-runner` installed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod scene;

use std::hint::black_box;

use gungraun::prelude::*;
use gungraun::{Callgrind, Dhat, DhatMetric, EventKind};
use http::{Request, StatusCode};
use sallygate::Body;

use crate::scene::Scene;

fn scene(cached_tokens: usize, request: fn(&Scene) -> Request<Body>) -> (Scene, Request<Body>) {
    let scene = Scene::new(cached_tokens);
    let request = request(&scene);
    (scene, request)
}

/// The limits are what was counted, and a tenth more.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions)]));
    config
}

fn no_allocation() -> LibraryBenchmarkConfig {
    let mut config = at_most(1_920);
    config.tool(Dhat::default().hard_limits([(DhatMetric::TotalBlocks, 0)]));
    config
}

#[library_benchmark]
#[bench::forwarded(args = (4096, Scene::forwarded), setup = scene, config = at_most(29_000))]
#[bench::forwarded_anew(args = (0, Scene::forwarded), setup = scene, config = at_most(56_700))]
#[bench::refused(args = (4096, Scene::refused), setup = scene, config = at_most(34_300))]
#[bench::outside_the_mount(args = (4096, Scene::outside), setup = scene, config = no_allocation())]
fn one_request((mut scene, request): (Scene, Request<Body>)) -> (Scene, StatusCode) {
    let status = black_box(scene.call(black_box(request))).status();
    (scene, status)
}

library_benchmark_group!(name = requests, benchmarks = one_request);
main!(library_benchmark_groups = requests);
