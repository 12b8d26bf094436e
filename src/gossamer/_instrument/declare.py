"""What an integration declares: the library, its versions, and the hooks. Declaring imports nothing of the library."""

from __future__ import annotations

from .._core import ACTIVE
from .versions import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

    from .._core.values import Value

    Handler = Callable[..., Any]

    # (name, resource, service, type, kind, attributes, carrier): what a `SpanStart` says, at a quarter of its cost.
    # The handlers of the busiest hooks answer it.
    Fields = Tuple[str, Optional[str], Optional[str], Optional[str], str, Dict[str, Value], Any]


class Option:
    """A setting of one integration, `GOSSAMER_<INTEGRATION>_<NAME>` in the environment.

    Args:
        name: as handlers read it from `call.options`.
        default: its type is the option's type: bool, int, float, str.
        help: one sentence for the docs.
    """

    __slots__ = ("name", "default", "help")

    def __init__(self, name: str, default: object, help: str) -> None:
        self.name = name
        self.default = default
        self.help = help


class Options:
    """The values of an integration's options, as attributes; `shared` are the settings of the whole tracer, or None."""

    shared: Any = None
    _http_client: Any = None  # what `conventions.http_client` read from `shared`

    def __init__(self, values: Mapping[str, object], shared: Any = None) -> None:
        self.__dict__.update(values)
        if shared is not None:
            self.shared = shared

    def __getattr__(self, name: str) -> Any:
        raise AttributeError("the integration declares no option %r" % name)


class Call:
    """One call of a hooked function.

    Attributes:
        instance: `self` of a method, the class of a class method, None for functions and static methods.
        args: positional arguments without the instance.
        kwargs: keyword arguments.
        options: the integration's options.
        span: the span of this call, for handlers that run after it began (`after`, `stream`); else None.
        state: free for handlers of the same call to pass something on.
        recording: False inside a trace that nobody will be sent: a handler that injects no context may answer None,
            and what only describes the call need not be worked out.
    """

    # No slots: CPython makes an instance of a plain class faster, and sets here only what every call has.
    span: Any = None
    state: Any = None
    changed: Any = None  # all positional arguments, when the handler of a `trace` hook has replaced one
    recording = True

    def __init__(self, instance: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any], options: Options) -> None:
        self.instance = instance
        self.args = args
        self.kwargs = kwargs
        self.options = options

    def argument(self, index: int, name: str, default: Any = None) -> Any:
        """The argument that the function knows as `name`, passed at position `index` or by name."""
        if index < len(self.args):
            return self.args[index]
        return self.kwargs.get(name, default)

    def replace(self, index: int, name: str, value: Any) -> None:
        """Let the function get `value` for that argument: for handlers of `trace` hooks of functions and coroutines."""
        if index < len(self.args):
            self.args = self.args[:index] + (value,) + self.args[index + 1 :]
            self.changed = self.args if self.instance is None else (self.instance,) + self.args
        else:
            self.kwargs[name] = value


class SpanStart:
    """What a handler answers: the span that shall stand round the call. None instead leaves the call untraced.

    Args:
        name: operation name.
        resource: what is operated on. Default: the name.
        kind: "internal", "server", "client", "producer", "consumer".
        type: Datadog's span type.
        service: default: the integration's service if it has one, else the application's.
        attributes: by OpenTelemetry's names; the dict becomes the span's own.
        parent: a `SpanContext` or span; default: the active one.
        carrier: a mutable mapping of headers, or a function `carrier(name, value)`, to inject the context into.
    """

    __slots__ = ("name", "resource", "kind", "type", "service", "attributes", "parent", "carrier")

    def __init__(
        self,
        name: str,
        resource: Optional[str] = None,
        kind: str = "internal",
        type: Optional[str] = None,
        service: Optional[str] = None,
        attributes: Optional[Dict[str, Value]] = None,
        parent: Any = ACTIVE,
        carrier: Any = None,
    ) -> None:
        self.name = name
        self.resource = resource
        self.kind = kind
        self.type = type
        self.service = service
        self.attributes = {} if attributes is None else attributes
        self.parent = parent
        self.carrier = carrier

    @classmethod
    def of(cls, fields: Fields) -> SpanStart:
        """The same as an object."""
        name, resource, service, type, kind, attributes, carrier = fields
        return cls(name, resource, kind, type, service, attributes, ACTIVE, carrier)


class Hook:
    """A target, the versions in which it is there, and what to do with it."""

    __slots__ = ("integration", "verb", "target", "module", "path", "versions", "handler", "layer", "returns", "extra")

    def __init__(
        self,
        integration: Integration,
        verb: str,
        target: str,
        versions: str,
        handler: Handler,
        layer: Optional[str],
        returns: Optional[str],
        extra: Dict[str, Any],
    ) -> None:
        self.integration = integration
        self.verb = verb
        self.target = target
        self.module, _, path = target.partition(":")
        self.path = tuple(path.split(".")) if path else ()
        self.versions = Range(versions)
        self.handler = handler
        self.layer = layer
        self.returns = returns
        self.extra = extra

    def __repr__(self) -> str:
        return "<Hook %s %s>" % (self.verb, self.target)


class Integration:
    """What we know of one library.

    Args:
        name: short, lower case; names the settings (`DD_TRACE_<NAME>_ENABLED`, `DD_<NAME>_SERVICE`) and `component`.
        packages: distribution names with the supported versions; the first that is installed counts. Empty for the
            standard library.
        title: as the compatibility table prints it. Default: the name.
        category: "web", "datastore" or "library".
        service: default service of its spans; None: the application's.
        layer: of its `trace` hooks: a call inside an open span of the same layer gets no second span.
        docs: the library's own documentation.
        options: settings of its own.
        page: the row of Datadog's compatibility page, as (supported versions, automatic), or None for others.
        automatic: whether `gossamer run` switches it on.
        aliases: further names that the settings of other tracers have for it.
        notes: one line for the table.
    """

    def __init__(
        self,
        name: str,
        packages: Optional[Mapping[str, str]] = None,
        *,
        title: Optional[str] = None,
        category: str = "library",
        service: Optional[str] = None,
        layer: Optional[str] = None,
        docs: str = "",
        options: Tuple[Option, ...] = (),
        page: Optional[Tuple[str, bool]] = None,
        automatic: bool = True,
        aliases: Tuple[str, ...] = (),
        notes: str = "",
    ) -> None:
        self.name = name
        self.packages: Dict[str, str] = dict(packages or {})
        self.title = title or name
        self.category = category
        self.service = service
        self.layer = layer
        self.docs = docs
        self.options = options
        self.page = page
        self.automatic = automatic
        self.aliases = aliases
        self.notes = notes
        self.hooks: List[Hook] = []

    def trace(
        self,
        target: str,
        versions: str = "",
        *,
        layer: Optional[str] = None,
        returns: Optional[str] = None,
        after: Optional[Handler] = None,
        failed: Optional[Handler] = None,
        stream: Optional[Handler] = None,
    ) -> Callable[[Handler], Handler]:
        """A span round each call of `target`; the decorated handler answers its `SpanStart` from a `Call`.

        Args:
            target: `"module:function"` or `"module:Class.method"`.
            versions: of the library, in which the target is there; default: all supported.
            layer: default: the integration's; `""` for none.
            returns: what a plain function returns, where that matters: `"awaitable"` (the span ends when it was
                awaited), `"context"` (it ends when the context manager is left), `"iterator"` (when that is exhausted).
                Coroutine and generator functions are recognised by themselves.
            after: `after(call, result)` sets what only the result tells; `call.span` is still open.
            failed: `failed(call, error)` sets what only the exception tells.
            stream: `stream(call, result, done)` may answer True when it has arranged that `done(error=None)` is
                called later; the span stays open until then, without being active.
        """
        return self._hook("trace", target, versions, layer, returns, after=after, failed=failed, stream=stream)

    def before(self, target: str, versions: str = "") -> Callable[[Handler], Handler]:
        """The handler runs before each call of `target`, gets the `Call`, and touches the active span."""
        return self._hook("before", target, versions)

    def after(self, target: str, versions: str = "") -> Callable[[Handler], Handler]:
        """The handler runs after each call that returns, as `handler(call, result)`; its answer is ignored."""
        return self._hook("after", target, versions)

    def loaded(self, module: str, versions: str = "", undo: Optional[Handler] = None) -> Callable[[Handler], Handler]:
        """The handler gets the module once it is imported, to use the library's own event API.

        Args:
            undo: gets the module when the integration is uninstalled.
        """
        return self._hook("loaded", module, versions, undo=undo)

    def wrap(self, target: str, versions: str = "", **extra: Any) -> Callable[[Handler], Handler]:
        """The escape hatch: `handler(original, call)` calls (or awaits) the original itself and answers the result.

        It is not guarded: what it raises reaches the program. Use it where no other verb fits.
        With `build=True` the handler gets the `Site` and answers the wrapper itself: for functions so short that
        making a `Call` would show. Such a wrapper lets every call through while `site.off`.
        """
        return self._hook("wrap", target, versions, **extra)

    def wsgi(self, target: str, versions: str = "", **extra: Any) -> Callable[[Handler], Handler]:
        """`target` is a WSGI application: a server span for each request; the handler answers the `wsgi` details."""
        return self._hook("wsgi", target, versions, **extra)

    def asgi(self, target: str, versions: str = "", **extra: Any) -> Callable[[Handler], Handler]:
        """`target` is an ASGI application: a server span for each request or websocket."""
        return self._hook("asgi", target, versions, **extra)

    def dbapi(self, target: str, versions: str = "", **extra: Any) -> Callable[[Handler], Handler]:
        """`target` is a DB-API `connect`: a span for each statement; the handler answers the connection's facts."""
        return self._hook("dbapi", target, versions, **extra)

    def _hook(
        self,
        verb: str,
        target: str,
        versions: str,
        layer: Optional[str] = None,
        returns: Optional[str] = None,
        **extra: Any,
    ) -> Callable[[Handler], Handler]:
        def declare(handler: Handler) -> Handler:
            effective = self.layer if layer is None and verb in ("trace", "dbapi") else layer
            self.hooks.append(Hook(self, verb, target, versions, handler, effective or None, returns, extra))
            return handler

        return declare

    def __repr__(self) -> str:
        return "<Integration %s>" % self.name
