#!/bin/bash
# zkServer.sh start-foreground: the server, in this process. zkServer.sh status: whether it serves, and as what.
: "${ZOO_CONF_DIR:=/conf}"
case ${1:-} in
start-foreground)
  exec java -Xmx"${ZK_SERVER_HEAP:-256}m" -XX:+ExitOnOutOfMemoryError ${JVMFLAGS:-} ${SERVER_JVMFLAGS:-} -cp "$ZOO_CONF_DIR:/zookeeper/lib/*" \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$ZOO_CONF_DIR/zoo.cfg"
  ;;
status) echo srvr | nc -w 2 127.0.0.1 "${2:-2181}" | grep Mode ;;
*) echo "zkServer.sh start-foreground | status [PORT]" >&2 && exit 2 ;;
esac
