//! The pictures of a game: uploaded, put in order, described and deleted by staff.
//!
//! The catalogue has their addresses (`games.image`, `games.images`). `game_pictures` has what is stored here of some of
//! them, and forgets an address that the catalogue no longer has. Of a game that G2A supplies, what staff change is theirs
//! from then on, as every field is (`game_edits`).

use std::collections::BTreeSet;
use std::sync::Arc;

use lockstep_domain::GameId;
use lockstep_domain::admin::{GameField, GamePicture, MAX_GAME_PICTURES, PlacedPicture};
use lockstep_domain::catalogue::picture_path;
use lockstep_domain::ids::UserId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::game_merge::{cover, locks_of};
use crate::audit::{self, By};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// There is no such game.
    #[error("Game not found")]
    NoSuchGame,
    /// The game has no such picture.
    #[error("Picture not found")]
    NotFound,
    /// The game has as many as it may.
    #[error("A game has at most {MAX_GAME_PICTURES} pictures. Delete one first.")]
    TooMany,
    /// The game has other pictures by now: these.
    #[error("The pictures were changed meanwhile. Look at them again.")]
    Outdated(Vec<GamePicture>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(PictureError);

/// The pictures of a game in their order, without a generated cover; `None` if there is no such game.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx, game: GameId) -> Result<Option<Vec<GamePicture>>> {
    let rows = sqlx::query!(
        r#"-- store.admin.game_pictures.list
        select a.address as "address!", md5(a.address)::uuid as "id!", a.place as "place!",
               coalesce(p.alt, '') as "alt!", p.id is not null as "is_uploaded!", g.slug
          from games g cross join unnest(array[g.image] || g.images) with ordinality a (address, place)
          left join game_pictures p on p.game_id = g.id and p.address = a.address
         where g.id = $1 order by a.place"#,
        game.0
    )
    .fetch_all(tx.conn())
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut seen = BTreeSet::new();
    let pictures = rows
        .into_iter()
        .filter(|row| row.address != cover(&row.slug))
        .filter_map(|row| {
            seen.insert(row.address.clone()).then_some(GamePicture {
                id: row.id,
                url: row.address,
                alt: row.alt,
                is_cover: row.place == 1,
                is_uploaded: row.is_uploaded,
                place: usize::try_from(row.place - 1).unwrap_or_default(),
            })
        });
    Ok(Some(pictures.collect()))
}

/// A picture to add: WebP of at most 1 MiB.
#[derive(Debug, Clone)]
pub struct NewPicture {
    /// The id in its address, which has to be new.
    pub id: Uuid,
    /// The file.
    pub image: Arc<[u8]>,
    /// Alternative text; empty for none.
    pub alt: String,
}

/// Adds a picture at the end, on behalf of `admin`. It is the cover of a game that has no other picture.
///
/// # Errors
/// [`PictureError`]; then nothing has changed.
pub async fn add(store: &Store, admin: UserId, game: GameId, new: &NewPicture) -> Result<GamePicture, PictureError> {
    let new = new.clone();
    store
        .tx_about("admin.game_pictures.add", &[game.into()], move |tx| {
            let new = new.clone();
            Box::pin(async move { add_once(tx, admin, game, &new).await })
        })
        .await
}

async fn add_once(tx: &mut Tx, admin: UserId, game: GameId, new: &NewPicture) -> Result<GamePicture, PictureError> {
    let current = lock(tx, game).await?;
    if current.pictures.len() >= MAX_GAME_PICTURES {
        return Err(PictureError::TooMany);
    }
    let address = picture_path(new.id);
    sqlx::query!(
        "-- store.admin.game_pictures.add
        insert into game_pictures (game_id, address, alt, id, image) values ($1, $2, $3, $4, $5)",
        game.0,
        address,
        new.alt,
        new.id,
        &*new.image
    )
    .execute(tx.conn())
    .await?;
    let addresses = current.pictures.iter().map(|picture| picture.url.clone());
    let wanted: Vec<String> = addresses.chain([address.clone()]).collect();
    write(tx, admin, game, &current, &wanted, false, json!({ "added": address })).await?;
    let all = list(tx, game).await?.ok_or(PictureError::NoSuchGame)?;
    all.into_iter()
        .find(|picture| picture.url == address)
        .ok_or(PictureError::NotFound)
}

/// Sets the order and the alternative texts of a game's pictures, on behalf of `admin`; those of `shown` that `wanted` leaves
/// out are deleted. With `unlock` G2A's pictures come back with the next synchronisation.
///
/// # Errors
/// [`PictureError::Outdated`] when the game has other pictures than `shown`, [`PictureError::NotFound`] when `wanted` has
/// others, [`PictureError::NoSuchGame`], [`PictureError::Store`]; then nothing has changed.
pub async fn arrange(
    store: &Store,
    admin: UserId,
    game: GameId,
    shown: &[Uuid],
    wanted: &[PlacedPicture],
    unlock: bool,
) -> Result<Vec<GamePicture>, PictureError> {
    let (shown, wanted): (BTreeSet<Uuid>, _) = (shown.iter().copied().collect(), wanted.to_vec());
    store
        .tx_about("admin.game_pictures.arrange", &[game.into()], move |tx| {
            let (shown, wanted) = (shown.clone(), wanted.clone());
            Box::pin(async move {
                let current = lock(tx, game).await?;
                let known: BTreeSet<Uuid> = current.pictures.iter().map(|picture| picture.id).collect();
                if known != shown {
                    return Err(PictureError::Outdated(current.pictures));
                }
                place(tx, admin, game, &current, &wanted, unlock).await
            })
        })
        .await
}

/// Sets the alternative text of a picture, on behalf of `admin`.
///
/// # Errors
/// [`PictureError`]; then nothing has changed.
pub async fn describe(
    store: &Store,
    admin: UserId,
    game: GameId,
    picture: Uuid,
    alt: &str,
) -> Result<GamePicture, PictureError> {
    let alt = alt.to_owned();
    store
        .tx_about("admin.game_pictures.describe", &[game.into()], move |tx| {
            let alt = alt.clone();
            Box::pin(async move {
                let current = lock(tx, game).await?;
                let wanted = current.pictures.iter().map(|known| PlacedPicture {
                    id: known.id,
                    alt: (known.id == picture).then(|| alt.clone()),
                });
                let wanted: Vec<_> = wanted.collect();
                let all = place(tx, admin, game, &current, &wanted, false).await?;
                all.into_iter()
                    .find(|known| known.id == picture)
                    .ok_or(PictureError::NotFound)
            })
        })
        .await
}

/// Deletes a picture, on behalf of `admin`.
///
/// # Errors
/// [`PictureError`]; then nothing has changed.
pub async fn delete(store: &Store, admin: UserId, game: GameId, picture: Uuid) -> Result<(), PictureError> {
    store
        .tx_about("admin.game_pictures.delete", &[game.into()], move |tx| {
            Box::pin(async move {
                let current = lock(tx, game).await?;
                let others = current.pictures.iter().filter(|known| known.id != picture);
                let wanted: Vec<_> = others
                    .map(|known| PlacedPicture {
                        id: known.id,
                        alt: None,
                    })
                    .collect();
                if wanted.len() == current.pictures.len() {
                    return Err(PictureError::NotFound);
                }
                place(tx, admin, game, &current, &wanted, false).await?;
                Ok(())
            })
        })
        .await
}

/// The game's row, locked, and its pictures.
struct Current {
    slug: String,
    image: String,
    images: Vec<String>,
    is_supplied: bool,
    locks: BTreeSet<GameField>,
    pictures: Vec<GamePicture>,
}

async fn lock(tx: &mut Tx, game: GameId) -> Result<Current, PictureError> {
    let row = sqlx::query!(
        "-- store.admin.game_pictures.lock
        select slug, image, images, g2a_product_id, fields_by_hand from games where id = $1 for update",
        game.0
    )
    .fetch_optional(tx.conn())
    .await?;
    let row = row.ok_or(PictureError::NoSuchGame)?;
    Ok(Current {
        slug: row.slug,
        image: row.image,
        images: row.images,
        is_supplied: row.g2a_product_id.is_some(),
        locks: locks_of(&row.fields_by_hand),
        pictures: list(tx, game).await?.unwrap_or_default(),
    })
}

async fn place(
    tx: &mut Tx,
    admin: UserId,
    game: GameId,
    current: &Current,
    wanted: &[PlacedPicture],
    unlock: bool,
) -> Result<Vec<GamePicture>, PictureError> {
    let mut addresses = Vec::with_capacity(wanted.len());
    let mut described = Vec::new();
    for placed in wanted {
        let known = current.pictures.iter().find(|known| known.id == placed.id);
        let known = known.ok_or(PictureError::NotFound)?;
        if addresses.contains(&known.url) {
            return Err(PictureError::NotFound);
        }
        addresses.push(known.url.clone());
        if let Some(alt) = placed.alt.as_ref().filter(|alt| **alt != known.alt) {
            describe_one(tx, game, &known.url, alt).await?;
            described.push(known.url.clone());
        }
    }
    let removed = current.pictures.iter().filter(|known| !addresses.contains(&known.url));
    let removed: Vec<&str> = removed.map(|known| known.url.as_str()).collect();
    let details = json!({ "order": addresses, "removed": removed, "described": described });
    let is_same = current.pictures.iter().map(|known| &known.url).eq(addresses.iter());
    if !is_same || !described.is_empty() || unlock {
        write(tx, admin, game, current, &addresses, unlock, details).await?;
    }
    Ok(list(tx, game).await?.unwrap_or_default())
}

/// Stores an alternative text, or that there is none.
async fn describe_one(tx: &mut Tx, game: GameId, address: &str, alt: &str) -> Result<()> {
    sqlx::query!(
        "-- store.admin.game_pictures.describe
        insert into game_pictures as p (game_id, address, alt) select $1, $2, $3 where $3 <> ''
        on conflict (game_id, address) do update set alt = excluded.alt",
        game.0,
        address,
        alt
    )
    .execute(tx.conn())
    .await?;
    if alt.is_empty() {
        sqlx::query!(
            "-- store.admin.game_pictures.say_nothing
            with nothing_else as (delete from game_pictures where game_id = $1 and address = $2 and id is null)
            update game_pictures set alt = '' where game_id = $1 and address = $2 and id is not null",
            game.0,
            address
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// Gives the game these pictures, the first as its cover. What the catalogue no longer has is deleted by it
/// (`games_forget_pictures`).
async fn write(
    tx: &mut Tx,
    admin: UserId,
    game: GameId,
    current: &Current,
    addresses: &[String],
    unlock: bool,
    details: Value,
) -> Result<(), PictureError> {
    let (image, images) = match addresses.split_first() {
        Some((image, images)) => (image.clone(), images.to_vec()),
        None => (cover(&current.slug), Vec::new()),
    };
    // Where only the cover is generated, the gallery stays one until there is something else to change.
    let is_same = current.pictures.iter().map(|known| &known.url).eq(addresses.iter());
    let (image, images) = if is_same {
        (current.image.clone(), current.images.clone())
    } else {
        (image, images)
    };
    let mut locks = current.locks.clone();
    if current.is_supplied {
        if image != current.image {
            locks.insert(GameField::Image);
        }
        if images != current.images {
            locks.insert(GameField::Images);
        }
    }
    if unlock {
        locks.remove(&GameField::Image);
        locks.remove(&GameField::Images);
    }
    let locks: Vec<String> = locks.into_iter().map(|field| field.column().to_owned()).collect();
    sqlx::query!(
        "-- store.admin.game_pictures.write
        update games set image = $2, images = $3, fields_by_hand = $4
         where id = $1 and (image, images, fields_by_hand) is distinct from ($2, $3, $4)",
        game.0,
        image,
        &images,
        &locks
    )
    .execute(tx.conn())
    .await?;
    audit::record(tx, &By::Staff(admin), "game.pictures", ("game", game.0), details).await?;
    Ok(())
}
