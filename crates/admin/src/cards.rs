//! Money that goes back to cards: refunds by staff, disputes with what was bought, and what needs a person.

use lockstep_auth::Admin;
use lockstep_domain::Money;
use lockstep_domain::admin::{
    CardRefundRow, DisputeCase, DisputeList, DisputeRow, DisputeStatusRow, DisputedUnit, Page, PaymentComparisonView,
    PaymentDifferenceRow, PaymentIncidentList, PaymentIncidentRow, TopUpDetail, TopUpList,
};
use lockstep_domain::ids::{KeyId, TopUpId};
use lockstep_store::Result;
use lockstep_store::admin::top_ups;
use lockstep_store::cards::comparison;
use lockstep_store::cards::disputes::{self, Dispute, DisputeState};
use lockstep_store::cards::incidents;
use lockstep_store::cards::refunds::{self, CardRefund, NewRefund, RefundError};
use uuid::Uuid;

use crate::BackOffice;

/// Most incidents in a list.
const MOST_INCIDENTS: u32 = 100;

pub(crate) fn refund_row(refund: CardRefund) -> CardRefundRow {
    CardRefundRow {
        id: refund.id,
        top_up_id: refund.top_up.0,
        user_id: refund.user.0,
        amount: refund.amount,
        state: refund.state.as_str(),
        reference: refund.reference,
        failure: refund.failure,
        created_at: refund.created_at,
    }
}

pub(crate) fn dispute_row(dispute: Dispute) -> DisputeRow {
    DisputeRow {
        id: dispute.id,
        reference: dispute.reference,
        top_up_id: dispute.top_up.0,
        user_id: dispute.user.0,
        amount: dispute.amount,
        held: dispute.held,
        debt: dispute.debt,
        fee: dispute.fee,
        state: dispute.state.as_str(),
        status: dispute.status,
        reason: dispute.reason,
        due_by: dispute.due_by,
        opened_at: dispute.opened_at,
        closed_at: dispute.closed_at,
    }
}

fn incident_row(incident: incidents::OpenIncident) -> PaymentIncidentRow {
    PaymentIncidentRow {
        id: incident.id,
        kind: incident.kind,
        reference: incident.reference,
        top_up_id: incident.top_up.0,
        user_id: incident.user.0,
        detail: incident.detail,
        created_at: incident.created_at,
        due_at: incident.due_at,
    }
}

impl BackOffice {
    /// The payment providers in use that take cards.
    pub fn cards(&self) -> &[&'static str] {
        &self.cards
    }

    /// Takes money of a top-up from the balance and has it refunded to the card. Without an amount, everything that is left
    /// of the top-up and of the balance. The same key returns the same refund. Unless `confirmed`, the limit of the role holds.
    ///
    /// # Errors
    /// [`RefundError`]; then nothing has changed.
    #[tracing::instrument(name = "admin.refund_top_up", skip_all, fields(top_up = %top_up))]
    pub async fn refund_top_up(
        &self,
        (by, confirmed): (&Admin, bool),
        top_up: TopUpId,
        amount: Option<Money>,
        reason: Option<&str>,
        key: Option<&str>,
    ) -> Result<CardRefundRow, RefundError> {
        let new = NewRefund {
            admin: by.caller().user(),
            top_up,
            amount,
            reason: reason.map(str::to_owned),
            key: key.map(str::to_owned),
            confirmed,
            providers: self.cards.clone(),
        };
        Ok(refund_row(refunds::request(&self.store, new).await?))
    }

    /// A refund to a card.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn card_refund(&self, _by: &Admin, id: Uuid) -> Result<Option<CardRefundRow>> {
        Ok(refunds::one(&self.store, id).await?.map(refund_row))
    }

    /// Top-ups, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn top_ups(&self, _by: &Admin, filter: &top_ups::Filter, page: Page) -> Result<TopUpList> {
        let filter = filter.clone();
        let read = self
            .store
            .read(|tx| Box::pin(async move { top_ups::list(tx, &filter, page).await }));
        Ok(read.await?.value)
    }

    /// A top-up with what became of its money.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn top_up(&self, _by: &Admin, id: TopUpId) -> Result<Option<TopUpDetail>> {
        let read: Result<_> = self
            .store
            .read(|tx| {
                Box::pin(async move {
                    let Some(sheet) = top_ups::sheet(tx, id).await? else {
                        return Ok(None);
                    };
                    Ok(Some((sheet, disputes::of_top_up(tx, id).await?)))
                })
            })
            .await;
        let Some((sheet, disputes)) = read?.value else {
            return Ok(None);
        };
        let refunds = refunds::of_top_up(&self.store, id).await?;
        let incidents = incidents::open_of(&self.store, Some(id), MOST_INCIDENTS).await?;
        // A provider that is not in use makes no refunds.
        let is_refundable = self.cards.contains(&sheet.top_up.provider.as_str());
        Ok(Some(TopUpDetail {
            problem: sheet.problem,
            charge: sheet.charge,
            checkout: sheet.checkout,
            refundable: if is_refundable { sheet.refundable } else { Money::ZERO },
            balance: sheet.balance,
            refunds: refunds.into_iter().map(refund_row).collect(),
            disputes: disputes.into_iter().map(dispute_row).collect(),
            incidents: incidents.into_iter().map(incident_row).collect(),
            top_up: sheet.top_up,
        }))
    }

    /// The last comparisons with the payment providers in use, as one: since when, and until when, all are compared.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn payment_comparison(&self, _by: &Admin) -> Result<PaymentComparisonView> {
        let mut all = Vec::new();
        for provider in &self.cards {
            all.extend(comparison::last(&self.store, provider).await?);
        }
        let differences = all.iter().flat_map(|last| &last.differences);
        let has_ended = all.iter().all(|last| last.ended_at.is_some());
        Ok(PaymentComparisonView {
            began_at: all.iter().map(|last| last.began_at).min(),
            ended_at: all.iter().filter_map(|last| last.ended_at).max().filter(|_| has_ended),
            differences: differences
                .map(|one| PaymentDifferenceRow {
                    kind: one.kind.clone(),
                    reference: one.reference.clone(),
                    detail: one.detail.clone(),
                })
                .collect(),
        })
    }

    /// An open incident about a payment.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn payment_incident(&self, _by: &Admin, id: Uuid) -> Result<Option<PaymentIncidentRow>> {
        Ok(incidents::one(&self.store, id).await?.map(incident_row))
    }

    /// Disputes, newest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn disputes(&self, _by: &Admin, state: Option<DisputeState>, page: Page) -> Result<DisputeList> {
        let read = self.store.read(|tx| Box::pin(disputes::list(tx, state, page)));
        let (found, total) = read.await?.value;
        Ok(DisputeList {
            disputes: found.into_iter().map(dispute_row).collect(),
            paging: page.of(total),
        })
    }

    /// The case of a dispute; keys are masked.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn dispute(&self, _by: &Admin, id: Uuid) -> Result<Option<DisputeCase>> {
        let read = self.store.read(|tx| Box::pin(disputes::case(tx, id))).await?;
        let Some(case) = read.value else { return Ok(None) };
        let refunds = refunds::of_top_up(&self.store, case.dispute.top_up).await?;
        let units = case.units.into_iter().map(|unit| DisputedUnit {
            unit_id: unit.unit,
            order_id: unit.order.0,
            title: unit.title,
            price_paid: unit.price_paid,
            delivered: unit.is_delivered,
            key: unit
                .key
                .map(|key| self.keys.masked(KeyId(key.id), &key.ciphertext, key.is_file)),
            first_shown_at: unit.first_shown_at,
        });
        let statuses = case.said.into_iter().map(|said| DisputeStatusRow {
            status: said.status,
            at: said.at,
        });
        Ok(Some(DisputeCase {
            units: units.collect(),
            statuses: statuses.collect(),
            refunds: refunds.into_iter().map(refund_row).collect(),
            dispute: dispute_row(case.dispute),
        }))
    }

    /// The open incidents about payments, the oldest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn payment_incidents(&self, _by: &Admin) -> Result<PaymentIncidentList> {
        let open = incidents::open(&self.store, MOST_INCIDENTS).await?;
        Ok(PaymentIncidentList {
            incidents: open.into_iter().map(incident_row).collect(),
        })
    }

    /// Closes an incident about a payment; copies that waited for it are bought.
    ///
    /// # Errors
    /// [`CloseError`](incidents::CloseError); then nothing has changed.
    pub async fn close_payment_incident(&self, by: &Admin, id: Uuid, note: &str) -> Result<(), incidents::CloseError> {
        incidents::close(&self.store, by.caller().user(), id, note).await
    }
}
