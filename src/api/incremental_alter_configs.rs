//! IncrementalAlterConfigs: sets, deletes, appends to and subtracts from single keys of topics, brokers and broker
//! loggers (KIP-339, KIP-412; `ConfigAdminManager`, `RuntimeLoggerManager`).
//!
//! APPEND and SUBTRACT are for keys of type list only. The one logger is `root`; its level is set at start, so a change
//! of it is checked as Kafka does and then refused. The version changes nothing.

use std::sync::Arc;

use super::alter_configs::{named_twice, once_only, take_into_force, told};
use super::describe_configs::ROOT_LOGGER;
use super::{Answer, Call};
use crate::admin::Refusal;
use crate::admin::configs::resource_type::BROKER_LOGGER;
use crate::admin::configs::{Change, Operation, Step, distinct};
use crate::broker::Broker;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
};
use crate::protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

const LEVELS: &[&str] = &["DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"];

/// Serves a request.
pub async fn handle(
    broker: &Arc<Broker>,
    request: IncrementalAlterConfigsRequest,
    _call: Call<'_>,
) -> Answer<IncrementalAlterConfigsResponse> {
    let twice = named_twice(request.resources.iter().map(|it| (it.resource_type, it.resource_name.as_str())));
    let mut responses = Vec::with_capacity(request.resources.len());
    for (resource, twice) in request.resources.iter().zip(twice) {
        let altered = match twice {
            true => Err(once_only()),
            false => alter(broker, resource, request.validate_only).await,
        };
        let (code, message) = told(altered);
        responses.push(AlterConfigsResourceResponse {
            error_code: code.code(),
            error_message: message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        });
    }
    Answer::Now(IncrementalAlterConfigsResponse { responses, ..Default::default() })
}

async fn alter(broker: &Broker, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let steps = steps(&resource.configs)?;
    if resource.resource_type == BROKER_LOGGER {
        broker.admin.own_id(&resource.resource_name)?;
        return alter_loggers(&steps, validate_only);
    }
    let target = broker.admin.target(resource.resource_type, &resource.resource_name)?;
    broker.admin.alter_config(&target, Change::Steps(steps), validate_only).await?;
    if !validate_only {
        take_into_force(broker, &target);
    }
    Ok(())
}

fn steps(configs: &[AlterableConfig]) -> Result<Vec<Step>, Refusal> {
    let value = |config: &AlterableConfig| match Operation::from_wire(config.config_operation) {
        Some(Operation::Delete) => Some(String::new()),
        _ => config.value.clone(),
    };
    let values: Vec<Option<String>> = configs.iter().map(value).collect();
    let pairs = configs.iter().zip(&values).map(|(config, value)| (config.name.as_str(), value.as_deref()));
    // The map itself is of no use here: steps are applied in the order of the request.
    let _distinct = distinct(pairs)?;
    let steps = configs.iter().zip(values).map(|(config, value)| {
        let operation = Operation::from_wire(config.config_operation).ok_or_else(|| {
            let text = format!("Unknown operations type {}", config.config_operation);
            Refusal::new(ErrorCode::InvalidRequest, text)
        })?;
        Ok(Step { name: config.name.clone(), operation, value: value.unwrap_or_default() })
    });
    steps.collect()
}

fn alter_loggers(steps: &[Step], validate_only: bool) -> Result<(), Refusal> {
    for Step { name, operation, value } in steps {
        let invalid = |text: String| Err(Refusal::new(ErrorCode::InvalidRequest, text));
        match operation {
            Operation::Append => {
                return invalid("APPEND operation is not allowed for the BROKER_LOGGER resource".into());
            }
            Operation::Subtract => {
                return invalid("SUBTRACT operation is not allowed for the BROKER_LOGGER resource".into());
            }
            _ if name != ROOT_LOGGER => {
                return Err(Refusal::new(ErrorCode::InvalidConfig, format!("Logger {name} does not exist!")));
            }
            Operation::Delete => {
                return invalid(format!("Removing the log level of the {ROOT_LOGGER} logger is not allowed"));
            }
            Operation::Set if !LEVELS.contains(&value.as_str()) => {
                let text = format!(
                    "Cannot set the log level of {name} to {value} as it is not a supported log level. Valid log levels are {}",
                    LEVELS.join(", ")
                );
                return Err(Refusal::new(ErrorCode::InvalidConfig, text));
            }
            Operation::Set => {}
        }
    }
    if validate_only || steps.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::InvalidRequest,
        "this broker's log level is set at start and cannot be changed while it runs",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Message;
    use crate::protocol::wire::Writer;

    fn config(name: &str, operation: i8, value: Option<&str>) -> AlterableConfig {
        AlterableConfig {
            name: name.into(),
            config_operation: operation,
            value: value.map(str::to_owned),
            ..Default::default()
        }
    }

    #[test]
    fn steps_are_checked_and_keep_their_order() {
        let good = steps(&[config("b", 0, Some("1")), config("a", 1, None)]).expect("valid");
        assert_eq!(good.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        for bad in [
            vec![config("a", 0, None)],
            vec![config("a", 2, None)],
            vec![config("a", 9, Some("1"))],
            vec![config("a", 0, Some("1")), config("a", 1, None)],
        ] {
            assert_eq!(steps(&bad).expect_err("invalid").code, ErrorCode::InvalidRequest, "{bad:?}");
        }
    }

    #[test]
    fn loggers_are_checked_as_kafka_does() {
        let set = |name: &str, operation, value: &str| {
            alter_loggers(&[Step { name: name.into(), operation, value: value.into() }], true)
        };
        assert_eq!(set("root", Operation::Set, "INFO"), Ok(()));
        assert_eq!(set("root", Operation::Set, "loud").expect_err("level").code, ErrorCode::InvalidConfig);
        assert_eq!(set("kafka", Operation::Set, "INFO").expect_err("name").code, ErrorCode::InvalidConfig);
        assert_eq!(set("root", Operation::Delete, "").expect_err("root").code, ErrorCode::InvalidRequest);
        assert_eq!(
            set("root", Operation::Append, "INFO").expect_err("append").code,
            ErrorCode::InvalidRequest
        );
    }

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        let (code, message) = told(Err(once_only()));
        let row = AlterConfigsResourceResponse {
            error_code: code.code(),
            error_message: message,
            ..Default::default()
        };
        let answer = IncrementalAlterConfigsResponse { responses: vec![row], ..Default::default() };
        for version in IncrementalAlterConfigsResponse::VERSIONS {
            answer.encode(&mut Writer::default(), version).expect("every version can say it");
        }
    }
}
