//! Permissions, and who may give a role to whom.

use std::collections::BTreeSet;

use lockstep_domain::ids::UserId;
use lockstep_domain::staff::{Permission, Permissions, Refused, StaffRole};
use lockstep_store::accounts::{self, AccountError, staff};
use lockstep_store::audit::By;
use lockstep_testkit::TestDb;

fn named(name: &str) -> StaffRole {
    StaffRole::Named(name.to_owned())
}

async fn verified(db: &TestDb, address: &str) -> UserId {
    let id = db.user(address, "0").await;
    sqlx::query("update users set email_verified = true where id = $1")
        .bind(id)
        .execute(&db.sql)
        .await
        .unwrap();
    UserId(id)
}

async fn member(db: &TestDb, address: &str, role: &StaffRole) -> UserId {
    let id = verified(db, address).await;
    let operator = By::Operator("here".to_owned());
    staff::change_role(&db.store, &operator, id, role).await.unwrap();
    id
}

#[tokio::test]
async fn the_database_knows_exactly_the_permissions_of_the_program() {
    let db = TestDb::new().await;
    let rule: String = sqlx::query_scalar(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'staff_role_permissions_known'",
    )
    .fetch_one(&db.sql)
    .await
    .unwrap();
    let held: BTreeSet<&str> = rule.split('\'').skip(1).step_by(2).collect();
    let known: BTreeSet<&str> = Permission::ALL.iter().map(|permission| permission.name()).collect();
    assert_eq!(held, known);
}

#[tokio::test]
async fn permissions_follow_the_role_at_once() {
    let db = TestDb::new().await;
    let bob = member(&db, "bob@example.org", &named("SUPPORT")).await;
    let now = async || staff::permissions(&db.store, bob).await.unwrap();
    assert!(now().await.contains(Permission::OrdersRead) && !now().await.contains(Permission::PromotionsWrite));
    db.execute("insert into staff_role_permissions values ('SUPPORT', 'promotions.write')")
        .await;
    assert!(now().await.contains(Permission::PromotionsWrite));
    db.user("eve@example.org", "0").await;
    db.execute("update users set staff_role = null, role = 'ADMIN'").await;
    assert_eq!(now().await, Permissions::all());
    db.execute("update users set role = 'USER' where email = 'bob@example.org'")
        .await;
    assert!(now().await.is_empty());
    let nobody = UserId("0192f0c1-0000-7000-8000-000000000001".parse().unwrap());
    assert!(staff::permissions(&db.store, nobody).await.unwrap().is_empty());
}

#[tokio::test]
async fn nobody_gives_what_they_lack_or_changes_somebody_with_more() {
    let db = TestDb::new().await;
    let root = member(&db, "root@example.org", &StaffRole::Owner).await;
    db.execute(
        "insert into staff_roles values ('LEAD');
         insert into staff_role_permissions
         select 'LEAD', permission from staff_role_permissions where role = 'SUPPORT' union values ('LEAD', 'staff.write')",
    )
    .await;
    let lead = member(&db, "lead@example.org", &named("LEAD")).await;
    let manager = member(&db, "manager@example.org", &named("MANAGER")).await;
    let ada = verified(&db, "ada@example.org").await;
    let change = async |by: UserId, whom: UserId, role: StaffRole| {
        staff::change_role(&db.store, &By::Staff(by), whom, &role).await
    };
    assert_eq!(change(lead, ada, named("SUPPORT")).await.unwrap(), StaffRole::None);
    assert_eq!(change(lead, ada, named("LEAD")).await.unwrap(), named("SUPPORT"));
    for (by, whom, role, why) in [
        (lead, ada, named("MANAGER"), Refused::GivesMore),
        (lead, ada, StaffRole::Owner, Refused::GivesMore),
        (lead, lead, StaffRole::Owner, Refused::GivesMore),
        (lead, manager, StaffRole::None, Refused::HasMore),
        (lead, root, StaffRole::None, Refused::HasMore),
        (manager, ada, StaffRole::None, Refused::Lacks(Permission::StaffWrite)),
    ] {
        let refused = change(by, whom, role.clone()).await;
        assert!(
            matches!(refused, Err(AccountError::Refused(told)) if told == why),
            "{role:?}: {refused:?}"
        );
    }
    assert!(matches!(
        accounts::delete_by_staff(&db.store, manager, ada).await,
        Err(AccountError::Refused(Refused::Lacks(Permission::UsersDelete)))
    ));
    assert!(matches!(
        change(root, ada, named("NOBODY")).await,
        Err(AccountError::UnknownRole)
    ));
    assert!(matches!(
        change(root, root, named("LEAD")).await,
        Err(AccountError::LastAdmin)
    ));
    assert!(matches!(
        accounts::delete_by_staff(&db.store, root, root).await,
        Err(AccountError::LastAdmin)
    ));
    // What was changed is on record, with both roles; what was refused is not.
    let deeds: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', details ->> 'from', details ->> 'to', admin_id is null) from audit_log
          where action = 'user.role' order by at",
    )
    .fetch_all(&db.sql)
    .await
    .unwrap();
    assert_eq!(
        deeds,
        [
            "USER OWNER t",
            "USER LEAD t",
            "USER MANAGER t",
            "USER SUPPORT f",
            "SUPPORT LEAD f"
        ]
    );
}

/// Everybody removes everybody else at the same moment, again and again: an owner stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_stays_whatever_owners_do_to_each_other() {
    let db = TestDb::new().await;
    for round in 0..5 {
        let mut owners = Vec::new();
        for number in 0..6 {
            owners.push(member(&db, &format!("{round}-{number}@example.org"), &StaffRole::Owner).await);
        }
        let mut deeds = tokio::task::JoinSet::new();
        for by in owners.clone() {
            for whom in owners.clone() {
                let store = db.store.clone();
                deeds.spawn(async move {
                    if whom.0.as_u128() % 2 == 0 {
                        accounts::delete_by_staff(&store, by, whom).await.map(drop)
                    } else {
                        let role = StaffRole::None;
                        staff::change_role(&store, &By::Staff(by), whom, &role).await.map(drop)
                    }
                });
            }
        }
        while let Some(done) = deeds.join_next().await {
            match done.unwrap() {
                Ok(())
                | Err(
                    AccountError::LastAdmin
                    | AccountError::NotFound
                    | AccountError::Refused(_)
                    | AccountError::Store(_),
                ) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert!(db.count("users where role = 'ADMIN'").await >= 1);
    }
}

#[tokio::test]
async fn staff_delete_only_accounts_without_orders_and_money() {
    let db = TestDb::new().await;
    let root = member(&db, "root@example.org", &StaffRole::Owner).await;
    let game = db.game("Portal", "portal", "10.00").await;
    let buyer = UserId(db.user("ada@example.org", "500").await);
    let order = db.order(buyer.0, game, 1).await;
    let delete = async |whom: UserId| accounts::delete_by_staff(&db.store, root, whom).await;
    assert!(matches!(delete(buyer).await, Err(AccountError::OrdersUnderWay)));
    db.deliver(order.units[0]).await;
    db.execute("update orders set status = 'PROCESSING'; update orders set status = 'COMPLETED'")
        .await;
    assert!(matches!(delete(buyer).await, Err(AccountError::HasBalance)));
    let bob = UserId(db.user("bob@example.org", "0").await);
    delete(bob).await.unwrap();
    assert!(matches!(delete(bob).await, Err(AccountError::NotFound)));
    assert_eq!(db.count("users where email = 'bob@example.org'").await, 0);
    // One's own account, which the entry about it keeps in anonymised form.
    let second = member(&db, "second@example.org", &StaffRole::Owner).await;
    accounts::delete_by_staff(&db.store, second, second).await.unwrap();
    assert_eq!(db.count("audit_log where action = 'user.delete'").await, 2);
}

/// Anybody may register an address; who does not read its e-mails is not made staff.
#[tokio::test]
async fn an_account_whose_address_is_not_verified_gets_no_role() {
    let db = TestDb::new().await;
    let eve = UserId(db.user("bob@example.org", "0").await);
    for role in [StaffRole::Owner, named("SUPPORT")] {
        let given = staff::assign_role(&db.store, "bob@example.org", &role, "here").await;
        assert!(matches!(given, Err(AccountError::NotVerified)), "{given:?}");
    }
    assert!(staff::permissions(&db.store, eve).await.unwrap().is_empty());
}
