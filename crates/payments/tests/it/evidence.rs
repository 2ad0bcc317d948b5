//! The case file of a dispute, and its submission to a Stripe of our own.

use lockstep_domain::ids::UserId;
use lockstep_store::cards::evidence::{self, CaseFile, EvidenceError};
use lockstep_stripe_sandbox::{Card, Fault};
use serde_json::json;
use uuid::Uuid;

use crate::cards::World;

impl World {
    /// A dispute about a payment of 100 EUR; returns the shop's id of it, and Stripe's.
    async fn disputed(&self) -> (Uuid, String) {
        let (_, charge) = self.paid("100", Card::Succeeds).await;
        let from = self.stripe.events().len();
        let dispute = self.stripe.dispute(&charge, 10_000, "fraudulent").unwrap();
        self.deliver(from).await;
        let id = self.text("select id::text from disputes").await.parse().unwrap();
        (id, dispute)
    }

    async fn case(&self, id: Uuid) -> CaseFile {
        let read = self.store.read(|tx| Box::pin(evidence::collect(tx, id))).await;
        read.unwrap().value.unwrap()
    }

    async fn submit(&self, id: Uuid, text: &str) -> Result<Uuid, EvidenceError> {
        let fields = json!({"evidence[uncategorized_text]": text, "evidence[customer_purchase_ip]": "203.0.113.7"});
        evidence::request(&self.store, UserId(self.admin), id, fields).await
    }

    /// Has the worker look at what waits, and returns what became of the evidence.
    async fn sent(&self) -> String {
        self.db
            .execute("update dispute_evidence set not_before = now(), asking_until = null where state = 'REQUESTED'")
            .await;
        self.payments.work_on_cards().await.unwrap();
        self.text("select string_agg(state, ' ' order by created_at) from dispute_evidence")
            .await
    }
}

#[tokio::test]
async fn a_case_has_the_payment_what_was_bought_and_what_happened() {
    let world = World::new().await;
    world
        .db
        .execute(&format!(
            "insert into user_sessions (id, user_id, expires_at, refresh_id, address, user_agent)
             values (gen_random_uuid(), '{user}', now() + interval '1 day', gen_random_uuid(), '203.0.113.7', 'Browser 1');
             insert into login_history (user_id, succeeded, address, user_agent, created_at)
             values ('{user}', true, '203.0.113.7', 'Browser 1', now() - interval '1 hour'), ('{user}', false, '198.51.100.1', 'x', now())",
            user = world.user
        ))
        .await;
    // Two earlier payments half a year ago, and one of last week.
    world.db.execute("update fraud_rules set is_on = false").await;
    for _ in 0..3 {
        world.paid("20", Card::Succeeds).await;
    }
    world
        .db
        .execute(
            "set session_replication_role = replica;
             update transactions set created_at = now() - interval '180 days' where amount = 20;
             update transactions set created_at = now() - interval '10 days'
              where id = (select transaction_id from top_ups where amount = 20 order by created_at desc limit 1);
             set session_replication_role = origin",
        )
        .await;
    let (_, charge) = world.paid("100", Card::Succeeds).await;
    let game = world.db.game("Portal", "portal", "10").await;
    let order = world.db.order(world.user, game, 2).await;
    world.db.deliver(order.units[0]).await;
    world
        .db
        .execute(&format!(
            "insert into key_reveals (game_key_id, user_id, how, last_at) select id, '{}', 'PAGE', now() from game_keys",
            world.user
        ))
        .await;
    let from = world.stripe.events().len();
    world.stripe.dispute(&charge, 10_000, "fraudulent").unwrap();
    world.deliver(from).await;
    let id = world.text("select id::text from disputes").await.parse().unwrap();
    let case = world.case(id).await;
    assert_eq!(case.payment.address.as_deref(), Some("203.0.113.7"));
    assert_eq!(case.payment.user_agent.as_deref(), Some("Browser 1"));
    assert_eq!(
        (case.payment.email.as_str(), case.payment.card_country.as_deref()),
        ("ada@example.org", Some("FR"))
    );
    let delivered = case.copies.iter().filter(|copy| copy.delivered_at.is_some()).count();
    assert_eq!((case.copies.len(), delivered), (2, 1));
    assert_eq!(case.views.len(), 1);
    assert_eq!(
        (case.views[0].how.as_str(), case.views[0].address.as_deref()),
        ("PAGE", Some("203.0.113.7")),
        "where its owner was logged in"
    );
    assert_eq!(case.logins.len(), 1, "what failed proves nothing");
    let compelling: Vec<bool> = case.earlier.iter().map(|one| one.is_compelling).collect();
    assert_eq!(compelling, [false, true, true], "ten days are too few");
    let consents: Vec<&str> = case
        .consents
        .iter()
        .filter_map(|consent| consent["source"].as_str())
        .collect();
    assert_eq!(consents, ["before"]);
}

#[tokio::test]
async fn evidence_is_submitted_once_however_often_it_is_asked_for() {
    let world = World::new().await;
    let (id, dispute) = world.disputed().await;
    let asked = futures::future::join_all((0..8).map(|_| world.submit(id, "played it"))).await;
    assert_eq!(asked.iter().filter(|one| one.is_ok()).count(), 1, "{asked:?}");
    assert!(
        asked
            .iter()
            .all(|one| matches!(one, Ok(_) | Err(EvidenceError::Already))),
        "{asked:?}"
    );
    let workers = futures::future::join_all((0..4).map(|_| world.payments.work_on_cards())).await;
    assert!(workers.iter().all(Result::is_ok), "{workers:?}");
    assert_eq!(world.sent().await, "SUBMITTED");
    let object = world.stripe.object(&dispute).unwrap();
    assert_eq!(object["evidence"]["customer_purchase_ip"], "203.0.113.7");
    assert_eq!(object["evidence_details"]["submission_count"], 1);
    assert_eq!(
        world.text("select status from disputes").await,
        "under_review",
        "it is known at once"
    );
    assert!(matches!(world.submit(id, "again").await, Err(EvidenceError::Already)));
    assert_eq!(
        world
            .db
            .count("audit_log where action = 'payment.evidence.submit'")
            .await,
        1
    );
}

#[tokio::test]
async fn evidence_whose_answer_was_lost_is_not_sent_twice() {
    for fault in [Fault::Broken, Fault::Garbled, Fault::Silent] {
        let world = World::new().await;
        let (id, dispute) = world.disputed().await;
        world.submit(id, "played it").await.unwrap();
        world.stripe.set_fault(fault);
        assert_eq!(world.sent().await, "REQUESTED", "{fault:?}");
        world.stripe.set_fault(Fault::None);
        world.stripe.forget_keys();
        assert_eq!(world.sent().await, "SUBMITTED", "{fault:?}");
        let object = world.stripe.object(&dispute).unwrap();
        assert_eq!(object["evidence_details"]["submission_count"], 1, "{fault:?}");
    }
}

#[tokio::test]
async fn evidence_waits_while_stripe_is_away_and_what_it_refuses_needs_a_person() {
    let world = World::new().await;
    let (id, _) = world.disputed().await;
    world.submit(id, &"x".repeat(150_001)).await.unwrap();
    world.stripe.set_fault(Fault::Status(503));
    assert_eq!(world.sent().await, "REQUESTED");
    world.stripe.set_fault(Fault::None);
    assert_eq!(world.sent().await, "REFUSED");
    let mut open = world.open_incidents().await;
    open.sort();
    assert_eq!(open, ["DISPUTE", "EVIDENCE"]);
    assert_eq!(
        world
            .text("select bool_and(due_at is not null)::text from payment_incidents")
            .await,
        "true",
        "both are due when the evidence is"
    );
    world.submit(id, "shorter").await.unwrap();
    assert_eq!(world.sent().await, "REFUSED SUBMITTED");
}

#[tokio::test]
async fn nothing_is_submitted_about_a_dispute_that_is_decided_or_ones_own() {
    let world = World::new().await;
    let (id, dispute) = world.disputed().await;
    let own = evidence::request(&world.store, UserId(world.user), id, json!({})).await;
    assert!(matches!(own, Err(EvidenceError::Own)), "{own:?}");
    let from = world.stripe.events().len();
    world.stripe.set_dispute_status(&dispute, "lost");
    world.deliver(from).await;
    assert!(matches!(world.submit(id, "late").await, Err(EvidenceError::NotAsked)));
    let unknown = world.submit(Uuid::nil(), "x").await;
    assert!(matches!(unknown, Err(EvidenceError::NotFound)), "{unknown:?}");
}
