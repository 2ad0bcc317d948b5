//! Reserialises JSON as JavaScript does: `JSON.stringify(JSON.parse(text))`.
//!
//! Senders that sign what they parsed sign this form. It differs from the original text in numbers (`1.0` becomes `1`),
//! in escapes (`"\/"` becomes `"/"`), and in the order of keys that are integers.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Maximum nesting depth, deeper than any event. Every level is parsed once more.
const MOST_LEVELS: u32 = 32;

/// Returns the JavaScript form of a JSON text; `None` if it is invalid or nested too deeply.
pub(super) fn stringify(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len());
    write(json, MOST_LEVELS, &mut out)?;
    Some(out)
}

fn write(json: &str, levels: u32, out: &mut String) -> Option<()> {
    match json.bytes().next()? {
        b'{' => {
            let Entries(entries) = serde_json::from_str(json).ok()?;
            out.push('{');
            for (n, (key, value)) in entries.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                quote(&key, out);
                out.push(':');
                write(value.get(), levels.checked_sub(1)?, out)?;
            }
            out.push('}');
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            out.push('[');
            for (n, value) in items.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write(value.get(), levels.checked_sub(1)?, out)?;
            }
            out.push(']');
        }
        b'"' => quote(&serde_json::from_str::<String>(json).ok()?, out),
        b't' | b'f' | b'n' => out.push_str(json),
        _ => number(json.parse().ok()?, out),
    }
    Some(())
}

/// The entries of an object in JavaScript's order: array indices first, in ascending order, then the other keys in the
/// order of the text. A repeated key keeps its first position and its last value.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries: Self::Value = Vec::new();
                let mut places = std::collections::HashMap::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    let place = *places.entry(key.clone()).or_insert(entries.len());
                    match entries.get_mut(place) {
                        Some(entry) => entry.1 = value,
                        None => entries.push((key, value)),
                    }
                }
                Ok(entries)
            }
        }

        let mut entries = deserializer.deserialize_map(InOrder)?;
        entries.sort_by_key(|(key, _)| index(key).map_or((1, 0), |index| (0, index)));
        Ok(Self(entries))
    }
}

/// A key that JavaScript treats as an array index: an integer in canonical form below 2³² − 1.
fn index(key: &str) -> Option<u32> {
    let number: u32 = key.parse().ok()?;
    (number < u32::MAX && number.to_string() == key).then_some(number)
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                out.extend(["\\u00", &hex::encode([u8::try_from(control).unwrap_or_default()])]);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Formats a number like ECMAScript's `Number::toString`: shortest digits, without an exponent from 10⁻⁶ up to 10²¹.
fn number(value: f64, out: &mut String) {
    if !value.is_finite() {
        return out.push_str("null");
    }
    if value == 0.0 {
        return out.push('0');
    }
    if value < 0.0 {
        out.push('-');
    }
    let shortest = format!("{:e}", value.abs());
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // Number of digits before the decimal point.
    let whole = exponent + 1;
    let split = |at: i32| digits.split_at(usize::try_from(at).unwrap_or(0));
    if (length..=21).contains(&whole) {
        out.push_str(&digits);
        out.push_str(&zeros(whole - length));
    } else if (1..=21).contains(&whole) {
        let (front, back) = split(whole);
        out.extend([front, ".", back]);
    } else if (-5..=0).contains(&whole) {
        out.extend(["0.", &zeros(-whole), &digits]);
    } else {
        let (front, back) = split(1);
        out.push_str(front);
        if !back.is_empty() {
            out.push('.');
            out.push_str(back);
        }
        let sign = if exponent < 0 { "-" } else { "+" };
        out.extend(["e", sign, &exponent.unsigned_abs().to_string()]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_escapes_and_keys_match_javascript() {
        for (text, written) in [
            ("1.0", "1"),
            ("-0", "0"),
            ("-1.50", "-1.5"),
            ("1e3", "1000"),
            ("1E21", "1e+21"),
            ("123456789012345680000", "123456789012345680000"),
            ("9007199254740993", "9007199254740992"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("1.25e-9", "1.25e-9"),
            ("0.1e1", "1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("1e999", "null"),
            (r#""\/\u00e9\u001F\u0008\u2028""#, "\"/é\\u001f\\b\u{2028}\""),
            (
                r#"{ "b" : 1 , "a" : [ 1.0 , true , null ] }"#,
                r#"{"b":1,"a":[1,true,null]}"#,
            ),
            (
                r#"{"b":1,"10":2,"9":3,"01":4,"4294967295":5}"#,
                r#"{"9":3,"10":2,"b":1,"01":4,"4294967295":5}"#,
            ),
            (r#"{"a":1,"b":2,"a":3.0}"#, r#"{"a":3,"b":2}"#),
        ] {
            assert_eq!(stringify(text).as_deref(), Some(written), "{text}");
        }
        assert_eq!(stringify(r#""\ud800""#), None, "no text of ours");
        assert_eq!(stringify(&"[".repeat(100_000)), None);
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(stringify(&deep), None, "deeper than any event");
    }

    proptest! {
        #[test]
        fn output_is_equivalent_and_idempotent(number in any::<f64>(), text in "\\PC{0,20}", key in "[a-z0-9]{0,5}") {
            // Negative zero is written as zero.
            prop_assume!(number.is_finite() && number.to_bits() != (-0.0_f64).to_bits());
            let value = serde_json::json!({ key: [number, text] });
            let once = stringify(&value.to_string()).unwrap();
            prop_assert_eq!(stringify(&once).unwrap(), once.clone());
            let read: serde_json::Value = serde_json::from_str(&once).unwrap();
            let entry = read.as_object().unwrap().values().next().unwrap().clone();
            prop_assert_eq!(entry[1].as_str(), Some(text.as_str()));
            let written = once.split(['[', ',']).nth(1).unwrap();
            prop_assert_eq!(written.parse::<f64>().unwrap().to_bits(), number.to_bits());
        }
    }
}
