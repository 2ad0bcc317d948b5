//! Consent to deliver keys before the withdrawal period ends (2011/83/EU, Art. 16 (m)): its wordings, and who asks for it.
//!
//! A wording never changes: another text is another version, and both stay. An order keeps the text that was shown.

use crate::language::Language;

/// One version of the wording, in each language that it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wording {
    /// The version.
    pub version: &'static str,
    /// Texts by ISO 639-1 code; the first one is shown in languages that have none.
    pub texts: &'static [(&'static str, &'static str)],
}

/// Every version that was ever shown, the newest first.
pub const WORDINGS: &[Wording] = &[Wording {
    version: "2026-06",
    texts: &[
        (
            "en",
            "I expressly ask for my keys before the withdrawal period ends. I know that I lose my right of withdrawal once \
             they are provided.",
        ),
        (
            "de",
            "Ich verlange ausdrücklich, dass mir die Keys vor Ablauf der Widerrufsfrist bereitgestellt werden. Mir ist \
             bekannt, dass mein Widerrufsrecht mit der Bereitstellung erlischt.",
        ),
        (
            "fr",
            "Je demande expressément que mes clés me soient fournies avant la fin du délai de rétractation. Je sais que je \
             perds mon droit de rétractation dès qu’elles sont fournies.",
        ),
        (
            "es",
            "Pido expresamente que se me faciliten mis claves antes de que termine el plazo de desistimiento. Sé que pierdo \
             mi derecho de desistimiento en cuanto se me faciliten.",
        ),
        (
            "pl",
            "Wyraźnie żądam dostarczenia mi kluczy przed upływem terminu do odstąpienia od umowy. Wiem, że z chwilą ich \
             dostarczenia tracę prawo odstąpienia od umowy.",
        ),
    ],
}];

impl Wording {
    /// The version that is shown now.
    pub const fn current() -> &'static Self {
        #[expect(clippy::indexing_slicing, reason = "there is a wording, which the compiler checks")]
        const NEWEST: &Wording = &WORDINGS[0];
        NEWEST
    }

    /// A version by its name.
    pub fn of_version(version: &str) -> Option<&'static Self> {
        WORDINGS.iter().find(|wording| wording.version == version)
    }

    /// The text in a language, exactly.
    pub fn text(&self, code: &str) -> Option<(&'static str, &'static str)> {
        self.texts.iter().find(|(known, _)| *known == code).copied()
    }

    /// The text that a reader of `language` is shown, with the language that it is in.
    pub fn shown(&self, language: Language) -> (&'static str, &'static str) {
        self.text(language.code())
            .or_else(|| self.texts.first().copied())
            .unwrap_or(("en", ""))
    }
}

/// What a shopper has agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedWording {
    /// Version of the wording.
    pub version: &'static str,
    /// ISO 639-1 code of the language that it was shown in.
    pub language: &'static str,
    /// The text.
    pub text: &'static str,
    /// IP address of the client, if it is known.
    pub address: Option<String>,
    /// User agent of the client, if it sent one.
    pub user_agent: Option<String>,
}

/// The consent of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// The shopper has agreed to a wording.
    Shopper(AgreedWording),
    /// The operator's front-end asks, and does not say what.
    Front,
    /// Nobody is asked, in development.
    Development,
}

impl Consent {
    /// Its name in the database.
    pub const fn source(&self) -> &'static str {
        match self {
            Self::Shopper(_) => "shopper",
            Self::Front => "front",
            Self::Development => "development",
        }
    }

    /// The wording that the shopper has agreed to.
    pub const fn wording(&self) -> Option<&AgreedWording> {
        match self {
            Self::Shopper(wording) => Some(wording),
            Self::Front | Self::Development => None,
        }
    }
}

/// Who asks for consent (`LOCKSTEP_CONSENT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConsentMode {
    /// The shop: keys of an order without consent wait until its customer consents on its page.
    #[default]
    Required,
    /// The operator's front-end.
    Front,
    /// Nobody.
    Development,
}

impl ConsentMode {
    /// Its name in settings and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Front => "front",
            Self::Development => "development",
        }
    }

    /// The consent of an order that comes without one.
    pub const fn unasked(self) -> Option<Consent> {
        match self {
            Self::Required => None,
            Self::Front => Some(Consent::Front),
            Self::Development => Some(Consent::Development),
        }
    }
}

impl std::str::FromStr for ConsentMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "required" => Ok(Self::Required),
            "front" => Ok(Self::Front),
            "development" => Ok(Self::Development),
            _ => Err("it has to be required, front or development"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_differ_and_fit_their_columns() {
        for (place, wording) in WORDINGS.iter().enumerate() {
            assert!(
                WORDINGS
                    .iter()
                    .skip(place + 1)
                    .all(|other| other.version != wording.version)
            );
            assert!((1..=40).contains(&wording.version.len()));
            assert!(wording.text("en").is_some() && wording.text("de").is_some());
            for (code, text) in wording.texts {
                assert!(
                    (2..=10).contains(&code.len()) && (20..=2000).contains(&text.chars().count()),
                    "{code}"
                );
            }
        }
    }

    #[test]
    fn each_mode_reads_its_own_name() {
        for mode in [ConsentMode::Required, ConsentMode::Front, ConsentMode::Development] {
            assert_eq!(mode.as_str().parse(), Ok(mode));
            assert_eq!(
                mode.unasked().map(|consent| consent.source()),
                Some(mode.as_str()).filter(|name| *name != "required")
            );
        }
        assert!("off".parse::<ConsentMode>().is_err());
    }
}
