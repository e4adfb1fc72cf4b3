//! Proxies between the processes of a city that was started for faults: a proxy a connection of one process to another,
//! so that dispatch can lose trip while the gateway still has it.
//!
//! Invariants: a city that was not started for faults has none, and its processes speak to each other directly; health is
//! asked for directly always. Does not: know when something is to go wrong, stand before a broker that tells its clients
//! its own address (the embedded one cannot be told another).

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::Context as _;
use hexcab_proxy::Proxy;

use super::{
    Stores,
    node::{Link, Node},
    services::{PortPlan, Service},
};

/// The proxies of a city.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<Link, Proxy>);

impl Links {
    /// A proxy before everything that listens in this stack, for each that connects to it.
    ///
    /// # Errors
    /// When there is no port for one.
    pub async fn start(stores: Stores, ports: &PortPlan) -> anyhow::Result<Self> {
        let mut links = Self::default();
        for service in Service::ALL {
            for peer in service.peers() {
                let link = Link::new(Node::Service(service), Node::Service(*peer));
                links.add(link, ports.port(*peer)).await?;
            }
            if service.database().is_some() {
                let link = Link::new(Node::Service(service), Node::Postgres);
                links.add(link, ports.postgres).await?;
            }
        }
        let door = Link::new(Node::Clients, Node::Service(Service::Gateway));
        links.add(door, ports.http).await?;
        let webhooks = Link::new(
            Node::Service(Service::Sandbox),
            Node::Service(Service::Payment),
        );
        links.add(webhooks, ports.webhook).await?;
        match stores {
            Stores::Embedded => {}
            Stores::Local => {
                let link = Link::new(Node::Service(Service::Location), Node::Cassandra);
                links.add(link, ports.cassandra).await?;
            }
        }
        Ok(links)
    }

    /// One more, to a port of this machine.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn add(&mut self, link: Link, port: u16) -> anyhow::Result<()> {
        let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let proxy = Proxy::start(here(0), here(port))
            .await
            .with_context(|| format!("start a proxy for {link}"))?;
        self.0.insert(link, proxy);
        Ok(())
    }

    /// Every connection that can be disturbed.
    pub fn all(&self) -> Vec<Link> {
        self.0.keys().copied().collect()
    }

    /// The proxy of one.
    pub fn proxy(&self, link: Link) -> Option<&Proxy> {
        self.0.get(&link)
    }

    /// Where `from` finds `to`: at its proxy, or where it listens itself.
    pub fn port(&self, from: Node, to: Node, direct: u16) -> u16 {
        self.proxy(Link::new(from, to))
            .map_or(direct, |proxy| proxy.addr().port())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::stack::{ports::Ports, services::WantedPorts};

    #[tokio::test]
    async fn a_city_for_faults_has_a_proxy_between_any_two_and_another_has_none() {
        let plan = PortPlan::find(WantedPorts::default(), &mut Ports::default()).unwrap();
        let links = Links::start(Stores::Local, &plan).await.unwrap();
        let named = |text: &str| text.parse::<Link>().unwrap();
        let ports: BTreeSet<u16> = links
            .all()
            .into_iter()
            .map(|link| links.port(link.from, link.to, 1))
            .collect();
        assert_eq!(ports.len(), links.all().len());
        for link in [
            "dispatch->trip",
            "gateway->trip",
            "trip->postgres",
            "payment->sandbox",
            "sandbox->payment",
            "clients->gateway",
            "location->cassandra",
        ] {
            assert!(links.all().contains(&named(link)), "{link}");
        }
        let embedded = Links::start(Stores::Embedded, &plan).await.unwrap();
        let kept = named("location->cassandra");
        assert!(!embedded.all().contains(&kept), "there is no Cassandra");
        let link = named("dispatch->trip");
        assert_ne!(links.port(link.from, link.to, 1), 1);
        assert_eq!(Links::default().port(link.from, link.to, 1), 1);
    }
}
