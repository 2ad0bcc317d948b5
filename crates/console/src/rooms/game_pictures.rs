//! The pictures of a game, as its page shows them.

use std::collections::BTreeSet;

use lockstep_domain::GameId;
use lockstep_domain::admin::{GameField, GamePicture};
use lockstep_domain::staff::Permission;
use lockstep_page::error::PageError;
use lockstep_page::forms::Form;

use super::found;
use crate::staff::Staff;

/// A picture with what can be changed about it.
pub(super) struct Shown {
    pub(super) id: String,
    /// The picture, small.
    pub(super) src: String,
    pub(super) alt: String,
    /// Its place, from 1.
    pub(super) place: String,
    pub(super) is_cover: bool,
    /// It is to be deleted.
    pub(super) is_deleted: bool,
}

/// The section of the page.
pub(super) struct Pictures {
    pub(super) address: String,
    pub(super) shown: Vec<Shown>,
    /// They are staff's; a tick gives them back to G2A.
    pub(super) is_locked: bool,
    pub(super) may_write: bool,
    /// What is wrong with the order and the texts.
    pub(super) problem: Option<String>,
    /// What is wrong with the upload, and the text beside it.
    pub(super) upload: (Option<String>, String),
}

/// The name of a field of one picture.
pub(super) fn field(name: &str, id: &str) -> String {
    format!("{name}_{id}")
}

/// Reads the section, with what was entered in `form`.
pub(super) async fn read(
    staff: &Staff,
    game: GameId,
    locked: &[&'static str],
    form: &Form,
) -> Result<Pictures, PageError> {
    let pictures = found(staff.office().game_pictures(&staff.admin, game).await?)?;
    let deleted: BTreeSet<&str> = form.values("delete").collect();
    let shown = pictures.into_iter().enumerate().map(|(i, picture)| {
        let GamePicture {
            id,
            alt,
            is_cover,
            place,
            ..
        } = picture;
        let id = id.to_string();
        let entered = |name: &str| {
            let name = field(name, &id);
            form.pairs()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.to_owned())
        };
        Shown {
            src: format!("/images/{game}/{place}/160.webp?v={id}"),
            alt: entered("alt").unwrap_or(alt),
            place: entered("place").unwrap_or_else(|| (i + 1).to_string()),
            is_cover,
            is_deleted: deleted.contains(id.as_str()),
            id,
        }
    });
    Ok(Pictures {
        address: format!("/admin/catalogue/{game}/pictures"),
        shown: shown.collect(),
        is_locked: [GameField::Image, GameField::Images]
            .iter()
            .any(|field| locked.contains(&field.name())),
        may_write: staff.may(Permission::CatalogueWrite),
        problem: form.problem().map(str::to_owned),
        upload: (None, String::new()),
    })
}
