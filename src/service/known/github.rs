//! GitHub is two targets: git over HTTPS wants Basic on one host, REST and GraphQL want Bearer on another.

use http::{Method, header::AUTHORIZATION};

use crate::{
    Credential, Policy,
    rejection::Rejection,
    service::{
        Api, ErrorBody, Injection, PathPattern, Place, SandboxSetup, SetupScope, Target,
        known::Known, place::Kind,
    },
};

pub(super) static KNOWN: Known = Known {
    name: "github",
    api: Api::github,
    client: None,
    error,
    setup,
    title: "GitHub",
    remark: "; `git config --global` so that URLs of `github.com`, over HTTPS and SSH, lead here",
};

/// What git asks for over HTTP, with or without `.git` (gitprotocol-http(5)).
const GIT: [&str; 3] = [
    "/*/*/info/refs",
    "/*/*/git-upload-pack",
    "/*/*/git-receive-pack",
];

/// Endpoints that add keys to an account or a repository, or hand out those of apps and runners. A repository goes by its
/// number, too.
const REFUSED: [&str; 13] = [
    "/app/**",
    "/applications/**",
    "/authorizations/**",
    "/enterprises/*/actions/runners/**",
    "/organizations/*/actions/runners/**",
    "/orgs/*/actions/runners/**",
    "/repos/*/*/actions/runners/**",
    "/repos/*/*/keys/**",
    "/repositories/*/actions/runners/**",
    "/repositories/*/keys/**",
    "/user/gpg_keys/**",
    "/user/keys/**",
    "/user/ssh_signing_keys/**",
];

impl Api {
    /// GitHub: git over HTTPS on `github.com`, and everything else as REST and GraphQL on `api.github.com`.
    ///
    /// The token is looked for in `Authorization: Bearer`, in `Authorization: token`, and as the password of Basic, which
    /// git is asked for. REST endpoints that add keys to an account or a repository, or hand out those of apps and
    /// runners, are refused; what a GraphQL query asks for is not looked at. Large files (Git LFS), uploads of release
    /// assets and gists are on other hosts.
    ///
    /// # Example
    ///
    /// ```
    /// use sallygate::{Credential, JwtVerifier, ProxyLayer, Api};
    ///
    /// let key = Credential::new("ghp_0123456789")?;
    /// let proxy = ProxyLayer::new("/proxy", JwtVerifier::hs256([7; 32])?)?.service("github", Api::github(key))?;
    ///
    /// // `git clone https://github.com/…` in the sandbox needs this, Octokit a `baseUrl`
    /// let setup = proxy.handle().sandbox_setup_at("https://gate.example.com", "the.token.itself")?.to_shell();
    /// assert!(setup.contains("export GITHUB_API_URL='https://gate.example.com/proxy/github'\n"));
    /// assert!(setup.contains("'url.https://gate.example.com/proxy/github/.insteadOf' 'https://github.com/'"));
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn github(key: Credential) -> Self {
        let web = Target::known("github.com", "/");
        Self::github_at(web, Target::known("api.github.com", "/"), key)
    }

    /// As [`github`](Self::github), elsewhere: git on `web`, everything else on `api`.
    ///
    /// # Example
    ///
    /// GitHub Enterprise Server has GraphQL beside REST, not below it.
    ///
    /// ```
    /// use sallygate::{Api, Credential, Injection, Target};
    ///
    /// let key = Credential::new("ghp_0123456789")?;
    /// let web = Target::new("https://github.example.com")?;
    /// let rest = Target::new("https://github.example.com/api/v3")?;
    /// let graphql = Target::new("https://github.example.com/api")?;
    /// let github = Api::github_at(web, rest, key.clone())
    ///     .route(["/graphql".parse()?], graphql, Injection::bearer(key));
    /// # Ok::<(), sallygate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn github_at(web: Target, api: Target, key: Credential) -> Self {
        let policy = Policy::known(
            [
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ],
            &["/**"],
            &REFUSED,
        )
        // git sends nothing before it is asked.
        .basic_challenge("GitHub")
        // Octokit encodes the slashes in names of branches and files.
        .allow_encoded_slashes();
        let git = Place::of(Kind::Basic("x-access-token".into()));
        Self::of(&KNOWN, api, Place::bearer(), key.clone())
            .replace_policy(policy)
            .accept(Place::of(Kind::Prefixed(AUTHORIZATION, "token ".into())))
            .accept(git.clone())
            .route(PathPattern::known(&GIT), web, Injection::new(git, key))
    }
}

/// Text, which git shows; of JSON it would tell the status alone.
fn error(rejection: &Rejection) -> ErrorBody {
    ErrorBody::text(format!(
        "{} ({}, request {})\n",
        rejection.message(),
        rejection.code().as_str(),
        rejection.request_id()
    ))
}

fn setup(scope: &SetupScope<'_>, targets: &[Target]) -> SandboxSetup {
    let variables = SandboxSetup::new()
        .env("GITHUB_API_URL", scope.base())
        .env("GITHUB_GRAPHQL_URL", format!("{}/graphql", scope.base()))
        .env("GITHUB_TOKEN", scope.token());
    // That of the route for git.
    let Some(web) = targets.get(1) else {
        return variables;
    };
    let (base, host) = (scope.base(), web.authority().host());
    let through = format!("url.{base}/.insteadOf");
    let header = format!("Authorization: Bearer {}", scope.token());
    let config = |name: &str, value: String| {
        ["git", "config", "--global", "--replace-all", name, &value].map(str::to_owned)
    };
    // The last word says which of several values is replaced, so that it may all be run again.
    let instead = |value: String, old: &str| {
        let words = config(&through, value).into_iter();
        words.chain([old.to_owned()]).collect::<Vec<_>>()
    };
    variables
        .command(instead(format!("{}/", web.url()), "^http"))
        .command(instead(format!("git@{host}:"), "^git@"))
        .command(instead(format!("ssh://git@{host}/"), "^ssh"))
        .command(config(&format!("http.{base}/.extraheader"), header))
}
