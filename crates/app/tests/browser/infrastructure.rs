//! The test infrastructure itself: the browser sees what a visitor sees, and errors fail a test.

use lockstep_browser_testing::{Impact, Key, NETWORK_SLOW_4G, Visitor};

use crate::shop::Shop;

#[test]
fn home_page_shows_games_and_is_accessible() {
    let page = Shop::open().visit(&Visitor::default());
    page.goto("/");
    page.wait_for_text("€");
    page.assert_accessible();
    page.close();
}

#[test]
fn axe_core_reports_accessibility_violations() {
    let page = Shop::open().visit(&Visitor::default());
    page.goto("/");
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<button></button><main><p id=\"pale\">too pale</p></main>');
         const sheet = new CSSStyleSheet(); sheet.replaceSync('#pale { color: #ccc; background: #fff }');
         document.adoptedStyleSheets.push(sheet);",
    );
    let found = page.violations();
    let impact = |rule: &str| {
        found
            .iter()
            .find(|violation| violation.rule == rule)
            .map(|found| found.impact)
    };
    assert_eq!(impact("button-name"), Some(Impact::Critical), "{found:?}");
    assert_eq!(impact("color-contrast"), Some(Impact::Serious), "{found:?}");
    page.close();
}

#[test]
fn csp_violations_errors_and_lost_requests_are_reported() {
    let page = Shop::open().visit(&Visitor::default());
    page.goto("/");
    page.assert_no_trouble();
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">inline</p>')");
    page.expect_trouble("Applying inline style violates");
    page.expect_trouble("against the Content-Security-Policy");
    page.evaluate("console.error('something is wrong')");
    page.expect_trouble("something is wrong");
    page.evaluate("void setTimeout(() => nobody.knows())");
    page.expect_trouble("nobody is not defined");
    page.evaluate("void (new Image().src = '/assets/none')");
    page.expect_trouble("404");
    page.close();
}

#[test]
fn visitor_sets_screen_theme_language_and_scripting() {
    let shop = Shop::open();
    let page = shop.visit(&Visitor {
        dark: true,
        scripts: false,
        language: "de-DE,de",
        ..Visitor::on_a_phone()
    });
    page.goto("/");
    let seen = page.evaluate(
        "[innerWidth, matchMedia('(prefers-color-scheme: dark)').matches,
          matchMedia('(prefers-reduced-motion: reduce)').matches, matchMedia('(scripting: none)').matches]",
    );
    assert_eq!(seen, serde_json::json!([390, true, true, true]));
    page.close();
}

#[test]
fn form_is_filled_and_submitted_with_the_keyboard_alone() {
    let page = Shop::open().visit(&Visitor::default());
    page.goto("/");
    page.tab_to("input[type=search]");
    page.write("game");
    assert_eq!(page.value_of("input[type=search]"), "game");
    page.press_and_follow(Key::Enter);
    assert!(page.path().contains("search=game"), "{}", page.path());
    page.close();
}

#[test]
fn first_visit_over_slow_4g_is_small_and_paints() {
    let page = Shop::open().visit(&Visitor {
        network: Some(NETWORK_SLOW_4G),
        ..Visitor::on_a_phone()
    });
    page.goto("/");
    let (bytes, paint) = (page.bytes_without_pictures(), page.largest_paint_ms());
    // The paint time depends on the machine (docs/performance.md); the transfer size does not.
    println!("home page over slow 4G: {bytes} bytes without pictures, largest content painted after {paint} ms");
    assert!((1..100_000).contains(&bytes), "{bytes} bytes");
    page.close();
}
