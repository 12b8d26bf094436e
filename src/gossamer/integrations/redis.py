"""Commands and pipelines of redis-py: one server or a cluster, sync and asyncio."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, Option, SpanStart, db

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    from gossamer.instrument import Fields

redis = Integration(
    "redis",
    packages={"redis": ">=2.6"},
    title="Redis",
    category="datastore",
    service="redis",
    layer="redis",
    docs="https://redis.readthedocs.io",
    options=(Option("query_limit", 1000, "Longest text of the commands of a span, in characters."),),
    page=(">= 2.6", True),
)

NAME = "redis.command"
_FACTS = "_gossamer_facts"
_MAX_NODES = 500
_nodes: Dict[Any, Dict[str, Any]] = {}


def server(client: Any) -> Dict[str, Any]:
    """The server that a client, or a pipeline of it, talks to; kept on its connection pool."""
    pool = client.connection_pool
    facts: Optional[Dict[str, Any]] = pool.__dict__.get(_FACTS)
    if facts is None:
        known = pool.connection_kwargs
        host, port = known.get("host", "localhost"), known.get("port", 6379)
        if "path" in known or hasattr(pool, "service_name"):
            host, port = known.get("path"), None  # a unix socket, or a server that the sentinels name
        facts = db.connection("redis", str(known.get("db") or 0), host, port)
        # What each span sets has its place already: a copy with room for it is cheaper than one that grows.
        facts["db.operation.name"] = facts["db.query.text"] = ""
        pool.__dict__[_FACTS] = facts
    return facts


def cluster_node(client: Any) -> Dict[str, Any]:
    """A cluster is known by the node that it asks first."""
    node = getattr(getattr(client, "nodes_manager", None), "default_node", None)
    place = getattr(node, "host", None), getattr(node, "port", None)
    facts = _nodes.get(place)
    if facts is None:
        if len(_nodes) >= _MAX_NODES:
            _nodes.clear()
        facts = _nodes[place] = db.connection("redis", None, *place)
    return facts


@redis.trace("redis.client:StrictRedis.execute_command", "<3")
@redis.trace("redis.client:Redis.execute_command", ">=3")
@redis.trace("redis.client:BasePipeline.immediate_execute_command", "<3")
@redis.trace("redis.client:Pipeline.immediate_execute_command", ">=3")
@redis.trace("redis.asyncio.client:Redis.execute_command", ">=4.2")
@redis.trace("redis.asyncio.client:Pipeline.immediate_execute_command", ">=4.2")
def command(call: Call) -> Optional[Fields]:
    """The span of one command."""
    if not call.recording:
        return None
    return db.command_fields(NAME, call.args, server(call.instance), call.options.query_limit, "redis")


@redis.trace("redis.cluster:RedisCluster.execute_command", ">=4.1")
@redis.trace("redis.asyncio.cluster:RedisCluster.execute_command", ">=4.3")
def cluster_command(call: Call) -> Optional[Fields]:
    """The span of one command to a cluster."""
    if not call.recording:
        return None
    return db.command_fields(NAME, call.args, cluster_node(call.instance), call.options.query_limit, "redis")


@redis.trace("redis.client:BasePipeline.execute", "<3")
@redis.trace("redis.client:Pipeline.execute", ">=3")
@redis.trace("redis.asyncio.client:Pipeline.execute", ">=4.2")
def pipeline(call: Call) -> Optional[SpanStart]:
    """The span of all commands of a pipeline; an empty one sends nothing."""
    stack = call.instance.command_stack
    if not stack or not call.recording:
        return None
    commands = [item[0] for item in stack]
    return db.pipeline(NAME, commands, server(call.instance), call.options.query_limit)


@redis.trace("redis.cluster:ClusterPipeline.execute", ">=4.1")
@redis.trace("redis.asyncio.cluster:ClusterPipeline.execute", ">=4.3.2")
def cluster_pipeline(call: Call) -> Optional[SpanStart]:
    """The same for a pipeline over the nodes of a cluster."""
    if not call.recording:
        return None
    pipe = call.instance
    strategy = getattr(pipe, "_execution_strategy", None)
    if strategy is not None:  # since 6.0
        stack = strategy._command_queue
    else:
        stack = getattr(pipe, "_command_stack", None) or getattr(pipe, "command_stack", None)
    if not stack:
        return None
    client = getattr(pipe, "cluster_client", None) or getattr(pipe, "_client", None) or pipe
    commands = [item.args for item in stack]
    return db.pipeline(NAME, commands, cluster_node(client), call.options.query_limit)
