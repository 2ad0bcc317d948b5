//! From a guest to a buyer with keys: on a desktop, on a phone, with the keyboard alone, and without scripts.

use lockstep_browser_testing::{Key, Visitor};

use crate::shop::{PASSWORD, Shop, Visit, new_address};

#[test]
fn guest_finds_a_game_registers_pays_directly_and_copies_a_key() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let game = shop.game(2);
    page.goto("/");
    page.fill("#search", &game.words());
    page.press_and_follow(Key::Enter);
    page.follow(&game.link());
    page.follow("main button|cart");
    assert!(page.path().starts_with("/cart"), "{}", page.path());
    page.fill("input[name=quantity]", "3");
    page.press_and_follow(Key::Enter);
    page.wait_for_text("3 copies");
    page.follow("a|Checkout");
    assert_eq!(page.path(), "/login?next=%2Fcheckout");
    page.follow("main a|Create an account");
    page.fill("#email", &new_address());
    page.fill("#password", PASSWORD);
    page.follow("main button");
    assert_eq!(page.path(), "/checkout");
    page.assert_accessible();
    page.pay_directly(3);
    page.assert_accessible();
    let key = page.text_of("code.key");
    page.click("button|Copy");
    page.wait_for("button|Copied");
    assert_eq!(page.clipboard(), key);
    page.wait_for_text("How to activate it");

    page.goto("/cart");
    page.wait_for_text("Your cart is empty");
    page.goto("/account/keys");
    page.follow("main a|Show 3 keys");
    page.wait_for_text(&key);
    page.goto("/account/balance");
    page.wait_for_text("Purchase");
    page.wait_for_text("Top-up");
    page.close();
}

#[test]
fn submitting_the_same_form_twice_places_one_order() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    page.register();
    page.put_into_cart(&shop.game(0).id);
    page.goto("/checkout");
    page.pay();
    page.evaluate(
        "const form = document.querySelector('form[action=\"/checkout\"][method=post]');
         const send = () => fetch('/checkout', {method: 'POST', body: new URLSearchParams(new FormData(form))})
             .then((answer) => answer.url);
         Promise.all([send(), send(), send()]).then((urls) => { window.urls = urls; return 1; })",
    );
    page.wait(
        "one order",
        "new Set(window.urls).size === 1 && window.urls[0].includes('/orders/')",
    );
    page.goto("/orders");
    assert_eq!(page.count("main .rows > li"), 1);
    page.close();
}

#[test]
fn risen_price_is_shown_and_needs_confirmation() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    page.register();
    let game = shop.game(5);
    page.put_into_cart(&game.id);
    page.goto("/checkout");
    page.pay();
    // The shopper was shown a lower price.
    page.evaluate("void (document.querySelector('input[name=expected]').value = '0.01')");
    page.follow("main button|Pay €");
    page.wait_for("[role=alert]|The price has risen from €0.01 to");
    page.assert_accessible();
    page.buy(1);
    page.close();
}

#[test]
fn purchase_works_without_scripts() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor {
        scripts: false,
        ..Visitor::on_a_phone()
    });
    let game = shop.game(1);
    page.goto(&format!("/games?search={}", game.words().replace(' ', "+")));
    page.follow(&game.link());
    page.follow("main button|cart");
    page.follow("a|Checkout");
    page.follow("main a|Create an account");
    page.fill("#email", &new_address());
    page.fill("#password", PASSWORD);
    page.follow("main button");
    page.pay();
    page.buy(1);
    page.close();
}

#[test]
fn purchase_works_with_the_keyboard_alone() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let game = shop.game(3);
    page.goto("/");
    // The first Tab stop skips the header.
    page.press(Key::Tab);
    assert_eq!(page.focused(), "Skip to content");
    page.tab_to("#search");
    page.write(&game.words());
    page.press_and_follow(Key::Enter);
    reach(&page, &game.link());
    reach(&page, "main button|cart");
    reach(&page, "main a|Checkout");
    reach(&page, "main a|Create an account");
    page.tab_to("#email");
    page.write(&new_address());
    page.press(Key::Tab);
    page.write(PASSWORD);
    page.press_and_follow(Key::Enter);
    reach(&page, "main button|Pay €");
    page.wait_for("button[value=pay]");
    reach(&page, "button[value=pay]");
    page.wait_for_text("1 of 1 keys are there");
    page.tab_to("button|Copy");
    page.press(Key::Enter);
    page.wait_for("button|Copied");
    page.close();
}

/// Focuses an element with the Tab key and activates it.
fn reach(page: &Visit, what: &str) {
    page.wait_for(what);
    page.tab_to(what);
    page.press_and_follow(Key::Enter);
}
