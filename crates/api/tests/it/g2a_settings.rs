//! Accounts at G2A, as staff enter and change them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use lockstep_admin::{IssuedToken, SupplierAccess, SupplierAccessError, SupplierCredentials};
use lockstep_domain::Secret;
use lockstep_domain::admin::SupplierEnvironment;
use serde_json::{Value, json};

use crate::catalogue_by_staff::{audited, fields, root};
use crate::shop::Shop;

const SETTINGS: &str = "/api/admin/g2a-settings";
const ALL: &str = "/api/admin/g2a-settings/all";
const MASK: &str = "••••••••";

/// A G2A that accepts secrets that begin with `right`, and counts how often it is asked.
#[derive(Default)]
struct G2a {
    asked: AtomicU32,
    is_down: AtomicBool,
    fixed: Option<SupplierCredentials>,
}

impl G2a {
    fn judge(&self, credentials: &SupplierCredentials) -> Result<(), SupplierAccessError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) {
            return Err(SupplierAccessError::Unavailable("no connection".to_owned()));
        }
        if credentials.client_secret.expose().starts_with("right") {
            Ok(())
        } else {
            Err(SupplierAccessError::Refused("AUTH02, wrong credentials".to_owned()))
        }
    }
}

impl SupplierAccess for G2a {
    fn environment(&self) -> SupplierEnvironment {
        SupplierEnvironment::Sandbox
    }

    fn fixed(&self) -> Option<SupplierCredentials> {
        self.fixed.clone()
    }

    fn since(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn check<'a>(&'a self, credentials: &'a SupplierCredentials) -> BoxFuture<'a, Result<(), SupplierAccessError>> {
        async { self.judge(credentials) }.boxed()
    }

    fn token<'a>(
        &'a self,
        credentials: &'a SupplierCredentials,
    ) -> BoxFuture<'a, Result<IssuedToken, SupplierAccessError>> {
        async {
            self.judge(credentials)?;
            Ok(IssuedToken {
                token: Secret::new("token-of-g2a"),
                seconds: 3_600,
            })
        }
        .boxed()
    }
}

async fn shop_with(g2a: &Arc<G2a>) -> Shop {
    let g2a = Arc::clone(g2a);
    Shop::open_with_office(move |office| office.with_supplier(g2a)).await
}

fn account(client_id: &str, secret: &str) -> Value {
    json!({"clientId": client_id, "email": "shop@example.org", "clientSecret": secret, "environment": "sandbox"})
}

#[tokio::test]
async fn an_account_is_tested_before_it_counts_and_its_secret_is_never_shown() {
    let g2a = Arc::<G2a>::default();
    let shop = shop_with(&g2a).await;
    let root = root(&shop).await;
    assert_eq!(root.get(SETTINGS).await.data(), Value::Null);
    let refused = root.post(SETTINGS, account("hash-1", "wrong-secret")).await;
    assert_eq!(refused.failure(), (400, "g2a_refuses".to_owned()));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("AUTH02"));
    assert_eq!(root.get(ALL).await.data(), json!([]), "nothing has changed");

    let saved = root.post(SETTINGS, account("hash-1", "right-secret")).await;
    assert_eq!(saved.status, 200, "{}", saved.json());
    let saved = saved.data();
    let active = root.get(SETTINGS).await.data();
    assert_eq!(saved, active);
    for time in ["createdAt", "updatedAt", "testedAt"] {
        assert!(active[time].as_str().unwrap().ends_with('Z'), "{time}: {active}");
    }
    assert_eq!(
        active,
        json!({"id": active["id"], "clientId": "hash-1", "email": "shop@example.org", "clientSecret": MASK, "apiKey": MASK,
               "environment": "sandbox", "isActive": true, "inUse": true, "source": "database", "version": active["version"],
               "testedAt": active["testedAt"], "createdAt": active["createdAt"], "updatedAt": active["updatedAt"]})
    );

    // A masked or empty secret stays; another address makes the credentials others, which are tested.
    let asked = g2a.asked.load(Ordering::SeqCst);
    let one = format!("{SETTINGS}/{}", active["id"].as_str().unwrap());
    for kept in [MASK, ""] {
        let same = root.put(&one, json!({"clientSecret": kept, "apiKey": kept})).await;
        assert_eq!(same.status, 200, "{}", same.json());
    }
    assert_eq!(g2a.asked.load(Ordering::SeqCst), asked, "tested a moment ago");
    let moved = root.put(&one, json!({"email": "new@example.org"})).await;
    assert_eq!(
        (moved.status.as_u16(), g2a.asked.load(Ordering::SeqCst)),
        (200, asked + 1)
    );
    let wrong = root
        .put(
            &one,
            json!({"clientSecret": "wrong", "version": moved.data()["version"]}),
        )
        .await;
    assert_eq!(wrong.failure(), (400, "g2a_refuses".to_owned()));
    g2a.is_down.store(true, Ordering::SeqCst);
    let down = root.post(SETTINGS, account("hash-2", "right-2")).await;
    assert_eq!(down.failure(), (503, "g2a_unavailable".to_owned()));
    g2a.is_down.store(false, Ordering::SeqCst);
    assert_eq!(root.get(SETTINGS).await.data(), moved.data(), "nothing has changed");

    // Another one takes its place, and the other can be deleted then.
    assert_eq!(root.delete(&one).await.failure(), (409, "in_use".to_owned()));
    let second = root.post(SETTINGS, account("hash-2", "right-2")).await.data();
    let listed = root.get(ALL).await.data();
    let states: Vec<(&str, bool)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["clientId"].as_str().unwrap(), row["isActive"].as_bool().unwrap()))
        .collect();
    assert_eq!(states, [("hash-2", true), ("hash-1", false)]);
    assert_eq!(root.delete(&one).await.status, 200);
    let second = format!("{SETTINGS}/{}", second["id"].as_str().unwrap());
    assert_eq!(
        root.put(&second, json!({"isActive": false})).await.data()["inUse"],
        false
    );
    assert_eq!(root.get(SETTINGS).await.data(), Value::Null);

    // Neither the database, nor the log, nor an answer holds the secret.
    let stored: String = sqlx::query_scalar("select (select string_agg(g::text, ' ') from g2a_settings g) || (select string_agg(a::text, ' ') from audit_log a)")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let hex = hex::encode("right-2");
    assert!(!stored.contains("right-") && !stored.contains(&hex), "{stored}");
    assert_eq!(
        audited(&shop).await,
        [
            "supplier.account_create",
            "supplier.account_change",
            "supplier.account_change",
            "supplier.account_change",
            "supplier.account_create",
            "supplier.account_delete",
            "supplier.account_change"
        ]
    );
}

#[tokio::test]
async fn invalid_accounts_are_refused_by_field_and_environments_do_not_mix() {
    let g2a = Arc::<G2a>::default();
    let shop = shop_with(&g2a).await;
    let root = root(&shop).await;
    for (body, path) in [
        (json!({}), "clientId"),
        (json!({"clientId": "h", "email": "a@example.org"}), "clientSecret"),
        (json!({"clientId": "h", "clientSecret": "right"}), "email"),
        (
            json!({"clientId": "h\0", "email": "a@example.org", "clientSecret": "right"}),
            "clientId",
        ),
        (json!({"clientId": "h", "email": "a", "clientSecret": "right"}), "email"),
        (
            json!({"clientId": "h", "email": "a@example.org", "clientSecret": "r\nx"}),
            "clientSecret",
        ),
        (
            json!({"clientId": "h", "email": "a@example.org", "clientSecret": "right", "apiKey": "00"}),
            "apiKey",
        ),
        (
            json!({"clientId": "h", "email": "a@example.org", "clientSecret": "right", "environment": "test"}),
            "environment",
        ),
    ] {
        let answer = root.post(SETTINGS, body).await;
        assert_eq!(fields(&answer), [path]);
    }
    let mut real = account("hash-real", "right");
    real["environment"] = json!("production");
    let refused = root.post(SETTINGS, real.clone()).await;
    assert_eq!(refused.failure(), (400, "other_environment".to_owned()));
    real["isActive"] = json!(false);
    let kept = root.post(SETTINGS, real).await.data();
    assert_eq!(
        (&kept["isActive"], &kept["environment"]),
        (&json!(false), &json!("production"))
    );
    let one = format!("{SETTINGS}/{}", kept["id"].as_str().unwrap());
    let refused = root.put(&one, json!({"isActive": true})).await;
    assert_eq!(refused.failure(), (400, "other_environment".to_owned()));
    assert_eq!(
        root.get(&format!("{one}/token")).await.failure(),
        (400, "other_environment".to_owned())
    );
    assert_eq!(
        g2a.asked.load(Ordering::SeqCst),
        0,
        "nothing was sent to the other environment"
    );

    let key = root
        .post(
            &format!("{SETTINGS}/generate-key"),
            json!({"clientId": "games-games-games", "email": "test123@integration-api.g2a", "clientSecret": "quite-nice-secret"}),
        )
        .await;
    assert_eq!(
        key.data(),
        json!({"apiKey": "5feaefae655d6d2dcfb27f22e700495aa90e255fc0ad93bc22dfc0ed770fae21"})
    );
    let masked = root
        .post(
            &format!("{SETTINGS}/generate-key"),
            json!({"clientId": "h", "email": "a@example.org", "clientSecret": MASK}),
        )
        .await;
    assert_eq!(fields(&masked), ["clientSecret"]);
}

#[tokio::test]
async fn two_managers_who_save_at_once_leave_one_active_account_and_the_second_learns_of_the_first() {
    let g2a = Arc::<G2a>::default();
    let shop = shop_with(&g2a).await;
    let root = root(&shop).await;
    let first = root.post(SETTINGS, account("hash-0", "right")).await.data();
    let one = format!("{SETTINGS}/{}", first["id"].as_str().unwrap());
    let edits = join_all((0..6).map(|n| {
        let body = json!({"clientSecret": format!("right-{n}"), "version": first["version"]});
        root.put(&one, body)
    }))
    .await;
    let codes: Vec<u16> = edits.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 200).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| [200, 409].contains(code)), "{codes:?}");
    let entered = join_all((1..=6).map(|n| root.post(SETTINGS, account(&format!("hash-{}", n % 3), "right")))).await;
    for answer in entered {
        assert!([200, 409].contains(&answer.status.as_u16()), "{}", answer.json());
    }
    let active: Vec<String> = sqlx::query_scalar("select client_id from g2a_settings where is_active")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(active.len(), 1, "{active:?}");
    shop.db.execute("update g2a_settings set is_active = false").await;
    // While copies are being bought with an account, it is not forgotten.
    let game = crate::shop::NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let ada = shop.db.user("ada@example.org", "50").await;
    let order = shop.db.order(ada, game.id, 1).await;
    let mark = lockstep_domain::admin::account_mark("hash-0");
    // An order that is being placed may belong to any account.
    shop.db
        .execute(&format!(
            "update order_units set state = 'ORDERING' where id = '{}'",
            order.units[0]
        ))
        .await;
    assert_eq!(root.delete(&one).await.failure(), (409, "in_use".to_owned()));
    shop.db
        .execute(&format!(
            "update order_units set state = 'ORDERED', g2a_order_id = '77', g2a_price = 1, ordered_at = now(), g2a_account = '{mark}'
              where id = '{unit}'",
            unit = order.units[0]
        ))
        .await;
    let account: String = sqlx::query_scalar("select account from g2a_orders")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(account, mark);
    assert_eq!(root.delete(&one).await.failure(), (409, "in_use".to_owned()));
    let renamed = root.put(&one, json!({"clientId": "hash-9"})).await;
    assert_eq!(renamed.failure(), (409, "in_use".to_owned()));
    let moved = root.put(&one, json!({"environment": "production"})).await;
    assert_eq!(moved.failure(), (409, "in_use".to_owned()));
    // An order of an earlier version may belong to any account, until it is known to which.
    shop.db
        .execute("update order_units set g2a_account = null; update g2a_orders set account = null")
        .await;
    assert_eq!(root.delete(&one).await.failure(), (409, "in_use".to_owned()));
    lockstep_store::admin::g2a_settings::stamp_orders(&shop.db.store, "another")
        .await
        .unwrap();
    let account: String = sqlx::query_scalar("select account from g2a_orders")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(account, "another");
    assert_eq!(root.delete(&one).await.status, 200);
}

#[tokio::test]
async fn the_environment_wins_and_says_so_and_a_lost_secret_locks_nobody_out() {
    let fixed = SupplierCredentials {
        client_id: "hash-env".to_owned(),
        email: "env@example.org".to_owned(),
        client_secret: Secret::new("right-env"),
    };
    let g2a = Arc::new(G2a {
        fixed: Some(fixed),
        ..G2a::default()
    });
    let shop = shop_with(&g2a).await;
    let staff = root(&shop).await;
    let nil = format!("{SETTINGS}/00000000-0000-0000-0000-000000000000");
    let active = staff.get(SETTINGS).await.data();
    assert_eq!(
        (&active["source"], &active["clientSecret"]),
        (&json!("environment"), &json!(MASK))
    );
    let entered = staff.post(SETTINGS, account("hash-1", "right")).await.data();
    assert_eq!((&entered["isActive"], &entered["inUse"]), (&json!(true), &json!(false)));
    assert_eq!(staff.get(SETTINGS).await.data(), active);
    assert_eq!(staff.get(ALL).await.data(), json!([active, entered]));
    let environment = (409, "set_by_environment".to_owned());
    assert_eq!(
        staff.post(SETTINGS, account("hash-env", "right")).await.failure(),
        environment
    );
    assert_eq!(
        staff.put(&nil, json!({"email": "b@example.org"})).await.failure(),
        environment
    );
    assert_eq!(staff.delete(&nil).await.failure(), environment);
    // Inactive it can be entered, so that its orders are finished when the environment names another.
    let mut beside = account("hash-env", "right-env");
    beside["isActive"] = json!(false);
    let beside = staff.post(SETTINGS, beside).await.data();
    assert_eq!((&beside["isActive"], &beside["inUse"]), (&json!(false), &json!(false)));
    let beside = format!("{SETTINGS}/{}", beside["id"].as_str().unwrap());
    assert_eq!(
        staff.put(&beside, json!({"isActive": true})).await.failure(),
        environment
    );
    assert_eq!(staff.delete(&beside).await.status, 200);
    let token = staff.get(&format!("{SETTINGS}/token")).await.data();
    assert_eq!(
        token,
        json!({"access_token": "token-of-g2a", "expires_in": 3600, "token_type": "bearer", "environment": "sandbox",
               "expiresAt": token["expiresAt"]})
    );

    // Sealed with a secret that is lost.
    let g2a = Arc::<G2a>::default();
    let shop = shop_with(&g2a).await;
    let staff = root(&shop).await;
    let lost = staff.post(SETTINGS, account("hash-1", "right")).await.data();
    shop.db.execute("update g2a_settings set secret = 'nonsense'").await;
    let one = format!("{SETTINGS}/{}", lost["id"].as_str().unwrap());
    let shown = staff.get(SETTINGS).await.data();
    assert_eq!((&shown["clientId"], &shown["apiKey"]), (&json!("hash-1"), &Value::Null));
    assert_eq!(fields(&staff.get(&format!("{one}/token")).await), ["clientSecret"]);
    assert_eq!(
        fields(&staff.put(&one, json!({"email": "b@example.org"})).await),
        ["clientSecret"]
    );
    assert_eq!(staff.put(&one, json!({"clientSecret": "right-2"})).await.status, 200);
    assert_eq!(
        staff.get(&format!("{one}/token")).await.data()["access_token"],
        "token-of-g2a"
    );
    assert_eq!(staff.delete(&one).await.failure(), (409, "in_use".to_owned()));

    // Step-up.
    shop.db
        .execute("update user_sessions set created_at = created_at - interval '6 minutes', confirmed_at = null")
        .await;
    let needed = (403, "confirmation_needed".to_owned());
    assert_eq!(staff.post(SETTINGS, account("hash-3", "right")).await.failure(), needed);
    assert_eq!(staff.put(&one, json!({})).await.failure(), needed);
    assert_eq!(staff.delete(&one).await.failure(), needed);
    assert_eq!(staff.get(&format!("{SETTINGS}/token")).await.failure(), needed);
}
