//! Saved views: own and shared, of every list; and the columns that a list shows.

use http::StatusCode;

use crate::shop::{Answered, Browser, Shop, unescaped};

/// Saves a view of the orders that are pending.
async fn save(staff: &Browser<'_>, name: &str, more: &str) -> Answered {
    let form = format!("list=orders&query=status%3DPENDING%26columns%3Dtotal&name={name}{more}");
    staff.post("/admin/views", &form).await
}

fn tabs(page: &str) -> String {
    let start = page.find("aria-label=\"Saved views\"").unwrap_or(page.len());
    let rest = &page[start..];
    unescaped(&rest[..rest.find("</nav>").unwrap_or(rest.len())])
}

#[tokio::test]
async fn a_view_keeps_filters_and_columns_and_is_ones_own() {
    let shop = Shop::open().await;
    let (order, manager) = (shop.delivered().await, shop.staff("MANAGER").await);
    let page = manager
        .page("/admin/orders?status=PENDING&columns=total&page=1&done=saved")
        .await;
    // What is saved is the query without the page and the message.
    assert!(
        unescaped(&page).contains("name=\"query\" value=\"status=PENDING&columns=total\""),
        "{page}"
    );
    let saved = save(&manager, "Open+ones", "").await;
    let page = manager.follow(&saved).await;
    assert!(page.contains("The view is saved."), "{page}");
    assert!(
        page.contains(&order.id.to_string()) && page.contains("Status: Pending"),
        "{page}"
    );
    // The customer's address names the row, and stays; the column of placing times is left out.
    assert!(
        page.contains(">Total</th>") && page.contains(">Customer</th>") && !page.contains(">Placed</th>"),
        "{page}"
    );
    let id = shop.value("select id::text from saved_views").await;
    let address =
        format!("href=\"/admin/orders?status=PENDING&columns=total&view={id}\" aria-current=\"page\">Open ones");
    assert!(tabs(&page).contains(&address), "{}", tabs(&page));
    // Another filter is another view until it is saved.
    let narrowed = manager.page(&format!("/admin/orders?status=CANCELLED&view={id}")).await;
    assert!(narrowed.contains("Save changes to “Open ones”"), "{narrowed}");
    let changed = manager
        .post(&format!("/admin/views/{id}"), "name=Open+ones&query=status%3DCANCELLED")
        .await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER);
    let list = manager.page("/admin/orders").await;
    assert!(tabs(&list).contains("status=CANCELLED&view="), "{}", tabs(&list));
    // Nobody else sees it, by whatever way.
    let support = shop.staff("SUPPORT").await;
    assert!(!support.page("/admin/orders").await.contains("Open ones"));
    assert_eq!(
        support.get(&format!("/admin/views/{id}")).await.status,
        StatusCode::NOT_FOUND
    );
    let taken = support.post(&format!("/admin/views/{id}/delete"), "").await;
    assert_eq!(taken.status, StatusCode::NOT_FOUND);
    let renamed = manager.page(&format!("/admin/views/{id}")).await;
    let renamed = manager.submit(&renamed, "name=Gone+wrong").await;
    assert!(tabs(&manager.follow(&renamed).await).contains("Gone wrong"));
    let page = manager.page(&format!("/admin/views/{id}/delete")).await;
    let deleted = manager.submit(&page, "").await;
    assert!(manager.follow(&deleted).await.contains("The view is deleted."));
    assert_eq!(shop.value("select count(*)::text from saved_views").await, "0");
    // What is only one's own is in no audit log.
    assert_eq!(shop.value("select count(*)::text from audit_log").await, "0");
}

#[tokio::test]
async fn a_shared_view_is_seen_by_whoever_opens_the_list_and_recorded() {
    let shop = Shop::open().await;
    let (manager, analyst) = (shop.staff("MANAGER").await, shop.staff("ANALYST").await);
    let form = "list=catalogue&query=stock%3Din&name=In+stock&shared=yes";
    // An analyst reads the catalogue and cannot change it: their view stays their own.
    assert!(!analyst.page("/admin/catalogue").await.contains("Share with everybody"));
    let own = analyst.post("/admin/views", form).await;
    assert_eq!(own.status, StatusCode::SEE_OTHER);
    assert_eq!(shop.value("select shared::text from saved_views").await, "false");
    assert_eq!(tabs(&manager.page("/admin/catalogue").await), "");
    let shared = manager.post("/admin/views", form).await;
    assert_eq!(shared.status, StatusCode::SEE_OTHER);
    let id = shop.value("select id::text from saved_views where shared").await;
    let page = analyst.page("/admin/catalogue").await;
    assert!(tabs(&page).contains(&format!("stock=in&view={id}")), "{}", tabs(&page));
    // Who may not change the list does not change it for others either.
    let refused = analyst
        .post(&format!("/admin/views/{id}"), "name=Mine&query=stock%3Dout")
        .await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    // Who may not open the list has no view of it.
    let audit = "list=audit&query=&name=Mine";
    assert_eq!(
        shop.staff("CONTENT").await.post("/admin/views", audit).await.status,
        StatusCode::NOT_FOUND
    );
    let owner = shop.staff("OWNER").await;
    let changed = owner
        .post(
            &format!("/admin/views/{id}"),
            "name=Sold+out&query=stock%3Dout&shared=yes",
        )
        .await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER);
    let deleted = owner.post(&format!("/admin/views/{id}/delete"), "").await;
    assert_eq!(deleted.status, StatusCode::SEE_OTHER);
    let actions = "select string_agg(action, ' ' order by at) from audit_log where subject_kind = 'view'";
    assert_eq!(shop.value(actions).await, "view.share view.change view.delete");
}

/// A filter or a column can disappear with a version, a choice with the thing that it names.
#[tokio::test]
async fn a_view_whose_filter_no_longer_exists_says_so_and_shows_the_rest() {
    let shop = Shop::open().await;
    let staff = shop.staff("MANAGER").await;
    let game = shop.db.game("Portal", "portal", "10.00").await;
    shop.db
        .execute("insert into genres (name, slug) values ('Puzzle', 'puzzle')")
        .await;
    let genre = shop.value("select id::text from genres").await;
    let query = format!("colour%3Dred%26genre%3D{genre}%26source%3Down%26columns%3Dprice%26columns%3Dweight");
    let saved = staff
        .post("/admin/views", &format!("list=catalogue&name=Puzzles&query={query}"))
        .await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER);
    shop.db.execute("delete from genres").await;
    let list = staff.page("/admin/catalogue").await;
    let tabs = tabs(&list);
    let id = shop.value("select id::text from saved_views").await;
    let rest = format!("/admin/catalogue?source=own&columns=price&view={id}");
    assert!(tabs.contains(&format!("href=\"{rest}\"")), "{tabs}");
    let page = staff.page(&rest).await;
    assert!(page.contains("no longer exist: colour, Genre, weight"), "{page}");
    assert!(page.contains(&game.to_string()), "{page}");
    assert!(!page.contains("Save changes to"), "{page}");
    // An old address leads there as well.
    let old = staff
        .page(&format!(
            "/admin/catalogue?colour=red&genre={genre}&source=own&columns=price&columns=weight&view={id}"
        ))
        .await;
    assert!(
        unescaped(&old).contains(&format!("<a href=\"{rest}\">Show the rest</a>")),
        "{old}"
    );
}

#[tokio::test]
async fn wrong_views_are_refused_with_what_was_entered() {
    let shop = Shop::open().await;
    let staff = shop.staff("MANAGER").await;
    assert_eq!(save(&staff, "Once", "").await.status, StatusCode::SEE_OTHER);
    for (name, error) in [
        ("", "Enter a name for the view."),
        ("Once", "You have a view with this name."),
        (&"n".repeat(61), "at most 60 characters"),
    ] {
        let wrong = save(&staff, name, "").await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(wrong.text().contains(error), "{name}: {}", wrong.text());
        assert!(
            unescaped(wrong.text()).contains("value=\"status=PENDING&columns=total\""),
            "{name}"
        );
    }
    // The form that was refused can be corrected.
    let wrong = save(&staff, "Once", "").await;
    let saved = staff.submit(wrong.text(), "name=Twice").await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    for list in ["", "orders/", "../account", "no-such-list", "orders/{id}"] {
        let form = format!("list={list}&query=&name=x");
        assert_eq!(
            staff.post("/admin/views", &form).await.status,
            StatusCode::NOT_FOUND,
            "{list}"
        );
    }
}

#[tokio::test]
async fn of_many_requests_at_once_one_takes_a_name_and_none_exceeds_the_limit() {
    let shop = Shop::open().await;
    let staff = shop.staff("MANAGER").await;
    let same = (0..12).map(|_| save(&staff, "Same", ""));
    let answers = futures::future::join_all(same).await;
    let saved = answers.iter().filter(|answer| answer.status == StatusCode::SEE_OTHER);
    assert_eq!(saved.count(), 1);
    shop.db
        .execute(
            "insert into saved_views (id, user_id, list, name, query)
             select gen_random_uuid(), id, 'keys', 'View ' || n, '' from users, generate_series(1, 95) n",
        )
        .await;
    let names: Vec<String> = (0..10).map(|n| format!("New+{n}")).collect();
    let answers = futures::future::join_all(names.iter().map(|name| save(&staff, name, ""))).await;
    let saved = answers.iter().filter(|answer| answer.status == StatusCode::SEE_OTHER);
    assert_eq!(saved.count(), 4);
    assert_eq!(shop.value("select count(*)::text from saved_views").await, "100");
    let full = save(&staff, "One+more", "").await;
    assert!(full.text().contains("You have 100 views."), "{}", full.text());
}

#[tokio::test]
async fn columns_are_chosen_in_the_address_and_kept_by_filters_and_pages() {
    let shop = Shop::open().await;
    let staff = shop.staff("SUPPORT").await;
    shop.db
        .execute("insert into users (email, password_hash) select 'u' || n || '@example.net', '$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234' from generate_series(1, 60) n")
        .await;
    let page = unescaped(
        &staff
            .page("/admin/customers?query=example.net&columns=balance&columns=role")
            .await,
    );
    for shown in [">E-mail", ">Balance</th>", ">Role</th>"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains(">Nickname</th>"), "{page}");
    for kept in [
        "href=\"/admin/customers?query=example.net&columns=balance&columns=role&page=2\"",
        "class=\"chip\" href=\"/admin/customers?columns=balance&columns=role\"",
        "<input type=\"hidden\" name=\"columns\" value=\"role\">",
        "href=\"/admin/customers?query=example.net\">All columns",
        "name=\"columns\" value=\"nickname\">",
        "name=\"columns\" value=\"role\" checked>",
    ] {
        assert!(page.contains(kept), "{kept}: {page}");
    }
    // What is no column is no choice.
    let page = staff.page("/admin/customers?columns=nonsense").await;
    assert!(page.contains(">Nickname</th>"), "{page}");
}
