//! The console under another path than `/admin`, which a front-end has pages below.

use std::collections::{BTreeSet, VecDeque};

use http::StatusCode;
use lockstep_console::ConsolePath;

use crate::shop::{LINK, PASSWORD, Shop, unescaped};

/// The addresses in a page's attributes of one name.
fn addresses(page: &str, attribute: &str) -> Vec<String> {
    let start = format!(" {attribute}=\"");
    let parts = page.split(&start).skip(1);
    parts.map(|part| unescaped(part.split('"').next().unwrap())).collect()
}

#[tokio::test]
async fn no_page_leads_below_admin() {
    let shop = Shop::open_at(ConsolePath::Console).await;
    let (order, staff) = (shop.delivered().await, shop.staff("OWNER").await);
    let mut waiting = VecDeque::from(["/console".to_owned(), format!("/console/orders/{}", order.id)]);
    let mut seen: BTreeSet<String> = waiting.iter().cloned().collect();
    let (mut kinds, mut followed) = (BTreeSet::new(), BTreeSet::new());
    while let Some(address) = waiting.pop_front() {
        let answer = staff.get(&address).await;
        assert_eq!(answer.status, StatusCode::OK, "{address}: {}", answer.text());
        if !answer.header("content-type").unwrap().starts_with("text/html") {
            continue;
        }
        for attribute in ["href", "action", "formaction", "src", "data-live"] {
            for found in addresses(answer.text(), attribute) {
                assert!(!found.starts_with("/admin"), "{address} leads to {found}");
                if attribute == "data-live" && followed.insert(found.clone()) {
                    assert_eq!(staff.open(&found).await, StatusCode::OK, "{address} follows {found}");
                }
                // One address of each page is enough: those with another query are other views of the same.
                let path = found.split('?').next().unwrap().to_owned();
                if attribute == "href" && path.starts_with("/console") && seen.insert(path) {
                    waiting.push_back(found);
                }
            }
        }
        let path = address.split('?').next().unwrap();
        kinds.insert(path.split('/').take(4).collect::<Vec<_>>().join("/"));
    }
    for room in [
        "/console/orders",
        "/console/system/roles",
        "/console/catalogue",
        "/console/content/pages",
    ] {
        assert!(kinds.contains(room), "{kinds:?}");
    }
    for events in ["/console/live/today", "/console/live/supplier"] {
        assert!(followed.contains(events), "{followed:?}");
    }
    // The script finds the palette beside the search.
    let palette = staff.page("/console/palette?q=code").await;
    assert!(
        palette.contains("href=\"/console/promotions/new\"") && !palette.contains("\"/admin"),
        "{palette}"
    );
    assert!(
        seen.iter().any(|path| path.starts_with("/console/assets/")),
        "the stylesheet"
    );
}

#[tokio::test]
async fn redirects_forms_and_errors_stay_below_the_path() {
    let shop = Shop::open_at(ConsolePath::Console).await;
    let signed_out = shop.stranger().get("/console").await;
    assert_eq!(signed_out.header("location"), Some("/login?next=%2Fconsole"));
    let staff = shop.staff("OWNER").await;
    let made = staff
        .post("/console/system/roles/new", "name=NIGHT&permissions=orders.read")
        .await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text());
    assert!(made.header("location").unwrap().starts_with("/console/system/roles"));
    assert!(staff.follow(&made).await.contains("NIGHT"));

    // A form that asks for the password is sent to where it was.
    shop.forget_passwords().await;
    let asked = staff
        .post("/console/system/roles/new", "name=DAY&permissions=orders.read")
        .await;
    assert!(
        asked.text().contains(" action=\"/console/system/roles/new\""),
        "{}",
        asked.text()
    );
    let done = staff
        .submit(asked.text(), &format!("confirm_password={PASSWORD}"))
        .await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());

    // An error page leads back to the console. What is below /admin is no page of the shop.
    let missing = staff.get("/console/nothing").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.text().contains("href=\"/console\"") && !missing.text().contains("\"/admin"));
    for gone in ["/admin", "/admin/orders", "/admin/assets/console.css"] {
        assert_eq!(staff.get(gone).await.status, StatusCode::NOT_FOUND, "{gone}");
    }
}

#[tokio::test]
async fn the_link_into_a_demo_is_below_the_path() {
    let shop = Shop::open_at(ConsolePath::Console).await;
    let (visitor, link) = (shop.stranger(), format!("/console/enter/{LINK}"));
    let page = visitor.page(&link).await;
    let entered = visitor.submit(&page, "password=Quiet-Harbour-7").await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.text());
    assert_eq!(entered.header("location"), Some("/console"));
    assert_eq!(
        visitor.get(&format!("/admin/enter/{LINK}")).await.status,
        StatusCode::NOT_FOUND
    );
}
