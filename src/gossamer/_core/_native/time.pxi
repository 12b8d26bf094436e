# Clock, ids, and what a fork changes of them.

cdef int64_t _offset = 0
cdef int64_t _offset_until = 0
cdef int64_t OFFSET_NS = 1000000000
cdef uint32_t _forks = 0  # traces of an older number belong to the parent process

cdef object _test_clock = None
cdef object _test_ids = None
cdef object _test_wall = None


def test_hooks(clock=None, ids=None, wall=None):
    """For tests: functions that answer the monotonic time, the next id, the time since the epoch. None: the real ones."""
    global _test_clock, _test_ids, _test_wall, _offset_until
    _test_clock, _test_ids, _test_wall = clock, ids, wall
    _offset_until = 0 if clock is None else -0x7FFFFFFFFFFFFFFF


cdef inline int64_t now_ns():
    if _test_clock is not None:
        return _test_clock()
    return gsm_now()


cdef inline int64_t wall_ns():
    if _test_wall is not None:
        return _test_wall()
    return gsm_wall()


cdef inline uint64_t new_id():
    if _test_ids is not None:
        return _test_ids()
    return gsm_id()


cdef inline int64_t offset_at(int64_t now):
    """What makes a monotonic time one since the epoch; looked up once a second, as the wall clock is corrected."""
    global _offset, _offset_until
    if now >= _offset_until:
        _offset = wall_ns() - now_ns()
        _offset_until = now + OFFSET_NS
    return _offset


def _after_fork():
    global _forks, gsm_seed
    _forks += 1
    _seed()


cdef _seed():
    global gsm_seed
    gsm_seed = int.from_bytes(os.urandom(8), "little") | 1


_seed()
_fork.in_child(_after_fork)
