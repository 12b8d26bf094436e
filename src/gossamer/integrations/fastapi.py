"""Requests and websockets to FastAPI applications: one span each, named by the whole route through all mounts."""

from __future__ import annotations

from gossamer.instrument import Integration, Span

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


@fastapi.asgi("fastapi.applications:FastAPI.__call__", operation="fastapi.request", details=False)
def request(span: Span, scope: Dict[str, Any]) -> None:
    """Nothing to add at the end: the routes have told their paths."""


@fastapi.asgi("fastapi.routing:APIRoute.handle", route=True)
@fastapi.asgi("starlette.routing:Route.handle", route=True)
@fastapi.asgi("starlette.routing:WebSocketRoute.handle", route=True)
@fastapi.asgi("starlette.routing:Mount.handle", route=True)
def routed(scope: Dict[str, Any], route: Any) -> str:
    """A router chose this route or mount. Included routers know the whole path only in the context of the request."""
    found = scope.get("fastapi")
    if found:
        context = found.get("effective_route_context")
        if context is not None and context.original_route is route:
            return context.path_format  # type: ignore[no-any-return]
    return route.path  # type: ignore[no-any-return]
