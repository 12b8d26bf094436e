"""Commands of Redis and its like without their values: the name and the keys are shown, the rest is `?`.

A command that is not in the tables shows nothing but its name: its arguments may be anything, passwords included.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

MAX_KEY = 100
MAX_ARGUMENTS = 30

_ONE_KEY = """
APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DUMP EXPIRE EXPIREAT EXPIRETIME GEOADD GEODIST GEOHASH GEOPOS
GEORADIUS GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL
HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HPERSIST
HPEXPIRE HPEXPIREAT HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT
JSON.ARRAPPEND JSON.ARRINDEX JSON.ARRINSERT JSON.ARRLEN JSON.ARRPOP JSON.ARRTRIM JSON.CLEAR JSON.DEL JSON.FORGET
JSON.GET JSON.MERGE JSON.NUMINCRBY JSON.NUMMULTBY JSON.OBJKEYS JSON.OBJLEN JSON.SET JSON.STRAPPEND JSON.STRLEN
JSON.TOGGLE JSON.TYPE LINDEX LINSERT LLEN LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MOVE PERSIST PEXPIRE PEXPIREAT
PEXPIRETIME PFADD PSETEX PTTL PUBLISH RESTORE RPOP RPUSH RPUSHX SADD SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER
SMEMBERS SMISMEMBER SORT SORT_RO SPOP SPUBLISH SRANDMEMBER SREM SSCAN STRLEN SUBSTR TS.ADD TS.CREATE TS.GET TS.INFO
TS.RANGE TTL TYPE XACK XADD XAUTOCLAIM XCLAIM XDEL XLEN XPENDING XRANGE XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT
ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX
ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE FT.SEARCH
FT.AGGREGATE FT.INFO FT.CREATE FT.DROPINDEX
"""
_TWO_KEYS = """
BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE ZRANGESTORE
"""
_ALL_KEYS = """
DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION SUNIONSTORE TOUCH UNLINK WATCH SUBSCRIBE
PSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE JSON.MGET
"""
_PAIRS = """
MSET MSETNX
"""

_NO_KEY, _PAIR, _ALL = 0, -1, -2
_KEYS: Dict[str, int] = dict.fromkeys(_ONE_KEY.split(), 1)
_KEYS.update(dict.fromkeys(_TWO_KEYS.split(), 2))
_KEYS.update(dict.fromkeys(_ALL_KEYS.split(), _ALL))
_KEYS.update(dict.fromkeys(_PAIRS.split(), _PAIR))

# Command names as they are passed -> (in capitals, how many keys follow, the first word). Programs choose few, but may
# choose any.
_names: Dict[Any, Tuple[str, int, str]] = {}
_MAX_NAMES = 1000


def shown_command(args: Any) -> Tuple[str, str]:
    """(the name of a command, the command as a span may show it)."""
    return take_apart(args)[:2]


def take_apart(args: Any) -> Tuple[str, str, str]:
    """(the name of a command, the command as a span may show it, the first word of the name)."""
    if not args:
        return "", "", ""
    name = args[0]
    try:
        operation, keys, word = _names[name]
    except (KeyError, TypeError):  # not seen yet, or not hashable: a memoryview, say
        operation, keys, word = _learn(name)
    count = len(args)
    if count == 2:
        if not keys:
            return operation, operation + " ?", word
        key = args[1]
        return operation, operation + " " + (key if key.__class__ is str and len(key) <= MAX_KEY else _text(key)), word
    if count == 1:
        return operation, operation, word
    if keys > 0 and count <= MAX_ARGUMENTS:
        return operation, _keys_first(operation, args, keys, count), word
    return operation, _long(operation, args, keys, count), word


def _keys_first(operation: str, args: Any, keys: int, count: int) -> str:
    shown = operation + " " + _key(args[1])
    if keys > 1:
        shown += " " + _key(args[2])
    return shown + " ?" * (count - 1 - keys)


def _long(operation: str, args: Any, keys: int, count: int) -> str:
    parts: List[str] = [operation]
    if keys == _ALL:
        parts += [_key(key) for key in args[1 : MAX_ARGUMENTS + 1]]
    elif keys == _PAIR:
        for index in range(1, min(count, MAX_ARGUMENTS), 2):
            parts += (_key(args[index]), "?")
    else:
        parts += [_key(key) for key in args[1 : keys + 1]]
        parts += ["?"] * (min(count, MAX_ARGUMENTS + 1) - 1 - keys)
    if count > MAX_ARGUMENTS + 1:
        parts.append("...")
    return " ".join(parts)


def _learn(name: Any) -> Tuple[str, int, str]:
    shown = _text(name).upper()
    # "CONFIG GET" comes as one argument; which name a subcommand has is no secret, what stands behind is not looked at.
    operation = shown if shown.replace(".", "").replace("_", "").replace(" ", "").isalnum() else shown.partition(" ")[0]
    keys = _KEYS.get(operation, _NO_KEY)
    operation = operation[:40]
    found = operation, keys, operation.partition(" ")[0]
    if len(_names) >= _MAX_NAMES:
        _names.clear()
    try:
        _names[name] = found
    except TypeError:
        pass
    return found


def _key(key: Any) -> str:
    return key if key.__class__ is str and len(key) <= MAX_KEY else _text(key)


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value[:MAX_KEY]).decode("utf-8", "replace")
    try:
        return str(value)[:MAX_KEY]
    except Exception:
        return "?"
