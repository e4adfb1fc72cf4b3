//! The gRPC face: request → quote or surge → answer.

use hexcab_proto::{
    convert::{FieldError, name, parsed, point, to_timestamp},
    pricing::v1::{self as pb, pricing_service_server::PricingService},
};
use hexcab_types::{CityId, ProductId};
use tonic::{Request, Response, Status};

use crate::{
    domain::quote::{Asked, Refusal},
    events::surging_cells,
    quoting::{Quoting, Signed},
    status::refused,
};

/// The product of a rider who names none.
const USUAL_PRODUCT: &str = "standard";

/// The service.
#[derive(Clone)]
pub struct Prices {
    quoting: Quoting,
}

impl Prices {
    /// Serves quotes.
    pub fn new(quoting: Quoting) -> Self {
        Self { quoting }
    }
}

#[tonic::async_trait]
impl PricingService for Prices {
    async fn create_quote(
        &self,
        request: Request<pb::CreateQuoteRequest>,
    ) -> Result<Response<pb::CreateQuoteResponse>, Status> {
        let asked = asked(request.into_inner())?;
        let signed = self.quoting.quote(asked).await?;
        Ok(Response::new(pb::CreateQuoteResponse {
            quote: Some(signed.into()),
        }))
    }

    async fn get_quote(
        &self,
        request: Request<pb::GetQuoteRequest>,
    ) -> Result<Response<pb::GetQuoteResponse>, Status> {
        let id = name(&request.get_ref().name, "name")?;
        let signed = self.quoting.made_before(id).await?;
        Ok(Response::new(pb::GetQuoteResponse {
            quote: Some(signed.into()),
        }))
    }

    async fn get_surge(
        &self,
        request: Request<pb::GetSurgeRequest>,
    ) -> Result<Response<pb::GetSurgeResponse>, Status> {
        let city: CityId = parsed(&request.get_ref().city, "city")?;
        let market = self
            .quoting
            .markets
            .get(&city)
            .ok_or_else(|| refused(&Refusal::CityUnknown(city.clone())))?;
        let Some(snapshot) = market.snapshot() else {
            return Ok(Response::new(pb::GetSurgeResponse::default()));
        };
        Ok(Response::new(pb::GetSurgeResponse {
            snapshot: snapshot.id.name(),
            create_time: Some(to_timestamp(snapshot.created_at)),
            cells: surging_cells(&snapshot),
        }))
    }
}

fn asked(request: pb::CreateQuoteRequest) -> Result<Asked, FieldError> {
    Ok(Asked {
        request: parsed(&request.request_id, "request_id")?,
        rider: name(&request.rider, "rider")?,
        city: parsed(&request.city, "city")?,
        product: product(&request.product)?,
        pickup: point(request.pickup, "pickup")?,
        dropoff: point(request.dropoff, "dropoff")?,
    })
}

fn product(given: &str) -> Result<ProductId, FieldError> {
    parsed(
        if given.is_empty() {
            USUAL_PRODUCT
        } else {
            given
        },
        "product",
    )
}

impl From<Signed> for pb::Quote {
    fn from(Signed { quote, token }: Signed) -> Self {
        let lines = quote.fare.lines.into_iter();
        Self {
            name: quote.id.name(),
            rider: quote.asked.rider.name(),
            city: quote.asked.city.to_string(),
            product: quote.asked.product.to_string(),
            pickup: Some(quote.asked.pickup.into()),
            dropoff: Some(quote.asked.dropoff.into()),
            trip_duration_s: quote.duration_s,
            trip_distance_m: quote.distance_m,
            price: Some(quote.fare.price.into()),
            driver_pay: Some(quote.fare.driver_pay.into()),
            tax: Some(quote.fare.tax.into()),
            surge_bp: quote.surge.0.cast_signed(),
            surge_snapshot: quote
                .snapshot
                .map(|snapshot| snapshot.name())
                .unwrap_or_default(),
            fare_version: quote.fare_version,
            create_time: Some(to_timestamp(quote.created_at)),
            expire_time: Some(to_timestamp(quote.expires_at)),
            token,
            lines: lines
                .map(|line| pb::FareLine {
                    label: line.label,
                    amount: Some(line.amount.into()),
                })
                .collect(),
        }
    }
}
