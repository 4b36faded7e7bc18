//! The verb that deploys without git: a source that is piped in, or an image.

use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Event, Reply};
use crate::deploy::{Cargo, Delivery, Parcel};
use crate::model::ImageRef;

impl Platform {
    pub(super) fn deploy_upload(&self, permit: Permit, parcel: Parcel, message: Option<String>, cancelled: CancellationToken) -> Reply {
        self.deploy(permit, Cargo::Upload(parcel), message, cancelled)
    }

    pub(super) fn deploy_image(&self, permit: Permit, image: ImageRef, message: Option<String>, cancelled: CancellationToken) -> Reply {
        self.deploy(permit, Cargo::Image(image), message, cancelled)
    }

    /// Starts the deploy and streams what it says; a caller that leaves cancels it until its switch.
    fn deploy(&self, permit: Permit, cargo: Cargo, message: Option<String>, cancelled: CancellationToken) -> Reply {
        let (caller, target) = permit.into_target();
        let name = target.name().clone();
        let delivery = Delivery { target, by: caller.name, message, cargo };
        let deployer = self.deployer.clone();
        self.story(&name, async move |talk| deployer.deliver(delivery, &talk, &cancelled).await.map(Event::Released))
    }
}
