//! Invalid input, field by field: the error envelope of the HTTP contract (`docs/http-api.md`), the right status, and
//! no change.

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use lockstep_auth::{Kind, TokenSecrets, Tokens};
use serde_json::{Value, json};

use crate::client::{Client, PASSWORD};
use crate::shop::{NewGame, Shop};

/// Everything that a request could have changed.
async fn everything(shop: &Shop) -> String {
    sqlx::query_scalar(
        "select concat_ws(' ',
            (select string_agg(u::text, ';' order by id) from users u),
            (select string_agg(c::text, ';' order by user_id, game_id) from cart_items c),
            (select string_agg(w::text, ';' order by user_id, game_id) from wishlist w),
            (select string_agg(s.id::text, ';' order by id) from shoppers s),
            (select string_agg(s.id::text || s.refresh_id, ';' order by id) from user_sessions s),
            (select count(*) from one_time_codes), (select count(*) from mail_outbox), (select count(*) from user_totp))",
    )
    .fetch_one(&shop.db.sql)
    .await
    .unwrap()
}

/// Invalid values of a text field: wrong types and, if the field has a rule, wrong content.
fn wrong_texts(rule: &[&str], required: bool) -> Vec<Value> {
    let mut wrong = vec![json!(1), json!(true), json!([]), json!({}), json!(["x"])];
    if required {
        wrong.push(Value::Null);
    }
    wrong.extend(rule.iter().map(|text| json!(text)));
    wrong
}

#[tokio::test]
async fn invalid_fields_are_named_and_change_nothing() {
    let shop = Shop::open_with_limits(false).await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    ada.post("/api/cart", json!({"gameId": game.id})).await.json();

    let long = "x".repeat(300);
    let long_password = format!("Aa1{}", "x".repeat(70));
    let emails: &[&str] = &[
        "",
        " ",
        "ada",
        "@",
        "a@b",
        "a b@example.com",
        "ada@exa mple.com",
        "ada@example..com",
        "ada\u{0}@example.com",
        "ada@example.com\u{1}",
        "аda@example.com",
        "ada@例え.jp",
        "a@b@",
        "\"a b\"@example.com",
        &format!("{long}@example.com"),
    ];
    // Accounts of the existing shop may have such addresses; new registrations may not.
    let existing = ["аda@example.com", "ada@例え.jp", "\"a b\"@example.com"];
    let unknown: Vec<&str> = emails
        .iter()
        .copied()
        .filter(|email| !existing.contains(email))
        .collect();
    assert_eq!(unknown.len(), emails.len() - existing.len());
    let passwords: &[&str] = &[
        "",
        "Short1a",
        "alllower1",
        "ALLUPPER1",
        "NoDigitsHere",
        "Password1",
        "Tab\there1A",
        &long_password,
    ];
    let names: &[&str] = &["a\u{0}b", "a\nb", "\u{202e}abc", &long];
    let nicknames: &[&str] = &["x", "a\u{7}b", &long];
    let ids: &[&str] = &[
        "",
        "1",
        "x",
        "0192f0c100007000800000000000000a",
        "../../etc",
        "0192f0c1-0000-7000-8000-00000000000g",
    ];
    let numbers = vec![
        json!("2"),
        json!(1.5),
        json!(1e30),
        json!(true),
        json!([1]),
        json!({}),
        json!("x"),
        serde_json::from_str("99999999999999999999999999").unwrap(),
    ];
    let account = json!({"email": "new@example.com", "password": PASSWORD});
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let table: Vec<(&str, &str, Value, &str, Vec<Value>)> = vec![
        (
            "POST",
            "/api/auth/register",
            account.clone(),
            "email",
            wrong_texts(emails, true),
        ),
        (
            "POST",
            "/api/auth/register",
            account.clone(),
            "password",
            wrong_texts(passwords, true),
        ),
        (
            "POST",
            "/api/auth/register",
            account.clone(),
            "nickname",
            wrong_texts(nicknames, false),
        ),
        (
            "POST",
            "/api/auth/register",
            account.clone(),
            "firstName",
            wrong_texts(names, false),
        ),
        (
            "POST",
            "/api/auth/register",
            account,
            "lastName",
            wrong_texts(names, false),
        ),
        (
            "POST",
            "/api/auth/login",
            login.clone(),
            "email",
            wrong_texts(&unknown, true),
        ),
        (
            "POST",
            "/api/auth/login",
            login.clone(),
            "password",
            wrong_texts(&[""], true),
        ),
        ("POST", "/api/auth/login", login, "code", wrong_texts(&[], false)),
        (
            "POST",
            "/api/auth/refresh",
            json!({}),
            "refreshToken",
            wrong_texts(&[], true),
        ),
        (
            "POST",
            "/api/auth/forgot-password",
            json!({}),
            "email",
            wrong_texts(&unknown, true),
        ),
        (
            "POST",
            "/api/auth/reset-password",
            json!({"newPassword": PASSWORD}),
            "token",
            wrong_texts(&[], true),
        ),
        (
            "POST",
            "/api/auth/reset-password",
            json!({"token": "x"}),
            "newPassword",
            wrong_texts(&[], true),
        ),
        (
            "POST",
            "/api/auth/verify-email",
            json!({}),
            "code",
            wrong_texts(&[], true),
        ),
        ("POST", "/api/cart", json!({}), "gameId", wrong_texts(ids, true)),
        (
            "POST",
            "/api/cart",
            json!({"gameId": game.id}),
            "quantity",
            numbers.iter().cloned().chain([Value::Null]).collect(),
        ),
        ("POST", "/api/wishlist", json!({}), "gameId", wrong_texts(ids, true)),
        (
            "PUT",
            "/api/user/profile",
            json!({"firstName": "Bob"}),
            "nickname",
            wrong_texts(nicknames, false),
        ),
        (
            "PUT",
            "/api/user/profile",
            json!({"nickname": "Bob"}),
            "firstName",
            wrong_texts(names, false),
        ),
        (
            "PUT",
            "/api/user/profile",
            json!({"nickname": "Bob"}),
            "lastName",
            wrong_texts(names, false),
        ),
        (
            "PUT",
            "/api/user/password",
            json!({"newPassword": "Another-Horse-2"}),
            "currentPassword",
            wrong_texts(&[], true),
        ),
        (
            "PUT",
            "/api/user/password",
            json!({"currentPassword": PASSWORD}),
            "newPassword",
            wrong_texts(passwords, true),
        ),
        (
            "POST",
            "/api/user/second-factor",
            json!({}),
            "password",
            wrong_texts(&[], true),
        ),
        (
            "POST",
            "/api/user/second-factor/confirm",
            json!({}),
            "code",
            wrong_texts(&[], true),
        ),
        (
            "POST",
            "/api/user/second-factor/recovery-codes",
            json!({"code": "123456"}),
            "password",
            wrong_texts(&[], true),
        ),
        (
            "DELETE",
            "/api/user/second-factor",
            json!({}),
            "password",
            wrong_texts(&[], true),
        ),
        (
            "DELETE",
            "/api/user/account",
            json!({"giveUpBalance": true}),
            "password",
            wrong_texts(&[], true),
        ),
        (
            "DELETE",
            "/api/user/account",
            json!({"password": PASSWORD}),
            "giveUpBalance",
            vec![json!("yes"), json!(1), json!({})],
        ),
    ];
    let before = everything(&shop).await;
    for (method, path, rest, field, values) in table {
        for value in values {
            let mut body = rest.clone();
            body[field] = value.clone();
            let answer = ada.send(method, path, body.to_string()).await;
            let told = answer.json();
            assert_eq!(
                answer.failure(),
                (400, "validation_failed".to_owned()),
                "{method} {path} {field}={value}: {told}"
            );
            assert_eq!(told["error"]["message"], "Validation failed");
            let errors = told["error"]["errors"].as_array().unwrap();
            assert!(
                errors.iter().any(|error| error["path"] == field),
                "{method} {path} {field}={value}: {told}"
            );
            assert!(
                errors
                    .iter()
                    .all(|error| error["code"].is_string() && error["msg"].is_string())
            );
        }
    }
    for quantity in numbers.into_iter().chain([Value::Null]) {
        let answer = ada
            .put(&format!("/api/cart/{}", game.id), json!({"quantity": quantity}))
            .await;
        assert_eq!(answer.failure(), (400, "validation_failed".to_owned()), "{quantity}");
    }
    for path in [
        "/api/cart/x",
        "/api/cart/%00",
        "/api/wishlist/x",
        "/api/user/wishlist/x",
        "/api/user/sessions/x",
    ] {
        let answer = ada.delete(path).await;
        assert_eq!(answer.failure(), (400, "invalid_parameter".to_owned()), "{path}");
    }
    assert_eq!(everything(&shop).await, before);
}

#[tokio::test]
async fn non_objects_and_large_bodies_are_refused_for_any_content_type() {
    let shop = Shop::open_with_limits(false).await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    let before = everything(&shop).await;
    for path in [
        "/api/auth/register",
        "/api/auth/login",
        "/api/auth/refresh",
        "/api/auth/forgot-password",
        "/api/auth/reset-password",
        "/api/auth/verify-email",
        "/api/cart",
        "/api/wishlist",
        "/api/user/second-factor",
    ] {
        for body in [
            "not JSON",
            "[]",
            "[{}]",
            "null",
            "1",
            "\"x\"",
            "{\"email\":",
            "email=ada%40example.com",
            "\u{0}",
            "{}{}",
        ] {
            let answer = ada.send("POST", path, body).await;
            assert_eq!(answer.failure(), (400, "invalid_body".to_owned()), "{path}: {body}");
        }
        // An empty body counts as an empty object.
        for empty in ["", " \n"] {
            let answer = ada.send("POST", path, empty).await;
            assert_eq!(answer.failure(), (400, "validation_failed".to_owned()), "{path}");
        }
        let answer = ada.send("POST", path, "x".repeat(10 << 20)).await;
        assert_eq!(answer.failure(), (413, "payload_too_large".to_owned()), "{path}");
        // Without a Content-Length that could be checked in advance.
        let parts = stream::iter((0..200).map(|_| Ok::<_, std::convert::Infallible>(Bytes::from(vec![b' '; 1024]))));
        let answer = ada.send("POST", path, Body::from_stream(parts)).await;
        assert_eq!(answer.failure(), (413, "payload_too_large".to_owned()), "{path}");
    }
    assert_eq!(everything(&shop).await, before);
    // Bodies with another content type are parsed as JSON too.
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-8",
        "x",
    ] {
        let body = json!({"nickname": "Ada"}).to_string();
        let mut request = http::Request::put("/api/user/profile").header("content-type", content_type);
        request = request.header("authorization", format!("Bearer {}", ada.token().unwrap()));
        let answer = shop.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.data()["nickname"], "Ada", "{content_type}");
    }
}

#[tokio::test]
async fn foreign_and_expired_tokens_are_not_accepted() {
    let shop = Shop::open().await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let ada = Client::new(&shop);
    let data = ada.register("ada@example.com").await;
    ada.post("/api/cart", json!({"gameId": game.id})).await.json();
    let good = ada.token().unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    // Our claims, signed with another key.
    let ours = TokenSecrets::new(&"a".repeat(32), &"b".repeat(32)).unwrap();
    let day = std::time::Duration::from_hours(24);
    assert!(
        Tokens::new(&ours, day, day)
            .read(&good, Kind::Access, chrono::Utc::now())
            .is_ok(),
        "the shop's own secret is known here"
    );
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let mut flipped = parts[2].to_owned();
    flipped.replace_range(..1, if flipped.starts_with('A') { "B" } else { "A" });
    let before = everything(&shop).await;
    for token in [
        String::new(),
        "x".to_owned(),
        "a.b.c".to_owned(),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.{flipped}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        data["refreshToken"].as_str().unwrap().to_owned(),
        // A token of another shop: the same claims under other secrets.
        other_shops_token().await,
        expired_token(&data),
        "x".repeat(5000),
        "' or 1=1 --".to_owned(),
    ] {
        let thief = Client::new(&shop);
        thief.set_token(Some(&token));
        assert_eq!(
            thief.get("/api/auth/me").await.failure(),
            (401, "not_signed_in".to_owned()),
            "{token}"
        );
        assert_eq!(
            thief
                .put("/api/user/profile", json!({"nickname": "Thief"}))
                .await
                .failure()
                .0,
            401
        );
        // In the shop, such clients are guests.
        assert_eq!(
            (thief.cart().await.len(), thief.wishlist().await.len()),
            (0, 0),
            "{token}"
        );
        assert_eq!(thief.delete("/api/cart").await.status, 200);
        let refresh =
            json!({"refreshToken": if token.len() < 5000 && token == data["refreshToken"] { "x" } else { &token }});
        let answer = thief.post("/api/auth/refresh", refresh).await;
        assert!(matches!(answer.failure().0, 400 | 401), "{token}");
    }
    assert_eq!(everything(&shop).await, before);
    assert_eq!(ada.cart().await.len(), 1);
}

/// A token of a shop that differs only in its secrets.
async fn other_shops_token() -> String {
    let other = Shop::open_with_secrets("c", "d").await;
    let client = Client::new(&other);
    client.register("ada@example.com").await;
    client.token().unwrap()
}

/// The same claims under the shop's own secret, a week and a second later.
fn expired_token(data: &Value) -> String {
    let payload = data["token"].as_str().unwrap().split('.').nth(1).unwrap();
    let mut claims: Value = serde_json::from_slice(&base64(payload)).unwrap();
    let exp = claims["exp"].as_i64().unwrap();
    claims["iat"] = json!(exp - 2 * 604_800 - 1);
    claims["exp"] = json!(exp - 604_800 - 1);
    jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
        &claims,
        &jsonwebtoken::EncodingKey::from_secret("a".repeat(32).as_bytes()),
    )
    .unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for sign in text.bytes() {
        bits = (bits << 6) | u32::try_from(SIGNS.iter().position(|known| *known == sign).unwrap()).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap());
        }
    }
    bytes
}
