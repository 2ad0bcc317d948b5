//! Withdrawals from contracts: stored whatever they name, acknowledged once, decided once, and paid to the cent.

use futures::future::join_all;
use lockstep_domain::admin::Page;
use lockstep_domain::email_template::EmailTemplate;
use lockstep_domain::ids::{TopUpId, UserId};
use lockstep_store::StoreError;
use lockstep_store::fulfilment::EmailSettings;
use lockstep_store::withdrawals::{self, Case, Decision, DecisionError, Declaration, WithdrawalState};
use lockstep_testkit::TestDb;
use uuid::Uuid;

/// A shop with a customer who has topped up 50 euro by card and ordered two copies for 20 euro.
struct Sold {
    db: TestDb,
    staff: Uuid,
    user: Uuid,
    order: Uuid,
    units: Vec<Uuid>,
    number: String,
    top_up: TopUpId,
}

impl Sold {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let staff = db.user("staff@example.org", "0").await;
        let user = db.user("ada@example.org", "50.00").await;
        let game = db.game("Portal", "portal", "10.00").await;
        let top_up = Uuid::new_v4();
        db.execute(&format!(
            "insert into top_ups (id, user_id, amount, method, provider, status, transaction_id)
             select '{top_up}', user_id, amount, 'card', 'stripe', 'COMPLETED', id from transactions
              where type = 'TOP_UP' and user_id = '{user}'"
        ))
        .await;
        let order = db.order(user, game, 2).await;
        let number = sqlx::query_scalar("select number from orders where id = $1")
            .bind(order.id)
            .fetch_one(&db.sql)
            .await
            .unwrap();
        Self {
            staff,
            user,
            order: order.id,
            units: order.units,
            number,
            top_up: TopUpId(top_up),
            db,
        }
    }

    async fn declared(&self, number: &str, contact: &str) -> Uuid {
        let id = Uuid::new_v4();
        let said = Declaration {
            id,
            name: "Ada".into(),
            order_number: number.into(),
            contact: contact.into(),
            language: "de",
            address: Some("203.0.113.7".into()),
        };
        withdrawals::declare(&self.db.store, &said).await.unwrap();
        id
    }

    async fn case(&self, id: Uuid) -> Case {
        let read: Result<_, StoreError> = self.db.store.read(|tx| Box::pin(withdrawals::case(tx, id))).await;
        read.unwrap().value.unwrap()
    }

    fn decision(&self, is_accepted: bool) -> Decision {
        Decision {
            admin: UserId(self.staff),
            is_accepted,
            reason: None,
            top_up: None,
            amount: None,
            confirmed: true,
            providers: vec!["stripe"],
        }
    }

    async fn decide(&self, id: Uuid, decision: &Decision) -> Result<(), DecisionError> {
        withdrawals::decide(&self.db.store, id, decision, &EmailSettings::default()).await
    }

    async fn balance(&self) -> String {
        sqlx::query_scalar("select balance::text from users where id = $1")
            .bind(self.user)
            .fetch_one(&self.db.sql)
            .await
            .unwrap()
    }

    async fn mails(&self, kind: &str) -> Vec<(String, EmailTemplate)> {
        let recipients: Vec<String> =
            sqlx::query_scalar("select recipient from mail_outbox where kind = $1 order by seq")
                .bind(kind)
                .fetch_all(&self.db.sql)
                .await
                .unwrap();
        let queued = self.db.queued_emails(kind).await;
        let emails = queued.into_iter().map(|email| serde_json::from_value(email).unwrap());
        recipients.into_iter().zip(emails).collect()
    }
}

#[tokio::test]
async fn a_declaration_is_tied_to_an_order_only_by_its_buyers_address() {
    let shop = Sold::new().await;
    // As people write it.
    let typed = format!("{}-{}", &shop.number[..5].to_lowercase(), &shop.number[5..]);
    let own = shop.declared(&typed, "ada@example.org").await;
    let strangers = shop.declared(&shop.number, "eve@example.org").await;
    let wrong = shop.declared("0000000000", "ada@example.org").await;
    let tied = async |id| {
        let said = shop.case(id).await.withdrawal;
        (said.order, said.user)
    };
    assert_eq!(tied(own).await, (Some(shop.order), Some(shop.user)));
    assert_eq!(tied(strangers).await, (None, None));
    assert_eq!(tied(wrong).await, (None, Some(shop.user)));
    // All are acknowledged alike, to the address that was given.
    let mails = shop.mails("withdrawal-received").await;
    let to: Vec<&str> = mails.iter().map(|(to, _)| to.as_str()).collect();
    assert_eq!(to, ["ada@example.org", "eve@example.org", "ada@example.org"]);
    assert!(
        matches!(&mails[0].1, EmailTemplate::WithdrawalReceived { reference, at, language, .. }
            if *reference == typed && at.ends_with(" UTC") && language == "de"),
        "{mails:?}"
    );
}

#[tokio::test]
async fn a_declaration_that_is_sent_often_is_one() {
    let shop = Sold::new().await;
    let said = Declaration {
        id: Uuid::new_v4(),
        name: "Ada".into(),
        order_number: shop.number.clone(),
        contact: "ada@example.org".into(),
        language: "en",
        address: None,
    };
    let arrived = join_all((0..12).map(|_| withdrawals::declare(&shop.db.store, &said))).await;
    let arrived: Vec<_> = arrived.into_iter().map(Result::unwrap).collect();
    assert!(arrived.iter().all(|at| *at == arrived[0]));
    assert_eq!(shop.db.count("withdrawals").await, 1);
    assert_eq!(shop.mails("withdrawal-received").await.len(), 1);
}

#[tokio::test]
async fn an_accepted_withdrawal_refunds_what_is_not_delivered_once() {
    let shop = Sold::new().await;
    shop.db.deliver(shop.units[0]).await;
    let id = shop.declared(&shop.number, "ada@example.org").await;
    assert_eq!(shop.balance().await, "30.00");
    let accept = shop.decision(true);
    let decided = join_all((0..12).map(|_| shop.decide(id, &accept))).await;
    assert!(decided.iter().all(Result::is_ok), "{decided:?}");
    assert_eq!(shop.balance().await, "40.00");
    let case = shop.case(id).await;
    assert_eq!(
        (case.withdrawal.state.as_str(), case.withdrawal.refunded.to_string()),
        ("ACCEPTED", "10.00".into())
    );
    let states: Vec<(bool, bool)> = case
        .units
        .iter()
        .map(|unit| (unit.is_delivered, unit.is_refunded))
        .collect();
    assert_eq!(states, [(true, false), (false, true)]);
    assert_eq!(shop.mails("withdrawal-decided").await.len(), 1);
    // What was decided stays.
    let refuse = Decision {
        reason: Some("too late".into()),
        ..shop.decision(false)
    };
    assert!(matches!(shop.decide(id, &refuse).await, Err(DecisionError::Decided)));
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn money_goes_on_to_the_card_once_whoever_decides() {
    let shop = Sold::new().await;
    let id = shop.declared(&shop.number, "ada@example.org").await;
    let accept = Decision {
        top_up: Some(shop.top_up),
        ..shop.decision(true)
    };
    let refuse = Decision {
        reason: Some("no".into()),
        ..shop.decision(false)
    };
    let both = (0..12).map(|n| shop.decide(id, if n % 2 == 0 { &accept } else { &refuse }));
    let decided = join_all(both).await;
    let case = shop.case(id).await;
    let is_accepted = case.withdrawal.state == WithdrawalState::Accepted.as_str();
    assert_eq!(
        decided.iter().filter(|decided| decided.is_ok()).count(),
        6,
        "{decided:?}"
    );
    assert!(
        decided
            .iter()
            .all(|decided| matches!(decided, Ok(()) | Err(DecisionError::Decided)))
    );
    let refunds: Vec<(String, String)> = sqlx::query_as("select amount::text, state from card_refunds")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    if is_accepted {
        assert_eq!(refunds, [("20.00".to_owned(), "REQUESTED".to_owned())]);
        assert!(case.withdrawal.card_refund.is_some());
    } else {
        assert!(refunds.is_empty());
    }
    // To the balance and on, or not at all.
    assert_eq!(shop.balance().await, "30.00");
    shop.db.assert_books_balance().await;
}

/// “Balance” instead of an order number: what is left of the top-up goes back.
#[tokio::test]
async fn a_withdrawn_top_up_goes_back_to_its_card() {
    let shop = Sold::new().await;
    let id = shop.declared("balance", "ada@example.org").await;
    let case = shop.case(id).await;
    let left: Vec<String> = case.top_ups.iter().map(|top_up| top_up.left.to_string()).collect();
    assert_eq!(left, ["30.00"]);
    let accept = Decision {
        top_up: Some(shop.top_up),
        ..shop.decision(true)
    };
    shop.decide(id, &accept).await.unwrap();
    assert_eq!(shop.balance().await, "0.00");
    let amount: String = sqlx::query_scalar("select amount::text from card_refunds")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(amount, "30.00");
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn decisions_that_would_be_wrong_change_nothing() {
    let shop = Sold::new().await;
    for unit in &shop.units {
        shop.db.deliver(*unit).await;
    }
    let id = shop.declared(&shop.number, "ada@example.org").await;
    assert!(matches!(
        shop.decide(id, &shop.decision(false)).await,
        Err(DecisionError::NoReason)
    ));
    assert!(matches!(
        shop.decide(id, &shop.decision(true)).await,
        Err(DecisionError::NothingLeft)
    ));
    assert!(matches!(
        shop.decide(Uuid::new_v4(), &shop.decision(true)).await,
        Err(DecisionError::NotFound)
    ));
    // Declared by somebody else, a top-up is not theirs to withdraw.
    let strangers = shop.declared(&shop.number, "eve@example.org").await;
    let accept = Decision {
        top_up: Some(shop.top_up),
        ..shop.decision(true)
    };
    assert!(matches!(
        shop.decide(strangers, &accept).await,
        Err(DecisionError::OtherAccount)
    ));
    assert!(shop.mails("withdrawal-decided").await.is_empty());
    let page = Page { number: 1, size: 20 };
    let open: Result<_, StoreError> = shop
        .db
        .store
        .read(|tx| Box::pin(withdrawals::list(tx, Some(WithdrawalState::Open), page)))
        .await;
    let (listed, total) = open.unwrap().value;
    assert_eq!((listed.len(), total), (2, 2));
    assert_eq!(shop.balance().await, "30.00");
}
