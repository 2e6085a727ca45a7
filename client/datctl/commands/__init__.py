"""The verbs of datctl, by noun. Each talks to the daemon through the client library only."""
