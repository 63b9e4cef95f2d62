//! Keys that a source looks up for each tenant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use http::Request;
use sallygate::{
    Api, Body, Context, Credential, async_trait,
    credential::{Secret, SourceError, TenantSource},
    proxy::ProxyService,
};

use sallygate_test_support::{Reply, Stack};

type Rows = Arc<Mutex<HashMap<String, Result<(String, u64), SourceError>>>>;

/// A database of keys: how long each is good, or why there is none. Counts what it is asked.
#[derive(Clone)]
struct Keys {
    rows: Rows,
    asked: Arc<Mutex<Vec<String>>>,
    max: usize,
}

#[async_trait]
impl TenantSource for Keys {
    type Tenant = String;

    fn tenant(&self, ctx: &Context) -> Result<String, SourceError> {
        match ctx.claims().sandbox_id() {
            "stranger" => Err(SourceError::Forbidden),
            sandbox => Ok(sandbox.to_owned()),
        }
    }

    async fn fetch(&self, tenant: &String, now: SystemTime) -> Result<Secret, SourceError> {
        self.asked.lock().unwrap().push(tenant.clone());
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let row = self.rows.lock().unwrap().get(tenant).cloned();
        let (key, seconds) = row.unwrap_or(Err(SourceError::Forbidden))?;
        Ok(Secret::new(key).expires_at(now + Duration::from_secs(seconds)))
    }

    fn max_tenants(&self) -> usize {
        self.max
    }
}

/// A proxy whose upstream takes the keys of tenants; one that is revoked there has another in the database.
struct Tenants {
    stack: Arc<Stack>,
    keys: Keys,
    proxy: ProxyService,
}

impl Tenants {
    async fn new(max: usize) -> Self {
        let rows = Rows::default();
        let stack = Stack::answering({
            let rows = rows.clone();
            move |request| match request.values("authorization")[0].contains("revoked") {
                true => {
                    let repaired = Ok(("key-of-one".into(), 3600));
                    rows.lock().unwrap().insert("one".into(), repaired);
                    Reply::response("401 Unauthorized", "revoked")
                }
                false => Reply::ok("hello"),
            }
        });
        let stack = Arc::new(stack.await);
        stack
            .upstream
            .accept("authorization: Bearer key-of-".into());
        let keys = Keys {
            rows,
            asked: Arc::default(),
            max,
        };
        let credential = Credential::per_tenant(keys.clone());
        stack.oracle.saw_debug(&credential);
        let service = Api::bearer(stack.target(), credential);
        let proxy = stack.layer_with("svc", service).into_service();
        let tenants = Self { stack, keys, proxy };
        for tenant in ["one", "two", "three"] {
            tenants.set(tenant, Ok((format!("key-of-{tenant}"), 3600)));
        }
        tenants
    }

    fn set(&self, tenant: &str, row: Result<(String, u64), SourceError>) {
        self.keys.rows.lock().unwrap().insert(tenant.into(), row);
    }

    /// What the caller is told.
    async fn ask(&self, tenant: &str) -> (u16, String) {
        let token = self.stack.issuer.issue(tenant).sign().unwrap();
        let request = Request::get("/proxy/svc/a")
            .header("host", "gate.test")
            .header("x-tenant", tenant)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let answer = self.stack.call(self.proxy.clone(), request).await;
        let code = match answer.status {
            200 => String::new(),
            _ => answer.code(),
        };
        (answer.status, code)
    }

    fn asked(&self) -> Vec<String> {
        self.keys.asked.lock().unwrap().clone()
    }

    /// The keys that came, each beside the tenant whose request it was.
    fn received(&self) -> Vec<(String, String)> {
        let requests = self.stack.upstream.requests();
        let pair = requests.iter().map(|request| {
            let tenant = request.values("x-tenant")[0].to_owned();
            let key = request.values("authorization")[0].replace("Bearer ", "");
            (tenant, key)
        });
        pair.collect()
    }
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn forbidden() -> (u16, String) {
    (403, "PROXY_FORBIDDEN".into())
}

fn unavailable() -> (u16, String) {
    (503, "PROXY_CREDENTIAL_UNAVAILABLE".into())
}

#[tokio::test]
async fn a_thousand_first_requests_make_one_look_up_a_tenant_and_no_key_goes_astray() {
    let tenants = Arc::new(Tenants::new(10).await);
    let requests = (0..1000).map(|number| {
        let tenants = tenants.clone();
        // Of one tenant most, of another every tenth.
        let tenant = if number % 10 == 9 { "two" } else { "one" };
        tokio::spawn(async move { tenants.ask(tenant).await })
    });
    for answer in futures_util::future::try_join_all(requests).await.unwrap() {
        assert_eq!(answer, ok());
    }
    let mut asked = tenants.asked();
    asked.sort();
    assert_eq!(asked, ["one", "two"]);
    let received = tenants.received();
    assert_eq!(received.len(), 1000);
    for (tenant, key) in received {
        assert_eq!(key, format!("key-of-{tenant}"));
    }
}

#[tokio::test]
async fn a_tenant_that_does_not_exist_is_forbidden_and_one_without_a_key_now_comes_back() {
    let tenants = Tenants::new(10).await;
    assert_eq!(tenants.ask("stranger").await, forbidden());
    assert_eq!(tenants.asked(), [""; 0], "it is none, by its claims");

    tenants.set("two", Err(SourceError::Unreachable));
    for _ in 0..3 {
        assert_eq!(tenants.ask("nobody").await, forbidden());
        assert_eq!(tenants.ask("two").await, unavailable());
    }
    assert_eq!(tenants.asked(), ["nobody", "two"], "known for a while");

    tenants.set("nobody", Ok(("key-of-nobody".into(), 60)));
    tenants.set("two", Ok(("key-of-two".into(), 60)));
    tenants.stack.clock.advance(2);
    assert_eq!(tenants.ask("nobody").await, forbidden());
    assert_eq!(tenants.ask("two").await, ok());
    tenants.stack.clock.advance(9);
    assert_eq!(tenants.ask("nobody").await, ok());
    assert_eq!(tenants.asked(), ["nobody", "two", "two", "nobody"]);

    // One that is no tenant any more has no key any more.
    tenants.set("two", Err(SourceError::Forbidden));
    tenants.stack.clock.advance(60);
    assert_eq!(tenants.ask("two").await, forbidden());
    assert_eq!(tenants.received().len(), 2);
}

#[tokio::test]
async fn each_tenants_key_expires_on_its_own() {
    let tenants = Tenants::new(10).await;
    tenants.set("one", Ok(("key-of-one".into(), 60)));
    for tenant in ["one", "two"] {
        assert_eq!(tenants.ask(tenant).await, ok());
    }
    tenants.set("one", Ok(("key-of-one-next".into(), 60)));
    tenants.set("two", Ok(("key-of-two-next".into(), 60)));
    tenants.stack.clock.advance(61);
    for tenant in ["one", "two"] {
        assert_eq!(tenants.ask(tenant).await, ok());
    }
    assert_eq!(tenants.asked(), ["one", "two", "one"]);
    let received = tenants.received();
    assert_eq!(received[2].1, "key-of-one-next");
    assert_eq!(received[3].1, "key-of-two");
}

#[tokio::test]
async fn a_key_that_the_upstream_refuses_is_looked_up_anew() {
    let tenants = Tenants::new(10).await;
    tenants.set("one", Ok(("key-of-one-revoked".into(), 3600)));
    assert_eq!(tenants.ask("one").await, ok());
    assert_eq!(tenants.asked(), ["one", "one"]);
    assert_eq!(tenants.ask("two").await, ok());
}

#[tokio::test]
async fn callers_cannot_make_it_remember_more_than_so_many() {
    let tenants = Tenants::new(2).await;
    for tenant in ["one", "two", "one", "three", "one"] {
        assert_eq!(tenants.ask(tenant).await, ok());
    }
    assert_eq!(tenants.asked(), ["one", "two", "three"]);
    // The second one's last request was longest ago.
    assert_eq!(tenants.ask("two").await, ok());
    assert_eq!(tenants.asked(), ["one", "two", "three", "two"]);
    assert_eq!(tenants.ask("one").await, ok());
    assert_eq!(tenants.asked().len(), 4);
    for (tenant, key) in tenants.received() {
        assert_eq!(key, format!("key-of-{tenant}"));
    }
}
