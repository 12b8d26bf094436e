"""Requests and websockets to Starlette applications: one span each, named by the whole route through all mounts."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, Span, http_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

starlette = Integration(
    "starlette",
    packages={"starlette": ">=0.13"},
    title="Starlette",
    category="web",
    docs="https://www.starlette.io",
    page=(">= 0.13.0", True),
)


@starlette.asgi("starlette.applications:Starlette.__call__", operation="starlette.request")
def request(span: Span, scope: Dict[str, Any]) -> None:
    """Nothing to add at the end: the routes have told their paths."""


@starlette.before("starlette.routing:Route.handle")
@starlette.before("starlette.routing:WebSocketRoute.handle")
@starlette.before("starlette.routing:Mount.handle")
def routed(call: Call) -> None:
    """A router chose this route or mount."""
    http_server.route(call.argument(0, "scope"), call.instance, call.instance.path)
