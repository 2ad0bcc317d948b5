//! The database and the domain have the same state machines: every pair of states is tried on both.

use lockstep_domain::order::{OrderStatus, RefundReason, UnitState};
use lockstep_domain::pending_checkout::CheckoutState;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::world::{World, rule_of};

/// Whether the trigger lets `table`'s row `{id}` go from `old` to `new`. Refusals for other reasons (an order that is
/// not delivered yet) do not count.
async fn trigger_lets(world: &World, table: &str, column: &str, id: &str, old: &str, new: &str, rule: &str) -> bool {
    // With the triggers disabled, a test can set any initial state.
    let forge = format!(
        "alter table {table} disable trigger user;
         update {table} set {column} = '{old}', {} where id = {{{id}}};
         alter table {table} enable trigger user",
        if table == "orders" {
            format!("completed_at = case when '{old}' = 'COMPLETED' then now() end")
        } else {
            "g2a_order_id = 'o'".to_owned()
        }
    );
    world.db.execute(&world.fill(&forge)).await;
    let mut tx = world.db.sql.begin().await.unwrap();
    let step = world.fill(&format!("update {table} set {column} = '{new}' where id = {{{id}}}"));
    match tx.execute(AssertSqlSafe(step)).await {
        Ok(_) => true,
        Err(error) => {
            let refused_by = rule_of(&error);
            assert!(
                refused_by.starts_with("order"),
                "{old} to {new} failed for another reason: {error}"
            );
            refused_by != rule
        }
    }
}

#[tokio::test]
async fn order_transitions_match_the_domain() {
    let world = World::new().await;
    for old in OrderStatus::ALL {
        for new in OrderStatus::ALL.into_iter().filter(|new| *new != old) {
            let may: bool = sqlx::query_scalar("select order_status_may_become($1::order_status, $2::order_status)")
                .bind(old.as_str())
                .bind(new.as_str())
                .fetch_one(&world.db.sql)
                .await
                .unwrap();
            assert_eq!(may, old.may_become(new), "table: {old:?} to {new:?}");
            let lets = trigger_lets(
                &world,
                "orders",
                "status",
                "order",
                old.as_str(),
                new.as_str(),
                "orders_status_transition",
            )
            .await;
            assert_eq!(lets, old.may_become(new), "trigger: {old:?} to {new:?}");
        }
    }
}

#[tokio::test]
async fn unit_transitions_match_the_domain() {
    let world = World::new().await;
    for old in UnitState::ALL {
        for new in UnitState::ALL.into_iter().filter(|new| *new != old) {
            let may: bool = sqlx::query_scalar("select unit_state_may_become($1, $2)")
                .bind(old.as_str())
                .bind(new.as_str())
                .fetch_one(&world.db.sql)
                .await
                .unwrap();
            assert_eq!(may, old.may_become(new), "table: {old:?} to {new:?}");
            let lets = trigger_lets(
                &world,
                "order_units",
                "state",
                "unit",
                old.as_str(),
                new.as_str(),
                "order_units_state_transition",
            )
            .await;
            assert_eq!(lets, old.may_become(new), "trigger: {old:?} to {new:?}");
        }
    }
}

#[tokio::test]
async fn checkout_transitions_match_the_domain() {
    let world = World::new().await;
    for old in CheckoutState::ALL {
        for new in CheckoutState::ALL {
            let may: bool = sqlx::query_scalar("select pending_checkout_may_become($1, $2)")
                .bind(old.as_str())
                .bind(new.as_str())
                .fetch_one(&world.db.sql)
                .await
                .unwrap();
            assert_eq!(may, old.may_become(new), "{old:?} to {new:?}");
        }
    }
}

/// The enum values match the domain's, in the order of `docs/data-model.md`.
#[tokio::test]
async fn enum_values_match_the_domain() {
    let world = World::new().await;
    let values = |name: &'static str| {
        let sql = world.db.sql.clone();
        async move {
            sqlx::query_scalar::<_, String>(
                "select enumlabel::text from pg_enum where enumtypid = $1::text::regtype order by enumsortorder",
            )
            .bind(name)
            .fetch_all(&sql)
            .await
            .unwrap()
        }
    };
    assert_eq!(values("order_status").await, OrderStatus::ALL.map(OrderStatus::as_str));
    assert_eq!(values("role").await, ["USER", "ADMIN"]);
    assert_eq!(values("transaction_type").await, ["TOP_UP", "PURCHASE", "REFUND"]);
    assert_eq!(
        values("payment_status").await,
        ["PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"]
    );
}

#[tokio::test]
async fn every_refund_reason_can_be_stored() {
    let world = World::new().await;
    for reason in RefundReason::ALL {
        let name = reason.as_str();
        let booking = format!(
            "insert into transactions (user_id, type, amount, status, reason) values ({{user}}, 'REFUND', 1, 'PENDING', '{name}')"
        );
        world.db.execute(&world.fill(&booking)).await;
        let unit = format!("update order_units set state = 'REFUNDED', refunded_for = '{name}' where id = {{unit}}");
        let mut tx = world.db.sql.begin().await.unwrap();
        tx.execute(AssertSqlSafe(world.fill(&unit))).await.unwrap();
        assert_eq!(
            serde_json::to_value(reason).unwrap(),
            name,
            "the API's name is the database's"
        );
    }
}
