//! Games made, changed and deleted by staff.
//!
//! Each field of a game that G2A supplies has a source. What staff change becomes theirs (`games.fields_by_hand`) and no
//! synchronisation writes it (`sync::kept`); a form that is saved as a whole makes only those fields theirs whose value
//! it changes. A game's row is locked first, so that two editors, or an editor and a synchronisation, take turns.

use lockstep_domain::admin::{GameCreated, GameDetail, GameField, GameForm, GameUpdated};
use lockstep_domain::ids::{SessionId, UserId};
use lockstep_domain::price::ListPrice;
use lockstep_domain::slug::slug_of_name;
use lockstep_domain::{GameId, Money};
use serde_json::json;
use uuid::Uuid;

use super::changes::ChangeError;
use super::game_merge::{Current, Edited, cover, locks_of, midnight};
use crate::audit::{self, By};
use crate::price_rules::{self, PriceReason};
use crate::row::money_of;
use crate::sync::taxonomy::{self, TAXONOMIES, Term};
use crate::{Result, Store, Tx};

/// Makes a game of the shop's own, on behalf of `admin`. It is in stock while an unsold key of it is stored.
///
/// # Errors
/// [`ChangeError::SlugTaken`], [`ChangeError::Store`].
pub async fn create(store: &Store, admin: UserId, form: &GameForm) -> Result<GameCreated, ChangeError> {
    let form = form.clone();
    let made = store.tx("admin.games.create", move |tx| {
        let form = form.clone();
        Box::pin(async move { insert(tx, admin, &form).await })
    });
    made.await.map_err(|error: ChangeError| error.of("game"))
}

async fn insert(tx: &mut Tx, admin: UserId, form: &GameForm) -> Result<GameCreated, ChangeError> {
    let id = Uuid::now_v7();
    let (slug, title) = (form.slug_of_new(), form.title.clone().unwrap_or_default());
    let list = ListPrice::of(form.price.unwrap_or_default(), form.original_price);
    let some = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    let created_at = sqlx::query_scalar!(
        "-- store.admin.games.create
        insert into games (id, title, slug, description, price, original_price, discount, image, publisher, developer,
                           release_date, release_date_known, is_preorder)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, now()), $11 is not null, $12)
        returning created_at",
        id,
        title,
        slug,
        form.cleaned().unwrap_or_default(),
        list.price.decimal(),
        list.original_price.map(Money::decimal),
        list.discount,
        some(form.image.as_ref()).unwrap_or_else(|| cover(&slug)),
        some(form.publisher.as_ref()),
        some(form.developer.as_ref()),
        form.release_date.map(midnight),
        form.is_preorder.unwrap_or_default()
    )
    .fetch_one(tx.conn())
    .await?;
    let one = |name: Option<&String>| some(name).into_iter().collect();
    let lists = [
        form.categories.clone().unwrap_or_default(),
        form.genres.clone().unwrap_or_else(|| one(form.genre.as_ref())),
        form.platforms.clone().unwrap_or_else(|| one(form.platform.as_ref())),
        form.tags.clone().unwrap_or_default(),
    ];
    for (taxonomy, names) in TAXONOMIES.iter().zip(lists) {
        if !names.is_empty() {
            set(tx, taxonomy, id, &names).await?;
        }
    }
    let details = json!({ "title": title, "slug": slug, "price": list.price });
    audit::record(tx, &By::Staff(admin), "game.create", ("game", id), details).await?;
    Ok(GameCreated {
        id,
        title,
        slug,
        price: list.price,
        created_at,
    })
}

/// A change of a game.
#[derive(Debug)]
pub struct Changed {
    /// What was written.
    pub game: GameUpdated,
    /// G2A's id of a game that staff no longer hold back: only G2A knows its stock.
    pub given_back: Option<String>,
}

/// Changes a game, on behalf of `admin`. A former slug keeps leading to the game. With a `version`
/// ([`Sheet::version`](super::catalogue::Sheet::version)) only while the game is in it; without one, what the form repeats
/// of what the session was shown stays as it is by now.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::Outdated`] in another version, [`ChangeError::SlugTaken`], [`ChangeError::Invalid`] when the price before the reduction
/// is not above the price, [`ChangeError::Store`].
pub async fn update(
    store: &Store,
    admin: UserId,
    session: SessionId,
    id: GameId,
    version: Option<&str>,
    form: &GameForm,
) -> Result<Changed, ChangeError> {
    let (form, version) = (form.clone(), version.map(str::to_owned));
    let about = [id.into()];
    let changed = store.tx_about("admin.games.update", &about, move |tx| {
        let (form, version) = (form.clone(), version.clone());
        Box::pin(async move { change(tx, admin, session, id.0, version, form).await })
    });
    changed.await.map_err(|error: ChangeError| error.of("game"))
}

async fn change(
    tx: &mut Tx,
    admin: UserId,
    session: SessionId,
    id: Uuid,
    version: Option<String>,
    mut form: GameForm,
) -> Result<Changed, ChangeError> {
    let current = read(tx, id).await?.ok_or(ChangeError::NotFound("Game"))?;
    match version {
        Some(version) if version != current.version => return Err(ChangeError::Outdated("game")),
        Some(_) => {}
        None => leave_alone_what_was_shown(tx, session, id, &mut form).await?,
    }
    let given_back = give_back(tx, id, &current, &mut form).await?;
    let mut edited = Edited::of(&current, &form).map_err(ChangeError::Invalid)?;
    edited.unlock(&given_back);
    let was_held_back = current.locks.contains(&GameField::InStock);
    let updated = |updated_at| Changed {
        game: GameUpdated {
            id,
            title: edited.title.clone(),
            slug: edited.slug.clone(),
            price: edited.list.price,
            updated_at,
        },
        given_back: current
            .g2a_product_id
            .clone()
            .filter(|_| was_held_back && !edited.is_held_back()),
    };
    if !edited.differs(&current) {
        return Ok(updated(current.updated_at));
    }
    price_rules::because(tx, PriceReason::Staff).await?;
    let updated_at = sqlx::query_scalar!(
        "-- store.admin.games.update
        update games
           set title = $2, slug = $3, description = $4, short_description = $5, price = $6, original_price = $7,
               discount = $8, image = $9, publisher = $10, developer = $11, release_date = $12,
               release_date_known = release_date_known or release_date <> $12, is_preorder = $13,
               original_price_by_hand = case when 'original_price' <> all ($14) then null when $17 then $18
                                             else original_price_by_hand end,
               fields_by_hand = $14, g2a_price = $15, in_stock = in_stock and not $16, g2a_stock = g2a_stock and not $16,
               popularity = case when $16 then popularity - g2a_depth else popularity end,
               g2a_depth = case when $16 then 0 else g2a_depth end
         where id = $1 returning updated_at",
        id,
        edited.title,
        edited.slug,
        edited.description,
        edited.short_description,
        edited.list.price.decimal(),
        edited.list.original_price.map(Money::decimal),
        edited.list.discount,
        edited.image,
        edited.publisher,
        edited.developer,
        edited.release_date,
        edited.is_preorder,
        &edited.locks_as_columns(),
        edited.g2a_price.map(Money::decimal),
        edited.is_held_back(),
        edited.original.1,
        edited.original.0.map(Money::decimal)
    )
    .fetch_one(tx.conn())
    .await?;
    for (taxonomy, names) in TAXONOMIES.iter().zip(&edited.terms) {
        if let Some(names) = names {
            set(tx, taxonomy, id, names).await?;
        }
    }
    audit::record(
        tx,
        &By::Staff(admin),
        "game.update",
        ("game", id),
        edited.told(&current),
    )
    .await?;
    // What the form shows from now on.
    sqlx::query!(
        "-- store.admin.games.forget\ndelete from seen_games where session_id = $1 and game_id = $2",
        session.0,
        id
    )
    .execute(tx.conn())
    .await?;
    Ok(updated(updated_at))
}

/// Fills fields that the form unlocks with what G2A says of them; returns these fields. What the form changes is its author's.
async fn give_back(tx: &mut Tx, id: Uuid, current: &Current, form: &mut GameForm) -> Result<Vec<GameField>> {
    let Some(locked) = form.locked.clone() else {
        return Ok(Vec::new());
    };
    let said = sqlx::query_scalar!(
        "-- store.admin.games.said\nselect said from supplier_values where game_id = $1",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(said) = said else { return Ok(Vec::new()) };
    let unlocked = current.locks.iter().copied().filter(|field| !locked.contains(field));
    Ok(unlocked
        .filter(|field| form.fill(*field, &said[field.name()]))
        .collect())
}

/// Records what a session of staff is shown of a game and a synchronisation may change before the form comes back.
///
/// # Errors
/// [`crate::StoreError`].
pub async fn note_shown(store: &Store, session: SessionId, shown: &GameDetail) -> Result<()> {
    sqlx::query!(
        "-- store.admin.games.note_shown
        insert into seen_games (session_id, game_id, price, original_price, in_stock)
        select id, $2, $3, $4, $5 from user_sessions where id = $1
        on conflict (session_id, game_id) do update
           set price = excluded.price, original_price = excluded.original_price, in_stock = excluded.in_stock",
        session.0,
        shown.id,
        shown.price.decimal(),
        shown.original_price.map(Money::decimal),
        shown.in_stock
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// Removes from the form what it only repeats: a synchronisation may have changed it since it was shown.
async fn leave_alone_what_was_shown(tx: &mut Tx, session: SessionId, id: Uuid, form: &mut GameForm) -> Result<()> {
    let shown = sqlx::query!(
        "-- store.admin.games.shown
        select price, original_price, in_stock from seen_games where session_id = $1 and game_id = $2",
        session.0,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    // A form with a price alone is about the price.
    let (Some(shown), true) = (shown, form.title.is_some() || form.description.is_some()) else {
        return Ok(());
    };
    form.price = form.price.filter(|sent| sent.decimal() != shown.price);
    let was = shown.original_price.unwrap_or_default();
    form.original_price = form.original_price.filter(|sent| sent.decimal() != was);
    form.in_stock = form.in_stock.filter(|sent| *sent != shown.in_stock);
    Ok(())
}

/// Deletes a game that no order, key or cart refers to, on behalf of `admin`. A product of G2A is not brought back by the
/// synchronisation.
///
/// # Errors
/// [`ChangeError::NotFound`], [`ChangeError::InUse`], [`ChangeError::Store`].
pub async fn delete(store: &Store, admin: UserId, id: GameId) -> Result<(), ChangeError> {
    store
        .tx_about("admin.games.delete", &[id.into()], move |tx| {
            Box::pin(async move { remove(tx, admin, id.0).await })
        })
        .await
}

async fn remove(tx: &mut Tx, admin: UserId, id: Uuid) -> Result<(), ChangeError> {
    let current = read(tx, id).await?.ok_or(ChangeError::NotFound("Game"))?;
    let used = sqlx::query!(
        r#"-- store.admin.games.used
        select (select count(*) from order_items where game_id = $1) as "orders!",
               (select count(*) from game_keys where game_id = $1) as "keys!",
               (select count(*) from cart_items where game_id = $1) as "carts!",
               (select count(*) from promo_code_games where game_id = $1) as "codes!""#,
        id
    )
    .fetch_one(tx.conn())
    .await?;
    if used.orders + used.keys + used.carts > 0 {
        return Err(ChangeError::InUse(format!(
            "This game cannot be deleted: orders with it {}, keys {}, carts {}.",
            used.orders, used.keys, used.carts
        )));
    }
    if used.codes > 0 {
        return Err(ChangeError::InUse(format!(
            "This game cannot be deleted: {} promo codes name it.",
            used.codes
        )));
    }
    if let Some(product) = &current.g2a_product_id {
        sqlx::query!(
            "-- store.admin.games.exclude
            insert into excluded_products (g2a_product_id, title) values ($1, $2) on conflict do nothing",
            product,
            current.title
        )
        .execute(tx.conn())
        .await?;
    }
    sqlx::query!("-- store.admin.games.delete\ndelete from games where id = $1", id)
        .execute(tx.conn())
        .await?;
    let details = json!({ "title": current.title, "slug": current.slug, "g2aProductId": current.g2a_product_id });
    Ok(audit::record(tx, &By::Staff(admin), "game.delete", ("game", id), details).await?)
}

/// The game, locked. The lock also keeps links to genres and the like from being added meanwhile.
async fn read(tx: &mut Tx, id: Uuid) -> Result<Option<Current>, ChangeError> {
    let row = sqlx::query!(
        r#"-- store.admin.games.lock
        select xmin::text as "version!", title, slug, description, short_description, price,
               coalesce(original_price_by_hand, original_price) as original_price, image, publisher, developer, release_date,
               is_preorder, in_stock, g2a_product_id, g2a_price, fields_by_hand, updated_at
          from games where id = $1 for update"#,
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let names = sqlx::query!(
        r#"-- store.admin.games.names
        select array(select c.name from game_categories l join categories c on c.id = l.category_id
                      where l.game_id = $1 order by lower(c.name)) as "categories!",
               array(select n.name from game_genres l join genres n on n.id = l.genre_id
                      where l.game_id = $1 order by lower(n.name)) as "genres!",
               array(select p.name from game_platforms l join platforms p on p.id = l.platform_id
                      where l.game_id = $1 order by lower(p.name)) as "platforms!",
               array(select t.name from game_tags l join tags t on t.id = l.tag_id
                      where l.game_id = $1 order by lower(t.name)) as "tags!""#,
        id
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Some(Current {
        version: row.version,
        title: row.title,
        slug: row.slug,
        description: row.description,
        short_description: row.short_description,
        price: money_of(row.price)?,
        original_price: row.original_price.map(money_of).transpose()?,
        image: row.image,
        publisher: row.publisher,
        developer: row.developer,
        release_date: row.release_date,
        is_preorder: row.is_preorder,
        in_stock: row.in_stock,
        g2a_product_id: row.g2a_product_id,
        g2a_price: row.g2a_price.map(money_of).transpose()?,
        locks: locks_of(&row.fields_by_hand),
        updated_at: row.updated_at,
        terms: [names.categories, names.genres, names.platforms, names.tags],
    }))
}

/// Gives the game these entries of a taxonomy and no others; makes those that are new.
async fn set(tx: &mut Tx, taxonomy: &taxonomy::Taxonomy, game: Uuid, names: &[String]) -> Result<(), ChangeError> {
    let terms: Vec<Term> = names
        .iter()
        .map(|name| Term {
            name: name.clone(),
            slug: slug_of_name(name),
        })
        .collect();
    Ok(taxonomy.set(tx, game, &terms).await?)
}
