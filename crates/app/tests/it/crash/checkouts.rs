//! `lockstep serve` dies while an order is paid directly, at each place; then it is started again. Wherever it died, what was paid is
//! one order, or money on the balance with a question to the shopper, and the books balance.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use lockstep_g2a_sandbox::Sandbox;
use lockstep_stripe_sandbox::{Card, StripeSandbox};
use lockstep_testkit::{TestDb, sqlx};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;
use uuid::Uuid;

use super::{PRODUCT, SECRET, stop, supplier};
use crate::program::{DEADLINE, client, lockstep, with_account};

/// Failure points of the beginning, in the order in which they are passed.
const BEGUN: &[&str] = &[
    "checkout.before",
    "pay_directly.intent.written",
    "pay_directly.intent.committed",
    "pay_directly.begun",
    "checkout.after",
];
/// Failure points of an order whose payment has come.
const PLACED: &[&str] = &[
    "pay_directly.credited",
    "pay_directly.settle.before",
    "checkout.take.before",
    "checkout.take.after",
    "checkout.written",
    "checkout.booked",
    "checkout.commit.before",
    "pay_directly.placed",
];
/// Failure points of a question to the shopper.
const ASKED: &[&str] = &[
    "pay_directly.ask.before",
    "pay_directly.asked",
    "pay_directly.ask.after",
];

/// A shop with one game and one shopper without a balance, whose program is restarted repeatedly.
struct Shop {
    db: TestDb,
    g2a: Sandbox,
    stripe: StripeSandbox,
    folder: TempDir,
    address: String,
    game: Uuid,
    token: String,
}

impl Shop {
    async fn open() -> Self {
        let (db, g2a, stripe) = (
            TestDb::new().await,
            supplier().await,
            StripeSandbox::start().await.unwrap(),
        );
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .unwrap();
        let game = db.game("Portal", "portal", "10.20").await;
        db.at_g2a(game, PRODUCT).await;
        let mut shop = Self {
            db,
            g2a,
            stripe,
            folder: tempfile::tempdir().unwrap(),
            address: address.to_string(),
            game,
            token: String::new(),
        };
        let mut program = shop.start(None);
        let account = json!({"email": "ada@example.org", "password": "Correct-Horse-1"});
        let answer = shop
            .insist(&mut program, "/api/auth/register", &account, None)
            .await
            .unwrap();
        answer["data"]["token"].as_str().unwrap().clone_into(&mut shop.token);
        stop(program).await;
        shop
    }

    fn start(&self, crash_at: Option<&str>) -> Child {
        let mut command = lockstep(&["serve"]);
        with_account(&mut command, &self.g2a)
            .env("DATABASE_URL", self.db.url())
            .env("LOCKSTEP_DATA_DIR", self.folder.path())
            .env("LOCKSTEP_BIND", &self.address)
            .env("LOCKSTEP_KEY_SECRET", SECRET)
            .env("LOCKSTEP_PACE", "test")
            .env("LOCKSTEP_RATE_LIMITS", "off")
            .env("STRIPE_API_URL", self.stripe.url())
            .env("STRIPE_SECRET_KEY", self.stripe.api_key())
            .env("STRIPE_WEBHOOK_SECRET", self.stripe.webhook_secret())
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(place) = crash_at {
            command.env("LOCKSTEP_CRASH_AT", place);
        }
        command.spawn().unwrap()
    }

    /// Repeats the request until it succeeds; `None` if the program is dead.
    async fn insist(&self, program: &mut Child, path: &str, body: &Value, key: Option<&str>) -> Option<Value> {
        let began = Instant::now();
        loop {
            let mut request = client()
                .post(format!("http://{}{path}", self.address))
                .header("authorization", format!("Bearer {}", self.token))
                .json(body);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            if let Ok(answer) = request.send().await {
                let status = answer.status().as_u16();
                let answer: Value = answer.json().await.unwrap_or_default();
                if (200..300).contains(&status) {
                    return Some(answer);
                }
                assert!(status >= 500, "{path}: {status} {answer}");
            }
            if program.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(began.elapsed() < DEADLINE, "{path} is neither answered nor cut off");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Delivers the event about a payment until it is answered, or the program is dead.
    async fn report(&self, program: &mut Child) {
        let events = self.stripe.events();
        let event = events
            .iter()
            .rfind(|event| event.kind == "checkout.session.completed")
            .unwrap();
        let began = Instant::now();
        while program.try_wait().unwrap().is_none() && began.elapsed() < DEADLINE {
            let sent = client()
                .post(format!("http://{}/api/payment/webhook", self.address))
                .header("stripe-signature", self.stripe.sign(event.body.as_bytes()))
                .body(event.body.clone())
                .send()
                .await;
            if sent.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a dead process had claimed is due again, as it is after its lease.
    async fn let_leases_end(&self) {
        self.db
            .execute(
                "update top_ups set not_before = now(), asking_until = null where status in ('PENDING', 'PROCESSING');
                 update pending_checkouts set due_at = now() where due_at is not null;
                 update payment_inbox set not_before = now(), asking_until = null where done_at is null",
            )
            .await;
    }

    async fn wait_for(&self, state: &str, number: usize, place: &str) {
        let began = Instant::now();
        loop {
            let found: i64 = sqlx::query_scalar("select count(*) from pending_checkouts where state = $1")
                .bind(state)
                .fetch_one(&self.db.sql)
                .await
                .unwrap();
            if usize::try_from(found).unwrap() == number {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{place}: {found} of {number} are {state}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Orders and pays, while the program dies at `place`; `meanwhile` happens before the payment.
    async fn pays(&self, place: &str, meanwhile: Option<&'static str>) -> Child {
        let mut program = self.start(Some(place));
        let (key, mut has_died) = (Uuid::new_v4().to_string(), false);
        let wanted = json!({"items": [{"gameId": self.game, "quantity": 1}]});
        let begun = loop {
            if let Some(answer) = self.insist(&mut program, "/api/checkout", &wanted, Some(&key)).await {
                break answer;
            }
            assert!(!has_died, "{place}: it died twice");
            has_died = true;
            self.let_leases_end().await;
            program = self.start(None);
        };
        assert_eq!(begun["data"]["status"], "WAITING", "{place}: {begun}");
        let session = begun["data"]["redirectUrl"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap();
        if let Some(meanwhile) = meanwhile {
            self.db.execute(meanwhile).await;
        }
        self.stripe.pay(session, Card::Succeeds).unwrap();
        self.report(&mut program).await;
        if !has_died {
            let ended = tokio::time::timeout(DEADLINE, program.wait()).await;
            let status = ended.unwrap_or_else(|_| panic!("{place} was not reached")).unwrap();
            assert!(!status.success(), "{place}");
            self.let_leases_end().await;
            // Nobody reports it again: it asks itself.
            program = self.start(None);
        }
        program
    }
}

#[tokio::test]
async fn a_paid_order_is_placed_once_wherever_the_program_dies() {
    let shop = Shop::open().await;
    for (number, place) in BEGUN.iter().chain(PLACED).enumerate() {
        let program = shop.pays(place, None).await;
        shop.wait_for("PLACED", number + 1, place).await;
        stop(program).await;
        assert_eq!(
            shop.db.count("orders").await,
            i64::try_from(number + 1).unwrap(),
            "{place}"
        );
        assert_eq!(shop.stripe.objects("charge").len(), number + 1, "{place}");
        shop.db.assert_books_balance().await;
    }
    assert_eq!(shop.db.count("pending_checkouts").await, shop.db.count("orders").await);
}

#[tokio::test]
async fn a_shopper_is_asked_once_wherever_the_program_dies() {
    let shop = Shop::open().await;
    for (number, place) in ASKED.iter().enumerate() {
        shop.db
            .execute("update games set price = 10.20, fields_by_hand = array['price']")
            .await;
        let program = shop
            .pays(
                place,
                Some("update games set price = 11.20, fields_by_hand = array['price']"),
            )
            .await;
        shop.wait_for("ASK", number + 1, place).await;
        stop(program).await;
        let told = shop.db.count("mail_outbox where kind = 'order-not-placed'").await;
        assert_eq!(told, i64::try_from(number + 1).unwrap(), "{place}");
        assert_eq!(shop.db.count("orders").await, 0, "{place}");
        shop.db.assert_books_balance().await;
        // The money is there; the next one is paid anew.
        shop.db
            .execute(
                "with spent as (select id, balance from users where balance > 0),
                      paid as (update users u set balance = 0 from spent s where u.id = s.id returning u.id)
                 insert into transactions (user_id, type, amount, status, method)
                 select s.id, 'PURCHASE', -s.balance, 'COMPLETED', 'ADJUSTMENT' from spent s join paid p on p.id = s.id",
            )
            .await;
    }
}

#[test]
fn every_place_of_paying_directly_is_tried() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tried: Vec<&str> = [BEGUN, PLACED, ASKED].concat();
    for file in [
        "store/src/pending_checkouts.rs",
        "payments/src/payments.rs",
        "payments/src/payments/checkouts.rs",
    ] {
        let text = std::fs::read_to_string(crates.join(file)).unwrap();
        let names = text
            .split("failpoint!(\"")
            .skip(1)
            .filter_map(|rest| rest.split_once('"'));
        for (name, _) in names {
            assert!(tried.contains(&name), "{name} of {file}");
        }
    }
}
