"""The JSON API and the page's files. The shapes of the answers are described in ``docs/viewer-api.md``."""

import json
import mimetypes
import os
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import parse_qs, unquote

from gossamer._version import __version__
from gossamer.viewer import reading, sample
from gossamer.viewer.details import details
from gossamer.viewer.facets import Facets
from gossamer.viewer.http import HTTPError, Request, Response
from gossamer.viewer.live import Live
from gossamer.viewer.query import QueryError
from gossamer.viewer.search import Search
from gossamer.viewer.security import HEADERS, Guard, Refused
from gossamer.viewer.status import Counters, now
from gossamer.viewer.store import QUEUE_BYTES, Store

_STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}


class API:
    """Answers the page's requests."""

    def __init__(self, store: Store, counters: Counters, guard: Guard, live: Live) -> None:
        self.address = ""
        self._store = store
        self._counters = counters
        self._guard = guard
        self._live = live
        self._search = Search(store)
        self._skeletons = reading.Skeletons(store)
        self._facets = Facets(store, self._search)

    def handle(self, request: Request) -> Response:
        """Answer one request; every answer carries the security headers."""
        try:
            self._guard.check_host(request)
            response = self._guard.check_token(request) or self._route(request)
        except Refused as error:
            response = _error(error.status, error.code, str(error))
        except HTTPError as error:
            if error.close:
                raise
            response = _error(error.status, "request", error.message)
        except QueryError as error:
            response = _error(400, "query", error.message, at=error.at)
        except reading.Missing as error:
            if error.removed is None:
                response = _error(404, "unknown", str(error))
            else:
                response = _error(404, "removed", str(error), at_time=error.removed)
        except ValueError as error:
            response = _error(400, "value", str(error))
        response.headers.update(HEADERS)
        return response

    def _route(self, request: Request) -> Response:
        path, method = request.path, request.method
        if not path.startswith("/api/"):
            if method not in ("GET", "HEAD"):
                raise HTTPError(405, "GET", close=False)
            return self._file(request)
        parts = [unquote(part) for part in path[5:].split("/")]
        parameters = {name: values[-1] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
        if method in ("GET", "HEAD"):
            return self._get(request, parts, parameters)
        changes: Dict[Tuple[str, str], Callable[[], Any]] = {
            ("DELETE", "data"): self._delete,
            ("POST", "sample"): self._sample,
        }
        change = changes.get((method, "/".join(parts)))
        if change is None:
            raise HTTPError(405 if (method, parts[0]) not in changes else 404, "no such change", close=False)
        self._guard.check_change(request)
        request.body()
        return _json(change())

    def _get(self, request: Request, parts: List[str], parameters: Dict[str, str]) -> Response:
        name = parts[0]
        if name == "live" and len(parts) == 1:
            return self._stream(request)
        if name == "status" and len(parts) == 1:
            return _json(self._status())
        if name == "traces" and len(parts) == 1:
            return _json(self._search.traces(parameters))
        if name == "facets" and len(parts) == 1:
            return _json(self._facets.answer(parameters))
        if name == "traces" and len(parts) == 2:
            return _json(self._skeletons.piece(parts[1], _after(parameters)))
        if name == "spans" and len(parts) == 3:
            if not (parts[1].isdigit() and parts[2].isdigit() and len(parts[1]) < 19 and len(parts[2]) < 19):
                raise ValueError("a span is named by two numbers")
            return _json(details(self._store, int(parts[1]), int(parts[2]), full=parameters.get("full") == "1"))
        raise HTTPError(404, "no such endpoint", close=False)

    def _status(self) -> Dict[str, Any]:
        store = self._store
        answer = self._counters.report()
        answer.update(reading.oldest_and_limits(store))
        for reason, spans in store.failed.copy().items():
            answer["refused"].setdefault("store", {})[reason] = spans
        if store.overflowed:
            answer["notes"].append(
                {
                    "text": "too many different resources: the newest are listed by their name",
                    "seen": now(),
                    "count": store.overflowed,
                }
            )
        if store.database.set_aside:
            answer["notes"].append(
                {
                    "text": "the data could not be read and was renamed to " + store.database.set_aside,
                    "seen": answer["started"],
                    "count": 1,
                }
            )
        done = store.last_round
        answer.update(
            {
                "version": __version__,
                "now": now(),
                "address": self.address,
                "data": store.folder,
                "fts": store.database.fts,
                "queue": {"bytes": store.queued, "limit": QUEUE_BYTES},
                "removed": done._asdict() if done else None,
            }
        )
        return answer

    def _stream(self, request: Request) -> Response:
        if request.method == "HEAD":
            raise HTTPError(405, "GET", close=False)
        if not self._live.admit():
            return _error(503, "streams", "enough live streams are open")
        parts = self._live.stream(request.headers.get("last-event-id"))
        return Response(200, headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}, parts=parts)

    def _delete(self) -> Any:
        return {"removed": self._store.clear()}

    def _sample(self) -> Any:
        payload, trace = sample.payload()
        if not self._store.put(payload):
            raise HTTPError(429, "the viewer is busy", close=False)
        self._store.flush()
        return {"trace": trace}

    def _file(self, request: Request) -> Response:
        name = "index.html" if request.path in ("/", "/index.html") else unquote(request.path)
        if name.startswith("/static/"):
            name = name[8:]
        elif name == "/favicon.ico":
            name = "favicon.svg"
        elif name != "index.html":
            return _error(404, "path", "no such page")
        if "\0" in name:
            return _error(404, "path", "no such file")
        path = os.path.realpath(os.path.join(_STATIC, *name.split("/")))
        kind = _TYPES.get(os.path.splitext(path)[1]) or mimetypes.guess_type(path)[0]
        if not path.startswith(os.path.realpath(_STATIC) + os.sep) or kind is None or not os.path.isfile(path):
            return _error(404, "path", "no such file")
        with open(path, "rb") as file:
            data = file.read()
        tag = '"{:x}-{:x}"'.format(int(os.path.getmtime(path) * 1000), len(data))
        headers = {"Content-Type": kind + "; charset=utf-8", "Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(304, headers=headers)
        return Response(200, data, headers)


def _after(parameters: Dict[str, str]) -> Tuple[int, int]:
    chunk, _, n = (parameters.get("after") or "").partition(".")
    if not chunk and parameters.get("after_chunk"):
        chunk, n = parameters["after_chunk"], str(1 << 40)
    if not chunk:
        return 0, -1
    if not (chunk.isdigit() and n.isdigit() and len(chunk) < 19 and len(n) < 19):
        raise ValueError("after: expected CHUNK.N")
    return int(chunk), int(n)


def _json(value: Any, status: int = 200) -> Response:
    data = json.dumps(value, separators=(",", ":")).encode("ascii")
    return Response(status, data, {"Content-Type": "application/json", "Cache-Control": "no-store"})


def _error(status: int, code: str, message: str, at: Optional[int] = None, at_time: Optional[int] = None) -> Response:
    error: Dict[str, Any] = {"code": code, "message": message}
    if at is not None:
        error["at"] = at
    if at_time is not None:
        error["at_time"] = at_time
    return _json({"error": error}, status)
