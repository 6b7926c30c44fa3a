-- Uses a ticket up. KEYS: the ticket, and all that wait. Answers what it stands for, if it is there.
redis.call('ZREM', KEYS[2], KEYS[1])
return redis.call('GETDEL', KEYS[1])
