"""Requests to Django, over WSGI and ASGI: one span each, named by the route of the URL configuration.

A request that enters through neither, as that of Django's test client, has no span.
"""

from __future__ import annotations

from threading import local

from gossamer.instrument import Call, Integration, Site, Span, http_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional

django = Integration(
    "django",
    packages={"django": ">=1.8"},
    title="Django",
    category="web",
    docs="https://docs.djangoproject.com",
    page=(">= 1.8", True),
)

_HANDLER = "django.core.handlers.base:BaseHandler."
_ROOT = "^/"
KEY = http_server.KEY
_last = local()  # .route: of the match that `resolve` has answered last, in versions where a match does not know it


def ready(body: Any) -> bool:
    """Whether the body is a response that holds all of its parts."""
    return body.streaming is False


@django.wsgi("django.core.handlers.wsgi:WSGIHandler.__call__", operation="django.request", ready=ready)
@django.asgi("django.core.handlers.asgi:ASGIHandler.__call__", ">=3.0", operation="django.request", details=False)
def request(span: Span, carrier: Dict[str, Any]) -> None:
    """Nothing to add at the end: the hooks below have told what Django knows."""


@django.wrap(_HANDLER + "resolve_request", ">=3.1", build=True)
def resolve_request(site: Site) -> Callable[..., Any]:
    """The URL configuration finds the view. Every request comes here, so the wrapper is made by hand."""
    original = site.original

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        match = original(*args, **kwargs)
        if not site.off:
            try:
                _routed(args[1] if len(args) > 1 else kwargs["request"], match)
            except Exception as error:
                site.failed(error)
        return match

    return wrapper


@django.after(_HANDLER + "get_response", "<3.1")
def responded(call: Call, response: object) -> None:
    """The answer is there; the request knows its view, if it came as far."""
    found = call.argument(0, "request")
    _routed(found, found.resolver_match)


def _routed(found: Any, match: Any) -> Optional[Span]:
    """The span of the request `found`, if it has one, with what is known of its view."""
    # The WSGI environment or the ASGI scope; requests that are made by hand have neither.
    carrier = getattr(found, "environ", None) or getattr(found, "scope", None) or {}
    span: Optional[Span] = carrier.get(KEY)
    if span is None or match is None:
        return span
    attributes = span.attributes
    route = getattr(match, "route", None)
    if route is not None:
        if span.integration != "django":  # inside another application
            prefix = http_server.mounted(span, carrier)
            if prefix:
                route = prefix + "/" + route
        attributes["http.route"] = route or _ROOT  # Datadog's users know the empty route by the root's pattern
    attributes["django.view"] = match.view_name
    if match.namespace:
        attributes["django.namespace"] = match.namespace
    return span


@django.before(_HANDLER + "handle_uncaught_exception", "<1.10")
@django.before("django.core.handlers.exception:handle_uncaught_exception", ">=1.10")
def unhandled(call: Call) -> None:
    """An exception of a view or a middleware that becomes an answer with status 500, or goes on."""
    found, error = call.argument(0, "request"), call.argument(2, "exc_info")[1]
    span = _routed(found, getattr(found, "resolver_match", None))
    if span is not None and error is not None:
        http_server.fail_once(span, error)


@django.after(_HANDLER + "process_exception_by_middleware", ">=1.10")
def handled(call: Call, response: object) -> None:
    """An exception that a middleware turned into an answer, whose status says whether it was an error."""
    span = _routed(call.argument(1, "request"), None)
    if span is not None and response is not None:
        span.record_exception(call.argument(0, "exception"))


# Before Django 2.2 a match does not know its route. A resolver answers as soon as one of its patterns, or a resolver
# below it, has matched; so the match that was answered last in this thread is what it passes on.


@django.after("django.core.urlresolvers:RegexURLPattern.resolve", "<1.10")
@django.after("django.urls.resolvers:RegexURLPattern.resolve", ">=1.10, <2.0")
@django.after("django.urls.resolvers:URLPattern.resolve", ">=2.0, <2.2")
def matched(call: Call, match: Any) -> None:
    """A pattern was tried; if it fits, it is the end of the route."""
    if match is not None:
        _last.route = match.route = _pattern(call.instance)


@django.after("django.core.urlresolvers:RegexURLResolver.resolve", "<1.10")
@django.after("django.urls.resolvers:RegexURLResolver.resolve", ">=1.10, <2.0")
@django.after("django.urls.resolvers:URLResolver.resolve", ">=2.0, <2.2")
def passed_on(call: Call, match: Any) -> None:
    """An included URL configuration has found the view: its own pattern stands before the route."""
    pattern = _pattern(call.instance)
    rest = _last.route
    if pattern and pattern != _ROOT:
        rest = pattern + (rest[1:] if rest[:1] == "^" else rest)
    _last.route = match.route = rest


def _pattern(resolver: Any) -> str:
    pattern = getattr(resolver, "pattern", None)  # since 2.0
    return str(resolver.regex.pattern if pattern is None else pattern)
