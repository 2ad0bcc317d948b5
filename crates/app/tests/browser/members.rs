//! Guests become users: nothing that they typed or collected is lost on the way, and their session is theirs alone.

use lockstep_browser_testing::{Key, Page, Visitor};

use crate::shop::{PASSWORD, Shop, new_address};

#[test]
fn form_errors_appear_beside_fields_and_input_is_kept() {
    let page = Shop::open().visit(&Visitor::default());
    page.goto("/register");
    page.fill("#email", "no address");
    page.fill("#nickname", "A");
    page.fill("#password", "short");
    page.follow("main button");
    assert_eq!(page.path(), "/register");
    assert_eq!(page.value_of("#email"), "no address");
    assert_eq!(page.value_of("#nickname"), "A");
    assert_eq!(page.value_of("#password"), "", "a password is never sent back");
    for field in ["email", "password", "nickname"] {
        let described = page.attribute(&format!("#{field}"), "aria-describedby").unwrap();
        let error = format!("{field}-error");
        assert!(described.split(' ').any(|id| id == error), "{field}: {described}");
        assert!(!page.text_of(&format!("#{error}")).is_empty());
        assert_eq!(
            page.attribute(&format!("#{field}"), "aria-invalid").as_deref(),
            Some("true")
        );
    }
    page.wait(
        "focus on the first wrong field",
        "document.activeElement.id === 'email'",
    );
    page.assert_accessible();
    page.close();
}

#[test]
fn guest_cart_moves_into_a_new_account_and_is_hidden_after_log_out() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let game = shop.game(0);
    page.put_into_cart(&game.id);
    page.goto("/cart");
    page.follow("a|Create an account");
    let email = new_address();
    page.fill("#email", &email);
    page.fill("#password", PASSWORD);
    page.follow("main button");
    assert_eq!(page.path(), "/cart");
    page.wait_for_text(&game.name());
    page.wait_for(".me .name|Account");

    let cookies = page.cookies();
    for name in ["access", "refresh", "sessionId"] {
        let cookie = cookies.iter().find(|cookie| cookie["name"] == name).unwrap();
        assert!(cookie["httpOnly"] == true && cookie["sameSite"] == "Lax", "{cookie}");
    }

    page.goto("/account");
    page.follow("button|Log out");
    page.wait_for_text("You are logged out");
    assert!(
        (page.cookies().iter()).all(|cookie| cookie["name"] == "lang" || cookie["name"] == "nextGuest"),
        "{:?}",
        page.cookies()
    );
    page.goto("/account/profile");
    assert_eq!(page.path(), "/login?next=%2Faccount%2Fprofile");
    page.goto("/cart");
    page.wait_for_text("Your cart is empty");

    page.goto("/login?next=/cart");
    page.fill("#email", &email.to_uppercase());
    page.fill("#password", PASSWORD);
    page.press_and_follow(Key::Enter);
    assert_eq!(page.path(), "/cart");
    page.wait_for_text(&game.name());
    page.close();
}

#[test]
fn session_continues_by_refresh_token_and_ends_everywhere_at_once() {
    let shop = Shop::open();
    let phone = shop.visit(&Visitor::on_a_phone());
    let email = phone.register();
    // The access token is lost; the user does not notice.
    phone.forget_cookie("access");
    phone.goto("/account/profile");
    assert_eq!(phone.path(), "/account/profile");
    assert!(phone.cookies().iter().any(|cookie| cookie["name"] == "access"));

    let desk = shop.visit(&Visitor::default());
    desk.log_in(&email);
    desk.goto("/account/sessions");
    assert_eq!(desk.count("form[action='/account/sessions/end']"), 1);
    desk.follow("button|Log all other devices out");
    desk.wait_for_text("All your other devices are logged out");
    phone.goto("/account");
    assert!(phone.path().starts_with("/login"), "{}", phone.path());
    assert!(phone.cookies().iter().all(|cookie| cookie["name"] != "refresh"));
    phone.close();
    desk.close();
}

#[test]
fn cart_works_without_scripts_and_with_the_keyboard() {
    let shop = Shop::open();
    let (first, second) = (shop.game(0), shop.game(1));
    for scripts in [false, true] {
        let page = shop.visit(&Visitor {
            scripts,
            ..Visitor::default()
        });
        page.put_into_cart(&first.id);
        page.put_into_cart(&second.id);
        page.goto("/cart");
        let line = |title: &str| format!("button[aria-label='One more copy of {title}']");
        page.tab_to(&line(&first.shown()));
        page.press_and_follow(Key::Enter);
        page.wait_for_text("3 copies");
        assert!(page.has_focus("[role=status]"), "the focus is on what happened");
        assert_eq!(copies(&page, &first.shown()), "2");
        // A typed number takes effect with the Enter key.
        page.fill(&format!("input[aria-label='Copies of {}']", first.shown()), "5");
        page.press_and_follow(Key::Enter);
        page.wait_for_text("6 copies");
        page.fill(&format!("input[aria-label='Copies of {}']", first.shown()), "many");
        page.press_and_follow(Key::Enter);
        page.wait_for_text("Enter a number of copies");
        page.follow(&format!("button[aria-label='Remove {}']", first.shown()));
        page.wait_for_text("1 copy");
        page.follow(&format!("button[aria-label='One copy of {} less']", second.shown()));
        page.wait_for_text("Your cart is empty");
        page.close();
    }
}

fn copies(page: &Page, title: &str) -> String {
    page.value_of(&format!("input[aria-label='Copies of {title}']"))
}

#[test]
fn authenticator_is_set_up_and_required_at_log_in() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let email = page.register();
    page.goto("/account/second-factor");
    page.fill("#password", PASSWORD);
    page.follow("main button|Set up");
    page.wait_for("svg.qr");
    page.assert_accessible();
    let secret = page.text_of("code.key").replace(' ', "");
    page.fill("#code", "000000");
    page.follow("main button|Turn on");
    page.wait_for_text("This code is wrong");
    page.fill("#code", &crate::shop::code_of(&secret, 0));
    page.follow("main button|Turn on");
    page.wait_for_text("Two-factor authentication is on");
    assert_eq!(page.count("code.key"), 10, "recovery codes");
    page.assert_accessible();
    page.follow("a|I have saved them");
    page.wait_for_text("10 recovery codes left");
    page.assert_accessible();
    page.goto("/account");
    page.follow("button|Log out");

    page.goto("/login");
    assert_eq!(page.count("#code"), 0, "nobody else is asked for a code");
    page.fill("#email", &email);
    page.fill("#password", PASSWORD);
    page.press_and_follow(Key::Enter);
    page.wait_for_text("together with the code");
    assert_eq!(page.value_of("#email"), email);
    page.fill("#password", PASSWORD);
    // The previous code is used up.
    page.fill("#code", &crate::shop::code_of(&secret, 1));
    page.press_and_follow(Key::Enter);
    assert_eq!(page.path(), "/account");
    page.close();
}

#[test]
fn german_visitors_see_german() {
    let page = Shop::open().visit(&Visitor {
        language: "de-DE,de",
        ..Visitor::on_a_phone()
    });
    page.register();
    for (address, text) in [
        ("/account", "Dein Konto"),
        ("/account/data", "Deine Daten mitnehmen"),
        ("/cart", "Dein Warenkorb ist leer"),
        ("/wishlist", "Noch nichts auf deiner Merkliste"),
    ] {
        page.goto(address);
        page.wait_for_text(text);
        assert_eq!(page.attribute("html", "lang").as_deref(), Some("de"));
    }
    page.close();
}
