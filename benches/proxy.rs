//! Time of one request through the layer, with the API in memory: `cargo bench --bench proxy`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod scene;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use sallygate::Body;

use crate::scene::Scene;

fn one_request(criterion: &mut Criterion) {
    let mut bench = |name: &str, cached_tokens, request: fn(&Scene) -> Request<Body>| {
        let mut scene = Scene::new(cached_tokens);
        let requests: Vec<_> = (0..64).map(|_| request(&scene)).collect();
        let mut next = requests.iter().cycle();
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(
                || copy(next.next().unwrap()),
                |request| Response::status(&scene.call(request)),
                BatchSize::SmallInput,
            );
        });
    };
    bench("forwarded", 4096, Scene::forwarded);
    bench("forwarded, token verified anew", 0, Scene::forwarded);
    bench("refused", 4096, Scene::refused);
    bench("outside the mount", 4096, Scene::outside);
}

fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(Body::empty());
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

criterion_group!(benches, one_request);
criterion_main!(benches);
