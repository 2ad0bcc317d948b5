//! A built single-page front-end in place of the pages: its files first, its one page for its routes, and the shop's own
//! pages where e-mails and payments lead.

use std::fs;

use lockstep_testkit::TestDb;

use crate::shop::Shop;

const PAGE: &str = "<!doctype html><title>Front</title><script src=/assets/index-Bw3fQ1k9.js></script>";

async fn site() -> (Shop, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("index.html", PAGE);
    write("assets/index-Bw3fQ1k9.js", "let script;");
    write("assets/app-settings.js", "let settings;");
    write("logo.svg", "<svg/>");
    write(".env", "SECRET=1");
    write(".well-known/security.txt", "Contact: x");
    let front = Some(folder.path().to_owned());
    let db = TestDb::new().await;
    let store = db.store.clone();
    let site = Shop::open_on(db, store, |settings| settings.front = front).await;
    (site, folder)
}

#[tokio::test]
async fn a_front_end_takes_the_place_of_the_pages_for_shopping() {
    let (site, _folder) = site().await;
    for route in [
        "/",
        "/games",
        "/game/portal",
        "/cart",
        "/login",
        "/profile/orders",
        "/catalog?page=2",
        "/admin/games",
    ] {
        let answer = site.get(route).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, PAGE), "{route}");
        assert_eq!(answer.headers["cache-control"], "no-cache");
        assert!(
            answer.headers["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("frame-ancestors 'none'")
        );
    }
}

#[tokio::test]
async fn files_of_the_front_end_come_first_and_hashed_ones_are_kept() {
    let (site, _folder) = site().await;
    for (path, text, lifetime) in [
        (
            "/assets/index-Bw3fQ1k9.js",
            "let script;",
            "public, max-age=31536000, immutable",
        ),
        ("/assets/app-settings.js", "let settings;", "no-cache"),
        ("/logo.svg", "<svg/>", "no-cache"),
        ("/.well-known/security.txt", "Contact: x", "no-cache"),
    ] {
        let answer = site.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, text), "{path}");
        assert_eq!(answer.headers["cache-control"], lifetime, "{path}");
    }
    // Hidden files, files elsewhere and missing files are not the front-end's page either.
    for path in ["/.env", "/%2eenv", "/assets/..%2f.env", "/assets/missing.js"] {
        let answer = site.get(path).await;
        assert_eq!(answer.status.as_u16(), 404, "{path}");
        assert!(!answer.text().contains("SECRET"), "{path}");
    }
}

#[tokio::test]
async fn what_emails_and_payments_lead_to_stays_the_shops() {
    let (site, _folder) = site().await;
    for path in [
        "/reset-password?token=x",
        "/forgot-password",
        "/login?next=%2Forders",
        "/unsubscribe?token=x",
    ] {
        let answer = site.get(path).await;
        assert!(answer.text() != PAGE && answer.text().contains("<main"), "{path}");
    }
    // A signed-out reader of an order is led to the shop's log-in and back.
    for (path, login) in [
        ("/orders", "/login?next=%2Forders"),
        (
            "/verify-email?code=123456",
            "/login?next=%2Fverify-email%3Fcode%3D123456",
        ),
    ] {
        assert_eq!(site.get(path).await.headers["location"], login);
    }
    // The shop's own style sheet and pictures are still there.
    assert_eq!(site.get("/api/covers/portal.svg").await.status.as_u16(), 200);
    assert_eq!(site.get("/api/unknown").await.status.as_u16(), 404);
}
