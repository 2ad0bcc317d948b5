//! The catalogue: its list, the form of a game, changes of many games, and prices by rules.

use http::StatusCode;
use lockstep_store::bulk;
use sqlx::types::Uuid;

use crate::shop::{Browser, Shop, between, unescaped};

/// Games `Game 00`… of G2A's for €10.00 each, for which it asks €9.00.
async fn games(shop: &Shop, count: u32) -> Vec<Uuid> {
    let mut games = Vec::new();
    for n in 0..count {
        let game = shop
            .db
            .game(&format!("Game {n:02}"), &format!("game-{n}"), "10.00")
            .await;
        shop.db.at_g2a(game, &format!("p{n}")).await;
        games.push(game);
    }
    shop.db.execute("update games set supplier_price = 9").await;
    games
}

/// Does everything that staff have confirmed.
async fn work(shop: &Shop) {
    while bulk::next_part(&shop.db.store, 3).await.unwrap().is_some() {}
}

async fn prices(shop: &Shop) -> String {
    shop.value("select string_agg(price::text, ' ' order by title) from games")
        .await
}

/// The rows that the list shows, by title.
fn titles(page: &str) -> Vec<&str> {
    let rows = page.split("<td class=\"main\"").skip(1);
    rows.map(|row| between(row, "\">", "</a>").rsplit('>').next().unwrap())
        .collect()
}

/// The form of bulk changes on a page of the list, with these games picked.
async fn preview(staff: &Browser<'_>, list: &str, picked: &[Uuid], change: &str) -> String {
    let form = list.split("<form id=\"picked\"").nth(1).unwrap();
    let field = |name: &str| unescaped(between(form, &format!("name=\"{name}\" value=\""), "\""));
    let mut sent = form_urlencoded::Serializer::new(String::new());
    sent.append_pair("as_of", &field("as_of")).append_pair("q", &field("q"));
    for game in picked {
        let start = format!("name=\"game\" value=\"{game}.");
        let version = between(list, &start, "\"");
        sent.append_pair("game", &format!("{game}.{version}"));
    }
    let answer = staff
        .post("/admin/catalogue/bulk", &format!("{}&{change}", sent.finish()))
        .await;
    staff.follow(&answer).await
}

/// Confirms a preview and returns the page of the change, once a worker has done it.
async fn confirm(shop: &Shop, staff: &Browser<'_>, preview: &str, form: &str) -> String {
    let done = staff.submit(preview, form).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text());
    work(shop).await;
    staff.follow(&done).await
}

#[tokio::test]
async fn the_list_is_filtered_and_sorted_and_is_a_file_of_the_same() {
    let shop = Shop::open().await;
    let games = games(&shop, 6).await;
    let own = shop.db.game("Zebra", "zebra", "3.00").await;
    shop.db
        .execute(&format!(
            "insert into genres (name, slug) values ('Puzzle', 'puzzle');
             insert into tags (name, slug) values ('Co-op', 'co-op');
             insert into game_genres select '{0}', id from genres;
             insert into game_tags select '{0}', id from tags;
             update games set fields_by_hand = '{{price}}', g2a_price = 10, price = 12 where id = '{1}';
             update games set fields_by_hand = '{{in_stock}}', in_stock = false, g2a_stock = false where id = '{2}';
             update games set is_preorder = true where id = '{3}'",
            games[0], games[1], games[2], games[3]
        ))
        .await;
    let staff = shop.staff("MANAGER").await;
    let genre = shop.value("select id::text from genres").await;
    for (query, wanted) in [
        ("search=ame+05", vec!["Game 05"]),
        ("search=p4", vec!["Game 04"]),
        (&*format!("genre={genre}"), vec!["Game 00"]),
        ("tag=co-op", vec!["Game 00"]),
        ("tag=unknown", vec![]),
        ("price=own", vec!["Game 01"]),
        ("shown=hidden", vec!["Game 02"]),
        ("locks=some", vec!["Game 02", "Game 01"]),
        ("preorder=yes", vec!["Game 03"]),
        ("source=own", vec!["Zebra"]),
        ("stock=out", vec!["Game 02"]),
        ("stock=sideways", vec![]),
        (
            "sort=title&source=g2a&price=supplier&shown=visible",
            vec!["Game 00", "Game 03", "Game 04", "Game 05"],
        ),
        ("sort=dearest&search=Game&locks=some", vec!["Game 01", "Game 02"]),
        ("sort=cheapest&source=own", vec!["Zebra"]),
    ] {
        let page = staff.page(&format!("/admin/catalogue?{query}")).await;
        assert_eq!(titles(&page), wanted, "{query}");
        assert!(page.contains("class=\"chips\""), "{query}");
        let file = staff.get(&format!("/admin/catalogue?{query}&format=csv")).await;
        let lines: Vec<&str> = file.text().lines().skip(1).collect();
        assert_eq!(lines.len(), wanted.len(), "{query}: {lines:?}");
        for (line, title) in lines.iter().zip(&wanted) {
            assert!(line.contains(title), "{query}: {line}");
        }
    }
    let none = staff.page("/admin/catalogue?search=nothing+like+it").await;
    assert!(none.contains("Nothing matches"), "{none}");
    assert!(
        staff
            .page("/admin/catalogue")
            .await
            .contains(&format!("/admin/catalogue/{own}"))
    );
}

#[tokio::test]
async fn pages_go_on_where_they_were_when_games_are_added() {
    let shop = Shop::open().await;
    games(&shop, 60).await;
    let staff = shop.staff("MANAGER").await;
    for sort in ["newest", "title", "cheapest", "dearest"] {
        let first = staff.page(&format!("/admin/catalogue?sort={sort}")).await;
        assert_eq!(titles(&first).len(), 50, "{sort}");
        assert!(first.contains("60 rows") && !first.contains("rel=\"prev\""), "{sort}");
        // One that comes first and one that comes last in each order.
        for (title, slug, price) in [("AAA", "aaa", "1.00"), ("ZZZ", "zzz", "99.00")] {
            shop.db.game(title, slug, price).await;
        }
        let next = unescaped(between(&first, "rel=\"next\" href=\"", "\""));
        let second = staff.page(&next).await;
        let shown: Vec<&str> = titles(&first).into_iter().chain(titles(&second)).collect();
        let old: Vec<&&str> = shown.iter().filter(|title| title.starts_with("Game")).collect();
        assert_eq!(old.len(), 60, "{sort}: {shown:?}");
        let back = unescaped(between(&second, "rel=\"prev\" href=\"", "\""));
        assert_eq!(titles(&staff.page(&back).await), titles(&first), "{sort}");
        shop.db.execute("delete from games where slug in ('aaa', 'zzz')").await;
    }
}

#[tokio::test]
async fn a_field_that_is_saved_is_locked_and_unlocking_gives_it_back() {
    let shop = Shop::open().await;
    let game = games(&shop, 1).await[0];
    let staff = shop.staff("MANAGER").await;
    let address = format!("/admin/catalogue/{game}");
    let page = staff.page(&address).await;
    let form = "title=Better+name&price=12.50";
    let saved = staff.submit(&page, form).await;
    let page = staff.follow(&saved).await;
    assert!(page.contains("Saved.") && page.contains("Better name"), "{page}");
    let locks = "select fields_by_hand::text from games";
    assert_eq!(shop.value(locks).await, "{title,price}");
    // What G2A says stands beside the price, and counts again at once when it is unlocked.
    assert!(page.contains("G2A says: €10.00"), "{page}");
    let unlocked = staff.submit(&page, "lock=title").await;
    assert_eq!(unlocked.status, StatusCode::SEE_OTHER, "{}", unlocked.text());
    assert_eq!(shop.value(locks).await, "{title}");
    assert_eq!(prices(&shop).await, "10.00");
    let history = staff.page(&address).await;
    assert!(history.contains("€12.50") && history.contains("Staff"), "{history}");
    let changed = "select count(*)::text from audit_log where action = 'game.update'";
    assert_eq!(shop.value(changed).await, "2");
}

#[tokio::test]
async fn what_two_have_changed_is_shown_in_both_versions_and_the_rest_is_merged() {
    let shop = Shop::open().await;
    let game = games(&shop, 1).await[0];
    let staff = shop.staff("MANAGER").await;
    let address = format!("/admin/catalogue/{game}");
    let seen = staff.page(&address).await;
    let other = staff.submit(&seen, "title=Theirs&publisher=Valve").await;
    assert_eq!(other.status, StatusCode::SEE_OTHER, "{}", other.text());

    let mine = "title=Mine&developer=Me&publisher=";
    let refused = staff.submit(&seen, mine).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let text = unescaped(refused.text());
    for shown in [
        "Somebody saved meanwhile",
        "Stored now:</strong> Theirs",
        "value=\"Mine\"",
        "value=\"Me\"",
        // Not touched by me: as the other has set it.
        "value=\"Valve\"",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert_eq!(shop.value("select title from games").await, "Theirs");
    // Sent again, it has seen the other version.
    let again = staff
        .submit(refused.text(), "title=Mine&developer=Me&publisher=Valve")
        .await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "{}", again.text());
    let stored = "select title || ' ' || publisher || ' ' || developer from games";
    assert_eq!(shop.value(stored).await, "Mine Valve Me");
}

#[tokio::test]
async fn a_price_below_the_suppliers_needs_a_yes_and_keeps_what_was_entered() {
    let shop = Shop::open().await;
    let game = games(&shop, 1).await[0];
    let staff = shop.staff("MANAGER").await;
    let page = staff.page(&format!("/admin/catalogue/{game}")).await;
    let asked = staff.submit(&page, "price=8,50&tags=One%0ATwo&releaseDate=never").await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = unescaped(asked.text());
    for shown in [
        "value=\"8,50\"",
        "One\nTwo",
        "below the supplier’s price",
        "€9.00",
        "id=\"releaseDate-error\"",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let saved = staff
        .submit(
            asked.text(),
            "price=8,50&tags=One%0ATwo&releaseDate=2026-01-02&below_cost=yes",
        )
        .await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    assert_eq!(prices(&shop).await, "8.50");
    assert_eq!(
        shop.value("select string_agg(name, ' ' order by name) from tags").await,
        "One Two"
    );
}

#[tokio::test]
async fn a_game_of_the_shops_own_is_made_and_deleted_only_while_nothing_refers_to_it() {
    let shop = Shop::open().await;
    let order = shop.delivered().await;
    let staff = shop.staff("MANAGER").await;
    let page = staff.page("/admin/catalogue/new").await;
    let wrong = staff.submit(&page, "title=&price=free&publisher=Me").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("value=\"free\"") && wrong.text().contains("value=\"Me\""));
    let made = staff.submit(&page, "title=My+game&price=4.99&genres=Puzzle").await;
    let page = staff.follow(&made).await;
    assert!(
        page.contains("The game is created.") && page.contains("Own game"),
        "{page}"
    );
    let made = shop.value("select id::text from games where title = 'My game'").await;
    let page = staff.page(&format!("/admin/catalogue/{made}/delete")).await;
    let deleted = staff.submit(&page, "").await;
    assert!(staff.follow(&deleted).await.contains("The game is deleted."));

    let page = staff.page(&format!("/admin/catalogue/{}/delete", order.game)).await;
    let refused = staff.submit(&page, "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text().contains("refer to this game"), "{}", refused.text());
    assert_eq!(shop.value("select count(*)::text from games").await, "1");
}

#[tokio::test]
async fn a_change_of_many_prices_is_previewed_exactly_carried_out_and_undone() {
    let shop = Shop::open().await;
    let games = games(&shop, 8).await;
    shop.db
        .execute(&format!(
            "update games set supplier_price = 11 where id = '{}'",
            games[7]
        ))
        .await;
    let staff = shop.staff("MANAGER").await;
    let list = staff.page("/admin/catalogue").await;
    let changed = "which=picked&kind=PRICE_PERCENT&amount=5";
    // Somebody changes one of them after the list was shown.
    shop.db
        .execute(&format!("update games set price = 20 where id = '{}'", games[0]))
        .await;
    let page = preview(&staff, &list, &games, changed).await;
    let text = unescaped(&page);
    for shown in [
        "Prices that change: 7. Below the supplier’s price: 1. Changed since you looked: 1.",
        "Game 00",
        "Change 6 games",
        "Also the 1 price below",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert_eq!(
        prices(&shop).await,
        "20.00 10.00 10.00 10.00 10.00 10.00 10.00 10.00",
        "nothing yet"
    );
    // And another after the preview.
    shop.db
        .execute(&format!("update games set price = 30 where id = '{}'", games[1]))
        .await;
    let done = confirm(&shop, &staff, &page, "").await;
    assert_eq!(prices(&shop).await, "20.00 30.00 10.50 10.50 10.50 10.50 10.50 10.00");
    let text = unescaped(&done);
    for shown in [
        "Done",
        "Changed since you looked",
        "Game 01",
        "Below the supplier’s price",
        "Game 07",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    // Every change is in the audit log, with both prices.
    let parts =
        "select sum(jsonb_array_length(details -> 'games'))::text from audit_log where action = 'catalogue.bulk.apply'";
    assert_eq!(shop.value(parts).await, "5");
    let locked = "select count(*)::text from games where 'price' = any (fields_by_hand) and g2a_price = 10";
    assert_eq!(shop.value(locked).await, "5");

    // One is changed by hand meanwhile; the others go back, and are G2A's again.
    shop.db
        .execute(&format!("update games set price = 11 where id = '{}'", games[2]))
        .await;
    let undo = unescaped(between(&done, "class=\"button danger small\" href=\"", "\""));
    let undo = staff.page(&undo).await;
    let undone = confirm(&shop, &staff, &undo, "").await;
    assert_eq!(prices(&shop).await, "20.00 30.00 11.00 10.00 10.00 10.00 10.00 10.00");
    assert!(undone.contains("Undone") && undone.contains("Game 02"), "{undone}");
    assert_eq!(shop.value(locked).await, "1");
    let actions =
        "select string_agg(distinct action, ' ' order by action) from audit_log where action like 'catalogue.%'";
    assert_eq!(
        shop.value(actions).await,
        "catalogue.bulk catalogue.bulk.apply catalogue.bulk.revert catalogue.bulk.undo"
    );
}

#[tokio::test]
async fn what_was_sold_by_a_change_is_not_undone() {
    let shop = Shop::open().await;
    let game = shop.db.game("Portal", "portal", "10.00").await;
    shop.db.key(game).await;
    let staff = shop.staff("MANAGER").await;
    let list = staff.page("/admin/catalogue").await;
    let page = preview(&staff, &list, &[game], "kind=PRICE_SET&amount=7").await;
    let done = confirm(&shop, &staff, &page, "").await;
    let user = shop.db.user("ada@example.org", "100").await;
    shop.db.order(user, game, 1).await;
    let undo = unescaped(between(&done, "class=\"button danger small\" href=\"", "\""));
    let undo = staff.page(&undo).await;
    let refused = staff.submit(&undo, "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text().contains("Portal"), "{}", refused.text());
    work(&shop).await;
    assert_eq!(prices(&shop).await, "7.00");
}

#[tokio::test]
async fn all_that_match_are_changed_over_pages_and_those_changed_since_are_left_out() {
    let shop = Shop::open().await;
    let games = games(&shop, 55).await;
    let other = shop.db.game("Other", "other", "10.00").await;
    let staff = shop.staff("MANAGER").await;
    let list = staff.page("/admin/catalogue?search=Game").await;
    assert!(list.contains("All 55 games that match"), "{list}");
    shop.db
        .execute(&format!("update games set price = 10.50 where id = '{}'", games[9]))
        .await;
    let page = preview(&staff, &list, &[], "which=all&kind=HIDE").await;
    let text = unescaped(&page);
    assert!(
        text.contains("Games that change: 54. Changed since you looked: 1."),
        "{text}"
    );
    let done = confirm(&shop, &staff, &page, "").await;
    let hidden = "select count(*)::text from games where 'in_stock' = any (fields_by_hand) and not in_stock";
    assert_eq!(shop.value(hidden).await, "54");
    let undo = unescaped(between(&done, "class=\"button danger small\" href=\"", "\""));
    let undo = staff.page(&undo).await;
    confirm(&shop, &staff, &undo, "").await;
    assert_eq!(shop.value(hidden).await, "0");
    assert!(staff.page(&format!("/admin/catalogue/{other}")).await.contains("Other"));
}

#[tokio::test]
async fn own_prices_are_dropped_and_games_featured_with_one_click_and_a_preview() {
    let shop = Shop::open().await;
    let game = games(&shop, 1).await[0];
    let staff = shop.staff("MANAGER").await;
    let address = format!("/admin/catalogue/{game}");
    let page = staff.page(&address).await;
    staff.submit(&page, "price=15").await;
    for (label, column, wanted) in [
        ("PRICE_DROP", "price::text || fields_by_hand::text", "10.00{}"),
        (
            "FEATURE",
            "is_best_seller::text || flags_by_hand::text",
            "true{is_best_seller}",
        ),
        (
            "UNFEATURE",
            "is_best_seller::text || flags_by_hand::text",
            "false{is_best_seller}",
        ),
        ("HIDE", "in_stock::text || fields_by_hand::text", "false{in_stock}"),
        ("SHOW", "fields_by_hand::text", "{}"),
    ] {
        let page = staff.page(&address).await;
        let version = between(&page, "name=\"game\" value=\"", "\"");
        let as_of = between(&page, "name=\"as_of\" value=\"", "\"");
        assert!(
            page.contains(&format!("name=\"kind\" value=\"{label}\"")),
            "{label}: {page}"
        );
        let answer = staff
            .post(
                "/admin/catalogue/bulk",
                &format!("game={version}&as_of={as_of}&kind={label}"),
            )
            .await;
        let shown = staff.follow(&answer).await;
        confirm(&shop, &staff, &shown, "").await;
        let value: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select {column} from games")))
            .fetch_one(&shop.db.sql)
            .await
            .unwrap();
        assert_eq!(value, wanted, "{label}");
    }
}

#[tokio::test]
async fn a_wrong_bulk_form_keeps_what_was_picked() {
    let shop = Shop::open().await;
    let games = games(&shop, 2).await;
    let staff = shop.staff("MANAGER").await;
    let form = format!(
        "as_of=2026-01-01T00:00:00Z&q=&which=picked&game={}.1&kind=PRICE_PERCENT&amount=lots",
        games[0]
    );
    let answer = staff.post("/admin/catalogue/bulk", &form).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = answer.text();
    assert!(
        text.contains(&format!("{}.1", games[0])) && text.contains("value=\"lots\""),
        "{text}"
    );
    for amount in ["0", "-100", "1.234", "1e9", ""] {
        let form = form.replace("lots", amount);
        let answer = staff.post("/admin/catalogue/bulk", &form).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{amount}");
    }
    let nothing = staff
        .post(
            "/admin/catalogue/bulk",
            "as_of=2026-01-01T00:00:00Z&q=&which=picked&kind=HIDE",
        )
        .await;
    assert!(
        nothing.text().contains("Select at least one game"),
        "{}",
        nothing.text()
    );
    assert_eq!(shop.value("select count(*)::text from bulk_changes").await, "0");
}

#[tokio::test]
async fn rules_are_previewed_over_the_catalogue_and_a_conflict_shows_both() {
    let shop = Shop::open().await;
    games(&shop, 4).await;
    let staff = shop.staff("MANAGER").await;
    let page = staff.page("/admin/prices/rule").await;
    let other = staff.page("/admin/prices/set").await;
    let shown = staff
        .submit(&page, "name=Everything&markup=50&margin=0&margin_percent=0")
        .await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text());
    let text = unescaped(shown.text());
    assert!(
        text.contains("Save, and change 4 prices") && text.contains("€13.50"),
        "{text}"
    );
    assert_eq!(shop.value("select version::text from price_policy").await, "0");
    let saved = staff.submit(shown.text(), "").await;
    let page = staff.follow(&saved).await;
    assert!(page.contains("Everything") && page.contains("50 %"), "{page}");

    let stale = staff
        .submit(&other, "margin=1.50&margin_percent=0&rounding=UP&cents=99")
        .await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    let text = unescaped(stale.text());
    assert!(text.contains("Stored now") && text.contains("value=\"1.50\""), "{text}");
    let shown = staff
        .submit(stale.text(), "margin=1.50&margin_percent=0&rounding=UP&cents=99")
        .await;
    let saved = staff.submit(shown.text(), "").await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    let policy = "select version || ' ' || min_margin || ' ' || ending from price_policy";
    assert_eq!(shop.value(policy).await, "2 1.50 99");
    // The rule stays until it is removed.
    let page = staff.page("/admin/prices/rule?at=0").await;
    let shown = staff.submit(&page, "name=Everything&remove=yes").await;
    staff.submit(shown.text(), "").await;
    assert_eq!(shop.value("select count(*)::text from price_rules").await, "0");
}

#[tokio::test]
async fn a_change_is_scheduled_and_cancelled() {
    let shop = Shop::open().await;
    let game = games(&shop, 1).await[0];
    let staff = shop.staff("MANAGER").await;
    let page = staff.page(&format!("/admin/catalogue/{game}/schedule")).await;
    let wrong = staff
        .submit(&page, "change=PRICE&price=5&starts=2020-01-01T10:00")
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let starts = shop
        .value("select to_char(now() + interval '2 days', 'YYYY-MM-DD\"T\"HH24:MI')")
        .await;
    let below = staff
        .submit(&page, &format!("change=SALE&price=5&starts={starts}"))
        .await;
    assert!(below.text().contains("below the supplier’s price"), "{}", below.text());
    let form = format!("change=SALE&price=5&starts={starts}&below_cost=yes");
    let planned = staff.submit(&page, &form).await;
    let page = staff.follow(&planned).await;
    assert!(page.contains("Waiting") && page.contains("€5.00"), "{page}");
    let all = staff.page("/admin/catalogue/schedule?state=WAITING").await;
    assert!(
        all.contains("Game 00") && all.contains(&format!("/admin/catalogue/{game}")),
        "{all}"
    );
    assert!(
        staff
            .page("/admin/catalogue/schedule?state=DONE")
            .await
            .contains("Nothing matches")
    );
    assert!(
        staff
            .page("/admin/catalogue/schedule?state=nonsense")
            .await
            .contains("Nothing matches")
    );
    let cancel = between(&page, "action=\"/admin/catalogue/schedule/", "\"");
    let done = staff.post(&format!("/admin/catalogue/schedule/{cancel}"), "").await;
    assert!(staff.follow(&done).await.contains("Cancelled"));
}

/// What a pass over the stock writes is no change of what was looked at; a price is.
#[tokio::test]
async fn games_that_only_the_stock_pass_touched_have_not_changed_since() {
    let shop = Shop::open().await;
    let picked = games(&shop, 3).await;
    let staff = shop.staff("MANAGER").await;
    let list = staff.page("/admin/catalogue").await;
    shop.db
        .execute(
            "update games set popularity = popularity + 1, in_stock = not in_stock, g2a_stock = not g2a_stock;
             update games set price = 20 where title = 'Game 02'",
        )
        .await;
    for change in [
        "which=all&kind=PRICE_SET&amount=12",
        "which=picked&kind=PRICE_SET&amount=12",
    ] {
        let shown = preview(&staff, &list, &picked, change).await;
        assert!(
            shown.contains("Prices that change: 2.") && shown.contains("Changed since you looked: 1."),
            "{change}: {shown}"
        );
    }
}

/// A preview names some games of each group; all of them are a list of their own.
#[tokio::test]
async fn every_game_of_a_preview_is_listed_page_by_page() {
    let shop = Shop::open().await;
    games(&shop, 60).await;
    let staff = shop.staff("MANAGER").await;
    let list = staff.page("/admin/catalogue").await;
    let shown = preview(&staff, &list, &[], "which=all&kind=PRICE_SET&amount=8").await;
    let bulk = shop.value("select id::text from bulk_changes").await;
    for group in ["below-cost", "changes"] {
        let address = format!("/admin/catalogue/bulk/{bulk}/games?group={group}");
        assert!(shown.contains(&format!("<a href=\"{address}\">Show all")), "{shown}");
        let all = staff.page(&format!("{address}&page=2")).await;
        assert!(all.contains("60 rows") && all.contains("Page 2 of 2"), "{group}: {all}");
        assert_eq!(titles(&all).len(), 10, "{group}");
    }
    // Who may not know what the supplier asks learns nothing from the list either.
    let support = shop.staff("SUPPORT").await;
    let below = format!("/admin/catalogue/bulk/{bulk}/games?group=below-cost");
    assert_eq!(support.get(&below).await.status, StatusCode::NOT_FOUND);
    let all = support.page(&format!("/admin/catalogue/bulk/{bulk}/games")).await;
    assert!(!all.contains("€9.00") && all.contains("€8.00"), "{all}");
}

#[tokio::test]
async fn every_entry_of_a_taxonomy_is_listed_page_by_page() {
    let shop = Shop::open().await;
    shop.db
        .execute("insert into genres (name, slug) select 'Genre ' || to_char(n, 'FM000'), 'genre-' || n from generate_series(1, 620) n")
        .await;
    let staff = shop.staff("MANAGER").await;
    let last = staff.page("/admin/catalogue/terms/genres?page=13").await;
    assert!(last.contains("620 rows") && last.contains("Page 13 of 13"), "{last}");
    assert!(last.contains("Genre 620") && !last.contains("rel=\"next\""), "{last}");
    let found = staff.page("/admin/catalogue/terms/genres?search=genre+61").await;
    assert!(found.contains("10 rows") && found.contains("Genre 619"), "{found}");
}

#[tokio::test]
async fn genres_are_made_renamed_and_deleted_unless_games_have_them() {
    let shop = Shop::open().await;
    let game = games(&shop, 1).await[0];
    let staff = shop.staff("MANAGER").await;
    let page = staff.page("/admin/catalogue/terms/genres/new").await;
    let made = staff.submit(&page, "name=Puzle&slug=&description=").await;
    let list = staff.follow(&made).await;
    assert!(list.contains("Puzle"), "{list}");
    shop.db
        .execute(&format!("insert into game_genres select '{game}', id from genres"))
        .await;
    let address = format!(
        "/admin/catalogue/terms/genres/{}",
        shop.value("select id::text from genres").await
    );
    let page = staff.page(&address).await;
    let renamed = staff.submit(&page, "name=Puzzle&slug=puzzle&description=").await;
    assert!(staff.follow(&renamed).await.contains("Puzzle"));
    let page = staff.page(&format!("{address}/delete")).await;
    let refused = staff.submit(&page, "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text());
    shop.db.execute("delete from game_genres").await;
    let deleted = staff.submit(&page, "").await;
    assert!(staff.follow(&deleted).await.contains("The entry is deleted."));
    assert_eq!(
        staff.get("/admin/catalogue/terms/colours").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn genres_are_merged_after_the_effect_is_shown_in_figures() {
    let shop = Shop::open().await;
    let games = games(&shop, 3).await;
    shop.db
        .execute(&format!(
            "insert into genres (name, slug) values ('RPG', 'rpg'), ('Role playing', 'role-playing');
             insert into game_genres select g.id, n.id from games g, genres n where n.slug = 'rpg' and g.id <> '{0}';
             insert into game_genres select '{1}', id from genres where slug = 'role-playing'",
            games[0], games[1]
        ))
        .await;
    let staff = shop.staff("MANAGER").await;
    let list = staff.page("/admin/catalogue/terms/genres").await;
    let rpg = shop.value("select id::text from genres where slug = 'rpg'").await;
    assert!(
        list.contains(&format!("/admin/catalogue/terms/genres/{rpg}/merge")),
        "{list}"
    );
    let page = staff.page(&format!("/admin/catalogue/terms/genres/{rpg}/merge")).await;
    let unknown = staff.submit(&page, "into=RPG").await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", unknown.text());
    let shown = staff.submit(&page, "into=role+playing").await;
    assert!(shown.text().contains("Merge, and change 2 games"), "{}", shown.text());
    assert_eq!(
        shop.value("select count(*)::text from genres").await,
        "2",
        "nothing yet"
    );
    let merged = staff.submit(shown.text(), "").await;
    assert!(staff.follow(&merged).await.contains("Games that changed: 2"));
    let links = "select string_agg(n.name, ',') from game_genres l join genres n on n.id = l.genre_id";
    assert_eq!(shop.value(links).await, "Role playing,Role playing");
}

#[tokio::test]
async fn a_sold_out_game_is_hidden() {
    let shop = Shop::open().await;
    let game = games(&shop, 1).await[0];
    shop.db
        .execute("update games set in_stock = false, g2a_stock = false")
        .await;
    let staff = shop.staff("MANAGER").await;
    let page = staff.page(&format!("/admin/catalogue/{game}")).await;
    let saved = staff.submit(&page, "visible=no").await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    assert_eq!(shop.value("select fields_by_hand::text from games").await, "{in_stock}");
}

#[tokio::test]
async fn staff_without_prices_change_no_prices_in_bulk_and_learn_nothing_of_the_suppliers() {
    let shop = Shop::open().await;
    let games = games(&shop, 2).await;
    let staff = shop.staff("MANAGER").await;
    let list = staff.page("/admin/catalogue").await;
    let below = preview(&staff, &list, &games, "kind=PRICE_SET&amount=7").await;
    assert!(below.contains("Also the 2 prices below"), "{below}");
    shop.db
        .execute("delete from staff_role_permissions where role = 'MANAGER' and permission like 'prices.%'")
        .await;
    let id = shop.value("select id::text from bulk_changes").await;
    let address = format!("/admin/catalogue/bulk/{id}");
    let page = staff.page(&address).await;
    assert!(
        !page.contains("below") && !page.contains("Below") && !page.contains("€9.00"),
        "{page}"
    );
    for action in ["confirm", "undo"] {
        let answer = staff.post(&format!("{address}/{action}"), "below_cost=yes").await;
        assert!(answer.text().contains("may not change prices"), "{}", answer.text());
    }
    let list = staff.page("/admin/catalogue").await;
    assert!(list.contains("HIDE") && !list.contains("PRICE_SET"), "{list}");
    let version = between(&list, "name=\"game\" value=\"", "\"");
    let form = format!("as_of=2026-01-01T00:00:00Z&q=&which=picked&game={version}&kind=PRICE_SET&amount=12");
    let refused = staff.post("/admin/catalogue/bulk", &form).await;
    assert!(refused.text().contains("may not change prices"), "{}", refused.text());
    assert_eq!(shop.value("select count(*)::text from bulk_changes").await, "1");
    // The form of a game asks them all the same, without the figure.
    let page = staff.page(&format!("/admin/catalogue/{}", games[0])).await;
    let asked = staff.submit(&page, "price=8.50").await;
    assert_eq!(asked.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", asked.text());
    assert!(!asked.text().contains("€9.00"), "{}", asked.text());
    assert_eq!(prices(&shop).await, "10.00 10.00");
}

#[tokio::test]
async fn an_undo_to_prices_below_the_suppliers_is_asked_for() {
    let shop = Shop::open().await;
    let games = games(&shop, 1).await;
    let staff = shop.staff("MANAGER").await;
    let list = staff.page("/admin/catalogue").await;
    let page = preview(&staff, &list, &games, "kind=PRICE_SET&amount=20").await;
    let done = confirm(&shop, &staff, &page, "").await;
    shop.db.execute("update games set supplier_price = 15").await;
    let undo = unescaped(between(&done, "class=\"button danger small\" href=\"", "\""));
    let undo = staff.page(&undo).await;
    assert!(unescaped(&undo).contains("below the supplier’s by now"), "{undo}");
    confirm(&shop, &staff, &undo, "below_cost=yes").await;
    assert_eq!(prices(&shop).await, "10.00");
}

#[tokio::test]
async fn a_rule_that_others_have_moved_is_found_and_one_that_is_gone_is_named() {
    let shop = Shop::open().await;
    let staff = shop.staff("MANAGER").await;
    let save = async |page: &str, form: &str| {
        let shown = staff.submit(page, form).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", shown.text());
        let saved = staff.submit(shown.text(), "").await;
        assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    };
    let rule = |name: &str, markup: u32| format!("name={name}&markup={markup}&margin=0&margin_percent=0");
    for name in ["First", "Second"] {
        let page = staff.page("/admin/prices/rule").await;
        save(&page, &rule(name, 10)).await;
    }
    let seen = staff.page("/admin/prices/rule?at=1").await;
    assert!(seen.contains("Second"), "{seen}");
    let first = staff.page("/admin/prices/rule?at=0").await;
    save(&first, "name=First&remove=yes").await;
    let stale = staff.submit(&seen, &rule("Second", 20)).await;
    assert_eq!(stale.status, StatusCode::CONFLICT, "{}", stale.text());
    save(stale.text(), &rule("Second", 20)).await;
    let rules = "select string_agg(name || ' ' || markup_percent::integer, ', ') from price_rules";
    assert_eq!(shop.value(rules).await, "Second 20");

    let seen = staff.page("/admin/prices/rule?at=0").await;
    save(&seen, "name=Second&remove=yes").await;
    let gone = staff.submit(&seen, &rule("Second", 30)).await;
    assert_eq!(gone.status, StatusCode::CONFLICT);
    assert!(gone.text().contains("removed or renamed"), "{}", gone.text());
    assert!(gone.text().contains("value=\"30\""), "{}", gone.text());

    let page = staff.page("/admin/prices/rule").await;
    let wrong = staff
        .submit(&page, &format!("{}&genre=puzzles", rule("Third", 5)))
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.text());
}

#[tokio::test]
async fn what_two_change_of_a_genre_is_merged_unless_it_is_the_same_field() {
    let shop = Shop::open().await;
    shop.db
        .execute("insert into genres (name, slug) values ('Puzle', 'puzle')")
        .await;
    let staff = shop.staff("MANAGER").await;
    let id = shop.value("select id::text from genres").await;
    let seen = staff.page(&format!("/admin/catalogue/terms/genres/{id}")).await;
    let other = staff.submit(&seen, "name=Puzle&slug=puzzle&description=").await;
    assert_eq!(other.status, StatusCode::SEE_OTHER, "{}", other.text());
    let stored = "select name || ' ' || slug || ' ' || coalesce(description, '') from genres";
    let both = staff.submit(&seen, "name=Puzle&slug=puzzles&description=").await;
    assert_eq!(both.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", both.text());
    assert_eq!(shop.value(stored).await, "Puzle puzzle ");
    let merged = staff.submit(&seen, "name=Puzzle&slug=puzle&description=Think").await;
    assert_eq!(merged.status, StatusCode::SEE_OTHER, "{}", merged.text());
    assert_eq!(shop.value(stored).await, "Puzzle puzzle Think");
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(width, height)
        .write_to(&mut out, image::ImageFormat::Png)
        .unwrap();
    out.into_inner()
}

/// The hidden ids of the pictures on a game's page, in their order.
fn pictures(page: &str) -> Vec<String> {
    let parts = page.split("name=\"picture\" value=\"").skip(1);
    parts.map(|part| part.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pictures_are_uploaded_and_arranged_with_forms_alone() {
    let shop = Shop::open().await;
    let game = shop.db.game("Portal", "portal", "10.00").await;
    shop.db
        .execute("update games set image = '/api/covers/portal.svg', images = '{}'")
        .await;
    shop.db.at_g2a(game, "p1").await;
    let staff = shop.staff("MANAGER").await;
    let own = format!("/admin/catalogue/{game}");
    assert!(staff.page(&own).await.contains("The game has no pictures"));
    let add = format!("{own}/pictures/add");
    for alt in ["A door", "A cube", ""] {
        let sent = staff.upload(&add, &png(400, 300), alt).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text());
        assert_eq!(
            sent.header("location"),
            Some(format!("{own}?done=picture_added#pictures").as_str())
        );
    }
    let page = staff.page(&own).await;
    let ids = pictures(&page);
    assert_eq!((ids.len(), page.matches(">Cover<").count()), (3, 1));
    // The browser shows them by this site's own picture proxy.
    let src = between(&page, "<img src=\"/images/", "\"");
    let picture = staff.get(&unescaped(&format!("/images/{src}"))).await;
    assert_eq!(
        (picture.status, picture.header("content-type")),
        (StatusCode::OK, Some("image/webp"))
    );

    // A wrong upload keeps its text; a wrong text keeps everything.
    let wrong = staff.upload(&add, b"nonsense", "Kept").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong.text().contains("id=\"image-error\"") && wrong.text().contains("value=\"Kept\""),
        "{}",
        wrong.text()
    );
    let form = |places: [&str; 3], alt: &str, more: &str| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for ((id, place), text) in ids.iter().zip(places).zip([alt, "A cube", ""]) {
            form.append_pair("picture", id);
            form.append_pair(&format!("place_{id}"), place);
            form.append_pair(&format!("alt_{id}"), text);
        }
        format!("{}{more}", form.finish())
    };
    let save = format!("{own}/pictures");
    let long = staff.post(&save, &form(["3", "1", "2"], &"x".repeat(301), "")).await;
    assert_eq!(long.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(long.text().contains(&"x".repeat(301)) && long.text().contains("role=\"alert\""));

    let saved = staff.post(&save, &form(["3", "1", "2"], "The door", "")).await;
    let page = staff.follow(&saved).await;
    assert_eq!(pictures(&page), [ids[1].as_str(), &ids[2], &ids[0]]);
    assert!(
        page.contains("The pictures are saved.") && page.contains("value=\"The door\""),
        "{page}"
    );
    let locks = "select array_to_string(fields_by_hand, ' ') from games";
    assert_eq!(shop.value(locks).await, "image images");

    // Saving the other fields leaves the lock of the pictures alone.
    let fields = staff.submit(&page, "title=Portal+Two&lock=imageUrl").await;
    assert_eq!(fields.status, StatusCode::SEE_OTHER, "{}", fields.text());
    assert_eq!(shop.value(locks).await, "title image images");

    // Somebody else adds one meanwhile: nothing is saved, and what was entered stays.
    staff.upload(&add, &png(8, 8), "New").await;
    let stale = staff
        .post(&save, &form(["1", "2", "3"], "Mine", &format!("&delete={}", ids[1])))
        .await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text().contains("Somebody changed the pictures") && stale.text().contains("value=\"Mine\""));
    assert_eq!(shop.value("select count(*)::text from game_pictures").await, "4");

    // Deleted and given back.
    let all = pictures(&staff.page(&own).await);
    let mut form = form_urlencoded::Serializer::new(String::new());
    for id in &all {
        form.append_pair("picture", id);
    }
    for id in &all[1..] {
        form.append_pair("delete", id);
    }
    form.append_pair(&format!("alt_{}", all[0]), "Last")
        .append_pair("unlock", "yes");
    let saved = staff.post(&save, &form.finish()).await;
    assert_eq!(pictures(&staff.follow(&saved).await).len(), 1);
    assert_eq!(
        shop.value("select string_agg(alt, ' ') from game_pictures").await,
        "Last"
    );
    assert_eq!(shop.value(locks).await, "title");

    // Who may only read sees them without forms.
    let reader = shop.staff("ANALYST").await;
    let page = reader.page(&own).await;
    assert!(
        page.contains("alt=\"Last\"") && !page.contains("pictures/add"),
        "{page}"
    );
    assert_eq!(reader.upload(&add, &png(8, 8), "").await.status, StatusCode::NOT_FOUND);
}
