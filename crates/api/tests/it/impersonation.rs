//! The API for staff who act as a customer: a token of that session reads, and changes cart and wishlist.

use lockstep_auth::{AuthError, ClientInfo, CurrentUser, ImpersonationToken, as_customer};
use lockstep_domain::account::ProfileChange;
use lockstep_domain::ids::{GameId, UserId};
use serde_json::json;

use crate::client::Client;
use crate::permissions::member;
use crate::shop::Shop;

/// What such a session may write to, by method and path of the description.
const ALLOWED: &[(&str, &str)] = &[
    ("delete", "/api/cart"),
    ("delete", "/api/cart/{gameId}"),
    ("delete", "/api/user/wishlist/{gameId}"),
    ("delete", "/api/wishlist/{gameId}"),
    ("post", "/api/cart"),
    ("post", "/api/user/wishlist/{gameId}"),
    ("post", "/api/wishlist"),
    ("put", "/api/cart/{gameId}"),
];

/// Lets `staff` act as `customer`.
async fn act(shop: &Shop, staff: &Client<'_>, customer: UserId) -> ImpersonationToken {
    let auth = shop.cases.auth();
    let caller: CurrentUser = shop.cases.caller(&staff.token().unwrap()).await.unwrap();
    let admin = auth.admin(caller).await.unwrap();
    auth.impersonate(&admin, customer, "A question").await.unwrap()
}

#[tokio::test]
async fn every_endpoint_that_changes_something_refuses_but_cart_and_wishlist() {
    let shop = Shop::open().await;
    let staff = member(&shop, "SUPPORT").await;
    let customer = UserId(shop.db.user("ada@example.org", "100").await);
    let token = act(&shop, &staff, customer).await;
    let client = Client::new(&shop);
    client.set_token(Some(token.token.expose()));
    let description = serde_json::to_value(lockstep_api::openapi()).unwrap();
    let mut allowed = Vec::new();
    let mut asked = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        for method in ["post", "put", "patch", "delete"] {
            if operations[method].is_null() || !path.starts_with("/api/") {
                continue;
            }
            asked += 1;
            let address: Vec<String> = path
                .split('/')
                .map(|part| {
                    if part.starts_with('{') {
                        uuid::Uuid::new_v4().to_string()
                    } else {
                        part.to_owned()
                    }
                })
                .collect();
            let answer = client.send(&method.to_uppercase(), &address.join("/"), "{}").await;
            if answer.json()["error"]["code"] == "impersonation" {
                assert_eq!(answer.status, 403, "{method} {path}");
            } else {
                allowed.push((method, path.as_str()));
            }
        }
    }
    allowed.sort_unstable();
    assert_eq!(allowed, ALLOWED);
    assert!(asked > 100, "{asked}");
    let message = client.post("/api/orders", json!({})).await.json();
    assert_eq!(
        message["error"]["message"],
        "Forbidden: not possible while you act as a customer. End that first."
    );
    // Each is recorded, with who, as whom, and whether it was refused.
    let recorded: (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where refused) from impersonation_requests r join impersonations i on i.id = r.impersonation_id
          where i.user_id = $1 and i.staff_id = (select id from users where email = 'support@example.org')",
    )
    .bind(customer.0)
    .fetch_one(&shop.db.sql)
    .await
    .unwrap();
    let all = i64::from(asked) + 1;
    assert_eq!(recorded, (all, all - i64::try_from(ALLOWED.len()).unwrap()));
}

#[tokio::test]
async fn keys_are_left_out_and_their_files_refused() {
    let shop = Shop::open().await;
    let staff = member(&shop, "OWNER").await;
    let user = shop.db.user("ada@example.org", "100").await;
    let game = shop.db.game("Portal", "portal", "10.00").await;
    let order = shop.db.order(user, game, 1).await;
    let key = shop.db.deliver(order.units[0]).await;
    let client = Client::new(&shop);
    client.set_token(Some(act(&shop, &staff, UserId(user)).await.token.expose()));
    let shown = client.get(&format!("/api/orders/{}", order.id)).await.data();
    assert_eq!(shown["keys"].as_array().map(Vec::len), Some(1), "{shown}");
    assert!(shown["keys"][0]["key"].is_null(), "{shown}");
    let list = client.get("/api/orders").await.data();
    assert!(list[0]["keys"][0]["key"].is_null(), "{list}");
    for path in [
        format!("/api/orders/{}/keys/{key}/file", order.id),
        format!("/api/api/orders/{}/keys/{key}/file", order.id),
        "/api/user/export".to_owned(),
    ] {
        assert_eq!(
            client.get(&path).await.failure(),
            (403, "impersonation".to_owned()),
            "{path}"
        );
    }
    assert_eq!(shop.db.count("key_reveals").await, 0);
    // Staff's own endpoints are not the customer's.
    assert_eq!(
        client.get("/api/admin/orders").await.failure(),
        (403, "forbidden".to_owned())
    );
    // The profile is the customer's, in another process, too.
    let profile = client.get("/api/user/profile").await.data();
    assert_eq!(profile["email"], "ada@example.org");
    let other = shop.another_process().await;
    let elsewhere = Client::new(&other);
    elsewhere.set_token(client.token().as_deref());
    assert_eq!(
        elsewhere.get("/api/user/profile").await.data()["email"],
        "ada@example.org"
    );
    // It ends with the session of the member of staff, everywhere.
    staff.post("/api/auth/logout", json!({})).await;
    for client in [&client, &elsewhere] {
        assert_eq!(
            client.get("/api/user/profile").await.failure(),
            (401, "not_signed_in".to_owned())
        );
    }
}

/// What got around the list is refused all the same: outside a recorded request the token is nobody's, and within one
/// the database refuses.
#[tokio::test]
async fn what_gets_around_the_list_is_refused_by_the_use_cases_and_the_database() {
    let shop = Shop::open().await;
    let staff = member(&shop, "OWNER").await;
    let user = UserId(shop.db.user("ada@example.org", "100").await);
    let token = act(&shop, &staff, user).await.token;
    let (_, session) = shop.cases.auth().impersonation_of(token.expose()).unwrap();
    assert!(shop.cases.caller(token.expose()).await.is_err());
    let change = ProfileChange {
        nickname: Some(Some("Eve".to_owned())),
        first_name: None,
        last_name: None,
        avatar: None,
    };
    let game = GameId(shop.db.game("Portal", "portal", "10.00").await);
    let order = shop.cases.checkout([(game, 1)], None, None).unwrap();
    let (changed, placed) = Box::pin(as_customer(session, async {
        let caller = shop.cases.caller(token.expose()).await.unwrap();
        assert!(shop.cases.auth().admin(caller.clone()).await.is_err());
        (
            shop.cases.change_profile(&caller, &change).await,
            shop.cases
                .place_order(&caller, &ClientInfo::default(), &order, None)
                .await,
        )
    }))
    .await;
    let refused = changed.unwrap_err().to_string();
    assert!(refused.contains("impersonations_only_look"), "{refused}");
    assert_eq!(placed.unwrap_err().to_string(), AuthError::Impersonation.to_string());
    assert_eq!(shop.db.count("orders").await, 0);
}

#[tokio::test]
async fn staff_act_as_a_customer_by_the_api_and_as_nobody_of_the_staff() {
    let shop = Shop::open().await;
    let staff = member(&shop, "SUPPORT").await;
    let customer = shop.db.user("ada@example.org", "100").await;
    let path = format!("/api/admin/users/{customer}/impersonations");
    let began = staff.post(&path, json!({"reason": " A question "})).await;
    assert_eq!(began.status, 201, "{}", began.text());
    let session = began.json()["data"].take();
    assert!(session["expiresAt"].is_string(), "{session}");
    let client = Client::new(&shop);
    client.set_token(session["token"].as_str());
    assert_eq!(client.get("/api/user/profile").await.data()["email"], "ada@example.org");
    assert_eq!(
        client.post("/api/orders", json!({})).await.failure(),
        (403, "impersonation".to_owned())
    );
    let reason: String = sqlx::query_scalar("select reason from impersonations")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(reason, "A question");
    // Another one ends the first.
    let again = staff.post(&path, json!({"reason": "Another"})).await;
    assert_eq!(again.status, 201, "{}", again.text());
    assert_eq!(client.get("/api/user/profile").await.status, 401);

    let owner = member(&shop, "OWNER").await;
    let colleague: uuid::Uuid = sqlx::query_scalar("select id from users where email = 'support@example.org'")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let body = json!({"reason": "A question"});
    let refused = owner
        .post(&format!("/api/admin/users/{colleague}/impersonations"), body.clone())
        .await;
    assert_eq!(refused.failure(), (403, "on_staff".to_owned()));
    let nobody = format!("/api/admin/users/{}/impersonations", uuid::Uuid::new_v4());
    assert_eq!(
        owner.post(&nobody, body).await.failure(),
        (404, "account_not_found".to_owned())
    );
    assert_eq!(staff.post(&path, json!({"reason": " "})).await.status, 400);
}
