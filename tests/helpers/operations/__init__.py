"""One row for each answer that an operation of the API may give: how to get it."""
