"""Models scored on images whose masks are known."""
