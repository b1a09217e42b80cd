"""The HTML and SVG that pages, reports and drawings are made of: self-contained, no script, nothing from elsewhere."""
