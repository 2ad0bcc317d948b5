//! Injects the faults of the plan, removes their causes, and waits until the shop has recovered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lockstep_g2a_sandbox::{CallMatch, Fault as Accident, FaultRule, Times};
use lockstep_testkit::sqlx;
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::task::JoinSet;

use crate::ground::Ground;
use crate::instance::Instance;
use crate::plan::{Fault, Lane, Step};
use crate::postbox::Mood;
use crate::shop::Shop;
use crate::verdicts::Rule;
use crate::{say, watch};

/// Time limit for the shop to become ready after a cause is removed.
const RECOVERY: Duration = Duration::from_secs(90);
/// Time limit for PostgreSQL itself to answer again: it replays at most 1 GB of its log.
const DATABASE_RECOVERY: Duration = Duration::from_mins(5);
/// Time limit for an instance to terminate after `SIGTERM`: 25 s, with an allowance for a busy machine.
const TERMINATION: Duration = Duration::from_secs(35);

/// Injects faults.
#[derive(Clone)]
pub(crate) struct Chaos {
    ground: Arc<Ground>,
    shop: Shop,
    began: Instant,
}

impl Chaos {
    /// For the shop on `ground`, whose buyers started at `began`.
    pub(crate) fn new(ground: &Arc<Ground>, shop: &Shop, began: Instant) -> Self {
        Self {
            ground: ground.clone(),
            shop: shop.clone(),
            began,
        }
    }

    /// Executes all steps at their times, and returns when `length` has passed and all faults are healed.
    pub(crate) async fn run(&self, steps: &[Step], length: Duration) {
        let mut running = JoinSet::new();
        for step in steps.iter().copied() {
            let at = self.began + Duration::from_millis(step.at_ms);
            tokio::time::sleep_until(at.into()).await;
            let chaos = self.clone();
            running.spawn(async move { chaos.make(step).await });
        }
        while running.join_next().await.is_some() {}
        tokio::time::sleep_until((self.began + length).into()).await;
    }

    async fn make(&self, step: Step) {
        let instance = match step.fault.lane() {
            Lane::Instance if step.fault == Fault::DataFolderFull => Some(0),
            Lane::Instance => Some(step.pick(self.ground.instances.len())),
            _ => None,
        };
        let name = instance
            .and_then(|number| self.ground.instances.get(number))
            .map_or("", |instance| instance.name);
        say(&format!(
            "{:>8} ms  {:?} {name} for {} ms",
            self.began.elapsed().as_millis(),
            step.fault,
            step.lasts_ms
        ));
        if step.fault.lane() == Lane::Database {
            // A planned fault waits for the end of an unplanned outage.
            self.database_answers(&format!("before {:?}", step.fault)).await;
        }
        let mark = self.shop.timeline.begin(step.fault, instance);
        let made = self.break_and_heal(step, instance).await;
        self.shop.timeline.end(mark);
        if let Err(error) = made {
            // If a fault cannot be healed, the run's verdicts are meaningless.
            self.shop
                .verdicts
                .broken(Rule::Recovery, format!("{:?} {name}: {error:#}", step.fault));
        }
        if matches!(step.fault.lane(), Lane::Database | Lane::Instance) {
            self.judge_recovery(&format!("{:?} {name}", step.fault)).await;
        }
        self.shop.timeline.recovered(mark);
    }

    async fn database_answers(&self, when: &str) {
        if let Err(error) = self.ground.database.answers(DATABASE_RECOVERY).await {
            self.shop.verdicts.broken(Rule::Recovery, format!("{when}: {error:#}"));
        }
    }

    /// Checks that every instance becomes ready in time once the database answers, except those affected by another fault, which has its own
    /// check.
    async fn judge_recovery(&self, after: &str) {
        self.database_answers(&format!("after {after}")).await;
        let healed = Instant::now();
        for (door, (instance, _)) in self.shop.doors.iter().enumerate() {
            if self.shop.timeline.is_held_back(*instance, healed) {
                continue;
            }
            let left = RECOVERY.saturating_sub(healed.elapsed());
            let ready = watch::ready(&self.shop, door, left).await;
            if ready.is_err() && self.shop.timeline.is_held_back(*instance, healed) {
                continue;
            }
            self.shop.verdicts.judge(
                Rule::Recovery,
                ready.err().map(|error| format!("after {after}: {error:#}")),
            );
        }
    }

    async fn break_and_heal(&self, step: Step, instance: Option<usize>) -> Result<()> {
        let (lasts, Ground { database, redis, .. }) = (step.lasts(), &*self.ground);
        let instance = instance.and_then(|number| self.ground.instances.get(number));
        match step.fault {
            Fault::InstanceKilled => {
                let instance = instance.context("no instance")?;
                instance.kill().await?;
                tokio::time::sleep(lasts).await;
                instance.start()
            }
            Fault::InstanceTerminated => {
                let instance = instance.context("no instance")?;
                let ended = instance.terminate(TERMINATION).await;
                self.shop
                    .verdicts
                    .judge(Rule::Processes, ended.err().map(|error| format!("{error:#}")));
                tokio::time::sleep(lasts).await;
                instance.start()
            }
            Fault::InstancePaused | Fault::InstancePausedPastLeases => {
                let instance = instance.context("no instance")?;
                instance.pause()?;
                tokio::time::sleep(lasts).await;
                instance.resume()
            }
            Fault::LogUnread => {
                let instance = instance.context("no instance")?;
                instance.set_unread(true);
                tokio::time::sleep(lasts).await;
                instance.set_unread(false);
                Ok(())
            }
            Fault::RedisKilled => {
                redis.kill().await?;
                self.hold(lasts, "redis").await;
                redis.start_again().await
            }
            Fault::RedisFrozen => {
                redis.freeze(true)?;
                self.hold(lasts, "redis").await;
                redis.freeze(false)
            }
            Fault::RedisFlushed => redis.flush().await,
            Fault::DatabaseStopped => {
                database.stop().await?;
                self.hold(lasts, "database").await;
                database.start_again().await
            }
            Fault::DatabaseKilled => {
                database.kill()?;
                tokio::time::sleep(lasts).await;
                database.answers(DATABASE_RECOVERY).await
            }
            Fault::ConnectionsCut => database.cut_connections().await,
            // Only observed.
            Fault::DatabaseAway => Ok(()),
            Fault::DatabaseFrozen => {
                database.freeze()?;
                self.hold(lasts, "database").await;
                database.thaw()
            }
            Fault::DatabaseReadOnly => {
                database.read_only(true).await?;
                self.hold(lasts, "writes").await;
                let healing = Instant::now();
                while let Err(error) = database.read_only(false).await {
                    if healing.elapsed() > DATABASE_RECOVERY {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Ok(())
            }
            Fault::DatabaseDiskFull => self.fill(self.ground.database_disk.as_ref(), lasts).await,
            Fault::DataFolderFull => self.fill(self.ground.data_disk.as_ref(), lasts).await,
            Fault::ClockBack | Fault::ClockForward => {
                let seconds = i64::try_from(60 + step.chance % 840)?;
                database.step_clock(if step.fault == Fault::ClockBack {
                    -seconds
                } else {
                    seconds
                })?;
                tokio::time::sleep(lasts).await;
                database.step_clock(0)
            }
            Fault::GameRowLocked => {
                // One of the games on sale.
                let game = self.shop.games.get(step.pick(self.shop.games.len()));
                let id = &game.context("no game")?.id;
                self.lock(&format!("select 1 from games where id = '{id}' for update"), lasts)
                    .await
            }
            Fault::UserRowLocked => {
                let number = step.pick(12);
                self.lock(
                    &format!("select 1 from users where email = 'buyer-{number}@soak.invalid' for update"),
                    lasts,
                )
                .await
            }
            Fault::MailSlow => {
                self.mail(Mood::Slow(Duration::from_millis(500 + step.chance % 4_000)), lasts)
                    .await
            }
            Fault::MailRefusing => self.mail(Mood::Refusing, lasts).await,
            Fault::MailClosing => self.mail(Mood::Closing, lasts).await,
            Fault::KeysLate
            | Fault::SupplierSlow
            | Fault::SupplierFailing
            | Fault::SupplierRefusing
            | Fault::SupplierDropping
            | Fault::SupplierCutting
            | Fault::SupplierUnreadable => self.supplier(step).await,
        }
    }

    async fn supplier(&self, step: Step) -> Result<()> {
        let control = self.ground.supplier.control();
        let calls = [CallMatch::Order, CallMatch::Pay, CallMatch::Details, CallMatch::Key];
        let call = calls.get(step.pick(calls.len())).copied().unwrap_or(CallMatch::Any);
        let always = |call, fault| FaultRule {
            times: Times::Forever,
            ..FaultRule::once(call, fault)
        };
        // Lost keys cost money, so only a few.
        let some = |call, fault| FaultRule {
            times: Times::N(if call == CallMatch::Key { 4 } else { 40 }),
            ..FaultRule::once(call, fault)
        };
        let rule = match step.fault {
            Fault::SupplierSlow => always(
                CallMatch::Any,
                Accident::Slow {
                    milliseconds: 500 + step.chance % 7_500,
                },
            ),
            Fault::SupplierFailing => always(
                CallMatch::Any,
                Accident::Error {
                    status: 500,
                    code: "ERR99".to_owned(),
                    message: String::new(),
                },
            ),
            Fault::SupplierRefusing => always(CallMatch::Any, Accident::DropBefore),
            Fault::SupplierDropping => some(call, Accident::DropAfter),
            Fault::SupplierCutting => some(
                call,
                Accident::TruncateAt {
                    bytes: step.chance % 40,
                },
            ),
            Fault::SupplierUnreadable => FaultRule {
                process_first: true,
                ..some(
                    CallMatch::Key,
                    if step.chance.is_multiple_of(2) {
                        Accident::Nonsense
                    } else {
                        Accident::WrongJson
                    },
                )
            },
            _ => {
                control.change_knobs(|knobs| knobs.key_delay_seconds = 1 + step.chance % 5);
                tokio::time::sleep(step.lasts()).await;
                control.change_knobs(|knobs| knobs.key_delay_seconds = 0);
                return Ok(());
            }
        };
        control.add_fault(rule);
        if matches!(step.fault, Fault::SupplierFailing | Fault::SupplierRefusing) {
            self.hold(step.lasts(), "g2a").await;
        } else {
            tokio::time::sleep(step.lasts()).await;
        }
        control.clear_faults();
        Ok(())
    }

    async fn mail(&self, mood: Mood, lasts: Duration) -> Result<()> {
        self.ground.postbox.set(mood);
        tokio::time::sleep(lasts).await;
        self.ground.postbox.set(Mood::Well);
        Ok(())
    }

    async fn fill(&self, disk: Option<&crate::ground::Disk>, lasts: Duration) -> Result<()> {
        let disk = disk.context("no disk of its own")?.clone();
        // Not on this thread: blocking here would end a runtime thread, and with it the child processes that it
        // started.
        let filling = disk.clone();
        tokio::task::spawn_blocking(move || filling.fill()).await??;
        tokio::time::sleep(lasts).await;
        disk.free()
    }

    async fn lock(&self, statement: &str, lasts: Duration) -> Result<()> {
        let mut connection = self.ground.database.connect().await?;
        connection.execute("begin").await?;
        // The current lock holder releases the row soon.
        let locking = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection);
        tokio::time::timeout(Duration::from_secs(30), locking).await??;
        tokio::time::sleep(lasts).await;
        connection.execute("rollback").await?;
        Ok(())
    }

    /// Waits for `lasts`, and meanwhile runs `lockstep doctor`, which must report `part`.
    async fn hold(&self, lasts: Duration, part: &'static str) {
        let until = Instant::now() + lasts;
        if lasts > Duration::from_secs(5)
            && let Some(instance) = self.ground.instances.get(1)
        {
            let (asked, began) = (doctor(instance), Instant::now());
            // A result after the cause is removed proves nothing. Without its database the doctor checks nothing else.
            if let Ok(Ok(findings)) = tokio::time::timeout(lasts, asked).await
                && (matches!(part, "database" | "writes") || !self.database_was_away(began))
            {
                // With a frozen or read-only database it may stop early, and reports that.
                let named = findings.iter().any(|finding| finding.0 == part && finding.1 == "wrong");
                self.shop.verdicts.judge(
                    Rule::DoctorTrue,
                    (!named).then(|| format!("{part} is stopped, and the doctor says {findings:?}")),
                );
            }
        }
        tokio::time::sleep_until(until.into()).await;
    }
}

impl Chaos {
    /// Whether a database fault was active at any time after `since`.
    fn database_was_away(&self, since: Instant) -> bool {
        let periods = self
            .shop
            .timeline
            .between(since, Instant::now(), Duration::from_secs(2));
        periods.iter().any(|period| period.fault.lane() == Lane::Database)
    }
}

/// The findings of `lockstep doctor`: for each what was checked, its state, and what was seen.
pub(crate) async fn doctor(instance: &Instance) -> Result<Vec<(String, String, String)>> {
    let output = instance.command(&["doctor", "--json"]).output().await?;
    let findings = lines(&output).context("lockstep doctor")?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(findings
        .iter()
        .map(|finding| (text(&finding["what"]), text(&finding["state"]), text(&finding["seen"])))
        .collect())
}

/// What a command printed with `--json`: one object a line.
pub(crate) fn lines(output: &std::process::Output) -> Result<Vec<serde_json::Value>> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}
