//! Names of games in the reader's lists: the name, and less prominently which offer of it was chosen.

use std::fmt::{self, Display};

use lockstep_domain::title;

use crate::i18n::Language;

/// The name of a product in the reader's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Title {
    name: String,
    offer: String,
}

impl Title {
    pub(crate) fn new(words: Language, text: &str) -> Self {
        let title = title::Title::new(text);
        Self {
            name: title.name().to_owned(),
            offer: title.offer(words.speech()),
        }
    }

    /// The name of the game.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The offer: `Steam · United States`; often empty.
    pub(crate) fn offer(&self) -> &str {
        &self.offer
    }
}

impl Display for Title {
    /// Both on one line: `Portal 2 (Steam · United States)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.offer.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.offer)
        }
    }
}
