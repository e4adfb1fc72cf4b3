//! What a driver makes of the platform's words: offers, news of trips, answers to commands, what is true after a reconnect.
//! A trip's state from the platform decides; what the driver believed before only decides where he is on the road.

use chrono::TimeDelta;
use hexcab_types::{Point, Timestamp};
use uuid::Uuid;

use super::{ASK_AGAIN, Job, Machine, OFFER_GRACE, Phase, World};
use crate::{
    api::{
        fault,
        wire::{Command, Current, Offer, State, TripView},
    },
    chance::Answer,
    tally::DriverNews,
};

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether it was done.
    pub ok: bool,
    /// Why not.
    pub reason: String,
    /// The trip afterwards.
    pub trip: Option<Box<TripView>>,
}

impl<W: World> Machine<W> {
    /// A trip is offered. A driver who is busy does not look.
    pub fn on_offer(&mut self, offer: Offer, now: Timestamp) {
        if !self.is_free() || now >= offer.expires_at {
            return;
        }
        let reaction = self.world.reaction(self.offers);
        self.offers += 1;
        self.world.note(DriverNews::Offered(offer.trip));
        if reaction.answer == Answer::Ignore {
            self.world.note(DriverNews::Ignored);
        }
        let until = match reaction.answer {
            Answer::Ignore => offer.expires_at + OFFER_GRACE,
            Answer::Accept | Answer::Decline => {
                now + TimeDelta::from_std(reaction.after).unwrap_or(TimeDelta::zero())
            }
        };
        self.phase = Phase::Thinking {
            offer: Box::new(offer),
            answer: reaction.answer,
            until,
        };
    }

    /// News of a trip; `yours` says whether it is this driver's.
    pub fn on_trip(&mut self, view: &TripView, yours: bool, now: Timestamp) {
        if self.left == Some(view.id) {
            return;
        }
        if let Some(job) = self.job() {
            if job.trip == view.id && view.version >= job.version {
                self.follow(view, yours, now);
            }
            return;
        }
        self.on_offered_trip(view, yours, now);
    }

    /// News of a trip that he is looking at, maybe.
    fn on_offered_trip(&mut self, view: &TripView, yours: bool, now: Timestamp) {
        let Phase::Thinking { offer, answer, .. } = &self.phase else {
            return;
        };
        if offer.trip != view.id {
            return;
        }
        let asked = self.pending.as_ref().map(|pending| &pending.command);
        let accepting = matches!(asked, Some(Command::Accept { .. }));
        let offer_is_over = view.epoch > offer.epoch
            || view.epoch == offer.epoch && !matches!(view.state, State::Offered | State::Unknown);
        if accepting && yours && is_active(view.state) {
            self.take(view, now);
        } else if offer_is_over && !accepting {
            if *answer != Answer::Ignore && asked.is_none() {
                self.world.note(DriverNews::Withdrawn);
            }
            self.become_free();
        }
        // An unanswered accept stays: its answer says who won.
    }

    /// The answer to a command; one that nobody waits for any more is nothing.
    pub fn on_result(&mut self, request_id: Uuid, outcome: &Outcome, now: Timestamp) {
        let answered = self
            .pending
            .take_if(|pending| pending.request_id == request_id);
        let Some(mut pending) = answered else { return };
        let (verb, reason) = (pending.command.verb(), outcome.reason.clone());
        if outcome.ok {
            self.refusals = 0;
            self.done(&pending.command, outcome.trip.as_deref(), now);
        } else if fault::is_passing(None, &reason) {
            self.world.note(DriverNews::Fault(verb, reason));
            pending.send_at = now + self.pause(pending.faults);
            (pending.sendings, pending.faults) = (0, pending.faults + 1);
            self.pending = Some(pending);
        } else {
            self.world.note(DriverNews::Refused(verb, reason));
            self.refused(&pending.command, now);
        }
    }

    /// What the platform says is true, asked for after a reconnect or a refusal.
    pub fn on_current(&mut self, current: Current, now: Timestamp) {
        match (current.trip, self.job().map(|job| job.trip)) {
            (Some(view), Some(trip)) if view.id == trip => self.on_trip(&view, true, now),
            (Some(view), _) if self.left != Some(view.id) && is_active(view.state) => {
                self.take(&view, now);
            }
            (None, Some(_)) if self.changed_at >= self.asked_at => self.asks_at = Some(now),
            // An unanswered command is about to be sent again: its answer decides.
            (None, Some(_)) if self.pending.is_none() => {
                self.world.note(DriverNews::Lost);
                self.stop(now);
                // Should this have been old news, the next asking puts it right.
                self.asks_at = Some(now + self.pace.answer);
            }
            (Some(_) | None, _) => {}
        }
        if let Some(offer) = current.offer {
            self.on_offer(offer, now);
        }
    }

    fn job(&self) -> Option<&Job> {
        match &self.phase {
            Phase::Free | Phase::Thinking { .. } => None,
            Phase::EnRoute { job, .. } | Phase::Waiting { job, .. } | Phase::OnTrip { job, .. } => {
                Some(job)
            }
        }
    }

    /// A command was done.
    fn done(&mut self, command: &Command, view: Option<&TripView>, now: Timestamp) {
        match (command, view, &self.phase) {
            (Command::Accept { .. }, Some(view), Phase::Thinking { .. }) => self.take(view, now),
            (Command::Accept { .. }, None, Phase::Thinking { offer, .. }) => {
                let offer = offer.clone();
                self.take_offer(&offer, now);
            }
            (Command::Accept { .. }, _, _) => {}
            (Command::Arrive { .. } | Command::Start { .. }, Some(view), _) => {
                self.follow(view, true, now);
            }
            (Command::Arrive { .. }, None, _) => self.wait(now),
            (Command::Start { .. }, None, _) => self.carry(now),
            (Command::Decline { .. }, _, _) => self.become_free(),
            (Command::Complete { .. } | Command::Release { .. } | Command::NoShow { .. }, _, _) => {
                self.leave_job(now)
            }
        }
    }

    /// A command was refused for good.
    fn refused(&mut self, command: &Command, now: Timestamp) {
        match command {
            Command::Accept { .. } | Command::Decline { .. } => self.become_free(),
            Command::Arrive { .. }
            | Command::Start { .. }
            | Command::Complete { .. }
            | Command::Release { .. }
            | Command::NoShow { .. } => {
                self.holds_until = now + self.pause(self.refusals);
                self.refusals += 1;
            }
        }
        self.asks_at = Some(now);
    }

    /// News of the job.
    fn follow(&mut self, view: &TripView, yours: bool, now: Timestamp) {
        if let Phase::EnRoute { job, .. } | Phase::Waiting { job, .. } | Phase::OnTrip { job, .. } =
            &mut self.phase
        {
            job.version = job.version.max(view.version);
            job.no_show_at = view.no_show_at.or(job.no_show_at);
        }
        if !yours || !is_active(view.state) && view.state != State::Unknown {
            if view.state != State::Completed {
                self.world.note(DriverNews::Lost);
            }
            self.leave_job(now);
            return;
        }
        match (&self.phase, view.state) {
            (Phase::EnRoute { .. }, State::Arrived) => self.wait(now),
            (Phase::EnRoute { .. } | Phase::Waiting { .. }, State::InProgress) => self.carry(now),
            (_, _) => {}
        }
    }

    /// He has this trip, in whatever state it is.
    fn take(&mut self, view: &TripView, now: Timestamp) {
        let ride_s = match &self.phase {
            Phase::Thinking { offer, .. } if offer.trip == view.id => Some(offer.duration_s),
            Phase::Free
            | Phase::Thinking { .. }
            | Phase::EnRoute { .. }
            | Phase::Waiting { .. }
            | Phase::OnTrip { .. } => None,
        };
        if let (Some(pickup), Some(dropoff)) = (view.pickup.point(), view.dropoff.point()) {
            self.set_out(
                Job {
                    trip: view.id,
                    version: view.version,
                    pickup,
                    dropoff,
                    ride_s,
                    no_show_at: view.no_show_at,
                },
                now,
            );
            self.follow(view, true, now);
        }
    }

    /// He has the offered trip, of which nothing newer is known.
    fn take_offer(&mut self, offer: &Offer, now: Timestamp) {
        if let (Some(pickup), Some(dropoff)) = (offer.pickup.point(), offer.dropoff.point()) {
            let ride_s = Some(offer.duration_s);
            self.set_out(
                Job {
                    trip: offer.trip,
                    version: 0,
                    pickup,
                    dropoff,
                    ride_s,
                    no_show_at: None,
                },
                now,
            );
        }
    }

    fn set_out(&mut self, job: Job, now: Timestamp) {
        self.stop(now);
        (self.left, self.refusals, self.changed_at) = (None, 0, now);
        let drive = self.world.drive(self.place, job.pickup, now, None);
        self.phase = Phase::EnRoute { job, drive };
    }

    /// At the pickup.
    fn wait(&mut self, now: Timestamp) {
        if let Phase::EnRoute { job, drive } = &self.phase {
            (self.place, self.heading_deg) = (job.pickup, drive.motion(now).heading_deg);
            self.changed_at = now;
            self.pending = None;
            let until = now + self.world.boarding().max(ASK_AGAIN);
            self.phase = Phase::Waiting {
                job: job.clone(),
                until,
                asks: 0,
            };
        }
    }

    /// The rider is in the car.
    fn carry(&mut self, now: Timestamp) {
        let from: Point = self.motion(now).at;
        if let Phase::EnRoute { job, .. } | Phase::Waiting { job, .. } = &self.phase {
            let job = job.clone();
            (self.pending, self.changed_at) = (None, now);
            let recorded = self
                .world
                .hear(job.trip)
                .and_then(|words| words.ride_s)
                .map(f64::from);
            let seconds = recorded.or(job.ride_s.filter(|seconds| *seconds > 0.0));
            let drive = self.world.drive(from, job.dropoff, now, seconds);
            self.phase = Phase::OnTrip { job, drive };
        }
    }

    /// The job is over: late news of it are nothing.
    fn leave_job(&mut self, now: Timestamp) {
        self.left = self.job().map(|job| job.trip);
        self.stop(now);
    }

    /// Free, where he is.
    fn stop(&mut self, now: Timestamp) {
        let motion = self.motion(now);
        (self.place, self.heading_deg) = (motion.at, motion.heading_deg);
        self.become_free();
    }

    fn become_free(&mut self) {
        self.pending = None;
        self.phase = Phase::Free;
    }
}

/// A driver has a trip in this state.
const fn is_active(state: State) -> bool {
    match state {
        State::EnRoute | State::Arrived | State::InProgress => true,
        State::Requested
        | State::Offered
        | State::Completed
        | State::Cancelled
        | State::Expired
        | State::Unknown => false,
    }
}
