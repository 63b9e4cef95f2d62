use std::{
    io::Write,
    process::{Command, Stdio},
};

use sallygate_test_support::{Stack, client, program};

/// Runs a module in node, with `jose` at hand. The secret goes through the environment, the rest through standard input.
fn node(stack: &Stack, script: &str, input: &str) -> Option<String> {
    let modules = client("node_modules/jose")?;
    let mut node: Command = program("node")?;
    let mut node = node
        .current_dir(modules.parent().unwrap().parent().unwrap())
        .args(["--input-type=module", "--eval", script])
        .env("SECRET", &stack.jwt_secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_token_signed_by_jose_opens_the_door() {
    let stack = Stack::new().await;
    let script = r#"
        import { SignJWT } from "jose";
        const secret = new TextEncoder().encode(process.env.SECRET);
        const token = await new SignJWT({ sandboxId: "box-1", sessionId: "run-7" })
            .setProtectedHeader({ alg: "HS256", typ: "JWT" })
            .setIssuedAt()
            .setExpirationTime("15m")
            .sign(secret);
        process.stdout.write(token);
    "#;
    let Some(token) = node(&stack, script, "") else {
        return;
    };
    let token = stack.watched(token);
    let front = stack.front().await;
    let answer = front.get("/proxy/svc/a", &token).send().await;
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert!(stack.upstream.last().authorized);
    stack.clock.advance(16 * 60);
    assert_eq!(front.get("/proxy/svc/a", &token).send().await.status, 401);
}

#[tokio::test]
async fn jose_verifies_a_token_of_ours() {
    let stack = Stack::new().await;
    let script = r#"
        import { jwtVerify } from "jose";
        import { readFileSync } from "node:fs";
        const secret = new TextEncoder().encode(process.env.SECRET);
        const token = readFileSync(0, "utf8");
        const options = { algorithms: ["HS256"], issuer: "me", audience: "proxy", typ: "JWT" };
        const { payload, protectedHeader } = await jwtVerify(token, secret, options);
        const changed = token.slice(0, -8) + "AAAAAAAA";
        const refused = await jwtVerify(changed, secret, options).then(() => false, () => true);
        process.stdout.write(JSON.stringify({ payload, protectedHeader, refused }));
    "#;
    let issuer = stack.issuer.clone().issuer("me").audience("proxy");
    let token = stack.watched(issuer.issue("box-1").session_id("run-7").sign().unwrap());
    let Some(output) = node(&stack, script, &token) else {
        return;
    };
    let now = stack.clock.seconds();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&output).unwrap(),
        serde_json::json!({
            "payload": {
                "sandboxId": "box-1", "sessionId": "run-7", "iat": now, "exp": now + 900, "iss": "me", "aud": "proxy",
            },
            "protectedHeader": { "alg": "HS256", "typ": "JWT" },
            "refused": true,
        })
    );
}
