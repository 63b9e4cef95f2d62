//! The APIs that are known by name, the places where keys stand, and what a sandbox is given.

mod adjusted;
mod anthropic;
mod error_bodies;
mod errors;
mod gemini;
mod github;
mod injections;
mod keys;
mod openai;
mod places;
mod setup;
mod slack;
mod spellings;
mod stripe;

use base64::{Engine, engine::general_purpose::STANDARD};
use sallygate::{Api, Credential, Target};
use sallygate_test_support::{Answer, Front, Slot, Stack};

/// A known API, called `api`, in front of the stack's upstream.
struct Called {
    stack: Stack,
    front: Front,
    token: String,
}

impl Called {
    async fn new(slot: Slot, service: fn(Credential) -> Api) -> Self {
        let stack = Stack::new().await;
        stack.upstream.accept(slot.show(&stack.secret_key));
        let service = service(stack.key.clone()).with_target(origin(&stack));
        let front = stack
            .serve(stack.layer_with("api", service).into_service())
            .await;
        Self {
            token: stack.token(),
            stack,
            front,
        }
    }

    /// Asks with these header fields, in which `TOKEN` stands for the token.
    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let target = format!("/proxy/api{path}").replace("TOKEN", &self.token);
        let request = self.front.request(method, &target);
        let fields = fields.iter();
        let request = fields.fold(request, |request, (name, value)| {
            request.header(name, value.replace("TOKEN", &self.token))
        });
        request.send().await
    }

    /// The request passes, with the key in its slot, once, and nothing of the token; gives what arrived.
    async fn passes(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.ask(method, path, fields).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        let arrived = self.stack.upstream.last();
        assert!(arrived.authorized);
        arrived.head
    }

    /// The request is answered here.
    async fn refuses(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let before = self.stack.upstream.requests().len();
        let answer = self.ask(method, path, fields).await;
        assert!(
            answer.status >= 400,
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(
            self.stack.upstream.requests().len(),
            before,
            "{method} {path}"
        );
        answer
    }

    /// The token is taken where clients put their key, and nowhere else; one that is not good, or is not there, never
    /// passes.
    async fn takes_the_token_in(&self, path: &str, fields: &[(&str, &str)]) {
        self.passes("GET", path, fields).await;
        let bad = |text: &str| text.replace("TOKEN", "TOKENx");
        let spoilt: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, bad(value)))
            .collect();
        let spoilt: Vec<_> = spoilt.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = self.refuses("GET", &bad(path), &spoilt).await;
        assert_eq!(answer.status, 401, "{path} {fields:?}");
        let bare = path.split('?').next().unwrap();
        let answer = self.refuses("GET", bare, &[]).await;
        assert_eq!(answer.status, 401, "{path} {fields:?}");
    }
}

const BEARER: (&str, &str) = ("authorization", "Bearer TOKEN");

/// The known API of this name.
fn known(name: &str, key: Credential) -> Api {
    Api::known(name, key).unwrap_or_else(|| panic!("{name} is not known"))
}

fn origin(stack: &Stack) -> Target {
    Target::dangerous_plaintext(&format!("http://{}", stack.upstream.addr)).unwrap()
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}
