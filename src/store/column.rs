//! How the model's nouns stand in columns: as the words and numbers that people see.

use std::net::Ipv4Addr;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql};

use crate::error::Error;
use crate::model::{
    AppId, AppName, CertificateSource, CommitId, ConfigName, ContainerId, Domain, Fingerprint, ImageId, InstanceId, KeyName, ProcessState,
    ProcessType, RegistryHost, ReleaseKind, ReleaseState, Role, Stage, Stamp, StorageName, TokenId, Version,
};

/// A container's address, written with dots.
pub(super) struct Address(pub Ipv4Addr);

fn parsed<T>(value: ValueRef<'_>) -> FromSqlResult<T>
where
    T: std::str::FromStr<Err = Error>,
{
    value.as_str()?.parse().map_err(|err: Error| FromSqlError::Other(err.into()))
}

macro_rules! text_columns {
    ($($name:ty),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                parsed(value)
            }
        }
    )+};
}

text_columns!(AppId, AppName, CommitId, ConfigName, ContainerId, Fingerprint, ImageId, InstanceId, KeyName, RegistryHost, TokenId);
text_columns!(Domain, StorageName);
text_columns!(CertificateSource, ProcessState, ProcessType, ReleaseKind, ReleaseState, Stage);

/// Returns what stands in the columns `kind` and `newer_kind`.
pub(super) fn kind_columns(kind: ReleaseKind) -> (ReleaseKind, Option<ReleaseKind>) {
    match kind {
        ReleaseKind::Upload | ReleaseKind::Image => (ReleaseKind::Push, Some(kind)),
        _ => (kind, None),
    }
}

/// Reads what [`kind_columns`] wrote.
pub(super) fn kind_of(row: &Row<'_>) -> rusqlite::Result<ReleaseKind> {
    Ok(row.get::<_, Option<ReleaseKind>>("newer_kind")?.unwrap_or(row.get("kind")?))
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        parsed(value)
    }
}

impl ToSql for Address {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl FromSql for Address {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Address).map_err(|err: std::net::AddrParseError| FromSqlError::Other(err.into()))
    }
}

impl ToSql for Stamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_millis().into())
    }
}

impl FromSql for Stamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Stamp::from_millis)
    }
}

impl ToSql for Version {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl FromSql for Version {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u32::column_result(value).map(Version)
    }
}
