//! Game keys: the shop's own stock, what was delivered, and who saw what.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt as _};
use lockstep_auth::limits::{Action, RateLimits};
use lockstep_auth::{Admin, AuthError, Keys};
use lockstep_domain::admin::{
    GameKeyImport, GameKeyList, GameKeyReplacement, GameKeyRow, GameKeyStatistics, MASKED_KEY, Page, RevealedKey,
    masked,
};
use lockstep_domain::ids::{GameId, KeyId, OrderId};
use lockstep_domain::key_text::{KeyFault, KeyText};
use lockstep_domain::limit::Rule;
use lockstep_domain::staff::Permission;
use lockstep_domain::{Money, Secret};
use lockstep_store::Result;
use lockstep_store::accounts::staff;
use lockstep_store::admin::key_import::{ImportedKey, KeyImport, Refusals};
use lockstep_store::admin::keys::{self, Filter, KeyChange, KeyError, NewKey, SealedText, Search, Stored};
use lockstep_store::audit::By;
use lockstep_store::fulfilment::keys::{HASH, place};
use lockstep_store::fulfilment::{
    EmailSettings, ReplaceError, Replaced, ReplacementBudget, ReplacementWay, replace, replacement_way,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::BackOffice;
use crate::key_csv::{CsvFault, KeyLines};

/// Maximum size of an import in bytes.
pub const MAX_IMPORT_BYTES: u64 = 64 * 1024 * 1024;
/// Maximum number of lines of an import.
const MAX_IMPORT_LINES: u64 = 500_000;
/// Imports of one process at a time.
const IMPORTS: usize = 2;
/// How long an import waits for the next part of its file.
const NEXT_PART: Duration = Duration::from_secs(30);
/// After so many bytes, or so long, an import checks that its sender may go on.
const LOOK_AFTER_BYTES: usize = 256 * 1024;
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// Maximum size of a key that is a file, in bytes.
const MAX_FILE: usize = 64 * 1024;
/// A key shown to staff: more than a day's complaints, fewer than an export.
const REVEAL: Action = Action::of_account("reveal-key", Rule::new(30, 60));

/// What the use cases about keys need beside the database. Cheap to clone.
#[derive(Clone)]
pub struct KeyService {
    secrets: Keys,
    emails: EmailSettings,
    limits: RateLimits,
    budget: ReplacementBudget,
    imports: Arc<Semaphore>,
}

impl fmt::Debug for KeyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyService")
    }
}

impl KeyService {
    /// `secrets` seal keys, `emails` is what e-mails may contain, `limits` count how often staff look.
    pub fn new(secrets: Keys, emails: EmailSettings, limits: RateLimits) -> Self {
        Self {
            secrets,
            emails,
            limits,
            budget: ReplacementBudget::default(),
            imports: Arc::new(Semaphore::new(IMPORTS)),
        }
    }

    /// Sets what may be spent on replacements of faulty keys; without it, none are bought.
    #[must_use]
    pub fn with_budget(self, budget: ReplacementBudget) -> Self {
        Self { budget, ..self }
    }

    fn sealed(&self, id: KeyId, input: &KeyInput) -> SealedText {
        let text = input.text();
        SealedText {
            sealed: self.secrets.seal(&place(id), text.as_bytes()),
            hashes: self.hashes(text),
            is_file: matches!(input, KeyInput::File(_)),
        }
    }

    pub(crate) fn hashes(&self, text: &str) -> Vec<[u8; 32]> {
        self.secrets.hashes(HASH, &[text.as_bytes()]).collect()
    }

    /// `None` if no secret opens it.
    fn open(&self, id: KeyId, sealed: &[u8]) -> Option<Secret> {
        let plain = self.secrets.open(&place(id), sealed).ok()?;
        Some(Secret::new(String::from_utf8(plain).ok()?))
    }

    /// A stored key as it may be shown in a list.
    pub(crate) fn masked(&self, id: KeyId, sealed: &[u8], is_file: bool) -> String {
        let key = self.open(id, sealed).filter(|_| !is_file);
        key.map_or_else(|| MASKED_KEY.to_owned(), |key| masked(key.expose()))
    }

    /// The row as `by` may see it.
    fn shown(&self, by: &Admin, mut row: GameKeyRow, sealed: &[u8]) -> GameKeyRow {
        if !row.is_file
            && let Some(key) = self.open(KeyId(row.id), sealed)
        {
            row.key = masked(key.expose());
        }
        if !by.may(Permission::OrdersRead)
            && let Some(order) = &mut row.order
        {
            order.user = None;
        }
        row
    }

    fn shown_of(&self, by: &Admin, stored: Stored) -> GameKeyRow {
        self.shown(by, stored.row, &stored.sealed)
    }
}

/// A key that staff enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyInput {
    /// Its text.
    Text(KeyText),
    /// A file in base64.
    File(Secret),
}

impl KeyInput {
    /// Checks a file in base64, of at most 64 KiB.
    ///
    /// # Errors
    /// [`KeyFault::Missing`], [`KeyFault::FileTooLong`], [`KeyFault::NotBase64`].
    pub fn file(base64: &str) -> Result<Self, KeyFault> {
        let bytes = BASE64.decode(base64.trim()).map_err(|_| KeyFault::NotBase64)?;
        if bytes.is_empty() {
            return Err(KeyFault::Missing);
        }
        if bytes.len() > MAX_FILE {
            return Err(KeyFault::FileTooLong);
        }
        // One form for one file, so that it is found again.
        Ok(Self::File(Secret::new(BASE64.encode(bytes))))
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text.expose(),
            Self::File(base64) => base64.expose(),
        }
    }
}

/// Which keys to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Of this game.
    pub game: Option<GameId>,
    /// Of this order.
    pub order: Option<OrderId>,
    /// Those that count as used, or the others.
    pub activated: Option<bool>,
    /// A whole key, the id of a key or an order, an order's number, or a part of a game's title.
    pub search: Option<Secret>,
}

/// A key for the shop's own stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGameKey {
    /// Its game.
    pub game: GameId,
    /// The key.
    pub key: KeyInput,
    /// What it cost, EUR.
    pub cost: Option<Money>,
    /// `Some` if it counts as used: since when, `None` for now.
    pub activated: Option<Option<DateTime<Utc>>>,
}

/// What to change about a key; `None` where it stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GameKeyChange {
    /// Its game.
    pub game: Option<GameId>,
    /// What a form says its text is; as it was shown, masked, it changes nothing.
    pub key: Option<Secret>,
    /// Whether that text is a file in base64; `None`: as it was.
    pub is_file: Option<bool>,
    /// The order that it is said to belong to; inner `None`: none.
    pub order: Option<Option<OrderId>>,
    /// What it cost, EUR; inner `None`: not known.
    pub cost: Option<Option<Money>>,
    /// Whether it counts as used.
    pub activated: Option<bool>,
    /// Since when.
    pub activation_date: Option<DateTime<Utc>>,
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyChangeError {
    /// The text is no key.
    #[error("{0}")]
    Key(KeyFault),
    /// The change is not possible.
    #[error(transparent)]
    Refused(#[from] KeyError),
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum KeyImportError {
    /// The file cannot be read.
    #[error("{0} Nothing was imported.")]
    File(CsvFault),
    /// It has no line with a key.
    #[error("The file has no keys.")]
    Empty,
    /// It is larger than [`MAX_IMPORT_BYTES`] or has more lines than an import may have.
    #[error("An import has at most 500,000 lines and 64 MB. Nothing was imported.")]
    TooLarge,
    /// The upload ended early or stood still.
    #[error("The upload was interrupted. Nothing was imported.")]
    Interrupted,
    /// The sender's session or token has ended meanwhile, or they have lost the permission.
    #[error("Forbidden")]
    NotAllowed,
    /// Others import at the moment.
    #[error("Other imports are running. Try again when they have ended.")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] lockstep_store::StoreError),
}

/// Why a key was not shown.
#[derive(Debug, thiserror::Error)]
pub enum RevealError {
    /// Too many were shown.
    #[error(transparent)]
    Limit(#[from] AuthError),
    /// There is no such key, or the database failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No secret opens it.
    #[error("No secret of LOCKSTEP_KEY_SECRET opens this key.")]
    Unreadable,
}

fn by(admin: &Admin) -> By {
    By::Staff(admin.caller().user())
}

impl BackOffice {
    /// Lists keys, masked.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.game_keys", skip_all)]
    pub async fn game_keys(&self, by: &Admin, filter: &KeyFilter, page: Page) -> Result<GameKeyList> {
        let search = filter.search.as_ref().map(|text| Search {
            hashes: self.keys.hashes(text.expose().trim()),
            text: text.expose().to_owned(),
        });
        let filter = Filter {
            game: filter.game,
            order: filter.order,
            activated: filter.activated,
            search,
        };
        let read = self
            .store
            .read(|tx| Box::pin(async move { keys::list(tx, &filter, page).await }))
            .await?;
        let (list, sealed) = read.value;
        let keys = list.keys.into_iter().zip(&sealed);
        Ok(GameKeyList {
            keys: keys.map(|(row, sealed)| self.keys.shown(by, row, sealed)).collect(),
            paging: list.paging,
        })
    }

    /// A key, masked.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.game_key", skip_all, fields(key = %id))]
    pub async fn game_key(&self, by: &Admin, id: KeyId) -> Result<Option<GameKeyRow>> {
        let read = self.store.read(|tx| Box::pin(keys::detail(tx, id))).await?;
        Ok(read.value.map(|stored| self.keys.shown_of(by, stored)))
    }

    /// Figures about all keys.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.game_key_statistics", skip_all)]
    pub async fn game_key_statistics(&self, _by: &Admin) -> Result<GameKeyStatistics> {
        Ok(self.store.read(|tx| Box::pin(keys::statistics(tx))).await?.value)
    }

    /// Adds a key to the shop's own stock. Recorded in the audit log.
    ///
    /// # Errors
    /// [`KeyError`].
    #[tracing::instrument(name = "admin.create_game_key", skip_all)]
    pub async fn create_game_key(&self, admin: &Admin, new: &NewGameKey) -> Result<GameKeyRow, KeyError> {
        let id = KeyId(uuid::Uuid::now_v7());
        let new = NewKey {
            id,
            game: new.game,
            text: self.keys.sealed(id, &new.key),
            cost: new.cost,
            activated: new.activated,
        };
        let made = keys::create(&self.store, &by(admin), &new).await?;
        Ok(self.keys.shown_of(admin, made))
    }

    /// Changes a key, as far as it says afterwards what happened. Recorded in the audit log.
    ///
    /// # Errors
    /// [`KeyChangeError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.change_game_key", skip_all, fields(key = %id))]
    pub async fn change_game_key(
        &self,
        admin: &Admin,
        id: KeyId,
        change: &GameKeyChange,
    ) -> Result<GameKeyRow, KeyChangeError> {
        let text = match &change.key {
            Some(key) => self.changed_text(admin, id, key.expose(), change.is_file).await?,
            None => None,
        };
        let change = KeyChange {
            game: change.game,
            text,
            order: change.order,
            cost: change.cost,
            activated: change.activated,
            activation_date: change.activation_date,
        };
        let changed = keys::change(&self.store, &by(admin), id, &change).await?;
        Ok(self.keys.shown_of(admin, changed))
    }

    /// The text that a form gives a key; `None` if it is the masked one that it was shown.
    async fn changed_text(
        &self,
        admin: &Admin,
        id: KeyId,
        key: &str,
        is_file: Option<bool>,
    ) -> Result<Option<SealedText>, KeyChangeError> {
        let now = self.game_key(admin, id).await.map_err(KeyError::from)?;
        let now = now.ok_or(KeyError::NotFound)?;
        if key == now.key || key == MASKED_KEY {
            return Ok(None);
        }
        let input = if is_file.unwrap_or(now.is_file) {
            KeyInput::file(key)
        } else {
            KeyText::new(key).map(KeyInput::Text)
        };
        Ok(Some(self.keys.sealed(id, &input.map_err(KeyChangeError::Key)?)))
    }

    /// Deletes a key of own stock that was never shown. Recorded in the audit log.
    ///
    /// # Errors
    /// [`KeyError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.delete_game_key", skip_all, fields(key = %id))]
    pub async fn delete_game_key(&self, admin: &Admin, id: KeyId) -> Result<(), KeyError> {
        keys::delete(&self.store, &by(admin), id).await
    }

    /// Shows a key in clear text, after recording who sees it and why. Thirty in a row, then one a minute.
    ///
    /// # Errors
    /// [`RevealError`]; then nothing is shown.
    #[tracing::instrument(name = "admin.reveal_game_key", skip_all, fields(key = %id))]
    pub async fn reveal_game_key(&self, admin: &Admin, id: KeyId, reason: &str) -> Result<RevealedKey, RevealError> {
        let staff = admin.caller().user();
        self.keys.limits.take_user(&[REVEAL], staff).await?;
        let stored = keys::reveal_to_staff(&self.store, staff, id, reason).await?;
        let key = self.keys.open(id, &stored.sealed).ok_or(RevealError::Unreadable)?;
        Ok(RevealedKey {
            id: id.0,
            key,
            is_file: stored.row.is_file,
        })
    }

    /// Gives the unit of a faulty key another one from own stock, whose owner gets an e-mail; else begins to buy one. Recorded in
    /// the audit log.
    ///
    /// # Errors
    /// [`ReplaceError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.replace_game_key", skip_all, fields(key = %id))]
    pub async fn replace_game_key(
        &self,
        admin: &Admin,
        id: KeyId,
        reason: &str,
    ) -> Result<GameKeyReplacement, ReplaceError> {
        let (budget, emails) = (self.keys.budget, &self.keys.emails);
        let done = replace(&self.store, &by(admin), id, reason, budget, emails).await?;
        let row = async |id| self.game_key(admin, id).await?.ok_or(ReplaceError::NotFound);
        let replacement = match done {
            Replaced::Own(new) => Some(row(new).await?),
            Replaced::Buying => None,
        };
        Ok(GameKeyReplacement {
            replaced: row(id).await?,
            buying: replacement.is_none(),
            replacement,
        })
    }

    /// How a key would be replaced now.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    #[tracing::instrument(name = "admin.replacement_way", skip_all, fields(key = %id))]
    pub async fn replacement_way(&self, _by: &Admin, id: KeyId) -> Result<ReplacementWay> {
        let budget = self.keys.budget;
        let read = self
            .store
            .read(|tx| Box::pin(async move { replacement_way(tx, id, budget).await }));
        Ok(read.await?.value)
    }

    /// Imports the keys of a CSV file into the shop's own stock while the file arrives: all that are not refused, or, if
    /// anything fails, none. Recorded in the audit log. With `dry_run`, only says what would happen.
    ///
    /// # Errors
    /// [`KeyImportError`]; then nothing is stored.
    #[tracing::instrument(name = "admin.import_game_keys", skip_all)]
    pub async fn import_game_keys<B: AsRef<[u8]>, E>(
        &self,
        admin: &Admin,
        file: impl Stream<Item = Result<B, E>> + Send,
        dry_run: bool,
    ) -> Result<GameKeyImport, KeyImportError> {
        let _place = self.keys.imports.try_acquire().map_err(|_| KeyImportError::Busy)?;
        let mut import = KeyImport::begin(&self.store).await?;
        let (mut reader, mut lines, mut refusals) = (KeyLines::new(), Vec::new(), Refusals::default());
        let (mut bytes, mut count) = (0_u64, 0_u64);
        let mut file = std::pin::pin!(file);
        let (mut looked, mut unlooked) = (Instant::now(), 0_usize);
        loop {
            // A file may take ten minutes: whether its sender may still send it is asked for again.
            if unlooked >= LOOK_AFTER_BYTES || looked.elapsed() >= LOOK_AFTER {
                self.may_import(admin).await?;
                (looked, unlooked) = (Instant::now(), 0);
            }
            let part = tokio::time::timeout(NEXT_PART, file.next()).await;
            let part = part.map_err(|_| KeyImportError::Interrupted)?;
            let part = part.transpose().map_err(|_| KeyImportError::Interrupted)?;
            match &part {
                Some(part) => {
                    unlooked = unlooked.saturating_add(part.as_ref().len());
                    bytes += u64::try_from(part.as_ref().len()).unwrap_or(u64::MAX);
                    reader.push(part.as_ref(), &mut lines)
                }
                None => reader.end(&mut lines),
            }
            .map_err(KeyImportError::File)?;
            count += u64::try_from(lines.len()).unwrap_or(u64::MAX);
            if bytes > MAX_IMPORT_BYTES || count > MAX_IMPORT_LINES {
                return Err(KeyImportError::TooLarge);
            }
            for line in lines.drain(..) {
                match line {
                    Ok(line) => {
                        let id = KeyId(uuid::Uuid::now_v7());
                        let text = self.keys.sealed(id, &KeyInput::Text(line.key));
                        let key = ImportedKey {
                            line: line.line,
                            game: line.game,
                            id,
                            sealed: text.sealed,
                            hashes: text.hashes,
                            cost: line.cost,
                        };
                        import.add(&key).await?;
                    }
                    Err(refused) => refusals.add(refused),
                }
            }
            if part.is_none() {
                break;
            }
        }
        if count == 0 {
            return Err(KeyImportError::Empty);
        }
        self.may_import(admin).await?;
        Ok(import.finish(&by(admin), dry_run, refusals).await?)
    }

    /// Whether the session or token of an import is still valid, and its owner may import.
    async fn may_import(&self, admin: &Admin) -> Result<(), KeyImportError> {
        let (user, session) = (admin.caller().user(), admin.caller().session());
        if staff::goes_on(&self.store, user, session, Permission::KeysWrite).await? {
            Ok(())
        } else {
            Err(KeyImportError::NotAllowed)
        }
    }
}
