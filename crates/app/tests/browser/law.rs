//! Consent before keys, and withdrawal from a contract, as a shopper meets them.

use lockstep_browser_testing::Visitor;

use crate::shop::{Shop, new_address};

#[test]
fn keys_wait_for_the_consent_of_their_buyer() {
    let shop = Shop::open_with(vec![("LOCKSTEP_CONSENT", "required".to_owned())]);
    let page = shop.visit(&Visitor::default());
    let email = page.register();
    // Ordered with the tick: the keys are there, and the e-mail confirms the wording.
    page.put_into_cart(&shop.game(0).id);
    page.goto("/checkout");
    page.pay();
    assert_eq!(
        page.evaluate("document.querySelector('input[name=consent]').checked"),
        false
    );
    page.assert_accessible();
    page.click("input[name=consent]");
    page.buy(1);
    shop.queued_email(&email, "before the withdrawal period ends");

    // Ordered without: they wait on the order's page, and appear with the tick.
    page.put_into_cart(&shop.game(1).id);
    page.goto("/checkout");
    page.pay();
    page.follow("main button|Pay €");
    page.wait_for_text("Your keys wait for your consent");
    page.wait_for_text("Ready: waits for your consent");
    assert_eq!(page.count("code.key"), 0);
    page.assert_accessible();
    shop.queued_email(&email, "Your keys wait for your consent");
    page.click("input[name=consent]");
    page.follow("main button|Show my keys");
    page.wait_for("code.key");
    page.close();
}

#[test]
fn contract_is_withdrawn_from_in_two_steps_without_an_account() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::on_a_phone());
    let email = new_address();
    page.goto("/");
    page.follow("footer a|Withdraw from contract");
    page.assert_accessible();
    page.fill("#name", "Ada Lovelace");
    page.fill("#orderNumber", "7ZK3M0Q9XA");
    page.fill("#contact", &email);
    page.follow("main button|Continue");
    page.wait_for_text("7ZK3M0Q9XA");
    page.assert_accessible();
    page.follow("main button|Confirm withdrawal");
    page.wait_for_text("Your withdrawal has arrived");
    page.assert_accessible();
    shop.queued_email(&email, "7ZK3M0Q9XA");
    page.close();
}
