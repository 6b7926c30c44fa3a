-- Does what the other scripts do, on a key of its own. KEYS: the key. ARGV: how long it may stay at most, in ms.
redis.call('TIME')
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
redis.call('GETDEL', KEYS[1])
