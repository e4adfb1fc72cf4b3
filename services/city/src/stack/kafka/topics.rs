//! The topics of a city and their partitions. The only place that knows.

use hexcab_bus::topic;

/// Trip events are keyed by city: a second partition lets a second city move.
const TOPICS: [(&str, i32); 6] = [
    (topic::TRIP, 2),
    (topic::PAYMENT, 1),
    (topic::DISPATCH, 1),
    (topic::SURGE, 1),
    (topic::SUPPLY, 1),
    (topic::DEMAND, 1),
];

/// Every topic and its partitions, those of dead letters included.
pub fn all() -> Vec<(String, i32)> {
    let each = TOPICS.into_iter();
    each.flat_map(|(topic, partitions)| {
        [
            (topic.to_owned(), partitions),
            (topic::dead_letters(topic), 1),
        ]
    })
    .collect()
}
