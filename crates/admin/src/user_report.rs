//! The report about a user as a PDF document: the account, its newest orders and its newest bookings.

use chrono::{DateTime, Utc};
use lockstep_documents::{Columns, FaceParsingError, MARGIN, Paper};
use lockstep_domain::admin::UserDetail;
use lockstep_domain::order::TransactionType;

/// Renders the report of `user` as of `now`.
///
/// # Errors
/// If the embedded font is no font.
pub(crate) fn render(user: &UserDetail, now: DateTime<Utc>) -> Result<Vec<u8>, FaceParsingError> {
    let account = &user.user;
    let mut paper = Paper::new()?;
    paper.heading(18, "User report");
    paper.paragraph(&format!("As of {}. Times are UTC, amounts are EUR.", time(now)));
    paper.gap();
    let orders_in_all = account.orders_count.to_string();
    for (name, value) in [
        ("User", account.id.to_string()),
        ("E-mail", account.email.clone()),
        ("Nickname", account.nickname.clone()),
        ("First name", account.first_name.clone().unwrap_or_default()),
        ("Last name", account.last_name.clone().unwrap_or_default()),
        ("Role", account.role.name().to_owned()),
        ("Balance", account.balance.to_string()),
        ("Registered", time(account.created_at)),
        ("Orders", orders_in_all.clone()),
    ] {
        paper.pair(name, &value);
    }
    paper.gap();
    paper.heading(13, "Orders");
    paper.paragraph(&format!(
        "The newest {} of {orders_in_all}; the JSON export has all of them.",
        user.orders.len()
    ));
    let columns: Columns<'_> = &[
        (MARGIN, "Placed", false),
        (160, "Order", false),
        (370, "Status", false),
        (470, "Total", true),
    ];
    let rows = user.orders.iter().map(|order| {
        [
            time(order.created_at),
            order.id.to_string(),
            order.status.as_str().to_owned(),
            order.total.to_string(),
        ]
    });
    paper.table(columns, rows);
    paper.gap();
    paper.heading(13, "Bookings");
    paper.paragraph(&format!(
        "The newest {}, at most 100; the JSON export has all of them.",
        user.transactions.len()
    ));
    let columns: Columns<'_> = &[
        (MARGIN, "Booked", false),
        (160, "Booking", false),
        (370, "Type and status", false),
        (470, "Amount", true),
    ];
    let rows = user.transactions.iter().map(|booking| {
        [
            time(booking.created_at),
            booking.id.to_string(),
            format!("{} {}", kind(booking.kind), booking.status.as_str()),
            booking.amount.to_string(),
        ]
    });
    paper.table(columns, rows);
    Ok(
        paper.document(&format!("User report {}", account.id), "en", |number, count| {
            format!("page {number} of {count}")
        }),
    )
}

const fn kind(kind: TransactionType) -> &'static str {
    match kind {
        TransactionType::TopUp => "TOP_UP",
        TransactionType::Purchase => "PURCHASE",
        TransactionType::Refund => "REFUND",
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use lockstep_domain::Money;
    use lockstep_domain::account::Role;
    use lockstep_domain::admin::{OrderBrief, UserRow};
    use lockstep_domain::order::OrderStatus;
    use uuid::Uuid;

    use epaint_default_fonts::UBUNTU_LIGHT as FONT;
    use pdf_writer::{Content, Str};
    use ttf_parser::Face;

    use super::*;

    fn user(first_name: &str, orders: usize) -> UserDetail {
        let now = DateTime::UNIX_EPOCH;
        UserDetail {
            user: UserRow {
                id: Uuid::nil(),
                email: format!("{}@example.org", "long.".repeat(48)),
                nickname: "Ada (the \\ first)".to_owned(),
                first_name: Some(first_name.to_owned()),
                last_name: None,
                balance: Money::from_cents(-1).unwrap(),
                role: Role::User,
                created_at: now,
                orders_count: 12_345,
            },
            orders: (0..orders)
                .map(|n| OrderBrief {
                    id: Uuid::from_u128(n as u128),
                    status: OrderStatus::Completed,
                    total: Money::from_cents(1234).unwrap(),
                    created_at: now + TimeDelta::days(1),
                })
                .collect(),
            transactions: Vec::new(),
        }
    }

    fn holds(file: &[u8], part: &[u8]) -> bool {
        file.windows(part.len()).any(|window| window == part)
    }

    /// The text as the file holds it: as hexadecimal numbers of glyphs, or as a string with escapes.
    fn shown(file: &[u8], text: &str) -> bool {
        let face = Face::parse(FONT, 0).unwrap();
        let glyphs: Vec<u8> = text
            .chars()
            .flat_map(|c| face.glyph_index(c).unwrap().0.to_be_bytes())
            .collect();
        let mut content = Content::new();
        content.show(Str(&glyphs));
        let operator = content.finish();
        let quoted: &[u8] = &operator;
        holds(file, quoted.trim_ascii())
    }

    #[test]
    fn names_in_any_script_are_in_the_document() {
        let file = render(&user("Žofia Ελένη Юлия", 1), DateTime::UNIX_EPOCH).unwrap();
        assert!(file.starts_with(b"%PDF-1.") && file.trim_ascii_end().ends_with(b"%%EOF"));
        for text in [
            "Žofia Ελένη Юлия",
            "Ada (the \\ first)",
            "12345",
            "-0.01",
            "12.34",
            "User report",
        ] {
            assert!(shown(&file, text), "{text}");
        }
        // Copied text is text again: the map names the character.
        assert!(holds(&file, b"<042E>"), "Ю");
        let file = render(&user("李 👋\u{7}", 0), DateTime::UNIX_EPOCH).unwrap();
        assert!(shown(&file, "U+674E  U+1F44B U+0007 "));
    }

    #[test]
    fn long_reports_have_several_pages_and_end() {
        let pages = |file: &[u8]| file.windows(11).filter(|window| *window == b"/Type /Page").count() - 1;
        assert_eq!(pages(&render(&user("A", 0), DateTime::UNIX_EPOCH).unwrap()), 1);
        let long = render(&user(&"W".repeat(5000), 100), DateTime::UNIX_EPOCH).unwrap();
        assert!((3..12).contains(&pages(&long)), "{}", pages(&long));
        assert!(long.len() < 1_000_000, "{}", long.len());
    }
}
