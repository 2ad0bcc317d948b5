//! Money from outside: the providers through which a shopper tops up a balance, behind one interface.
//!
//! `shopper → [provider] → signed webhook → store.transactions`
//!
//! A provider only ever says "this much was paid, under this reference"; what is credited is decided by the intent in
//! the database, once.
