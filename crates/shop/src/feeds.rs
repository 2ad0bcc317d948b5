//! Everything that can be bought now, for feeds, and the mark that says whether it has changed since.

use std::io;
use std::sync::Arc;

use lockstep_cache::ReadError;
use lockstep_domain::cached::{Document, ValueKey};
use lockstep_domain::catalogue::Game;
use lockstep_store::{StoreError, games};

use crate::Shop;

/// Number of games that are read, and in memory, at once.
const PART: u32 = 500;

/// A state of the catalogue. Two marks are equal only if nothing in the catalogue changed between them.
#[derive(Debug, Clone)]
pub struct CatalogueMark(Arc<()>);

impl PartialEq for CatalogueMark {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Why a feed could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The games cannot be read.
    #[error("the games cannot be read")]
    Store(#[from] StoreError),
    /// The feed cannot be written.
    #[error("the feed cannot be written")]
    Write(#[from] io::Error),
}

impl Shop {
    /// The mark of the catalogue's present state. It lives as long as a cached answer: of equal states, two that are
    /// minutes apart may have different marks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn catalogue_mark(&self) -> Result<CatalogueMark, ReadError> {
        // The answer itself says little; that it is still proven current says that no row of the catalogue changed.
        let listed = self
            .cache()
            .get(ValueKey::feeds(), |tx| {
                Box::pin(async move { Ok(Document(games::listed(tx).await?.to_string())) })
            })
            .await?;
        Ok(CatalogueMark(listed.part(|_| ())?))
    }

    /// Gives every game that can be bought now to `take`, in parts, read in one snapshot; returns the `sink` that they
    /// were put into.
    ///
    /// # Errors
    /// [`FeedError`]; that of `take`.
    #[tracing::instrument(name = "shop.games_on_sale", skip_all)]
    pub async fn games_on_sale<S: Send + 'static>(
        &self,
        sink: S,
        take: fn(&mut S, &[Game]) -> io::Result<()>,
    ) -> Result<S, FeedError> {
        let read = self.store().read::<S, FeedError>(move |tx| {
            Box::pin(async move {
                let (mut sink, mut after) = (sink, None);
                loop {
                    let part = games::on_sale(tx, after, PART).await?;
                    let Some(last) = part.last() else { return Ok(sink) };
                    after = Some(last.id);
                    take(&mut sink, &part)?;
                }
            })
        });
        Ok(read.await?.value)
    }
}
