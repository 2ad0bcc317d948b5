//! Moving in from a made-up Prisma shop with one of each damage, between real databases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damage;
mod files;
mod runs;
mod support;
