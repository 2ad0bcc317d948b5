//! The pictures of a game: uploaded, put in order, described and deleted by staff, and what the shop then shows.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::client::Client;
use crate::permissions::member;
use crate::shop::{Answered, NewGame, Shop};

pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let pixels = RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], 90])
    });
    DynamicImage::from(pixels).write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

/// Sends a file and a text as a front-end's `FormData`.
pub(crate) async fn upload(client: &Client<'_>, path: &str, file: &[u8], alt: &str) -> Answered {
    let mut body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"alt\"\r\n\r\n{alt}\r\n\
         --edge\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    let kind = [("content-type", "multipart/form-data; boundary=edge")];
    client.send_with("POST", path, body, &kind).await
}

/// The picture that an upload has made.
fn made(answer: &Answered) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["data"].take()
}

fn of(answer: &Value, name: &str) -> Vec<Value> {
    let images = answer["images"].as_array().unwrap();
    images.iter().map(|image| image[name].clone()).collect()
}

#[tokio::test]
async fn pictures_are_uploaded_ordered_described_and_deleted() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    let game = NewGame::titled("Portal").with(|game| {
        game.image = "/api/covers/portal.svg".into();
        game.images = vec![];
    });
    shop.put(std::slice::from_ref(&game)).await;
    let path = format!("/api/admin/games/{}/images", game.id);
    assert_eq!(staff.get(&path).await.data(), json!({"images": []}));

    // The first is the cover; the file is stored anew, and nothing else of it.
    let first = made(&upload(&staff, &path, &png(600, 800), " A door ").await);
    assert_eq!(
        first,
        json!({"id": first["id"], "url": first["url"], "alt": "A door", "isCover": true, "isUploaded": true})
    );
    let url = first["url"].as_str().unwrap();
    let stored = url.split_once("/api/pictures/").expect("an address of this shop").1;
    assert!(
        url.starts_with("http") && stored.strip_suffix(".webp").is_some(),
        "{url}"
    );
    let bytes: Vec<u8> = sqlx::query_scalar("select image from game_pictures")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let picture = image::load_from_memory_with_format(&bytes, ImageFormat::WebP).unwrap();
    assert_eq!((picture.width(), picture.height()), (600, 800));

    let second = made(&upload(&staff, &path, &png(2400, 1200), "").await);
    let third = made(&upload(&staff, &path, &png(90, 90), "A cube").await);
    assert_eq!((&second["isCover"], &third["isCover"]), (&json!(false), &json!(false)));
    let ids = [&first["id"], &second["id"], &third["id"]];

    // A new order and texts at once; what is left out stays.
    let order = json!({"images": [{"id": ids[2]}, {"id": ids[0], "alt": ""}, {"id": ids[1], "alt": "A hall", "url": "ignored"}]});
    let arranged = staff.put(&path, order).await.data();
    assert_eq!(of(&arranged, "alt"), [json!("A cube"), json!(""), json!("A hall")]);
    assert_eq!(of(&arranged, "isCover"), [json!(true), json!(false), json!(false)]);
    assert_eq!(staff.get(&path).await.data(), arranged);

    // The shop's JSON: `image` and `images` as ever, and the texts beside them for a single game.
    let shown = Client::new(&shop).get(&format!("/api/games/{}", game.id)).await.data();
    let local = |url: &Value| {
        let url = url.as_str().unwrap();
        url.get(url.find("/api/pictures/").unwrap()..).unwrap().to_owned()
    };
    assert_eq!(shown["image"], json!(local(&third["url"])));
    assert_eq!(shown["images"], json!([local(&first["url"]), local(&second["url"])]));
    assert_eq!(
        (&shown["imageAlt"], &shown["imageAlts"]),
        (&json!("A cube"), &json!(["", "A hall"]))
    );

    // One text, and one deleted: its file goes.
    let one = format!("{path}/{}", ids[0].as_str().unwrap());
    assert_eq!(
        staff.put(&one, json!({"alt": "The door"})).await.data()["alt"],
        "The door"
    );
    assert_eq!(staff.delete(&one).await.status, 200);
    assert_eq!(staff.delete(&one).await.failure(), (404, "not_found".into()));
    assert_eq!(staff.put(&one, json!({"alt": "x"})).await.status, 404);
    assert_eq!(shop.db.count("game_pictures").await, 2);
    // Without any picture, the shop draws the cover again.
    for id in [ids[1], ids[2]] {
        assert_eq!(
            staff.delete(&format!("{path}/{}", id.as_str().unwrap())).await.status,
            200
        );
    }
    let shown = Client::new(&shop).get(&format!("/api/games/{}", game.id)).await.data();
    assert_eq!(
        (&shown["image"], &shown["images"]),
        (&json!("/api/covers/portal.svg"), &json!([]))
    );
    assert_eq!(shop.db.count("game_pictures").await, 0);
    let audited: Vec<String> = sqlx::query_scalar("select distinct action from audit_log")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap();
    assert!(audited.contains(&"game.pictures".to_owned()), "{audited:?}");
}

#[tokio::test]
async fn what_is_no_picture_is_refused_by_name() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let path = format!("/api/admin/games/{}/images", game.id);
    let whole = png(300, 300);
    // More than 16 megapixels, in few bytes.
    let mut large = Cursor::new(Vec::new());
    DynamicImage::new_luma8(4_001, 4_001)
        .write_to(&mut large, ImageFormat::Png)
        .unwrap();
    for (file, wanted) in [
        (&b""[..], (400, "picture_missing")),
        (&b"<svg onload=alert(1)>"[..], (400, "picture_unreadable")),
        (&whole[..whole.len() / 2], (400, "picture_incomplete")),
        (&large.get_ref()[..], (400, "picture_unreadable")),
        (&vec![0; 8 * 1024 * 1024 + 1][..], (413, "payload_too_large")),
    ] {
        let (status, code) = upload(&staff, &path, file, "").await.failure();
        assert_eq!((status, code.as_str()), wanted, "{} bytes", file.len());
    }
    let long = upload(&staff, &path, &whole, &"x".repeat(301)).await;
    assert_eq!(long.failure(), (400, "validation_failed".into()));
    assert_eq!(
        staff.post(&path, json!({"image": "x"})).await.failure(),
        (400, "invalid_body".into())
    );
    let unknown = "/api/admin/games/0192f0c1-0000-7000-8000-000000000001/images";
    assert_eq!(
        upload(&staff, unknown, &whole, "").await.failure(),
        (404, "not_found".into())
    );
    assert_eq!(staff.get(unknown).await.status, 404);
    // Nothing of it is stored.
    assert_eq!(shop.db.count("game_pictures").await, 0);

    // An address that the game does not have is not taken as a cover either.
    let stolen = json!({"imageUrl": "/api/pictures/0192f0c1-0000-7000-8000-000000000001.webp"});
    let refused = staff.put(&format!("/api/admin/games/{}", game.id), stolen).await;
    assert_eq!(refused.failure(), (400, "validation_failed".into()));

    // Twenty are enough.
    let small = png(2, 2);
    let have = staff.get(&path).await.data()["images"].as_array().unwrap().len();
    for _ in have..20 {
        assert_eq!(upload(&staff, &path, &small, "").await.status, 201);
    }
    assert_eq!(
        upload(&staff, &path, &small, "").await.failure(),
        (409, "too_many_pictures".into())
    );
    assert_eq!(
        upload(&member(&shop, "SUPPORT").await, &path, &small, "").await.status,
        403
    );
}

#[tokio::test]
async fn an_order_of_other_pictures_is_refused_with_those_of_by_now() {
    let shop = Shop::open().await;
    let staff = member(&shop, "MANAGER").await;
    let game = NewGame::titled("Portal").with(|game| {
        game.image = "https://img.example/cover.jpg".into();
        game.images = vec!["https://img.example/1.jpg".into(), "https://img.example/1.jpg".into()];
    });
    shop.put(std::slice::from_ref(&game)).await;
    let path = format!("/api/admin/games/{}/images", game.id);
    let shown = staff.get(&path).await.data();
    let ids = of(&shown, "id");
    assert_eq!(ids.len(), 2, "each picture once");
    assert_eq!(of(&shown, "isUploaded"), [json!(false), json!(false)]);
    // Pictures of another server have texts as well.
    let described = json!({"images": [{"id": ids[0]}, {"id": ids[1], "alt": "A hall"}]});
    assert_eq!(
        of(&staff.put(&path, described).await.data(), "alt"),
        [json!(""), json!("A hall")]
    );

    upload(&staff, &path, &png(4, 4), "New").await;
    let stale = staff
        .put(&path, json!({"images": [{"id": ids[1]}, {"id": ids[0]}]}))
        .await;
    assert_eq!(stale.failure(), (409, "outdated".into()));
    let current = stale.json()["error"]["current"].clone();
    assert_eq!(current, staff.get(&path).await.data());
    assert_eq!(of(&current, "alt"), [json!(""), json!("A hall"), json!("New")]);
    for wrong in [
        json!({}),
        json!({"images": "x"}),
        json!({"images": [{"id": 7}]}),
        json!({"images": [{"id": ids[0], "alt": 7}]}),
        json!({"images": [{"id": ids[0], "alt": "a\nb"}]}),
    ] {
        assert_eq!(staff.put(&path, wrong.clone()).await.failure().0, 400, "{wrong}");
    }
}
