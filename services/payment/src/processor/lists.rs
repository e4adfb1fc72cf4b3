//! The processor's own books, page by page, newest first.
//!
//! Invariant: a page says whether there is another and where it begins, so nothing is skipped while new ones are made.
//! Does not: keep anything.

use std::future::Future;

use hexcab_types::Timestamp;

use super::Failure;

/// Created within this time, by the processor's clock: from (included) until (not included).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between {
    /// The earliest.
    pub from: Timestamp,
    /// The first that is too late.
    pub until: Timestamp,
}

/// Some of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Newest first. Those in currencies that this build does not know are left out: they are none of ours.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last.
    pub next: Option<String>,
}

/// Every item of a list, read page by page.
///
/// # Errors
/// The first failure.
pub async fn all<T, F, Fut>(mut page: F) -> Result<Vec<T>, Failure>
where
    F: FnMut(Option<String>) -> Fut,
    Fut: Future<Output = Result<Page<T>, Failure>>,
{
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let read = page(after).await?;
        items.extend(read.items);
        match read.next {
            Some(next) => after = Some(next),
            None => return Ok(items),
        }
    }
}
