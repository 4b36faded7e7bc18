//! Which app answers a host: a table that the proxy reads and only `deploy` switches. Data only.

mod access;
mod certificate;
mod certificates;
mod doorway;
mod latency;
mod meter;
mod recent;
mod release;
mod seat;
mod table;
#[cfg(test)]
pub mod testing;
mod upstream;
mod waiting;
mod zone;

pub use crate::model::{AddressRange, Credential, Edge, HostName, Protocol, Www};
pub use access::{AccessLine, AccessLog, AccessReader, AccessWriter, Batch};
pub use certificate::Certificate;
pub use certificates::Certificates;
pub use doorway::{Arrivals, Doorway};
pub use latency::Latency;
pub use meter::{Ended, Meter, Reading, Traffic};
pub use recent::Recent;
pub use release::{Drained, Lease, Release};
pub use seat::{Seat, Tried};
pub use table::{Found, Metered, Routes, Target};
pub use waiting::{Waiting, WaitingRoom};
