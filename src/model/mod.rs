//! The nouns that cross rooms. Each is parsed once at the edge and trusted afterwards.

#[macro_use]
mod text;

mod address_range;
mod bridge;
mod caller;
mod certificate;
mod credential;
mod deploy;
mod domain;
mod edge;
mod formation;
mod host;
mod ids;
mod image;
mod key;
mod lifetime;
pub mod limits;
mod name;
mod network;
mod plain;
mod process;
mod release;
mod secret;
pub mod size;
mod stamp;
mod storage;
mod token;

pub use address_range::AddressRange;
pub use bridge::BridgePrefix;
pub use caller::{Caller, Origin, Role, Scope};
pub use certificate::CertificateSource;
pub use credential::Credential;
pub use deploy::DeployId;
pub use domain::Domain;
pub use edge::{Edge, EdgeChange, Protocol, Www};
pub use formation::{Formation, ProcessTable};
pub use host::HostName;
pub use ids::{AppId, CommitId, ContainerId, ImageId, InstanceId, TokenId};
pub use image::{ImageRef, RegistryHost};
pub use key::{Fingerprint, PublicKey};
pub use lifetime::Lifetime;
pub use name::{AppName, ConfigName, KeyName};
pub use network::network_of;
pub use plain::plain;
pub use process::{ProcessName, ProcessType};
pub use release::{ProcessState, ReleaseKind, ReleaseState, Revision, Stage, Version};
pub use secret::Secret;
pub use stamp::Stamp;
pub use storage::{Storage, StorageName};
pub use token::Token;
