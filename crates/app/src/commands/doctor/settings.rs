//! Whether all processes of this shop have the same settings.

use lockstep_store::Store;

use super::Finding;
use crate::config::Config;
use crate::instances;
use crate::words::say;

pub(super) async fn look(config: &Config, store: &Store) -> Vec<Finding> {
    let remedy = "doctor.instances.do";
    match instances::compare(config, store).await {
        Ok((0, found)) if found.is_empty() => Vec::new(),
        Ok((running, found)) if found.is_empty() => {
            vec![Finding::well("instances", say!("doctor.instances.same", running))]
        }
        Ok((_, found)) => found
            .into_iter()
            .map(|seen| Finding::wrong("instances", seen, remedy))
            .collect(),
        Err(error) => vec![Finding::failed("instances", format!("{error:#}"))],
    }
}
