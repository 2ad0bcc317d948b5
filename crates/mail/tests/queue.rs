//! The mail queue against a real database, a real folder, and a mail server that speaks real SMTP.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_domain::account::Email;
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::secret::Secret;
use lockstep_mail::{EmailBranding, EmailTransport, EmailWorker, NewCodes, Round, Sending};
use lockstep_store::accounts::{self, NewAccount, NewCode};
use lockstep_store::admin::changes::ChangeError;
use lockstep_store::admin::email_queue;
use lockstep_store::mail::{self, Room};
use lockstep_store::sessions::{ClientInfo, NewSession};
use lockstep_store::{Options, Store};
use lockstep_testkit::TestDb;
use lockstep_vault::Keys;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use uuid::Uuid;

const FROM: &str = "Lockstep <shop@shop.example>";

fn head() -> EmailBranding {
    EmailBranding {
        shop: "Lockstep".into(),
        front_url: "https://shop.example".into(),
        public_url: "https://shop.example".into(),
        logo: None,
    }
}

/// Registers a user and queues a welcome e-mail with the code 123456.
async fn registered_user(db: &TestDb, name: &str) -> UserId {
    let new = NewAccount {
        id: UserId(Uuid::now_v7()),
        email: Email::parse(&format!("{name}@example.com")).unwrap(),
        password_hash: Secret::new(format!("$2b$04${}", "a".repeat(53))),
        nickname: None,
        first_name: None,
        last_name: None,
    };
    let session = NewSession {
        id: SessionId(Uuid::new_v4()),
        refresh_id: Uuid::new_v4(),
        lifetime: Duration::from_hours(1),
        second_factor: false,
    };
    let code = NewCode {
        text: Secret::new("123456"),
        hash: [7; 32],
        lifetime: Duration::from_hours(1),
    };
    accounts::register(&db.store, &new, session, &ClientInfo::default(), &code)
        .await
        .unwrap();
    new.id
}

async fn state(db: &TestDb) -> (bool, bool, bool, i32) {
    use sqlx::Row as _;
    let row =
        sqlx::query("select letter is null and sealed is null, sent_at is not null, gave_up_at is not null, attempts from mail_outbox")
            .fetch_one(&db.sql)
            .await
            .unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3))
}

fn worker(db: &TestDb, delivery: EmailTransport) -> EmailWorker {
    EmailWorker::new(db.store.clone(), delivery, head(), Sending::default(), codes())
}

/// Every new code is 654321.
fn codes() -> NewCodes {
    Arc::new(|_| NewCode {
        text: Secret::new("654321"),
        hash: [9; 32],
        lifetime: Duration::from_hours(1),
    })
}

/// Room for `all` e-mails of any kind.
fn room(all: u32) -> Room {
    Room {
        all,
        ordinary: all,
        announcements: all,
    }
}

fn folder() -> (std::path::PathBuf, EmailTransport) {
    let path = std::env::temp_dir().join(format!("lockstep-mail-{}", Uuid::new_v4()));
    (path.clone(), EmailTransport::folder(path, FROM).unwrap())
}

fn files(path: &std::path::Path) -> Vec<String> {
    std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect()
}

#[tokio::test]
async fn folder_delivery_writes_a_file_and_erases_the_queued_contents() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    let (path, delivery) = folder();
    let worker = worker(&db, delivery);
    assert_eq!(
        worker.round().await.unwrap(),
        Round {
            sent: 1,
            ..Round::default()
        }
    );
    assert_eq!(state(&db).await, (true, true, false, 1));
    let files = files(&path);
    assert_eq!(files.len(), 1);
    for what in [
        "123456",
        "To: ada@example.com",
        "From: \"Lockstep\" <shop@shop.example>",
        "text/html",
        "text/plain",
    ] {
        assert!(
            files[0].contains(what) || files[0].contains(&what.replace('"', "")),
            "{what} is missing in {}",
            files[0]
        );
    }
    assert_eq!(worker.round().await.unwrap(), Round::default());
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn email_uses_the_recipients_language_at_send_time() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    db.execute("update users set language = 'de'").await;
    let (path, delivery) = folder();
    assert_eq!(worker(&db, delivery).round().await.unwrap().sent, 1);
    let file = &files(&path)[0];
    assert!(
        file.contains("Willkommen bei Lockstep. Dein Konto ist bereit."),
        "{file}"
    );
    assert!(!file.contains("Welcome"), "{file}");
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn emails_are_written_in_every_language() {
    let db = TestDb::new().await;
    for (name, language, text) in [
        ("amelie", "fr", "Votre compte est"),
        ("lucia", "es", "Tu cuenta est"),
        ("zofia", "pl", "Konto jest gotowe"),
    ] {
        let user = registered_user(&db, name).await;
        db.execute(&format!("update users set language = '{language}' where id = '{user}'"))
            .await;
        let (path, delivery) = folder();
        assert_eq!(worker(&db, delivery).round().await.unwrap().sent, 1, "{language}");
        let file = files(&path).remove(0);
        assert!(file.contains(text), "{file}");
        std::fs::remove_dir_all(path).unwrap();
    }
}

#[tokio::test]
async fn emails_are_in_the_name_that_staff_have_chosen_unless_the_settings_have_one() {
    let db = TestDb::new().await;
    db.execute("update branding set name = 'Key Corner'").await;
    for (name, is_set, shop) in [
        ("ada", false, "Welcome to Key Corner"),
        ("bob", true, "Welcome to Lockstep"),
    ] {
        registered_user(&db, name).await;
        let (path, delivery) = folder();
        let worker = worker(&db, delivery).with_name_of_settings(is_set);
        assert_eq!(worker.round().await.unwrap().sent, 1, "{name}");
        let file = files(&path).remove(0);
        assert!(file.contains(shop), "{file}");
        std::fs::remove_dir_all(path).unwrap();
    }
}

/// The logo comes from the shop's public address, with the shop's name where it is not shown.
#[tokio::test]
async fn emails_show_the_logo_by_its_absolute_address() {
    let db = TestDb::new().await;
    let id = "0192f0c1-0000-4000-8000-000000000007";
    db.execute(&format!(
        "insert into branding_logo (id, width, height, plate_light, plate_dark, image)
         values ('{id}', 480, 100, false, true, decode('89504e470d0a1a0a', 'hex') || decode(repeat('00', 60), 'hex'))"
    ))
    .await;
    registered_user(&db, "ada").await;
    let (path, delivery) = folder();
    assert_eq!(worker(&db, delivery).round().await.unwrap().sent, 1);
    // The HTML is quoted-printable.
    let file = files(&path).remove(0).replace("=\r\n", "").replace("=3D", "=");
    let image =
        format!("<img src=\"https://shop.example/api/logo/{id}.png\" alt=\"Lockstep\" width=\"240\" height=\"50\"");
    assert!(file.contains(&image), "{file}");
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn long_links_stay_on_one_line_in_the_file() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    let token = "0123456789abcdef".repeat(8);
    sqlx::query(
        "update mail_outbox set kind = 'reset', sealed = null,
                letter = jsonb_build_object('kind', 'reset', 'nickname', 'Zoë', 'token', $1::text, 'minutes', 30)",
    )
    .bind(&token)
    .execute(&db.sql)
    .await
    .unwrap();
    let (path, delivery) = folder();
    assert_eq!(worker(&db, delivery).round().await.unwrap().sent, 1);
    let email = files(&path).remove(0);
    let link = format!("\r\nhttps://shop.example/reset-password?token={token}\r\n");
    assert!(email.contains(&link), "{email}");
    assert!(email.contains("Hello Zoë,"), "{email}");
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn email_of_a_dead_worker_is_delivered_by_the_next() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    let dead = mail::claim(&db.store, room(10), Duration::from_mins(10))
        .await
        .unwrap()
        .remove(0);
    let (path, delivery) = folder();
    let worker = worker(&db, delivery);
    assert_eq!(
        worker.round().await.unwrap(),
        Round::default(),
        "not while the lease lasts"
    );
    db.execute("update mail_outbox set not_before = now()").await;
    // The next worker dies between delivery and recording it: the file is written again under the same name.
    let next = mail::claim(&db.store, room(10), Duration::ZERO)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((next.id, next.attempts), (dead.id, 2));
    assert_eq!(worker.round().await.unwrap().sent, 1);
    assert!(!mail::sent(&db.store, &dead).await.unwrap() && !mail::failed(&db.store, &next, "x", None).await.unwrap());
    assert_eq!(state(&db).await, (true, true, false, 3));
    assert_eq!(files(&path).len(), 1);
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn two_workers_never_claim_the_same_email() {
    let db = TestDb::new().await;
    for i in 0..12 {
        registered_user(&db, &format!("user{i}")).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store = db.store.clone();
        tasks.spawn(async move { mail::claim(&store, room(3), Duration::from_mins(1)).await.unwrap() });
    }
    let mut claimed: Vec<Uuid> = tasks
        .join_all()
        .await
        .into_iter()
        .flatten()
        .map(|email| email.id)
        .collect();
    claimed.extend(
        mail::claim(&db.store, room(100), Duration::from_mins(1))
            .await
            .unwrap()
            .iter()
            .map(|email| email.id),
    );
    assert_eq!(claimed.len(), 12);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), 12);
}

#[tokio::test]
async fn expired_emails_are_given_up_and_those_of_deleted_users_removed() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    db.execute("update mail_outbox set not_after = now()").await;
    let (_, delivery) = folder();
    assert_eq!(worker(&db, delivery).round().await.unwrap(), Round::default());
    assert_eq!(state(&db).await, (true, false, true, 0));
    let counts = mail::counts(&db.store).await.unwrap();
    assert_eq!((counts.pending, counts.announcements, counts.given_up), (0, 0, 1));
    assert_eq!(
        mail::list(&db.store, true, 10).await.unwrap()[0].last_error.as_deref(),
        Some("not sent in time")
    );
    let bob = registered_user(&db, "bob").await;
    accounts::delete(&db.store, bob, false).await.unwrap();
    assert_eq!(db.count("mail_outbox where user_id is not null").await, 1, "ada's");
    assert_eq!(db.count("mail_outbox where kind = 'account-deleted'").await, 1);
}

/// Hashes of the codes that verify an address.
async fn hashes(db: &TestDb) -> Vec<Vec<u8>> {
    sqlx::query_scalar("select hash from one_time_codes where purpose = 'VERIFY_EMAIL'")
        .fetch_all(&db.sql)
        .await
        .unwrap()
}

/// Makes the queued welcome e-mail two hours old and deletes its expired code.
async fn waited(db: &TestDb) {
    db.execute(
        "update mail_outbox set created_at = now() - interval '2 hours', not_after = not_after - interval '2 hours';
         delete from one_time_codes",
    )
    .await;
}

#[tokio::test]
async fn delayed_welcome_email_gets_a_new_code() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    waited(&db).await;
    // The first attempt fails, and the next one sends the same code: the first may have arrived nevertheless.
    let nowhere = EmailTransport::smtp("smtp://127.0.0.1:1", FROM, 1).unwrap();
    assert_eq!(worker(&db, nowhere).round().await.unwrap().later, 1);
    assert_eq!(db.queued_email("welcome").await["code"], "654321");
    db.execute(
        "update mail_outbox set not_before = now(); update one_time_codes set hash = decode(repeat('08', 32), 'hex')",
    )
    .await;
    let (path, delivery) = folder();
    assert_eq!(worker(&db, delivery).round().await.unwrap().sent, 1);
    let file = files(&path).remove(0);
    assert!(
        file.contains("/verify-email?code=654321") && file.contains("valid for 60 minutes"),
        "{file}"
    );
    assert!(!file.contains("123456"), "{file}");
    assert_eq!(
        hashes(&db).await,
        [vec![8; 32]],
        "the code of the second attempt is that of the first"
    );
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn welcome_email_states_the_remaining_lifetime_of_its_code() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    db.execute("update one_time_codes set expires_at = now() + interval '40 minutes'")
        .await;
    let (path, delivery) = folder();
    assert_eq!(worker(&db, delivery).round().await.unwrap().sent, 1);
    let file = files(&path).remove(0);
    assert!(
        file.contains("123456") && file.contains("valid for 40 minutes"),
        "{file}"
    );
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn welcome_email_keeps_newer_codes_and_has_none_if_verified() {
    let db = TestDb::new().await;
    let ada = registered_user(&db, "ada").await;
    waited(&db).await;
    let again = NewCode {
        text: Secret::new("222222"),
        hash: [2; 32],
        lifetime: Duration::from_hours(1),
    };
    accounts::send_verification(&db.store, ada, &again).await.unwrap();
    let (path, delivery) = folder();
    let worker = worker(&db, delivery);
    while worker.round().await.unwrap().sent > 0 {}
    assert_eq!(hashes(&db).await, [vec![2; 32]]);
    let both = files(&path);
    assert_eq!(both.len(), 2);
    let welcome = both.iter().find(|file| file.contains("Welcome to Lockstep.")).unwrap();
    assert!(!welcome.contains("/verify-email"), "{welcome}");
    assert!(both.iter().any(|file| file.contains("222222")));
    std::fs::remove_dir_all(&path).unwrap();

    let bob = registered_user(&db, "bob").await;
    waited(&db).await;
    db.execute("update users set email_verified = true").await;
    assert_eq!(worker.round().await.unwrap().sent, 1);
    let welcome = files(&path).remove(0);
    assert!(
        welcome.contains("To: bob@example.com") && !welcome.contains("/verify-email"),
        "{welcome}"
    );
    assert!(hashes(&db).await.is_empty(), "{bob:?}");
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn account_deletion_email_is_sent_and_then_the_address_erased() {
    let db = TestDb::new().await;
    let bob = registered_user(&db, "bob").await;
    accounts::delete(&db.store, bob, false).await.unwrap();
    let (path, delivery) = folder();
    assert_eq!(worker(&db, delivery).round().await.unwrap().sent, 1);
    let email = files(&path).remove(0);
    assert!(
        email.contains("To: bob@example.com") && email.contains("Your account is deleted"),
        "{email}"
    );
    let left: String = sqlx::query_scalar("select string_agg(m::text, ' ') from mail_outbox m")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert!(!left.contains("bob"), "{left}");
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn account_deletion_email_uses_the_language_of_the_deleted_account() {
    let db = TestDb::new().await;
    for (name, language, has_records, text) in [
        ("zoltan", "de", false, "Dein Konto ist"),
        ("ursula", "de", true, "Dein Konto ist"),
        ("wolfgang", "en", true, "Your account is deleted"),
    ] {
        let user = registered_user(&db, name).await;
        db.execute(&format!("update users set language = '{language}' where id = '{user}'"))
            .await;
        if has_records {
            db.execute(&format!(
                "begin;
                 insert into transactions (user_id, type, amount, status) values ('{user}', 'TOP_UP', 20, 'COMPLETED');
                 update users set balance = 20 where id = '{user}';
                 commit"
            ))
            .await;
        }
        accounts::delete(&db.store, user, true).await.unwrap();
        let (path, delivery) = folder();
        assert_eq!(worker(&db, delivery).round().await.unwrap().sent, 1, "{name}");
        let email = files(&path).remove(0);
        assert!(email.contains(text), "{name}: {email}");
        std::fs::remove_dir_all(path).unwrap();
    }
}

#[tokio::test]
async fn queued_emails_are_sealed_and_codes_require_a_secret() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    accounts::send_reset(
        &db.store,
        &Email::parse("ada@example.com").unwrap(),
        &NewCode {
            text: Secret::new("a-link-to-set-a-password"),
            hash: [8; 32],
            lifetime: Duration::from_mins(30),
        },
    )
    .await
    .unwrap();
    let waits: String =
        sqlx::query_scalar("select string_agg(m::text || encode(sealed, 'escape'), ' ') from mail_outbox m")
            .fetch_one(&db.sql)
            .await
            .unwrap();
    for told in ["123456", "a-link-to-set-a-password", "nickname"] {
        assert!(!waits.contains(told), "{told} is in clear: {waits}");
    }
    assert_eq!(db.queued_email("reset").await["token"], "a-link-to-set-a-password");
    assert_eq!(db.queued_email("welcome").await["code"], "123456");

    let bare = Store::new(db.url(), &Options::default()).unwrap();
    let code = NewCode {
        text: Secret::new("123456"),
        hash: [9; 32],
        lifetime: Duration::from_hours(1),
    };
    let refused = accounts::send_reset(&bare, &Email::parse("ada@example.com").unwrap(), &code).await;
    assert!(refused.is_err());
    assert_eq!(db.count("mail_outbox").await, 2);
    // A worker without secrets does not claim e-mails that it cannot open, either.
    assert!(
        mail::claim(&bare, room(9), Duration::from_mins(1))
            .await
            .unwrap()
            .is_empty()
    );
}

/// An e-mail of a future version: of a kind unknown here, or of a known kind with other contents.
#[tokio::test]
async fn unknown_emails_wait_for_a_newer_worker_without_blocking_others() {
    let db = TestDb::new().await;
    db.execute(
        "alter table mail_outbox drop constraint mail_outbox_kind_known;
         insert into mail_outbox (recipient, kind, letter, not_after) values
         ('ada@example.com', 'gift-card', '{\"kind\": \"gift-card\"}', now() + interval '1 hour'),
         ('ada@example.com', 'refund', '{\"kind\": \"refund\", \"amounts\": []}', now() + interval '1 hour'),
         ('ada@example.com', 'password-changed', '{\"kind\": \"password-changed\", \"nickname\": \"Ada\"}', now() + interval '1 hour')",
    )
    .await;
    let (path, delivery) = folder();
    let worker = worker(&db, delivery);
    // The refund is claimed and released; then the e-mail after it is free.
    let first = worker.round().await.unwrap();
    assert_eq!((first.sent, first.later, first.given_up), (0, 1, 0));
    let second = worker.round().await.unwrap();
    assert_eq!((second.sent, second.later, second.given_up), (1, 0, 0));
    assert_eq!(
        db.count("mail_outbox where letter is not null and gave_up_at is null and attempts = 0 and lease is null")
            .await,
        2
    );
    assert_eq!(mail::left(&db.store).await.unwrap(), 2);
    // Claiming it repeatedly does not use up its attempts.
    for _ in 0..15 {
        db.execute("update mail_outbox set not_before = now() where sent_at is null")
            .await;
        assert_eq!(worker.round().await.unwrap().given_up, 0);
    }
    // A worker that knows it arrives.
    db.execute(
        "update mail_outbox set not_before = now(), letter = '{\"kind\": \"refund\", \"nickname\": \"Ada\", \"order\": \"o\", \"amount\": \"5\", \"copies\": []}'
          where kind = 'refund'",
    )
    .await;
    assert_eq!(worker.round().await.unwrap().sent, 1);
    assert_eq!(mail::left(&db.store).await.unwrap(), 1);
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn email_sealed_with_another_secret_waits_for_it() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    let other = Store::new(db.url(), &Options::default()).unwrap();
    other.seal_mail_with(Keys::parse(&"22".repeat(32)).unwrap());
    let (path, delivery) = folder();
    let without = EmailWorker::new(other, delivery.clone(), head(), Sending::default(), codes());
    assert_eq!(
        (without.round().await.unwrap().later, state(&db).await),
        (1, (false, false, false, 0))
    );
    db.execute("update mail_outbox set not_before = now()").await;
    assert_eq!(worker(&db, delivery).round().await.unwrap().sent, 1);
    std::fs::remove_dir_all(path).unwrap();
}

/// A mail server that answers every RCPT with `verdict` and records what it receives.
async fn server(verdict: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let kept = Arc::new(Mutex::new(Vec::new()));
    let mails = Arc::clone(&kept);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mails = Arc::clone(&mails);
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 test\r\n").await.ok()?;
                while let Some(line) = lines.next_line().await.ok()? {
                    let answer = match line.get(..4)? {
                        "EHLO" => "250 test\r\n".to_owned(),
                        "RCPT" => format!("{verdict}\r\n"),
                        "DATA" => {
                            write.write_all(b"354 go\r\n").await.ok()?;
                            let mut mail = String::new();
                            while let Some(line) = lines.next_line().await.ok()?.filter(|line| line != ".") {
                                mail.push_str(&line);
                                mail.push('\n');
                            }
                            mails.lock().ok()?.push(mail);
                            "250 kept\r\n".to_owned()
                        }
                        "QUIT" => return write.write_all(b"221 bye\r\n").await.ok(),
                        _ => "250 ok\r\n".to_owned(),
                    };
                    write.write_all(answer.as_bytes()).await.ok()?;
                }
                Some(())
            });
        }
    });
    (url, kept)
}

#[tokio::test]
async fn mail_server_receives_the_email_once() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    let (url, kept) = server("250 ok").await;
    let worker = worker(&db, EmailTransport::smtp(&url, FROM, 8).unwrap());
    assert_eq!(worker.round().await.unwrap().sent, 1);
    assert_eq!(worker.round().await.unwrap(), Round::default());
    let kept = kept.lock().unwrap();
    assert_eq!(kept.len(), 1);
    assert!(
        kept[0].contains("123456") && kept[0].contains("Message-ID: <") && kept[0].contains("@shop.example>"),
        "{}",
        kept[0]
    );
}

#[tokio::test]
async fn unreachable_server_delays_and_rejection_gives_up() {
    let db = TestDb::new().await;
    registered_user(&db, "ada").await;
    let away = worker(&db, EmailTransport::smtp("smtp://127.0.0.1:1", FROM, 8).unwrap());
    assert_eq!(
        away.round().await.unwrap(),
        Round {
            later: 1,
            ..Round::default()
        }
    );
    assert_eq!(
        away.round().await.unwrap(),
        Round::default(),
        "it is not tried again at once"
    );
    assert_eq!(state(&db).await, (false, false, false, 1));
    let (url, _) = server("550 no such mailbox").await;
    let refusing = worker(&db, EmailTransport::smtp(&url, FROM, 8).unwrap());
    for round in 0..2 {
        db.execute("update mail_outbox set not_before = now()").await;
        let expected = if round == 0 {
            Round {
                later: 1,
                ..Round::default()
            }
        } else {
            Round {
                given_up: 1,
                ..Round::default()
            }
        };
        assert_eq!(refusing.round().await.unwrap(), expected);
    }
    // Its sealed content stays while it is of use, so that staff can have it sent after all.
    assert_eq!(state(&db).await, (false, false, true, 3));
    assert_eq!(
        db.count("mail_outbox where letter is null and sealed is not null")
            .await,
        1
    );
    let listed = mail::list(&db.store, true, 10).await.unwrap().remove(0);
    let error = listed.last_error.unwrap();
    assert!(
        error.contains("no such mailbox") && !error.contains("123456"),
        "{error}"
    );
    let (id, staff) = (listed.id, registered_user(&db, "root").await);
    db.execute("delete from mail_outbox where recipient = 'root@example.com'")
        .await;
    email_queue::retry(&db.store, staff, id).await.unwrap();
    let (url, kept) = server("250 ok").await;
    let taking = worker(&db, EmailTransport::smtp(&url, FROM, 8).unwrap());
    assert_eq!(taking.round().await.unwrap().sent, 1);
    assert!(kept.lock().unwrap()[0].contains("123456"));
    assert_eq!(state(&db).await, (true, true, false, 1));
    assert!(matches!(
        email_queue::retry(&db.store, staff, id).await,
        Err(ChangeError::InUse(_))
    ));
    // What has become useless is erased.
    db.execute("update mail_outbox set sent_at = null, gave_up_at = now(), sealed = 'x', not_after = now()")
        .await;
    assert!(matches!(
        email_queue::retry(&db.store, staff, id).await,
        Err(ChangeError::InUse(_))
    ));
    assert_eq!(mail::sweep(&db.store).await.unwrap(), 1);
    assert_eq!(state(&db).await, (true, false, true, 1));
}

#[tokio::test]
async fn worker_wakes_for_an_email_and_stops_on_request() {
    let db = TestDb::new().await;
    let (path, delivery) = folder();
    let worker = worker(&db, delivery);
    let stop = tokio_util::sync::CancellationToken::new();
    let worker = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    registered_user(&db, "ada").await;
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while !state(&db).await.1 {
        assert!(tokio::time::Instant::now() < deadline, "not sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    worker.await.unwrap();
    std::fs::remove_dir_all(path).unwrap();
}
