//! `/api/admin/g2a/…`, `jobs`, `incidents` and `scripts`: the exact JSON, and that a request only asks for the work.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lockstep_store::jobs::{self, Claim, JobState, Lane};
use lockstep_store::supplier_calls::{self, ProcessCalls, WorkerState};
use lockstep_store::sync::{Counts, Problem, TermCounts};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::orders::fund;
use crate::permissions::member;
use crate::shop::{NewGame, Shop};

const SYNC: &str = "/api/admin/g2a/sync";
const PROGRESS: &str = "/api/admin/g2a/sync-progress";
const LEASE: Duration = Duration::from_mins(1);

fn fields(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// What a worker reports of itself.
async fn report(shop: &Shop, calls: ProcessCalls) -> Uuid {
    let process = Uuid::now_v7();
    supplier_calls::report(&shop.db.store, process, &calls).await.unwrap();
    process
}

fn worker() -> WorkerState {
    WorkerState {
        breaker: "open".to_owned(),
        failures: 5,
        retry_in: Some(Duration::from_secs(30)),
        budget_capacity: 15,
        budget_per_minute: 585,
    }
}

#[tokio::test]
async fn a_synchronisation_is_asked_for_joined_worked_on_and_cancelled() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    let idle = staff.get(PROGRESS).await.data();
    assert_eq!((&idle["inProgress"], &idle["job"]), (&json!(false), &Value::Null));
    // What the existing console posts.
    let body = json!({"fullSync": true, "includeRelationships": true, "apiKey": "SECRET-1", "apiHash": "SECRET-2",
                      "apiUrl": "https://elsewhere.example", "env": "live"});
    let started = staff.post(SYNC, body.clone()).await;
    assert_eq!(started.json()["message"], "Synchronisation started");
    let mut data = started.data();
    let id = data["jobId"].take();
    let counts = json!({"synced": 0, "added": 0, "updated": 0, "removed": 0, "categoriesCreated": 0, "genresCreated": 0,
                        "platformsCreated": 0, "errors": []});
    let mut expected = counts.clone();
    for (field, value) in [
        ("jobId", Value::Null),
        ("state", json!("WAITING")),
        ("joined", json!(false)),
        ("message", json!("Synchronisation started")),
        ("data", counts),
    ] {
        expected[field] = value;
    }
    assert_eq!(data, expected);
    let stored: String = sqlx::query_scalar(
        "select string_agg(j::text, '') || (select string_agg(a::text, '') from audit_log a) from supplier_jobs j",
    )
    .fetch_one(&shop.db.sql)
    .await
    .unwrap();
    assert!(!stored.contains("SECRET") && !stored.contains("elsewhere"), "{stored}");

    // Others join the same, and are refused something else; nothing runs in a request.
    let others: Vec<_> = (0..6).map(|_| staff.post(SYNC, body.clone())).collect();
    for joined in futures::future::join_all(others).await {
        let joined = joined.data();
        assert_eq!((&joined["jobId"], &joined["joined"]), (&id, &json!(true)));
    }
    let other = staff.post(SYNC, json!({})).await;
    assert_eq!(other.failure(), (409, "sync_running".to_owned()));
    assert!(other.text().contains(id.as_str().unwrap()), "{}", other.text());
    let progress = staff.get(PROGRESS).await.data();
    assert_eq!(
        (&progress["inProgress"], &progress["job"]),
        (&json!(true), &json!({"id": id, "kind": "FULL", "state": "WAITING"}))
    );
    assert_eq!(staff.get("/api/admin/g2a/status").await.data()["syncInProgress"], true);

    // A worker takes it, and is asked to stop.
    let job = jobs::claim(&shop.db.store, Uuid::now_v7(), Lane::Catalogue, LEASE)
        .await
        .unwrap()
        .unwrap();
    let cancelled = staff.post(&format!("{SYNC}/cancel"), json!({})).await.data();
    assert_eq!(
        (&cancelled["state"], &cancelled["cancelRequested"]),
        (&json!("RUNNING"), &json!(true))
    );
    let mut result = job.result.clone();
    result.counts = Counts {
        seen: 20,
        created: 7,
        updated: 2,
        withdrawn: 1,
        ..Counts::default()
    };
    result.terms = TermCounts {
        genres: 3,
        ..TermCounts::default()
    };
    result.problem(&Problem {
        product: Some("10000000000001".into()),
        reason: "it has no name\0".into(),
    });
    result.note("full sync interrupted");
    jobs::finish(&shop.db.store, Claim::of(&job), JobState::Cancelled, &result)
        .await
        .unwrap();
    let shown = staff
        .get(&format!("/api/admin/jobs/{}", id.as_str().unwrap()))
        .await
        .data();
    for (field, value) in [
        ("kind", json!("FULL")),
        ("state", json!("CANCELLED")),
        ("attempts", json!(1)),
        ("synced", json!(20)),
        ("added", json!(7)),
        ("removed", json!(1)),
        ("genresCreated", json!(3)),
        (
            "errors",
            json!([{"productId": "10000000000001", "error": "it has no name"}]),
        ),
        ("log", json!(["full sync interrupted"])),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert!(shown["requestedBy"].is_string() && shown["finishedAt"].is_string());
    let list = staff.get("/api/admin/jobs?pageSize=1").await.data();
    assert_eq!((&list["jobs"][0], &list["total"]), (&shown, &json!(1)));
    assert_eq!(
        staff.post(&format!("{SYNC}/cancel"), json!({})).await.failure(),
        (409, "no_sync".to_owned())
    );
    assert_eq!(staff.get(PROGRESS).await.data(), idle);
    assert_eq!(
        staff.get(&format!("/api/admin/jobs/{}", Uuid::nil())).await.failure().0,
        404
    );
}

#[tokio::test]
async fn an_open_job_of_any_kind_is_cancelled_once() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    let job = jobs::NewJob::new(jobs::JobKind::Listing);
    let by = lockstep_store::audit::By::Operator("test".to_owned());
    let jobs::Submitted::New(job) = jobs::submit(&shop.db.store, &by, &job).await.unwrap() else {
        panic!("none is open");
    };
    let cancel = format!("/api/admin/jobs/{}/cancel", job.id);
    let claimed = jobs::claim(&shop.db.store, Uuid::now_v7(), Lane::Calls, LEASE)
        .await
        .unwrap()
        .unwrap();
    let asked = staff.post(&cancel, json!({})).await;
    assert_eq!(asked.json()["message"], "The job stops before its next call");
    assert_eq!(
        (&asked.data()["state"], &asked.data()["cancelRequested"]),
        (&json!("RUNNING"), &json!(true))
    );
    jobs::finish(
        &shop.db.store,
        Claim::of(&claimed),
        JobState::Cancelled,
        &claimed.result,
    )
    .await
    .unwrap();
    assert_eq!(staff.post(&cancel, json!({})).await.failure(), (409, "job_over".into()));
    let unknown = format!("/api/admin/jobs/{}/cancel", Uuid::nil());
    assert_eq!(staff.post(&unknown, json!({})).await.status, 404);
}

#[tokio::test]
async fn products_and_categories_narrow_it_and_each_wrong_field_is_named() {
    let shop = Shop::open().await;
    let staff = member(&shop, "OWNER").await;
    shop.put(&[NewGame::titled("Portal"), NewGame::titled("Doom")]).await;
    shop.db
        .execute(
            "update games set g2a_product_id = 'p-' || slug, g2a_stock = in_stock;
             insert into categories (name, slug) values ('Puzzle Games', 'puzzle');
             insert into game_categories select g.id, c.id from games g, categories c where g.slug = 'portal'",
        )
        .await;
    let long = "x".repeat(51);
    let many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
    for (field, wrong) in [
        ("productIds", json!("1")),
        ("productIds", json!([1])),
        ("productIds", json!([""])),
        ("productIds", json!(["a b"])),
        ("productIds", json!(["a\0"])),
        ("productIds", json!([long])),
        ("productIds", json!(many)),
        ("categories", json!(["\0"])),
        ("categories", json!([""])),
        ("categories", json!(["no such category"])),
        ("fullSync", json!("yes")),
    ] {
        let answer = staff.post(SYNC, json!({field: wrong})).await;
        assert_eq!(answer.failure(), (400, "validation_failed".into()), "{field} {wrong}");
        assert_eq!(answer.json()["error"]["errors"][0]["path"], field, "{field} {wrong}");
    }
    let asked = async |body: Value| {
        staff.post(SYNC, body).await.data();
        let job: (String, Vec<String>) =
            sqlx::query_as("select kind, products from supplier_jobs where finished_at is null")
                .fetch_one(&shop.db.sql)
                .await
                .unwrap();
        staff.post(&format!("{SYNC}/cancel"), json!({})).await.data();
        job
    };
    let products = |ids: &[&str]| ("PRODUCTS".to_owned(), ids.iter().map(|id| (*id).to_owned()).collect());
    assert_eq!(
        asked(json!({"productIds": ["7", "7", "8"], "fullSync": true})).await,
        products(&["7", "8"])
    );
    assert_eq!(
        asked(json!({"categories": ["PUZZLE games"]})).await,
        products(&["p-portal"])
    );
    // What the existing console sends: the supplier's one category.
    for (full, kind) in [(true, "FULL"), (false, "INCREMENTAL")] {
        let sent = json!({"fullSync": full, "includeRelationships": true, "categories": ["games"], "apiKey": "x"});
        assert_eq!(asked(sent).await, (kind.to_owned(), Vec::new()));
    }
    assert_eq!(
        asked(json!({"productIds": [], "categories": [], "fullSync": false}))
            .await
            .0,
        "INCREMENTAL"
    );
    let of_three = asked(json!({"productIds": ["1", "2", "3"]})).await;
    assert_eq!(of_three.1.len(), 3);
    for (path, list) in [
        ("sync-categories", "categories"),
        ("sync-genres", "genres"),
        ("sync-platforms", "platforms"),
    ] {
        let known = staff.post(&format!("/api/admin/g2a/{path}"), json!({})).await.data();
        let mut expected = vec!["created", "errors", list];
        expected.sort_unstable();
        let mut shown = fields(&known);
        shown.sort_unstable();
        assert_eq!(shown, expected);
        assert_eq!((&known["created"], &known["errors"]), (&json!(0), &json!([])));
    }
    let known = staff.post("/api/admin/g2a/sync-categories", json!({})).await.data();
    assert_eq!(known["categories"][0]["slug"], "puzzle");
}

#[tokio::test]
async fn calls_of_all_processes_add_up_and_the_budget_is_shown() {
    let shop = Shop::open().await;
    let staff = member(&shop, "ANALYST").await;
    let metrics = async || staff.get("/api/admin/g2a/metrics").await.data();
    assert_eq!(
        (
            metrics().await["requests_total"].clone(),
            metrics().await["latency_ms"].clone()
        ),
        (json!(0), json!([]))
    );
    report(
        &shop,
        ProcessCalls {
            requests: 10,
            succeeded: 7,
            failed: 3,
            retried: 2,
            latency_ms: vec![10, 20],
            worker: Some(worker()),
            ..ProcessCalls::default()
        },
    )
    .await;
    let ended = report(
        &shop,
        ProcessCalls {
            webhooks: 5,
            webhooks_refused: 1,
            latency_ms: vec![60],
            worker: Some(worker()),
            ..ProcessCalls::default()
        },
    )
    .await;
    supplier_calls::leave(&shop.db.store, ended).await.unwrap();
    let mut shown = metrics().await;
    let mut latencies: Vec<u64> = serde_json::from_value(shown["latency_ms"].take()).unwrap();
    latencies.sort_unstable();
    assert_eq!(latencies, [10, 20, 60]);
    let stats = json!({"avg": 30, "min": 10, "max": 60, "p50": 20, "p95": 60, "p99": 60});
    assert_eq!(
        shown,
        json!({"requests_total": 10, "requests_success": 7, "requests_error": 3, "requests_retry": 2, "webhook_total": 5,
               "webhook_valid": 4, "webhook_invalid": 1, "latency_ms": null, "latency": stats, "latency_stats": stats,
               "processes": 2})
    );
    let budget = staff.get("/api/admin/g2a/budget").await.data();
    assert_eq!(
        (
            &budget["available"],
            &budget["capacity"],
            &budget["perMinute"],
            &budget["alarms"]
        ),
        (&Value::Null, &json!(15), &json!(585), &json!([]))
    );
    let workers = budget["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 1, "the other has ended: {budget}");
    assert_eq!(
        (&workers[0]["breaker"], &workers[0]["failures"]),
        (&json!("open"), &json!(5))
    );
    assert!(workers[0]["retryAt"].is_string());
    shop.db
        .execute(
            "insert into g2a_budget (level, updated_at_ms, blocked_until_ms) values (0, 0, (extract(epoch from now()) * 1000)::bigint + 60000);
             insert into supplier_alarms (kind, retry_at, detail) values ('FUNDS', now(), 'no money')",
        )
        .await;
    let budget = staff.get("/api/admin/g2a/budget").await.data();
    assert_eq!(
        (&budget["available"], &budget["alarms"][0]["kind"]),
        (&json!(15), &json!("FUNDS"))
    );
    assert!(budget["blockedUntil"].is_string());
}

#[tokio::test]
async fn calls_are_made_by_a_worker_and_their_result_is_answered() {
    let shop = Shop::open().await;
    let staff = member(&shop, "OWNER").await;
    let connection = "/api/admin/g2a/test-connection";
    let export = "/api/admin/scripts/test-g2a-export-api";
    assert_eq!(staff.get(connection).await.failure(), (400, "no_worker".to_owned()));
    let none = staff.post(export, json!({})).await.data();
    assert_eq!((&none["exitCode"], &none["stdout"]), (&json!(1), &json!("")));
    // The existing console unwraps the answer twice.
    assert_eq!((&none["success"], &none["data"]["exitCode"]), (&json!(true), &json!(1)));
    assert_eq!(shop.db.count("supplier_jobs").await, 0);
    for (field, wrong) in [
        ("page", json!(0)),
        ("page", json!(501)),
        ("perPage", json!(101)),
        ("page", json!("1")),
    ] {
        let answer = staff.post(export, json!({field: wrong})).await;
        assert_eq!(answer.failure(), (400, "validation_failed".into()), "{field} {wrong}");
    }
    report(
        &shop,
        ProcessCalls {
            worker: Some(worker()),
            ..ProcessCalls::default()
        },
    )
    .await;
    // A worker that does one job after the other: every second one fails.
    let store = shop.db.store.clone();
    let working = tokio::spawn(async move {
        let mut done = 0;
        while done < 3 {
            let Some(job) = jobs::claim(&store, Uuid::now_v7(), Lane::Calls, LEASE).await.unwrap() else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            done += 1;
            let mut result = job.result.clone();
            result.note("G2A answered");
            result.note(&format!("page {}", job.page));
            let failed = done == 2;
            if failed {
                result.because("status 401");
            }
            let state = if failed { JobState::Failed } else { JobState::Completed };
            jobs::finish(&store, Claim::of(&job), state, &result).await.unwrap();
        }
    });
    let answered = staff.get(connection).await.json();
    assert_eq!(answered, json!({"success": true, "message": "G2A answers"}));
    let failed = staff.get(connection).await;
    assert_eq!(failed.failure(), (400, "supplier_unreachable".to_owned()));
    assert!(failed.text().contains("status 401"), "{}", failed.text());
    let mut shown = staff
        .post(export, json!({"page": 3, "perPage": 5, "debug": true}))
        .await
        .data()["data"]
        .take();
    assert!(shown["duration"].take().is_u64() && shown["jobId"].take().is_string());
    assert_eq!(
        shown,
        json!({"exitCode": 0, "stdout": "G2A answered\npage 3", "stderr": "", "duration": null, "jobId": null})
    );
    working.await.unwrap();
    // A whole synchronisation goes on after the answer.
    let all = staff
        .post(
            "/api/admin/scripts/sync-all-g2a-games",
            json!({"filters": {}, "limit": 5000}),
        )
        .await
        .data();
    assert_eq!((&all["exitCode"], all.get("error")), (&Value::Null, None));
    assert!(
        all["stdout"]
            .as_str()
            .unwrap()
            .ends_with(all["jobId"].as_str().unwrap()),
        "{all}"
    );
    assert_eq!(
        shop.db
            .count("supplier_jobs where kind = 'FULL' and state = 'WAITING'")
            .await,
        1
    );
    for gone in [
        staff
            .post(
                &format!("/api/admin/users/{}/generate-fake-data", Uuid::nil()),
                json!({}),
            )
            .await,
        Client::new(&shop)
            .post("/api/payment/terminal-webhook", json!({}))
            .await,
    ] {
        assert_eq!(gone.failure(), (410, "gone".to_owned()));
    }
    let offers = staff.get("/api/admin/g2a/offers?page=2&perPage=5&status=active").await;
    assert!(offers.json()["message"].as_str().unwrap().contains("buys from G2A"));
    assert_eq!(
        offers.data(),
        json!({"data": [], "meta": {"currentPage": 2, "lastPage": 1, "perPage": 5, "total": 0}})
    );
    assert_eq!(staff.get("/api/admin/g2a/offers/7").await.failure().0, 404);
}

#[tokio::test]
async fn reservations_are_the_units_in_flight_and_only_unpaid_ones_are_cancelled() {
    let shop = Shop::open().await;
    let (staff, ada) = (member(&shop, "MANAGER").await, Client::new(&shop));
    let user = ada.register("ada@example.org").await;
    fund(&shop, &user, "100").await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let order = json!({"items": [{"gameId": game.id, "quantity": 3}]});
    let order = ada.post("/api/orders", order).await.json()["data"].take();
    let path = "/api/admin/g2a/reservations";
    assert_eq!(
        staff.get(path).await.data()["reservations"],
        json!([]),
        "nothing is asked of G2A yet"
    );
    shop.db
        .execute(
            "update order_units set state = 'ORDERING';
             update order_units set state = 'ORDERED', g2a_order_id = '8' || position, g2a_price = 5,
                    ordered_at = '2026-01-02T03:04:05Z' where position < 3;
             update order_units set state = 'PAYING', pay_asked_at = now() where position = 2",
        )
        .await;
    let list = staff.get(path).await.data();
    assert_eq!((&list["total"], &list["pageSize"]), (&json!(3), &json!(20)));
    let of_status = async |status: &str| {
        let filter = format!("{path}?status={status}&orderId={}", order["id"].as_str().unwrap());
        staff.get(&filter).await.data()["reservations"].take()
    };
    let mut ordered = of_status("ordered").await;
    let id = ordered[0]["reservationId"].take();
    assert_eq!(
        ordered,
        json!([{"reservationId": null, "orderId": order["id"], "productId": "", "quantity": 1, "status": "pending", "state": "ORDERED",
                "expiresAt": "2026-01-02T03:34:05.000Z", "createdAt": "2026-01-02T03:04:05.000Z", "g2aOrderId": "81",
                "cancellable": true, "order": {"id": order["id"], "status": order["status"], "total": order["total"],
                "user": {"id": user["user"]["id"], "email": "ada@example.org", "nickname": "Newbie Guy"}}}])
    );
    // Nothing is known of it yet; it cannot have begun before now.
    let ordering = of_status("ordering").await;
    let expires = ordering[0]["expiresAt"]
        .as_str()
        .unwrap()
        .parse::<DateTime<Utc>>()
        .unwrap();
    assert!(expires > shop.clock.now(), "{ordering}");
    assert_eq!(of_status("no-such-state").await, json!([]));
    let words = [of_status("pending").await, of_status("confirmed").await];
    assert_eq!(words.map(|found| found.as_array().map(Vec::len)), [Some(2), Some(1)]);
    // The existing console asks after each letter of an ID.
    let typed = staff.get(&format!("{path}?orderId=01a")).await.data();
    assert_eq!(typed["reservations"], json!([]));
    let cancel = |id: &Value| format!("{path}/{}/cancel", id.as_str().unwrap());
    let paying = of_status("PAYING").await;
    assert_eq!(paying[0]["cancellable"], false);
    assert_eq!(
        staff
            .post(&cancel(&paying[0]["reservationId"]), json!({}))
            .await
            .failure(),
        (409, "reservation_paid".to_owned())
    );
    // Two at once: one refund.
    let cancelled = cancel(&id);
    let (one, two) = tokio::join!(staff.post(&cancelled, json!({})), staff.post(&cancelled, json!({})));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let good = if one.status == 200 { one } else { two };
    assert_eq!(good.data(), json!({"refunded": 10.0}));
    assert_eq!(
        staff
            .post(&cancel(&json!(Uuid::nil().to_string())), json!({}))
            .await
            .failure()
            .0,
        404
    );
    assert_eq!(ada.get("/api/user/balance").await.data()["balance"], json!(80.0));
    assert_eq!(staff.get(path).await.data()["total"], json!(2));
    assert_eq!(shop.db.count("audit_log where action = 'reservation.cancel'").await, 1);
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn incidents_are_listed_and_closed_once_with_a_note() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    shop.db
        .execute(
            "insert into incidents (kind, g2a_order_id, detail, created_at, resolved_at) values
                ('KEY_LATE', '1', 'a late key', '2026-01-01Z', null), ('KEY_TWICE', '2', 'twice', '2026-01-02Z', null),
                ('KEY_LATE', '3', 'dealt with', '2026-01-03Z', '2026-01-04Z')",
        )
        .await;
    let path = "/api/admin/incidents";
    let orders = async |query: &str| -> Vec<String> {
        let list = staff.get(&format!("{path}{query}")).await.data();
        let rows = list["incidents"].as_array().unwrap();
        rows.iter()
            .map(|row| row["g2aOrderId"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(orders("").await, ["2", "1"]);
    assert_eq!(orders("?status=closed").await, ["3"]);
    assert_eq!(orders("?status=all&pageSize=2").await, ["3", "2"]);
    assert_eq!(staff.get(&format!("{path}?status=x")).await.failure().0, 400);
    let first = staff.get(path).await.data()["incidents"][0].take();
    let id = first["id"].as_str().unwrap();
    let close = format!("{path}/{id}/close");
    for wrong in [
        json!({}),
        json!({"note": " "}),
        json!({"note": "a\0b"}),
        json!({"note": "x".repeat(501)}),
        json!({"note": 1}),
    ] {
        assert_eq!(
            staff.post(&close, wrong).await.failure(),
            (400, "validation_failed".into())
        );
    }
    let closings = (0..4).map(|_| staff.post(&close, json!({"note": "asked G2A"})));
    let closings = futures::future::join_all(closings).await;
    let (closed, refused): (Vec<_>, Vec<_>) = closings.iter().partition(|answer| answer.status == 200);
    assert_eq!((closed.len(), refused.len()), (1, 3));
    assert!(
        refused
            .iter()
            .all(|answer| answer.failure() == (409, "incident_closed".to_owned()))
    );
    let mut expected = first.clone();
    let mut shown = closed[0].data();
    assert!(shown["resolvedAt"].take().is_string());
    expected["note"] = json!("asked G2A");
    assert_eq!(shown, expected);
    assert_eq!(orders("").await, ["1"]);
    assert_eq!(
        staff
            .post(&format!("{path}/{}/close", Uuid::nil()), json!({"note": "x"}))
            .await
            .failure()
            .0,
        404
    );
    assert_eq!(shop.db.count("audit_log where action = 'incident.close'").await, 1);
}
