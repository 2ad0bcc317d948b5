//! Promo codes that sell below cost.

use lockstep_store::promo_codes;

use super::{Finding, NO_ANSWER};
use crate::commands::promo::below_cost;
use crate::config::Config;
use crate::database::Database;

pub(super) async fn look(config: &Config, database: &Database, findings: &mut Vec<Finding>) {
    let codes = match promo_codes::list(&database.store).await {
        Ok(codes) => codes,
        Err(error) => {
            findings.push(Finding::wrong("promo codes", error.to_string(), NO_ANSWER));
            return;
        }
    };
    let usable: Vec<_> = codes.iter().filter(|code| code.usable).collect();
    let below: Vec<_> = usable
        .iter()
        .filter_map(|code| Some((code, below_cost(config, code.discount)?)))
        .collect();
    if below.is_empty() {
        findings.push(Finding::well("promo codes", format!("{} usable", usable.len())));
    }
    for (code, why) in below {
        let remedy = format!(
            "end it with `lockstep promo end {}`, or create one with a smaller discount",
            code.code
        );
        findings.push(Finding::note("promo codes", format!("{}: {why}", code.code), remedy));
    }
}
