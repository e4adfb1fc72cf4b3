//! Takes the services' metrics (OTLP over gRPC), keeps each series' newest value, and passes them on to a collector.
//!
//! Invariants: bounded by the number of series; a dead process's series stay as it said them last. Does not: keep history.

use std::{collections::BTreeMap, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::MetricsService,
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{NumberDataPoint, metric::Data, number_data_point},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

/// Series that are kept at most; further ones are not seen.
const SERIES_MAX: usize = 20_000;

/// The newest values of all series. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Meters {
    series: Arc<Mutex<BTreeMap<Key, f64>>>,
    forward: Option<mpsc::Sender<ExportMetricsServiceRequest>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    service: String,
    attributes: BTreeMap<String, String>,
}

/// One series, as it was said last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Who says it.
    pub service: String,
    /// What it is about.
    pub attributes: BTreeMap<String, String>,
    /// A counter's or gauge's value; how many a histogram recorded.
    pub value: f64,
}

impl Meters {
    /// Nothing yet; batches are also put into `forward`, as far as there is room.
    pub fn new(forward: Option<mpsc::Sender<ExportMetricsServiceRequest>>) -> Self {
        Self {
            series: Arc::default(),
            forward,
        }
    }

    /// All series, by name, service and attributes.
    pub fn all(&self) -> Vec<Series> {
        let series = self.series.lock();
        series
            .iter()
            .map(|(key, value)| Series {
                name: key.name.clone(),
                service: key.service.clone(),
                attributes: key.attributes.clone(),
                value: *value,
            })
            .collect()
    }

    fn keep(&self, batch: &ExportMetricsServiceRequest) {
        let mut series = self.series.lock();
        for resource in &batch.resource_metrics {
            let attributes = resource
                .resource
                .as_ref()
                .map_or(&[][..], |resource| &resource.attributes);
            let service = texts(attributes)
                .remove("service.name")
                .unwrap_or_else(|| "unknown".to_owned());
            let metrics = resource
                .scope_metrics
                .iter()
                .flat_map(|scope| &scope.metrics);
            for metric in metrics {
                for (attributes, value) in values(metric.data.as_ref()) {
                    let key = Key {
                        name: metric.name.clone(),
                        service: service.clone(),
                        attributes: texts(attributes),
                    };
                    if series.len() < SERIES_MAX || series.contains_key(&key) {
                        series.insert(key, value);
                    }
                }
            }
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Meters {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let batch = request.into_inner();
        self.keep(&batch);
        if let Some(forward) = &self.forward {
            // Full: the next batch says it again.
            let _full = forward.try_send(batch);
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn values(data: Option<&Data>) -> Vec<(&[KeyValue], f64)> {
    match data {
        Some(Data::Gauge(gauge)) => gauge.data_points.iter().filter_map(named).collect(),
        Some(Data::Sum(sum)) => sum.data_points.iter().filter_map(named).collect(),
        Some(Data::Histogram(histogram)) => histogram
            .data_points
            .iter()
            .map(|point| (point.attributes.as_slice(), point.count as f64))
            .collect(),
        Some(Data::ExponentialHistogram(_) | Data::Summary(_)) | None => Vec::new(),
    }
}

fn named(point: &NumberDataPoint) -> Option<(&[KeyValue], f64)> {
    Some((&point.attributes, number(point)?))
}

fn number(point: &NumberDataPoint) -> Option<f64> {
    Some(match point.value? {
        number_data_point::Value::AsDouble(value) => value,
        number_data_point::Value::AsInt(value) => value as f64,
    })
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(yes) => Some(yes.to_string()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::ArrayValue(_)
        | Value::KvlistValue(_)
        | Value::BytesValue(_)
        | Value::StringValueStrindex(_) => None,
    };
    attributes
        .iter()
        .filter_map(|attribute| {
            let value = attribute.value.as_ref()?.value.as_ref()?;
            Some((attribute.key.clone(), text(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        common::v1::AnyValue,
        metrics::v1::{Gauge, Metric, ResourceMetrics, ScopeMetrics},
        resource::v1::Resource,
    };

    use super::*;

    fn said(service: &str, name: &str, group: &str, value: f64) -> ExportMetricsServiceRequest {
        let attribute = |key: &str, text: &str| KeyValue {
            key: key.into(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(text.into())),
            }),
            ..KeyValue::default()
        };
        let point = NumberDataPoint {
            attributes: vec![attribute("group", group)],
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(Resource {
                    attributes: vec![attribute("service.name", service)],
                    ..Resource::default()
                }),
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![Metric {
                        name: name.into(),
                        data: Some(Data::Gauge(Gauge {
                            data_points: vec![point],
                        })),
                        ..Metric::default()
                    }],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        }
    }

    #[tokio::test]
    async fn a_series_has_its_newest_value() {
        let meters = Meters::default();
        for (group, value) in [("a", 1.0), ("b", 5.0), ("a", 2.0)] {
            let batch = said("trip", "hexcab.consumer.lag", group, value);
            meters.export(Request::new(batch)).await.unwrap();
        }
        let values: Vec<_> = meters.all().iter().map(|series| series.value).collect();
        assert_eq!(values, [2.0, 5.0]);
        assert_eq!(meters.all()[0].service, "trip");
        assert_eq!(meters.all()[0].attributes["group"], "a");
    }
}
