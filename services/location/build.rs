//! The server of location with codecs of its own for the paths that carry nearly everything: pings are read where they lie
//! in the request's bytes, and nearby drivers are written straight into the answer's. The wire is that of `proto/`; the
//! clients are those of `hexcab-proto`. `the_server_has_the_methods_of_the_proto` compares the two.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

const PB: &str = "hexcab_proto::location::v1";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let (pings, nearby) = (
        "crate::grpc::codec::PingCodec",
        "crate::grpc::codec::NearbyCodec",
    );
    let encoded = "crate::grpc::codec::Encoded";
    let service = Service::builder()
        .name("LocationService")
        .package("hexcab.location.v1")
        .method(
            method("stream_pings", "StreamPings", pings)
                .input_type("crate::grpc::codec::PingBytes")
                .client_streaming()
                .server_streaming()
                .build(),
        )
        .method(usual("report_pings", "ReportPings").build())
        .method(
            method("find_nearby", "FindNearby", nearby)
                .output_type(encoded)
                .build(),
        )
        .method(
            method("find_nearby_batch", "FindNearbyBatch", nearby)
                .output_type(encoded)
                .build(),
        )
        .method(usual("get_driver_position", "GetDriverPosition").build())
        .method(usual("count_cells", "CountCells").build())
        .method(usual("watch_area", "WatchArea").server_streaming().build())
        .method(usual("get_driver_track", "GetDriverTrack").build())
        .build();
    Builder::new().build_client(false).compile(&[service]);
}

/// A method with the messages and the codec that any generated one has.
fn usual(name: &str, route: &str) -> MethodBuilder {
    method(name, route, "crate::grpc::codec::UsualCodec")
}

fn method(name: &str, route: &str, codec: &str) -> MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("{PB}::{route}Request"))
        .output_type(format!("{PB}::{route}Response"))
        .codec_path(codec)
}
