//! Rules against fraud, and the payments that they hold until staff decide.

use chrono::{DateTime, Utc};
use lockstep_auth::Admin;
use lockstep_domain::admin::{
    FraudRuleList, FraudRuleRow, HoldReport, HoldReportRow, Page, PaymentHoldList, PaymentHoldRow,
};
use lockstep_store::Result;
use lockstep_store::cards::holds::{self, DecideError, Decision, FraudRule, Hold, RuleError};
use uuid::Uuid;

use crate::BackOffice;

fn rule_row(rule: FraudRule) -> FraudRuleRow {
    FraudRuleRow {
        name: rule.name,
        on: rule.is_on,
        amount: rule.amount,
        count: rule.count,
        hours: rule.hours,
        version: rule.version,
    }
}

fn hold_row(hold: Hold) -> PaymentHoldRow {
    PaymentHoldRow {
        id: hold.id,
        top_up_id: hold.top_up.0,
        user_id: hold.user.0,
        email: hold.email,
        amount: hold.amount,
        rule: hold.rule,
        detail: hold.detail,
        state: hold.state,
        created_at: hold.created_at,
        decided_at: hold.decided_at,
        note: hold.note,
    }
}

impl BackOffice {
    /// The rules against fraud.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn fraud_rules(&self, _by: &Admin) -> Result<FraudRuleList> {
        let rules = holds::rules(&self.store).await?;
        Ok(FraudRuleList {
            rules: rules.into_iter().map(rule_row).collect(),
        })
    }

    /// Changes a rule whose version is that of `rule`.
    ///
    /// # Errors
    /// [`RuleError`]; then nothing has changed.
    pub async fn change_fraud_rule(&self, by: &Admin, rule: FraudRule) -> Result<FraudRuleRow, RuleError> {
        let changed = holds::change_rule(&self.store, by.caller().user(), rule).await?;
        Ok(rule_row(changed))
    }

    /// Payments that rules hold, or held, the oldest first.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn payment_holds(&self, _by: &Admin, state: Option<&str>, page: Page) -> Result<PaymentHoldList> {
        let state = state.map(str::to_owned);
        let read = self
            .store
            .read(|tx| Box::pin(async move { holds::list(tx, state.as_deref(), page).await }));
        let (found, total) = read.await?.value;
        Ok(PaymentHoldList {
            holds: found.into_iter().map(hold_row).collect(),
            paging: page.of(total),
        })
    }

    /// A payment that a rule holds, or held.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn payment_hold(&self, _by: &Admin, id: Uuid) -> Result<Option<PaymentHoldRow>> {
        Ok(holds::one(&self.store, id).await?.map(hold_row))
    }

    /// Decides about a held payment. Unless `confirmed`, the limit of the role holds for a refund.
    ///
    /// # Errors
    /// [`DecideError`]; then nothing has changed.
    pub async fn decide_payment_hold(
        &self,
        (by, confirmed): (&Admin, bool),
        id: Uuid,
        decision: Decision,
        note: &str,
    ) -> Result<(), DecideError> {
        holds::decide(&self.store, (by.caller().user(), confirmed), id, decision, note).await
    }

    /// How holds since `from` and before `until` ended, by rule.
    ///
    /// # Errors
    /// [`lockstep_store::StoreError`].
    pub async fn hold_report(&self, _by: &Admin, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<HoldReport> {
        let read = self.store.read(|tx| Box::pin(holds::report(tx, from, until)));
        let rows = read.await?.value.into_iter().map(|row| HoldReportRow {
            rule: row.rule,
            held: row.held,
            open: row.open,
            released: row.released,
            refunded: row.refunded,
            regretted: row.regretted,
        });
        Ok(HoldReport { rows: rows.collect() })
    }
}
