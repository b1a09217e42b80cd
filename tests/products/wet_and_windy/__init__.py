"""Several labels: what tomorrow will be, wet, windy, warm, all of it or nothing."""
