//! Reports, lists as CSV files, and the export of a user by staff.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::client::Client;
use crate::orders::fund;
use crate::permissions::member;
use crate::shop::{NewGame, Shop};

fn fields(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// An order of one unit at 10.00 EUR that is delivered from own stock, and one that is cancelled.
async fn sold(shop: &Shop, staff: &Client<'_>) {
    let ada = Client::new(shop);
    let user = ada.register("ada@example.org").await;
    fund(shop, &user, "100").await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    for quantity in [1, 2] {
        let order = json!({"items": [{"gameId": game.id, "quantity": quantity}]});
        let placed = ada.post("/api/orders", order).await.json()["data"].take();
        if quantity == 1 {
            shop.db
                .deliver(placed["copies"][0]["id"].as_str().unwrap().parse().unwrap())
                .await;
        } else {
            let cancel = format!("/api/admin/orders/{}/cancel", placed["id"].as_str().unwrap());
            assert_eq!(staff.post(&cancel, json!({})).await.status, 200);
        }
    }
}

#[tokio::test]
async fn reports_have_their_documented_shapes() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    sold(&shop, &owner).await;
    let today = shop.clock.now().date_naive().to_string();
    for by in ["day", "week", "month", "genre", "platform", "country"] {
        let report = owner.get(&format!("/api/admin/reports/sales?by={by}")).await.data();
        assert_eq!(
            fields(&report),
            ["by", "from", "refundsCounted", "rows", "timeZone", "to", "totals"]
        );
        let counted = if matches!(by, "genre" | "platform" | "country") {
            "copies"
        } else {
            "orders"
        };
        let mut names = vec![counted, "key", "refunded", "revenue", "sold"];
        names.sort_unstable();
        assert_eq!(fields(&report["totals"]), names);
        assert_eq!(
            (
                &report["totals"]["sold"],
                &report["totals"]["refunded"],
                &report["totals"]["revenue"]
            ),
            (&json!(30.0), &json!(20.0), &json!(10.0)),
            "{by}"
        );
        if by == "country" {
            assert_eq!(report["rows"][0]["key"], "unknown");
            continue;
        }
        let margin = owner.get(&format!("/api/admin/reports/margin?by={by}")).await.data();
        assert_eq!(
            fields(&margin),
            ["by", "from", "paymentFeesKnown", "rows", "timeZone", "to", "totals"]
        );
        assert_eq!(
            margin["totals"],
            json!({"key": "", "copies": 1, "copiesWithoutCost": 1, "sold": 10.0, "supplierCost": 0.0,
                   "ownStockCost": 0.0, "paymentFees": null, "margin": 10.0}),
            "{by}"
        );
    }
    let days = owner.get("/api/admin/reports/sales").await.data();
    assert_eq!(days["rows"].as_array().unwrap().len(), 30);
    assert_eq!((&days["to"], &days["timeZone"]), (&json!(today), &json!("UTC")));
    assert_eq!(days["rows"][29]["key"], json!(today));
    let refunds = owner.get("/api/admin/reports/refunds?by=reason").await.data();
    assert_eq!(
        (&refunds["rows"], &refunds["totals"]),
        (
            &json!([{"reason": "CANCELLED", "count": 2, "refunded": 20.0}]),
            &json!({"reason": "", "count": 2, "refunded": 20.0})
        )
    );
    for query in [
        "sales?by=city",
        "margin?by=country",
        "sales?from=2026-02-30",
        "sales?from=2026-02-02&to=2026-02-01",
        "sales?from=2000-01-01&to=2026-01-01",
        "margin?by=genre&from=2024-01-01&to=2026-01-01",
        "refunds?by=game",
    ] {
        let answer = owner.get(&format!("/api/admin/reports/{query}")).await;
        assert_eq!(answer.failure().0, 400, "{query}");
    }
    let dashboard = owner.get("/api/admin/dashboard").await.data();
    assert_eq!(
        dashboard["margin"],
        json!({"total": 10.0, "today": 10.0, "thisWeek": 10.0, "thisMonth": 10.0, "copiesWithoutCost": 1, "paymentFeesKnown": false})
    );
    assert_eq!(dashboard["timeZone"], "UTC");
}

/// The rows of a CSV file, by the names of their columns.
fn parsed(bytes: &[u8]) -> Vec<Value> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).expect("a byte order mark");
    let mut reader = csv::Reader::from_reader(bytes);
    let names = reader.headers().unwrap().clone();
    let row = |row: csv::StringRecord| {
        let cells = names.iter().zip(&row);
        Value::Object(cells.map(|(name, cell)| (name.to_owned(), json!(cell))).collect())
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

#[tokio::test]
async fn every_list_is_also_a_file_with_the_same_rows() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    sold(&shop, &owner).await;
    shop.db
        .execute(
            "update users set nickname = '=HYPERLINK(\"https://evil.example\";\"a\"\"b\")', first_name = 'Jürgen, \"J\"'
              where email = 'ada@example.org';
             insert into promo_codes (code, discount) values ('-SUM', 12.5)",
        )
        .await;
    let ada = Client::new(&shop);
    ada.log_in("ada@example.org").await;
    let game = shop.db.game("Half-Life", "half-life", "5.00").await;
    shop.db.key(game).await;
    ada.post("/api/cart", json!({"gameId": game, "quantity": 2})).await;
    ada.post("/api/wishlist", json!({"gameId": game})).await;
    for (path, list) in [
        ("orders", "orders"),
        ("orders?status=CANCELLED", "orders"),
        ("orders?status=REFUNDED", "orders"),
        ("users", "users"),
        ("users?email=ADA", "users"),
        ("transactions", "transactions"),
        ("transactions?status=COMPLETED&method=BALANCE", "transactions"),
        ("payments/transactions?method=ALA", "transactions"),
        ("games", "games"),
        ("promo-codes", ""),
        ("carts", "carts"),
        ("carts?hasItems=false", "carts"),
        ("wishlists", "wishlists"),
    ] {
        let glue = if path.contains('?') { '&' } else { '?' };
        let file = owner.get(&format!("/api/admin/{path}{glue}format=csv")).await;
        assert_eq!(file.status, 200, "{path}");
        assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8; header=present");
        assert!(
            file.headers["content-disposition"]
                .to_str()
                .unwrap()
                .starts_with("attachment; filename=\"")
        );
        let rows = parsed(&file.bytes);
        let listed = owner.get(&format!("/api/admin/{path}")).await.data();
        let listed = if list.is_empty() { &listed } else { &listed[list] };
        assert_eq!(rows.len(), listed.as_array().unwrap().len(), "{path}");
        for (row, listed) in rows.iter().zip(listed.as_array().unwrap()) {
            // Every column that the list has too says the same.
            for (name, cell) in row.as_object().unwrap() {
                let wanted = match &listed[name] {
                    Value::Null | Value::Array(_) | Value::Object(_) => continue,
                    Value::Number(number) if cell.as_str().unwrap().contains('.') => {
                        format!("{:.2}", number.as_f64().unwrap())
                    }
                    // How JSON says that there is no end.
                    Value::String(text) if text == "9999-12-31T23:59:59.999Z" => String::new(),
                    Value::String(text) if text.starts_with(['=', '-']) => format!("'{text}"),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(cell, &json!(wanted), "{path}: {name}");
            }
        }
    }
    let rows = parsed(&owner.get("/api/admin/users?email=ada&format=csv").await.bytes);
    assert_eq!(rows[0]["nickname"], "'=HYPERLINK(\"https://evil.example\";\"a\"\"b\")");
    assert_eq!(
        (&rows[0]["firstName"], &rows[0]["lastName"]),
        (&json!("Jürgen, \"J\""), &json!(""))
    );
    let rows = parsed(&owner.get("/api/admin/orders?format=csv&status=CANCELLED").await.bytes);
    assert_eq!(
        (&rows[0]["items"], &rows[0]["total"]),
        (&json!("2 × Portal"), &json!("20.00"))
    );
    // An amount is a number, whatever it begins with.
    let rows = parsed(
        &owner
            .get("/api/admin/transactions?format=csv&method=BALANCE")
            .await
            .bytes,
    );
    assert!(rows.iter().any(|row| row["amount"] == "-20.00"), "{rows:?}");
    assert_eq!(owner.get("/api/admin/orders?format=xlsx").await.failure().0, 400);
    // Each was recorded, by the names of its filters only.
    let recorded: Vec<Value> =
        sqlx::query_scalar("select details from audit_log where action = 'list.export' order by at")
            .fetch_all(&shop.db.sql)
            .await
            .unwrap();
    assert_eq!(recorded.len(), 16);
    assert_eq!(recorded[4], json!({"list": "users", "filters": ["email"]}));
}

#[tokio::test]
async fn a_user_is_exported_as_a_document_and_as_json() {
    let shop = Shop::open().await;
    let support = member(&shop, "SUPPORT").await;
    let owner = member(&shop, "OWNER").await;
    sold(&shop, &owner).await;
    let id: uuid::Uuid = sqlx::query_scalar("select id from users where email = 'ada@example.org'")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let path = format!("/api/admin/users/{id}/export");
    for accept in ["*/*", "application/pdf", "application/json, text/plain, */*"] {
        let report = support.send_with("GET", &path, "", &[("accept", accept)]).await;
        assert_eq!(
            (report.status.as_u16(), &report.headers["content-type"]),
            (200, &"application/pdf".parse().unwrap())
        );
        let name = format!("attachment; filename=\"user-report-{id}.pdf\"");
        assert_eq!(report.headers["content-disposition"], name.as_str());
        assert!(report.bytes.starts_with(b"%PDF-"));
    }
    let export = support
        .send_with("GET", &path, "", &[("accept", "application/json")])
        .await;
    let data = export.data();
    assert_eq!(data["user"]["email"], "ada@example.org");
    assert_eq!(
        (data["orders"].as_array().unwrap().len(), &data["apiTokens"]),
        (2, &json!([]))
    );
    assert!(!export.text().contains("password_hash"));
    let nobody = "/api/admin/users/0192f0c1-0000-7000-8000-000000000001/export";
    assert_eq!(support.get(nobody).await.failure(), (404, "not_found".into()));
    let nobody = support
        .send_with("GET", nobody, "", &[("accept", "application/json")])
        .await;
    assert_eq!(nobody.failure(), (404, "account_not_found".into()));
    assert_eq!(shop.db.count("audit_log where action = 'user.export'").await, 4);
}

/// What a client gets early and slowly, and how many may at one time.
#[tokio::test]
async fn long_files_are_streamed_and_few_at_one_time() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    shop.db
        .execute(
            "insert into users (email, password_hash, created_at)
             select n || '@example.org', '$2b$12$' || repeat('.', 53), now() - n * interval '1 second' from generate_series(1, 4000) n",
        )
        .await;
    let mut first = owner
        .begin("GET", "/api/admin/users?format=csv")
        .await
        .into_body()
        .into_data_stream();
    let mut got = first.next().await.unwrap().unwrap().len() + first.next().await.unwrap().unwrap().len();
    // The snapshot is that of the beginning, and the rest is read only when it is asked for.
    shop.db
        .execute("delete from users where email = '4000@example.org'")
        .await;
    let second = owner.begin("GET", "/api/admin/users?format=csv").await;
    assert_eq!((second.status().as_u16(), got < 200_000), (200, true), "{got}");
    assert_eq!(owner.get("/api/admin/users?format=csv").await.status, 503);
    drop(second);
    let mut file = Vec::new();
    while let Some(piece) = first.next().await {
        let piece = piece.unwrap();
        got += piece.len();
        file.extend(piece);
    }
    assert!(
        got > 400_000 && String::from_utf8(file).unwrap().contains("4000@example.org"),
        "{got}"
    );
    // Both places are free again.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let rows = loop {
        let file = owner.get("/api/admin/users?format=csv").await;
        if file.status == 200 {
            break parsed(&file.bytes).len();
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", file.status);
    };
    assert_eq!(rows, 4_000);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_to_its_end_is_not_whole() {
    let shop = Shop::open().await;
    let owner = member(&shop, "OWNER").await;
    shop.db
        .execute(
            "insert into users (email, password_hash)
             select n || '@example.org', '$2b$12$' || repeat('.', 53) from generate_series(1, 4000) n",
        )
        .await;
    let mut file = owner
        .begin("GET", "/api/admin/users?format=csv")
        .await
        .into_body()
        .into_data_stream();
    // The names of the columns come before anything is read.
    for _ in ["columns", "rows"] {
        file.next().await.unwrap().unwrap();
    }
    shop.db.cut_connections().await;
    let ended = loop {
        match file.next().await {
            Some(Ok(_)) => {}
            ended => break ended,
        }
    };
    assert!(matches!(ended, Some(Err(_))), "an error, and not an end");
}
