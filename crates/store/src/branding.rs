//! The shop's looks: as its pages show them, and as staff change them.

use std::sync::Arc;

use lockstep_domain::account::FieldError;
use lockstep_domain::branding::{Branding, BrandingForm, Color, Logo, Look, Pick, PickedGame, Shelf};
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use crate::admin::changes::ChangeError;
use crate::audit::{self, By};
use crate::{Result, Store, Tx};

/// What of the looks stands on every page.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn look(tx: &mut Tx) -> Result<Look> {
    let row = sqlx::query!(
        "-- store.branding.look
        select name, accent_light, accent_dark from branding"
    )
    .fetch_optional(tx.conn())
    .await?;
    let logo = logo_in(tx).await?;
    let color = |text: Option<String>| text.and_then(|text| Color::parse(&text));
    Ok(row.map_or_else(Look::default, |row| Look {
        logo,
        name: row.name,
        accent_light: color(row.accent_light),
        accent_dark: color(row.accent_dark),
    }))
}

/// A row of [`logo_in`] and [`logo`].
struct LogoRow {
    id: Uuid,
    width: i32,
    height: i32,
    plate_light: bool,
    plate_dark: bool,
}

impl LogoRow {
    fn logo(self) -> Logo {
        Logo {
            id: self.id,
            width: self.width.unsigned_abs(),
            height: self.height.unsigned_abs(),
            plate_light: self.plate_light,
            plate_dark: self.plate_dark,
        }
    }
}

/// Reads the logo.
macro_rules! query_logo {
    () => {
        sqlx::query_as!(
            LogoRow,
            "-- store.branding.logo
            select id, width, height, plate_light, plate_dark from branding_logo"
        )
    };
}

async fn logo_in(tx: &mut Tx) -> Result<Option<Logo>> {
    let row = query_logo!().fetch_optional(tx.conn()).await?;
    Ok(row.map(LogoRow::logo))
}

/// The logo, for what is not a page.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn logo(store: &Store) -> Result<Option<Logo>> {
    let row = query_logo!().fetch_optional(store.alone()).await?;
    Ok(row.map(LogoRow::logo))
}

/// The picture of the logo with this id, PNG; `None` if there is none (any more).
///
/// # Errors
/// [`crate::StoreError`].
pub async fn logo_image(store: &Store, id: Uuid) -> Result<Option<Vec<u8>>> {
    Ok(sqlx::query_scalar!(
        "-- store.branding.logo_image\nselect image from branding_logo where id = $1",
        id
    )
    .fetch_optional(store.alone())
    .await?)
}

/// Sets the logo, or removes it. Recorded in the audit log.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn set_logo(store: &Store, admin: UserId, new: Option<(Logo, Arc<[u8]>)>) -> Result<()> {
    store
        .tx("branding.set_logo", move |tx| {
            let new = new.clone();
            Box::pin(async move {
                let before = logo_in(tx).await?;
                sqlx::query!("-- store.branding.remove_logo\ndelete from branding_logo")
                    .execute(tx.conn())
                    .await?;
                if let Some((logo, image)) = &new {
                    sqlx::query!(
                        "-- store.branding.set_logo
                        insert into branding_logo (id, width, height, plate_light, plate_dark, image) values ($1, $2, $3, $4, $5, $6)
                        on conflict (only_row) do update set id = excluded.id, width = excluded.width, height = excluded.height,
                            plate_light = excluded.plate_light, plate_dark = excluded.plate_dark, image = excluded.image,
                            created_at = now()",
                        logo.id,
                        i32::try_from(logo.width).unwrap_or(i32::MAX),
                        i32::try_from(logo.height).unwrap_or(i32::MAX),
                        logo.plate_light,
                        logo.plate_dark,
                        &**image
                    )
                    .execute(tx.conn())
                    .await?;
                }
                let details = json!({
                    "before": before.map(|logo| logo.id), "after": new.as_ref().map(|(logo, _)| logo.id),
                });
                let subject = ("branding", Uuid::nil());
                audit::record(tx, &By::Staff(admin), "branding.logo", subject, details).await
            })
        })
        .await
}

/// The rows of the home page in their order.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn shelves(tx: &mut Tx) -> Result<Vec<Shelf>> {
    let names = sqlx::query_scalar!("-- store.branding.shelves\nselect shelves from branding")
        .fetch_optional(tx.conn())
        .await?
        .flatten();
    Ok(names.map_or_else(Shelf::usual, |names| {
        names.iter().filter_map(|name| Shelf::of_name(name)).collect()
    }))
}

/// The name that staff have given the shop, for what is not a page.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn shop_name(store: &Store) -> Result<Option<String>> {
    let name = sqlx::query_scalar!("-- store.branding.shop_name\nselect name from branding")
        .fetch_optional(store.alone())
        .await?;
    Ok(name.flatten())
}

/// The looks as staff see them, without the settings of the program.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn branding(tx: &mut Tx) -> Result<Branding> {
    let row = sqlx::query!(
        "-- store.branding.all
        select name, accent_light, accent_dark, shelves, version from branding"
    )
    .fetch_one(tx.conn())
    .await?;
    let picked = sqlx::query_as!(
        PickedGame,
        "-- store.branding.picked
        select g.id, g.slug, g.title from picked_games p join games g on g.id = p.game_id order by p.place"
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(Branding {
        name: row.name,
        name_of_settings: None,
        accent_light: row.accent_light,
        accent_dark: row.accent_dark,
        shelves: row.shelves,
        picked,
        version: row.version,
    })
}

/// Sets the looks; `seen` is the version that the form showed. Recorded in the audit log with what was there before.
///
/// # Errors
/// [`ChangeError::Outdated`], [`ChangeError::Invalid`] for a picked game that does not exist, [`ChangeError::Store`].
pub async fn put(store: &Store, admin: UserId, form: &BrandingForm, seen: i64) -> Result<(), ChangeError> {
    let form = form.clone();
    store
        .tx("branding.put", move |tx| {
            let form = form.clone();
            Box::pin(async move {
                let before = branding(tx).await?;
                let (light, dark) = (form.look.accent_light, form.look.accent_dark);
                let shelves: Option<Vec<String>> = form
                    .shelves
                    .as_ref()
                    .map(|shelves| shelves.iter().map(|shelf| shelf.name().to_owned()).collect());
                let done = sqlx::query!(
                    "-- store.branding.put
                    update branding
                       set name = $1, accent_light = $2, accent_dark = $3, shelves = $4, version = nextval('page_versions')
                     where version = $5",
                    form.look.name,
                    light.map(|color| color.to_string()),
                    dark.map(|color| color.to_string()),
                    shelves.as_deref(),
                    seen
                )
                .execute(tx.conn())
                .await?;
                if done.rows_affected() == 0 {
                    return Err(ChangeError::Outdated("branding"));
                }
                pick(tx, &form.picked).await?;
                let after = branding(tx).await?;
                let shown = |branding: &Branding| {
                    let picked: Vec<&str> = branding.picked.iter().map(|game| game.slug.as_str()).collect();
                    json!({
                        "name": branding.name, "accentLight": branding.accent_light, "accentDark": branding.accent_dark,
                        "shelves": branding.shelves, "picked": picked,
                    })
                };
                let details = json!({ "before": shown(&before), "after": shown(&after) });
                let subject = ("branding", Uuid::nil());
                Ok(audit::record(tx, &By::Staff(admin), "branding.set", subject, details).await?)
            })
        })
        .await
}

/// Replaces the picked games.
async fn pick(tx: &mut Tx, picks: &[Pick]) -> Result<(), ChangeError> {
    sqlx::query!("-- store.branding.unpick\ndelete from picked_games")
        .execute(tx.conn())
        .await?;
    let ids: Vec<Option<Uuid>> = picks
        .iter()
        .map(|pick| match pick {
            Pick::Id(id) => Some(*id),
            Pick::Slug(_) => None,
        })
        .collect();
    let slugs: Vec<Option<String>> = picks
        .iter()
        .map(|pick| match pick {
            Pick::Id(_) => None,
            Pick::Slug(slug) => Some(slug.clone()),
        })
        .collect();
    let done = sqlx::query!(
        "-- store.branding.pick
        insert into picked_games (place, game_id)
        select min(p.place), g.id
          from unnest($1::uuid[], $2::text[]) with ordinality p (id, slug, place)
          join games g on g.id = p.id or g.slug = p.slug
         group by g.id",
        &ids as &[Option<Uuid>],
        &slugs as &[Option<String>]
    )
    .execute(tx.conn())
    .await?;
    if done.rows_affected() != u64::try_from(picks.len()).unwrap_or(u64::MAX) {
        return Err(ChangeError::Invalid(FieldError {
            path: "picked",
            code: "game_unknown",
            msg: "This field names a game that does not exist, or one twice",
        }));
    }
    Ok(())
}
