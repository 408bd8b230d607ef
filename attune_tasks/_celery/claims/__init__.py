"""Claims: which worker runs which attempt of an execution, kept in Redis, so that each has exactly one final state.

A claim is written before the message is acknowledged (`request`), begun and finished by the process that runs the
action (`claim`), kept from expiring meanwhile (`keeping`), and looked after by any worker or client once it has expired
(`reaping`). What one step does in Redis is one script (`scripts/`, called by `store`).
"""
