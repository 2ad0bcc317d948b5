//! `lockstep keys rotate`: seals every stored key with the first secret of the list, so that the others can be dropped.

use anyhow::{Context as _, Result};
use lockstep_store::Tx;
use lockstep_store::fulfilment::{keys, unreadable};
use serde::Serialize;

use crate::config::Config;
use crate::database::{Database, Use};
use crate::instances;
use crate::output::Output;
use crate::secrets::Secrets;

/// Keys read at once.
const PAGE: u32 = 500;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    sealed_anew: u64,
    current_already: u64,
    unreadable: u64,
}

/// Stored keys, and how many of them no secret of the list opens.
pub(crate) async fn not_opened(config: &Config, database: &Database) -> Result<(u64, u64)> {
    let (mut after, mut secrets, mut all, mut lost) = (None, None, 0, 0);
    loop {
        let page = keys::page(&database.store, after, PAGE).await.context("reading keys")?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        // Without a stored key there may be no secret yet, and looking must not make one.
        let secrets = match &mut secrets {
            Some(secrets) => secrets,
            none => none.insert(Secrets::open(config)?.keys),
        };
        for (id, sealed) in page {
            all += 1;
            lost += u64::from(secrets.open(&keys::place(id), &sealed).is_err());
        }
    }
    Ok((all, lost))
}

/// Goes through all keys. Can be stopped and begun again at any time; keys that are new meanwhile are current already.
pub(crate) async fn rotate(config: &Config, output: Output) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let secrets = Secrets::open(config)?.keys;
    let (mut after, mut done) = (None, Rotated::default());
    loop {
        let page = keys::page(&database.store, after, PAGE).await.context("reading keys")?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        for (id, sealed) in page {
            if secrets.is_current(&sealed) {
                done.current_already += 1;
                continue;
            }
            let Ok(plain) = secrets.open(&keys::place(id), &sealed) else {
                done.unreadable += 1;
                tracing::error!(key = %id, "a key cannot be opened with any secret of LOCKSTEP_KEY_SECRET");
                continue;
            };
            let (anew, hash) = (
                secrets.seal(&keys::place(id), &plain),
                secrets.hash(keys::HASH, &[&plain]),
            );
            let changed = database
                .store
                .tx("keys.rotate", move |tx: &mut Tx| {
                    let (sealed, anew) = (sealed.clone(), anew.clone());
                    Box::pin(async move { keys::reseal(tx, id, &sealed, &anew, hash).await })
                })
                .await?;
            done.sealed_anew += u64::from(changed);
        }
    }
    rotate_answers(&database, &secrets, &mut done).await?;
    database.close().await;
    let unreadable = done.unreadable;
    output.result(&done, || {
        format!(
            "{} key(s) sealed anew, {} current already",
            done.sealed_anew, done.current_already
        )
    })?;
    anyhow::ensure!(
        unreadable == 0,
        "{unreadable} key(s) cannot be opened; is an older secret missing from LOCKSTEP_KEY_SECRET?"
    );
    Ok(())
}

/// Takes another secret for the one in use.
pub(crate) async fn accept(config: &Config, output: Output) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let secrets = Secrets::open(config)?;
    let accepted = instances::accept_key_secret(&secrets, &database.store).await;
    database.close().await;
    accepted?;
    output.result(&serde_json::json!({ "accepted": true }), || {
        "The first secret of LOCKSTEP_KEY_SECRET is the one in use now.".to_owned()
    })
}

/// The same for answers that wait for a person.
async fn rotate_answers(database: &Database, secrets: &lockstep_auth::Keys, done: &mut Rotated) -> Result<()> {
    let mut after = None;
    loop {
        let page = unreadable::page(&database.store, after, PAGE)
            .await
            .context("reading key answers")?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (id, sealed) in page {
            if secrets.is_current(&sealed) {
                continue;
            }
            let Ok(plain) = secrets.open(&unreadable::place(id), &sealed) else {
                done.unreadable += 1;
                tracing::error!(answer = %id, "a key answer cannot be opened with any secret of LOCKSTEP_KEY_SECRET");
                continue;
            };
            let anew = secrets.seal(&unreadable::place(id), &plain);
            let changed = unreadable::reseal(&database.store, id, &sealed, &anew).await?;
            done.sealed_anew += u64::from(changed);
        }
    }
}
