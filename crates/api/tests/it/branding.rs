//! `/api/admin/settings/branding`: exact JSON, what is refused and why, and who sees a change.

use serde_json::{Value, json};

use crate::catalogue_by_staff::{fields, root};
use crate::game_images::{png, upload};
use crate::permissions::member;
use crate::shop::{NewGame, Shop};

const BRANDING: &str = "/api/admin/settings/branding";

#[tokio::test]
async fn looks_are_shown_changed_and_refused_when_others_were_faster() {
    let shop = Shop::open().await;
    let games = [NewGame::titled("Portal"), NewGame::titled("Myst")];
    shop.put(&games).await;
    let staff = member(&shop, "CONTENT").await;
    let first = staff.get(BRANDING).await.data();
    assert_eq!(
        first,
        json!({"name": null, "nameOfSettings": null, "accentLight": null, "accentDark": null, "shelves": null, "picked": [],
               "version": first["version"]})
    );
    let body = json!({"name": " Key Corner ", "accentLight": "#123456", "shelves": ["picked", "best"],
                      "picked": ["myst", games[0].id], "version": first["version"]});
    let changed = staff.put(BRANDING, body.clone()).await.data();
    assert_eq!(
        changed,
        json!({"name": "Key Corner", "nameOfSettings": null, "accentLight": "#123456", "accentDark": null,
               "shelves": ["picked", "best"],
               "picked": [{"id": games[1].id, "slug": "myst", "title": "Myst"}, {"id": games[0].id, "slug": "portal", "title": "Portal"}],
               "version": changed["version"]})
    );
    assert!(changed["version"].as_i64() > first["version"].as_i64());
    // The same form again: somebody was faster.
    let stale = staff.put(BRANDING, body).await;
    assert_eq!(stale.failure(), (409, "outdated".to_owned()));
    assert_eq!(stale.json()["error"]["current"], changed, "{}", stale.json());
    // What is not sent is as shipped.
    let back = staff.put(BRANDING, json!({"version": changed["version"]})).await.data();
    assert_eq!((&back["name"], &back["picked"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn colours_that_cannot_be_read_are_refused_with_one_that_can() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let version = root.get(BRANDING).await.data()["version"].clone();
    let refused = root
        .put(BRANDING, json!({"accentLight": "#ff8800", "version": version}))
        .await;
    assert_eq!(refused.failure(), (400, "invalid_parameter".to_owned()));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(":1 and must be at least 4.5:1"), "{message}");
    let (_, nearest) = message.rsplit_once("passes is ").unwrap();
    let nearest = nearest.trim_end_matches('.');
    let accepted = root
        .put(BRANDING, json!({"accentLight": nearest, "version": version}))
        .await;
    assert_eq!(accepted.data()["accentLight"], nearest);
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let version = root.get(BRANDING).await.data()["version"].clone();
    for (field, value) in [
        ("name", json!("x".repeat(61))),
        ("name", json!(7)),
        ("accentDark", json!("teal")),
        ("shelves", json!(["best", "best"])),
        ("shelves", json!(["worst"])),
        ("picked", json!(["no-such-game"])),
        ("picked", json!(["a b"])),
        ("picked", json!(vec!["x"; 25])),
    ] {
        let mut body = json!({ "version": version });
        body[field] = value.clone();
        assert_eq!(fields(&root.put(BRANDING, body).await), [field], "{value}");
    }
    assert_eq!(fields(&root.put(BRANDING, json!({})).await), ["version"]);
    assert_eq!(
        root.get(BRANDING).await.data()["version"],
        version,
        "nothing has changed"
    );
}

#[tokio::test]
async fn the_name_of_the_settings_is_shown_beside_the_chosen_one() {
    let shop = Shop::open_with_office(|office| office.with_shop_name(Some("By Settings".to_owned()))).await;
    let root = root(&shop).await;
    assert_eq!(root.get(BRANDING).await.data()["nameOfSettings"], "By Settings");
}

#[tokio::test]
async fn a_logo_is_uploaded_shown_replaced_and_removed() {
    let shop = Shop::open().await;
    let staff = member(&shop, "CONTENT").await;
    let path = "/api/admin/settings/branding/logo";
    assert_eq!(staff.get(path).await.failure(), (404, "not_found".to_owned()));
    let made = upload(&staff, path, &png(960, 100), "").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let first = made.json()["data"].take();
    assert_eq!(
        first,
        json!({"id": first["id"], "url": format!("http://127.0.0.1:8080/api/logo/{}.png", first["id"].as_str().unwrap()),
               "width": 480, "height": 50, "plateLight": first["plateLight"], "plateDark": first["plateDark"]})
    );
    assert_eq!(staff.get(path).await.data(), first);
    let second = upload(&staff, path, &png(100, 100), "").await.json()["data"].take();
    assert_ne!(second["id"], first["id"]);
    // Neither of these replaces it.
    for (file, failure) in [
        (png(2_000, 20), (400, "logo_shape")),
        (b"no picture".to_vec(), (400, "picture_unreadable")),
        (vec![0; 2 * 1024 * 1024 + 1], (413, "payload_too_large")),
    ] {
        let refused = upload(&staff, path, &file, "").await;
        assert_eq!(refused.failure(), (failure.0, failure.1.to_owned()));
    }
    let no_form = staff.post(path, json!({})).await;
    assert_eq!(no_form.failure(), (400, "invalid_body".to_owned()));
    assert_eq!(staff.get(path).await.data(), second);
    assert_eq!(staff.delete(path).await.status, 200);
    assert_eq!(staff.get(path).await.failure(), (404, "not_found".to_owned()));
}
