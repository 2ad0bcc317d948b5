//! The help page and the operator's data.

use lockstep_testkit::TestDb;
use lockstep_web::Operator;

use crate::html::values;
use crate::shop::{Shop, complete_game};

const TERMS: &str = "https://shop.example/terms?v=2&x=\"'<";

/// A shop whose operator has set everything.
async fn known() -> Shop {
    let db = TestDb::new().await;
    let store = db.store.clone();
    Shop::open_on(db, store, |settings| {
        settings.operator = Operator {
            contact_email: Some("help@shop.example".to_owned()),
            imprint_url: Some("https://operator.example/imprint".to_owned()),
            terms_url: Some(TERMS.to_owned()),
            privacy_url: Some("https://operator.example/privacy".to_owned()),
        };
    })
    .await
}

fn linked_data(page: &str) -> serde_json::Value {
    let json = page.split("application/ld+json\">").nth(1).unwrap();
    serde_json::from_str(json.split("</script>").next().unwrap()).unwrap()
}

#[tokio::test]
async fn help_page_and_its_json_ld_have_the_same_questions() {
    let shop = Shop::open().await;
    for language in ["en", "de"] {
        let answer = shop.get_with("/help", &[("accept-language", language)]).await;
        let page = answer.page();
        let data = linked_data(page);
        let questions = data["@graph"][0]["mainEntity"].as_array().unwrap();
        assert_eq!(data["@graph"][0]["@type"], "FAQPage");
        assert_eq!(questions.len(), page.matches("<h2").count(), "{language}");
        for question in questions {
            assert!(page.contains(question["name"].as_str().unwrap()), "{question}");
            assert!(question["acceptedAnswer"]["text"].as_str().unwrap().len() > 40);
        }
        // The activation of every platform, as on the pages of its games.
        for platform in ["Steam", "gog.com/redeem", "Nintendo eShop", "redeem.microsoft.com"] {
            assert!(page.contains(platform), "{platform}");
        }
        // Other pages link to these anchors.
        for place in ["refunds", "broken"] {
            assert!(page.contains(&format!("id=\"{place}\"")), "{place}");
        }
    }
}

#[tokio::test]
async fn footers_link_to_help_and_configured_operator_pages_only() {
    let shop = Shop::stocked().await;
    for path in ["/", "/help", "/login", "/no/such/page", "/game/harbour-of-glass"] {
        let answer = shop.get(path).await;
        let links = values(answer.text(), "href");
        assert!(links.contains(&"/help".to_owned()), "{path}");
        assert!(!links.iter().any(|link| link.starts_with("mailto:")), "{path}");
        for text in [">Contact<", ">Imprint<", ">Terms<", ">Privacy<"] {
            assert!(!answer.text().contains(text), "{path} shows {text}");
        }
    }
    assert!(
        shop.get("/help")
            .await
            .page()
            .contains("answer the e-mail about your order")
    );
    assert_eq!(
        linked_data(shop.get("/help").await.page())["@graph"][1]["email"],
        serde_json::Value::Null
    );
}

#[tokio::test]
async fn operator_data_is_shown_on_every_page() {
    let shop = known().await;
    for path in ["/", "/help", "/login", "/no/such/page"] {
        let answer = shop.get_with(path, &[("accept-language", "de")]).await;
        let links = values(answer.text(), "href");
        for link in [
            "mailto:help@shop.example",
            "https://operator.example/imprint",
            "https://operator.example/privacy",
        ] {
            assert!(links.contains(&link.to_owned()), "{path}: {links:?}");
        }
        for text in [">Kontakt<", ">Impressum<", ">AGB<", ">Datenschutz<"] {
            assert!(answer.text().contains(text), "{path} lacks {text}");
        }
        assert!(!answer.text().contains("x=\"'<"), "{path}: an address is markup");
    }
    assert!(
        values(shop.get("/register").await.page(), "href").contains(&"https://operator.example/privacy".to_owned())
    );
    let help = shop.get("/help").await;
    assert!(help.page().contains("Write to help@shop.example"));
    let data = linked_data(help.page());
    assert_eq!(data["@graph"][1]["contactPoint"]["email"], "help@shop.example");
}

#[tokio::test]
async fn configured_terms_are_shown_above_the_order_button() {
    let game = complete_game("Stellar Harvest");
    for (shop, has_terms) in [(known().await, true), (Shop::open().await, false)] {
        shop.put(std::slice::from_ref(&game)).await;
        let cookies = shop.register("ada@example.org").await;
        let cookies = [("cookie", cookies.as_str())];
        shop.db
            .execute(
                "with rich as (update users set balance = 100 returning id)
                 insert into transactions (user_id, type, amount, status)
                 select id, 'TOP_UP', 100, 'COMPLETED' from rich",
            )
            .await;
        shop.post("/cart/add", &format!("game={}", game.id), &cookies).await;
        let answer = shop.get_with("/checkout", &cookies).await;
        let page = answer.page();
        let button = page.find(">Pay €").expect("the button");
        assert_eq!(page[..button].contains("By buying you accept our"), has_terms, "{page}");
        assert!(values(page, "href").contains(&"/help#refunds".to_owned()));
    }
}
