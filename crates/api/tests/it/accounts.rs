//! Accounts over HTTP: every rule of the HTTP contract (`docs/http-api.md`) about registration, login and account data.

use axum::body::Body;
use lockstep_auth::totp::{Enrolment, code_at};
use lockstep_domain::account::Role;
use lockstep_domain::ids::UserId;
use lockstep_domain::secret::Secret;
use serde_json::{Value, json};
use sqlx::types::Uuid;

use crate::client::{Client, PASSWORD};
use crate::shop::Shop;

/// Returns a field of the newest e-mail of a kind.
async fn email_field(shop: &Shop, kind: &str, field: &str) -> String {
    let email = shop.db.queued_email(kind).await;
    email[field].as_str().unwrap_or_else(|| panic!("{email}")).to_owned()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn register_returns_auth_data_and_me_returns_the_profile() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    let answer = ada
        .post(
            "/api/auth/register",
            json!({"email": " Ada@Example.COM ", "password": PASSWORD, "firstName": "Ada", "extra": [1]}),
        )
        .await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.header("cache-control"),
            answer.header("set-cookie")
        ),
        (201, Some("no-store"), None)
    );
    let data = answer.json()["data"].take();
    assert_eq!(keys(&data), ["expiresIn", "refreshToken", "token", "user"]);
    let id = data["user"]["id"].clone();
    assert_eq!(
        data["user"],
        json!({"id": id, "email": "ada@example.com", "nickname": "Newbie Guy", "firstName": "Ada", "lastName": null,
               "avatar": null, "role": "USER"})
    );
    assert_eq!(data["expiresIn"], 604_800);
    ada.set_token(data["token"].as_str());
    for path in ["/api/auth/me", "/api/user/profile"] {
        let answer = ada.get(path).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let mut me = answer.data();
        let created = me["createdAt"].take();
        assert!(
            created.as_str().is_some_and(|at| at.len() == 24 && at.ends_with('Z')),
            "{created}"
        );
        assert_eq!(
            me,
            json!({"id": id, "email": "ada@example.com", "nickname": "Newbie Guy", "firstName": "Ada", "lastName": null,
                   "avatar": null, "balance": 0.0, "role": "USER", "emailVerified": false, "secondFactor": false,
                   "createdAt": null,
                   "stats": {"gamesPurchased": 0, "totalSaved": 0.0, "daysSinceRegistration": 0, "emptyFieldsCount": 2}})
        );
    }
    assert_eq!(
        ada.get("/api/user/stats").await.data(),
        json!({"totalGames": 0, "totalSaved": 0.0, "daysSinceRegistration": 0, "totalOrders": 0, "balance": 0.0})
    );
    // Addresses that differ only in case are one mailbox and one account.
    let again = json!({"email": "ADA@example.com", "password": PASSWORD});
    let answer = Client::new(&shop).post("/api/auth/register", again).await;
    assert_eq!(answer.failure(), (409, "email_taken".to_owned()));
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("already exists")
    );
    assert_eq!(shop.db.count("users").await, 1);
}

#[tokio::test]
async fn login_hides_the_wrong_part_and_accepts_old_passwords() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    let wrong = |email: &str, password: &str| json!({"email": email, "password": password});
    let mut answers = Vec::new();
    for body in [
        wrong("ada@example.com", "Wrong-Horse-1"),
        wrong("nobody@example.com", PASSWORD),
        wrong("ada@example.com", "short"),
        wrong("ada@example.com", &"x".repeat(90_000)),
        wrong("ada@example.com", "Correct-Horse-1\u{0}"),
        wrong("ada@example.com", "Пароль-密码"),
    ] {
        let answer = Client::new(&shop).post("/api/auth/login", body).await;
        assert_eq!(answer.failure(), (401, "wrong_credentials".to_owned()));
        let mut json = answer.json();
        json["error"]["requestId"].take();
        answers.push(json);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert!(
        answers[0]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Unauthorized")
    );
    // An account whose password is older than the password rule can log in.
    let hash_of_old = "$2b$04$abcdefghijklmnopqrstuu3C6u2sQjFttrT16nmXgxlk/de0mfCmu";
    shop.db
        .execute(&format!("update users set password_hash = '{hash_of_old}'"))
        .await;
    let answer = Client::new(&shop)
        .post("/api/auth/login", wrong("ada@example.com", "old"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}

#[tokio::test]
async fn logout_ends_only_its_own_session_immediately() {
    let shop = Shop::open().await;
    let (phone, laptop) = (Client::new(&shop), Client::new(&shop));
    let tokens = phone.register("ada@example.com").await;
    laptop.log_in("ada@example.com").await;
    // As the existing front-end does: a JSON content type and no body.
    let answer = phone.send("POST", "/api/auth/logout", Body::empty()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({"success": true, "message": "Logged out"}));
    assert_eq!(
        phone.get("/api/auth/me").await.failure(),
        (401, "not_signed_in".to_owned())
    );
    phone.refresh_fails(&tokens["refreshToken"]).await;
    assert_eq!(
        phone.send("POST", "/api/user/logout", Body::empty()).await.failure().0,
        401
    );
    assert_eq!(laptop.get("/api/auth/me").await.status, 200);
    assert_eq!(laptop.send("POST", "/api/user/logout", Body::empty()).await.status, 200);
    assert_eq!(laptop.get("/api/auth/me").await.failure().0, 401);
}

#[tokio::test]
async fn reuse_of_a_refresh_token_revokes_the_family() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    let first = ada.register("ada@example.com").await;
    let refresh = async |token: &Value| ada.post("/api/auth/refresh", json!({"refreshToken": token})).await;
    let second = refresh(&first["refreshToken"]).await.data();
    assert_eq!(keys(&second), ["expiresIn", "refreshToken", "token"]);
    // Another tab, a moment later, receives the same pair.
    assert_eq!(refresh(&first["refreshToken"]).await.data(), second);
    let third = refresh(&second["refreshToken"]).await.data();
    ada.set_token(third["token"].as_str());
    assert_eq!(ada.get("/api/auth/me").await.status, 200);
    // Two rotations old: another client holds the chain.
    ada.refresh_fails(&first["refreshToken"]).await;
    ada.refresh_fails(&third["refreshToken"]).await;
    assert_eq!(ada.get("/api/auth/me").await.failure().0, 401);
}

#[tokio::test]
async fn role_changes_and_deletions_apply_to_the_next_request_everywhere() {
    let shop = Shop::open().await;
    let other = shop.another_process().await;
    let (here, there) = (Client::new(&shop), Client::new(&other));
    let data = here.register("ada@example.com").await;
    let id = UserId(data["user"]["id"].as_str().unwrap().parse().unwrap());
    there.set_token(here.token().as_deref());
    let caller = async |shop: &Shop, token: String| shop.cases.caller(&token).await.map(|caller| caller.role());
    let token = here.token().unwrap();
    for role in [Role::Admin, Role::User, Role::Admin] {
        shop.db.execute("insert into users (email, password_hash, role) select gen_random_uuid() || '@example.com', password_hash, 'ADMIN' from users limit 1").await;
        // By plain SQL, so that no process is notified.
        let name = role.name();
        shop.db
            .execute(&format!("update users set role = '{name}' where id = '{id}'"))
            .await;
        for process in [&shop, &other] {
            assert_eq!(caller(process, token.clone()).await.unwrap(), role);
        }
        for client in [&here, &there] {
            assert_eq!(client.get("/api/auth/me").await.data()["role"], name);
        }
    }
    shop.db.execute(&format!("delete from users where id = '{id}'")).await;
    for client in [&there, &here] {
        assert_eq!(client.get("/api/auth/me").await.failure().0, 401);
        assert_eq!(client.get("/api/cart").await.data()["items"], json!([]));
        let answer = client.put("/api/user/profile", json!({"nickname": "Ghost"})).await;
        assert_eq!(answer.failure().0, 401);
    }
}

#[tokio::test]
async fn profile_fields_change_independently() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    let change = async |body: Value| ada.put("/api/user/profile", body).await.data();
    let me = change(json!({"nickname": "Ада 🎲", "firstName": "Ada", "lastName": "Lovelace"})).await;
    assert_eq!(
        (&me["nickname"], &me["lastName"]),
        (&"Ада 🎲".into(), &"Lovelace".into())
    );
    let me = change(json!({"lastName": null, "email": "other@example.com", "role": "ADMIN", "balance": 100})).await;
    assert_eq!(
        (&me["nickname"], &me["firstName"], &me["lastName"]),
        (&"Ада 🎲".into(), &"Ada".into(), &Value::Null)
    );
    assert_eq!(
        (&me["email"], &me["role"], &me["balance"]),
        (&"ada@example.com".into(), &"USER".into(), &json!(0.0))
    );
    assert_eq!(change(json!({"nickname": ""})).await["nickname"], "Newbie Guy");
    assert_eq!(ada.get("/api/auth/me").await.data()["firstName"], "Ada");
}

#[tokio::test]
async fn a_profile_picture_can_be_set_and_removed() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    let picture = "https://pictures.example/ada.png";
    let me = ada.put("/api/user/profile", json!({"avatar": picture})).await.data();
    assert_eq!(
        (&me["avatar"], &me["nickname"]),
        (&picture.into(), &"Newbie Guy".into())
    );
    assert_eq!(ada.get("/api/auth/me").await.data()["avatar"], picture);
    for wrong in ["http://pictures.example/ada.png", "javascript:alert(1)", "https://"] {
        let refused = ada.put("/api/user/profile", json!({"avatar": wrong})).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
    assert_eq!(ada.get("/api/user/profile").await.data()["avatar"], picture);
    let me = ada.put("/api/user/profile", json!({"avatar": null})).await.data();
    assert_eq!(me["avatar"], Value::Null);
}

/// A client sends back the profile that it got: with a picture that was uploaded, in a shop without https, and with one
/// that the existing shop had taken.
#[tokio::test]
async fn the_profile_as_it_was_served_is_accepted() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    let id = "0198c0de-0000-4000-8000-000000000007";
    let path = format!("/avatars/{id}.webp");
    for (stored, served) in [
        (path.as_str(), format!("http://127.0.0.1:8080/api{path}")),
        (
            "http://pictures.example/ada.png",
            "http://pictures.example/ada.png".to_owned(),
        ),
    ] {
        shop.db
            .execute(&format!(
                "update users set avatar = '{stored}';
                 insert into avatars (user_id, id, image) select id, '{id}', convert_to('RIFF    WEBP', 'utf8') from users
                 where avatar like '/%'"
            ))
            .await;
        let me = ada.get("/api/user/profile").await.data();
        assert_eq!(me["avatar"], served);
        let login = json!({"email": "ada@example.com", "password": PASSWORD});
        let login = Client::new(&shop).post("/api/auth/login", login).await.data();
        assert_eq!(login["user"]["avatar"], served);
        let sent = ada.put("/api/user/profile", me.clone()).await;
        assert_eq!(sent.data(), me);
        let other_url = json!({"avatar": format!("https://shop.example{path}")});
        if stored == path {
            assert_eq!(ada.put("/api/user/profile", other_url).await.data()["avatar"], served);
        }
        let kept: String = sqlx::query_scalar("select avatar from users")
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
        assert_eq!(kept, stored);
    }
}

#[tokio::test]
async fn a_password_change_requires_the_old_one_and_ends_other_sessions() {
    let shop = Shop::open().await;
    let (phone, laptop) = (Client::new(&shop), Client::new(&shop));
    phone.register("ada@example.com").await;
    laptop.log_in("ada@example.com").await;
    let new = "Another-Horse-2";
    let wrong = json!({"currentPassword": "Wrong-Horse-1", "newPassword": new});
    assert_eq!(
        phone.put("/api/user/password", wrong).await.failure(),
        (400, "wrong_password".to_owned())
    );
    let weak = json!({"currentPassword": PASSWORD, "newPassword": "short"});
    let refused = phone.put("/api/user/password", weak).await;
    assert_eq!(refused.failure(), (400, "validation_failed".to_owned()));
    assert_eq!(refused.json()["error"]["errors"][0]["path"], "newPassword");
    assert_eq!(laptop.get("/api/auth/me").await.status, 200);
    let right = json!({"currentPassword": PASSWORD, "newPassword": new});
    assert_eq!(phone.put("/api/user/password", right).await.status, 200);
    assert_eq!(phone.get("/api/auth/me").await.status, 200);
    assert_eq!(laptop.get("/api/auth/me").await.failure().0, 401);
    assert_eq!(email_field(&shop, "password-changed", "nickname").await, "Newbie Guy");
    let login = json!({"email": "ada@example.com", "password": new});
    assert_eq!(laptop.post("/api/auth/login", login).await.status, 200);
}

#[tokio::test]
async fn a_reset_link_sets_a_new_password_once() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    let asked = async |email: &str| ada.post("/api/auth/forgot-password", json!({"email": email})).await;
    let (known, unknown) = (asked("Ada@example.com").await, asked("nobody@example.com").await);
    assert_eq!((known.status.as_u16(), unknown.status.as_u16()), (200, 200));
    assert_eq!(known.json(), unknown.json(), "whether there is an account is not told");
    // Nothing has changed: a reset request locks no one out.
    assert_eq!(ada.get("/api/auth/me").await.status, 200);
    let token = email_field(&shop, "reset", "token").await;
    let reset = |token: &str, password: &str| json!({"token": token, "newPassword": password});
    let mut forged = token.clone();
    forged.replace_range(..1, if token.starts_with('0') { "1" } else { "0" });
    let principal = Client::new(&shop);
    for (body, code) in [
        (reset(&forged, "Another-Horse-2"), "link_not_valid"),
        (reset("x", "Another-Horse-2"), "link_not_valid"),
        (reset(&token, "password"), "validation_failed"),
    ] {
        assert_eq!(
            principal.post("/api/auth/reset-password", body).await.failure(),
            (400, code.to_owned())
        );
    }
    let good = reset(&token, "Another-Horse-2");
    assert_eq!(
        principal.post("/api/auth/reset-password", good.clone()).await.status,
        200
    );
    let again = principal.post("/api/auth/reset-password", good).await;
    assert_eq!(again.failure(), (400, "link_not_valid".to_owned()));
    assert_eq!(
        ada.get("/api/auth/me").await.failure().0,
        401,
        "every session has ended"
    );
    let login = json!({"email": "ada@example.com", "password": "Another-Horse-2"});
    assert_eq!(principal.post("/api/auth/login", login).await.status, 200);
}

#[tokio::test]
async fn an_email_address_is_verified_by_the_sent_code() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    let code = email_field(&shop, "welcome", "code").await;
    // The older client's body, signed in or not.
    for client in [&ada, &Client::new(&shop)] {
        let answer = client.post("/api/auth/verify-email", json!({"token": "abc"})).await;
        assert_eq!(answer.failure(), (400, "validation_failed".to_owned()));
        assert_eq!(answer.json()["error"]["errors"][0]["path"], "code");
    }
    let principal = Client::new(&shop);
    let stranger = principal.post("/api/auth/verify-email", json!({"code": code})).await;
    assert_eq!(stranger.failure(), (401, "not_signed_in".to_owned()));
    let wrong = if code == "123456" { "654321" } else { "123456" };
    let answer = ada.post("/api/auth/verify-email", json!({"code": wrong})).await;
    assert_eq!(answer.failure(), (400, "wrong_code".to_owned()));
    // A new code invalidates the old one.
    assert_eq!(
        ada.send("POST", "/api/auth/send-verification-code", Body::empty())
            .await
            .status,
        200
    );
    let newer = email_field(&shop, "verification", "code").await;
    if newer != code {
        let answer = ada.post("/api/auth/verify-email", json!({"code": code})).await;
        assert_eq!(answer.failure(), (400, "wrong_code".to_owned()));
    }
    let spaced = format!(" {} {} ", &newer[..3], &newer[3..]);
    assert_eq!(
        ada.post("/api/auth/verify-email", json!({"code": spaced})).await.status,
        200
    );
    assert_eq!(ada.get("/api/auth/me").await.data()["emailVerified"], true);
    let answer = ada.post("/api/auth/verify-email", json!({"code": newer})).await;
    assert_eq!(answer.failure(), (400, "code_not_valid".to_owned()));
    let answer = ada
        .send("POST", "/api/auth/send-verification-code", Body::empty())
        .await;
    assert_eq!(answer.failure(), (409, "already_verified".to_owned()));
}

#[tokio::test]
async fn a_code_expires_and_allows_five_attempts() {
    let shop = Shop::open_with_limits(false).await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    let code = email_field(&shop, "welcome", "code").await;
    let wrong = if code == "123456" { "654321" } else { "123456" };
    for _ in 0..5 {
        let answer = ada.post("/api/auth/verify-email", json!({"code": wrong})).await;
        assert_eq!(answer.failure().1, "wrong_code");
    }
    let answer = ada.post("/api/auth/verify-email", json!({"code": code})).await;
    assert_eq!(answer.failure(), (400, "code_not_valid".to_owned()));
    ada.post("/api/auth/send-verification-code", json!({})).await.json();
    let code = email_field(&shop, "verification", "code").await;
    shop.db
        .execute(
            "update one_time_codes set created_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'",
        )
        .await;
    let answer = ada.post("/api/auth/verify-email", json!({"code": code})).await;
    assert_eq!(answer.failure(), (400, "code_not_valid".to_owned()));
    assert_eq!(ada.get("/api/auth/me").await.data()["emailVerified"], false);
}

#[tokio::test]
async fn two_factor_authentication_is_set_up_required_and_removed() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    // Nothing was offered yet: the account is not as the client knows it, and sending it again changes nothing.
    let early = ada
        .post("/api/user/second-factor/confirm", json!({"code": "123456"}))
        .await;
    assert_eq!(early.failure(), (409, "account_changed".to_owned()));
    let offered = ada
        .post("/api/user/second-factor", json!({"password": "Wrong-Horse-1"}))
        .await;
    assert_eq!(offered.failure(), (400, "wrong_password".to_owned()));
    let offer = ada
        .post("/api/user/second-factor", json!({"password": PASSWORD}))
        .await
        .data();
    assert_eq!(keys(&offer), ["secret", "url"]);
    let enrolment = Enrolment {
        secret: Secret::new(offer["secret"].as_str().unwrap()),
        url: Secret::new(offer["url"].as_str().unwrap()),
    };
    assert!(enrolment.url.expose().starts_with("otpauth://totp/"));
    let code = |minutes: i64| code_at(&enrolment, shop.clock.now() + chrono::TimeDelta::minutes(minutes)).unwrap();
    // The user is still signed in, so not 401.
    let answer = ada
        .post("/api/user/second-factor/confirm", json!({"code": code(60)}))
        .await;
    assert_eq!(answer.failure(), (400, "second_factor_wrong".to_owned()));
    let answer = ada
        .post("/api/user/second-factor/confirm", json!({"code": code(0)}))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(ada.get("/api/auth/me").await.data()["secondFactor"], true);
    let login = |code: Option<String>| json!({"email": "ada@example.com", "password": PASSWORD, "code": code});
    let laptop = Client::new(&shop);
    let answer = laptop.post("/api/auth/login", login(None)).await;
    assert_eq!(answer.failure(), (401, "second_factor_needed".to_owned()));
    let answer = laptop.post("/api/auth/login", login(Some(code(0)))).await;
    assert_eq!(
        answer.failure(),
        (401, "second_factor_wrong".to_owned()),
        "a code works once"
    );
    // The next code, half a minute early: clocks differ.
    let next = code_at(&enrolment, shop.clock.now() + chrono::TimeDelta::seconds(30)).unwrap();
    assert_eq!(laptop.post("/api/auth/login", login(Some(next))).await.status, 200);
    let remove = json!({"password": PASSWORD, "code": "000000"}).to_string();
    let answer = ada.send("DELETE", "/api/user/second-factor", remove).await;
    assert_eq!(answer.failure(), (400, "second_factor_wrong".to_owned()));
}

#[tokio::test]
async fn sessions_and_logins_are_visible_only_to_their_owner() {
    let shop = Shop::open().await;
    let (phone, laptop, bob) = (
        Client::new(&shop),
        Client::at(&shop, "198.51.100.9"),
        Client::new(&shop),
    );
    phone.register("ada@example.com").await;
    laptop.log_in("ada@example.com").await;
    bob.register("bob@example.com").await;
    let wrong = json!({"email": "ada@example.com", "password": "Wrong-Horse-1"});
    bob.post("/api/auth/login", wrong).await.json();
    let sessions = phone.get("/api/user/sessions").await.data();
    let [of_laptop, of_phone] = &sessions.as_array().unwrap()[..] else {
        panic!("{sessions}")
    };
    assert_eq!(
        (&of_phone["current"], &of_laptop["current"]),
        (&true.into(), &false.into())
    );
    assert_eq!(
        (&of_laptop["address"], &of_laptop["userAgent"]),
        (&"198.51.100.9".into(), &"Browser/1.0".into())
    );
    let logins = phone.get("/api/user/logins").await.data();
    assert_eq!(logins[0]["succeeded"], false, "{logins}");
    // A session of another user is not ended, and the response does not reveal that it exists.
    let path = format!("/api/user/sessions/{}", of_laptop["id"].as_str().unwrap());
    assert_eq!(bob.delete(&path).await.status, 200);
    assert_eq!(laptop.get("/api/auth/me").await.status, 200);
    assert_eq!(phone.delete(&path).await.status, 200);
    assert_eq!(laptop.get("/api/auth/me").await.failure().0, 401);
    laptop.log_in("ada@example.com").await;
    assert_eq!(laptop.delete("/api/user/sessions").await.data(), json!({"ended": 1}));
    assert_eq!(phone.get("/api/auth/me").await.failure().0, 401);
    assert_eq!(
        (
            laptop.get("/api/auth/me").await.status.as_u16(),
            bob.get("/api/auth/me").await.status.as_u16()
        ),
        (200, 200)
    );
}

#[tokio::test]
async fn account_data_is_exported_and_deleted_while_orders_stay_anonymous() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    let portal = shop.db.game("Portal", "portal", "10.00").await;
    ada.post("/api/cart", json!({"gameId": portal, "quantity": 1})).await;
    let id: Uuid = ada.register("ada@example.com").await["user"]["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    shop.db
        .execute(&format!(
            "insert into top_ups (user_id, amount, method, provider, redirect_url)
             values ('{id}', 20, 'card', 'test', 'https://pay.example/ada')"
        ))
        .await;
    let answer = ada.get("/api/user/export").await;
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment"));
    let data = answer.data();
    assert_eq!(
        (&data["user"]["email"], data["sessions"].as_array().map(Vec::len)),
        (&"ada@example.com".into(), Some(1))
    );
    let text = data.to_string();
    assert!(
        !text.contains("$2b$")
            && !text.contains("password_hash")
            && !text.contains("refresh_id")
            && !text.contains("\"code\"")
            && !text.contains("pay.example"),
        "{text}"
    );
    assert_eq!(
        (&data["cart"][0]["title"], &data["topUps"][0]["amount"]),
        (&"Portal".into(), &20.0.into())
    );

    shop.db
        .execute(&format!(
            "insert into transactions (user_id, type, amount, status) values ('{id}', 'TOP_UP', 5, 'PENDING');
             update transactions set status = 'COMPLETED';
             update users set balance = (select coalesce(sum(amount), 0) from transactions where status = 'COMPLETED') where id = '{id}'"
        ))
        .await;
    let leave = async |body: Value| ada.send("DELETE", "/api/user/account", body.to_string()).await;
    assert_eq!(
        leave(json!({"password": "Wrong-Horse-1"})).await.failure(),
        (400, "wrong_password".to_owned())
    );
    assert_eq!(
        leave(json!({"password": PASSWORD})).await.failure(),
        (409, "has_balance".to_owned())
    );
    let answer = leave(json!({"password": PASSWORD, "giveUpBalance": "yes"})).await;
    assert_eq!(answer.failure(), (400, "validation_failed".to_owned()));
    let answer = leave(json!({"password": PASSWORD, "giveUpBalance": true})).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(ada.get("/api/auth/me").await.failure().0, 401);
    let (email, nickname): (String, Option<String>) = sqlx::query_as("select email, nickname from users where id = $1")
        .bind(id)
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert!(email.starts_with("deleted-") && nickname.is_none(), "{email}");
    assert_eq!(shop.db.count("transactions").await, 1);
    // The address is free again.
    Client::new(&shop).register("ada@example.com").await;
}

/// Status and unread body of an export; dropping the body ends the export.
async fn open_export(client: &Client<'_>) -> (u16, Body) {
    let (parts, body) = client.begin("GET", "/api/user/export").await.into_parts();
    (parts.status.as_u16(), body)
}

#[tokio::test]
async fn exports_are_limited_per_account_per_process_and_over_time() {
    let shop = Shop::open().await;
    let mut held = Vec::new();
    let mut clients = Vec::new();
    for n in 1..=5 {
        let client = Client::at(&shop, &format!("198.51.100.{n}"));
        let id = client.register(&format!("{n}@example.com")).await["user"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        // More data than is buffered ahead.
        shop.db
            .execute(&format!(
                "insert into login_history (user_id, succeeded, user_agent) select '{id}', true, repeat('x', 500) from generate_series(1, 2000)"
            ))
            .await;
        clients.push(client);
    }
    for client in &clients[..4] {
        let (status, body) = open_export(client).await;
        assert_eq!(status, 200);
        held.push(body);
    }
    assert_eq!(
        clients[4].get("/api/user/export").await.failure(),
        (503, "too_many_streams".to_owned())
    );

    // Another process has free slots, but not for the same account.
    let other = shop.another_process().await;
    let ada = Client::at(&other, "198.51.100.1");
    ada.set_token(clients[0].token().as_deref());
    let answer = ada.get("/api/user/export").await;
    assert_eq!(answer.failure(), (429, "rate_limited".to_owned()));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=600).contains(&wait), "{wait}");

    // A client that read to the end may export again at once; one that disconnected, soon after.
    let whole = axum::body::to_bytes(held.remove(0), usize::MAX).await.unwrap();
    let data: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(data["data"]["loginHistory"].as_array().unwrap().len(), 2001);
    for _ in 0..4 {
        assert_eq!(ada.get("/api/user/export").await.status, 200);
    }
    let answer = ada.get("/api/user/export").await;
    assert_eq!(answer.failure(), (429, "rate_limited".to_owned()), "five were had");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((600..=720).contains(&wait), "{wait}");
    held.clear();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while clients[1].get("/api/user/export").await.status != 200 {
        assert!(std::time::Instant::now() < deadline, "the place is free again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn repeated_guesses_receive_429_with_retry_after() {
    let shop = Shop::open().await;
    let ada = Client::at(&shop, "198.51.100.1");
    ada.register("ada@example.com").await;
    let attacker = Client::at(&shop, "203.0.113.66");
    let guess = json!({"email": "ada@example.com", "password": "Wrong-Horse-1"});
    let mut refused = None;
    for _ in 0..40 {
        let answer = attacker.post("/api/auth/login", guess.clone()).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.failure(), (401, "wrong_credentials".to_owned()));
    }
    let refused = refused.expect("a limit");
    assert_eq!(refused.failure(), (429, "rate_limited".to_owned()));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // The owner can log in from a known address.
    ada.log_in("ada@example.com").await;

    // Registration and e-mail requests are limited by address too, whatever `X-Forwarded-For` contains.
    let mut statuses = Vec::new();
    for n in 0..12 {
        let body = json!({"email": format!("n{n}@example.com"), "password": PASSWORD}).to_string();
        let claimed = format!("198.51.100.{n}");
        let answer = attacker
            .send_with("POST", "/api/auth/register", body, &[("x-forwarded-for", &claimed)])
            .await;
        statuses.push(answer.status.as_u16());
    }
    assert_eq!((statuses[0], *statuses.last().unwrap()), (201, 429), "{statuses:?}");
    for _ in 0..3 {
        ada.post("/api/auth/forgot-password", json!({"email": "bob@example.com"}))
            .await
            .json();
    }
    let answer = ada
        .post("/api/auth/forgot-password", json!({"email": "bob@example.com"}))
        .await;
    assert_eq!(answer.failure(), (429, "rate_limited".to_owned()));
}

#[tokio::test]
async fn cross_site_requests_are_refused() {
    let shop = Shop::open_with(lockstep_api::Settings {
        production: true,
        ..lockstep_api::Settings::default()
    })
    .await;
    let ada = Client::new(&shop);
    ada.register("ada@example.com").await;
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")][..],
        &[("origin", "https://evil.example"), ("host", "shop.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost:3000")],
    ] {
        for (method, path) in [
            ("POST", "/api/cart"),
            ("DELETE", "/api/cart"),
            ("POST", "/api/auth/login"),
            ("POST", "/api/auth/logout"),
            ("PUT", "/api/user/profile"),
            ("DELETE", "/api/user/account"),
        ] {
            let answer = ada.send_with(method, path, Body::empty(), headers).await;
            assert_eq!(
                answer.failure(),
                (403, "cross_site".to_owned()),
                "{method} {path} {headers:?}"
            );
        }
    }
    let own = [
        ("sec-fetch-site", "same-origin"),
        ("origin", "https://shop.example"),
        ("host", "shop.example"),
    ];
    let answer = ada
        .send_with("PUT", "/api/user/profile", r#"{"nickname": "Ada"}"#, &own)
        .await;
    assert_eq!(answer.data()["nickname"], "Ada");
}

/// The rule of the HTTP contract (`docs/http-api.md`): every client but an administrator is refused in the same way,
/// signed in or not.
#[tokio::test]
async fn admin_routes_refuse_everyone_else_with_403() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.org").await;
    let (token, nobody) = (ada.token().unwrap(), Client::new(&shop));
    let ended = Client::new(&shop);
    ended.register("bob@example.org").await;
    ended.post("/api/auth/logout", json!({})).await;
    let description = shop.get("/api/openapi.json").await.json();
    let mut tried = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        if !path.starts_with("/api/admin") {
            continue;
        }
        let path = path.split('/').map(|part| {
            if part.starts_with('{') {
                "0192f0c1-0000-7000-8000-000000000001"
            } else {
                part
            }
        });
        let path = path.collect::<Vec<_>>().join("/");
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            for (who, bearer) in [
                (&nobody, None),
                (&nobody, Some("Bearer nonsense".to_owned())),
                (&nobody, Some(format!("Bearer {token}x"))),
                (&nobody, Some(format!("Basic {token}"))),
                (&ended, None),
                (&ada, None),
            ] {
                let header = bearer.as_deref().map(|bearer| ("authorization", bearer));
                for body in ["", "{}", "not json"] {
                    let answer = who.send_with(&method, &path, body, header.as_slice()).await;
                    assert_eq!(
                        answer.failure(),
                        (403, "forbidden".to_owned()),
                        "{method} {path} {bearer:?} {body}"
                    );
                    assert_eq!(answer.header("www-authenticate"), None);
                }
            }
            tried += 1;
        }
    }
    assert!(tried >= 3, "{tried}");
}
