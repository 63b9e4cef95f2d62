use sallygate::Limits;
use sallygate_test_support::{Answer, Front, Stack};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    name: String,
    header: Option<String>,
    payload: Option<String>,
    transform_of_valid_token: Option<String>,
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const PAYLOAD: &str =
    r#"{"exp":${NOW+600},"nbf":${NOW},"iss":"me","aud":"proxy","sandboxId":"box1","iat":${NOW}}"#;

/// What must be put in the place of what for the token to be a good one.
const REPAIRS: [(&str, &str, &str); 20] = [
    ("J-003", r#""${NOW+600}""#, "${NOW+600}"),
    ("J-005", r#""exp":true"#, r#""exp":${NOW+600}"#),
    ("J-007", r#""exp":1e18"#, r#""exp":${NOW+600}"#),
    ("J-009", "18446744073709551615", "${NOW+600}"),
    ("J-011", r#""exp":-1"#, r#""exp":${NOW+600}"#),
    ("J-013", "${NOW+500}", "${NOW}"),
    ("J-015", r#""iss":123"#, r#""iss":"me""#),
    ("J-017", "evil", "me"),
    ("J-019", r#"{"a":1}"#, r#""proxy""#),
    ("J-021", r#"["x",1]"#, r#"["x","proxy"]"#),
    (
        "J-023",
        r#""aud":"proxy","#,
        r#""aud":"proxy","sandboxId":"box1","#,
    ),
    ("J-025", "box2", "box1"),
    ("J-027", r#","crit":["exp2"]"#, ""),
    ("J-029", r#","crit":[]"#, ""),
    ("J-031", "hs256", "HS256"),
    ("J-033", "HS512", "HS256"),
    ("J-035", "at+jwt", "JWT"),
    ("J-037", "[1]", r#""1""#),
    ("J-043", "}x", "}"),
    ("J-045", "NaN", "${NOW+600}"),
];

/// Also accepted: the embedded key is never used, and nothing is ever inflated.
const GOOD: [&str; 3] = ["J-001", "J-039", "J-041"];

fn cases() -> Vec<Case> {
    include_str!("../../cases/jwt_cases.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Writes the times in.
fn at(now: u64, template: &str) -> String {
    let mut text = template.replace("${NOW}", &now.to_string());
    for ahead in [500, 600] {
        text = text.replace(&format!("${{NOW+{ahead}}}"), &(now + ahead).to_string());
    }
    assert!(!text.contains("${"), "{text}");
    text
}

async fn strict(stack: &Stack) -> Front {
    let layer = stack.layer();
    layer
        .handle()
        .set_verifier(stack.verifier().issuer("me").audience("proxy"));
    stack.serve(layer.into_service()).await
}

async fn ask(front: &Front, token: &str) -> Answer {
    front.get("/proxy/svc/a", token).send().await
}

fn assert_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 401, "{what}");
    assert_eq!(
        answer.constant(),
        r#"{"error":"The token is not valid","code":"PROXY_TOKEN_INVALID","requestId":"ID"}"#,
        "{what}"
    );
    let mut fields = answer.fields.clone();
    fields.retain(|(name, _)| name != "date");
    let expected = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("x-should-retry", "false"),
        ("www-authenticate", "Bearer"),
        ("content-length", &answer.body.len().to_string()),
    ];
    assert_eq!(
        fields,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned())),
        "{what}"
    );
}

#[tokio::test]
async fn every_token_case_has_its_outcome_and_so_has_its_repaired_twin() {
    let stack = Stack::new().await;
    let front = strict(&stack).await;
    let now = stack.clock.seconds();
    let mut accepted = 0;
    for case in cases() {
        let what = format!("{} {}", case.id, case.name);
        let (Some(header), Some(payload)) = (&case.header, &case.payload) else {
            continue;
        };
        let token = stack.watched(stack.sign(&at(now, header), at(now, payload)));
        let answer = ask(&front, &token).await;
        if GOOD.contains(&case.id.as_str()) {
            assert_eq!((answer.status, answer.text()), (200, "hello"), "{what}");
            accepted += 1;
            continue;
        }
        assert_refused(&answer, &what);
        assert_eq!(stack.upstream.requests().len(), accepted, "{what}");

        let (_, wrong, right) = REPAIRS
            .iter()
            .find(|(id, ..)| *id == case.id)
            .expect("a repair");
        let (header, payload) = (header.replace(wrong, right), payload.replace(wrong, right));
        let twin = stack.watched(stack.sign(&at(now, &header), at(now, &payload)));
        assert_ne!(twin, token, "{what}");
        assert_eq!(ask(&front, &twin).await.status, 200, "{what}, repaired");
        accepted += 1;
        assert_eq!(
            stack.upstream.requests().len(),
            accepted,
            "{what}, repaired"
        );
    }
    assert_eq!(accepted, 23);
}

#[tokio::test]
async fn reshaped_tokens_are_refused() {
    let stack = Stack::new().await;
    let front = strict(&stack).await;
    let now = stack.clock.seconds();
    // A token whose signature has both characters in which the alphabets differ.
    let good = (0..)
        .map(|salt| PAYLOAD.replace("box1", &format!("box{salt}")))
        .map(|payload| stack.sign(HEADER, at(now, &payload)))
        .find(|token| {
            token.rsplit('.').next().unwrap().contains('-')
                && token.rsplit('.').next().unwrap().contains('_')
        })
        .unwrap();
    let good = stack.watched(good);
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    let mut reshaped = Vec::new();
    for case in cases() {
        let Some(transform) = &case.transform_of_valid_token else {
            continue;
        };
        reshaped.push(match transform.as_str() {
            "h.p" => unsigned.to_owned(),
            "h.p.s.x.y (JWE shape)" => format!("{good}.x.y"),
            "- -> +, _ -> /" => format!(
                "{unsigned}.{}",
                signature.replace('-', "+").replace('_', "/")
            ),
            " token" => format!(" {good}"),
            unknown => panic!("{unknown}"),
        });
    }
    assert_eq!(reshaped.len(), 4);
    // Canonical base64url has one spelling.
    let last = signature.chars().last().unwrap();
    let twin = char::from(last as u8 + 1);
    reshaped.extend([
        format!("{good}="),
        format!("{good}."),
        format!("{good}\u{e9}"),
        format!("{unsigned}."),
        format!("..{signature}"),
        good.to_uppercase(),
        format!("{}{twin}", good.strip_suffix(last).unwrap()),
        format!("{}%2e{signature}", unsigned),
    ]);
    for token in reshaped {
        let answer = ask(&front, &token).await;
        if answer.code() == "PROXY_HEADERS_INVALID" {
            assert_eq!(answer.status, 400);
            assert!(!token.is_ascii());
            continue;
        }
        assert_refused(&answer, &token.replace(&good, "GOOD"));
    }
    assert!(stack.upstream.requests().is_empty());
    assert_eq!(ask(&front, &good).await.status, 200);
}

#[tokio::test]
async fn a_token_of_a_megabyte_is_refused_and_one_just_under_the_limit_is_not() {
    let stack = Stack::new().await;
    let layer = stack.layer().limits(Limits::new().header_bytes(4 << 20));
    layer
        .handle()
        .set_verifier(stack.verifier().issuer("me").audience("proxy"));
    let front = stack.serve(layer.into_service()).await;
    let now = stack.clock.seconds();
    let padded = |pad: usize| {
        let payload = PAYLOAD.replacen('{', &format!(r#"{{"pad":"{}","#, "A".repeat(pad)), 1);
        stack.sign(HEADER, at(now, &payload))
    };
    let huge = padded(1 << 20);
    assert!(huge.len() > 1 << 20);
    assert_refused(&ask(&front, &huge).await, "1 MB");
    let over = padded(6_100);
    assert!((8_193..8_400).contains(&over.len()), "{}", over.len());
    assert_refused(&ask(&front, &over).await, "over 8 KiB");
    assert!(stack.upstream.requests().is_empty());
    let under = padded(5_900);
    assert!((8_000..=8_192).contains(&under.len()), "{}", under.len());
    assert_eq!(ask(&front, &under).await.status, 200);
}

#[tokio::test]
async fn a_token_of_another_secret_or_another_stack_is_refused() {
    let (stack, elsewhere) = (Stack::new().await, Stack::new().await);
    let front = stack.front().await;
    let foreign = elsewhere.token();
    assert_refused(&ask(&front, &foreign).await, "another secret");
    // The signature of one token behind the payload of another.
    let (one, two) = (stack.token(), stack.token());
    let spliced = format!(
        "{}.{}",
        one.rsplit_once('.').unwrap().0,
        two.rsplit_once('.').unwrap().1
    );
    assert_refused(&ask(&front, &spliced).await, "spliced");
    assert!(stack.upstream.requests().is_empty());
    assert_eq!(ask(&front, &one).await.status, 200);
    assert_eq!(ask(&elsewhere.front().await, &foreign).await.status, 200);
}

#[tokio::test]
async fn an_audience_is_refused_where_none_is_configured() {
    let stack = Stack::new().await;
    let front = stack.front().await;
    let now = stack.clock.seconds();
    let token = |payload: &str| stack.watched(stack.sign(HEADER, at(now, payload)));
    let with = token(PAYLOAD);
    assert_refused(&ask(&front, &with).await, "an audience");
    let without = token(&PAYLOAD.replace(r#""aud":"proxy","#, ""));
    assert_eq!(ask(&front, &without).await.status, 200);
    assert_eq!(ask(&strict(&stack).await, &with).await.status, 200);
    assert_refused(&ask(&strict(&stack).await, &without).await, "no audience");
}

#[tokio::test]
async fn grants_are_refused_because_they_are_not_enforced() {
    let stack = Stack::new().await;
    let front = strict(&stack).await;
    let now = stack.clock.seconds();
    for grants in [r#"[{"service":"svc"}]"#, "[]", "null", "1"] {
        let payload = PAYLOAD.replacen('{', &format!(r#"{{"grants":{grants},"#), 1);
        let token = stack.watched(stack.sign(HEADER, at(now, &payload)));
        assert_refused(&ask(&front, &token).await, grants);
    }
    let scoped = PAYLOAD.replacen('{', r#"{"scope":"svc","granted":[],"#, 1);
    let token = stack.watched(stack.sign(HEADER, at(now, &scoped)));
    assert_eq!(ask(&front, &token).await.status, 200);
    assert_eq!(stack.upstream.requests().len(), 1);
}
