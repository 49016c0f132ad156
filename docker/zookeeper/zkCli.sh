#!/bin/bash
# zkCli.sh [-server HOST:PORT] [COMMAND]: ZooKeeper's shell.
exec java -Xmx64m ${JVMFLAGS:-} ${CLIENT_JVMFLAGS:-} -cp "${ZOO_CONF_DIR:-/conf}:/zookeeper/lib/*" org.apache.zookeeper.ZooKeeperMain "$@"
