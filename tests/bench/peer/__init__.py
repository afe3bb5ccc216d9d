"""The pipeline that a competent developer writes in an afternoon, for `billhook bench compare`.

FastAPI takes an event, SQLAlchemy stores it, `create_invoice.delay(event_id)` hands it to Celery; one task an event
looks the customer up, asks the platform for the invoice with `requests`, and records invoice, audit entries and the
notice for the customer. Redis is the broker, PostgreSQL keeps the data and, through Celery's `db+` backend, the
results. A unique key forbids a second invoice, late acks and `autoretry_for` with backoff repeat what failed.

It is meant to be good: pools where a pool belongs, one HTTP session a process, indexes, no polling, no needless
commit, Celery's own defaults unless the documentation recommends another. What it is not: safe against a lost answer,
heedful of quotas, able to prove what it did. It is never imported by Billhook.
"""
