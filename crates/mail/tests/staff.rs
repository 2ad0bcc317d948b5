//! What staff change about e-mails, as running workers see it: texts, and the mail server.

#![allow(
    clippy::disallowed_methods,
    reason = "tests of whole processes: a deadline bounds the wait for a state"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_domain::ids::UserId;
use lockstep_mail::{
    ActiveServer, Delivery, EmailBranding, EmailTransport, EmailWorker, NewCodes, Sending, SmtpAddress,
};
use lockstep_store::mail::announcements::{self, NewJob};
use lockstep_store::mail::{self, Room};
use lockstep_store::{Options, Store};
use lockstep_testkit::TestDb;
use sqlx::AssertSqlSafe;
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

fn no_codes() -> NewCodes {
    Arc::new(|_| unreachable!("no welcome is sent"))
}

/// A worker with its own connections, like another process.
fn worker(db: &TestDb, delivery: impl FnOnce(&Store) -> Delivery) -> EmailWorker {
    let store = Store::new(db.url(), &Options::default()).unwrap();
    store.seal_mail_with(lockstep_testkit::secrets());
    let delivery = delivery(&store);
    EmailWorker::new(store, delivery, head(), Sending::over(1), no_codes())
}

/// Queues password resets to new addresses.
async fn owe(db: &TestDb, count: usize) {
    let insert = format!(
        "insert into mail_outbox (recipient, kind, letter, not_after)
         select gen_random_uuid() || '@example.com', 'reset',
                jsonb_build_object('kind', 'reset', 'nickname', 'Ada', 'token', 'abc', 'minutes', 30), now() + interval '1 hour'
           from generate_series(1, {count})"
    );
    sqlx::query(AssertSqlSafe(insert)).execute(&db.sql).await.unwrap();
}

/// Takes the e-mails of a folder.
fn take(folder: &std::path::Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            text
        })
        .collect()
}

#[tokio::test]
async fn an_edited_text_is_used_by_every_worker_at_once_and_a_broken_one_by_none() {
    let db = TestDb::new().await;
    let folder = tempfile::tempdir().unwrap();
    let workers: Vec<EmailWorker> = (0..2)
        .map(|_| worker(&db, |_| EmailTransport::folder(folder.path(), FROM).unwrap().into()))
        .collect();
    let send = async || {
        owe(&db, 2).await;
        for worker in &workers {
            assert_eq!(worker.round().await.unwrap().sent, 1);
        }
        let files = take(folder.path());
        assert_eq!(files.len(), 2);
        files
    };
    let all_say = |files: &[String], words: &str| {
        for file in files {
            assert!(
                file.contains(words) && file.contains("https://shop.example/reset-password?token=abc"),
                "{words}: {file}"
            );
        }
    };
    all_say(&send().await, "We received a request");
    db.execute(
        "insert into email_template_edits (name, language, subject, content) values
         ('reset', 'en', 'A new one for {{shop}}', '<p>Dear {{nickname}}</p><a href=\"{{link}}\">Here</a>'),
         ('reset', 'de', 'Neu', '<p>Hallo</p><a href=\"{{link}}\">Hier</a>')",
    )
    .await;
    let files = send().await;
    all_say(&files, "Dear Ada");
    all_say(&files, "Subject: A new one for Lockstep");
    db.execute("update email_template_edits set content = replace(content, 'Dear', 'Hi')")
        .await;
    all_say(&send().await, "Hi Ada");
    // A text that another version of the program accepted: no e-mail is lost.
    db.execute("update email_template_edits set content = '<p>{{hologram}}</p>'")
        .await;
    all_say(&send().await, "We received a request");
    db.execute("delete from email_template_edits").await;
    all_say(&send().await, "We received a request");
}

/// A mail server without TLS and log-in; counts the e-mails that it takes.
async fn server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let record = Arc::clone(&record);
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 sink\r\n").await.ok()?;
                while let Some(line) = lines.next_line().await.ok()? {
                    let answer = match line.get(..4)? {
                        "DATA" => {
                            write.write_all(b"354 go\r\n").await.ok()?;
                            let mut email = String::new();
                            while let Some(line) = lines.next_line().await.ok()?.filter(|line| line != ".") {
                                email.push_str(&line);
                                email.push('\n');
                            }
                            record.lock().ok()?.push(email);
                            "250 taken\r\n"
                        }
                        "QUIT" => return write.write_all(b"221 bye\r\n").await.ok(),
                        _ => "250 ok\r\n",
                    };
                    write.write_all(answer.as_bytes()).await.ok()?;
                }
                Some(())
            });
        }
    });
    (port, taken)
}

#[tokio::test]
async fn the_active_mail_server_counts_for_the_next_email_without_a_restart() {
    let db = TestDb::new().await;
    let workers: Vec<EmailWorker> = (0..2)
        .map(|_| {
            worker(&db, |store| {
                Delivery::Chosen(Box::new(ActiveServer::new(store.clone(), None, 1)))
            })
        })
        .collect();
    let round = async || {
        owe(&db, 2).await;
        let mut sent = 0;
        for worker in &workers {
            sent += worker.round().await.unwrap().sent;
        }
        sent
    };
    // None yet: e-mails wait, however often they are looked at, and lose no attempts.
    for _ in 0..3 {
        assert_eq!(round().await, 0);
    }
    assert_eq!(
        db.count("mail_outbox where attempts = 0 and lease is null and not_before <= now()")
            .await,
        6
    );
    db.execute("delete from mail_outbox").await;
    let ((one, at_one), (two, at_two)) = (server().await, server().await);
    for (port, name) in [(one, "One"), (two, "Two")] {
        db.execute(&format!(
            "insert into email_settings (id, name, host, port, secure, from_email, from_name, passed_at)
             values (gen_random_uuid(), '{name}', '127.0.0.1', {port}, false, 'shop@{name}.example', '{name}', now())"
        ))
        .await;
    }
    let activate = async |name: &str| {
        db.execute(&format!(
            "update email_settings set is_active = false, version = nextval('email_versions') where is_active;
             update email_settings set is_active = true, version = nextval('email_versions') where name = '{name}'"
        ))
        .await;
    };
    let counts = || (at_one.lock().unwrap().len(), at_two.lock().unwrap().len());
    activate("One").await;
    assert_eq!((round().await, counts()), (2, (2, 0)));
    activate("Two").await;
    assert_eq!((round().await, counts()), (2, (2, 2)));
    let from = at_two.lock().unwrap()[0].clone();
    assert!(from.contains("From: Two <shop@two.example>"), "{from}");
    activate("One").await;
    assert_eq!((round().await, counts()), (2, (4, 2)));
}

/// Settings that staff enter mean what the same `SMTP_URL` means.
#[test]
fn separate_settings_are_those_of_the_url() {
    let login = || Some(("ada".to_owned(), lockstep_domain::Secret::new("pass")));
    for (url, port, secure, credentials) in [
        ("smtps://ada:pass@mail.example:465", 465, true, login()),
        ("smtp://ada:pass@mail.example:587", 587, false, login()),
        ("smtp://mail.example:25", 25, false, None),
    ] {
        let parts = SmtpAddress::of_parts("mail.example", port, secure, credentials).unwrap();
        assert_eq!(parts, SmtpAddress::parse(url).unwrap(), "{url}");
    }
    for (host, port) in [("", 25), ("a b", 25), ("a/b", 25), ("mail.example", 0)] {
        assert!(SmtpAddress::of_parts(host, port, false, None).is_err(), "{host}");
    }
    assert!(SmtpAddress::of_parts("::1", 25, false, None).is_ok());
}

/// A thousand announcements wait; resets that come later go first.
#[tokio::test]
async fn announcements_let_all_others_pass_and_can_be_unsubscribed_from() {
    let db = TestDb::new().await;
    let staff = UserId(db.user("root@example.org", "0").await);
    let job = NewJob {
        id: Uuid::now_v7(),
        recipients: (0..1_000).map(|n| format!("p{n}@example.com")).collect(),
        refused: 0,
        title: "Summer Sale".into(),
        message: "Everything must go.\nReally.".into(),
        link: Some("https://shop.example/sale".into()),
    };
    let queued = announcements::queue(&db.store, staff, &job, None).await.unwrap();
    assert_eq!((queued.job, queued.unsubscribed.len()), (job.id, 0));
    assert_eq!(db.count("mail_outbox where kind = 'announcement'").await, 1_000);
    let lasts: String = sqlx::query_scalar("select (max(not_before) - min(not_before))::text from mail_outbox")
        .fetch_one(&db.sql)
        .await
        .unwrap();
    assert_eq!(lasts, "00:03:19.8", "300 a minute");
    db.execute("update mail_outbox set not_before = now()").await;
    owe(&db, 5).await;
    let folder = tempfile::tempdir().unwrap();
    let delivery = EmailTransport::folder(folder.path(), FROM).unwrap();
    let store = Store::new(db.url(), &Options::default()).unwrap();
    store.seal_mail_with(lockstep_testkit::secrets());
    let worker = EmailWorker::new(store, delivery, head(), Sending::over(8), no_codes());
    // Two of eight connections at most.
    assert_eq!(worker.round().await.unwrap().sent, 7);
    let files = take(folder.path());
    assert_eq!(files.iter().filter(|file| file.contains("/reset-password")).count(), 5);
    let token = db.queued_email("announcement").await["unsubscribe"]
        .as_str()
        .unwrap()
        .to_owned();
    let announcement = files.iter().find(|file| file.contains("Summer Sale")).unwrap();
    for what in [
        "List-Unsubscribe: <https://shop.example/unsubscribe?token=",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Subject: Summer Sale",
        "Hello there,",
        "Everything must go.",
        "https://shop.example/sale",
    ] {
        assert!(announcement.contains(what), "{what}: {announcement}");
    }
    assert!(files.iter().filter(|file| file.contains("List-Unsubscribe")).count() == 2);
    let last = "mail_outbox where recipient = 'p999@example.com'";
    assert_eq!((db.count(last).await, worker.round().await.unwrap().sent), (1, 2));
    assert!(announcements::unsubscribe(&db.store, &token).await.unwrap());
    assert_eq!(db.count(last).await, 0);
    let progress = announcements::job(&db.store, job.id).await.unwrap().unwrap();
    assert_eq!(
        (progress.queued, progress.sent, progress.waiting, progress.failed),
        (1_000, 4, 995, 0)
    );
}

fn announcement(recipients: &[&str]) -> NewJob {
    NewJob {
        id: Uuid::now_v7(),
        recipients: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
        refused: 0,
        title: "Summer Sale".into(),
        message: String::new(),
        link: None,
    }
}

async fn tokens(db: &TestDb) -> Vec<String> {
    let queued = db.queued_emails("announcement").await;
    (queued.iter())
        .map(|email| email["unsubscribe"].as_str().unwrap().to_owned())
        .collect()
}

/// Between the claim of an announcement and its delivery lie seconds, in which its recipient may click.
#[tokio::test]
async fn who_unsubscribes_after_the_claim_gets_no_announcement() {
    let db = TestDb::new().await;
    let staff = UserId(db.user("root@example.org", "0").await);
    let job = announcement(&["ada@example.com"]);
    announcements::queue(&db.store, staff, &job, None).await.unwrap();
    let token = tokens(&db).await.remove(0);
    db.execute("update mail_outbox set not_before = now()").await;
    let room = Room {
        all: 8,
        ordinary: 8,
        announcements: 2,
    };
    let claimed = mail::claim(&db.store, room, Duration::from_secs(20)).await.unwrap();
    assert!(
        !announcements::withdraw(&db.store, &claimed[0]).await.unwrap(),
        "they want it"
    );
    assert!(announcements::unsubscribe(&db.store, &token).await.unwrap());
    assert_eq!(db.count("mail_outbox").await, 1, "a worker has it");
    assert!(announcements::withdraw(&db.store, &claimed[0]).await.unwrap());
    assert_eq!(db.count("mail_outbox").await, 0);

    // The same through a worker that is on its way to the mail server.
    announcements::queue(&db.store, staff, &announcement(&["bob@example.com"]), None)
        .await
        .unwrap();
    db.execute(
        "update mail_outbox set not_before = now();
         -- Whoever claims an e-mail here is overtaken by its recipient.
         create function unsubscribe() returns trigger language plpgsql as $$ begin
             update email_subscriptions set unsubscribed_at = now() where id = new.subscription_id;
             return null;
         end $$;
         create trigger unsubscribe after update of lease on mail_outbox
             for each row when (new.lease is not null) execute function unsubscribe()",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let worker = worker(&db, |_| EmailTransport::folder(folder.path(), FROM).unwrap().into());
    let round = worker.round().await.unwrap();
    assert_eq!((round.sent, round.given_up, take(folder.path()).len()), (0, 0, 0));
    assert_eq!(db.count("mail_outbox").await, 0);
}

/// An announcement of somebody who has unsubscribed is not claimed, even if it is still there.
#[tokio::test]
async fn announcements_of_the_unsubscribed_are_not_claimed() {
    let db = TestDb::new().await;
    let staff = UserId(db.user("root@example.org", "0").await);
    let job = announcement(&["ada@example.com", "bob@example.com"]);
    announcements::queue(&db.store, staff, &job, None).await.unwrap();
    db.execute(
        "update mail_outbox set not_before = now();
         update email_subscriptions set unsubscribed_at = now()
          where id = (select subscription_id from mail_outbox where recipient = 'ada@example.com')",
    )
    .await;
    let room = Room {
        all: 8,
        ordinary: 8,
        announcements: 8,
    };
    let claimed = mail::claim(&db.store, room, Duration::from_secs(20)).await.unwrap();
    let recipients: Vec<&str> = claimed.iter().map(|email| email.recipient.as_str()).collect();
    assert_eq!(recipients, ["bob@example.com"]);
}

/// A password that no secret opens is a matter of the server, not of the e-mails: they wait, and go once it is entered again.
#[tokio::test]
async fn emails_wait_without_losing_attempts_while_the_password_cannot_be_opened() {
    let db = TestDb::new().await;
    let worker = worker(&db, |store| {
        Delivery::Chosen(Box::new(ActiveServer::new(store.clone(), None, 1)))
    });
    let (port, taken) = server().await;
    db.execute(&format!(
        "insert into email_settings (id, name, host, port, secure, username, password, from_email, passed_at, is_active)
         values (gen_random_uuid(), 'S', '127.0.0.1', {port}, false, 'u', 'sealed by another secret', 'a@b.example', now(), true)"
    ))
    .await;
    owe(&db, 2).await;
    for _ in 0..3 {
        assert_eq!(worker.round().await.unwrap(), lockstep_mail::Round::default());
    }
    assert_eq!(db.count("mail_outbox where attempts = 0 and lease is null").await, 2);
    let delivery = ActiveServer::new(db.store.clone(), None, 1);
    let why = Delivery::Chosen(Box::new(delivery))
        .transport()
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        why.to_string().contains("LOCKSTEP_KEY_SECRET opens the password"),
        "{why}"
    );
    db.execute("update email_settings set username = '', password = null, version = nextval('email_versions')")
        .await;
    for _ in 0..2 {
        assert_eq!(worker.round().await.unwrap().sent, 1);
    }
    assert_eq!(taken.lock().unwrap().len(), 2);
}

/// The server that refuses announcements for now takes everything else: nothing else waits because of them.
#[tokio::test]
async fn failing_announcements_pause_no_other_email() {
    let db = TestDb::new().await;
    let staff = UserId(db.user("root@example.org", "0").await);
    let addresses: Vec<String> = (0..4).map(|n| format!("p{n}@full.example")).collect();
    let job = announcement(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
    announcements::queue(&db.store, staff, &job, None).await.unwrap();
    db.execute("update mail_outbox set not_before = now()").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let (told, mut sent) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 sink\r\n").await.ok()?;
                while let Some(line) = lines.next_line().await.ok()? {
                    let answer = match line.get(..4).unwrap_or_default() {
                        "RCPT" if line.contains("full.example") => "450 mailbox full\r\n",
                        "RCPT" => {
                            told.send(std::time::Instant::now()).ok();
                            "250 ok\r\n"
                        }
                        "DATA" => "354 go\r\n",
                        "EHLO" | "MAIL" | "RSET" | "NOOP" => "250 ok\r\n",
                        "QUIT" => "221 bye\r\n",
                        _ if line == "." => "250 taken\r\n",
                        _ => continue,
                    };
                    write.write_all(answer.as_bytes()).await.ok()?;
                }
                Some(())
            });
        }
    });
    let store = Store::new(db.url(), &Options::default()).unwrap();
    store.seal_mail_with(lockstep_testkit::secrets());
    let delivery = EmailTransport::smtp(&url, FROM, 1).unwrap();
    let worker = EmailWorker::new(store, delivery, head(), Sending::over(1), no_codes());
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    // As many in a row as there are connections have failed: before, everything ordinary rested for five seconds now.
    let failed = "mail_outbox where attempts > 0 and lease is null";
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while db.count(failed).await < 1 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    db.execute(
        "insert into mail_outbox (recipient, kind, letter, not_after)
         values ('ada@example.com', 'refund', jsonb_build_object('kind', 'refund', 'nickname', 'Ada', 'order', '0197',
                 'amount', '1.00', 'copies', jsonb_build_array()), now() + interval '1 day')",
    )
    .await;
    let queued = std::time::Instant::now();
    let arrived = tokio::time::timeout(Duration::from_secs(20), sent.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(
        arrived - queued < Duration::from_millis(4_500),
        "{:?}",
        arrived - queued
    );
    stop.cancel();
    running.await.unwrap();
}
