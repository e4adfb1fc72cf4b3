//! A rider's session: he listens, and says nothing.

use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use hexcab_types::RiderId;
use tokio::{sync::mpsc, time::Instant};

use super::Frame;
use crate::{
    driver::message::invalid,
    gateway::Gateway,
    session::{Ending, Seat},
    status::Problem,
    views::message::RiderMessage,
};

/// A connected rider's app.
pub struct RiderSession(Seat<RiderId, RiderMessage>);

impl RiderSession {
    /// Connects a rider until his token ends and shows him his trip.
    ///
    /// # Errors
    /// 503 while trip is away: without a snapshot a change might be missed.
    pub async fn open(
        gateway: &Arc<Gateway>,
        rider: RiderId,
        until: Instant,
    ) -> Result<(Self, mpsc::Receiver<RiderMessage>), Problem> {
        let connected = gateway.riders.connect(rider, until);
        gateway.show_rider(rider, connected.seat.session()).await?;
        Ok((Self(connected.seat), connected.messages))
    }

    /// Its end.
    pub fn ending(&self) -> Ending {
        self.0.ending()
    }

    /// Hears the app out; whatever it says is too much.
    pub async fn hear(self, mut said: impl Stream<Item = Frame> + Unpin) {
        while said.next().await.is_some() {
            self.0.session().tell(RiderMessage::Error(
                invalid("nothing is expected here; use REST").into(),
            ));
        }
    }
}
