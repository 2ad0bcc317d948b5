//! VAT: where a sale is taxed, at which rate, and how an amount that includes VAT is divided to the cent.
//!
//! Keys are services that are supplied electronically, which are taxed where the consumer is (Directive 2006/112/EC, Art. 58), at
//! the standard rate. Prices include VAT, whatever the rate: the shopper pays what was shown.

mod country;
mod rates;
mod vat_id;
mod views;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::Serialize;

use crate::money::Money;

pub use country::{Country, MEMBER_STATES};
pub use rates::{RatesFault, VatRates};
pub use vat_id::{VatId, VatIdFault};
pub use views::{
    BillingForm, BillingProfile, PostalName, Quarter, ReceiptKind, ReceiptLine, ReceiptList, ReceiptRow, ReceiptView,
    TaxSettings, TaxSettingsForm, VatReport, VatReportRow, rate_text,
};

/// Whether the shop charges VAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum VatStatus {
    /// Not stated: nothing is taxed, and there are no receipts.
    Off,
    /// A small business that is exempt: receipts show no VAT.
    Exempt,
    /// Charged.
    Standard,
}

impl VatStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Exempt, Self::Standard];

    /// The name in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Exempt => "EXEMPT",
            Self::Standard => "STANDARD",
        }
    }

    /// The status of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// Where sales to consumers in other member states are taxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TaxedAt {
    /// Where the consumer is; reported through the one-stop shop (OSS).
    Buyer,
    /// Where the shop is: below 10,000 EUR of such sales a year (Art. 59c).
    Shop,
}

impl TaxedAt {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Buyer, Self::Shop];

    /// The name in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buyer => "BUYER",
            Self::Shop => "SHOP",
        }
    }

    /// The place of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.as_str() == name)
    }
}

/// What the operator has stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaxRules {
    /// Whether VAT is charged.
    pub status: VatStatus,
    /// The shop's country, a member state.
    pub shop: Country,
    /// Where sales to other member states are taxed.
    pub taxed_at: TaxedAt,
    /// How many pieces of evidence for the buyer's country have to agree: 2, or 1 below 100,000 EUR a year.
    pub pieces: u8,
}

/// What is known about where the buyer is. A missing piece is missing: none is guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CountryEvidence {
    /// The country that the buyer has stated.
    pub billing: Option<Country>,
    /// The country of the request's address, from a proxy that the operator trusts with it.
    pub ip: Option<Country>,
    /// The country of the card that paid the newest top-up.
    pub card: Option<Country>,
}

/// How well the country is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Proof {
    /// A VAT id names it.
    VatId,
    /// Two pieces of evidence agree.
    Agreed,
    /// One piece, where one is enough.
    One,
    /// One piece, where two are needed.
    Insufficient,
    /// The pieces contradict each other.
    Contradicted,
    /// There is no evidence.
    Missing,
}

impl Proof {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::VatId,
        Self::Agreed,
        Self::One,
        Self::Insufficient,
        Self::Contradicted,
        Self::Missing,
    ];

    /// The name in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VatId => "VAT_ID",
            Self::Agreed => "AGREED",
            Self::One => "ONE",
            Self::Insufficient => "INSUFFICIENT",
            Self::Contradicted => "CONTRADICTED",
            Self::Missing => "MISSING",
        }
    }

    /// The proof of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|proof| proof.as_str() == name)
    }

    /// Whether staff should look at it.
    pub const fn needs_review(self) -> bool {
        matches!(self, Self::Insufficient | Self::Contradicted | Self::Missing)
    }
}

/// How a sale is taxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Treatment {
    /// The standard rate of a country.
    Standard,
    /// The shop is a small business.
    Exempt,
    /// The buyer, a business in another member state, owes the VAT.
    ReverseCharge,
    /// The buyer is outside the EU.
    Outside,
}

impl Treatment {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Exempt, Self::ReverseCharge, Self::Outside];

    /// The name in the database and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Exempt => "EXEMPT",
            Self::ReverseCharge => "REVERSE_CHARGE",
            Self::Outside => "OUTSIDE",
        }
    }

    /// The treatment of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|treatment| treatment.as_str() == name)
    }
}

/// Where and how a sale is taxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaxDecision {
    /// How.
    pub treatment: Treatment,
    /// Where; outside the EU, where the buyer is.
    pub country: Country,
    /// Percent; zero unless the treatment is [`Treatment::Standard`].
    pub rate: Decimal,
    /// How well the buyer's country is proven.
    pub proof: Proof,
}

/// Decides how a sale is taxed. `business` is the country of a VAT id that counts.
///
/// Two pieces of evidence that agree decide, whatever a third says. If the pieces contradict each other, the highest rate among
/// them is taken: the price is the same, and the shop never owes more than it has set aside.
pub fn decide(rules: TaxRules, rates: &VatRates, evidence: &CountryEvidence, business: Option<Country>) -> TaxDecision {
    let (country, proof) = match business {
        Some(country) => (country, Proof::VatId),
        None => locate(rules, rates, evidence),
    };
    let untaxed = |treatment, country| TaxDecision {
        treatment,
        country,
        rate: Decimal::ZERO,
        proof,
    };
    if rules.status != VatStatus::Standard {
        return untaxed(Treatment::Exempt, rules.shop);
    }
    if business.is_some() && country != rules.shop {
        return untaxed(Treatment::ReverseCharge, country);
    }
    let Some(rate) = rates.of(country) else {
        return untaxed(Treatment::Outside, country);
    };
    let (country, rate) = match (rules.taxed_at, rates.of(rules.shop)) {
        (TaxedAt::Shop, Some(rate)) => (rules.shop, rate),
        _ => (country, rate),
    };
    TaxDecision {
        treatment: Treatment::Standard,
        country,
        rate,
        proof,
    }
}

fn locate(rules: TaxRules, rates: &VatRates, evidence: &CountryEvidence) -> (Country, Proof) {
    let pieces: Vec<Country> = [evidence.billing, evidence.card, evidence.ip]
        .into_iter()
        .flatten()
        .collect();
    let count = |country: Country| pieces.iter().filter(|piece| **piece == country).count();
    if let Some(agreed) = pieces.iter().find(|piece| count(**piece) >= 2) {
        return (*agreed, Proof::Agreed);
    }
    match pieces.as_slice() {
        [] => (rules.shop, Proof::Missing),
        [only] if rules.pieces <= 1 => (*only, Proof::One),
        [only] => (*only, Proof::Insufficient),
        [first, rest @ ..] => {
            let rate = |country: &Country| rates.of(*country).unwrap_or_default();
            let highest = rest
                .iter()
                .fold(first, |best, piece| if rate(piece) > rate(best) { piece } else { best });
            (*highest, Proof::Contradicted)
        }
    }
}

/// The VAT in an amount that includes it, rounded half up to the cent. `rate` is in percent.
pub fn vat_of(gross: Money, rate: Decimal) -> Money {
    let share = gross.decimal() * rate / (Decimal::ONE_HUNDRED + rate);
    let cents = share.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
    Money::new(cents).unwrap_or(Money::ZERO)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn country(code: &str) -> Country {
        Country::new(code).unwrap()
    }

    fn rules(pieces: u8) -> TaxRules {
        TaxRules {
            status: VatStatus::Standard,
            shop: country("DE"),
            taxed_at: TaxedAt::Buyer,
            pieces,
        }
    }

    /// Country, treatment, rate and proof, for billing, address and card country (`-`: unknown).
    fn decided(
        rules: TaxRules,
        pieces: [&str; 3],
        business: Option<&str>,
    ) -> (String, &'static str, String, &'static str) {
        let [billing, ip, card] = pieces.map(Country::new);
        let evidence = CountryEvidence { billing, ip, card };
        let decision = decide(rules, &VatRates::shipped(), &evidence, business.map(country));
        (
            decision.country.to_string(),
            decision.treatment.as_str(),
            decision.rate.to_string(),
            decision.proof.as_str(),
        )
    }

    fn is(
        country: &str,
        treatment: &'static str,
        rate: &str,
        proof: &'static str,
    ) -> (String, &'static str, String, &'static str) {
        (country.to_owned(), treatment, rate.to_owned(), proof)
    }

    #[test]
    fn two_pieces_that_agree_decide_whatever_the_third_says() {
        for pieces in [
            ["FR", "FR", "-"],
            ["FR", "-", "FR"],
            ["-", "FR", "FR"],
            ["FR", "HU", "FR"],
            ["HU", "FR", "FR"],
        ] {
            assert_eq!(
                decided(rules(2), pieces, None),
                is("FR", "STANDARD", "20", "AGREED"),
                "{pieces:?}"
            );
        }
    }

    #[test]
    fn one_piece_is_enough_only_below_the_threshold() {
        for pieces in [["FI", "-", "-"], ["-", "FI", "-"], ["-", "-", "FI"]] {
            assert_eq!(decided(rules(1), pieces, None), is("FI", "STANDARD", "25.5", "ONE"));
            assert_eq!(
                decided(rules(2), pieces, None),
                is("FI", "STANDARD", "25.5", "INSUFFICIENT")
            );
        }
    }

    #[test]
    fn of_contradicting_pieces_the_highest_rate_is_taken_and_staff_see_it() {
        for pieces in [1, 2] {
            assert_eq!(
                decided(rules(pieces), ["LU", "HU", "-"], None),
                is("HU", "STANDARD", "27", "CONTRADICTED")
            );
            assert_eq!(
                decided(rules(pieces), ["LU", "DE", "FR"], None),
                is("FR", "STANDARD", "20", "CONTRADICTED")
            );
            // What lies outside the EU has no rate.
            assert_eq!(
                decided(rules(pieces), ["US", "-", "LU"], None),
                is("LU", "STANDARD", "17", "CONTRADICTED")
            );
        }
        assert!(Proof::Contradicted.needs_review() && Proof::Missing.needs_review() && !Proof::Agreed.needs_review());
    }

    #[test]
    fn without_evidence_the_shops_country_is_assumed() {
        assert_eq!(
            decided(rules(2), ["-", "-", "-"], None),
            is("DE", "STANDARD", "19", "MISSING")
        );
    }

    #[test]
    fn outside_the_eu_nothing_is_charged() {
        assert_eq!(
            decided(rules(2), ["CH", "CH", "-"], None),
            is("CH", "OUTSIDE", "0", "AGREED")
        );
        assert_eq!(
            decided(rules(2), ["GB", "-", "GB"], None),
            is("GB", "OUTSIDE", "0", "AGREED")
        );
    }

    #[test]
    fn below_the_threshold_of_cross_border_sales_the_shops_rate_holds() {
        let at_home = TaxRules {
            taxed_at: TaxedAt::Shop,
            ..rules(2)
        };
        assert_eq!(
            decided(at_home, ["HU", "HU", "-"], None),
            is("DE", "STANDARD", "19", "AGREED")
        );
        assert_eq!(
            decided(at_home, ["CH", "CH", "-"], None),
            is("CH", "OUTSIDE", "0", "AGREED")
        );
    }

    #[test]
    fn a_business_in_another_member_state_owes_the_vat_itself() {
        assert_eq!(
            decided(rules(2), ["FR", "DE", "DE"], Some("FR")),
            is("FR", "REVERSE_CHARGE", "0", "VAT_ID")
        );
        assert_eq!(
            decided(rules(2), ["DE", "DE", "DE"], Some("DE")),
            is("DE", "STANDARD", "19", "VAT_ID")
        );
    }

    #[test]
    fn a_small_business_charges_nothing() {
        let exempt = TaxRules {
            status: VatStatus::Exempt,
            ..rules(1)
        };
        assert_eq!(
            decided(exempt, ["HU", "HU", "-"], None),
            is("DE", "EXEMPT", "0", "AGREED")
        );
        assert_eq!(
            decided(exempt, ["FR", "-", "-"], Some("FR")),
            is("DE", "EXEMPT", "0", "VAT_ID")
        );
    }

    #[test]
    fn vat_is_rounded_half_up_to_the_cent() {
        let vat = |cents, rate: i64| vat_of(Money::from_cents(cents).unwrap(), Decimal::from(rate)).cents();
        assert_eq!(
            [
                vat(11_900, 19),
                vat(1, 19),
                vat(3, 19),
                vat(4, 19),
                vat(0, 19),
                vat(1_000, 0)
            ],
            [1_900, 0, 0, 1, 0, 0]
        );
        // 0.105 exactly.
        assert_eq!(vat(63, 20), 11);
    }

    proptest! {
        #[test]
        fn net_and_vat_add_up_and_parts_never_lose_a_cent(cents in proptest::collection::vec(0_i64..1_000_000, 1..60), rate in 0_u32..300) {
            let rate = Decimal::new(i64::from(rate), 1);
            let total = Money::from_cents(cents.iter().sum()).unwrap();
            let mut sum = Money::ZERO;
            let mut vats = 0;
            for part in cents {
                let before = vat_of(sum, rate);
                sum = sum.checked_add(Money::from_cents(part).unwrap()).unwrap();
                let share = vat_of(sum, rate).cents() - before.cents();
                // Each line is within a cent of its own VAT, and never negative.
                let own = vat_of(Money::from_cents(part).unwrap(), rate).cents();
                prop_assert!(share >= 0 && (share - own).abs() <= 1 && share <= part);
                vats += share;
            }
            prop_assert_eq!(vats, vat_of(total, rate).cents());
        }
    }
}
