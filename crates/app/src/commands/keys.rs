//! `lockstep keys`: counts everything that is sealed with `LOCKSTEP_KEY_SECRET` and seals it again with the first
//! secret of the list, so that the others can be dropped: game keys, second factors, unsent e-mails, and answers of
//! G2A, in the database and in this machine's spool.

use anyhow::{Context as _, Result};
use lockstep_auth::{Keys, totp};
use lockstep_clock::Random;
use lockstep_fulfilment::Spool;
use lockstep_store::accounts::totp::{SealedTotp, reseal_totp, totp_page};
use lockstep_store::admin::g2a_settings;
use lockstep_store::cards::evidence;
use lockstep_store::fulfilment::{keys, unreadable};
use lockstep_store::mail::servers;
use lockstep_store::verify::Verdict;
use lockstep_store::{Store, Tx, mail, webhooks};
use serde::Serialize;

use crate::config::Config;
use crate::database::{Database, Use};
use crate::instances;
use crate::output::Output;
use crate::secrets::Secrets;

/// Number of values per read.
const PAGE: u32 = 500;

/// A kind of sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    GameKeys,
    SecondFactors,
    Emails,
    MailPasswords,
    SupplierSecrets,
    WebhookSecrets,
    SigningKeys,
    Answers,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::GameKeys,
        Self::SecondFactors,
        Self::Emails,
        Self::MailPasswords,
        Self::SupplierSecrets,
        Self::WebhookSecrets,
        Self::SigningKeys,
        Self::Answers,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::GameKeys => "game key(s)",
            Self::SecondFactors => "second factor(s)",
            Self::Emails => "waiting e-mail(s)",
            Self::MailPasswords => "password(s) of mail servers",
            Self::SupplierSecrets => "client secret(s) of G2A",
            Self::WebhookSecrets => "secret(s) of webhooks",
            Self::SigningKeys => "key(s) that sign exported cases",
            Self::Answers => "answer(s) of G2A",
        }
    }
}

impl Kind {
    /// Name of the check that each value can be opened, and the table of the values.
    const fn check(self) -> (&'static str, &'static str) {
        match self {
            Self::GameKeys => ("sealed_game_keys", "game_keys"),
            Self::SecondFactors => ("sealed_second_factors", "user_totp"),
            Self::Emails => ("sealed_emails", "mail_outbox"),
            Self::MailPasswords => ("sealed_mail_passwords", "email_settings"),
            Self::SupplierSecrets => ("sealed_supplier_secrets", "g2a_settings"),
            Self::WebhookSecrets => ("sealed_webhook_secrets", "webhook_secrets"),
            Self::SigningKeys => ("sealed_signing_keys", "evidence_key"),
            Self::Answers => ("sealed_answers", "unreadable_answers"),
        }
    }
}

/// A sealed value, with what is needed to seal it again.
enum Sealed {
    GameKey(lockstep_domain::ids::KeyId, Vec<u8>),
    SecondFactor(SealedTotp),
    Email(uuid::Uuid, Vec<u8>),
    MailPassword(uuid::Uuid, Vec<u8>),
    SupplierSecret(uuid::Uuid, Vec<u8>),
    WebhookSecret(uuid::Uuid, Vec<u8>),
    SigningKey(uuid::Uuid, Vec<u8>),
    Answer(uuid::Uuid, Vec<u8>),
}

/// Which secret of the list opens a sealed value.
enum Standing {
    /// The first one.
    Current,
    /// A later one; the content is the value that replaces it.
    Older(Anew),
    /// None.
    Lost,
}

/// A value sealed with the first secret, with the keyed hash (game keys) or the nonce (second factors) that is stored
/// beside it.
struct Anew {
    sealed: Vec<u8>,
    beside: [u8; 32],
}

/// Reads a page of one kind; the id of the last value is the position of the next page.
async fn page(store: &Store, kind: Kind, after: Option<uuid::Uuid>) -> Result<Vec<(uuid::Uuid, Sealed)>> {
    Ok(match kind {
        Kind::GameKeys => {
            let page = keys::page(store, after.map(lockstep_domain::ids::KeyId), PAGE).await?;
            let sealed = page.into_iter().map(|(id, sealed)| (id.0, Sealed::GameKey(id, sealed)));
            sealed.collect()
        }
        Kind::SecondFactors => {
            let page = totp_page(store, after.map(lockstep_domain::ids::UserId), PAGE).await?;
            let sealed = page.into_iter().map(|totp| (totp.user.0, Sealed::SecondFactor(totp)));
            sealed.collect()
        }
        Kind::Emails => {
            let page = mail::sealed_page(store, after, PAGE).await?;
            let sealed = page.into_iter().map(|(id, sealed)| (id, Sealed::Email(id, sealed)));
            sealed.collect()
        }
        Kind::MailPasswords => {
            let page = servers::sealed_page(store, after, PAGE).await?;
            let sealed = page
                .into_iter()
                .map(|(id, sealed)| (id, Sealed::MailPassword(id, sealed)));
            sealed.collect()
        }
        Kind::SupplierSecrets => {
            let page = g2a_settings::sealed_page(store, after, PAGE).await?;
            let sealed = page
                .into_iter()
                .map(|(id, sealed)| (id, Sealed::SupplierSecret(id, sealed)));
            sealed.collect()
        }
        Kind::WebhookSecrets => {
            let page = webhooks::sealed_page(store, after, PAGE).await?;
            let sealed = page
                .into_iter()
                .map(|(id, sealed)| (id, Sealed::WebhookSecret(id, sealed)));
            sealed.collect()
        }
        Kind::SigningKeys => {
            let page = evidence::sealed_page(store, after, PAGE).await?;
            let sealed = page
                .into_iter()
                .map(|(id, sealed)| (id, Sealed::SigningKey(id, sealed)));
            sealed.collect()
        }
        Kind::Answers => {
            let page = unreadable::page(store, after, PAGE).await?;
            let sealed = page.into_iter().map(|(id, sealed)| (id, Sealed::Answer(id, sealed)));
            sealed.collect()
        }
    })
}

impl Sealed {
    fn standing(&self, secrets: &Keys, random: &Random) -> Standing {
        match self {
            Self::GameKey(id, sealed) => standing(secrets, &keys::place(*id), sealed),
            Self::Email(id, sealed) => standing(secrets, &mail::place(*id), sealed),
            Self::MailPassword(id, sealed) => standing(secrets, &servers::place(*id), sealed),
            Self::SupplierSecret(id, sealed) => standing(secrets, &g2a_settings::place(*id), sealed),
            Self::WebhookSecret(id, sealed) => standing(secrets, &webhooks::place(*id), sealed),
            Self::SigningKey(id, sealed) => standing(secrets, &evidence::place(*id), sealed),
            Self::Answer(id, sealed) => standing(secrets, &unreadable::place(*id), sealed),
            Self::SecondFactor(totp) => match totp::sealed_anew(secrets, totp, random) {
                Ok(None) => Standing::Current,
                Ok(Some((beside, sealed))) => Standing::Older(Anew { sealed, beside }),
                Err(_) => Standing::Lost,
            },
        }
    }

    /// Returns false if the value was changed meanwhile: that change sealed it with the current secret.
    async fn replace(&self, store: &Store, anew: Anew) -> Result<bool> {
        Ok(match self {
            Self::GameKey(id, before) => {
                let (id, before) = (*id, before.clone());
                store
                    .tx("keys.rotate", move |tx: &mut Tx| {
                        let (before, sealed) = (before.clone(), anew.sealed.clone());
                        Box::pin(async move { keys::reseal(tx, id, &before, &sealed, anew.beside).await })
                    })
                    .await?
            }
            Self::SecondFactor(totp) => reseal_totp(store, totp, anew.beside, &anew.sealed).await?,
            Self::Email(id, before) => mail::reseal(store, *id, before, &anew.sealed).await?,
            Self::MailPassword(id, before) => servers::reseal(store, *id, before, &anew.sealed).await?,
            Self::SupplierSecret(id, before) => g2a_settings::reseal(store, *id, before, &anew.sealed).await?,
            Self::WebhookSecret(id, before) => webhooks::reseal(store, *id, before, &anew.sealed).await?,
            Self::SigningKey(id, before) => evidence::reseal(store, *id, before, &anew.sealed).await?,
            Self::Answer(id, before) => unreadable::reseal(store, *id, before, &anew.sealed).await?,
        })
    }
}

fn standing(secrets: &Keys, place: &str, sealed: &[u8]) -> Standing {
    // A value marked with the first secret is opened as well, because it may be damaged.
    let Ok(plain) = secrets.open(place, sealed) else {
        return Standing::Lost;
    };
    if secrets.is_current(sealed) {
        return Standing::Current;
    }
    Standing::Older(Anew {
        sealed: secrets.seal(place, &plain),
        beside: secrets.hash(keys::HASH, &[&plain]),
    })
}

/// Number of sealed values of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) name: &'static str,
    pub(crate) all: u64,
    /// Those that need a later secret of the list.
    pub(crate) older: u64,
    /// Those that no secret of the list opens.
    pub(crate) lost: u64,
}

/// Counts the sealed values. Changes nothing.
pub(crate) async fn count(config: &Config, secrets: &Keys, store: &Store) -> Result<Vec<Count>> {
    let mut counts = Vec::new();
    for kind in Kind::ALL {
        let (mut after, name) = (None, kind.name());
        let mut count = Count {
            name,
            all: 0,
            older: 0,
            lost: 0,
        };
        loop {
            let page = page(store, kind, after).await.context(name)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (_, sealed) in page {
                count.all += 1;
                match sealed.standing(secrets, &config.random) {
                    Standing::Current => {}
                    Standing::Older(_) => count.older += 1,
                    Standing::Lost => count.lost += 1,
                }
            }
        }
        counts.push(count);
    }
    let spooled = Spool::sealed(&config.spool_folder(), secrets).context("the spool")?;
    counts.push(Count {
        name: "file(s) in the spool",
        all: spooled.all,
        older: spooled.older,
        // Doctor's spool check reports these.
        lost: 0,
    });
    Ok(counts)
}

/// Opens the sealed values of the database and names those that no secret of the list opens: all, or `sample` of each kind from
/// a random place on. Without `secrets`, says that they are missing if there is anything sealed.
pub(crate) async fn verify(
    random: &Random,
    secrets: Option<&Keys>,
    store: &Store,
    sample: Option<u32>,
) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for kind in Kind::ALL {
        let (check, table) = kind.check();
        let mut verdict = Verdict::new(check, "a secret of LOCKSTEP_KEY_SECRET opens every sealed value", table);
        if let Err(error) = open_all(random, secrets, store, kind, sample, &mut verdict).await {
            verdict.error = Some(format!("{error:#}"));
        }
        verdicts.push(verdict);
    }
    verdicts
}

async fn open_all(
    random: &Random,
    secrets: Option<&Keys>,
    store: &Store,
    kind: Kind,
    sample: Option<u32>,
    verdict: &mut Verdict,
) -> Result<()> {
    let most = sample.map_or(u64::MAX, u64::from);
    // From a random place to the end, then from the beginning to that place.
    let start = sample.map(|_| uuid::Uuid::from_bytes(random.bytes()));
    for (from, to) in [(start, None), (None, start)]
        .into_iter()
        .take(if start.is_some() { 2 } else { 1 })
    {
        let mut after = from;
        loop {
            let page = page(store, kind, after).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let secrets =
                secrets.context("LOCKSTEP_KEY_SECRET is not known here, so that no sealed value was opened")?;
            for (id, sealed) in page {
                if verdict.rows >= most || to.is_some_and(|to| id > to) {
                    return Ok(());
                }
                verdict.rows += 1;
                if matches!(sealed.standing(secrets, random), Standing::Lost) {
                    verdict.add(id.to_string(), String::new());
                }
            }
        }
    }
    Ok(())
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    sealed_anew: u64,
    current_already: u64,
    unreadable: u64,
    /// Files of the spool that a worker still has to record; until then they need the secret that they were sealed
    /// with.
    waiting_in_spool: u64,
}

/// Seals every sealed value again. Can be interrupted and restarted at any time; values written meanwhile are already
/// current.
pub(crate) async fn rotate(config: &Config, output: Output) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let rotated = async {
        let secrets = Secrets::open(config, &database.store).await?.keys;
        rotate_all(config, &secrets, &database.store).await
    };
    let rotated = rotated.await;
    database.close().await;
    let done = rotated?;
    output.result(&done, || {
        format!(
            "{} value(s) sealed anew, {} current already",
            done.sealed_anew, done.current_already
        )
    })?;
    anyhow::ensure!(
        done.unreadable == 0,
        "{} value(s) cannot be opened; is an older secret missing from LOCKSTEP_KEY_SECRET?",
        done.unreadable
    );
    anyhow::ensure!(
        done.waiting_in_spool == 0,
        "{} answer(s) in the spool were sealed with an older secret and are not recorded yet; keep that secret, start a \
         worker with this data folder, and rotate again",
        done.waiting_in_spool
    );
    Ok(())
}

async fn rotate_all(config: &Config, secrets: &Keys, store: &Store) -> Result<Rotated> {
    let mut done = Rotated::default();
    for kind in Kind::ALL {
        let (mut after, name) = (None, kind.name());
        loop {
            let page = page(store, kind, after).await.context(name)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (id, sealed) in page {
                match sealed.standing(secrets, &config.random) {
                    Standing::Current => done.current_already += 1,
                    Standing::Older(anew) => {
                        done.sealed_anew += u64::from(sealed.replace(store, anew).await.context(name)?);
                    }
                    Standing::Lost => {
                        done.unreadable += 1;
                        tracing::error!(%id, "{name}: one cannot be opened with any secret of LOCKSTEP_KEY_SECRET");
                    }
                }
            }
        }
    }
    let spooled = Spool::reseal(&config.spool_folder(), secrets).context("the spool")?;
    done.sealed_anew += spooled.anew;
    done.waiting_in_spool = spooled.waiting;
    Ok(done)
}

/// Accepts another secret as the current one.
pub(crate) async fn accept(config: &Config, output: Output) -> Result<()> {
    let database = Database::open(config, Use::Join).await?;
    let secrets = Secrets::open(config, &database.store).await?;
    let accepted = instances::accept_key_secret(&secrets, &database.store).await;
    database.close().await;
    accepted?;
    output.result(&serde_json::json!({ "accepted": true }), || {
        "The first secret of LOCKSTEP_KEY_SECRET is the one in use now.".to_owned()
    })
}
