//! Stages that are known and refused.
//!
//! Source: what a mongod 6.0.5 answers whose feature is off, or that is no part of what the stage is about.

use std::sync::Arc;

use bytes::Bytes;

use super::{Context, Source, Stage, StageContext};
use crate::value::ValueRef;
use crate::{Error, ErrorCode, Result};

pub(super) const NOT_A_REPLICA_SET: ErrorCode = ErrorCode::location(40573);
pub(super) const NOT_FOR_USERS: ErrorCode = ErrorCode::location(5_491_300);
pub(super) const NO_SHARDS: ErrorCode = ErrorCode::location(6_789_101);

type Stages = Vec<Box<dyn Stage>>;

/// Change streams are no part of the language: what they read is the log.
pub(super) fn change_stream(_: ValueRef<'_>, _: &StageContext<'_>, _: &mut Stages) -> Result<()> {
    Err(Error::new(
        NOT_A_REPLICA_SET,
        "The $changeStream stage is only supported on replica sets",
    ))
}

pub(super) fn list_cached_and_active_users(
    _: ValueRef<'_>,
    _: &StageContext<'_>,
    _: &mut Stages,
) -> Result<()> {
    Err(Error::new(
        ErrorCode::QueryFeatureNotAllowed,
        "$listCachedAndActiveUsers is not allowed with the current configuration. You may need to enable the corresponding feature flag",
    ))
}

/// What it lists are a mongod's files.
pub(super) fn list_catalog(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    _: &mut Stages,
) -> Result<()> {
    if !value.as_document().is_some_and(|doc| doc.is_empty()) {
        return Err(Error::location(
            6_200_600,
            "The $listCatalog stage specification must be an empty object",
        ));
    }
    Err(Error::new(
        ErrorCode::CommandNotSupported,
        "$listCatalog is not supported: there are no files to list",
    ))
}

/// Stages that servers put into pipelines which they send to each other.
pub(super) fn not_for_users(_: ValueRef<'_>, cx: &StageContext<'_>, _: &mut Stages) -> Result<()> {
    Err(Error::new(
        NOT_FOR_USERS,
        format!("{}' is not allowed in user requests", cx.name),
    ))
}

pub(super) fn operation_metrics(
    _: ValueRef<'_>,
    _: &StageContext<'_>,
    _: &mut Stages,
) -> Result<()> {
    Err(Error::new(
        ErrorCode::CommandNotSupported,
        "The aggregateOperationResourceConsumption server parameter is not set",
    ))
}

pub(super) fn sharded_data_distribution(
    value: ValueRef<'_>,
    _: &StageContext<'_>,
    _: &mut Stages,
) -> Result<()> {
    if !value.as_document().is_some_and(|doc| doc.is_empty()) {
        return Err(Error::location(
            6_789_100,
            "The $shardedDataDistribution stage specification must be an empty object",
        ));
    }
    Err(Error::new(
        NO_SHARDS,
        "The $shardedDataDistribution stage is not supported: there are no shards",
    ))
}

/// `$geoNear`, for which there is never an index: geographic ones are not supported.
#[derive(Debug)]
struct GeoNear;

pub(super) fn geo_near(value: ValueRef<'_>, _: &StageContext<'_>, out: &mut Stages) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            10065,
            "invalid parameter: expected an object ($geoNear)",
        ));
    };
    if spec.get("near").is_none() {
        return Err(Error::location(
            5_860_400,
            "$geoNear requires a 'near' argument",
        ));
    }
    if !matches!(spec.get("distanceField"), Some(ValueRef::String(_))) {
        return Err(Error::location(
            16606,
            "$geoNear requires a 'distanceField' option as a String",
        ));
    }
    out.push(Box::new(GeoNear));
    Ok(())
}

impl Stage for GeoNear {
    fn open(self: Arc<Self>, _: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(NoGeoIndex)
    }
}

struct NoGeoIndex;

impl Source for NoGeoIndex {
    fn next(&mut self, _: &Context<'_>) -> Result<Option<Bytes>> {
        Err(Error::new(
            ErrorCode::IndexNotFound,
            "$geoNear requires a 2d or 2dsphere index, but none were found",
        ))
    }
}
