//! What staff enter counts in every process without a restart: the account at G2A, and outgoing webhooks.

use std::process::Stdio;
use std::time::Instant;

use hmac::{Hmac, Mac as _};
use lockstep_testkit::TestDb;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::program::{DEADLINE, Running, client, lockstep, outcome, sandbox, text};

async fn send(web: &Running, token: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("http://{}{path}", web.address);
    let request = match body {
        Some(body) => client().post(url).body(body.to_string()),
        None => client().get(url),
    };
    let request = if token.is_empty() {
        request
    } else {
        request.bearer_auth(token)
    };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// The status of an event about a G2A order that is signed with this secret.
async fn event(web: &Running, secret: &str) -> u16 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let payload = "{\"status\":\"completed\"}";
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{payload}{now}1{secret}").as_bytes());
    let body = format!(
        "{{\"event_id\":\"{now}\",\"order_id\":\"7\",\"type\":\"order.completed\",\"payload\":{payload},\"nonce\":\"1\",\"timestamp\":{now},\"signature\":\"{}\"}}",
        hex::encode(mac.finalize().into_bytes())
    );
    let url = format!("http://{}/api/g2a/webhook", web.address);
    client().post(url).body(body).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn accounts_and_webhooks_of_staff_count_in_every_process_at_once() {
    let (db, g2a) = (TestDb::new().await, sandbox(40).await);
    let configured = |command: &mut tokio::process::Command| {
        command
            .env("DATABASE_URL", db.url())
            .env("G2A_API_URL", g2a.base_url())
            .env("G2A_API_HASH", "database")
            .env("LOCKSTEP_WEBHOOK_PRIVATE_ADDRESSES", "on");
    };
    let mut command = lockstep(&["web"]);
    configured(&mut command);
    let web = Running::start(&mut command).await;
    let mut command = lockstep(&["worker"]);
    configured(&mut command);
    let _worker = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let account = json!({"email": "root@example.org", "password": "Correct-Horse-1"});
    let (_, registered) = send(&web, "", "/api/auth/register", Some(account)).await;
    let token = registered["data"]["token"].as_str().unwrap();
    db.execute("update users set role = 'ADMIN' where email = 'root@example.org'")
        .await;
    let until = async |what: &str, reached: &dyn Fn(u16, &Value) -> bool, path: &str, body: Option<Value>| {
        let started = Instant::now();
        loop {
            let (status, answer) = send(&web, token, path, body.clone()).await;
            if reached(status, &answer) {
                return answer;
            }
            assert!(started.elapsed() < DEADLINE, "{what}: {answer}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let connection = "/api/admin/g2a/test-connection";
    until("nothing is connected", &|status, _| status == 400, connection, None).await;

    let ours = g2a.credentials();
    let mut fields = json!({"clientId": ours.hash, "email": ours.email, "clientSecret": "wrong"});
    let settings = "/api/admin/g2a-settings";
    let (status, refused) = send(&web, token, settings, Some(fields.clone())).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (400, &json!("g2a_refuses")),
        "{refused}"
    );
    assert!(
        !refused.to_string().contains("wrong-") && refused["error"]["message"].as_str().unwrap().starts_with("G2A: ")
    );
    assert_eq!(event(&web, &ours.hash).await, 401);
    fields["clientSecret"] = json!(ours.secret);
    let (status, saved) = send(&web, token, settings, Some(fields)).await;
    assert_eq!(
        (status, &saved["data"]["environment"]),
        (200, &json!("sandbox")),
        "{saved}"
    );
    assert_eq!(saved["data"]["inUse"], true);
    until("the worker uses it", &|status, _| status == 200, connection, None).await;
    let started = Instant::now();
    while event(&web, &ours.hash).await != 200 {
        assert!(started.elapsed() < DEADLINE, "its events are accepted");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let (status, token_of_g2a) = send(&web, token, "/api/admin/g2a-settings/token", None).await;
    assert_eq!(
        (status, &token_of_g2a["data"]["token_type"]),
        (200, &json!("bearer")),
        "{token_of_g2a}"
    );
    let mut command = lockstep(&["doctor"]);
    configured(&mut command);
    let doctor = text(&outcome(&mut command).await.stdout);
    assert!(
        doctor.contains("sandbox, credentials that staff have entered"),
        "{doctor}"
    );

    // A receiver on this machine.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 16_384];
        let mut length = 0;
        while !String::from_utf8_lossy(&request[..length]).contains("endpointId") {
            length += stream.read(&mut request[length..]).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let endpoint = json!({"url": format!("http://{address}/hook"), "events": ["order.created"]});
    let (status, made) = send(&web, token, "/api/admin/webhooks", Some(endpoint)).await;
    assert_eq!(status, 201, "{made}");
    let one = format!("/api/admin/webhooks/{}", made["data"]["id"].as_str().unwrap());
    assert_eq!(send(&web, token, &format!("{one}/ping"), Some(json!({}))).await.0, 202);
    let deliveries = format!("{one}/deliveries");
    let delivered = |_: u16, answer: &Value| answer["data"]["deliveries"][0]["state"] == "delivered";
    until("the ping is delivered", &delivered, &deliveries, None).await;
    let request = heard.await.unwrap().to_lowercase();
    assert!(
        request.starts_with("post /hook http/1.1") && request.contains("\"type\":\"ping\""),
        "{request}"
    );
    for header in ["webhook-id: evt_", "webhook-timestamp: ", "webhook-signature: v1,"] {
        assert!(request.contains(header), "{request}");
    }
    let log = web.log();
    let log = log.lock().unwrap();
    assert!(!log.contains(&ours.secret) && !log.contains("whsec_"), "{log}");
}
