//! Single fields of forms and queries, and what Stripe says of wrong ones.
//!
//! Does not: know any operation.

use hexcab_types::Timestamp;

use super::Metadata;
use crate::sandbox::answer::{Answer, ErrorType};

/// The fields of a request, in the order they came.
pub type Fields = [(String, String)];

/// Items in an answer when the caller does not say …
const PAGE: i64 = 10;
/// … and at most.
const PAGE_MAX: i64 = 100;

/// Which items of a list are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// At most so many.
    pub limit: i64,
    /// Those after this one, newest first.
    pub after: Option<String>,
    /// Those of this payment.
    pub payment: Option<String>,
    /// Those of this type; of events.
    pub kind: Option<String>,
    /// Created at this time or later …
    pub from: Option<Timestamp>,
    /// … and before this one.
    pub until: Option<Timestamp>,
    /// Show the charge instead of naming it.
    pub expand: bool,
}

impl Listing {
    /// Reads a query.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn read(query: &Fields) -> Result<Self, Answer> {
        let limit = match field(query, "limit") {
            None => PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_MAX).contains(limit))
                .ok_or_else(|| invalid("limit", "must be 1 to 100"))?,
        };
        let owned = |name| field(query, name).map(ToOwned::to_owned);
        Ok(Self {
            limit,
            after: owned("starting_after"),
            payment: owned("payment_intent"),
            kind: owned("type"),
            from: time(query, "created[gte]")?,
            until: time(query, "created[lt]")?,
            expand: expands(query, "data.latest_charge"),
        })
    }
}

/// Whether this is to be shown and not only named.
pub fn expands(fields: &Fields, what: &str) -> bool {
    fields
        .iter()
        .any(|(name, value)| name.starts_with("expand[") && value == what)
}

/// The first value of a field.
pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// A field that must be there.
///
/// # Errors
/// 400 naming the field.
pub fn required<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, Answer> {
    field(fields, name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| invalid(name, "is required"))
}

/// An amount of minor units, more than zero.
///
/// # Errors
/// 400 naming the field.
pub fn amount(fields: &Fields, name: &str) -> Result<Option<i64>, Answer> {
    let Some(text) = field(fields, name) else {
        return Ok(None);
    };
    let amount = text.parse::<i64>().ok().filter(|amount| *amount > 0);
    amount.map(Some).ok_or_else(|| {
        invalid(
            name,
            "must be a positive integer in the currency's minor unit",
        )
    })
}

/// `metadata[key]=value` as a map.
pub fn metadata(fields: &Fields) -> Metadata {
    let entry = |(name, value): &(String, String)| {
        let key = name.strip_prefix("metadata[")?.strip_suffix(']')?;
        Some((key.to_owned(), value.clone()))
    };
    fields.iter().filter_map(entry).collect()
}

/// The metadata asked for by a search query: `metadata['trip']:'…' AND metadata['rider']:'…'`.
///
/// # Errors
/// 400 when it is anything else.
pub fn search(query: &str) -> Result<Metadata, Answer> {
    let clauses = query.split(" AND ").map(|clause| {
        let (key, value) = clause.trim().strip_prefix("metadata[")?.split_once("]:")?;
        Some((unquote(key)?.to_owned(), unquote(value)?.to_owned()))
    });
    clauses
        .collect::<Option<Metadata>>()
        .ok_or_else(|| invalid("query", "only metadata['key']:'value' AND … is known"))
}

fn unquote(text: &str) -> Option<&str> {
    let quote = |mark: char| {
        text.strip_prefix(mark)
            .and_then(|rest| rest.strip_suffix(mark))
    };
    quote('\'').or_else(|| quote('"'))
}

fn time(fields: &Fields, name: &str) -> Result<Option<Timestamp>, Answer> {
    let Some(text) = field(fields, name) else {
        return Ok(None);
    };
    let read = || Timestamp::from_timestamp(text.parse().ok()?, 0);
    read()
        .map(Some)
        .ok_or_else(|| invalid(name, "must be seconds since 1970"))
}

/// 400: a field is wrong.
pub fn invalid(field: &str, problem: &str) -> Answer {
    Answer::error(
        400,
        ErrorType::InvalidRequest,
        "parameter_invalid",
        format!("{field}: {problem}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_search_is_read() {
        let expected = Metadata::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
        assert_eq!(
            search(r#"metadata['a']:'1' AND metadata["b"]:"2""#),
            Ok(expected)
        );
        assert!(search("status:'succeeded'").is_err());
    }

    #[test]
    fn a_list_that_is_nonsense_names_its_field() {
        let query = fields(&[
            ("created[gte]", "100"),
            ("created[lt]", "200"),
            ("expand[]", "data.latest_charge"),
        ]);
        let read = Listing::read(&query).unwrap();
        assert_eq!(
            read.from.unwrap().timestamp() + read.until.unwrap().timestamp(),
            300
        );
        assert!(read.expand && read.limit == PAGE);
        for (name, value) in [("limit", "0"), ("limit", "101"), ("created[gte]", "now")] {
            let answer = Listing::read(&fields(&[(name, value)])).unwrap_err();
            assert!(answer.body.to_string().contains(name), "{answer:?}");
        }
    }
}
