"""The only place where a vendor's SDK is imported: one file per vendor, loaded when a job needs it."""
