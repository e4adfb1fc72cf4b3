//! Whether this process can do its work: true when every store and consumer it stands on is there.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

/// The readiness of a process, by component.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<BTreeMap<String, bool>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Ready as long as no component says otherwise.
    pub fn new() -> Self {
        Self(Arc::new(watch::channel(BTreeMap::new()).0))
    }

    /// A component, not ready until it says so.
    pub fn component(&self, name: &str) -> Component {
        let component = Component {
            all: self.clone(),
            name: name.to_owned(),
        };
        component.set(false);
        component
    }

    /// Whether every component is ready.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().values().all(|ready| *ready)
    }

    /// The components that are not ready.
    pub fn missing(&self) -> Vec<String> {
        self.0
            .borrow()
            .iter()
            .filter(|(_, ready)| !**ready)
            .map(|(name, _)| name.clone())
            .collect()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<BTreeMap<String, bool>> {
        self.0.subscribe()
    }
}

/// One thing a process stands on.
#[derive(Debug, Clone)]
pub struct Component {
    all: Readiness,
    name: String,
}

impl Component {
    /// Says whether it is there.
    pub fn set(&self, ready: bool) {
        let changed = self
            .all
            .0
            .send_if_modified(|all| all.insert(self.name.clone(), ready) != Some(ready));
        if changed {
            tracing::info!(component = self.name, ready, "readiness changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_components_make_the_whole() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let (postgres, kafka) = (
            readiness.component("postgres"),
            readiness.component("kafka"),
        );
        assert!(!readiness.is_ready());
        postgres.set(true);
        assert_eq!(readiness.missing(), ["kafka"]);
        kafka.set(true);
        assert!(readiness.is_ready());
    }
}
