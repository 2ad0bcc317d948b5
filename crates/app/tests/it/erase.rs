//! `lockstep erase`: afterwards nothing names the person but what the law keeps.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_testkit::{TestDb, TestRedis, sqlx};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::{Running, client, lockstep, outcome, sandbox, text, with_account};

const EMAIL: &str = "zsofia.quill@example.org";
const IP: &str = "203.0.113.77";
const DEVICE: &str = "PersonalBrowser/7.7 (Zeta)";
/// Names, and an address in the real world.
const NAMES: [&str; 4] = ["Zsofiaanna", "Quillfeather", "quilly-nick", "Elm Lane 99x"];

/// Everything that names the person.
fn traces() -> Vec<&'static str> {
    [EMAIL, IP, DEVICE].into_iter().chain(NAMES).collect()
}

/// The columns of all tables that contain a trace, as text or as bytes.
async fn columns_with(db: &TestDb, traces: &[&str]) -> BTreeSet<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relkind in ('r', 'p', 'm') and relnamespace = 'public'::regnamespace order by 1",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    assert!(tables.len() > 100, "{tables:?}");
    let spellings: Vec<String> = traces
        .iter()
        .flat_map(|trace| {
            [
                trace.to_lowercase(),
                hex::encode(trace),
                trace.to_lowercase().replace('@', "%40"),
            ]
        })
        .collect();
    let mut found = BTreeSet::new();
    for table in tables {
        let question = format!(
            "select distinct c.key from \"{table}\" t, jsonb_each_text(to_jsonb(t)) c, unnest($1::text[]) trace
              where strpos(lower(c.value), trace) > 0"
        );
        let columns: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(question))
            .bind(&spellings)
            .fetch_all(&db.sql)
            .await
            .unwrap();
        found.extend(columns.into_iter().map(|column| format!("{table}.{column}")));
    }
    found
}

async fn redis_holds(redis: &TestRedis, traces: &[&str]) -> bool {
    let contents = redis.contents().await;
    traces.iter().any(|trace| contents.holds(trace.as_bytes()))
}

/// A request as the person's browser sends it through the shop's proxy.
async fn browse(web: &Running, method: reqwest::Method, path: &str, token: Option<&str>, body: Option<Value>) -> Value {
    let mut request = client()
        .request(method, format!("http://{}{path}", web.address))
        .header("user-agent", DEVICE)
        .header("x-forwarded-for", IP);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// A shop in which the person has registered, bought, paid, disputed, withdrawn, and tried the wrong password.
async fn known_everywhere(db: &TestDb, web: &Running) -> Uuid {
    let (get, post, put) = (reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::PUT);
    let account = json!({ "email": EMAIL, "password": "Correct-Horse-1" });
    let registered = browse(web, post.clone(), "/api/auth/register", None, Some(account)).await;
    let token = registered["data"]["token"].as_str().unwrap().to_owned();
    let user: Uuid = registered["data"]["user"]["id"].as_str().unwrap().parse().unwrap();
    let names = json!({ "nickname": NAMES[2], "firstName": NAMES[0], "lastName": NAMES[1] });
    let changed = browse(web, put, "/api/user/profile", Some(&token), Some(names)).await;
    assert_eq!(changed["success"], true, "{changed}");
    let profile = browse(web, get, "/api/user/profile", Some(&token), None).await;
    assert_eq!(profile["data"]["email"], EMAIL);
    for email in [EMAIL, "zsofia.mistyped@example.org"] {
        let wrong = json!({ "email": email, "password": "Wrong-Horse-1" });
        browse(web, post.clone(), "/api/auth/login", None, Some(wrong)).await;
    }
    let game = db.game("Portal", "portal", "10.00").await;
    let wish = format!("/api/user/wishlist/{game}");
    browse(web, post, &wish, Some(&token), None).await;

    let staff = db.user("staff@example.org", "0").await;
    db.execute(&format!(
        "insert into transactions (user_id, type, amount, status, description, gateway_response)
         values ('{user}', 'TOP_UP', 100, 'COMPLETED', 'Top-up of {EMAIL}',
                 '{{\"email\": \"{EMAIL}\", \"payer\": {{\"surname\": \"{0}\"}}}}');
         update users set balance = balance + 100 where id = '{user}';
         insert into billing_profiles (user_id, country, name, street, postcode, city)
         values ('{user}', 'DE', '{0}', '{1}', '10115', 'Berlin');
         insert into saved_views (id, user_id, list, name, query) values (gen_random_uuid(), '{staff}', 'customers', 'v', 'search=zsofia.quill%40example.org');
         insert into idempotency_keys (owner, route, key, request_hash, answer)
         values ('{staff}', 'r', 'k', sha256('x'), '{{\"email\": \"{EMAIL}\"}}');
         insert into unused_deliveries (source, reason, body, payers) values ('relay', 'REFUSED', 'from {0}', '{{{EMAIL}}}');
         insert into unused_deliveries (source, reason, body) values ('relay', 'NOT_OURS', 'by {EMAIL}, {0}');
         insert into withdrawals (id, name, order_ref, contact, language, address, user_id, state, decided_by, decided_at, reason)
         values (gen_random_uuid(), '{0}', '1', '{EMAIL}', 'en', '{IP}', '{user}', 'REFUSED', '{staff}', now(), '{0} asked too late'),
                (gen_random_uuid(), '{0}', '2', '{EMAIL}', 'en', '{IP}', null, 'ACCEPTED', '{staff}', now(), null)",
        NAMES[1], NAMES[3]
    ))
    .await;
    let order = db.order(user, game, 1).await;
    db.deliver(order.units[0]).await;
    db.execute(&format!(
        "update orders set status = 'PROCESSING' where id = '{0}';
         update orders set status = 'COMPLETED' where id = '{0}'",
        order.id
    ))
    .await;
    // Written by older programs, by a payment provider, and by the tax rules of a shop that has stated its own.
    db.execute(&format!(
        "insert into tax_settings (status, country, seller_name, seller_street, seller_postcode, seller_city, vat_id)
         values ('STANDARD', 'DE', 'S', 'S 1', '1', 'B', 'DE123456789');
         begin;
         set local session_replication_role = replica;
         update order_consents set address = '{IP}', user_agent = '{DEVICE}' where order_id = '{0}';
         insert into top_ups (id, user_id, amount, method, provider) values ('{1}', '{user}', 5, 'card', 'test');
         insert into top_up_origins (top_up_id, address, user_agent, email, authenticate)
         values ('{1}', '{IP}', '{DEVICE}', '{EMAIL}', false);
         insert into disputes (id, reference, top_up_id, user_id, amount, claimed, state, status, closed_at)
         values ('{1}', 'du_1', '{1}', '{user}', 0, 0, 'WON', 'won', now());
         insert into dispute_evidence (dispute_id, fields, state, requested_by, answered_at)
         values ('{1}', '{{\"customer_name\": \"{2}\", \"customer_purchase_ip\": \"{IP}\"}}', 'SUBMITTED', '{staff}', now());
         insert into order_taxes (order_id, settings, treatment, country, rate, rates_source, rates_date, proof, buyer_name, buyer_street)
         select '{0}', max(version), 'STANDARD', 'DE', 19, 's', '2026-01-01', 'AGREED', '{2}', '{3}' from tax_settings;
         commit",
        order.id,
        Uuid::new_v4(),
        NAMES[1],
        NAMES[3]
    ))
    .await;
    user
}

#[tokio::test]
async fn an_erased_person_leaves_nothing_but_what_the_law_keeps() {
    let (db, g2a, redis) = (TestDb::new().await, sandbox(1).await, TestRedis::start().await);
    redis.configure("rdbcompression", "no").await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let mut command = lockstep(&["web", "--data-dir", data, "--trusted-proxies", "1"]);
    with_account(&mut command, &g2a)
        .env("DATABASE_URL", db.url())
        .env("REDIS_URL", redis.url());
    let web = Running::start(&mut command).await;
    let user = known_everywhere(&db, &web).await;
    let mail = folder.path().join("mail");
    std::fs::create_dir_all(&mail).unwrap();
    std::fs::write(mail.join("hers.eml"), format!("To: {EMAIL}\r\n\r\nHello")).unwrap();
    std::fs::write(mail.join("his.eml"), "To: bob@example.org\r\n\r\nHello").unwrap();
    db.assert_books_balance().await;
    let balances = "select string_agg(amount::text || status::text, ',' order by created_at, id) from transactions";
    let books: String = sqlx::query_scalar(balances).fetch_one(&db.sql).await.unwrap();

    // What is looked for is there to be found.
    let before = columns_with(&db, &traces()).await;
    for column in [
        "billing_profiles.street",
        "dispute_evidence.fields",
        "idempotency_keys.answer",
        "login_history.address",
        "login_history.user_agent",
        "mail_outbox.recipient",
        "one_time_codes.email",
        "order_consents.address",
        "order_consents.user_agent",
        "order_taxes.buyer_name",
        "rate_limits.key",
        "saved_views.query",
        "top_up_origins.address",
        "top_up_origins.email",
        "top_up_origins.user_agent",
        "transactions.description",
        "transactions.gateway_response",
        "unused_deliveries.body",
        "unused_deliveries.payers",
        "user_sessions.address",
        "user_sessions.user_agent",
        "users.email",
        "users.first_name",
        "users.nickname",
        "withdrawals.address",
        "withdrawals.contact",
        "withdrawals.name",
        "withdrawals.reason",
    ] {
        assert!(before.contains(column), "{column}: {before:?}");
    }
    assert!(redis_holds(&redis, &[EMAIL]).await, "the profile is cached");

    let erase = async |more: &[&str]| {
        let mut command = lockstep(&["erase", EMAIL, "--data-dir", data, "--json"]);
        command
            .args(more)
            .env("DATABASE_URL", db.url())
            .env("REDIS_URL", redis.url());
        outcome(&mut command).await
    };
    // Nobody can be asked here.
    let unasked = erase(&[]).await;
    assert_eq!(unasked.status.code(), Some(1));
    assert!(
        text(&unasked.stderr).contains("nothing was erased"),
        "{}",
        text(&unasked.stderr)
    );
    assert_eq!(columns_with(&db, &traces()).await, before);

    let erased = erase(&["--yes"]).await;
    assert!(erased.status.success(), "{}", text(&erased.stderr));
    let said: Value = serde_json::from_str(&text(&erased.stdout)).unwrap();
    assert_eq!(
        (&said["erased"], &said["mailFiles"]),
        (&json!(true), &json!(1)),
        "{said}"
    );
    assert_eq!(said["account"], json!(user));
    assert_eq!(said["balance"].as_f64(), Some(90.0), "{said}");
    assert_eq!(said["removed"]["originsOfPayments"], 1, "{said}");
    assert_eq!(
        said["kept"],
        json!({ "orders": 1, "bookings": 2, "withdrawals": 2 }),
        "{said}"
    );

    let after = columns_with(&db, &traces()).await;
    let kept_by_law: BTreeSet<String> = ["order_taxes.buyer_name", "order_taxes.buyer_street"]
        .map(str::to_owned)
        .into();
    assert_eq!(after, kept_by_law);
    assert!(!redis_holds(&redis, &traces()).await);
    let files: Vec<_> = std::fs::read_dir(&mail)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(files, ["his.eml"]);
    for folder in ["spool", "feeds"] {
        assert!(!folder_holds(&folder_path(data, folder), &traces()));
    }
    let log = web.log().lock().unwrap().clone();
    for trace in traces() {
        assert!(!log.contains(trace), "{log}");
        assert!(!text(&erased.stderr).contains(trace) && !text(&erased.stdout).contains(trace));
    }

    // The books are what they were, and prove it.
    db.assert_books_balance().await;
    let left: String = sqlx::query_scalar(balances).fetch_one(&db.sql).await.unwrap();
    assert_eq!(left, books);
    let verified = outcome(lockstep(&["audit", "verify"]).env("DATABASE_URL", db.url())).await;
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let deed: (String, Option<Uuid>, Value) = sqlx::query_as(
        "select subject_kind, subject_id, details - 'machine' from audit_log where action = 'user.erase'",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    assert_eq!(deed, ("user".to_owned(), Some(user), json!({})));

    // Nobody logs in, and the address is free.
    let again = json!({ "email": EMAIL, "password": "Correct-Horse-1" });
    let refused = browse(&web, reqwest::Method::POST, "/api/auth/login", None, Some(again)).await;
    assert_eq!(refused["success"], false);
}

fn folder_path(data: &str, folder: &str) -> std::path::PathBuf {
    std::path::Path::new(data).join(folder)
}

/// Whether a file in the folder, if there is one, holds a trace.
fn folder_holds(folder: &std::path::Path, traces: &[&str]) -> bool {
    let Ok(files) = std::fs::read_dir(folder) else {
        return false;
    };
    files.flatten().any(|file| {
        let text = std::fs::read(file.path()).map(|bytes| text(&bytes)).unwrap_or_default();
        traces.iter().any(|trace| text.contains(trace))
    })
}

#[tokio::test]
async fn a_person_without_an_account_is_forgotten_and_nobody_twice() {
    let db = TestDb::new().await;
    let staff = db.user("staff@example.org", "0").await;
    db.execute(&format!(
        "insert into withdrawals (id, name, order_ref, contact, language, address, state, decided_by, decided_at)
         values (gen_random_uuid(), 'Q', '1', 'Zsofia.Quill@Example.org', 'en', '{IP}', 'ACCEPTED', '{staff}', now())"
    ))
    .await;
    let erase = async || {
        let mut command = lockstep(&["erase", EMAIL, "--yes", "--json"]);
        let done = outcome(command.env("DATABASE_URL", db.url())).await;
        assert!(done.status.success(), "{}", text(&done.stderr));
        serde_json::from_str::<Value>(&text(&done.stdout)).unwrap()
    };
    let said = erase().await;
    assert_eq!(
        (&said["erased"], &said["account"]),
        (&json!(true), &Value::Null),
        "{said}"
    );
    assert_eq!(columns_with(&db, &[EMAIL, IP]).await, BTreeSet::new());
    assert_eq!(erase().await["erased"], false);
    assert_eq!(db.count("audit_log where action = 'user.erase'").await, 1);
}

#[tokio::test]
async fn nothing_is_erased_while_something_is_under_way() {
    let db = TestDb::new().await;
    let game = db.game("Portal", "portal", "10.00").await;
    let refusals: BTreeMap<&str, &str> = [
        ("order", "an order is being delivered"),
        ("withdrawal", "a withdrawal waits"),
        ("payment", "a payment, refund or dispute is not over"),
    ]
    .into();
    for (what, words) in refusals {
        let email = format!("{what}@example.org");
        let user = db.user(&email, "50").await;
        match what {
            "order" => drop(db.order(user, game, 1).await),
            "withdrawal" => {
                db.execute(&format!(
                    "insert into withdrawals (id, name, order_ref, contact, language)
                     values (gen_random_uuid(), 'Q', '1', '{email}', 'en')"
                ))
                .await;
            }
            _ => {
                db.execute(&format!(
                    "insert into top_ups (user_id, amount, method, provider, status) values ('{user}', 5, 'card', 'test', 'PROCESSING')"
                ))
                .await;
            }
        }
        let mut command = lockstep(&["erase", &email, "--yes"]);
        let refused = outcome(command.env("DATABASE_URL", db.url())).await;
        assert_eq!(refused.status.code(), Some(1), "{what}");
        assert!(
            text(&refused.stderr).contains(words),
            "{what}: {}",
            text(&refused.stderr)
        );
        assert_eq!(db.count(&format!("users where email = '{email}'")).await, 1);
    }
    assert_eq!(db.count("audit_log").await, 0, "a refusal leaves no entry");
}
