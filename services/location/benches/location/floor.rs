//! The floors: what a bare tonic server makes of the same messages when it does nothing with them. No gate, no spans, no
//! index: every part of hexcab counts against it.

use std::pin::Pin;

use futures::StreamExt as _;
use hexcab_proto::location::v1::{
    self as pb,
    location_service_server::{LocationService, LocationServiceServer},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use super::process::{Server, free_port};

/// The word that makes this program the bare server; its port follows in the environment.
pub const FLAG: &str = "--serve-floor";
const PORT: &str = "FLOOR_PORT";

struct Floor;

type Answers<T> = futures::stream::BoxStream<'static, Result<T, Status>>;

/// Methods that nobody measures, as `async_trait` writes them: it does not look into macros.
macro_rules! unused {
    ($($name:ident: $request:ident => $response:ident,)*) => {$(
        fn $name<'a, 'b>(
            &'a self,
            _: Request<pb::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<pb::$response>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("a floor does nothing")) })
        }
    )*};
}

#[tonic::async_trait]
impl LocationService for Floor {
    type StreamPingsStream = Answers<pb::StreamPingsResponse>;
    type WatchAreaStream = Answers<pb::WatchAreaResponse>;

    async fn stream_pings(
        &self,
        request: Request<Streaming<pb::StreamPingsRequest>>,
    ) -> Result<Response<Self::StreamPingsStream>, Status> {
        let answers = request.into_inner().map(|batch| {
            let pings = std::hint::black_box(batch?.pings);
            Ok(pb::StreamPingsResponse {
                accepted: i32::try_from(pings.len()).unwrap_or(i32::MAX),
                ..pb::StreamPingsResponse::default()
            })
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn watch_area(
        &self,
        _: Request<pb::WatchAreaRequest>,
    ) -> Result<Response<Self::WatchAreaStream>, Status> {
        Err(Status::unimplemented("a floor does nothing"))
    }

    async fn count_cells(
        &self,
        _: Request<pb::CountCellsRequest>,
    ) -> Result<Response<pb::CountCellsResponse>, Status> {
        Ok(Response::new(pb::CountCellsResponse::default()))
    }

    unused! {
        report_pings: ReportPingsRequest => ReportPingsResponse,
        find_nearby: FindNearbyRequest => FindNearbyResponse,
        find_nearby_batch: FindNearbyBatchRequest => FindNearbyBatchResponse,
        get_driver_position: GetDriverPositionRequest => GetDriverPositionResponse,
        get_driver_track: GetDriverTrackRequest => GetDriverTrackResponse,
    }
}

/// Serves until it is killed.
#[expect(
    clippy::disallowed_methods,
    reason = "a process of the bench, not of a city: one number is its configuration"
)]
pub async fn serve() -> anyhow::Result<()> {
    let port: u16 = std::env::var(PORT)?.parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .add_service(LocationServiceServer::new(Floor))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

/// Starts this program again as the bare server.
pub async fn start() -> anyhow::Result<Server> {
    let port = free_port()?;
    let program = std::env::current_exe()?;
    let program = program.to_string_lossy().into_owned();
    let variable = format!("{PORT}={port}");
    Server::start("env", port, [variable, program, FLAG.to_owned()]).await
}
