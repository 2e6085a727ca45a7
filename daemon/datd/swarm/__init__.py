"""Known peers, when to look for more, and whom to dial."""
