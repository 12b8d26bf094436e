"""How a setting is declared and read: its environment variables in order of precedence, and the origin of each value.

A value that cannot be read never raises: it gives one warning that names the variable and what is used instead.
"""

from __future__ import annotations

import os

from gossamer import _log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        Any,
        Callable,
        Dict,
        Generic,
        Iterator,
        List,
        Mapping,
        Optional,
        Tuple,
        Type,
        TypeVar,
        Union,
        overload,
    )

    T = TypeVar("T")
    T_co = TypeVar("T_co", covariant=True)
else:  # `typing` costs as much as all that is done at the start of a program

    class Generic:
        """As much of `typing.Generic` as classes need that are never looked at."""

        def __class_getitem__(cls, _):
            return cls

    T = T_co = None

    def overload(function):
        """As `typing.overload`."""
        return function


DEFAULT = "default"
CODE = "code"
_LONGEST = 100


class Skip(Exception):
    """Raised by a reader whose variable is set, but says nothing about the setting."""


class Flawed(ValueError):
    """A text of which only a part could be read: the rest is used, and the message is shown."""

    def __init__(self, value: object, message: str) -> None:
        super().__init__(message)
        self.value = value


class Parser(Generic[T_co]):
    """Turns a text into a value; `expects` completes the sentence "X is not ..." and names the type in the docs."""

    def __init__(self, expects: str, parse: Callable[[str], T_co]) -> None:
        self.expects = expects
        self.parse = parse


class Variable(Generic[T_co]):
    """An environment variable with a reader of its own, which gets the environment too; `uses`: what it reads there."""

    def __init__(
        self, name: str, read: Callable[[str, Mapping[str, str]], T_co], uses: Tuple[str, ...] = (), expects: str = ""
    ) -> None:
        self.name = name
        self.read = read
        self.uses = uses
        self.expects = expects


def parsed(name: str, parser: Parser[T]) -> Variable[T]:
    """A variable that is read by a parser and nothing else."""
    return Variable(name, lambda text, _: parser.parse(text), expects=parser.expects)


class Computed(Generic[T_co]):
    """A default that has to be found out; `text` says how, for the documentation."""

    def __init__(self, text: str, find: Callable[[Mapping[str, str]], T_co]) -> None:
        self.text = text
        self.find = find


class Value:
    """A value as it was read: where it comes from, which other variables were set in vain, and what was wrong."""

    __slots__ = ("value", "origin", "ignored", "problems")

    def __init__(
        self, value: Any, origin: str, ignored: Tuple[str, ...] = (), problems: Tuple[str, ...] = ()
    ) -> None:
        self.value = value
        self.origin = origin
        self.ignored = ignored
        self.problems = problems


class Setting(Generic[T]):
    """The declaration of a setting: an attribute of a `Config` that reads like a plain value of its type."""

    name = ""

    def __init__(
        self,
        parser: Parser[T],
        default: Union[T, Computed[T]],
        help: str,
        env: Tuple[Union[str, Variable[T]], ...] = (),
        secret: bool = False,
    ) -> None:
        self.parser = parser
        self.default = default
        self.help = help
        self.secret = secret
        self.env = tuple(parsed(entry, parser) if isinstance(entry, str) else entry for entry in env)

    def __set_name__(self, owner: Type[Config], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: Type[Config]) -> Setting[T]: ...

    @overload
    def __get__(self, instance: Config, owner: Type[Config]) -> T: ...  # noqa: F811

    def __get__(  # noqa: F811 (the linter does not see that these are overloads)
        self, instance: Optional[Config], owner: Type[Config]
    ) -> Union[Setting[T], T]:
        if instance is None:
            return self
        value: T = instance.value(self).value
        return value

    def __set__(self, instance: Config, value: T) -> None:
        instance.put(self, value)

    def default_text(self) -> str:
        """The default, for the documentation."""
        return self.default.text if isinstance(self.default, Computed) else show(self.default)


class Config:
    """Reads the settings declared on its class from an environment, each when it is first asked for."""

    def __init__(self, environ: Optional[Mapping[str, str]] = None, warn: bool = True) -> None:
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self._warn = warn
        self._values: Dict[str, Value] = {}

    def report(self) -> None:
        """Log what is wrong with the variables that are set, and from now on with each value as it is read."""
        self._warn = True
        for value in list(self._values.values()):
            self._log(value.problems)
        present = frozenset(self._environ)
        for setting in self.declarations():
            if any(variable.name in present for variable in setting.env):
                self.value(setting)

    @staticmethod
    def _log(problems: Tuple[str, ...]) -> None:
        for problem in problems:
            _log.once(("setting", problem), _log.WARNING, "%s", problem)

    @classmethod
    def declarations(cls) -> Iterator[Setting[Any]]:
        """All settings, in the order of their declaration."""
        for kind in reversed(cls.__mro__):
            for entry in vars(kind).values():
                if isinstance(entry, Setting):
                    yield entry

    def value(self, setting: Setting[Any]) -> Value:
        """The value of a setting together with its origin."""
        known = self._values.get(setting.name)
        if known is None:
            known = self._values[setting.name] = self.resolve(setting)
        return known

    def put(self, setting: Setting[Any], value: object) -> None:
        """Give a setting a value from code; the environment no longer counts for it."""
        self._values[setting.name] = Value(value, CODE)

    def dynamic(self) -> Iterator[Tuple[str, Value]]:
        """What was read beside the declared settings: that of single integrations, as "name.option"."""
        return (entry for entry in list(self._values.items()) if "." in entry[0])

    def clear(self) -> None:
        """Forget what was read or set: the environment is read again."""
        self._values.clear()

    def resolve(self, setting: Setting[Any]) -> Value:
        """Read a setting from the environment: the first variable that says something wins."""
        environ = self._environ
        found: List[Tuple[Variable[Any], object]] = []
        partly: List[str] = []  # used, but for a part
        unusable: List[str] = []
        for variable in setting.env:
            text = environ.get(variable.name, "").strip()
            if not text:  # set to nothing is as good as not set
                continue
            try:
                found.append((variable, variable.read(text, environ)))
            except Skip:
                continue
            except Flawed as flaw:
                found.append((variable, flaw.value))
                partly.append(f"{variable.name}: {flaw}")
            except Exception as error:
                expects = variable.expects or str(error)
                unusable.append(f"{variable.name}={quote(text, setting.secret)} is not {expects}")
        if found:
            winner, value = found[0]
            origin = winner.name
            ignored = tuple(variable.name for variable, _ in found[1:] if variable.name not in winner.uses)
            instead = "{} from {}".format(show(value, setting.secret) or "nothing", origin)
        else:
            value = setting.default.find(environ) if isinstance(setting.default, Computed) else setting.default
            origin, ignored = DEFAULT, ()
            instead = "the default" + (", " + setting.default_text() if setting.default_text() else "")
        problems = tuple(partly + [f"{problem}; using {instead}" for problem in unusable])
        if self._warn:
            self._log(problems)
        return Value(value, origin, ignored, problems)


def show(value: object, secret: bool = False) -> str:
    """A value as a text for people, in the notation of its variable where that is possible."""
    if value is None or value == () or value == {}:
        return ""
    if secret:
        return "(hidden)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ",".join(f"{key}:{item}" if item else str(key) for key, item in value.items())
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return masked(str(value))


def masked(text: str) -> str:
    """A text whose password, if it is an address with one, is not shown."""
    scheme, separator, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    return scheme + separator + "***@" + host + slash + path if separator and at else text


def quote(text: str, secret: bool = False) -> str:
    """A text from outside, fit to be shown in one line of a message."""
    if secret:
        return "(hidden)"
    text = masked(text)
    shown = repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "...")
    return shown.encode("ascii", "backslashreplace").decode("ascii")


# --- parsers -------------------------------------------------------------------------------------------------------

_TRUE = ("1", "true", "yes", "on", "t", "y")
_FALSE = ("0", "false", "no", "off", "f", "n")


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(text)


def _bounded(kind: Callable[[str], Any], minimum: Optional[float], maximum: Optional[float]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = kind(text)
        # Written so that not-a-number fails as well.
        if not (minimum is None or value >= minimum) or not (maximum is None or value <= maximum) or value != value:
            raise ValueError(text)
        return value

    return parse


def _range(minimum: Optional[float], maximum: Optional[float]) -> str:
    if minimum is not None and maximum is not None:
        return f" from {minimum:g} to {maximum:g}"
    return f" of at least {minimum:g}" if minimum is not None else ""


text: Parser[str] = Parser("text", str)
boolean: Parser[bool] = Parser("true or false", _boolean)


def integer(minimum: Optional[int] = None, maximum: Optional[int] = None) -> Parser[int]:
    """A parser of whole numbers."""
    return Parser("a whole number" + _range(minimum, maximum), _bounded(int, minimum, maximum))


def number(minimum: Optional[float] = None, maximum: Optional[float] = None) -> Parser[float]:
    """A parser of numbers."""
    return Parser("a number" + _range(minimum, maximum), _bounded(float, minimum, maximum))


def choice(*names: str) -> Parser[str]:
    """A parser of one of some words, in any case."""

    def parse(text: str) -> str:
        word = text.lower()
        if word not in names:
            raise ValueError(text)
        return word

    return Parser(" or ".join(names), parse)


def items(text: str, separator: str = ",") -> List[str]:
    """The parts of a list, without blanks and empty ones."""
    return [part for part in (part.strip() for part in text.split(separator)) if part]


names: Parser[Tuple[str, ...]] = Parser("names separated by commas", lambda text: tuple(items(text)))


def choices(known: Mapping[str, str]) -> Parser[Tuple[str, ...]]:
    """A parser of a list of known words, each mapped to what it stands for. Unknown ones are left out, and said so."""

    def parse(text: str) -> Tuple[str, ...]:
        words = [word.lower() for word in items(text)]
        good = tuple(dict.fromkeys(known[word] for word in words if word in known))
        bad = [word for word in words if word not in known]
        if bad and not good:
            raise ValueError(text)
        if bad:
            left_out = quote(", ".join(bad))
            raise Flawed(good, f"{left_out} is not known and left out; known are {', '.join(known)}")
        return good

    return Parser("a list of {}".format(", ".join(known)), parse)


def pairs(text: str, between: str, separator: str = ",", secret: bool = False) -> Dict[str, str]:
    """The pairs of a list such as ``a:1,b:2``; an entry without a name is left out, and said so."""
    result: Dict[str, str] = {}
    bad: List[str] = []
    for part in items(text, separator) if separator else text.split():
        key, _, value = part.partition(between)
        if key.strip():
            result[key.strip()] = value.strip()
        else:
            bad.append(part)
    if bad:
        raise Flawed(result, "an entry has no name and is left out: {}".format(quote(", ".join(bad), secret)))
    return result
