"""Before there is a product: what a look at data tells, and which product is proposed for it."""
