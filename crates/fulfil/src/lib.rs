//! The purchase saga: one unit of an order becomes one order at G2A, one payment and one key, or the money back.
//!
//! `store.order_units → [this] ⇄ g2a → store.game_keys, transactions`
//!
//! Every call to G2A has its intent committed before and its result after it, so that whatever dies in between, the
//! next worker knows what may have happened (`docs/consistency.md`).
