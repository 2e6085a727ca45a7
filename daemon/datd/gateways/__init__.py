"""Asking the router to pass a port on to this host: PCP, NAT-PMP, UPnP."""
