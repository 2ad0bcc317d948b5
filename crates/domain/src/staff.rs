//! What staff may do: permissions, roles, and who may change whose role.
//!
//! A role is a set of permissions in the database. An owner is an account with the role `ADMIN` and has every
//! permission; everybody else on the staff has one role of `staff_roles`.

use std::collections::BTreeSet;
use std::fmt;

/// Defines [`Permission`] with its names.
macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// Something that staff may do. Each route of the back office needs one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[$doc])* $name),*
        }

        impl Permission {
            /// All permissions, by name.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in the database.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text),*
                }
            }
        }
    };
}

permissions! {
    /// Read the audit log.
    AuditRead = "audit.read",
    /// Change a user's balance, with a reason.
    BalanceAdjust = "balance.adjust",
    /// Read users' carts and wishlists.
    CartsRead = "carts.read",
    /// Change and empty them.
    CartsWrite = "carts.write",
    /// Read games and taxonomies.
    CatalogueRead = "catalogue.read",
    /// Create, change and delete them.
    CatalogueWrite = "catalogue.write",
    /// Read articles, questions and pages that are not published.
    ContentRead = "content.read",
    /// Create, change and delete them.
    ContentWrite = "content.write",
    /// Read the key figures of the shop.
    DashboardRead = "dashboard.read",
    /// Read e-mail templates and the e-mail queue.
    EmailRead = "email.read",
    /// Change e-mail templates, and send with them.
    EmailWrite = "email.write",
    /// List keys, masked, and their statistics.
    KeysRead = "keys.read",
    /// Add and remove keys of the shop's own stock.
    KeysWrite = "keys.write",
    /// Read orders, with who placed them.
    OrdersRead = "orders.read",
    /// Refund delivered units.
    OrdersRefund = "orders.refund",
    /// Cancel orders.
    OrdersWrite = "orders.write",
    /// Read payments and transactions, with whose they are.
    PaymentsRead = "payments.read",
    /// Read price rules, what they would change, and scheduled changes.
    PricesRead = "prices.read",
    /// Change price rules, and schedule changes of games.
    PricesWrite = "prices.write",
    /// Read promo codes and their statistics.
    PromotionsRead = "promotions.read",
    /// Create, change and delete promo codes.
    PromotionsWrite = "promotions.write",
    /// Give and take roles, as far as one's own permissions go.
    StaffWrite = "staff.write",
    /// Read the state of the synchronisation and of the supplier.
    SupplierRead = "supplier.read",
    /// Start synchronisations and change the supplier's settings.
    SupplierWrite = "supplier.write",
    /// Read the state of caches and jobs.
    SystemRead = "system.read",
    /// Drop cached answers, change settings.
    SystemWrite = "system.write",
    /// Delete accounts.
    UsersDelete = "users.delete",
    /// Act as a customer: look at the shop with their eyes.
    UsersImpersonate = "users.impersonate",
    /// Read users: their data, orders and log-ins.
    UsersRead = "users.read",
    /// Change users' names.
    UsersWrite = "users.write",
    /// Read outgoing webhooks and their deliveries.
    WebhooksRead = "webhooks.read",
    /// Create, change and delete them, rotate their secrets, replay deliveries.
    WebhooksWrite = "webhooks.write",
}

impl Permission {
    /// The permission with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.name() == name)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The permissions of somebody; none for a customer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// Every permission: an owner's.
    pub fn all() -> Self {
        Permission::ALL.iter().copied().collect()
    }

    /// Whether there is none, as for a customer.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `permission` is one of them.
    pub fn contains(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// Those that are in both.
    #[must_use]
    pub fn shared_with(&self, others: &Self) -> Self {
        Self(self.0.intersection(&others.0).copied().collect())
    }

    /// Whether all of `others` are among them.
    pub fn cover(&self, others: &Self) -> bool {
        self.0.is_superset(&others.0)
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

/// The role of an account, as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StaffRole {
    /// A customer.
    None,
    /// An owner: `ADMIN` in the API.
    Owner,
    /// A role of `staff_roles`, by name.
    Named(String),
}

impl StaffRole {
    /// Parses the name of a role in any case: `user`, `owner` or `admin`, or that of a role in the database.
    pub fn from_name(name: &str) -> Self {
        match name.trim().to_uppercase().as_str() {
            "USER" => Self::None,
            "OWNER" | "ADMIN" => Self::Owner,
            other => Self::Named(other.to_owned()),
        }
    }

    /// Its name, also in the audit log.
    pub fn name(&self) -> &str {
        match self {
            Self::None => "USER",
            Self::Owner => "OWNER",
            Self::Named(name) => name,
        }
    }
}

/// Why somebody may not do something to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The caller lacks the permission for it.
    #[error("You lack the permission {0}")]
    Lacks(Permission),
    /// The account has a permission that the caller lacks.
    #[error("This account has permissions that you lack")]
    HasMore,
    /// The role to give has a permission that the caller lacks.
    #[error("You cannot give a permission that you lack")]
    GivesMore,
}

/// Whether somebody with the permissions `by` may use `permission` on an account that has `theirs`: nobody changes,
/// resets or removes somebody with more.
///
/// # Errors
/// [`Refused`].
pub fn may_change(by: &Permissions, permission: Permission, theirs: &Permissions) -> Result<(), Refused> {
    if !by.contains(permission) {
        Err(Refused::Lacks(permission))
    } else if by.cover(theirs) {
        Ok(())
    } else {
        Err(Refused::HasMore)
    }
}

/// Whether somebody with the permissions `by` may change those of an account from `theirs` to `given`: as
/// [`may_change`], and nobody gives a permission that they lack.
///
/// # Errors
/// [`Refused`].
pub fn may_give(by: &Permissions, theirs: &Permissions, given: &Permissions) -> Result<(), Refused> {
    may_change(by, Permission::StaffWrite, theirs)?;
    if by.cover(given) {
        Ok(())
    } else {
        Err(Refused::GivesMore)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn some() -> impl Strategy<Value = Permissions> {
        prop::collection::btree_set(prop::sample::select(Permission::ALL), 0..=Permission::ALL.len())
            .prop_map(|set| set.into_iter().collect())
    }

    #[test]
    fn names_are_unique_sorted_and_found_again() {
        assert!(
            Permission::ALL
                .windows(2)
                .all(|two| two[0].name() < two[1].name() && two[0] < two[1])
        );
        for permission in Permission::ALL {
            assert_eq!(Permission::from_name(permission.name()), Some(*permission));
        }
        assert_eq!(Permission::from_name("everything"), None);
    }

    #[test]
    fn role_names_are_parsed_in_any_case() {
        for (text, role) in [
            ("user", StaffRole::None),
            ("Owner", StaffRole::Owner),
            ("ADMIN", StaffRole::Owner),
            (" support ", StaffRole::Named("SUPPORT".into())),
        ] {
            assert_eq!(StaffRole::from_name(text), role);
        }
    }

    proptest! {
        #[test]
        fn nobody_gives_a_permission_that_they_lack(by in some(), theirs in some(), given in some()) {
            if may_give(&by, &theirs, &given).is_ok() {
                prop_assert!(by.cover(&given) && by.cover(&theirs) && by.contains(Permission::StaffWrite));
            }
        }

        #[test]
        fn nobody_changes_somebody_with_more(by in some(), theirs in some(), permission in prop::sample::select(Permission::ALL)) {
            let allowed = may_change(&by, permission, &theirs).is_ok();
            prop_assert_eq!(allowed, by.contains(permission) && by.cover(&theirs));
        }

        #[test]
        fn owners_may_give_anything_to_anybody(theirs in some(), given in some()) {
            prop_assert_eq!(may_give(&Permissions::all(), &theirs, &given), Ok(()));
        }

        /// However staff give and take roles among themselves, no permission comes into their hands that none had.
        #[test]
        fn permissions_never_grow_out_of_nothing(
            staff in prop::collection::vec(some(), 2..6),
            deeds in prop::collection::vec((0..6_usize, 0..6_usize, some()), 0..40),
        ) {
            let had = staff.iter().flat_map(|one| one.0.iter().copied()).collect::<Permissions>();
            let mut staff: HashMap<usize, Permissions> = staff.into_iter().enumerate().collect();
            let many = staff.len();
            for (by, whom, given) in deeds {
                let (by, whom) = (by % many, whom % many);
                if may_give(&staff[&by], &staff[&whom], &given).is_ok() {
                    staff.insert(whom, given);
                }
            }
            for one in staff.values() {
                prop_assert!(had.cover(one));
            }
        }
    }
}
