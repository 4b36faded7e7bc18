//! Verbs that run programs of an app: once by themselves, or beside what serves.

use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Assignment, Done, Reply};
use crate::deploy::{Entry, OneOff};
use crate::engine::Console;
use crate::error::{Error, Result};
use crate::model::limits::{MAX_CONFIG_VALUE_BYTES, MAX_CONFIG_VALUES};
use crate::model::{ProcessName, Secret};

impl Platform {
    pub(super) async fn run_program(
        &self,
        permit: &Permit,
        program: Vec<String>,
        env: Vec<Assignment>,
        console: Console,
        cancelled: CancellationToken,
    ) -> Result<Reply> {
        let one_off = one_off(permit, program, env)?;
        Box::pin(self.deployer.run_attached(permit.app(), one_off, console, cancelled)).await.map(Reply::Attached)
    }

    pub(super) async fn run_detached(&self, permit: &Permit, program: Vec<String>, env: Vec<Assignment>) -> Result<Reply> {
        let app = permit.app();
        let one_off = one_off(permit, program, env)?;
        let process = Box::pin(self.deployer.run_detached(app, one_off)).await?;
        let message = format!("Started {process} of `{}`.", app.name);
        let next = vec![format!("logs {} -f -p {process}", app.name), format!("ps {}", app.name)];
        Ok(Reply::Value(Answer::Done(Done { message, app: Some(app.name.clone()), next })))
    }

    pub(super) async fn enter(
        &self,
        permit: &Permit,
        process: Option<ProcessName>,
        program: Vec<String>,
        console: Console,
        cancelled: CancellationToken,
    ) -> Result<Reply> {
        check_arguments(&program)?;
        let entry = Entry { process, program, by: permit.caller().name.clone() };
        Box::pin(self.deployer.enter(permit.app(), entry, console, cancelled)).await.map(Reply::Attached)
    }
}

fn one_off(permit: &Permit, program: Vec<String>, env: Vec<Assignment>) -> Result<OneOff> {
    check_arguments(&program)?;
    if env.len() > MAX_CONFIG_VALUES {
        return Err(Error::usage(format!("a program gets at most {MAX_CONFIG_VALUES} variables")));
    }
    if let Some(Assignment { name, .. }) = env.iter().find(|assignment| assignment.value.len() > MAX_CONFIG_VALUE_BYTES) {
        return Err(Error::usage(format!("the value of `{name}` is over {} KiB", MAX_CONFIG_VALUE_BYTES / 1024)));
    }
    let env = env.into_iter().map(|Assignment { name, value }| (name, Secret::new(value))).collect();
    Ok(OneOff { program, env, by: permit.caller().name.clone() })
}

/// Frames carry what no command line can hold.
fn check_arguments(program: &[String]) -> Result<()> {
    if program.iter().any(|argument| argument.contains('\0')) {
        return Err(Error::usage("an argument cannot hold a NUL byte"));
    }
    Ok(())
}
