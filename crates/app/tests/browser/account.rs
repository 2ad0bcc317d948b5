//! Pages that e-mails link to, and the account: passwords, address, data export and deletion.

use lockstep_browser_testing::{Key, Page, Visitor};

use crate::shop::{PASSWORD, Shop};

/// Another valid password.
const OTHER_PASSWORD: &str = "Battery-Staple-9";

/// Path and query of the first link in an e-mail that contains `part`.
fn link(message: &str, part: &str) -> String {
    let address = message
        .split_whitespace()
        .find(|word| word.starts_with("http") && word.contains(part))
        .expect("a link in the letter");
    let path = address.splitn(4, '/').nth(3).unwrap_or_default();
    format!("/{path}")
}

/// Submits the log-in form.
fn log_in(page: &Page, email: &str, password: &str) {
    page.goto("/login");
    page.fill("#email", email);
    page.fill("#password", password);
    page.press_and_follow(Key::Enter);
}

#[test]
fn password_reset_link_works_once_and_ends_all_sessions() {
    let shop = Shop::open();
    let phone = shop.visit(&Visitor::on_a_phone());
    let email = phone.register();
    let desk = shop.visit(&Visitor::default());
    desk.goto("/login");
    desk.follow("main a|Forgot your password");
    desk.fill("#email", &email);
    desk.press_and_follow(Key::Enter);
    desk.wait_for_text("If there is an account with this address, the link is on its way");
    let link = link(&shop.queued_email(&email, "/reset-password?token="), "/reset-password");
    desk.goto(&link);
    desk.assert_accessible();
    desk.fill("#newPassword", "short");
    desk.follow("main button|Set password");
    desk.wait_for_text("Use at least 8 characters.");
    desk.fill("#newPassword", OTHER_PASSWORD);
    desk.follow("main button|Set password");
    desk.wait_for_text("Your new password is set");
    phone.goto("/account");
    assert!(phone.path().starts_with("/login"), "{}", phone.path());
    log_in(&desk, &email, PASSWORD);
    desk.wait_for_text("E-mail address or password is wrong");
    log_in(&desk, &email, OTHER_PASSWORD);
    assert_eq!(desk.path(), "/account");
    desk.goto(&link);
    desk.fill("#newPassword", PASSWORD);
    desk.follow("main button|Set password");
    desk.wait_for_text("This link is no longer valid");
    desk.follow("main a|Request a new link");
    assert_eq!(desk.path(), "/forgot-password");
    phone.close();
    desk.close();
}

#[test]
fn address_is_verified_by_the_emailed_link_and_one_button() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let email = page.register();
    page.wait_for_text("Your address is not confirmed yet");
    let message = shop.queued_email(&email, "Your account is ready.");
    let link = link(&message, "/verify-email");
    let code = link.rsplit('=').next().expect("a code").to_owned();
    // A wrong code uses up one attempt.
    page.follow("main a|Confirm it now");
    page.fill("#code", if code == "000000" { "000001" } else { "000000" });
    page.press_and_follow(Key::Enter);
    page.wait_for_text("This code is wrong");

    // The e-mail is opened on another device that is not logged in.
    let desk = shop.visit(&Visitor::default());
    desk.goto(&link);
    assert!(desk.path().starts_with("/login?next="), "{}", desk.path());
    desk.fill("#email", &email);
    desk.fill("#password", PASSWORD);
    desk.press_and_follow(Key::Enter);
    assert_eq!(desk.path(), link);
    assert_eq!(desk.value_of("#code"), code);
    desk.assert_accessible();
    desk.follow("main button|Confirm");
    desk.wait_for_text("Thank you, your address is confirmed");
    assert_eq!(desk.count("a|Confirm it now"), 0);
    page.goto("/account");
    assert_eq!(page.count("a|Confirm it now"), 0);
    page.close();
    desk.close();
}

#[test]
fn new_code_invalidates_the_previous_one() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::on_a_phone());
    let email = page.register();
    let first = link(&shop.queued_email(&email, "/verify-email?code="), "/verify-email");
    page.goto("/verify-email");
    page.follow("main button|Send a new code");
    page.wait_for_text("A new code is on its way");
    let second = link(
        &shop.queued_email(&email, "Earlier codes no longer work"),
        "/verify-email",
    );
    if first != second {
        page.goto(&first);
        page.follow("main button|Confirm");
        page.wait_for_text("This code is wrong");
    }
    page.goto(&second);
    page.follow("main button|Confirm");
    page.wait_for_text("Thank you, your address is confirmed");
    page.close();
}

#[test]
fn changing_the_password_logs_out_other_devices() {
    let shop = Shop::open();
    let phone = shop.visit(&Visitor::on_a_phone());
    let email = phone.register();
    let desk = shop.visit(&Visitor::default());
    desk.log_in(&email);
    desk.follow("a|Password");
    desk.fill("#password", "Not-The-One-1");
    desk.fill("#newPassword", OTHER_PASSWORD);
    desk.press_and_follow(Key::Enter);
    desk.wait_for_text("This isn’t your current password");
    assert_eq!(
        desk.attribute("#password", "aria-describedby").as_deref(),
        Some("password-error")
    );
    desk.fill("#password", PASSWORD);
    desk.fill("#newPassword", OTHER_PASSWORD);
    desk.press_and_follow(Key::Enter);
    desk.wait_for_text("Your password is changed. Your other devices are logged out");
    desk.goto("/account");
    assert_eq!(desk.path(), "/account", "this device stays logged in");
    phone.goto("/account");
    assert!(phone.path().starts_with("/login"), "{}", phone.path());
    shop.queued_email(&email, "password of your account was changed");
    log_in(&phone, &email, OTHER_PASSWORD);
    assert_eq!(phone.path(), "/account");
    phone.close();
    desk.close();
}

#[test]
fn user_downloads_all_stored_data_as_a_file() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::default());
    let email = page.register();
    let game = shop.game(6);
    page.put_onto_wishlist(&game.id);
    page.goto("/account");
    page.follow("a|Your data");
    let (name, bytes) = page.download("main a|Download");
    assert_eq!(name, "my-data.json");
    let text = String::from_utf8(bytes).expect("text");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|data| data.is_object()));
    assert!(text.contains(&email) && text.contains(&game.id), "{text}");
    assert!(!text.contains("$2"), "no hash of the password: {text}");
    page.close();
}

#[test]
fn deleting_an_account_with_a_balance_requires_forfeiting_it() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor::on_a_phone());
    let email = page.register();
    page.goto("/account/balance");
    page.fill("#amount", "12,50");
    page.press_and_follow(Key::Enter);
    page.wait_for("button[value=pay]");
    page.follow("button[value=pay]");
    page.wait_for_text("The money is on your balance");
    assert_eq!(page.text_of("p.amount"), "€12.50");

    page.goto("/account/data");
    page.follow("main a|Delete account");
    page.assert_accessible();
    page.fill("#password", "Not-The-One-1");
    page.follow("main button|Delete my account for good");
    page.wait_for_text("This isn’t your current password");
    page.fill("#password", PASSWORD);
    page.follow("main button|Delete my account for good");
    page.wait_for_text("There is still money on your balance");
    page.click("label|I give up the €12.50 on my balance");
    page.fill("#password", PASSWORD);
    page.follow("main button|Delete my account for good");
    page.wait_for_text("Your account is deleted");
    assert!(
        (page.cookies().iter()).all(|cookie| cookie["name"] == "lang" || cookie["name"] == "nextGuest"),
        "{:?}",
        page.cookies()
    );
    log_in(&page, &email, PASSWORD);
    page.wait_for_text("E-mail address or password is wrong");
    // The address is available again.
    page.goto("/register");
    page.fill("#email", &email);
    page.fill("#password", PASSWORD);
    page.press_and_follow(Key::Enter);
    assert_eq!(page.path(), "/account?done=registered");
    page.close();
}
