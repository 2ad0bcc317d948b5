//! Views for staff: the responses of the HTTP contract (`docs/http-api.md`) below `/api/admin`.
//!
//! Lists are paginated; each names its array, beside the four numbers of [`Paging`]. No response contains the text of a
//! key, except [`RevealedKey`].

mod cards;
mod carts;
mod checks;
mod content;
mod dashboard;
mod editing;
mod emails;
mod games;
mod history;
mod keys;
mod orders;
mod pictures;
mod prices;
mod promo_codes;
mod reports;
mod schedule;
mod staff;
mod supplier;
mod supplier_accounts;
mod terms;
mod tokens;
mod users;
mod webhooks;
mod withdrawals;

use serde::Serialize;

pub use cards::{
    CardRefundRow, ChargeRow, DisputeCase, DisputeList, DisputeRow, DisputeStatusRow, DisputedUnit, EarlierPaymentRow,
    EvidenceCase, EvidenceCopy, EvidenceLogin, EvidencePayment, EvidenceSent, EvidenceView, FraudRuleList,
    FraudRuleRow, HoldReport, HoldReportRow, PaymentComparisonView, PaymentDifferenceRow, PaymentHoldList,
    PaymentHoldRow, PaymentIncidentList, PaymentIncidentRow, TopUpCheckoutRow, TopUpDetail, TopUpList, TopUpRow,
};
pub use carts::{
    CartList, CartRow, DayOfWishes, WishedGame, WishedGameBrief, WishlistList, WishlistRow, WishlistStatistics,
};
pub use content::{ArticleForm, FaqForm, FaqList, PostCreated, PostList, PostRow, PostUpdated};
pub use dashboard::{Dashboard, DayOfSales, RecentOrder, RecentTransaction, TopGame};
pub use editing::{
    GameCreated, GameEntry, GameField, GameForm, GameUpdated, ORIGINAL_NOT_ABOVE, PriceStep, TOO_COMPLEX_DESCRIPTION,
};
pub use emails::{
    EmailBulkError, EmailBulkResult, EmailJob, EmailPreview, EmailQueueCounts, EmailQueueList, EmailQueueRow,
    EmailRetries, EmailServer, EmailServerForm, EmailState, EmailTemplateInfo, EmailTemplateView, EmailVariable,
    MASKED_PASSWORD, ServerSource,
};
pub use games::{GameDetail, GameList, GameRow, SyncProgress, SyncStatus, TaxonomyRow};
pub use history::{AuditList, AuditRow, Found, OrderEvent, OrderHistory};
pub use keys::{
    GameKeyGame, GameKeyImport, GameKeyList, GameKeyOrder, GameKeyOwner, GameKeyReplacement, GameKeyRow,
    GameKeyStatistics, KeysOfGame, KeysOfOrder, RefusedLine, RevealedKey, masked,
};
pub use orders::{
    OrderDetail, OrderDetailGame, OrderDetailItem, OrderList, OrderRow, OrderRowItem, OrderStanding, OrderTransaction,
    TransactionList, TransactionRow, UnitDetail,
};
pub use pictures::{GamePicture, GamePictures, MAX_ALT, MAX_GAME_PICTURES, PlacedPicture, alt_text};
pub use prices::{
    EndingView, Exact, PriceChangeRow, PriceHistory, PriceHistoryRow, PriceJobList, PriceJobRow, PricePreview,
    PriceRuleRow, PriceRuleSet,
};
pub use promo_codes::{
    MostUsed, NotAPercentage, Percent, PromoBatchList, PromoBatchRow, PromoCodeRow, PromoCodeStatistics, PromoTerms,
    PromoUses,
};
pub use reports::{
    DashboardMargin, MarginReport, MarginRow, RefundReport, RefundRow, RefundsCounted, ReportBy, ReportPeriod,
    SalesReport, SalesRow,
};
pub use schedule::{PlannedChange, ScheduleState, ScheduledChangeList, ScheduledChangeRow};
pub use staff::{RoleDetail, StaffMember};
pub use supplier::{
    IncidentList, IncidentRow, JobBrief, JobList, JobRow, LatencyStats, ReservationList, ReservationOrder,
    ReservationRow, SupplierAlarm, SupplierBudget, SupplierMetrics, SyncCounts, SyncFault, SyncRunList, SyncRunRow,
    WorkerHealth,
};
pub use supplier_accounts::{
    SupplierAccount, SupplierAccountForm, SupplierApiKey, SupplierEnvironment, SupplierToken, account_mark, api_key,
};
pub use terms::{TermForm, TermSaved};
pub use tokens::{ApiToken, MAX_TOKEN_DAYS, NewApiToken, TOKEN_PREFIX, TokenForm};
pub use users::{Activity, LoginAttempt, OrderBrief, TransactionBrief, UserBrief, UserDetail, UserList, UserRow};
pub use webhooks::{
    LOW_STOCK_BELOW, NewWebhookEndpoint, NewWebhookSecret, WebhookDelivery, WebhookDeliveryList, WebhookEndpoint,
    WebhookEndpointForm, WebhookEvent, WebhookEventInfo, WebhookReplayed, WebhookSecretInfo, WebhookState,
};
pub use withdrawals::{ConsentRow, WithdrawalCase, WithdrawalList, WithdrawalRow, WithdrawalTopUp, WithdrawalUnit};

/// Shown in place of a key.
pub const MASKED_KEY: &str = "••••••••";

/// Shown in place of an address to staff who may not see who customers are.
pub const MASKED_PERSON: &str = "••••••••";

/// The requested page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Page number, from 1.
    pub number: u32,
    /// Rows per page.
    pub size: u32,
}

impl Page {
    /// Number of rows before the page.
    pub const fn offset(self) -> u64 {
        (self.number.saturating_sub(1) as u64) * (self.size as u64)
    }

    /// The pagination of a list of `total` rows.
    pub const fn of(self, total: u64) -> Paging {
        let size = if self.size == 0 { 1 } else { self.size as u64 };
        Paging {
            total,
            page: self.number,
            page_size: self.size,
            total_pages: total.div_ceil(size),
        }
    }
}

/// Pagination of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Paging {
    /// Total number of rows.
    pub total: u64,
    /// Page number, from 1.
    pub page: u32,
    /// Rows per page.
    pub page_size: u32,
    /// Number of pages.
    pub total_pages: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_count_rounds_up_and_is_zero_when_empty() {
        let page = Page { number: 3, size: 20 };
        assert_eq!(page.offset(), 40);
        assert_eq!(page.of(41).total_pages, 3);
        assert_eq!(page.of(40).total_pages, 2);
        assert_eq!(page.of(0).total_pages, 0);
    }
}
