"""Starts the gateway that the Python package carries, on a free port, and prints its address.

It is the gateway's own HTTP server, in Rust, with the OpenAI-compatible routes; Python starts it and then sleeps.
"""

import signal
import sys

from tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(gateway.base_url, flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
