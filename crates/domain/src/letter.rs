//! The letters that Lockstep writes to people: which there are, and what each has to know.
//!
//! A letter waits in the queue as data and becomes text when it is sent, so that a template can be mended while letters
//! wait. Codes and links are [`Secret`]: the queue holds them until the letter is sent and blanks them then.

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::money::Money;
use crate::order::RefundReason;
use crate::secret::Secret;

/// One letter. In the queue it is stored as JSON with its name under `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Letter {
    /// After registration.
    Welcome {
        /// How the person wants to be called.
        nickname: String,
        /// Six digits that prove that the address is theirs.
        code: Secret,
        /// How long the code is good for, in minutes.
        minutes: u32,
    },
    /// A code to prove an address with, asked for again.
    Verification {
        /// How the person wants to be called.
        nickname: String,
        /// Six digits.
        code: Secret,
        /// How long the code is good for, in minutes.
        minutes: u32,
    },
    /// A link to set a new password with.
    Reset {
        /// How the person wants to be called.
        nickname: String,
        /// What the link carries; the address of the shop is put before it when the letter is written.
        token: Secret,
        /// How long the link is good for, in minutes.
        minutes: u32,
    },
    /// An order was placed and paid for.
    OrderReceived {
        /// How the person wants to be called.
        nickname: String,
        /// The order, `orders.id`.
        order: String,
        /// Its short number.
        #[serde(default)]
        number: Option<String>,
        /// What was paid, EUR.
        #[serde(with = "amount")]
        total: Money,
        /// What a promo code took off, EUR.
        #[serde(default, with = "amount_or_none")]
        discount: Option<Money>,
        /// What was ordered, one line a game.
        lines: Vec<OrderedLine>,
    },
    /// Money arrived on the balance.
    TopUp {
        /// How the person wants to be called.
        nickname: String,
        /// What arrived, EUR.
        #[serde(with = "amount")]
        amount: Money,
        /// The balance afterwards, EUR.
        #[serde(with = "amount")]
        balance: Money,
    },
    /// The password was changed.
    PasswordChanged {
        /// How the person wants to be called.
        nickname: String,
    },
    /// Somebody logged in from a place where this account has not been used before.
    NewDevice {
        /// How the person wants to be called.
        nickname: String,
        /// Network address of the device, if known.
        address: Option<String>,
        /// What the device says it is, if it says so.
        user_agent: Option<String>,
    },
    /// Keys of an order can be had.
    KeysReady {
        /// How the person wants to be called.
        nickname: String,
        /// The order, `orders.id`.
        order: String,
        /// Its short number.
        #[serde(default)]
        number: Option<String>,
        /// What was delivered, one line a copy.
        copies: Vec<DeliveredCopy>,
    },
    /// Money went back to the balance.
    Refund {
        /// How the person wants to be called.
        nickname: String,
        /// The order, `orders.id`.
        order: String,
        /// Its short number.
        #[serde(default)]
        number: Option<String>,
        /// What went back, EUR.
        #[serde(with = "amount")]
        amount: Money,
        /// What it was for, one line a copy.
        copies: Vec<RefundedCopy>,
    },
    /// Logging in needs a second factor from now on.
    SecondFactorAdded {
        /// How the person wants to be called.
        nickname: String,
    },
    /// The second factor was taken away by its owner, or because whoever set it up had not proved the address.
    SecondFactorRemoved {
        /// How the person wants to be called.
        nickname: String,
    },
    /// The operator took the second factor away because its owner had lost it.
    SecondFactorReset {
        /// How the person wants to be called.
        nickname: String,
    },
    /// The account is gone.
    AccountDeleted {
        /// How the person wanted to be called.
        nickname: String,
        /// In which language they read (ISO 639-1), since no account says so any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// A game that the person waited for can be bought again. Written by the database (`tell_back_in_stock`).
    BackInStock {
        /// How the person wants to be called.
        nickname: String,
        /// Title of the game.
        title: String,
        /// The readable part of its address.
        slug: String,
        /// What it costs, EUR.
        #[serde(with = "amount")]
        price: Money,
    },
}

/// A copy in [`Letter::KeysReady`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveredCopy {
    /// Title of the game.
    pub title: String,
    /// The key itself, only where the operator chose that letters carry it. Never for a file.
    pub key: Option<Secret>,
}

/// A copy whose money went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundedCopy {
    /// Title of the game.
    pub title: String,
    /// Why, where that is known.
    #[serde(default)]
    pub reason: Option<RefundReason>,
    /// What it had cost, EUR.
    #[serde(default, with = "amount_or_none")]
    pub price: Option<Money>,
}

/// A line of [`Letter::OrderReceived`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedLine {
    /// Title of the game.
    pub title: String,
    /// Copies.
    pub quantity: u32,
    /// What a copy costs, EUR, before a promo code.
    #[serde(default, with = "amount_or_none")]
    pub price: Option<Money>,
}

impl Letter {
    /// The [`kind`](Self::kind) of every letter that this version knows.
    pub const KINDS: &[&str] = &[
        "welcome",
        "verification",
        "reset",
        "order-received",
        "top-up",
        "password-changed",
        "new-device",
        "keys-ready",
        "refund",
        "second-factor-added",
        "second-factor-removed",
        "second-factor-reset",
        "account-deleted",
        "back-in-stock",
    ];

    /// Whether somebody else could use what it holds: a code, a link, a key.
    pub fn holds_a_secret(&self) -> bool {
        match self {
            Self::Welcome { .. } | Self::Verification { .. } | Self::Reset { .. } => true,
            Self::KeysReady { copies, .. } => copies.iter().any(|copy| copy.key.is_some()),
            _ => false,
        }
    }

    /// The language that the e-mail itself names. Any other is written in its account's.
    pub fn language(&self) -> Option<Language> {
        match self {
            Self::AccountDeleted { language, .. } => Language::of_code(language.as_deref()?),
            _ => None,
        }
    }

    /// The name under which the queue keeps it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Verification { .. } => "verification",
            Self::Reset { .. } => "reset",
            Self::OrderReceived { .. } => "order-received",
            Self::TopUp { .. } => "top-up",
            Self::PasswordChanged { .. } => "password-changed",
            Self::NewDevice { .. } => "new-device",
            Self::KeysReady { .. } => "keys-ready",
            Self::Refund { .. } => "refund",
            Self::SecondFactorAdded { .. } => "second-factor-added",
            Self::SecondFactorRemoved { .. } => "second-factor-removed",
            Self::SecondFactorReset { .. } => "second-factor-reset",
            Self::AccountDeleted { .. } => "account-deleted",
            Self::BackInStock { .. } => "back-in-stock",
        }
    }
}

/// Amounts as text: a letter's fields are read out of a buffer by their `kind`, where the digits of a bare number are not to
/// be had any more.
mod amount {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::money::Money;

    pub(super) fn serialize<S: Serializer>(amount: &Money, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The same for an amount that older letters do not hold.
mod amount_or_none {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::money::Money;

    #[expect(clippy::ref_option, reason = "serde passes the field by reference")]
    pub(super) fn serialize<S: Serializer>(amount: &Option<Money>, serializer: S) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => serializer.collect_str(amount),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_survives_the_queue_and_its_debug_output_hides_the_code() {
        let letter = Letter::Verification {
            nickname: "Ada".into(),
            code: Secret::new("123456"),
            minutes: 30,
        };
        let stored = serde_json::to_value(&letter).unwrap();
        assert_eq!(stored["kind"], letter.kind());
        assert_eq!(serde_json::from_value::<Letter>(stored).unwrap(), letter);
        assert!(!format!("{letter:?}").contains("123456"));
    }

    #[test]
    fn every_kind_is_known() {
        // The next one is not written before this is extended: `kind` does not compile without it.
        assert_eq!(Letter::KINDS.len(), 14);
        for kind in Letter::KINDS {
            let why = serde_json::from_value::<Letter>(serde_json::json!({ "kind": kind })).unwrap_err();
            assert!(why.to_string().contains("missing field"), "{kind}: {why}");
        }
    }

    #[test]
    fn letters_about_money_survive_the_queue() {
        let nickname = || "Ada".to_owned();
        let letters = [
            Letter::OrderReceived {
                nickname: nickname(),
                order: "0197".into(),
                number: Some("0123456789".into()),
                total: "30.25".parse().unwrap(),
                discount: Some("0.25".parse().unwrap()),
                lines: vec![OrderedLine {
                    title: "Portal".into(),
                    quantity: 3,
                    price: None,
                }],
            },
            Letter::TopUp {
                nickname: nickname(),
                amount: "25".parse().unwrap(),
                balance: "9999999999.99".parse().unwrap(),
            },
            Letter::KeysReady {
                nickname: nickname(),
                order: "0197".into(),
                number: None,
                copies: vec![DeliveredCopy {
                    title: "Portal".into(),
                    key: None,
                }],
            },
            Letter::Refund {
                nickname: nickname(),
                order: "0197".into(),
                number: None,
                amount: "0.01".parse().unwrap(),
                copies: vec![RefundedCopy {
                    title: "Portal".into(),
                    reason: Some(RefundReason::SoldOut),
                    price: Some("0.01".parse().unwrap()),
                }],
            },
            Letter::BackInStock {
                nickname: nickname(),
                title: "Portal".into(),
                slug: "portal".into(),
                price: "9.99".parse().unwrap(),
            },
        ];
        // One that was written before letters had numbers and prices.
        let before = serde_json::json!({"kind": "order-received", "nickname": "Ada", "order": "0197", "total": "3.00",
            "lines": [{"title": "Portal", "quantity": 1}]});
        let Letter::OrderReceived { number, lines, .. } = serde_json::from_value(before).unwrap() else {
            panic!("another letter");
        };
        assert_eq!((number, lines[0].price), (None, None));
        for letter in letters {
            let stored = serde_json::to_value(&letter).unwrap();
            assert_eq!(serde_json::from_value::<Letter>(stored).unwrap(), letter);
        }
    }
}
