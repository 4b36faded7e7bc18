//! The nouns that cross rooms. Each is parsed once at the edge and trusted afterwards.

mod caller;
mod ids;
mod key;
mod lifetime;
pub mod limits;
mod name;
mod network;
mod process;
mod release;
mod secret;
mod stamp;
mod token;

pub use caller::{Caller, Origin, Role, Scope};
pub use ids::{AppId, CommitId, ContainerId, ImageId, InstanceId, TokenId};
pub use key::{Fingerprint, PublicKey};
pub use lifetime::Lifetime;
pub use name::{AppName, ConfigName, KeyName};
pub use network::network_of;
pub use process::ProcessName;
pub use release::{ReleaseKind, ReleaseState, Stage, Version};
pub use secret::Secret;
pub use stamp::Stamp;
pub use token::Token;
