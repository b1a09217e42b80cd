"""Looking at data before there is a product."""
