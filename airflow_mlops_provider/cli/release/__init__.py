"""What people see of a product's versions, and do to them: history, rollback, waivers."""
