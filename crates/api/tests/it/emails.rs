//! Texts of e-mails, mail servers and the e-mail queue, as staff read and change them.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::catalogue_by_staff::{audited, created, fields, root};
use crate::client::Client;
use crate::permissions::member;
use crate::shop::Shop;

const TEMPLATES: &str = "/api/admin/email-templates";
const SETTINGS: &str = "/api/admin/email-settings";
const QUEUE: &str = "/api/admin/email-queue";
const LINK: &str = "<p>{{greeting}}</p><p><a href=\"{{link}}\">Go</a></p>";

/// The lines that a mail server heard.
type Heard = Arc<Mutex<Vec<String>>>;

/// A mail server in clear that answers `RCPT` like that and everything else with consent.
async fn mail_server(rcpt: &'static str) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let record = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let record = Arc::clone(&record);
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 sink\r\n").await.ok()?;
                let mut is_data = false;
                while let Some(line) = lines.next_line().await.ok()? {
                    record.lock().ok()?.push(line.clone());
                    let answer = match line.get(..4).unwrap_or_default() {
                        "." | "" if is_data && line == "." => {
                            is_data = false;
                            "250 taken\r\n"
                        }
                        _ if is_data => continue,
                        "DATA" => {
                            is_data = true;
                            "354 go\r\n"
                        }
                        "RCPT" => rcpt,
                        _ => "250 ok\r\n",
                    };
                    write.write_all(answer.as_bytes()).await.ok()?;
                }
                Some(())
            });
        }
    });
    (port, heard)
}

fn server(name: &str, port: u16) -> Value {
    json!({"name": name, "host": "127.0.0.1", "port": port, "secure": false, "user": "", "password": "",
           "fromEmail": "shop@shop.example", "fromName": "Shop", "isActive": false})
}

#[tokio::test]
async fn templates_are_listed_described_and_previewed() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let list = root.get(TEMPLATES).await.data();
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, lockstep_domain::email_template::EmailTemplate::KINDS);
    let one = root.get(&format!("{TEMPLATES}/reset")).await.data();
    assert_eq!(one, list[2]);
    assert_eq!(
        one,
        json!({"name": "reset", "filename": "reset.en.html", "description": "The link to set a new password",
               "variables": ["link", "minutes", "greeting", "nickname", "shop", "shopUrl"],
               "subject": "Set a new password for {{shop}}", "content": one["content"], "language": "en", "version": 0,
               "edited": false})
    );
    let content = one["content"].as_str().unwrap();
    assert!(
        content.contains("href=\"{{link}}\"") && content.contains("{{minutes}} minutes"),
        "{content}"
    );
    // The name of the existing shop, and another language.
    let german = root
        .get(&format!("{TEMPLATES}/password-reset?language=de"))
        .await
        .data();
    assert_eq!((&german["name"], &german["language"]), (&json!("reset"), &json!("de")));
    let known = root.get(&format!("{TEMPLATES}/metadata")).await.data();
    assert_eq!(known[2]["languages"], json!(["en", "de", "fr", "es", "pl"]));
    assert_eq!(
        known[2]["variables"][0],
        json!({"name": "link", "description": "where the button leads", "kind": "link", "required": true})
    );
    let previews = root.post(&format!("{TEMPLATES}/reset/preview"), json!({})).await.data();
    let languages: Vec<&Value> = previews
        .as_array()
        .unwrap()
        .iter()
        .map(|preview| &preview["language"])
        .collect();
    assert_eq!(languages, ["en", "de", "fr", "es", "pl"]);
    let draft = json!({"content": format!("{LINK}<script>1</script>"), "variables": {"greeting": "<b>Hi</b>"}});
    let preview = root.post(&format!("{TEMPLATES}/reset/preview"), draft.clone()).await;
    assert_eq!(preview.failure(), (400, "invalid_parameter".to_owned()));
    let draft =
        json!({"subject": "Hi {{nickname}}", "content": LINK, "variables": {"nickname": 7, "greeting": "<b>Hi</b>"}});
    let preview = root.post(&format!("{TEMPLATES}/reset/preview"), draft).await.data();
    assert_eq!(preview[0]["subject"], "Hi 7");
    let html = preview[0]["html"].as_str().unwrap();
    assert!(
        html.contains("&lt;b&gt;Hi&lt;/b&gt;") && html.starts_with("<!doctype html>"),
        "{html}"
    );
    assert!(
        preview[0]["text"]
            .as_str()
            .unwrap()
            .starts_with("<b>Hi</b>\n\nGo:\nhttp"),
        "{preview}"
    );
    for missing in ["spam", "Reset", "re%00set"] {
        assert_eq!(
            root.get(&format!("{TEMPLATES}/{missing}")).await.status,
            404,
            "{missing}"
        );
        let put = root
            .put(&format!("{TEMPLATES}/{missing}"), json!({"content": LINK}))
            .await;
        assert_eq!(put.status, 404, "{missing}");
    }
    assert_eq!(root.get(&format!("{TEMPLATES}?language=it")).await.status, 400);
}

#[tokio::test]
async fn a_template_is_changed_over_the_version_that_was_shown_and_reset() {
    let shop = Shop::open().await;
    let other = shop.another_process().await;
    let (here, there) = (root(&shop).await, Client::new(&other));
    there.log_in("root@example.org").await;
    let path = format!("{TEMPLATES}/reset");
    let put = async |client: &Client<'_>, content: &str| client.put(&path, json!({"content": content})).await;
    assert_eq!(put(&here, LINK).await.failure(), (409, "not_seen".to_owned()));
    for client in [&here, &there] {
        client.get(&path).await;
    }
    let wrong = put(&here, "<p>\n{{lnk}}</p>").await;
    assert_eq!(wrong.failure(), (400, "invalid_parameter".to_owned()));
    assert_eq!(
        wrong.json()["error"]["message"],
        "Invalid content: line 2, column 1: {{lnk}} is no variable of this e-mail"
    );
    let saved = put(&here, &format!("{LINK}<img src=\"x\" onerror=\"alert(1)\">")).await;
    assert_eq!(
        saved.json(),
        json!({"success": true, "message": "The template is saved"})
    );
    let now = here.get(&path).await.data();
    assert_eq!(now["content"], format!("{LINK}<img src=\"x\">"));
    assert_eq!(
        (&now["edited"], &now["subject"]),
        (&json!(true), &json!("Set a new password for {{shop}}"))
    );
    assert!(
        now["editedBy"].is_string() && now["editedAt"].is_string() && now["version"].as_i64() > Some(0),
        "{now}"
    );
    // Somebody else still sees the shipped text.
    let late = put(&there, LINK).await;
    assert_eq!(late.failure(), (409, "outdated".to_owned()));
    assert_eq!(late.json()["error"]["current"], now);
    assert_eq!(put(&there, LINK).await.status, 409, "being told is not having looked");
    there.get(&path).await;
    let form = json!({"content": LINK, "subject": " New for {{nickname}} "});
    assert_eq!(there.put(&path, form).await.status, 200);
    assert_eq!(there.get(&path).await.data()["subject"], "New for {{nickname}}");
    // A client without a memory names the version.
    let version = there.get(&path).await.data()["version"].clone();
    let form = json!({"content": format!("{LINK}!"), "version": version});
    assert_eq!(here.put(&path, form.clone()).await.status, 200);
    assert_eq!(here.put(&path, form).await.failure(), (409, "outdated".to_owned()));
    assert_eq!(there.delete(&path).await.failure(), (409, "outdated".to_owned()));
    there.get(&path).await;
    for _ in 0..2 {
        assert_eq!(there.delete(&path).await.status, 200);
    }
    assert_eq!(there.get(&path).await.data()["version"], 0);
    let done = audited(&shop).await;
    let changes = done.iter().filter(|action| *action == "email.template_change").count();
    assert_eq!((changes, done.last().unwrap().as_str()), (3, "email.template_reset"));
}

/// Of many who save over the same version, one does.
#[tokio::test]
async fn one_of_many_editors_of_a_version_wins() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    for version in [json!(0), Value::Null] {
        let path = format!("{TEMPLATES}/welcome");
        let version = if version.is_null() {
            root.get(&path).await.data()["version"].clone()
        } else {
            version
        };
        let form = json!({"content": LINK, "version": version});
        let answers = join_all((0..8).map(|_| root.put(&path, form.clone()))).await;
        let saved = answers.iter().filter(|answer| answer.status == 200).count();
        let late = answers.iter().filter(|answer| answer.status == 409).count();
        assert_eq!((saved, late), (1, 7));
    }
}

#[tokio::test]
async fn mail_servers_are_entered_tested_and_used() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    assert_eq!(root.get(SETTINGS).await.data(), json!([]));
    let test = json!({"email": "ada@example.org"});
    let send = format!("{TEMPLATES}/game-key/send-test");
    assert_eq!(
        root.post(&send, test.clone()).await.failure(),
        (409, "no_mail_server".to_owned())
    );
    let (port, heard) = mail_server("250 ok\r\n").await;
    let made = created(&root.post(SETTINGS, server("Ours", port)).await);
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("{SETTINGS}/{id}");
    assert_eq!(
        made,
        json!({"id": id, "name": "Ours", "host": "127.0.0.1", "port": port, "secure": false, "user": "", "password": "",
               "fromEmail": "shop@shop.example", "fromName": "Shop", "isActive": false, "inUse": false,
               "source": "database", "version": made["version"], "testedAt": null, "testError": null,
               "createdAt": made["createdAt"], "updatedAt": made["updatedAt"], "warning": null})
    );
    assert_eq!(root.get(&path).await.data(), made);
    // The existing front-end sends no body.
    assert_eq!(root.send("POST", &format!("{path}/test"), "").await.status, 200);
    assert!(root.get(&path).await.data()["testedAt"].is_string());
    let active = root.put(&path, json!({"isActive": true})).await.data();
    assert_eq!((&active["isActive"], &active["inUse"]), (&json!(true), &json!(true)));
    assert_eq!(
        root.get(&format!("{SETTINGS}?activeOnly=true")).await.data(),
        json!([active])
    );
    let sent = root
        .post(
            &send,
            json!({"email": "ada@example.org", "variables": {"orderNumber": "A1"}}),
        )
        .await;
    assert_eq!(sent.status, 200, "{}", sent.json());
    {
        let heard = heard.lock().unwrap();
        assert!(
            heard.contains(&"RCPT TO:<ada@example.org>".to_owned())
                && heard.iter().any(|line| line.contains("AAAAA-BBBBB"))
        );
    }
    assert_eq!(fields(&root.post(&send, json!({"email": "nobody"})).await), ["email"]);
    // A password is never shown, never sent in clear, and never sent to a host that it was not entered for.
    let login = json!({"user": "ada", "password": "hunter2", "isActive": false});
    let saved = root.put(&path, login).await.data();
    assert_eq!(
        (&saved["password"], &saved["testedAt"]),
        (&json!("••••••••"), &Value::Null)
    );
    assert_eq!(
        shop.db
            .count("email_settings where position('hunter2'::bytea in password) > 0")
            .await,
        0
    );
    for kept in ["", "••••••••"] {
        let same = root.put(&path, json!({"name": "Ours", "password": kept})).await;
        assert_eq!(
            (same.status.as_u16(), &same.data()["password"]),
            (200, &json!("••••••••"))
        );
    }
    let refused = root.send("POST", &format!("{path}/test"), "").await;
    assert_eq!(refused.failure(), (400, "mail_server_refuses".to_owned()));
    assert!(
        !refused.text().contains("hunter2") && refused.text().contains("STARTTLS"),
        "{}",
        refused.text()
    );
    assert!(
        root.get(&path).await.data()["testError"]
            .as_str()
            .unwrap()
            .contains("STARTTLS")
    );
    assert!(heard.lock().unwrap().iter().all(|line| !line.starts_with("AUTH")));
    let activated = root.put(&path, json!({"isActive": true})).await;
    assert_eq!(activated.failure(), (400, "mail_server_refuses".to_owned()));
    for moved in [
        json!({"host": "evil.example"}),
        json!({"port": 26}),
        json!({"user": "bob", "password": "••••••••"}),
    ] {
        assert_eq!(fields(&root.put(&path, moved.clone()).await), ["password"], "{moved}");
    }
    let outdated = root.put(&path, json!({"name": "X", "version": made["version"]})).await;
    assert_eq!(outdated.failure(), (409, "outdated".to_owned()));
    assert_eq!(
        fields(
            &root
                .post(SETTINGS, json!({"host": "a b", "port": 0, "fromEmail": "x\0@y"}))
                .await
        ),
        ["port", "host", "fromEmail"]
    );
    assert_eq!(
        fields(&root.post(SETTINGS, json!({})).await),
        ["host", "port", "fromEmail"]
    );
    // Nobody listens there.
    let dead = created(&root.post(SETTINGS, server("Dead", 1)).await);
    let dead = format!("{SETTINGS}/{}", dead["id"].as_str().unwrap());
    assert_eq!(root.send("POST", &format!("{dead}/test"), "").await.status, 400);
    assert_eq!(root.delete(&dead).await.status, 200);
    assert_eq!(root.delete(&dead).await.status, 404);
}

/// However many activate theirs at the same time, one server is active, and it is one of theirs.
#[tokio::test]
async fn one_mail_server_is_active_whoever_activates() {
    let shop = Shop::open().await;
    let other = shop.another_process().await;
    let (here, there) = (root(&shop).await, Client::new(&other));
    there.set_token(here.token().as_deref());
    let (port, _) = mail_server("250 ok\r\n").await;
    let mut paths = Vec::new();
    for name in ["A", "B", "C", "D"] {
        let id = created(&here.post(SETTINGS, server(name, port)).await)["id"]
            .as_str()
            .unwrap()
            .to_owned();
        paths.push(format!("{SETTINGS}/{id}"));
        // Its test has passed, so that the activations meet in the database.
        assert_eq!(
            here.send("POST", &format!("{SETTINGS}/{id}/test"), "").await.status,
            200
        );
    }
    for _ in 0..3 {
        let activate = |(number, path): (usize, &String)| {
            let (client, path) = (if number % 2 == 0 { &here } else { &there }, path.clone());
            async move { client.put(&path, json!({"isActive": true})).await.status.as_u16() }
        };
        let answers = join_all(paths.iter().enumerate().map(activate)).await;
        assert!(answers.iter().all(|status| [200, 409].contains(status)), "{answers:?}");
        assert!(answers.contains(&200));
        assert_eq!(shop.db.count("email_settings where is_active").await, 1);
    }
    let active = here.get(&format!("{SETTINGS}?activeOnly=true")).await.data()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let active = format!("{SETTINGS}/{active}");
    assert_eq!(here.delete(&active).await.failure(), (409, "in_use".to_owned()));
    // Who deactivates the last one is told what that means.
    let last = here.put(&active, json!({"isActive": false})).await.data();
    assert!(
        last["warning"].as_str().unwrap().contains("every e-mail waits"),
        "{last}"
    );
    assert_eq!(here.delete(&active).await.status, 200);
}

/// A mail server that takes no e-mails from one sender.
async fn picky_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 sink\r\n").await.ok()?;
                while let Some(line) = lines.next_line().await.ok()? {
                    let refuses = line.starts_with("MAIL FROM:<wrong@");
                    let answer = if refuses { "553 not yours\r\n" } else { "250 ok\r\n" };
                    write.write_all(answer.as_bytes()).await.ok()?;
                }
                Some(())
            });
        }
    });
    port
}

/// What a test has shown counts for just those settings: address, log-in and sender.
#[tokio::test]
async fn a_server_is_tested_with_every_setting_that_it_may_refuse() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let made = created(&root.post(SETTINGS, server("Ours", picky_server().await)).await);
    let path = format!("{SETTINGS}/{}", made["id"].as_str().unwrap());
    let test = format!("{path}/test");
    assert_eq!(root.send("POST", &test, "").await.status, 200);
    let active = root.put(&path, json!({"isActive": true})).await.data();
    assert_eq!(
        (&active["isActive"], active["testedAt"].is_string()),
        (&json!(true), true)
    );
    // A name says nothing to the server: the test of before counts.
    let named = root
        .put(&path, json!({"name": "Theirs", "fromName": "Us"}))
        .await
        .data();
    assert_eq!(named["testedAt"], active["testedAt"]);
    // Another sender is tried before it is saved.
    let refused = root.put(&path, json!({"fromEmail": "wrong@shop.example"})).await;
    assert_eq!(refused.failure(), (400, "mail_server_refuses".to_owned()));
    assert!(refused.text().contains("not yours"), "{}", refused.text());
    let now = root.get(&path).await.data();
    assert_eq!(
        (&now["fromEmail"], &now["testedAt"]),
        (&json!("shop@shop.example"), &active["testedAt"])
    );
    // Of one that is not active, it is saved untested.
    let off = json!({"isActive": false, "fromEmail": "wrong@shop.example"});
    assert_eq!(root.put(&path, off).await.data()["testedAt"], Value::Null);
    assert_eq!(root.send("POST", &test, "").await.failure().0, 400);
    let now = root.get(&path).await.data();
    assert_eq!((&now["testedAt"], now["testError"].is_string()), (&Value::Null, true));
    assert_eq!(root.put(&path, json!({"isActive": true})).await.failure().0, 400);
    // The failed test of an active server does not say that it was never let in.
    let back = json!({"isActive": true, "fromEmail": "shop@shop.example"});
    let tested = root.put(&path, back).await.data()["testedAt"].clone();
    assert!(tested.is_string());
    shop.db.execute("update email_settings set port = 1").await;
    assert_eq!(root.send("POST", &test, "").await.failure().0, 400);
    assert_eq!(root.get(&path).await.data()["testedAt"], tested);
}

/// After a secret is lost, its servers can be renamed, deactivated and given a new password, and each refusal says what is missing.
#[tokio::test]
async fn a_password_that_no_secret_opens_is_asked_for_again() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let (port, _) = mail_server("250 ok\r\n").await;
    let made = created(&root.post(SETTINGS, server("Ours", port)).await);
    let path = format!("{SETTINGS}/{}", made["id"].as_str().unwrap());
    shop.db
        .execute("update email_settings set username = 'ada', password = 'sealed by another secret', passed_at = now(), is_active = true")
        .await;
    let kept = "email_settings where password = 'sealed by another secret'::bytea";
    let asked = root.put(&path, json!({"name": "Renamed"})).await;
    assert_eq!(
        (asked.status.as_u16(), fields(&asked)),
        (400, vec!["password".to_owned()])
    );
    assert!(asked.text().contains("LOCKSTEP_KEY_SECRET"), "{}", asked.text());
    let off = root.put(&path, json!({"name": "Renamed", "isActive": false})).await;
    assert_eq!((off.status.as_u16(), &off.data()["name"]), (200, &json!("Renamed")));
    assert_eq!(shop.db.count(kept).await, 1);
    assert_eq!(
        root.send("POST", &format!("{path}/test"), "").await.failure(),
        (409, "password_locked".to_owned())
    );
    assert_eq!(fields(&root.put(&path, json!({"isActive": true})).await), ["password"]);
    let anew = json!({"user": "", "password": "", "isActive": true});
    assert_eq!(root.put(&path, anew).await.data()["isActive"], true);
    assert_eq!(shop.db.count(kept).await, 0);
}

/// What looks like the shop's e-mail leads to the shop, and who had it sent is on record.
#[tokio::test]
async fn test_emails_lead_nowhere_else_and_are_recorded() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let (port, heard) = mail_server("250 ok\r\n").await;
    let mut active = server("Ours", port);
    active["isActive"] = json!(true);
    created(&root.post(SETTINGS, active).await);
    let send = async |values: Value| {
        let body = json!({"email": "ada@example.org", "variables": values});
        root.post(&format!("{TEMPLATES}/reset/send-test"), body).await
    };
    for foreign in [
        json!({"link": "https://evil.example/reset"}),
        json!({"link": "http://127.0.0.1:8080.evil.example"}),
        json!({"link": "javascript:alert(1)"}),
        json!({"nickname": "Ada, see //evil.example"}),
        json!({"greeting": "Look at (WWW.evil.example)"}),
    ] {
        assert_eq!(fields(&send(foreign.clone()).await), ["variables"], "{foreign}");
    }
    assert!(heard.lock().unwrap().iter().all(|line| !line.starts_with("RCPT")));
    assert_eq!(shop.db.count("audit_log where action = 'email.test'").await, 0);
    let home = json!({"nickname": "Ada", "link": "http://127.0.0.1:8080/reset-password?token=x", "minutes": "30"});
    assert_eq!(send(home).await.status, 200);
    assert_eq!(send(json!({})).await.status, 200);
    let told: Vec<Value> = sqlx::query_scalar("select details from audit_log where action = 'email.test'")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (&told[0]["name"], &told[0]["language"]),
        (&json!("reset"), &json!("en"))
    );
    assert!(told[0]["recipient"].as_str().unwrap().len() == 64 && !told[0].to_string().contains("ada@"));
}

/// A button that is clicked again, here eight times at once, sends once.
#[tokio::test]
async fn a_repeated_click_queues_an_announcement_once() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let path = format!("{TEMPLATES}/bulk-send");
    let click = async |title: &str, key: &str| {
        let body = json!({"templateName": "announcement", "emails": ["ada@example.org", "bob@example.org", "x"],
                          "variables": {"title": title}});
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        root.send_with("POST", &path, body.to_string(), &headers).await
    };
    let answers = join_all((0..8).map(|_| click("Sale", "k1"))).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), answer.json()), (200, answers[0].json()));
    }
    assert_eq!(shop.db.count("mail_outbox where kind = 'announcement'").await, 2);
    assert_eq!(shop.db.count("email_jobs").await, 1);
    assert_eq!(
        click("Other", "k1").await.failure(),
        (409, "idempotency_key_reused".to_owned())
    );
    assert_eq!(click("Sale", "k2").await.status, 200);
    assert_eq!(shop.db.count("email_jobs").await, 2);
    // The record of a click names nobody.
    let recorded = "idempotency_keys where answer::text like '%@%'";
    assert_eq!(shop.db.count(recorded).await, 0);
}

#[tokio::test]
async fn failed_emails_are_listed_and_sent_again() {
    let shop = Shop::open().await;
    let (root, writer) = (root(&shop).await, member(&shop, "CONTENT").await);
    let waiting = root.get(QUEUE).await.data();
    let counts = json!({"waiting": 2, "failed": 0, "sent": 0});
    assert_eq!(
        (&waiting["counts"], &waiting["total"], &waiting["pageSize"]),
        (&counts, &json!(2), &json!(50))
    );
    let first = &waiting["emails"][0];
    let id = first["id"].as_str().unwrap().to_owned();
    assert_eq!(
        *first,
        json!({"id": id, "recipient": "root@example.org", "kind": "welcome", "state": "waiting", "attempts": 0,
               "createdAt": first["createdAt"], "nextAttemptAt": first["nextAttemptAt"], "sentAt": null, "gaveUpAt": null,
               "lastError": null, "canRetry": false})
    );
    assert!(first["nextAttemptAt"].is_string());
    let give_up = "update mail_outbox set gave_up_at = now(), attempts = 3, last_error = 'refused'";
    shop.db.execute(give_up).await;
    let failed = writer.get(&format!("{QUEUE}?state=failed")).await.data();
    let emails = failed["emails"].as_array().unwrap();
    assert!(
        emails.len() == 2
            && emails.iter().all(|email| email["recipient"] == "••••••••"
                && email["canRetry"] == true
                && email["lastError"] == "refused"),
        "{failed}"
    );
    let retry = format!("{QUEUE}/{id}/retry");
    assert_eq!(writer.send("POST", &retry, "").await.status, 200);
    let again = "mail_outbox where gave_up_at is null and attempts = 0 and sealed is not null and not_before <= now()";
    assert_eq!(shop.db.count(again).await, 1);
    assert_eq!(
        writer.send("POST", &format!("{QUEUE}/retry"), "").await.data(),
        json!({"retried": 1})
    );
    assert_eq!(shop.db.count(again).await, 2);
    shop.db
        .execute("update mail_outbox set sent_at = now(), sealed = null")
        .await;
    assert_eq!(
        root.send("POST", &retry, "").await.failure(),
        (409, "in_use".to_owned())
    );
    let nobody = format!("{QUEUE}/0192f0c1-0000-7000-8000-000000000001/retry");
    assert_eq!(root.send("POST", &nobody, "").await.status, 404);
    assert_eq!(
        root.get(&format!("{QUEUE}?state=sent&pageSize=1")).await.data()["totalPages"],
        2
    );
    assert_eq!(root.get(&format!("{QUEUE}?state=lost")).await.status, 400);
    assert_eq!(audited(&shop).await, ["email.retry", "email.retry_failed"]);
}

#[tokio::test]
async fn an_announcement_is_queued_for_all_valid_addresses_that_want_it() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let path = format!("{TEMPLATES}/bulk-send");
    let form = |emails: Value| {
        json!({"templateName": "announcement", "emails": emails, "batchSize": 10,
        "variables": {"title": "Sale", "message": "Now", "link": "https://shop.example/sale"}})
    };
    let emails = json!(["ada@example.org", "root@example.org", "nobody", "ADA@example.org"]);
    let answer = root.post(&path, form(emails)).await.json();
    let data = &answer["data"];
    let result = json!({"jobId": data["jobId"], "sent": 2, "failed": 2, "errors": [
        {"email": "nobody", "error": "This is not an e-mail address"},
        {"email": "ADA@example.org", "error": "This address is given more than once"}]});
    let mut expected = result.clone();
    expected["data"] = result;
    assert_eq!(
        answer,
        json!({"success": true, "message": "The e-mails are queued", "data": expected})
    );
    let progress = format!("/api/admin/email-jobs/{}", data["jobId"].as_str().unwrap());
    let job = root.get(&progress).await.data();
    assert_eq!(
        job,
        json!({"id": data["jobId"], "template": "announcement", "createdAt": job["createdAt"], "queued": 2, "refused": 2,
               "waiting": 2, "sent": 0, "failed": 0})
    );
    let queued = shop.db.queued_emails("announcement").await;
    assert_eq!(
        (&queued[0]["nickname"], &queued[1]["nickname"]),
        (&json!(""), &json!("Newbie Guy"))
    );
    let token = queued[0]["unsubscribe"].as_str().unwrap();
    assert!(
        lockstep_store::mail::announcements::unsubscribe(&shop.db.store, token)
            .await
            .unwrap()
    );
    let again = root.post(&path, form(json!(["Ada@example.org"]))).await.data();
    assert_eq!(
        (&again["sent"], &again["errors"][0]["error"]),
        (&json!(0), &json!("This recipient has unsubscribed"))
    );
    // All or none.
    let before = shop.db.count("mail_outbox").await;
    let many: Vec<String> = (0..1_001).map(|n| format!("p{n}@example.org")).collect();
    for (wrong, field) in [
        (form(json!(many)), "emails"),
        (form(json!([])), "emails"),
        (
            json!({"templateName": "reset", "emails": ["a@example.org"], "variables": {"title": "Sale"}}),
            "templateName",
        ),
        (
            json!({"templateName": "announcement", "emails": ["a@example.org"], "variables": {"title": "x\ny"}}),
            "variables",
        ),
        (
            json!({"templateName": "announcement", "emails": ["a@example.org"], "variables": {"title": "x", "link": "javascript:x"}}),
            "variables",
        ),
        (
            json!({"templateName": "announcement", "emails": "a@example.org", "variables": {"title": "x"}}),
            "emails",
        ),
        (
            json!({"templateName": "announcement", "emails": ["a@example.org"], "variables": ["x"]}),
            "variables",
        ),
    ] {
        assert_eq!(fields(&root.post(&path, wrong.clone()).await), [field], "{wrong}");
    }
    assert_eq!(shop.db.count("mail_outbox").await, before);
    assert!(audited(&shop).await.contains(&"email.job_create".to_owned()));
    // The existing front-end has no field for values: then the text says everything, below the shop's name.
    let bare = json!({"templateName": "announcement", "emails": ["b@example.org"], "variables": {}, "batchSize": 10});
    assert_eq!(root.post(&path, bare).await.data()["sent"], 1);
    let queued = shop.db.queued_emails("announcement").await;
    let last = queued.last().unwrap();
    assert_eq!(
        (&last["title"], &last["message"], &last["link"]),
        (&json!("Lockstep"), &json!(""), &Value::Null)
    );
}
