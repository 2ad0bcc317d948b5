//! The shop's looks: of several changes at once one counts, and the audit log has what was there before.

use futures::future::join_all;
use lockstep_domain::branding::{BrandingForm, Color, Look, Pick, Shelf};
use lockstep_domain::ids::UserId;
use lockstep_store::admin::changes::ChangeError;
use lockstep_store::branding;
use serde_json::{Value, json};

use crate::world::World;

async fn version(world: &World) -> i64 {
    sqlx::query_scalar("select version from branding")
        .fetch_one(&world.db.sql)
        .await
        .unwrap()
}

fn named(name: &str) -> BrandingForm {
    BrandingForm {
        look: Look {
            name: Some(name.to_owned()),
            accent_light: Some(Color::new(0x12, 0x34, 0x56)),
            accent_dark: None,
            logo: None,
        },
        shelves: Some(vec![Shelf::Picked, Shelf::Best]),
        picked: Vec::new(),
    }
}

#[tokio::test]
async fn of_many_changes_of_one_version_one_counts() {
    let world = World::new().await;
    let (staff, seen) = (UserId(world.id("user")), version(&world).await);
    let changes = (0..10).map(|number| {
        let (store, form) = (world.db.store.clone(), named(&format!("Shop {number}")));
        async move { branding::put(&store, staff, &form, seen).await }
    });
    let outcomes = join_all(changes).await;
    let (made, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 9));
    for outcome in refused {
        assert!(matches!(outcome, Err(ChangeError::Outdated(_))), "{outcome:?}");
    }
    let recorded: i64 = sqlx::query_scalar("select count(*) from audit_log where action = 'branding.set'")
        .fetch_one(&world.db.sql)
        .await
        .unwrap();
    assert_eq!(recorded, 1);
    assert!(version(&world).await > seen);
}

#[tokio::test]
async fn the_audit_log_has_the_looks_before_and_after() {
    let world = World::new().await;
    let (staff, game) = (UserId(world.id("user")), world.id("game"));
    let form = BrandingForm {
        picked: vec![Pick::Id(game)],
        ..named("Keys")
    };
    branding::put(&world.db.store, staff, &form, version(&world).await)
        .await
        .unwrap();
    let details: Value = sqlx::query_scalar("select details from audit_log where action = 'branding.set'")
        .fetch_one(&world.db.sql)
        .await
        .unwrap();
    assert_eq!(details["before"]["name"], Value::Null);
    assert_eq!(details["before"]["picked"], json!([]));
    assert_eq!(details["after"]["name"], "Keys");
    assert_eq!(details["after"]["accentLight"], "#123456");
    assert_eq!(details["after"]["shelves"], json!(["picked", "best"]));
    assert_eq!(details["after"]["picked"].as_array().unwrap().len(), 1);
    assert_eq!(
        branding::shop_name(&world.db.store).await.unwrap().as_deref(),
        Some("Keys")
    );
}

#[tokio::test]
async fn a_game_that_does_not_exist_is_refused_and_nothing_changes() {
    let world = World::new().await;
    let (staff, game, seen) = (UserId(world.id("user")), world.id("game"), version(&world).await);
    for picked in [
        vec![Pick::Slug("no-such-game".to_owned())],
        vec![Pick::Id(game), Pick::Id(game)],
    ] {
        let form = BrandingForm {
            picked,
            ..named("Keys")
        };
        let refused = branding::put(&world.db.store, staff, &form, seen).await;
        assert!(
            matches!(&refused, Err(ChangeError::Invalid(fault)) if fault.path == "picked"),
            "{refused:?}"
        );
        assert_eq!(version(&world).await, seen);
    }
    assert_eq!(branding::shop_name(&world.db.store).await.unwrap(), None);
}
