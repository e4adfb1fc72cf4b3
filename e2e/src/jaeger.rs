//! The spans of a city, as Jaeger's HTTP API tells them.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde::Deserialize;
use serde_json::Value;

use crate::collector::Span;

/// How far back is looked, microseconds.
const LOOKBACK_US: i64 = 3_600_000_000;
/// Traces of one answer.
const LIMIT: &str = "20";

#[derive(Deserialize)]
struct Answer<T> {
    data: Option<Vec<T>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<Told>,
    processes: std::collections::BTreeMap<String, Process>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    references: Vec<Reference>,
    tags: Vec<Tag>,
    #[serde(rename = "processID")]
    process_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: String,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: Value,
}

/// A trace's spans; none where it is not known.
pub(crate) async fn trace(jaeger: &str, id: &str) -> Vec<Span> {
    let found: Option<Answer<Found>> = get(&format!("{jaeger}/api/traces/{id}"), &[]).await;
    let traces = found.and_then(|answer| answer.data).unwrap_or_default();
    traces.into_iter().flat_map(spans).collect()
}

/// Every trace in which a service says this of a span, with its spans.
pub(crate) async fn with_tag(jaeger: &str, key: &str, value: &str) -> Vec<(String, Vec<Span>)> {
    let services: Option<Answer<String>> = get(&format!("{jaeger}/api/services"), &[]).await;
    let services = services.and_then(|answer| answer.data);
    let now_us = hexcab_chassis::Clock::system().now().timestamp_micros();
    let (start, end) = ((now_us - LOOKBACK_US).to_string(), now_us.to_string());
    let tags = serde_json::json!({ key: value }).to_string();
    let mut all: Vec<(String, Vec<Span>)> = Vec::new();
    for service in services.unwrap_or_default() {
        let query = [
            ("service", service.as_str()),
            ("tags", &tags),
            ("start", &start),
            ("end", &end),
            ("limit", LIMIT),
        ];
        let found: Option<Answer<Found>> = get(&format!("{jaeger}/api/traces"), &query).await;
        for trace in found.and_then(|answer| answer.data).unwrap_or_default() {
            if !all.iter().any(|(id, _)| *id == trace.trace_id) {
                all.push((trace.trace_id.clone(), spans(trace)));
            }
        }
    }
    all
}

async fn get<T: serde::de::DeserializeOwned>(url: &str, query: &[(&str, &str)]) -> Option<T> {
    let asked = reqwest::Client::new().get(url).query(query).send().await;
    let answer = asked.ok()?.error_for_status().ok()?;
    Some(answer.json().await.expect("an answer of Jaeger"))
}

fn spans(found: Found) -> Vec<Span> {
    let told = found.spans.into_iter();
    told.map(|told| {
        let of = |kind: &str| {
            let references = told.references.iter();
            let kind = kind.to_owned();
            references.filter(move |reference| reference.ref_type == kind)
        };
        let text = |tag: &Tag| Some((tag.key.clone(), tag.value.as_str()?.to_owned()));
        let attributes: std::collections::BTreeMap<_, _> =
            told.tags.iter().filter_map(text).collect();
        Span {
            service: found.processes[&told.process_id].service_name.clone(),
            name: told.operation_name.clone(),
            kind: kind(attributes.get("span.kind").map_or("", String::as_str)),
            id: told.span_id.clone(),
            // Of a span that is linked to its parent too Jaeger keeps the link alone: a consumer's.
            parent: of("CHILD_OF")
                .chain(of("FOLLOWS_FROM"))
                .find(|reference| reference.trace_id == found.trace_id)
                .map(|reference| reference.span_id.clone())
                .unwrap_or_default(),
            links: of("FOLLOWS_FROM")
                .map(|reference| reference.span_id.clone())
                .collect(),
            attributes,
        }
    })
    .collect()
}

fn kind(name: &str) -> SpanKind {
    match name {
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}
