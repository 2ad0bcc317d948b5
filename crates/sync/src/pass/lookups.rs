//! Looks up single products: those that a pass expected but did not see, and one that was requested by id. Only
//! products that G2A itself reports as gone are removed, and not if implausibly many are gone.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use lockstep_g2a::{Code, Error as G2aError, Product, Repeat};
use lockstep_store::StoreError;
use lockstep_store::sync::{self as records, Among, RunKind};

use super::patience::patiently;
use super::writing::Batch;
use super::{Pass, Stop};
use lockstep_domain::error_chain;

/// Maximum number of single lookups in a pass; the rest waits for the next pass.
const MAX_LOOKUPS: usize = 2_000;
/// Number of missing products that is always plausible.
const MISSING_ALLOWED: usize = 50;

impl Pass<'_> {
    /// Requests every game that the pass expected but did not see by its id: present ones are written, missing ones are
    /// withdrawn (by a stock check: sold out). If implausibly many are missing, none is.
    pub(super) async fn look_up_missing(&mut self) -> Result<(), Stop> {
        if self.cursor.incomplete && self.kind == RunKind::Full {
            return Ok(());
        }
        let fence = self.begun.fence;
        let among = if self.kind == RunKind::Full {
            Among::Listed
        } else {
            Among::InStock
        };
        let read = self.cx.store.tx("sync.missing", move |tx| {
            Box::pin(async move {
                let missing = records::unseen(tx, &fence, among).await?;
                Ok::<_, StoreError>((missing, records::count_known(tx, among).await?))
            })
        });
        let (missing, known) = read.await?;
        if missing.is_empty() {
            return Ok(());
        }
        let known = usize::try_from(known).unwrap_or(0);
        let percent = usize::try_from(self.cx.settings.max_missing_percent).unwrap_or(100);
        if missing.len() > MISSING_ALLOWED && missing.len().saturating_mul(100) > known.saturating_mul(percent) {
            self.withheld = missing.len() as u64;
            self.note(format!(
                "{} of {known} games are missing at G2A, more than {percent} percent: that is not believed, \
                 they stay as they are",
                missing.len()
            ));
            return Ok(());
        }
        if !self.lookups_work().await? {
            self.withheld = missing.len() as u64;
            self.note(format!(
                "{} games are missing at G2A, but it does not find single products that it lists either; \
                 they stay as they are",
                missing.len()
            ));
            return Ok(());
        }
        let (now, later) = missing.split_at(missing.len().min(MAX_LOOKUPS));
        if !later.is_empty() {
            self.note(format!(
                "{} more games were not met; the next pass looks them up",
                later.len()
            ));
        }
        let (client, calls) = (self.cx.client.clone(), Arc::clone(&self.calls));
        let mut answers = stream::iter(now.to_vec())
            .map(|id| {
                let (client, calls) = (client.clone(), Arc::clone(&calls));
                async move {
                    let found = patiently(&calls, || client.product(&id)).await;
                    (id, found)
                }
            })
            .buffer_unordered(self.cx.settings.max_in_flight.max(1))
            .boxed();
        // Each is written as it arrives, for the same reason as pages.
        while let Some((id, found)) = answers.next().await {
            let mut batch = Batch::default();
            match found {
                Ok(Some(product)) => self.add(&mut batch, product),
                Ok(None) => batch.gone.push(id),
                // The product exists but is unreadable, or G2A rejects the query. Neither is a reason to withdraw it.
                Err(error @ G2aError::BadAnswer { .. }) => self.keep_unreadable(&mut batch, &id, &error),
                Err(error @ G2aError::Refused { .. })
                    if error.repeat() == Repeat::Never && !matches!(error.status(), Some(401 | 403)) =>
                {
                    self.keep_unreadable(&mut batch, &id, &error);
                }
                Err(error) => return Err(error.into()),
            }
            self.save(batch).await?;
        }
        Ok(())
    }

    fn keep_unreadable(&mut self, batch: &mut Batch, id: &str, error: &G2aError) {
        batch.met.push(id.to_owned());
        self.problem(
            batch,
            Some(id.to_owned()),
            format!("it was not listed and cannot be looked up: {}", error_chain(error)),
        );
    }

    async fn look_up(&self, id: &str) -> Result<Option<Product>, G2aError> {
        patiently(&self.calls, || self.cx.client.product(id)).await
    }

    /// Whether a lookup finds a product that was just listed.
    async fn lookups_work(&self) -> Result<bool, Stop> {
        for sample in &self.cursor.samples {
            if self.look_up(sample).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn one_product(&mut self, id: &str) -> Result<(), Stop> {
        let mut batch = Batch::default();
        match self.look_up(id).await {
            Ok(Some(product)) => self.add(&mut batch, product),
            Ok(None) => {
                // Only complete passes withdraw games.
                batch.gone.push(id.to_owned());
                self.problem(&mut batch, Some(id.to_owned()), "G2A does not list it".to_owned());
            }
            // It is no id of G2A's. The other products of a job are looked up all the same.
            Err(error) if error.code() == Some(&Code::QueryProductId) => {
                let why = format!("it cannot be looked up: {}", error_chain(&error));
                self.problem(&mut batch, Some(id.to_owned()), why);
            }
            Err(error) => return Err(error.into()),
        }
        self.save(batch).await
    }
}
