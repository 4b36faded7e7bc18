//! New connections dealt between the cores: each keeps what it accepted unless another one has clearly less to do.

use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// One core's place at the table.
pub(super) struct Deal {
    own: usize,
    hands: Arc<[Hand]>,
}

/// Connections that other cores accepted and this one is to serve.
pub(super) type Dealt = mpsc::UnboundedReceiver<Arrival>;

/// A connection that was accepted.
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) client: IpAddr,
    pub(super) entrance: Entrance,
    pub(super) counted: Counted,
}

/// Where a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    Http,
    Https,
}

struct Hand {
    connections: AtomicUsize,
    /// Without a bound of its own: all connections have one together (see `admission`).
    inlet: mpsc::UnboundedSender<Arrival>,
}

/// A connection that counts for a core, until this is dropped.
pub(super) struct Counted {
    hands: Arc<[Hand]>,
    core: usize,
}

/// A core keeps what it accepted while it has at most this many connections more than the least busy one: moving one costs two
/// system calls and a wake.
const LEAD: usize = 8;

// === impl Deal ===

impl Deal {
    /// Makes places for so many cores.
    pub(super) fn between(cores: usize) -> Vec<(Deal, Dealt)> {
        let (inlets, outlets): (Vec<_>, Vec<_>) = (0..cores).map(|_| mpsc::unbounded_channel()).unzip();
        let hands: Arc<[Hand]> = inlets.into_iter().map(|inlet| Hand { connections: AtomicUsize::new(0), inlet }).collect();
        let deal = |(own, dealt)| (Deal { own, hands: Arc::clone(&hands) }, dealt);
        outlets.into_iter().enumerate().map(deal).collect()
    }

    /// Picks the core for a new connection and counts it there.
    pub(super) fn pick(&self) -> Counted {
        let load = |core: &usize| self.hands[*core].connections.load(Ordering::Relaxed);
        let least = (0..self.hands.len()).min_by_key(load).unwrap_or(self.own);
        let core = if load(&self.own) > load(&least) + LEAD { least } else { self.own };
        self.hands[core].connections.fetch_add(1, Ordering::Relaxed);
        Counted { hands: Arc::clone(&self.hands), core }
    }

    pub(super) fn is_own(&self, counted: &Counted) -> bool {
        counted.core == self.own
    }

    /// Gives a connection to the core that was picked; gives it back when that one has ended.
    pub(super) fn give(&self, arrival: Arrival) -> Option<Arrival> {
        let inlet = &self.hands[arrival.counted.core].inlet;
        inlet.send(arrival).err().map(|refused| refused.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.hands[self.core].connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_accepts_all_gives_half_away() {
        let mut table = Deal::between(2);
        let (deal, _dealt) = table.remove(0);

        let counted: Vec<_> = (0..100).map(|_| deal.pick()).collect();

        let own = counted.iter().filter(|counted| deal.is_own(counted)).count();
        assert!((50..=54).contains(&own), "{own}");
        drop(counted);
        assert!(deal.is_own(&deal.pick()));
    }

    #[test]
    fn a_core_that_has_ended_takes_nobody() {
        let mut table = Deal::between(2);
        let (_, dealt) = table.remove(1);
        drop(dealt);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let deal = &table[0].0;
        let counted = Counted { hands: Arc::clone(&deal.hands), core: 1 };
        deal.hands[1].connections.fetch_add(1, Ordering::Relaxed);

        let client = IpAddr::from([127, 0, 0, 1]);
        assert!(deal.give(Arrival { stream, client, entrance: Entrance::Http, counted }).is_some());
    }
}
