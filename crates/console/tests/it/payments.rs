//! The room Payments: top-ups with their refunds, disputes, incidents, and what the comparison found.

use http::StatusCode;
use uuid::Uuid;

use crate::shop::{Shop, unescaped};

/// A top-up of 100 EUR by card, of a customer who was registered for it; returns its id.
async fn paid(shop: &Shop) -> Uuid {
    let (user, top_up) = (shop.db.user("ada@example.net", "100").await, Uuid::new_v4());
    shop.db
        .execute(&format!(
            "insert into top_ups (id, user_id, amount, method, provider, reference, status, transaction_id)
             select '{top_up}', user_id, amount, 'card', 'stripe', 'cs_1', 'COMPLETED', id from transactions where user_id = '{user}';
             insert into top_up_charges (top_up_id, charge, payment_intent, amount, currency, fee, card_country, card_fingerprint)
             values ('{top_up}', 'ch_1', 'pi_1', 100, 'EUR', 1.75, 'FR', 'fp_1')"
        ))
        .await;
    top_up
}

#[tokio::test]
async fn a_top_up_is_found_refunded_with_its_exact_effect_and_the_refund_withdrawn() {
    let shop = Shop::open_with_cards().await;
    let (top_up, staff) = (paid(&shop).await, shop.staff("MANAGER").await);
    let room = staff.page("/admin/payments").await;
    assert!(room.contains("href=\"/admin/payments/top-ups\""), "{room}");
    let own = format!("/admin/payments/top-ups/{top_up}");
    let list = staff.page("/admin/payments/top-ups?country=fr").await;
    assert!(
        list.contains(&format!("href=\"{own}\"")) && list.contains("1 row<"),
        "{list}"
    );
    assert!(
        staff
            .page("/admin/payments/top-ups?trouble=yes")
            .await
            .contains("Nothing matches")
    );
    let page = staff.page(&own).await;
    assert!(
        page.contains("fp_1") && page.contains("€1.75") && page.contains("Top-up of €100.00"),
        "{page}"
    );

    let form = staff.page(&format!("{own}/refund")).await;
    assert!(form.contains("€100.00") && form.contains("value=\"100.00\""), "{form}");
    let wrong = staff.submit(&form, "amount=100.01&reason=asked").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("At most €100.00"), "{}", wrong.text());
    let sent = staff.submit(&form, "amount=30&reason=asked").await;
    assert!(staff.follow(&sent).await.contains("€30.00 go back to the card."));
    // The same form again is the same refund.
    staff.submit(&form, "amount=30&reason=asked").await;
    assert_eq!(
        shop.value("select count(*)::text || ' ' || sum(amount) from card_refunds")
            .await,
        "1 30.00"
    );
    // More than the role may within a day asks for the password, and then carries it out.
    let form = staff.page(&format!("{own}/refund")).await;
    shop.db
        .execute("update staff_roles set refund_limit = 50 where name = 'MANAGER'")
        .await;
    shop.forget_passwords().await;
    let asked = staff.submit(&form, "amount=40&reason=asked").await;
    assert!(asked.text().contains("confirm_password"), "{}", asked.text());
    assert_eq!(shop.value("select count(*)::text from card_refunds").await, "1");

    let refund = shop.value("select id::text from card_refunds").await;
    let form = staff.page(&format!("/admin/payments/refunds/{refund}/withdraw")).await;
    assert!(form.contains("€30.00"), "{form}");
    let sent = staff.submit(&form, "reason=typed+wrong").await;
    assert!(staff.follow(&sent).await.contains("The refund is withdrawn."));
    assert_eq!(
        shop.value("select balance::text from users where email = 'ada@example.net'")
            .await,
        "100.00"
    );
    let again = staff.submit(&form, "reason=typed+wrong").await;
    assert!(again.text().contains("has this refund already"), "{}", again.text());
    shop.db.assert_books_balance().await;
}

#[tokio::test]
async fn a_dispute_shows_its_lien_and_an_incident_is_closed_with_a_note() {
    let shop = Shop::open_with_cards().await;
    let (top_up, staff) = (paid(&shop).await, shop.staff("SUPPORT").await);
    shop.db
        .execute(&format!(
            "insert into disputes (reference, top_up_id, user_id, amount, state, status, reason, due_by)
             select 'du_1', id, user_id, 60, 'OPEN', 'needs_response', 'fraudulent', now() + interval '2 days' from top_ups where id = '{top_up}';
             insert into payment_incidents (kind, reference, top_up_id, user_id, detail, due_at)
             select 'FRAUD_WARNING', 'issfr_1', id, user_id, 'the bank reports fraud', now() - interval '1 hour' from top_ups where id = '{top_up}'"
        ))
        .await;
    let list = staff.page("/admin/payments/disputes?state=OPEN").await;
    assert!(list.contains("du_1") && list.contains("€60.00"), "{list}");
    assert!(
        staff
            .page("/admin/payments/disputes?state=WON")
            .await
            .contains("Nothing matches")
    );
    let dispute = shop.value("select id::text from disputes").await;
    let case = staff.page(&format!("/admin/payments/disputes/{dispute}")).await;
    assert!(
        case.contains("Dispute du_1") && case.contains("fraudulent") && case.contains(&top_up.to_string()),
        "{case}"
    );
    let open = staff.page("/admin/payments/incidents").await;
    assert!(open.contains("Warning of fraud") && open.contains("tag bad"), "{open}");
    let incident = shop.value("select id::text from payment_incidents").await;
    let form = staff.page(&format!("/admin/payments/incidents/{incident}/close")).await;
    assert!(form.contains("buys and delivers"), "{form}");
    assert!(staff.submit(&form, "reason=").await.text().contains("Enter a reason."));
    let sent = staff.submit(&form, "reason=called").await;
    assert!(staff.follow(&sent).await.contains("Nothing is open"));
    assert_eq!(staff.submit(&form, "reason=called").await.status, StatusCode::NOT_FOUND);

    assert!(
        staff
            .page("/admin/payments/comparison")
            .await
            .contains("not been compared")
    );
    shop.db
        .execute(
            "insert into payment_comparisons (provider, began_at, ended_at, since) values ('stripe', now(), now(), now());
             insert into payment_differences (provider, kind, reference, detail) values ('stripe', 'charge_fee', 'ch_1', 'the fee is 2')",
        )
        .await;
    let differs = unescaped(&staff.page("/admin/payments/comparison").await);
    assert!(
        differs.contains("Other fee") && differs.contains("the fee is 2"),
        "{differs}"
    );
    let german = staff.page("/admin/payments/comparison?lang=de").await;
    assert!(german.contains("Andere Gebühr"), "{german}");
}

#[tokio::test]
async fn a_held_payment_is_released_and_a_rule_changed_only_as_it_was_seen() {
    let shop = Shop::open_with_cards().await;
    let (top_up, owner) = (paid(&shop).await, shop.staff("OWNER").await);
    shop.db
        .execute(&format!(
            "insert into payment_holds (top_up_id, user_id, rule, detail)
             select id, user_id, 'CARD_ACCOUNTS', 'the card was used by 4 accounts within 24 hours' from top_ups where id = '{top_up}'"
        ))
        .await;
    let list = owner.page("/admin/payments/holds?state=OPEN").await;
    assert!(
        list.contains("used by 4 accounts") && list.contains("One card on several accounts"),
        "{list}"
    );
    let hold = shop.value("select id::text from payment_holds").await;
    let refund = owner.page(&format!("/admin/payments/holds/{hold}/refund")).await;
    assert!(
        refund.contains("€100.00") && refund.contains("go back to the balance"),
        "{refund}"
    );
    let form = owner.page(&format!("/admin/payments/holds/{hold}/release")).await;
    let sent = owner.submit(&form, "reason=called").await;
    assert!(owner.follow(&sent).await.contains("It is decided."));
    let late = owner.submit(&refund, "reason=late").await;
    assert!(
        late.text().contains("decided about this payment already"),
        "{}",
        late.text()
    );

    let rules = owner.page("/admin/payments/rules").await;
    assert!(rules.contains("New account") && rules.contains("24 hours"), "{rules}");
    let (mine, other) = (
        owner.page("/admin/payments/rules/NEW_ACCOUNT").await,
        owner.page("/admin/payments/rules/NEW_ACCOUNT").await,
    );
    assert!(mine.contains("value=\"100.00\"") && mine.contains("checked"), "{mine}");
    let wrong = owner.submit(&mine, "amount=0&hours=24&on=yes").await;
    assert!(wrong.text().contains("above 0"), "{}", wrong.text());
    let sent = owner.submit(&other, "amount=150&hours=48&on=yes").await;
    assert!(owner.follow(&sent).await.contains("150.00"));
    let stale = owner.submit(&mine, "amount=5&hours=24&on=yes").await;
    assert!(stale.text().contains("Somebody saved meanwhile"), "{}", stale.text());
    assert_eq!(
        shop.value("select amount || ' ' || hours || ' ' || version from fraud_rules where name = 'NEW_ACCOUNT'")
            .await,
        "150.00 48 2"
    );
}

#[tokio::test]
async fn a_case_is_taken_out_and_its_evidence_submitted_once() {
    let shop = Shop::open_with_cards().await;
    let (top_up, staff) = (paid(&shop).await, shop.staff("MANAGER").await);
    shop.db
        .execute(&format!(
            "insert into disputes (reference, top_up_id, user_id, amount, state, status, reason)
             select 'du_1', id, user_id, 60, 'OPEN', 'needs_response', 'fraudulent' from top_ups where id = '{top_up}'"
        ))
        .await;
    let dispute = shop.value("select id::text from disputes").await;
    let own = format!("/admin/payments/disputes/{dispute}");
    let page = staff.page(&own).await;
    assert!(
        page.contains("Submit evidence") && page.contains("Case file (PDF)"),
        "{page}"
    );
    let document = staff.get(&format!("{own}/evidence/export?format=pdf")).await;
    assert!(document.bytes.starts_with(b"%PDF"));
    let signed = staff.get(&format!("{own}/evidence/export?format=signed")).await;
    assert!(
        signed.text().contains("lockstep-evidence-1") && signed.text().contains("du_1"),
        "{}",
        signed.text()
    );
    assert_eq!(
        shop.value("select count(*)::text from audit_log where action = 'payment.evidence.export'")
            .await,
        "2"
    );
    let form = staff.page(&format!("{own}/evidence")).await;
    assert!(
        form.contains("customer email address") && form.contains("ada@example.net"),
        "{form}"
    );
    let sent = staff.submit(&form, "").await;
    assert!(
        staff
            .follow(&sent)
            .await
            .contains("goes to the payment provider in a moment")
    );
    let again = staff.submit(&form, "").await;
    assert!(again.text().contains("submitted already"), "{}", again.text());
}

#[tokio::test]
async fn a_top_up_shows_the_order_that_it_paid_for_and_the_order_its_payment() {
    let shop = Shop::open_with_cards().await;
    let (top_up, staff) = (paid(&shop).await, shop.staff("MANAGER").await);
    let user: Uuid = shop.value("select user_id::text from top_ups").await.parse().unwrap();
    let game = shop.db.game("Portal", "portal", "25.00").await;
    shop.db
        .execute(&format!(
            "insert into pending_checkouts (top_up_id, user_id, games, quantities, total, request_hash)
             values ('{top_up}', '{user}', array['{game}'::uuid], array[1], 24, sha256(''));
             update pending_checkouts set state = 'ASK', reason = 'PRICE_RISEN', changed_at = clock_timestamp()"
        ))
        .await;
    let own = format!("/admin/payments/top-ups/{top_up}");
    let page = staff.page(&own).await;
    assert!(
        page.contains("Paid, not placed: the customer decides · the total has risen · €24.00"),
        "{page}"
    );
    let order = shop.db.order(user, game, 1).await;
    shop.db
        .execute(&format!(
            "update pending_checkouts set state = 'PLACED', reason = null, order_id = '{}', changed_at = clock_timestamp()",
            order.id
        ))
        .await;
    let page = staff.page(&own).await;
    let address = format!("/admin/orders/{}", order.id);
    assert!(
        page.contains("Placed · €24.00") && page.contains(&format!("href=\"{address}\"")),
        "{page}"
    );
    let page = staff.page(&address).await;
    assert!(
        page.contains("Payment begun")
            && page.contains("Payment credited")
            && page.contains(&format!("href=\"{own}\"")),
        "{page}"
    );
}
