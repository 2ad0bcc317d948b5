//! What staff keep for themselves in the console: saved views of lists, and the pages that they have opened last.

use lockstep_domain::admin::Found;
use lockstep_domain::ids::UserId;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, By};
use crate::transaction::holds_store_error;
use crate::{Result, Store, StoreError, Tx};

/// Maximum number of saved views of one member of staff, in all lists.
pub const MAX_VIEWS: i64 = 100;
/// Maximum number of views that are read: those of a list, or all.
const MOST: i64 = 200;
/// Pages that are remembered of each member of staff.
const RECENT: i64 = 20;

/// Why a view was not saved, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// There is no such view, or it is somebody else's and not shared.
    #[error("View not found")]
    NotFound,
    /// Its owner has another view of the list with this name.
    #[error("You have a view with this name.")]
    NameTaken,
    /// Its owner has as many views as one may have.
    #[error("You have {MAX_VIEWS} views. Delete one first.")]
    TooMany,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

holds_store_error!(ViewError);

/// A saved view, as a member of staff sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct SavedView {
    pub id: Uuid,
    /// The path of the list, below `/admin/`.
    pub list: String,
    pub name: String,
    /// The parameters of its address.
    pub query: String,
    pub shared: bool,
    /// It is the reader's own.
    pub own: bool,
}

/// What can be changed of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `SavedView`")]
pub struct ViewForm {
    pub name: String,
    pub query: String,
    pub shared: bool,
}

/// A thing and what it is called: an order's number, an address, a title, a code.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "obvious")]
pub struct NamedThing {
    pub found: Found,
    pub name: String,
}

/// The views that `user` sees: their own and those that are shared; of one list, or of all. By name, own ones first.
///
/// # Errors
/// [`StoreError`].
pub async fn of_list(store: &Store, user: UserId, list: Option<&str>) -> Result<Vec<SavedView>> {
    Ok(sqlx::query_as!(
        SavedView,
        r#"-- store.views.of_list
        select id, list, name, query, shared, user_id = $1 as "own!" from saved_views
         where (user_id = $1 or shared) and ($2::text is null or list = $2)
         order by user_id <> $1, lower(name), id limit $3"#,
        user.0,
        list,
        MOST
    )
    .fetch_all(store.alone())
    .await?)
}

/// A view, if `user` may see it.
///
/// # Errors
/// [`StoreError`].
pub async fn by_id(store: &Store, user: UserId, id: Uuid) -> Result<Option<SavedView>> {
    Ok(sqlx::query_as!(
        SavedView,
        r#"-- store.views.by_id
        select id, list, name, query, shared, user_id = $1 as "own!" from saved_views
         where id = $2 and (user_id = $1 or shared)"#,
        user.0,
        id
    )
    .fetch_optional(store.alone())
    .await?)
}

/// Locks the account that owns views, so that of two requests at once the second sees the first one's.
async fn lock_owner(tx: &mut Tx, owner: UserId) -> Result<(), ViewError> {
    let is_there = sqlx::query_scalar!(
        "-- store.views.lock_owner
        select 1 as one from users where id = $1 and deleted_at is null for no key update",
        owner.0
    )
    .fetch_optional(tx.conn())
    .await?;
    is_there.map(|_| ()).ok_or(ViewError::NotFound)
}

async fn is_taken(tx: &mut Tx, owner: UserId, list: &str, name: &str, but: Option<Uuid>) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"-- store.views.is_taken
        select exists (select from saved_views where user_id = $1 and list = $2 and name = $3
                                                and id is distinct from $4) as "is_taken!""#,
        owner.0,
        list,
        name,
        but
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Saves a view of `list` for `user`, and returns its id. Recorded in the audit log if it is shared.
///
/// # Errors
/// [`ViewError`]; then nothing has changed.
pub async fn create(store: &Store, user: UserId, list: &str, form: &ViewForm) -> Result<Uuid, ViewError> {
    let (list, form) = (list.to_owned(), form.clone());
    store
        .tx("views.create", move |tx| {
            let (list, form) = (list.clone(), form.clone());
            Box::pin(async move {
                lock_owner(tx, user).await?;
                let has = sqlx::query_scalar!(
                    r#"-- store.views.create.count
                    select count(*) as "count!" from saved_views where user_id = $1"#,
                    user.0
                )
                .fetch_one(tx.conn())
                .await?;
                if has >= MAX_VIEWS {
                    return Err(ViewError::TooMany);
                }
                if is_taken(tx, user, &list, &form.name, None).await? {
                    return Err(ViewError::NameTaken);
                }
                let id = Uuid::now_v7();
                sqlx::query!(
                    "-- store.views.create
                    insert into saved_views (id, user_id, list, name, query, shared) values ($1, $2, $3, $4, $5, $6)",
                    id,
                    user.0,
                    list,
                    form.name,
                    form.query,
                    form.shared
                )
                .execute(tx.conn())
                .await?;
                if form.shared {
                    let details = json!({ "list": list });
                    audit::record(tx, &By::Staff(user), "view.share", ("view", id), details).await?;
                }
                Ok(id)
            })
        })
        .await
}

/// A view that is to be changed or deleted by `user`.
struct Target {
    owner: UserId,
    list: String,
    shared: bool,
}

/// Locks a view, and the account that owns it, unless `user` may not see it.
async fn lock(tx: &mut Tx, user: UserId, id: Uuid) -> Result<Target, ViewError> {
    let owner = sqlx::query_scalar!(
        "-- store.views.owner\nselect user_id from saved_views where id = $1",
        id
    )
    .fetch_optional(tx.conn())
    .await?;
    let owner = UserId(owner.ok_or(ViewError::NotFound)?);
    lock_owner(tx, owner).await?;
    let row = sqlx::query!(
        "-- store.views.lock
        select list, shared from saved_views where id = $1 and (user_id = $2 or shared) for update",
        id,
        user.0
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or(ViewError::NotFound)?;
    Ok(Target {
        owner,
        list: row.list,
        shared: row.shared,
    })
}

/// Changes a view: `user`'s own, or one that is shared. Recorded in the audit log if it was shared, or is now.
///
/// # Errors
/// [`ViewError`]; then nothing has changed.
pub async fn change(store: &Store, user: UserId, id: Uuid, form: &ViewForm) -> Result<(), ViewError> {
    let form = form.clone();
    store
        .tx("views.change", move |tx| {
            let form = form.clone();
            Box::pin(async move {
                let target = lock(tx, user, id).await?;
                if is_taken(tx, target.owner, &target.list, &form.name, Some(id)).await? {
                    return Err(ViewError::NameTaken);
                }
                sqlx::query!(
                    "-- store.views.change
                    update saved_views set name = $2, query = $3, shared = $4 where id = $1",
                    id,
                    form.name,
                    form.query,
                    form.shared
                )
                .execute(tx.conn())
                .await?;
                if target.shared || form.shared {
                    let details = json!({ "list": target.list, "shared": form.shared });
                    audit::record(tx, &By::Staff(user), "view.change", ("view", id), details).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Deletes a view: `user`'s own, or one that is shared. Recorded in the audit log if it was shared.
///
/// # Errors
/// [`ViewError::NotFound`], [`ViewError::Store`].
pub async fn delete(store: &Store, user: UserId, id: Uuid) -> Result<(), ViewError> {
    store
        .tx("views.delete", move |tx| {
            Box::pin(async move {
                let target = lock(tx, user, id).await?;
                sqlx::query!("-- store.views.delete\ndelete from saved_views where id = $1", id)
                    .execute(tx.conn())
                    .await?;
                if target.shared {
                    let details = json!({ "list": target.list });
                    audit::record(tx, &By::Staff(user), "view.delete", ("view", id), details).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Kind and id of a thing in the database.
fn kind_of(found: &Found) -> (&'static str, Uuid) {
    match found {
        Found::Order(id) => ("order", *id),
        Found::User(id) => ("user", *id),
        Found::Game(id) => ("game", *id),
        Found::PromoCode(id) => ("promo", *id),
        Found::Key(id) => ("key", *id),
    }
}

fn found_of(kind: &str, id: Uuid) -> Found {
    match kind {
        "order" => Found::Order(id),
        "user" => Found::User(id),
        "game" => Found::Game(id),
        "promo" => Found::PromoCode(id),
        _ => Found::Key(id),
    }
}

/// Remembers that `user` has opened the page of `thing`, and forgets what is older than their last 20.
///
/// # Errors
/// [`StoreError`].
pub async fn saw(store: &Store, user: UserId, thing: &Found) -> Result<()> {
    let (kind, id) = kind_of(thing);
    // Two statements, each its own transaction: with both in one, two pages of a reader that open at once could wait for
    // each other.
    sqlx::query!(
        "-- store.views.saw
        insert into recent_things (user_id, kind, thing_id) values ($1, $2, $3)
        on conflict (user_id, kind, thing_id) do update set seen_at = clock_timestamp()",
        user.0,
        kind,
        id
    )
    .execute(store.alone())
    .await?;
    sqlx::query!(
        "-- store.views.forget
        delete from recent_things t using (
            select kind, thing_id from recent_things where user_id = $1
             order by seen_at desc, kind, thing_id offset $2 for update skip locked) old
         where t.user_id = $1 and t.kind = old.kind and t.thing_id = old.thing_id",
        user.0,
        RECENT
    )
    .execute(store.alone())
    .await?;
    Ok(())
}

/// The things whose pages `user` has opened last, newest first; without those that are gone.
///
/// # Errors
/// [`StoreError`].
pub async fn recent(store: &Store, user: UserId) -> Result<Vec<NamedThing>> {
    let rows = sqlx::query!(
        "-- store.views.recent
        select kind, thing_id from recent_things where user_id = $1 order by seen_at desc, kind, thing_id limit $2",
        user.0,
        RECENT
    )
    .fetch_all(store.alone())
    .await?;
    let things: Vec<Found> = rows.iter().map(|row| found_of(&row.kind, row.thing_id)).collect();
    named(store, &things).await
}

/// The names of `things`, in their order; without those that are gone.
///
/// # Errors
/// [`StoreError`].
pub async fn named(store: &Store, things: &[Found]) -> Result<Vec<NamedThing>> {
    if things.is_empty() {
        return Ok(Vec::new());
    }
    let (kinds, ids): (Vec<String>, Vec<Uuid>) = things
        .iter()
        .map(kind_of)
        .map(|(kind, id)| (kind.to_owned(), id))
        .unzip();
    let rows = sqlx::query!(
        r#"-- store.views.named
        select t.kind as "kind!", t.id as "id!", coalesce(o.number, u.email, g.title, p.code, kg.title) as "name!"
          from unnest($1::text[], $2::uuid[]) with ordinality t (kind, id, at)
          left join orders o on t.kind = 'order' and o.id = t.id
          left join users u on t.kind = 'user' and u.id = t.id and u.deleted_at is null
          left join games g on t.kind = 'game' and g.id = t.id
          left join promo_codes p on t.kind = 'promo' and p.id = t.id
          left join game_keys k on t.kind = 'key' and k.id = t.id
          left join games kg on kg.id = k.game_id
         where coalesce(o.number, u.email, g.title, p.code, kg.title) is not null order by t.at"#,
        &kinds,
        &ids
    )
    .fetch_all(store.alone())
    .await?;
    let rows = rows.into_iter().map(|row| NamedThing {
        found: found_of(&row.kind, row.id),
        name: row.name,
    });
    Ok(rows.collect())
}
