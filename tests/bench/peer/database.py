"""One engine a process, with a pool."""

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from tests.bench.peer.settings import CONNECTIONS, DATABASE_URL

engine = create_engine(DATABASE_URL, pool_size=CONNECTIONS, max_overflow=10)
Session = sessionmaker(engine, expire_on_commit=False)
