//! Configurations read from ZooKeeper into force: all of them at start, and a topic's when its first replica comes to
//! this broker. A topic is created without a change note, so nobody else tells of what it sets (`ZkConfigRepository`,
//! `LogManager.getOrCreateLog`). Later changes are `watches`'s.

use ottla_zk::kafka::{KafkaError, changes, configs};
use ottla_zk::store::Store;
use ottla_zk::znode::config::{self as config_node, ConfigEntity};

use crate::metadata::configs::{ConfigCache, Overrides};

/// Reads every topic's and this broker's configuration: at start, before the first change note. Gives the sequence of
/// the last note that is already in them; -1 without any.
pub async fn load_all(store: &dyn Store, cache: &ConfigCache, broker_id: i32) -> Result<i64, KafkaError> {
    let notes = changes::read(store, config_node::CHANGES, config_node::CHANGE_PREFIX, -1).await?;
    let last = notes.last().map_or(-1, |note| note.sequence);
    let cluster = configs::read(store, &ConfigEntity::Broker(None)).await?;
    let own = configs::read(store, &ConfigEntity::Broker(Some(broker_id))).await?;
    cache.set_broker(Some(cluster.config), Some(own.config));
    let entities = configs::entities(store, "topics").await?;
    for (topic, overrides) in read_topics(store, &entities).await? {
        cache.set_topic(topic, overrides);
    }
    Ok(last)
}

/// Reads what these topics set, as of now: a change that another task took into force meanwhile is not undone by an
/// older reading.
pub async fn load_topics(store: &dyn Store, cache: &ConfigCache, topics: &[&str]) -> Result<(), KafkaError> {
    let entity = |topic: &&str| ConfigEntity::Topic((*topic).to_owned());
    let entities: Vec<ConfigEntity> = topics.iter().map(entity).collect();
    loop {
        let version = cache.version();
        if cache.set_topics(version, read_topics(store, &entities).await?) {
            return Ok(());
        }
    }
}

/// The topics among `entities`, with what they set; the defaults for one whose node cannot be understood.
async fn read_topics<'a>(
    store: &dyn Store,
    entities: &'a [ConfigEntity],
) -> Result<Vec<(&'a str, Overrides)>, KafkaError> {
    let mut found = Vec::with_capacity(entities.len());
    for (entity, node) in entities.iter().zip(configs::read_many(store, entities).await?) {
        let ConfigEntity::Topic(topic) = entity else { continue };
        let overrides = match node {
            Ok(node) => node.config,
            Err(error) => {
                tracing::error!(%error, "a topic's configuration cannot be read; defaults are in force for it");
                Overrides::new()
            }
        };
        found.push((topic.as_str(), overrides));
    }
    Ok(found)
}
