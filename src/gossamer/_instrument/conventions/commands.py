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

# Command names as they are passed -> (in capitals, how many keys follow). Programs choose few, but may choose any.
_names: Dict[Any, Tuple[str, int]] = {}
_MAX_NAMES = 1000


def shown_command(args: Any) -> Tuple[str, str]:
    """(the name of a command, the command as a span may show it)."""
    if not args:
        return "", ""
    name = args[0]
    try:
        known = _names.get(name)
    except TypeError:  # not hashable: a memoryview, say
        known = None
    operation, keys = known or _learn(name)
    count = len(args)
    if count == 1:
        return operation, operation
    if count == 2:
        return operation, "%s %s" % (operation, _key(args[1]) if keys else "?")
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
    return operation, " ".join(parts)


def _learn(name: Any) -> Tuple[str, int]:
    shown = _text(name).upper()
    # "CONFIG GET" comes as one argument; which name a subcommand has is no secret, what stands behind is not looked at.
    operation = shown if shown.replace(".", "").replace("_", "").replace(" ", "").isalnum() else shown.partition(" ")[0]
    found = operation[:40], _KEYS.get(operation, _NO_KEY)
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
