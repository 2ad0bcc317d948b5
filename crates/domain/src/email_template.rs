//! The transactional e-mails: their kinds, and the data of each.
//!
//! An e-mail is queued as data and rendered when it is sent, so that a template can be corrected while e-mails wait.
//! Codes and links are [`Secret`]: the queue holds them until the e-mail is sent and then erases them.

use serde::{Deserialize, Serialize};

use crate::ids::OrderId;
use crate::language::Language;
use crate::money::Money;
use crate::order::RefundReason;
use crate::pending_checkout::CheckoutReason;
use crate::secret::Secret;

/// What stands in place of a key, a code or a token.
const MASKED_SECRET: &str = "••••••••";

/// One e-mail. The queue stores it as JSON with its name under `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum EmailTemplate {
    /// Sent after registration.
    Welcome {
        /// The recipient's display name.
        nickname: String,
        /// Six digits that prove that the address is theirs. `None`: it is proved, or a later e-mail has the code.
        #[serde(default)]
        code: Option<Secret>,
        /// How long the code is good for, in minutes.
        minutes: u32,
    },
    /// Another code to verify an address, on request.
    Verification {
        /// The recipient's display name.
        nickname: String,
        /// Six-digit code.
        code: Secret,
        /// Lifetime of the code, in minutes.
        minutes: u32,
    },
    /// A link to reset the password.
    Reset {
        /// The recipient's display name.
        nickname: String,
        /// The link's token; rendering puts the shop's URL before it.
        token: Secret,
        /// Lifetime of the link, in minutes.
        minutes: u32,
    },
    /// An order was placed and paid for.
    OrderReceived {
        /// The recipient's display name.
        nickname: String,
        /// The order, `orders.id`.
        order: String,
        /// Its order number.
        #[serde(default)]
        number: Option<String>,
        /// Amount paid, EUR.
        #[serde(with = "amount")]
        total: Money,
        /// Discount by a promo code, EUR.
        #[serde(default, with = "amount_or_none")]
        discount: Option<Money>,
        /// The ordered games, one entry each.
        lines: Vec<OrderedLine>,
        /// The wording that the customer has consented to, as confirmation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        consent: Option<String>,
        /// The keys wait until the customer consents on the order's page.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        needs_consent: bool,
    },
    /// An order was paid for and could not be placed: the money is on the balance, and the shopper decides.
    OrderNotPlaced {
        /// The recipient's display name.
        nickname: String,
        /// The checkout, `pending_checkouts.top_up_id`.
        checkout: String,
        /// Why.
        reason: CheckoutReason,
        /// Total of the order as it was shown, EUR.
        #[serde(with = "amount")]
        total: Money,
        /// Balance, EUR.
        #[serde(with = "amount")]
        balance: Money,
    },
    /// A top-up was credited to the balance.
    TopUp {
        /// The recipient's display name.
        nickname: String,
        /// Amount credited, EUR.
        #[serde(with = "amount")]
        amount: Money,
        /// New balance, EUR.
        #[serde(with = "amount")]
        balance: Money,
    },
    /// The password was changed.
    PasswordChanged {
        /// The recipient's display name.
        nickname: String,
    },
    /// A login from a device that is new for this account.
    NewDevice {
        /// The recipient's display name.
        nickname: String,
        /// IP address of the device, if known.
        address: Option<String>,
        /// User agent of the device, if it sent one.
        user_agent: Option<String>,
    },
    /// Keys of an order are available.
    KeysReady {
        /// The recipient's display name.
        nickname: String,
        /// The order, `orders.id`.
        order: String,
        /// Its order number.
        #[serde(default)]
        number: Option<String>,
        /// The delivered units, one entry each.
        copies: Vec<DeliveredCopy>,
        /// The keys wait until the customer consents on the order's page.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        needs_consent: bool,
    },
    /// The customer has consented on the order's page: the confirmation.
    ConsentConfirmed {
        /// The recipient's display name.
        nickname: String,
        /// The order, `orders.id`.
        order: String,
        /// Its order number.
        number: String,
        /// The wording.
        consent: String,
    },
    /// A withdrawal from a contract has arrived: the acknowledgement, sent to whoever declared it.
    WithdrawalReceived {
        /// The name that was given.
        nickname: String,
        /// The order number as it was given.
        reference: String,
        /// The contact address that was given.
        contact: String,
        /// Day and time of arrival, with its zone.
        at: String,
        /// In which language it was declared (ISO 639-1).
        language: String,
    },
    /// Staff have decided about a withdrawal.
    WithdrawalDecided {
        /// The name that was given.
        nickname: String,
        /// The order number as it was given.
        reference: String,
        /// Accepted, or else refused.
        is_accepted: bool,
        /// What staff say about it.
        reason: Option<String>,
        /// Refunded to the balance, EUR.
        #[serde(with = "amount")]
        refunded: Money,
        /// Of it, refunded to the card, EUR.
        #[serde(default, with = "amount_or_none")]
        to_card: Option<Money>,
        /// In which language it was declared (ISO 639-1).
        language: String,
    },
    /// Money was refunded to the balance.
    Refund {
        /// The recipient's display name.
        nickname: String,
        /// The order, `orders.id`.
        order: String,
        /// Its order number.
        #[serde(default)]
        number: Option<String>,
        /// Amount refunded, EUR.
        #[serde(with = "amount")]
        amount: Money,
        /// The refunded units, one entry each.
        copies: Vec<RefundedCopy>,
    },
    /// Two-factor authentication was enabled.
    SecondFactorAdded {
        /// The recipient's display name.
        nickname: String,
    },
    /// Two-factor authentication was disabled by the user, or because it was set up before the address was verified.
    SecondFactorRemoved {
        /// The recipient's display name.
        nickname: String,
    },
    /// The operator reset two-factor authentication because the user had lost the device.
    SecondFactorReset {
        /// The recipient's display name.
        nickname: String,
    },
    /// The account was deleted.
    AccountDeleted {
        /// The recipient's display name.
        nickname: String,
        /// In which language they read (ISO 639-1), since no account says so any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// Something that staff tell many: no deed of its reader causes it, so it can be unsubscribed from.
    Announcement {
        /// The recipient's display name; empty if they have no account.
        nickname: String,
        /// Subject.
        title: String,
        /// Text; empty if the template says everything.
        message: String,
        /// Where the button leads.
        link: Option<String>,
        /// The token of the unsubscribe link.
        unsubscribe: Secret,
    },
    /// A game with a stock alert can be bought again. Queued by the database (`tell_back_in_stock`).
    BackInStock {
        /// The recipient's display name.
        nickname: String,
        /// Title of the game.
        title: String,
        /// URL slug.
        slug: String,
        /// Price, EUR.
        #[serde(with = "amount")]
        price: Money,
    },
}

/// A unit in [`EmailTemplate::KeysReady`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveredCopy {
    /// Title of the game.
    pub title: String,
    /// The key itself, only if the operator chose to send keys by e-mail. Never for a file.
    pub key: Option<Secret>,
}

/// A refunded unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundedCopy {
    /// Title of the game.
    pub title: String,
    /// Reason, if known.
    #[serde(default)]
    pub reason: Option<RefundReason>,
    /// Amount paid for it, EUR.
    #[serde(default, with = "amount_or_none")]
    pub price: Option<Money>,
}

/// An item of [`EmailTemplate::OrderReceived`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedLine {
    /// Title of the game.
    pub title: String,
    /// Quantity.
    pub quantity: u32,
    /// Unit price before a promo code, EUR.
    #[serde(default, with = "amount_or_none")]
    pub price: Option<Money>,
}

impl EmailTemplate {
    /// The [`kind`](Self::kind) of every e-mail of this version.
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
        "announcement",
        "consent-confirmed",
        "withdrawal-received",
        "withdrawal-decided",
        "order-not-placed",
    ];

    /// Whether it contains something that a third party could use: a code, a link or a key.
    pub fn holds_a_secret(&self) -> bool {
        match self {
            Self::Welcome { .. } | Self::Verification { .. } | Self::Reset { .. } | Self::Announcement { .. } => true,
            Self::KeysReady { copies, .. } => copies.iter().any(|copy| copy.key.is_some()),
            _ => false,
        }
    }

    /// The order that it is about.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::OrderReceived { order, .. }
            | Self::KeysReady { order, .. }
            | Self::ConsentConfirmed { order, .. }
            | Self::Refund { order, .. } => order.parse().ok(),
            _ => None,
        }
    }

    /// What staff may read of it: keys, codes and tokens are masked, everything else is as its reader gets it.
    #[must_use]
    pub fn masked(mut self) -> Self {
        let hide = |secret: &mut Secret| *secret = Secret::new(MASKED_SECRET);
        match &mut self {
            Self::Welcome { code: Some(secret), .. }
            | Self::Verification { code: secret, .. }
            | Self::Reset { token: secret, .. }
            | Self::Announcement {
                unsubscribe: secret, ..
            } => hide(secret),
            Self::KeysReady { copies, .. } => copies.iter_mut().filter_map(|copy| copy.key.as_mut()).for_each(hide),
            _ => {}
        }
        self
    }

    /// The language that the e-mail itself names. Any other is written in its account's.
    pub fn language(&self) -> Option<Language> {
        match self {
            Self::AccountDeleted { language, .. } => Language::of_code(language.as_deref()?),
            Self::WithdrawalReceived { language, .. } | Self::WithdrawalDecided { language, .. } => {
                Language::of_code(language)
            }
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
            Self::Announcement { .. } => "announcement",
            Self::ConsentConfirmed { .. } => "consent-confirmed",
            Self::WithdrawalReceived { .. } => "withdrawal-received",
            Self::WithdrawalDecided { .. } => "withdrawal-decided",
            Self::OrderNotPlaced { .. } => "order-not-placed",
        }
    }
}

/// Amounts as text: serde buffers the fields of an internally tagged enum before it knows the `kind`, and the digits of
/// a bare number are lost in that buffer.
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

/// The same for an amount that older queued e-mails lack.
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
    fn email_round_trips_and_debug_output_hides_the_code() {
        let template = EmailTemplate::Verification {
            nickname: "Ada".into(),
            code: Secret::new("123456"),
            minutes: 30,
        };
        let stored = serde_json::to_value(&template).unwrap();
        assert_eq!(stored["kind"], template.kind());
        assert_eq!(serde_json::from_value::<EmailTemplate>(stored).unwrap(), template);
        assert!(!format!("{template:?}").contains("123456"));
    }

    #[test]
    fn staff_read_an_email_without_what_others_could_use() {
        let copy = |key: Option<&str>| DeliveredCopy {
            title: "Portal".into(),
            key: key.map(Secret::new),
        };
        let keys = EmailTemplate::KeysReady {
            nickname: "Ada".into(),
            order: "0192f0c1-0000-4000-8000-000000000001".into(),
            number: Some("7ZK3".into()),
            copies: vec![copy(Some("ABCDE-FGHIJ")), copy(None)],
            needs_consent: false,
        };
        assert_eq!(
            keys.order().map(|id| id.to_string()).as_deref(),
            Some("0192f0c1-0000-4000-8000-000000000001")
        );
        for (email, secret) in [
            (keys, "ABCDE-FGHIJ"),
            (
                EmailTemplate::Reset {
                    nickname: "Ada".into(),
                    token: Secret::new("a-token"),
                    minutes: 30,
                },
                "a-token",
            ),
        ] {
            assert!(serde_json::to_string(&email).unwrap().contains(secret));
            let masked = serde_json::to_string(&email.masked()).unwrap();
            assert!(
                !masked.contains(secret) && masked.contains("••••") && masked.contains("Ada"),
                "{masked}"
            );
        }
    }

    #[test]
    fn kinds_lists_every_kind() {
        // `kind` does not compile without an arm for a new variant; this number is a reminder to extend `KINDS`.
        assert_eq!(EmailTemplate::KINDS.len(), 19);
        for kind in EmailTemplate::KINDS {
            let why = serde_json::from_value::<EmailTemplate>(serde_json::json!({ "kind": kind })).unwrap_err();
            assert!(why.to_string().contains("missing field"), "{kind}: {why}");
        }
    }

    #[test]
    fn emails_with_amounts_round_trip() {
        let nickname = || "Ada".to_owned();
        let templates = [
            EmailTemplate::OrderReceived {
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
                consent: Some("I agree.".into()),
                needs_consent: false,
            },
            EmailTemplate::OrderNotPlaced {
                nickname: nickname(),
                checkout: "0197".into(),
                reason: CheckoutReason::PriceRisen,
                total: "30.25".parse().unwrap(),
                balance: "30.25".parse().unwrap(),
            },
            EmailTemplate::TopUp {
                nickname: nickname(),
                amount: "25".parse().unwrap(),
                balance: "9999999999.99".parse().unwrap(),
            },
            EmailTemplate::KeysReady {
                nickname: nickname(),
                order: "0197".into(),
                number: None,
                copies: vec![DeliveredCopy {
                    title: "Portal".into(),
                    key: None,
                }],
                needs_consent: true,
            },
            EmailTemplate::WithdrawalDecided {
                nickname: nickname(),
                reference: "7ZK3M0Q9XA".into(),
                is_accepted: true,
                reason: None,
                refunded: "9.99".parse().unwrap(),
                to_card: Some("5".parse().unwrap()),
                language: "de".into(),
            },
            EmailTemplate::Refund {
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
            EmailTemplate::BackInStock {
                nickname: nickname(),
                title: "Portal".into(),
                slug: "portal".into(),
                price: "9.99".parse().unwrap(),
            },
        ];
        // An e-mail queued before e-mails had order numbers and prices.
        let before = serde_json::json!({"kind": "order-received", "nickname": "Ada", "order": "0197", "total": "3.00",
            "lines": [{"title": "Portal", "quantity": 1}]});
        let EmailTemplate::OrderReceived { number, lines, .. } = serde_json::from_value(before).unwrap() else {
            panic!("another template");
        };
        assert_eq!((number, lines[0].price), (None, None));
        for template in templates {
            let stored = serde_json::to_value(&template).unwrap();
            assert_eq!(serde_json::from_value::<EmailTemplate>(stored).unwrap(), template);
        }
    }
}
