"""The artifact root and everything kept in it: files, records, ledger, locks. A folder or a bucket."""
