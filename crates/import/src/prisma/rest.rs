//! Guests, carts, wishlists, log-ins, texts and settings.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_domain::{Secret, html, slug};
use lockstep_store::StoreError;
use lockstep_store::imports::{self, Article, CartRow, Faq, G2aAccount, Guest, Login, MailServer, WishRow};
use uuid::Uuid;

use super::rows::{OldArticle, OldCart, OldFaq, OldG2a, OldGuest, OldLogin, OldMailServer};
use super::{Work, line, own};
use crate::{Finding, ImportError};

/// A guest is live while a session with its id has not expired.
const GUESTS: &str = r#"select u.id, {t:u.createdAt} as created_at, {t:s.expiresAt} as expires_at
   from users u join {sessions} s on s."sessionId" = u.id
  where {guest} and s."expiresAt" > now() at time zone 'UTC' and u.id > $1 and ($2::timestamp is null or true)
  order by u.id limit 500"#;

const CARTS: &str = r#"select c."userId" as user_id, c."gameId" as game_id, c.quantity, {t:c.addedAt} as added_at from cart_items c
  where (c."userId", c."gameId") > ($1, $2) and ($3::timestamp is null or true) order by 1, 2 limit 2000"#;

const WISHES: &str = r#"select c."userId" as user_id, c."gameId" as game_id, 1 as quantity, {t:c.addedAt} as added_at from wishlist c
  where (c."userId", c."gameId") > ($1, $2) and ($3::timestamp is null or true) order by 1, 2 limit 2000"#;

const LOGINS: &str = r#"select l.id, l."userId" as user_id, l."ipAddress" as address, l."userAgent" as user_agent, l.success,
        {t:l.createdAt} as created_at
   from login_history l
  where l.id > $1 and ($2::timestamp is null or l."createdAt" >= $2::timestamp) order by l.id limit 2000"#;

/// How long log-ins are kept here.
const KEPT: TimeDelta = TimeDelta::days(180);
/// The most copies of a game in a cart.
const MOST_COPIES: i32 = 10;

/// The first address of a list of proxies, if it is one.
fn address(text: &str) -> Option<String> {
    let first = text.split(',').next()?.trim();
    let ip: IpAddr = first.parse().ok()?;
    Some(ip.to_canonical().to_string())
}

impl Work<'_> {
    pub(super) async fn put_guests(&mut self) -> Result<(), ImportError> {
        let mut after = String::new();
        loop {
            let rows: Vec<OldGuest> = self.source.page(GUESTS, &[after], None).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id.clone();
            let guests: Vec<Guest> = rows
                .into_iter()
                .filter_map(|row| {
                    let created_at = row.created_at.unwrap_or(self.source.at);
                    let id = Uuid::try_parse(&row.id).unwrap_or_else(|_| own("guest", &row.id));
                    Some(Guest {
                        id,
                        created_at,
                        expires_at: row.expires_at?,
                    })
                })
                .collect();
            let many = guests.len() as u64;
            let taken = match self.target() {
                Some((store, ..)) => imports::put_guests(store, &guests).await?,
                None => many,
            };
            for table in ["users", "sessions"] {
                let table = self.table(table);
                table.taken += taken;
                table.duplicates += many - taken;
            }
        }
    }

    pub(super) async fn put_carts(&mut self) -> Result<(), ImportError> {
        for (table, statement) in [("cart_items", CARTS), ("wishlist", WISHES)] {
            let (mut user, mut game) = (String::new(), String::new());
            loop {
                let rows: Vec<OldCart> = self.source.page(statement, &[user, game], None).await?;
                let Some(last) = rows.last() else { break };
                (user, game) = (last.user_id.clone(), last.game_id.clone());
                let at = self.source.at;
                let foreign: Vec<String> = rows.iter().map(|row| row.user_id.clone()).collect();
                let Some((store, _, run)) = self.target() else {
                    // Which of them are of guests who are gone is not known without writing.
                    self.table(table).taken += rows.len() as u64;
                    continue;
                };
                let known = imports::known(store, run.source, "user", &foreign).await?;
                // What an earlier run has brought may have been bought or removed here since.
                let is_new = |row: &OldCart| {
                    run.before
                        .is_none_or(|before| row.added_at.is_none_or(|at| at > before))
                };
                let all = rows.len();
                let rows: Vec<OldCart> = rows.into_iter().filter(is_new).collect();
                let earlier = (all - rows.len()) as u64;
                let carts: Vec<CartRow> = rows
                    .into_iter()
                    .filter_map(|row| {
                        Some(CartRow {
                            user_id: owner(&row.user_id, &known),
                            game_id: *self.games.get(&row.game_id)?,
                            quantity: row.quantity.clamp(1, MOST_COPIES),
                            added_at: row.added_at.unwrap_or(at),
                        })
                    })
                    .collect();
                let (taken, here) = if table == "cart_items" {
                    imports::put_carts(store, &carts).await?
                } else {
                    let wishes: Vec<WishRow> = carts
                        .iter()
                        .map(|row| WishRow {
                            user_id: row.user_id,
                            game_id: row.game_id,
                            added_at: row.added_at,
                        })
                        .collect();
                    imports::put_wishes(store, &wishes).await?
                };
                let table = self.table(table);
                table.taken += taken;
                table.duplicates += here + earlier;
            }
        }
        Ok(())
    }

    pub(super) async fn put_rest(&mut self) -> Result<(), ImportError> {
        if self.source.has("login_history") {
            self.put_logins().await?;
        }
        self.put_articles().await?;
        if self.source.has("faqs") {
            self.put_faqs().await?;
        }
        if self.source.has("email_settings") {
            self.put_mail_servers().await?;
        }
        if self.source.has("g2a_settings") {
            self.put_g2a_accounts().await?;
        }
        Ok(())
    }

    async fn put_logins(&mut self) -> Result<(), ImportError> {
        let (since, mut after, mut done) = (self.options.since, String::new(), 0);
        loop {
            let rows: Vec<OldLogin> = self.source.page(LOGINS, &[after], since).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id.clone();
            done += rows.len();
            let oldest = self.source.at - KEPT;
            let all = rows.len();
            let kept: Vec<OldLogin> = rows
                .into_iter()
                .filter(|row| row.created_at.is_some_and(|at: DateTime<Utc>| at > oldest))
                .collect();
            self.skip("login_history", "it is older than 180 days", (all - kept.len()) as u64);
            let Some((store, _, run)) = self.target() else {
                self.table("login_history").taken += kept.len() as u64;
                continue;
            };
            let foreign: Vec<String> = kept.iter().map(|row| row.user_id.clone()).collect();
            let known = imports::known(store, run.source, "user", &foreign).await?;
            let logins: Vec<Login> = kept
                .into_iter()
                .filter_map(|row| {
                    Some(Login {
                        id: own("login", &row.id),
                        user_id: *known.get(&row.user_id)?,
                        succeeded: row.success,
                        address: row.address.as_deref().and_then(address),
                        user_agent: line(row.user_agent).map(|agent| agent.chars().take(500).collect()),
                        created_at: row.created_at?,
                    })
                })
                .collect();
            let taken = imports::put_logins(store, &logins).await?;
            let table = self.table("login_history");
            table.taken += taken;
            table.duplicates += logins.len() as u64 - taken;
            self.progress("login_history", done);
        }
    }

    async fn put_articles(&mut self) -> Result<(), ImportError> {
        const ARTICLES: &str = r#"select id, slug, title, excerpt, content, "coverImage" as cover_image, category, published,
                {t:publishedAt} as published_at, "readTime" as read_time, {a:tags} as tags, {t:createdAt} as created_at
           from articles where id > $1 and ($2::timestamp is null or true) order by id limit 50"#;
        let mut after = String::new();
        loop {
            let rows: Vec<OldArticle> = self.source.page(ARTICLES, &[after], None).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id.clone();
            for row in rows {
                let created_at = row.created_at.unwrap_or(self.source.at);
                let id = own("article", &row.id);
                let title = line(Some(row.title)).unwrap_or_else(|| "Untitled".into());
                let is_address = slug::is_slug(&row.slug) && slug::slugify(&row.slug) == row.slug;
                let address = if is_address {
                    row.slug
                } else {
                    slug::slug_of_name(&title)
                };
                let article = Article {
                    foreign_id: row.id,
                    id,
                    slug: address,
                    title,
                    excerpt: row.excerpt,
                    content: html::article(&row.content),
                    cover_image: line(Some(row.cover_image)),
                    category: line(Some(row.category)).unwrap_or_else(|| "News".into()),
                    tags: row.tags,
                    published: row.published,
                    published_at: row.published_at.or(row.published.then_some(created_at)),
                    read_minutes: row.read_time.unwrap_or(1).max(1),
                    created_at,
                };
                let is_new = match self.target() {
                    Some((store, _, run)) => imports::put_article(store, run, article).await?,
                    None => true,
                };
                self.counted("articles", is_new);
            }
        }
    }

    async fn put_faqs(&mut self) -> Result<(), ImportError> {
        const FAQS: &str = r#"select id, category, question, answer, "order" as position, active, {t:createdAt} as created_at
           from faqs where id > $1 and ($2::timestamp is null or true) order by id limit 500"#;
        let mut after = String::new();
        loop {
            let rows: Vec<OldFaq> = self.source.page(FAQS, &[after], None).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id.clone();
            for row in rows {
                let Some(question) = line(Some(row.question)) else {
                    self.skip("faqs", "it has no question", 1);
                    continue;
                };
                let faq = Faq {
                    id: own("faq", &row.id),
                    foreign_id: row.id,
                    category: line(Some(row.category)).unwrap_or_else(|| "general".into()),
                    question,
                    answer: html::answer(&row.answer),
                    position: row.position,
                    active: row.active,
                    created_at: row.created_at.unwrap_or(self.source.at),
                };
                let is_new = match self.target() {
                    Some((store, _, run)) => imports::put_faq(store, run, faq).await?,
                    None => true,
                };
                self.counted("faqs", is_new);
            }
        }
    }

    async fn put_mail_servers(&mut self) -> Result<(), ImportError> {
        const SERVERS: &str = r#"select id, name, host, port, secure, "user" as username, password, "fromEmail" as from_email,
                "fromName" as from_name from email_settings order by id limit 50"#;
        let rows: Vec<OldMailServer> = self.source.rows(SERVERS, &[]).await?;
        for row in rows {
            let foreign = row.id.clone();
            let username = row.username.trim().to_owned();
            let server = MailServer {
                id: own("email_settings", &row.id),
                foreign_id: row.id,
                name: line(Some(row.name)).unwrap_or_else(|| "default".into()),
                host: row.host.trim().to_owned(),
                port: row.port,
                secure: row.secure,
                password: (!username.is_empty()).then(|| Secret::new(row.password)),
                username,
                from_email: row.from_email.trim().to_owned(),
                from_name: line(row.from_name),
            };
            let stored = match self.target() {
                Some((store, _, run)) => imports::put_mail_server(store, run, server).await,
                None => Ok(true),
            };
            self.setting("email_settings", foreign, stored)?;
        }
        Ok(())
    }

    async fn put_g2a_accounts(&mut self) -> Result<(), ImportError> {
        const ACCOUNTS: &str = r#"select id, "clientId" as client_id, email, "clientSecret" as client_secret,
                {environment} as environment from g2a_settings order by id limit 50"#;
        let rows: Vec<OldG2a> = self.source.rows(ACCOUNTS, &[]).await?;
        for row in rows {
            let foreign = row.id.clone();
            let is_live = matches!(row.environment.trim(), "production" | "live");
            let account = G2aAccount {
                id: own("g2a_settings", &row.id),
                foreign_id: row.id,
                client_id: row.client_id.trim().to_owned(),
                email: row.email.trim().to_owned(),
                secret: Secret::new(row.client_secret),
                environment: if is_live { "production" } else { "sandbox" }.to_owned(),
            };
            let stored = match self.target() {
                Some((store, _, run)) => imports::put_g2a_settings(store, run, account).await,
                None => Ok(true),
            };
            self.setting("g2a_settings", foreign, stored)?;
        }
        Ok(())
    }

    fn setting(
        &mut self,
        table: &'static str,
        foreign: String,
        stored: Result<bool, StoreError>,
    ) -> Result<(), ImportError> {
        match stored {
            Ok(is_new) => {
                if is_new {
                    let evidence = format!("Brought from {table}, its secret sealed, and not active yet.");
                    let proposal = "Test it in the console, then make it the active one.";
                    self.findings
                        .push(Finding::new("settings_inactive", foreign, evidence, proposal));
                }
                self.counted(table, is_new);
            }
            Err(StoreError::Rule { constraint, .. }) => {
                let evidence = format!("It breaks the rule {constraint} and was not brought.");
                self.findings.push(Finding::new(
                    "settings_refused",
                    foreign,
                    evidence,
                    "Enter it in the console.",
                ));
                self.skip(table, "it breaks a rule (settings_refused)", 1);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn counted(&mut self, table: &'static str, is_new: bool) {
        let table = self.table(table);
        if is_new {
            table.taken += 1;
        } else {
            table.duplicates += 1;
        }
    }
}

/// The id here of a cart's owner: a customer or a live guest.
fn owner(foreign: &str, known: &std::collections::HashMap<String, Uuid>) -> Uuid {
    known.get(foreign).copied().unwrap_or_else(|| own("user", foreign))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn the_address_of_a_log_in_is_the_first_of_a_list_or_none() {
        for (text, ip) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("::ffff:198.51.100.9", Some("198.51.100.9")),
            ("192.0.2.44, 10.0.0.1", Some("192.0.2.44")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(address(text).as_deref(), ip, "{text}");
        }
    }
}
