//! Whether all processes of this shop have the same settings.

use lockstep_store::Store;

use super::{Finding, NO_ANSWER};
use crate::config::Config;
use crate::instances;

pub(super) async fn look(config: &Config, store: &Store) -> Vec<Finding> {
    let remedy = "give every process of the shop the same; see \"Different settings\" in docs/operations.md";
    match instances::compare(config, store).await {
        Ok((0, found)) if found.is_empty() => Vec::new(),
        Ok((running, found)) if found.is_empty() => vec![Finding::well(
            "instances",
            format!("{running} running, with the same settings as here"),
        )],
        Ok((_, found)) => found
            .into_iter()
            .map(|seen| Finding::wrong("instances", seen, remedy))
            .collect(),
        Err(error) => vec![Finding::wrong("instances", format!("{error:#}"), NO_ANSWER)],
    }
}
