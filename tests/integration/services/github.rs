use base64::{Engine, engine::general_purpose::STANDARD};
use sallygate::{Api, Target};
use sallygate_test_support::{Answer, Front, Recorded, Reply, Slot, Stack, Upstream};

use super::{basic, origin};

/// Both hosts of GitHub: the stack's upstream is the one with git.
struct GitHub {
    stack: Stack,
    api: Upstream,
    front: Front,
    token: String,
}

impl GitHub {
    async fn new() -> Self {
        Self::answering(|_| Reply::ok("answer")).await
    }

    async fn answering(script: fn(&Recorded) -> Reply) -> Self {
        let stack = Stack::answering(script).await;
        let git = Slot::Basic("x-access-token").show(&stack.secret_key);
        stack.upstream.accept(git);
        let api = Upstream::scripted(script).await;
        api.accept(Slot::Bearer.show(&stack.secret_key));
        let there = Target::dangerous_plaintext(&format!("http://{}", api.addr)).unwrap();
        let service = Api::github_at(origin(&stack), there, stack.key.clone());
        let front = stack
            .serve(stack.layer_with("github", service).into_service())
            .await;
        Self {
            token: stack.token(),
            stack,
            api,
            front,
        }
    }

    async fn ask(&self, method: &str, path: &str, authorization: &str) -> Answer {
        self.front
            .request(method, &format!("/proxy/github{path}"))
            .header("authorization", authorization)
            .send()
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &format!("Bearer {}", self.token))
            .await
    }

    fn arrived(&self) -> (usize, usize) {
        (
            self.stack.upstream.requests().len(),
            self.api.requests().len(),
        )
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stack.saw_upstream("api", &self.api);
        }
    }
}

#[tokio::test]
async fn git_goes_to_one_host_and_everything_else_to_the_other() {
    let github = GitHub::new().await;
    let bearer = format!("Bearer {}", github.token);
    let key = &github.stack.secret_key;
    let pair = STANDARD.encode(format!("x-access-token:{key}"));
    for (method, path) in [
        ("GET", "/acme/site.git/info/refs?service=git-upload-pack"),
        ("GET", "/acme/site/info/refs?service=git-receive-pack"),
        ("POST", "/acme/site.git/git-upload-pack"),
        ("POST", "/acme/site/git-receive-pack"),
    ] {
        assert_eq!(github.ask(method, path, &bearer).await.status, 200);
        let arrived = github.stack.upstream.last();
        assert_eq!(arrived.line(), format!("{method} {path} HTTP/1.1"));
        assert_eq!(arrived.values("authorization"), [format!("Basic {pair}")]);
    }
    assert_eq!(github.arrived(), (4, 0));
    for (method, path) in [
        ("GET", "/user"),
        ("POST", "/graphql"),
        ("GET", "/repos/acme/site/branches/feature%2Fa?per_page=2"),
        ("PATCH", "/repos/acme/site/issues/1"),
        ("PUT", "/repos/acme/site/contents/docs%2Fa.md"),
        ("GET", "/acme/site.git/HEAD"),
        ("GET", "/acme/site.git/objects/info/packs"),
        ("GET", "/acme/site.git/info/lfs/locks"),
        ("GET", "/acme%2Fx/site.git/info/refs"),
        ("GET", "/login"),
    ] {
        assert_eq!(
            github.ask(method, path, &bearer).await.status,
            200,
            "{path}"
        );
        let arrived = github.api.last();
        assert_eq!(arrived.line(), format!("{method} {path} HTTP/1.1"));
        assert_eq!(arrived.values("authorization"), [format!("Bearer {key}")]);
    }
    assert_eq!(github.arrived(), (4, 10));
}

#[tokio::test]
async fn the_token_is_taken_in_every_form_that_clients_use() {
    let github = GitHub::new().await;
    let forms = |token: &str| {
        [
            format!("Bearer {token}"),
            format!("bearer {token}"),
            format!("token {token}"),
            format!("Token {token}"),
            basic(&format!("x-access-token:{token}")),
            basic(&format!("anyone:{token}")),
        ]
    };
    for path in ["/acme/site/info/refs?service=git-upload-pack", "/user"] {
        for form in forms(&github.token) {
            assert_eq!(github.ask("GET", path, &form).await.status, 200);
        }
        for form in forms(&format!("{}x", github.token)) {
            assert_eq!(github.ask("GET", path, &form).await.status, 401);
        }
    }
    assert_eq!(github.arrived(), (6, 6));

    let answer = github
        .front
        .request("GET", "/proxy/github/acme/site/info/refs")
        .send()
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.values("www-authenticate"),
        ["Bearer", r#"Basic realm="GitHub", charset="UTF-8""#]
    );
}

/// Host applications see neither pages nor repositories that were renamed as something outside the proxy.
#[tokio::test]
async fn pages_and_renamed_repositories_lead_through_the_proxy() {
    let github = GitHub::answering(|request| {
        let here = request.values("host")[0].to_owned();
        let path = request.line().split(' ').nth(1).unwrap();
        let head = match path.split('?').next().unwrap() {
            "/acme/old.git/info/refs" => format!(
                "301 Moved Permanently\nlocation: http://{here}{}",
                path.replace("old", "new")
            ),
            "/repos/acme/old" => {
                format!("301 Moved Permanently\nlocation: http://{here}/repositories/1")
            }
            "/repos/acme/site/tarball" => {
                "302 Found\nlocation: https://codeload.github.com/acme/site/tar.gz".to_owned()
            }
            _ => format!(
                "200 OK\nlink: <http://{here}/repositories/1/issues?page=2>; rel=\"next\", \
                 <http://{here}/repositories/1/issues?page=9>; rel=\"last\"\n\
                 x-ratelimit-remaining: 4999\netag: W/\"1\"\nx-github-request-id: 1:2"
            ),
        };
        Reply::response(&head, "")
    })
    .await;

    let answer = github
        .get("/acme/old.git/info/refs?service=git-upload-pack")
        .await;
    assert_eq!(answer.status, 301);
    assert_eq!(
        answer.header("location"),
        Some("/proxy/github/acme/new.git/info/refs?service=git-upload-pack")
    );
    let answer = github.get("/repos/acme/old").await;
    assert_eq!(
        answer.header("location"),
        Some("/proxy/github/repositories/1")
    );
    let answer = github.get("/repos/acme/site/tarball").await;
    assert_eq!(
        answer.header("location"),
        Some("https://codeload.github.com/acme/site/tar.gz")
    );
    let answer = github.get("/repos/acme/site/issues").await;
    assert_eq!(
        answer.header("link"),
        Some(
            "</proxy/github/repositories/1/issues?page=2>; rel=\"next\", \
             </proxy/github/repositories/1/issues?page=9>; rel=\"last\""
        )
    );
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("4999"));
    assert_eq!(answer.header("etag"), Some("W/\"1\""));
    assert_eq!(answer.header("x-github-request-id"), Some("1:2"));
}

#[tokio::test]
async fn what_adds_or_hands_out_keys_is_refused() {
    let github = GitHub::new().await;
    for path in [
        "/user/keys",
        "/user/keys/1",
        "/USER/Keys",
        "/user/%6beys",
        "/user%2Fkeys",
        "/user/gpg_keys",
        "/user/ssh_signing_keys",
        "/repos/acme/site/keys",
        "/repos/acme/site%2Fkeys",
        "/repos/acme/site/keys/1/",
        "/repositories/1/keys",
        "/repos/acme/site/actions/runners/registration-token",
        "/orgs/acme/actions/runners/generate-jitconfig",
        "/app/installations/1/access_tokens",
        "/applications/1/token",
    ] {
        let answer = github
            .ask("POST", path, &format!("Bearer {}", github.token))
            .await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(github.arrived(), (0, 0));
    for path in ["/users/ada/keys", "/repos/acme/keys", "/apps/mine", "/user"] {
        assert_eq!(github.get(path).await.status, 200, "{path}");
    }
    assert_eq!(github.arrived(), (0, 4));
}

/// GitHub Enterprise Server: both below one host, GraphQL beside REST.
#[tokio::test]
async fn all_of_it_may_be_on_one_host() {
    let stack = Stack::new().await;
    let git = Slot::Basic("x-access-token").show(&stack.secret_key);
    stack.upstream.accept(git);
    let below = |path: &str| {
        Target::dangerous_plaintext(&format!("http://{}{path}", stack.upstream.addr)).unwrap()
    };
    let service = Api::github_at(below(""), below("/api/v3"), stack.key.clone()).route(
        ["/graphql".parse().unwrap()],
        below("/api"),
        sallygate::Injection::bearer(stack.key.clone()),
    );
    let front = stack
        .serve(stack.layer_with("github", service).into_service())
        .await;
    let token = stack.token();
    for (path, there, scheme) in [
        ("/acme/site/info/refs", "/acme/site/info/refs", "Basic "),
        ("/user", "/api/v3/user", "Bearer "),
        ("/graphql", "/api/graphql", "Bearer "),
    ] {
        let target = format!("/proxy/github{path}");
        assert_eq!(front.get(&target, &token).send().await.status, 200);
        let arrived = stack.upstream.last();
        assert_eq!(arrived.line(), format!("GET {there} HTTP/1.1"));
        assert!(arrived.values("authorization")[0].starts_with(scheme));
    }
}
