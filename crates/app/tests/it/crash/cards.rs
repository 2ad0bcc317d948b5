//! `lockstep serve` dies while it makes a refund or takes an event about a dispute, at each place; then it is started again.
//! Wherever it died, there is one refund at Stripe, one lien, and the books balance.

use std::process::Stdio;
use std::time::Instant;

use lockstep_g2a_sandbox::Sandbox;
use lockstep_stripe_sandbox::{Card, StripeSandbox};
use lockstep_testkit::{TestDb, sqlx};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;
use uuid::Uuid;

use super::{SECRET, stop, supplier};
use crate::program::{DEADLINE, client, lockstep, with_account};

/// Failure points of a refund, in the order in which they are passed.
const REFUND: &[&str] = &[
    "card_refund.look.before",
    "card_refund.call.before",
    "card_refund.call.after",
    "card_refund.record.before",
    "card_refund.record.after",
];
/// Failure points of a refund that Stripe refuses.
const REFUSED: &[&str] = &["card_refund.refused.before", "card_refund.refused.after"];
/// Failure points of the submission of evidence.
const EVIDENCE: &[&str] = &[
    "dispute_evidence.call.before",
    "dispute_evidence.call.after",
    "dispute_evidence.record.before",
    "dispute_evidence.record.after",
];
/// Failure points of an event about a dispute.
const EVENT: &[&str] = &[
    "payment_event.take.before",
    "payment_event.take.after",
    "payment_object.read.before",
    "payment_object.apply.before",
    "payment_object.apply.after",
    "payment_event.done.before",
    "payment_event.done.after",
];

/// A shop with one paid top-up of 100 EUR.
struct Shop {
    db: TestDb,
    g2a: Sandbox,
    stripe: StripeSandbox,
    folder: TempDir,
    address: String,
    charge: String,
    top_up: Uuid,
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
        let (user, top_up) = (db.user("ada@example.org", "100").await, Uuid::new_v4());
        let id = top_up.to_string();
        let form = [
            ("mode", "payment"),
            ("metadata[top_up]", &id),
            ("payment_intent_data[metadata][top_up]", &id),
            ("line_items[0][quantity]", "1"),
            ("line_items[0][price_data][currency]", "eur"),
            ("line_items[0][price_data][unit_amount]", "10000"),
            ("line_items[0][price_data][product_data][name]", "Balance"),
            ("success_url", "https://shop.example/"),
        ];
        let made = client()
            .post(format!("{}/v1/checkout/sessions", stripe.url()))
            .bearer_auth(stripe.api_key())
            .header("Stripe-Version", lockstep_stripe_sandbox::VERSION)
            .form(&form)
            .send()
            .await
            .unwrap();
        let session: Value = made.json().await.unwrap();
        let session = session["id"].as_str().unwrap();
        let charge = stripe.pay(session, Card::Succeeds).unwrap();
        db.execute(&format!(
            "insert into top_ups (id, user_id, amount, method, provider, reference, status, transaction_id)
             select '{top_up}', user_id, amount, 'card', 'stripe', '{session}', 'COMPLETED', id from transactions where user_id = '{user}'"
        ))
        .await;
        Self {
            db,
            g2a,
            stripe,
            folder: tempfile::tempdir().unwrap(),
            address: address.to_string(),
            charge,
            top_up,
        }
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

    /// What a dead process had claimed is due again, as it is after its lease.
    async fn let_leases_end(&self) {
        self.db
            .execute(
                "update payment_inbox set not_before = now(), asking_until = null where done_at is null;
                 update card_refunds set not_before = now(), asking_until = null where state in ('REQUESTED', 'PENDING');
                 update dispute_evidence set not_before = now(), asking_until = null where state = 'REQUESTED'",
            )
            .await;
    }

    async fn wait_for(&self, question: &str, context: &str) {
        let began = Instant::now();
        loop {
            let is_there: bool = sqlx::query_scalar(sqlx::AssertSqlSafe(question.to_owned()))
                .fetch_one(&self.db.sql)
                .await
                .unwrap();
            if is_there {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{context}: {question}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// What a request of staff writes.
    async fn refund(&self, euro: u32) {
        self.db
            .execute(&format!(
                "insert into card_refunds (top_up_id, user_id, amount) select id, user_id, {euro} from top_ups where id = '{}'",
                self.top_up
            ))
            .await;
    }
}

async fn dies(mut program: Child, place: &str) {
    let ended = tokio::time::timeout(DEADLINE, program.wait()).await;
    let status = ended.unwrap_or_else(|_| panic!("{place} was not reached")).unwrap();
    assert!(!status.success(), "{place}");
}

#[tokio::test]
async fn a_refund_is_made_once_wherever_the_program_dies() {
    let shop = Shop::open().await;
    for (number, place) in REFUND.iter().enumerate() {
        // Its charge is read again, as after the first start of this version.
        shop.db.execute("delete from top_up_charges").await;
        shop.refund(10).await;
        dies(shop.start(Some(place)), place).await;
        shop.let_leases_end().await;
        let program = shop.start(None);
        let made = format!(
            "select count(*) = {} from card_refunds where state = 'SUCCEEDED'",
            number + 1
        );
        shop.wait_for(&made, place).await;
        stop(program).await;
        assert_eq!(shop.stripe.objects("refund").len(), number + 1, "{place}");
        shop.db.assert_books_balance().await;
    }
    // The rest is disputed at Stripe, which refuses the next.
    shop.stripe.dispute(&shop.charge, 4_000, "fraudulent").unwrap();
    for (number, place) in REFUSED.iter().enumerate() {
        shop.refund(20).await;
        dies(shop.start(Some(place)), place).await;
        shop.let_leases_end().await;
        let program = shop.start(None);
        let failed = format!(
            "select count(*) = {} from card_refunds where state = 'FAILED'",
            number + 1
        );
        shop.wait_for(&failed, place).await;
        stop(program).await;
        shop.db.assert_books_balance().await;
    }
    assert_eq!(
        (shop.stripe.objects("refund").len(), shop.stripe.ledger().refunded),
        (REFUND.len(), 5_000)
    );
}

#[tokio::test]
async fn an_event_about_a_dispute_is_taken_once_wherever_the_program_dies() {
    let shop = Shop::open().await;
    for (number, place) in EVENT.iter().enumerate() {
        shop.stripe.dispute(&shop.charge, 100, "fraudulent").unwrap();
        let event = shop
            .stripe
            .events()
            .into_iter()
            .rfind(|event| event.kind == "charge.dispute.created")
            .unwrap();
        let send = async || {
            let sent = client()
                .post(format!("http://{}/api/payment/webhook", shop.address))
                .header("stripe-signature", shop.stripe.sign(event.body.as_bytes()))
                .body(event.body.clone())
                .send()
                .await;
            sent.is_ok_and(|answer| answer.status().is_success())
        };
        let deliver = async || {
            let began = Instant::now();
            while !send().await && began.elapsed() < DEADLINE {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let program = shop.start(Some(place));
        tokio::select! {
            () = dies(program, place) => {}
            // It was answered, and the program dies after that.
            () = async { deliver().await; std::future::pending::<()>().await } => {}
        }
        shop.let_leases_end().await;
        let program = shop.start(None);
        deliver().await;
        shop.wait_for(
            &format!("select count(*) = {} from disputes where held = 1", number + 1),
            place,
        )
        .await;
        stop(program).await;
        shop.db.assert_books_balance().await;
    }
    assert_eq!(shop.db.count("disputes").await, i64::try_from(EVENT.len()).unwrap());
}

#[tokio::test]
async fn evidence_is_submitted_once_wherever_the_program_dies() {
    let shop = Shop::open().await;
    for (number, place) in EVIDENCE.iter().enumerate() {
        let dispute = shop.stripe.dispute(&shop.charge, 100, "fraudulent").unwrap();
        shop.db
            .execute(&format!(
                "with opened as (
                     insert into disputes (reference, top_up_id, user_id, amount, claimed, state, status)
                     select '{dispute}', id, user_id, 1, 1, 'OPEN', 'needs_response' from top_ups where id = '{}' returning id, user_id)
                 insert into dispute_evidence (dispute_id, fields, requested_by)
                 select id, '{{\"evidence[uncategorized_text]\": \"played it\"}}', user_id from opened",
                shop.top_up
            ))
            .await;
        dies(shop.start(Some(place)), place).await;
        shop.let_leases_end().await;
        let program = shop.start(None);
        let submitted = format!(
            "select count(*) = {} from dispute_evidence where state = 'SUBMITTED'",
            number + 1
        );
        shop.wait_for(&submitted, place).await;
        stop(program).await;
        let object = shop.stripe.object(&dispute).unwrap();
        assert_eq!(object["evidence_details"]["submission_count"], 1, "{place}");
        shop.db.assert_books_balance().await;
    }
}

#[tokio::test]
async fn a_top_up_is_judged_although_the_program_dies_before() {
    let shop = Shop::open().await;
    shop.db
        .execute(
            "insert into payment_inbox (provider, event_id, kind, object, reference)
             select 'stripe', 'credited:' || reference, 'credited', 'session', reference from top_ups;
             insert into payment_holds (top_up_id, user_id, rule, detail, ends_at)
             select id, user_id, 'UNREAD', 'd', now() + interval '1 hour' from top_ups;
             update fraud_rules set amount = 50 where name = 'NEW_ACCOUNT'",
        )
        .await;
    let place = "payment_object.judge.before";
    dies(shop.start(Some(place)), place).await;
    assert_eq!(shop.db.count("payment_holds where rule = 'UNREAD'").await, 1);
    shop.let_leases_end().await;
    let program = shop.start(None);
    shop.wait_for("select bool_and(rule = 'NEW_ACCOUNT') from payment_holds", place)
        .await;
    stop(program).await;
}
