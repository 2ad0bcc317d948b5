//! Order of delivery, concurrency, and the e-mails of killed workers, against a slow mail server that speaks real SMTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_mail::{EmailBranding, EmailTransport, EmailWorker, Sending};
use lockstep_store::{Options, Store};
use lockstep_testkit::TestDb;
use sqlx::AssertSqlSafe;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_mins(1);

/// A mail server that records accepted e-mails in order, and the highest number of concurrent ones.
#[derive(Clone, Default)]
struct Sink {
    /// Recipient and subject.
    taken: Arc<Mutex<Vec<(String, String)>>>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Sink {
    /// Starts a server that processes an e-mail for `takes` of the number of e-mails before it.
    async fn start(takes: fn(usize) -> Duration) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let sink = Self::default();
        let this = sink.clone();
        tokio::spawn(async move {
            let begun = Arc::new(AtomicUsize::new(0));
            while let Ok((stream, _)) = listener.accept().await {
                let (sink, begun) = (this.clone(), Arc::clone(&begun));
                tokio::spawn(async move {
                    let (read, mut write) = stream.into_split();
                    let mut lines = BufReader::new(read).lines();
                    write.write_all(b"220 sink\r\n").await.ok()?;
                    let mut recipient = String::new();
                    while let Some(line) = lines.next_line().await.ok()? {
                        let answer = match line.get(..4)? {
                            "RCPT" => {
                                line.clone_into(&mut recipient);
                                "250 ok\r\n"
                            }
                            "DATA" => {
                                write.write_all(b"354 go\r\n").await.ok()?;
                                let mut subject = String::new();
                                while let Some(line) = lines.next_line().await.ok()?.filter(|line| line != ".") {
                                    if let Some(text) = line.strip_prefix("Subject: ") {
                                        text.clone_into(&mut subject);
                                    }
                                }
                                let in_hand = sink.now.fetch_add(1, Ordering::SeqCst) + 1;
                                sink.most.fetch_max(in_hand, Ordering::SeqCst);
                                tokio::time::sleep(takes(begun.fetch_add(1, Ordering::SeqCst))).await;
                                sink.now.fetch_sub(1, Ordering::SeqCst);
                                sink.taken.lock().ok()?.push((recipient.clone(), subject));
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
        (sink, url)
    }

    fn taken(&self) -> Vec<(String, String)> {
        self.taken.lock().unwrap().clone()
    }

    /// Waits until `count` e-mails were accepted.
    async fn wait_for(&self, count: usize) -> Vec<(String, String)> {
        let all = async {
            loop {
                let taken = self.taken();
                if taken.len() >= count {
                    return taken;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, all).await.expect("letters are sent")
    }
}

/// A worker with its own connections, like another process.
fn worker(db: &TestDb, url: &str, sending: Sending) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let head = EmailBranding {
        shop: "Lockstep".into(),
        front_url: "https://shop.example".into(),
        public_url: "https://shop.example".into(),
        logo: None,
    };
    let delivery = EmailTransport::smtp(url, "Lockstep <shop@shop.example>", sending.connections).unwrap();
    let store = Store::new(db.url(), &Options::default()).unwrap();
    store.seal_mail_with(lockstep_testkit::secrets());
    let worker = EmailWorker::new(
        store,
        delivery,
        head,
        sending,
        Arc::new(|_| unreachable!("no welcome is sent")),
    );
    let stop = CancellationToken::new();
    let until = stop.clone();
    (stop, tokio::spawn(async move { worker.run(until).await }))
}

const ORDER: &str = "'order-received', jsonb_build_object('kind', 'order-received', 'nickname', 'Ada', 'order', 'o', 'total', '5', 'lines', '[]'::jsonb)";
const KEYS: &str =
    "'keys-ready', jsonb_build_object('kind', 'keys-ready', 'nickname', 'Ada', 'order', 'o', 'copies', '[]'::jsonb)";
const RESET: &str = "'reset', jsonb_build_object('kind', 'reset', 'nickname', 'Ada', 'token', 'abc', 'minutes', 30)";

/// Queues one such e-mail to each of `people` recipients, valid for `lasts`.
async fn owe(db: &TestDb, letter: &str, people: usize, lasts: &str) {
    let insert = format!(
        "insert into mail_outbox (recipient, kind, letter, not_after)
         select 'p' || n || '@example.com', {letter}, now() + interval '{lasts}' from generate_series(1, {people}) n"
    );
    sqlx::query(AssertSqlSafe(insert)).execute(&db.sql).await.unwrap();
}

#[tokio::test]
async fn password_resets_overtake_order_emails() {
    let db = TestDb::new().await;
    owe(&db, ORDER, 527, "1 hour").await;
    let (sink, url) = Sink::start(|_| Duration::from_millis(400)).await;
    let sending = Sending::over(8);
    let (stop, worker) = worker(&db, &url, sending);
    sink.wait_for(1).await;
    let before = sink.taken().len();
    owe(&db, RESET, 1, "30 minutes").await;
    let reset = async {
        loop {
            if let Some(place) = sink
                .taken()
                .iter()
                .position(|(_, subject)| subject.contains("password"))
            {
                return place;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let place = tokio::time::timeout(DEADLINE, reset).await.expect("the reset is sent");
    // Found by the next poll, at most a second later, and delivered on a reserved connection: only those delivered
    // meanwhile precede it.
    assert!(place - before <= 5 * 8, "{} went before it", place - before);
    let most = sink.most.load(Ordering::SeqCst);
    assert!((2..=8).contains(&most), "{most} at once");
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emails_to_one_address_arrive_in_order() {
    let db = TestDb::new().await;
    owe(&db, ORDER, 40, "1 hour").await;
    owe(&db, KEYS, 40, "1 hour").await;
    // Every third e-mail takes long.
    let (sink, url) = Sink::start(|n| Duration::from_millis(if n % 3 == 0 { 60 } else { 1 })).await;
    let workers = [worker(&db, &url, Sending::over(8)), worker(&db, &url, Sending::over(8))];
    let taken = sink.wait_for(80).await;
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (recipient, subject) in taken {
        of.entry(recipient).or_default().push(subject);
    }
    assert_eq!(of.len(), 40);
    let first = &of.values().next().unwrap()[0];
    assert!(
        of.values()
            .all(|subjects| subjects.len() == 2 && subjects[0] == *first && subjects[1] != *first),
        "{of:?}"
    );
    for (stop, worker) in workers {
        stop.cancel();
        worker.await.unwrap();
    }
}

/// A delivery takes several times as long as a lease, and another worker waits for expired leases.
#[tokio::test]
async fn leases_are_renewed_during_a_long_delivery() {
    let db = TestDb::new().await;
    owe(&db, ORDER, 3, "1 hour").await;
    let (sink, url) = Sink::start(|_| Duration::from_millis(2500)).await;
    let sending = Sending {
        lease: Duration::from_millis(800),
        ..Sending::default()
    };
    let workers = [worker(&db, &url, sending), worker(&db, &url, sending)];
    sink.wait_for(3).await;
    for (stop, worker) in workers {
        stop.cancel();
        worker.await.unwrap();
    }
    assert_eq!(sink.taken().len(), 3, "each once: {:?}", sink.taken());
}

#[tokio::test]
async fn emails_of_a_killed_worker_are_sent_within_30_seconds() {
    let db = TestDb::new().await;
    owe(&db, ORDER, 4, "1 hour").await;
    let (slow, url) = Sink::start(|_| DEADLINE * 10).await;
    let (_stop, killed) = worker(&db, &url, Sending::default());
    tokio::time::timeout(DEADLINE, async {
        while slow.now.load(Ordering::SeqCst) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("all four are in hand");
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
    let held: bool = sqlx::query_scalar(
        "select bool_and(lease is not null and not_before between now() and now() + interval '30 seconds') from mail_outbox",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    assert!(held, "each is held, and for less than half a minute");
    // The 30 seconds are over.
    db.execute("update mail_outbox set not_before = now()").await;
    let (sink, url) = Sink::start(|_| Duration::ZERO).await;
    let (stop, next) = worker(&db, &url, Sending::default());
    sink.wait_for(4).await;
    stop.cancel();
    next.await.unwrap();
}

#[tokio::test]
async fn expired_link_is_dropped_with_a_note() {
    let db = TestDb::new().await;
    owe(&db, RESET, 3, "-1 second").await;
    owe(&db, RESET, 1, "30 minutes").await;
    let (sink, url) = Sink::start(|_| Duration::ZERO).await;
    let (stop, worker) = worker(&db, &url, Sending::default());
    assert_eq!(
        sink.wait_for(1).await.len(),
        1,
        "the one that is still good, though it was written last"
    );
    stop.cancel();
    worker.await.unwrap();
    let noted: i64 = sqlx::query_scalar(
        "select count(*) from mail_outbox where gave_up_at is not null and letter is null and last_error = 'not sent in time'",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    assert_eq!((noted, sink.taken().len()), (3, 1));
}
