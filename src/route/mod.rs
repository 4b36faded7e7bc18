//! Which app answers a host: a table that the proxy reads and only `deploy` switches. Data only.

mod certificate;
mod certificates;
mod doorway;
mod release;
mod seat;
mod table;
#[cfg(test)]
pub mod testing;
mod upstream;
mod waiting;
mod zone;

pub use crate::model::{AddressRange, Credential, Edge, HostName, Protocol, Www};
pub use certificate::Certificate;
pub use certificates::Certificates;
pub use doorway::{Arrivals, Doorway};
pub use release::{Drained, Lease, Release, Traffic, TrafficCounters};
pub use seat::{Seat, Tried};
pub use table::{Found, Routes, Target};
pub use waiting::{Waiting, WaitingRoom};
