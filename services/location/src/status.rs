//! Every refusal of location, and the gRPC status it becomes: one match.

use hexcab_chassis::status::error;
use hexcab_proto::convert::FieldError;
use hexcab_types::DriverId;
use tonic::{Code, Status};

/// The domain of this service's reasons.
pub const DOMAIN: &str = "location.hexcab";

/// Why a request is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field that cannot be read.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Not one of this process's cities.
    #[error("{0}")]
    CityUnknown(FieldError),
    /// A product that the city does not sell.
    #[error("{0}")]
    ProductUnknown(FieldError),
    /// More items than one call may carry.
    #[error("{field} holds {given}, at most {most} are taken at once")]
    BatchTooLarge {
        /// Which.
        field: &'static str,
        /// How many came.
        given: usize,
        /// How many may.
        most: usize,
    },
    /// Nothing was heard of the driver lately.
    #[error("{} was not seen within 180 s", .0.name())]
    DriverNotSeen(DriverId),
}

impl Refusal {
    /// The same of a request within another: its fields are below this path.
    pub fn within(mut self, path: &str) -> Self {
        match &mut self {
            Self::Field(field) | Self::CityUnknown(field) | Self::ProductUnknown(field) => {
                field.field.insert_str(0, path);
            }
            Self::BatchTooLarge { .. } | Self::DriverNotSeen(_) => {}
        }
        self
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let (code, reason) = match refusal {
            Refusal::Field(field) => return field.into(),
            Refusal::CityUnknown(..) => (Code::NotFound, "CITY_UNKNOWN"),
            Refusal::ProductUnknown(_) => (Code::InvalidArgument, "PRODUCT_UNKNOWN"),
            Refusal::BatchTooLarge { .. } => (Code::InvalidArgument, "BATCH_TOO_LARGE"),
            Refusal::DriverNotSeen(_) => (Code::NotFound, "DRIVER_NOT_SEEN"),
        };
        error(code, reason, DOMAIN, message)
    }
}
