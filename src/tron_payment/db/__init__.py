"""The store: connection, embedded server, compare-and-set, ledger, audit, outbox and leases."""
