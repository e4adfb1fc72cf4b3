//! The wire: code generated from `proto/`, one module per package, and [`convert`] between it and `hexcab-types`.
//!
//! Nothing else is written by hand here. Does not: know any service's rules.

#![allow(
    missing_docs,
    rustdoc::invalid_html_tags,
    clippy::wildcard_enum_match_arm,
    clippy::large_enum_variant
)]

pub mod convert;

/// `hexcab.common.v1`
pub mod common {
    pub mod v1 {
        tonic::include_proto!("hexcab.common.v1");
    }
}
/// `hexcab.trip.v1`
pub mod trip {
    pub mod v1 {
        tonic::include_proto!("hexcab.trip.v1");
    }
}
/// `hexcab.location.v1`
pub mod location {
    pub mod v1 {
        tonic::include_proto!("hexcab.location.v1");
    }
}
/// `hexcab.dispatch.v1`
pub mod dispatch {
    pub mod v1 {
        tonic::include_proto!("hexcab.dispatch.v1");
    }
}
/// `hexcab.pricing.v1`
pub mod pricing {
    pub mod v1 {
        tonic::include_proto!("hexcab.pricing.v1");
    }
}
/// `hexcab.payment.v1`
pub mod payment {
    pub mod v1 {
        tonic::include_proto!("hexcab.payment.v1");
    }
}
/// `hexcab.gateway.v1`
pub mod gateway {
    pub mod v1 {
        tonic::include_proto!("hexcab.gateway.v1");
    }
}

/// Descriptors of every package, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hexcab.bin"));
