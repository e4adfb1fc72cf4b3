//! A cab's drive without a rider, and where it has got to.
//! Invariants: a cab on the road can turn off at the next junction, not before; what it drove until there counts.
//! The junctions on the way are looked up only when somebody asks. Does not: know riders.

use hexcab_road::graph::Place;

use crate::scene::{Flat, Spot, World};

/// A junction that a cab can be sent on from: when it gets there (milliseconds at the factor 1), and the way until there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Start {
    pub node: u32,
    pub ms: f32,
    pub metres: f32,
}

/// From where, and how soon, a cab can be sent on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whereabouts {
    starts: [Start; 2],
    count: u8,
    pub flat: Flat,
    /// Where it stands, if it stands on a street and not at a junction.
    pub place: Option<Place>,
    /// What it will have driven on its present drive when it turns off.
    pub driven_m: f32,
}

impl Whereabouts {
    pub fn starts(&self) -> &[Start] {
        &self.starts[..usize::from(self.count)]
    }

    /// Standing at a place on a street.
    pub fn standing(spot: &Spot) -> Self {
        let mut starts = [Start::default(); 2];
        let mut count = 0;
        for end in spot.place.leave.iter().flatten() {
            starts[usize::from(count)] = Start {
                node: end.node,
                ms: end.ms as f32,
                metres: end.metres,
            };
            count += 1;
        }
        Self {
            starts,
            count,
            flat: spot.flat,
            place: Some(spot.place),
            driven_m: 0.0,
        }
    }

    /// At a junction, or on the way to it.
    pub fn junction(world: &World, node: u32, ms: f32, driven_m: f32) -> Self {
        let start = Start {
            node,
            ms,
            metres: 0.0,
        };
        Self {
            starts: [start, Start::default()],
            count: 1,
            flat: world.nodes[node as usize],
            place: None,
            driven_m,
        }
    }
}

/// Where a drive goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// A place on a street.
    Spot(Spot),
    /// A junction.
    Node(u32),
}

/// A drive under way.
#[derive(Debug, Clone)]
pub(super) struct Drive {
    pub start_ms: i64,
    pub arrive_ms: i64,
    pub metres: f32,
    /// Real milliseconds for each of the graph's.
    scale: f64,
    lead: Start,
    /// The junction before the target; none for a drive along one street.
    last: Option<u32>,
    pub target: Target,
    /// Junctions with real milliseconds and metres from the drive's start.
    steps: Vec<(u32, i64, f32)>,
}

impl Drive {
    /// The fastest drive from where a cab is: none where there is no way. `scale` is real milliseconds for each of the
    /// graph's, the hour's factor among them.
    pub fn new(
        world: &World,
        from: &Whereabouts,
        target: Target,
        now_ms: i64,
        scale: f64,
    ) -> Option<Self> {
        let mut best: Option<(f32, Start, Option<u32>, f32, f32)> = None;
        let mut consider = |ms: f32, way: (Start, Option<u32>, f32, f32)| {
            if best.is_none_or(|(least, ..)| ms < least) {
                best = Some((ms, way.0, way.1, way.2, way.3));
            }
        };
        if let (Some(place), Target::Spot(spot)) = (&from.place, &target)
            && let Some((ms, metres)) = place.along_street(&spot.place)
        {
            consider(ms as f32, (Start::default(), None, metres, 0.0));
        }
        let ends: [Option<(u32, f32, f32)>; 2] = match &target {
            Target::Spot(spot) => spot
                .place
                .enter
                .map(|end| end.map(|end| (end.node, end.ms as f32, end.metres))),
            Target::Node(node) => [Some((*node, 0.0, 0.0)), None],
        };
        for start in from.starts() {
            for (node, end_ms, end_m) in ends.into_iter().flatten() {
                let ms = world.labels.ms(start.node, node);
                if ms != hexcab_road::labels::NO_WAY {
                    consider(
                        start.ms + ms as f32 + end_ms,
                        (*start, Some(node), end_m, end_ms),
                    );
                }
            }
        }
        let (ms, lead, last, end_m, _) = best?;
        let between = match last {
            Some(last) => world.labels.leg(lead.node, last)?.1,
            None => 0.0,
        };
        Some(Self {
            start_ms: now_ms,
            arrive_ms: now_ms + (f64::from(ms) * scale).round() as i64,
            metres: lead.metres + between + end_m,
            scale,
            lead,
            last,
            target,
            steps: Vec::new(),
        })
    }

    /// Where the cab can be sent on from. `factor` is the hour's, by which what is left is turned back into the graph's
    /// milliseconds.
    pub fn whereabouts(&mut self, world: &World, now_ms: i64, factor: f64) -> Whereabouts {
        self.look_up(world);
        let next = self
            .steps
            .partition_point(|(_, offset_ms, _)| self.start_ms + offset_ms < now_ms);
        if let Some(&(node, offset_ms, metres)) = self.steps.get(next) {
            let left_ms = (self.start_ms + offset_ms - now_ms) as f64 / factor;
            return Whereabouts::junction(world, node, left_ms as f32, metres);
        }
        let left_ms = ((self.arrive_ms - now_ms).max(0) as f64 / factor) as f32;
        let mut there = self.target.whereabouts(world);
        for start in &mut there.starts {
            start.ms += left_ms;
        }
        there.place = None;
        there.driven_m = self.metres;
        there
    }

    fn look_up(&mut self, world: &World) {
        let Some(last) = self.last.filter(|_| self.steps.is_empty()) else {
            return;
        };
        let path = world.labels.path(self.lead.node, last).unwrap_or_default();
        let (lead, scale) = (self.lead, self.scale);
        self.steps = path
            .iter()
            .map(|step| {
                let ms = f64::from(lead.ms + step.ms as f32) * scale;
                (step.node, ms.round() as i64, lead.metres + step.metres)
            })
            .collect();
    }
}

impl Target {
    /// A cab that has arrived.
    pub fn whereabouts(&self, world: &World) -> Whereabouts {
        match self {
            Self::Spot(spot) => Whereabouts::standing(spot),
            Self::Node(node) => Whereabouts::junction(world, *node, 0.0, 0.0),
        }
    }
}
