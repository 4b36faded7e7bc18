//! A registry of images on loopback: Debian's `docker-registry` as a plain process. The engine asks for no TLS there.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{eventually, unique};

/// The user of a private registry and the password, as `htpasswd -B` keeps it.
const LOGIN: &str = "bot:$2y$05$DxNwxd125MDAH/RY8Vx09OLY60JXQTTGnSAxvybSQXLxRzVOrmKXe";

/// A running registry. It ends, with what it holds, when dropped.
pub struct Registry {
    folder: tempfile::TempDir,
    server: Child,
    pub address: SocketAddr,
}

impl Registry {
    pub const USER: &'static str = "bot";
    pub const PASSWORD: &'static str = "s3cret word";

    pub fn public() -> Self {
        Self::start("")
    }

    pub fn private() -> Self {
        Self::start("auth:\n  htpasswd:\n    realm: test\n    path: PATH\n")
    }

    fn start(auth: &str) -> Self {
        let ensure = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/ensure-packages");
        assert!(Command::new(ensure).arg("docker-registry").status().unwrap().success(), "there is no docker-registry");
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users");
        std::fs::write(&users, format!("{LOGIN}\n")).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{}",
            folder.path().join("images").display(),
            auth.replace("PATH", &users.display().to_string())
        );
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(folder.path().join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Registry { server: command.spawn().unwrap(), folder, address };
        eventually("the registry to listen", || TcpStream::connect(address).ok());
        registry
    }

    /// Makes an image that serves `text` on `port`, gives it to the registry, and leaves none of it in the engine.
    pub fn hold(&self, name: &str, text: &str, port: u16) -> String {
        let image = format!("{}/{name}", self.address);
        let folder = self.folder.path().join(unique());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("index.html"), text).unwrap();
        let dockerfile =
            format!("FROM busybox\nCOPY index.html /www/\nEXPOSE {port}\nCMD [\"sh\", \"-c\", \"exec httpd -f -p $PORT -h /www\"]\n");
        std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
        self.docker(&["build", "-q", "-t", &image, &folder.display().to_string()]);
        // A config of its own: nobody's logins are touched.
        self.docker(&["login", "-u", Self::USER, "-p", Self::PASSWORD, &self.address.to_string()]);
        self.docker(&["push", "-q", &image]);
        self.docker(&["rmi", &image]);
        image
    }

    fn docker(&self, words: &[&str]) {
        let output = Command::new("docker").arg("--config").arg(self.folder.path().join("docker")).args(words).output().unwrap();
        assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
