"""What of a span can be found: a hash of 40 bits for each ``key=value``, each key, and each word of messages and URLs.

The full-text index holds only the hashes, which keeps it at a few bytes a span; a collision is caught when the span
itself is read.
"""

import re
from hashlib import blake2b
from typing import Dict, Iterable, List, Set, Tuple

from gossamer._wire.decoded import Pair

# Different in every process or chunk, so nobody looks for them, or of no meaning outside the tracer.
SKIPPED = frozenset(
    (
        "runtime-id",
        "_dd.p.tid",
        "_dd.p.dm",
        "_dd.top_level",
        "_dd.measured",
        "_dd.tracer_kr",
        "_sampling_priority_v1",
        "process_id",
        "_dd.agent_psr",
        "_dd.p.ksr",
        "_dd.span_links",
        "_dd.tags.process",
        "language",
        "error.stack",
        "exception.stacktrace",
    )
)
_WORDY = frozenset(
    (
        "error.msg",
        "error.message",
        "error.type",
        "exception.message",
        "exception.type",
        "http.url",
        "url.full",
        "url.path",
        "http.target",
        "http.route",
        "db.statement",
        "db.query.text",
        "sql.query",
    )
)
LONGEST = 200
_MOST_WORDS = 64
_CACHE_SIZE = 20000
_WORD = re.compile(r"\w+")


def token(text: str) -> str:
    """The hash of one thing to be found, as the full-text index holds it."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=5).hexdigest()


def plain(value: object) -> str:
    """A value as it is typed in a search: 200 for 200.0, true for True."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == value and abs(value) < 1e15 and value == int(value):
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def words(text: str) -> List[str]:
    """The words of a text, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def key_token(key: str) -> str:
    """Token of spans that have the attribute."""
    return token("@" + key)


def pair_token(key: str, value: object) -> str:
    """Token of spans whose attribute has the value."""
    return token(key + "=" + plain(value))


def word_token(word: str) -> str:
    """Token of spans with the word in a message or URL."""
    return token("~" + word.lower())


def indexed(key: str, value: object) -> bool:
    """Whether ``key=value`` has a token. A key that is not skipped always has one."""
    return key not in SKIPPED and len(plain(value)) <= LONGEST


class Tokens(Dict[Pair, Tuple[str, ...]]):
    """Makes the tokens of chunks; remembers those of attributes that come again."""

    def of(self, lists: Iterable[List[Pair]]) -> Set[str]:
        """Tokens of the spans of a chunk, given the attributes of each."""
        pairs: Set[Pair] = set().union(*lists)
        return set().union(*map(self.__getitem__, pairs))

    def __missing__(self, pair: Pair) -> Tuple[str, ...]:
        key, value = pair
        if key in SKIPPED:
            result: Tuple[str, ...] = ()
        else:
            tokens = [key_token(key)]
            if len(plain(value)) <= LONGEST:
                tokens.append(pair_token(key, value))
            if key in _WORDY and isinstance(value, str):
                tokens += [word_token(word) for word in set(words(value[:4000])[:_MOST_WORDS])]
            result = tuple(tokens)
        if len(self) >= _CACHE_SIZE:
            self.clear()
        if not isinstance(value, str) or len(value) <= LONGEST:
            self[pair] = result
        return result


def wordy(key: str) -> bool:
    """Whether the words of the attribute's value are indexed."""
    return key in _WORDY
