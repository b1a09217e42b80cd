"""The one HTML and SVG kit of pages, reports and drawings: self-contained, no script, nothing loaded from elsewhere."""
