//! Withdrawals from contracts: the queue of staff, and their decisions.

use lockstep_auth::Admin;
use lockstep_domain::admin::{
    ConsentRow, Page, WithdrawalCase, WithdrawalList, WithdrawalRow, WithdrawalTopUp, WithdrawalUnit,
};
use lockstep_store::Result;
use lockstep_store::cards::refunds;
use lockstep_store::fulfilment::EmailSettings;
use lockstep_store::withdrawals::{self, Decision, DecisionError, Withdrawal, WithdrawalState};
use uuid::Uuid;

use crate::BackOffice;
use crate::cards::refund_row;

fn row(withdrawal: Withdrawal) -> WithdrawalRow {
    WithdrawalRow {
        id: withdrawal.id,
        name: withdrawal.name,
        order_number: withdrawal.order_ref,
        contact: withdrawal.contact,
        order_id: withdrawal.order,
        user_id: withdrawal.user,
        state: withdrawal.state,
        reason: withdrawal.reason,
        refunded: withdrawal.refunded,
        created_at: withdrawal.created_at,
        decided_at: withdrawal.decided_at,
    }
}

impl BackOffice {
    /// Withdrawals, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn withdrawals(&self, _by: &Admin, state: Option<WithdrawalState>, page: Page) -> Result<WithdrawalList> {
        let read = self.store.read(|tx| Box::pin(withdrawals::list(tx, state, page)));
        let (found, total) = read.await?.value;
        Ok(WithdrawalList {
            withdrawals: found.into_iter().map(row).collect(),
            paging: page.of(total),
        })
    }

    /// A withdrawal with its order, its consent, and the top-ups that can be refunded. A delivered key of an order with a
    /// consent of its customer leaves no right; one that nobody was asked about does.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn withdrawal(&self, _by: &Admin, id: Uuid) -> Result<Option<WithdrawalCase>> {
        let read = self.store.read(|tx| Box::pin(withdrawals::case(tx, id))).await?;
        let Some(case) = read.value else { return Ok(None) };
        let has_consented =
            (case.consent.as_ref()).is_some_and(|consent| matches!(consent.source.as_str(), "shopper" | "front"));
        let mut card_refund = None;
        if let (Some(wanted), Some(user)) = (case.withdrawal.card_refund, case.withdrawal.user) {
            card_refund = refunds::of_id(&self.store, wanted)
                .await?
                .filter(|refund| refund.user.0 == user)
                .map(refund_row);
        }
        Ok(Some(WithdrawalCase {
            consent: case.consent.map(|consent| ConsentRow {
                source: consent.source,
                wording: consent.wording,
                text: consent.text,
                at: consent.at,
            }),
            units: (case.units.into_iter())
                .map(|unit| WithdrawalUnit {
                    id: unit.id,
                    title: unit.title,
                    price: unit.price,
                    is_delivered: unit.is_delivered,
                    is_refunded: unit.is_refunded,
                    first_shown_at: unit.first_shown_at,
                    has_right: !unit.is_refunded && (!unit.is_delivered || !has_consented),
                })
                .collect(),
            top_ups: (case.top_ups.into_iter())
                .map(|top_up| WithdrawalTopUp {
                    id: top_up.id,
                    amount: top_up.amount,
                    left: top_up.left,
                    created_at: top_up.created_at,
                })
                .collect(),
            card_refund,
            withdrawal: row(case.withdrawal),
        }))
    }

    /// Decides about a withdrawal, once; an accepted one moves its money in the same transaction.
    ///
    /// # Errors
    /// [`DecisionError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.decide_withdrawal", skip_all, fields(withdrawal = %id))]
    pub async fn decide_withdrawal(&self, _by: &Admin, id: Uuid, decision: &Decision) -> Result<(), DecisionError> {
        withdrawals::decide(&self.store, id, decision, &EmailSettings::default()).await
    }
}
