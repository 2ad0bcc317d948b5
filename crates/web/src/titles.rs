//! What a game is called on lists of one's own: its name, and more quietly which offer of it was chosen.

use std::fmt::{self, Display};

use lockstep_domain::title;

use crate::i18n::Language;

/// A product's name in the reader's words.
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

    /// The game's own name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Which offer it is: `Steam · United States`; often nothing.
    pub(crate) fn offer(&self) -> &str {
        &self.offer
    }
}

impl Display for Title {
    /// Both in one line: `Portal 2 (Steam · United States)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.offer.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.offer)
        }
    }
}
