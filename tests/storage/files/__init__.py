"""State files as released schemas wrote them, each beside what it holds."""
