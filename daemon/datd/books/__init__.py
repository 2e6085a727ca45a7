"""Books beside the catalogue, in the same file: events, tokens, accounts. No hosting in here."""
