//! The catalogue as staff change it: taxonomies, games, prices; and what everybody sees of it at once.

use serde_json::{Value, json};

use crate::client::Client;
use crate::shop::{Answered, NewGame, Shop};

const NOBODY: &str = "0192f0c1-0000-7000-8000-000000000001";

/// An administrator.
pub(crate) async fn root(shop: &Shop) -> Client<'_> {
    let root = Client::new(shop);
    root.register("root@example.org").await;
    shop.db
        .execute("update users set role = 'ADMIN' where email = 'root@example.org'")
        .await;
    root
}

/// The fields that a refusal names.
pub(crate) fn fields(answer: &Answered) -> Vec<String> {
    assert_eq!(
        answer.failure(),
        (400, "validation_failed".to_owned()),
        "{}",
        answer.json()
    );
    let errors = answer.json()["error"]["errors"].as_array().unwrap().clone();
    errors
        .iter()
        .map(|error| error["path"].as_str().unwrap().to_owned())
        .collect()
}

/// What was created.
pub(crate) fn created(answer: &Answered) -> Value {
    let mut json = answer.json();
    assert_eq!(answer.status, 201, "{json}");
    json["data"].take()
}

/// The audited actions, oldest first.
pub(crate) async fn audited(shop: &Shop) -> Vec<String> {
    sqlx::query_scalar("select action from audit_log order by at, id")
        .fetch_all(&shop.db.sql)
        .await
        .unwrap()
}

async fn tidy(shop: &Shop, id: uuid::Uuid) -> Value {
    shop.cache.catch_up().await.unwrap();
    shop.get(&format!("/api/games/{id}")).await.data()
}

#[tokio::test]
async fn taxonomies_are_made_renamed_and_deleted() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    for (plural, singular) in [
        ("categories", "category"),
        ("genres", "genre"),
        ("platforms", "platform"),
        ("tags", "tag"),
    ] {
        let path = format!("/api/admin/{plural}");
        let made = root
            .post(&path, json!({"name": " Role Play ", "description": "Roles."}))
            .await;
        let made = created(&made);
        let id = made["id"].as_str().unwrap().to_owned();
        assert_eq!(made, json!({"id": id, "name": "Role Play", "slug": "role-play"}));
        assert_eq!(
            root.get(&path).await.data(),
            json!([{"id": id, "name": "Role Play", "slug": "role-play", "description": "Roles.", "gamesCount": 0}])
        );
        // The slug stays with a renamed entry: addresses name it.
        let one = format!("{path}/{id}");
        let renamed = root.put(&one, json!({"name": "RPG"})).await;
        assert_eq!(
            (renamed.status.as_u16(), renamed.data()),
            (200, json!({"id": id, "name": "RPG", "slug": "role-play"}))
        );
        let moved = root
            .put(&one, json!({"name": "RPG", "slug": "rpg", "description": null}))
            .await
            .data();
        assert_eq!(moved["slug"], "rpg");
        assert_eq!(root.get(&path).await.data()[0].get("description"), None);

        assert_eq!(
            root.post(&path, json!({"name": "rpg"})).await.failure(),
            (409, "slug_taken".to_owned())
        );
        let second = created(&root.post(&path, json!({"name": "Noir"})).await);
        let second = format!("{path}/{}", second["id"].as_str().unwrap());
        assert_eq!(
            root.put(&second, json!({"name": "RPG"})).await.failure(),
            (409, "name_taken".to_owned())
        );
        assert_eq!(
            root.put(&second, json!({"name": "X", "slug": "rpg"})).await.failure(),
            (409, "slug_taken".to_owned())
        );
        assert_eq!(fields(&root.post(&path, json!({})).await), ["name"]);
        assert_eq!(fields(&root.post(&path, json!({"name": 1})).await), ["name"]);
        // A name in another script gets a slug of its own.
        let tokyo = created(&root.post(&path, json!({"name": "東京"})).await);
        assert!(tokyo["slug"].as_str().unwrap().starts_with("n-"), "{tokyo}");
        let tokyo = format!("{path}/{}", tokyo["id"].as_str().unwrap());
        assert_eq!(root.put(&tokyo, json!({"name": "東京"})).await.status, 200);
        assert_eq!(root.delete(&tokyo).await.status, 200);
        assert_eq!(
            fields(
                &root
                    .put(&second, json!({"name": "X", "description": "y".repeat(2001)}))
                    .await
            ),
            ["description"]
        );
        assert_eq!(
            root.put(&format!("{path}/x"), json!({"name": "X"})).await.failure().0,
            400
        );
        let missing = format!("{path}/{NOBODY}");
        assert_eq!(
            root.put(&missing, json!({"name": "X"})).await.failure(),
            (404, "not_found".to_owned())
        );
        assert_eq!(root.delete(&missing).await.failure().0, 404);

        // One that games have stays.
        let game = NewGame::titled(&format!("Game of a {singular}"));
        shop.put(std::slice::from_ref(&game)).await;
        shop.db
            .execute(&format!("insert into game_{plural} values ('{}', '{id}')", game.id))
            .await;
        assert_eq!(
            root.delete(&one).await.failure(),
            (409, "in_use".to_owned()),
            "{plural}"
        );
        shop.db.execute(&format!("delete from game_{plural}")).await;
        let deleted = root.delete(&one).await;
        assert_eq!(
            deleted.json(),
            json!({"success": true, "message": "It is deleted"}),
            "{plural}"
        );
        assert_eq!(root.delete(&one).await.failure().0, 404);
    }
    let audited = audited(&shop).await;
    let count = |action: &str| audited.iter().filter(|done| *done == action).count();
    assert_eq!(
        (
            count("taxonomy.create"),
            count("taxonomy.update"),
            count("taxonomy.delete")
        ),
        (12, 8, 8)
    );
}

#[tokio::test]
async fn a_renamed_genre_is_shown_at_once() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let game = NewGame::titled("Portal").genres(&["Puzzle"]);
    shop.put(std::slice::from_ref(&game)).await;
    assert_eq!(tidy(&shop, game.id).await["genres"], json!(["Puzzle"]));
    let genres = root.get("/api/admin/genres").await.data();
    let path = format!("/api/admin/genres/{}", genres[0]["id"].as_str().unwrap());
    root.put(&path, json!({"name": "Riddles"})).await.data();
    assert_eq!(tidy(&shop, game.id).await["genres"], json!(["Riddles"]));
    assert_eq!(
        shop.get("/api/games/genres").await.data(),
        json!([{"name": "Riddles", "slug": "puzzle"}])
    );
}

/// The form of the existing console for a new game.
fn form() -> Value {
    json!({
        "title": "Myst", "slug": "myst", "description": "<p onclick=x>An island.</p><script>1</script>", "price": 9.99,
        "originalPrice": 20, "imageUrl": "https://images.example.org/myst.png", "platform": "PC", "genre": "Puzzle",
        "tags": ["Point & Click", "Classic"], "categories": ["Games"], "publisher": "Cyan", "developer": "Cyan Worlds",
        "releaseDate": "1993-09-24", "isPreorder": false, "inStock": true
    })
}

#[tokio::test]
async fn a_game_is_made_changed_and_deleted() {
    let shop = Shop::open().await;
    shop.db.keep_own_stock().await;
    let root = root(&shop).await;
    let made = root.post("/api/admin/games", form()).await;
    let made = created(&made);
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made,
        json!({"id": id, "title": "Myst", "slug": "myst", "price": 9.99, "createdAt": made["createdAt"]})
    );
    let path = format!("/api/admin/games/{id}");
    let detail = root.get(&path).await.data();
    assert_eq!(
        detail,
        json!({
            "id": id, "title": "Myst", "slug": "myst", "description": "<p>An island.</p>", "price": 9.99, "originalPrice": 20.0,
            "imageUrl": "https://images.example.org/myst.png", "platform": "PC", "platforms": ["PC"], "genre": "Puzzle",
            "genres": ["Puzzle"], "tags": ["Classic", "Point & Click"], "categories": ["Games"], "publisher": "Cyan",
            "developer": "Cyan Worlds", "releaseDate": "1993-09-24", "isPreorder": false,
            // There is no key of it yet.
            "inStock": false, "g2aStock": false, "lockedFields": [], "priceHistory": []
        })
    );
    let public = tidy(&shop, id.parse().unwrap()).await;
    assert_eq!(
        (&public["discount"], &public["genres"]),
        (&json!(50), &json!(["Puzzle"]))
    );

    let changed = root
        .put(
            &path,
            json!({"title": "Myst Masterpiece", "slug": "myst-masterpiece", "price": 5, "genre": "Adventure"}),
        )
        .await;
    let changed = changed.data();
    assert_eq!(
        changed,
        json!({"id": id, "title": "Myst Masterpiece", "slug": "myst-masterpiece", "price": 5.0, "updatedAt": changed["updatedAt"]})
    );
    let public = tidy(&shop, id.parse().unwrap()).await;
    assert_eq!(
        (
            &public["price"],
            &public["discount"],
            &public["genres"],
            &public["tags"]
        ),
        (
            &json!(5.0),
            &json!(75),
            &json!(["Adventure"]),
            &json!(["Classic", "Point & Click"])
        )
    );
    // The former address leads to the game.
    assert_eq!(shop.get("/api/games/slug/myst").await.data()["id"], json!(id));
    let history = root.get(&path).await.data()["priceHistory"].take();
    assert_eq!(
        history,
        json!([{"at": history[0]["at"], "previousPrice": 9.99, "price": 5.0}])
    );
    let deleted = root.delete(&path).await;
    assert_eq!(
        deleted.json(),
        json!({"success": true, "message": "The game is deleted"})
    );
    assert_eq!(root.get(&path).await.failure().0, 404);
    assert_eq!(root.delete(&path).await.failure().0, 404);
    assert_eq!(audited(&shop).await, ["game.create", "game.update", "game.delete"]);
}

#[tokio::test]
async fn a_game_of_the_shops_own_is_taken_off_sale_and_given_back() {
    let shop = Shop::open().await;
    shop.db.keep_own_stock().await;
    let root = root(&shop).await;
    let made = created(
        &root
            .post("/api/admin/games", json!({"title": "Myst", "price": 1}))
            .await,
    );
    let id: uuid::Uuid = made["id"].as_str().unwrap().parse().unwrap();
    let path = format!("/api/admin/games/{id}");
    let in_stock = async || root.get(&path).await.data()["inStock"].as_bool().unwrap();
    assert!(!in_stock().await, "no key yet");
    shop.db.key(id).await;
    assert!(in_stock().await);
    root.put(&path, json!({"inStock": false})).await.data();
    shop.db.key(id).await;
    assert!(!in_stock().await, "another key does not bring it back");
    root.put(&path, json!({"inStock": true})).await.data();
    assert!(in_stock().await);
    shop.db.execute("delete from game_keys").await;
    assert!(!in_stock().await);
}

#[tokio::test]
async fn invalid_fields_of_a_game_are_named() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    assert_eq!(
        fields(&root.post("/api/admin/games", json!({})).await),
        ["title", "price"]
    );
    let made = created(
        &root
            .post("/api/admin/games", json!({"title": "Myst", "price": 1}))
            .await,
    );
    assert_eq!(made["slug"], "myst");
    let path = format!("/api/admin/games/{}", made["id"].as_str().unwrap());
    // A field for addresses takes absolute ones only. Sent back, that of a generated cover changes nothing.
    let cover = root.get(&path).await.data()["imageUrl"].take();
    assert_eq!(cover, "http://127.0.0.1:8080/api/covers/myst.svg");
    root.put(&path, json!({"imageUrl": cover, "title": "Myst"}))
        .await
        .data();
    let stored: String = sqlx::query_scalar("select image from games")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    assert_eq!(stored, "/api/covers/myst.svg");
    for (field, values) in [
        (
            "title",
            vec![json!(" "), json!(1), json!("a\nb"), json!("x".repeat(301))],
        ),
        ("slug", vec![json!("x".repeat(301)), json!("a\nb"), json!(1)]),
        ("description", vec![json!("\u{0}"), json!([])]),
        (
            "price",
            vec![json!(0), json!(-1), json!("5"), json!(1.001), json!(1e30)],
        ),
        ("originalPrice", vec![json!(-1), json!("5"), json!(1), json!(0.5)]),
        (
            "imageUrl",
            vec![
                json!("javascript:alert(1)"),
                json!("cover.png"),
                json!("//evil.example/x"),
            ],
        ),
        ("platform", vec![json!(1), json!("x".repeat(101))]),
        ("genres", vec![json!("Puzzle"), json!([1]), json!(vec!["x"; 51])]),
        ("tags", vec![json!({}), json!([""]), json!(["a\u{0}"])]),
        (
            "releaseDate",
            vec![json!("tomorrow"), json!("2026-02-30"), json!("99999-01-01"), json!(5)],
        ),
        ("isPreorder", vec![json!("yes")]),
        ("inStock", vec![json!(1)]),
        ("lockedFields", vec![json!("price"), json!(["slug"])]),
    ] {
        for value in values {
            let answer = root.put(&path, json!({field: value})).await;
            assert_eq!(fields(&answer), [field], "{value}");
        }
    }
    assert_eq!(
        root.post("/api/admin/games", json!({"title": "Myst", "price": 1}))
            .await
            .failure(),
        (409, "slug_taken".into())
    );
    let other = created(
        &root
            .post("/api/admin/games", json!({"title": "Riven", "price": 1}))
            .await,
    );
    let other = format!("/api/admin/games/{}", other["id"].as_str().unwrap());
    assert_eq!(
        root.put(&other, json!({"slug": "myst"})).await.failure(),
        (409, "slug_taken".into())
    );
    assert_eq!(
        root.put(&format!("/api/admin/games/{NOBODY}"), json!({}))
            .await
            .failure()
            .0,
        404
    );
    assert_eq!(root.put("/api/admin/games/x", json!({})).await.failure().0, 400);
}

#[tokio::test]
async fn a_whole_form_locks_only_what_it_changes() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let game = NewGame::titled("Portal").genres(&["Action", "Puzzle"]);
    shop.put(std::slice::from_ref(&game)).await;
    shop.db
        .execute("update games set g2a_product_id = 'p1', in_stock = true, g2a_stock = true")
        .await;
    let path = format!("/api/admin/games/{}", game.id);
    let mut whole = root.get(&path).await.data();
    // What the existing console sends back: all it was given, of which it shows only the first genre.
    for unknown in ["genres", "platforms", "lockedFields", "priceHistory"] {
        whole.as_object_mut().unwrap().remove(unknown);
    }
    root.put(&path, whole.clone()).await.data();
    assert_eq!(root.get(&path).await.data()["lockedFields"], json!([]));
    // Also what a form for a new game would not make: a tag in another script, a long address.
    shop.db
        .execute(&format!(
            "with made as (insert into tags (name, slug) values ('東京', 'g2a-7') returning id)
             insert into game_tags (game_id, tag_id) select '{}', id from made;
             update games set slug = '{}-2'",
            game.id,
            "x".repeat(120)
        ))
        .await;
    let mut odd = root.get(&path).await.data();
    for unknown in ["genres", "platforms", "lockedFields", "priceHistory"] {
        odd.as_object_mut().unwrap().remove(unknown);
    }
    root.put(&path, odd).await.data();
    assert_eq!(root.get(&path).await.data()["lockedFields"], json!([]));
    shop.db
        .execute("delete from game_tags where tag_id in (select id from tags where slug = 'g2a-7'); update games set slug = 'portal'")
        .await;
    assert_eq!(audited(&shop).await, [] as [&str; 0], "nothing was changed");

    whole["price"] = json!(12.5);
    root.put(&path, whole.clone()).await.data();
    let detail = root.get(&path).await.data();
    assert_eq!(
        (&detail["lockedFields"], &detail["g2aPrice"], &detail["genres"]),
        (&json!(["price"]), &json!(10.0), &json!(["Action", "Puzzle"]))
    );
    root.put(&path, json!({"inStock": false})).await.data();
    let detail = root.get(&path).await.data();
    assert_eq!(
        (&detail["lockedFields"], &detail["inStock"]),
        (&json!(["price", "inStock"]), &json!(false))
    );
    root.put(&path, json!({"lockedFields": []})).await.data();
    let detail = root.get(&path).await.data();
    assert_eq!(
        (&detail["lockedFields"], detail.get("g2aPrice"), &detail["price"]),
        (&json!([]), None, &json!(10.0))
    );
}

/// A synchronisation changes the game while a member of staff has its form open.
#[tokio::test]
async fn a_whole_form_leaves_alone_what_changed_since_it_was_shown() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    shop.db
        .execute("update games set g2a_product_id = 'p1', in_stock = false, g2a_stock = false")
        .await;
    let path = format!("/api/admin/games/{}", game.id);
    let mut whole = root.get(&path).await.data();
    for unknown in ["genres", "platforms", "lockedFields", "priceHistory"] {
        whole.as_object_mut().unwrap().remove(unknown);
    }
    shop.db
        .execute("update games set price = 12.5, in_stock = true, g2a_stock = true")
        .await;
    whole["title"] = json!("Portal, corrected");
    root.put(&path, whole.clone()).await.data();
    let detail = root.get(&path).await.data();
    assert_eq!(
        (
            &detail["title"],
            &detail["price"],
            &detail["inStock"],
            &detail["lockedFields"]
        ),
        (
            &json!("Portal, corrected"),
            &json!(12.5),
            &json!(true),
            &json!(["title"])
        )
    );
    // The old price, typed on purpose.
    root.put(&path, json!({"price": 10})).await.data();
    assert_eq!(root.get(&path).await.data()["price"], json!(10.0));
}

#[tokio::test]
async fn a_game_that_orders_keys_or_carts_have_is_not_deleted() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let game = NewGame::titled("Portal");
    shop.put(std::slice::from_ref(&game)).await;
    let path = format!("/api/admin/games/{}", game.id);
    let guest = Client::new(&shop);
    guest.post("/api/cart", json!({"gameId": game.id})).await.json();
    let refused = root.delete(&path).await;
    assert_eq!(refused.failure(), (409, "in_use".to_owned()));
    assert_eq!(
        refused.json()["error"]["message"],
        "This game cannot be deleted: orders with it 0, keys 0, carts 1."
    );
    guest.delete("/api/cart").await;
    shop.db
        .execute(&format!(
            "insert into game_keys (game_id, key_ciphertext, key_hash) values ('{}', 'x', sha256('x'))",
            game.id
        ))
        .await;
    assert_eq!(root.delete(&path).await.failure(), (409, "in_use".to_owned()));
    shop.db.execute("delete from game_keys").await;
    assert_eq!(root.delete(&path).await.status, 200);
}

#[tokio::test]
async fn a_cart_is_replaced_and_emptied_by_staff() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let games = [
        NewGame::titled("Portal"),
        NewGame::titled("Myst"),
        NewGame::titled("Riven"),
    ];
    shop.put(&games).await;
    let ada = Client::new(&shop);
    let user = ada.register("ada@example.org").await["user"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    ada.post("/api/cart", json!({"gameId": games[0].id, "quantity": 2}))
        .await
        .json();
    ada.post("/api/cart", json!({"gameId": games[2].id, "quantity": 3}))
        .await
        .json();
    shop.db.execute("update games set in_stock = false where slug = 'riven'; update games set g2a_product_id = 'r' where slug = 'riven'").await;
    let path = format!("/api/admin/carts/user/{user}");
    let items = json!({"items": [{"gameId": games[1].id, "quantity": 1}, {"gameId": games[1].id, "quantity": 1},
                                 {"gameId": games[2].id, "quantity": 1}]});
    let replaced = root.put(&path, items).await;
    assert_eq!(
        replaced.json(),
        json!({"success": true, "message": "The cart has been updated"})
    );
    let mut cart = ada.cart().await;
    cart.sort();
    assert_eq!(
        cart,
        [("Myst".to_owned(), 2), ("Riven".to_owned(), 1)],
        "a sold-out game stays"
    );

    let items = |game: &str, quantity: Value| json!({"items": [{"gameId": game, "quantity": quantity}]});
    for (body, status, code) in [
        (items(NOBODY, json!(1)), 404, "game_not_found"),
        (items(&games[2].id.to_string(), json!(2)), 400, "out_of_stock"),
        (items(&games[1].id.to_string(), json!(0)), 400, "quantity_not_positive"),
        (items(&games[1].id.to_string(), json!(100)), 400, "too_many_copies"),
        (items("x", json!(1)), 400, "validation_failed"),
        (json!({}), 400, "validation_failed"),
    ] {
        let refused = root.put(&path, body.clone()).await;
        assert_eq!(refused.failure(), (status, code.to_owned()), "{body}");
    }
    let mut unchanged = ada.cart().await;
    unchanged.sort();
    assert_eq!(unchanged, cart);
    let emptied = root.delete(&path).await;
    assert_eq!(emptied.json(), json!({"success": true, "message": "The cart is empty"}));
    assert_eq!(ada.cart().await, []);
    let missing = format!("/api/admin/carts/user/{NOBODY}");
    assert_eq!(root.delete(&missing).await.failure(), (404, "not_found".to_owned()));
    assert_eq!(root.put(&missing, json!({"items": []})).await.failure().0, 404);
    assert_eq!(audited(&shop).await, ["cart.replace", "cart.replace"]);
    // Nobody changes the cart of somebody who may do more.
    let support = crate::permissions::member(&shop, "SUPPORT").await;
    let owner: uuid::Uuid = sqlx::query_scalar("select id from users where role = 'ADMIN'")
        .fetch_one(&shop.db.sql)
        .await
        .unwrap();
    let owners = format!("/api/admin/carts/user/{owner}");
    for answer in [
        support.put(&owners, json!({"items": []})).await,
        support.delete(&owners).await,
    ] {
        assert_eq!(answer.failure(), (403, "has_more_permissions".to_owned()));
    }
    assert_eq!(support.put(&path, json!({"items": []})).await.status, 200);
}

#[tokio::test]
async fn wishes_are_counted_without_those_of_guests() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let games = [NewGame::titled("Portal"), NewGame::titled("Myst")];
    shop.put(&games).await;
    let empty = root.get("/api/admin/wishlists/statistics").await.data();
    assert_eq!(
        (&empty["averageItemsPerWishlist"], &empty["mostWishedGames"]),
        (&json!(0), &json!([]))
    );
    for (name, wishes) in [("ada", &games[..]), ("bob", &games[..1]), ("guest", &games[..])] {
        let client = Client::new(&shop);
        if name != "guest" {
            client.register(&format!("{name}@example.org")).await;
        }
        for game in wishes {
            client.post("/api/wishlist", json!({"gameId": game.id})).await.json();
        }
    }
    let told = root.get("/api/admin/wishlists/statistics").await.data();
    let game = |game: &NewGame, count: u64| json!({"gameId": game.id, "game": {"id": game.id, "title": game.title, "slug": game.slug}, "wishlistCount": count});
    let growth = told["wishlistGrowth"].as_array().unwrap();
    assert_eq!(
        (growth.len(), &growth[29]["count"], &growth[0]["count"]),
        (30, &json!(3), &json!(0))
    );
    assert_eq!(growth[29]["date"].as_str().unwrap().len(), "2026-11-30".len());
    assert_eq!(
        told,
        json!({
            "totalWishlists": 2, "totalItems": 3, "averageItemsPerWishlist": 1.5,
            "mostWishedGames": [game(&games[0], 2), game(&games[1], 1)], "wishlistGrowth": growth
        })
    );
}

#[tokio::test]
async fn ways_to_pay_are_listed() {
    let shop = Shop::open().await;
    let root = root(&shop).await;
    let told = root.get("/api/admin/payments/methods").await.data();
    let methods = told["methods"].as_array().unwrap();
    let ids: Vec<&str> = methods.iter().map(|method| method["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["trustly", "card", "klarna", "apple"]);
    let since = &methods[1]["createdAt"];
    assert!(since.as_str().unwrap().ends_with('Z'));
    assert_eq!(
        methods[1],
        json!({"id": "card", "name": "Card", "type": "terminal", "available": true, "order": 2, "createdAt": since, "updatedAt": since})
    );
}

#[tokio::test]
async fn only_staff_change_the_catalogue() {
    let shop = Shop::open().await;
    let ada = Client::new(&shop);
    ada.register("ada@example.org").await;
    let visitor = Client::new(&shop);
    for (method, path) in [
        ("POST", "games".to_owned()),
        ("PUT", format!("games/{NOBODY}")),
        ("DELETE", format!("games/{NOBODY}")),
        ("POST", "genres".to_owned()),
        ("PUT", format!("tags/{NOBODY}")),
        ("DELETE", format!("platforms/{NOBODY}")),
        ("PUT", format!("carts/user/{NOBODY}")),
        ("DELETE", format!("carts/user/{NOBODY}")),
        ("GET", "wishlists/statistics".to_owned()),
        ("GET", "payments/methods".to_owned()),
        ("GET", "blog".to_owned()),
        ("POST", "blog".to_owned()),
        ("PUT", format!("blog/{NOBODY}")),
        ("DELETE", format!("blog/{NOBODY}")),
        ("GET", "faqs".to_owned()),
        ("POST", "faqs".to_owned()),
        ("PUT", format!("faqs/{NOBODY}")),
        ("DELETE", format!("faqs/{NOBODY}")),
        ("GET", "faqs/categories".to_owned()),
    ] {
        let path = format!("/api/admin/{path}");
        for client in [&ada, &visitor] {
            let refused = client.send(method, &path, "{}").await;
            assert_eq!(refused.failure(), (403, "forbidden".to_owned()), "{method} {path}");
        }
    }
}
