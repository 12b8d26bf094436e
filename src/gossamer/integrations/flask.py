"""Requests to Flask applications: one span each, named by the rule of the route."""

from __future__ import annotations

from gossamer.instrument import Call, Integration, Span, http_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

flask = Integration(
    "flask",
    packages={"flask": ">=0.10"},
    title="Flask",
    category="web",
    docs="https://flask.palletsprojects.com",
    page=(">= 0.10", True),
)


def ready(body: Any) -> bool:
    """Whether the body is all there: Werkzeug's iterator closes the response, which holds what it iterates."""
    try:
        parts = body._callbacks[-1].__self__.response
    except (AttributeError, IndexError, TypeError):
        return False
    return parts.__class__ is list and len(parts) == 1 and parts[0].__class__ is bytes


@flask.wsgi("flask.app:Flask.wsgi_app", operation="flask.request", ready=ready)
def request(span: Span, environ: Dict[str, Any]) -> None:
    """The route that the request took, by the request object that Werkzeug leaves in the environment."""
    _routed(span, environ, environ.get("werkzeug.request"))


def _routed(span: Span, environ: Dict[str, Any], found: Any) -> None:
    rule = getattr(found, "url_rule", None)
    if rule is not None:
        attributes, path = span.attributes, rule.rule
        attributes["http.route"] = http_server.mounted(span, environ) + path
        attributes["flask.url_rule"] = path
        attributes["flask.endpoint"] = rule.endpoint


@flask.before("flask.app:Flask.handle_exception")
def unhandled(call: Call) -> None:
    """An exception for which the application has no error handler: the answer is 500, or the exception goes on."""
    span, error = http_server.current_request(), _exception(call)
    if span is not None and error is not None:
        from flask import request as found

        _routed(span, found.environ, found)
        http_server.fail_once(span, error)


@flask.after("flask.app:Flask.handle_user_exception")
def handled(call: Call, result: object) -> None:
    """An exception that an error handler turned into an answer, whose status says whether it was an error."""
    span, error = http_server.current_request(), _exception(call)
    if span is not None and error is not None and not hasattr(error, "get_response"):
        span.record_exception(error)


def _exception(call: Call) -> Any:
    # The position is another in versions that pass on the context.
    return next((value for value in (*call.args, *call.kwargs.values()) if isinstance(value, BaseException)), None)
