//! Promo codes that sell below cost.

use lockstep_store::promo_codes;

use super::Finding;
use crate::commands::promo::below_cost;
use crate::config::Config;
use crate::database::Database;
use crate::words::say;

pub(super) async fn look(config: &Config, database: &Database, findings: &mut Vec<Finding>) {
    let codes = match promo_codes::list(&database.store).await {
        Ok(codes) => codes,
        Err(error) => {
            findings.push(Finding::failed("promo codes", error));
            return;
        }
    };
    let usable: Vec<_> = codes.iter().filter(|code| code.usable).collect();
    let below: Vec<_> = usable
        .iter()
        .filter_map(|code| Some((code, below_cost(config, code.discount)?)))
        .collect();
    if below.is_empty() {
        findings.push(Finding::well("promo codes", say!("doctor.promo.usable", usable.len())));
    }
    for (code, why) in below {
        let remedy = say!("doctor.promo.below.do", code.code);
        findings.push(Finding::note(
            "promo codes",
            say!("doctor.promo.below", code.code, why),
            remedy,
        ));
    }
}
