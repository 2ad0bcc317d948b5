//! Rows of the other shop, as they are read.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::FromRow;

#[derive(Debug, FromRow)]
pub(super) struct OldUser {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) password_hash: String,
    pub(super) nickname: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) avatar: Option<String>,
    pub(super) balance: Decimal,
    pub(super) is_admin: bool,
    pub(super) email_verified: bool,
    pub(super) created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, FromRow)]
pub(super) struct OldOrder {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) status: String,
    pub(super) total: Decimal,
    pub(super) payment_method: Option<String>,
    pub(super) promo_code: Option<String>,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    pub(super) external: Option<String>,
}

#[derive(Debug, Clone, FromRow)]
pub(super) struct OldItem {
    pub(super) id: String,
    pub(super) order_id: String,
    pub(super) game_id: String,
    pub(super) quantity: i32,
    pub(super) price: Decimal,
}

#[derive(Debug, Clone, FromRow)]
pub(super) struct OldBooking {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) order_id: Option<String>,
    pub(super) kind: String,
    /// With its sign: a debit is below zero.
    pub(super) signed: Decimal,
    pub(super) method: Option<String>,
    pub(super) status: String,
    pub(super) description: Option<String>,
    pub(super) hash: Option<String>,
    pub(super) created_at: Option<DateTime<Utc>>,
}

/// A key in clear: it has no `Debug`.
#[derive(Clone, FromRow)]
pub(super) struct OldKey {
    pub(super) id: String,
    pub(super) game_id: String,
    pub(super) key: String,
    pub(super) order_id: Option<String>,
    pub(super) activated: bool,
    pub(super) activation_date: Option<DateTime<Utc>>,
    pub(super) created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "the columns of the table")]
pub(super) struct OldGame {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) slug: String,
    pub(super) description: String,
    pub(super) short_description: Option<String>,
    pub(super) price: Decimal,
    pub(super) original_price: Option<Decimal>,
    pub(super) discount: Option<i32>,
    pub(super) image: String,
    pub(super) images: Vec<String>,
    pub(super) in_stock: bool,
    pub(super) g2a_product_id: Option<String>,
    pub(super) g2a_last_sync: Option<DateTime<Utc>>,
    pub(super) release_date: Option<DateTime<Utc>>,
    pub(super) metacritic_score: Option<i32>,
    pub(super) user_rating: Option<Decimal>,
    pub(super) age_rating: Option<String>,
    pub(super) multiplayer: bool,
    pub(super) activation_service: Option<String>,
    pub(super) region: Option<String>,
    pub(super) publisher: Option<String>,
    pub(super) is_best_seller: bool,
    pub(super) is_new: bool,
    pub(super) is_preorder: bool,
    pub(super) rating_critic: Option<i32>,
    pub(super) rating_user: Option<i32>,
    pub(super) languages: Vec<String>,
    pub(super) created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow)]
pub(super) struct OldTerm {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) slug: String,
}

#[derive(Debug, FromRow)]
pub(super) struct OldLink {
    pub(super) game_id: String,
    pub(super) term_id: String,
}

#[derive(Debug, FromRow)]
pub(super) struct OldPromo {
    pub(super) id: String,
    pub(super) code: String,
    pub(super) discount: Decimal,
    pub(super) max_uses: Option<i32>,
    pub(super) used_count: i64,
    pub(super) valid_from: Option<DateTime<Utc>>,
    pub(super) valid_until: Option<DateTime<Utc>>,
    pub(super) active: bool,
    pub(super) created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow)]
pub(super) struct OldCart {
    pub(super) user_id: String,
    pub(super) game_id: String,
    pub(super) quantity: i32,
    pub(super) added_at: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow)]
pub(super) struct OldGuest {
    pub(super) id: String,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow)]
pub(super) struct OldLogin {
    pub(super) id: String,
    pub(super) user_id: String,
    pub(super) address: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) success: bool,
    pub(super) created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow)]
pub(super) struct OldArticle {
    pub(super) id: String,
    pub(super) slug: String,
    pub(super) title: String,
    pub(super) excerpt: String,
    pub(super) content: String,
    pub(super) cover_image: String,
    pub(super) category: String,
    pub(super) published: bool,
    pub(super) published_at: Option<DateTime<Utc>>,
    pub(super) read_time: Option<i32>,
    pub(super) tags: Vec<String>,
    pub(super) created_at: Option<DateTime<Utc>>,
}

#[derive(Debug, FromRow)]
pub(super) struct OldFaq {
    pub(super) id: String,
    pub(super) category: String,
    pub(super) question: String,
    pub(super) answer: String,
    pub(super) position: i32,
    pub(super) active: bool,
    pub(super) created_at: Option<DateTime<Utc>>,
}

/// It has a password: no `Debug`.
#[derive(FromRow)]
pub(super) struct OldMailServer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: i32,
    pub(super) secure: bool,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) from_email: String,
    pub(super) from_name: Option<String>,
}

/// It has a secret: no `Debug`.
#[derive(FromRow)]
pub(super) struct OldG2a {
    pub(super) id: String,
    pub(super) client_id: String,
    pub(super) email: String,
    pub(super) client_secret: String,
    pub(super) environment: String,
}

#[derive(Debug, FromRow)]
pub(super) struct OldFinding {
    pub(super) id: String,
    pub(super) amount: Option<Decimal>,
    pub(super) evidence: String,
}

#[derive(Debug, FromRow)]
pub(super) struct OldAddress {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) created_at: Option<DateTime<Utc>>,
}
