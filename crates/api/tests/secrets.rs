//! No log contains secrets: passwords, tokens, codes, links or guest sessions. The test logs everything, down to each
//! statement, so it runs in its own process.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its helpers too"
)]

#[allow(dead_code, reason = "shared with the other tests, of which each uses a part")]
#[path = "it/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the other tests, of which each uses a part")]
#[path = "it/shop.rs"]
mod shop;

use std::io::Write;
use std::sync::{Arc, Mutex};

use chrono::Utc;
use lockstep_auth::totp::{Enrolment, code_at};
use lockstep_domain::secret::Secret;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use client::{Client, PASSWORD};
use shop::{NewGame, Shop};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

async fn email_field(shop: &Shop, kind: &str, field: &str) -> String {
    let email = shop.db.queued_email(kind).await;
    email[field].as_str().unwrap().to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn no_log_contains_a_password_a_token_a_code_or_a_session() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .without_time()
        .with_writer(log.clone())
        .init();
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let mut secrets = vec![
        PASSWORD.to_owned(),
        "Wrong-Horse-1".to_owned(),
        "Another-Horse-2".to_owned(),
    ];

    let ada = Client::new(&shop);
    ada.post("/api/cart", json!({"gameId": game.id}))
        .await
        .data_or_message();
    secrets.push(ada.session().unwrap());
    let data = ada.register("ada@example.com").await;
    secrets.extend([text(&data["token"]), text(&data["refreshToken"])]);
    secrets.push(email_field(&shop, "welcome", "code").await);
    for code in ["111111", secrets.last().unwrap().as_str()] {
        ada.post("/api/auth/verify-email", json!({"code": code})).await.json();
    }
    let wrong = json!({"email": "ada@example.com", "password": "Wrong-Horse-1"});
    ada.post("/api/auth/login", wrong).await.json();
    let refreshed = ada
        .post("/api/auth/refresh", json!({"refreshToken": data["refreshToken"]}))
        .await
        .data();
    secrets.extend([text(&refreshed["token"]), text(&refreshed["refreshToken"])]);
    ada.set_token(refreshed["token"].as_str());
    let offer = ada
        .post("/api/user/second-factor", json!({"password": PASSWORD}))
        .await
        .data();
    secrets.extend([text(&offer["secret"]), text(&offer["url"])]);
    let enrolment = Enrolment {
        secret: Secret::new(text(&offer["secret"])),
        url: Secret::new(text(&offer["url"])),
    };
    secrets.push(code_at(&enrolment, Utc::now()).unwrap());
    let code = json!({"code": secrets.last().unwrap()});
    ada.post("/api/user/second-factor/confirm", code)
        .await
        .data_or_message();
    let passwords = json!({"currentPassword": PASSWORD, "newPassword": "Another-Horse-2"});
    ada.put("/api/user/password", passwords).await.data_or_message();
    ada.post("/api/auth/forgot-password", json!({"email": "ada@example.com"}))
        .await
        .data_or_message();
    secrets.push(email_field(&shop, "reset", "token").await);
    let reset = json!({"token": secrets.last().unwrap(), "newPassword": PASSWORD});
    ada.post("/api/auth/reset-password", reset).await.data_or_message();
    // A stolen token causes a warning, which must not repeat the token.
    let again = refreshed["refreshToken"].clone();
    ada.refresh_fails(&again).await;
    // Nor may the error of a broken database.
    shop.db
        .execute("alter table users rename column nickname to gone")
        .await;
    let body = json!({"email": "bob@example.com", "password": "Another-Horse-2"});
    assert_eq!(ada.post("/api/auth/register", body).await.failure().0, 500);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        log.contains("store.accounts.log_in") || log.contains("store.accounts"),
        "statements are logged"
    );
    assert!(log.contains("request failed"), "failures are logged");
    for secret in secrets {
        for line in log.lines() {
            // Six digits may be part of another number.
            let found = if secret.len() == 6 {
                !line.contains("elapsed") && line.split(|c: char| !c.is_alphanumeric()).any(|word| word == secret)
            } else {
                line.contains(&secret)
            };
            assert!(!found, "{secret} in {line}");
        }
    }
}
