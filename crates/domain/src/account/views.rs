//! Views of an account: the responses of the HTTP contract (`docs/http-api.md`) and the facts that they are made from.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::avatar::{avatar_address, is_same_avatar};
use super::{DEFAULT_NICKNAME, Role};
use crate::catalogue::iso_millis;
use crate::ids::UserId;
use crate::money::Money;
use crate::secret::Secret;

/// The stored facts of an account that its owner may see; the cached form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileFacts {
    /// The user's id.
    pub id: UserId,
    /// Normalised e-mail address.
    pub email: String,
    /// Display name.
    pub nickname: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Avatar: an absolute address, or the path of an uploaded picture.
    pub avatar: Option<String>,
    /// Balance, EUR.
    pub balance: Money,
    /// Role.
    pub role: Role,
    /// Whether the e-mail address is verified.
    pub email_verified: bool,
    /// Whether login requires a two-factor code.
    pub second_factor: bool,
    /// When they registered.
    pub created_at: DateTime<Utc>,
    /// Number of keys delivered to the user.
    pub games_purchased: u64,
    /// Number of orders, whatever their status.
    pub total_orders: u64,
    /// Sum of the discounts on completed orders, EUR.
    pub total_saved: Money,
}

impl ProfileFacts {
    /// Whole days since registration.
    fn days_at(&self, now: DateTime<Utc>) -> u64 {
        u64::try_from((now - self.created_at).num_days()).unwrap_or(0)
    }

    /// The figures at the time `now`.
    pub fn figures_at(&self, now: DateTime<Utc>) -> Figures {
        Figures {
            total_games: self.games_purchased,
            total_saved: self.total_saved,
            days_since_registration: self.days_at(now),
            total_orders: self.total_orders,
            balance: self.balance,
        }
    }

    /// Whether `sent` is the address of the present avatar: a client may send back the profile that it got.
    pub fn has_avatar(&self, sent: &str) -> bool {
        let stored = self.avatar.as_deref();
        stored.is_some_and(|stored| is_same_avatar(stored, sent.trim()))
    }

    /// The profile at the time `now`, in a shop at `public_url`.
    pub fn at(self, now: DateTime<Utc>, public_url: &str) -> Profile {
        let empty = |field: &Option<String>| u32::from(field.as_deref().is_none_or(str::is_empty));
        let stats = ProfileStats {
            games_purchased: self.games_purchased,
            total_saved: self.total_saved,
            days_since_registration: self.days_at(now),
            empty_fields_count: [&self.nickname, &self.first_name, &self.last_name, &self.avatar]
                .into_iter()
                .map(empty)
                .sum(),
        };
        Profile {
            id: self.id,
            email: self.email,
            nickname: self.nickname.unwrap_or_else(|| DEFAULT_NICKNAME.to_owned()),
            first_name: self.first_name,
            last_name: self.last_name,
            avatar: self.avatar.map(|stored| avatar_address(&stored, public_url)),
            balance: self.balance,
            role: self.role,
            email_verified: self.email_verified,
            second_factor: self.second_factor,
            created_at: self.created_at,
            stats,
        }
    }
}

/// A user's profile (`Profile` of the HTTP contract).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Profile {
    /// The user's id.
    pub id: UserId,
    /// Normalised e-mail address.
    pub email: String,
    /// Display name.
    pub nickname: String,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Avatar URL.
    pub avatar: Option<String>,
    /// Balance, EUR.
    pub balance: Money,
    /// Role.
    pub role: Role,
    /// Whether the e-mail address is verified.
    pub email_verified: bool,
    /// Whether login requires a two-factor code (not in the existing shop).
    pub second_factor: bool,
    /// When they registered.
    #[serde(with = "iso_millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: DateTime<Utc>,
    /// The profile's figures.
    pub stats: ProfileStats,
}

/// A profile's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProfileStats {
    /// Number of keys delivered.
    pub games_purchased: u64,
    /// Sum of the discounts on completed orders, EUR.
    pub total_saved: Money,
    /// Whole days since registration.
    pub days_since_registration: u64,
    /// How many of nickname, first name, last name and avatar are empty.
    pub empty_fields_count: u32,
}

/// The response to `GET /api/user/stats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Figures {
    /// Number of keys delivered.
    pub total_games: u64,
    /// Sum of the discounts on completed orders, EUR.
    pub total_saved: Money,
    /// Whole days since registration.
    pub days_since_registration: u64,
    /// Number of orders, whatever their status.
    pub total_orders: u64,
    /// Balance, EUR.
    pub balance: Money,
}

/// The `user` of `AuthData`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthUser {
    /// The user's id.
    pub id: UserId,
    /// Normalised e-mail address.
    pub email: String,
    /// Display name.
    pub nickname: String,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Avatar URL.
    pub avatar: Option<String>,
    /// Role; without it the front-end denies administrators access to the console.
    pub role: Role,
}

/// Access and refresh token, the response to a refresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenPair {
    /// Access token.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Secret,
    /// Refresh token.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub refresh_token: Secret,
    /// Lifetime of the access token in seconds; the front-end's timer needs 301 to 2 147 483.
    pub expires_in: u64,
}

/// The response to register and login (`AuthData` of the HTTP contract).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthData {
    /// The user.
    pub user: AuthUser,
    /// The tokens.
    #[serde(flatten)]
    pub tokens: TokenPair,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ProfileFacts {
        ProfileFacts {
            id: UserId(uuid::Uuid::nil()),
            email: "ada@example.com".into(),
            nickname: None,
            first_name: Some("Ada".into()),
            last_name: Some(String::new()),
            avatar: None,
            balance: "12.5".parse().unwrap(),
            role: Role::User,
            email_verified: false,
            second_factor: false,
            created_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            games_purchased: 3,
            total_orders: 0,
            total_saved: "1.2".parse().unwrap(),
        }
    }

    #[test]
    fn uploaded_avatars_follow_the_public_url() {
        let id = uuid::Uuid::from_u128(7);
        let mut facts = facts();
        facts.avatar = Some(crate::account::avatar_path(id));
        let served = |facts: &ProfileFacts, url: &str| facts.clone().at(facts.created_at, url).avatar.unwrap();
        for url in [
            "http://127.0.0.1:8080",
            "https://shop.example",
            "https://new.shop.example",
        ] {
            let address = served(&facts, url);
            assert_eq!(address, format!("{url}/api/avatars/{id}.webp"));
            assert!(facts.has_avatar(&address) && facts.has_avatar(&format!(" {address}\n")));
        }
        assert!(!facts.has_avatar("https://shop.example/avatars/00000000-0000-0000-0000-000000000008.webp"));
        // An imported one, which could not be set today.
        facts.avatar = Some("http://pictures.example/ada.png".into());
        assert_eq!(
            served(&facts, "https://shop.example"),
            "http://pictures.example/ada.png"
        );
        assert!(facts.has_avatar("http://pictures.example/ada.png"));
        assert!(!facts.has_avatar("https://evil.example/?http://pictures.example/ada.png"));
        facts.avatar = None;
        assert!(!facts.has_avatar(""));
    }

    #[test]
    fn profile_matches_the_http_contract() {
        let profile = facts().at(
            DateTime::from_timestamp(1_700_000_000 + 10 * 86_400 - 1, 0).unwrap(),
            "https://shop.example",
        );
        let json = serde_json::to_string(&profile).unwrap();
        assert_eq!(
            json,
            r#"{"id":"00000000-0000-0000-0000-000000000000","email":"ada@example.com","nickname":"Newbie Guy","firstName":"Ada","lastName":"","avatar":null,"balance":12.50,"role":"USER","emailVerified":false,"secondFactor":false,"createdAt":"2023-11-14T22:13:20.000Z","stats":{"gamesPurchased":3,"totalSaved":1.20,"daysSinceRegistration":9,"emptyFieldsCount":3}}"#
        );
    }

    #[test]
    fn tokens_are_serialised_but_hidden_from_debug() {
        let data = AuthData {
            user: AuthUser {
                id: UserId(uuid::Uuid::nil()),
                email: "ada@example.com".into(),
                nickname: "Ada".into(),
                first_name: None,
                last_name: None,
                avatar: None,
                role: Role::Admin,
            },
            tokens: TokenPair {
                token: Secret::new("ttt"),
                refresh_token: Secret::new("rrr"),
                expires_in: 604_800,
            },
        };
        let json = serde_json::to_value(&data).unwrap();
        assert_eq!(
            (&json["token"], &json["refreshToken"], &json["expiresIn"]),
            (&"ttt".into(), &"rrr".into(), &604_800.into())
        );
        assert_eq!(json["user"]["role"], "ADMIN");
        let shown = format!("{data:?}");
        assert!(!shown.contains("ttt") && !shown.contains("rrr"), "{shown}");
    }
}
