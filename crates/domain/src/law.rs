//! Duties of a shop towards its customers, by country: data with the rule, its source, and the day on which it was checked.
//!
//! A profile is what the program does by default, not legal advice: `docs/law.md` lists what an operator asks a lawyer.

/// A duty that the shop can fulfil, or leave to its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// A reduction is announced from the lowest price of the 30 days before it began.
    ReducedPrices,
    /// A contract can be withdrawn from on every page.
    Withdrawal,
    /// Keys are delivered after consent.
    Consent,
    /// The shop states how accessible it is.
    Accessibility,
}

impl Duty {
    /// Every duty.
    pub const ALL: [Self; 4] = [
        Self::ReducedPrices,
        Self::Withdrawal,
        Self::Consent,
        Self::Accessibility,
    ];

    /// Its name in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReducedPrices => "reduced-prices",
            Self::Withdrawal => "withdrawal",
            Self::Consent => "consent",
            Self::Accessibility => "accessibility",
        }
    }

    /// A duty by its name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|duty| duty.as_str() == name)
    }
}

/// What the law of a country says about a duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The duty.
    pub duty: Duty,
    /// Where it is written.
    pub source: &'static str,
    /// The day on which a person read the source against this program, `YYYY-MM-DD`; empty: not yet.
    pub checked: &'static str,
    /// Whether the shop fulfils it unless its operator decides otherwise.
    pub is_on: bool,
}

/// The rules of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// ISO 3166-1, or `EU` for what all its members have in common.
    pub country: &'static str,
    /// One rule for each duty.
    pub rules: [Rule; 4],
}

/// The references come from notes about the law; nobody has read the sources themselves against the program yet.
const CHECKED: &str = "";

const fn rule(duty: Duty, source: &'static str, is_on: bool) -> Rule {
    Rule {
        duty,
        source,
        checked: CHECKED,
        is_on,
    }
}

/// The profiles. A member of the EU without one of its own has that of the EU.
pub const PROFILES: &[Profile] = &[
    Profile {
        country: "EU",
        rules: [
            rule(Duty::ReducedPrices, "98/6/EC Art. 6a; CJEU C-330/23", true),
            rule(Duty::Withdrawal, "2011/83/EU Art. 11a", true),
            rule(Duty::Consent, "2011/83/EU Art. 16 (m)", true),
            rule(Duty::Accessibility, "2019/882/EU Annex V", true),
        ],
    },
    Profile {
        country: "DE",
        rules: [
            rule(Duty::ReducedPrices, "PAngV § 11", true),
            rule(Duty::Withdrawal, "BGB § 356a", true),
            rule(Duty::Consent, "BGB § 356 (5)", true),
            rule(Duty::Accessibility, "BFSG § 14, Annex 3", true),
        ],
    },
    // Outside the EU; its own rules have not been read.
    Profile {
        country: "OTHER",
        rules: [
            rule(Duty::ReducedPrices, "none read", false),
            rule(Duty::Withdrawal, "none read", false),
            rule(Duty::Consent, "none read", true),
            rule(Duty::Accessibility, "none read", false),
        ],
    },
];

/// That of the EU.
#[expect(clippy::indexing_slicing, reason = "there is a profile, which the compiler checks")]
const COMMON: &Profile = &PROFILES[0];

/// Members of the EU, ISO 3166-1.
const MEMBERS: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];

impl Profile {
    /// The profile of a country, ISO 3166-1 in upper case.
    pub fn of(country: &str) -> &'static Self {
        let named = |name: &str| PROFILES.iter().find(|profile| profile.country == name);
        let common = if MEMBERS.contains(&country) { "EU" } else { "OTHER" };
        named(country).or_else(|| named(common)).unwrap_or(COMMON)
    }

    /// What it says about a duty.
    pub fn rule(&self, duty: Duty) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.duty == duty)
    }
}

/// The duties of this shop: those of its country, without those that its operator takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duties {
    /// The country that was set, ISO 3166-1 in upper case.
    pub country: Option<String>,
    /// The duties that the operator takes over.
    pub off: Vec<Duty>,
    /// Without a country: whether the duties of the EU are on.
    pub is_production: bool,
}

impl Duties {
    /// The profile that counts. Without a country it is the EU's.
    pub fn profile(&self) -> &'static Profile {
        Profile::of(self.country.as_deref().unwrap_or("EU"))
    }

    /// Whether the shop fulfils a duty.
    ///
    /// Outside production and without a country, prices of a shop that has just begun would show no reductions, so these are
    /// not measured.
    pub fn is_on(&self, duty: Duty) -> bool {
        let is_rehearsal = self.country.is_none() && !self.is_production && duty == Duty::ReducedPrices;
        !is_rehearsal && !self.off.contains(&duty) && self.profile().rule(duty).is_some_and(|rule| rule.is_on)
    }
}

impl Default for Duties {
    /// Those of a shop in development.
    fn default() -> Self {
        Self {
            country: None,
            off: Vec::new(),
            is_production: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_has_a_rule_for_each_duty() {
        for profile in PROFILES {
            for duty in Duty::ALL {
                let rule = profile
                    .rule(duty)
                    .unwrap_or_else(|| panic!("{} {duty:?}", profile.country));
                assert!(!rule.source.is_empty(), "{} {duty:?}", profile.country);
                let is_date = rule.checked.parse::<chrono::NaiveDate>().is_ok();
                assert!(rule.checked.is_empty() || is_date, "{}", rule.checked);
                assert_eq!(Duty::of_name(duty.as_str()), Some(duty));
            }
        }
    }

    #[test]
    fn a_member_without_a_profile_has_that_of_the_eu() {
        assert_eq!(Profile::of("DE").country, "DE");
        assert_eq!(Profile::of("AT").country, "EU");
        assert_eq!(Profile::of("US").country, "OTHER");
    }

    #[test]
    fn an_operator_can_take_a_duty_over() {
        let mut duties = Duties {
            country: Some("AT".into()),
            ..Duties::default()
        };
        assert!(Duty::ALL.into_iter().all(|duty| duties.is_on(duty)));
        duties.off = vec![Duty::Accessibility];
        assert!(!duties.is_on(Duty::Accessibility) && duties.is_on(Duty::Withdrawal));
        // Nothing is announced wrongly by default.
        let unset = |is_production| Duties {
            is_production,
            ..Duties::default()
        };
        assert!(unset(true).is_on(Duty::ReducedPrices) && !unset(false).is_on(Duty::ReducedPrices));
    }
}
