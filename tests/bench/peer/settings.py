"""Where the peer finds its database, its broker and the platform: from the environment."""

import os

DATABASE_URL = os.environ["PEER_DATABASE_URL"]
REDIS_URL = os.environ["PEER_REDIS_URL"]
PLATFORM_URL = os.environ["PEER_PLATFORM_URL"]
API_KEY = os.environ["PEER_API_KEY"]
CONNECTIONS = int(os.environ.get("PEER_CONNECTIONS", "40"))
"""Database and HTTP connections of one process: as many as it has threads."""
