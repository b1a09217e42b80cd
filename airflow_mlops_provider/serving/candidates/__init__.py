"""A version beside the live one: loaded and called in threads of its own, counted, and judged elsewhere."""
