//! Delegation tokens. Source: `KafkaZkClient.{createDelegationTokenPaths, setOrCreateDelegationToken}`.

use super::{KafkaError, ensure};
use crate::store::{CreateMode, Store, StoreError, retry};
use crate::znode::token::{self, TOKEN_CHANGE_PREFIX, TOKEN_CHANGES, TOKENS, TokenNode};
use crate::znode::top_level;

/// Creates the tokens' nodes where missing.
pub async fn create_store(store: &dyn Store) -> Result<(), KafkaError> {
    for path in top_level::DELEGATION_TOKENS {
        ensure(store, path).await?;
    }
    Ok(())
}

/// Every token; one that cannot be read is left out (it then cannot be used).
pub async fn read_all(store: &dyn Store) -> Result<Vec<TokenNode>, KafkaError> {
    let ids = match store.children(TOKENS).await {
        Ok(children) => children.names,
        Err(StoreError::NoNode(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let paths: Vec<String> = ids.iter().map(|id| token::path(id)).collect();
    let nodes = store.get_many(&paths).await?;
    let read = ids.iter().zip(nodes).filter_map(|(id, node)| {
        TokenNode::decode(id, &node?.data)
            .inspect_err(|error| tracing::warn!(%error, "skipping a token"))
            .ok()
    });
    Ok(read.collect())
}

/// One token, if it exists.
pub async fn read(store: &dyn Store, token_id: &str) -> Result<Option<TokenNode>, KafkaError> {
    match store.get(&token::path(token_id)).await? {
        Some(found) => Ok(Some(TokenNode::decode(token_id, &found.data)?)),
        None => Ok(None),
    }
}

/// Writes a token, then tells every broker.
pub async fn write(store: &dyn Store, node: &TokenNode) -> Result<(), KafkaError> {
    let (path, data) = (token::path(&node.token_id), node.encode());
    match retry::read(|| store.set(&path, &data, None)).await {
        Ok(_) => {}
        Err(StoreError::NoNode(_)) => {
            retry::create(store, &path, &data, CreateMode::Persistent).await?;
        }
        Err(error) => return Err(error.into()),
    }
    notify(store, &node.token_id).await
}

/// Removes a token, then tells every broker. Fine if it is gone.
pub async fn delete(store: &dyn Store, token_id: &str) -> Result<(), KafkaError> {
    match retry::delete(store, &token::path(token_id), None).await {
        Ok(()) | Err(StoreError::NoNode(_)) => {}
        Err(error) => return Err(error.into()),
    }
    notify(store, token_id).await
}

async fn notify(store: &dyn Store, token_id: &str) -> Result<(), KafkaError> {
    let path = format!("{TOKEN_CHANGES}/{TOKEN_CHANGE_PREFIX}");
    retry::read(|| store.create(&path, token_id.as_bytes(), CreateMode::PersistentSequential)).await?;
    Ok(())
}
