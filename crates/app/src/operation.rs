//! What this process knows of itself, for the console: its settings, and the checks of `lockstep doctor`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::BoxFuture;
use lockstep_admin::{CheckState, Finding, FirstStep, Operation, ProcessInfo, SettingInForce};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::commands::doctor;
use crate::config::{Config, Source};
use crate::database::Database;

/// The process, its configuration and its database.
pub(crate) struct Own {
    config: Arc<Config>,
    database: Arc<Database>,
    process: ProcessInfo,
    /// Ends the checks with the process.
    stop: CancellationToken,
}

impl Own {
    pub(crate) fn new(config: &Config, database: &Database, stop: CancellationToken) -> Self {
        Self {
            config: Arc::new(config.clone()),
            database: Arc::new(database.beside()),
            process: ProcessInfo {
                version: env!("CARGO_PKG_VERSION"),
                started_at: config.clock.now(),
                production: config.production,
            },
            stop,
        }
    }

    /// Runs checks on a thread of their own: they are not written for being moved between threads. Without a result when
    /// the process ends.
    fn apart<T, C>(&self, checks: C) -> BoxFuture<'static, T>
    where
        T: Default + Send + 'static,
        C: for<'a> FnOnce(&'a Config, &'a Database) -> Pin<Box<dyn Future<Output = T> + 'a>> + Send + 'static,
    {
        let (config, database, stop) = (Arc::clone(&self.config), Arc::clone(&self.database), self.stop.clone());
        Box::pin(async move {
            let handle = Handle::current();
            let run = tokio::task::spawn_blocking(move || {
                handle
                    .block_on(stop.run_until_cancelled(checks(&config, &database)))
                    .unwrap_or_default()
            });
            run.await.unwrap_or_default()
        })
    }
}

impl Operation for Own {
    fn process(&self) -> ProcessInfo {
        self.process.clone()
    }

    fn settings(&self) -> Vec<SettingInForce> {
        let rows = self.config.shown.iter().map(|shown| SettingInForce {
            name: shown.name.clone(),
            value: shown.value.clone(),
            source: match shown.source {
                Source::Flag => "flag",
                Source::Environment => "environment",
                Source::File => "file",
                Source::Default => "default",
            },
            default: shown.default.clone(),
        });
        rows.collect()
    }

    fn examine(&self) -> BoxFuture<'static, (Vec<Finding>, String)> {
        self.apart(|config, database| {
            Box::pin(async move {
                let findings = doctor::examine(config, database).await;
                let text = doctor::in_words(&findings);
                (findings.into_iter().map(told).collect(), text)
            })
        })
    }

    fn first_day(&self) -> BoxFuture<'static, Vec<(FirstStep, Finding)>> {
        self.apart(|config, database| {
            Box::pin(async move {
                let found = doctor::first_day(config, database).await;
                found.into_iter().map(|(step, finding)| (step, told(finding))).collect()
            })
        })
    }
}

fn told(finding: doctor::Finding) -> Finding {
    Finding {
        what: finding.what,
        state: match finding.state {
            doctor::State::Well => CheckState::Well,
            doctor::State::Note => CheckState::Note,
            doctor::State::Wrong => CheckState::Wrong,
        },
        seen: finding.seen,
        remedy: finding.remedy,
    }
}
