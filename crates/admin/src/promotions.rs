//! Promo codes: their uses, and batches of codes that can be used once each.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_clock::Random;
use lockstep_domain::admin::{Page, PromoBatchList, PromoBatchRow, PromoTerms, PromoUses};
use lockstep_store::Result;
use lockstep_store::admin::promo_batches::{self, NewPromoBatch};
use lockstep_store::admin::promo_codes;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{BackOffice, PromoCodeError};

/// Alphabet of the random part of a code, without letters that look like digits.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A batch to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBatch {
    /// What staff call it.
    pub name: String,
    /// Number of codes.
    pub count: usize,
    /// What each code begins with, at most 20 letters, digits, `-` and `_` in upper case.
    pub prefix: String,
    /// Percent of the items that they hold for; 0 with an amount.
    pub discount: Decimal,
    /// What they are worth beyond a percentage, and for whom and what they hold.
    pub terms: PromoTerms,
    /// The start of their validity; `None` for now.
    pub valid_from: Option<DateTime<Utc>>,
    /// The end of their validity; `None` for no end.
    pub valid_until: Option<DateTime<Utc>>,
}

/// `count` different codes, each of the prefix and 80 random bits.
fn codes(random: &Random, prefix: &str, count: usize) -> Vec<String> {
    let mut codes = BTreeSet::new();
    while codes.len() < count {
        let bits = random
            .bytes::<10>()
            .into_iter()
            .fold(0_u128, |bits, byte| bits << 8 | u128::from(byte));
        let letter = |place: u32| {
            let at = usize::try_from(bits >> (5 * place) & 31).unwrap_or_default();
            ALPHABET.get(at).copied().map_or('0', char::from)
        };
        codes.insert(prefix.chars().chain((0..16).map(letter)).collect());
    }
    codes.into_iter().collect()
}

impl BackOffice {
    /// Figures about the uses of a code; `None` if there is no such code.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn promo_code_uses(&self, _by: &Admin, id: Uuid) -> Result<Option<PromoUses>> {
        let read = self.store.read(|tx| {
            Box::pin(async move {
                if promo_codes::detail(tx, id).await?.is_none() {
                    return Ok(None);
                }
                promo_codes::uses(tx, Some(id), None).await.map(Some)
            })
        });
        let read: Result<_> = read.await;
        Ok(read?.value)
    }

    /// The batches, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn promo_batches(&self, _by: &Admin, page: Page) -> Result<PromoBatchList> {
        let read = self.store.read(|tx| Box::pin(promo_batches::list(tx, None, page)));
        Ok(read.await?.value)
    }

    /// A batch; `None` if there is none with this id.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn promo_batch(&self, _by: &Admin, id: Uuid) -> Result<Option<PromoBatchRow>> {
        let page = Page { number: 1, size: 1 };
        let read = self.store.read(|tx| Box::pin(promo_batches::list(tx, Some(id), page)));
        Ok(read.await?.value.batches.pop())
    }

    /// Figures about the uses of a batch; `None` if there is no such batch.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn promo_batch_uses(&self, by: &Admin, id: Uuid) -> Result<Option<PromoUses>> {
        if self.promo_batch(by, id).await?.is_none() {
            return Ok(None);
        }
        let read = self.store.read(|tx| Box::pin(promo_codes::uses(tx, None, Some(id))));
        Ok(Some(read.await?.value))
    }

    /// Makes a batch and returns it. Recorded in the audit log, without the codes.
    ///
    /// # Errors
    /// [`PromoCodeError`]; then nothing is made.
    #[tracing::instrument(name = "admin.create_promo_batch", skip_all)]
    pub async fn create_promo_batch(&self, by: &Admin, new: NewBatch) -> Result<PromoBatchRow, PromoCodeError> {
        let batch = NewPromoBatch {
            codes: codes(&self.random, &new.prefix, new.count),
            name: new.name,
            discount: new.discount,
            terms: new.terms,
            valid_from: new.valid_from,
            valid_until: new.valid_until,
        };
        let id = promo_batches::create(&self.store, by.caller().user(), &batch).await?;
        let made = self.promo_batch(by, id).await?;
        made.ok_or_else(|| PromoCodeError::Unknown(id.to_string()))
    }

    /// Switches all codes of a batch on or off and returns the batch; `None` if there is none with this id.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn switch_promo_batch(&self, by: &Admin, id: Uuid, active: bool) -> Result<Option<PromoBatchRow>> {
        if !promo_batches::switch(&self.store, by.caller().user(), id, active).await? {
            return Ok(None);
        }
        self.promo_batch(by, id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_different_storable_and_from_the_random_source_alone() {
        let made = codes(&Random::seeded(7), "SPRING-", 500);
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 500);
        assert!(made.iter().all(|code| code.len() == 23 && code.starts_with("SPRING-")));
        assert!(
            made.iter()
                .all(|code| code.bytes().skip(7).all(|byte| ALPHABET.contains(&byte)))
        );
        assert_eq!(made, codes(&Random::seeded(7), "SPRING-", 500));
        assert_ne!(codes(&Random::system(), "", 1), codes(&Random::system(), "", 1));
        // Each letter occurs at each place.
        let many = codes(&Random::seeded(1), "", 2_000);
        for place in 0..16 {
            let letters: BTreeSet<u8> = many
                .iter()
                .filter_map(|code| code.as_bytes().get(place).copied())
                .collect();
            assert_eq!(letters.len(), 32, "place {place}");
        }
    }
}
