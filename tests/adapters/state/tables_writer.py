"""Writes fees, enrolments and counts until it is done or killed. Started again, it repeats everything.

    python tables_writer.py STATE_URL REDIS_URL SCOPE

It prints a line after each charge. An empty REDIS_URL means no Redis.
"""

from __future__ import annotations

import sys

from soundsright.adapters.state.accounts import SqlAccounts
from soundsright.adapters.state.counters import SqlCounters
from soundsright.core.ports import Counters, NewRecord

CHARGES = 40
FEE_RAO = 250_000_000
START_RAO = 20 * 10**9


def main(url: str, redis_url: str, scope: str) -> None:
    accounts = SqlAccounts(url, scope=scope)
    all_counters: list[Counters] = [SqlCounters.beside(accounts)]
    if redis_url:
        from soundsright.adapters.state.redis_counters import RedisCounters
        from soundsright.config.redis_server import redis_server

        all_counters.append(RedisCounters(redis_server(redis_url), scope=scope))
    accounts.credit("transfer:1", "cold", START_RAO)
    for number in range(CHARGES):
        record = NewRecord("enrolments", str(number), {"tournament": number})
        accounts.charge(f"charge:{number}", "cold", FEE_RAO, purpose="season", record=record)
        for counters in all_counters:
            counters.add("5F", {"charges": 1, "paid": FEE_RAO}, once=f"charge:{number}")
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
