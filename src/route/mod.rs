//! Which app answers a host: a table that the proxy reads and only `deploy` switches. Data only.

mod doorway;
mod edge;
mod host;
mod release;
mod seat;
mod table;
mod upstream;
mod waiting;
mod zone;

pub use doorway::{Arrivals, Doorway};
pub use edge::{AddressRange, Credential, Edge, Protocol, Www};
pub use host::HostName;
pub use release::{Drained, Lease, Release, Traffic, TrafficCounters};
pub use seat::{Seat, Tried};
pub use table::{Found, Routes, Target};
pub use waiting::{Waiting, WaitingRoom};
