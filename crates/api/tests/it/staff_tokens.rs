//! API tokens: what one permits is what it was given and its owner still has.

use lockstep_domain::staff::Permission;
use serde_json::{Value, json};

use crate::client::Client;
use crate::permissions::{give, member};
use crate::shop::Shop;

const TOKENS: &str = "/api/admin/tokens";

/// Creates a token with these permissions; returns it as it is shown once.
async fn create(staff: &Client<'_>, permissions: &[&str]) -> Value {
    let answer = staff
        .post(TOKENS, json!({"name": "Nightly report", "permissions": permissions}))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()["data"].take()
}

/// A program that has a token and nothing else.
fn program<'s>(shop: &'s Shop, token: &Value) -> Client<'s> {
    let program = Client::new(shop);
    program.set_token(token["token"].as_str());
    program
}

#[tokio::test]
async fn a_token_is_shown_once_and_stored_as_a_hash() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let made = create(&owner, &["users.read", "orders.read"]).await;
    let mut fields: Vec<&String> = made.as_object().unwrap().keys().collect();
    fields.sort();
    let listed = [
        "createdAt",
        "expiresAt",
        "hint",
        "id",
        "lastUsedAt",
        "name",
        "permissions",
    ];
    assert_eq!(fields, [&listed[..], &["token", "userId"]].concat());
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("lsk_") && token.len() == 47 && token.starts_with(made["hint"].as_str().unwrap()));
    assert_eq!(made["permissions"], json!(["orders.read", "users.read"]));
    let shown = owner.get(TOKENS).await;
    assert!(!shown.text().contains(token));
    assert_eq!(
        (&shown.data()[0]["id"], &shown.data()[0]["lastUsedAt"]),
        (&made["id"], &Value::Null)
    );
    let everything: String = sqlx::query_scalar(
        "select (select string_agg(t::text, ' ') from api_tokens t) || (select string_agg(a::text, ' ') from audit_log a)",
    )
    .fetch_one(&shop.db.sql)
    .await
    .unwrap();
    assert!(!everything.contains(&token[4..]), "{everything}");
    for (body, path) in [
        (json!({"name": "", "permissions": ["users.read"]}), "name"),
        (json!({"name": "n"}), "permissions"),
        (json!({"name": "n", "permissions": ["everything"]}), "permissions"),
        (
            json!({"name": "n", "permissions": ["users.read"], "expiresInDays": 367}),
            "expiresInDays",
        ),
        (json!({"name": "n\u{0}", "permissions": ["users.read"]}), "name"),
    ] {
        let answer = owner.post(TOKENS, body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["errors"][0]["path"]),
            (400, &json!(path)),
            "{body}: {}",
            answer.json()
        );
    }
}

/// Every route of staff that reads: a token reaches it if and only if it was given the permission and its owner has it.
#[tokio::test]
async fn a_token_permits_what_it_was_given_and_its_owner_has() {
    let shop = Shop::open().await;
    // The shop keeps an owner while the role of the other one changes.
    let _root = crate::catalogue_by_staff::root(&shop).await;
    let owner = member(&shop, "OWNER").await;
    let scopes = [
        vec!["orders.read"],
        vec!["users.read", "carts.read", "dashboard.read"],
        vec!["catalogue.read", "promotions.read", "content.read", "audit.read"],
        Permission::ALL.iter().map(|permission| permission.name()).collect(),
    ];
    let mut tokens = Vec::new();
    for scope in &scopes {
        tokens.push(create(&owner, scope).await);
    }
    // A token of G2A is given to a session only.
    let needs_a_session = |path: &str| path.ends_with("/g2a-settings/token");
    let reading: Vec<(&str, Option<Permission>)> = lockstep_api::staff_routes()
        .into_iter()
        .filter(|(method, path, _)| *method == "GET" && !path.contains('{') && !needs_a_session(path))
        .map(|(_, path, permission)| (path, permission))
        .collect();
    let of_role = |role: &str, permission: Permission| match role {
        "OWNER" => true,
        "SUPPORT" => "carts catalogue dashboard keys orders payments promotions users"
            .split(' ')
            .any(|word| permission.name() == format!("{word}.read")),
        _ => false,
    };
    for role in ["OWNER", "SUPPORT", "USER", "OWNER"] {
        give(&shop, "OWNER", role).await;
        for (scope, token) in scopes.iter().zip(&tokens) {
            let program = program(&shop, token);
            for (path, permission) in &reading {
                let has_any = scope
                    .iter()
                    .any(|name| of_role(role, Permission::from_name(name).unwrap()));
                let is_open = match permission {
                    None => has_any,
                    Some(permission) => scope.contains(&permission.name()) && of_role(role, *permission),
                };
                let status = program.get(path).await.status;
                assert_eq!(status != 403, is_open, "{role} {scope:?} {path}: {status}");
                assert!(!status.is_server_error(), "{role} {path}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_gives_nothing_that_it_was_not_given() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let support = member(&shop, "SUPPORT").await;
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await["user"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // Nobody gives a token more than they have.
    let refused = support
        .post(
            TOKENS,
            json!({"name": "n", "permissions": ["orders.read", "promotions.write"]}),
        )
        .await;
    assert_eq!(refused.failure(), (403, "gives_more_permissions".into()));
    // With the owner's token for names, neither a role nor a balance can be changed, although the owner may.
    let program = program(&shop, &create(&owner, &["users.write", "users.read"]).await);
    let path = format!("/api/admin/users/{user}");
    assert_eq!(program.put(&path, json!({"nickname": "Ada"})).await.status, 200);
    for body in [
        json!({"role": "ADMIN"}),
        json!({"balance": 5, "expectedBalance": 0, "reason": "r"}),
    ] {
        let answer = program.put(&path, body.clone()).await;
        assert_eq!(answer.status, 403, "{body}: {}", answer.json());
    }
    assert_eq!(
        shop.db
            .count("users where email = 'ada@example.org' and role = 'USER' and balance = 0")
            .await,
        1
    );
    // No token makes another one.
    let answer = program
        .post(TOKENS, json!({"name": "n", "permissions": ["users.read"]}))
        .await;
    assert_eq!(answer.failure(), (403, "needs_a_session".into()));
    // It is nobody in the shop.
    for path in [
        "/api/user/profile",
        "/api/cart",
        "/api/orders",
        "/api/games",
        "/api/api/user/profile",
    ] {
        assert_eq!(program.get(path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_deleted_or_expired_token_ends_with_the_next_request_in_every_process() {
    let shop = Shop::open().await;
    let other = shop.another_process().await;
    let owner = member(&shop, "OWNER").await;
    let support = member(&shop, "SUPPORT").await;
    let (mine, theirs) = (
        create(&owner, &["orders.read"]).await,
        create(&support, &["orders.read"]).await,
    );
    let (here, there) = (program(&shop, &theirs), program(&other, &theirs));
    let orders = async |client: &Client<'_>| client.get("/api/admin/orders").await.status.as_u16();
    for _ in 0..3 {
        assert_eq!((orders(&here).await, orders(&there).await), (200, 200));
    }
    // One's own are listed; staff who may give roles see all.
    assert_eq!(support.get(TOKENS).await.data().as_array().unwrap().len(), 1);
    assert_eq!(owner.get(TOKENS).await.data().as_array().unwrap().len(), 2);
    assert!(support.get(TOKENS).await.data()[0]["lastUsedAt"].is_string());
    let path = |token: &Value| format!("{TOKENS}/{}", token["id"].as_str().unwrap());
    assert_eq!(support.delete(&path(&mine)).await.status, 404);
    assert_eq!(owner.delete(&path(&theirs)).await.status, 200);
    assert_eq!((orders(&there).await, orders(&here).await), (403, 403));
    assert_eq!(owner.delete(&path(&theirs)).await.status, 404);
    let again = program(&other, &create(&support, &["orders.read"]).await);
    assert_eq!(orders(&again).await, 200);
    shop.db
        .execute(
            "update api_tokens set created_at = now() - interval '2 days', expires_at = now() - interval '1 second'",
        )
        .await;
    assert_eq!(orders(&again).await, 403);
    let wrong = Client::new(&shop);
    for token in ["lsk_", "lsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "lsk_ü"] {
        wrong.set_token(Some(token));
        assert_eq!(orders(&wrong).await, 403, "{token}");
    }
}

/// Whoever knew the old password may have made tokens, and a later role does not bring back old ones.
#[tokio::test]
async fn tokens_end_with_a_new_password_and_with_the_role() {
    let shop = Shop::open().await;
    let (owner, support) = (member(&shop, "OWNER").await, member(&shop, "SUPPORT").await);
    let id = support.get("/api/auth/me").await.data()["id"].take();
    let works = async |token: &Value| program(&shop, token).get("/api/admin/orders").await.status == 200;
    let first = create(&support, &["orders.read"]).await;
    assert!(works(&first).await);
    let change = json!({"currentPassword": crate::client::PASSWORD, "newPassword": "Another-Horse-2"});
    assert_eq!(support.put("/api/user/password", change).await.status, 200);
    assert!(!works(&first).await);

    let second = create(&support, &["orders.read"]).await;
    assert!(works(&second).await);
    let role = format!("/api/admin/users/{}/role", id.as_str().unwrap());
    assert_eq!(owner.put(&role, json!({"role": "USER"})).await.status, 200);
    shop.db
        .execute("update users set staff_role = 'SUPPORT' where email = 'support@example.org'")
        .await;
    assert!(!works(&second).await);
}

#[tokio::test]
async fn the_audit_log_names_the_token() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    let made = create(&owner, &["catalogue.write", "catalogue.read", "orders.read"]).await;
    let program = program(&shop, &made);
    for (client, name) in [(&owner, "Puzzle"), (&program, "Action")] {
        assert_eq!(
            client.post("/api/admin/genres", json!({"name": name})).await.status,
            201
        );
    }
    assert_eq!(program.get("/api/admin/orders?format=csv").await.status, 200);
    let tokens: Vec<(String, Option<String>)> =
        sqlx::query_as("select action, details ->> 'apiToken' from audit_log order by at, id")
            .fetch_all(&shop.db.sql)
            .await
            .unwrap();
    let id = made["id"].as_str().map(str::to_owned);
    let tokens: Vec<(&str, Option<String>)> = tokens
        .iter()
        .map(|(action, token)| (action.as_str(), token.clone()))
        .collect();
    assert_eq!(tokens[0], ("token.create", None));
    assert_eq!(tokens[1].1, None);
    assert_eq!((&tokens[2].1, &tokens[3]), (&id, &("list.export", id.clone())));
    // Its last use is written at most once a minute.
    let before: String = sqlx::query_scalar("select last_used_at::text || xmin from api_tokens")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    for _ in 0..5 {
        program.get("/api/admin/orders").await;
    }
    let after: String = sqlx::query_scalar("select last_used_at::text || xmin from api_tokens")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(before, after);
}
