"""Speed, measured side by side: ``make bench``. docs/performance.md explains what it prints."""
