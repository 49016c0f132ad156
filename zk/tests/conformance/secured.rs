//! `zookeeper.set.acl`: what others may and may not do with the nodes of a store that locks them.

use std::time::Duration;

use ottla_zk::store::remote::AclPolicy;
use ottla_zk::store::{CreateMode, Options, Remote, Store, StoreError, create_recursive};

use crate::servers::{AnyServer, session};

async fn locking(port: u16, password: &str) -> Remote {
    let mut options = Options::new(format!("127.0.0.1:{port}/locked"));
    options.acl = AclPolicy::Secure;
    options.auth = vec![("digest".into(), format!("kafka:{password}").into_bytes())];
    Remote::connect(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_read_all_but_credentials_and_write_nothing() {
    for server in AnyServer::all().await {
        let ours = locking(server.port(), "secret").await;
        let stranger = session(server.port(), "/locked", Duration::from_secs(6)).await;
        let secrets = ["/config/users/alice", "/config/brokers/1", "/delegation_token/tokens/t"];
        for path in secrets.iter().chain(&["/brokers/topics/t", "/consumers"]) {
            create_recursive(&ours, path, b"x").await.unwrap();
        }
        for path in secrets {
            assert_eq!(stranger.get(path).await, Err(StoreError::Unauthorized(path.into())));
            assert!(ours.get(path).await.unwrap().is_some());
        }
        let topic = "/brokers/topics/t";
        assert_eq!(stranger.get(topic).await.unwrap().unwrap().data, "x");
        assert_eq!(stranger.set(topic, b"y", None).await, Err(StoreError::Unauthorized(topic.into())));
        let child = stranger.create("/brokers/topics/u", b"", CreateMode::Persistent).await;
        assert!(matches!(child, Err(StoreError::Unauthorized(_))), "{child:?}");
        let open = stranger.create("/consumers/g", b"", CreateMode::Persistent).await;
        assert!(open.is_ok(), "old consumers live below /consumers: {open:?}");
        // The login is sent again on every connection, and another one is a stranger too.
        let wrong = locking(server.port(), "guess").await;
        assert!(matches!(wrong.get(secrets[0]).await, Err(StoreError::Unauthorized(_))));
    }
}
