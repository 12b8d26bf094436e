"""Requests and websockets to FastAPI applications: one span each, named by the whole route through all mounts."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, Span, http_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

fastapi = Integration(
    "fastapi",
    packages={"fastapi": ">=0.51"},
    title="FastAPI",
    category="web",
    docs="https://fastapi.tiangolo.com",
    page=(">= 0.51", True),
)


@fastapi.asgi("fastapi.applications:FastAPI.__call__", operation="fastapi.request")
def request(span: Span, scope: Dict[str, Any]) -> None:
    """Nothing to add at the end: the routes have told their paths."""


@fastapi.before("fastapi.routing:APIRoute.handle")
@fastapi.before("starlette.routing:Route.handle")
@fastapi.before("starlette.routing:WebSocketRoute.handle")
@fastapi.before("starlette.routing:Mount.handle")
def routed(call: Call) -> None:
    """A router chose this route or mount. Included routers know the whole path only in the context of the request."""
    scope, route = call.argument(0, "scope"), call.instance
    path = route.path
    context = (scope.get("fastapi") or {}).get("effective_route_context")
    if context is not None and context.original_route is route:
        path = context.path_format
    http_server.route(scope, route, path)
